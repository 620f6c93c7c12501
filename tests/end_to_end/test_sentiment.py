"""Reviews as a newcomer runs them: train, look, eval, predict; and what ends in one line."""

import dataclasses

import jax
import numpy as np
import pytest
from command import answers, assert_complete, assert_eval_repeats, assert_mistake, summary, train

from train import fit
from train.recipes.sentiment import Sentiment
from train.report import Reporter

REVIEWS = {
    "the acting was really good.": "positive",
    "the acting was really good, but the plot was very dull.": "negative",
    "although the plot was very dull, the acting was really good.": "positive",
    "the plot was not really dull.": "positive",
    "연기는 정말 좋았다. 하지만 결말은 매우 지루했다.": "negative",
}


@pytest.fixture(scope="module")
def sentiment(tmp_path_factory):
    return train(tmp_path_factory, "sentiment", "--epochs", "5")


def test_a_run_folder_is_complete(sentiment):
    assert_complete("sentiment", {"confusion", "readings", "learning_curves"}, *sentiment)
    assert_eval_repeats(sentiment[0])


def test_the_network_learns_what_counting_cannot(sentiment):
    result = summary(sentiment[0])
    assert result["metrics"]["test/accuracy"] > 0.95
    assert result["baseline"]["test/accuracy"] < 0.65


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shuffled(Sentiment):
    """The practice on training labels in a random order; validation and test keep theirs."""

    def load(self):
        splits = super().load()
        labels = np.random.default_rng(0).permutation(splits.train["targets"])
        return splits._replace(train={**splits.train, "targets": labels})


def test_shuffled_labels_teach_nothing(tmp_path):
    """The same settings as above; chance on 800 balanced texts has a deviation of 0.018."""
    recipe = Shuffled(epochs=5)
    learned = fit(recipe, tmp_path / "run", jax.devices()[:1], Reporter(quiet=True))
    assert abs(learned.metrics["test/accuracy"] - 0.5) < 0.08


def test_texts_are_answered_in_their_order(sentiment):
    got = answers(sentiment[0], *REVIEWS)
    assert [answer["input"] for answer in got] == list(REVIEWS)
    assert sum(answer["label"] == REVIEWS[answer["input"]] for answer in got) >= 4
    assert all(0.5 <= answer["probability"] <= 1 for answer in got)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \t", "input 2: empty text; give the words of a review"),
        ("Ω Ж", "input 2: 'ω ж' has no character that occurred in training"),
    ],
)
def test_what_cannot_be_read_is_named(sentiment, text, message):
    assert_mistake(["predict", sentiment[0], "a good one", text], message)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1\tgood\n0 bad\n", "line 2: no tab"),
        (b"1\tgood\nbad\tbad\n", "line 2: label 'bad'"),
        (b"", "empty"),
        (b"1\tgood\n1\tfine\n", "all reviews have the label 1"),
        ("1\t좋다\n".encode("cp949"), "not a text file in UTF-8"),
        (None, "no such file of reviews"),
    ],
    ids=["no tab", "label", "empty", "one class", "not UTF-8", "no file"],
)
def test_a_wrong_file_ends_in_one_line(tmp_path, content, words):
    path, out = tmp_path / "reviews.tsv", tmp_path / "run"
    if content is not None:
        path.write_bytes(content)
    assert_mistake(["train", "sentiment", "--out", out, "--source", path], str(path), words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--length=0", "length 0: must be 1 or more"),
        ("--run-bits=40", "run_bits 40: must be from 1 to 24"),
        ("--hidden-share=1", "hidden_share 1.0: a share, from 0 to below 1"),
        ("--test=nowhere.tsv", "nowhere.tsv: no such file of reviews"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, option, words):
    assert_mistake(["train", "sentiment", "--out", tmp_path / "run", option], words)
    assert not (tmp_path / "run").exists()
