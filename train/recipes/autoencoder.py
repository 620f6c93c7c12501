"""Digits through a code of a few numbers and back, by four kinds of autoencoder.

    flax-models train autoencoder
    flax-models train autoencoder --kind dense|convolutional|denoising|variational --latent 16
    flax-models train autoencoder --source tfds --data-dir DIR --epochs 15 --batch-size 256 \\
        --learning-rate 2e-3

Test error of a pixel, squared, where white is 1, of the dense kind; in brackets that of as many
principal components. Embedded digits, mean of seeds 0, 1, 2: 16 numbers 0.0108 (0.0280), 32 numbers
0.0081 (0.0178), in 2 to 8 minutes of training on two very busy CPU cores. All of MNIST, seed 0: 16
numbers 0.0091 (0.0269), 32 numbers 0.0060 (0.0168), in 2 minutes. On validation, 32 numbers and 40
epochs of batches of 128: squared error 0.0134, cross-entropy 0.0143; squared error without the
shift 0.0170; with a learning rate of 4e-3 rather than 2e-3 0.0118, and by batches of 64 0.0104.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from data import DIGIT_IMAGE, Examples, Splits, load_digits, random_shift, read_digit
from flax_models import VAE, Autoencoder, kl_divergence
from train import figures
from train.baselines import principal_components
from train.errors import UsageError
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run, column
from train.steps import Batch
from train.task import Supervised, Task
from train.whole_pictures import distinct_stems

Kind = Literal["dense", "convolutional", "denoising", "variational"]


class DigitCoder(nn.Module):
    """Pixels from 0 to 255 to a code, and the code to logits of the pixels.

    Outputs are ``logits`` [B, 28, 28, 1] and the ``code`` [B, latent]; where ``variational`` the
    code is a mean, its ``log_variance`` comes too, and while training the logits are those of a
    code drawn about the mean by the step's key.
    """

    latent: int
    widths: Sequence[int]
    layers: str
    variational: bool
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """One of the two networks."""
        network = VAE if self.variational else Autoencoder
        self.network: Any = network(self.latent, self.widths, self.layers, dtype=self.dtype)

    def __call__(
        self, images: Float[Array, "B H W 1"] | UInt8[Array, "B H W 1"], train: bool = False
    ) -> dict[str, Array]:
        """Logits and codes."""
        pixels = images.astype(jnp.float32) / 255
        if not self.variational:
            code = self.network.encode(pixels)
            return {"logits": self.decode(code), "code": code}
        shape = (images.shape[0], self.latent)
        noise = jax.random.normal(self.make_rng("dropout"), shape) if train else None
        logits, mean, log_variance = self.network(pixels, noise)
        return {"logits": logits, "code": mean, "log_variance": log_variance}

    def decode(self, code: Float[Array, "B latent"]) -> Float[Array, "B 28 28 1"]:
        """Logits of the digits that codes stand for."""
        return self.network.decode(code, (28, 28))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderPractice(Recipe):
    """Settings of the practice."""

    name = "autoencoder"
    learns = "a code of a few numbers for an image, and the image from it"
    data = "5,000 embedded digits, or tfds mnist"
    expected = "test mse 0.0081, principal components 0.0178; minutes"

    epochs: int = 100
    batch_size: int = 64
    kind: Kind = "dense"
    latent: int = 32
    """Numbers in a code."""
    hidden: tuple[int, ...] = (512, 256)
    """Widths of dense layers, from the image to the code; of all kinds but convolutional."""
    channels: tuple[int, ...] = (16, 32)
    """Channels of convolutional layers, each of which halves the image."""
    shift: int = 1
    """Pixels by which a training image may move each way."""
    noise: float = 0.4
    """Standard deviation of the noise that ``denoising`` removes, where white is 1."""
    optimizer: Optimizer = Optimizer(learning_rate=4e-3, warmup=0.05)

    def __post_init__(self) -> None:
        """Refuse codes of no number, layers of no width, and noise below none."""
        super().__post_init__()
        if self.latent < 1:
            raise UsageError(f"latent {self.latent}: must be 1 or more")
        if self.noise < 0:
            raise UsageError(f"noise {self.noise}: must be 0 or more")
        for name in ("hidden", "channels"):
            widths = getattr(self, name)
            if min(widths, default=0) < 1:
                raise UsageError(f"{name} {widths}: one width or more, each 1 or more")

    def load(self) -> Splits:
        """1. Data: an image's target is the image; uint8 [N, 28, 28, 1], with labels [N]."""
        train, validation, test, source = load_digits(self.source, self.data_dir, self.download)
        return Splits(
            as_own_targets(train),
            self.noisy(as_own_targets(validation), seed=0),
            self.noisy(as_own_targets(test), seed=1),
            source,
        )

    def noisy(self, examples: Examples, seed: int) -> Examples:
        """For ``denoising``, inputs with noise that is the same in every evaluation."""
        if self.kind != "denoising":
            return examples
        pixels = column(examples)
        grain = np.random.default_rng(seed).normal(0, 255 * self.noise, pixels.shape)
        return {**examples, "inputs": np.clip(pixels + grain, 0, 255).astype(np.uint8)}

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer."""
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        convolutional, variational = self.kind == "convolutional", self.kind == "variational"
        return Supervised(
            module=DigitCoder(
                self.latent,
                self.channels if convolutional else self.hidden,
                "convolutional" if convolutional else "dense",
                variational,
                self.dtype,
            ),
            loss=negative_evidence if variational else squared_error,
            metrics={"mse": squared_error}
            | ({"reconstruction": cross_entropy, "kl": divergence} if variational else {}),
            optimizer=optimizer,
            schedule=schedule,
            augment=self.augment,
            activation=lambda outputs: {
                "images": jax.nn.sigmoid(outputs["logits"]),
                "code": outputs["code"],
            },
        )

    def augment(self, key: Array, batch: Batch) -> Batch:
        """Images and their targets moved alike; for ``denoising``, noise on the images alone."""
        place, grain = jax.random.split(key)
        targets = random_shift(place, batch["targets"], self.shift)
        if self.kind != "denoising":
            return {**batch, "inputs": targets, "targets": targets}
        noise = 255 * self.noise * jax.random.normal(grain, targets.shape)
        return {**batch, "inputs": jnp.clip(targets + noise, 0, 255), "targets": targets}

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. Principal components, as many as the code has numbers."""
        images, targets = by_components(splits, self.latent), column(splits.test) / 255
        return {"test/mse": float(np.mean((images - targets) ** 2))}

    def draw(self, run: Run) -> None:
        """4. Reconstructions, the map of the codes, the way between two digits, samples."""
        inputs, targets = column(run.splits.test, "inputs"), column(run.splits.test)
        labels = column(run.splits.test, "labels")
        predicted = run.predict(inputs)
        first = np.array([np.flatnonzero(labels == digit)[0] for digit in np.unique(labels)])
        given = {"given": inputs[first] / 255} if self.kind == "denoising" else {}
        figures.image_rows(
            {
                "true": targets[first] / 255,
                **given,
                self.kind: predicted["images"][first],
                "PCA": np.clip(by_components(run.splits, self.latent)[first], 0, 1),
            },
            run.figures / "reconstructions.png",
            heading=f"Test digits from {self.latent} numbers",
        )
        draw_map(predicted["code"], labels, run)

        ends, shares = predicted["code"][first], np.linspace(0, 1, 10)[:, None]
        pairs = list(zip(range(len(first)), range(1, len(first)), strict=False))
        figures.image_rows(
            {
                f"{labels[first[a]]} to {labels[first[b]]}": decode(
                    run, (1 - shares) * ends[a] + shares * ends[b]
                )
                for a, b in pairs
            },
            run.figures / "interpolation.png",
            heading="From the code of one test digit to that of another, in a straight line",
        )
        if self.kind == "variational":
            codes = np.random.default_rng(self.seed).normal(size=(8, 16, self.latent))
            figures.image_rows(
                {f"{row + 1}": decode(run, some) for row, some in enumerate(codes)},
                run.figures / "samples.png",
                heading="Digits from codes of the standard normal distribution",
            )

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Each image file through the code and back, written as a PNG of 28 x 28."""
        for path, stem in zip(inputs, distinct_stems(inputs), strict=True):
            pixels = read_digit(path)
            image = predict(pixels[None])["images"][0]
            file = predict.file(f"{stem}_reconstruction.png")
            Image.fromarray(np.rint(255 * image[..., 0]).astype(np.uint8)).save(file)
            mse = float(np.mean((image - pixels / 255) ** 2))
            yield {"input": path, "reconstruction": str(file), "mse": mse}

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of images and codes."""
        return {"how_to_read": DIGIT_IMAGE, "meaning": "images: pixels from 0 to 1, and their code"}


