"""Where examples come from: loaders of NumPy arrays, and the order of their batches."""

from data.batches import Batches, in_order, read_ahead
from data.boston import load_boston
from data.digits import load_digits
from data.errors import DataError
from data.sine import load_sine
from data.splits import Examples, Splits, count

__all__ = [
    "Batches",
    "DataError",
    "Examples",
    "Splits",
    "count",
    "in_order",
    "load_boston",
    "load_digits",
    "load_sine",
    "read_ahead",
]
