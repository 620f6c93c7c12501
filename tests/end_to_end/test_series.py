"""Practices of sequences as a newcomer runs them: adding, mnist-rows."""

import dataclasses

import jax
import numpy as np
import pytest
from command import answers, assert_complete, assert_eval_repeats, assert_mistake, summary, train
from PIL import Image

from data import load_digits
from train import fit, recipes
from train.recipes.mnist_rows import MnistRows
from train.report import Reporter

TINY_ROWS = {"epochs": 4, "hidden_size": 32, "batch_size": 40}


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    return train(
        tmp_path_factory, "adding", "--epochs", "8", "--length", "10", "--lengths", "10,40",
        "--cell", "gru", "--cells", "rnn,gru", "--hidden-size", "16", "--learning-rate", "0.01",
    )  # fmt: skip


@pytest.fixture(scope="module")
def mnist_rows(tmp_path_factory):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY_ROWS.items()]
    return train(tmp_path_factory, "mnist-rows", *options)


@pytest.mark.parametrize(
    ("practice", "figures"),
    [
        ("adding", {"gradients", "error_by_length", "learning_curves"}),
        ("mnist-rows", {"confusion", "mistakes", "row_by_row", "learning_curves"}),
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


def test_a_row_reader_reads_rows(mnist_rows, tmp_path):
    folder, _ = mnist_rows
    assert summary(folder)["metrics"]["test/accuracy"] > 0.6
    digits, paths = load_digits().test, []
    for index in range(5):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(digits["inputs"][index, ..., 0]).resize((90, 80)).save(paths[-1])
    got = answers(folder, *paths)
    assert [line["input"] for line in got] == list(map(str, paths))
    right = [line["label"] == int(y) for line, y in zip(got, digits["targets"], strict=False)]
    assert sum(right) >= 3
    (tmp_path / "letter.png").write_text("no image")
    assert_mistake(["predict", folder, tmp_path / "letter.png"], "not a readable image")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shuffled(MnistRows):
    """Digits whose training labels are those of other digits."""

    def load(self):
        splits = super().load()
        labels = np.random.default_rng(0).permutation(splits.train["targets"])
        return splits._replace(train={**splits.train, "targets": labels})


def test_shuffled_labels_teach_nothing(mnist_rows, tmp_path):
    """If test labels reached training by any way, this would be better than chance."""
    run = fit(Shuffled(**TINY_ROWS), tmp_path / "run", reporter=Reporter(quiet=True))
    # 500 test digits: chance is 0.1, with a deviation of 0.0134
    assert run.metrics["test/accuracy"] < 0.16
    assert summary(mnist_rows[0])["metrics"]["test/accuracy"] > 0.6
