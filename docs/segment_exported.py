"""Find cells by an exported file and JAX alone: python docs/segment_exported.py FILE OUT IMAGE...

Around the network it does what ``flax-models predict`` does: even light, overlapping tiles, each
seen under some symmetries of the square, and their mean. Masks go into the folder OUT.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax import export  # reads the file with flatbuffers, which jax does not bring
from PIL import Image

file, out, *paths = sys.argv[1:]
with open(file, "rb") as artefact, open(f"{file}.json") as description:
    find = jax.jit(export.deserialize(bytearray(artefact.read())).call)
    about = json.load(description)
_, size, _, _ = about["input"]["shape"]
overlap = size // 4
hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
window = np.outer(hann, hann)


def even_light(pixels):
    """Values from 0 to 255, raised where most are dark."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    low, high = np.searchsorted(np.cumsum(counts), [0.001 * pixels.size, 0.999 * pixels.size])
    scaled = np.clip((np.arange(256) - low) / max(high - low, 1), 0, 1)
    mean = max(float(scaled @ counts) / pixels.size, 1e-6)
    power = np.clip(np.log(0.3) / np.log(mean), 1 / 3, 1) if mean < 0.3 else 1.0
    return np.rint(255 * scaled**power).astype(np.uint8)[pixels]


def starts(length):
    """Where tiles begin along a side."""
    tiles = max(1, int(np.ceil((length - overlap) / (size - overlap))))
    return np.rint(np.linspace(0, max(0, length - size), tiles)).astype(int)


def flipped(tile, symmetry):
    """Upside down and left to right, by the first two bits of a symmetry's number."""
    return tile[:: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]


def logits(tile):
    """The mean over the symmetries, each turned back; from number 4 on they swap the sides."""
    symmetries = range(about["settings"]["views"])
    seen = [flipped(tile, k).swapaxes(0, 1) if k & 4 else flipped(tile, k) for k in symmetries]
    found = np.asarray(find(np.stack(seen))["prediction"][..., 0])
    return np.mean([flipped(found[k].T if k & 4 else found[k], k) for k in symmetries], axis=0)


for path in paths:
    pixels = even_light(np.asarray(Image.open(path).convert("RGB")))
    height, width, _ = pixels.shape
    beyond = [(0, max(0, size - side)) for side in (height, width)]
    padded = np.pad(pixels, [*beyond, (0, 0)], mode="symmetric")
    total = np.zeros(padded.shape[:2])
    weight = np.zeros(padded.shape[:2])
    for row in starts(height):
        for column in starts(width):
            place = (slice(row, row + size), slice(column, column + size))
            total[place] += logits(padded[place]) * window
            weight[place] += window
    mask = (total / weight)[:height, :width] > 0
    place = Path(out) / f"{Path(path).stem}_mask.png"
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(place)
    print(json.dumps({"input": path, "mask": str(place), "foreground": float(mask.mean())}))