def as_own_targets(digits: Examples) -> Examples:
    """Digits whose targets are the images themselves; their classes are ``labels``."""
    return {"inputs": digits["inputs"], "targets": digits["inputs"], "labels": digits["targets"]}


def squared_error(outputs: Any, batch: Batch) -> Float[Array, "B"]:
    """Mean over the pixels, where white is 1."""
    targets = batch["targets"].astype(jnp.float32) / 255
    return jnp.mean((jax.nn.sigmoid(outputs["logits"]) - targets) ** 2, axis=(1, 2, 3))


def cross_entropy(outputs: Any, batch: Batch) -> Float[Array, "B"]:
    """Of each pixel as a probability of white, summed over the image, in nats."""
    targets = batch["targets"].astype(jnp.float32) / 255
    pixels = optax.sigmoid_binary_cross_entropy(outputs["logits"], targets)
    return pixels.sum(axis=(1, 2, 3))


def divergence(outputs: Any, batch: Batch) -> Float[Array, "B"]:
    """Of the code's distribution from the standard normal one, in nats."""
    return kl_divergence(outputs["code"], outputs["log_variance"])


def negative_evidence(outputs: Any, batch: Batch) -> Float[Array, "B"]:
    """The evidence lower bound's negative (Kingma and Welling 2014, equation 10), in nats.

    While training of one code drawn for each image, in evaluation of the codes' means.
    """
    return cross_entropy(outputs, batch) + divergence(outputs, batch)


