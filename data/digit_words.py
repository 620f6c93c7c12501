"""Digits and their spelled words: letters as tokens, and back."""

from collections.abc import Sequence

import numpy as np

from data.digits import load_digits
from data.splits import Splits
from data.subwords import END, PADDING

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = "".join(sorted(set("".join(WORDS))))
FIRST_LETTER = END + 1
"""Token of the first of ``LETTERS``; an unknown letter needs none."""

LETTER_TOKENS = FIRST_LETTER + len(LETTERS)
"""Size of the vocabulary."""

LONGEST_WORD = max(map(len, WORDS)) + 1
"""Tokens of the longest word with its end."""


def load_digit_words(
    source: str = "embedded", data_dir: str | None = None, download: bool = False
) -> Splits:
    """The digits of ``load_digits`` with targets int32 [N, LONGEST_WORD]: their words, spelled.

    The classes stay beside them, as ``digits`` [N].
    """
    *parts, source = load_digits(source, data_dir, download)
    train, validation, test = (
        {"inputs": part["inputs"], "targets": spell(part["targets"]), "digits": part["targets"]}
        for part in parts
    )
    return Splits(train, validation, test, source)


def spell(digits: np.ndarray) -> np.ndarray:
    """The word of each digit [N] as tokens: its letters, ``END``, and ``PADDING``.

    Returns:
        int32 [N, LONGEST_WORD].
    """
    table = np.full((len(WORDS), LONGEST_WORD), PADDING, np.int32)
    for row, word in zip(table, WORDS, strict=True):
        row[: len(word) + 1] = [*(FIRST_LETTER + LETTERS.index(letter) for letter in word), END]
    return table[digits]


def read_word(tokens: Sequence[int] | np.ndarray) -> str:
    """The text before the first ``END``; a token that is no letter reads as ``?``."""
    text = ""
    for token in map(int, tokens):
        if token == END:
            break
        text += LETTERS[token - FIRST_LETTER] if token >= FIRST_LETTER else "?"
    return text
