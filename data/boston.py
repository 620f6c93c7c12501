"""Boston housing: 506 census tracts of 1970, 13 features, median house price in 1,000 dollars.

Harrison and Rubinfeld (1978), "Hedonic prices and the demand for clean air". The set is kept for
comparison with the literature; its feature ``b`` encodes race: no model of it should be deployed.
"""

from pathlib import Path

import numpy as np

from data.errors import DataError
from data.splits import Splits
from data.tables import read_table

BOSTON_FEATURES = (
    "crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat",
)  # fmt: skip
PRICE = "medv"
FOLDS = 5
VALIDATION_SHARE = 0.1

_EMBEDDED = Path(__file__).parent / "embedded" / "boston.csv"


def load_boston(source: str = "embedded", fold: int = 0) -> Splits:
    """Fold ``fold`` of five as test; a tenth of the other four, at random but fixed, as validation.

    Args:
        source: ``embedded``, or a CSV file with the same column names.
        fold: 0 to 4.

    Returns:
        inputs [N, 13] and targets [N, 1] (1,000 dollars), float32, in the file's own units.
    """
    if not 0 <= fold < FOLDS:
        raise DataError(f"fold {fold} does not exist; use 0 to {FOLDS - 1}")
    table = read_table(_EMBEDDED if source == "embedded" else source, (*BOSTON_FEATURES, PRICE))
    if len(table) < 2 * FOLDS:
        raise DataError(f"{source}: {len(table)} rows; {FOLDS} folds need {2 * FOLDS} or more")
    table = table.astype(np.float32)[np.random.default_rng(0).permutation(len(table))]
    in_test = np.arange(len(table)) % FOLDS == fold
    rest = table[~in_test]
    validation_rows = max(1, round(VALIDATION_SHARE * len(rest)))
    train, validation, test = (
        {"inputs": part[:, :-1], "targets": part[:, -1:]}
        for part in (rest[validation_rows:], rest[:validation_rows], table[in_test])
    )
    return Splits(train, validation, test, source)
