"""Practices that tell objects apart: what is measured does not depend on how it is batched."""

import jax
import numpy as np

from data import load_objects, rows
from train import recipes
from train.loop import Loop
from train.parallel import DataParallel


def test_evaluation_is_the_same_in_batches_of_any_size():
    """Of a network with batch norm; 7 and 64 leave remainders of 100."""
    examples = rows(load_objects().test, slice(100))
    task = recipes.get("resnet", depth=8).task(None)
    first = rows(examples, slice(1))
    variables = jax.device_get(jax.jit(task.init)(jax.random.key(0), first)).variables
    small, large = (
        Loop(task, DataParallel(size, jax.devices()[:1])).evaluate(variables, examples)
        for size in (7, 64)
    )
    assert small.keys() == {"loss", "accuracy"}
    for metric, value in small.items():
        np.testing.assert_allclose(large[metric], value, rtol=1e-6, err_msg=metric)
