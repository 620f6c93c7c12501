"""CRNN in PyTorch: residual features, bidirectional GRU, per-step logits."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from benchmarks.torch_models.recurrent import GRU
from benchmarks.torch_models.resnet import BasicBlock


class Stem(nn.Module):
    """A 3x3 convolution that halves the height, batch norm, ReLU."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, 3, (2, 1), 1, bias=False)
        self.norm = nn.BatchNorm2d(features)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, features, ceil(height / 2), width]."""
        return self.norm(self.conv(images)).relu()


class CRNN(nn.Module):
    """[batch, channels, height, width] -> logits [batch, width // 4, num_classes]."""

    def __init__(
        self,
        num_classes: int,
        height: int,
        channels: int = 1,
        stem_features: int = 24,
        widths: Sequence[int] = (32, 64, 96),
        dense_features: int = 128,
        hidden_size: int = 96,
        num_layers: int = 1,
        dropout_rate: float = 0.2,
    ):
        super().__init__()
        self.stem = Stem(channels, stem_features)
        self.block = nn.ModuleList(map(BasicBlock, (stem_features, *widths), widths))
        rows = (height + 1) // 2 // 2 ** len(widths)
        self.dense = nn.Linear(rows * widths[-1], dense_features)
        self.dropout = nn.Dropout(dropout_rate)
        self.recurrent = GRU(
            dense_features,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout_rate if num_layers > 1 else 0.0,
            bidirectional=True,
        )
        self.output = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, images: Tensor, image_widths: Tensor | None = None) -> Tensor:
        """Logits of every fourth column."""
        x = max_pool2d(self.stem(images), (1, 2))
        for index, block in enumerate(self.block):
            x = max_pool2d(block(x), (2, 2) if index == 0 else (2, 1))
        x = self.dropout(self.dense(x.permute(0, 3, 2, 1).flatten(2)).relu())
        x, _ = self.recurrent(x, None if image_widths is None else image_widths // 4)
        return self.output(x)
