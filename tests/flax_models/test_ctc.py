import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ctc_reference import probabilities_of_labellings

from flax_models.ctc import ctc_feasible, ctc_loss

METHODS = ("optax", "fast")


@pytest.mark.parametrize("method", METHODS)
def test_course_example(method):
    # Two steps, p(a) = 0.4 and p(blank) = 0.1 at each: aa, a_ and _a give 0.16 + 0.04 + 0.04.
    logits = jnp.log(jnp.array([[[0.1, 0.4, 0.5], [0.1, 0.4, 0.5]]]))
    loss = ctc_loss(logits, jnp.array([[1]]), reduction="none", method=method)
    np.testing.assert_allclose(np.exp(-loss), [0.24], rtol=0, atol=5e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("blank", [0, 1, 2])
def test_brute_force_over_all_alignments(method, blank):
    rng = np.random.default_rng(blank)
    logits = rng.normal(0, 1.5, (1, 5, 3)).astype(np.float32)
    totals = probabilities_of_labellings(np.asarray(jax.nn.log_softmax(logits[0])), blank)
    assert sum(totals.values()) == pytest.approx(1.0, abs=1e-6)
    labellings = [labelling for labelling in totals if labelling]
    width = max(map(len, labellings))
    labels = np.array([list(one) + [99] * (width - len(one)) for one in labellings])
    losses = ctc_loss(
        np.repeat(logits, len(labels), 0),
        labels,
        label_lengths=np.array([len(one) for one in labellings]),
        blank_id=blank,
        reduction="none",
        method=method,
    )
    expected = [-np.log(totals[one]) for one in labellings]
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_infeasible_examples_give_zero_and_are_counted(method):
    logits = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
    labels = jnp.array([[1, 1, 2], [1, 1, 1], [1, 2, 3], [3, 3, 0]])
    label_lengths = jnp.array([3, 3, 3, 2])
    logit_lengths = jnp.array([4, 4, 2, 3])
    feasible = ctc_feasible(labels, logit_lengths, label_lengths)
    # 112 needs 4 steps and has 4; 111 needs 5; 123 has only 2; 33 needs 3 and has 3.
    np.testing.assert_array_equal(feasible, [True, False, False, True])
    assert int((~feasible).sum()) == 2

    def objective(x):
        losses = ctc_loss(x, labels, logit_lengths, label_lengths, reduction="none", method=method)
        return losses.sum(), losses

    gradient, losses = jax.grad(objective, has_aux=True)(logits)
    np.testing.assert_array_equal(losses[1:3], [0, 0])
    np.testing.assert_array_equal(gradient[1:3], 0)
    assert (losses[jnp.array([0, 3])] > 0).all()
    assert np.abs(gradient[0]).max() > 1e-3
    # Steps beyond a length have no influence.
    np.testing.assert_array_equal(gradient[3, 3], 0)


@pytest.mark.parametrize("method", METHODS)
def test_never_negative_and_float32(method):
    confident = 40.0 * jax.nn.one_hot(jnp.array([[1, 0, 2] * 40] * 3), 3)
    labels = jnp.array([[1, 2] * 40] * 3)
    losses = ctc_loss(confident, labels, reduction="none", method=method)
    assert (losses >= 0).all()
    np.testing.assert_allclose(losses, 0, atol=1e-4)
    assert ctc_loss(confident.astype(jnp.bfloat16), labels, method=method).dtype == jnp.float32


@pytest.mark.parametrize("method", METHODS)
def test_empty_label_is_all_blanks_and_empty_input_is_certain(method):
    logits = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    losses = ctc_loss(
        logits, jnp.ones((2, 1), int), jnp.array([3, 0]), jnp.array([0, 0]), 2, "none", method
    )
    expected = -jax.nn.log_softmax(logits[0])[:, 2].sum()
    np.testing.assert_allclose(losses, [expected, 0], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_padding_labels_do_not_matter(method):
    logits = np.random.default_rng(2).normal(size=(3, 6, 5)).astype(np.float32)
    labels, label_lengths = np.array([[1, 1, 0], [2, 4, 1], [0, 9, 9]]), np.array([2, 3, 1])
    padded = np.arange(3) >= label_lengths[:, None]
    losses = [
        ctc_loss(logits, np.where(padded, fill, labels), None, label_lengths, 3, "none", method)
        for fill in (-1, 3, 0, 10**6)
    ]
    for other in losses[1:]:
        np.testing.assert_array_equal(losses[0], other)
    assert np.isfinite(losses[0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_label_outside_the_alphabet_under_jit_is_not_a_number(method):
    logits = np.zeros((2, 4, 3), np.float32)
    loss = jax.jit(lambda x: ctc_loss(logits, x, reduction="none", method=method))
    losses = loss(jnp.array([[1, 2], [1, 3]]))
    assert np.isfinite(losses[0])
    assert np.isnan(losses[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": np.zeros((4, 3))}, r"logits: expected \[batch, time, classes\], got \(4, 3\)"),
        ({"labels": np.ones((3, 2), int)}, r"labels: expected .*\[2, labels\].*got .*\(3, 2\)"),
        ({"labels": np.ones((2, 2))}, r"labels: expected integers .*float"),
        ({"labels": np.array([[1, 2], [1, 3]])}, r"labels: expected classes from 0 to 2 .*got 3"),
        ({"labels": np.array([[1, 2], [1, 0]])}, r"labels: .* without the blank 0 .*got 0"),
        ({"logit_lengths": np.array([4, 5])}, r"logit_lengths: expected .* 0 to 4.*got 5"),
        ({"label_lengths": np.array([2, -1])}, r"label_lengths: expected .* 0 to 2.*got -1"),
        ({"label_lengths": np.array([2])}, r"label_lengths: expected .*\(2,\), got .*\(1,\)"),
        ({"blank_id": 3}, r"blank_id: expected one of the 3 classes, got 3"),
        ({"reduction": "avg"}, r"reduction: .*'avg'"),
        ({"method": "torch"}, r"method: .*'torch'"),
    ],
)
def test_bad_input(arguments, message):
    good = {"logits": np.zeros((2, 4, 3), np.float32), "labels": np.ones((2, 2), int)}
    with pytest.raises(ValueError, match=message):
        ctc_loss(**(good | arguments))
