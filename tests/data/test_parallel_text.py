"""Parallel files, as they should be and as they should not."""

import numpy as np
import pytest

from data import END, DataError, Subwords, Texts, padded, parallel_splits, read_parallel

LINES = {"train": 3, "val": 2, "test_a": 1}


@pytest.fixture
def folder(tmp_path):
    for part, lines in LINES.items():
        for language in ("en", "de"):
            text = "".join(f"{language} {part} {line}\n" for line in range(lines))
            (tmp_path / f"{part}.{language}").write_text(text)
    return tmp_path


def test_line_n_goes_with_line_n(folder):
    (folder / "test_a.de").write_bytes("\ufeffein \u2028 Satz\r\n".encode())
    texts = read_parallel(folder, "en", "de")
    assert texts.train[1] == ("en train 1", "de train 1")
    assert [len(pairs) for pairs in texts[:3]] == [3, 2, 1]
    assert texts.test == [("en test_a 0", "ein \u2028 Satz")]
    assert texts.source == f"{folder.name} en-de"
    assert read_parallel(folder, "de", "en").train[1] == ("de train 1", "en train 1")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("val.de", b"one\n", ["val.en has 2 lines and", "val.de has 1;"]),
        ("val.de", None, ["val.de: no such file", "both languages"]),
        ("test_a.en", None, ["0 files test*.en; keep one"]),
        ("test_b.en", b"x\n", ["2 files test*.en; keep one: test_a, test_b"]),
        ("train.de", b"a\n \nc\n", ["train.de, line 2: empty; fill it in, or remove it"]),
        ("train.de", b"a\nb\nc\n\n", ["train.de, line 4: empty"]),
        ("train.de", b"", ["train.de, line 1: no texts"]),
        ("train.de", b"a\n\xff\nc\n", ["train.de: not a text file in UTF-8"]),
    ],
)
def test_wrong_files_are_named(folder, name, content, words):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_parallel(folder, "en", "de")
    for word in words:
        assert word in str(caught.value)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; --source takes a folder"):
        read_parallel(tmp_path / "nowhere", "en", "de")


def test_longer_pairs_are_left_out_of_training_only():
    letters = Subwords(["a", "b"])
    pairs = [("ab", "b"), ("abab", "b"), ("a", "bab"), ("b", "ba")]
    splits = parallel_splits(Texts(pairs, pairs[:2], pairs[2:], "here"), letters, letters, 0.75)
    # three of four sources have 2 tokens or fewer; three of four targets 3 with their end
    np.testing.assert_array_equal(splits.train["inputs"], [[4, 5], [5, 0]])
    np.testing.assert_array_equal(splits.train["targets"], [[5, END, 0], [5, 4, END]])
    np.testing.assert_array_equal(splits.validation["inputs"][1], [4, 5])
    np.testing.assert_array_equal(splits.test["targets"][0], [5, 4, 5])
    assert splits.source == "here"


def test_all_pairs_are_kept_where_all_are_asked_for():
    letters = Subwords(["a", "b"])
    pairs = [("ab", "b"), ("abab", "b"), ("a", "bab")]
    splits = parallel_splits(Texts(pairs, pairs, pairs, "here"), letters, letters)
    assert [splits.train[name].shape for name in ("inputs", "targets")] == [(3, 4), (3, 4)]


def test_rows_are_filled_and_cut():
    np.testing.assert_array_equal(padded([[5, 6], [], [7, 8, 9]], 2), [[5, 6], [0, 0], [7, 8]])
