"""Vision Transformer in PyTorch, with torchvision's layers and key names."""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    """Attention and a multi-layer perceptron, each after a norm and beside a shortcut."""

    def __init__(self, features: int, num_heads: int, mlp_features: int, dropout_rate: float):
        super().__init__()
        self.ln_1 = nn.LayerNorm(features, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(
            features, num_heads, dropout_rate, batch_first=True
        )
        self.dropout = nn.Dropout(dropout_rate)
        self.ln_2 = nn.LayerNorm(features, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(features, mlp_features),
            nn.GELU(),
            nn.Dropout(dropout_rate),
            nn.Linear(mlp_features, features),
            nn.Dropout(dropout_rate),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        y = self.ln_1(x)
        x = x + self.dropout(self.self_attention(y, y, y, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Position embedding, blocks and a last norm."""

    def __init__(
        self,
        tokens: int,
        features: int,
        depth: int,
        num_heads: int,
        mlp_features: int,
        dropout_rate: float,
    ):
        super().__init__()
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, tokens, features))
        self.dropout = nn.Dropout(dropout_rate)
        blocks = (
            (
                f"encoder_layer_{index}",
                EncoderBlock(features, num_heads, mlp_features, dropout_rate),
            )
            for index in range(depth)
        )
        self.layers = nn.Sequential(OrderedDict(blocks))
        self.ln = nn.LayerNorm(features, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class ViT(nn.Module):
    """[batch, channels, height, width] -> logits."""

    def __init__(
        self,
        size: tuple[int, int] = (224, 224),
        num_classes: int = 1000,
        patch_size: int = 16,
        features: int = 192,
        depth: int = 12,
        num_heads: int = 3,
        mlp_features: int = 768,
        dropout_rate: float = 0.0,
        in_channels: int = 3,
    ):
        super().__init__()
        tokens = 1 + (size[0] // patch_size) * (size[1] // patch_size)
        self.conv_proj = nn.Conv2d(in_channels, features, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, features))
        self.encoder = Encoder(tokens, features, depth, num_heads, mlp_features, dropout_rate)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(features, num_classes)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        x = self.conv_proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        return self.heads(self.encoder(x)[:, 0])
