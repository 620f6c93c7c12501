"""Timing variants of the same work against one another, fairly: interleaved, many short blocks."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from train.parallel import usable_cores

SECONDS_A_BLOCK = 0.25
"""Timed in each block, after as long again that is not: memory and caches have to settle first."""

BUSY_SHARE = 0.10
"""Above this share of the processors' time taken by others, a verdict would be worthless."""

CONTROLS = 51
"""Repetitions of the control, a few milliseconds each."""

CHANGED_SHARE = 0.15
"""By so much the host's speed may change while a row is measured."""


class Times(NamedTuple):
    """Seconds a call, one entry a block."""

    wall: list[float]
    cpu: list[float]

    @property
    def median(self) -> float:
        """Median wall seconds a call."""
        return statistics.median(self.wall)


class Ratio(NamedTuple):
    """One variant's wall time over another's, block by block."""

    median: float
    low: float
    high: float


def interleave(variants: Mapping[str, Callable[[], object]], blocks: int) -> dict[str, Times]:
    """Time each variant in ``blocks`` short blocks, all variants in every round.

    A variant is a call that returns when its work is done. The order turns by one each round, so
    that none always follows the same other. Machine noise then falls on all alike. A block's time
    is the median of its calls', and its first calls do not count: a training goes on in memory and
    caches that no other has used since, and on a virtual machine whose host takes free memory back
    the first calls after a pause take several times as long (docs/performance.md). What runs in
    another process has a method ``timed_block``, and times itself there.
    """
    times = {name: Times([], []) for name in variants}
    for variant in variants.values():
        variant()  # the first call may compile or allocate
    names = list(variants)
    for block in range(blocks):
        for name in names[block % len(names) :] + names[: block % len(names)]:
            wall, cpu = getattr(
                variants[name], "timed_block", partial(timed_block, variants[name])
            )()
            times[name].wall.append(wall)
            times[name].cpu.append(cpu)
    return times


def timed_block(variant: Callable[[], object]) -> tuple[float, float]:
    """Median wall and CPU seconds of a call, in one block whose first calls do not count."""
    variant()
    _calls(variant)
    walls, cpus = zip(*_calls(variant), strict=True)
    return statistics.median(walls), statistics.median(cpus)


def _calls(variant: Callable[[], object]) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each call, of as many as fill ``SECONDS_A_BLOCK``."""
    taken = []
    begun = time.perf_counter()
    while not taken or time.perf_counter() - begun < SECONDS_A_BLOCK:
        wall, cpu = time.perf_counter(), time.process_time()
        variant()
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return taken


def ratio(times: Times, reference: Times) -> Ratio:
    """Median of the block-wise ratios, and their quartiles."""
    ratios = sorted(a / b for a, b in zip(times.wall, reference.wall, strict=True))
    quarter = len(ratios) // 4
    return Ratio(statistics.median(ratios), ratios[quarter], ratios[-1 - quarter])


def compare(times: Mapping[str, Times]) -> dict[str, Any]:
    """What every row says: medians in milliseconds, and the fastest torch's time over ours.

    Ours, too, is the fastest where there are several.
    """

    def fastest(side: str) -> str:
        names = [variant for variant in times if variant.startswith(side)]
        return min(names, key=lambda variant: times[variant].median)

    fastest_torch, fastest_ours = fastest("torch"), fastest("ours")
    compared = ratio(times[fastest_torch], times[fastest_ours])
    return {
        "milliseconds": {variant: 1e3 * t.median for variant, t in times.items()},
        "fastest_torch": fastest_torch,
        "fastest_ours": fastest_ours,
        "ratio": compared.median,
        "ratio_quartiles": [compared.low, compared.high],
        "jax": version("jax"),
        "torch": version("torch"),
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def busy_share(seconds: float = 1.0) -> float:
    """Share of all processors' time that other processes take while this one sleeps.

    Read from ``/proc/stat``; not a number where there is none.
    """
    try:
        before = _processor_ticks()
        time.sleep(seconds)
        after = _processor_ticks()
    except OSError:
        return float("nan")
    total = sum(after) - sum(before)
    idle = after[3] + after[4] - before[3] - before[4]  # idle, and idle waiting for input
    return 1 - idle / total


class Control(NamedTuple):
    """Milliseconds of a fixed piece of work on one thread."""

    wall: float
    cpu: float


def control() -> Control:
    """Time the same products and sums of arrays as ever, on one thread.

    Its CPU time tells how fast the host is now: two runs of the benchmark compare only where it is
    alike. Its wall time is longer where this process has to wait for a processor. A median,
    because hosts change their clock from moment to moment.
    """
    matrix = np.random.default_rng(0).normal(size=(192, 192)).astype(np.float32)
    taken = []
    for _ in range(CONTROLS):
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(40):
            # a sum of outer products in NumPy's own loops, which have one thread
            np.einsum("ij,jk->ik", matrix[:48], matrix)
            np.tanh(matrix)
        taken.append((time.perf_counter() - wall, time.thread_time() - cpu))
    walls, cpus = zip(*taken, strict=True)
    return Control(1e3 * statistics.median(walls), 1e3 * statistics.median(cpus))


def why_no_verdict(busy: float, before: Control, after: Control) -> str | None:
    """Why a row measured between two controls says nothing, if so."""
    if busy > BUSY_SHARE:
        return f"other processes take {busy:.0%} of this machine"
    waited = max(one.wall / one.cpu for one in (before, after)) - 1
    if waited > BUSY_SHARE:
        return f"one thread alone has to wait {waited:.0%} longer than it works"
    changed = max(before.cpu, after.cpu) / min(before.cpu, after.cpu) - 1
    if changed > CHANGED_SHARE:
        return f"the host's speed changed by {changed:.0%} meanwhile"
    return None


def _processor_ticks() -> list[int]:
    with open("/proc/stat") as file:
        return [int(ticks) for ticks in file.readline().split()[1:9]]


def processor() -> str:
    """The processor's name, and how many of its cores this process may use."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return f"{names[0] if names else 'unknown processor'}, {usable_cores()} cores"
