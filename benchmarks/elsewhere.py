"""Variants that need a process of their own, which times itself.

``python -m benchmarks.elsewhere NAME KIND`` is such a process; it does what it reads, line by line.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.cases import CASES, Call, Network
from benchmarks.measure import timed_block
from benchmarks.plain import plain_flax
from benchmarks.twins import first_weights

PLAIN = "plain flax"
"""The network without this library's levers, one of which is the memory of a process."""

ONE_CORE = "ours one core"
"""On the first of this process's cores, as by ``taskset``; XLA counts them once, at its start."""


class Elsewhere:
    """A case in a process of its own."""

    def __init__(self, name: str, kind: str) -> None:
        environment = dict(os.environ)
        if kind == PLAIN:
            for asked_for in ("LD_PRELOAD", "GLIBC_TUNABLES"):
                environment.pop(asked_for, None)
        if kind == ONE_CORE and (cache := environment.get("JAX_COMPILATION_CACHE_DIR")):
            # A compiled program is made for a number of cores, which its key does not tell.
            environment["JAX_COMPILATION_CACHE_DIR"] = f"{cache}-one-core"
        self._kind = kind
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.elsewhere", name, kind],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def variant(self, mode: str) -> "ElsewhereCall":
        """Of a mode, ``train`` or ``infer``."""
        return ElsewhereCall(partial(self._answer, mode))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self, mode: str, what: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(f"{mode} {what}\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):  # nobody reads, or nothing is answered
            raise RuntimeError(f"the process of {self._kind} has ended, see above") from None


class ElsewhereCall:
    """A variant as any other, but that its blocks are timed where it runs."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self._answer = answer

    def __call__(self) -> float:
        """Do it once; the loss of a training step."""
        return self._answer("call")

    def timed_block(self) -> tuple[float, float]:
        """Median wall and CPU seconds of a call in one block."""
        wall, cpu = self._answer("block")
        return wall, cpu


def main(name: str, kind: str) -> None:
    """Do what each line of the input says, and answer when it is done."""
    if kind == ONE_CORE:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    compiled: dict[str, Call] = {}
    for line in sys.stdin:
        mode, what = line.split()
        if mode not in compiled:
            compiled[mode] = _compile(name, mode, kind)
        done = timed_block(compiled[mode]) if what == "block" else compiled[mode]()
        print(json.dumps(done if what == "block" or mode == "train" else 0), flush=True)


def _compile(name: str, mode: str, kind: str) -> Call:
    case = CASES[name]
    if not isinstance(case, Network):
        return case.train("fast")
    plain = kind == PLAIN
    _, variables = first_weights(name)
    with plain_flax() if plain else contextlib.nullcontext():
        return getattr(case, mode)(variables, mended=not plain)


if __name__ == "__main__":
    main(*sys.argv[1:])
