"""The tables of docs/performance.md, from results.jsonl: ``python -m benchmarks.table``.

Of the newest day that has a control of the host's speed.
"""

import json
from pathlib import Path

ROWS = Path(__file__).with_name("results.jsonl")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin (python -m benchmarks.table writes this) -->", "<!-- table: end -->"
HEADER = ["network", "mode", "ratio [quartiles]", "fastest PyTorch", "ms", "ours, ms", "plain Flax"]


def newest(rows: list[dict]) -> list[dict]:
    """The rows of the newest run, in its order."""
    controlled = [row for row in rows if "control_cpu_milliseconds" in row]
    day = max(row["date"] for row in controlled)[:10]
    return [row for row in controlled if row["date"].startswith(day)]


def line(row: dict) -> list[str]:
    """One row of the table."""
    low, high = row["ratio_quartiles"]
    verdict = f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"
    plain = f"{row['ratio_plain_flax']:.2f}" if "ratio_plain_flax" in row else ""
    return [
        row["name"],
        row["mode"],
        f"none: {row['no_verdict']}" if row["no_verdict"] else verdict,
        row["fastest_torch"].removeprefix("torch "),
        f"{row['milliseconds'][row['fastest_torch']]:.3g}",
        f"{row['milliseconds']['ours']:.3g}",
        plain,
    ]


def starts(row: dict) -> list[str]:
    """How processes of a network start, and what memory they take."""
    cells = [row["name"]]
    for start in row["starts"].values():
        cells += [f"{start['first_step']:.1f}", f"{start['peak_mib']:.0f}"]
    return cells


def table() -> str:
    """Both tables in Markdown."""
    rows = newest([json.loads(text) for text in ROWS.read_text().splitlines()])
    of_starts = ["network"]
    for name in ("first", "second", "torch"):
        of_starts += [f"{name}, s", f"{name}, MiB"]
    return "\n\n".join(
        "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
        for head, lines in (
            (HEADER, list(map(line, rows))),
            (of_starts, [starts(row) for row in rows if "starts" in row]),
        )
    )


def renewed(page: str) -> str:
    """The page with the tables between its marks replaced."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
