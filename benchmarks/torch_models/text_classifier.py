"""Characters and runs of them, a bidirectional GRU, pooling and a dense layer in PyTorch."""

import torch
from torch import Tensor, nn

from benchmarks.torch_models.recurrent import GRU


class TextClassifier(nn.Module):
    """Tokens [batch, steps] and lengths -> [batch, outputs]."""

    def __init__(
        self,
        vocabulary: int,
        outputs: int = 2,
        embedding_size: int = 64,
        hidden_size: int = 64,
        longest_run: int = 1,
        run_bits: int = 15,
    ):
        super().__init__()
        self.longest_run, self.run_bits = longest_run, run_bits
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        if longest_run > 1:
            self.run_embedding = nn.Embedding(2**run_bits, embedding_size)
        self.recurrent = GRU(embedding_size, hidden_size, batch_first=True, bidirectional=True)
        self.head = nn.Linear(4 * hidden_size, outputs)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Mean and maximum over the real steps."""
        if lengths is None:
            lengths = torch.full((len(tokens),), tokens.shape[1])
        x = self.embedding(tokens)
        for run in range(2, self.longest_run + 1):
            x = x + self.run_embedding(self.rows(tokens, run))
        outputs, _ = self.recurrent(x, lengths)
        real = (torch.arange(tokens.shape[1]) < lengths[:, None])[:, :, None]
        mean = (outputs * real).sum(1) / lengths[:, None]
        highest = outputs.masked_fill(~real, -torch.inf).amax(1)
        return self.head(torch.cat([mean, highest], -1))

    def rows(self, tokens: Tensor, run: int) -> Tensor:
        """Which row of the table belongs to the run that ends at each step."""
        hashed = torch.zeros_like(tokens)
        for back in range(run - 1, -1, -1):
            shifted = nn.functional.pad(tokens, (back, 0))[:, : tokens.shape[1]]
            hashed = (hashed + shifted) * 0x9E3779B1 % 2**32
        return hashed // 2 ** (32 - self.run_bits)
