"""Attention in PyTorch; masks are True where a key is kept, as in flax_models."""

from torch import Tensor, nn


def attend(scores: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weighted mean of values [batch, keys, size] by scores [batch, queries, keys]."""
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ values, weights


class AdditiveAttention(nn.Module):
    """v . tanh(W query + U key + b)."""

    def __init__(self, query_size: int, key_size: int, hidden_size: int):
        super().__init__()
        self.query = nn.Linear(query_size, hidden_size, bias=False)
        self.key = nn.Linear(key_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None):
        """Outputs [batch, queries, size] and weights [batch, queries, keys]."""
        hidden = (self.query(queries)[:, :, None] + self.key(keys)[:, None]).tanh()
        return attend(self.score(hidden)[..., 0], values, mask)


class DotAttention(nn.Module):
    """query . key, divided by sqrt(size) if `scaled`."""

    def __init__(self, scaled: bool = False):
        super().__init__()
        self.scaled = scaled

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None):
        """Outputs [batch, queries, size] and weights [batch, queries, keys]."""
        scale = queries.shape[-1] ** -0.5 if self.scaled else 1.0
        return attend(queries @ keys.transpose(1, 2) * scale, values, mask)


class MultiHeadAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention with a mask [batch, queries or 1, keys]."""

    def __init__(self, size: int, num_heads: int):
        super().__init__(size, num_heads, batch_first=True)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None):
        """Outputs [batch, queries, size] and weights [batch, queries, keys], mean over heads."""
        if mask is not None:
            mask = ~mask.expand(-1, queries.shape[1], -1)
            mask = mask.repeat_interleave(self.num_heads, 0)
        return super().forward(queries, keys, values, attn_mask=mask)
