"""Dates as people write them in English, and as ISO 8601 has them: computed.

The days are those from 1950-01-01 to 2049-12-31, so that a year of two digits names one of them.
Every way of writing is unambiguous:

- the month as a word or its first three letters, the day before or after it, as "3 March 1999",
  "the 3rd of March, 1999", "Mar 3, 1999", "third of March 1999", "March the 3rd, '99";
- with the day of the week before it, as "Wednesday, 3 March 1999", "Wed 3 Mar 1999";
- day, month and year with dots, in that order, as "3.3.99" and "03.03.1999": nobody writes the
  month first with dots;
- the year first, as "1999/3/3" and "19990303".

Slashes with the year last are left out: 3/4/1999 is in March or in April.
"""

import datetime

import numpy as np

from data.parallel_text import Pairs, Texts

FIRST, LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
TEXTS_A_TRAINING_DATE = 1
VALIDATION_SHARE = TEST_SHARE = 0.1

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ONES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_TEENS = (
    "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
    "seventeenth", "eighteenth", "nineteenth",
)  # fmt: skip
ORDINALS = (
    *_ONES, *_TEENS, "twentieth", *(f"twenty-{one}" for one in _ONES), "thirtieth", "thirty-first",
)  # fmt: skip

FORMATS = (
    "{day} {month} {year}",
    "{day} {month}, {year}",
    "{nth} {month} {year}",
    "{nth} of {month}, {year}",
    "the {nth} of {month} {year}",
    "{ordinal} of {month} {year}",
    "the {ordinal} of {month}, {year}",
    "{month} {day} {year}",
    "{month} {day}, {year}",
    "{month} {nth}, {year}",
    "{month} the {nth}, {year}",
    "{weekday}, {day} {month} {year}",
    "{weekday} {day} {month} {year}",
    "{weekday}, {month} {day}, {year}",
    "{weekday}, the {nth} of {month} {year}",
    "{day}-{month}-{year}",
    "{day}.{number}.{year}",
    "{full_year}/{number}/{day}",
    "{full_year}{number:0>2}{day:0>2}",
)


def computed_dates() -> Texts:
    """Each date in three ways of writing for training, in one for validation and test.

    The parts share no date. What is drawn is the same every time.
    """
    random = np.random.default_rng(1999)
    days = (LAST - FIRST).days + 1
    order = random.permutation(days).tolist()
    validation, test = round(VALIDATION_SHARE * days), round(TEST_SHARE * days)
    return Texts(
        train=_pairs(order[validation + test :] * TEXTS_A_TRAINING_DATE, random),
        validation=_pairs(order[:validation], random),
        test=_pairs(order[validation : validation + test], random),
        source="computed",
    )


def _pairs(days: list[int], random: np.random.Generator) -> Pairs:
    dates = (FIRST + datetime.timedelta(day) for day in days)
    return [(written(date, random), date.isoformat()) for date in dates]


def written(date: datetime.date, random: np.random.Generator) -> str:
    """A date in one of the ways of writing, drawn at random."""
    month, weekday = MONTHS[date.month - 1], WEEKDAYS[date.weekday()]
    short_year = [f"{date:%y}", f"'{date:%y}"][random.integers(2)]
    text = FORMATS[random.integers(len(FORMATS))].format(
        day=[f"{date.day}", f"{date.day:02}"][random.integers(2)],
        nth=f"{date.day}{_ending(date.day)}",
        ordinal=ORDINALS[date.day - 1],
        month=[month, month[:3]][random.integers(2)],
        number=[f"{date.month}", f"{date.month:02}"][random.integers(2)],
        weekday=[weekday, weekday[:3]][random.integers(2)],
        year=short_year if random.random() < 0.25 else date.year,
        full_year=date.year,
    )
    return [text, text.lower(), text.upper()][random.choice(3, p=[0.8, 0.15, 0.05])]


def _ending(day: int) -> str:
    """As in 1st, 2nd, 3rd, 4th, 11th."""
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
