"""Multi-layer perceptron in PyTorch."""

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """[batch, ...] -> [batch, features[-1]]; dense layers with ReLU and dropout between them."""

    def __init__(self, in_features: int, features: Sequence[int], dropout_rate: float = 0.0):
        super().__init__()
        sizes = (in_features, *features)
        self.dense = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of `x`."""
        x = self.dense[0](x.flatten(1))
        for layer in self.dense[1:]:
            x = layer(self.dropout(x.relu()))
        return x
