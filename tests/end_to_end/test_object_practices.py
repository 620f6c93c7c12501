"""Practices on objects as a newcomer runs them."""

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

COMMON = ("--epochs", "1", "--batch-size", "64", "--crop", "2")
PRACTICES = {
    "cifar10": ("--widths", "8,16", "--hidden", "32", "--learning-rate", "3e-3"),
    "resnet": ("--depth", "8", "--depth-of-gradients", "8"),
    "vit": ("--patch", "8", "--features", "16", "--depth", "1", "--heads", "2"),
}
FIGURES = {"learning_curves", "confusion", "answers", "mistakes", "filters"}


@pytest.fixture(scope="module", params=PRACTICES)
def practice(request, tmp_path_factory):
    return request.param, *train(
        tmp_path_factory, request.param, *COMMON, *PRACTICES[request.param]
    )


def test_a_run_folder_is_complete_and_repeats(practice):
    name, folder, done = practice
    more = {"gradients"} if name == "resnet" else set()
    assert_complete(name, FIGURES | more, folder, done)
    assert 0.05 < summary(folder)["baseline"]["test/accuracy"] < 0.3
    assert_eval_repeats(folder)


def test_pictures_of_any_size_are_named(practice, tmp_path):
    _, folder, _ = practice
    path = tmp_path / "shape.png"
    image = load_objects().test["inputs"][0]
    Image.fromarray(image).resize((90, 70)).save(path)
    (answer,) = answers(folder, path)
    assert answer["label"] in class_names("computed")
    assert 0.1 <= answer["probability"] <= 1
    Image.fromarray(image[:1, :1]).save(path)
    assert_mistake(["predict", folder, path], "shape.png", "1 x 1 pixels", "8 x 8")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("resnet", "--depth", "21"), ("depth 21", "6n + 2")),
        (("vit", "--patch", "5"), ("patch 5", "divide 32")),
        (("vit", "--heads", "3"), ("heads 3", "128 features")),
        (("cifar10", "--crop", "-1"), ("augmentation.crop -1",)),
        (("cifar10", "--source", "embedded"), ("leave --source out",)),
    ],
)
def test_mistakes(wrong, words, tmp_path):
    assert_mistake(["train", *wrong, "--out", tmp_path / "run"], *words)
    assert not (tmp_path / "run").exists()


def test_gradients_by_depth_are_those_of_the_kernels():
    from flax_models import CifarResNet
    from train.objects import ObjectClassifier
    from train.recipes.resnet import gradient_norms

    images = load_objects().validation
    batch = {name: array[:8] for name, array in images.items()}
    module = ObjectClassifier(CifarResNet(8, 10, shortcut="none"))
    norms = gradient_norms(module, batch, 0)
    assert len(norms) == 7  # all but the dense layer
    assert np.isfinite(norms).all()
    assert min(norms) > 0
