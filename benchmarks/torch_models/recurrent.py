"""torch's own recurrent layers over padded batches."""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class _Packed:
    """A recurrent layer that packs [batch, time, features] by lengths and pads its outputs again.

    A mixin, so that the layer keeps torch's own parameter names. The LSTM's initial state may be
    one tensor [2, layers * directions, batch, hidden].
    """

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: Tensor | None = None):
        """Outputs [batch, time, directions * hidden] and the final state."""
        if state is not None and self.mode == "LSTM":
            state = tuple(state)
        if lengths is None:
            return super().forward(x, state)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, state = super().forward(packed, state)
        return pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])[0], state


class RNN(_Packed, nn.RNN):
    """torch.nn.RNN."""


class LSTM(_Packed, nn.LSTM):
    """torch.nn.LSTM."""


class GRU(_Packed, nn.GRU):
    """torch.nn.GRU."""
