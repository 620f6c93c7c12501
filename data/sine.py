"""One period of the sine, computed."""

import numpy as np

from data.splits import Splits


def load_sine(points: int = 1000) -> Splits:
    """``points`` samples (x, sin x) at equal steps on [-pi, pi], as in the course.

    Validation lies halfway between the training points; test is 1,000 points drawn uniformly.
    """
    train = np.linspace(-np.pi, np.pi, points)
    validation = (train[1:] + train[:-1]) / 2
    test = np.random.default_rng(0).uniform(-np.pi, np.pi, 1000)
    return Splits(_examples(train), _examples(validation), _examples(test), source="computed")


def _examples(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"inputs": x.astype(np.float32), "targets": np.sin(x).astype(np.float32)}
