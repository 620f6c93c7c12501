"""Augmentation of images, inside jit."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, UInt8


def random_shift(key: Array, images: UInt8[Array, "B H W C"], most: int) -> UInt8[Array, "B H W C"]:
    """Move each image by up to ``most`` pixels each way, with zeros where it leaves."""
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * most + 1)

    def crop(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (*offset, 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)


def random_flip(key: Array, images: Array) -> Array:
    """Turn each image [B, H, W, C] left to right with probability one half."""
    flips = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(flips, images[:, :, ::-1], images)


def random_cutout(key: Array, images: Array, side: int) -> Array:
    """Black out a square of each image [B, H, W, C], centred anywhere (DeVries and Taylor 2017)."""
    batch, height, width, _ = images.shape
    centres = jax.random.randint(key, (batch, 2), 0, jnp.array([height, width]))
    corners = centres - side // 2
    return jnp.where(_in_boxes(corners, corners + side, height, width), 0, images)


def mix_up(key: Array, images: Array, strength: float) -> tuple[Array, Float[Array, ""]]:
    """Each image [B, H, W, C] with a share of the batch's opposite one (Zhang et al. 2018).

    Returns:
        Images, and how much of each is its own: drawn from Beta(strength, strength).
    """
    own = jax.random.beta(key, strength, strength)
    return own * images + (1 - own) * images[::-1], own


def cut_mix(key: Array, images: Array, strength: float) -> tuple[Array, Float[Array, ""]]:
    """A box of each image [B, H, W, C] from the batch's opposite one (Yun et al. 2019).

    Returns:
        Images, and how much of each is its own: about Beta(strength, strength).
    """
    _, height, width, _ = images.shape
    share_key, place_key = jax.random.split(key)
    size = jnp.array([height, width])
    sides = jnp.sqrt(1 - jax.random.beta(share_key, strength, strength)) * size
    centre = jax.random.uniform(place_key, (2,)) * size
    low, high = (jnp.round(centre + half * sides)[None] for half in (-0.5, 0.5))
    box = _in_boxes(low, high, height, width)
    return jnp.where(box, images[::-1], images), 1 - box.mean()


def _in_boxes(low: Array, high: Array, height: int, width: int) -> Array:
    """Whether a pixel lies in its image's box from corner to corner [B, 2]: [B, H, W, 1]."""
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)
    (top, left), (bottom, right) = ((corner.T[..., None, None]) for corner in (low, high))
    inside = (top <= rows) & (rows < bottom) & (left <= columns) & (columns < right)
    return inside[..., None]


def random_distortion(
    key: Array, images: UInt8[Array, "B H W C"], strength: float
) -> Float[Array, "B H W C"]:
    """Rotate, shear, scale, move and relight each image, and add noise.

    At strength 1, uniformly: up to 5 degrees, a shear of 0.15, each axis to 0.9 to 1.1 of its size,
    moves by 4 % of each side, contrast from 0.6 to 1.4, brightness by 25 of 255, Gaussian noise of
    deviation up to 12. Pixels from beyond an edge repeat the edge. At 0 nothing changes.
    """
    batch, height, width, _ = images.shape
    draws = jax.random.uniform(key, (9, batch), minval=-strength, maxval=strength)
    angle, shear, *scales = draws[:4] * jnp.array([[jnp.pi / 36], [0.15], [0.1], [0.1]])
    moves = draws[4:6].T * 0.04 * jnp.array([height, width])
    contrast, brightness, noise = draws[6:] * jnp.array([[0.4], [25.0], [12.0]])

    # the inverse map, from a pixel of the result to where it comes from, about the centre
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    tall, wide = 1 + scales[0], 1 + scales[1]
    maps = jnp.stack(
        [
            jnp.stack([cosine * tall, -sine * wide], axis=-1),
            jnp.stack([(sine + shear * cosine) * tall, (cosine - shear * sine) * wide], axis=-1),
        ],
        axis=-2,
    )
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"))
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])

    def warp(image: Array, matrix: Array, move: Array) -> Array:
        offsets = grid - centre[:, None, None]
        places = jnp.einsum("ij,jhw->ihw", matrix, offsets) + (centre + move)[:, None, None]
        sample = jax.vmap(
            lambda channel: map_coordinates(channel, list(places), order=1, mode="nearest"),
            in_axes=-1,
            out_axes=-1,
        )
        return sample(image)

    warped = jax.vmap(warp)(images.astype(jnp.float32), maps, moves)
    means = warped.mean(axis=(1, 2, 3), keepdims=True)
    spread = (1 + contrast)[:, None, None, None]
    relit = means + (warped - means) * spread + brightness[:, None, None, None]
    grain = jax.random.normal(jax.random.fold_in(key, 1), images.shape)
    return jnp.clip(relit + grain * jnp.abs(noise)[:, None, None, None], 0, 255)


