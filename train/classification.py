"""What practices that choose one of several classes share."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from train.steps import Batch


def cross_entropy(logits: Any, batch: Batch) -> Float[Array, "B"]:
    """Of logits [B, classes] and ``targets`` [B]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])


def accuracy(logits: Any, batch: Batch) -> Float[Array, "B"]:
    """1 where the largest of the logits [B, classes] is that of ``targets`` [B], else 0."""
    return jnp.asarray(logits.argmax(-1) == batch["targets"], jnp.float32)


def mixture(
    targets: Int[Array, "B"], classes: int, own: Float[Array, ""], smoothing: float
) -> Float[Array, "B classes"]:
    """What is asked of images mixed with the batch's opposite ones: probabilities of classes.

    Args:
        targets: classes of the images.
        classes: their number.
        own: how much of each image is its own.
        smoothing: share that is spread over all classes.
    """
    one_hot = jax.nn.one_hot(targets, classes)
    mixed = own * one_hot + (1 - own) * one_hot[::-1]
    return optax.smooth_labels(mixed, smoothing)


def mixed_cross_entropy(logits: Any, batch: Batch) -> Float[Array, "B"]:
    """Of logits [B, classes] and ``mixture`` [B, classes], or ``targets`` [B] in evaluation."""
    if "mixture" in batch:
        return optax.softmax_cross_entropy(logits, batch["mixture"])
    return cross_entropy(logits, batch)
