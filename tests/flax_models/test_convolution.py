"""The fast forms of convolution equal XLA's own, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from same_derivatives import assert_same, normal

from flax_models.convolution import (
    CHANNELS_WORTH_A_COPY,
    CHANNELS_WORTH_PHASES,
    MANY_CHANNELS,
    convolve,
    convolve_directly,
    convolve_transposed,
)
from flax_models.winograd import convolve_by_squares

NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize("size", [(2, 2), (1, 2), (2, 1), (1, 1)])
def test_a_map_smaller_than_its_kernel(size):
    def reference(images, kernel):
        sides = ((1, 1), (1, 1))
        return lax.conv_general_dilated(images, kernel, (1, 1), sides, dimension_numbers=NHWC)

    assert_same(
        lambda images, kernel: convolve(images, kernel, (1, 1), 1),
        reference,
        normal(3, *size, 4),
        normal(3, 3, 4, 5),
    )


def _after_tanh(convolution):
    """What a kernel's gradient would compute again: the images are made by something."""
    return lambda images, kernel: convolution(jnp.tanh(images), kernel)


def _ours(images, kernel):
    return convolve_directly(images, kernel, (2, 1), 1)


def _xlas(images, kernel):
    sides = ((1, 1), (1, 1))
    return lax.conv_general_dilated(images, kernel, (2, 1), sides, dimension_numbers=NHWC)


@pytest.mark.parametrize("channels", [CHANNELS_WORTH_A_COPY - 1, CHANNELS_WORTH_A_COPY])
def test_images_that_are_computed_once_have_the_derivatives_that_xla_derives(channels):
    arguments = normal(2, 6, 5, channels), normal(3, 3, channels, 4)
    assert_same(_after_tanh(_ours), _after_tanh(_xlas), *arguments)
    with jax.enable_x64(True):
        arguments = tuple(map(jnp.asarray, arguments))

        def twice(convolution):
            def loss(images, kernel):
                return jnp.sum(_after_tanh(convolution)(images, kernel) ** 4)

            return jax.jvp(jax.grad(loss, (0, 1)), arguments, jax.tree.map(jnp.cos, arguments))

        scale = 1e-12 * np.abs(twice(_xlas)[1][1]).max()
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=scale),
            twice(_ours),
            twice(_xlas),
        )


@pytest.mark.parametrize(
    ("channels", "copies"), [(CHANNELS_WORTH_A_COPY - 1, 0), (CHANNELS_WORTH_A_COPY, 1)]
)
def test_only_images_of_many_channels_are_computed_once(channels, copies):
    images, kernel = jnp.ones((2, 6, 5, channels)), jnp.ones((3, 3, channels, 4))
    of_kernel = jax.grad(lambda k, x: jnp.sum(_after_tanh(_ours)(x, k) ** 2))
    lowered = jax.jit(of_kernel).lower(kernel, images)
    # the convolution and its kernel's gradient, and none of what the images' tangent would be
    assert lowered.as_text().count("stablehlo.convolution") == 2
    assert lowered.compile().as_text().count(" conditional(") == copies


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 7)])
def test_fewer_multiplications(size):
    def reference(images, kernel):
        return convolve_directly(images, kernel, (1, 1), 1)

    assert_same(convolve_by_squares, reference, normal(2, *size, 3), normal(3, 3, 3, 5))


def test_fewer_multiplications_keep_float32_precise():
    """Against double precision: no more than a few times the rounding of the definition."""
    images, kernel = normal(2, 8, 8, 256).astype(np.float32), normal(3, 3, 256, 8)
    kernel = kernel.astype(np.float32)

    def error(convolution):
        outputs = np.asarray(jax.jit(convolution)(images, kernel))
        return np.abs(outputs - exact).max() / np.abs(exact).max()

    with jax.enable_x64(True):
        doubles = images.astype(np.float64), kernel.astype(np.float64)
        exact = np.asarray(convolve_directly(*doubles, (1, 1), 1))
        assert exact.dtype == np.float64
    assert error(convolve_by_squares) < 1e-6
    assert error(convolve_by_squares) < 8 * error(lambda x, k: convolve_directly(x, k, (1, 1), 1))


