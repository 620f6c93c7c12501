"""Naive Bayes, the most similar row and principal components, worked by hand."""

import numpy as np

from data import Splits, encode, load_reviews
from train.baselines import most_similar, naive_bayes, principal_components


def examples(texts, labels):
    return {"inputs": encode(texts, 6), "targets": np.array(labels)}


def test_naive_bayes_by_hand():
    """Counts of a, b, c plus one: class 0 has 3, 2, 1 of 6, class 1 has 1, 2, 2 of 5.

    "ab": 3/6 * 2/6 = 0.167 against 1/5 * 2/5 = 0.08. "bc": 1/18 = 0.056 against 0.16. "zb": z
    never occurred, so 2/6 = 0.33 against 2/5 = 0.4; the classes are equally frequent.
    """
    train, validation = examples(["aab"], [0]), examples(["bc"], [1])
    test = examples(["ab", "bc", "zb"], [0, 0, 0])
    predicted = naive_bayes(Splits(train, validation, test, "computed"), 2, longest_run=1)
    np.testing.assert_array_equal(predicted, [0, 1, 1])


def test_runs_tell_apart_what_single_characters_cannot():
    train, test = examples(["ab", "ba"] * 4, [0, 1] * 4), examples(["xxab", "xba"], [0, 1])
    splits = Splits(train, train, test, "computed")
    np.testing.assert_array_equal(naive_bayes(splits, 2, longest_run=3), [0, 1])


def test_texts_shorter_than_the_longest_run():
    train = {"inputs": np.array([[97], [98]]), "targets": np.array([0, 1])}
    splits = Splits(train, train, train, "computed")
    np.testing.assert_array_equal(naive_bayes(splits, 2, longest_run=3), [0, 1])


def test_the_grammar_of_reviews_gives_naive_bayes_little_to_count():
    splits = load_reviews()
    for longest_run in (1, 2, 3):
        predicted = naive_bayes(splits, 2, longest_run)
        assert np.mean(predicted == splits.test["targets"]) < 0.65


def test_the_most_similar_row_shares_the_rare_tokens():
    """Token 1 stands in every known row, and weighs nothing; 0 fills."""
    known = np.array([[1, 2, 3, 0], [1, 4, 0, 0], [1, 2, 2, 5]])
    asked = np.array([[4, 1, 1, 1], [3, 1, 2, 0], [1, 5, 2, 0]])
    np.testing.assert_array_equal(most_similar(known, asked, 6), [1, 0, 2])


def test_principal_components_by_hand():
    """Points about (1, 2, 3): 4 apart along (1, 1, 0), 2 apart along the last axis."""
    points = np.array([[3, 4, 3], [-1, 0, 3], [1, 2, 4], [1, 2, 2]], float)
    mean, directions = principal_components(points, 2)
    np.testing.assert_allclose(mean, [1, 2, 3])
    signs = np.sign(directions[[0, 1], [0, 2]])[:, None]
    np.testing.assert_allclose(directions * signs, [[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]], atol=1e-12)


def test_principal_components_are_those_of_the_singular_value_decomposition():
    matrix = np.random.default_rng(0).normal(size=(30, 5)) * [5, 4, 3, 2, 1] + 7
    mean, directions = principal_components(matrix, 3)
    expected = np.linalg.svd(matrix - mean, full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(np.sum(directions * expected, axis=1)), 1, atol=1e-9)
