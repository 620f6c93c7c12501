"""Encoder-decoder with attention in PyTorch."""

import torch
from torch import Tensor, nn

from benchmarks.torch_models.attention import AdditiveAttention, DotAttention, MultiHeadAttention
from benchmarks.torch_models.recurrent import GRU


class Seq2Seq(nn.Module):
    """Source and target tokens -> logits [batch, target, vocabulary] and attention weights."""

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        embedding_size: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        attention: str = "additive",
        num_heads: int = 4,
        dropout_rate: float = 0.0,
        start_id: int = 1,
    ):
        super().__init__()
        self.start_id = start_id
        between = dropout_rate if num_layers > 1 else 0.0
        layers = {"num_layers": num_layers, "batch_first": True, "dropout": between}
        self.source_embedding = nn.Embedding(source_vocabulary, embedding_size)
        self.target_embedding = nn.Embedding(target_vocabulary, embedding_size)
        self.encoder = GRU(embedding_size, hidden_size, bidirectional=True, **layers)
        self.decoder = GRU(embedding_size, hidden_size, **layers)
        self.memory = nn.Linear(2 * hidden_size, hidden_size)
        self.bridge = nn.Linear(2 * hidden_size, hidden_size)
        self.combine = nn.Linear(2 * hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, target_vocabulary)
        self.dropout = nn.Dropout(dropout_rate)
        if attention == "additive":
            self.attend = AdditiveAttention(hidden_size, hidden_size, hidden_size)
        elif attention == "multi_head":
            self.attend = MultiHeadAttention(hidden_size, num_heads)
        else:
            self.attend = DotAttention(attention == "scaled_dot")

    def forward(
        self, source: Tensor, target: Tensor, source_lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Teacher forcing."""
        if source_lengths is None:
            source_lengths = torch.full((len(source),), source.shape[1])
        outputs, finals = self.encoder(self.dropout(self.source_embedding(source)), source_lengths)
        state = self.bridge(torch.cat([finals[0::2], finals[1::2]], -1)).tanh()
        mask = (torch.arange(source.shape[1]) < source_lengths[:, None])[:, None]
        memory = self.memory(outputs)
        inputs = torch.cat([torch.full_like(target[:, :1], self.start_id), target[:, :-1]], 1)
        hidden, _ = self.decoder(self.dropout(self.target_embedding(inputs)), None, state)
        context, weights = self.attend(hidden, memory, memory, mask)
        combined = self.combine(torch.cat([context, hidden], -1)).tanh()
        return self.output(self.dropout(combined)), weights
