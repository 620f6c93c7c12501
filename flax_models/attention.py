"""Attention: a weighted mean of values, with weights from how queries score keys.

All kinds are called alike: queries [batch, queries, d], keys [batch, keys, d'], values
[batch, keys, v], and a boolean mask that broadcasts to [batch, queries, keys], True = keep. They
return outputs [batch, queries, v] and float32 weights [batch, queries, keys]. A query whose keys
are all masked gets zeros, so padding can never reach a result.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_models.checks import check_shape
from flax_models.dropout import Dropout
from flax_models.layers import torch_uniform

Attended = tuple[
    Float[Array, "batch queries outputs"],
    Float[Array, "batch queries keys"],
]


def masked_softmax(
    scores: Float[Array, "*axes keys"], mask: Bool[Array, "..."] | None = None
) -> Float[Array, "*axes keys"]:
    """Softmax over the keys kept by `mask`, in float32; zeros where none is kept."""
    scores = scores.astype(jnp.float32)
    if mask is None:
        return jax.nn.softmax(scores)
    # A finite number: all keys masked gives a uniform softmax, which the product turns to zeros.
    scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores) * mask


def _check(queries: Array, keys: Array, values: Array, mask: Array | None, features: Any) -> None:
    check_shape("queries", queries, ("batch", "queries", "features"))
    check_shape("keys", keys, (queries.shape[0], "keys", features))
    check_shape("values", values, (*keys.shape[:2], "features"))
    wanted = (*queries.shape[:2], keys.shape[1])
    if mask is not None:
        fits = mask.ndim <= 3 and all(
            size in (1, want) for size, want in zip(mask.shape[::-1], wanted[::-1], strict=False)
        )
        if not fits or mask.dtype != jnp.bool_:
            raise ValueError(
                f"mask: expected bool that broadcasts to {wanted}, got {mask.dtype} {mask.shape}"
            )


def _attend(scores: Array, values: Array, mask: Array | None, dtype: Any) -> Attended:
    weights = masked_softmax(scores, mask)
    return jnp.einsum("bqk,bkv->bqv", weights.astype(dtype), values.astype(dtype)), weights


class AdditiveAttention(nn.Module):
    """score = v . tanh(W query + U key + b) (Bahdanau, Cho and Bengio 2015, appendix A.1.2).

    Shapes and mask: see this file's head. Parameters: hidden * (query size + key size + 2).
    Raises ValueError for ranks, sizes or a mask that do not fit.
    """

    hidden_size: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "batch queries query_size"],
        keys: Float[Array, "batch keys key_size"],
        values: Float[Array, "batch keys value_size"],
        mask: Bool[Array, "..."] | None = None,
    ) -> Attended:
        _check(queries, keys, values, mask, "features")

        def dense(features: int, use_bias: bool, name: str) -> nn.Dense:
            return nn.Dense(
                features,
                use_bias,
                self.dtype,
                self.param_dtype,
                kernel_init=torch_uniform,
                name=name,
            )

        projected = dense(self.hidden_size, False, "query")(queries)[:, :, None]
        hidden = jnp.tanh(projected + dense(self.hidden_size, True, "key")(keys)[:, None])
        scores = dense(1, False, "score")(hidden)[..., 0]
        return _attend(scores, values, mask, self.dtype)


class DotAttention(nn.Module):
    """score = query . key (Luong, Pham and Manning 2015, section 3.1), no parameters.

    `scaled` divides by the square root of the size (Vaswani et al. 2017, section 3.2.1). Shapes and
    mask: see this file's head. Raises ValueError for ranks, sizes or a mask that do not fit.
    """

    scaled: bool = False
    dtype: Any = jnp.float32

    def __call__(
        self,
        queries: Float[Array, "batch queries size"],
        keys: Float[Array, "batch keys size"],
        values: Float[Array, "batch keys value_size"],
        mask: Bool[Array, "..."] | None = None,
    ) -> Attended:
        """Attend with every query to all keys."""
        _check(queries, keys, values, mask, queries.shape[-1])
        scores = jnp.einsum(
            "bqd,bkd->bqk",
            queries.astype(self.dtype),
            keys.astype(self.dtype),
            preferred_element_type=jnp.float32,
        )
        if self.scaled:
            scores = scores * queries.shape[-1] ** -0.5
        return _attend(scores, values, mask, self.dtype)


class MultiHeadAttention(nn.Module):
    """Scaled dot attention in parallel heads (Vaswani et al. 2017, section 3.2.2).

    Means torch.nn.MultiheadAttention(batch_first=True) and has its names: in_proj_weight [3 size,
    size] for queries, keys and values, in_proj_bias, out_proj. Queries, keys and values have one
    size, which the heads divide; the weights returned are the mean over the heads. Dropout is on
    the weights. Parameters: 4 * size * (size + 1).
    Raises ValueError for ranks, sizes or a mask that do not fit.
    """

    num_heads: int
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "batch queries size"],
        keys: Float[Array, "batch keys size"],
        values: Float[Array, "batch keys size"],
        mask: Bool[Array, "..."] | None = None,
        train: bool = False,
    ) -> Attended:
        size = queries.shape[-1]
        _check(queries, keys, values, mask, size)
        check_shape("values", values, ("batch", "keys", size))
        if size % self.num_heads:
            raise ValueError(
                f"queries: expected a size that {self.num_heads} heads divide, got {queries.shape}"
            )
        # torch's initialisation: Glorot and Bengio 2010 over the stacked matrix, biases zero.
        xavier = nn.initializers.xavier_uniform(in_axis=-1, out_axis=-2)
        zeros = nn.initializers.zeros
        weight = self.param("in_proj_weight", xavier, (3 * size, size), self.param_dtype)
        bias = self.param("in_proj_bias", zeros, (3 * size,), self.param_dtype)

        def project(x: Array, third: int) -> Array:
            rows = slice(third * size, (third + 1) * size)
            x = x.astype(self.dtype) @ weight[rows].T.astype(self.dtype)
            x = x + bias[rows].astype(self.dtype)
            return x.reshape(*x.shape[:2], self.num_heads, size // self.num_heads)

        query, key, value = (project(x, i) for i, x in enumerate((queries, keys, values)))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
        if mask is not None:
            mask = jnp.broadcast_to(mask, (*queries.shape[:2], keys.shape[1]))[:, None]
        weights = masked_softmax(scores * (size // self.num_heads) ** -0.5, mask)
        dropped = Dropout(self.dropout_rate, deterministic=not train)(weights)
        outputs = jnp.einsum("bhqk,bkhd->bqhd", dropped.astype(self.dtype), value)
        outputs = nn.Dense(
            size,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=torch_uniform,
            name="out_proj",
        )(outputs.reshape(queries.shape))
        return outputs, weights.mean(axis=1)
