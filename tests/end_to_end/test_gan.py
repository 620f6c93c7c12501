"""A generator of digits as a newcomer runs it, small: it does not get far, and says so."""

import numpy as np
import pytest
from command import answers, assert_complete, assert_eval_repeats, assert_mistake, run, train
from command import summary as summary_of
from PIL import Image

OPTIONS = [
    "--epochs=2", "--evaluate-every=1", "--batch-size=200", "--width=2", "--samples=50",
    "--spectral-norm=true",
]  # fmt: skip


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    return train(tmp_path_factory, "gan", *OPTIONS)


def test_a_run_folder_is_complete(gan):
    figures = {"over_time", "samples", "digits", "learning_curves"}
    assert_complete("gan", figures, *gan)


def test_the_samples_are_judged(gan):
    summary = summary_of(gan[0])
    distances = summary["baseline"]
    assert 0 < 10 * distances["training_images"] < distances["test/frechet_distance"]
    assert summary["metrics"]["test/frechet_distance"] > 10 * distances["training_images"]
    assert sum(summary["share_of_digits"]) == pytest.approx(1)
    assert summary["collapse"].startswith("collapsed: under 3% of the samples are ")
    assert summary["judge_accuracy"] > 0.9


def test_eval_repeats_the_test_metrics(gan):
    assert_eval_repeats(gan[0])


def test_each_seed_becomes_a_picture(gan):
    given = answers(gan[0], "3", "4", "3")
    assert [answer["input"] for answer in given] == ["3", "4", "3"]
    assert given[0] == given[2]
    images = [np.asarray(Image.open(answer["image"])) for answer in given]
    assert images[0].shape == (28, 28)
    assert (images[0] != images[1]).any()
    assert all(0.1 <= answer["probability"] <= 1 for answer in given)


def test_an_exported_file_draws_the_same_digits(gan, tmp_path):
    file = tmp_path / "digits.jax"
    assert run("export", gan[0], file).returncode == 0
    for one, other in zip(answers(file, "3", "4"), answers(gan[0], "3", "4"), strict=True):
        ours, theirs = (np.asarray(Image.open(a.pop("image")), int) for a in (one, other))
        assert np.abs(ours - theirs).max() <= 1  # rounded to a grey level
        assert one.pop("probability") == pytest.approx(other.pop("probability"), rel=1e-4)
        assert one == other
    done = run("eval", file)
    assert done.returncode == 2
    reason = "holds the prediction alone, which no metric judges; name the run folder instead"
    assert done.stderr == f"error: {file}: {reason}\n"


@pytest.mark.parametrize("seed", ["seven", "1.5", "²", 21 * "1"])
def test_what_is_no_seed_is_named(gan, seed):
    done = run("predict", gan[0], seed)
    assert done.returncode == 2
    assert done.stderr == f"error: {seed!r}: give seeds, whole numbers of 20 digits at most, as 7\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--width=0"], "width 0: must be 1 or more"),
        (["--noise-size=0"], "noise_size 0: must be 1 or more"),
        (["--samples=0"], "samples 0: must be 1 or more"),
        (["--beta1=1"], "optimizer.beta1 1.0: from 0 to below 1"),
    ],
)
def test_settings_that_cannot_be(tmp_path, options, words):
    assert_mistake(["train", "gan", "--out", tmp_path / "run", *options], words)
    assert not (tmp_path / "run").exists()
