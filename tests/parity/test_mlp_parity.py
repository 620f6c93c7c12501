import numpy as np
import pytest
import torch
from harness import check_parity

from benchmarks.torch_models.mlp import MLP as TorchMLP
from flax_models import MLP


@pytest.mark.parametrize(("batch", "shape"), [(1, (7,)), (5, (3, 11))])
def test_mlp_is_its_twin(batch, shape):
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    check_parity(MLP((13, 9, 5)), TorchMLP(x[0].size, (13, 9, 5)), x)
