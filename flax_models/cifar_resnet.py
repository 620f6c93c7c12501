"""The residual networks of 20 to 1202 layers for images of 32x32."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_images
from flax_models.layers import BatchNorm, Conv, kaiming_normal_fan_in, kaiming_normal_fan_out
from flax_models.pooling import global_avg_pool
from flax_models.residual import BasicBlock
from flax_models.torch_weights import TorchRule, stacked

WIDTHS = (16, 32, 64)
# Deeper networks take minutes to compile block by block; shallower ones run faster that way, since
# XLA's convolutions on a CPU are ten times slower inside a loop (jax issue 12868).
DEEPEST_UNROLLED = 200


class CifarResNet(nn.Module):
    """ResNet of depth 6n + 2 for CIFAR-10 (He et al. 2015, section 4.2).

    images [batch, height, width, channels] -> logits [batch, num_classes]: a 3x3 convolution, three
    stages of n blocks of width 16, 32 and 64, the last two halving the size, and a dense layer.
    `shortcut` "padding" is the paper's option A, "projection" its option B, "none" a plain network.
    `zero_init_last` starts every block as the identity. `remat` computes a block's insides again in
    the backward pass instead of keeping them: a third to a fifth of the memory. `scan` runs the
    equal blocks of a stage as a loop, by default only in networks deeper than 200. The variables
    are the same either way: those of the equal blocks are stacked along a first axis, under layer1,
    layer2 and layer3.
    Parameters with option A and 10 classes: ResNet-20 269,722; -32 464,154; -44 658,586; -56
    853,018; -110 1,727,962; -1202 19,421,274 (the paper's 0.27, 0.46, 0.66, 0.85, 1.7, 19.4 M).
    Raises ValueError for a depth that is not 6n + 2 and for images of another rank or other
    channels than the variables'.
    """

    depth: int = 20
    num_classes: int = 10
    shortcut: str = "padding"
    zero_init_last: bool = False
    scan: bool | None = None
    remat: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch classes"]:
        if self.depth < 8 or self.depth % 6 != 2:
            raise ValueError(f"depth: expected 6n + 2 (8, 14, 20, ...), got {self.depth}")
        check_images(self, images, "conv1", "kernel")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        fields = {
            "zero_init_last": self.zero_init_last,
            "axis_name": self.axis_name,
            **dtypes,
        }
        x = Conv(
            WIDTHS[0],
            padding=1,
            use_bias=False,
            kernel_init=kaiming_normal_fan_out,
            name="conv1",
            **dtypes,
        )(images)
        x = nn.relu(BatchNorm(axis_name=self.axis_name, name="bn1", **dtypes)(x, train))
        scan = self.depth > DEEPEST_UNROLLED if self.scan is None else self.scan
        block = nn.remat(BasicBlock, static_argnums=(2,)) if self.remat else BasicBlock
        equal_blocks = self.depth // 6 - 1
        for stage, width in enumerate(WIDTHS):
            stride = 1 if stage == 0 else 2
            name = f"layer{stage + 1}"
            first = block(width, stride, self.shortcut, name=f"{name}_0", **fields)
            x = first(x, train)
            if equal_blocks:
                run = nn.scan(
                    lambda equal_block, x: (equal_block(x, train), None),
                    variable_axes={"params": 0, "batch_stats": 0},
                    split_rngs={"params": True},
                    length=equal_blocks,
                    unroll=1 if scan else equal_blocks,
                )
                x, _ = run(block(width, name=name, **fields), x)
        x = global_avg_pool(x)
        head = nn.Dense(self.num_classes, kernel_init=kaiming_normal_fan_in, name="fc", **dtypes)
        return head(x).astype(jnp.float32)

    def torch_rules(self) -> dict[str, TorchRule]:
        """The blocks that are stacked here are numbered from 1 in torch."""
        if self.depth == 8:
            return {}
        return {f"layer{stage}": stacked(self.depth // 6 - 1, first=1) for stage in (1, 2, 3)}


def resnet20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """3 blocks a stage."""
    return CifarResNet(20, num_classes, **options)


def resnet32(num_classes: int = 10, **options: Any) -> CifarResNet:
    """5 blocks a stage."""
    return CifarResNet(32, num_classes, **options)


def resnet44(num_classes: int = 10, **options: Any) -> CifarResNet:
    """7 blocks a stage."""
    return CifarResNet(44, num_classes, **options)


def resnet56(num_classes: int = 10, **options: Any) -> CifarResNet:
    """9 blocks a stage."""
    return CifarResNet(56, num_classes, **options)


def resnet110(num_classes: int = 10, **options: Any) -> CifarResNet:
    """18 blocks a stage."""
    return CifarResNet(110, num_classes, **options)


def resnet1202(num_classes: int = 10, **options: Any) -> CifarResNet:
    """200 blocks a stage, scanned."""
    return CifarResNet(1202, num_classes, **options)
