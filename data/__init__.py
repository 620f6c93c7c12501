"""Where examples come from: loaders of NumPy arrays, and the order of their batches."""

from data.adding import draw_additions, load_adding
from data.augment import (
    cut_mix,
    mix_up,
    random_crop,
    random_cutout,
    random_distortion,
    random_flip,
    random_light,
    random_shift,
)
from data.batches import Batches, in_order, read_ahead
from data.boston import BOSTON_FEATURES, FOLDS, load_boston
from data.captchas import decode_text, fit_image, load_captchas
from data.dates import computed_dates
from data.digit_words import (
    FIRST_LETTER,
    LETTER_TOKENS,
    LETTERS,
    LONGEST_WORD,
    WORDS,
    load_digit_words,
    read_word,
    spell,
)
from data.digits import load_digits, standardise_digits
from data.errors import DataError
from data.images import DIGIT_IMAGE, read_digit, read_image
from data.objects import class_names, load_objects, of_classes, read_object, standardise_colours
from data.parallel_text import Texts, padded, parallel_splits, read_parallel
from data.pictures import Picture, Pictures, even_light, load_pictures, read_picture
from data.prices import load_prices, price_windows, read_closes
from data.reviews import LABELS, load_reviews
from data.sine import load_sine
from data.splits import Examples, Splits, count, rows
from data.subwords import END, PADDING, Subwords
from data.tables import read_table
from data.tiles import cut_tiles, join_tiles, tile_corners
from data.vocabulary import (
    NO_CHARACTER,
    clean,
    decode,
    encode,
    hide_characters,
    most_frequent_characters,
)

__all__ = [
    "BOSTON_FEATURES",
    "DIGIT_IMAGE",
    "END",
    "FIRST_LETTER",
    "FOLDS",
    "LABELS",
    "LETTERS",
    "LETTER_TOKENS",
    "LONGEST_WORD",
    "NO_CHARACTER",
    "PADDING",
    "WORDS",
    "Batches",
    "DataError",
    "Examples",
    "Picture",
    "Pictures",
    "Splits",
    "Subwords",
    "Texts",
    "class_names",
    "clean",
    "computed_dates",
    "count",
    "cut_mix",
    "cut_tiles",
    "decode",
    "decode_text",
    "draw_additions",
    "encode",
    "even_light",
    "fit_image",
    "hide_characters",
    "in_order",
    "join_tiles",
    "load_adding",
    "load_boston",
    "load_captchas",
    "load_digit_words",
    "load_digits",
    "load_objects",
    "load_pictures",
    "load_prices",
    "load_reviews",
    "load_sine",
    "mix_up",
    "most_frequent_characters",
    "of_classes",
    "padded",
    "parallel_splits",
    "price_windows",
    "random_crop",
    "random_cutout",
    "random_distortion",
    "random_flip",
    "random_light",
    "random_shift",
    "read_ahead",
    "read_closes",
    "read_digit",
    "read_image",
    "read_object",
    "read_parallel",
    "read_picture",
    "read_table",
    "read_word",
    "rows",
    "spell",
    "standardise_colours",
    "standardise_digits",
    "tile_corners",
]
