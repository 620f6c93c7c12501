"""The course's convolutional network for small images."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.checks import check_images, check_minimum_size, known_size
from flax_models.dropout import Dropout
from flax_models.layers import Conv, torch_uniform
from flax_models.max_pooling import rectified_max_pool
from flax_models.torch_weights import TorchRule, flattened_images


class CNN(nn.Module):
    """Blocks of [conv, ReLU, conv, ReLU, max pooling], then dense layers (after LeCun et al. 1998).

    images [batch, height, width, channels] -> logits [batch, num_classes]. A block keeps the size
    in its 3x3 convolutions and halves it in its pooling; an odd last row is left out. Dropout
    of `dropout_rate` follows every hidden dense layer while training.
    Parameters: 1,403,050 at the defaults for images of 32x32x3.
    Raises ValueError for images of another rank, other channels or another size than the
    variables', or smaller than one pixel after the last block, and for an unknown padding mode.
    """

    widths: Sequence[int] = (32, 64, 128)
    hidden_features: Sequence[int] = (512, 128)
    num_classes: int = 10
    padding_mode: str = "zeros"
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch classes"]:
        check_images(self, images, "conv_0", "kernel")
        check_minimum_size(images, 2 ** len(self.widths), f"{len(self.widths)} halvings")
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = images
        for block, width in enumerate(self.widths):
            for index in (2 * block, 2 * block + 1):
                conv = Conv(
                    width,
                    padding=1,
                    padding_mode=self.padding_mode,
                    name=f"conv_{index}",
                    **dtypes,
                )
                x = conv(x)
                x = nn.relu(x) if index == 2 * block else rectified_max_pool(x, 2)
        x = x.reshape(x.shape[0], -1)
        expected = known_size(self, "dense_0", "kernel", otherwise="features")
        if isinstance(expected, int) and x.shape[1] != expected:
            raise ValueError(
                f"images: expected a height and width that leave {expected} features after "
                f"{len(self.widths)} halvings, got {tuple(images.shape)}"
            )
        for index, features in enumerate((*self.hidden_features, self.num_classes)):
            if index > 0:
                x = Dropout(self.dropout_rate, deterministic=not train)(nn.relu(x))
            x = nn.Dense(features, kernel_init=torch_uniform, name=f"dense_{index}", **dtypes)(x)
        return x.astype(jnp.float32)

    def torch_rules(self) -> dict[str, TorchRule]:
        """torch flattens channels first."""
        return {"dense_0": flattened_images(self.widths[-1])}
