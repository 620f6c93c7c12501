"""The benchmark compares equal work, in turns, and gives no verdict on a loaded machine."""

import re
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks.__main__ import in_words, measure
from benchmarks.cases import CASES
from benchmarks.elsewhere import ONE_CORE, PLAIN, Elsewhere
from benchmarks.measure import Control, interleave, ratio, why_no_verdict
from benchmarks.plain import plain_flax
from benchmarks.variants import check_equal, variants


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


def test_plain_flax_has_no_lever():
    """Those that keep XLA:CPU from computing twice are conditionals."""
    model, images = CASES["cnn"].model, jnp.ones((2, 32, 32, 3))
    variables = model.init(jax.random.PRNGKey(0), images)

    def conditionals():
        gradient = jax.jit(jax.grad(lambda variables: model.apply(variables, images).sum()))
        return gradient.lower(variables).as_text().count("stablehlo.case")

    with plain_flax():
        assert conditionals() == 0
    assert conditionals() > 0


def test_plain_flax_has_the_memory_of_a_process_that_asks_for_nothing(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    monkeypatch.setenv("LD_PRELOAD", "libanothermalloc.so")
    process = Elsewhere("autoencoder", PLAIN)
    environment = Path(f"/proc/{process._process.pid}/environ")
    if environment.exists():
        assert not {"GLIBC_TUNABLES", "LD_PRELOAD"} & set(
            re.findall(r"(\w+)=", environment.read_text())
        )
    train, infer = process.variant("train"), process.variant("infer")
    first, second = train(), train()
    assert second < first
    assert infer() == 0
    process._process.kill()
    with pytest.raises(RuntimeError, match="the process of plain flax has ended"):
        train()


def test_what_runs_elsewhere_times_itself_there(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    process = Elsewhere("mlp", ONE_CORE)
    begun = time.process_time()
    times = interleave({"one core": process.variant("infer")}, 2)["one core"]
    assert time.process_time() - begun < 0.1  # it was not this process that worked
    assert min(times.cpu) > 0
    status = Path(f"/proc/{process._process.pid}/status")
    if status.exists():
        assert re.search(r"Cpus_allowed_list:\s*\d+\n", status.read_text())
    process.close()
    assert [folder.name for folder in tmp_path.iterdir()] == ["compiled-one-core"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", {"ours", "ours one core", "torch eager", "torch one thread"}),
        ("gru", {"ours", "ours one core", "torch eager", "torch one thread"}),
        ("ctc-small", {"ours", "ours one core", "optax", "torch eager", "torch one thread"}),
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
        assert row["fastest_ours"].startswith("ours")
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
