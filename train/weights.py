"""Weights in files: torch's `.pth` and `.safetensors`, and this library's `.safetensors`.

A file of this library holds the variables under 'params/conv1/kernel' and the like. Its metadata
say which module they belong to ("module", "fields"), so that they can be given back to torch.
"""

import dataclasses
import io
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from flax_models import from_torch, to_torch
from train.run_folder import write_bytes
from train.weights_infer import family, infer_model

Tensors = dict[str, np.ndarray]


def load_torch(path: str | os.PathLike) -> Tensors:
    """The tensors of a torch file by name. A `.pth` is read with weights_only=True: no code runs.

    Raises ValueError for another ending and for a `.pth` that is not a state_dict.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)[0]
    if path.suffix not in (".pth", ".pt"):
        raise ValueError(f"{path}: expected a .pth, .pt or .safetensors file")
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not a readable file of torch tensors ({reason})") from error
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(
        isinstance(tensor, torch.Tensor) for tensor in content.values()
    ):
        raise ValueError(f"{path}: expected a state_dict, tensors by name")
    return {name: tensor.numpy() for name, tensor in content.items()}


def save_torch(
    path: str | os.PathLike, state_dict: Tensors, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors under torch's names; `metadata` only where the file can hold it."""
    path = Path(path)
    if path.suffix == ".safetensors":
        _save_safetensors(path, state_dict, {"format": "pt", **(metadata or {})})
        return
    if path.suffix not in (".pth", ".pt"):
        raise ValueError(f"{path}: expected a .pth, .pt or .safetensors file")
    import torch

    tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state_dict.items()}
    content = io.BytesIO()
    torch.save(tensors, content)
    write_bytes(path, content.getvalue())


def load_variables(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, str]]:
    """The variables of a file of this library, and its metadata."""
    tensors, metadata = _load_safetensors(Path(path))
    return unflatten_dict(tensors, sep="/"), metadata


def save_variables(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    model: nn.Module,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the variables of `model`, with what it takes to make `model` again."""
    tensors = {
        name: np.ascontiguousarray(leaf)
        for name, leaf in flatten_dict(dict(variables), sep="/").items()
    }
    described = {"module": type(model).__name__, "fields": json.dumps(_fields(model))}
    _save_safetensors(
        Path(path), tensors, {**(metadata or {}), "format": "flax-models", **described}
    )


def convert(arch: str, source: str | os.PathLike, target: str | os.PathLike, **fields: Any) -> None:
    """Torch weights to a file of this library, or back: what `source` holds decides.

    `arch` is a lower-case name of this library (vgg16, resnet20, mlp, gru, ...). The sizes are read
    off the weights; `fields` says what they do not tell, such as a ViT's num_heads when it is not
    a 64th of its features. Raises ValueError where names or shapes do not fit, and writes nothing.
    """
    source, target = Path(source), Path(target)
    if source.suffix == ".safetensors":
        tensors, metadata = _load_safetensors(source)
        if any(name.startswith("params/") for name in tensors):
            model = _described_model(arch, metadata, source).clone(**fields)
            kept = {k: v for k, v in metadata.items() if k not in ("format", "module", "fields")}
            torch_tensors = to_torch(unflatten_dict(tensors, sep="/"), model)
            named, inputs = infer_model(arch, torch_tensors, **fields)
            from_torch(torch_tensors, named, *inputs)  # raises unless it is this arch, not a sister
            save_torch(target, torch_tensors, kept)
            return
    else:
        tensors, metadata = load_torch(source), {}
    if target.suffix != ".safetensors":
        raise ValueError(f"{target}: expected a .safetensors file for weights of this library")
    model, inputs = infer_model(arch, tensors, **fields)
    save_variables(target, from_torch(tensors, model, *inputs), model, metadata)


def _described_model(arch: str, metadata: Mapping[str, str], source: Path) -> nn.Module:
    module, _ = family(arch)
    if metadata.get("module") != module.__name__:
        got = metadata.get("module", "no metadata that names a module")
        raise ValueError(f"{source}: expected weights of {module.__name__}, got {got}")
    return module(**json.loads(metadata["fields"]))


def _fields(model: nn.Module) -> dict[str, Any]:
    """The fields that shape a module; types of numbers and flax's own are left out."""
    skipped = ("parent", "name", "dtype", "param_dtype", "axis_name")
    return {
        field.name: getattr(model, field.name)
        for field in dataclasses.fields(model)
        if field.name not in skipped
    }


def _load_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Raises ValueError for a file that is damaged or something else."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable .safetensors file ({error})") from error


def _save_safetensors(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    write_bytes(path, save(tensors, metadata))
