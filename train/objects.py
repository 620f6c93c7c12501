"""What the practices that tell kinds of objects apart share: data, augmentation, figures."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from matplotlib.figure import Figure

from data import (
    Splits,
    class_names,
    cut_mix,
    load_objects,
    mix_up,
    random_cutout,
    random_flip,
    random_shift,
    read_object,
    standardise_colours,
)
from train import figures
from train.baselines import least_squares
from train.classification import accuracy, mixed_cross_entropy, mixture
from train.errors import UsageError
from train.loop import Predictor
from train.recipe import Recipe, Run, column
from train.steps import Augment, Batch
from train.task import Supervised, Task

HOW_TO_READ = "colour image of one object, scaled to 32 x 32 (Lanczos)"


class ObjectClassifier(nn.Module):
    """Pixels to logits: standardise the channels, then a network of images."""

    network: nn.Module

    def __call__(
        self, images: UInt8[Array, "B H W 3"] | Float[Array, "B H W 3"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits of the classes for pixels from 0 to 255."""
        return self.network(standardise_colours(images), train=train)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of training images and of what is asked of them."""

    crop: int = 4
    """Pixels of black on each side before a crop of the old size."""
    flip: bool = True
    """Whether half the images are turned left to right."""
    cutout: int = 0
    """Side of a black square."""
    mixup: float = 0.0
    """Strength of mixing two images' pixels; with ``cutmix`` too, each step takes one of them."""
    cutmix: float = 0.0
    """Strength of putting a box of another image into each."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes (Szegedy et al. 2016)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done to an image."""
        for name in ("crop", "cutout", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise UsageError(f"augmentation.{name} {getattr(self, name)}: must be 0 or more")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(
                f"augmentation.label_smoothing {self.label_smoothing}: a share, from 0 to below 1"
            )

    def build(self, classes: int) -> Augment:
        """The function inside the training step; ``mixture`` [B, classes] is what is asked."""

        def augment(key: Array, batch: Batch) -> Batch:
            crop_key, flip_key, cutout_key, mix_key = jax.random.split(key, 4)
            images = batch["inputs"]
            if self.crop:
                images = random_shift(crop_key, images, self.crop)
            if self.flip:
                images = random_flip(flip_key, images)
            if self.cutout:
                images = random_cutout(cutout_key, images, self.cutout)
            images, own = self._mix(mix_key, images)
            asked = mixture(batch["targets"], classes, own, self.label_smoothing)
            return {**batch, "inputs": images, "mixture": asked}

        return augment

    def _mix(self, key: Array, images: Array) -> tuple[Array, Array]:
        """Images, and how much of each is its own."""
        ways = [
            lambda key, images, way=way, strength=strength: way(key, images, strength)
            for way, strength in ((mix_up, self.mixup), (cut_mix, self.cutmix))
            if strength
        ]
        if not ways:
            return images, jnp.ones(())
        choice_key, key = jax.random.split(key)
        images = images.astype(jnp.float32)
        return jax.lax.switch(jax.random.randint(choice_key, (), 0, len(ways)), ways, key, images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectRecipe(Recipe):
    """Settings of a practice that tells kinds of objects apart; a subclass names its network."""

    data = "4,000 computed shapes, or tfds cifar10"
    monitor = "accuracy"
    higher_is_better = True

    source: str = "computed"
    augmentation: Augmentation = Augmentation()

    @abc.abstractmethod
    def network(self, classes: int) -> nn.Module:
        """From standardised images [B, 32, 32, 3] to logits [B, classes]."""

    def names(self) -> tuple[str, ...]:
        """Of the classes, in the order of the targets."""
        return class_names(self.source)

    def load(self) -> Splits:
        """1. Data: images uint8 [N, 32, 32, 3] and labels [N]."""
        return load_objects(self.source, self.data_dir, self.download)

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer."""
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        classes = len(self.names())
        return Supervised(
            module=ObjectClassifier(self.network(classes)),
            loss=mixed_cross_entropy,
            metrics={"accuracy": accuracy},
            optimizer=optimizer,
            schedule=schedule,
            augment=self.augmentation.build(classes),
            activation=jax.nn.softmax,
        )

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. A linear classifier by least squares on the pixels of images of half the size."""
        names = self.names()
        scores = least_squares(splits, half_size, lambda labels: np.eye(len(names))[labels])
        return {"test/accuracy": float(np.mean(scores.argmax(-1) == column(splits.test)))}

    def draw(self, run: Run) -> None:
        """4. What is taken for what, answers, the surest mistakes, the first layer's filters."""
        draw_answers(run, self.names())
        draw_filters(run)

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The most probable class of each image file, of any size."""
        names = self.names()
        for path in inputs:
            probabilities = predict(read_object(path)[None])[0]
            best = int(probabilities.argmax())
            yield {"input": path, "label": names[best], "probability": float(probabilities[best])}

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of probabilities of classes."""
        return {"how_to_read": HOW_TO_READ, "meaning": list(self.names())}


def half_size(images: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, flat: [N, H, W, C] to [N, H W C / 4]; all pixels take minutes."""
    batch, height, width, channels = images.shape
    squares = images.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return squares.mean(axis=(2, 4), dtype=np.float32).reshape(batch, -1) / 255


def draw_answers(run: Run, names: Sequence[str]) -> None:
    """``confusion.png``, ``answers.png`` and ``mistakes.png`` of probabilities of classes."""
    images, labels = column(run.splits.test, "inputs"), column(run.splits.test)
    probabilities = run.predict(images)
    predicted, confidence = probabilities.argmax(-1), probabilities.max(-1)
    figures.confusion_matrix(labels, predicted, names, run.figures / "confusion.png")
    told = [names[label] for label in predicted]
    figures.image_grid(
        images[:32],
        [f"{one} ({share:.0%})" for one, share in zip(told, confidence[:32], strict=False)],
        run.figures / "answers.png",
        heading="The first test images: prediction, probability",
    )
    figures.surest_mistakes(
        images, [names[label] for label in labels], told, confidence, run.figures / "mistakes.png"
    )


def draw_filters(run: Run) -> None:
    """``filters.png``: the first convolution's kernels as colour images, each to its own range."""
    kernels = first_kernel(run.weights.variables["params"])  # [height, width, 3, features]
    tiles = np.moveaxis(np.asarray(kernels, np.float32), -1, 0)[:192]
    low, high = (reduce(tiles, axis=(1, 2, 3), keepdims=True) for reduce in (np.min, np.max))
    tiles = (tiles - low) / np.maximum(high - low, 1e-9)
    rows = -(-len(tiles) // 16)
    figure = Figure(figsize=(8, 0.5 * rows + 0.5), layout="constrained")
    figure.suptitle("Filters of the first layer")
    panels = figure.subplots(rows, 16, squeeze=False).ravel()
    for axes in panels:
        axes.axis("off")
    for axes, tile in zip(panels, tiles, strict=False):
        axes.imshow(tile)
    figures.save(figure, run.figures / "filters.png")


def first_kernel(params: Mapping[str, Any]) -> Array:
    """The first convolution's kernel by name; it sees three channels, and others might."""
    kernels = (leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4 and leaf.shape[2] == 3)
    return next(kernels)
