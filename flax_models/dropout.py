"""Dropout, whose mask takes half the random words that it would take value by value."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

SHARES = 2**16
"""A value's place in a mask is drawn from 16 bits, two values from each word of the generator."""


class Dropout(nn.Module):
    """Zeros with probability `rate`, what is kept divided by 1 - rate (Srivastava et al. 2014).

    x [..., channels] -> the same shape. As `flax.linen.Dropout`: with `broadcast_dims` whole axes
    are dropped together, and the key is that of the collection `dropout`. To draw the mask is most
    of dropout's cost on a CPU (docs/performance.md). The rate is rounded to 1 in 65,536, and the
    division is by what is really kept.
    Raises ValueError for a rate outside 0 to 1.
    """

    rate: float
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "*axes channels"], deterministic: bool | None = None
    ) -> Float[Array, "*axes channels"]:
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate: expected 0 to 1, got {self.rate}")
        shares = round((1 - self.rate) * SHARES)
        if deterministic or shares == SHARES:
            return x
        if shares == 0:
            return jnp.zeros_like(x)
        broadcast = {axis % x.ndim for axis in self.broadcast_dims}
        shape = tuple(1 if axis in broadcast else size for axis, size in enumerate(x.shape))
        mask = keep_mask(self.make_rng("dropout"), shares, shape)
        return jnp.where(mask, x * (SHARES / shares), 0)


def keep_mask(key: Array, shares: int, shape: Sequence[int]) -> Bool[Array, "*shape"]:
    """True with probability `shares` of 65,536; each word gives two places of the last axis."""
    *outer, last = shape
    words = jax.random.bits(key, (*outer, (last + 1) // 2), jnp.uint32)
    halves = [words >> 16, words & (SHARES - 1)]
    return (jnp.concatenate(halves, axis=-1) < shares)[..., :last]
