"""An exponential moving average of what a task trains, for evaluation and prediction."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int, PyTree

from train.steps import Batch, Sums
from train.task import Task


class AveragedState(struct.PyTreeNode):
    """A task's own state, and the average of its variables beside it."""

    current: Any
    average: PyTree

    @property
    def step(self) -> Int[Array, ""]:
        """Steps taken."""
        return self.current.step

    @property
    def variables(self) -> PyTree:
        """The average: what is evaluated, saved as the best weights and predicted with."""
        return self.average


@dataclasses.dataclass(frozen=True)
class Averaged(Task):
    """Any task, evaluated on a moving average of its variables (Polyak and Juditsky 1992).

    After step t, counted from 1, each variable's average moves by the share 1 - d from where it is
    to the variable, with d = min(decay, (1 + t) / (10 + t)). So it soon forgets how training began
    (the warm-up of TensorFlow's ``ExponentialMovingAverage``), and needs no correction of its bias.
    Running statistics, as those of batch norm, are averaged like the parameters: they belong to
    them. What is constant stays as it is, bit for bit, integers are taken as they are, and a
    skipped step changes nothing.

    Args:
        task: what trains; it never sees the average.
        decay: share of the average that is kept, once many steps have been taken.
    """

    task: Task
    decay: float

    def init(self, key: Array, batch: Batch) -> AveragedState:
        """The average begins as the variables."""
        state = self.task.init(key, batch)
        # a copy: two leaves of a donated state may not share their memory
        return AveragedState(current=state, average=jax.tree.map(jnp.copy, state.variables))

    def train_step(self, state: AveragedState, batch: Batch) -> tuple[AveragedState, Sums]:
        """The task's own step; then the average follows."""
        current, sums = self.task.train_step(state.current, batch)
        decay = jnp.minimum(self.decay, (1 + current.step) / (10 + current.step))
        share = jnp.where(sums["skipped"] > 0, 0.0, 1 - decay)

        def follow(average: Array, value: Array) -> Array:
            if not jnp.issubdtype(value.dtype, jnp.floating):
                return value
            return average + (share * (value - average)).astype(value.dtype)

        average = jax.tree.map(follow, state.average, current.variables)
        return AveragedState(current=current, average=average), sums

    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """The task's own, of the variables that it is given."""
        return self.task.eval_step(state, batch)

    def predict(self, state: Any, inputs: Any) -> Any:
        """The task's own."""
        return self.task.predict(state, inputs)

    def summarize(self, means: dict[str, float]) -> dict[str, float]:
        """The task's own."""
        return self.task.summarize(means)

    def hyperparameters(self, step: int) -> dict[str, float]:
        """The task's own."""
        return self.task.hyperparameters(step)
