"""CTC against torch's, in float64: torch's own float32 gradient is the less accurate one."""

import jax
import numpy as np
import pytest
import torch

from flax_models.ctc import ctc_feasible, ctc_loss

torch.set_num_threads(1)
METHODS = ("optax", "fast")


def random_case(seed, blank, batch=7, steps=19, classes=6, width=6):
    """Feasible examples of several lengths, many repeats, and padding outside the alphabet."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (batch, steps, classes)).astype(np.float32)
    alphabet = [k for k in range(classes) if k != blank][: 2 if seed % 2 else classes]
    labels = rng.choice(alphabet, (batch, width)).astype(np.int32)
    label_lengths = rng.integers(0, width + 1, batch).astype(np.int32)
    label_lengths[0] = width
    logit_lengths = rng.integers(2 * width, steps + 1, batch).astype(np.int32)
    labels[np.arange(width) >= label_lengths[:, None]] = -1
    return logits, labels, logit_lengths, label_lengths


def torch_loss(case, blank, reduction, weights=1.0):
    logits, labels, logit_lengths, label_lengths = case
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    losses = torch.nn.functional.ctc_loss(
        x.log_softmax(-1).transpose(0, 1),
        torch.tensor(np.maximum(labels, 0)),
        torch.tensor(logit_lengths),
        torch.tensor(label_lengths),
        blank=blank,
        reduction=reduction,
        zero_infinity=True,
    )
    (losses * torch.as_tensor(weights)).sum().backward()
    return losses.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("seed", "blank"), [(0, 0), (1, 5), (2, 3)])
def test_values_and_gradients_equal_torch(method, seed, blank):
    case = random_case(seed, blank)
    logits, labels, logit_lengths, label_lengths = case
    assert bool(ctc_feasible(labels, logit_lengths, label_lengths).all())
    weights = np.linspace(0.5, 2, len(logits))
    expected, expected_gradient = torch_loss(case, blank, "none", weights)

    def objective(x):
        losses = ctc_loss(x, labels, logit_lengths, label_lengths, blank, "none", method)
        return (losses * weights).sum(), losses

    gradient, losses = jax.jit(jax.grad(objective, has_aux=True))(logits)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions_have_torchs_meaning(reduction):
    logits, labels, logit_lengths, label_lengths = random_case(4, 0)
    # One infeasible example: torch too counts it in the mean, as 0.
    logit_lengths[1], label_lengths[1] = 1, 6
    labels[1] = 1
    case = (logits, labels, logit_lengths, label_lengths)
    expected, _ = torch_loss(case, 0, reduction)
    np.testing.assert_allclose(ctc_loss(*case, 0, reduction), expected, rtol=1e-5, atol=1e-6)


def test_fast_gradient_is_accurate_on_long_sequences():
    case = random_case(5, 0, batch=2, steps=300, classes=40, width=60)
    expected, expected_gradient = torch_loss(case, 0, "sum")
    loss, gradient = jax.value_and_grad(ctc_loss)(*case, 0, "sum", "fast")
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2e-5)


def test_fast_scatters_over_a_large_alphabet():
    case = random_case(3, 0, batch=2, steps=20, classes=600)
    _, expected = torch_loss(case, 0, "sum")
    gradient = jax.grad(ctc_loss)(*case, 0, "sum", "fast")
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)
