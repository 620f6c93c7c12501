"""The image files of a folder or zip, which is how people keep their own data."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath

from data.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def image_files(path: Path, kind: str) -> Iterator[tuple[str, io.BytesIO]]:
    """Names, as ``images/1.png``, and contents, in the order of their names.

    Folders inside are entered. Hidden files are passed over, as those that macOS puts into zips.

    Args:
        path: the folder or zip.
        kind: what errors call its images, as ``images named by their label``.

    Raises:
        DataError: no such folder or zip, or it cannot be read.
    """
    try:
        if path.is_dir():
            names = [file.relative_to(path).as_posix() for file in path.rglob("*")]
            for name in filter(_is_image, sorted(names)):
                yield name, io.BytesIO((path / name).read_bytes())
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in filter(_is_image, sorted(archive.namelist())):
                    yield name, io.BytesIO(archive.read(name))
        else:
            raise DataError(f"{path}: no such folder or zip of {kind}")
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _is_image(name: str) -> bool:
    path = PurePath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
