"""Matrix products of a StableHLO program that oneDNN computes faster than Eigen and YNNPACK.

Those are kernel gradients of dense layers, for which Eigen and YNNPACK copy a factor the other way
round, and batches of products, as in attention.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from train.onednn_calls import multiply, reshape, transpose

LEAST_KERNEL_GRADIENT, LEAST_BATCH = 2**25, 2**23
"""Multiplications in the kernel gradient of a dense layer, and in a batch of products."""

LARGEST_KERNEL = 2**22
"""Numbers in it; of a larger one from few rows oneDNN's takes longer."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """One of the two in a matrix product."""

    array: Any
    batch: tuple[int, ...]  # dimensions
    summed: tuple[int, ...]

    @property
    def rest(self) -> tuple[int, ...]:
        """The dimensions that are only this factor's."""
        both = self.batch + self.summed
        return tuple(at for at in range(self.array.type.rank) if at not in both)

    def size(self, dimensions: Sequence[int]) -> int:
        """Of these together."""
        return math.prod(self.array.type.shape[dimension] for dimension in dimensions)

    def has_order(self, dimensions: tuple[int, ...]) -> bool:
        """Whether they lie like this."""
        return dimensions == tuple(range(self.array.type.rank))

    def has_summed_first(self) -> bool:
        """Whether rows are summed and columns stay."""
        return self.has_order(self.batch + self.summed + self.rest)

    def as_matrix(self, rows: tuple[int, ...], columns: tuple[int, ...]) -> Any:
        """[batch, rows, columns], or [rows, columns] without a batch."""
        order = self.batch + rows + columns
        array = self.array if self.has_order(order) else transpose(self.array, order)
        batch = [self.size(self.batch)] if self.batch else []
        return reshape(array, [*batch, self.size(rows), self.size(columns)])


@dataclasses.dataclass(frozen=True)
class Product:
    """One of a program's matrix products, as StableHLO describes it."""

    operation: Any
    left: Factor
    right: Factor

    @classmethod
    def read(cls, operation: Any) -> "Product":
        of = stablehlo.DotDimensionNumbers(operation.dot_dimension_numbers)
        left = tuple(of.lhs_batching_dimensions), tuple(of.lhs_contracting_dimensions)
        right = tuple(of.rhs_batching_dimensions), tuple(of.rhs_contracting_dimensions)
        return cls(operation, Factor(operation.lhs, *left), Factor(operation.rhs, *right))

    def work(self) -> int:
        """Multiplications."""
        return math.prod(self.operation.result.type.shape) * self.left.size(self.left.summed)

    def is_faster(self) -> bool:
        """Whether oneDNN computes it faster, as measured (docs/performance.md)."""
        factors = self.left, self.right
        if not all(str(factor.array.type.element_type) == "f32" for factor in factors):
            return False
        if self.left.batch:
            return self.work() >= LEAST_BATCH
        sums_rows = self.left.summed and all(factor.has_summed_first() for factor in factors)
        is_small = math.prod(self.operation.result.type.shape) <= LARGEST_KERNEL
        return bool(sums_rows) and is_small and self.work() >= LEAST_KERNEL_GRADIENT

    def replace(self) -> None:
        """By oneDNN's, with as few copies as it takes."""
        operation, left, right = self.operation, self.left, self.right
        output = [left.size(left.rest), right.size(right.rest)]
        if left.batch:
            output.insert(0, left.size(left.batch))
        turned_left, turned_right = left.has_summed_first(), not right.has_summed_first()
        of_left = (left.summed, left.rest) if turned_left else (left.rest, left.summed)
        of_right = (right.rest, right.summed) if turned_right else (right.summed, right.rest)
        with operation.context, operation.location, ir.InsertionPoint(operation):
            matrices = left.as_matrix(*of_left), right.as_matrix(*of_right)
            result = multiply(*matrices, output, turned_left, turned_right)
            shaped = reshape(result, operation.result.type.shape)
            operation.result.replace_all_uses_with(shaped)
            operation.operation.erase()
