"""A wrong CSV file is described by line and column."""

import numpy as np
import pytest

from data import DataError, read_table


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_columns_are_found_by_name_in_any_order(tmp_path):
    table = read_table(write(tmp_path, "b,ignored,A\n2,x,1\n4,y,3\n"), ("a", "b"))
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,c\n1,2\n", "no column b; the header needs a,b"),
        ("a,b\n1,2\n3,\n", "line 3, column b: empty cell"),
        ("a,b\n1,2\n3\n", "line 3, column b: empty cell"),
        ("a,b\nNaN,2\n", "line 2, column a: 'NaN' is not a finite number"),
        ("a,b\ninf,2\n", "line 2, column a: 'inf' is not a finite number"),
        ("a,b\n1,two\n", "line 2, column b: 'two' is not a number"),
        ("a,b\n", "a header and no rows"),
        ("", "no column a, b"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path, text), ("a", "b"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv: no such CSV file"):
        read_table(tmp_path / "absent.csv", ("a",))
