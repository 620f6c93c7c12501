"""Multi-layer perceptron."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_shape, known_size
from flax_models.dropout import Dropout
from flax_models.layers import torch_uniform


class MLP(nn.Module):
    """Dense layers with ReLU between them (Rumelhart, Hinton and Williams 1986).

    x [batch, ...] -> [batch, features[-1]]; all axes but the first are flattened, row by row.
    Dropout (Srivastava et al. 2014) follows every hidden layer while training.
    Parameters: the sum of (in + 1) * out over the layers; 784-64-10 has 50,890.
    Raises ValueError for x without a feature axis, for a feature count other than that of the
    variables, and for an empty `features`.
    """

    features: Sequence[int]
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *features"], train: bool = False
    ) -> Float[Array, "batch outputs"]:
        if not self.features:
            raise ValueError("features: expected at least one layer's size, got ()")
        if x.ndim < 2:
            raise ValueError(f"x: expected [batch, ...features], got {tuple(x.shape)}")
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        expected = known_size(self, "dense_0", "kernel", otherwise="features")
        check_shape("x", x, ("batch", expected))
        for index, features in enumerate(self.features):
            if index > 0:
                x = Dropout(self.dropout_rate, deterministic=not train)(nn.relu(x))
            x = nn.Dense(
                features,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                kernel_init=torch_uniform,
                name=f"dense_{index}",
            )(x)
        return x.astype(jnp.float32)
