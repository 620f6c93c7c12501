"""Weights between a torch state_dict and Linen variables, by rule and strict in both directions.

The rule: a Linen module path is the torch module's name, with '_' for a '.' beside a number
(`layer1_0/conv1` is `layer1.0.conv1`); kernel, scale and embedding are torch's weight, mean and var
its running_mean and running_var; any other parameter keeps its name. Kernels [height, width, in,
out] are torch's [out, in, height, width], and [in, out] its [out, in].

A module whose layout differs beyond the rule says so itself, in a method `torch_rules(self)` that
maps the path of a submodule ("" is itself) to a `TorchRule`. A module whose names are not made by
the rule defines `torch_name(self, modules)`, which joins the names on a path.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

# (collection, *modules, leaf) -> array
Leaves = dict[tuple[str, ...], Any]

_TORCH_LEAF = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


class TorchRule(NamedTuple):
    """How one submodule's variables become ones that the general rule can name, and back.

    Both functions take and give {(collection, *modules, leaf): array} with paths relative to the
    submodule. They see abstract arrays too, so they may use array methods and jax.numpy only.
    """

    to_torch: Callable[[Leaves], Leaves]
    from_torch: Callable[[Leaves], Leaves]


def flattened_images(channels: int) -> TorchRule:
    """The dense layer after images [height, width, channels] were flattened: torch flattens CHW."""
    return _channels_moved(channels, {"kernel": -2})


def unflattened_images(channels: int) -> TorchRule:
    """The dense layer whose outputs become images [height, width, channels]: torch makes CHW."""
    return _channels_moved(channels, {"kernel": -1, "bias": -1})


def _channels_moved(channels: int, axes: Mapping[str, int]) -> TorchRule:
    """Channels last to first within the flat axis `axes[leaf]` of each leaf of a dense layer."""

    def swap(leaf: Any, axis: int, channels_first: bool) -> Any:
        pixels = leaf.shape[axis] // channels
        split = (pixels, channels) if channels_first else (channels, pixels)
        before, after = leaf.shape[:axis], leaf.shape[axis:][1:]
        swapped = leaf.reshape(*before, *split, *after).swapaxes(len(before), len(before) + 1)
        return swapped.reshape(leaf.shape)

    def moved(leaves: Leaves, channels_first: bool) -> Leaves:
        return {
            path: swap(leaf, axes[path[-1]], channels_first) if path[-1] in axes else leaf
            for path, leaf in leaves.items()
        }

    return TorchRule(lambda leaves: moved(leaves, True), lambda leaves: moved(leaves, False))


def stacked(count: int, first: int = 0) -> TorchRule:
    """`count` equal modules whose leaves are stacked here, and numbered from `first` in torch."""

    def unstack(leaves: Leaves) -> Leaves:
        return {
            (path[0], str(first + index), *path[1:]): leaf[index]
            for index in range(count)
            for path, leaf in leaves.items()
        }

    def stack(leaves: Leaves) -> Leaves:
        paths = {(path[0], *path[2:]): None for path in leaves}
        return {
            path: np.stack([leaves[(path[0], str(first + i), *path[1:])] for i in range(count)])
            for path in paths
        }

    return TorchRule(unstack, stack)


def to_torch(variables: Mapping[str, Any], model: nn.Module) -> dict[str, np.ndarray]:
    """The `state_dict` of `model`'s torch twin: NumPy arrays under torch's names.

    `num_batches_tracked` is not among them; torch's load_state_dict does not ask for it.
    """
    state_dict = {}
    for path, leaf in _torch_layout(flatten_dict(dict(variables)), model).items():
        state_dict[_torch_key(path, model)] = np.ascontiguousarray(
            _transposed(path, np.asarray(leaf))
        )
    return state_dict


def from_torch(
    state_dict: Mapping[str, Any],
    model: nn.Module,
    *inputs: Any,
    drop_head: bool = False,
    key: Array | None = None,
) -> dict[str, Any]:
    """Linen `variables` of `model` from a torch `state_dict` of tensors or arrays.

    `inputs` are what `model` is called with, or their jax.ShapeDtypeStruct: only shapes count. With
    `drop_head` one layer of another size (the last, when a network moves to other classes) may have
    the wrong shape: it is drawn anew from `key` (default jax.random.key(0)).
    Raises ValueError that lists every missing, misshapen and unused tensor.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    wanted = jax.eval_shape(lambda leaves: _torch_layout(leaves, model), flatten_dict(dict(shapes)))
    tensors = {
        name: np.asarray(tensor)
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    names = {path: _torch_key(path, model) for path in wanted}
    missing = [name for name in names.values() if name not in tensors]
    unused = sorted(tensors.keys() - set(names.values()))
    misshapen = {
        name: (tensors[name].shape, shape)
        for path, name in names.items()
        if name in tensors
        and tensors[name].shape != (shape := _transposed_shape(path, wanted[path].shape))
    }
    head = {name.rpartition(".")[0] for name in misshapen}
    dropped = set(misshapen) if drop_head and len(head) == 1 else set()
    problems = [
        *(f"missing {name}" for name in missing),
        *(
            f"misshapen {name}: expected {want}, got {got}"
            for name, (got, want) in misshapen.items()
            if name not in dropped
        ),
        *(f"unused {name}" for name in unused),
    ]
    if problems:
        raise ValueError(f"state_dict: {len(problems)} problems: " + "; ".join(problems))
    fresh = {}
    if dropped:
        key = jax.random.key(0) if key is None else key
        concrete = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), inputs)
        fresh = _torch_layout(flatten_dict(dict(jax.jit(model.init)(key, *concrete))), model)
    leaves = {
        path: np.asarray(fresh[path])
        if name in dropped
        else _untransposed(path, tensors[name]).astype(wanted[path].dtype)
        for path, name in names.items()
    }
    return unflatten_dict(jax.tree.map(jax.numpy.asarray, _linen_layout(leaves, model)))


