"""Vision Transformer."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from flax_models.attention import MultiHeadAttention
from flax_models.checks import check_images, known_size
from flax_models.dropout import Dropout
from flax_models.gradient_once import gradient_once
from flax_models.layers import Conv
from flax_models.pooling import at_least_float32

# torchvision's: LeCun's variance for the patches, Xavier's for the rest.
patch_init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
xavier_uniform = nn.initializers.xavier_uniform()
small_normal = nn.initializers.normal(1e-6)


class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)) (Dosovitskiy et al. 2021, equations 2 and 3).

    x [batch, tokens, features] -> the same shape. Parameters: 4 features (features + 1) for the
    attention, 2 features mlp_features + features + mlp_features, and 4 features of norms.
    Raises ValueError where the heads do not divide the features.
    """

    num_heads: int
    mlp_features: int
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens features"], train: bool = False
    ) -> Float[Array, "batch tokens features"]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dropout = Dropout(self.dropout_rate, deterministic=not train)
        y = layer_norm("ln_1", **dtypes)(x)
        attention = MultiHeadAttention(
            self.num_heads, self.dropout_rate, name="self_attention", **dtypes
        )
        x = gradient_once(x + dropout(attention(y, y, y, None, train)[0]))
        y = layer_norm("ln_2", **dtypes)(x)
        for index, features in ((0, self.mlp_features), (3, x.shape[-1])):
            dense = nn.Dense(
                features,
                kernel_init=xavier_uniform,
                bias_init=small_normal,
                name=f"mlp_{index}",
                **dtypes,
            )
            y = dense(y)
            if index == 0:
                y = gelu(at_least_float32(y)).astype(y.dtype)
            y = dropout(y)
        return gradient_once(x + y)


def gelu(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """x Phi(x) (Hendrycks and Gimpel 2016), by erf as torch has it.

    jax.nn.gelu goes by erfc, which XLA:CPU takes twice as long for; it keeps more digits where x is
    below -5 and the result next to nothing.
    """
    return 0.5 * x * (1 + lax.erf(x * np.sqrt(0.5, dtype=x.dtype)))


def layer_norm(name: str, **dtypes: Any) -> nn.LayerNorm:
    """Layer norm with torchvision's epsilon; the statistics take two passes in float32."""
    return nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name=name, **dtypes)


class Encoder(nn.Module):
    """Position embedding, dropout, `depth` blocks and a last norm.

    x [batch, tokens, features] -> the same shape. Parameters: tokens * features, the blocks' and
    2 features. Raises what `EncoderBlock` raises.
    """

    depth: int
    num_heads: int
    mlp_features: int
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens features"], train: bool = False
    ) -> Float[Array, "batch tokens features"]:
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        shape = (1, *x.shape[1:])
        position = self.param(
            "pos_embedding", nn.initializers.normal(0.02), shape, self.param_dtype
        )
        x = x + position.astype(self.dtype)
        x = Dropout(self.dropout_rate, deterministic=not train)(x)
        for index in range(self.depth):
            x = EncoderBlock(
                self.num_heads,
                self.mlp_features,
                self.dropout_rate,
                name=f"encoder_layer_{index}",
                **dtypes,
            )(x, train)
        return layer_norm("ln", **dtypes)(x)


class ViT(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2021, section 3.1), with torchvision's names.

    images [batch, height, width, channels] -> logits [batch, num_classes]: patches of `patch_size`
    become tokens, a class token goes before them, and the logits are read from it.
    Parameters for images of 224x224x3 with 16x16 patches and 1000 classes: Ti 5,717,416;
    S 22,050,664; B 86,567,656.
    Raises ValueError for images of another rank, other channels or another number of patches than
    the variables', of a size that patches do not divide, and where heads do not divide features.
    """

    num_classes: int = 1000
    patch_size: int = 16
    features: int = 192
    depth: int = 12
    num_heads: int = 3
    mlp_features: int = 768
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch classes"]:
        check_images(self, images, "conv_proj", "kernel")
        self._check_size(images)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Conv(
            self.features,
            self.patch_size,
            self.patch_size,
            kernel_init=patch_init,
            name="conv_proj",
            **dtypes,
        )(images)
        x = x.reshape(x.shape[0], -1, self.features)
        zeros = nn.initializers.zeros
        token = self.param("class_token", zeros, (1, 1, self.features), self.param_dtype)
        token = jnp.broadcast_to(token.astype(self.dtype), (x.shape[0], 1, self.features))
        x = Encoder(
            self.depth,
            self.num_heads,
            self.mlp_features,
            self.dropout_rate,
            name="encoder",
            **dtypes,
        )(jnp.concatenate([token, x], 1), train)
        head = nn.Dense(self.num_classes, kernel_init=zeros, name="heads_head", **dtypes)
        return head(x[:, 0]).astype(jnp.float32)

    def _check_size(self, images: Array) -> None:
        height, width = images.shape[1:3]
        if height % self.patch_size or width % self.patch_size or 0 in (height, width):
            raise ValueError(
                f"images: expected height and width that are multiples of {self.patch_size}, "
                f"got {tuple(images.shape)}"
            )
        tokens = known_size(self, "encoder", "pos_embedding", otherwise="tokens")
        patches = height // self.patch_size * (width // self.patch_size)
        if isinstance(tokens, int) and patches != tokens - 1:
            raise ValueError(
                f"images: expected {tokens - 1} patches of {self.patch_size}, as the position "
                f"embedding has, got {tuple(images.shape)} with {patches}"
            )

    def torch_name(self, modules: Sequence[str]) -> str:
        """torchvision keeps the underscore before some numbers, and has containers in between."""
        name = ".".join(modules).replace("mlp_", "mlp.").replace("heads_", "heads.")
        return name.replace("encoder.encoder_layer", "encoder.layers.encoder_layer")


def vit_tiny(num_classes: int = 1000, patch_size: int = 16, **options: Any) -> ViT:
    """ViT-Ti (Touvron et al. 2021, table 1)."""
    return ViT(num_classes, patch_size, 192, 12, 3, 768, **options)


def vit_small(num_classes: int = 1000, patch_size: int = 16, **options: Any) -> ViT:
    """ViT-S (Touvron et al. 2021, table 1)."""
    return ViT(num_classes, patch_size, 384, 12, 6, 1536, **options)


def vit_base(num_classes: int = 1000, patch_size: int = 16, **options: Any) -> ViT:
    """ViT-B (Dosovitskiy et al. 2021, table 1)."""
    return ViT(num_classes, patch_size, 768, 12, 12, 3072, **options)
