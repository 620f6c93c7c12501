"""Convolutional recurrent network that reads text in images, one class or blank a column."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_models.checks import check_images, known_size
from flax_models.dropout import Dropout
from flax_models.layers import ConvNormActivation, kaiming_normal_fan_in
from flax_models.lengths import full_lengths
from flax_models.max_pooling import max_pool, rectified_max_pool
from flax_models.recurrent import GRU
from flax_models.residual import BasicBlock

# Columns of the image a time step: the stem and the first stage pool pairs of columns.
COLUMNS_A_STEP = 4


def crnn_output_lengths(widths: Int[Array, "*batch"] | int) -> Int[Array, "*batch"] | int:
    """How many time steps images of these widths give: what `ctc_loss` takes as logit_lengths."""
    return widths // COLUMNS_A_STEP


class CRNN(nn.Module):
    """Residual features that keep the horizontal axis, then recurrent layers over the columns.

    images [batch, height, width, channels] -> logits [batch, width // 4, num_classes], float32, for
    `ctc_loss`: class 0 is its blank unless told otherwise. Shi, Bai and Yao 2015 (section 2), with
    the residual blocks of He et al. 2015 and GRUs for its VGG layers and LSTMs.

    A 3x3 convolution of `stem_features` halves the height, maxima over pairs of columns the width;
    each of `widths` is a residual block and a max pooling, 2x2 after the first, of the height only
    after the others. Height and channels fold into one vector a column, then a dense layer,
    dropout, bidirectional GRUs, logits. With `image_widths` the recurrent layers stop at each
    image's own last column; what is beyond is padding and gives the logits of zero features.

    Parameters at the defaults for images 48 high with one channel and 37 classes: 394,349.
    Raises ValueError for images of another rank or channel count, of a height that gives a column
    another size than the variables', lower than 2^(stages + 1) - 1 or narrower than 4, and for an
    image width above the batch's.
    """

    num_classes: int
    stem_features: int = 24
    widths: tuple[int, ...] = (32, 64, 96)
    dense_features: int = 128
    hidden_size: int = 96
    num_layers: int = 1
    dropout_rate: float = 0.2
    axis_name: str | None = None
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        image_widths: Int[Array, "batch"] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch time classes"]:
        check_images(self, images, "stem", "conv", "kernel")
        batch, height, width, _ = images.shape
        lowest = 2 ** (len(self.widths) + 1) - 1
        if height < lowest or width < COLUMNS_A_STEP:
            raise ValueError(
                f"images: expected [batch, height >= {lowest}, width >= {COLUMNS_A_STEP},"
                f" channels], got {tuple(images.shape)}"
            )
        lengths: Any = None
        if image_widths is not None:
            lengths = crnn_output_lengths(full_lengths("image_widths", image_widths, batch, width))
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        x = ConvNormActivation(
            self.stem_features,
            stride=(2, 1),
            activation=functools.partial(rectified_max_pool, window=(1, 2)),
            axis_name=self.axis_name,
            name="stem",
            **types,
        )(images, train)
        for index, features in enumerate(self.widths):
            block = BasicBlock(features, axis_name=self.axis_name, name=f"block_{index}", **types)
            x = max_pool(block(x, train), (2, 2) if index == 0 else (2, 1))

        # [batch, height, columns, channels] -> [batch, columns, height * channels]
        x = x.swapaxes(1, 2).reshape(batch, width // COLUMNS_A_STEP, -1)
        column = known_size(self, "dense", "kernel", otherwise="features")
        if column not in ("features", x.shape[2]):
            raise ValueError(
                f"images: expected a height that gives {column} features a column,"
                f" got {tuple(images.shape)} with {x.shape[2]}"
            )
        # Kernels that keep a signal's size: with torch's smaller ones the logits start out so alike
        # that CTC answers blanks alone for longer.
        dense = nn.Dense(
            self.dense_features, kernel_init=kaiming_normal_fan_in, name="dense", **types
        )
        x = Dropout(self.dropout_rate, deterministic=not train)(nn.relu(dense(x)))
        x, _ = GRU(
            self.hidden_size,
            self.num_layers,
            bidirectional=True,
            dropout_rate=self.dropout_rate,
            name="recurrent",
            **types,
        )(x, lengths, train=train)
        output = nn.Dense(
            self.num_classes, kernel_init=nn.initializers.lecun_normal(), name="output", **types
        )
        return output(x).astype(jnp.float32)
