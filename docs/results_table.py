"""Write the README's results table from the summaries of run folders: ``make results``.

Each folder of ``docs/runs`` holds the ``config.json`` and ``summary.json`` of one run, copied as
they are. Runs that differ in nothing but the seed share a line.
"""

import json
import statistics
from collections import defaultdict
from pathlib import Path

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- results: begin (make results writes this) -->", "<!-- results: end -->"
HEADER = [
    "recipe",
    "data",
    "settings",
    "test metric",
    "baseline",
    "seconds",
    "device",
    "seeds",
    "date",
]


def headline(summary: dict) -> tuple[str, float, str]:
    """Name and value of the figure that a practice is judged by, and its baseline's."""
    if "five_fold" in summary:
        folds = summary["five_fold"]
        return "five-fold RMSE", folds["network"]["rmse"], f"{folds['least squares']['rmse']:.2f}"
    if "bleu" in summary:
        return "BLEU", summary["bleu"]["test"]["cased"], f"{summary['baseline']['test/bleu']:.4g}"
    for key, title in (("dice", "Dice by image"), ("psnr", "PSNR by image (dB)")):
        if key in summary:
            return title, summary[key]["test"], f"{summary['baseline'][f'test/{key}']:.4g}"
    names = ("test/accuracy", "test/exact_match", "test/rmse", "test/mse", "test/frechet_distance")
    name = next((name for name in names if name in summary["metrics"]), "test/loss")
    baseline = summary["baseline"][name]
    return name.removeprefix("test/"), summary["metrics"][name], f"{baseline:.4g}"


def line(summaries: list[dict], told_apart_by: str) -> list[str]:
    """One row of the table for runs that differ in the seed."""
    names, values, baselines = zip(*map(headline, summaries), strict=True)
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    first = summaries[0]
    return [
        f"`{first['recipe']}`",
        first["data"],
        told_apart_by,
        f"{names[0]} {statistics.mean(values):.4g}{spread}",
        baselines[0],
        f"{statistics.mean(s['seconds'] for s in summaries):.0f}",
        first["device"],
        ", ".join(str(s["seed"]) for s in summaries),
        max(s["date"] for s in summaries),
    ]


def table() -> str:
    """The whole table in Markdown."""
    groups = defaultdict(list)
    for folder in sorted(path.parent for path in DOCS.glob("runs/*/summary.json")):
        settings = json.loads((folder / "config.json").read_text())["settings"]
        summary = json.loads((folder / "summary.json").read_text())
        settings_but_seed = {k: v for k, v in settings.items() if k not in {"seed", "data_dir"}}
        groups[summary["recipe"], json.dumps(settings_but_seed)].append(summary)
    # rows of one recipe on one kind of data are told apart by the settings in which they differ
    alike = defaultdict(list)
    for (recipe, settings), summaries in groups.items():
        alike[recipe, summaries[0]["data"]].append(json.loads(settings))
    rows = [HEADER, ["---"] * len(HEADER)]
    for (recipe, settings), summaries in groups.items():
        others = alike[recipe, summaries[0]["data"]]
        apart = [
            f"{name} {value}"
            for name, value in json.loads(settings).items()
            if any(other.get(name) != value for other in others)
        ]
        rows.append(line(summaries, ", ".join(apart)))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def renewed(readme: str) -> str:
    """The README with the table between its marks replaced."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
