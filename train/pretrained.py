"""Features of a VGG that were learned before: from torchvision's weights, or from a run of ours."""

from typing import Any

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from flax_models import VGG, from_torch
from train.errors import UsageError
from train.weights import Tensors, load_torch
from train.weights_infer import VGG_NAMES, infer_model, recognise

FEATURES = "features_"
"""How the names of a VGG's convolutions and their norms begin."""


def load_features(path: str, network: VGG) -> dict[str, PyTree]:
    """The convolutions and norms of a file, by collection, for a network of the same sizes.

    Args:
        path: a ``.pth`` or ``.safetensors`` of torchvision's names, whole with its dense layers, or
            the ``model.safetensors`` of a run whose network is a VGG.
        network: whose features they will be.

    Raises:
        UsageError: no such file, or weights of another architecture or of other sizes.
    """
    try:
        tensors = load_torch(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of weights") from None
    except ValueError as error:
        raise UsageError(str(error)) from error
    variables = _of_a_run(tensors) or _of_torch(path, tensors)
    features = {
        way: leaf for way, leaf in flatten_dict(variables).items() if way[1].startswith(FEATURES)
    }
    got, wanted = _sizes(features), (network.depth, network.width, network.batch_norm)
    if got != wanted:
        depth, width, batch_norm = got
        raise UsageError(
            f"{path}: weights of {_in_words(*got)}, not of {_in_words(*wanted)}; "
            f"give --depth {depth} --width {width} --batch-norm={str(batch_norm).lower()}"
        )
    return unflatten_dict(features)


def transfers(
    head: optax.GradientTransformation, features: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One rule for a VGG's features and another one for all other layers."""

    def rules(params: PyTree) -> PyTree:
        def rule(path: tuple[Any, ...], _: Any) -> str:
            return "features" if any(FEATURES in part.key for part in path) else "head"

        return jax.tree_util.tree_map_with_path(rule, params)

    return optax.multi_transform({"features": features, "head": head}, rules)


def _of_a_run(tensors: Tensors) -> dict[str, PyTree] | None:
    """Variables of the network inside a run's module; none for another file."""
    if "params/network/features_0/kernel" not in tensors:
        return None
    variables = unflatten_dict(tensors, sep="/")
    return {collection: tree["network"] for collection, tree in variables.items()}


def _of_torch(path: str, tensors: Tensors) -> dict[str, PyTree]:
    """Variables of a torch file in which no tensor is missing or left over."""
    arch = recognise(tensors)
    if arch not in VGG_NAMES:
        found = f"weights of {arch}" if arch else "weights of an unknown architecture"
        raise UsageError(f"{path}: {found}; a VGG needs those of {', '.join(VGG_NAMES)}")
    model, inputs = infer_model(arch, tensors)
    return from_torch(tensors, model, *inputs)


def _sizes(features: dict[tuple[str, ...], np.ndarray]) -> tuple[int, int, bool]:
    """Depth, width and whether there are norms."""
    convolutions = sum(path[-1] == "kernel" for path in features)
    width = features["params", "features_0", "kernel"].shape[-1]
    norms = any(path[-1] == "scale" for path in features)
    return convolutions + 3, width, norms  # three dense layers follow


def _in_words(depth: int, width: int, batch_norm: bool) -> str:
    return f"vgg{depth} of width {width} {'with' if batch_norm else 'without'} batch norm"
