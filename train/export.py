"""A trained practice as one file that runs with JAX alone: ``jax.export``, weights inside.

``FILE`` holds a function of the practice's input arrays, as uint8 images, for any number of rows,
lowered for CPU, CUDA and TPU. It gives a dict: ``prediction`` is what ``Task.predict`` gives, a
named tuple as a dict; ``outputs``, where there are any, are the network's own, which metrics judge.
``FILE.json`` says what goes in and what comes out; ``docs/load_exported.py`` reads both.

Code that depends on the backend asks when it is lowered (``lax.platform_dependent``), so that each
platform has its own in the file. Compiler options are no part of it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export
from jaxtyping import Array, PyTree

from train.errors import UsageError
from train.recipe import Recipe
from train.run_folder import write_bytes, write_json
from train.settings import to_values
from train.steps import Batch, Sums
from train.task import Supervised, Task, Weights

PLATFORMS = ("cpu", "cuda", "tpu")

TRAINED = ("params", "batch_stats")
"""Collections that only the function needs; others of vectors, as an alphabet, go into the JSON."""


def save_exported(
    file: Path, recipe: Recipe, variables: Mapping[str, PyTree], inputs: jax.ShapeDtypeStruct
) -> None:
    """Write the trained prediction of a recipe, and the JSON beside it.

    Args:
        file: the artefact; ``.json`` is added for what describes it.
        recipe: what was trained.
        variables: its best weights.
        inputs: shape and type of one row.

    Raises:
        UsageError: the recipe has no prediction that is one function of arrays, or the file cannot
            be written.
    """
    if recipe.input_shape is None:
        raise UsageError(
            f"{recipe.name} cannot be exported: its prediction is a search led from Python"
        )
    task = recipe.task(None)
    weights = Weights(jax.tree.map(jnp.asarray, dict(variables)))

    def function(inputs: Array) -> dict[str, PyTree]:
        found = {"prediction": _as_dict(task.predict(weights, inputs))}
        if isinstance(task, Supervised) and type(task).predict is Supervised.predict:
            found["outputs"] = task.module.apply(weights.variables, inputs, train=False)
        return found

    shape = export.symbolic_shape(recipe.input_shape, like=(None, *inputs.shape))
    argument = jax.ShapeDtypeStruct(shape, inputs.dtype)
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(argument)
    content = bytes(exported.serialize())
    results = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    description = {
        "recipe": recipe.name,
        "input": _described(argument),
        "output": {name: _described(leaf) for name, leaf in flatten_dict(results, sep="/").items()},
        **recipe.legend(variables),
        "platforms": exported.platforms,
        "jax": jax.__version__,
        "sha256": hashlib.sha256(content).hexdigest(),
        "settings": to_values(recipe),
        "variables": {
            name: _with_type(leaf)
            for name, leaf in flatten_dict(_untrained(variables), sep="/").items()
        },
    }
    try:
        write_bytes(file, content)
        write_json(description_of(file), description)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written ({error.strerror})") from error


def load_exported(
    file: Path,
) -> tuple[str, dict[str, Any], export.Exported, dict[str, PyTree]]:
    """Name and settings of the recipe, the function, and the variables that are no weights.

    Raises:
        UsageError: there is no description, or the artefact is not the one it describes.
    """
    place = description_of(file)
    try:
        description = json.loads(place.read_text())
        name, values, digest, jax_of_file = (
            description[key] for key in ("recipe", "settings", "sha256", "jax")
        )
        variables = {
            name: np.asarray(leaf["values"], leaf["dtype"])
            for name, leaf in description["variables"].items()
        }
    except FileNotFoundError:
        raise UsageError(f"{file}: not an exported file (no {place.name} lies beside it)") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{place}: damaged; export again") from None
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise UsageError(f"{file}: not the file that {place.name} describes; export again")
    try:
        function = export.deserialize(bytearray(content))
        readable = function.nr_devices == 1  # jax 0.7.2 reads 0 in a file of 0.10.2
    except ValueError:
        readable = False
    if not readable:
        raise UsageError(
            f"{file}: written by jax {jax_of_file}, not readable by {jax.__version__}; "
            "export again with this one"
        )
    return name, values, function, unflatten_dict(variables, sep="/")


def description_of(file: Path) -> Path:
    """Where the JSON of an exported file lies."""
    return file.with_name(f"{file.name}.json")


def _as_dict(prediction: PyTree) -> PyTree:
    """A named tuple as a dict, which can be read where its class is not known."""
    return prediction._asdict() if hasattr(prediction, "_asdict") else prediction


def _described(leaf: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in leaf.shape]
    return {"shape": shape, "dtype": np.dtype(leaf.dtype).name}


def _untrained(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    return {
        name: tree
        for name, tree in variables.items()
        if name not in TRAINED and all(np.ndim(leaf) < 2 for leaf in jax.tree.leaves(tree))
    }


def _with_type(leaf: Any) -> dict[str, Any]:
    return {"dtype": np.dtype(leaf.dtype).name, "values": np.asarray(leaf).tolist()}


@dataclasses.dataclass(frozen=True)
class _Network:
    """The network inside an exported function, called as a module is."""

    function: export.Exported

    def apply(self, variables: PyTree, inputs: Array, train: bool = False) -> Any:
        return self.function.call(inputs)["outputs"]


@dataclasses.dataclass(frozen=True)
class ExportedTask(Task):
    """A task whose function comes from a file: it predicts and can be judged, but not trained.

    Args:
        function: the exported one.
        trained: the recipe's task, for its metrics.
        file: where it came from.
    """

    function: export.Exported
    trained: Task
    file: Path

    def init(self, key: Array, batch: Batch) -> Any:
        """Refused: there is nothing to train."""
        raise UsageError(f"{self.file}: an exported file cannot be trained")

    def train_step(self, state: Any, batch: Batch) -> tuple[Any, Sums]:
        """Refused: there is nothing to train."""
        raise UsageError(f"{self.file}: an exported file cannot be trained")

    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """The recipe's metrics of the outputs that the file gives.

        Raises:
            UsageError: the file holds the prediction alone, as for a search over sequences.
        """
        if not isinstance(self.trained, Supervised) or "outputs" not in self._results():
            raise UsageError(
                f"{self.file}: holds the prediction alone, which no metric judges; "
                "name the run folder instead"
            )
        network: Any = _Network(self.function)
        return dataclasses.replace(self.trained, module=network).eval_step(state, batch)

    def predict(self, state: Any, inputs: Any) -> Any:
        """What the file gives, as the recipe's task would.

        Raises:
            UsageError: inputs of another shape than the file takes.
        """
        (expected,) = self.function.in_avals
        fits = len(inputs.shape) == len(expected.shape) and all(
            export.is_symbolic_dim(want) or want == size
            for want, size in zip(expected.shape, inputs.shape, strict=True)
        )
        if not fits:
            raise UsageError(
                f"{self.file}: takes inputs of shape {expected.shape}, got {inputs.shape}"
            )
        found = self.function.call(inputs)
        if "outputs" not in found:
            return found["prediction"]
        assert isinstance(self.trained, Supervised)
        wanted = jax.eval_shape(self.trained.activation, found["outputs"])
        if hasattr(wanted, "_fields"):
            return type(wanted)(**found["prediction"])
        return found["prediction"]

    def summarize(self, means: dict[str, float]) -> dict[str, float]:
        """As the recipe's task."""
        return self.trained.summarize(means)

    def _results(self) -> dict[str, Any]:
        return jax.tree.unflatten(self.function.out_tree, self.function.out_avals)
