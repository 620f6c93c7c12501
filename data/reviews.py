"""Labelled reviews: a file of ``label<TAB>text``, or reviews of our own grammar."""

from pathlib import Path

import numpy as np

from data.errors import DataError
from data.review_grammar import reviews
from data.splits import Splits, rows
from data.vocabulary import clean, encode

LABELS = ("negative", "positive")
FEWEST_REVIEWS = 10
"""Different texts of a file that is to be cut into three parts."""

EMBEDDED_REVIEWS = 8000
_SHARE = 10


def load_reviews(source: str = "embedded", test: str | None = None, length: int = 100) -> Splits:
    """Reviews as code points, int32 [N, length] with 0 after the end, and labels int32 [N].

    A tenth of the texts is test and a tenth validation, in a fixed random order; where ``test``
    names a file, that is the test part. A text that the source has more than once stays in one
    part.

    Args:
        source: ``embedded`` for 8,000 reviews of our grammar, or a file of ``label<TAB>text``.
        test: another such file.
        length: characters that are kept of a text, see ``encode``.

    Raises:
        DataError: as ``read_reviews``; fewer than 10 different texts.
    """
    texts, labels = reviews(EMBEDDED_REVIEWS) if source == "embedded" else read_reviews(source)
    examples = {"inputs": encode(texts, length), "targets": labels}
    _, which = np.unique(texts, return_inverse=True)
    different = int(which.max()) + 1
    if different < FEWEST_REVIEWS:
        raise DataError(f"{source}: {different} different texts; give {FEWEST_REVIEWS} or more")
    place = np.random.default_rng(0).permutation(different)[which]
    share = different // _SHARE
    of_validation, of_test = place < share, (place >= share) & (place < 2 * share)
    if test is None:
        tested = rows(examples, of_test)
    else:
        texts, labels = read_reviews(test)
        tested, of_test = {"inputs": encode(texts, length), "targets": labels}, np.array(False)
    train = rows(examples, ~(of_validation | of_test))
    return Splits(train, rows(examples, of_validation), tested, Path(source).name)


def read_reviews(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Texts, cleaned, and labels int32 [N] of a file with a line ``label<TAB>text`` a review.

    Raises:
        DataError: no such file, not UTF-8, empty, a line without tab, a label other than 0 and 1,
            an empty text, reviews of one label only.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file of reviews")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    texts, labels = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label, tab, text = line.partition("\t")
        where = f"{path}, line {number}"
        if not tab:
            raise DataError(f"{where}: no tab; write a review as label<TAB>text")
        if label.strip() not in ("0", "1"):
            raise DataError(f"{where}: label {label!r}; it must be 0 (negative) or 1 (positive)")
        if not (text := clean(text)):
            raise DataError(f"{where}: empty text; write one after the tab or remove the line")
        texts.append(text)
        labels.append(int(label))
    if not texts:
        raise DataError(f"{path}: empty; write a review a line as label<TAB>text")
    if len(set(labels)) == 1:
        raise DataError(f"{path}: all reviews have the label {labels[0]}; both 0 and 1 are needed")
    return texts, np.array(labels, np.int32)
