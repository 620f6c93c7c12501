"""Where examples come from: loaders of NumPy arrays, and the order of their batches."""

from data.adding import draw_additions, load_adding
from data.augment_digits import random_shift
from data.batches import Batches, in_order, read_ahead
from data.boston import BOSTON_FEATURES, FOLDS, load_boston
from data.digit_words import (
    LETTER_TOKENS,
    LONGEST_WORD,
    PADDING,
    WORDS,
    load_digit_words,
    read_word,
    spell,
)
from data.digits import load_digits, standardise_digits
from data.errors import DataError
from data.images import read_digit, read_image
from data.prices import load_prices, price_windows, read_closes
from data.sine import load_sine
from data.splits import Examples, Splits, count
from data.tables import read_table

__all__ = [
    "BOSTON_FEATURES",
    "FOLDS",
    "LETTER_TOKENS",
    "LONGEST_WORD",
    "PADDING",
    "WORDS",
    "Batches",
    "DataError",
    "Examples",
    "Splits",
    "count",
    "draw_additions",
    "in_order",
    "load_adding",
    "load_boston",
    "load_digit_words",
    "load_digits",
    "load_prices",
    "load_sine",
    "price_windows",
    "random_shift",
    "read_ahead",
    "read_closes",
    "read_digit",
    "read_image",
    "read_table",
    "read_word",
    "spell",
    "standardise_digits",
]
