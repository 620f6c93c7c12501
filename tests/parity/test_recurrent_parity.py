import numpy as np
import pytest
import torch
from harness import check_parity, unchanged

import benchmarks.torch_models.recurrent as twins
from flax_models.recurrent import GRU, LSTM, RNN

CELLS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", CELLS)
def test_several_lengths_both_directions_and_a_given_state(name):
    batch, steps, features, hidden, layers = 4, 7, 5, 3, 2
    torch.manual_seed(0)
    model = CELLS[name](hidden, layers, bidirectional=True)
    twin = getattr(twins, name)(features, hidden, layers, batch_first=True, bidirectional=True)
    state = random(*(2,) * (name == "LSTM"), 2 * layers, batch, hidden, seed=1)
    lengths = np.array([5, 7, 1, 6])
    check_parity(
        model,
        twin,
        random(batch, steps, features),
        lengths,
        state,
        to_twin=unchanged,
        from_twin=unchanged,
    )


@pytest.mark.parametrize("name", CELLS)
def test_one_sequence_one_layer(name):
    torch.manual_seed(1)
    twin = getattr(twins, name)(3, 7, batch_first=True)
    check_parity(CELLS[name](7), twin, random(1, 9, 3))


def test_relu_network():
    torch.manual_seed(2)
    twin = twins.RNN(3, 5, 3, nonlinearity="relu", batch_first=True)
    check_parity(RNN(5, 3, nonlinearity="relu"), twin, random(2, 5, 3))
