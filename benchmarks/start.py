"""How long a new process takes to its first training step, and how much memory training takes.

``python -m benchmarks.start NAME ours|torch`` is such a process; ``measure_starts`` runs several.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

STEPS = 3


def measure_starts(name: str) -> dict[str, dict[str, float]]:
    """Seconds from a process's start to the end of its first step, and its peak memory.

    ``ours, first``: nothing compiled before; ``ours, second``: with the compilation cache that the
    first left; ``torch``: eager. ``imports`` is the part of it that importing JAX or torch took.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return {
            key: _start(name, side, environment)
            for key, side in (("ours, first", "ours"), ("ours, second", "ours"), ("torch", "torch"))
        }


def _start(name: str, side: str, environment: dict[str, str]) -> dict[str, float]:
    begun = time.time()
    command = [sys.executable, "-m", "benchmarks.start", name, side]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return {
        "first_step": said["first_step_at"] - begun,
        "imports": said["imported"],
        "peak_mib": said["peak_mib"],
    }


def _ours(name: str) -> tuple[Callable[[], float], float]:
    begun = time.perf_counter()
    import jax  # noqa: F401

    imported = time.perf_counter() - begun
    from benchmarks.cases import CASES, Network

    case = CASES[name]
    assert isinstance(case, Network)
    return case.train(None), imported


def _torch(name: str) -> tuple[Callable[[], float], float]:
    begun = time.perf_counter()
    import torch

    imported = time.perf_counter() - begun
    from benchmarks.twins import Twin

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return Twin(name).train, imported


def main() -> None:
    """Train for a few steps and say when the first one was done."""
    name, side = sys.argv[1:]
    step, imported = (_ours if side == "ours" else _torch)(name)
    step()
    first_step_at = time.time()
    for _ in range(STEPS - 1):
        step()
    said = {"first_step_at": first_step_at, "imported": imported, "peak_mib": peak_mebibytes()}
    print(json.dumps(said))


def peak_mebibytes() -> float:
    """Most memory that this process had; getrusage would count its parent's until the exec."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
