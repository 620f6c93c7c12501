"""What practices that choose one of several classes share."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from train.steps import Batch


def cross_entropy(logits: Any, batch: Batch) -> Float[Array, "B"]:
    """Of logits [B, classes] and ``targets`` [B]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])


def accuracy(logits: Any, batch: Batch) -> Float[Array, "B"]:
    """1 where the largest of the logits [B, classes] is that of ``targets`` [B], else 0."""
    return jnp.asarray(logits.argmax(-1) == batch["targets"], jnp.float32)
