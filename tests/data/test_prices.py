"""Prices are cut in the order of time, and no later price reaches an earlier example."""

import numpy as np
import pytest

from data import DataError, load_prices, price_windows, read_closes

DAYS = 200


def write(path, prices, start="2020-01-01"):
    days = np.datetime64(start) + np.arange(len(prices))
    lines = [f"{day},{price!r}" for day, price in zip(days, map(float, prices), strict=True)]
    path.write_text("\n".join(["Date,Close", *lines]))
    return path


def random_prices(days=DAYS):
    return 100 * np.exp(np.random.default_rng(0).normal(0, 0.02, days).cumsum())


def test_a_window_holds_the_days_before_its_target_and_no_other():
    examples = price_windows(np.arange(1.0, 8.0), 3)
    np.testing.assert_array_equal(examples["inputs"], [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]])
    np.testing.assert_array_equal(examples["targets"], [[4], [5], [6], [7]])


def test_parts_follow_each_other_in_time_without_a_gap_or_an_overlap(tmp_path):
    prices = random_prices()
    splits = load_prices(str(write(tmp_path / "p.csv", prices)), window=10)
    sizes = [len(part["targets"]) for part in splits[:3]]
    assert sizes == [134, 28, 28]
    targets = np.concatenate([part["targets"][:, 0] for part in splits[:3]])
    np.testing.assert_allclose(targets, prices[10:], rtol=1e-6)


@pytest.mark.parametrize("changed_from", [50, 144, 172, DAYS - 1])
def test_a_later_price_changes_no_earlier_window_and_no_earlier_target(tmp_path, changed_from):
    """Every number of an example whose target is before the change stays the same."""
    prices = random_prices()
    other = prices.copy()
    other[changed_from:] *= 1000
    before, after = (
        load_prices(str(write(tmp_path / name, series)), window=10)
        for name, series in (("a.csv", prices), ("b.csv", other))
    )
    unchanged = changed_from - 10
    for name in ("inputs", "targets"):
        one, two = (np.concatenate([part[name] for part in s[:3]]) for s in (before, after))
        np.testing.assert_array_equal(one[:unchanged], two[:unchanged])
        # the very last price is a target only
        assert (one[unchanged:] != two[unchanged:]).any() or (name, changed_from) == (
            "inputs", DAYS - 1,
        )  # fmt: skip


def test_the_embedded_prices_are_netflix():
    splits = load_prices()
    assert [len(part["targets"]) for part in splits[:3]] == [1869, 400, 400]
    assert splits.train["inputs"][0, 0] == np.float32(13.144286)  # 2013-01-02
    assert splits.test["targets"][-1, 0] == np.float32(384.15)  # 2023-09-21


def lines(days=150):
    first = np.datetime64("2020-01-01")
    return ["date,close"] + [f"{first + day},{100 + day}" for day in range(days)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:60], "59 rows are too few; give 130 or more"),
        (lambda rows: rows[:50] + rows[58:],
         r"line 51: no price from 2020-02-18 to 2020-02-27; .*--longest-gap 9"),
        (lambda rows: [rows[0], *rows[:0:-1]], r"2020-05-28 does not come after 2020-05-29; sort"),
        (lambda rows: [*rows[:50], rows[49], *rows[50:]], "line 51: .* does not come after"),
        (lambda rows: [*rows[:50], "2020-02-19,", *rows[51:]], "line 51, column close: empty cell"),
        (lambda rows: [*rows[:50], "2020-02-19,nan", *rows[51:]], "'nan' is not a finite number"),
        (lambda rows: [*rows[:50], "2020-02-19,-3", *rows[51:]],
         "line 51, column close: -3; a price is above 0"),
        (lambda rows: [*rows[:50], "19.02.2020,3", *rows[51:]],
         "line 51, column date: '19.02.2020' is not a date; write it as 2023-09-21"),
        (lambda rows: [*rows[:50], ",3", *rows[51:]], "line 51, column date: empty cell"),
        (lambda rows: ["day,close", *rows[1:]], "no column date; the header needs date,close"),
        (lambda rows: rows[:1], "a header and no rows"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_described_in_one_line(tmp_path, change, message):
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(change(lines())))
    with pytest.raises(DataError, match=message) as caught:
        load_prices(str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_longer_gap_may_be_allowed(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(lines()[:50] + lines()[58:]))
    assert len(read_closes(path, 100, longest_gap=9)) == 142
