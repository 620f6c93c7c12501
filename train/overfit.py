"""``--overfit N``: whether a network can learn at all, seen on a few examples that it repeats."""

from data import Splits, count, rows
from train.errors import UsageError
from train.recipe import Recipe
from train.settings import from_values, to_values

OF_OBJECTS = ("crop", "cutout", "mixup", "cutmix", "label_smoothing", "flip")
UNCHANGED = {
    **dict.fromkeys(("shift", "distortion", "hidden_share", "light", "dropout_rate"), 0),
    "zoom": 1,
    **dict.fromkeys([f"augmentation.{name}" for name in OF_OBJECTS], 0),
}
"""Settings that practices have under these names, at values that leave training examples alone."""


def unchanging(recipe: Recipe) -> Recipe:
    """The recipe without random changes that only make learning harder.

    What makes the task, as the noise that is to be taken out, stays.
    """
    values = to_values(recipe)
    still = {name: type(values[name])(UNCHANGED[name]) for name in UNCHANGED.keys() & values.keys()}
    return from_values(type(recipe), {**values, **still})


def first_examples(splits: Splits, number: int) -> Splits:
    """The first training examples as the training and as the validation part; test as it was.

    Raises:
        UsageError: there are not so many.
    """
    if number > (there := count(splits.train)):
        raise UsageError(f"overfit {number}: there are {there} training examples")
    few = rows(splits.train, slice(number))
    return splits._replace(train=few, validation=few)
