"""Read captchas by an exported file and JAX alone: python docs/load_exported.py FILE IMAGE..."""

import json
import sys

import jax
import numpy as np
from jax import export  # reads the file with flatbuffers, which jax does not bring
from PIL import Image

file, *paths = sys.argv[1:]
with open(file, "rb") as artefact, open(f"{file}.json") as description:
    read = jax.jit(export.deserialize(bytearray(artefact.read())).call)
    about = json.load(description)
_, height, width, _ = about["input"]["shape"]
for path in paths:
    image = Image.open(path).convert("L")
    kept = min(max(1, round(image.width * height / image.height)), width)
    pixels = np.asarray(image.resize((kept, height), Image.Resampling.BILINEAR))
    pixels = np.pad(pixels, [(0, 0), (0, width - kept)], mode="edge")
    found = read(pixels[None, :, :, None])["prediction"]
    text = "".join(about["alphabet"][number - 1] for number in found["classes"][0] if number)
    print(json.dumps({"input": path, "text": text, "confidence": float(found["confidence"][0])}))
