"""U-Net: an encoder and a decoder of images with skips between them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_choice, check_images, check_minimum_size
from flax_models.layers import Conv, ConvNormActivation, ConvTranspose, torch_uniform
from flax_models.max_pooling import max_pool

SKIPS = ("concatenate", "add")
UPSAMPLINGS = ("transposed", "bilinear")


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU.

    images [batch, height, width, in] -> [batch, height, width, width]. Parameters: 9 * in * width +
    9 * width^2 + 4 * width. Raises what `ConvNormActivation` raises.
    """

    width: int
    use_norm: bool = True
    padding_mode: str = "zeros"
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch height width features"]:
        x = images
        for name in ("first", "second"):
            x = ConvNormActivation(
                self.width,
                use_norm=self.use_norm,
                padding_mode=self.padding_mode,
                axis_name=self.axis_name,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )(x, train)
        return x


class UNet(nn.Module):
    """U-Net (Ronneberger, Fischer and Brox 2015, figure 1) with padded convolutions and batch norm.

    images [batch, height, width, channels] -> [batch, height, width, out_channels]: logits of a
    mask, or an image. `depth` halvings, with the width doubled at each from `width` on; any size of
    at least 2^depth, since an up-sampled map is padded to its skip's size. A skip is concatenated
    (the paper) or added. Up-sampling is a transposed 2x2 convolution, or bilinear and then 1x1.
    Parameters at the defaults for 3 channels: 7,763,041; the paper's width of 64: 31,037,633.
    Raises ValueError for images of another rank, other channels than the variables', or too small
    for the depth, and for an unknown skip, up-sampling or padding mode.
    """

    out_channels: int = 1
    width: int = 32
    depth: int = 4
    skip: str = "concatenate"
    upsampling: str = "transposed"
    use_norm: bool = True
    padding_mode: str = "zeros"
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch height width out_channels"]:
        check_choice("skip", self.skip, SKIPS)
        check_choice("upsampling", self.upsampling, UPSAMPLINGS)
        check_images(self, images, "encoder_0", "first", "conv", "kernel")
        check_minimum_size(images, 2**self.depth, f"depth {self.depth}")

        def double_conv(level: int, name: str) -> DoubleConv:
            return DoubleConv(
                self.width * 2**level,
                self.use_norm,
                self.padding_mode,
                self.axis_name,
                self.dtype,
                self.param_dtype,
                name=name,
            )

        skips = []
        x = images
        for level in range(self.depth):
            x = double_conv(level, f"encoder_{level}")(x, train)
            skips.append(x)
            x = max_pool(x, 2)
        x = double_conv(self.depth, f"encoder_{self.depth}")(x, train)
        for level in reversed(range(self.depth)):
            x = _padded_to(self._upsample(x, level), skips[level])
            x = x + skips[level] if self.skip == "add" else jnp.concatenate([skips[level], x], -1)
            x = double_conv(level, f"decoder_{level}")(x, train)
        return Conv(
            self.out_channels, 1, name="head", dtype=self.dtype, param_dtype=self.param_dtype
        )(x).astype(jnp.float32)

    def _upsample(self, x: Array, level: int) -> Array:
        """Twice the size, with the width of `level`."""
        features, name = self.width * 2**level, f"upsample_{level}"
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.upsampling == "transposed":
            return ConvTranspose(features, name=name, **dtypes)(x)
        batch, height, width, channels = x.shape
        x = jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "bilinear")
        return Conv(features, 1, kernel_init=torch_uniform, name=name, **dtypes)(x)


def _padded_to(x: Array, like: Array) -> Array:
    """Zeros around `x` up to the size of `like`: a halving of an odd size loses a row."""
    rows, columns = (like.shape[axis] - x.shape[axis] for axis in (1, 2))
    sides = [(missing // 2, missing - missing // 2) for missing in (rows, columns)]
    return jnp.pad(x, ((0, 0), *sides, (0, 0)))
