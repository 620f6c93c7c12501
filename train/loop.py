"""The one loop: every task takes its steps and is evaluated here, whatever its state is."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from data import Batches, Examples, in_order, read_ahead
from train.compiler import compile_mended
from train.interruption import interruptible
from train.parallel import DataParallel
from train.steps import Sums
from train.task import Task, Weights

STEPS_BETWEEN_LOOKS = 50
"""The host waits for the device this often, to show the loss and to notice a failing run."""

BAD_STEPS_TO_STOP = 10
"""So many bad steps in a row end a run; fewer are passed over."""

DIVERGED = 1e6
"""A loss so many times the first one is bad although finite: Adam can diverge without overflow."""


class Totals:
    """Sums of many steps, numbers or arrays, added up on the host in double precision."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}

    def add(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Add the sums of some steps."""
        for sums in steps:
            for name, value in sums.items():
                self._sums[name] = self._sums.get(name, 0.0) + np.asarray(value, np.float64)

    def means(self, task: Task) -> dict[str, float]:
        """Means over examples, as figures a person reads; NaN where nothing counted."""
        n = self._sums["n"] or math.nan
        rest = {k: v for k, v in self._sums.items() if k not in {"n", "skipped"}}
        means = {name: total / n for name, total in rest.items()}
        return {name: float(mean) for name, mean in task.summarize(means).items()}

    @property
    def skipped(self) -> int:
        """Number of steps that changed nothing because they were not finite."""
        return int(self._sums.get("skipped", 0.0))


class Guard:
    """Follows the loss of every step, and ends a run whose loss stays bad.

    Args:
        first_loss: of the run's first step, known from a checkpoint when a run resumes.
    """

    def __init__(self, first_loss: float | None = None):
        self.first_loss = first_loss
        self.last_good_loss = math.nan
        self._bad_in_row = 0

    def see(self, step: int, sums: Mapping[str, Any]) -> None:
        """Take note of one step.

        Raises:
            FloatingPointError: the last ``BAD_STEPS_TO_STOP`` steps were bad.
        """
        n = float(sums["n"])
        loss = float(sums["loss"]) / n if n else math.nan
        if self.first_loss is None and math.isfinite(loss):
            self.first_loss = loss
        limit = DIVERGED * max(1.0, abs(self.first_loss or 0.0))
        if abs(loss) <= limit:  # false for a loss that is not a number
            self._bad_in_row, self.last_good_loss = 0, loss
            return
        self._bad_in_row += 1
        if self._bad_in_row >= BAD_STEPS_TO_STOP:
            began = step - BAD_STEPS_TO_STOP + 1
            raise FloatingPointError(
                f"the loss is not finite or has exploded since step {began}; "
                f"the last good loss was {self.last_good_loss:.4g}"
            )


class Loop:
    """The compiled steps of a task over a mesh, for batches of one shape.

    Each step is traced and compiled once, ahead of time; another shape is then an error.

    Args:
        task: what to train or evaluate.
        parallel: the devices, and the size of a global batch.
    """

    def __init__(self, task: Task, parallel: DataParallel):
        self.task, self.parallel = task, parallel
        self.compile_seconds = 0.0
        self._train_step: Callable[..., Any] | None = None
        self._eval_step: Callable[..., Any] | None = None

    def init(self, seed: int, examples: Examples) -> PyTree:
        """The state before the first step, on the devices."""
        return self._timed(
            self.parallel.init, self.task.init, jax.random.PRNGKey(seed), _one(examples)
        )

    def template(self, seed: int, examples: Examples) -> PyTree:
        """Shapes of that state."""
        return jax.eval_shape(self.task.init, jax.random.PRNGKey(seed), _one(examples))

    def train(
        self,
        state: Any,
        batches: Batches,
        span: range,
        guard: Guard,
        look: Callable[[int, float], None],
    ) -> tuple[Any, Totals]:
        """Take the steps of ``span``; ``state`` is donated.

        Args:
            state: before step ``span.start``.
            batches: element k is the batch of step k.
            span: steps to take.
            guard: sees the loss of every step.
            look: called with (steps done, loss) now and then.

        Raises:
            FloatingPointError: the loss stays bad.
        """
        mask = np.ones(batches.batch_size // self.parallel.processes, np.float32)
        totals, pending = Totals(), []
        with interruptible() as check:
            for step, rows in zip(span, read_ahead(batches, span.start, span.stop), strict=True):
                check()
                batch = self.parallel.put({**rows, "mask": mask})
                if self._train_step is None:
                    self._train_step = self._timed(
                        self.parallel.compile, self.task.train_step, state, batch, donate=True
                    )
                state, sums = self._train_step(state, batch)
                pending.append(self.parallel.settled(sums))
                if (step + 1) % STEPS_BETWEEN_LOOKS == 0 or step + 1 == span.stop:
                    seen: list[Sums] = _fetch(pending)
                    for seen_step, seen_sums in enumerate(seen, start=step + 1 - len(seen)):
                        guard.see(seen_step, seen_sums)
                    totals.add(seen)
                    pending = []
                    look(step + 1, guard.last_good_loss)
        return state, totals

    def evaluate(self, variables: PyTree, examples: Examples) -> dict[str, float]:
        """Metrics over all examples; padding and batch size leave no trace in them."""
        weights, totals, pending = Weights(variables), Totals(), []
        place = (self.parallel.batch_size, self.parallel.process, self.parallel.processes)
        with interruptible() as check:
            for rows in in_order(examples, *place):
                check()
                batch = self.parallel.put(rows)
                if self._eval_step is None:
                    self._eval_step = self._timed(
                        self.parallel.compile, self.task.eval_step, weights, batch, donate=False
                    )
                pending.append(self.parallel.settled(self._eval_step(weights, batch)))
                if len(pending) == STEPS_BETWEEN_LOOKS:
                    totals.add(_fetch(pending))
                    pending = []
        totals.add(_fetch(pending))
        return totals.means(self.task)

    def _timed(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        result = function(*arguments, **options)
        self.compile_seconds += time.perf_counter() - begun
        return result


class Predictor:
    """Predicts for any number of rows, by batches of one shape, on one device.

    Args:
        task: what predicts.
        variables: trained ones; a practice may also use them otherwise, as for a beam search.
        batch_size: rows that are predicted together, at most.
        folder: of the run, for a practice whose answers are files; see ``file``.
    """

    def __init__(
        self,
        task: Task,
        variables: PyTree,
        batch_size: int = 256,
        folder: Path = Path("."),
    ):
        self.variables = variables
        self._folder = folder
        self._batch_size = batch_size
        self._step = jax.jit(task.predict)
        self._compiled: dict[Any, jax.stages.Compiled] = {}  # by the shape and type of a batch

    def __call__(self, inputs: np.ndarray) -> Any:
        """Outputs for inputs, row by row."""
        weights = Weights(self.variables)
        batches = in_order({"inputs": inputs}, min(self._batch_size, len(inputs)))
        outputs = [jax.device_get(self._predict(weights, batch["inputs"])) for batch in batches]
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)
        return jax.tree.map(lambda leaf: leaf[: len(inputs)], joined)

    def _predict(self, weights: Weights, inputs: np.ndarray) -> Any:
        key = inputs.shape, inputs.dtype
        if key not in self._compiled:
            self._compiled[key] = compile_mended(self._step.lower(weights, inputs))
        return self._compiled[key](weights, inputs)

    def file(self, name: str) -> Path:
        """Where to write an answer that is a file: ``predictions/NAME`` in the run folder."""
        predictions = self._folder / "predictions"
        predictions.mkdir(exist_ok=True)
        return predictions / name


def _fetch(pending: list[Sums]) -> list[Sums]:
    """Results of steps on the host; on a CPU device_get takes 3 times as long as to read them."""
    if jax.default_backend() == "cpu":
        return jax.tree.map(np.asarray, pending)
    return jax.device_get(pending)


def _one(examples: Examples) -> Examples:
    """The first example as a batch, which is all that initialisation needs."""
    return next(in_order(examples, 1))
