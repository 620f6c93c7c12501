"""Many to one: the last real step answers, and padding never counts."""

import jax
import numpy as np
import pytest

from flax_models import CELLS, ManyToOne

CELL_NAMES = sorted(CELLS)


def sequences(batch=4, steps=6, features=3, seed=0):
    shape = (batch, steps, features)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_it_is_a_dense_layer_on_the_last_output(cell):
    model, x = ManyToOne(2, cell, 5, num_layers=2), sequences()
    variables = model.init(jax.random.PRNGKey(0), x)
    recurrent, head = (variables["params"][name] for name in ("recurrent", "head"))
    outputs, _ = CELLS[cell](5, 2).apply({"params": recurrent}, x)
    want = outputs[:, -1] @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(model.apply(variables, x), want, atol=1e-6)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_padding_never_changes_a_result(cell):
    model, x = ManyToOne(2, cell, 5), sequences()
    variables = model.init(jax.random.PRNGKey(0), x)
    lengths = np.array([6, 1, 3, 4])
    padded = np.concatenate([x, 1e3 * sequences(steps=5, seed=1)], axis=1)
    padded = np.where(np.arange(11)[:, None] < lengths[:, None, None], padded, 77.0)
    got = model.apply(variables, padded, lengths)
    for row, length in enumerate(lengths):
        alone = model.apply(variables, x[row : row + 1, :length])
        np.testing.assert_allclose(got[row : row + 1], alone, atol=1e-6)


def test_an_unknown_cell_is_named():
    with pytest.raises(ValueError, match="cell: expected one of rnn, lstm, gru, got 'elman'"):
        ManyToOne(1, "elman").init(jax.random.PRNGKey(0), sequences())
