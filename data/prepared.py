"""Reading prepared TFDS data sets without TensorFlow, each split decoded once.

Decoding PNG images costs some 6,000 images a second and core, more than training a small network.
So the first read writes plain ``.npy`` arrays into the user's cache, in a fixed random order, and
every later read maps those into memory.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.splits import Examples


def load_prepared(
    name: str, source: str, data_dir: str | None, download: bool
) -> tuple[dict[str, Examples], str]:
    """Every split of a prepared data set, as memory-mapped arrays under the names of its features.

    Rows stand in a random but fixed order, so that a consecutive cut is a fair sample.

    Args:
        name: of the data set in TFDS.
        source: ``tfds``, or a folder, which then takes the place of ``data_dir``.
        data_dir: folder of prepared data sets; by default ``TFDS_DATA_DIR``, or else
            ``~/tensorflow_datasets``.
        download: fetch and prepare the data set if it is not there.

    Returns:
        Arrays by split, and the version, as ``mnist/3.0.1``.

    Raises:
        DataError: nothing prepared there and nothing to prepare it from, or it is unreadable.
    """
    if source != "tfds":
        if data_dir is not None:
            raise DataError(f"source {source!r}: with --data-dir, use --source tfds")
        data_dir = source
    root = data_root(data_dir)
    folder = newest_version(root / name) or _prepare(name, root, download)
    return read_prepared(folder, name), f"{name}/{folder.name}"


def data_root(data_dir: str | None) -> Path:
    """The folder of prepared data sets: ``data_dir``, ``TFDS_DATA_DIR``, or TFDS's own default.

    Raises:
        DataError: it is a file.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: a file; the data directory must be a folder")
    return root


def read_prepared(folder: Path, name: str) -> dict[str, Examples]:
    """Every split of the data set that was prepared in ``folder``, decoded at the first read.

    Raises:
        DataError: it is unreadable, or the cache cannot be written.
    """
    cache = _cache_root() / f"{name}-{folder.name}-{_fingerprint(folder)}"
    if not cache.is_dir():
        _decode(folder, cache)
    return {split.name: _map(split) for split in cache.iterdir()}


def newest_version(folder: Path) -> Path | None:
    """The newest version that is prepared below a data set's folder."""
    versions = [info.parent for info in folder.glob("*/dataset_info.json")]
    return max(versions, key=lambda path: path.name, default=None)


def _prepare(name: str, root: Path, download: bool) -> Path:
    from data.builders import prepare  # imports tfds, which a look at a folder does not need

    prepare(name, root, download)
    folder = newest_version(root / name)
    assert folder is not None, f"tfds prepared {name} but left nothing in {root / name}"
    return folder


def _cache_root() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(cache).expanduser() / "flax-models" / "decoded"


def _fingerprint(folder: Path) -> str:
    """Changes when any prepared file is replaced, so that a stale decoding is never read."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir()]
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()[:12]


def _decode(folder: Path, cache: Path) -> None:
    """Write each split of ``folder`` as arrays; ``cache`` appears complete or not at all."""
    import tensorflow_datasets as tfds

    cache.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{cache.name}.", dir=cache.parent))
    try:
        builder = tfds.builder_from_directory(folder)
        for split in builder.info.splits:
            (unfinished / split).mkdir()
            for feature, array in _read_split(builder, split).items():
                np.save(unfinished / split / f"{feature}.npy", array)
        os.replace(unfinished, cache)
    except FileExistsError:
        pass  # another process decoded the same data meanwhile
    except OSError as error:
        if not cache.is_dir():
            raise DataError(f"{cache.parent}: cannot write decoded data: {error}") from error
    except Exception as error:  # the readers below tfds raise many types for one cause
        message = str(error).partition("\n")[0]
        raise DataError(f"{folder}: not readable without TensorFlow: {message}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _read_split(builder, split: str) -> Examples:
    source = builder.as_data_source(split)
    order = np.random.default_rng(0).permutation(len(source))
    examples = source.__getitems__(order.tolist())
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def _map(folder: Path) -> Examples:
    return {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
