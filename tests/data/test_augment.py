import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import random_crop, random_distortion, random_light

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


crop = jax.jit(random_crop, static_argnums=(2, 3))


def test_a_crop_that_is_not_zoomed_is_a_part_of_its_image_turned_or_mirrored():
    """Every pixel is different, so that a crop says where it comes from and how it lies."""
    image = np.arange(400, dtype=np.float32).reshape(20, 20, 1)
    crops = np.rint(crop(jax.random.key(0), np.repeat(image[None], 200, 0), 12, 1.0)[..., 0])
    corners, seen = set(), set()
    for part in crops:
        row, column = divmod(int(part.min()), 20)
        plain = image[row : row + 12, column : column + 12, 0]
        symmetries = [np.rot90(side, turns) for side in (plain, plain.T) for turns in range(4)]
        (match,) = [k for k, other in enumerate(symmetries) if np.array_equal(part, other)]
        corners.add((row, column))
        seen.add(match)
    assert seen == set(range(8))
    assert {row for row, _ in corners} == {column for _, column in corners} == set(range(9))


def test_what_is_stacked_as_channels_moves_alike():
    images = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 1), np.uint8)
    both = crop(jax.random.key(0), np.concatenate([images, images], -1), 16, 1.5)
    np.testing.assert_array_equal(both[..., 0], both[..., 1])
    assert jnp.abs(both[0, ..., 0] - both[1, ..., 0]).mean() > 20


def test_crops_are_zoomed_within_their_bounds():
    """The slope of a ramp says how far it was stretched: by 1 / 1.5 to 1.5, each way apart."""
    ramp = np.broadcast_to(np.arange(24.0, dtype=np.float32)[:, None, None], (400, 24, 24, 1))
    both = np.concatenate([ramp, ramp.swapaxes(1, 2)], -1)
    crops = np.asarray(crop(jax.random.key(0), both, 16, 1.5))
    down, right = (np.abs(crops[:, 9, 9] - crops[:, 9 - r, 9 - c]) for r, c in ((1, 0), (0, 1)))
    slopes = np.stack([down.max(-1), right.max(-1)])
    assert slopes.min() == pytest.approx(1 / 1.5, abs=0.02)
    assert slopes.max() == pytest.approx(1.5, abs=0.03)
    assert abs(np.corrcoef(slopes)[0, 1]) < 0.2


def test_a_crop_needs_room_to_zoom_out():
    with pytest.raises(ValueError, match=r"20 x 30 are too small for crops 16 zoomed 1\.5"):
        crop(jax.random.key(0), np.zeros((1, 20, 30, 1), np.uint8), 16, 1.5)


def test_light_keeps_the_order_of_a_channels_pixels_and_changes_by_image():
    relight = jax.jit(random_light, static_argnums=2)
    ramp = np.broadcast_to(np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1), (20, 16, 16, 3))
    lit = np.asarray(relight(jax.random.key(0), ramp, 1.0))
    assert (np.diff(lit.reshape(20, 256, 3), axis=1) >= 0).all()
    assert lit.min() >= 0
    assert lit.max() <= 255
    assert np.abs(lit - lit[:1]).mean(axis=(1, 2, 3))[1:].min() > 3
    assert np.abs(lit[..., :1] - lit[..., 1:]).mean() > 3
    np.testing.assert_allclose(relight(jax.random.key(0), ramp, 0.0), ramp, atol=1e-2)
