"""Reading a CSV file of numbers, with errors that say which cell is wrong."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.errors import DataError


def read_table(path: str | Path, columns: Sequence[str]) -> np.ndarray:
    """The named columns of a CSV file with a header line, as float64 [rows, columns].

    Raises:
        DataError: no such file, a missing column, an empty or non-numeric cell, a NaN, no rows.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such CSV file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [name.strip().lower() for name in reader.fieldnames or ()]
            if missing := [name for name in columns if name not in header]:
                raise DataError(
                    f"{path}: no column {', '.join(missing)}; the header needs {','.join(columns)}"
                )
            reader.fieldnames = header
            table = [
                [_number(row, name, path, reader.line_num) for name in columns] for row in reader
            ]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    if not table:
        raise DataError(f"{path}: a header and no rows")
    return np.array(table)


def _number(row: dict[str, str | None], column: str, path: Path, line: int) -> float:
    cell = (row[column] or "").strip()
    where = f"{path}, line {line}, column {column}"
    if not cell:
        raise DataError(f"{where}: empty cell; fill it in or remove the line")
    try:
        value = float(cell)
    except ValueError:
        raise DataError(f"{where}: {cell!r} is not a number") from None
    if not math.isfinite(value):
        raise DataError(f"{where}: {cell!r} is not a finite number; fill it in or remove the line")
    return value
