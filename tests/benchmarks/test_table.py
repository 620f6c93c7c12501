"""The performance page's tables: rows by run, and how far two runs agree."""

import json

from benchmarks.rounds import spread
from benchmarks.table import BEGIN, END, ROWS, agreement, alike, by_run, renewed


def row(run, name, ratio, **more):
    return {
        "run": run,
        "date": "2026-11-28 19:00",
        "name": name,
        "mode": "train",
        "ratio": ratio,
        "ratio_quartiles": [1.1, 1.5],
        "no_verdict": None,
        "control_cpu_milliseconds": [1, 1],
        **more,
    }


def test_a_run_has_the_median_of_its_processes():
    rows = [
        {"date": "2026-11-25 21:07", "name": "mlp", "mode": "train", "ratio": 9},  # no control
        row("2026-11-28 18:00:00", "mlp", 1.3, starts={"first": {}}),
        row("2026-11-28 19:00:00", "mlp", 1.2),
        row("2026-11-28 18:00:00", "mlp", 1.1),
        row("2026-11-28 18:00:00", "mlp", 0.7),
        row("2026-11-28 18:00:00", "mlp", 0.1, no_verdict="other processes take 50%"),
    ]
    first, second = by_run(rows)
    assert first["mlp", "train"]["ratio"] == 1.1
    assert spread(first["mlp", "train"]) == (0.7, 1.3)
    assert "starts" in first["mlp", "train"]
    assert second["mlp", "train"]["ratio"] == 1.2
    assert spread(second["mlp", "train"]) == (1.1, 1.5)


def test_a_row_without_any_verdict_has_none():
    rows = [row("2026-11-28 18:00:00", "mlp", 1.3, no_verdict="other processes take 50%")] * 2
    assert by_run(rows)[0]["mlp", "train"]["no_verdict"]


def test_agreement_counts_rows_within_a_tenth_and_names_the_others():
    before, newest = by_run(
        [
            row("2026-11-28 18:00:00", "mlp", 1.00),
            row("2026-11-28 18:00:00", "cnn", 1.00),
            row("2026-11-28 18:00:00", "rnn", 1.00),
            row("2026-11-28 19:00:00", "mlp", 1.09),
            row("2026-11-28 19:00:00", "cnn", 0.90),
            row("2026-11-28 19:00:00", "rnn", 1.00, no_verdict="other processes take 50%"),
            row("2026-11-28 19:00:00", "vit", 1.00),
        ]
    )
    assert agreement(before, newest) == (
        "Of the runs that began at 2026-11-28 18:00 and 2026-11-28 19:00, 1 of 3 rows agree within "
        "10%; these do not: cnn train (1.00, 0.90)."
    )


def test_runs_under_other_settings_are_not_compared():
    first, second, other = runs = by_run(
        [
            row("2026-11-28 18:00:00", "mlp", 1.0),
            row("2026-11-28 19:00:00", "mlp", 1.1),
            row("2026-11-28 20:00:00", "mlp", 1.9, glibc_tunables="glibc.malloc.hugetlb=1"),
        ]
    )
    assert alike(runs) == (first, second)
    assert alike([*runs, other]) == (other, other)


def test_the_page_is_written_anew_between_its_marks():
    page = renewed(f"before\n{BEGIN}\nold\n{END}\nafter")
    assert page.startswith(f"before\n{BEGIN}\n\n| network | mode |")
    assert page.endswith(f"{END}\nafter")
    newest = by_run([json.loads(text) for text in ROWS.read_text().splitlines()])[-1]
    assert all(f"| {name} | {mode} |" in page for name, mode in newest)
