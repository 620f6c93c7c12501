"""The adding problem: two marks a sequence, and their numbers' sum."""

import jax
import numpy as np
import pytest

from data import DataError, draw_additions, load_adding


@pytest.mark.parametrize("length", [2, 3, 20])
def test_a_sum_is_that_of_the_two_marked_numbers(length):
    inputs, sums = map(np.asarray, draw_additions(jax.random.key(0), 2000, length))
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert np.isin(marks, (0, 1)).all()
    assert (marks.sum(axis=1) == 2).all()
    expected = numbers[marks == 1].reshape(-1, 2).sum(axis=1)
    np.testing.assert_allclose(sums[:, 0], expected, rtol=1e-6)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # every step is marked as often as any other, up to five deviations
    share = 2 / length
    assert np.abs(marks.mean(axis=0) - share).max() <= 5 * (share * (1 - share) / 2000) ** 0.5


def test_answering_one_has_an_error_of_a_sixth():
    test = load_adding(10, 32).test
    # the square of a sum of two uniforms about 1 has deviation 0.2 or so: 10,000 give 0.002
    assert np.mean((test["targets"] - 1) ** 2) == pytest.approx(1 / 6, abs=0.006)


def test_parts_are_the_same_in_every_run_and_share_no_sequence():
    one, two = load_adding(10, 64), load_adding(10, 64)
    assert [len(part["targets"]) for part in one[:3]] == [64, 1000, 10_000]
    np.testing.assert_array_equal(one.test["inputs"], two.test["inputs"])
    rows = np.concatenate([one.validation["inputs"], one.test["inputs"]]).reshape(11_000, -1)
    assert len(np.unique(rows, axis=0)) == 11_000
    assert not one.train["inputs"].any()


def test_one_step_has_no_room_for_two_marks():
    with pytest.raises(DataError, match="length 1: two marks need 2 steps or more"):
        load_adding(1, 32)