def _rules(model: nn.Module) -> list[tuple[tuple[str, ...], TorchRule]]:
    rules = model.torch_rules() if hasattr(model, "torch_rules") else {}
    return [(tuple(path.split("/")) if path else (), rule) for path, rule in rules.items()]


def _torch_layout(leaves: Leaves, model: nn.Module) -> Leaves:
    return _apply_rules(leaves, [(path, rule.to_torch) for path, rule in _rules(model)])


def _linen_layout(leaves: Leaves, model: nn.Module) -> Leaves:
    return _apply_rules(leaves, [(path, rule.from_torch) for path, rule in _rules(model)])


def _apply_rules(
    leaves: Leaves, rules: Sequence[tuple[tuple[str, ...], Callable[[Leaves], Leaves]]]
) -> Leaves:
    rest = dict(leaves)
    for module, rule in rules:
        depth = len(module) + 1
        inside = {
            (path[0], *path[depth:]): rest.pop(path) for path in leaves if path[1:depth] == module
        }
        if inside:
            rest |= {(path[0], *module, *path[1:]): leaf for path, leaf in rule(inside).items()}
    return rest


def _torch_key(path: tuple[str, ...], model: nn.Module) -> str:
    _, *modules, leaf = path
    name = model.torch_name if hasattr(model, "torch_name") else _default_name
    return ".".join([*filter(None, [name(modules)]), _TORCH_LEAF.get(leaf, leaf)])


def _default_name(modules: Sequence[str]) -> str:
    """'layer1_0', 'conv1' -> 'layer1.0.conv1'."""
    return ".".join(re.sub(r"_(?=\d+(_|$))|(?<=\d)_", ".", module) for module in modules)


def _axes(path: tuple[str, ...], rank: int) -> tuple[int, ...]:
    """Where each axis of the torch tensor is in the Linen leaf."""
    return (rank - 1, rank - 2, *range(rank - 2)) if path[-1] == "kernel" else tuple(range(rank))


def _transposed(path: tuple[str, ...], leaf: np.ndarray) -> np.ndarray:
    return leaf.transpose(_axes(path, leaf.ndim))


def _transposed_shape(path: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in _axes(path, len(shape)))


def _untransposed(path: tuple[str, ...], tensor: np.ndarray) -> np.ndarray:
    return tensor.transpose(np.argsort(_axes(path, tensor.ndim)))
