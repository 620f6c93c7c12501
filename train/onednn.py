"""Convolutions on CPU by oneDNN, which jaxlib carries and XLA does not call by itself.

XLA:CPU sends convolutions to Eigen or YNNPACK, PyTorch to oneDNN, which is faster where channels
are few. jaxlib contains oneDNN's convolution too, behind a custom call that only a pass of XLA was
to make. It is made here, in the lowered program: no model changes for it, and every Flax model
gains.

What that call takes is not a public interface. Programs are therefore left as they are under any
jaxlib that this was not tested with, and so is every convolution that is not of the usual kind.
"""

import contextlib
import dataclasses
import functools
import json
import math
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jaxlib
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

TESTED = ("0.10.2", "Linux", "x86_64")
"""Version and platform of jaxlib."""

FEW = 64
LEAST_WORK = 2**28
"""Multiplications in convolutions of stride 1 with so few channels on one side. A program with less
of them gains little, and starts sooner when a compilation cache holds it."""

SUMMED_BY_ONEDNN = range(16, 129)
"""Channels on both sides of a kernel whose gradient oneDNN sums faster (docs/performance.md)."""

PART = 16
"""Images that a kernel's gradient takes at once; their copies then stay in a core's cache."""

Value = Any  # ir.Value, whose type has no shape for a type checker
Layout = tuple[int, ...]
"""Where batch, channels, rows and columns lie; in a kernel, features out, in, rows and columns."""

IMAGES: Layout = (0, 3, 1, 2)
KERNEL_GRADIENT = ((3, 0, 1, 2), (3, 0, 1, 2), (2, 3, 0, 1))
"""As JAX derives it: batch and channels change places, and the cotangent is the kernel."""


@contextlib.contextmanager
def convolutions_by_onednn(lowered: jax.stages.Lowered) -> Iterator[bool]:
    """In here ``lowered`` has calls of oneDNN for convolutions, if that pays; whether it does.

    What is compiled must not be serialized then, as a compilation cache would: XLA takes the calls
    for those of another kind, and reads what is not there. And JAX keeps a lowered program for the
    next call of the function, so it is put back as it was.
    """
    module: Any = lowered.compiler_ir()
    convolutions = _convolutions(module)
    if sum(convolution.narrow_work() for convolution in convolutions) < LEAST_WORK:
        yield False
        return
    before = module.operation.clone()
    try:
        for convolution in convolutions:
            convolution.replace()
        yield True
    finally:
        for operation in list(module.body.operations):
            operation.operation.erase()
        for operation in list(before.regions[0].blocks[0].operations):
            operation.operation.detach_from_parent()
            module.body.append(operation)


def _convolutions(module: Any) -> list["Convolution"]:
    """Those that oneDNN may compute; none of a program for several devices."""
    devices = module.operation.attributes["mhlo.num_partitions"].value
    if (jaxlib.__version__, platform.system(), platform.machine()) != TESTED or devices != 1:
        return []
    found = []

    def collect(operation: Any) -> ir.WalkResult:
        if operation.name == "stablehlo.convolution" and _is_usual(operation.opview):
            found.append(Convolution.read(operation.opview))
        return ir.WalkResult.ADVANCE

    module.operation.walk(collect)
    return found


def _is_usual(operation: Any) -> bool:
    operands = operation.lhs.type, operation.rhs.type
    return (
        all(str(operand.element_type) == "f32" for operand in operands)
        and all(operand.rank == 4 and math.prod(operand.shape) > 0 for operand in operands)
        and operation.feature_group_count.value == operation.batch_group_count.value == 1
        and not any(operation.window_reversal or ())
        and all(dilation == 1 for dilation in operation.lhs_dilation or ())
    )


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One of a program's, as StableHLO describes it."""

    operation: Any
    layouts: tuple[Layout, ...]  # of the images, the kernel and the output
    padding: tuple[int, ...]  # above, below, left, right
    strides: tuple[int, ...]
    dilations: tuple[int, ...]  # of the kernel

    @classmethod
    def read(cls, operation: Any) -> "Convolution":
        of = stablehlo.ConvDimensionNumbers(operation.dimension_numbers)
        features, channels = of.kernel_output_feature_dimension, of.kernel_input_feature_dimension
        layouts = (
            (of.input_batch_dimension, of.input_feature_dimension, *of.input_spatial_dimensions),
            (features, channels, *of.kernel_spatial_dimensions),
            (of.output_batch_dimension, of.output_feature_dimension, *of.output_spatial_dimensions),
        )
        padding = map(int, operation.padding or [0] * 4)
        strides, dilations = operation.window_strides or (1, 1), operation.rhs_dilation or (1, 1)
        return cls(operation, layouts, tuple(padding), tuple(strides), tuple(dilations))

    def narrow_work(self) -> int:
        """Multiplications, if channels are few and the stride is 1."""
        features, channels, *_ = self.layouts[1]
        kernel = self.operation.rhs.type.shape
        if self.strides != (1, 1) or min(kernel[features], kernel[channels]) > FEW:
            return 0
        return math.prod(self.operation.result.type.shape) * math.prod(kernel) // kernel[features]

    def is_kernel_gradient(self) -> bool:
        """Whether it is the one that JAX derives from a convolution of whole pixels."""
        return self.layouts == KERNEL_GRADIENT and self.strides == (1, 1)

    def replace(self) -> None:
        """By oneDNN's, where it has a fast form."""
        operation = self.operation
        images, kernel, output = operation.lhs, operation.rhs, operation.result.type.shape
        with operation.context, operation.location, ir.InsertionPoint(operation):
            if self.layouts[0] == self.layouts[2] == IMAGES and min(self.padding) >= 0:
                result = convolve(
                    images,
                    kernel,
                    output,
                    self.layouts[1],
                    self.padding,
                    self.strides,
                    self.dilations,
                )
            elif self.is_kernel_gradient() and _is_summed_by_onednn(output):
                result = sum_kernel_gradient(images, kernel, output, self.padding, self.dilations)
            else:
                return
            operation.result.replace_all_uses_with(result)
            operation.operation.erase()


