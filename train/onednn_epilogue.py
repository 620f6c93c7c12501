"""What a program does to a convolution's output alone, which oneDNN can do before it writes it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from train.onednn_calls import Value

BY_CHANNEL = ("stablehlo.add", "stablehlo.subtract", "stablehlo.multiply")


@dataclasses.dataclass
class Epilogue:
    """Operations one after the other, of which each is the only user of the one before.

    Bias, batch norm with known statistics, a residual and ReLU are such.
    """

    operations: list[Any]
    by_channel: list[tuple[str, Value]]  # additions, subtractions and multiplications of [channels]
    residual: Value | None = None
    rectified: bool = False

    @classmethod
    def read(cls, output: Value, functions: ir.SymbolTable) -> "Epilogue":
        """What follows a convolution with this output [batch, height, width, channels]."""
        epilogue = cls([], [])
        for operation in _only_users(output):
            if _is_relu(operation, functions):
                epilogue.operations.append(operation)
                epilogue.rectified = True
                break
            if epilogue.residual is not None or operation.name not in BY_CHANNEL:
                break
            before = epilogue.operations[-1].results[0] if epilogue.operations else output
            first, second = operation.operands
            other = second if first == before else first
            vector = _channels_of(other)
            if vector is not None and (operation.name != BY_CHANNEL[1] or first == before):
                epilogue.by_channel.append((operation.name, vector))
            elif operation.name == BY_CHANNEL[0] and first != second:
                epilogue.residual = other
            else:
                break
            epilogue.operations.append(operation)
        return epilogue

    def fold(self, kernel: Value, features: int) -> tuple[Value, Value | None]:
        """The kernel, whose axis ``features`` is the output's channels, and a bias [channels]."""
        bias: Value | None = None
        for name, vector in self.by_channel:
            if name == "stablehlo.multiply":
                axis = ir.DenseI64ArrayAttr.get([features])
                factors = stablehlo.broadcast_in_dim(kernel.type, vector, axis)
                kernel = stablehlo.multiply(kernel, factors)
                bias = None if bias is None else stablehlo.multiply(bias, vector)
            elif name == "stablehlo.add":
                bias = vector if bias is None else stablehlo.add(bias, vector)
            else:
                bias = (
                    stablehlo.negate(vector) if bias is None else stablehlo.subtract(bias, vector)
                )
        return kernel, bias


def _only_users(value: Value) -> Iterator[Any]:
    """Of the same block: what is inside a loop stays there, and what is outside too."""
    block = value.owner.operation.block
    while len(uses := list(value.uses)) == 1:
        operation = uses[0].owner
        if operation.operation.block != block or len(operation.results) != 1:
            break
        yield operation
        (value,) = operation.results


def _is_relu(operation: Any, functions: ir.SymbolTable) -> bool:
    """``maximum`` with zeros, or a call of a function that is no more than that."""
    if operation.name == "func.call":
        name = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
        return _computes_relu(functions[name].regions[0].blocks[0])
    return operation.name == "stablehlo.maximum" and _is_zero(operation.operands[1])


def _computes_relu(block: Any) -> bool:
    operations = list(block.operations)
    if len(operations) < 2 or len(block.arguments) != 1:
        return False
    last, end = operations[-2:]
    return (
        last.operation.name == "stablehlo.maximum"
        and last.operands[0] == block.arguments[0]
        and _is_zero(last.operands[1])
        and list(end.operands) == list(last.results)
    )


def _is_zero(value: Value) -> bool:
    while (operation := _maker(value)) and operation.name == "stablehlo.broadcast_in_dim":
        value = operation.operands[0]
    if not operation or operation.name != "stablehlo.constant":
        return False
    constant = ir.DenseElementsAttr(operation.attributes["value"])
    return constant.is_splat and ir.FloatAttr(constant.get_splat_value()).value == 0


def _channels_of(value: Value) -> Value | None:
    """The vector that was repeated for every pixel of ``value``, if one was."""
    while (operation := _maker(value)) and operation.name == "stablehlo.broadcast_in_dim":
        (value,) = operation.operands
        axes = list(ir.DenseI64ArrayAttr(operation.attributes["broadcast_dimensions"]))
        if axes == [3] and value.type.shape[0] == operation.results[0].type.shape[3]:
            return value
        if axes != [0, 1, 2, 3] or value.type.shape[:3] != [1, 1, 1]:
            return None
    return None


def _maker(value: Value) -> Any:
    """The operation whose result it is; None for an argument."""
    return None if isinstance(value.owner, ir.Block) else value.owner
