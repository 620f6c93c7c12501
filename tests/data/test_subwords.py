"""Texts as tokens: what is joined, what comes back, and what is unknown."""

import pytest

from data.subwords import END, PADDING, START, UNKNOWN, Subwords

TEXTS = ["ab ab abc", "ab, ab!", "c"]


def test_pairs_are_joined_by_frequency_worked_by_hand():
    """▁ab stands four times and ▁abc once: (a, b) and (▁, a) are seen five times, (▁ab, c) once."""
    subwords = Subwords.learn(TEXTS, merges=10)
    assert subwords.merges == (("a", "b"), ("▁", "ab"))
    assert [subwords.tokens[number] for number in subwords.encode("ab abc")] == ["▁ab", "▁ab", "c"]
    assert Subwords.learn(TEXTS, merges=1).merges == (("a", "b"),)


def test_special_tokens_come_first():
    assert (PADDING, START, END, UNKNOWN) == (0, 1, 2, 3)
    assert Subwords.learn(TEXTS).tokens == (
        "<pad>",
        "<start>",
        "<end>",
        "<unknown>",
        "a",
        "b",
        "c",
        "▁",
    )


@pytest.mark.parametrize("merges", [0, 3, 100])
def test_a_text_comes_back_from_its_tokens(merges):
    texts = ["Zwei Männer, in (roten) Jacken!", "it's 5 o'clock...", "Männer  in\tJacken"] * 2
    subwords = Subwords.learn(texts, merges)
    for text in texts:
        assert subwords.decode(subwords.encode(text)) == " ".join(text.split())


def test_what_training_showed_once_or_never_is_unknown():
    subwords = Subwords.learn(TEXTS)
    assert subwords.encode("a!x") == [4, UNKNOWN, UNKNOWN]
    assert not subwords.knows_any("! x ▁")
    assert subwords.knows_any("! xa")
    assert not Subwords.learn(TEXTS, 2).knows_any("x !")


def test_a_vocabulary_comes_back_from_its_bytes():
    subwords = Subwords.learn([*TEXTS, "Bäume Bäume"], 5)
    again = Subwords.from_array(subwords.to_array())
    assert (again.tokens, again.merges) == (subwords.tokens, subwords.merges)
    assert again.encode("ab Bäume") == subwords.encode("ab Bäume")
