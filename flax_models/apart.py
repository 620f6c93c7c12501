"""Expressions that XLA:CPU does not fuse with what uses them."""

from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

AnyArray = TypeVar("AnyArray", bound=Array)


def apart(x: AnyArray) -> AnyArray:
    """X behind an optimization barrier on CPU, and as it is elsewhere.

    Outside of loops XLA:CPU mostly removes the barrier before it fuses float32 expressions; see
    `computed_once`.
    """
    return lax.platform_dependent(x, cpu=lax.optimization_barrier, default=lambda x: x)


def computed_once(x: AnyArray, witness: Array) -> AnyArray:
    """X itself, which XLA:CPU then does not compute again for each use. Costs a copy of x.

    `witness` is any array of floats whose numbers the compiler cannot know.
    """

    def on_cpu(x: AnyArray) -> AnyArray:
        # Nothing is fused over a conditional. XLA would see through branches that do the same; it
        # does not see that where the first is taken it multiplies by one.
        is_nan = jnp.isnan(witness[(0,) * witness.ndim])
        return lax.cond(is_nan, lambda x, one: x * one, lambda x, one: x, x, is_nan.astype(x.dtype))

    return lax.platform_dependent(x, cpu=on_cpu, default=lambda x: x)
