"""Autoencoders as a newcomer runs them: the four kinds, small, on the embedded digits."""

import json

import numpy as np
import pytest
from command import (
    answers,
    assert_complete,
    assert_eval_repeats,
    assert_mistake,
    call,
    run,
    summary,
    train,
)
from PIL import Image

from data import load_digits

FIGURES = {"reconstructions", "codes", "interpolation", "learning_curves"}


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return train(
        tmp_path_factory, "autoencoder", "--latent=2", "--hidden=128,64", "--epochs=30",
        "--evaluate-every=15",
    )  # fmt: skip


def test_two_numbers_say_more_than_two_principal_components(dense):
    folder, done = dense
    assert_complete("autoencoder", FIGURES, folder, done)
    result = summary(folder)
    assert 0 < result["metrics"]["test/mse"] < 0.95 * result["baseline"]["test/mse"]


def test_eval_repeats_the_test_metrics(dense):
    assert_eval_repeats(dense[0])


def test_a_reconstruction_is_written_for_each_picture(dense, tmp_path):
    """Of any size, light on dark or dark on light, two of the same name."""
    (tmp_path / "a").mkdir()
    digits, paths = load_digits().test["inputs"][:3, ..., 0], []
    for name, pixels in zip(("one.png", "a/one.png", "two.png"), digits, strict=True):
        paths.append(tmp_path / name)
        Image.fromarray(255 - pixels if name == "two.png" else pixels).save(paths[-1])
    given = answers(dense[0], *paths)
    assert [answer["input"] for answer in given] == list(map(str, paths))
    stems = ("one_reconstruction", "one_2_reconstruction", "two_reconstruction")
    assert [answer["reconstruction"] for answer in given] == [
        str(dense[0] / "predictions" / f"{stem}.png") for stem in stems
    ]
    for answer, pixels in zip(given, digits, strict=True):
        image = np.asarray(Image.open(answer["reconstruction"]))
        assert image.shape == (28, 28)
        # the file is rounded to whole steps of 1 / 255
        mse = np.mean((image / 255.0 - pixels / 255.0) ** 2)
        assert answer["mse"] == pytest.approx(mse, rel=0.02)
        assert answer["mse"] < np.mean((pixels / 255.0) ** 2)


def test_what_is_not_an_image_is_named(dense, tmp_path):
    path = tmp_path / "letter.png"
    path.write_text("no image")
    done = run("predict", dense[0], path)
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: not a readable image\n"


@pytest.mark.parametrize(
    ("kind", "figures", "metrics"),
    [
        ("convolutional", FIGURES, {"loss", "mse"}),
        ("denoising", FIGURES, {"loss", "mse"}),
        ("variational", FIGURES | {"samples"}, {"loss", "mse", "reconstruction", "kl"}),
    ],
)
def test_the_other_kinds(tmp_path, kind, figures, metrics):
    folder = tmp_path / "run"
    code, out, err = call(
        "train", "autoencoder", "--out", folder, "--kind", kind, "--latent=4", "--hidden=32",
        "--channels=4,4", "--epochs=2", "--batch-size=400",
    )  # fmt: skip
    assert code == 0, err
    assert out.startswith("autoencoder: test/")
    assert {path.stem for path in (folder / "figures").iterdir()} == figures
    measured = summary(folder)["metrics"]
    assert {name for name in measured if name.startswith("test/")} == {
        f"test/{name}" for name in metrics
    }
    if kind == "variational":
        terms = measured["test/reconstruction"] + measured["test/kl"]
        assert measured["test/loss"] == pytest.approx(terms, rel=1e-5)
    # noise and codes are drawn by the step's key alone: evaluation is the same again
    code, out, err = call("eval", folder)
    assert code == 0, err
    assert json.loads(out)["test/mse"] == pytest.approx(measured["test/mse"], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--latent=0"], "latent 0: must be 1 or more"),
        (["--kind=sparse"], "one of dense, convolutional, denoising, variational, got 'sparse'"),
        (["--noise=-1"], "noise -1.0: must be 0 or more"),
        (["--hidden=0"], "hidden (0,): one width or more, each 1 or more"),
        (["--channels="], "channels (): one width or more"),
        (["--source=embeded"], "embeded"),
    ],
)
def test_settings_that_cannot_be(tmp_path, options, words):
    assert_mistake(["train", "autoencoder", "--out", tmp_path / "run", *options], words)
    assert not (tmp_path / "run").exists()
