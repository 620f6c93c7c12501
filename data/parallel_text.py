"""Pairs of texts that say the same in two languages, and how they become arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.errors import DataError
from data.splits import Examples, Splits
from data.subwords import END, PADDING, Subwords

Pairs = list[tuple[str, str]]
"""A text, and what it should become."""


class Texts(NamedTuple):
    """Pairs of texts to train on, to choose by, and to test with."""

    train: Pairs
    validation: Pairs
    test: Pairs
    source: str


def read_parallel(folder: str | Path, source_language: str, target_language: str) -> Texts:
    """Files of one text a line, of which line n of one language says the same as of the other.

    Args:
        folder: holds ``train.en``, ``val.en`` and one ``test*.en``, and the same with ``.de``, if
            those are the languages.
        source_language, target_language: endings of the files' names.

    Raises:
        DataError: no folder or file, several test files, not UTF-8, no or empty lines, files of
            a pair with different numbers of lines.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; --source takes a folder with train, val and test texts"
        )
    tests = sorted(path.stem for path in folder.glob(f"test*.{source_language}"))
    if len(tests) != 1:
        found = f"{len(tests)} files test*.{source_language}"
        raise DataError(f"{folder}: {found}; keep one{': ' + ', '.join(tests) if tests else ''}")
    endings = (source_language, target_language)
    train, validation, test = (
        _read_pairs(*(folder / f"{part}.{ending}" for ending in endings))
        for part in ("train", "val", *tests)
    )
    return Texts(
        train, validation, test, f"{folder.resolve().name} {source_language}-{target_language}"
    )


def _read_pairs(source: Path, target: Path) -> Pairs:
    sources, targets = _read_lines(source), _read_lines(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}; "
            "line n of one must translate line n of the other"
        )
    return list(zip(sources, targets, strict=True))


def _read_lines(path: Path) -> list[str]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; every part needs both languages") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    # not splitlines(), which also cuts at signs that belong to a line, as U+2028
    lines = [line.strip() for line in content.removesuffix("\n").split("\n")]
    if "" in lines:
        reason = "empty; fill it in, or remove it from both languages" if content else "no texts"
        raise DataError(f"{path}, line {lines.index('') + 1}: {reason}")
    return lines


def parallel_splits(
    texts: Texts, source: Subwords, target: Subwords, coverage: float = 1.0
) -> Splits:
    """Pairs as tokens, in S and T steps that hold a share ``coverage`` of the training texts.

    A longer pair is left out of training, and cut for the metrics of validation and test.

    Returns:
        ``inputs`` [N, S] and ``targets`` [N, T], the latter ended by ``END``; both are int32 and
        filled with ``PADDING``.
    """
    tokens = [
        [(source.encode(left), [*target.encode(right), END]) for left, right in pairs]
        for pairs in texts[:3]
    ]
    lengths = np.array([[len(left), len(right)] for left, right in tokens[0]])
    steps = np.quantile(lengths, coverage, axis=0, method="inverted_cdf").astype(int).tolist()
    fits = (lengths <= steps).all(axis=1)
    tokens[0] = [pair for pair, fit in zip(tokens[0], fits, strict=True) if fit]
    train, validation, test = (_examples(pairs, *steps) for pairs in tokens)
    return Splits(train, validation, test, texts.source)


def _examples(pairs: Sequence[tuple[list[int], list[int]]], *steps: int) -> Examples:
    return {
        name: padded([pair[side] for pair in pairs], steps[side])
        for side, name in enumerate(("inputs", "targets"))
    }


def padded(rows: Sequence[Sequence[int]], steps: int) -> np.ndarray:
    """Rows of tokens as int32 [N, steps], filled with ``PADDING`` and cut where they are longer."""
    result = np.full((len(rows), steps), PADDING, np.int32)
    for line, row in zip(result, rows, strict=True):
        line[: len(row)] = row[:steps]
    return result
