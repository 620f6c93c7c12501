"""Transfer learning as a newcomer runs it."""

import json

import numpy as np
import pytest
from command import (
    answers,
    assert_complete,
    assert_eval_repeats,
    assert_mistake,
    summary,
    train,
)
from PIL import Image

from data import class_names, load_objects
from train.weights import load_torch

TINY = (
    "--width", "4", "--hidden", "16", "--dropout-rate", "0", "--epochs", "1", "--images-each", "40",
    "--batch-size", "64", "--labelled", "10", "--study-steps", "2", "--freeze",
)  # fmt: skip


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    return train(tmp_path_factory, "vgg", *TINY)


def test_a_run_folder_is_complete_and_repeats(vgg):
    folder, done = vgg
    figures = {"learning_curves", "confusion", "answers", "mistakes", "filters", "transfer"}
    assert_complete("vgg", figures, folder, done)
    assert 0.1 < summary(folder)["baseline"]["test/accuracy"] < 0.4  # of five classes
    assert_eval_repeats(folder)


def test_the_summary_has_both_starts(vgg):
    folder, _ = vgg
    accuracy = summary(folder)["transfer"]["test_accuracy_by_images_a_class"]
    assert {start: list(points) for start, points in accuracy.items()} == {
        "scratch": ["10"],
        "transferred": ["10"],
    }
    for start, points in accuracy.items():
        one = summary(folder / "transfer" / f"{start}-10")
        assert one["metrics"]["test/accuracy"] == points["10"]
        settings = json.loads((folder / "transfer" / f"{start}-10" / "config.json").read_text())
        assert settings["settings"]["classes"] == [5, 6, 7, 8, 9]


def test_frozen_convolutions_keep_every_bit(vgg):
    folder, _ = vgg
    first, second = (
        load_torch(place / "model.safetensors")
        for place in (folder, folder / "transfer" / "transferred-10")
    )
    same = {name for name in first if np.array_equal(first[name], second[name])}
    assert same == {name for name in first if "/features_" in name}


def test_a_picture_is_one_of_the_classes_learned(vgg, tmp_path):
    folder, _ = vgg
    path = tmp_path / "shape.png"
    image = load_objects().test["inputs"][0]
    Image.fromarray(image).resize((90, 70)).save(path)
    (answer,) = answers(folder, path)
    assert answer["label"] in class_names("computed")[:5]
    assert 0.2 <= answer["probability"] <= 1
    Image.fromarray(image[:1, :1]).save(path)
    assert_mistake(["predict", folder, path], "shape.png", "1 x 1 pixels", "8 x 8")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--depth", "12"), ("depth 12", "11, 13, 16, 19")),
        (("--classes", "3,1"), ("classes 3,1", "rising numbers from 0 to 9")),
        (("--classes", "4,10"), ("classes 4,10",)),
        (("--labelled", "10,0"), ("labelled 0",)),
        (("--images-each", "500"), ("500 training images", "computed has 400")),
        (("--pretrained", "no.pth"), ("no.pth: no such file of weights",)),
    ],
)
def test_mistakes(wrong, words, tmp_path):
    assert_mistake(["train", "vgg", *wrong, "--out", tmp_path / "run"], *words)
    assert not (tmp_path / "run").exists()
