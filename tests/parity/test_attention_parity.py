import numpy as np
import pytest
import torch
from harness import check_parity

import benchmarks.torch_models.attention as twins
from flax_models.attention import AdditiveAttention, DotAttention, MultiHeadAttention


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


MASK = (np.arange(5) < np.array([5, 2, 3])[:, None])[:, None]


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_additive(mask):
    torch.manual_seed(0)
    check_parity(
        AdditiveAttention(7),
        twins.AdditiveAttention(4, 3, 7),
        random(3, 1, 4),
        random(3, 5, 3, seed=1),
        random(3, 5, 2, seed=2),
        mask,
    )


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_multi_head(mask):
    torch.manual_seed(0)
    check_parity(
        MultiHeadAttention(3),
        twins.MultiHeadAttention(6, 3),
        random(3, 4, 6),
        random(3, 5, 6, seed=1),
        random(3, 5, 6, seed=2),
        mask,
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_dot_has_no_parameters_and_the_same_outputs(scaled):
    arrays = random(3, 4, 6), random(3, 5, 6, seed=1), random(3, 5, 2, seed=2)
    got = DotAttention(scaled).apply({}, *arrays, MASK)
    want = twins.DotAttention(scaled)(*map(torch.from_numpy, (*arrays, MASK)))
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(theirs.abs().max()))
