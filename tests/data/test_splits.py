"""Splits are fixed, apart from each other, and what their documentation says."""

import numpy as np
import pytest

from data import FOLDS, DataError, load_boston, load_digits, load_sine


def rows_as_bytes(examples):
    return {row.tobytes() for row in np.asarray(examples["inputs"])}


def test_embedded_digits_are_balanced_and_apart():
    splits = load_digits()
    sizes = {"train": 4000, "validation": 500, "test": 500}
    for name, size in sizes.items():
        examples = getattr(splits, name)
        assert examples["inputs"].shape == (size, 28, 28, 1)
        assert examples["inputs"].dtype == np.uint8
        assert np.bincount(examples["targets"]).tolist() == [size // 10] * 10
    train, validation, test = map(rows_as_bytes, splits[:3])
    assert not train & test
    assert not train & validation
    assert not validation & test


def test_boston_folds_cover_every_row_once():
    tests = [load_boston(fold=fold).test["inputs"] for fold in range(FOLDS)]
    assert sum(map(len, tests)) == 506
    assert len({row.tobytes() for part in tests for row in part}) == 506


@pytest.mark.parametrize("fold", range(FOLDS))
def test_boston_test_rows_reach_neither_train_nor_validation(fold):
    splits = load_boston(fold=fold)
    sizes = [len(part["inputs"]) for part in splits[:3]]
    assert sum(sizes) == 506
    assert sizes[1] == 40
    assert not rows_as_bytes(splits.test) & (
        rows_as_bytes(splits.train) | rows_as_bytes(splits.validation)
    )


def test_boston_is_the_published_table():
    splits = load_boston()
    prices = np.concatenate([part["targets"] for part in splits[:3]])
    assert prices.mean() == pytest.approx(22.5328, abs=1e-4)  # Harrison and Rubinfeld's mean
    assert prices.min() == 5
    assert prices.max() == 50


def test_boston_refuses_a_fold_that_does_not_exist():
    with pytest.raises(DataError, match="fold 5 does not exist; use 0 to 4"):
        load_boston(fold=5)


def test_the_sine_has_the_courses_thousand_points():
    splits = load_sine()
    x, y = splits.train["inputs"], splits.train["targets"]
    assert len(x) == 1000
    assert x[0] == pytest.approx(-np.pi)
    assert x[-1] == pytest.approx(np.pi)
    np.testing.assert_allclose(y, np.sin(x), atol=1e-6)
