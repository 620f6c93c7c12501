"""Reviews as a newcomer runs them: train, look, eval, predict; and what ends in one line."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from command import run
from PIL import Image

from train import fit
from train.cli import main
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
    folder = tmp_path_factory.mktemp("runs") / "sentiment"
    done = run("train", "sentiment", "--out", folder, "--epochs", "5")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_network_learns_what_counting_cannot(sentiment):
    folder, done = sentiment
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["metrics"]["test/accuracy"] > 0.95
    assert summary["baseline"]["test/accuracy"] < 0.65
    assert summary["data"] == "embedded"
    assert done.stdout.startswith("sentiment: test/")


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


def test_the_figures_are_drawn(sentiment):
    drawn = {path.stem: path for path in (sentiment[0] / "figures").iterdir()}
    assert drawn.keys() == {"confusion", "readings", "learning_curves"}
    for path in drawn.values():
        assert np.asarray(Image.open(path).convert("L")).std() > 5, f"{path.name} is blank"


def test_eval_repeats_the_test_metrics(sentiment):
    folder, _ = sentiment
    done = run("eval", folder)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    measured = json.loads(done.stdout)
    for name in ("test/accuracy", "test/loss"):
        assert measured[name] == pytest.approx(metrics[name], rel=1e-6)


def test_texts_are_answered_in_their_order(sentiment):
    done = run("predict", sentiment[0], *REVIEWS)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["input"] for answer in answers] == list(REVIEWS)
    right = [answer["label"] == REVIEWS[answer["input"]] for answer in answers]
    assert sum(right) >= 4
    assert all(0.5 <= answer["probability"] <= 1 for answer in answers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \t", "input 2: empty text; give the words of a review"),
        ("Ω Ж", "input 2: 'ω ж' has no character that occurred in training"),
    ],
)
def test_what_cannot_be_read_is_named(sentiment, capsys, text, message):
    assert main(["predict", str(sentiment[0]), "a good one", text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


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
def test_a_wrong_file_ends_in_one_line(tmp_path, capsys, content, words):
    path, out = tmp_path / "reviews.tsv", tmp_path / "run"
    if content is not None:
        path.write_bytes(content)
    assert main(["train", "sentiment", "--out", str(out), "--source", str(path)]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.startswith(f"error: {path}")
    assert words in err
    assert err.count("\n") == 1
    assert not out.exists()
