"""Convolutions with a stride as sums over the phases of the images, for their transposes' sake."""

import functools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def convolve_by_phases(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    stride: tuple[int, int],
    padding: int,
) -> Float[Array, "batch out_height out_width features"]:
    """A convolution with a stride as a sum of some without, each of pixels that lie a stride apart.

    The transpose that XLA derives of a strided convolution puts zeros between pixels, and is slow
    on a CPU. The transpose of this sum does not: it computes each phase of its outputs by a part of
    the kernel, and puts the phases together (docs/performance.md).

    With i the place in the kernel, out[m] = sum over i of images[stride m + i - padding] kernel[i],
    and the pixels of phase r are those with i - padding = stride t + r for some t.
    """
    outputs = [
        (size + 2 * padding - extent) // step + 1
        for size, extent, step in zip(images.shape[1:3], kernel.shape, stride, strict=False)
    ]
    sums = []
    for row, rows in enumerate(_phases(images, 1, stride[0])):
        for column, phase in enumerate(_phases(rows, 2, stride[1])):
            offsets = row + padding, column + padding
            part = kernel[offsets[0] % stride[0] :: stride[0], offsets[1] % stride[1] :: stride[1]]
            if part.size == 0:
                continue  # a kernel smaller than the stride leaves out pixels
            before = [offset // step for offset, step in zip(offsets, stride, strict=True)]
            after = [
                output - 1 - first + extent - size
                for output, first, extent, size in zip(
                    outputs, before, part.shape, phase.shape[1:3], strict=False
                )
            ]
            sums.append(
                lax.conv_general_dilated(
                    phase,
                    part,
                    window_strides=(1, 1),
                    padding=list(zip(before, after, strict=True)),
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
            )
    return functools.reduce(lax.add, sums)


def _phases(images: Array, axis: int, step: int) -> list[Array]:
    """Every step-th row or column from the first, from the second, and so on; zeros at the end."""
    size = images.shape[axis]
    after = [(0, 0)] * images.ndim
    after[axis] = (0, -size % step)
    shape = (*images.shape[:axis], -(-size // step), step, *images.shape[axis + 1 :])
    apart = jnp.pad(images, after).reshape(shape)
    # the transpose of a split is a concatenation, that of slices a sum of padded arrays
    return [jnp.squeeze(phase, axis + 1) for phase in jnp.split(apart, step, axis + 1)]
