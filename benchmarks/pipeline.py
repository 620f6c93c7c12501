"""What reading costs: ``python -m benchmarks.pipeline [RECIPE...]``.

Examples a second of whole training, of its steps on one batch that stays in memory, and of those
without augmentation, in turns. The difference of the first two is the cost of the input pipeline,
that of the last two the cost of augmentation.
"""

import argparse
import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.measure import interleave, ratio
from data import Batches, Splits
from train import DataParallel, Supervised, recipes
from train.allocator import restart_with_faster_memory
from train.loop import Guard, Loop
from train.recipe import Recipe

STEPS = 200


def main() -> int:
    """One line a practice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline")
    parser.add_argument("names", nargs="*", default=["mnist", "captcha"], metavar="RECIPE")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps a block")
    options = parser.parse_args()
    for name in options.names:
        recipe = recipes.get(name)
        splits = recipe.load()
        times = interleave(variants(recipe, splits, options.steps), options.blocks)
        for variant, taken in times.items():
            rate = options.steps * recipe.batch_size / taken.median
            print(f"{name:12} {variant:24} {rate:10,.0f} examples a second")
        cost = ratio(times["whole training"], times["steps alone"])
        print(f"{name:12} reading costs {cost.median - 1:.1%} [{cost.low - 1:.1%}, ", end="")
        print(f"{cost.high - 1:.1%}] of the steps", flush=True)
    return 0


def variants(recipe: Recipe, splits: Splits, steps: int) -> dict[str, Callable[[], object]]:
    """Calls that take ``steps`` training steps each."""
    task = recipe.task(splits)
    assert isinstance(task, Supervised)
    plain = dataclasses.replace(task, augment=None)
    return {
        "whole training": whole_training(recipe, splits, task, steps),
        "steps alone": steps_alone(recipe, splits, task, steps),
        "steps, not augmented": steps_alone(recipe, splits, plain, steps),
    }


def whole_training(
    recipe: Recipe, splits: Splits, task: Supervised, steps: int
) -> Callable[[], object]:
    """Training as ``fit`` does it: reading, steps, and looking at the losses."""
    loop = Loop(task, DataParallel(recipe.batch_size, jax.devices()[:1]))
    batches = Batches(splits.train, recipe.batch_size, recipe.seed)
    state, done = loop.init(recipe.seed, splits.train), 0

    def call() -> None:
        nonlocal state, done
        span = range(done, done + steps)
        state, _ = loop.train(state, batches, span, Guard(), lambda step, loss: None)
        done = span.stop

    return call


def steps_alone(
    recipe: Recipe, splits: Splits, task: Supervised, steps: int
) -> Callable[[], object]:
    """The same compiled steps, always on the first batch, which the device holds."""
    parallel = DataParallel(recipe.batch_size, jax.devices()[:1])
    batch = jax.device_put(
        {
            **Batches(splits.train, recipe.batch_size, recipe.seed)[0],
            "mask": np.ones(recipe.batch_size, np.float32),
        }
    )
    state = Loop(task, parallel).init(recipe.seed, splits.train)
    compiled = parallel.compile(task.train_step, state, batch, donate=True)

    def call() -> None:
        nonlocal state
        for _ in range(steps):
            state, sums = compiled(state, batch)
        jax.block_until_ready(sums)

    return call


if __name__ == "__main__":
    restart_with_faster_memory()
    raise SystemExit(main())
