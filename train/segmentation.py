"""What segments an image into foreground and background: objective, scores, a plain method."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, UInt8

from train.steps import Batch


def cross_entropy_and_dice(logits: Float[Array, "B H W 1"], batch: Batch) -> Float[Array, "B"]:
    """Mean cross-entropy of the pixels plus one less the soft Dice coefficient, by image.

    The soft coefficient (Milletari, Navab and Ahmadi 2016) takes probabilities for the mask; 1 is
    added above and below the line, so that an empty mask has a gradient.
    """
    targets = batch["targets"].astype(jnp.float32)
    probabilities = jax.nn.sigmoid(logits)
    pixels, axes = optax.sigmoid_binary_cross_entropy(logits, targets), (1, 2, 3)
    overlap = 2 * jnp.sum(probabilities * targets, axes) + 1
    return pixels.mean(axes) + 1 - overlap / (jnp.sum(probabilities + targets, axes) + 1)


def patch_dice(logits: Float[Array, "B H W 1"], batch: Batch) -> Float[Array, "B"]:
    """The Dice coefficient of each patch; 1 where truth and prediction are both empty."""
    truth, predicted = batch["targets"] > 0, logits > 0
    both, total = jnp.sum(truth & predicted, (1, 2, 3)), jnp.sum(truth, (1, 2, 3))
    total += jnp.sum(predicted, (1, 2, 3))
    return jnp.where(total == 0, 1.0, 2 * both / jnp.maximum(total, 1))


def dice_and_iou(
    truth: Bool[np.ndarray, "H W"], predicted: Bool[np.ndarray, "H W"]
) -> tuple[float, float]:
    """Dice coefficient 2 |A and B| / (|A| + |B|) and intersection over union; 1 for two empty."""
    both, either = np.sum(truth & predicted), np.sum(truth | predicted)
    if either == 0:
        return 1.0, 1.0
    return float(2 * both / (both + either)), float(both / either)


def otsu_mask(pixels: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """Foreground by the threshold of grey that parts two classes best (Otsu 1979).

    It makes the variance between the classes largest. The class that most of the border is in is
    the background.
    """
    grey = np.rint(pixels.mean(axis=-1)).astype(int)
    counts = np.bincount(grey.ravel(), minlength=256)
    below, sums = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    difference = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    mask = grey > np.argmax(below * above * difference**2)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return ~mask if border.mean() > 0.5 else mask
