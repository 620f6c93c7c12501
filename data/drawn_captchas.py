"""The TFDS data set of drawn captchas: prepared once, read by ``load_prepared`` like any other."""

import concurrent.futures
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data.captcha_drawing import HEIGHT, WIDTH, draw_captcha_as_png
from data.errors import DataError

MOST_FOR_VALIDATION, MOST_FOR_TEST = 1000, 2000

WORTH_PROCESSES = 1000
"""One core draws so many in the seconds that a process takes to start."""

PART = 4000
"""So many are drawn by a process, and held in memory until they are written."""


class DrawnCaptchas(tfds.core.GeneratorBasedBuilder):
    """So many captchas for training as the configuration's name says, and others beside them.

    Validation and test have a tenth of that, at most 1,000 and 2,000. No two pictures share a seed.
    """

    name = "drawn_captchas"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(HEIGHT, WIDTH, 1), encoding_format="png"),
            "text": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            description="Captchas drawn by the package captcha: 4 to 6 letters and digits.",
            homepage="https://github.com/lepture/captcha",
        )

    def _split_generators(self, download_manager: Any) -> dict[str, Iterator]:
        images = int(self.builder_config.name)
        return {
            "train": self._generate_examples("train", images),
            "validation": self._generate_examples(
                "validation", min(MOST_FOR_VALIDATION, images // 10)
            ),
            "test": self._generate_examples("test", min(MOST_FOR_TEST, images // 10)),
        }

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, (text, png) in enumerate(draw_split(split, count)):
            yield number, {"image": png, "text": text}


def draw_split(split: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Texts and PNG files, by all cores where drawing takes longer than to start processes."""
    seeds = [f"{split} {number}" for number in range(count)]
    if count < WORTH_PROCESSES:
        yield from map(draw_captcha_as_png, seeds)
        return
    parts = [seeds[start : start + PART] for start in range(0, count, PART)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for drawn in pool.map(_draw_elsewhere, parts):
            yield from drawn


def _draw_elsewhere(seeds: Sequence[str]) -> list[tuple[str, bytes]]:
    """Drawn in a new process.

    Not by multiprocessing: a fork would copy JAX's threads, and may hang; a spawn would run the
    user's script again, unless that is guarded by ``if __name__ == "__main__"``.
    """
    command = [sys.executable, "-m", "data.captcha_drawing"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    text = "\n".join(seeds).encode()
    done = subprocess.run(command, input=text, env=environment, stdout=subprocess.PIPE, check=True)
    return pickle.loads(done.stdout)


def prepare_drawn_captchas(images: int, root: Path) -> None:
    """Draw ``images`` captchas for training, and those to validate and test, below ``root``.

    Raises:
        DataError: no right to write there.
    """
    config = tfds.core.BuilderConfig(name=str(images))
    try:
        builder = DrawnCaptchas(data_dir=str(root), file_format="array_record", config=config)
        builder.download_and_prepare()
    except OSError as error:
        raise DataError(f"{root}: cannot draw captchas into it: {error}") from error
