import numpy as np
import pytest
import torch
from harness import check_parity, check_parity_in_double

from benchmarks.torch_models.vgg import VGG as TorchVGG
from flax_models import VGG


@pytest.mark.parametrize(
    ("depth", "batch_norm", "pooled_size", "shape"),
    [
        (11, False, 2, (2, 71, 49, 3)),
        (11, True, 1, (3, 48, 48, 1)),
        (16, True, 3, (2, 53, 49, 3)),
        pytest.param(13, False, 7, (1, 49, 48, 3), marks=pytest.mark.slow),
        pytest.param(19, True, 1, (2, 49, 48, 3), marks=pytest.mark.slow),
    ],
)
def test_vgg_is_its_twin(depth, batch_norm, pooled_size, shape):
    torch.manual_seed(0)
    options = {"hidden_features": 48, "pooled_size": pooled_size, "dropout_rate": 0.0}
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    model = VGG(depth, 10, batch_norm, **options)
    check_parity(model, TorchVGG(depth, 10, batch_norm, in_channels=shape[-1], **options), images)


@pytest.mark.slow
def test_vgg16_is_its_twin_in_double_precision():
    """Without norm, ten steps in float32 drift 2e-4 apart from where their gradients agree."""
    torch.manual_seed(0)
    options = {"hidden_features": 48, "dropout_rate": 0.0}
    images = np.random.default_rng(0).normal(size=(1, 49, 48, 3)).astype(np.float32)
    check_parity_in_double(VGG(16, 10, **options), TorchVGG(16, 10, **options), images)
