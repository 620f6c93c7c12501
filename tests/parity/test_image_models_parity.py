"""CNN, U-Net, autoencoders, GAN and ViT."""

import numpy as np
import pytest
import torch
from harness import check_parity, check_parity_in_double

from benchmarks.torch_models.autoencoder import VAE as TorchVAE
from benchmarks.torch_models.autoencoder import Autoencoder as TorchAutoencoder
from benchmarks.torch_models.cnn import CNN as TorchCNN
from benchmarks.torch_models.gan import Discriminator as TorchDiscriminator
from benchmarks.torch_models.gan import Generator as TorchGenerator
from benchmarks.torch_models.unet import UNet as TorchUNet
from benchmarks.torch_models.vit import ViT as TorchViT
from flax_models import CNN, VAE, Autoencoder, Discriminator, Generator, UNet, ViT


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("padding_mode", "shape"),
    [("zeros", (1, 17, 13, 1)), ("reflect", (3, 24, 19, 3)), ("replicate", (2, 16, 17, 2))],
)
def test_cnn_is_its_twin(padding_mode, shape):
    options = {"widths": (6, 8, 10), "hidden_features": (20, 12), "padding_mode": padding_mode}
    twin = TorchCNN(shape[1:3], shape[-1], **options)
    check_parity(CNN(**options), twin, normal(*shape))


@pytest.mark.parametrize(
    ("depth", "skip", "upsampling", "padding_mode", "shape"),
    [
        (3, "concatenate", "transposed", "zeros", (2, 29, 27, 3)),
        (2, "add", "bilinear", "reflect", (1, 13, 15, 1)),
        (2, "concatenate", "bilinear", "replicate", (2, 12, 17, 2)),
        (1, "add", "transposed", "zeros", (1, 7, 6, 1)),
    ],
)
def test_unet_is_its_twin(depth, skip, upsampling, padding_mode, shape):
    options = (2, 6, depth, skip, upsampling, True, padding_mode)
    # Gradients that cancel to little differ by float32's last digit of the largest gradient, which
    # of them by how much changes from one version of XLA to the next.
    check_parity_in_double(UNet(*options), TorchUNet(shape[-1], *options), normal(*shape))


def test_unet_without_norm_is_its_twin():
    options = {"width": 6, "depth": 2, "use_norm": False}
    check_parity(UNet(**options), TorchUNet(3, **options), normal(2, 13, 14, 3))


CODERS = [
    ({"kind": "dense", "channels": 2, "widths": (20, 12), "latent_features": 5}, (3, 7, 6, 2)),
    (
        {"kind": "convolutional", "channels": 3, "widths": (6, 8), "latent_features": 5},
        (1, 9, 11, 3),
    ),
]


@pytest.mark.parametrize(("options", "shape"), CODERS)
def test_autoencoder_is_its_twin(options, shape):
    check_parity(Autoencoder(**options), TorchAutoencoder(shape[1:3], **options), normal(*shape))


@pytest.mark.parametrize(("options", "shape"), CODERS)
def test_vae_is_its_twin(options, shape):
    noise = normal(shape[0], options["latent_features"])
    check_parity(VAE(**options), TorchVAE(shape[1:3], **options), normal(*shape), noise)


@pytest.mark.parametrize(("image_size", "batch"), [(16, 1), (32, 3)])
def test_generator_is_its_twin(image_size, batch):
    twin = TorchGenerator(7, 3, image_size, 5)
    check_parity(Generator(3, image_size, 5), twin, normal(batch, 7))


@pytest.mark.parametrize(
    ("image_size", "spectral_norm", "batch"), [(32, False, 3), (16, True, 1), (32, True, 2)]
)
def test_discriminator_is_its_twin(image_size, spectral_norm, batch):
    twin = TorchDiscriminator(3, image_size, 5, spectral_norm)
    model = Discriminator(image_size, 5, spectral_norm)
    check_parity(model, twin, normal(batch, image_size, image_size, 3))


@pytest.mark.parametrize("shape", [(1, 12, 8, 3), (3, 4, 20, 1)])
def test_vit_is_its_twin(shape):
    options = (7, 4, 12, 3, 3, 20)
    twin = TorchViT(shape[1:3], *options, in_channels=shape[-1])
    check_parity(ViT(*options), twin, normal(*shape))
