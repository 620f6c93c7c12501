"""The plain methods that a network's figure stands beside."""

from collections.abc import Callable

import numpy as np

from data import Splits, count

BEYOND_UNICODE = 2**21
"""Above every code point: three characters make one number of 63 bits."""


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


def principal_components(matrix: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] of the rows [N, D], and the directions [components, D] in which they vary most.

    Orthonormal, largest variance first: eigenvectors of the covariance (Hotelling 1933), which are
    the right singular vectors of the centred rows. At most D of them.
    """
    mean = matrix.mean(axis=0)
    centred = matrix - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # smallest first
    return mean, vectors[:, ::-1][:, :components].T


def most_similar(known: np.ndarray, asked: np.ndarray, vocabulary: int) -> np.ndarray:
    """For each asked row of tokens [N, S] the known row [M, S] that shares the most with it.

    Rows are alike by the cosine of their token counts, each weighed by the token's rarity among the
    known rows, log(M / rows that hold it) (Salton and Buckley 1988). Token 0 does not count: it
    fills rows.

    Returns:
        Indices [N] of known rows.
    """
    holds = sum(_counts(some, vocabulary).astype(bool).sum(axis=0) for some in _blocks(known))
    rarity = np.log(len(known) / np.maximum(holds, 1))

    def directions(rows: np.ndarray) -> np.ndarray:
        weighed = _counts(rows, vocabulary) * rarity
        norms = np.linalg.norm(weighed, axis=1, keepdims=True)
        return (weighed / np.maximum(norms, 1e-9)).astype(np.float32)

    questions = directions(asked)
    likeness = [questions @ directions(some).T for some in _blocks(known)]
    return np.concatenate(likeness, axis=1).argmax(axis=1)


def _blocks(rows: np.ndarray, size: int = 4096) -> list[np.ndarray]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def _counts(rows: np.ndarray, vocabulary: int) -> np.ndarray:
    """How often each row [N, S] holds each token but 0, [N, vocabulary]."""
    counts = np.zeros((len(rows), vocabulary), np.float32)
    np.add.at(counts, (np.arange(len(rows))[:, None], rows), rows > 0)
    return counts


def naive_bayes(splits: Splits, classes: int, longest_run: int) -> np.ndarray:
    """Classes [N] of the test texts by multinomial naive Bayes over runs of characters.

    With a count of one added to each (Manning, Raghavan and Schuetze 2008, section 13.2), and runs
    that no fitted text has left out. Like ``least_squares`` it chooses nothing and is fitted on
    train and validation.

    Args:
        splits: ``inputs`` are code points [N, length], 0 after a text; ``targets`` are classes.
        classes: their number.
        longest_run: runs of 1 to so many characters are counted, 3 at most.
    """
    fitted = [splits.train, splits.validation]
    texts, runs = _runs(np.concatenate([part["inputs"] for part in fitted]), longest_run)
    labels = np.concatenate([part["targets"] for part in fitted])
    known, places = np.unique(runs, return_inverse=True)
    counts = np.zeros((len(known), classes))
    np.add.at(counts, (places, labels[texts]), 1)
    log_probability = np.log(counts + 1) - np.log(counts.sum(0) + len(known))

    texts, runs = _runs(splits.test["inputs"], longest_run)
    places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    seen = known[places] == runs
    scores = np.tile(np.log(np.bincount(labels, minlength=classes)), (count(splits.test), 1))
    np.add.at(scores, texts[seen], log_probability[places[seen]])
    return scores.argmax(-1)


def _runs(points: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """For each run of characters its text, and an int64 that no other run has."""
    texts, runs = [], []
    for length in range(1, min(longest, points.shape[1]) + 1):
        windows = np.lib.stride_tricks.sliding_window_view(points.astype(np.int64), length, axis=1)
        real = windows[:, :, -1] > 0
        texts.append(np.nonzero(real)[0])
        runs.append((windows @ (BEYOND_UNICODE ** np.arange(length)))[real])
    return np.concatenate(texts), np.concatenate(runs)


def _with_intercept(matrix: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix, np.ones((len(matrix), 1))], axis=1, dtype=np.float64)
