"""The tables of docs/performance.md, from results.jsonl: ``python -m benchmarks.table``.

Of the newest run that has a control of the host's speed, each row's median process, beside
the run before; and how many rows agree of the newest two runs that had the same allocator and
settings of it.
"""

import itertools
import json
from pathlib import Path

from benchmarks.rounds import by_network, spread

ROWS = Path(__file__).with_name("results.jsonl")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin (python -m benchmarks.table writes this) -->", "<!-- table: end -->"
HEADER = [
    "network", "mode", "ratio [spread]", "run before", "fastest PyTorch", "ms", "ours, ms",
    "plain Flax",
]  # fmt: skip


Run = dict[tuple[str, str], dict]
"""Rows by network and mode."""

AGREE = 0.10
"""So much of the smaller of two ratios may lie between them."""


def by_run(rows: list[dict]) -> list[Run]:
    """The rows of each run of the whole bench, oldest first, by network and mode.

    Rows before ``run`` was noted belong to their day.
    """
    runs: dict[str, list[dict]] = {}
    for row in rows:
        if "control_cpu_milliseconds" in row:
            runs.setdefault(_run(row), []).append(row)
    return [by_network(runs[name]) for name in sorted(runs)]


def _run(row: dict) -> str:
    return row.get("run", row["date"][:10])


def alike(runs: list[Run]) -> tuple[Run, Run]:
    """The newest two runs, one after the other, of the same allocator and settings of it."""

    def settings(run: Run) -> set[tuple[str, str]]:
        return {(row.get("preloaded", ""), row.get("glibc_tunables", "")) for row in run.values()}

    pairs = list(itertools.pairwise(runs))
    return next(pair for pair in reversed(pairs) if settings(pair[0]) == settings(pair[1]))


def agreement(before: Run, newest: Run) -> str:
    """How many rows of two runs have nearly the same ratio, and which have not."""
    both = [key for key in newest if key in before]
    settled = [key for key in both if not (newest[key]["no_verdict"] or before[key]["no_verdict"])]
    apart = []
    for key in settled:
        one, other = newest[key]["ratio"], before[key]["ratio"]
        if max(one, other) / min(one, other) - 1 > AGREE:
            apart.append(f"{' '.join(key)} ({other:.2f}, {one:.2f})")
    begun = " and ".join(_run(next(iter(run.values())))[:16] for run in (before, newest))
    share = f"{len(settled) - len(apart)} of {len(both)}"
    text = f"Of the runs that began at {begun}, {share} rows agree within {AGREE:.0%}"
    return text + (f"; these do not: {', '.join(apart)}." if apart else ".")


def line(row: dict, before: dict | None) -> list[str]:
    """One row of the table, with its ratio of the run before."""
    low, high = spread(row)
    verdict = f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"
    plain = f"{row['ratio_plain_flax']:.2f}" if "ratio_plain_flax" in row else ""
    return [
        row["name"],
        row["mode"],
        f"none: {row['no_verdict']}" if row["no_verdict"] else verdict,
        f"{before['ratio']:.2f}" if before and not before["no_verdict"] else "",
        row["fastest_torch"].removeprefix("torch "),
        f"{row['milliseconds'][row['fastest_torch']]:.3g}",
        _ours(row),
        plain,
    ]


def _ours(row: dict) -> str:
    fastest = row.get("fastest_ours", "ours")
    return f"{row['milliseconds'][fastest]:.3g}{fastest.removeprefix('ours').replace(' ', ', ', 1)}"


def starts(row: dict) -> list[str]:
    """How processes of a network start, and what memory they take."""
    cells = [row["name"]]
    for start in row["starts"].values():
        cells += [f"{start['first_step']:.1f}", f"{start['peak_mib']:.0f}"]
    return cells


def has_starts(run: Run) -> bool:
    """Whether a run measured how processes start."""
    return any("starts" in row for row in run.values())


def table() -> str:
    """Both tables in Markdown, and between them how well the runs agree.

    How processes start is of the newest run that measured it.
    """
    runs = by_run([json.loads(text) for text in ROWS.read_text().splitlines()])
    before, newest = runs[-2:]
    rows = list(next(run for run in reversed(runs) if has_starts(run)).values())
    of_starts = ["network"]
    for name in ("first", "second", "torch"):
        of_starts += [f"{name}, s", f"{name}, MiB"]
    ratios, of_processes = (
        "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
        for head, lines in (
            (HEADER, [line(row, before.get(key)) for key, row in newest.items()]),
            (of_starts, [starts(row) for row in rows if "starts" in row]),
        )
    )
    return "\n\n".join([ratios, agreement(*alike(runs)), of_processes])


def renewed(page: str) -> str:
    """The page with the tables between its marks replaced."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
