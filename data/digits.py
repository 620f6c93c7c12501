"""MNIST digits: 5,000 of them embedded, all 70,000 through TensorFlow Datasets."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from data.prepared import load_prepared
from data.splits import Examples, Splits, count, rows

MEAN, DEVIATION = 0.1307, 0.3081
"""Of MNIST's training pixels, scaled to [0, 1]."""

_EMBEDDED = Path(__file__).parent / "embedded" / "digits.npz"


def load_digits(
    source: str = "embedded", data_dir: str | None = None, download: bool = False
) -> Splits:
    """Digits as inputs uint8 [N, 28, 28, 1] and targets int32 [N].

    ``embedded`` holds 500 images of each digit, all from MNIST's training set: 4,000 train, 500
    validation, 500 test, each balanced. ``tfds`` is MNIST itself: 55,000 train, 5,000 validation (a
    twelfth, cut from train in a fixed random order), and the 10,000 of test.
    """
    if source == "embedded":
        with np.load(_EMBEDDED) as file:
            digits = _examples(dict(file))
        cuts = (slice(0, 4000), slice(4000, 4500), slice(4500, 5000))
        train, validation, test = (rows(digits, cut) for cut in cuts)
        return Splits(train, validation, test, source)
    prepared, version = load_prepared("mnist", source, data_dir, download)
    digits, test = _examples(prepared["train"]), _examples(prepared["test"])
    cut = count(digits) - count(digits) // 12
    train, validation = rows(digits, slice(0, cut)), rows(digits, slice(cut, None))
    return Splits(train, validation, test, f"tfds:{version}")


def standardise_digits(images: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Pixels 0 to 255 to mean 0 and deviation 1 over MNIST's training set, inside jit."""
    return (images.astype(jnp.float32) / 255 - MEAN) / DEVIATION


def _examples(arrays: Examples) -> Examples:
    return {"inputs": arrays["image"], "targets": arrays["label"].astype(np.int32)}
