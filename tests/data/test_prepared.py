"""Stock MNIST without TensorFlow: prepared from archives, read as TFDS itself reads it."""

import gzip
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data import DataError, load_digits

SHARED = Path(__file__).parents[3] / "shared" / "tfds"


def write_idx(path: Path, array: np.ndarray) -> None:
    magic = np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(magic + array.astype(np.uint8).tobytes()))


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The four archives under their original names, with embedded digits in them."""
    folder, digits = tmp_path_factory.mktemp("mnist"), load_digits()
    for prefix, part, size in (("train", digits.train, 4000), ("t10k", digits.test, 500)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", part["inputs"][:size, ..., 0])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", part["targets"][:size])
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_own_archives_are_prepared_and_tfds_reads_them(archives):
    splits = load_digits("tfds", str(archives))
    assert [len(part["targets"]) for part in splits[:3]] == [3667, 333, 500]
    source = tfds.data_source("mnist", split="test", data_dir=archives, download=False)
    stock = sorted((int(row["label"]), row["image"].tobytes()) for row in source)
    digits = load_digits().test
    ours = [(int(y), x.tobytes()) for x, y in zip(digits["inputs"], digits["targets"], strict=True)]
    assert stock == sorted(ours)


def test_no_tensorflow_is_imported(archives):
    code = (
        "import sys\n"
        "from data.prepared import load_prepared\n"
        f"splits, version = load_prepared('mnist', 'tfds', {str(archives)!r}, False)\n"
        "print(version, sorted(splits), splits['test']['image'].shape)\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'tensorflow'])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == ["mnist/3.0.1 ['test', 'train'] (500, 28, 28, 1)", "[]"]


def test_nothing_prepared_answers_at_once(tmp_path):
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"no prepared mnist in .*--data-dir.*--download"):
        load_digits("tfds", str(tmp_path))
    assert time.monotonic() - begun < 2
    assert not list(tmp_path.glob("*mnist*"))


def test_a_file_is_no_data_directory(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(DataError, match="a file; the data directory must be a folder"):
        load_digits("tfds", str(path))


def test_a_damaged_archive_is_named(tmp_path, archives):
    for file in archives.glob("*.gz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: not a gzipped IDX file"):
        load_digits("tfds", str(tmp_path))


@pytest.mark.slow
def test_real_mnist_is_decoded_once_and_mapped(monkeypatch):
    """All of MNIST, prepared in a folder beside the clone."""
    splits = load_digits("tfds", str(SHARED))
    assert [len(part["targets"]) for part in splits[:3]] == [55_000, 5_000, 10_000]
    assert splits.source == "tfds:mnist/3.0.1"
    assert isinstance(splits.train["inputs"], np.memmap)
    monkeypatch.setattr("data.prepared._decode", lambda *_: pytest.fail("decoded again"))
    again = load_digits("tfds", str(SHARED))
    np.testing.assert_array_equal(again.test["targets"], splits.test["targets"])
    assert 0.08 < np.mean(splits.validation["targets"] == 3) < 0.12
