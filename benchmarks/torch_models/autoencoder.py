"""Autoencoders of images in PyTorch: dense, convolutional, variational."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn


class Encoder(nn.Module):
    """Images of `size` [batch, channels, height, width] to a code [batch, features]."""

    def __init__(
        self,
        size: tuple[int, int],
        channels: int,
        features: int,
        widths: Sequence[int],
        kind: str,
    ):
        super().__init__()
        self.kind = kind
        if kind == "dense":
            sizes = (channels * size[0] * size[1], *widths)
            self.layer = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
            flat = widths[-1]
        else:
            channels_of = (channels, *widths)
            self.layer = nn.ModuleList(
                nn.Conv2d(before, after, 3, 2, 1)
                for before, after in itertools.pairwise(channels_of)
            )
            height, width = halved(size, len(widths))[-1]
            flat = height * width * widths[-1]
        self.code = nn.Linear(flat, features)

    def forward(self, images: Tensor) -> Tensor:
        """The code of `images`."""
        x = images.flatten(1) if self.kind == "dense" else images
        for layer in self.layer:
            x = layer(x).relu()
        return self.code(x.flatten(1))


class Decoder(nn.Module):
    """A code [batch, features] to images of `size`."""

    def __init__(
        self,
        size: tuple[int, int],
        channels: int,
        features: int,
        widths: Sequence[int],
        kind: str,
    ):
        super().__init__()
        self.kind, self.channels, self.first = kind, channels, widths[-1]
        self.sizes = halved(size, len(widths))
        if kind == "dense":
            outputs = (features, *reversed(widths), channels * size[0] * size[1])
            self.layer = nn.ModuleList(map(nn.Linear, outputs[:-1], outputs[1:]))
        else:
            height, width = self.sizes[-1]
            self.unfold = nn.Linear(features, height * width * widths[-1])
            channels_of = (*reversed(widths), channels)
            self.layer = nn.ModuleList(
                nn.ConvTranspose2d(before, after, 4, 2, 1)
                for before, after in itertools.pairwise(channels_of)
            )

    def forward(self, code: Tensor) -> Tensor:
        """Logits of the images that `code` stands for."""
        if self.kind == "dense":
            x = self.layer[0](code)
            for layer in self.layer[1:]:
                x = layer(x.relu())
            return x.unflatten(1, (self.channels, *self.sizes[0]))
        x = self.unfold(code).unflatten(1, (self.first, *self.sizes[-1]))
        for layer, (height, width) in zip(self.layer, self.sizes[-2::-1], strict=True):
            x = layer(x.relu())[:, :, :height, :width]
        return x


def halved(size: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """`size` and its halves, rounded up."""
    sizes = [size]
    for _ in range(times):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class Autoencoder(nn.Module):
    """Images to logits of their pixels."""

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        latent_features: int = 32,
        widths: Sequence[int] = (256, 64),
        kind: str = "dense",
        channels: int = 1,
    ):
        super().__init__()
        self.encoder = Encoder(size, channels, latent_features, widths, kind)
        self.decoder = Decoder(size, channels, latent_features, widths, kind)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        return self.decoder(self.encoder(images))


class VAE(nn.Module):
    """Images and noise to logits of their pixels, mean and log variance."""

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        latent_features: int = 32,
        widths: Sequence[int] = (256, 64),
        kind: str = "dense",
        channels: int = 1,
    ):
        super().__init__()
        self.encoder = Encoder(size, channels, 2 * latent_features, widths, kind)
        self.decoder = Decoder(size, channels, latent_features, widths, kind)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, mean and log variance."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        code = mean + (log_variance / 2).exp() * noise
        return self.decoder(code), mean, log_variance
