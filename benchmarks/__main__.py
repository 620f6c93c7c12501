"""The JAX-against-PyTorch table: ``python -m benchmarks [NAME...] [--json FILE] [--rounds N]``."""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import torch

from benchmarks.cases import CASES, Call, Network
from benchmarks.elsewhere import PLAIN
from benchmarks.measure import (
    busy_share,
    compare,
    control,
    interleave,
    processor,
    ratio,
    why_no_verdict,
)
from benchmarks.rounds import measure_rounds, spread
from benchmarks.start import measure_starts
from benchmarks.variants import variants
from train.allocator import restart_with_faster_memory


def main() -> int:
    """Measure the named cases, or all; one line a row, and JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="append one object a row")
    parser.add_argument("--rounds", type=int, default=3, help="processes a network")
    parser.add_argument("--blocks", type=int, default=5, help="short blocks a variant and process")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-starts", action="store_true", help="leave out how processes start")
    parser.add_argument("--run", help=argparse.SUPPRESS)  # the moment that a process's run began
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if min(options.rounds, options.blocks) < 1:
        parser.error("--rounds and --blocks are 1 or more")
    path = Path(options.json) if options.json else None
    if path and not path.parent.is_dir():
        parser.error(f"no folder {path.parent} for --json; make it first")
    threads = len(os.sched_getaffinity(0))
    run = options.run or time.strftime("%Y-%m-%d %H:%M:%S")
    if not options.run:
        print(
            f"{processor()}; jax {jax.__version__}, torch {torch.__version__} with "
            f"{threads} threads; a ratio above 1 is where ours is faster"
        )
    names = options.names or list(CASES)
    if options.rounds > 1:
        passed_on = ["--blocks", str(options.blocks), *["--no-compile"] * options.no_compile]
        starts = not options.no_starts
        try:
            rows = measure_rounds(names, options.rounds, run, passed_on, starts, path)
        except subprocess.CalledProcessError as error:
            print(f"error: a process failed, see above: {shlex.join(error.cmd)}", file=sys.stderr)
            return 1
        print(f"medians of {options.rounds} processes, with the least and the greatest ratio:")
        print(*map(in_words, rows), sep="\n")
        return 0
    torch.set_num_threads(threads)
    for name in names:
        rows = []
        for mode, calls in variants(name, not options.no_compile):
            rows.append({"run": run, **measure(name, mode, calls, options.blocks)})
            print(in_words(rows[-1]), flush=True)
        has_starts = isinstance(CASES[name], Network) and rows[0]["mode"] == "train"
        if has_starts and not options.no_starts:
            rows[0]["starts"] = measure_starts(name)
            print(starts_in_words(rows[0]), flush=True)
        if path:
            with path.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


def measure(name: str, mode: str, calls: Mapping[str, Call], blocks: int) -> dict:
    """One row: medians in milliseconds of wall and CPU time, and the ratio to the fastest torch."""
    for call in calls.values():
        call()  # by then all that is compiled or started for it is there, and at rest
    busy, before = busy_share(), control()
    times = interleave(calls, blocks)
    after = control()
    row = {
        "name": name,
        "mode": mode,
        "device": jax.default_backend(),
        **compare(times),
        "cpu_milliseconds": {
            variant: 1e3 * statistics.median(t.cpu) for variant, t in times.items()
        },
        "blocks": blocks,
        "threads": torch.get_num_threads(),
        "glibc_tunables": os.environ.get("GLIBC_TUNABLES", ""),
        "preloaded": os.environ.get("LD_PRELOAD", ""),
        "busy_share": busy,
        "control_cpu_milliseconds": [before.cpu, after.cpu],
        "no_verdict": why_no_verdict(busy, before, after),
        "processor": processor(),
    }
    if PLAIN in times:
        row["ratio_plain_flax"] = ratio(times[PLAIN], times["ours"]).median
    return row


def in_words(row: dict) -> str:
    """A row as a line. On a loaded machine torch's threads collapse, so there is no verdict."""
    medians = ", ".join(f"{name} {value:.3g}" for name, value in row["milliseconds"].items())
    if row["no_verdict"]:
        verdict = f"no verdict: {row['no_verdict']}"
    else:
        low, high = spread(row)
        verdict = f"ratio {row['ratio']:.2f} [{low:.2f}, {high:.2f}] to {row['fastest_torch']}"
        if "ratio_plain_flax" in row:
            verdict += f", {row['ratio_plain_flax']:.2f} to plain flax"
    return f"{row['name']:12} {row['mode']:6} {verdict}; ms: {medians}"


def starts_in_words(row: dict) -> str:
    """How processes of a case started, as a line."""
    parts = [
        f"{name} {start['first_step']:.1f} s ({start['imports']:.1f} s of imports), "
        f"{start['peak_mib']:.0f} MiB at most"
        for name, start in row["starts"].items()
    ]
    return f"{row['name']:12} starts " + "; ".join(parts)


if __name__ == "__main__":
    restart_with_faster_memory()  # for both sides but plain Flax; they share the process
    sys.exit(main())
