import numpy as np
import pytest
import torch
from harness import check_parity

from benchmarks.torch_models.captioner import Captioner as TorchCaptioner
from flax_models import Captioner


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_captioner_is_its_twin(cell):
    sizes = {"widths": (3, 4), "embedding_size": 5, "hidden_size": 6}
    layers = 2 if cell == "lstm" else 1
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 9, 8, 2)).astype(np.float32)
    torch.manual_seed(0)
    check_parity(
        Captioner(11, cell, num_layers=layers, **sizes),
        TorchCaptioner(11, cell, (9, 8), 2, num_layers=layers, **sizes),
        images,
        rng.integers(0, 11, (4, 5)),
    )