def random_crop(
    key: Array, images: UInt8[Array, "B H W C"], size: int, zoom: float
) -> Float[Array, "B size size C"]:
    """A square somewhere in each image, zoomed, flipped and turned by quarters.

    Height and width are zoomed apart, each by a factor between ``1 / zoom`` and ``zoom``, which is
    interpolated linearly; at 1 pixels stay as they are. All eight symmetries of a square are
    equally likely. What must move alike, as an image and its mask, goes in as channels of one.

    Raises:
        ValueError: images smaller than ``size * zoom``, which zooming out would leave.
    """
    batch, height, width, channels = images.shape
    if min(height, width) < size * zoom:
        raise ValueError(f"images {height} x {width} are too small for crops {size} zoomed {zoom}")
    zoom_key, place_key, turn_key = jax.random.split(key, 3)
    scales = zoom ** jax.random.uniform(zoom_key, (batch, 2), minval=-1.0, maxval=1.0)
    room = jnp.array([height, width]) - size / scales
    # whole pixels, so that nothing is interpolated where nothing is zoomed
    corners = jnp.floor(jax.random.uniform(place_key, (batch, 2)) * (room + 1))
    corners = jnp.minimum(corners, room)
    flips = jax.random.bernoulli(turn_key, shape=(3, batch, 1, 1, 1))

    def crop(image: Array, scale: Array, corner: Array) -> Array:
        return jax.image.scale_and_translate(
            image, (size, size, channels), (0, 1), scale, -corner * scale, "linear", antialias=False
        )

    crops = jax.vmap(crop)(images.astype(jnp.float32), scales, corners)
    crops = jnp.where(flips[0], crops[:, ::-1], crops)
    crops = jnp.where(flips[1], crops[:, :, ::-1], crops)
    return jnp.where(flips[2], crops.swapaxes(1, 2), crops)


def random_light(
    key: Array, images: Float[Array, "B H W C"], strength: float
) -> Float[Array, "B H W C"]:
    """Change each image's gamma, contrast and brightness, and tint it; pixels are 0 to 255.

    At strength 1, uniformly: gamma from 1/2 to 2, contrast from 0.6 to 1.4, brightness and, channel
    by channel, tint by 25 of 255. At 0 nothing changes.
    """
    batch, _, _, channels = images.shape
    light, tint = jax.random.split(key)
    draws = jax.random.uniform(light, (3, batch, 1, 1, 1), minval=-strength, maxval=strength)
    gamma, contrast, brightness = 2 ** draws[0], 1 + 0.4 * draws[1], 25 * draws[2]
    tints = 25 * jax.random.uniform(
        tint, (batch, 1, 1, channels), minval=-strength, maxval=strength
    )
    curved = 255 * (jnp.clip(images, 0, 255) / 255) ** gamma
    means = curved.mean(axis=(1, 2, 3), keepdims=True)
    return jnp.clip(means + (curved - means) * contrast + brightness + tints, 0, 255)
