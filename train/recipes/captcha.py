"""Text in images, as captchas, by a convolutional recurrent network and CTC.

    flax-models train captcha
    flax-models train captcha --images 16000 --epochs 1 --distortion 0
    flax-models train captcha --source FOLDER_OR_ZIP --distortion 1 --batch-size 24 --epochs 90 \
        --evaluate-every 5

Drawn captchas, 2,000 of test, seed 0: exact match 98.55 %, character error rate 0.30 %, by the
first command in 24.5 minutes on two CPU cores with other work on them. The second, the quick one:
92.75 % of 1,600, error rate 1.5 %, in 80 seconds, with little beside it; with 20,000 images
95.25 % in 4.5 minutes, with much. Drawing comes before, once: 40,000 and their tests took 3.5.

780 real captchas of 5 characters (captcha_images_v2), 585 of them for training, by the last
command: exact match on the 117 of test 99.15 % with each of the seeds 0 to 4, all of which read
``wgnwp`` as ``wgmwp``, as an eye does too; 8 to 17 minutes on one CPU core with other work on it.
With ``--epochs 40``, before: 98.97 % in the mean, 98.29 % the worst. Validation chose 90, by its
mean loss: 0.034 after 40, 0.004 after 90.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from matplotlib.figure import Figure

from data import (
    Splits,
    count,
    decode_text,
    fit_image,
    load_captchas,
    random_distortion,
    read_image,
)
from flax_models import (
    CRNN,
    ctc_align,
    ctc_greedy_decode,
    ctc_loss,
    edit_distance,
)
from flax_models.crnn import COLUMNS_A_STEP
from train import figures
from train.errors import UsageError
from train.loop import Predictor
from train.optimizers import Optimizer
from train.recipe import Recipe, Run, column
from train.steps import Batch, on_inputs
from train.task import Supervised, Task


class Reader(nn.Module):
    """Grey images to logits of the blank (class 0) and of each character, by time step.

    The alphabet, as Unicode code points in rising order, and the size of the images are variables
    of the collection ``reader``, so that the weights file holds all that reading an image needs.
    They are float32, exact for code points: every collection may be averaged over devices.
    """

    alphabet: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W 1"] | UInt8[Array, "B H W 1"], train: bool = False
    ) -> Float[Array, "B T classes"]:
        """Logits for pixels from 0 to 255."""
        alphabet = self.variable("reader", "alphabet", jnp.array, self.alphabet, jnp.float32).value
        self.variable("reader", "size", jnp.array, images.shape[1:3], jnp.float32)
        pixels = images.astype(jnp.float32) / 255
        means = pixels.mean(axis=(1, 2, 3), keepdims=True)
        deviations = pixels.std(axis=(1, 2, 3), keepdims=True)
        network = CRNN(1 + len(alphabet), dtype=self.dtype, name="network")
        return network((pixels - means) / (deviations + 0.05), train=train)


class Readings(NamedTuple):
    """What is read in images, one row each."""

    classes: Int[Array, "B T"]
    confidence: Float[Array, "B"]
    """Probability of the text that was read, over all its alignments."""
    log_probs: Float[Array, "B T classes"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Captcha(Recipe):
    """Settings of the practice."""

    name = "captcha"
    learns = "to read text in images, by a CRNN with CTC"
    data = "drawn captchas of 4 to 6 characters, or a folder or zip of images named by their label"
    expected = "exact match 0.986, 25 minutes; on 780 real captchas 0.99, 8 minutes"
    monitor = "loss"

    source: str = "generated"
    images: int = 40_000
    """Captchas that are drawn for training, once, into a TFDS data set."""
    height: int = 48
    """Pixels to which images are scaled."""
    epochs: int = 3
    batch_size: int = 32
    distortion: float = 0.5
    """How much training images are rotated, sheared, scaled, moved, relit and made noisy."""
    optimizer: Optimizer = Optimizer(
        learning_rate=2e-3, weight_decay=1e-4, warmup=0.05, clip_norm=5.0
    )

    def load(self) -> Splits:
        """1. Data: images uint8 [N, H, W, 1] and code points of their texts [N, longest]."""
        if self.height < 15:
            raise UsageError(f"height {self.height}: must be 15 or more")
        if self.source == "embedded":
            raise UsageError("source embedded: leave --source out for drawn captchas")
        return load_captchas(self.source, self.height, COLUMNS_A_STEP, self.images, self.data_dir)

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer: CTC, whose gradient is our own."""
        alphabet = () if splits is None else alphabet_of(splits)

        def loss(logits: Array, batch: Batch) -> Array:
            classes, lengths = classes_of(batch["targets"], alphabet)
            return ctc_loss(logits, classes, label_lengths=lengths, reduction="none", method="fast")

        def edits(logits: Array, batch: Batch) -> Array:
            decoded = ctc_greedy_decode(logits)
            classes, lengths = classes_of(batch["targets"], alphabet)
            return edit_distance(classes, decoded.labels, lengths, decoded.lengths)

        optimizer, schedule = self.optimizer.build(self.steps(splits))
        return Supervised(
            module=Reader(alphabet, self.dtype),
            loss=loss,
            metrics={
                "exact_match": lambda logits, batch: edits(logits, batch) == 0,
                "edits": edits,
                "characters": lambda _, batch: jnp.sum(batch["targets"] != 0, axis=1),
                "blank_rate": lambda logits, _: jnp.mean(logits.argmax(-1) == 0, axis=1),
            },
            optimizer=optimizer,
            schedule=schedule,
            augment=on_inputs(lambda key, images: random_distortion(key, images, self.distortion)),
            activation=read,
            summary=error_rate,
        )

    def baseline(self, splits: Splits) -> dict[str, Any]:
        """3. The text of the training image whose pixels are nearest."""
        return {"test/exact_match": float(np.mean(nearest_is_right(splits)))}

    def draw(self, run: Run) -> None:
        """4. What is read in test images, and how the time steps spell it."""
        images, texts = column(run.splits.test, "inputs"), texts_of(run.splits.test)
        readings: Readings = run.predict(images)
        answers = read_texts(readings, run.predict)
        wrong = [index for index, text in enumerate(texts) if answers[index] != text]
        right = [index for index, text in enumerate(texts) if answers[index] == text]
        shown = [*wrong[:12], *right][:32]
        figures.image_grid(
            images[shown],
            [answers[i] + (f" ({texts[i]})" if i in wrong else "") for i in shown],
            run.figures / "readings.png",
            heading=f"Test images as read; first the {len(wrong)} of {len(texts)} misread (truth)",
            columns=6,
        )
        draw_posteriors(run, images[shown[:4]])

    def answers(self, predict: Predictor, inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The text in each image file, of any size, and its probability."""
        height, width = map(int, predict.variables["reader"]["size"])
        for path in inputs:
            readings: Readings = predict(fit_image(read_image(path, "L"), height, width)[None])
            (text,) = read_texts(readings, predict)
            yield {"input": path, "text": text, "confidence": float(readings.confidence[0])}

    def legend(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Of an image and of the classes read in it."""
        height, width = map(int, variables["reader"]["size"])
        return {
            "how_to_read": f"grey image scaled (bilinear) to height {height} in its proportions; "
            f"then squeezed to width {width}, or continued to it by its last column",
            "meaning": "classes: the text, class k is character k of the alphabet counted from 1, "
            "0 is none; confidence: probability of the text; log_probs: of the CTC classes by "
            "time step, class 0 is the blank",
            "alphabet": decode_text(variables["reader"]["alphabet"]),
        }


def alphabet_of(splits: Splits) -> tuple[int, ...]:
    """The code points that training texts have, in rising order."""
    points = np.unique(splits.train["targets"])
    return tuple(points[points != 0].tolist())


def classes_of(
    points: Int[Array, "B longest"], alphabet: Sequence[int]
) -> tuple[Int[Array, "B longest"], Int[Array, "B"]]:
    """CTC's classes of code points, 0 beyond a text's end, and the lengths of the texts."""
    classes = jnp.searchsorted(jnp.array(alphabet), points) + 1
    return jnp.where(points == 0, 0, classes), jnp.sum(points != 0, axis=1)


def read(logits: Float[Array, "B T classes"]) -> Readings:
    """The best path's text, and the probability of that text."""
    decoded = ctc_greedy_decode(logits)
    losses = ctc_loss(
        logits, decoded.labels, label_lengths=decoded.lengths, reduction="none", method="fast"
    )
    return Readings(decoded.labels, jnp.exp(-losses), jax.nn.log_softmax(logits))


def read_texts(readings: Readings, predict: Predictor) -> list[str]:
    """The texts of readings, in the trained alphabet."""
    points = np.concatenate([[0], predict.variables["reader"]["alphabet"]])
    return [decode_text(points[classes]) for classes in readings.classes]


def error_rate(means: dict[str, float]) -> dict[str, float]:
    """Edits a character (CER) in place of edits and characters an image."""
    edits, characters = means.pop("edits"), means.pop("characters")
    return {**means, "cer": edits / characters}


def texts_of(examples: Mapping[str, np.ndarray]) -> list[str]:
    """The true texts."""
    return [decode_text(points) for points in examples["targets"]]


def nearest_is_right(splits: Splits, most: int = 5000) -> np.ndarray:
    """Whether each test image has the text of the nearest of the first ``most`` training images."""
    train, test = (
        column(part, "inputs")[:most].reshape(min(most, count(part)), -1).astype(np.float32) / 255
        for part in (splits.train, splits.test)
    )
    nearest = (np.sum(train**2, axis=1) - 2 * test @ train.T).argmin(axis=1)
    return np.all(splits.train["targets"][nearest] == splits.test["targets"][: len(test)], axis=1)


def draw_posteriors(run: Run, images: np.ndarray) -> None:
    """Each image above its classes' probabilities by time step, with the aligned text."""
    readings: Readings = run.predict(images)
    alphabet = [chr(int(point)) for point in run.weights.variables["reader"]["alphabet"]]
    lengths = np.sum(readings.classes != 0, axis=1)
    paths = ctc_align(readings.log_probs, readings.classes, label_lengths=lengths).path
    figure = Figure(figsize=(12, 3 + 0.09 * len(alphabet) * 2), layout="constrained")
    panels = figure.subplots(2, len(images), squeeze=False, height_ratios=[1, 3])
    for image, log_probs, path, (above, below) in zip(
        images, readings.log_probs, np.asarray(paths), panels.T, strict=True
    ):
        above.imshow(image[..., 0], cmap="gray", aspect="auto")
        above.axis("off")
        below.imshow(np.exp(log_probs.T), cmap="Blues", aspect="auto", vmin=0, vmax=1)
        below.set_yticks(range(len(alphabet) + 1), ["blank", *alphabet], fontsize=5)
        aligned = ["·" if one == 0 else alphabet[one - 1] for one in path]
        below.set_xticks(range(len(path)), aligned, fontsize=6)
        below.set_xlabel("aligned text by time step, · is the blank")
    figure.suptitle("Probability of each character by time step")
    figures.save(figure, run.figures / "posteriors.png")
