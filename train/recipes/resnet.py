"""Ten kinds of objects by a residual network, of 20 to 1202 layers or of 18 to 152.

    flax-models train resnet
    flax-models train resnet --source tfds --data-dir DIR --depth 20

Depths 6n + 2 (20, 32, 44, 56, 110, 1202) are the paper's networks for CIFAR-10 (He et al. 2015,
section 4.2); 18, 34, 50, 101 and 152 those for ImageNet with a first layer for small images.

CIFAR-10, here encoded anew as JPEG, depth 20, seed 0: test accuracy 86.26 % (validation 87.36 %) by
the second command in 64 minutes of one CPU core; with 15 epochs 84.95 % (85.86 %). The paper has
91.25 % after 64,000 steps, 9 times as many.

``gradients.png`` is the course's point. Of 56 layers before their first step: without skips the
gradient's norm grows 60 times on its way from the last convolution to the first (batch norm keeps
it from vanishing and makes it explode: Yang et al. 2019), with skips 4 times.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure

from flax_models import CifarResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from train import figures
from train.classification import cross_entropy
from train.errors import UsageError
from train.objects import Augmentation, ObjectClassifier, ObjectRecipe
from train.optimizers import Optimizer
from train.recipe import Run, column
from train.steps import Batch

IMAGENET = {18: resnet18, 34: resnet34, 50: resnet50, 101: resnet101, 152: resnet152}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet(ObjectRecipe):
    """Settings of the practice."""

    name = "resnet"
    learns = "objects in colour images, by a ResNet of any depth"
    expected = "with tfds, 20 layers, test accuracy 0.8626, 64 minutes of one core"

    epochs: int = 20
    depth: int = 20
    shortcut: Literal["padding", "projection", "none"] = "padding"
    """Option A or B of the paper where a block widens, or no block with a skip; depths 6n + 2."""
    remat: bool = False
    """Whether to compute a block's insides twice instead of keeping them, for depths 6n + 2."""
    depth_of_gradients: int = 56
    """Layers, 6n + 2, of the networks with and without skips whose gradients are drawn."""
    augmentation: Augmentation = Augmentation()
    optimizer: Optimizer = Optimizer(
        name="sgd", learning_rate=0.2, momentum=0.9, weight_decay=5e-4, warmup=0.15
    )

    def __post_init__(self) -> None:
        """Refuse a depth that no such network has."""
        super().__post_init__()
        if self.depth not in IMAGENET and not _is_six_n_plus_two(self.depth):
            raise UsageError(
                f"depth {self.depth}: must be 6n + 2 (20, 32, 44, 56, 110, 1202), or one of "
                f"{', '.join(map(str, IMAGENET))}"
            )
        if not _is_six_n_plus_two(self.depth_of_gradients):
            raise UsageError(
                f"depth_of_gradients {self.depth_of_gradients}: must be 6n + 2 (8, 20, 56)"
            )

    def network(self, classes: int) -> nn.Module:
        """The residual network of this depth."""
        if self.depth in IMAGENET:
            return IMAGENET[self.depth](num_classes=classes, small_images=True, dtype=self.dtype)
        return CifarResNet(
            self.depth, classes, shortcut=self.shortcut, remat=self.remat, dtype=self.dtype
        )

    def draw(self, run: Run) -> None:
        """Further: the gradient's norm by depth, with and without skips."""
        super().draw(run)
        draw_gradients(run)


def draw_gradients(run: Run) -> None:
    """``gradients.png``: the norm of each convolution's gradient before the first step."""
    recipe = run.recipe
    assert isinstance(recipe, ResNet)
    classes = len(recipe.names())
    batch = {name: column(run.splits.train, name)[:64] for name in ("inputs", "targets")}
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for shortcut, label in ((recipe.shortcut, "with skips"), ("none", "without")):
        network = CifarResNet(recipe.depth_of_gradients, classes, shortcut=shortcut)
        norms = gradient_norms(ObjectClassifier(network), batch, recipe.seed)
        axes.semilogy(range(1, len(norms) + 1), norms, marker=".", label=label)
    axes.set(
        xlabel="convolution, from the first",
        ylabel="norm of its gradient",
        title=f"Networks of {recipe.depth_of_gradients} layers before their first step",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figures.save(figure, run.figures / "gradients.png")


def gradient_norms(module: nn.Module, batch: Batch, seed: int) -> list[float]:
    """Of the mean cross-entropy, by the kernels of a new CifarResNet's convolutions in order."""

    def loss(params: PyTree, statistics: PyTree) -> Array:
        outputs, _ = module.apply(
            {"params": params, "batch_stats": statistics},
            batch["inputs"],
            train=True,
            mutable=["batch_stats"],
        )
        return cross_entropy(outputs, batch).mean()

    variables = module.init(jax.random.PRNGKey(seed), batch["inputs"][:1])
    gradients = jax.jit(jax.grad(loss))(variables["params"], variables["batch_stats"])["network"]
    norms = [np.linalg.norm(gradients["conv1"]["kernel"])]
    for stage in (1, 2, 3):
        first, rest = gradients[f"layer{stage}_0"], gradients.get(f"layer{stage}", {})
        convolutions = ("conv1", "conv2")
        norms += [np.linalg.norm(first[name]["kernel"]) for name in convolutions]
        # the equal blocks of a stage are stacked along a first axis
        for blocks in zip(*(rest[name]["kernel"] for name in convolutions if rest), strict=True):
            norms += map(np.linalg.norm, blocks)
    return [float(norm) for norm in norms]


def _is_six_n_plus_two(depth: int) -> bool:
    return depth >= 8 and depth % 6 == 2
