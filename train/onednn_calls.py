"""Calls of oneDNN's convolution in a StableHLO program; when to make them, ``onednn.py`` says."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

Value = Any  # ir.Value, whose type has no shape for a type checker
Layout = tuple[int, ...]
"""Where batch, channels, rows and columns lie; in a kernel, features out, in, rows and columns."""

IMAGES: Layout = (0, 3, 1, 2)
PART = 16
"""Images that a kernel's gradient takes at once; their copies then stay in a core's cache."""

HALVED = 16
"""Up to so many channels it takes them in two halves; with more, undivided is faster."""


def sum_kernel_gradient(
    images: Value,
    cotangent: Value,
    kernel: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
) -> Value:
    """The gradient of a kernel, part by part of the batch.

    Shapes:
        images: [batch, height, width, channels], padded above, below, left and right.
        cotangent: [batch, out_height, out_width, features], of the convolution's output.
        kernel: kernel_height, kernel_width, channels, features; the result has them.
        dilations: the convolution's strides.
    """
    batch = images.type.shape[0]
    parts = [
        _sum_part(
            _pad(_cut(images, start, min(start + PART, batch)), padding),
            _cut(cotangent, start, min(start + PART, batch)),
            kernel,
            dilations,
        )
        for start in range(0, batch, PART)
    ]
    return functools.reduce(lambda total, part: stablehlo.add(total, part), parts)


def _sum_part(
    images: Value, cotangent: Value, kernel: Sequence[int], dilations: Sequence[int]
) -> Value:
    """As one convolution, whose channels are the images, which oneDNN has a fast form of.

    The sum over b, y, x of images[b, y + i, x + j, c] cotangent[b, y, x, f] is a convolution of an
    image whose columns are all (x, c) with a kernel, the cotangent, whose columns lie as far apart
    as there are c; the columns of its output are (j, c). With few c each half of them is an image
    of its own, since two threads could not share out the three rows of one.
    """
    batch, height, width, channels = images.type.shape
    rows, columns, _, features = kernel
    halves = 2 if channels <= HALVED else 1
    few = channels // halves
    halved = reshape(images, [batch, height, width, halves, few])
    turned = transpose(halved, (3, 1, 2, 4, 0))
    gradient = convolve(
        reshape(turned, [halves, height, width * few, batch]),
        cotangent,
        [halves, rows, columns * few, features],
        kernel_layout=(3, 0, 1, 2),
        dilations=[dilations[0], dilations[1] * few],
    )
    of_halves = reshape(gradient, [halves, rows, columns, few, features])
    turned_back = transpose(of_halves, (1, 2, 0, 3, 4))
    return reshape(turned_back, kernel)


def _pad(images: Value, padding: Sequence[int]) -> Value:
    above, below, left, right = padding
    return stablehlo.pad(
        images,
        stablehlo.constant(ir.Attribute.parse("dense<0.0> : tensor<f32>")),
        ir.DenseI64ArrayAttr.get([0, above, left, 0]),
        ir.DenseI64ArrayAttr.get([0, below, right, 0]),
        ir.DenseI64ArrayAttr.get([0, 0, 0, 0]),
    )


def _cut(array: Value, start: int, stop: int) -> Value:
    shape = array.type.shape
    return stablehlo.slice(
        array,
        ir.DenseI64ArrayAttr.get([start, *[0] * (len(shape) - 1)]),
        ir.DenseI64ArrayAttr.get([stop, *shape[1:]]),
        ir.DenseI64ArrayAttr.get([1] * len(shape)),
    )


def transpose(array: Value, order: Sequence[int]) -> Value:
    """As numpy.transpose."""
    return stablehlo.transpose(array, ir.DenseI64ArrayAttr.get(list(order)))


def reshape(array: Value, shape: Sequence[int]) -> Value:
    """The same numbers in row-major order."""
    return stablehlo.reshape(_float32(shape), array)


def _float32(shape: Sequence[int]) -> ir.Type:
    return ir.RankedTensorType.get(list(shape), ir.F32Type.get())


def convolve(
    images: Value,
    kernel: Value,
    output: Sequence[int],
    kernel_layout: Layout,
    padding: Sequence[int] = (0, 0, 0, 0),
    strides: Sequence[int] = (1, 1),
    dilations: Sequence[int] = (1, 1),
) -> Value:
    """jaxlib's call of oneDNN: images and output [batch, height, width, channels].

    oneDNN could add a bias and rectify in the same call, but its ReLU makes zeros of NaNs, and a
    network that has diverged would seem sound.
    """
    batch, channels, *pixels = IMAGES
    features_out, features_in, *places = kernel_layout
    of_images = {"batch_dim": batch, "feature_dim": channels, "spatial_dims": pixels}
    of_kernel = {
        "input_feature_dim": features_in,
        "output_feature_dim": features_out,
        "spatial_dims": places,
    }
    window = {
        "size": [kernel.type.shape[place] for place in places],
        "pad_left": padding[::2],
        "pad_right": padding[1::2],
        "strides": strides,
        "window_dilations": dilations,
    }
    configuration = {
        "dims": 4,
        "input": {"dims": 4, "data": of_images},
        "kernel": {"dims": 4, "filter": of_kernel},
        "output": {"dims": 4, "data": of_images},
        "window": window,
        "feature_groups": 1,
    }
    return _call("convolution", [images, kernel], output, {"onednn_conv_config": configuration})


def multiply(
    left: Value, right: Value, output: Sequence[int], transpose_left: bool, transpose_right: bool
) -> Value:
    """[batch, m, k] times [batch, k, n], or [m, k] times [k, n]; transposed, if it says so."""
    configuration = {"transpose_a": transpose_left, "transpose_b": transpose_right}
    return _call("matmul", [left, right], output, {"onednn_matmul_config": configuration})


def _call(
    name: str, operands: list[Value], output: Sequence[int], configuration: dict[str, Any]
) -> Value:
    """oneDNN reads and writes arrays as they lie in row-major order."""
    order = list(range(len(output)))[::-1]
    row_major = ir.Attribute.parse(f"dense<{order}> : tensor<{len(order)}xindex>")
    return stablehlo.CustomCallOp(
        [_float32(output)],
        operands,
        ir.StringAttr.get(f"__onednn${name}"),
        backend_config=ir.StringAttr.get(json.dumps(configuration)),
        api_version=ir.IntegerAttr.get(ir.IntegerType.get_signless(32), 2),
        operand_layouts=ir.ArrayAttr.get([row_major] * len(operands)),
        result_layouts=ir.ArrayAttr.get([row_major]),
    ).result
