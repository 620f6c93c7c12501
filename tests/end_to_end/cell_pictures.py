"""A small folder of simulated cells, which a small U-Net learns in seconds."""

import numpy as np
from PIL import Image

from data.cells import simulate_cells


def draw_cells(folder, pictures=20, noise=True):
    """Pictures of several sizes in ``images/`` and their masks in ``masks/``."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(pictures):
        pixels, mask = simulate_cells(number, noise)
        place = np.s_[: 64 + number % 3, : 60 + 10 * (number % 4)]
        Image.fromarray(pixels[place]).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask[place]).convert("L").save(folder / "masks" / f"{number:02}.png")
    return folder
