"""Residual networks in PyTorch: torchvision's and the CIFAR ones, with torchvision's key names."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class PaddingShortcut(nn.Module):
    """Option A of He et al. 2015: every stride-th pixel, new channels zero."""

    def __init__(self, new_channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.before = new_channels // 2
        self.after = new_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut of `x`."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int = 1, shortcut: str = "projection"):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(channels, width, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """relu(shortcut + residual)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int = 1, shortcut: str = "projection"):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _downsample(channels, 4 * width, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """relu(shortcut + residual)."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def _downsample(channels: int, features: int, stride: int, shortcut: str) -> nn.Module | None:
    if stride == 1 and channels == features:
        return None
    if shortcut == "padding":
        return PaddingShortcut(features - channels, stride)
    return nn.Sequential(
        nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features)
    )


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet(nn.Module):
    """torchvision's ResNet v1.5, or with `small_images` a 3x3 stem with stride 1."""

    def __init__(
        self,
        stage_sizes: Sequence[int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        num_classes: int = 1000,
        small_images: bool = False,
        in_channels: int = 3,
    ):
        super().__init__()
        if small_images:
            self.conv1 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
            self.maxpool: nn.Module = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.bn1 = nn.BatchNorm2d(64)
        block = Bottleneck if bottleneck else BasicBlock
        channels = 64
        for stage, blocks in enumerate(stage_sizes):
            width = 64 * 2**stage
            layers = nn.Sequential()
            for index in range(blocks):
                layers.append(block(channels, width, 2 if stage > 0 and index == 0 else 1))
                channels = width * block.expansion
            self.add_module(f"layer{stage + 1}", layers)
        self.stages = len(stage_sizes)
        self.fc = nn.Linear(channels, num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        x = self.maxpool(self.bn1(self.conv1(images)).relu())
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


class CifarResNet(nn.Module):
    """ResNet of depth 6n + 2 (He et al. 2015, section 4.2)."""

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        shortcut: str = "padding",
        in_channels: int = 3,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        channels = 16
        for stage, width in enumerate((16, 32, 64)):
            layers = nn.Sequential()
            for index in range(depth // 6):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
            self.add_module(f"layer{stage + 1}", layers)
        self.fc = nn.Linear(channels, num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        x = self.bn1(self.conv1(images)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))
