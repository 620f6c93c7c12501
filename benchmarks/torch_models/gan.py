"""DCGAN in PyTorch, with the names of PyTorch's own example."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalised


class Generator(nn.Module):
    """[batch, latent] -> images [batch, channels, image_size, image_size] in [-1, 1]."""

    def __init__(self, latent: int = 100, channels: int = 1, image_size: int = 32, width: int = 64):
        super().__init__()
        doublings = image_size.bit_length() - 3
        widths = [width * 2**index for index in reversed(range(doublings))]
        layers: list[nn.Module] = []
        before = latent
        for index, after in enumerate(widths):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            conv = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        layers += [nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """Images of `latent`."""
        return self.main(latent[:, :, None, None])


class Discriminator(nn.Module):
    """[batch, channels, image_size, image_size] -> logits [batch]."""

    def __init__(
        self,
        channels: int = 1,
        image_size: int = 32,
        width: int = 64,
        spectral_norm: bool = False,
    ):
        super().__init__()
        wrap = normalised if spectral_norm else (lambda conv: conv)
        layers: list[nn.Module] = []
        before = channels
        for index in range(image_size.bit_length() - 3):
            after = width * 2**index
            layers.append(wrap(nn.Conv2d(before, after, 4, 2, 1, bias=False)))
            if index > 0 and not spectral_norm:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2))
            before = after
        layers.append(wrap(nn.Conv2d(before, 1, 4, 1, 0, bias=False)))
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        return self.main(images).flatten()
