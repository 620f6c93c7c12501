"""VGG: deep stacks of 3x3 convolutions."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from flax_models.checks import check_choice, check_images, check_minimum_size
from flax_models.dropout import Dropout
from flax_models.layers import BatchNorm, Conv, kaiming_normal_fan_out
from flax_models.max_pooling import rectified_max_pool
from flax_models.pooling import adaptive_avg_pool, at_least_float32
from flax_models.torch_weights import TorchRule, flattened_images

# Convolutions in each of the five blocks: table 1 of the paper, columns A, B, D and E.
BLOCKS = {
    "11": (1, 1, 2, 2, 2),
    "13": (2, 2, 2, 2, 2),
    "16": (2, 2, 3, 3, 3),
    "19": (2, 2, 4, 4, 4),
}
MULTIPLES = (1, 2, 4, 8, 8)  # of the first block's width


class VGG(nn.Module):
    """VGG (Simonyan and Zisserman 2015, table 1), with torchvision's names and initialisation.

    images [batch, height >= 32, width >= 32, channels] -> logits [batch, num_classes].
    The features are averaged to `pooled_size`^2 pixels before the dense layers: 7 suits images of
    224, 1 those of 32. Dropout of `dropout_rate` follows both hidden dense layers while training.
    Blocks have 1, 2, 4, 8 and 8 times `width` channels. With `frozen_features` no gradient reaches
    the convolutions and their norms, which also keep to their running statistics in training.
    Parameters at the defaults: VGG-11 132,863,336; -13 133,047,848; -16 138,357,544;
    -19 143,667,240; with batch norm 132,868,840; 133,053,736; 138,365,992; 143,678,248.
    Raises ValueError for images of another rank, other channels than the variables', or too small,
    and for a depth that is not in the table.
    """

    depth: int = 16
    num_classes: int = 1000
    batch_norm: bool = False
    dropout_rate: float = 0.5
    hidden_features: int = 4096
    pooled_size: int = 7
    width: int = 64
    frozen_features: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch classes"]:
        check_choice("depth", str(self.depth), tuple(BLOCKS))
        check_images(self, images, "features_0", "kernel")
        check_minimum_size(images, 2 ** len(MULTIPLES), "five halvings")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = images
        index = 0  # of the layer within torchvision's `features`, which counts ReLU and pooling too
        for convolutions, multiple in zip(BLOCKS[str(self.depth)], MULTIPLES, strict=True):
            for position in range(convolutions):
                x = Conv(
                    multiple * self.width,
                    padding=1,
                    kernel_init=kaiming_normal_fan_out,
                    name=f"features_{index}",
                    **dtypes,
                )(x)
                index += 1
                if self.batch_norm:
                    norm = BatchNorm(axis_name=self.axis_name, name=f"features_{index}", **dtypes)
                    x = norm(x, train and not self.frozen_features)
                    index += 1
                x = nn.relu(x) if position < convolutions - 1 else rectified_max_pool(x, 2)
                index += 1
            index += 1
        if self.frozen_features:
            x = lax.stop_gradient(x)
        x = adaptive_avg_pool(x, (self.pooled_size, self.pooled_size))
        x = x.reshape(x.shape[0], -1)
        dropout = Dropout(self.dropout_rate, deterministic=not train)

        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(features, kernel_init=nn.initializers.normal(0.01), name=name, **dtypes)

        x = dropout(nn.relu(dense(self.hidden_features, "classifier_0")(x)))
        x = dropout(nn.relu(dense(self.hidden_features, "classifier_3")(x)))
        return at_least_float32(dense(self.num_classes, "classifier_6")(x))

    def torch_rules(self) -> dict[str, TorchRule]:
        """torchvision flattens channels first."""
        return {"classifier_0": flattened_images(MULTIPLES[-1] * self.width)}


def vgg11(num_classes: int = 1000, batch_norm: bool = False, **options: Any) -> VGG:
    """Column A: 8 convolutions and 3 dense layers."""
    return VGG(11, num_classes, batch_norm, **options)


def vgg13(num_classes: int = 1000, batch_norm: bool = False, **options: Any) -> VGG:
    """Column B: 10 convolutions and 3 dense layers."""
    return VGG(13, num_classes, batch_norm, **options)


def vgg16(num_classes: int = 1000, batch_norm: bool = False, **options: Any) -> VGG:
    """Column D: 13 convolutions and 3 dense layers."""
    return VGG(16, num_classes, batch_norm, **options)


def vgg19(num_classes: int = 1000, batch_norm: bool = False, **options: Any) -> VGG:
    """Column E: 16 convolutions and 3 dense layers."""
    return VGG(19, num_classes, batch_norm, **options)
