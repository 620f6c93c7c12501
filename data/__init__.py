"""Where examples come from: loaders of NumPy arrays, and the order of their batches."""

from data.adding import draw_additions, load_adding
from data.augment import random_distortion, random_shift
from data.batches import Batches, in_order, read_ahead
from data.boston import BOSTON_FEATURES, FOLDS, load_boston
from data.captchas import decode_text, fit_image, load_captchas
from data.digits import load_digits, standardise_digits
from data.errors import DataError
from data.images import read_digit, read_image
from data.prices import load_prices, price_windows, read_closes
from data.reviews import LABELS, load_reviews
from data.sine import load_sine
from data.splits import Examples, Splits, count
from data.tables import read_table
from data.vocabulary import NO_CHARACTER, clean, decode, encode, most_frequent_characters

__all__ = [
    "BOSTON_FEATURES",
    "FOLDS",
    "LABELS",
    "NO_CHARACTER",
    "Batches",
    "DataError",
    "Examples",
    "Splits",
    "clean",
    "count",
    "decode",
    "decode_text",
    "draw_additions",
    "encode",
    "fit_image",
    "in_order",
    "load_adding",
    "load_boston",
    "load_captchas",
    "load_digits",
    "load_prices",
    "load_reviews",
    "load_sine",
    "most_frequent_characters",
    "price_windows",
    "random_distortion",
    "random_shift",
    "read_ahead",
    "read_closes",
    "read_digit",
    "read_image",
    "read_table",
    "standardise_digits",
]
