"""Maxima of windows equal XLA's and PyTorch's, values and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from same_derivatives import assert_same, normal

from flax_models.max_pooling import max_pool, rectified_max_pool
from flax_models.pooling import pair


@pytest.mark.parametrize(
    ("window", "size"), [(2, (8, 6)), (2, (9, 7)), (3, (9, 8)), ((1, 4), (5, 9)), (17, (18, 34))]
)
def test_max_pooling_without_overlap(window, size):
    strides = pair(window)
    assert_same(
        lambda images: max_pool(images, window),
        lambda images: nn.max_pool(images, strides, strides),
        normal(2, *size, 3),
    )


@pytest.mark.parametrize(
    ("window", "stride", "padding"), [(3, 2, 1), (3, 1, 1), ((2, 3), (1, 2), 0), (2, 3, 0)]
)
@pytest.mark.parametrize("rectified", [False, True])
def test_max_pooling_of_windows_that_overlap_or_leave_gaps(window, stride, padding, rectified):
    sides = (padding, padding)

    def ours(images):
        return (rectified_max_pool if rectified else max_pool)(images, window, stride, padding)

    def reference(images):
        images = nn.relu(images) if rectified else images
        return nn.max_pool(images, pair(window), pair(stride), (sides, sides))

    images, tangent = normal(2, 9, 10, 3), normal(2, 9, 10, 3, seed=1)
    assert_same(ours, reference, images)
    with jax.enable_x64(True):
        _, got = jax.jvp(ours, (images,), (tangent,))
        _, want = jax.jvp(reference, (images,), (tangent,))
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_a_tie_of_windows_that_overlap_goes_to_the_first_maximum_as_in_torch():
    images = np.random.default_rng(0).integers(-1, 2, (4, 9, 8, 5)).astype(np.float32)
    gradient = np.random.default_rng(1).integers(-4, 5, (4, 5, 4, 5)).astype(np.float32)
    twin = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    torch.nn.functional.max_pool2d(twin, 3, 2, 1).backward(
        torch.tensor(gradient.transpose(0, 3, 1, 2))
    )
    _, back = jax.vjp(lambda x: max_pool(x, 3, 2, 1), images)
    np.testing.assert_array_equal(
        back(jnp.asarray(gradient))[0], twin.grad.numpy().transpose(0, 2, 3, 1)
    )


def test_a_tie_goes_to_the_first_maximum_as_in_torch():
    images = np.random.default_rng(0).integers(-1, 2, (4, 9, 8, 5)).astype(np.float32)
    gradient = normal(4, 4, 4, 5).astype(np.float32)
    twin = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    pooled = torch.nn.functional.max_pool2d(twin, 2)
    pooled.backward(torch.tensor(gradient.transpose(0, 3, 1, 2)))
    _, back = jax.vjp(lambda x: max_pool(x, 2), images)
    np.testing.assert_array_equal(
        back(jnp.asarray(gradient))[0], twin.grad.numpy().transpose(0, 2, 3, 1)
    )


def test_the_gradient_finds_a_maximum_that_xla_computes_anew():
    """Fused with what produces the images, whose second computation may round otherwise."""
    images, scale = normal(4, 12, 12, 8).astype(np.float32), normal(8).astype(np.float32)

    def loss(pool):
        def of(images, scale):
            x = nn.relu((images - images.mean((0, 1, 2))) * (scale / images.std((0, 1, 2))) + 0.1)
            return jnp.sum(pool(x) ** 3)

        return jax.jit(jax.grad(of, (0, 1)))(images, scale)

    ours, reference = loss(lambda x: max_pool(x, 2)), loss(lambda x: nn.max_pool(x, (2, 2), (2, 2)))
    for one, other in zip(ours, reference, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("window", [2, (1, 3), 5])
def test_rectified_maxima_are_the_maxima_of_rectified_images(window):
    images = normal(2, 11, 10, 3)
    assert_same(
        lambda images: rectified_max_pool(images, window),
        lambda images: max_pool(nn.relu(images), window),
        images,
    )
    assert (rectified_max_pool(images, window) == nn.relu(max_pool(images, window))).all()


def test_rectified_maxima_tie_as_in_torch():
    """Where all of a window is below zero, none of it has a gradient."""
    images = np.random.default_rng(0).integers(-2, 2, (4, 9, 8, 5)).astype(np.float32)
    gradient = normal(4, 4, 4, 5).astype(np.float32)
    twin = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    pooled = torch.nn.functional.max_pool2d(torch.relu(twin), 2)
    pooled.backward(torch.tensor(gradient.transpose(0, 3, 1, 2)))
    _, back = jax.vjp(lambda x: rectified_max_pool(x, 2), images)
    np.testing.assert_array_equal(
        back(jnp.asarray(gradient))[0], twin.grad.numpy().transpose(0, 2, 3, 1)
    )


@pytest.mark.parametrize("differentiated", [False, True])
def test_a_window_with_a_number_that_is_none_has_none(differentiated):
    images = np.zeros((1, 4, 4, 1), np.float32)
    images[0, 1, 0, 0] = np.nan
    pooled = rectified_max_pool(images, 2)
    if differentiated:
        pooled, _ = jax.vjp(lambda x: rectified_max_pool(x, 2), images)
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[np.nan, 0], [0, 0]])
