"""Boston house prices by a multilayer perceptron, judged by five-fold cross-validation.

    flax-models train boston
    flax-models train boston --source FILE.csv

Features are standardised by the training part's mean and deviation. The run itself holds out one
fold; once trained, it repeats itself on the four others, in ``folds``. Five-fold RMSE, mean of
seeds 0, 1, 2: 3.13 thousand dollars (3.18, 3.24, 2.96) in half a minute on two busy CPU cores;
least squares on the same folds: 4.87. Without the average of the weights 3.26 (3.29, 3.43, 3.06);
the last ten validations of a run tell no difference, 2.39 on average.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from data import BOSTON_FEATURES, FOLDS, Splits, load_boston, read_table
from flax_models import MLP
from train import figures
from train.baselines import least_squares
from train.fit import fit
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run, column
from train.report import Reporter
from train.task import Supervised, Task


class PriceRegressor(nn.Module):
    """Features in their own units to a price in 1,000 dollars.

    Means and deviations are variables of the collection ``statistics``, so that the weights file
    holds all that a prediction needs.
    """

    hidden: Sequence[int]
    dropout_rate: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Float[Array, "B 13"], train: bool = False) -> Float[Array, "B 1"]:
        """Prices."""

        def statistic(name: str, width: int, fill: float) -> Array:
            return self.variable("statistics", name, jnp.full, (width,), fill).value

        width = features.shape[-1]
        mean, deviation = statistic("mean", width, 0.0), statistic("deviation", width, 1.0)
        standardised = (features - mean) / deviation
        network = MLP((*self.hidden, 1), self.dropout_rate, self.dtype, name="mlp")
        hidden = network(standardised, train=train)
        return hidden * statistic("price_deviation", 1, 1.0) + statistic("price_mean", 1, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boston(Recipe):
    """Settings of the practice."""

    name = "boston"
    learns = "house prices from 13 features, by an MLP"
    data = "506 embedded rows, or a CSV file"
    expected = "five-fold RMSE 3.13 (1,000 dollars), half a minute"
    monitor = "rmse"

    epochs: int = 200
    batch_size: int = 32
    evaluate_every: int = 10
    fold: int = 0
    """Which fifth of the rows is the test part."""
    cross_validate: bool = True
    """Whether to repeat the run on the other folds once it has ended."""
    ema: float | None = 0.99
    hidden: tuple[int, ...] = (64, 64)
    dropout_rate: float = 0.1
    optimizer: Optimizer = Optimizer(learning_rate=3e-3, weight_decay=1e-2)

    def load(self) -> Splits:
        """1. Data: 13 features and a price a row."""
        return load_boston(self.source, self.fold)

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer."""
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        return Supervised(
            module=PriceRegressor(self.hidden, self.dropout_rate, self.dtype),
            loss=lambda prices, batch: jnp.sum((prices - batch["targets"]) ** 2, axis=-1),
            optimizer=optimizer,
            schedule=schedule,
            constants={} if splits is None else {"statistics": statistics(splits)},
            summary=lambda means: {"rmse": means["loss"] ** 0.5},
        )

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. Linear regression by least squares on the same rows."""
        error = least_squares(splits) - splits.test["targets"]
        return {"test/rmse": float(np.sqrt(np.mean(error**2)))}

    def conclude(self, run: Run) -> dict[str, Any]:
        """4. The same on the other folds; errors are pooled over all rows."""
        if not self.cross_validate:
            return {}
        errors: dict[str, list[np.ndarray]] = {"network": [], "least squares": []}
        for fold in range(FOLDS):
            if fold == self.fold:
                one = run
            else:
                recipe = dataclasses.replace(self, fold=fold, cross_validate=False)
                one = fit(recipe, run.folder / "folds" / str(fold), reporter=Reporter(quiet=True))
            truth = column(one.splits.test)
            errors["network"].append(one.predict(column(one.splits.test, "inputs")) - truth)
            errors["least squares"].append(least_squares(one.splits) - truth)
        return {"five_fold": {name: _pooled(parts) for name, parts in errors.items()}}

    def draw(self, run: Run) -> None:
        """5. Predicted against true prices, beside the linear baseline's."""
        truth = column(run.splits.test)[:, 0]
        figure = Figure(figsize=(5.5, 5), layout="constrained")
        axes = figure.subplots()
        guesses = {
            "least squares": least_squares(run.splits)[:, 0],
            "network": run.predict(column(run.splits.test, "inputs"))[:, 0],
        }
        for name, guess in guesses.items():
            rmse = np.sqrt(np.mean((guess - truth) ** 2))
            axes.scatter(truth, guess, s=18, alpha=0.7, label=f"{name}, RMSE {rmse:.2f}")
        axes.axline((0, 0), slope=1, color="grey", linewidth=1)
        axes.set(
            xlabel="true price (1,000 dollars)",
            ylabel="predicted price (1,000 dollars)",
            title=f"Boston housing, test fold {self.fold}",
        )
        axes.legend()
        figures.save(figure, run.figures / "predictions.png")

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The price of each row of each CSV file that has the feature columns."""
        for path in inputs:
            table = read_table(path, BOSTON_FEATURES).astype(np.float32)
            for row, price in enumerate(predict(table)[:, 0], start=1):
                yield {"input": path, "row": row, "value": float(price)}

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of a house."""
        return {
            "how_to_read": f"in their own units: {', '.join(BOSTON_FEATURES)}",
            "meaning": "price in 1,000 dollars",
        }


def statistics(splits: Splits) -> dict[str, np.ndarray]:
    """Mean and deviation of features and price over the training part alone."""
    features, prices = splits.train["inputs"], splits.train["targets"]
    return {
        "mean": features.mean(0),
        "deviation": features.std(0),
        "price_mean": prices.mean(0),
        "price_deviation": prices.std(0),
    }


def _pooled(errors: list[np.ndarray]) -> dict[str, Any]:
    folds = [float(np.sqrt(np.mean(part**2))) for part in errors]
    return {"rmse": float(np.sqrt(np.mean(np.concatenate(errors) ** 2))), "rmse_by_fold": folds}
