"""Handwritten digits from noise, by a DCGAN.

    flax-models train gan
    flax-models train gan --spectral-norm true
    flax-models train gan --source tfds --data-dir DIR

Embedded digits, seeds 0, 1, 2: the Fréchet distance on test is 19, 28 and 25, that of uniform noise
543, 610 and 621, that of as many training digits 7, 8 and 9. Each of the ten digits has 5 % or more
of 1,000 samples, by a classifier that must name one; to the eye a good part of them are no digit.
Training took 20 to 23 minutes on two CPU cores that 15 processes shared, a tenth of them each. On
validation, seed 0, after 30 epochs: 35 by the moving average with 0.998, 36 with 0.99, 42 without,
whose distance went up and down. Spectral norm and all of MNIST were not measured.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import PyTree
from matplotlib.figure import Figure
from PIL import Image

from data import Splits, count, load_digits
from flax_models import Discriminator, Generator
from train import figures
from train.adversarial import Adversarial
from train.errors import UsageError
from train.generation import (
    DIGITS,
    LEAST_SHARE,
    collapse_in_words,
    distance_of_images,
    judged,
    shares,
    spread,
    train_judge,
)
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run, column

NOISE_OF_SAMPLES = 1000
"""Seed of the noise that samples are drawn from; the parts of the data have seeds from 0 on."""
MOST_DIGITS = 20
"""Of a seed, which becomes part of a file's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gan(Recipe):
    """Settings of the practice."""

    name = "gan"
    learns = "to draw digits, by a generator against a discriminator (DCGAN)"
    data = "5,000 embedded digits, or tfds mnist"
    expected = "Fréchet distance 24, of noise 591; 20 minutes on a busy host"
    monitor = "frechet_distance"

    epochs: int = 60
    batch_size: int = 64
    evaluate_every: int = 5
    ema: float | None = 0.998
    width: int = 16
    """Channels of the largest maps of both networks; each halving of the sides doubles them."""
    noise_size: int = 100
    """Numbers from which the generator makes a digit."""
    spectral_norm: bool = False
    """Whether the discriminator's layers are normalised so, and not by batch."""
    samples: int = 1000
    """Digits that are drawn in the end to see whether all ten appear."""
    optimizer: Optimizer = Optimizer(
        name="adam", learning_rate=2e-4, schedule="constant", beta1=0.5
    )

    def __post_init__(self) -> None:
        """Refuse generators without noise, and to judge by no sample."""
        super().__post_init__()
        for name in ("noise_size", "samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}: must be 1 or more")

    def load(self) -> Splits:
        """1. Data: real digits are targets, noise is inputs; training draws noise anew."""
        *parts, source = self.digits
        train, validation, test = (
            {"inputs": self.noise(seed, count(part)), "targets": part["inputs"]}
            for seed, part in enumerate(parts)
        )
        return Splits(train, validation, test, source)

    @functools.cached_property
    def digits(self) -> Splits:
        """Images and labels, read once."""
        return load_digits(self.source, self.data_dir, self.download)

    @functools.cached_property
    def judge(self) -> PyTree:
        """2. A classifier of digits that the generator never meets, by which it is measured."""
        return train_judge(self.digits.train, self.batch_size, self.seed)

    def noise(self, seed: int, rows: int) -> np.ndarray:
        """Standard normal float32 [rows, noise_size]."""
        return np.random.default_rng(seed).standard_normal((rows, self.noise_size), np.float32)

    def task(self, splits: Splits | None) -> Adversarial:
        """3. Two models, an objective of each, and an optimizer of each."""
        optimizer, _ = self.optimizer.build(self.steps(splits))
        return Adversarial(
            generator=Generator(width=self.width, dtype=self.dtype),
            discriminator=Discriminator(
                width=self.width, spectral_norm=self.spectral_norm, dtype=self.dtype
            ),
            optimizer=optimizer,
            noise_size=self.noise_size,
            judge=None if splits is None else self.judge,
            milestones=self.milestones(self.steps(splits)),
        )

    def milestones(self, steps: int, rows: int = 8) -> tuple[int, ...]:
        """Numbers of steps at which samples are kept; more of them early, when more changes."""
        return tuple(sorted({math.ceil(steps * (row / rows) ** 2) for row in range(1, rows + 1)}))

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """4. Images whose pixels are uniform noise; and what training images themselves reach."""
        rng, test = np.random.default_rng(self.seed), column(splits.test)
        of_noise = rng.integers(0, 256, test.shape).astype(np.uint8)
        real = column(splits.train)[: len(test)]
        return {
            "test/frechet_distance": distance_of_images(self.judge, test, of_noise),
            "training_images": distance_of_images(self.judge, test, real),
        }

    def conclude(self, run: Run) -> dict[str, Any]:
        """5. Which digits the samples are, and whether they differ as real ones do."""
        images, labels = self.drawn(run)
        share, real = shares(labels), self.digits.validation
        relative = spread(images, labels) / spread(column(real, "inputs"), column(real))
        return {
            "share_of_digits": share.tolist(),
            "relative_spread": relative,
            "collapse": collapse_in_words(share, relative),
            "judge_accuracy": float(np.mean(judged(self.judge, real["inputs"]) == column(real))),
        }

    def drawn(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Samples of the best weights, [samples, 28, 28, 1] from 0 to 255, and their digits."""
        drawn = run.predict(self.noise(NOISE_OF_SAMPLES, self.samples))
        return drawn["images"], drawn["probabilities"].argmax(-1)

    def draw(self, run: Run) -> None:
        """6. What the same noise became as training went on, samples, and how often each digit."""
        state = run.state if self.ema is None else run.state.current
        milestones = self.milestones(self.steps(run.splits))
        epochs = [step * self.batch_size / count(run.splits.train) for step in milestones]
        figures.image_rows(
            {
                f"epoch {epoch:.1f}": images / 255
                for epoch, images in zip(epochs, state.gallery, strict=True)
            },
            run.figures / "over_time.png",
            heading="The same noise as training went on",
        )
        images, labels = self.drawn(run)
        figures.image_rows(
            {
                str(digit): images[labels == digit][:12] / 255
                for digit in range(DIGITS)
                if np.any(labels == digit)
            },
            run.figures / "samples.png",
            heading="Samples, by the digit that the judge takes them for",
        )
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.bar(range(DIGITS), 100 * shares(labels))
        axes.axhline(100 * LEAST_SHARE, color="black", linestyle="--", label="collapse below")
        axes.set(
            xlabel="digit", xticks=range(DIGITS), ylabel="samples (%)",
            title=f"Digits among {self.samples} samples",
        )  # fmt: skip
        axes.legend()
        figures.save(figure, run.figures / "digits.png")

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The digit that each seed's noise becomes, written as a PNG of 28 x 28."""
        for text in inputs:
            if not text.isdecimal() or len(text) > MOST_DIGITS:
                raise UsageError(
                    f"{text!r}: give seeds, whole numbers of {MOST_DIGITS} digits at most, as 7"
                )
            found = predict(self.noise(int(text), 1))
            probabilities = found["probabilities"][0]
            file = predict.file(f"digit_{int(text)}.png")
            Image.fromarray(np.rint(found["images"][0, ..., 0]).astype(np.uint8)).save(file)
            label = int(probabilities.argmax())
            yield {
                "input": text,
                "image": str(file),
                "label": label,
                "probability": float(probabilities[label]),
            }

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of noise and images."""
        return {
            "how_to_read": f"{self.noise_size} numbers of the standard normal distribution",
            "meaning": "a digit with pixels from 0 to 255, and which one a classifier takes it for",
        }
