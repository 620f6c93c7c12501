"""The JAX-against-PyTorch table: ``python -m benchmarks [NAME...] [--json FILE] [--blocks N]``."""

import argparse
import json
import os
import statistics
import sys
import time

import jax
import torch

from benchmarks.cases import CASES
from benchmarks.measure import BUSY_SHARE, busy_share, interleave, processor, ratio


def main() -> int:
    """Measure the named cases, or all; one line a row, and JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="append one object a row")
    parser.add_argument("--blocks", type=int, default=15, help="short blocks a variant")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    print(
        f"{processor()}; jax {jax.__version__}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads; a ratio above 1 is where ours is faster"
    )
    for name in options.names or CASES:
        busy = busy_share()
        for mode, variants in CASES[name].variants():
            row = measure(name, mode, variants, options.blocks, busy)
            print(in_words(row), flush=True)
            if options.json:
                with open(options.json, "a") as file:
                    file.write(json.dumps(row) + "\n")
    return 0


def measure(name: str, mode: str, variants: dict, blocks: int, busy: float) -> dict:
    """One row: medians in milliseconds of wall and CPU time, and the ratio to the fastest torch."""
    times = interleave(variants, blocks)
    torch_names = [variant for variant in times if variant.startswith("torch")]
    fastest = min(torch_names, key=lambda variant: times[variant].median)
    compared = ratio(times[fastest], times["ours"])
    return {
        "name": name,
        "mode": mode,
        "device": jax.default_backend(),
        "milliseconds": {variant: 1e3 * t.median for variant, t in times.items()},
        "cpu_milliseconds": {
            variant: 1e3 * statistics.median(t.cpu) for variant, t in times.items()
        },
        "fastest_torch": fastest,
        "ratio": compared.median,
        "ratio_quartiles": [compared.low, compared.high],
        "busy_share": busy,
        "processor": processor(),
        "jax": jax.__version__,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def in_words(row: dict) -> str:
    """A row as a line. On a loaded machine torch's threads collapse, so there is no verdict."""
    medians = ", ".join(f"{name} {value:.3g} ms" for name, value in row["milliseconds"].items())
    if row["busy_share"] > BUSY_SHARE:
        verdict = f"no verdict: other processes take {row['busy_share']:.0%} of this machine"
    else:
        low, high = row["ratio_quartiles"]
        verdict = f"ratio {row['ratio']:.2f} [{low:.2f}, {high:.2f}] to {row['fastest_torch']}"
    return f"{row['name']:12} {row['mode']:6} {verdict}; {medians}"


if __name__ == "__main__":
    sys.exit(main())
