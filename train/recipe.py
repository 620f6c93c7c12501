"""What a practice states: its settings, data, task, baseline and figures."""

import abc
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np

from data import Examples, Splits, count
from train.averaging import Averaged
from train.errors import UsageError
from train.loop import Predictor
from train.optimizers import Optimizer
from train.task import Task, Weights

WHERE = {"where": True}
"""Marks a field that says where data lie, not what is learned: it may differ when resuming."""

LEAST = {
    **dict.fromkeys(("epochs", "batch_size", "evaluate_every", "patience", "width", "depth"), 1),
    **dict.fromkeys(("embedding_size", "hidden_size", "beam_width", "accumulate", "overfit"), 1),
    "shift": 0,
}
"""Smallest values of fields that any practice, or several, have under these names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(abc.ABC):
    """One practice. Every field is an option of the command line; the class says the rest.

    Subclasses are frozen dataclasses too, and override defaults or add fields.
    """

    name: ClassVar[str]
    learns: ClassVar[str]
    """What the network learns, in a few words for ``flax-models list``."""
    data: ClassVar[str]
    """On which data: the default, then what ``source`` may name."""
    expected: ClassVar[str]
    """Measured: test metric and minutes on two CPU cores, with the default settings."""
    monitor: ClassVar[str] = "loss"
    """The validation metric that chooses the best weights."""
    higher_is_better: ClassVar[bool] = False
    input_shape: ClassVar[str | None] = "batch, ..."
    """Of the inputs that an exported function takes: a name for each axis of any size, and ``...``
    for the axes of training; none where the prediction is not one function of arrays."""

    seed: int = 0
    epochs: int = 10
    batch_size: int = 128
    evaluate_every: int = 1
    """Epochs from one evaluation and checkpoint to the next."""
    patience: int | None = None
    """Stop after so many evaluations without a better monitored metric; never, by default."""
    precision: Literal["f32", "bf16"] = "f32"
    """Of products and convolutions; parameters, losses, statistics and metrics stay float32."""
    accumulate: int = 1
    """Parts in which a step takes its batch, one after another, to save memory."""
    ema: float | None = None
    """Decay of the moving average that is evaluated and saved; without it, the last weights are."""
    overfit: int | None = None
    """Train and validate on so many training examples, unchanged: can the network learn at all?"""
    source: str = "embedded"
    data_dir: str | None = dataclasses.field(default=None, metadata=WHERE)
    download: bool = dataclasses.field(default=False, metadata=WHERE)
    optimizer: Optimizer = Optimizer()

    def __post_init__(self) -> None:
        """Refuse counts that no loop can run and no network can have."""
        for field, least in LEAST.items():
            value = getattr(self, field, None)
            if value is not None and value < least:
                raise UsageError(f"{field} {value}: must be {least} or more")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"ema {self.ema}: between 0 and 1, as 0.999, or none")

    @property
    def dtype(self) -> Any:
        """What ``precision`` means to a module."""
        return jnp.bfloat16 if self.precision == "bf16" else jnp.float32

    @abc.abstractmethod
    def load(self) -> Splits:
        """Train, validation and test examples."""

    @abc.abstractmethod
    def task(self, splits: Splits | None) -> Task:
        """Model, objective and optimizer; without data, fit only to evaluate and predict."""

    def training_task(self, splits: Splits) -> Task:
        """The task as ``fit`` trains it, by parts of a batch and averaged, where asked for."""
        task = self.task(splits)
        if self.accumulate > 1:
            task = task.accumulating(self.accumulate)
        return task if self.ema is None else Averaged(task, self.ema)

    @abc.abstractmethod
    def baseline(self, splits: Splits) -> dict[str, Any]:
        """What a plain method reaches on the same test examples."""

    def conclude(self, run: "Run") -> dict[str, Any]:
        """Further results for the summary, computed once training has ended."""
        return {}

    @abc.abstractmethod
    def draw(self, run: "Run") -> None:
        """Save what a person wants to look at into the run's figures."""

    @abc.abstractmethod
    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """One answer for each input that ``flax-models predict`` was given, with its ``input``."""

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """For who loads an exported function: how an input is made, and what an output means."""
        return {}

    def steps(self, splits: Splits | None) -> int:
        """Training steps of the whole run; 1 without data, where no schedule is followed."""
        return 1 if splits is None else self.epochs * (count(splits.train) // self.batch_size)


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training: what ``fit`` returns and figures are drawn from."""

    recipe: Recipe
    task: Task
    folder: Path
    metrics: dict[str, float]
    """Test metrics of the best weights, and the validation metrics that chose them."""
    state: Any
    """The state after the last step, on the host."""
    weights: Weights
    """The best weights by the monitored validation metric."""
    splits: Splits
    history: list[dict[str, float]]
    """The lines of ``metrics.jsonl``."""
    predict: Predictor

    @property
    def figures(self) -> Path:
        """Where the recipe draws."""
        return self.folder / "figures"


def default_folder(recipe: Recipe) -> Path:
    """A new folder below ``runs`` for a run that names none."""
    return Path("runs") / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def column(examples: Examples, name: str = "targets") -> np.ndarray:
    """One array of the examples, out of its memory map."""
    return np.asarray(examples[name])
