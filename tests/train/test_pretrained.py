"""Convolutions of a VGG from files, and rules of their own for them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax.traverse_util import flatten_dict

from benchmarks.torch_models.resnet import ResNet as TorchResNet
from benchmarks.torch_models.vgg import VGG as TorchVGG
from flax_models import VGG
from train.errors import UsageError
from train.pretrained import load_features, transfers
from train.weights import save_torch


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    """A file of torchvision's names, and its tensors."""
    torch.manual_seed(0)
    twin = TorchVGG(16, 5, hidden_features=4, pooled_size=1)
    tensors = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    save_torch(path, tensors)
    return path, tensors


def test_every_convolution_of_a_torch_file_is_placed(vgg16):
    path, tensors = vgg16
    features = flatten_dict(load_features(str(path), VGG(16, 10, hidden_features=8)), sep="/")
    assert len(features) == 26  # 13 kernels and biases
    for name, tensor in tensors.items():
        if name.startswith("features."):
            module, leaf = name.replace("features.", "features_").split(".")
            mine = features[f"params/{module}/{'kernel' if leaf == 'weight' else leaf}"]
            theirs = tensor.transpose(2, 3, 1, 0) if leaf == "weight" else tensor
            np.testing.assert_array_equal(mine, theirs, err_msg=name)


def test_a_network_of_other_sizes_is_told_which(vgg16):
    path, _ = vgg16
    with pytest.raises(UsageError) as error:
        load_features(str(path), VGG(11, 10, batch_norm=True, width=32))
    assert str(error.value) == (
        f"{path}: weights of vgg16 of width 64 without batch norm, not of vgg11 of width 32 with "
        "batch norm; give --depth 16 --width 64 --batch-norm=false"
    )


def test_another_architecture_is_named(tmp_path):
    path = tmp_path / "weights.pth"
    twin = TorchResNet((2, 2, 2, 2), False, 5, small_images=True)
    save_torch(path, {name: tensor.numpy() for name, tensor in twin.state_dict().items()})
    with pytest.raises(UsageError, match=r"weights\.pth: weights of resnet18; a VGG needs .*vgg16"):
        load_features(str(path), VGG(11, 10))
    save_torch(path, {"layer.weight": np.ones((2, 2), np.float32)})
    with pytest.raises(UsageError, match="weights of an unknown architecture"):
        load_features(str(path), VGG(11, 10))


def test_what_holds_no_weights_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.pth: no such file of weights"):
        load_features(str(tmp_path / "none.pth"), VGG(11, 10))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UsageError, match=r"text\.pth: not a readable file of torch tensors"):
        load_features(str(tmp_path / "text.pth"), VGG(11, 10))


def test_convolutions_follow_their_own_rule_and_the_head_the_other():
    params = {
        "network": {
            "features_0": {"kernel": jnp.ones(2)},
            "classifier_0": {"kernel": jnp.ones(2)},
        }
    }
    gradients = jax.tree.map(jnp.ones_like, params)
    optimizer = transfers(head=optax.sgd(0.5), features=optax.sgd(0.125))
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_array_equal(updates["network"]["features_0"]["kernel"], [-0.125] * 2)
    np.testing.assert_array_equal(updates["network"]["classifier_0"]["kernel"], [-0.5] * 2)
