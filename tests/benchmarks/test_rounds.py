"""Rounds of processes leave all their rows, and one for each network."""

import json
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.rounds import measure_rounds


def test_each_round_is_a_process_and_the_row_is_of_their_median(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"run": "before", "name": "mlp", "mode": "train"}\n')
    options = ["--blocks", "1", "--no-compile"]
    (row,) = measure_rounds(["ctc-small"], 2, "now", options, with_starts=False, path=path)
    before, *processes = [json.loads(line) for line in path.read_text().splitlines()]
    assert before["run"] == "before"
    assert [one["run"] for one in processes] == ["now", "now"]
    assert row["name"] == "ctc-small"
    counted = [one for one in processes if not one["no_verdict"]] or processes
    assert row["ratios"] == sorted(one["ratio"] for one in counted)
    assert row["ratio"] == row["ratios"][0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--json", "nowhere/rows.jsonl"], "no folder nowhere for --json; make it first"),
        (["--blocks", "0"], "--rounds and --blocks are 1 or more"),
        (["nothing"], "no case nothing; there are mlp, cnn"),
    ],
)
def test_mistakes_are_said_before_anything_is_measured(options, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])
    with pytest.raises(SystemExit):
        main()
    assert said in capsys.readouterr().err


def test_a_process_that_fails_ends_the_run_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "mlp", "--no-starts"])
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a process failed, see above: ")
    assert "-m benchmarks mlp" in line
