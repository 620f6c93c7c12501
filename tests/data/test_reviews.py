"""Reviews are cut into parts that share no text, and a wrong file is described in one line."""

import jax
import numpy as np
import pytest

from data import (
    NO_CHARACTER,
    DataError,
    clean,
    decode,
    encode,
    hide_characters,
    load_reviews,
    most_frequent_characters,
)


def write(path, lines):
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def lines(count=40):
    return [f"{number % 2}\treview {number} 좋다" for number in range(count)]


def texts(examples):
    return {decode(row) for row in examples["inputs"]}


def test_a_text_survives_as_code_points():
    assert clean("  참 \t 좋다 ABC\0! ") == "참 좋다 abc !"
    points = encode(["좋다", "abcdef", ""], 4)
    np.testing.assert_array_equal(points[0], [ord("좋"), ord("다"), 0, 0])
    assert [decode(row) for row in points] == ["좋다", "cdef", ""]  # the end is kept


def test_the_vocabulary_holds_the_most_frequent_characters():
    points = encode(["bbb", "aac", "c"], 4)
    np.testing.assert_array_equal(most_frequent_characters(points, 2), [ord("a"), ord("b")])
    everything = most_frequent_characters(points, 5)
    np.testing.assert_array_equal(everything, [*map(ord, "abc"), NO_CHARACTER, NO_CHARACTER])


def test_a_share_of_the_characters_is_hidden_and_no_end_is_moved():
    points = encode(["a" * 90] * 50, 100)
    hidden = np.asarray(hide_characters(jax.random.key(0), points, 0.2))
    changed = hidden != points
    assert not changed[:, 90:].any()
    assert 0.17 < changed[:, :90].mean() < 0.23  # 4,500 draws: a deviation of 0.006
    assert np.all(hidden[changed] > NO_CHARACTER)
    assert len({row.tobytes() for row in changed}) == 50


def test_the_embedded_reviews_are_balanced_and_always_the_same():
    splits = load_reviews()
    assert [len(part["targets"]) for part in splits[:3]] == [6400, 800, 800]
    assert abs(splits.train["targets"].mean() - 0.5) < 0.02
    for first, second in zip(splits[:3], load_reviews()[:3], strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
    everything = "".join(texts(splits.train))
    for word in ("not", "but", "although", "하지만", "없다"):
        assert word in everything


def test_parts_share_no_text_though_the_file_repeats_it(tmp_path):
    source = write(tmp_path / "reviews.tsv", lines() * 3)
    splits = load_reviews(source)
    train, validation, test = map(texts, splits[:3])
    assert not train & validation
    assert not (train | validation) & test
    assert len(train | validation | test) == 40
    assert (len(validation), len(test)) == (4, 4)
    assert sum(len(part["targets"]) for part in splits[:3]) == 120


def test_a_test_file_is_the_test_part_and_leaves_the_source_to_train_and_validation(tmp_path):
    source = write(tmp_path / "reviews.tsv", lines())
    test = write(tmp_path / "test.tsv", ["0\tbad", "1\tgood"])
    splits = load_reviews(source, test, length=10)
    assert texts(splits.test) == {"bad", "good"}
    np.testing.assert_array_equal(splits.test["targets"], [0, 1])
    assert [len(part["targets"]) for part in splits[:2]] == [36, 4]
    assert splits.train["inputs"].shape == (36, 10)


def test_an_empty_line_and_a_byte_order_mark_are_passed_over(tmp_path):
    path = tmp_path / "reviews.tsv"
    path.write_bytes(("\ufeff" + "\r\n".join([*lines(), ""])).encode())
    assert len(texts(load_reviews(str(path)).train)) == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows[:5], "0 no tab", *rows[5:]], "line 6: no tab; write a review as"),
        (lambda rows: ["label\ttext", *rows], "line 1: label 'label'; it must be 0 .* or 1"),
        (lambda rows: [*rows, "2\tso so"], "line 41: label '2'"),
        (lambda rows: [*rows[:3], "1\t  ", *rows[3:]], "line 4: empty text"),
        (lambda rows: [], "empty; write a review a line"),
        (lambda rows: rows[::2], "all reviews have the label 0; both 0 and 1"),
        (lambda rows: rows[:9], "9 different texts; give 10 or more"),
    ],
)
def test_a_wrong_file_is_described_in_one_line(tmp_path, change, message):
    path = write(tmp_path / "reviews.tsv", change(lines()))
    with pytest.raises(DataError, match=message) as caught:
        load_reviews(path)
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.tsv: no such file of reviews"):
        load_reviews(str(tmp_path / "nowhere.tsv"))
    (tmp_path / "cp949.tsv").write_bytes("1\t좋다".encode("cp949"))
    with pytest.raises(DataError, match=r"cp949\.tsv: not a text file in UTF-8"):
        load_reviews(str(tmp_path / "cp949.tsv"))
    with pytest.raises(DataError, match=r"nowhere\.tsv: no such file of reviews"):
        load_reviews(write(tmp_path / "r.tsv", lines()), str(tmp_path / "nowhere.tsv"))