def by_components(splits: Splits, components: int) -> Float[np.ndarray, "N 28 28 1"]:
    """The test inputs from so many principal components of the training targets."""
    fitted, given = column(splits.train) / 255, column(splits.test, "inputs") / 255
    mean, directions = principal_components(fitted.reshape(len(fitted), -1), components)
    centred = given.reshape(len(given), -1) - mean
    return (centred @ directions.T @ directions + mean).reshape(given.shape)


def decode(run: Run, codes: Float[np.ndarray, "N latent"]) -> Float[np.ndarray, "N 28 28 1"]:
    """Pixels from 0 to 1 of the digits that codes stand for."""
    assert isinstance(run.task, Supervised)
    logits: Any = run.task.module.apply(
        run.weights.variables, codes.astype(np.float32), method=DigitCoder.decode
    )
    return np.asarray(jax.nn.sigmoid(logits))


def draw_map(codes: np.ndarray, labels: np.ndarray, run: Run) -> None:
    """Codes [N, latent] in the plane of their first two principal components, by class."""
    mean, directions = principal_components(codes, min(2, codes.shape[1]))
    places = (codes - mean) @ directions.T
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    # with one number there is no plane: its value, by class
    heights = places[:, 1] if places.shape[1] > 1 else labels
    dots = axes.scatter(places[:, 0], heights, c=labels, cmap="tab10", s=6, vmin=-0.5, vmax=9.5)
    figure.colorbar(dots, ticks=range(10), label="digit")
    axes.set(xlabel="first component", ylabel="second component", title="Codes of the test digits")
    figures.save(figure, run.figures / "codes.png")
