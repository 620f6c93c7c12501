"""Digits as words: every letter there and back."""

import numpy as np

from data import (
    END,
    LETTER_TOKENS,
    LONGEST_WORD,
    PADDING,
    WORDS,
    load_digit_words,
    read_word,
    spell,
)


def test_every_word_is_spelled_and_read_again():
    tokens = spell(np.arange(10))
    assert tokens.shape == (10, LONGEST_WORD) == (10, 6)
    assert [read_word(row) for row in tokens] == list(WORDS)
    assert tokens.min() == PADDING
    assert tokens.max() == LETTER_TOKENS - 1
    assert len(np.unique(tokens, axis=0)) == 10
    for row, word in zip(tokens, WORDS, strict=True):
        assert (row == END).argmax() == len(word)  # the end, right after the letters
        assert (row[len(word) + 1 :] == PADDING).all()


def test_what_is_no_letter_reads_as_a_question_mark():
    assert read_word([PADDING, *spell(np.array([1]))[0]]) == "?one"
    assert read_word([END]) == ""


def test_images_keep_their_digit():
    splits = load_digit_words()
    for part in splits[:3]:
        words = [read_word(tokens) for tokens in part["targets"]]
        assert words == [WORDS[digit] for digit in part["digits"]]
    assert [len(part["inputs"]) for part in splits[:3]] == [4000, 500, 500]
