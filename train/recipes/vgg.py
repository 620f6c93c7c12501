"""Objects by a VGG, and transfer learning: from five classes to five others, or from a file.

    flax-models train vgg
    flax-models train vgg --source tfds --data-dir DIR
    flax-models train vgg --pretrained vgg16.pth --depth 16 --width 64 --batch-norm=false --freeze

Without ``--pretrained`` the network learns five of the ten classes. Then the others are learned
from 10, 50 and 200 images of each class, twice: by a new network, and by one whose convolutions are
those that the first five classes taught. With a file of torchvision's names, or a run's
``model.safetensors``, all ten classes are learned with its convolutions; the dense layers are new.

The rate of transferred convolutions was chosen on validation: CIFAR-10 (encoded anew as JPEG),
width 16, five classes from 1,000 images each in 8 epochs, then the others from 50 each in 300
steps, seed 0, 20 to 40 seconds each on two busy CPU cores. From scratch 63.3 %; transferred 68.7 %
at the full rate, 63.9 % at 0.3, 59.1 % at 0.1, and 55.5 % frozen.

The second command with ``--width 16 --epochs 10``, seed 0: test accuracy 81.26 % of the first five
classes in 9 minutes on two busy CPU cores (least squares 54.5 %). Of the other five, from 10, 50
and 200 images each: 61.4, 75.7 and 78.8 % transferred, 52.0, 65.2 and 66.7 % from scratch.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optax
from matplotlib.figure import Figure

from data import Splits, class_names, of_classes
from flax_models import VGG
from train import figures
from train.errors import UsageError
from train.fit import fit
from train.objects import Augmentation, ObjectRecipe
from train.optimizers import Optimizer
from train.pretrained import load_features, transfers
from train.recipe import Run
from train.report import Reporter
from train.run_folder import SUMMARY, WEIGHTS
from train.task import Supervised, Task

DEPTHS = (11, 13, 16, 19)
STUDY_BATCH, EVALUATIONS = 32, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vgg(ObjectRecipe):
    """Settings of the practice."""

    name = "vgg"
    learns = "objects in colour images, by a VGG; transfer to other classes"
    expected = "tfds, width 16: from 50 images a class 0.757 transferred, 0.652 from scratch"

    epochs: int = 10
    depth: int = 11
    """11, 13, 16 or 19 layers."""
    width: int = 32
    """Channels of the first block; 64 in the paper."""
    batch_norm: bool = True
    hidden: int = 512
    """Features of both hidden dense layers."""
    dropout_rate: float = 0.5
    classes: tuple[int, ...] | None = None
    """Which are told apart: by default the first five, or all with a pretrained file."""
    images_each: int | None = None
    """Training images of each class; by default all."""
    pretrained: str | None = None
    """Whose convolutions to begin with: torchvision's weights, or a run's model.safetensors."""
    freeze: bool = False
    """Whether pretrained convolutions stay as they are."""
    features_rate: float = 1.0
    """Learning rate of pretrained convolutions that do not stay, as a share of the others'."""
    labelled: tuple[int, ...] = (10, 50, 200)
    """Images of each of the other classes that the study of transfer learns from."""
    study_steps: int = 300
    """Training steps of each network of the study."""
    augmentation: Augmentation = Augmentation()
    optimizer: Optimizer = Optimizer(learning_rate=1e-3, weight_decay=5e-2, warmup=0.05)

    def __post_init__(self) -> None:
        """Refuse networks that are none, and classes that there are not."""
        super().__post_init__()
        if self.depth not in DEPTHS:
            raise UsageError(f"depth {self.depth}: must be one of {', '.join(map(str, DEPTHS))}")
        chosen, known = list(self.chosen), range(len(class_names(self.source)))
        if len(chosen) < 2 or sorted(set(chosen)) != chosen or not set(chosen) <= set(known):
            raise UsageError(
                f"classes {','.join(map(str, chosen))}: two or more rising numbers "
                f"from 0 to {known[-1]}"
            )
        for name, number in (
            ("images_each", self.images_each),
            ("labelled", min(self.labelled, default=None)),
        ):
            if number is not None and number < 1:
                raise UsageError(f"{name} {number}: must be 1 or more")

    @property
    def chosen(self) -> tuple[int, ...]:
        """The classes that are told apart, by their numbers in the data."""
        if self.classes is not None:
            return self.classes
        every = tuple(range(len(class_names(self.source))))
        return every[: len(every) // 2] if self.pretrained is None else every

    def names(self) -> tuple[str, ...]:
        """Of the chosen classes."""
        known = class_names(self.source)
        return tuple(known[one] for one in self.chosen)

    def load(self) -> Splits:
        """1. Data: the images of the chosen classes, and of each as many as are asked for."""
        train, validation, test, source = super().load()
        there = int(np.bincount(train["targets"]).min())
        asked = max(self.images_each or 0, *self.labelled, 0)
        if asked > there:
            raise UsageError(f"{asked} training images of each class: {source} has {there}")
        return Splits(
            of_classes(train, self.chosen, self.images_each),
            of_classes(validation, self.chosen),
            of_classes(test, self.chosen),
            source,
        )

    def network(self, classes: int) -> VGG:
        """One pixel is left of images of 32 x 32 when the dense layers begin."""
        return VGG(
            self.depth,
            classes,
            self.batch_norm,
            self.dropout_rate,
            self.hidden,
            pooled_size=1,
            width=self.width,
            frozen_features=self.pretrained is not None and self.freeze,
            dtype=self.dtype,
        )

    def task(self, splits: Splits | None) -> Task:
        """2. Model, objective and optimizer; pretrained convolutions have a rate of their own."""
        task = super().task(splits)
        assert isinstance(task, Supervised)
        if self.pretrained is None or splits is None:
            return task
        network = self.network(len(self.names()))
        slower = dataclasses.replace(
            self.optimizer, learning_rate=self.features_rate * self.optimizer.learning_rate
        )
        kept = optax.set_to_zero() if self.freeze else slower.build(self.steps(splits))[0]
        features = load_features(self.pretrained, network)
        return dataclasses.replace(
            task,
            optimizer=transfers(task.optimizer, kept),
            constants={collection: {"network": tree} for collection, tree in features.items()},
        )

    def study(self, run: Run) -> Iterator[tuple[str, int, "Vgg", Path]]:
        """Networks for the other classes: from which start, from how many images, settings, folder.

        None if this run transfers itself, leaves too few classes, or is asked for no study.
        """
        every = range(len(class_names(self.source)))
        others = tuple(one for one in every if one not in self.chosen)
        if self.pretrained is not None or len(others) < 2:
            return
        weights = str(run.folder / WEIGHTS)
        for labelled in self.labelled:
            batch_size = min(STUDY_BATCH, labelled * len(others))
            epochs = -(-self.study_steps // (labelled * len(others) // batch_size))
            for start, pretrained in (("scratch", None), ("transferred", weights)):
                recipe = dataclasses.replace(
                    self,
                    classes=others,
                    images_each=labelled,
                    pretrained=pretrained,
                    labelled=(),
                    batch_size=batch_size,
                    epochs=epochs,
                    evaluate_every=-(-epochs // EVALUATIONS),
                )
                yield start, labelled, recipe, run.folder / "transfer" / f"{start}-{labelled}"

    def conclude(self, run: Run) -> dict[str, Any]:
        """3. The other classes from few images, by new and by transferred convolutions."""
        accuracy: dict[str, dict[str, float]] = {}
        for start, labelled, recipe, folder in self.study(run):
            one = fit(recipe, folder, reporter=Reporter(quiet=True))
            accuracy.setdefault(start, {})[str(labelled)] = one.metrics["test/accuracy"]
        return {"transfer": {"test_accuracy_by_images_a_class": accuracy}} if accuracy else {}

    def draw(self, run: Run) -> None:
        """4. Further: accuracy on the other classes against the images learned from."""
        super().draw(run)
        if next(self.study(run), None):
            draw_transfer(run)


def draw_transfer(run: Run) -> None:
    """``transfer.png``: from scratch and transferred, over images a class."""
    recipe = run.recipe
    assert isinstance(recipe, Vgg)
    lines: dict[str, dict[int, float]] = {}
    for start, labelled, one, folder in recipe.study(run):
        metrics = json.loads((folder / SUMMARY).read_text())["metrics"]
        lines.setdefault(start, {})[labelled] = metrics["test/accuracy"]
        others = one.names()
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for start, points in lines.items():
        axes.semilogx(list(points), list(points.values()), marker="o", label=start)
    axes.axhline(1 / len(others), color="grey", linestyle="--", label="chance")
    axes.set(
        xlabel="images of each class to learn from",
        ylabel="test accuracy",
        title=f"From {', '.join(recipe.names())}\nto {', '.join(others)}",
        xticks=recipe.labelled,
        xticklabels=recipe.labelled,
        ylim=(0, 1),
    )
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figures.save(figure, run.figures / "transfer.png")
