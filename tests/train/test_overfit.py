"""``--overfit N``: a few examples by heart, and nothing concluded from them."""

import json

import numpy as np
import pytest

from train import UsageError, fit, recipes
from train.overfit import UNCHANGED, unchanging
from train.report import Reporter
from train.settings import to_values

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = recipes.get("mnist", overfit=32, batch_size=32, epochs=120, evaluate_every=40)
    return fit(recipe, tmp_path_factory.mktemp("runs") / "few", reporter=QUIET)


def test_few_examples_are_learned_by_heart(run):
    last = run.history[-1]
    assert last["train/loss"] < 0.05
    assert last["validation/accuracy"] == 1
    assert run.metrics["test/accuracy"] < 0.9  # of all the digits, which 32 do not teach


def test_training_and_validation_are_the_first_training_examples(run):
    all_parts = recipes.get("mnist").load()
    for part in (run.splits.train, run.splits.validation):
        np.testing.assert_array_equal(part["inputs"], all_parts.train["inputs"][:32])
    assert len(run.splits.test["targets"]) == len(all_parts.test["targets"])


def test_the_folder_says_that_nothing_was_shifted_and_draws_no_practice(run):
    config = json.loads((run.folder / "config.json").read_text())["settings"]
    assert (config["overfit"], config["shift"]) == (32, 0)
    assert [path.name for path in run.figures.iterdir()] == ["learning_curves.png"]
    again = recipes.get("mnist", overfit=32, batch_size=32, epochs=120, evaluate_every=40)
    assert fit(again, run.folder, reporter=QUIET).metrics == run.metrics  # it is this run


@pytest.mark.parametrize(
    ("number", "message"),
    [(0, "overfit 0: must be 1 or more"), (4001, "overfit 4001: there are 4000 training examples")],
)
def test_numbers_that_there_are_not(number, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        fit(recipes.get("mnist", overfit=number), tmp_path / "run", reporter=QUIET)
    assert not (tmp_path / "run").exists()


def test_every_change_of_a_practice_can_be_left_out():
    found = set()
    for name in recipes.RECIPES:
        values = to_values(unchanging(recipes.get(name)))
        found |= {setting for setting in UNCHANGED if setting in values}
        assert all(values[s] == UNCHANGED[s] for s in UNCHANGED if s in values), name
    assert found == UNCHANGED.keys()


def test_other_settings_stay():
    recipe = recipes.get("vit", overfit=5, epochs=7, features=64)
    before, after = to_values(recipe), to_values(unchanging(recipe))
    assert {name for name in before if before[name] != after[name]} == {
        "augmentation.crop",
        "augmentation.flip",
        "augmentation.label_smoothing",
    }
