"""The walk of a recurrent cell along time, with a gradient of its own.

Differentiating a scan adds the recurrent weight's gradient up step by step, one small product each.
Here the backward walk only leaves every step's gradient of the product U h behind, and the weight's
gradient is one large product over all steps at the end. Gates are kept rather than computed again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

# What a layer carries from step to step, each [batch, hidden] float32: (h,), or the LSTM's (h, c).
Carry = tuple[Array, ...]

# b and b' of W x + b and U h + b'. A step adds them, in passes that it has anyway: added to all
# steps' W x at once they would take a pass of their own.
Biases = tuple[Float[Array, "gates_times_hidden"], Float[Array, "gates_times_hidden"]]


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


def walk(
    cell: Cell,
    reverse: bool,
    projected: Float[Array, "time batch gates_times_hidden"],
    start: Carry,
    weight: Float[Array, "hidden gates_times_hidden"],
    biases: Biases,
    live: Bool[Array, "time batch"] | None,
    keep: Callable[[tuple[Array, ...]], Any] = lambda gates: gates,
) -> tuple[Carry, tuple[Array, ...], Any]:
    """Final carry, and of all steps the carries and what `keep` keeps of the gates.

    Where not `live` the carry stays.
    """

    def step(carry: Carry, inputs: tuple[Array, Array | None]) -> tuple[Carry, Any]:
        projected_now, live_now = inputs
        bias_ih, bias_hh = biases
        product = _dot(carry[0], weight) + bias_hh
        new, gates = cell.step(carry, projected_now + bias_ih, product)
        if live_now is not None:
            new = _choose(live_now, new, carry)
        return new, (new, keep(gates))

    final, (carries, gates) = lax.scan(step, start, (projected, live), reverse=reverse)
    return final, carries, gates


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def hidden_states(
    cell: Cell,
    reverse: bool,
    projected: Float[Array, "time batch gates_times_hidden"],
    start: Carry,
    weight: Float[Array, "hidden gates_times_hidden"],
    biases: Biases,
    live: Bool[Array, "time batch"] | None,
) -> tuple[Carry, Float[Array, "time batch hidden"]]:
    """Final carry, and the hidden states of all steps, as `walk` gives them."""
    if not cell.fuses:
        final, carries, _ = walk(cell, reverse, projected, start, weight, biases, live)
        return final, carries[0]
    # That no gate is above 1 XLA does not know. So it must keep a number of every step's gates, and
    # computes them in a loop of their own with vector instructions, which the one expression that
    # a step is otherwise does not have (docs/performance.md).
    final, carries, witness = walk(
        cell, reverse, projected, start, weight, biases, live, lambda gates: gates[0][0, 0]
    )
    zero = jnp.where(witness[-1] > 1, jnp.nan, 0)
    return tuple(part + zero for part in final), carries[0] + zero


def _forward(
    cell: Cell,
    reverse: bool,
    projected: Array,
    start: Carry,
    weight: Array,
    biases: Biases,
    live: Array | None,
) -> tuple[tuple[Carry, Array], tuple[Any, ...]]:
    final, carries, gates = walk(cell, reverse, projected, start, weight, biases, live)
    return (final, carries[0]), (start, carries, gates, weight, biases, live)


def _backward(
    cell: Cell, reverse: bool, residuals: tuple[Any, ...], cotangents: tuple[Carry, Array]
) -> tuple[Array, Carry, Array, Biases, None]:
    start, carries, gates, weight, biases, live = residuals
    d_final, d_hidden = cotangents
    before = tuple(_shift(part, first, reverse) for part, first in zip(carries, start, strict=True))

    def step(d_carry: Carry, inputs: Any) -> tuple[Carry, tuple[Array, Array | None]]:
        d_hidden_now, before_now, after_now, gates_now, live_now = inputs
        d_after = (d_carry[0] + d_hidden_now, *d_carry[1:])
        d_cell = d_after
        if live_now is not None:
            d_cell = _choose(live_now, d_after, tuple(map(jnp.zeros_like, d_after)))
        d_direct, d_projected, d_product = cell.gradient(before_now, after_now, gates_now, d_cell)
        d_before = (d_direct[0] + _dot(d_product, weight.T), *d_direct[1:])
        if live_now is not None:
            d_before = _choose(live_now, d_before, d_after)
        # Only the GRU tells the two apart: elsewhere one copy of them is enough.
        return d_before, (d_projected, None if d_product is d_projected else d_product)

    d_start, (d_projected, d_products) = lax.scan(
        step, d_final, (d_hidden, before, carries, gates, live), reverse=not reverse
    )
    d_products = d_projected if d_products is None else d_products
    # Written as the transpose of products^T h: XLA:CPU's fast matrix products do not take one whose
    # result is transposed, which h^T products becomes (docs/performance.md).
    d_weight = lax.dot_general(
        d_products.astype(weight.dtype),
        before[0].astype(weight.dtype),
        (((0, 1), (0, 1)), ((), ())),
        preferred_element_type=before[0].dtype,
    ).T
    d_bias_ih, d_bias_hh = (
        sums.sum((0, 1)).astype(bias.dtype)
        for sums, bias in zip((d_projected, d_products), biases, strict=True)
    )
    return d_projected, d_start, d_weight.astype(weight.dtype), (d_bias_ih, d_bias_hh), None


hidden_states.defvjp(_forward, _backward)


def _dot(x: Float[Array, "batch in"], weight: Float[Array, "in out"]) -> Float[Array, "batch out"]:
    """Multiplied in the weight's type, added up in that of x."""
    return jnp.dot(x.astype(weight.dtype), weight, preferred_element_type=x.dtype)


def _choose(live: Bool[Array, "batch"], new: Carry, old: Carry) -> Carry:
    return tuple(jnp.where(live[:, None], n, o) for n, o in zip(new, old, strict=True))


def _shift(carries: Array, start: Array, reverse: bool) -> Array:
    """What each step was given, from what each step left."""
    if reverse:
        return jnp.concatenate([carries[1:], start[None]])
    return jnp.concatenate([start[None], carries[:-1]])


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
