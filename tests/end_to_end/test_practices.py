"""The practices as a newcomer runs them: train, look, eval, predict."""

import numpy as np
import pytest
from command import ROOT, answers, assert_complete, assert_eval_repeats, run, summary, train
from PIL import Image

from data import load_digits


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    return train(tmp_path_factory, "sine")


@pytest.fixture(scope="module")
def boston(tmp_path_factory):
    return train(tmp_path_factory, "boston")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    return train(tmp_path_factory, "mnist", "--epochs", "15")


@pytest.fixture(scope="module")
def netflix(tmp_path_factory):
    return train(tmp_path_factory, "netflix", "--epochs", "3", "--rollout-days", "3")


def test_the_list_names_every_recipe():
    done = run("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "sine", "boston", "mnist", "cifar10", "vgg", "resnet", "netflix", "adding", "mnist-rows",
        "mnist-words", "sentiment", "translate", "captcha", "unet", "restore", "autoencoder", "gan",
        "vit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("practice", "figures"),
    [
        ("sine", {"fit", "learning_curves"}),
        ("boston", {"predictions", "learning_curves"}),
        ("mnist", {"confusion", "mistakes", "learning_curves"}),
        ("netflix", {"prices", "rollout", "learning_curves"}),
    ],
)
def test_a_run_folder_is_complete(practice, figures, request):
    assert_complete(practice, figures, *request.getfixturevalue(practice))


def test_the_cubic_reaches_the_least_squares_cubic(sine):
    result = summary(sine[0])
    np.testing.assert_allclose(
        result["coefficients"], result["baseline"]["coefficients"], atol=1e-4
    )


def test_the_cubic_answers_numbers(sine):
    (line,) = answers(sine[0], "1.0")
    assert line["input"] == "1.0"
    assert line["value"] == pytest.approx(np.sin(1.0), abs=0.1)


def test_boston_beats_least_squares_over_five_folds(boston):
    folds = summary(boston[0])["five_fold"]
    assert folds["network"]["rmse"] < 3.3
    assert folds["least squares"]["rmse"] == pytest.approx(4.87, abs=0.01)
    assert len(folds["network"]["rmse_by_fold"]) == 5


def test_boston_answers_each_row_of_a_table(boston, tmp_path):
    lines = (ROOT / "data" / "embedded" / "boston.csv").read_text().splitlines()
    table = tmp_path / "houses.csv"
    table.write_text("\n".join(lines[:4]))
    got = answers(boston[0], table)
    assert [line["row"] for line in got] == [1, 2, 3]
    for line, text in zip(got, lines[1:], strict=False):
        assert line["value"] == pytest.approx(float(text.rsplit(",")[-1]), abs=8)


def test_digits_are_learned(mnist):
    assert summary(mnist[0])["metrics"]["test/accuracy"] > 0.90


def test_eval_repeats_the_test_metrics(mnist):
    assert_eval_repeats(mnist[0])


def test_digits_are_read_from_pictures_of_any_size_and_polarity(mnist, tmp_path):
    digits, paths = load_digits().test, []
    for index in range(10):
        pixels = digits["inputs"][index, ..., 0]
        picture = Image.fromarray(255 - pixels if index % 2 else pixels)
        paths.append(tmp_path / f"{index}.png")
        picture.resize((100 + index, 90)).convert("RGB").save(paths[-1])
    got = answers(mnist[0], *paths)
    assert [line["input"] for line in got] == list(map(str, paths))
    right = [line["label"] == int(y) for line, y in zip(got, digits["targets"], strict=False)]
    assert sum(right) >= 8
    assert all(0.1 <= line["probability"] <= 1 for line in got)


def test_what_is_not_an_image_is_named(mnist, tmp_path):
    path = tmp_path / "letter.png"
    path.write_text("no image")
    done = run("predict", mnist[0], path)
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: not a readable image\n"


def test_netflix_stands_beside_persistence(netflix, tmp_path):
    folder, done = netflix
    result = summary(folder)
    metrics, baseline = result["metrics"], result["baseline"]
    assert metrics["test/persistence_rmse"] == pytest.approx(baseline["test/rmse"], rel=1e-5)
    assert metrics["test/rmse"] < 1.03 * baseline["test/rmse"]
    assert metrics["test/mase"] == pytest.approx(metrics["test/mae"] / baseline["test/mae"])
    assert "baseline: " in done.stdout
    ahead = result["rollout"]["rmse_by_days_ahead"]
    assert len(ahead) == 3
    assert ahead[0] == pytest.approx(metrics["test/rmse"], rel=0.02)  # of all but the last days

    prices = 100 + np.arange(40.0)
    days = np.datetime64("2024-01-01") + np.arange(40)
    file = tmp_path / "prices.csv"
    file.write_text("date,close\n" + "\n".join(map("{},{}".format, days, prices)))
    given = answers(folder, file)
    assert [answer["day"] for answer in given] == [1, 2, 3]
    assert {answer["persistence"] for answer in given} == {139.0}
    assert all(120 < answer["value"] < 160 for answer in given)


def test_the_scaler_of_netflix_sees_the_training_part_alone():
    """That no later price reaches a window: tests/data/test_prices.py."""
    from train import recipes
    from train.recipes.netflix import statistics

    splits = recipes.get("netflix").load()
    for part, changes in ((splits.test, False), (splits.validation, False), (splits.train, True)):
        other = {name: np.array(array) for name, array in part.items()}
        other["inputs"][-1] *= np.linspace(1, 2, 30)
        parts = [other if one is part else one for one in splits[:3]]
        before, after = statistics(splits), statistics(type(splits)(*parts, splits.source))
        for name in before:
            assert (before[name] != after[name]).any() == changes
