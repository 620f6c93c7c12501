"""The residual blocks of He et al., with torchvision's names for their layers."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_choice
from flax_models.layers import BatchNorm, Conv, kaiming_normal_fan_out

SHORTCUTS = ("projection", "padding", "none")


class ResidualBlock(nn.Module):
    """What basic and bottleneck blocks share: relu(shortcut(x) + residual(x)).

    x [batch, height, width, in] -> [batch, ceil(height / stride), ceil(width / stride), out], where
    out is width * expansion. Where the shape changes, the shortcut is a 1x1 convolution with norm
    ("projection", option B of He et al. 2015, section 3.3) or takes every stride-th pixel and pads
    the new channels with zeros ("padding", option A, no parameters). With "none" no block has a
    shortcut: the plain networks that the paper compares with.
    `zero_init_last` starts the last norm's scale at 0, so that the block starts as the identity
    (Goyal et al. 2017, section 5.1). Raises ValueError for an unknown shortcut.
    """

    width: int
    stride: int = 1
    shortcut: str = "projection"
    zero_init_last: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch out_height out_width features"]:
        check_choice("shortcut", self.shortcut, SHORTCUTS)
        residual = self.residual(x, train)
        if self.shortcut == "none":
            return nn.relu(residual)
        features = self.width * self.expansion
        if self.stride != 1 or x.shape[-1] != features:
            if self.shortcut == "padding":
                new_channels = features - x.shape[-1]
                before = new_channels // 2
                x = x[:, :: self.stride, :: self.stride]
                x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (before, new_channels - before)))
            else:
                x = self.conv(features, 1, self.stride, name="downsample_0")(x)
                x = self.norm(name="downsample_1")(x, train)
        return nn.relu(x + residual)

    def residual(self, x: Array, train: bool) -> Array:
        """The branch beside the shortcut."""
        raise NotImplementedError

    def conv(self, features: int, kernel_size: int, stride: int = 1, *, name: str) -> Conv:
        """A convolution without bias that keeps the size up to the stride."""
        return Conv(
            features,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            use_bias=False,
            kernel_init=kaiming_normal_fan_out,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )

    def norm(self, *, name: str, last: bool = False) -> BatchNorm:
        """Batch norm; the `last` of a branch may start at zero."""
        zero = last and self.zero_init_last
        return BatchNorm(
            axis_name=self.axis_name,
            scale_init=nn.initializers.zeros if zero else nn.initializers.ones,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left); out = width."""

    def residual(self, x: Array, train: bool) -> Array:
        """3x3 with the stride, then 3x3."""
        x = self.conv(self.width, 3, self.stride, name="conv1")(x)
        x = nn.relu(self.norm(name="bn1")(x, train))
        x = self.conv(self.width, 3, name="conv2")(x)
        return self.norm(name="bn2", last=True)(x, train)


class Bottleneck(ResidualBlock):
    """1x1, 3x3, 1x1 convolutions (figure 5 right); out = 4 * width.

    The stride is on the 3x3 convolution, as in torchvision's version 1.5, not on the first 1x1.
    """

    expansion: ClassVar[int] = 4

    def residual(self, x: Array, train: bool) -> Array:
        """1x1 to `width`, 3x3 with the stride, 1x1 to four times the width."""
        x = nn.relu(self.norm(name="bn1")(self.conv(self.width, 1, name="conv1")(x), train))
        x = self.conv(self.width, 3, self.stride, name="conv2")(x)
        x = nn.relu(self.norm(name="bn2")(x, train))
        x = self.conv(self.width * self.expansion, 1, name="conv3")(x)
        return self.norm(name="bn3", last=True)(x, train)
