"""Strided convolutions as sums over phases equal XLA's, as do their transposes."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from same_derivatives import assert_same, normal

from flax_models.convolution import CHANNELS_WORTH_PHASES, convolve
from flax_models.phases import convolve_by_phases

NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("stride", "extents", "padding"),
    [
        ((2, 2), (3, 3), 1),
        ((2, 2), (4, 4), 1),
        ((2, 1), (2, 3), 0),
        ((2, 1), (5, 1), 2),
        ((3, 2), (1, 1), 0),
        ((3, 2), (2, 5), 2),
    ],
)
def test_it_is_the_convolution(stride, extents, padding):
    def reference(images, kernel):
        return lax.conv_general_dilated(
            images, kernel, stride, [(padding, padding)] * 2, dimension_numbers=NHWC
        )

    by_phases = functools.partial(convolve_by_phases, stride=stride, padding=padding)
    assert_same(by_phases, reference, normal(2, 9, 8, 3), normal(*extents, 3, 2))


@pytest.mark.parametrize(
    ("channels", "stride", "dtype", "has_zeros"),
    [
        (CHANNELS_WORTH_PHASES, (2, 2), jnp.float32, False),
        (CHANNELS_WORTH_PHASES - 1, (2, 2), jnp.float32, True),
        (CHANNELS_WORTH_PHASES, (2, 2), jnp.bfloat16, True),
        (CHANNELS_WORTH_PHASES, (1, 1), jnp.float32, False),
    ],
)
def test_the_gradient_of_images_on_a_cpu_has_no_zeros_between_pixels(
    channels, stride, dtype, has_zeros
):
    images, kernel = jnp.ones((2, 8, 8, channels), dtype), jnp.ones((3, 3, channels, 4), dtype)
    gradient = jax.grad(lambda x: jnp.sum(convolve(x, kernel, stride, 1) ** 2))
    text = jax.jit(gradient).lower(images).compile().as_text()
    on_a_cpu = jax.default_backend() == "cpu"
    assert ("lhs_dilate" in text) == (has_zeros if on_a_cpu else stride != (1, 1))
