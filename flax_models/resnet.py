"""Residual networks for ImageNet, and for small images with the same stages."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_images
from flax_models.layers import BatchNorm, Conv, kaiming_normal_fan_out, torch_uniform
from flax_models.max_pooling import rectified_max_pool
from flax_models.pooling import at_least_float32, global_avg_pool
from flax_models.residual import BasicBlock, Bottleneck


class ResNet(nn.Module):
    """ResNet (He et al. 2015, table 1) in torchvision's version 1.5, with its names.

    images [batch, height, width, channels] -> logits [batch, num_classes]; any size, since the last
    maps are averaged. Stage i has `stage_sizes[i]` blocks of width 64 * 2^i; all but the first
    halve the size. `small_images` replaces the stem (7x7 with stride 2, then max pooling) by a 3x3
    convolution with stride 1, for images of 32 and the like.
    Parameters at 1000 classes: ResNet-18 11,689,512; -34 21,797,672; -50 25,557,032; -101
    44,549,160; -152 60,192,808.
    Raises ValueError for images of another rank or other channels than the variables'.
    """

    stage_sizes: Sequence[int] = (2, 2, 2, 2)
    bottleneck: bool = False
    num_classes: int = 1000
    small_images: bool = False
    zero_init_last: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch classes"]:
        check_images(self, images, "conv1", "kernel")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        kernel_size, stride = (3, 1) if self.small_images else (7, 2)
        x = Conv(
            64,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            use_bias=False,
            kernel_init=kaiming_normal_fan_out,
            name="conv1",
            **dtypes,
        )(images)
        x = BatchNorm(axis_name=self.axis_name, name="bn1", **dtypes)(x, train)
        x = nn.relu(x) if self.small_images else rectified_max_pool(x, 3, 2, padding=1)
        block = Bottleneck if self.bottleneck else BasicBlock
        for stage, blocks in enumerate(self.stage_sizes):
            for index in range(blocks):
                x = block(
                    64 * 2**stage,
                    stride=2 if stage > 0 and index == 0 else 1,
                    zero_init_last=self.zero_init_last,
                    axis_name=self.axis_name,
                    name=f"layer{stage + 1}_{index}",
                    **dtypes,
                )(x, train)
        x = global_avg_pool(x)
        head = nn.Dense(self.num_classes, kernel_init=torch_uniform, name="fc", **dtypes)
        return at_least_float32(head(x))


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """8 basic blocks."""
    return ResNet((2, 2, 2, 2), False, num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """16 basic blocks."""
    return ResNet((3, 4, 6, 3), False, num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """16 bottleneck blocks."""
    return ResNet((3, 4, 6, 3), True, num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """33 bottleneck blocks."""
    return ResNet((3, 4, 23, 3), True, num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """50 bottleneck blocks."""
    return ResNet((3, 8, 36, 3), True, num_classes, **options)
