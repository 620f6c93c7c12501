"""Pictures of two digits that a small captcha run learns in seconds."""

import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXTS = ["".join(digits) for digits in itertools.product("234", repeat=2)]
OPTIONS = ["--height=16", "--batch-size=16", "--epochs=10", "--evaluate-every=5"]


def picture(text, seed):
    """Dark digits on a light ground, somewhere in 32 x 16 pixels."""
    random = np.random.default_rng(seed)
    image = Image.new("L", (32, 16), int(random.integers(180, 256)))
    place = (int(random.integers(1, 6)), int(random.integers(0, 4)))
    font = ImageFont.load_default(13)
    ImageDraw.Draw(image).text(place, text, fill=int(random.integers(0, 80)), font=font)
    return image


def draw_folder(folder, labels):
    """Twenty pictures of each text; ``labels`` holds what their names say instead of the text."""
    folder.mkdir()
    texts = [text for text in TEXTS for _ in range(20)]
    for number, (text, label) in enumerate(zip(texts, labels or texts, strict=True)):
        picture(text, number).save(folder / f"{label}_{number}.png")
    return folder
