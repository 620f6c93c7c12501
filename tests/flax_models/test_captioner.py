"""Image to text: teacher forcing, the same network step by step, and both searches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from flax_models import CELLS, Captioner, beam_caption, greedy_caption
from flax_models.layers import count_parameters

CELL_NAMES = sorted(CELLS)
VOCABULARY = 4
TARGET = np.array([[3, 0, 2, 3], [1, 3, 3, 2], [2, 3, 1, 1]])
IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)


def small(cell="gru", **options):
    sizes = {"widths": (3, 4), "embedding_size": 3, "hidden_size": 4}
    model = Captioner(VOCABULARY, cell, **(sizes | options))
    return model, random_variables(model, IMAGES, TARGET)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_teacher_forced_and_step_by_step_agree(cell):
    model, variables = small(cell, num_layers=2)
    forced = model.apply(variables, IMAGES, TARGET)
    assert forced.shape == (3, 4, VOCABULARY)
    state = model.apply(variables, IMAGES, method=Captioner.encode)
    tokens = jnp.full((3, 1), model.start_id)
    step = jax.jit(lambda *given: model.apply(variables, *given, method=Captioner.decode))
    for index in range(4):
        logits, state = step(tokens, state)
        np.testing.assert_allclose(logits[:, 0], forced[:, index], atol=1e-5)
        tokens = TARGET[:, index : index + 1]


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_what_stands_after_a_token_changes_nothing_before_it(cell):
    """So padding after an end is free to be anything, and other images leave no trace."""
    model, variables = small(cell)
    apply = jax.jit(model.apply)
    before = apply(variables, IMAGES, TARGET)
    changed = TARGET.copy()
    changed[:, 2:] = 0
    after = apply(variables, IMAGES, changed)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert jnp.abs(before[:, 3] - after[:, 3]).max() > 1e-3
    alone = apply(variables, IMAGES[1:2], TARGET[1:2, :2])
    np.testing.assert_allclose(alone, before[1:2, :2], atol=1e-5)
    longer = apply(variables, IMAGES, np.pad(TARGET, ((0, 0), (0, 3))))
    np.testing.assert_allclose(longer[:, :4], before, atol=1e-5)


def test_the_image_matters():
    model, variables = small()
    logits = model.apply(variables, IMAGES, TARGET[[0, 0, 0]])
    assert jnp.abs(logits[0] - logits[1]).max() > 1e-3


def scores(model, variables, images, steps):
    """Log-probability of every output of at most `steps` tokens, by image: its own enumeration."""
    outputs = []
    for tokens in itertools.product(range(VOCABULARY), repeat=steps):
        stop = tokens.index(model.end_id) if model.end_id in tokens else steps
        if all(token == model.end_id for token in tokens[stop:]):
            outputs.append((tokens, min(stop + 1, steps)))
    tokens = np.array([tokens for tokens, _ in outputs])
    counts = np.arange(steps) < np.array([count for _, count in outputs])[:, None]
    for image in images:
        repeated = np.broadcast_to(image, (len(tokens), *image.shape))
        log_probs = jax.nn.log_softmax(model.apply(variables, repeated, tokens))
        chosen = np.take_along_axis(np.asarray(log_probs), tokens[..., None], axis=2)[..., 0]
        yield tokens, (chosen * counts).sum(axis=1)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_wide_beam_finds_what_enumeration_finds(cell):
    model, variables = small(cell)
    found = beam_caption(model, variables, IMAGES, 3, beam_width=40)
    for row, (tokens, expected) in enumerate(scores(model, variables, IMAGES, 3)):
        assert len(tokens) == 40
        np.testing.assert_allclose(np.exp(expected).sum(), 1, rtol=1e-4)
        order = np.argsort(-expected)
        np.testing.assert_array_equal(found.tokens[row], tokens[order])
        np.testing.assert_allclose(found.log_probs[row], expected[order], rtol=1e-4)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_greedy_takes_the_most_probable_token_and_a_beam_is_as_probable_or_more(cell):
    model, variables = small(cell, num_layers=2)
    greedy = greedy_caption(model, variables, IMAGES, 5)
    logits = model.apply(variables, IMAGES, greedy.tokens)
    for row, length in enumerate(greedy.lengths):
        spoken = min(int(length) + 1, 5)
        np.testing.assert_array_equal(logits[row, :spoken].argmax(-1), greedy.tokens[row, :spoken])
        assert (greedy.tokens[row, length:] == model.end_id).all()
        want = jax.nn.log_softmax(logits[row, :spoken]).max(-1).sum()
        np.testing.assert_allclose(greedy.log_probs[row], want, rtol=1e-5)
    one = beam_caption(model, variables, IMAGES, 5, beam_width=1)
    np.testing.assert_array_equal(one.tokens[:, 0], greedy.tokens)
    np.testing.assert_allclose(one.log_probs[:, 0], greedy.log_probs, rtol=1e-5)
    # exhaustive, so that it holds for any weights: a narrow beam may lose greedy's sequence
    wide = beam_caption(model, variables, IMAGES, 3, beam_width=40)
    short = greedy_caption(model, variables, IMAGES, 3)
    assert (wide.log_probs[:, 0] >= short.log_probs - 1e-5).all()
    assert (jnp.diff(wide.log_probs) <= 0).all()


def test_parameter_count():
    images, target = jnp.zeros((1, 28, 28, 1)), jnp.zeros((1, 6), int)

    def count(model):
        return count_parameters(jax.eval_shape(model.init, jax.random.key(0), images, target))

    assert f"{count(Captioner(18)):,}" in Captioner.__doc__
    convolutions = 9 * (1 * 16 + 16 * 16 + 16 * 32 + 32 * 32) + 2 * (16 + 32)
    for cell, gates, states in (("rnn", 1, 1), ("lstm", 4, 2), ("gru", 3, 1)):
        v, e, h = 18, 16, 128
        dense = (7 * 7 * 32 + 1) * states * h
        decoder = v * e + gates * h * (e + h + 2) + (h + 1) * v
        assert count(Captioner(18, cell)) == convolutions + dense + decoder


def test_bfloat16_stays_near():
    model, variables = small("lstm")
    exact = model.apply(variables, IMAGES, TARGET)
    rough = model.clone(dtype=jnp.bfloat16).apply(variables, IMAGES, TARGET)
    assert rough.dtype == jnp.float32
    assert 0 < jnp.abs(rough - exact).max() <= 5e-2 * jnp.abs(exact).max()


def test_bad_input():
    model, variables = small()
    for images, target, message in (
        (IMAGES, TARGET + 1, "target: expected tokens from 0 to 3, got 4"),
        (IMAGES, TARGET[0], r"target: expected integers \[batch, steps\]"),
        (IMAGES, TARGET[:2], r"target: expected \[3, steps\], got \(2, 4\)"),
        (IMAGES[..., 0], TARGET, "images: expected"),
        (IMAGES[:, :6], TARGET, "images: expected a height and width"),
    ):
        with pytest.raises(ValueError, match=message):
            model.apply(variables, images, target)
    with pytest.raises(ValueError, match="cell: expected one of rnn, lstm, gru, got 'elman'"):
        small("elman")
    with pytest.raises(ValueError, match="max_length: expected at least 1, got 0"):
        greedy_caption(model, variables, IMAGES, 0)
    with pytest.raises(ValueError, match="beam_width: expected at least 1, got 0"):
        beam_caption(model, variables, IMAGES, 3, 0)
