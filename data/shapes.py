"""Coloured, textured shapes in ten classes, computed: images to classify where no others are."""

from collections.abc import Callable, Mapping

import numpy as np

from data.splits import Examples

SIDE = 32
Coordinate = np.ndarray
"""[N, SIDE, SIDE], in the frame of each shape: rotated, and of about 1 at its edge."""


def _polar(u: Coordinate, v: Coordinate) -> tuple[np.ndarray, np.ndarray]:
    return np.hypot(u, v), np.arctan2(v, u)


def _disc(u: Coordinate, v: Coordinate) -> np.ndarray:
    return np.hypot(u, v) < 0.9


def _ring(u: Coordinate, v: Coordinate) -> np.ndarray:
    return _disc(u, v) & (np.hypot(u, v) > 0.5)


def _square(u: Coordinate, v: Coordinate) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) < 0.8


def _frame(u: Coordinate, v: Coordinate) -> np.ndarray:
    return _square(u, v) & (np.maximum(abs(u), abs(v)) > 0.45)


def _triangle(u: Coordinate, v: Coordinate) -> np.ndarray:
    return (v > -0.5) & (v + np.sqrt(3) * abs(u) < 1)


def _cross(u: Coordinate, v: Coordinate) -> np.ndarray:
    return (np.minimum(abs(u), abs(v)) < 0.28) & (np.maximum(abs(u), abs(v)) < 0.95)


def _half_disc(u: Coordinate, v: Coordinate) -> np.ndarray:
    return (np.hypot(u, v + 0.4) < 1) & (v > -0.4)


def _bars(u: Coordinate, v: Coordinate) -> np.ndarray:
    return (abs(u) < 0.9) & (abs(v) > 0.25) & (abs(v) < 0.7)


def _star(u: Coordinate, v: Coordinate) -> np.ndarray:
    distance, angle = _polar(u, v)
    return distance < 0.65 + 0.35 * np.cos(5 * angle)


def _crescent(u: Coordinate, v: Coordinate) -> np.ndarray:
    return _disc(u, v) & (np.hypot(u - 0.5, v) > 0.7)


SHAPES: Mapping[str, Callable[[Coordinate, Coordinate], np.ndarray]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "cross": _cross,
    "half disc": _half_disc,
    "bars": _bars,
    "star": _star,
    "crescent": _crescent,
}


def draw_shapes(number: int, seed: int) -> Examples:
    """Inputs uint8 [number, 32, 32, 3] and targets int32 [number]: one shape on a ground an image.

    Place, size, angle and colours are random, the shape lighter than its ground; both have a
    texture, and there is noise. Classes take turns, so that they are equally many.
    """
    generator = np.random.default_rng(seed)
    targets = np.arange(number, dtype=np.int32) % len(SHAPES)
    centre = generator.uniform(-5, 5, (2, number, 1, 1))
    radius = generator.uniform(7, 12, (number, 1, 1))
    angle = generator.uniform(0, 2 * np.pi, (number, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    down, right = rows - centre[0], columns - centre[1]
    u = (np.cos(angle) * right + np.sin(angle) * down) / radius
    v = (np.cos(angle) * down - np.sin(angle) * right) / radius
    inside = np.zeros((number, SIDE, SIDE), bool)
    for target, shape in enumerate(SHAPES.values()):
        mine = targets == target
        inside[mine] = shape(u[mine], v[mine])

    # of any hue, but the shape is lighter: a network without norms starts to learn sooner
    ground = generator.uniform(0, 110, (number, 1, 1, 3))
    colour = ground + generator.uniform(60, 145, (number, 1, 1, 3))
    images = np.where(inside[..., None], colour, ground)
    images += 25 * _texture(generator, number)[..., None]
    images += generator.normal(0, 12, images.shape)
    return {"inputs": images.clip(0, 255).astype(np.uint8), "targets": targets}


def _texture(generator: np.random.Generator, number: int) -> np.ndarray:
    """Waves of random direction, length and phase, [number, SIDE, SIDE], from -1 to 1."""
    frequency = generator.uniform(-1.2, 1.2, (2, number, 1, 1))
    phase = generator.uniform(0, 2 * np.pi, (number, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.sin(frequency[0] * rows + frequency[1] * columns + phase)
