"""Captchas drawn by the package ``captcha``, each one a function of its seed."""

import contextlib
import io
import pickle
import random
import string
import sys
from collections.abc import Iterator
from typing import Any

import captcha.image
from PIL import Image

CHARACTERS = string.digits + string.ascii_lowercase
SHORTEST, LONGEST = 4, 6
WIDTH, HEIGHT = 160, 60


class _Seeded(random.Random):
    """A seeded generator with the functions of the module ``secrets``."""

    def randbelow(self, limit: int) -> int:
        return self.randrange(limit)

    def randbits(self, bits: int) -> int:
        return self.getrandbits(bits)


@contextlib.contextmanager
def _drawing_by(generator: _Seeded) -> Iterator[None]:
    """Let the package take its randomness from ``generator``: its own cannot be seeded."""
    module: Any = captcha.image
    secrets = module.secrets
    module.secrets = generator
    try:
        yield
    finally:
        module.secrets = secrets


def draw_captcha(seed: str) -> tuple[str, Image.Image]:
    """A text of 4 to 6 lower-case letters and digits, and its RGB picture of 160 x 60 pixels.

    Any two seeds differ in text, position, rotation, warp, colours, noise and curve. Not for
    several threads of one process: the package has one source of randomness.
    """
    generator = _Seeded(seed)
    length = generator.randint(SHORTEST, LONGEST)
    text = "".join(generator.choices(CHARACTERS, k=length))
    with _drawing_by(generator):
        return text, captcha.image.ImageCaptcha(WIDTH, HEIGHT).generate_image(text)


def draw_captcha_as_png(seed: str) -> tuple[str, bytes]:
    """The same in shades of grey and as the content of a PNG file."""
    text, image = draw_captcha(seed)
    file = io.BytesIO()
    image.convert("L").save(file, format="png")
    return text, file.getvalue()


if __name__ == "__main__":  # seeds from stdin, one a line; to stdout what they draw, pickled
    pickle.dump(list(map(draw_captcha_as_png, sys.stdin.read().splitlines())), sys.stdout.buffer)
