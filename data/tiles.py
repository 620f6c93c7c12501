"""Pictures of any size as overlapping tiles of one size, and back."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped

Corner = tuple[int, int]
"""Row and column of a tile's first pixel."""


def tile_corners(height: int, width: int, size: int, overlap: int) -> list[Corner]:
    """Corners of the fewest square tiles that cover a picture and overlap by ``overlap`` or more.

    They are spread evenly. A side shorter than ``size`` has one tile, which goes beyond it.
    """

    def starts(length: int) -> list[int]:
        tiles = max(1, math.ceil((length - overlap) / (size - overlap)))
        return np.rint(np.linspace(0, max(0, length - size), tiles)).astype(int).tolist()

    return [(row, column) for row in starts(height) for column in starts(width)]


def cut_tiles(
    picture: Shaped[np.ndarray, "H W C"], size: int, overlap: int
) -> Shaped[np.ndarray, "N size size C"]:
    """The tiles of a picture at ``tile_corners``; beyond its edges it is mirrored."""
    height, width, _ = picture.shape
    missing = [(0, max(0, size - side)) for side in (height, width)]
    padded = np.pad(picture, [*missing, (0, 0)], mode="symmetric")
    corners = tile_corners(height, width, size, overlap)
    return np.stack([padded[row : row + size, column : column + size] for row, column in corners])


def join_tiles(
    tiles: Sequence[Float[np.ndarray, "size size C"]], height: int, width: int, overlap: int
) -> Float[np.ndarray, "H W C"]:
    """The picture of tiles that were cut at ``tile_corners``: means, weighted by Hann windows.

    A tile counts least at its edges, where a network saw the fewest neighbours, and its weight
    falls smoothly, so that no seam shows.
    """
    size, _, channels = tiles[0].shape
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    window = np.outer(hann, hann)[..., None]
    corners = tile_corners(height, width, size, overlap)
    total = np.zeros((max(height, size), max(width, size), channels))
    weight = np.zeros((*total.shape[:2], 1))
    for tile, (row, column) in zip(tiles, corners, strict=True):
        place = (slice(row, row + size), slice(column, column + size))
        total[place] += tile * window
        weight[place] += window
    return (total / weight)[:height, :width].astype(np.float32)
