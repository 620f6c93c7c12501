"""Pieces that the image models share: convolution, pooling, batch norm. Images are NHWC."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from flax_models.batch_norm import normalise
from flax_models.checks import check_shape
from flax_models.convolution import convolve, convolve_transposed
from flax_models.pooling import at_least_float32, pad_images, pair

Initializer = Callable[..., Array]

# torch.nn.Conv2d and torch.nn.Linear draw kernels from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# He et al. 2015 as torchvision uses it: N(0, 2 / fan_out).
kaiming_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
kaiming_normal_fan_in = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Conv(nn.Module):
    """2-D convolution with torch.nn.Conv2d's meaning: explicit padding, the same on both sides.

    images [batch, height, width, in] -> [batch, height', width', features], where
    height' = (height + 2 padding - kernel) // stride + 1.
    Parameters: kernel^2 * in * features, and features more for the bias.
    Raises ValueError for images that are not rank 4 or too small, and for an unknown padding mode.
    """

    features: int
    kernel_size: int | tuple[int, int] = 3
    stride: int | tuple[int, int] = 1
    padding: int = 0
    padding_mode: str = "zeros"
    use_bias: bool = True
    kernel_init: Initializer = torch_uniform
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width features"]:
        check_shape("images", images, ("batch", "height", "width", "channels"))
        kernel_size = pair(self.kernel_size)
        kernel = self.normalise_kernel(
            self.param(
                "kernel",
                self.kernel_init,
                (*kernel_size, images.shape[-1], self.features),
                self.param_dtype,
            )
        )
        padding = self.padding
        if self.padding_mode != "zeros":
            images, padding = pad_images(images, padding, self.padding_mode), 0
        for axis in (0, 1):
            if images.shape[axis + 1] + 2 * padding < kernel_size[axis]:
                raise ValueError(
                    f"images: expected height and width of at least {kernel_size} after padding "
                    f"{padding}, got {tuple(images.shape)}"
                )
        outputs = convolve(
            images.astype(self.dtype), kernel.astype(self.dtype), pair(self.stride), padding
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
            outputs = outputs + bias.astype(self.dtype)
        return outputs

    def normalise_kernel(self, kernel: Array) -> Array:
        """What a subclass does to the kernel before it is used (spectral norm)."""
        return kernel


class ConvTranspose(nn.Module):
    """2-D transposed convolution with torch.nn.ConvTranspose2d's meaning.

    images [batch, height, width, in] -> [batch, height', width', features], where
    height' = (height - 1) stride - 2 padding + kernel.
    Parameters: kernel^2 * in * features, and features more for the bias.
    Raises ValueError for images that are not rank 4.
    """

    features: int
    kernel_size: int = 2
    stride: int = 2
    padding: int = 0
    use_bias: bool = True
    # [kernel, kernel, features, in]: torch too takes the fan-in from the output axis.
    kernel_init: Initializer = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width features"]:
        check_shape("images", images, ("batch", "height", "width", "channels"))
        shape = (*pair(self.kernel_size), self.features, images.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        outputs = convolve_transposed(
            images.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.padding
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
            outputs = outputs + bias.astype(self.dtype)
        return outputs


class BatchNorm(nn.Module):
    """Batch norm over all axes but the last (Ioffe and Szegedy 2015), as torch computes it.

    x [..., channels] -> the same shape. Parameters: 2 * channels. Statistics: mean and var.
    Statistics are float32 and the variance takes two passes, so that data of mean 100 and deviation
    0.01 keeps its digits. The running variance is the unbiased one, as torch stores it (Flax's own
    layer stores the biased one). `axis_name` is the mapped axis of pmap to average statistics over.
    Raises ValueError where a training batch has a single value a channel.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*axes channels"], train: bool = False
    ) -> Float[Array, "*axes channels"]:
        channels = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, channels, self.param_dtype)
        bias = self.param("bias", self.bias_init, channels, self.param_dtype)
        statistic = jnp.promote_types(self.param_dtype, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, statistic)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, statistic)
        x = at_least_float32(x)
        if train:
            count = x.size // x.shape[-1]
            axis_name = None if self.is_initializing() else self.axis_name
            if axis_name is not None:
                count *= lax.psum(1, axis_name)
            if count < 2:
                raise ValueError(
                    f"x: expected more than one value a channel to train batch norm, got {x.shape}"
                )
            outputs, mean, var = normalise(x, scale, bias, self.epsilon, axis_name)
            if not self.is_initializing():
                rate = 1 - self.momentum
                unbiased = var * (count / (count - 1))
                running_mean.value += rate * (lax.stop_gradient(mean) - running_mean.value)
                running_var.value += rate * (lax.stop_gradient(unbiased) - running_var.value)
        else:
            factor = lax.rsqrt(running_var.value + self.epsilon) * scale
            outputs = (x - running_mean.value) * factor + bias
        return outputs.astype(self.dtype)


class ConvNormActivation(nn.Module):
    """A convolution, batch norm unless `use_norm` is off, and an activation.

    images [batch, height, width, in] -> as `Conv`, [batch, height', width', features].
    Parameters: kernel^2 * in * features, and 2 * features with norm, features without.
    Raises what `Conv` and `BatchNorm` raise.
    """

    features: int
    kernel_size: int | tuple[int, int] = 3
    stride: int | tuple[int, int] = 1
    padding: int = 1
    padding_mode: str = "zeros"
    use_norm: bool = True
    activation: Callable[[Array], Array] = nn.relu
    kernel_init: Initializer = kaiming_normal_fan_out
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch out_height out_width features"]:
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            self.padding,
            self.padding_mode,
            use_bias=not self.use_norm,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(images)
        if self.use_norm:
            x = BatchNorm(
                axis_name=self.axis_name,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name="norm",
            )(x, train)
        return self.activation(x)


def count_parameters(variables: Any) -> int:
    """How many numbers the `params` collection of `variables` (or its shapes) holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
