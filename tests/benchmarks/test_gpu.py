"""The table for GPUs, as far as a machine without one can show that it runs."""

import json
import subprocess
import sys

import pytest
from jax import default_backend

from benchmarks.cases import CASES, Network
from benchmarks.twins import TWINS


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_network_has_a_twin():
    assert {name for name, case in CASES.items() if isinstance(case, Network)} == set(TWINS)


def test_both_precisions_are_compared(tmp_path):
    file = tmp_path / "rows.jsonl"
    done = run("mlp", "ctc-small", "--device=cpu", "--blocks=1", "--json", file)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["name"], row["precision"], row["mode"]) for row in rows] == [
        ("mlp", "float32", "train"),
        ("mlp", "float32", "infer"),
        ("mlp", "bfloat16", "train"),
        ("mlp", "bfloat16", "infer"),
        ("ctc-small", "float32", "train"),
    ]
    assert all(row["ratio"] > 0 for row in rows)


def test_no_row_begins_after_the_time():
    done = run("mlp", "--device=cpu", "--minutes=0")
    assert done.returncode == 0
    assert done.stdout == "0.0 minutes are up before mlp in float32\n"


def test_without_a_gpu_it_says_so():
    if default_backend() == "gpu":
        pytest.fail("this test is of machines without a GPU; run benchmarks.gpu itself")
    done = run("mlp")
    assert done.returncode == 2
    assert "must both see a GPU" in done.stderr