def _is_summed_by_onednn(kernel: Sequence[int]) -> bool:
    height, width, channels, features = kernel
    return height * width > 1 and {channels, features} <= set(SUMMED_BY_ONEDNN)


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
            _cut(images, start, min(start + PART, batch)),
            _cut(cotangent, start, min(start + PART, batch)),
            kernel,
            padding,
            dilations,
        )
        for start in range(0, batch, PART)
    ]
    return functools.reduce(lambda total, part: stablehlo.add(total, part), parts)


def _sum_part(
    images: Value,
    cotangent: Value,
    kernel: Sequence[int],
    padding: Sequence[int],
    dilations: Sequence[int],
) -> Value:
    """As one convolution, whose channels are the images, which oneDNN has a fast form of.

    The sum over b, y, x of images[b, y + i, x + j, c] cotangent[b, y, x, f] is a convolution of an
    image whose columns are all (x, c) with a kernel, the cotangent, whose columns lie as far apart
    as there are c; the columns of its output are (j, c). Each half of c is an image of its own,
    since two threads could not share out the three rows of one.
    """
    above, below, left, right = padding
    batch, height, width, channels = images.type.shape
    rows, columns, _, features = kernel
    height, width = height + above + below, width + left + right
    halves = 2 if channels % 2 == 0 else 1
    few = channels // halves
    padded = stablehlo.pad(
        images,
        stablehlo.constant(ir.Attribute.parse("dense<0.0> : tensor<f32>")),
        ir.DenseI64ArrayAttr.get([0, above, left, 0]),
        ir.DenseI64ArrayAttr.get([0, below, right, 0]),
        ir.DenseI64ArrayAttr.get([0, 0, 0, 0]),
    )
    halved = _reshape(padded, [batch, height, width, halves, few])
    turned = stablehlo.transpose(halved, ir.DenseI64ArrayAttr.get([3, 1, 2, 4, 0]))
    gradient = convolve(
        _reshape(turned, [halves, height, width * few, batch]),
        cotangent,
        [halves, rows, columns * few, features],
        kernel_layout=(3, 0, 1, 2),
        dilations=[dilations[0], dilations[1] * few],
    )
    of_halves = _reshape(gradient, [halves, rows, columns, few, features])
    turned_back = stablehlo.transpose(of_halves, ir.DenseI64ArrayAttr.get([1, 2, 0, 3, 4]))
    return _reshape(turned_back, kernel)


def _cut(array: Value, start: int, stop: int) -> Value:
    shape = array.type.shape
    return stablehlo.slice(
        array,
        ir.DenseI64ArrayAttr.get([start, *[0] * (len(shape) - 1)]),
        ir.DenseI64ArrayAttr.get([stop, *shape[1:]]),
        ir.DenseI64ArrayAttr.get([1] * len(shape)),
    )


def _reshape(array: Value, shape: Sequence[int]) -> Value:
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
    """jaxlib's call of oneDNN: images and output [batch, height, width, channels]."""
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
    row_major = ir.Attribute.parse("dense<[3, 2, 1, 0]> : tensor<4xindex>")
    return stablehlo.CustomCallOp(
        [_float32(output)],
        [images, kernel],
        ir.StringAttr.get("__onednn$convolution"),
        backend_config=ir.StringAttr.get(json.dumps({"onednn_conv_config": configuration})),
        api_version=ir.IntegerAttr.get(ir.IntegerType.get_signless(32), 2),
        operand_layouts=ir.ArrayAttr.get([row_major, row_major]),
        result_layouts=ir.ArrayAttr.get([row_major]),
    ).result
