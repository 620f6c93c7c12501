"""Preparing the stock TFDS data sets without TensorFlow.

TFDS's own MNIST builders need TensorFlow to unpack their archives, and nothing else. Here each is
subclassed with an unpacking in NumPy; name, version, features, checksums and file layout stay, so
that ``tfds.data_source("mnist", ...)`` reads what is prepared here.
"""

import gzip
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered

from data.errors import DataError

_MNIST_ARCHIVES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def prepare(name: str, root: Path, download: bool) -> None:
    """Prepare a data set below ``root`` in TFDS's layout, in ``array_record`` files.

    The archives are taken from ``root`` itself where they lie there under their original names,
    and otherwise fetched if ``download`` is set.

    Raises:
        DataError: no archives and no leave to download, no network, no right to write there.
    """
    archives = _archives_in(root)
    if archives is None and not download:
        names = ", ".join(file for pair in _MNIST_ARCHIVES.values() for file in pair)
        raise DataError(
            f"no prepared {name} in {root}; name a prepared folder with --data-dir, add --download "
            f"to fetch it, or put {names} there"
        )
    builder_class = _without_tensorflow(tfds.builder_cls(name), archives)
    if archives is None:
        _check_network(builder_class.URL)
    try:
        builder = builder_class(data_dir=str(root), file_format="array_record")
        builder.download_and_prepare()
    except OSError as error:
        raise DataError(f"{root}: cannot prepare {name} there: {error}") from error


def _archives_in(root: Path) -> dict[str, tuple[Path, Path]] | None:
    archives = {
        split: (root / images, root / labels) for split, (images, labels) in _MNIST_ARCHIVES.items()
    }
    complete = all(file.is_file() for pair in archives.values() for file in pair)
    return archives if complete else None


def _check_network(url: str) -> None:
    """Answer at once where there is no network; tfds itself would retry for three minutes."""
    if os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY"):
        return  # a proxy answers for hosts that cannot be reached directly
    address = urlsplit(url)
    port = 443 if address.scheme == "https" else 80
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError as error:
        raise DataError(
            f"cannot reach {address.hostname} to download ({error}); prepare the data set on a "
            "machine with a network and name its folder with --data-dir"
        ) from error


def _without_tensorflow(stock: Any, archives: dict[str, tuple[Path, Path]] | None) -> Any:
    """The stock MNIST-like builder with an unpacking that needs no TensorFlow."""
    with registered.skip_registration():

        class Builder(stock):
            def _split_generators(self, download_manager):
                files = archives or download_manager.download(
                    {
                        split: tuple(self.URL + archive for archive in pair)
                        for split, pair in _MNIST_ARCHIVES.items()
                    }
                )
                return {
                    split: _digits(Path(images), Path(labels))
                    for split, (images, labels) in files.items()
                }

    Builder.name = stock.name
    return Builder


def _digits(images: Path, labels: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    pixels, classes = _read_idx(images, dimensions=3), _read_idx(labels, dimensions=1)
    if len(pixels) != len(classes):
        raise DataError(f"{images} has {len(pixels)} images, {labels} has {len(classes)} labels")
    for index, (image, label) in enumerate(zip(pixels, classes, strict=True)):
        yield index, {"image": Image.fromarray(image), "label": int(label)}


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """A gzipped IDX file: magic number, one big-endian length a dimension, then bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
        header = np.frombuffer(content, ">u4", count=1 + dimensions)
        return np.frombuffer(content, np.uint8, offset=header.nbytes).reshape(header[1:])
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: not a gzipped IDX file of {dimensions} dimensions") from error
