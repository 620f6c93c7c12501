"""What the loop knows of a practice: how to begin, to step, to evaluate and to predict."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, PyTree

from train.errors import UsageError
from train.steps import (
    Augment,
    Batch,
    PerExample,
    Sums,
    TrainState,
    in_float32,
    make_eval_step,
    make_train_step,
)


class Weights(struct.PyTreeNode):
    """Trained variables without an optimizer: the state that evaluation and prediction need."""

    variables: dict[str, PyTree]


class Task(abc.ABC):
    """Pure functions over a state of the task's own kind.

    The state is any pytree with ``step`` (int32) and ``variables``. The loop, the
    checkpoints and the parallelism use nothing else, so a hand-derived gradient and a pair of
    adversaries train by the same loop as a classifier.
    """

    @abc.abstractmethod
    def init(self, key: Array, batch: Batch) -> Any:
        """The state before the first step; the batch gives shapes."""

    @abc.abstractmethod
    def train_step(self, state: Any, batch: Batch) -> tuple[Any, Sums]:
        """One update, and its metrics as sums with ``n`` and ``skipped``."""

    @abc.abstractmethod
    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """Metrics as sums with ``n``; rows with mask 0 add nothing."""

    @abc.abstractmethod
    def predict(self, state: Any, inputs: Any) -> Any:
        """Outputs for inputs, one row each."""

    def summarize(self, means: dict[str, Any]) -> dict[str, float]:
        """Metrics a person reads, from means over examples; as a root from a mean square.

        What a step sums may be arrays, as moments of features; a metric is a number.
        """
        return means

    def hyperparameters(self, step: int) -> dict[str, float]:
        """What changes by schedule, for the log; as the learning rate."""
        return {}

    def accumulating(self, parts: int) -> "Task":
        """The same task, whose step takes its batch in so many parts.

        Raises:
            UsageError: the task's own step takes the batch whole.
        """
        raise UsageError(
            f"accumulate {parts}: the step of this practice takes its batch whole; leave it out"
        )


@dataclasses.dataclass(frozen=True)
class Supervised(Task):
    """A Linen module trained on (inputs, targets) by an optax transformation.

    Args:
        module: called as ``module.apply(variables, inputs, train=...)``.
        loss: per-example loss [B] of (outputs, batch).
        optimizer: an optax transformation.
        metrics: further per-example figures by name, logged beside ``loss``.
        schedule: the optimizer's learning rate by step, for the log.
        augment: ``(key, batch) -> batch`` inside the training step; ``on_inputs`` makes one.
        constants: variables that come from elsewhere than ``module.init``, by collection and path:
            statistics of the data, layers that were trained before.
        activation: from the module's outputs to predictions, as softmax.
        summary: from means to the metrics a person reads.
        axis_name: of the mapped axis under pmap; the module's batch norms need the same.
        accumulate: parts in which the training step takes its batch, to save memory.
    """

    module: nn.Module
    loss: PerExample
    optimizer: optax.GradientTransformation
    metrics: Mapping[str, PerExample] = dataclasses.field(default_factory=dict)
    schedule: optax.Schedule | None = None
    augment: Augment | None = None
    constants: Mapping[str, PyTree] = dataclasses.field(default_factory=dict)
    activation: Callable[[Any], Any] = lambda outputs: outputs
    summary: Callable[[dict[str, float]], dict[str, float]] = lambda means: means
    axis_name: str | None = None
    accumulate: int = 1

    def init(self, key: Array, batch: Batch) -> TrainState:
        """Variables from the module's initialisers and from ``constants``."""
        init_key, train_key = jax.random.split(key)
        drawn = flatten_dict(self.module.init(init_key, batch["inputs"]))
        variables = unflatten_dict({**drawn, **flatten_dict(self.constants)})
        params = variables.pop("params")
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            model_state=variables,
            opt_state=self.optimizer.init(params),
            key=train_key,
        )

    def train_step(self, state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        """One step of gradient descent; see ``make_train_step``."""
        step = make_train_step(
            self.module.apply,
            self.loss,
            self.optimizer,
            self.metrics,
            self.augment,
            self.axis_name,
            self.accumulate,
        )
        return step(state, batch)

    def accumulating(self, parts: int) -> Task:
        """The gradients of the parts, added up; see ``make_train_step``."""
        return dataclasses.replace(self, accumulate=parts)

    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """Loss and metrics as sums; see ``make_eval_step``."""
        metrics = {"loss": self.loss, **self.metrics}
        return make_eval_step(self.module.apply, metrics, self.axis_name)(state, batch)

    def predict(self, state: Any, inputs: Any) -> Any:
        """The module's outputs after ``activation``."""
        outputs = self.module.apply(state.variables, inputs, train=False)
        return self.activation(in_float32(outputs))

    def summarize(self, means: dict[str, float]) -> dict[str, float]:
        """Metrics a person reads; see ``summary``."""
        return self.summary(means)

    def hyperparameters(self, step: int) -> dict[str, float]:
        """The learning rate, where a schedule was given."""
        return {} if self.schedule is None else {"learning_rate": float(self.schedule(step))}
