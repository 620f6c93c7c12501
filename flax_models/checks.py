"""Checks of what a caller passes in: each raises a ValueError that fits on one line."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn


def check_shape(name: str, array: Any, expected: Sequence[str | int]) -> None:
    """Raise unless `array` has an axis for each entry of `expected`: any size for a word.

    `check_shape("images", x, ("batch", "height", "width", 3))` may say
    "images: expected [batch, height, width, 3], got (4, 32, 32)".
    """
    shape = tuple(array.shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or size == want for size, want in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected))
        raise ValueError(f"{name}: expected [{wanted}], got {shape}")


def known_size(module: nn.Module, *path: str, otherwise: str, axis: int = -2) -> str | int:
    """The input size that the parameter at `path` of a bound `module` was made for, else a word.

    A first layer's kernel is [..., in, out], so its axis -2 tells how many channels or features the
    variables were initialised with; during `init` there is no kernel yet and any size will do.
    """
    node: Any = module.variables.get("params", {})
    for name in path:
        if name not in node:
            return otherwise
        node = node[name]
    return int(node.shape[axis])


def check_images(module: nn.Module, images: Any, *first_kernel: str) -> None:
    """Raise unless `images` is [batch, height, width, channels of the first kernel]."""
    channels = known_size(module, *first_kernel, otherwise="channels")
    check_shape("images", images, ("batch", "height", "width", channels))


def check_minimum_size(images: Any, minimum: int, reason: str) -> None:
    """Raise if the height or width of `images` is below `minimum`, which `reason` explains."""
    height, width = images.shape[1:3]
    if min(height, width) < minimum:
        raise ValueError(
            f"images: expected [batch, height >= {minimum}, width >= {minimum}, channels] "
            f"for {reason}, got {tuple(images.shape)}"
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
