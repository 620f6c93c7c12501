"""A sequence to one vector: recurrent layers read it, a dense layer answers at the end."""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_models.checks import check_choice
from flax_models.layers import Initializer, torch_uniform
from flax_models.recurrent import GRU, LSTM, RNN, Recurrent

Cell = Literal["rnn", "lstm", "gru"]
CELLS: dict[str, type[Recurrent]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class ManyToOne(nn.Module):
    """Recurrent layers of any cell, and a dense layer on the hidden state after the last real step.

    x [batch, time, features] -> [batch, outputs], float32. With `lengths`, what stands beyond a
    length changes nothing. `head_init` draws the kernel of the dense layer.
    Parameters: those of `RNN`, `LSTM` or `GRU`, and (hidden + 1) * outputs.
    Raises ValueError for an unknown cell, and what `Recurrent` raises.
    """

    outputs: int
    cell: str = "gru"
    hidden_size: int = 64
    num_layers: int = 1
    dropout_rate: float = 0.0
    head_init: Initializer = torch_uniform
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        lengths: Int[Array, "batch"] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch outputs"]:
        check_choice("cell", self.cell, tuple(CELLS))
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        recurrent = CELLS[self.cell](
            self.hidden_size,
            self.num_layers,
            dropout_rate=self.dropout_rate,
            name="recurrent",
            **types,
        )
        state: Any
        _, state = recurrent(x, lengths=lengths, train=train)
        # The LSTM's state is a pair, of which the hidden state is its output
        hidden = state[0] if isinstance(state, tuple) else state
        head = nn.Dense(self.outputs, kernel_init=self.head_init, name="head", **types)
        return head(hidden[-1]).astype(jnp.float32)
