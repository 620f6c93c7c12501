"""Chrono initialisation: which biases move, and how far."""

import jax
import numpy as np
import pytest

from flax_models import GRU, LSTM, RNN, chrono_init

LONGEST = 50


def changes(layer):
    """How far each gate's biases move, by parameter and gate."""
    x = np.zeros((1, 2, 3), np.float32)
    before = jax.jit(layer.init)(jax.random.key(0), x)["params"]
    after = chrono_init(jax.random.key(1), before, layer, LONGEST)
    assert after.keys() == before.keys()
    moved = {name: np.asarray(after[name] - before[name]) for name in before}
    assert all(not moved[name].any() for name in moved if not name.startswith("bias_ih"))
    return {
        name: dict(zip(layer.gates, np.split(moved[name], len(layer.gates)), strict=True))
        for name in moved
        if name.startswith("bias_ih")
    }


@pytest.mark.parametrize(("cell", "remembers"), [(LSTM, "forget"), (GRU, "update")])
def test_gates_remember_for_up_to_the_longest_span(cell, remembers):
    of_layers = changes(cell(200, num_layers=2, bidirectional=True))
    assert len(of_layers) == 4
    for gates in of_layers.values():
        # a gate at s / (1 + s) forgets within s steps: s uniform between 1 and longest - 1
        spans = np.exp(gates[remembers])
        assert spans.min() >= 0.99
        assert spans.max() <= LONGEST - 0.99
        assert spans.mean() == pytest.approx(LONGEST / 2, rel=0.15)
        if cell is LSTM:
            np.testing.assert_allclose(gates["input"], -gates["forget"], atol=1e-5)
        others = gates.keys() - {remembers, "input"}
        assert all(not gates[gate].any() for gate in others)
    assert len({gates[remembers][0] for gates in of_layers.values()}) == 4


def test_a_layer_without_gates_stays_as_it_is():
    (gates,) = changes(RNN(4)).values()
    assert not gates["hidden"].any()


def test_a_span_needs_three_steps():
    with pytest.raises(ValueError, match="longest: expected 3 steps or more, got 2"):
        chrono_init(jax.random.key(0), {}, GRU(4), 2)
