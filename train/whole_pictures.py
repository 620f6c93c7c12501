"""What practices share that learn from crops and answer for whole pictures."""

from collections.abc import Callable, Sequence
from pathlib import PurePath

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from data import cut_tiles, join_tiles

SYMMETRIES = range(8)


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
