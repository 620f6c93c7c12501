"""How generated digits are judged: distance from real ones, which digits appear, how they differ.

A small classifier of digits looks at them. Distances are between its features, so they compare runs
of this practice on the same data, and are not the FID of the literature, whose features are those
of an Inception network.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt8

from data import Batches, Examples, random_shift, read_ahead, standardise_digits
from flax_models import MLP
from train.classification import cross_entropy
from train.compiler import compile_mended
from train.optimizers import Optimizer
from train.steps import Sums, on_inputs
from train.task import Supervised

DIGITS = 10
LEAST_SHARE = 0.03
"""Of a digit among samples; a fair generator gives each a tenth."""
LEAST_SPREAD = 0.5
"""Of the samples of one digit, as a share of that of real ones."""


class DigitJudge(nn.Module):
    """A classifier of digits with pixels from 0 to 255; what its last layer sees are features."""

    def setup(self) -> None:
        """Two layers, and the one that decides."""
        self.body, self.head = MLP((256, 64)), nn.Dense(DIGITS)

    def __call__(
        self, images: Float[Array, "B 28 28 1"] | UInt8[Array, "B 28 28 1"], train: bool = False
    ) -> Float[Array, "B 10"]:
        """Logits of the ten digits."""
        logits: Array = self.head(self.features(images))
        return logits

    def features(
        self, images: Float[Array, "B 28 28 1"] | UInt8[Array, "B 28 28 1"]
    ) -> Float[Array, "B 64"]:
        """What it decides by."""
        return nn.relu(self.body(standardise_digits(images)))


def train_judge(digits: Examples, batch_size: int, seed: int, epochs: int = 20) -> PyTree:
    """Variables of a ``DigitJudge`` that has learned digits: images and labels.

    It is too small to be worth more than one device; each process trains the same one for itself.
    """
    batches = Batches(digits, batch_size, seed)
    steps = epochs * batches.batches_per_epoch
    optimizer, _ = Optimizer(learning_rate=2e-3, weight_decay=1e-4).build(steps)
    task = Supervised(
        module=DigitJudge(),
        loss=cross_entropy,
        optimizer=optimizer,
        augment=on_inputs(lambda key, images: random_shift(key, images, 1)),
    )
    state = jax.jit(task.init)(jax.random.PRNGKey(seed), batches[0])
    mask = np.ones(batch_size, np.float32)
    jitted = jax.jit(task.train_step, donate_argnums=0)
    train_step = compile_mended(jitted.lower(state, {**batches[0], "mask": mask}))
    for rows in read_ahead(batches, 0, steps):
        state, _ = train_step(state, {**rows, "mask": mask})
    return jax.device_get(state.variables)


def judged(judge: PyTree, images: np.ndarray) -> Int[np.ndarray, "N"]:
    """The digits that the judge takes images [N, 28, 28, 1] for."""
    logits: Any = DigitJudge().apply(judge, images)
    return np.asarray(logits.argmax(-1))


def moment_sums(features: Float[Array, "B D"], mask: Float[Array, "B"], name: str) -> Sums:
    """Sums of features [D] and of their products [D, D] over the rows that count."""
    counted = jnp.where(mask[:, None] > 0, features, 0.0)
    products = jnp.matmul(counted.T, counted, precision="highest")
    return {f"{name}_mean": counted.sum(axis=0), f"{name}_products": products}


def frechet_distance(means: Mapping[str, Any], one: str, other: str) -> float:
    """Between normal distributions with the moments of two sets of features.

    |m - n|^2 + trace(C + D - 2 (C D)^(1/2)) with means m, n and covariances C, D (Dowson and Landau
    1982; Heusel et al. 2017, equation 6). The eigenvalues of C D are those of the symmetric
    C^(1/2) D C^(1/2).

    Args:
        means: of what ``moment_sums`` adds up under the two names.
    """
    m, n = (np.asarray(means[f"{name}_mean"], np.float64) for name in (one, other))
    c, d = (
        np.asarray(means[f"{name}_products"], np.float64) - np.outer(mean, mean)
        for name, mean in ((one, m), (other, n))
    )
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ d @ root), 0)).sum()
    return float(np.sum((m - n) ** 2) + np.trace(c) + np.trace(d) - 2 * shared)


def distance_of_images(judge: PyTree, one: np.ndarray, other: np.ndarray) -> float:
    """The Fréchet distance between two sets of images [N, 28, 28, 1] with pixels from 0 to 255."""
    moments: dict[str, np.ndarray] = {}
    for name, images in (("one", one), ("other", other)):
        features: Any = DigitJudge().apply(judge, images, method=DigitJudge.features)
        sums = moment_sums(features, jnp.ones(len(images)), name)
        moments |= {key: np.asarray(value, np.float64) / len(images) for key, value in sums.items()}
    return frechet_distance(moments, "one", "other")


def shares(labels: Int[np.ndarray, "N"]) -> Float[np.ndarray, "10"]:
    """Of each digit among labels."""
    return np.bincount(labels, minlength=DIGITS) / len(labels)


def spread(images: Float[np.ndarray, "N H W 1"], labels: Int[np.ndarray, "N"]) -> float:
    """Mean squared distance of two different images of one digit, averaged over the digits.

    For n images it is the sum over the pixels of 2 n / (n - 1) times the variance. Digits with less
    than two images are left out; with none left it is 0.
    """
    pixels = images.reshape(len(images), -1)
    groups = [pixels[labels == digit] for digit in range(DIGITS)]
    distances = [2 * some.var(axis=0, ddof=1).sum() for some in groups if len(some) > 1]
    return float(np.mean(distances)) if distances else 0.0


def collapse_in_words(share: Float[np.ndarray, "10"], relative_spread: float) -> str:
    """Whether the samples lack digits, or are all alike.

    Args:
        share: of each digit among the samples.
        relative_spread: ``spread`` of the samples over that of real images.
    """
    found = []
    if rare := [str(digit) for digit in range(DIGITS) if share[digit] < LEAST_SHARE]:
        found.append(f"under {LEAST_SHARE:.0%} of the samples are {', '.join(rare)}")
    if relative_spread < LEAST_SPREAD:
        found.append(
            f"two samples of one digit differ by {relative_spread:.2f} of what two real ones do"
        )
    if found:
        return "collapsed: " + "; ".join(found)
    return (
        f"no collapse: each digit has {share.min():.1%} of the samples or more, and two of one "
        f"digit differ by {relative_spread:.2f} of what two real ones do"
    )
