"""The benchmark compares equal work, in turns, and gives no verdict on a loaded machine."""

import ctypes
import time
from functools import partial

import pytest

from benchmarks.__main__ import in_words, measure
from benchmarks.measure import Control, interleave, ratio, why_no_verdict
from benchmarks.plain import in_small_pages
from benchmarks.variants import check_equal, variants
from train.allocator import would_help

PR_GET_THP_DISABLE = 42


def test_a_ratio_is_the_time_of_one_over_the_other():
    times = interleave({"slow": lambda: time.sleep(0.03), "fast": lambda: time.sleep(0.01)}, 4)
    compared = ratio(times["slow"], times["fast"])
    assert compared.low <= compared.median <= compared.high
    assert 2 < compared.median < 4
    assert max(times["slow"].cpu) < 0.01  # asleep, not at work


def test_what_it_costs_to_take_turns_is_not_timed():
    last = ""

    def call(name):
        nonlocal last
        time.sleep(0.005 if last == name else 0.1)
        last = name

    times = interleave({name: partial(call, name) for name in "ab"}, 2)
    assert max(times["a"].wall + times["b"].wall) < 0.05


@pytest.mark.skipif(not would_help(), reason="this kernel gives large pages to all or to none")
def test_plain_flax_has_no_large_pages():
    prctl = ctypes.CDLL(None).prctl
    assert in_small_pages(lambda: prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0))() == 1
    assert prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", {"ours", "torch eager", "torch one thread"}),
        ("gru", {"ours", "torch eager", "torch one thread"}),
        ("ctc-small", {"ours", "optax", "torch eager", "torch one thread"}),
        (
            "dcgan-discriminator",
            {"ours", "plain flax", "torch eager", "torch channels-last", "torch one thread"},
        ),
    ],
)
def test_a_row_says_what_was_measured(name, expected):
    rows = [
        measure(name, mode, calls, blocks=1) for mode, calls in variants(name, with_compile=False)
    ]
    assert [row["mode"] for row in rows] == (
        ["train", "infer"] if name != "ctc-small" else ["train"]
    )
    for row in rows:
        assert row["milliseconds"].keys() == row["cpu_milliseconds"].keys() == expected
        assert row["fastest_torch"].startswith("torch")
        assert row["ratio"] > 0
        assert ("ratio_plain_flax" in row) == ("plain flax" in expected)
        assert "ratio" in in_words({**row, "no_verdict": None})
        assert "no verdict: because" in in_words({**row, "no_verdict": "because"})


def test_no_verdict_on_a_loaded_or_changing_host():
    calm = Control(wall=10.1, cpu=10.0)
    assert why_no_verdict(0.02, calm, Control(11.0, 10.9)) is None
    assert "other processes take 20%" in why_no_verdict(0.2, calm, calm)
    assert "has to wait 50% longer" in why_no_verdict(0.02, calm, Control(15.0, 10.0))
    assert "speed changed by 30%" in why_no_verdict(0.02, calm, Control(13.1, 13.0))


def test_unequal_networks_are_not_compared():
    check_equal({"ours": 1.0, "torch eager": 1.00001})
    with pytest.raises(AssertionError, match="unequal losses"):
        check_equal({"ours": 1.0, "torch eager": 1.001})
