import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from flax_models.error_rates import character_error_rate, edit_distance, word_error_rate


def distance_by_recursion(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        distance_by_recursion(a[1:], b) + 1,
        distance_by_recursion(a, b[1:]) + 1,
        distance_by_recursion(a[1:], b[1:]) + (a[0] != b[0]),
    )


def test_known_distances():
    def letters(*words):
        return jnp.array([[ord(c) for c in word.ljust(8)] for word in words])

    distance = edit_distance(
        letters("kitten", "saturday", "flaw", "same", ""),
        letters("sitting", "sunday", "lawn", "same", "abc"),
        jnp.array([6, 8, 4, 4, 0]),
        jnp.array([7, 6, 4, 4, 3]),
    )
    np.testing.assert_array_equal(distance, [3, 3, 2, 0, 3])


def test_all_short_pairs():
    words = [word for n in range(4) for word in itertools.product((1, 2), repeat=n)]
    pairs = list(itertools.product(words, words))
    padded = np.zeros((2, len(pairs), 4), np.int32)
    for i, pair in enumerate(pairs):
        for side, word in enumerate(pair):
            padded[side, i, : len(word)] = word
    lengths = np.array([[len(a), len(b)] for a, b in pairs]).T
    distances = edit_distance(padded[0], padded[1], lengths[0], lengths[1])
    np.testing.assert_array_equal(distances, [distance_by_recursion(a, b) for a, b in pairs])


def test_error_rates():
    # One replacement in "abcd", one deletion in "ab": 2 edits of 6 characters.
    assert character_error_rate(["abcd", "ab"], ["abxd", "a"]) == pytest.approx(2 / 6)
    assert character_error_rate(["a"], ["bcd"]) == 3.0
    # "the" is missing, "mat" became "hat": 2 edits of 6 words.
    assert word_error_rate(["the cat sat on the mat"], ["cat sat on the hat"]) == pytest.approx(
        2 / 6
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: character_error_rate(["a"], []), "predictions: expected 1 texts, got 0"),
        (lambda: word_error_rate([" "], ["a"]), "references: expected some text, got none"),
        (lambda: edit_distance(np.zeros(3, int), np.zeros((1, 3), int)), r"references: .*\(3,\)"),
        (
            lambda: edit_distance(np.zeros((2, 3), int), np.zeros((1, 3), int)),
            r"predictions: expected \[2, symbols\], got \(1, 3\)",
        ),
        (
            lambda: edit_distance(np.zeros((1, 3), int), np.zeros((1, 3), int), np.array([4])),
            "reference_lengths: expected lengths from 0 to 3.*got 4",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
