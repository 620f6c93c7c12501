"""Metrics of written tokens, worked by hand."""

import numpy as np
import pytest

from train.sequences import by_token, cross_entropy, exact, right_tokens, tokens


def test_metrics_count_tokens_worked_by_hand():
    """Uniform logits over four tokens: a loss of log 4 for each of 2 + 1 tokens."""
    batch = {"targets": np.array([[1, 2, 0], [2, 0, 0]])}
    uniform = np.zeros((2, 3, 4), np.float32)
    np.testing.assert_allclose(
        cross_entropy(uniform, batch), np.log(4) * np.array([2, 1]), rtol=1e-6
    )
    np.testing.assert_array_equal(tokens(uniform, batch), [2, 1])
    said = np.eye(4)[[[1, 2, 3], [1, 0, 0]]]  # right but for padding; and wrong
    np.testing.assert_array_equal(right_tokens(said, batch), [2, 0])
    np.testing.assert_array_equal(exact(said, batch), [1, 0])
    means = {"loss": 1.5 * np.log(4), "token_accuracy": 1.0, "exact_match": 0.5, "tokens": 1.5}
    assert by_token(means) == pytest.approx(
        {"loss": np.log(4), "token_accuracy": 2 / 3, "exact_match": 0.5}
    )
