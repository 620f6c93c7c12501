"""``--overfit N``: N examples come to near-zero loss.

Not in `sine`, a cubic without enough parameters, `gan`, whose losses are a game, and `restore`,
whose noise stays; `mnist` is held to it in ``tests/train/test_overfit.py``.
"""

import pytest
from two_digits import draw_folder

from train import fit, recipes
from train.report import Reporter

PRACTICES = {
    "boston": ("rmse", 0.01, {"epochs": 2000}),
    "mnist-rows": ("loss", 0.05, {"epochs": 100}),
    "mnist-words": ("loss", 0.05, {"epochs": 200}),
    "netflix": ("loss", 1e-3, {"epochs": 5000}),
    "adding": ("loss", 0.01, {"epochs": 600, "length": 20, "study": False}),
    "sentiment": ("loss", 0.05, {"epochs": 80}),
    "translate": ("loss", 0.05, {"epochs": 150}),
    "captcha": ("loss", 0.05, {"epochs": 200, "height": 16}),
    "cifar10": ("loss", 0.05, {"epochs": 120}),
    "resnet": ("loss", 0.05, {"epochs": 60, "depth": 8}),
    "vgg": ("loss", 0.05, {"epochs": 120, "width": 8}),
    "vit": ("loss", 0.05, {"epochs": 400, "features": 32, "depth": 2}),
    "autoencoder": ("mse", 0.001, {"epochs": 600}),
    "unet": (
        "loss",
        0.1,
        {"epochs": 400, "width": 8, "depth": 3, "crop": 64, "ema": None, "learning_rate": 2e-2},
    ),
}
"""What ends near zero, how near, and settings that make it quick."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PRACTICES)
def test_eight_examples_are_learned_by_heart(name, tmp_path):
    metric, limit, settings = PRACTICES[name]
    if name == "captcha":
        settings = {**settings, "source": str(draw_folder(tmp_path / "captchas", None))}
    last = settings["epochs"]
    recipe = recipes.get(name, overfit=8, batch_size=8, evaluate_every=last, **settings)
    run = fit(recipe, tmp_path / "run", reporter=Reporter(quiet=True))
    assert run.history[-1][f"validation/{metric}"] < limit
