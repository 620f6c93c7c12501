import numpy as np

from train.baselines import most_similar


def test_the_most_similar_row_shares_the_rare_tokens():
    """Token 1 stands in every known row, and weighs nothing; 0 fills."""
    known = np.array([[1, 2, 3, 0], [1, 4, 0, 0], [1, 2, 2, 5]])
    asked = np.array([[4, 1, 1, 1], [3, 1, 2, 0], [1, 5, 2, 0]])
    np.testing.assert_array_equal(most_similar(known, asked, 6), [1, 0, 2])
