"""How a model learns: recipes, the loop, steps, parallelism, checkpoints, figures."""

from train import recipes
from train.errors import RunError, UsageError
from train.fit import fit
from train.parallel import DataParallel
from train.recipe import Recipe, Run
from train.steps import TrainState, make_eval_step, make_train_step, on_inputs
from train.task import Supervised, Task

__all__ = [
    "DataParallel",
    "Recipe",
    "Run",
    "RunError",
    "Supervised",
    "Task",
    "TrainState",
    "UsageError",
    "fit",
    "make_eval_step",
    "make_train_step",
    "on_inputs",
    "recipes",
]
