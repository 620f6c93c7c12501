"""What practices share that learn from crops and answer for whole pictures."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from data import Pictures, cut_tiles, join_tiles, load_pictures
from train.errors import UsageError
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe

SYMMETRIES = range(8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureRecipe(Recipe):
    """Settings of a practice whose U-Net learns from crops and answers for whole pictures."""

    masks: ClassVar[bool]
    """Whether its pictures come with masks."""

    source: str = "computed"
    epochs: int = 10
    evaluate_every: int = 2
    batch_size: int = 8
    width: int = 16
    """Channels of the U-Net's first level; each level below has twice as many."""
    depth: int = 4
    """Levels below the first; each halves the sides."""
    crop: int = 128
    """Pixels of a training crop's side; a multiple of 2 to the power of the depth."""
    views: int = 2
    """Symmetries of the square over which answers for whole pictures are averaged, 1 to 8."""
    optimizer: Optimizer = Optimizer(learning_rate=2e-3, weight_decay=1e-4, warmup=0.05)

    def __post_init__(self) -> None:
        """Refuse crops that the network cannot halve, and views that a square does not have."""
        super().__post_init__()
        if self.source == "embedded":
            raise UsageError("source embedded: leave --source out for simulated cells")
        if self.crop < 1 or self.crop % 2**self.depth:
            raise UsageError(f"crop {self.crop}: must be a multiple of {2**self.depth}")
        if not 1 <= self.views <= len(SYMMETRIES):
            raise UsageError(f"views {self.views}: must be from 1 to {len(SYMMETRIES)}")

    @property
    def patch(self) -> int:
        """Side of the patches that crops are taken from, and of the tiles that answers are."""
        return self.crop * 3 // 2

    @functools.cached_property
    def pictures(self) -> Pictures:
        """Whole pictures, read once."""
        return load_pictures(self.source, self.masks)

    def whole(
        self, predict: Predictor, pixels: UInt8[np.ndarray, "H W C"]
    ) -> Float[np.ndarray, "H W outputs"]:
        """The network's outputs for a picture of any size."""
        return predict_whole(predict, pixels, self.views, self.patch)


def turned(images: Shaped[np.ndarray, "... S S C"], symmetry: int) -> np.ndarray:
    """Square images under one of the eight symmetries of a square; 0 leaves them as they are."""
    if symmetry & 1:
        images = images[..., ::-1, :, :]
    if symmetry & 2:
        images = images[..., ::-1, :]
    return images.swapaxes(-3, -2) if symmetry & 4 else images


def turned_back(images: Shaped[np.ndarray, "... S S C"], symmetry: int) -> np.ndarray:
    """The inverse of ``turned``."""
    if symmetry & 4:
        images = images.swapaxes(-3, -2)
    if symmetry & 2:
        images = images[..., ::-1, :]
    return images[..., ::-1, :, :] if symmetry & 1 else images


def predict_whole(
    predict: Callable[[np.ndarray], np.ndarray],
    pixels: UInt8[np.ndarray, "H W C"],
    views: int,
    size: int,
) -> Float[np.ndarray, "H W outputs"]:
    """A network's outputs for a picture of any size, by overlapping tiles of one size.

    Tiles overlap by a quarter of ``size``. ``predict`` sees each tile under ``views`` symmetries of
    the square, always as one batch, so that it compiles once; the outputs are turned back and
    averaged.
    """
    symmetries, overlap, tiles = SYMMETRIES[:views], size // 4, []
    height, width, _ = pixels.shape
    for tile in cut_tiles(pixels, size, overlap):
        outputs = predict(np.stack([turned(tile, symmetry) for symmetry in symmetries]))
        back = map(turned_back, outputs, symmetries)
        tiles.append(np.mean(list(back), axis=0))
    return join_tiles(tiles, height, width, overlap)


def distinct_stems(paths: Sequence[str]) -> list[str]:
    """The names of files without folder and ending, numbered where several are the same."""
    stems: list[str] = []
    for path in paths:
        stem = candidate = PurePath(path).stem
        number = 1
        while candidate in stems:
            number += 1
            candidate = f"{stem}_{number}"
        stems.append(candidate)
    return stems
