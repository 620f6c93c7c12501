"""3x3 convolutions by fewer multiplications: Lavin and Gray 2015, F(2x2, 3x3).

Every 2x2 square of outputs depends on a 4x4 tile of inputs. In a basis of sums and differences of a
tile's pixels the convolution is a product pixel by pixel: 16 multiplications a square and pair of
channels, where the definition takes 36. All squares together make 16 matrix products. The sums
cost memory traffic, so it pays only where the channels are many.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# The paper's B^T, G and A^T (section 4.1): of a tile's 4 rows, of the kernel's 3, to a square's 2.
OF_TILE = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
OF_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
TO_SQUARE = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
SQUARE, TILE = TO_SQUARE.shape


def convolve_by_squares(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "3 3 channels features"],
) -> Float[Array, "batch height width features"]:
    """The stride-1 convolution with one row and column of zeros around the images."""
    batch, height, width, channels = images.shape
    features = kernel.shape[-1]
    rows, columns = math.ceil(height / SQUARE), math.ceil(width / SQUARE)
    padded = jnp.pad(
        images,
        ((0, 0), (1, 1 + SQUARE * rows - height), (1, 1 + SQUARE * columns - width), (0, 0)),
    )
    tile_rows = _combine(OF_TILE, [_every_other(padded, 1, i, rows) for i in range(TILE)])
    kernel_rows = _combine(OF_KERNEL, _parts(kernel))
    square_rows = []
    for tile_row, kernel_row in zip(tile_rows, kernel_rows, strict=True):
        tiles = _combine(OF_TILE, [_every_other(tile_row, 2, j, columns) for j in range(TILE)])
        weights = _combine(OF_KERNEL, _parts(kernel_row))
        products = [
            tile.reshape(-1, channels) @ weight for tile, weight in zip(tiles, weights, strict=True)
        ]
        square_rows.append(jnp.stack(_combine(TO_SQUARE, products), axis=1))
    squares = jnp.stack(_combine(TO_SQUARE, square_rows), axis=1)
    squares = squares.reshape(batch, rows, columns, SQUARE, SQUARE, features)
    outputs = squares.swapaxes(2, 3).reshape(batch, SQUARE * rows, SQUARE * columns, features)
    return outputs[:, :height, :width]


def _every_other(images: Array, axis: int, start: int, count: int) -> Array:
    """Rows (axis 1) or columns (axis 2) `start`, `start` + 2, ...: one for each square."""
    return lax.slice_in_dim(images, start, start + SQUARE * (count - 1) + 1, SQUARE, axis)


def _parts(kernel: Array) -> list[Array]:
    """Along the first axis. Their gradients are then joined, not padded and added up."""
    return [part[0] for part in lax.split(kernel, [1] * kernel.shape[0])]


def _combine(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """The matrix times a vector of arrays, written as sums, for most factors are 0, 1 or -1."""
    sums = []
    for row in matrix:
        terms = [
            part if factor == 1 else -part if factor == -1 else part * part.dtype.type(factor)
            for factor, part in zip(row, parts, strict=True)
            if factor != 0
        ]
        sums.append(sum(terms[1:], start=terms[0]))
    return sums
