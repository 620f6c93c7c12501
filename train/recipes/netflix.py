"""Tomorrow's price of a share from its last 30 days, by a recurrent network.

    flax-models train netflix
    flax-models train netflix --cell rnn|lstm|gru --rollout-days 20
    flax-models train netflix --source FILE.csv

The parts follow each other in time; only the training part's returns give the scale. Test RMSE,
seed 0: GRU 10.69, LSTM 10.69, RNN 10.70 dollars, in 4 to 10 seconds of training on two busy CPU
cores. Persistence, "tomorrow equals today", has 10.68 and wins. The network begins as persistence,
and validation chose the first of 30 epochs for each cell: nothing it found holds on later days.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from data import Splits, count, load_prices, read_closes
from flax_models import Cell, ManyToOne
from train import figures
from train.errors import UsageError
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run, column
from train.task import Supervised, Task


class NextPrice(nn.Module):
    """Prices of consecutive days to the price of the day after.

    The network reads the days' returns (differences of logarithms), which look alike when a share
    costs 10 dollars and when it costs 500, and answers with the next one. It starts from an answer
    of 0: tomorrow equals today. Mean and deviation of the returns are variables of the collection
    ``statistics``, so that the weights file holds all that a prediction needs.
    """

    cell: Cell
    hidden_size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, prices: Float[Array, "B days"], train: bool = False) -> Float[Array, "B 1"]:
        """Prices in the unit of the input."""
        mean = self.variable("statistics", "mean", jnp.zeros, (1,)).value
        deviation = self.variable("statistics", "deviation", jnp.ones, (1,)).value
        returns = (jnp.diff(jnp.log(prices), axis=1) - mean) / deviation
        network = ManyToOne(
            1,
            self.cell,
            self.hidden_size,
            head_init=nn.initializers.zeros,
            dtype=self.dtype,
            name="network",
        )
        return prices[:, -1:] * jnp.exp(network(returns[..., None], train=train) * deviation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Netflix(Recipe):
    """Settings of the practice."""

    name = "netflix"
    learns = "tomorrow's share price from 30 days, by RNN, LSTM or GRU"
    data = "2,699 embedded daily prices of Netflix, or a CSV file with date and close"
    expected = "test RMSE 10.69 dollars, persistence 10.68; 10 seconds"
    monitor = "rmse"

    epochs: int = 30
    batch_size: int = 64
    cell: Cell = "gru"
    hidden_size: int = 32
    window: int = 30
    """Days that a prediction sees."""
    rollout_days: int = 5
    """Days ahead, for which the network goes on from its own predictions."""
    longest_gap: int = 7
    """Calendar days from one row of a file to the next, at most."""
    optimizer: Optimizer = Optimizer(learning_rate=1e-3, weight_decay=1e-2)

    def __post_init__(self) -> None:
        """Refuse windows without a return, and rollouts of no day."""
        super().__post_init__()
        if self.window < 2:
            raise UsageError(f"window {self.window}: a return needs 2 days or more")
        if self.rollout_days < 1:
            raise UsageError(f"rollout_days {self.rollout_days}: must be 1 or more")

    def load(self) -> Splits:
        """1. Data: windows of prices and the price after, cut in the order of time."""
        splits = load_prices(self.source, self.window, self.longest_gap)
        if self.rollout_days > count(splits.test):
            raise UsageError(
                f"rollout_days {self.rollout_days}: more than the {count(splits.test)} test days"
            )
        return splits

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer: squared errors of the return, in per cent."""
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        return Supervised(
            module=NextPrice(self.cell, self.hidden_size, self.dtype),
            loss=lambda prices, batch: 1e4 * jnp.log(prices / batch["targets"])[:, 0] ** 2,
            metrics={
                "mae": lambda prices, batch: jnp.abs(prices - batch["targets"])[:, 0],
                "rmse": lambda prices, batch: (prices - batch["targets"])[:, 0] ** 2,
                "persistence_mae": lambda _, batch: jnp.abs(persistence_error(batch)),
                "persistence_rmse": lambda _, batch: persistence_error(batch) ** 2,
            },
            optimizer=optimizer,
            schedule=schedule,
            constants={} if splits is None else {"statistics": statistics(splits)},
            summary=in_dollars,
        )

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. Persistence: tomorrow equals today."""
        errors = persistence_error(splits.test)
        rmse = float(root_mean_square(errors))
        return {"test/mae": float(np.abs(errors).mean()), "test/rmse": rmse, "test/mase": 1.0}

    def conclude(self, run: Run) -> dict[str, Any]:
        """4. Several days ahead: errors of the rollout, and of today's price, by days ahead."""
        truth, predicted, today = self.rollouts_of_test(run)
        return {
            "rollout": {
                "rmse_by_days_ahead": root_mean_square(predicted - truth).tolist(),
                "persistence_rmse_by_days_ahead": root_mean_square(today - truth).tolist(),
            }
        }

    def rollouts_of_test(self, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """True and predicted prices [N, days] after each test window, and its last price [N, 1]."""
        truth = np.lib.stride_tricks.sliding_window_view(
            column(run.splits.test)[:, 0], self.rollout_days
        )
        windows = column(run.splits.test, "inputs")[: len(truth)]
        return truth, rollout(run.predict, windows, self.rollout_days), windows[:, -1:]

    def draw(self, run: Run) -> None:
        """5. The test days as they were, as predicted the day before, and as persistence has it."""
        figure = Figure(figsize=(10, 7), layout="constrained")
        truth, inputs = column(run.splits.test)[:, 0], column(run.splits.test, "inputs")
        predicted = run.predict(inputs)[:, 0]
        for axes, days in zip(figure.subplots(2, 1), (len(truth), 60), strict=True):
            of_test = np.arange(len(truth))[-days:]
            axes.plot(of_test, truth[-days:], color="black", label="true price")
            axes.plot(of_test, inputs[-days:, -1], "--", color="tab:orange", label="persistence")
            axes.plot(of_test, predicted[-days:], color="tab:blue", label=f"{self.cell}, predicted")
            axes.set(xlabel="day of the test part", ylabel="price (dollars)")
            axes.legend()
        figure.suptitle(
            f"The next day's price: RMSE {run.metrics['test/rmse']:.2f} dollars, "
            f"persistence {run.metrics['test/persistence_rmse']:.2f}"
        )
        figures.save(figure, run.figures / "prices.png")
        self._draw_rollouts(run)

    def _draw_rollouts(self, run: Run) -> None:
        """Rollouts from now and then, and how errors grow with the days ahead."""
        truth, predicted, today = self.rollouts_of_test(run)
        figure = Figure(figsize=(12, 4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
        left.plot(column(run.splits.test)[:, 0], color="black", linewidth=1, label="true price")
        for start in range(0, len(predicted), max(self.rollout_days, len(predicted) // 20)):
            days = start - 1 + np.arange(self.rollout_days + 1)
            path = np.concatenate([today[start], predicted[start]])
            name = "predicted from the day where it begins" if start == 0 else None
            left.plot(days, path, color="tab:blue", marker=".", label=name)
        left.set(xlabel="day of the test part", ylabel="price (dollars)", title="Rollouts")
        left.legend()
        ahead = np.arange(1, self.rollout_days + 1)
        for name, guess in {self.cell: predicted, "persistence": today}.items():
            right.plot(ahead, root_mean_square(guess - truth), marker=".", label=name)
        right.set(xlabel="days ahead", ylabel="RMSE (dollars)", title="Error by days ahead", ylim=0)
        right.legend()
        figures.save(figure, run.figures / "rollout.png")

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The prices of the days after the last row of each CSV file, from its last days."""
        for path in inputs:
            closes = read_closes(path, self.window, self.longest_gap)[-self.window :]
            prices = rollout(predict, closes[None].astype(np.float32), self.rollout_days)[0]
            for day, price in enumerate(prices, start=1):
                today = float(closes[-1])
                yield {"input": path, "day": day, "value": float(price), "persistence": today}

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of prices."""
        return {
            "how_to_read": f"closing prices of {self.window} consecutive days, the last one last",
            "meaning": "closing price of the next day",
        }


def statistics(splits: Splits) -> dict[str, np.ndarray]:
    """Mean and deviation [1] of the daily returns that the training part's windows hold."""
    returns = np.diff(np.log(column(splits.train, "inputs")), axis=1)
    return {"mean": returns.mean(keepdims=True)[0], "deviation": returns.std(keepdims=True)[0]}


def in_dollars(means: dict[str, float]) -> dict[str, float]:
    """Roots of mean squares, and the error as a multiple of persistence's on the same days.

    ``mase`` is the mean absolute scaled error (Hyndman and Koehler 2006) with the scale taken from
    the evaluated days: below 1 is better than persistence. The scale of the training days, when a
    share cost a tenth, would say nothing about that.
    """
    roots = {name: means[name] ** 0.5 for name in ("rmse", "persistence_rmse")}
    return {**means, **roots, "mase": means["mae"] / means["persistence_mae"]}


def persistence_error(examples: Mapping[str, Any]) -> Any:
    """Today's price less tomorrow's [N]: the error of saying that tomorrow equals today."""
    return examples["inputs"][:, -1] - examples["targets"][:, 0]


def root_mean_square(errors: np.ndarray) -> np.ndarray:
    """Over the rows."""
    return np.sqrt(np.mean(errors**2, axis=0))


def rollout(predict: Predictor, windows: np.ndarray, days: int) -> np.ndarray:
    """Prices [N, days] after windows [N, window], each from predictions of the days before."""
    ahead = []
    for _ in range(days):
        ahead.append(predict(windows))
        windows = np.concatenate([windows[:, 1:], ahead[-1]], axis=1)
    return np.concatenate(ahead, axis=1)
