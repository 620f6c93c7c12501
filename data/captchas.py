"""Images of short texts: drawn captchas, or any folder or zip of images named by their label."""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
from jaxtyping import Int
from PIL import Image

from data.errors import DataError
from data.image_files import image_files
from data.images import read_image
from data.prepared import data_root, newest_version, read_prepared
from data.splits import Examples, Splits, rows

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.15

_log = logging.getLogger(__name__)


def load_captchas(
    source: str, height: int, columns_a_step: int, images: int, data_dir: str | None = None
) -> Splits:
    """Captchas as inputs uint8 [N, height, width, 1] and targets int32 [N, longest].

    Targets are the texts' Unicode code points, 0 beyond a text's end. All images of a source have
    one width, that of its widest image once scaled to ``height``.

    Args:
        source: ``generated``, or a folder or zip of images named by their label: ``4ycex.png``, or
            ``4ycex_17.png`` where two have the same.
        height: of the images; their width follows.
        columns_a_step: columns of pixels from one time step of the reader to the next: a text needs
            a step for each character and one more between equal neighbours.
        images: drawn for training, of ``generated``.
        data_dir: where drawn captchas are kept, as for TFDS.

    Raises:
        DataError: no readable image, too few, a text too long for the width, a character that
            the training part lacks. Broken images are left out, each with a warning that names it.
    """
    if source == "generated":
        splits = _load_drawn(images, height, data_dir)
    else:
        splits = _load_named(Path(source).expanduser(), height)
    _check_width(splits, height, columns_a_step)
    _check_characters(splits)
    return splits


def fit_image(image: Image.Image, height: int, width: int | None = None) -> np.ndarray:
    """A grey image as uint8 [height, width, 1]: scaled to the height, then to the width.

    A narrower one is continued to the right by its last column, a wider one squeezed. Without a
    width it keeps its proportions.
    """
    scaled = max(1, round(image.width * height / image.height))
    kept = scaled if width is None else min(scaled, width)
    pixels = np.asarray(image.resize((kept, height), Image.Resampling.BILINEAR))
    missing = 0 if width is None else width - kept
    return np.pad(pixels, [(0, 0), (0, missing)], mode="edge")[..., None]


def encode_texts(texts: Sequence[str], longest: int) -> Int[np.ndarray, "N longest"]:
    """Unicode code points, 0 beyond a text's end."""
    points = np.zeros((len(texts), longest), np.int32)
    for row, text in zip(points, texts, strict=True):
        row[: len(text)] = [ord(character) for character in text]
    return points


def decode_text(points: Sequence[int] | np.ndarray) -> str:
    """The text of Unicode code points, without the zeros."""
    return "".join(chr(int(point)) for point in points if point)


def _load_drawn(images: int, height: int, data_dir: str | None) -> Splits:
    if images < 20:
        raise DataError(f"images {images}: 20 or more, a tenth of which validate and test")
    name = "drawn_captchas"
    root = data_root(data_dir)
    folder = newest_version(root / name / str(images))
    if folder is None:
        from data.drawn_captchas import prepare_drawn_captchas  # imports tfds

        prepare_drawn_captchas(images, root)
        folder = newest_version(root / name / str(images))
        assert folder is not None, f"nothing was drawn into {root / name}"
    prepared = read_prepared(folder, f"{name}-{images}")
    longest = max(part["text"].dtype.itemsize for part in prepared.values())
    train, validation, test = (
        _examples(
            [fit_image(Image.fromarray(pixels[..., 0]), height) for pixels in part["image"]],
            [text.decode() for text in part["text"]],
            longest,
        )
        for part in (prepared["train"], prepared["validation"], prepared["test"])
    )
    return Splits(train, validation, test, f"{name}/{images}/{folder.name}")


def _load_named(path: Path, height: int) -> Splits:
    images, texts = [], []
    for name, content in image_files(path, "images named by their label"):
        text = PurePath(name).stem.partition("_")[0]
        try:
            if not text:
                raise DataError(f"{name}: no text before the underscore of its name")
            images.append(fit_image(read_image(content, "L", name), height))
            texts.append(text)
        except DataError as error:
            _log.warning("left out %s", error)
    if len(images) < 10:
        raise DataError(
            f"{path}: {len(images)} readable images named by their label; 10 or more are needed"
        )
    widest = max(image.shape[1] for image in images)
    same = [
        np.pad(image, [(0, 0), (0, widest - image.shape[1]), (0, 0)], mode="edge")
        for image in images
    ]
    everything = _examples(same, texts, max(map(len, texts)))
    order = np.random.default_rng(0).permutation(len(texts))
    tested = round(TEST_SHARE * len(texts))
    validated = tested + round(VALIDATION_SHARE * len(texts))
    test, validation, train = (
        rows(everything, order[cut])
        for cut in (slice(0, tested), slice(tested, validated), slice(validated, None))
    )
    return Splits(train, validation, test, f"{path.name}, {len(texts)} images")


def _examples(images: Sequence[np.ndarray], texts: Sequence[str], longest: int) -> Examples:
    return {"inputs": np.stack(images), "targets": encode_texts(texts, longest)}


def _check_width(splits: Splits, height: int, columns_a_step: int) -> None:
    width = splits.train["inputs"].shape[2]
    for part in splits[:3]:
        targets = part["targets"]
        repeats = (targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] != 0)
        needed = (targets != 0).sum(axis=1) + repeats.sum(axis=1)
        worst = int(needed.argmax())
        if needed[worst] > width // columns_a_step:
            least = int(needed[worst]) * columns_a_step
            raise DataError(
                f"the text {decode_text(targets[worst])!r} is too long for images {width} pixels "
                f"wide at height {height}: they must be {least} or more; raise --height"
            )


def _check_characters(splits: Splits) -> None:
    known = np.unique(splits.train["targets"])
    for name, part in (("validation", splits.validation), ("test", splits.test)):
        unseen = np.setdiff1d(part["targets"], known)
        if unseen.size:
            raise DataError(
                f"{splits.source}: {decode_text(unseen)!r} in the {name} part and never in the "
                "training part; add images with it, or remove those"
            )
