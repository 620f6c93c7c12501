"""Lengths of padded sequences: which steps of a batch are real, and whether the lengths fit."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


def is_concrete(value: object) -> bool:
    """Whether `value` can be looked at now: False for what `jit`, `vmap` or `scan` is tracing."""
    return not isinstance(value, jax.core.Tracer)


def length_mask(lengths: Int[Array, "batch"], steps: int) -> Bool[Array, "batch steps"]:
    """True at the first `lengths[b]` of `steps` steps, False at the padding after them."""
    return jnp.arange(steps) < lengths[:, None]


def full_lengths(
    name: str, lengths: Int[Array, "batch"] | None, batch: int, steps: int
) -> Int[Array, "batch"]:
    """Return checked int32 `lengths` of shape [batch]; `None` means that all steps are real.

    Raises:
        ValueError: not integers of shape [batch], or outside 0..steps where the values are known
            (under `jit` they are not, and a length above `steps` then acts as `steps`).
    """
    if lengths is None:
        return jnp.full((batch,), steps, jnp.int32)
    shape, dtype = jnp.shape(lengths), jnp.result_type(lengths)
    if shape != (batch,) or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"{name}: expected integers of shape ({batch},), got {dtype} {shape}")
    if not is_concrete(lengths):
        return jnp.clip(lengths, 0, steps).astype(jnp.int32)
    if batch:
        low, high = np.min(lengths), np.max(lengths)
        if low < 0 or high > steps:
            raise ValueError(
                f"{name}: expected lengths from 0 to {steps}, the steps of a sequence,"
                f" got {low if low < 0 else high}"
            )
    return jnp.asarray(lengths, jnp.int32)
