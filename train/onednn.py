"""Work on CPU for oneDNN, which jaxlib carries and XLA does not call by itself.

XLA:CPU sends convolutions and matrix products to Eigen or YNNPACK, PyTorch to oneDNN, which is
faster for convolutions of few channels, for kernel gradients of dense layers and for the products
of attention. jaxlib contains oneDNN too, behind custom calls that only a pass of XLA was to make.
They are made here, in the lowered program: no model changes for it, and every Flax model gains.

What the calls take is not a public interface. Programs are therefore left as they are under any
jaxlib that this was not tested with, and so is all work that is not of the usual kind.
"""

import contextlib
import dataclasses
import enum
import math
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jaxlib
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from train.onednn_calls import IMAGES, Layout, convolve, sum_kernel_gradient
from train.onednn_products import Product

TESTED = ("0.10.2", "Linux", "x86_64")
"""Version and platform of jaxlib."""

FEW = 64
LEAST_WORK, LEAST_SHARE, LEAST_SHARE_OF_ANY = 2**27, 0.5, 0.75
"""Multiplications in convolutions that pay, and their share of a program's: of those of stride 1
with so few channels on one side, or of any. What else there is are mostly Winograd's products,
whose programs take long to compile, and these would be compiled anew in every process."""

LEAST_WORK_OF_INFERENCE, LEAST_SHARE_OF_INFERENCE = 2**26, 0.3
"""The same of programs without a kernel's gradient, which compile sooner; of any convolutions."""

LEAST_WORK_OF_PRODUCTS, LEAST_SHARE_OF_PRODUCTS = 2**28, 0.05
LARGEST_SHARE_OF_CONVOLUTIONS = 0.1
"""The same of matrix products for oneDNN, and how many convolutions there may be beside them.
Where there are more convolutions, many products are Winograd's, which take longer by oneDNN."""

SUMMED_BY_ONEDNN = range(16, 129)
"""Channels on both sides of a kernel whose gradient oneDNN sums faster (docs/performance.md)."""

KERNEL_GRADIENT = ((3, 0, 1, 2), (3, 0, 1, 2), (2, 3, 0, 1))
"""As JAX derives it: batch and channels change places, and the cotangent is the kernel."""


class Given(enum.Enum):
    """What oneDNN is to do of a program."""

    NOTHING = enum.auto()
    CONVOLUTIONS = enum.auto()
    PRODUCTS = enum.auto()
    """Kernel gradients of dense layers, and batches of products."""


@contextlib.contextmanager
def work_for_onednn(lowered: jax.stages.Lowered) -> Iterator[Given]:
    """In here ``lowered`` has calls of oneDNN where that pays.

    What is compiled must not be serialized then, as a compilation cache would: XLA takes the calls
    for those of another kind, and reads what is not there. And JAX keeps a lowered program for the
    next call of the function, so it is put back as it was.
    """
    module: Any = lowered.compiler_ir()
    given, operations = _survey(module)
    if given is Given.NOTHING:
        yield given
        return
    before = module.operation.clone()
    try:
        for operation in operations:
            operation.replace()
        yield given
    finally:
        for function in list(module.body.operations):
            function.operation.erase()
        for function in list(before.regions[0].blocks[0].operations):
            function.operation.detach_from_parent()
            module.body.append(function)


def _survey(module: Any) -> tuple[Given, Sequence["Convolution | Product"]]:
    """What oneDNN is to do, where that is enough of the program."""
    if (jaxlib.__version__, platform.system(), platform.machine()) != TESTED:
        return Given.NOTHING, []
    if module.operation.attributes["mhlo.num_partitions"].value != 1:
        return Given.NOTHING, []
    convolutions: list[Convolution] = []
    products: list[Product] = []

    def look(operation: Any) -> ir.WalkResult:
        if operation.name == "stablehlo.convolution":
            convolutions.append(Convolution.read(operation.opview))
        elif operation.name == "stablehlo.dot_general":
            products.append(Product.read(operation.opview))
        return ir.WalkResult.ADVANCE

    module.operation.walk(look)
    all_work = _work([*convolutions, *products])
    usual = [convolution for convolution in convolutions if convolution.is_usual()]
    if usual and _work(usual) >= _least_work(convolutions, usual, all_work):
        return Given.CONVOLUTIONS, usual
    faster = [product for product in products if product.is_faster()]
    few_convolutions = _work(convolutions) <= LARGEST_SHARE_OF_CONVOLUTIONS * all_work
    least_work = max(LEAST_WORK_OF_PRODUCTS, LEAST_SHARE_OF_PRODUCTS * all_work)
    if few_convolutions and _work(faster) >= least_work:
        return Given.PRODUCTS, faster
    return Given.NOTHING, []


def _least_work(
    convolutions: Sequence["Convolution"], usual: Sequence["Convolution"], all_work: int
) -> float:
    """Of the usual convolutions, if that is to pay."""
    if not any(convolution.is_kernel_gradient() for convolution in convolutions):
        return max(LEAST_WORK_OF_INFERENCE, LEAST_SHARE_OF_INFERENCE * all_work)
    narrow = [convolution for convolution in usual if convolution.is_narrow()]
    mostly_narrow = _work(narrow) >= LEAST_SHARE * all_work
    return max(LEAST_WORK, 0 if mostly_narrow else LEAST_SHARE_OF_ANY * all_work)


def _work(operations: Sequence["Convolution | Product"]) -> int:
    """Multiplications."""
    return sum(operation.work() for operation in operations)


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

    def work(self) -> int:
        """Multiplications."""
        kernel, features = self.operation.rhs.type.shape, self.layouts[1][0]
        return math.prod(self.operation.result.type.shape) * math.prod(kernel) // kernel[features]

    def is_usual(self) -> bool:
        """Of float32 images and one group, without gaps between pixels and unreversed."""
        operation = self.operation
        operands = operation.lhs.type, operation.rhs.type
        return (
            all(str(operand.element_type) == "f32" for operand in operands)
            and all(operand.rank == 4 and math.prod(operand.shape) > 0 for operand in operands)
            and operation.feature_group_count.value == operation.batch_group_count.value == 1
            and not any(operation.window_reversal or ())
            and all(dilation == 1 for dilation in operation.lhs_dilation or ())
        )

    def is_narrow(self) -> bool:
        """Of stride 1 and with few channels."""
        kernel, (features, channels, *_) = self.operation.rhs.type.shape, self.layouts[1]
        return self.strides == (1, 1) and min(kernel[features], kernel[channels]) <= FEW

    def is_kernel_gradient(self) -> bool:
        """Whether JAX derived it from a convolution whose kernel has no gaps."""
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