def test_only_wide_convolutions_on_a_cpu_are_computed_by_squares():
    def convolutions(channels, stride=1, dtype=jnp.float32, size=64):
        images = jnp.zeros((1, size, size, channels), dtype)
        kernel = jnp.zeros((3, 3, channels, channels), dtype)
        lowered = jax.jit(lambda x, k: convolve(x, k, (stride, stride), 1)).trace(images, kernel)
        return [
            "stablehlo.convolution" in lowered.lower(lowering_platforms=(platform,)).as_text()
            for platform in ("cpu", "cuda", "tpu")
        ]

    assert convolutions(MANY_CHANNELS) == [False, True, True]
    assert convolutions(MANY_CHANNELS, size=32) == [True, True, True]
    assert convolutions(MANY_CHANNELS // 2, size=256) == [True, True, True]
    assert convolutions(MANY_CHANNELS, stride=2) == [True, True, True]
    assert convolutions(MANY_CHANNELS, dtype=jnp.bfloat16) == [True, True, True]


@pytest.mark.parametrize("extent", [2, 3])
def test_a_transposed_convolution_whose_outputs_do_not_overlap(extent):
    def reference(images, kernel):
        return lax.conv_transpose(
            images, kernel, (extent, extent), "VALID", dimension_numbers=NHWC, transpose_kernel=True
        )

    assert_same(
        lambda images, kernel: convolve_transposed(images, kernel, extent, 0),
        reference,
        normal(2, 5, 4, 3),
        normal(extent, extent, 6, 3),
    )


@pytest.mark.parametrize("features", [CHANNELS_WORTH_PHASES - 1, CHANNELS_WORTH_PHASES])
@pytest.mark.parametrize(
    ("size", "extent", "stride", "padding"),
    [((5, 4), 4, 2, 1), ((5, 4), 3, 2, 0), ((4, 3), 3, 1, 1), ((1, 1), 4, 1, 0), ((1, 1), 5, 2, 1)],
)
def test_a_transposed_convolution_whose_outputs_overlap(size, extent, stride, padding, features):
    """The transpose, by its definition, of the convolution that would lead back."""
    images, kernel = normal(2, *size, 3), normal(extent, extent, features, 3)
    height, width = ((n - 1) * stride - 2 * padding + extent for n in size)

    def reference(images, kernel):
        def back(outputs):
            sides, strides = ((padding, padding),) * 2, (stride, stride)
            return lax.conv_general_dilated(outputs, kernel, strides, sides, dimension_numbers=NHWC)

        like = jax.ShapeDtypeStruct((2, height, width, features), images.dtype)
        return jax.linear_transpose(back, like)(images)[0]

    assert_same(
        lambda images, kernel: convolve_transposed(images, kernel, stride, padding),
        reference,
        images,
        kernel,
    )


def test_a_kernel_that_covers_the_image():
    assert_same(
        lambda images, kernel: convolve(images, kernel, (2, 2), 0),
        lambda images, kernel: convolve_directly(images, kernel, (2, 2), 0),
        normal(3, 4, 5, 2),
        normal(4, 5, 2, 6),
    )


def test_an_exported_function_holds_the_form_that_each_platform_computes_fastest():
    shape, kernel = (16, 16, 32, MANY_CHANNELS), normal(3, 3, MANY_CHANNELS, MANY_CHANNELS)
    kernel = kernel.astype(np.float32)

    def exported(shape, platforms):
        images = jax.ShapeDtypeStruct(shape, np.float32)
        function = jax.jit(lambda images: convolve(images, kernel, (1, 1), 1))
        return export.export(function, platforms=platforms)(images)

    convolutions = {
        platform: exported(shape, [platform]).mlir_module().count("stablehlo.convolution")
        for platform in ("cpu", "cuda", "tpu")
    }
    assert convolutions == {"cpu": 0, "cuda": 1, "tpu": 1}
    images = normal(*shape).astype(np.float32)
    want = convolve_directly(images, kernel, (1, 1), 1)
    for any_shape in (shape, export.symbolic_shape("batch, ...", like=shape)):
        of_all = exported(any_shape, ["cpu", "cuda", "tpu"])
        np.testing.assert_allclose(of_all.call(images), want, atol=2e-3, rtol=1e-4)
