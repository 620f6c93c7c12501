"""VGG in PyTorch, with torchvision's layers and key names."""

import torch
from torch import Tensor, nn

CONFIGURATIONS = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


class VGG(nn.Module):
    """[batch, channels, height, width] -> logits."""

    def __init__(
        self,
        depth: int = 16,
        num_classes: int = 1000,
        batch_norm: bool = False,
        dropout_rate: float = 0.5,
        hidden_features: int = 4096,
        pooled_size: int = 7,
        in_channels: int = 3,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for item in CONFIGURATIONS[depth].split():
            if item == "M":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers.append(nn.Conv2d(channels, int(item), 3, padding=1))
            channels = int(item)
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU())
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((pooled_size, pooled_size))
        self.classifier = nn.Sequential(
            nn.Linear(512 * pooled_size**2, hidden_features),
            nn.ReLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(hidden_features, hidden_features),
            nn.ReLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(hidden_features, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        return self.classifier(torch.flatten(self.avgpool(self.features(images)), 1))
