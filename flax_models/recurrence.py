"""The walk of a recurrent cell along time, with a gradient of its own.

Differentiating a scan adds the recurrent weight's gradient up step by step, one small product each.
Here the backward walk only leaves every step's gradient of the product U h behind, and the weight's
gradient is one large product over all steps at the end. Gates are kept rather than computed again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from flax_models.recurrent_cells import Carry, Cell

# b and b' of W x + b and U h + b'. A step adds them, in passes that it has anyway: added to all
# steps' W x at once they would take a pass of their own.
Biases = tuple[Float[Array, "gates_times_hidden"], Float[Array, "gates_times_hidden"]]


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
