"""From the command line's words to a recipe, and helpful errors on the way."""

import json

import pytest

from train import UsageError, recipes
from train.settings import from_values, parse_options, settings, to_values

KNOWN = settings(recipes.find("mnist"))


def test_every_kind_of_value():
    arguments = [
        "--epochs", "3", "--optimizer.learning-rate=0.5", "--hidden", "32,16", "--download",
        "--data-dir", "somewhere", "--patience", "none", "--optimizer.name", "sgd",
        "--optimizer.nesterov", "false",
    ]  # fmt: skip
    assert parse_options(KNOWN, arguments) == {
        "epochs": 3,
        "optimizer.learning_rate": 0.5,
        "hidden": (32, 16),
        "download": True,
        "data_dir": "somewhere",
        "patience": None,
        "optimizer.name": "sgd",
        "optimizer.nesterov": False,
    }


def test_the_last_part_of_a_name_is_enough_where_it_is_unique():
    assert parse_options(KNOWN, ["--learning-rate", "1e-2"]) == {"optimizer.learning_rate": 0.01}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epcohs", "3"], "unknown option --epcohs; did you mean --epochs?"),
        (["--lerning-rate", "3"], "did you mean --optimizer.learning-rate?"),
        (["--zzz", "3"], "unknown option --zzz; see --help"),
        (["--epochs", "three"], "--epochs: expected an integer, got 'three'"),
        (["--epochs", "2.5"], "--epochs: expected an integer, got '2.5'"),
        (["--epochs"], "--epochs: expected an integer after it"),
        (["--learning-rate", "fast"], "expected a number, got 'fast'"),
        (["--hidden", "32,x"], "expected integers with commas between"),
        (["--download", "maybe"], "expected true or false, got 'maybe'"),
        (["--optimizer.name", "lion"], "expected one of sgd, adam, adamw, got 'lion'"),
        (["epochs", "3"], "unexpected 'epochs'; options look like --epochs 3"),
    ],
)
def test_a_mistake_is_explained(arguments, message):
    with pytest.raises(UsageError) as caught:
        parse_options(KNOWN, arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_settings_survive_json(name):
    recipe = recipes.get(name, epochs=7, learning_rate=0.25)
    assert from_values(recipes.find(name), json.loads(json.dumps(to_values(recipe)))) == recipe


def test_get_changes_what_it_is_told_and_nothing_else():
    recipe = recipes.get("mnist", epochs=3, **{"optimizer.weight_decay": 0.5})
    assert recipe.epochs == 3
    assert recipe.optimizer.weight_decay == 0.5
    assert recipe.optimizer.learning_rate == recipes.find("mnist")().optimizer.learning_rate


def test_an_unknown_recipe_gets_a_suggestion():
    with pytest.raises(UsageError, match=r"no recipe 'mnits'; did you mean mnist\?"):
        recipes.get("mnits")


@pytest.mark.parametrize("field", ["epochs", "batch_size", "evaluate_every"])
def test_counts_below_one_are_refused(field):
    with pytest.raises(UsageError, match=f"{field} 0: must be 1 or more"):
        recipes.get("mnist", **{field: 0})
