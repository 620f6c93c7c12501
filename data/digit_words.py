"""Digits as spelled words: letters as tokens, and back."""

from collections.abc import Sequence

import numpy as np

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = sorted(set("".join(WORDS)))
PAD, START, END = 0, 1, 2
VOCABULARY = 3 + len(LETTERS)
LONGEST = max(map(len, WORDS)) + 1
"""Tokens of the longest word with its end."""

_TOKENS = {letter: token for token, letter in enumerate(LETTERS, start=3)}


def spell(labels: Sequence[int] | np.ndarray, width: int = LONGEST) -> np.ndarray:
    """The word of each digit as tokens: its letters, END, and PAD up to ``width``.

    Returns:
        int32 [N, width].
    """
    table = np.full((len(WORDS), width), PAD, np.int32)
    for row, word in zip(table, WORDS, strict=True):
        row[: len(word) + 1] = [*map(_TOKENS.__getitem__, word), END]
    return table[np.asarray(labels)]


def read_word(tokens: Sequence[int] | np.ndarray) -> str:
    """The text before the first END; a token that is no letter reads as ``?``."""
    letters = {token: letter for letter, token in _TOKENS.items()}
    text = ""
    for token in map(int, tokens):
        if token == END:
            break
        text += letters.get(token, "?")
    return text
