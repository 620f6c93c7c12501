import numpy as np
import pytest
import torch
from harness import check_parity

from benchmarks.torch_models.seq2seq import Seq2Seq as TorchSeq2Seq
from flax_models.seq2seq import Seq2Seq


# Scaled dot attention has no parameters: test_attention_parity.py compares it.
@pytest.mark.parametrize("attention", ["additive", "dot", "multi_head"])
def test_seq2seq_is_its_twin(attention):
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_heads": 2, "attention": attention}
    layers = 2 if attention == "dot" else 1
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 9, (4, 7)), rng.integers(0, 11, (4, 5))
    torch.manual_seed(0)
    check_parity(
        Seq2Seq(9, 11, num_layers=layers, **sizes),
        TorchSeq2Seq(9, 11, num_layers=layers, **sizes),
        source,
        target,
        np.array([7, 3, 1, 6]),
    )


def test_one_source_without_lengths():
    torch.manual_seed(1)
    twin = TorchSeq2Seq(9, 11, 3, 4)
    check_parity(Seq2Seq(9, 11, 3, 4), twin, np.array([[3, 8, 0]]), np.array([[5, 10]]))
