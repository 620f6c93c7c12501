"""Practices of sequences as a newcomer runs them: adding, mnist-rows, mnist-words."""

import dataclasses

import jax
import numpy as np
import pytest
from command import answers, assert_complete, assert_eval_repeats, assert_mistake, summary, train
from PIL import Image

from data import WORDS, load_digits
from train import fit, recipes
from train.recipes.mnist_rows import MnistRows
from train.report import Reporter

QUIET = Reporter(quiet=True)
TINY_ROWS = {"epochs": 3, "hidden_size": 32, "batch_size": 40}


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    return train(
        tmp_path_factory, "adding", "--epochs", "6", "--length", "10", "--lengths", "10,40",
        "--cell", "gru", "--cells", "rnn,gru", "--hidden-size", "16", "--learning-rate", "0.01",
    )  # fmt: skip


@pytest.fixture(scope="module")
def mnist_rows(tmp_path_factory):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY_ROWS.items()]
    return train(tmp_path_factory, "mnist-rows", *options)


@pytest.fixture(scope="module")
def mnist_words(tmp_path_factory):
    return train(
        tmp_path_factory, "mnist-words", "--epochs", "2", "--batch-size", "24", "--clip-norm",
        "none", "--warmup", "0.2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("practice", "figures"),
    [
        ("adding", {"adding", "learning_curves"}),
        ("mnist-rows", {"confusion", "mistakes", "row_by_row", "learning_curves"}),
        ("mnist-words", {"words", "mistakes", "candidates", "learning_curves"}),
    ],
)
def test_a_run_folder_is_complete(practice, figures, request):
    folder, done = request.getfixturevalue(practice.replace("-", "_"))
    assert_complete(practice, figures, folder, done)
    assert_eval_repeats(folder)


def test_the_study_runs_every_cell_at_every_length(adding):
    folder, done = adding
    losses = summary(folder)["study"]["test_loss_by_length"]
    assert {cell: sorted(of_cell) for cell, of_cell in losses.items()} == {
        "rnn": ["10", "40"],
        "gru": ["10", "40"],
    }
    assert losses["gru"]["10"] == summary(folder)["metrics"]["test/loss"]
    assert losses["gru"]["10"] < 0.05 < 0.1 < losses["rnn"]["40"] < 0.25
    of_study = {path.name for path in (folder / "study").iterdir()}
    assert of_study == {"rnn-10", "rnn-40", "gru-40"}
    for name in of_study:
        cell, length = name.split("-")
        assert summary(folder / "study" / name)["metrics"]["test/loss"] == losses[cell][length]
    assert '"test_loss_by_length"' in done.stdout


def test_sums_are_answered(adding):
    text = "0.1,+0.5,0.9,0.3,0.2,0.6,+0.2,0.8,0.1,0.7"
    (answer,) = answers(adding[0], text)
    assert answer["input"] == text
    assert answer["sum"] == 0.7
    assert answer["value"] == pytest.approx(0.7, abs=0.3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,two", ["expected numbers, as"]),
        ("0.1,+0.5,0.2", ["two of them with a plus sign"]),
        ("+0.1,+0.5,+0.2", ["two of them with a plus sign"]),
        ("+0.1,+0.5,2", ["numbers from 0 to 1"]),
        ("+0.1,+0.5,nan", ["numbers from 0 to 1"]),
        ("", ["expected numbers"]),
    ],
)
def test_what_is_not_a_sequence_is_named(adding, text, words):
    assert_mistake(["predict", adding[0], text], repr(text), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["adding", "--length", "1"], ["length 1: two marks need 2 steps"]),
        (["adding", "--lengths", "50,0"], ["length 0: two marks need 2 steps"]),
        (["adding", "--lengths", "50,x"], ["--lengths: expected integers", "'50,x'"]),
        (["adding", "--cell", "elman"], ["--cell: expected one of rnn, lstm, gru", "'elman'"]),
        (["adding", "--cells", "gru,elman"], ["--cells: expected one of rnn, lstm, gru"]),
        (["adding", "--source", "tfds"], ["source 'tfds'", "leave --source out"]),
        (["mnist-rows", "--cell", "elman"], ["--cell: expected one of rnn, lstm, gru"]),
        (["mnist-words", "--cell", "elman"], ["--cell: expected one of rnn, lstm, gru"]),
        (["mnist-words", "--beam-width", "0"], ["beam_width 0: must be 1 or more"]),
        (["mnist-rows", "--hidden-size", "0"], ["hidden_size 0: must be 1 or more"]),
        (["mnist-rows", "--shift", "-1"], ["shift -1: must be 0 or more"]),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, arguments, words):
    assert_mistake(["train", *arguments, "--out", tmp_path / "run"], *words)
    assert not (tmp_path / "run").exists()


