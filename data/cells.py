"""Simulated microscopy: cells with texture under uneven light, some touching, and their masks."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

MOST_CELLS = 26
SIDES = (160, 225)
"""Range of a picture's height and width."""


def simulate_cells(
    number: int, noise: bool = True
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """Picture ``number`` of an endless series, and its mask; the same at every call.

    Three of four are bright cells in the dark, as of a fluorescent dye; the fourth has stained
    cells on a light ground. Cells are ellipses with wavy outlines, a third of them beside another.
    Brightness and texture differ by cell, the light falls off across the picture, debris of less
    than half a cell's size is no cell, the lens blurs, and the sensor adds noise, if asked to.
    """
    random = np.random.default_rng((20260, number))
    height, width = random.integers(*SIDES, 2)
    shape = (int(height), int(width))
    stained = number % 4 == 3
    radius = random.uniform(6, 14)

    cover, mask = np.zeros(shape), np.zeros(shape, bool)
    places: list[np.ndarray] = []
    for _ in range(random.integers(4, MOST_CELLS)):
        centre = random.uniform(0, shape)
        if places and random.random() < 1 / 3:  # beside another, so that they touch
            angle = random.uniform(0, 2 * np.pi)
            centre = places[random.integers(len(places))] + 1.8 * radius * np.array(
                [np.sin(angle), np.cos(angle)]
            )
        inside = _outline(random, shape, centre, radius * random.uniform(0.75, 1.25))
        places.append(centre)
        mask |= inside
        cover = np.where(inside, random.uniform(0.35, 1.0), cover)
    for _ in range(random.integers(0, 6)):  # out-of-focus debris, dimmer and smaller than a cell
        debris = _outline(random, shape, random.uniform(0, shape), radius * 0.4)
        cover = np.where(debris & ~mask, random.uniform(0.1, 0.25), cover)

    texture = 1 + 0.25 * _smooth_noise(random, shape, 2.5)
    light = 1 + 0.35 * _smooth_noise(random, shape, 0.35 * max(shape))
    ground = 0.12 + 0.08 * _smooth_noise(random, shape, 25.0)
    signal = _blurred(ground + cover * texture, random.uniform(0.8, 1.6)) * np.clip(light, 0.3, 2)
    grain = random.normal(0, random.uniform(0.01, 0.05), shape)
    grey = 0.55 * signal + (grain if noise else 0)
    if stained:
        absorbed = np.array([0.75, 1.0, 0.45]) * random.uniform(0.8, 1.2, 3)  # green most: purple
        colours = 0.95 - grey[..., None] * absorbed
    else:
        colours = np.repeat(grey[..., None], 3, axis=-1) * random.uniform(0.4, 1.2)
    return np.clip(np.rint(255 * colours), 0, 255).astype(np.uint8), mask


def _outline(
    random: np.random.Generator, shape: tuple[int, int], centre: np.ndarray, radius: float
) -> Bool[np.ndarray, "H W"]:
    """Pixels within a turned ellipse whose outline waves."""
    angle, stretch = random.uniform(0, np.pi), random.uniform(1.0, 1.5)
    waves, phases = random.normal(0, 0.06, 3), random.uniform(0, 2 * np.pi, 3)
    # only the square that the outline cannot leave is computed
    first, last = (
        np.clip(np.rint(centre + side * 2 * radius), 0, shape).astype(int) for side in (-1, 1)
    )
    down = (np.arange(first[0], last[0]) - centre[0])[:, None]
    right = np.arange(first[1], last[1]) - centre[1]
    along = (down * np.sin(angle) + right * np.cos(angle)) / stretch
    across = (down * np.cos(angle) - right * np.sin(angle)) * stretch
    turn = np.arctan2(across, along)
    wavy = 1 + sum(
        wave * np.cos(count * turn + phase)
        for count, (wave, phase) in enumerate(zip(waves, phases, strict=True), start=2)
    )
    inside = np.zeros(shape, bool)
    inside[first[0] : last[0], first[1] : last[1]] = np.hypot(along, across) < radius * wavy
    return inside


def _smooth_noise(
    random: np.random.Generator, shape: tuple[int, int], scale: float
) -> Float[np.ndarray, "H W"]:
    """Gaussian noise smoothed over ``scale`` pixels, of mean 0 and deviation 1."""
    noise = _blurred(random.normal(size=shape), scale)
    return (noise - noise.mean()) / noise.std()


def _blurred(image: Float[np.ndarray, "H W"], deviation: float) -> Float[np.ndarray, "H W"]:
    """Convolved with a Gaussian, by way of its Fourier transform; opposite edges meet."""
    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    squares = rows[:, None] ** 2 + columns**2
    transfer = np.exp(-2 * (np.pi * deviation) ** 2 * squares)
    return np.fft.irfft2(np.fft.rfft2(image) * transfer, s=image.shape)
