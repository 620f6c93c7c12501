"""The adding problem: computed sequences whose answer needs two numbers from long ago."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data.errors import DataError
from data.splits import Examples, Splits

VALIDATION_EXAMPLES, TEST_EXAMPLES = 1000, 10_000


@partial(jax.jit, static_argnums=(1, 2))
def draw_additions(
    key: Array, count: int, length: int
) -> tuple[Float[Array, "count length 2"], Float[Array, "count 1"]]:
    """Sequences of (number, mark), and the sum of the two marked numbers.

    Numbers are uniform on [0, 1); the marks are 1 at two different steps, at random, and 0
    elsewhere (Hochreiter and Schmidhuber 1997, experiment 4, as set by Le, Jaitly and Hinton 2015,
    section 4.1). Answering 1 to all of them has a mean squared error of 1/6.
    """
    number_key, first_key, distance_key = jax.random.split(key, 3)
    numbers = jax.random.uniform(number_key, (count, length))
    first = jax.random.randint(first_key, (count, 1), 0, length)
    second = (first + jax.random.randint(distance_key, (count, 1), 1, length)) % length
    steps = jnp.arange(length)
    marks = ((steps == first) | (steps == second)).astype(jnp.float32)
    return jnp.stack([numbers, marks], axis=-1), jnp.sum(numbers * marks, axis=-1, keepdims=True)


def load_adding(length: int, train_examples: int) -> Splits:
    """1,000 sequences for validation and 10,000 for test, the same in every run.

    The rows of ``train`` are blank: they say how many examples an epoch has, and what shape they
    are of. A training step draws its own by ``draw_additions``, so that none is seen twice.

    Args:
        length: steps of a sequence, 2 or more.
        train_examples: rows of ``train``.

    Returns:
        inputs [N, length, 2] and targets [N, 1], float32.

    Raises:
        DataError: a length that has no room for two marks.
    """
    if length < 2:
        raise DataError(f"length {length}: two marks need 2 steps or more")
    blank = {
        "inputs": np.broadcast_to(np.float32(0), (train_examples, length, 2)),
        "targets": np.zeros((train_examples, 1), np.float32),
    }
    return Splits(
        blank,
        _drawn(1, VALIDATION_EXAMPLES, length),
        _drawn(2, TEST_EXAMPLES, length),
        source="computed",
    )


def _drawn(seed: int, count: int, length: int) -> Examples:
    inputs, targets = draw_additions(jax.random.PRNGKey(seed), count, length)
    return {"inputs": np.asarray(inputs), "targets": np.asarray(targets)}
