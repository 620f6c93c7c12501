"""Convolutions of images [batch, height, width, channels], in the form XLA computes fastest."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from flax_models.apart import apart, computed_once
from flax_models.gradient_once import gradient_once
from flax_models.phases import convolve_by_phases
from flax_models.winograd import convolve_by_squares

MANY_CHANNELS = 128
"""From here on fewer multiplications outweigh their sums on CPU (docs/performance.md)."""

CHANNELS_WORTH_A_COPY = 64
"""From here on a copy of the images costs less than to compute them twice on CPU."""

CHANNELS_WORTH_PHASES = 8
"""From here on a strided convolution's transpose is computed faster phase by phase on CPU."""

MANY_PRODUCTS = 2**26
"""Of a pixel's channels and features. With fewer the time won is less than that of compilation."""


def convolve(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    stride: tuple[int, int],
    padding: int,
) -> Float[Array, "batch out_height out_width features"]:
    """torch's conv2d with zeros around the images.

    Maps smaller than the kernel, as VGG's last ones of 32x32 images, are multiplied densely:
    XLA:CPU takes such a convolution through a scalar loop, and on any backend most of it is zeros.
    A kernel that covers the whole image is one product.
    On CPU 3x3 convolutions of many channels are computed by fewer multiplications (winograd.py).
    """
    if stride == (1, 1) and _is_tiny(images.shape[1:3], kernel.shape[:2], padding):
        return _convolve_densely(images, kernel, padding)
    if padding == 0 and images.shape[1:3] == kernel.shape[:2]:
        return jnp.einsum("bhwc,hwcf->bf", images, kernel)[:, None, None]
    directly = functools.partial(convolve_directly, stride=stride, padding=padding)
    if (*kernel.shape[:2], *stride, padding) != (3, 3, 1, 1, 1) or not _is_wide(images, kernel):
        return directly(images, kernel)
    # Under a gradient the tiles, four times the images, are made anew rather than kept.
    by_squares = jax.checkpoint(convolve_by_squares)
    return lax.platform_dependent(images, kernel, cpu=by_squares, default=directly)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def convolve_directly(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    stride: tuple[int, int],
    padding: int,
) -> Float[Array, "batch out_height out_width features"]:
    """XLA's own convolution."""
    return _convolve(images, kernel, stride, padding)


