import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import random_distortion

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 20, 2), np.uint8)
distort = jax.jit(random_distortion, static_argnums=2)


def test_at_strength_0_nothing_changes():
    np.testing.assert_allclose(distort(jax.random.key(0), IMAGES, 0.0), IMAGES, atol=1e-3)


def test_it_is_a_function_of_its_key_and_every_image_differs():
    same = np.broadcast_to(IMAGES[:1], IMAGES.shape)
    one = distort(jax.random.key(0), same, 1.0)
    np.testing.assert_array_equal(one, distort(jax.random.key(0), same, 1.0))
    assert jnp.abs(one - distort(jax.random.key(1), same, 1.0)).mean() > 5
    for other in one[1:]:
        assert jnp.abs(one[0] - other).mean() > 5
    assert one.min() >= 0
    assert one.max() <= 255


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_pattern_stays_near_where_it_was(strength):
    """A spot in the middle moves by 4 % of each side at most, whatever turns and stretches it."""
    rows, columns = jnp.meshgrid(jnp.arange(40.0), jnp.arange(100.0), indexing="ij")
    spot = 255 * jnp.exp(-((rows - 19.5) ** 2 + (columns - 49.5) ** 2) / 20)
    spots = jnp.broadcast_to(spot[None, ..., None], (50, 40, 100, 1)).astype(jnp.uint8)
    moved = distort(jax.random.key(0), spots, strength)[..., 0]
    weights = jnp.where(moved > 0.7 * moved.max(axis=(1, 2), keepdims=True), 1.0, 0.0)
    for places, side in ((rows, 40), (columns, 100)):
        centres = (weights * places).sum((1, 2)) / weights.sum((1, 2))
        away = jnp.abs(centres - (side - 1) / 2)
        assert away.max() <= 0.04 * strength * side * 1.1 + 0.5
        assert away.max() >= 0.02 * strength * side
