"""How exact the CTC losses are, and what memory they take: ``python -m benchmarks.ctc``.

The reference is PyTorch in double precision. An error is the root of the mean square difference,
over the root of the mean square of the reference; of the losses of a batch and of the gradient of
their mean with respect to the logits.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
import torch

from benchmarks.cases import CASES, Ctc
from flax_models import ctc_loss

SIZES = ("ctc-small", "ctc-medium", "ctc-large")


def main() -> int:
    """One line a size: errors of each implementation, and temporary memory of ours and optax."""
    for name in SIZES:
        case = CASES[name]
        assert isinstance(case, Ctc)
        logits, labels = case.logits_and_labels()
        reference = of_torch(logits, labels, torch.float64)
        results = {
            "torch float32": of_torch(logits, labels, torch.float32),
            "optax": of_ours(logits, labels, "optax"),
            "ours": of_ours(logits, labels, "fast"),
        }
        print(f"{name} (B, T, K, L) = {case.batch, case.steps, case.classes, case.labels}")
        for who, result in results.items():
            losses, gradient = map(error, result, reference)
            print(f"  {who:14} error of the losses {losses:.2e}, of the gradient {gradient:.2e}")
        ours, optax = (temporary_bytes(logits, labels, method) for method in ("fast", "optax"))
        print(f"  temporary memory {ours / 2**20:.1f} MiB of optax's {optax / 2**20:.1f}", end="")
        print(f": {ours / optax:.2f}", flush=True)
    return 0


def error(values: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square difference, relative to the root mean square of the reference."""
    return float(np.sqrt(np.mean((values - reference) ** 2) / np.mean(reference**2)))


def of_torch(
    logits: np.ndarray, labels: np.ndarray, precision: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Losses [B] and the gradient of their mean [B, T, K] by PyTorch."""
    x = torch.tensor(logits, dtype=precision, requires_grad=True)
    batch, steps, _ = logits.shape
    losses = torch.nn.functional.ctc_loss(
        x.log_softmax(-1).transpose(0, 1),
        torch.tensor(labels),
        torch.full((batch,), steps),
        torch.full((batch,), labels.shape[1]),
        reduction="none",
    )
    losses.mean().backward()
    return losses.detach().double().numpy(), x.grad.double().numpy()


def of_ours(logits: np.ndarray, labels: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """The same by a method of ``ctc_loss``."""
    (_, losses), gradient = jax.jit(_objective(labels, method))(logits)
    return np.asarray(losses, np.float64), np.asarray(gradient, np.float64)


def temporary_bytes(logits: np.ndarray, labels: np.ndarray, method: str) -> int:
    """What the compiled loss and gradient keep beside their input and output."""
    compiled = jax.jit(_objective(labels, method)).lower(logits).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def _objective(labels: np.ndarray, method: str) -> Callable:
    @functools.partial(jax.value_and_grad, has_aux=True)
    def objective(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        losses = ctc_loss(logits, labels, reduction="none", method=method)
        return losses.mean(), losses

    return objective


if __name__ == "__main__":
    raise SystemExit(main())