def _convolve(images: Array, kernel: Array, stride: tuple[int, int], padding: int) -> Array:
    outputs = lax.conv_general_dilated(
        images,
        kernel,
        window_strides=stride,
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    if kernel.dtype == jnp.bfloat16:
        # XLA:CPU of jax 0.12 draws a chain of them into one fusion that gives NaN
        outputs = apart(outputs)
    return outputs


@functools.partial(convolve_directly.defjvp, symbolic_zeros=True)
def _convolve_jvp(
    stride: tuple[int, int],
    padding: int,
    primals: tuple[Array, Array],
    tangents: tuple[Array | SymbolicZero, Array | SymbolicZero],
) -> tuple[Array, Array]:
    """As XLA derives it, but for a form with a faster transpose, and images computed once.

    For the kernel's gradient XLA:CPU wants the batch innermost. It would compute the images anew in
    that order, with the norms, sums and ReLUs of all residual blocks before (docs/performance.md).
    """
    (images, kernel), (d_images, d_kernel) = primals, tangents
    outputs = convolve_directly(images, kernel, stride, padding)
    tangent = jnp.zeros_like(outputs)
    if not isinstance(d_images, SymbolicZero):
        tangent += _convolve_to_transpose(d_images, kernel, stride, padding)
    if not isinstance(d_kernel, SymbolicZero):
        if images.shape[-1] >= CHANNELS_WORTH_A_COPY:
            images = computed_once(images, images)
        tangent += _convolve(images, d_kernel, stride, padding)
    return outputs, tangent


def _convolve_to_transpose(
    images: Array, kernel: Array, stride: tuple[int, int], padding: int
) -> Array:
    """`_convolve`, in a form whose transpose XLA:CPU computes faster."""
    directly = functools.partial(_convolve, stride=stride, padding=padding)
    if max(stride) == 1 or kernel.shape[2] < CHANNELS_WORTH_PHASES or kernel.dtype == jnp.bfloat16:
        return directly(images, kernel)
    by_phases = functools.partial(convolve_by_phases, stride=stride, padding=padding)
    return lax.platform_dependent(images, kernel, cpu=by_phases, default=directly)


def _is_wide(images: Array, kernel: Array) -> bool:
    if not isinstance(images.size, int):
        return False  # jax.export leaves the number of images open
    full_precision = kernel.dtype in (jnp.float32, jnp.float64)
    many_products = images.size * kernel.shape[-1] >= MANY_PRODUCTS
    return full_precision and many_products and min(kernel.shape[2:]) >= MANY_CHANNELS


def _is_tiny(size: tuple[int, ...], kernel_size: tuple[int, ...], padding: int) -> bool:
    """Whether every pixel sees every other, and the output keeps the size."""
    return all(
        extent == 2 * padding + 1 and extent > 1 and pixels <= padding + 1
        for pixels, extent in zip(size, kernel_size, strict=True)
    )


def _convolve_densely(images: Array, kernel: Array, padding: int) -> Array:
    batch, height, width, channels = images.shape
    features = kernel.shape[-1]
    columns = [
        # the part of the kernel that lies over the map when it is centred on one output pixel
        kernel[padding - row :, padding - column :][:height, :width].reshape(-1, features)
        for row in range(height)
        for column in range(width)
    ]
    matrix = jnp.stack(columns, axis=1).reshape(height * width * channels, -1)
    return (images.reshape(batch, -1) @ matrix).reshape(batch, height, width, features)


def convolve_transposed(
    images: Float[Array, "batch height width channels"],
    kernel: Float[Array, "extent extent features channels"],
    stride: int,
    padding: int,
) -> Float[Array, "batch out_height out_width features"]:
    """torch's conv_transpose2d.

    Where no outputs overlap, because the kernel is as wide as the stride or there is one pixel, it
    is one product for all pixels whose results are laid out in space; XLA:CPU's own form is many
    times slower.
    """
    # For the kernel's gradient XLA:CPU wants the pixels innermost, and would compute the cotangent
    # anew in that order, with batch norm's whole gradient: hence gradient_once.
    extent = kernel.shape[0]
    if extent == stride and padding == 0:
        batch, height, width, _ = images.shape
        outputs = jnp.einsum("bhwc,ijfc->bhiwjf", images, kernel)
        outputs = outputs.reshape(batch, extent * height, extent * width, -1)
        return gradient_once(outputs)
    if images.shape[1:3] == (1, 1):
        outputs = jnp.einsum("bc,ijfc->bijf", images[:, 0, 0], kernel)
        return outputs[:, padding : extent - padding, padding : extent - padding]
    return gradient_once(_transpose(images, kernel, stride, padding))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _transpose(images: Array, kernel: Array, stride: int, padding: int) -> Array:
    """A transposed convolution, with gradients that XLA computes faster than those it derives."""
    batch, height, width, _ = images.shape
    extent, _, features, _ = kernel.shape
    size = (stride * (pixels - 1) + extent - 2 * padding for pixels in (height, width))

    def convolved(outputs: Array) -> Array:
        return _convolve_to_transpose(outputs, kernel, (stride, stride), padding)

    outputs = jax.ShapeDtypeStruct((batch, *size, features), images.dtype)
    (transposed,) = jax.linear_transpose(convolved, outputs)(images)
    return transposed


def _transpose_forward(
    images: Array, kernel: Array, stride: int, padding: int
) -> tuple[Array, tuple[Array, Array]]:
    return _transpose(images, kernel, stride, padding), (images, kernel)


def _transpose_backward(
    stride: int, padding: int, kept: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    """Transposed, it is the convolution of the cotangent, and ``images`` is that one's cotangent.

    With out = C(kernel)^T images, where C(kernel) convolves with the stride: the gradient of the
    images is C(kernel) cotangent, and <cotangent, C(kernel)^T images> is
    <C(kernel) cotangent, images>, whose gradient by the kernel is that of a convolution.
    """
    images, kernel = kept

    def convolved(kernel: Array) -> Array:
        return convolve_directly(cotangent, kernel, (stride, stride), padding)

    of_images, pull_back = jax.vjp(convolved, kernel)
    return of_images, *pull_back(images)


_transpose.defvjp(_transpose_forward, _transpose_backward)
