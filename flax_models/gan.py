"""DCGAN: a generator and a discriminator of square images."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_shape, known_size
from flax_models.layers import BatchNorm, Conv, ConvTranspose
from flax_models.spectral_norm import SPECTRAL_RULE, SpectralConv
from flax_models.torch_weights import TorchRule

# Section 3 of the paper: weights from N(0, 0.02), slope 0.2 of the leaky ReLU.
normal_init = nn.initializers.normal(0.02)
SLOPE = 0.2


def around_one(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """N(1, 0.02), for the scale of batch norm, as in PyTorch's DCGAN example."""
    return 1 + normal_init(key, shape, dtype)


def _doublings(image_size: int) -> int:
    """From 4x4 to `image_size`."""
    doublings = image_size.bit_length() - 3
    if doublings < 1 or image_size != 4 * 2**doublings:
        raise ValueError(f"image_size: expected a power of two from 8 on, got {image_size}")
    return doublings


class Generator(nn.Module):
    """DCGAN generator (Radford, Metz and Chintala 2016, section 3); names as in PyTorch's example.

    latent [batch, latent_features] -> images [batch, image_size, image_size, channels] in [-1, 1]:
    transposed 4x4 convolutions, to 4x4 pixels and then doubling them, with batch norm and ReLU.
    Parameters at the defaults (32x32x1, latent of 100): 1,066,880; at image_size 64, 3 channels,
    3,576,704.
    Raises ValueError for an image size that is not a power of two from 8 on, and for a latent that
    is not rank 2 or not of the variables' size.
    """

    channels: int = 1
    image_size: int = 32
    width: int = 64
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latent: Float[Array, "batch latent"], train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        doublings = _doublings(self.image_size)
        expected = known_size(self, "main_0", "kernel", otherwise="features", axis=-1)
        check_shape("latent", latent, ("batch", expected))
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = latent[:, None, None, :]
        for index in range(doublings + 1):
            last = index == doublings
            # torch's `main` numbers convolution, batch norm and ReLU.
            x = ConvTranspose(
                self.channels if last else self.width * 2 ** (doublings - 1 - index),
                kernel_size=4,
                stride=1 if index == 0 else 2,
                padding=0 if index == 0 else 1,
                use_bias=False,
                kernel_init=normal_init,
                name=f"main_{3 * index}",
                **dtypes,
            )(x)
            if not last:
                norm = BatchNorm(
                    axis_name=self.axis_name,
                    scale_init=around_one,
                    name=f"main_{3 * index + 1}",
                    **dtypes,
                )
                x = nn.relu(norm(x, train))
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """DCGAN discriminator (section 3 of the same paper); names as in PyTorch's example.

    images [batch, image_size, image_size, channels] -> logits [batch], above 0 for real: 4x4
    convolutions that halve the size to 4x4 pixels, leaky ReLU, batch norm on all but the first, and
    a 4x4 convolution to the logit. With `spectral_norm` (Miyato et al. 2018) every convolution is
    normalised by its largest singular value and there is no batch norm.
    Parameters at the defaults (32x32x1): 661,248; at image_size 64, 3 channels, 2,765,568.
    Raises ValueError for an image size that is not a power of two from 8 on, and for images of
    another rank, size or other channels than the variables'.
    """

    image_size: int = 32
    width: int = 64
    spectral_norm: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, " batch"]:
        channels = known_size(self, "main_0", "kernel", otherwise="channels")
        check_shape("images", images, ("batch", self.image_size, self.image_size, channels))
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = images
        names = self._convolutions()
        for index, name in enumerate(names):
            last = index == len(names) - 1
            options: dict[str, Any] = {"train": train} if self.spectral_norm else {}
            x = (SpectralConv if self.spectral_norm else Conv)(
                1 if last else self.width * 2**index,
                kernel_size=4,
                stride=1 if last else 2,
                padding=0 if last else 1,
                use_bias=False,
                kernel_init=normal_init,
                name=name,
                **options,
                **dtypes,
            )(x)
            if last:
                break
            if index > 0 and not self.spectral_norm:
                norm = BatchNorm(
                    axis_name=self.axis_name,
                    scale_init=around_one,
                    name=f"main_{3 * index}",
                    **dtypes,
                )
                x = norm(x, train)
            x = nn.leaky_relu(x, SLOPE)
        return x[:, 0, 0, 0].astype(jnp.float32)

    def _convolutions(self) -> list[str]:
        """Their names: torch's `main` numbers convolutions, batch norms and ReLUs."""
        counts = range(_doublings(self.image_size) + 1)
        if self.spectral_norm:
            return [f"main_{2 * index}" for index in counts]
        return [f"main_{max(0, 3 * index - 1)}" for index in counts]

    def torch_rules(self) -> dict[str, TorchRule]:
        """torch keeps a normalised kernel as a parametrization."""
        return dict.fromkeys(self._convolutions(), SPECTRAL_RULE) if self.spectral_norm else {}
