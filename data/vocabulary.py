"""Texts as numbers: cleaning, code points, and the characters that a training part knows."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

END = 0
"""Stands after the last character of a text, up to the length that all texts share."""

NO_CHARACTER = 0x110000
"""Above every code point: fills the places of a vocabulary that has room left."""

HIDDEN = NO_CHARACTER + 1
"""What a hidden character is turned into."""


def clean(text: str) -> str:
    """Lower case, without NUL, which means the end here, and with one space where space is."""
    return " ".join(text.replace(chr(END), " ").lower().split())


def encode(texts: Sequence[str], length: int) -> np.ndarray:
    """Code points of cleaned texts, int32 [N, length], filled up with 0.

    Of a longer text its last characters are kept: the verdict stands at the end.
    """
    points = np.full((len(texts), length), END, np.int32)
    for row, text in zip(points, texts, strict=True):
        kept = text[-length:]
        row[: len(kept)] = [ord(character) for character in kept]
    return points


def decode(points: np.ndarray) -> str:
    """The text of one row of code points."""
    return "".join(map(chr, points[points != END]))


def most_frequent_characters(points: np.ndarray, size: int) -> np.ndarray:
    """The ``size`` code points that occur most often, ascending, int32 [size].

    Equal counts go to the lower code point; places left over hold ``NO_CHARACTER``.
    """
    characters, counts = np.unique(points[points != END], return_counts=True)
    chosen = characters[np.argsort(-counts, kind="stable")][:size]
    return np.sort(np.append(chosen, [NO_CHARACTER] * (size - len(chosen)))).astype(np.int32)


def hide_characters(
    key: Array, points: Int[Array, "batch length"], share: float
) -> Int[Array, "batch length"]:
    """Each character turned into one that no vocabulary holds, with the probability ``share``.

    As words are dropped by Iyyer et al. (2015, word dropout), so that no single one is leant on.
    Inside the training step; ends stay where they are.
    """
    hidden = jax.random.bernoulli(key, share, points.shape) & (points != END)
    return jnp.where(hidden, HIDDEN, points)
