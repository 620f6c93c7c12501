"""The folder of a run: what lies where, written so that a kill leaves nothing half-written."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from train.errors import UsageError
from train.recipe import Recipe
from train.settings import settings, to_values

CONFIG, METRICS, WEIGHTS, SUMMARY = (
    "config.json",
    "metrics.jsonl",
    "model.safetensors",
    "summary.json",
)


def check_folder(folder: Path, recipe: Recipe) -> None:
    """See that a run of ``recipe`` can begin or go on in ``folder``; writes nothing that stays.

    Raises:
        UsageError: a file is in the way, the folder cannot be written, or it holds another run.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UsageError(f"{existing}: a file; --out needs a folder")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:  # a full disk is the run's failure, not a wrong folder
            raise UsageError(
                f"{existing}: cannot be written ({error.strerror}); choose another --out"
            ) from error
    if (folder / CONFIG).exists():
        _check_same_run(folder, recipe)
    elif folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder}: not empty and not a run folder; choose another --out")


def _check_same_run(folder: Path, recipe: Recipe) -> None:
    name, saved = read_config(folder)
    if name != recipe.name:
        raise UsageError(
            f"{folder} holds a run of {name}, not of {recipe.name}; choose another --out"
        )
    where = {setting.name for setting in settings(type(recipe)).values() if setting.where}
    # a setting that the folder does not know came later: its run had the default
    values, mine = to_values(type(recipe)()) | saved, to_values(recipe)
    changed = [key for key in mine if key not in where and values.get(key) != mine[key]]
    if changed:
        differences = ", ".join(f"{key} {values.get(key)} (now {mine[key]})" for key in changed)
        raise UsageError(
            f"{folder} holds a run with other settings: {differences}; repeat them to resume, "
            "or choose another --out"
        )


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """Name of the recipe and its settings by dotted name.

    Raises:
        UsageError: the folder holds no run.
    """
    try:
        config = json.loads((folder / CONFIG).read_text())
        return config["recipe"], config["settings"]
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: not a run folder (it has no {CONFIG})") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{folder / CONFIG}: damaged; train again into another --out") from None


def write_config(folder: Path, recipe: Recipe) -> None:
    """Make the folder a run folder of this recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures").mkdir(exist_ok=True)
    write_json(folder / CONFIG, {"recipe": recipe.name, "settings": to_values(recipe)})


def write_json(path: Path, content: Any) -> None:
    """Replace the file in one step, so that a reader finds the old or the new and never a part."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside ``path`` and rename."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def read_history(folder: Path, last_step: int | None = None) -> list[dict[str, float]]:
    """The evaluations of ``metrics.jsonl`` up to ``last_step``; a torn last line is left out."""
    try:
        lines = (folder / METRICS).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in records if last_step is None or record["step"] <= last_step]


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Replace ``metrics.jsonl``, as when a run resumes before its last line."""
    write_bytes(folder / METRICS, "".join(map(_line, history)).encode())


def append_history(folder: Path, record: dict[str, float]) -> None:
    """Add one evaluation."""
    with (folder / METRICS).open("a") as file:
        file.write(_line(record))


def _line(record: dict[str, float]) -> str:
    return json.dumps(record) + "\n"


def save_weights(folder: Path, recipe: Recipe, variables: PyTree, inputs: np.ndarray) -> None:
    """Write variables under their paths, as ``params/dense_0/kernel``.

    The header says what they belong to: recipe, settings, and shape and type of one of ``inputs``.
    """
    flat = {
        path: np.ascontiguousarray(leaf) for path, leaf in flatten_dict(variables, sep="/").items()
    }
    metadata = {
        "recipe": recipe.name,
        "settings": json.dumps(to_values(recipe)),
        "input": json.dumps({"shape": inputs.shape[1:], "dtype": inputs.dtype.name}),
    }
    write_bytes(folder / WEIGHTS, save(flat, metadata))


def load_weights(folder: Path) -> PyTree:
    """The variables of ``model.safetensors``.

    Raises:
        UsageError: there is none yet, or it is damaged.
    """
    with _weights(folder) as file:
        names = list(file.keys())
        return unflatten_dict({name: file.get_tensor(name) for name in names}, sep="/")


def load_input(folder: Path) -> jax.ShapeDtypeStruct:
    """Shape and type of one input of the network whose weights the folder holds.

    Raises:
        UsageError: as ``load_weights``, or the header of a file from before does not say it.
    """
    with _weights(folder) as file:
        metadata = file.metadata()
    if "input" not in metadata:
        raise UsageError(f"{folder / WEIGHTS}: does not say its inputs' shape; train again")
    return jax.ShapeDtypeStruct(**json.loads(metadata["input"]))


@contextlib.contextmanager
def _weights(folder: Path) -> Iterator[Any]:
    """``model.safetensors``, open."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise UsageError(f"{folder}: no {WEIGHTS} yet; train until the first evaluation")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise UsageError(f"{path}: damaged ({error}); train again") from error
