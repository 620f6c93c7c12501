"""What bounds a training step on 1 to 1,024 chips: ``python -m benchmarks.scaling``.

Writes the tables of ``docs/scaling.md`` from ``scaling.json`` beside this file. With ``--measure``
it first compiles both steps here and writes that file: two minutes, and no chip is touched. What is
measured and what is estimated, that page says.
"""

import argparse
import dataclasses
import json
import math
from pathlib import Path

COSTS = Path(__file__).with_name("scaling.json")
PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN = "<!-- tables: begin (python -m benchmarks.scaling writes them) -->"
END = "<!-- tables: end -->"
CHIPS = (1, 8, 64, 1024)
BATCHES = {"ResNet-50": 128, "captcha reader": 256}
"""Examples on each chip."""


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published figures of a chip; rates are a second, and its page says where they stand.

    Args:
        flops: peak in bfloat16 with float32 sums, without sparsity.
        memory: bytes from and to its memory.
        link: bytes that one chip sends while it receives as many, on one axis of its torus or
            through its switch.
        group: chips that such links join.
        axes: of the torus; 1 for a switch.
        outside: bytes a chip sends from its group to another.
        host_link: bytes from the host to a chip.
        host: chips that share a host.
        cores: of a host, as many as it runs threads.
        hop: seconds from a chip to the next; an assumption.
    """

    flops: float
    memory: float
    link: float
    group: int
    axes: int
    outside: float
    host_link: float
    host: int
    cores: int
    hop: float


ACCELERATORS = {
    "TPU v5e": Chip(197e12, 819e9, 100e9, 256, 2, 6.4e12 / 8 / 256, 15e9, 8, 224, 0.5e-6),
    "TPU v5p": Chip(459e12, 2765e9, 200e9, 8960, 3, 50e9 / 8, 15e9, 4, 208, 0.5e-6),
    "H100 SXM": Chip(989.4e12, 3350e9, 450e9, 8, 1, 400e9 / 8, 64e9, 8, 224, 2e-6),
}


@dataclasses.dataclass(frozen=True)
class Step:
    """Seconds that each part of a training step takes at least, and what bounds it."""

    arithmetic: float
    memory: float
    """With all else fused into the products."""
    memory_unfused: float
    """As XLA:CPU fuses."""
    gradients: float
    """Their all-reduce, which may go on behind the backward pass."""
    waiting: float
    """Hops of the all-reduces one after another, those of batch norm among them."""
    input: float

    @property
    def parts(self) -> dict[str, float]:
        """What may go on at the same time."""
        return {
            "arithmetic": self.arithmetic,
            "memory": self.memory,
            "all-reduce": self.gradients + self.waiting,
            "input": self.input,
        }

    @property
    def bound(self) -> str:
        """The longest part."""
        return max(self.parts, key=lambda name: self.parts[name])

    @property
    def seconds(self) -> float:
        """The longest of the parts, and the waiting, behind which nothing can go on."""
        working = max(self.arithmetic, self.memory, self.gradients, self.input)
        return working + self.waiting


def estimate(costs: dict[str, float], chip: Chip, batch: int, chips: int) -> Step:
    """A step of ``batch`` examples on each of ``chips`` chips, in bfloat16 with float32 sums.

    Bytes of activations are half of what was counted in float32. Parameters, gradients and momentum
    stay in float32: SGD reads all three and writes two of them.
    """
    fused = costs["product_bytes_an_example"] * batch / 2 + costs["product_bytes_a_step"]
    cores = chip.cores / chip.host
    return Step(
        arithmetic=(costs["flops_an_example"] * batch + costs["flops_a_step"]) / chip.flops,
        memory=(fused + 5 * 4 * costs["parameters"]) / chip.memory,
        memory_unfused=(costs["bytes_an_example"] * batch / 2 + costs["bytes_a_step"])
        / chip.memory,
        gradients=all_reduce(costs["all_reduce_bytes"], chip, chips),
        waiting=costs["all_reduces"] * hops(chip, chips) * chip.hop,
        input=batch * max(costs["reading"] / cores, costs["example"] / chip.host_link),
    )


def all_reduce(size: float, chip: Chip, chips: int) -> float:
    """Seconds for ``size`` bytes on every chip: rings, within groups first and then between them.

    A ring of n sends 2 (n - 1) / n of the bytes over each link (Patarasuk and Yuan 2009); with m
    chips in a group, each of them has an m-th of the bytes to exchange with other groups.
    """
    inside = min(chips, chip.group)
    groups = chips // inside
    within = 2 * (inside - 1) / inside * size / chip.link
    return within + 2 * (groups - 1) / groups * (size / inside) / chip.outside


def hops(chip: Chip, chips: int) -> int:
    """Messages one after another in an all-reduce: along each axis of a torus, or up a tree."""
    inside = min(chips, chip.group)
    groups = chips // inside
    if chip.axes == 1:
        return 2 * math.ceil(math.log2(chips))
    return 2 * sum(size - 1 for size in axes(inside, chip.axes)) + 2 * math.ceil(math.log2(groups))


def axes(chips: int, number: int) -> list[int]:
    """Sizes of a torus's axes, as equal as powers of two can be."""
    doublings = round(math.log2(chips))
    return [2 ** (doublings // number + (axis < doublings % number)) for axis in range(number)]


def counted(costs: dict[str, dict[str, float]]) -> list[list[str]]:
    """What was counted, a row a network."""
    rows = [["network", "parameters", "GFLOP an example", "MB an example, float32"]]
    rows[0] += ["all-reduces a step", "MB all-reduced"]
    for name, of_work in costs.items():
        least, most = (of_work[f"{kind}_an_example"] / 1e6 for kind in ("product_bytes", "bytes"))
        rows.append([
            name,
            f"{of_work['parameters']:,.0f}",
            f"{of_work['flops_an_example'] / 1e9:.3g}",
            f"{least:,.0f} to {most:,.0f}",
            f"{of_work['all_reduces']:.0f}",
            f"{of_work['all_reduce_bytes'] / 1e6:.4g}",
        ])  # fmt: skip
    return rows


def estimated(costs: dict[str, float], batch: int) -> list[list[str]]:
    """Milliseconds of a step's parts, a row a chip and number of chips."""
    rows = [["chip", "chips", "arithmetic", "memory", "all-reduce", "waiting"]]
    rows[0] += ["input", "bound by", "examples/s at most", "of linear", "examples to hide it"]
    for name, chip in ACCELERATORS.items():
        alone = estimate(costs, chip, batch, 1).seconds
        for chips in CHIPS:
            step = estimate(costs, chip, batch, chips)
            memory = f"{1e3 * step.memory:.2f} to {1e3 * step.memory_unfused:.2f}"
            times = (step.gradients, step.waiting, step.input)
            exchange = (step.gradients + step.waiting) * chip.flops / costs["flops_an_example"]
            rows.append([
                name,
                f"{chips:,}",
                f"{1e3 * step.arithmetic:.2f}",
                memory,
                *(f"{1e3 * seconds:.2f}" for seconds in times),
                step.bound,
                f"{float(f'{chips * batch / step.seconds:.2g}'):,.0f}",
                f"{alone / step.seconds:.0%}",
                f"{math.ceil(exchange):,}",
            ])  # fmt: skip
    return rows


def tables() -> str:
    """All tables in Markdown."""
    costs = json.loads(COSTS.read_text())
    parts = [("What XLA counts in a training step", counted(costs))]
    for name, batch in BATCHES.items():
        title = f"{name}, {batch} examples on each chip, milliseconds a step"
        parts.append((title, estimated(costs[name], batch)))
    texts = []
    for title, (head, *rows) in parts:
        lines = [head, ["---"] * len(head), *rows]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        texts.append(f"**{title}**\n\n{table}")
    return "\n\n".join(texts)


def renewed(page: str) -> str:
    """The page with the tables between its marks replaced."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="compile both steps anew")
    if parser.parse_args().measure:
        from benchmarks.costs import NETWORKS, decoding, gathering, measure

        measured = {name: measure(network) for name, network in NETWORKS.items()}
        measured["ResNet-50"]["reading"] = decoding()
        measured["captcha reader"]["reading"] = gathering(NETWORKS["captcha reader"])
        COSTS.write_text(json.dumps(measured, indent=2) + "\n")
    PAGE.write_text(renewed(PAGE.read_text()))
