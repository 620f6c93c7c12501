"""Reading a CSV file of numbers, with errors that say which cell is wrong."""

import csv
import datetime
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.errors import DataError


def read_table(path: str | Path, columns: Sequence[str]) -> np.ndarray:
    """The named columns of a CSV file with a header line, as float64 [rows, columns].

    Raises:
        DataError: no such file, a missing column, an empty or non-numeric cell, a NaN, no rows.
    """
    return np.array(
        [[_number(row, name, where) for name in columns] for where, row in _rows(path, columns)]
    )


def read_dated_column(path: str | Path, column: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The columns ``date`` and ``column`` of a CSV file with a header line.

    Returns:
        Days, datetime64[D] [rows]; numbers, float64 [rows]; and where each row stands, for errors.

    Raises:
        DataError: as ``read_table``, and a date that is not written as 2023-09-21.
    """
    days, numbers, places = [], [], []
    for where, row in _rows(path, ("date", column)):
        text = _cell(row, "date", where)
        try:
            days.append(np.datetime64(datetime.date.fromisoformat(text[:10]), "D"))
        except ValueError:
            raise DataError(
                f"{where}, column date: {text!r} is not a date; write it as 2023-09-21"
            ) from None
        numbers.append(_number(row, column, where))
        places.append(where)
    return np.array(days), np.array(numbers), places


def _rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Each row by column name, after the place it has in the file."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such CSV file")
    rows = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [name.strip().lower() for name in reader.fieldnames or ()]
            if missing := [name for name in columns if name not in header]:
                raise DataError(
                    f"{path}: no column {', '.join(missing)}; the header needs {','.join(columns)}"
                )
            reader.fieldnames = header
            for row in reader:
                rows += 1
                yield f"{path}, line {reader.line_num}", row
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    if not rows:
        raise DataError(f"{path}: a header and no rows")


def _cell(row: dict[str, str | None], column: str, where: str) -> str:
    cell = (row[column] or "").strip()
    if not cell:
        raise DataError(f"{where}, column {column}: empty cell; fill it in or remove the line")
    return cell


def _number(row: dict[str, str | None], column: str, where: str) -> float:
    cell = _cell(row, column, where)
    where = f"{where}, column {column}"
    try:
        value = float(cell)
    except ValueError:
        raise DataError(f"{where}: {cell!r} is not a number") from None
    if not math.isfinite(value):
        raise DataError(f"{where}: {cell!r} is not a finite number; fill it in or remove the line")
    return value
