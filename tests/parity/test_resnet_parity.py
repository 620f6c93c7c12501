import numpy as np
import pytest
import torch
from harness import check_parity, check_parity_in_double

from benchmarks.torch_models.resnet import CifarResNet as TorchCifarResNet
from benchmarks.torch_models.resnet import ResNet as TorchResNet
from flax_models import CifarResNet, resnet18, resnet34, resnet50, resnet101, resnet152


@pytest.fixture(autouse=True)
def _seed():
    """One whose weights put no activation too near a kink.

    With others, noise of 1e-7 on the inputs changes PyTorch's own float64 gradient of a ResNet-50
    by 3e-3.
    """
    torch.manual_seed(1)


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (CifarResNet(20), (3, 17, 19, 3)),
        (CifarResNet(14, shortcut="projection", num_classes=7), (1, 12, 9, 1)),
        (CifarResNet(8), (2, 8, 8, 3)),
        (CifarResNet(20, scan=True, remat=True), (2, 9, 9, 3)),
    ],
)
def test_cifar_resnet_is_its_twin(model, shape):
    twin = TorchCifarResNet(model.depth, model.num_classes, model.shortcut, shape[-1])
    check_parity(model, twin, images(*shape))


@pytest.mark.parametrize(
    ("make", "shape", "small_images"),
    [
        (resnet18, (3, 70, 65, 3), False),
        (resnet18, (1, 23, 19, 3), True),
        (resnet50, (2, 67, 65, 3), False),
        pytest.param(resnet34, (2, 70, 65, 3), False, marks=pytest.mark.slow),
    ],
)
def test_resnet_is_its_twin(make, shape, small_images):
    model = make(num_classes=11, small_images=small_images)
    twin = TorchResNet(model.stage_sizes, model.bottleneck, 11, small_images)
    check_parity(model, twin, images(*shape))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (resnet18, (2, 40, 37, 3)),
        pytest.param(resnet50, (2, 67, 65, 3), marks=pytest.mark.slow),
        pytest.param(resnet101, (2, 67, 65, 3), marks=pytest.mark.slow),
        pytest.param(resnet152, (2, 67, 65, 3), marks=pytest.mark.slow),
    ],
)
def test_resnet_is_its_twin_in_double_precision(make, shape):
    model = make(num_classes=5)
    twin = TorchResNet(model.stage_sizes, model.bottleneck, 5)
    check_parity_in_double(model, twin, images(*shape))
