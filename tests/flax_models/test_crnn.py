from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_variables import random_variables

from flax_models.crnn import CRNN, crnn_output_lengths
from flax_models.ctc import ctc_loss
from flax_models.ctc_decode import ctc_greedy_decode
from flax_models.layers import count_parameters

SMALL = CRNN(5, stem_features=4, widths=(6, 4), dense_features=7, hidden_size=5)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return random_variables(SMALL, random(2, 16, 20, 1), bound=0.25)


def test_default_configuration():
    images = jax.ShapeDtypeStruct((2, 48, 160, 1), jnp.float32)
    shapes = jax.eval_shape(CRNN(37).init, jax.random.key(0), images)
    assert f"{count_parameters(shapes):,}" in CRNN.__doc__
    for height, width in ((48, 160), (50, 201), (15, 4)):
        images = jax.ShapeDtypeStruct((2, height, width, 1), jnp.float32)
        logits, _ = jax.eval_shape(CRNN(37).init_with_output, jax.random.key(0), images)
        assert logits.shape == (2, crnn_output_lengths(width), 37)
        assert logits.dtype == jnp.float32


def test_image_widths_stop_the_recurrent_layers(variables):
    images, widths = random(2, 16, 20, 1), np.array([20, 9])
    np.testing.assert_array_equal(crnn_output_lengths(widths), [5, 2])
    apply = jax.jit(SMALL.apply)
    logits, whole = apply(variables, images, widths), apply(variables, images)
    np.testing.assert_allclose(logits[0], whole[0], atol=1e-6)
    bias = variables["params"]["output"]["bias"]
    np.testing.assert_allclose(logits[1, 2:], jnp.broadcast_to(bias, (3, 5)), atol=1e-6)


@pytest.mark.usefixtures("bfloat16_loops")
def test_bfloat16_stays_close_and_its_loss_is_float32(variables):
    images, labels = random(2, 16, 20, 1), np.array([[1, 2], [3, 3]])
    exact = jax.jit(SMALL.apply)(variables, images)
    rough = jax.jit(SMALL.clone(dtype=jnp.bfloat16).apply)(variables, images)
    assert jnp.abs(rough - exact).max() <= 2e-2 * jnp.abs(exact).max()
    assert ctc_loss(rough, labels).dtype == jnp.float32


def test_it_learns_to_read_one_batch():
    images = random(4, 16, 20, 1)
    labels = np.array([[1, 2], [3, 3], [2, 4], [4, 1]])
    model = CRNN(5, 8, (12, 16), dense_features=24, hidden_size=16, dropout_rate=0.0)
    variables, tx = random_variables(model, images, bound=0.25), optax.adam(1e-2)

    def objective(params, stats):
        variables = {"params": params, "batch_stats": stats}
        logits, updated = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return ctc_loss(logits, labels, method="fast"), (logits, updated["batch_stats"])

    @jax.jit
    def step(params, stats, state):
        (loss, (logits, stats)), gradients = jax.value_and_grad(objective, has_aux=True)(
            params, stats
        )
        updates, state = tx.update(gradients, state)
        return optax.apply_updates(params, updates), stats, state, loss, logits

    params, stats = variables["params"], variables["batch_stats"]
    state, losses = tx.init(params), []
    for _ in range(60):
        params, stats, state, loss, logits = step(params, stats, state)
        losses.append(float(loss))
    assert losses[-1] < 0.1 * losses[0]
    read, lengths, _ = ctc_greedy_decode(logits)
    np.testing.assert_array_equal(lengths, [2, 2, 2, 2])
    np.testing.assert_array_equal(read[:, :2], labels)


def test_dropout_and_statistics_only_while_training(variables):
    images = random(2, 16, 20, 1)
    apply = jax.jit(partial(SMALL.apply, train=True, mutable=["batch_stats"]))
    one, updated = apply(variables, images, rngs={"dropout": jax.random.key(0)})
    other, _ = apply(variables, images, rngs={"dropout": jax.random.key(1)})
    assert jnp.abs(one - other).max() > 1e-3
    before, after = map(jax.tree.leaves, (variables["batch_stats"], updated["batch_stats"]))
    assert all(jnp.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, 20, 1), r"images: expected \[batch, height, width, 1\], got \(16, 20, 1\)"),
        ((2, 16, 20, 3), r"images: expected \[batch, height, width, 1\], got \(2, 16, 20, 3\)"),
        ((2, 6, 20, 1), r"images: expected \[batch, height >= 7, width >= 4, channels\]"),
        ((2, 40, 20, 1), r"images: expected a height that gives 8 features a column.* with 20"),
        ((2, 16, 3, 1), r"width >= 4, channels\], got \(2, 16, 3, 1\)"),
    ],
)
def test_bad_images(variables, shape, message):
    with pytest.raises(ValueError, match=message):
        SMALL.apply(variables, np.zeros(shape, np.float32))


def test_an_image_wider_than_the_batch(variables):
    with pytest.raises(ValueError, match=r"image_widths: expected lengths from 0 to 20.* got 21"):
        SMALL.apply(variables, random(2, 16, 20, 1), np.array([21, 4]))
