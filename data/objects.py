"""Small colour images of ten kinds of objects: computed shapes, or CIFAR-10."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from data.errors import DataError
from data.images import read_image
from data.prepared import load_prepared
from data.shapes import SHAPES, SIDE, draw_shapes
from data.splits import Examples, Splits, count, rows

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
COMPUTED = {"train": 4000, "validation": 500, "test": 1000}
MEANS, DEVIATIONS = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of the channels of CIFAR-10's training pixels, scaled to [0, 1]."""


def load_objects(
    source: str = "computed", data_dir: str | None = None, download: bool = False
) -> Splits:
    """Objects as inputs uint8 [N, 32, 32, 3] and targets int32 [N].

    ``computed`` draws shapes (data/shapes.py): 4,000 train, 500 validation, 1,000 test. ``tfds`` is
    CIFAR-10: 45,000 train, 5,000 validation (a tenth, cut from train in a fixed random order), and
    the 10,000 of test.
    """
    if source == "embedded":
        raise DataError("source embedded: leave --source out for computed shapes")
    if source == "computed":
        parts = {
            part: draw_shapes(number, seed) for seed, (part, number) in enumerate(COMPUTED.items())
        }
        return Splits(**parts, source=source)
    prepared, version = load_prepared("cifar10", source, data_dir, download)
    objects, test = (
        {
            "inputs": prepared[part]["image"],
            "targets": np.asarray(prepared[part]["label"], np.int32),
        }
        for part in ("train", "test")
    )
    cut = count(objects) - count(objects) // 10
    train, validation = rows(objects, slice(0, cut)), rows(objects, slice(cut, None))
    return Splits(train, validation, test, f"tfds:{version}")


def class_names(source: str) -> tuple[str, ...]:
    """What the targets of ``load_objects(source)`` stand for."""
    return tuple(SHAPES) if source == "computed" else CIFAR10_CLASSES


def of_classes(examples: Examples, classes: Sequence[int], most: int | None = None) -> Examples:
    """The examples of some classes, which are numbered anew from 0 in their old order.

    Args:
        examples: ``inputs`` and ``targets``.
        classes: rising.
        most: examples of each class, the first ones; default all.
    """
    targets = np.asarray(examples["targets"])
    index = np.sort(np.concatenate([np.flatnonzero(targets == one)[:most] for one in classes]))
    renumbered = np.searchsorted(classes, targets[index]).astype(np.int32)
    return {**rows(examples, index), "targets": renumbered}


def standardise_colours(images: Array) -> Float[Array, "*shape"]:
    """Pixels 0 to 255 to mean 0 and deviation 1 of each channel of CIFAR-10, inside jit."""
    pixels = images.astype(jnp.float32) / 255
    return (pixels - jnp.array(MEANS)) / jnp.array(DEVIATIONS)


def read_object(path: str) -> np.ndarray:
    """A picture of one object as uint8 [32, 32, 3]; other sizes are scaled.

    Raises:
        DataError: not an image, or too small to show anything.
    """
    image = read_image(path, "RGB")
    if min(image.size) < 8:
        width, height = image.size
        raise DataError(f"{path}: {width} x {height} pixels; must be 8 x 8 or more")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
