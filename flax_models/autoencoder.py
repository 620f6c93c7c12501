"""Autoencoder of images, dense or convolutional; its encoder and decoder are the VAE's too."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_choice, check_shape
from flax_models.layers import Conv, ConvTranspose, torch_uniform
from flax_models.torch_weights import TorchRule, flattened_images, unflattened_images

KINDS = ("dense", "convolutional")


class Encoder(nn.Module):
    """Images to a code: dense layers of `widths`, or 3x3 convolutions with stride 2, and ReLU.

    images [batch, height, width, channels] -> [batch, features]. Parameters: those of its layers.
    Raises ValueError for an unknown kind.
    """

    features: int
    widths: Sequence[int]
    kind: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        check_choice("kind", self.kind, KINDS)
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = images if self.kind == "convolutional" else images.reshape(images.shape[0], -1)
        for index, width in enumerate(self.widths):
            if self.kind == "convolutional":
                layer: nn.Module = Conv(width, 3, 2, 1, name=f"layer_{index}", **dtypes)
            else:
                layer = nn.Dense(width, kernel_init=torch_uniform, name=f"layer_{index}", **dtypes)
            x = nn.relu(layer(x))
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(self.features, kernel_init=torch_uniform, name="code", **dtypes)(x)


class Decoder(nn.Module):
    """A code to images of a size: dense layers, or transposed 4x4 convolutions with stride 2.

    code [batch, features], (height, width) -> logits [batch, height, width, channels]. The layers
    are the encoder's in reverse. Parameters: those of its layers.
    Raises ValueError for an unknown kind and for a code that is not rank 2.
    """

    channels: int
    widths: Sequence[int]
    kind: str
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, code: Float[Array, "batch features"], size: tuple[int, int]
    ) -> Float[Array, "batch height width channels"]:
        check_choice("kind", self.kind, KINDS)
        check_shape("code", code, ("batch", "features"))
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        height, width = size
        if self.kind == "dense":
            x = code
            outputs = (*reversed(self.widths), height * width * self.channels)
            for index, features in enumerate(outputs):
                x = nn.relu(x) if index > 0 else x
                name = f"layer_{index}"
                x = nn.Dense(features, kernel_init=torch_uniform, name=name, **dtypes)(x)
            return x.reshape(-1, height, width, self.channels)
        sizes = [size]
        for _ in self.widths:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        small_height, small_width = sizes.pop()
        first = self.widths[-1]
        x = nn.Dense(
            small_height * small_width * first, kernel_init=torch_uniform, name="unfold", **dtypes
        )(code)
        x = x.reshape(-1, small_height, small_width, first)
        for index, features in enumerate((*reversed(self.widths[:-1]), self.channels)):
            layer = ConvTranspose(features, 4, 2, padding=1, name=f"layer_{index}", **dtypes)
            height, width = sizes.pop()
            # An odd size was rounded up by the encoder's stride: the last row is cut again.
            x = layer(nn.relu(x))[:, :height, :width]
        return x


class Autoencoder(nn.Module):
    """Encoder and decoder of images (Hinton and Salakhutdinov 2006; with convolutions, Masci 2011).

    images [batch, height, width, channels] -> logits of the images' pixels, of the same shape.
    `encode` gives the code [batch, latent_features], `decode` the logits for a code and a size.
    Denoising (Vincent et al. 2008) is the same network with noise on what it is given.
    Parameters for images of 28x28x1: dense 439,728 at the defaults; convolutional with widths
    (16, 32) 115,217.
    Raises ValueError for images of another rank or other channels than `channels`, and for an
    unknown kind.
    """

    latent_features: int = 32
    widths: Sequence[int] = (256, 64)
    kind: str = "dense"
    channels: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Two submodules, so that either can be called alone."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.encoder = Encoder(self.latent_features, self.widths, self.kind, **dtypes)
        self.decoder = Decoder(self.channels, self.widths, self.kind, **dtypes)

    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Logits of the images, from their code; training is no different."""
        _, height, width, _ = images.shape
        return self.decode(self.encode(images), (height, width))

    def encode(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The code of `images`."""
        check_shape("images", images, ("batch", "height", "width", self.channels))
        return self.encoder(images)

    def decode(
        self, code: Float[Array, "batch features"], size: tuple[int, int]
    ) -> Float[Array, "batch height width channels"]:
        """Logits of the images of height and width `size` that `code` stands for."""
        return self.decoder(code, size).astype(jnp.float32)

    def torch_rules(self) -> dict[str, TorchRule]:
        """torch flattens and unflattens channels first."""
        return coder_rules(self.kind, self.channels, self.widths)


def coder_rules(kind: str, channels: int, widths: Sequence[int]) -> dict[str, TorchRule]:
    """The layers of an encoder and a decoder that see flattened images."""
    if kind == "dense":
        return {
            "encoder/layer_0": flattened_images(channels),
            f"decoder/layer_{len(widths)}": unflattened_images(channels),
        }
    return {
        "encoder/code": flattened_images(widths[-1]),
        "decoder/unfold": unflattened_images(widths[-1]),
    }
