"""Reading image files as arrays."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import DataError


def read_image(path: str | Path, mode: str) -> Image.Image:
    """An image file in Pillow's ``mode``, as ``L`` or ``RGB``.

    Raises:
        DataError: no such file, or not an image.
    """
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{path}: no such image file") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{path}: not a readable image") from error


def read_digit(path: str | Path) -> np.ndarray:
    """A picture of one digit as MNIST has them: uint8 [28, 28, 1], light on dark.

    Other sizes are scaled. A light background, judged by the border, is inverted.
    """
    image = read_image(path, "L").resize((28, 28), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.median(border) > 127:
        pixels = 255 - pixels
    return pixels[..., None]
