"""Image to text in PyTorch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.torch_models.cnn import CNN
from benchmarks.torch_models.recurrent import GRU, LSTM, RNN

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class Captioner(nn.Module):
    """Images [batch, channels, height, width] and target tokens -> logits, by teacher forcing."""

    def __init__(
        self,
        vocabulary: int,
        cell: str = "gru",
        size: tuple[int, int] = (28, 28),
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32),
        embedding_size: int = 16,
        hidden_size: int = 128,
        num_layers: int = 1,
        start_id: int = 1,
    ):
        super().__init__()
        self.start_id = start_id
        self.parts = 2 if cell == "lstm" else 1
        self.num_layers, self.hidden_size = num_layers, hidden_size
        state_size = self.parts * num_layers * hidden_size
        self.encoder = CNN(size, in_channels, widths, (), state_size)
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        self.decoder = CELLS[cell](embedding_size, hidden_size, num_layers, batch_first=True)
        self.output = nn.Linear(hidden_size, vocabulary)

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """Logits of every target token, given those before it."""
        features = self.encoder(images).tanh()
        state = features.view(-1, self.parts, self.num_layers, self.hidden_size).permute(1, 2, 0, 3)
        inputs = torch.cat([torch.full_like(target[:, :1], self.start_id), target[:, :-1]], 1)
        state = state.contiguous()
        hidden, _ = self.decoder(
            self.embedding(inputs), None, state if self.parts > 1 else state[0]
        )
        return self.output(hidden)
