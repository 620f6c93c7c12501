"""Pictures at their own sizes, with or without masks: simulated cells, or a folder or zip."""

import io
import logging
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from data.cells import simulate_cells
from data.errors import DataError
from data.image_files import image_files
from data.images import read_image

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
SMALLEST_SIDE = 16
"""A U-Net halves a side four times."""
FEWEST_PICTURES = 10
SIMULATED = 200
DARK = 0.3
"""A picture whose mean is below this share of white is brightened."""

_log = logging.getLogger(__name__)


class Picture(NamedTuple):
    """One colour picture and its mask, which is empty where none was asked for."""

    name: str
    pixels: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "H W"]


class Pictures(NamedTuple):
    """Fixed parts of a collection of pictures, and where they came from."""

    train: list[Picture]
    validation: list[Picture]
    test: list[Picture]
    source: str


def load_pictures(source: str, masks: bool) -> Pictures:
    """Colour pictures of any sizes, 70 % to train, 10 % to validate and 20 % to test.

    Args:
        source: ``computed`` for 200 pictures of simulated cells, or a folder or zip. With masks it
            holds ``images/`` and ``masks/``, whose files have the same names but for the ending; a
            mask is 0 in the background and one other value in the foreground. Without, the files in
            ``images/`` are read, or all of them where there is no such folder.
        masks: whether masks are needed; without, simulated cells are free of the sensor's noise.

    Raises:
        DataError: no folder or zip, too few pictures, one without a mask, a mask of another size
            or with other values, a picture too small. Files that cannot be read are left out, each
            with a warning that names it.
    """
    if source == "computed":
        pictures = [
            Picture(f"cells {k}", *simulate_cells(k, noise=masks)) for k in range(SIMULATED)
        ]
        return _parts(pictures, source)
    path = Path(source).expanduser()
    kind = "images/ and masks/ with the same names" if masks else "images"
    files = list(image_files(path, kind))
    images = [file for file in files if _parent(file[0]) == "images"]
    if masks:
        pictures = _with_masks(images, [file for file in files if _parent(file[0]) == "masks"])
    else:
        read = _readable(images or files, read_picture)
        pictures = [
            Picture(name, pixels, np.zeros(pixels.shape[:2], bool)) for name, pixels in read.items()
        ]
    if len(pictures) < FEWEST_PICTURES:
        raise DataError(
            f"{path}: {len(pictures)} readable pictures of {kind}; give {FEWEST_PICTURES} or more"
        )
    return _parts(pictures, f"{path.name}, {len(pictures)} images")


def read_picture(
    file: str | Path | io.BytesIO, name: str | Path | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """The colours of an image file; ``name`` is what errors call it, by default its path.

    Raises:
        DataError: no such file, not an image, or a side of less than 16 pixels.
    """
    pixels = np.asarray(read_image(file, "RGB", name))
    height, width, _ = pixels.shape
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"{name or file}: {width} x {height} pixels; give {SMALLEST_SIDE} x {SMALLEST_SIDE} "
            "or more"
        )
    return pixels


def even_light(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """The same picture in its best light: stretched to 0 and 255, and brighter where it is dark.

    The darkest thousandth of the values becomes 0 and the brightest 255. If their mean m, as a
    share of 255, is then below 0.3, they are raised to the power log 0.3 / log m, at least 1/3, so
    that faint cells beside glaring ones are seen as well.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    low, high = np.searchsorted(np.cumsum(counts), [0.001 * pixels.size, 0.999 * pixels.size])
    scaled = np.clip((np.arange(256) - low) / max(high - low, 1), 0, 1)
    mean = max(float(scaled @ counts) / pixels.size, 1e-6)
    power = np.clip(np.log(DARK) / np.log(mean), 1 / 3, 1) if mean < DARK else 1.0
    return np.rint(255 * scaled**power).astype(np.uint8)[pixels]


def _with_masks(
    images: Iterable[tuple[str, io.BytesIO]], masks: Iterable[tuple[str, io.BytesIO]]
) -> list[Picture]:
    """The pictures whose image and mask can both be read, in the order of their names."""
    images, masks = list(images), list(masks)
    known = {PurePath(name).stem for name, _ in masks}
    for name, _ in images:
        if PurePath(name).stem not in known:
            raise DataError(f"{name}: no mask of this name in masks/; add it or take the image out")
    mask_of = {
        PurePath(name).stem: (name, mask) for name, mask in _readable(masks, _read_mask).items()
    }
    pictures = []
    for name, pixels in _readable(images, read_picture).items():
        if PurePath(name).stem not in mask_of:
            continue
        mask_name, mask = mask_of[PurePath(name).stem]
        if mask.shape != pixels.shape[:2]:
            (height, width), (tall, wide) = mask.shape, pixels.shape[:2]
            raise DataError(
                f"{mask_name}: {width} x {height} pixels, but its image has {wide} x {tall}"
            )
        values = np.unique(mask)
        if np.count_nonzero(values) > 1:
            raise DataError(
                f"{mask_name}: {len(values)} values from {values[0]} to {values[-1]}; a mask has "
                "two, 0 for the background and another"
            )
        pictures.append(Picture(name, pixels, mask > 0))
    return pictures


def _read_mask(file: io.BytesIO, name: str) -> UInt8[np.ndarray, "H W"]:
    return np.asarray(read_image(file, "L", name))


def _readable(
    files: Iterable[tuple[str, io.BytesIO]], read: Callable[[io.BytesIO, str], np.ndarray]
) -> dict[str, np.ndarray]:
    """What could be read, by name; a warning names each file that could not."""
    contents = {}
    for name, content in files:
        try:
            contents[name] = read(content, name)
        except DataError as error:
            _log.warning("left out %s", error)
    return contents


def _parts(pictures: list[Picture], source: str) -> Pictures:
    """The same parts for the same names, whatever else the machine holds."""
    order = np.random.default_rng(0).permutation(len(pictures))
    mixed = [pictures[index] for index in order]
    tested = round(TEST_SHARE * len(mixed))
    validated = round(VALIDATION_SHARE * len(mixed))
    trained = len(mixed) - tested - validated
    return Pictures(mixed[:trained], mixed[trained : trained + validated], mixed[-tested:], source)


def _parent(name: str) -> str:
    return PurePath(name).parent.name
