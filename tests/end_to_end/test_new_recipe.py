"""The README's promise: a practice is one class, and the loop does the rest."""

import dataclasses

import numpy as np
import optax

from data import Splits
from flax_models import MLP
from train import Recipe, Supervised, fit
from train.report import Reporter


def circle(n, seed):
    points = np.random.default_rng(seed).uniform(-1, 1, (n, 2)).astype(np.float32)
    return {"inputs": points, "targets": (np.hypot(*points.T) < 0.7).astype(np.int32)}


def cross_entropy(logits, batch):
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])


def accuracy(logits, batch):
    return logits.argmax(-1) == batch["targets"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Circles(Recipe):
    name, learns, data = "circles", "inside from outside a circle", "computed"
    expected = "test accuracy 0.98"
    monitor, higher_is_better = "accuracy", True

    hidden: tuple[int, ...] = (32, 32)

    def load(self):
        return Splits(circle(4096, 0), circle(512, 1), circle(512, 2), "computed")

    def task(self, splits):
        optimizer, schedule = self.optimizer.build(self.steps(splits))
        module = MLP((*self.hidden, 2))
        return Supervised(module, cross_entropy, optimizer, {"accuracy": accuracy}, schedule)

    def baseline(self, splits):
        return {"test/accuracy": float(max(np.bincount(splits.test["targets"])) / 512)}

    def draw(self, run):
        pass

    def answers(self, predict, inputs):
        yield from ()


def test_a_new_recipe_needs_nothing_but_its_class(tmp_path):
    recipe = Circles(epochs=20, batch_size=64)
    run = fit(recipe, tmp_path / "run", reporter=Reporter(quiet=True))
    assert run.metrics["test/accuracy"] > 0.95
    assert run.recipe.baseline(run.splits)["test/accuracy"] < 0.7
    assert (run.folder / "figures" / "learning_curves.png").exists()
