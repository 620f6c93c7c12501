"""The plain method that a network's figure stands beside."""

from collections.abc import Callable

import numpy as np

from data import Splits


def least_squares(
    splits: Splits,
    features: Callable[[np.ndarray], np.ndarray] = np.asarray,
    targets: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> np.ndarray:
    """Linear regression with an intercept, predicted for the test examples.

    It chooses nothing, so it may use the validation examples too: the baseline is not handicapped.

    Args:
        splits: fitted on train and validation.
        features: from ``inputs`` to a matrix [N, D].
        targets: from ``targets`` to a matrix [N, K].

    Returns:
        Predictions [N, K] for the test part.
    """
    fitted = [splits.train, splits.validation]
    x = np.concatenate([_with_intercept(features(part["inputs"])) for part in fitted])
    y = np.concatenate([targets(part["targets"]) for part in fitted])
    solution = np.linalg.lstsq(x, y.astype(np.float64), rcond=None)[0]
    return _with_intercept(features(splits.test["inputs"])) @ solution


def linear_classes(splits: Splits, classes: int) -> np.ndarray:
    """Classes [N] of the test images by a linear classifier: least squares on their pixels."""
    scores = least_squares(
        splits, lambda x: x.reshape(len(x), -1) / 255.0, lambda y: np.eye(classes)[y]
    )
    return scores.argmax(-1)


def _with_intercept(matrix: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix, np.ones((len(matrix), 1))], axis=1, dtype=np.float64)
