"""Fit sin x on [-pi, pi] by a cubic whose gradients are derived by hand: no autodiff anywhere.

    flax-models train sine

The course's first practice: 1,000 points, sum of squared errors, learning rate 1e-6, the whole set
in every step. On two CPU cores, seed 0: the least-squares cubic to 3e-5 in 11 seconds.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int, PyTree
from matplotlib.figure import Figure

from data import Splits, load_sine
from flax_models import cubic, squared_errors_gradient
from train import figures
from train.errors import UsageError
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run
from train.steps import Batch, Sums, keep_if, sum_over
from train.task import Task


class CubicState(struct.PyTreeNode):
    """Four numbers and a counter: gradient descent needs no more."""

    step: Int[Array, ""]
    coefficients: Float[Array, "4"]

    @property
    def variables(self) -> dict[str, PyTree]:
        """The coefficients under a name, as for a module."""
        return {"params": {"coefficients": self.coefficients}}


@dataclasses.dataclass(frozen=True)
class HandDerivedCubic(Task):
    """Gradient descent on the sum of squared errors, with ``squared_errors_gradient``."""

    learning_rate: float
    axis_name: str | None = None

    def init(self, key: Array, batch: Batch) -> CubicState:
        """Coefficients drawn from the standard normal distribution, as in the course."""
        return CubicState(step=jnp.zeros((), jnp.int32), coefficients=jax.random.normal(key, (4,)))

    def train_step(self, state: CubicState, batch: Batch) -> tuple[CubicState, Sums]:
        """``coefficients - learning_rate * gradient`` over the whole batch."""
        gradient = sum_over(self.axis_name)(
            squared_errors_gradient(
                state.coefficients, batch["inputs"], batch["targets"], batch["mask"]
            )
        )
        proposed = state.replace(coefficients=state.coefficients - self.learning_rate * gradient)
        finite = jnp.all(jnp.isfinite(gradient))
        state, sums = keep_if(finite, proposed, state, self.eval_step(state, batch))
        return state.replace(step=state.step + 1), sums

    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """Squared errors, summed."""
        error = self.predict(state, batch["inputs"]) - batch["targets"]
        sums = {"loss": jnp.sum(batch["mask"] * error**2), "n": batch["mask"].sum()}
        return sum_over(self.axis_name)(sums)

    def predict(self, state: Any, inputs: Any) -> Any:
        """The cubic at ``inputs``."""
        return cubic(state.variables["params"]["coefficients"], inputs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sine(Recipe):
    """Settings of the practice; ``optimizer`` uses its learning rate alone."""

    name = "sine"
    learns = "a cubic for sin x, by hand-derived gradients"
    data = "computed: 1,000 points on [-pi, pi]"
    expected = "test loss 0.0045 (mean squared error), seconds"

    epochs: int = 20_000
    batch_size: int = 1000
    evaluate_every: int = 1000
    source: str = "computed"
    optimizer: Optimizer = Optimizer(
        name="sgd", learning_rate=1e-6, schedule="constant", momentum=0
    )

    def __post_init__(self) -> None:
        """Refuse a precision in which steps of 1e-6 would be lost."""
        super().__post_init__()
        if self.precision != "f32":
            raise UsageError(f"precision {self.precision}: the cubic has float32 alone")

    def load(self) -> Splits:
        """1. Data: one period of the sine."""
        if self.source != "computed":
            raise UsageError(f"source {self.source!r}: the sine is computed; leave --source out")
        return load_sine()

    def task(self, splits: Splits | None) -> Task:
        """2. Model, loss and gradient: all by hand."""
        return HandDerivedCubic(self.optimizer.learning_rate)

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. The best cubic there is, by least squares in double precision."""
        coefficients = least_squares_cubic(splits)
        x, y = splits.test["inputs"], splits.test["targets"]
        error = np.polynomial.polynomial.polyval(x, coefficients) - y
        return {"coefficients": coefficients.tolist(), "test/loss": float(np.mean(error**2))}

    def conclude(self, run: Run) -> dict[str, Any]:
        """4. The coefficients that training found, to stand beside the baseline's."""
        return {"coefficients": np.asarray(run.state.variables["params"]["coefficients"]).tolist()}

    def draw(self, run: Run) -> None:
        """5. The truth, the fit, and the random cubic that training began with."""
        x = run.splits.train["inputs"]
        begin = run.task.init(jax.random.PRNGKey(self.seed), run.splits.train)
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(x, run.splits.train["targets"], label="sin x", linewidth=3, alpha=0.5)
        axes.plot(x, run.predict(x), label=f"cubic after {self.epochs} steps")
        axes.plot(x, run.task.predict(begin, x), "--", color="grey", label="random cubic before")
        axes.set(xlabel="x", ylabel="y", ylim=(-4, 4), title="sin x and a cubic fitted by hand")
        axes.legend()
        figures.save(figure, run.figures / "fit.png")

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The cubic at each number."""
        for text in inputs:
            try:
                x = float(text)
            except ValueError:
                raise UsageError(f"{text!r}: the sine takes numbers, as 1.57") from None
            yield {"input": text, "value": float(predict(np.array([x], np.float32))[0])}

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of x and y."""
        return {"how_to_read": "x in radians, from -pi to pi", "meaning": "the cubic at x"}


def least_squares_cubic(splits: Splits) -> np.ndarray:
    """Coefficients [4], lowest power first."""
    x, y = (splits.train[name].astype(np.float64) for name in ("inputs", "targets"))
    return np.polynomial.polynomial.polyfit(x, y, 3)
