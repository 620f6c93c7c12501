import numpy as np
import pytest
import torch
from harness import check_parity

from benchmarks.torch_models.crnn import CRNN as TorchCRNN
from flax_models.crnn import CRNN


@pytest.mark.parametrize(
    ("batch", "height", "width", "widths", "layers", "image_widths"),
    [
        (3, 9, 23, (6, 4), 2, np.array([23, 9, 16])),
        # As wide as the stem, so without a projection: its gradient for a single image nearly
        # cancels, and torch's own in float32 is 3e-4 away from its float64.
        (1, 10, 16, (4,), 1, None),
    ],
)
def test_crnn_is_its_twin(batch, height, width, widths, layers, image_widths):
    sizes = {
        "stem_features": 4,
        "widths": widths,
        "dense_features": 7,
        "hidden_size": 5,
        "num_layers": layers,
        "dropout_rate": 0.0,
    }
    torch.manual_seed(0)
    images = np.random.default_rng(0).normal(size=(batch, height, width, 2)).astype(np.float32)
    twin = TorchCRNN(6, height, channels=2, **sizes)
    check_parity(CRNN(6, **sizes), twin, images, image_widths)
