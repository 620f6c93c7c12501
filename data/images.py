"""Reading image files as arrays."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import DataError

DIGIT_IMAGE = (
    "grey image of one digit, scaled to 28 x 28 (Lanczos), inverted where the median of its "
    "border is above 127: light on dark"
)
"""What ``read_digit`` does, for who has to do it elsewhere."""


def read_image(
    file: str | Path | BinaryIO, mode: str, name: str | Path | None = None
) -> Image.Image:
    """An image file in Pillow's ``mode``, as ``L`` or ``RGB``.

    Args:
        file: its path, or its content as an open file.
        mode: of Pillow.
        name: what errors call it; default the path.

    Raises:
        DataError: no such file, or not an image.
    """
    try:
        with Image.open(file) as image:
            return image.convert(mode)
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{name or file}: no such image file") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{name or file}: not a readable image") from error


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