def test_each_step_draws_other_sequences_and_the_same_ones_when_repeated():
    recipe = recipes.get("adding", length=5, hidden_size=4, batch_size=8)
    task, batch = recipe.task(None), {**recipe.load().validation}
    batch = {name: array[:8] for name, array in batch.items()} | {"mask": np.ones(8, np.float32)}
    state = jax.jit(task.init)(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    losses = [float(step(state.replace(step=state.step + k), batch)[1]["loss"]) for k in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


def test_one_device_and_eight_draw_the_same_sequences(tmp_path):
    """And 313 evaluations of 32 test sequences, one after the other, do not jam eight devices."""
    recipe = recipes.get("adding", epochs=1, length=5, hidden_size=4, study=False)
    one, eight = (
        fit(recipe, tmp_path / str(n), devices=jax.devices()[:n], reporter=QUIET) for n in (1, 8)
    )
    for name, value in one.history[-1].items():
        if "/" in name:
            assert eight.history[-1][name] == pytest.approx(value, rel=1e-4), name
    assert eight.metrics["test/loss"] == pytest.approx(one.metrics["test/loss"], rel=1e-4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of the first test digits in another size, and their labels."""
    digits, folder = load_digits().test, tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{index}.png" for index in range(10)]
    for path, pixels in zip(paths, digits["inputs"], strict=False):
        Image.fromarray(pixels[..., 0]).resize((90, 80)).save(path)
    return paths, digits["targets"][:10].tolist()


def test_digits_are_read_row_by_row(mnist_rows, pictures):
    folder, (paths, labels) = mnist_rows[0], pictures
    assert summary(folder)["metrics"]["test/accuracy"] > 0.6
    got = answers(folder, *paths)
    assert [line["input"] for line in got] == list(map(str, paths))
    assert sum(line["label"] == label for line, label in zip(got, labels, strict=True)) >= 5


def test_words_are_read_and_a_beam_is_compared_with_greedy(mnist_words, pictures):
    folder, (paths, labels) = mnist_words[0], pictures
    result = summary(folder)
    decoding = result["decoding"]
    # told the letters before each one or not, greedy reads the same words
    assert decoding["greedy"]["accuracy"] == pytest.approx(result["metrics"]["test/accuracy"])
    assert result["metrics"]["test/accuracy"] > 0.6
    assert decoding["beam"]["accuracy"] > 0.6
    assert decoding["beam"]["mean_probability"] >= decoding["greedy"]["mean_probability"] - 1e-6
    got = answers(folder, *paths)
    assert [line["input"] for line in got] == list(map(str, paths))
    assert all(0 < line["confidence"] <= 1 for line in got)
    words = [WORDS[label] for label in labels]
    assert sum(line["text"] == word for line, word in zip(got, words, strict=True)) >= 5


@pytest.mark.parametrize("practice", ["mnist_rows", "mnist_words"])
def test_what_is_not_an_image_is_named(practice, request, tmp_path):
    folder, _ = request.getfixturevalue(practice)
    path = tmp_path / "letter.png"
    path.write_text("no image")
    assert_mistake(["predict", folder, path], f"{path}: not a readable image")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shuffled(MnistRows):
    """Digits whose training labels are those of other digits."""

    def load(self):
        splits = super().load()
        labels = np.random.default_rng(0).permutation(splits.train["targets"])
        return splits._replace(train={**splits.train, "targets": labels})


def test_shuffled_labels_teach_nothing(mnist_rows, tmp_path):
    """If test labels reached training by any way, this would be better than chance."""
    run = fit(Shuffled(**TINY_ROWS), tmp_path / "run", reporter=QUIET)
    # 500 test digits: chance is 0.1, with a deviation of 0.0134
    assert run.metrics["test/accuracy"] < 0.16
    assert summary(mnist_rows[0])["metrics"]["test/accuracy"] > 0.6
