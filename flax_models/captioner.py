"""Image to text, one to many, by teacher forcing; `captioner_decode.py` decodes with it."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_models.checks import check_choice
from flax_models.cnn import CNN
from flax_models.layers import torch_uniform
from flax_models.many_to_one import CELLS
from flax_models.recurrent import State
from flax_models.seq2seq import after_start, check_tokens
from flax_models.torch_weights import TorchRule, flattened_images


class Captioner(nn.Module):
    """A `CNN` sees the image and starts a recurrent decoder (after Vinyals et al. 2015, section 3).

    images [batch, height, width, channels], target [batch, steps] -> logits [batch, steps,
    vocabulary], float32. Teacher forcing: the decoder reads `start_id` and then the target, so that
    logits[:, n] predict target[:, n], and what stands after an end changes nothing before it.

    tanh of the CNN's outputs is the decoder's first state: of an LSTM both hidden and cell state.
    Parameters with a cell of G gates and S states (RNN 1 and 1, LSTM 4 and 2, GRU 3 and 1),
    embedding E, hidden H, one layer: those of `CNN` with no hidden layer and S H outputs,
    V E + G H (E + H + 2) + (H + 1) V.
    At the defaults with V = 18 for images of 28x28x1: 275,874.
    Raises ValueError for tokens of another rank or outside the vocabulary, a target of another
    batch, an unknown cell, and images that `CNN` refuses.
    """

    vocabulary: int
    cell: str = "gru"
    widths: Sequence[int] = (16, 32)
    embedding_size: int = 16
    hidden_size: int = 128
    num_layers: int = 1
    start_id: int = 1
    end_id: int = 2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Name the layers."""
        check_choice("cell", self.cell, tuple(CELLS))
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        layer = CELLS[self.cell]
        state_size = len(layer.states) * self.num_layers * self.hidden_size
        self.encoder = CNN(self.widths, (), state_size, **types)
        # torch.nn.Embedding's initialisation.
        normal = nn.initializers.normal(1.0)
        self.embedding = nn.Embed(
            self.vocabulary, self.embedding_size, embedding_init=normal, **types
        )
        self.decoder = layer(self.hidden_size, self.num_layers, **types)
        self.output = nn.Dense(self.vocabulary, kernel_init=torch_uniform, **types)

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        target: Int[Array, "batch steps"],
        train: bool = False,
    ) -> Float[Array, "batch steps vocabulary"]:
        """Logits of a target that is known."""
        check_tokens("target", target, self.vocabulary)
        if jnp.shape(target)[0] != jnp.shape(images)[0]:
            raise ValueError(
                f"target: expected [{jnp.shape(images)[0]}, steps], got {jnp.shape(target)}"
            )
        return self.decode(after_start(target, self.start_id), self.encode(images, train))[0]

    def encode(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> State:
        """The state that the decoder starts from."""
        features = jnp.tanh(self.encoder(images, train=train))
        parts = len(CELLS[self.cell].states)
        split = features.reshape(-1, parts, self.num_layers, self.hidden_size)
        state = tuple(jnp.moveaxis(split, 0, 2))  # a part: [layers, batch, hidden]
        return state if parts > 1 else state[0]

    def decode(
        self, inputs: Int[Array, "batch steps"], state: State
    ) -> tuple[Float[Array, "batch steps vocabulary"], State]:
        """Read tokens from a state: logits of the tokens after them, and the state after."""
        hidden, state = self.decoder(self.embedding(inputs), initial_state=state)
        return self.output(hidden).astype(jnp.float32), state

    def torch_rules(self) -> dict[str, TorchRule]:
        """torch flattens channels first."""
        return {"encoder/dense_0": flattened_images(self.widths[-1])}
