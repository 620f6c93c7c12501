"""Every practice by name. To add one, write its file here and name its class below."""

import difflib
from typing import Any

from train.errors import UsageError
from train.recipe import Recipe
from train.recipes.adding import Adding
from train.recipes.autoencoder import AutoencoderPractice
from train.recipes.boston import Boston
from train.recipes.captcha import Captcha
from train.recipes.cifar10 import Cifar10
from train.recipes.gan import Gan
from train.recipes.mnist import Mnist
from train.recipes.mnist_rows import MnistRows
from train.recipes.mnist_words import MnistWords
from train.recipes.netflix import Netflix
from train.recipes.resnet import ResNet
from train.recipes.restore import Restore
from train.recipes.sentiment import Sentiment
from train.recipes.sine import Sine
from train.recipes.translate import Translate
from train.recipes.unet import Unet
from train.recipes.vgg import Vgg
from train.recipes.vit import Vit
from train.settings import build

RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Sine,
        Boston,
        Mnist,
        Cifar10,
        Vgg,
        ResNet,
        Netflix,
        Adding,
        MnistRows,
        MnistWords,
        Sentiment,
        Translate,
        Captcha,
        Unet,
        Restore,
        AutoencoderPractice,
        Gan,
        Vit,
    )
}


def get(name: str, **overrides: Any) -> Recipe:
    """A recipe with some settings changed, as ``get("mnist", epochs=3, learning_rate=1e-3)``.

    Settings of a part go by their last name where it is unique, and by
    ``**{"optimizer.learning_rate": 1e-3}`` in full.

    Raises:
        UsageError: no such recipe or setting; the message suggests the nearest.
    """
    return build(find(name), overrides)


def find(name: str) -> type[Recipe]:
    """The class of a recipe.

    Raises:
        UsageError: there is none of that name.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(RECIPES)}"
    raise UsageError(f"no recipe {name!r}; {hint}")
