"""What a loader returns: three dicts of NumPy arrays, one row an example."""

from typing import NamedTuple

import numpy as np

Examples = dict[str, np.ndarray]
"""Arrays of equal length under names; ``inputs`` and ``targets`` unless a practice needs more."""


class Splits(NamedTuple):
    """Fixed train, validation and test examples, and where they came from.

    Validation is always cut from the training part, never from test.
    """

    train: Examples
    validation: Examples
    test: Examples
    source: str
    """For the run's summary, as ``embedded`` or ``tfds:mnist/3.0.1``."""


def count(examples: Examples) -> int:
    """Number of rows that the arrays share."""
    return len(next(iter(examples.values())))


def rows(examples: Examples, index: slice | np.ndarray) -> Examples:
    """The same arrays at the rows of ``index``; a slice of a memory map stays a view."""
    return {name: array[index] for name, array in examples.items()}
