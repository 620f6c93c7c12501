"""Rounds of processes leave all their rows, and one for each network."""

import json

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
