"""Handwritten digits by a multilayer perceptron, 784-64-10.

    flax-models train mnist
    flax-models train mnist --source tfds --data-dir DIR

Images are scaled to mean 0 and deviation 1, and shifted by up to a pixel each way while training.
Test accuracy over seeds 0, 1, 2 on two CPU cores: 94.7 % on the embedded digits in 3 seconds,
98.3 % on all of MNIST in 31 seconds. The shift was chosen on validation: 98.6 % with it, 97.7 %
without.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, UInt8

from data import Splits, load_digits, read_digit
from flax_models import MLP
from train import figures
from train.baselines import least_squares
from train.optimizers import Optimizer
from train.recipe import Predict, Recipe, Run, column
from train.task import Supervised, Task

MEAN, DEVIATION = 0.1307, 0.3081
"""Of MNIST's training pixels, scaled to [0, 1]."""


class DigitClassifier(nn.Module):
    """Pixels to logits: normalise, flatten, and a multilayer perceptron."""

    hidden: Sequence[int]

    @nn.compact
    def __call__(
        self, images: UInt8[Array, "B 28 28 1"], train: bool = False
    ) -> Float[Array, "B 10"]:
        """Logits of the ten digits."""
        pixels = (images.astype(jnp.float32) / 255 - MEAN) / DEVIATION
        return MLP((*self.hidden, 10), name="mlp")(pixels, train=train)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mnist(Recipe):
    """Settings of the practice."""

    name = "mnist"
    learns = "handwritten digits, by an MLP 784-64-10"
    data = "5,000 embedded digits, or tfds mnist"
    expected = "test accuracy 0.947, seconds; with tfds 0.983, half a minute"
    monitor = "accuracy"
    higher_is_better = True

    epochs: int = 40
    hidden: tuple[int, ...] = (64,)
    shift: int = 1
    """Pixels by which a training image may move each way."""
    optimizer: Optimizer = Optimizer(learning_rate=2e-3, weight_decay=1e-4, warmup=0.05)

    def load(self) -> Splits:
        """1. Data: images uint8 [N, 28, 28, 1] and labels [N]."""
        return load_digits(self.source, self.data_dir, self.download)

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer."""
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        return Supervised(
            module=DigitClassifier(self.hidden),
            loss=lambda logits, batch: optax.softmax_cross_entropy_with_integer_labels(
                logits, batch["targets"]
            ),
            metrics={"accuracy": lambda logits, batch: logits.argmax(-1) == batch["targets"]},
            optimizer=optimizer,
            schedule=schedule,
            augment=lambda key, images: random_shift(key, images, self.shift),
            activation=jax.nn.softmax,
        )

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. A linear classifier by least squares on the same pixels."""
        scores = least_squares(
            splits, lambda x: x.reshape(len(x), -1) / 255.0, lambda y: np.eye(10)[y]
        )
        return {"test/accuracy": float(np.mean(scores.argmax(-1) == splits.test["targets"]))}

    def draw(self, run: Run) -> None:
        """4. Which digits are taken for which, and the surest mistakes."""
        images, labels = column(run.splits.test, "inputs"), column(run.splits.test)
        probabilities = run.predict(images)
        predicted, confidence = probabilities.argmax(-1), probabilities.max(-1)
        figures.confusion_matrix(
            labels, predicted, [str(digit) for digit in range(10)], run.figures / "confusion.png"
        )
        wrong = np.flatnonzero(predicted != labels)
        surest = wrong[np.argsort(-confidence[wrong])][:24]
        figures.image_grid(
            images[surest],
            [f"{labels[i]} as {predicted[i]} ({confidence[i]:.0%})" for i in surest],
            run.figures / "mistakes.png",
            heading="The most confident mistakes: true digit, prediction, probability",
        )

    def answers(self, predict: Predict, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The digit in each image file, of any size, dark on light or light on dark."""
        for path in inputs:
            probabilities = predict(read_digit(path)[None])[0]
            label = int(probabilities.argmax())
            yield {"input": path, "label": label, "probability": float(probabilities[label])}


def random_shift(key: Array, images: UInt8[Array, "B H W C"], most: int) -> UInt8[Array, "B H W C"]:
    """Move each image by up to ``most`` pixels each way, with zeros where it leaves."""
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * most + 1)

    def crop(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (*offset, 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)
