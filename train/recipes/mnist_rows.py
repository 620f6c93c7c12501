"""Handwritten digits read row by row, many-to-one: 28 steps of 28 pixels.

    flax-models train mnist-rows
    flax-models train mnist-rows --cell rnn|lstm|gru
    flax-models train mnist-rows --source tfds --data-dir DIR --epochs 20

A GRU of 128 units. Test accuracy on two busy CPU cores: 96.5 % on the embedded digits over seeds 0,
1, 2, in half a minute; on all of MNIST 99.15 % in 264 seconds of 20 epochs, seed 0.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from matplotlib.figure import Figure

from data import Splits, load_digits, random_shift, standardise_digits
from flax_models import Cell, ManyToOne
from train import figures
from train.baselines import linear_classes
from train.classification import accuracy, cross_entropy
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run, column
from train.recipes.mnist import digit_answers, digit_legend, draw_mistakes
from train.steps import on_inputs
from train.task import Supervised, Task


class RowReader(nn.Module):
    """The rows of an image from top to bottom, and logits after the last of ``rows``."""

    cell: Cell
    hidden_size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: UInt8[Array, "B 28 28 1"],
        rows: Int[Array, "B"] | None = None,
        train: bool = False,
    ) -> Float[Array, "B 10"]:
        """Logits of the ten digits; by default all rows are read."""
        steps = standardise_digits(images)[..., 0]
        network = ManyToOne(10, self.cell, self.hidden_size, dtype=self.dtype, name="reader")
        return network(steps, rows, train)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistRows(Recipe):
    """Settings of the practice."""

    name = "mnist-rows"
    learns = "handwritten digits row by row, by RNN, LSTM or GRU"
    data = "5,000 embedded digits, or tfds mnist"
    expected = "test accuracy 0.965, half a minute; with tfds, 20 epochs 0.991, 5 minutes"
    monitor = "accuracy"
    higher_is_better = True

    epochs: int = 40
    cell: Cell = "gru"
    hidden_size: int = 128
    shift: int = 1
    """Pixels by which a training image may move each way."""
    optimizer: Optimizer = Optimizer(
        learning_rate=3e-3, weight_decay=1e-4, warmup=0.05, clip_norm=1.0
    )

    def load(self) -> Splits:
        """1. Data: images uint8 [N, 28, 28, 1] and labels [N]."""
        return load_digits(self.source, self.data_dir, self.download)

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer."""
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        return Supervised(
            module=RowReader(self.cell, self.hidden_size, self.dtype),
            loss=cross_entropy,
            metrics={"accuracy": accuracy},
            optimizer=optimizer,
            schedule=schedule,
            augment=on_inputs(lambda key, images: random_shift(key, images, self.shift)),
            activation=jax.nn.softmax,
        )

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. A linear classifier by least squares, which sees all pixels at once."""
        return {"test/accuracy": float(np.mean(linear_classes(splits, 10) == column(splits.test)))}

    def draw(self, run: Run) -> None:
        """4. Confusions, the surest mistakes, and how certainty grows with every row."""
        draw_mistakes(run)
        images, labels = column(run.splits.test, "inputs"), column(run.splits.test)
        chosen = np.array([np.flatnonzero(labels == digit)[0] for digit in (2, 3, 7, 8)])
        beliefs = self.beliefs(run, images[chosen])
        figure = Figure(figsize=(11, 5.5), layout="constrained")
        figure.suptitle("What the network would answer if the image ended after a row")
        for image, axes, belief in zip(
            images[chosen], figure.subplots(2, 4).T, beliefs, strict=True
        ):
            axes[0].imshow(image[..., 0], cmap="gray")
            axes[0].axis("off")
            for digit in np.argsort(-belief.max(axis=0))[:4]:
                axes[1].plot(np.arange(1, 29), belief[:, digit], label=str(digit))
            axes[1].set(xlabel="rows read", ylabel="probability", ylim=(0, 1.02))
            axes[1].legend(title="digit", fontsize=8)
        figures.save(figure, run.figures / "row_by_row.png")

    def beliefs(self, run: Run, images: np.ndarray) -> np.ndarray:
        """Probabilities [N, 28, 10] of the digits after each row: lengths cut a sequence short."""
        module = RowReader(self.cell, self.hidden_size, self.dtype)

        @jax.jit
        def after(rows: Array) -> Array:
            logits: Any = module.apply(run.weights.variables, images, jnp.full(len(images), rows))
            return jax.nn.softmax(logits)

        return np.stack([after(rows) for rows in range(1, 29)], axis=1)

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The digit in each image file, of any size, dark on light or light on dark."""
        return digit_answers(predict, inputs)

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of probabilities of digits."""
        return digit_legend()
