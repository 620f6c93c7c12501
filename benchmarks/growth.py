"""How the cost of a training step grows: ``python -m benchmarks.growth [--out docs/growth.png]``.

Time and memory of one step against the batch, the length of a sequence, the depth of a network and
the side of an image, with the slope in a plot whose axes are both logarithmic: 1 is in proportion.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import flax_models as models
from benchmarks.cases import Network
from benchmarks.measure import interleave
from train.allocator import restart_with_faster_memory
from train.figures import save

GROWING: dict[str, dict[int, Network]] = {
    "images in a batch (ResNet-20, 32x32)": {
        size: Network(models.resnet20(), (size, 32, 32, 3), classes=10)
        for size in (8, 16, 32, 64, 128)
    },
    "steps of a sequence (GRU of 64 units, batch 64)": {
        steps: Network(models.GRU(64), (64, steps, 64)) for steps in (25, 50, 100, 200, 400)
    },
    "layers (ResNet-20, -32, -56 and -110, batch 16)": {
        depth: Network(models.CifarResNet(depth), (16, 32, 32, 3), classes=10)
        for depth in (20, 32, 56, 110)
    },
    "pixels of an image's side (U-Net of 16 channels, batch 2)": {
        side: Network(models.UNet(width=16), (2, side, side, 3)) for side in (32, 64, 128, 256)
    },
}


def main() -> int:
    """Measure, print the slopes, and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--out", type=Path, default=Path("docs/growth.png"))
    parser.add_argument("--blocks", type=int, default=7, help="short blocks a size")
    options = parser.parse_args()
    figure = Figure(figsize=(5 * len(GROWING), 7), layout="constrained")
    panels = figure.subplots(2, len(GROWING), squeeze=False)
    for (what, cases), (above, below) in zip(GROWING.items(), panels.T, strict=True):
        sizes = list(cases)
        seconds, mebibytes = costs(list(cases.values()), options.blocks)
        for axes, values, unit in ((above, 1e3 * seconds, "ms"), (below, mebibytes, "MiB")):
            slope = slope_of(sizes, values)
            axes.loglog(sizes, values, "o-")
            axes.set_xticks(sizes, map(str, sizes))
            axes.set_xticks([], minor=True)
            axes.set(xlabel=what, ylabel=f"{unit} a training step", title=f"slope {slope:.2f}")
            axes.grid(alpha=0.3)
            print(f"{what}: {unit} {np.round(values, 2).tolist()}, slope {slope:.2f}", flush=True)
    save(figure, options.out)
    return 0


def costs(cases: Sequence[Network], blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds a training step, and the temporary memory in MiB that its program asks for.

    Temporary is what is not parameters, batch or optimizer state.
    """
    steps, mebibytes = {}, []
    for number, case in enumerate(cases):
        state, step = case.compile(None)
        steps[str(number)] = case.repeated(state, step)
        mebibytes.append(step.memory_analysis().temp_size_in_bytes / 2**20)
    times = interleave(steps, blocks)
    return np.array([of_case.median for of_case in times.values()]), np.array(mebibytes)


def slope_of(sizes: Sequence[int], values: Sequence[float] | np.ndarray) -> float:
    """Of the straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


if __name__ == "__main__":
    restart_with_faster_memory()
    sys.exit(main())
