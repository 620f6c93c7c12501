"""Computed dates: no part knows another's dates, and no text means two dates."""

import datetime
import re

import numpy as np
import pytest

from data import computed_dates
from data.dates import FIRST, LAST, MONTHS, ORDINALS, WEEKDAYS, written


@pytest.fixture(scope="module")
def texts():
    return computed_dates()


def test_the_parts_share_no_date_and_hold_them_all(texts):
    parts = [{target for _, target in pairs} for pairs in texts[:3]]
    assert sum(map(len, parts)) == len(set.union(*parts)) == (LAST - FIRST).days + 1
    assert [len(part) for part in parts[1:]] == [3652, 3652]
    assert all(datetime.date.fromisoformat(target) for part in parts for target in part)
    assert texts == computed_dates()


def read(text):
    """The date of a text, by rules of its own: which number can be which part."""
    text = text.lower()
    names = [name.lower()[:3] for name in MONTHS]
    if match := re.fullmatch(r"(\d{4})(?:/(\d+)/(\d+)|(\d\d)(\d\d))", text):
        return datetime.date(*(int(group) for group in match.groups() if group))
    if match := re.fullmatch(r"(\d+)\.(\d+)\.(.+)", text):
        day, month, year = match.groups()
        month = int(month)
    else:
        text = re.sub(
            rf"^({'|'.join(f'{w}|{w[:3]}' for w in map(str.lower, WEEKDAYS))}),? ", "", text
        )
        year = re.search(r"[- ]('?\d\d(?:\d\d)?)$", text)[1]
        rest = text.removesuffix(year)
        month = next(
            names.index(word[:3]) + 1 for word in re.findall("[a-z]+", rest) if word[:3] in names
        )
        digits = re.search(r"\d+", rest)
        spelled = [
            n
            for n, word in enumerate(ORDINALS, 1)
            if re.search(rf"(?<![a-z-]){word}(?![a-z-])", rest)
        ]
        day = digits[0] if digits else spelled[0]
    year = int(year.strip("'"))
    year += 0 if year > 99 else 1900 if year >= 50 else 2000
    return datetime.date(year, month, int(day))


def test_every_way_of_writing_can_be_read_back(texts):
    random = np.random.default_rng(0)
    drawn = [*texts.test]
    for month in range(1, 13):  # days and months at their ends, in every way
        for day in (1, 2, 3, 11, 12, 13, 21, 22, 23, 30):
            date = datetime.date(1950 + 8 * month, month, min(day, 28))
            drawn += [(written(date, random), date.isoformat()) for _ in range(30)]
    for text, target in drawn:
        assert read(text).isoformat() == target, text


def test_no_text_means_two_dates(texts):
    pairs = {pair for part in texts[:3] for pair in part}
    assert len({text for text, _ in pairs}) == len(pairs)
