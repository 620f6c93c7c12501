"""Options of every practice together: half precision, parts of a batch, a moving average."""

import pytest
from command import answers, assert_eval_repeats, summary, train
from PIL import Image

from data import load_digits


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    options = ["--precision", "bf16", "--accumulate", "4", "--ema", "0.99", "--epochs", "4"]
    return train(tmp_path_factory, "mnist", *options)[0]


def test_a_run_with_all_of_them_learns(trained):
    assert summary(trained)["metrics"]["test/accuracy"] > 0.8


def test_eval_repeats_what_the_average_reached_in_half_precision(trained):
    assert_eval_repeats(trained)


def test_predictions_are_plain_numbers(trained, tmp_path):
    Image.fromarray(load_digits().test["inputs"][0, ..., 0]).save(tmp_path / "digit.png")
    (answer,) = answers(trained, tmp_path / "digit.png")
    assert 0.1 <= answer["probability"] <= 1
