"""Several processes a network, and one row of what they measured.

The same program takes longer in one process than in another, for all of its life, and a host is
faster in one minute than in the next. So the processes of a network lie far apart: every round
starts one for each.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def measure_rounds(
    names: Sequence[str],
    rounds: int,
    run: str,
    options: Sequence[str],
    with_starts: bool,
    path: Path | None,
) -> list[Row]:
    """Start ``python -m benchmarks NAME`` with these options, for each name in every round.

    Args:
        run: when the whole began; the rows of all its processes bear it.
        path: a file of rows, to which each process appends its own; None keeps none.

    Returns:
        Each network's rows, combined.

    Raises:
        subprocess.CalledProcessError: one of them failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = path or Path(folder, "rows.jsonl")
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(Path(folder, "compiled")),  # for the rounds to come
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        for number in range(rounds):
            for name in names:
                command = [sys.executable, "-m", "benchmarks", name, "--rounds", "1", *options]
                command += ["--run", run, "--json", str(path)]
                if number > 0 or not with_starts:
                    command.append("--no-starts")
                subprocess.run(command, env=environment, check=True)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    return list(by_network([row for row in rows if row.get("run") == run]).values())


def by_network(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """The rows of one run by network and mode, each combined from those of its processes."""
    same: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        same.setdefault((row["name"], row["mode"]), []).append(row)
    return {key: combined(processes) for key, processes in same.items()}


def combined(rows: Sequence[Row]) -> Row:
    """Of rows of one network and mode the one with the median ratio, and the ratios of all in it.

    Rows without a verdict do not count where others have one. Of two in the middle it is the lower.
    How processes start is of whichever row measured it last.
    """
    settled = sorted(
        [row for row in rows if not row["no_verdict"]] or rows, key=lambda row: row["ratio"]
    )
    median = settled[(len(settled) - 1) // 2]
    chosen = {**median, "ratios": [row["ratio"] for row in settled]}
    for row in rows:
        if "starts" in row:
            chosen["starts"] = row["starts"]
    return chosen


def spread(row: Row) -> tuple[float, float]:
    """The least and the greatest ratio of the processes; of one process its quartiles."""
    ratios = row.get("ratios", [])
    if len(ratios) > 1:
        return ratios[0], ratios[-1]
    low, high = row["ratio_quartiles"]
    return low, high
