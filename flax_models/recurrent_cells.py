"""One step of each kind of recurrent layer, and its derivative written by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# What a layer carries from step to step, each [batch, hidden] float32: (h,), or the LSTM's (h, c).
Carry = tuple[Array, ...]


class Cell(NamedTuple):
    """One step of a recurrent layer, and its derivative written by hand.

    Args:
        step: (carry, W x + b, U h + b') -> (the new carry, gates), all [batch, ...].
        gradient: (carry before, carry after, gates, gradient of the carry after) -> gradients of
            the carry before other than through U h, of W x + b, and of U h + b'.
        fuses: whether XLA:CPU computes a whole step slowly as one expression; the first gate must
            then lie between 0 and 1.
    """

    step: Callable[[Carry, Array, Array], tuple[Carry, tuple[Array, ...]]]
    gradient: Callable[
        [Carry, Carry, tuple[Array, ...], Carry], tuple[tuple[Any, ...], Array, Array]
    ]
    fuses: bool = False


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """By tanh, which XLA:CPU computes faster than an exponential and a quotient."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def _rnn_step(
    activation: Callable[[Array], Array], carry: Carry, projected: Array, product: Array
) -> tuple[Carry, tuple[Array, ...]]:
    hidden = activation(projected + product)
    return (hidden,), (hidden,)


def _tanh_gradient(
    before: Carry, after: Carry, gates: tuple[Array, ...], d_after: Carry
) -> tuple[tuple[float], Array, Array]:
    d_sum = d_after[0] * (1 - after[0] ** 2)
    return (0.0,), d_sum, d_sum


def _relu_gradient(
    before: Carry, after: Carry, gates: tuple[Array, ...], d_after: Carry
) -> tuple[tuple[float], Array, Array]:
    d_sum = jnp.where(after[0] > 0, d_after[0], 0)
    return (0.0,), d_sum, d_sum


RNN_CELLS = {
    "tanh": Cell(partial(_rnn_step, jnp.tanh), _tanh_gradient),
    "relu": Cell(partial(_rnn_step, jax.nn.relu), _relu_gradient),
}


def _lstm_step(carry: Carry, projected: Array, product: Array) -> tuple[Carry, tuple[Array, ...]]:
    _, memory = carry
    # One tanh for all four gates: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2.
    width = memory.shape[-1]
    scale = np.repeat(np.asarray([0.5, 0.5, 1.0, 0.5], projected.dtype), width)
    gates = scale * jnp.tanh(scale * (projected + product)) + (1 - scale)
    input_, forget, candidate, output = jnp.split(gates, 4, axis=-1)
    memory = forget * memory + input_ * candidate
    return (output * jnp.tanh(memory), memory), (input_, forget, candidate, output)


def _lstm_gradient(
    before: Carry, after: Carry, gates: tuple[Array, ...], d_after: Carry
) -> tuple[tuple[float, Array], Array, Array]:
    input_, forget, candidate, output = gates
    d_hidden, d_memory = d_after
    squashed = jnp.tanh(after[1])
    d_memory = d_memory + d_hidden * output * (1 - squashed**2)
    d_sum = jnp.concatenate(
        [
            d_memory * candidate * input_ * (1 - input_),
            d_memory * before[1] * forget * (1 - forget),
            d_memory * input_ * (1 - candidate**2),
            d_hidden * squashed * output * (1 - output),
        ],
        axis=-1,
    )
    return (0.0, d_memory * forget), d_sum, d_sum


LSTM_CELL = Cell(_lstm_step, _lstm_gradient)


def _gru_step(carry: Carry, projected: Array, product: Array) -> tuple[Carry, tuple[Array, ...]]:
    (hidden,) = carry
    size = 2 * hidden.shape[-1]
    gates = sigmoid(projected[:, :size] + product[:, :size])
    reset, update = jnp.split(gates, 2, axis=-1)
    recurrent = product[:, size:]
    candidate = jnp.tanh(projected[:, size:] + reset * recurrent)
    hidden = candidate + update * (hidden - candidate)
    return (hidden,), (reset, update, candidate, recurrent)


def _gru_gradient(
    before: Carry, after: Carry, gates: tuple[Array, ...], d_after: Carry
) -> tuple[tuple[Array], Array, Array]:
    reset, update, candidate, recurrent = gates
    (d_hidden,) = d_after
    d_candidate = d_hidden * (1 - update) * (1 - candidate**2)
    d_reset = d_candidate * recurrent * reset * (1 - reset)
    d_update = d_hidden * (before[0] - candidate) * update * (1 - update)
    d_projected = jnp.concatenate([d_reset, d_update, d_candidate], axis=-1)
    d_product = jnp.concatenate([d_reset, d_update, d_candidate * reset], axis=-1)
    return (d_hidden * update,), d_projected, d_product


GRU_CELL = Cell(_gru_step, _gru_gradient, fuses=True)
