"""Edit distance (Levenshtein 1966) over batches, and the error rates of recognised text."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from flax_models.lengths import full_lengths


@jax.jit
def _edit_distance(
    references: Array, reference_lengths: Array, predictions: Array, prediction_lengths: Array
) -> Array:
    columns = jnp.arange(predictions.shape[1] + 1)

    def next_row(row: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        index, symbol = inputs
        replaced = row[:, :-1] + (predictions != symbol[:, None])
        reached = jnp.minimum(row + 1, jnp.pad(replaced, ((0, 0), (1, 0)), constant_values=1 << 30))
        # An insertion costs 1 a column, so the best of all insertions is a running minimum.
        reached = lax.cummin(reached - columns, axis=1) + columns
        return jnp.where((index < reference_lengths)[:, None], reached, row), None

    first = jnp.broadcast_to(columns, (references.shape[0], columns.size))
    rows = (jnp.arange(references.shape[1]), references.T)
    last, _ = lax.scan(next_row, first, rows)
    return jnp.take_along_axis(last, prediction_lengths[:, None], axis=1)[:, 0]


def edit_distance(
    references: Int[Array, "batch reference"],
    predictions: Int[Array, "batch prediction"],
    reference_lengths: Int[Array, "batch"] | None = None,
    prediction_lengths: Int[Array, "batch"] | None = None,
) -> Int[Array, "batch"]:
    """Return how many insertions, deletions and replacements turn a reference into its prediction.

    references [B, N], predictions [B, M], lengths [B] (default full) -> [B]; may be jitted.

    Raises:
        ValueError: arrays that are not [batch, symbols] of one batch, or lengths that do not fit.
    """
    shape, other = jnp.shape(references), jnp.shape(predictions)
    if len(shape) != 2:
        raise ValueError(f"references: expected [batch, symbols], got {shape}")
    if len(other) != 2 or other[0] != shape[0]:
        raise ValueError(f"predictions: expected [{shape[0]}, symbols], got {other}")
    return _edit_distance(
        jnp.asarray(references),
        full_lengths("reference_lengths", reference_lengths, *shape),
        jnp.asarray(predictions),
        full_lengths("prediction_lengths", prediction_lengths, *other),
    )


def _padded(sequences: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    # Widths are powers of two: texts of many lengths then share a few compilations.
    width = 1 << int(max(lengths.max(initial=1), 1) - 1).bit_length()
    padded = np.zeros((len(sequences), width), np.int32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return jnp.asarray(padded), jnp.asarray(lengths)


def _error_rate(references: Sequence[Sequence], predictions: Sequence[Sequence]) -> float:
    if len(references) != len(predictions):
        raise ValueError(f"predictions: expected {len(references)} texts, got {len(predictions)}")
    symbols = sum(len(reference) for reference in references)
    if symbols == 0:
        raise ValueError("references: expected some text, got none")
    numbers: dict[object, int] = {}
    as_numbers = [
        [[numbers.setdefault(symbol, len(numbers)) for symbol in text] for text in texts]
        for texts in (references, predictions)
    ]
    (reference, reference_lengths), (prediction, prediction_lengths) = map(_padded, as_numbers)
    edits = edit_distance(reference, prediction, reference_lengths, prediction_lengths)
    return float(edits.sum()) / symbols


def character_error_rate(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return edits divided by reference characters, over all texts together; can exceed 1.

    Raises:
        ValueError: different numbers of texts, or references without a character.
    """
    return _error_rate(references, predictions)


def word_error_rate(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return edits divided by reference words (split at white space), over all texts together.

    Raises:
        ValueError: different numbers of texts, or references without a word.
    """
    return _error_rate(
        [text.split() for text in references], [text.split() for text in predictions]
    )
