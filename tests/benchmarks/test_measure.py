"""The benchmark compares equal work, in turns, and gives no verdict on a loaded machine."""

import dataclasses
import time

import pytest

from benchmarks.__main__ import in_words, measure
from benchmarks.cases import CASES, Network
from benchmarks.measure import interleave, ratio


def test_a_ratio_is_the_time_of_one_over_the_other():
    times = interleave({"slow": lambda: time.sleep(0.03), "fast": lambda: time.sleep(0.01)}, 4)
    compared = ratio(times["slow"], times["fast"])
    assert compared.low <= compared.median <= compared.high
    assert 2 < compared.median < 4
    assert max(times["slow"].cpu) < 0.01  # asleep, not at work


@pytest.mark.parametrize("name", ["mlp", "gru", "ctc-small"])
def test_a_row_says_what_was_measured(name):
    rows = [
        measure(name, mode, variants, blocks=1, busy=0.0)
        for mode, variants in CASES[name].variants()
    ]
    assert [row["mode"] for row in rows] == (
        ["train", "infer"] if name != "ctc-small" else ["train"]
    )
    for row in rows:
        assert row["fastest_torch"].startswith("torch")
        assert row["ratio"] > 0
        assert "ratio" in in_words(row)
        assert "no verdict" in in_words({**row, "busy_share": 0.5})


def test_unequal_networks_are_not_compared():
    case = CASES["mlp"]
    wrong = dataclasses.replace(case, twin=lambda: WrongTwin(case.twin()))
    assert isinstance(wrong, Network)
    with pytest.raises(AssertionError, match="losses"):
        list(wrong.variants())


class WrongTwin:
    """Doubles its network's outputs."""

    def __init__(self, network):
        self.network = network

    def __getattr__(self, name):
        return getattr(self.network, name)

    def __call__(self, inputs):
        return 2 * self.network(inputs)
