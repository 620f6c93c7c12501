"""The course's convolutional network in PyTorch."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class CNN(nn.Module):
    """[batch, channels, height, width] -> logits."""

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        hidden_features: Sequence[int] = (512, 128),
        num_classes: int = 10,
        padding_mode: str = "zeros",
        dropout_rate: float = 0.0,
    ):
        super().__init__()
        channels = (in_channels, *(width for width in widths for _ in range(2)))
        self.conv = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, padding_mode=padding_mode)
            for before, after in itertools.pairwise(channels)
        )
        pixels = (size[0] >> len(widths)) * (size[1] >> len(widths))
        sizes = (pixels * widths[-1], *hidden_features, num_classes)
        self.dense = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        x = images
        for first, second in zip(self.conv[::2], self.conv[1::2], strict=True):
            x = F.max_pool2d(second(first(x).relu()).relu(), 2)
        x = self.dense[0](x.flatten(1))
        for layer in self.dense[1:]:
            x = layer(self.dropout(x.relu()))
        return x
