"""Encoder-decoder with attention by teacher forcing; `seq2seq_decode.py` decodes with it."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flax_models.attention import AdditiveAttention, DotAttention, MultiHeadAttention
from flax_models.checks import check_choice
from flax_models.dropout import Dropout
from flax_models.layers import torch_uniform
from flax_models.lengths import full_lengths, is_concrete, length_mask
from flax_models.recurrent import GRU

ATTENTIONS = ("additive", "dot", "scaled_dot", "multi_head")


def check_tokens(name: str, tokens: Int[Array, "batch steps"], vocabulary: int) -> None:
    """Raise a ValueError unless tokens are integers [batch, steps], below `vocabulary` if known."""
    shape, dtype = jnp.shape(tokens), jnp.result_type(tokens)
    if len(shape) != 2 or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"{name}: expected integers [batch, steps], got {dtype} {shape}")
    if is_concrete(tokens) and np.size(tokens):
        low, high = np.min(tokens), np.max(tokens)
        if low < 0 or high >= vocabulary:
            raise ValueError(
                f"{name}: expected tokens from 0 to {vocabulary - 1},"
                f" got {low if low < 0 else high}"
            )


def after_start(target: Int[Array, "batch steps"], start_id: int) -> Int[Array, "batch steps"]:
    """What a decoder reads under teacher forcing: `start_id`, and the target without its last."""
    target = jnp.asarray(target)
    start = jnp.full_like(target[:, :1], start_id)
    return jnp.concatenate([start, target[:, :-1]], axis=1)


class Memory(NamedTuple):
    """What the decoder sees of a source: a vector of every real step, and which steps are real."""

    vectors: Float[Array, "batch source hidden"]
    mask: Bool[Array, "batch 1 source"]


class Seq2Seq(nn.Module):
    """Recurrent encoder-decoder with global attention (Luong, Pham and Manning 2015, section 3.1).

    source [batch, source], target [batch, target] -> logits [batch, target, target_vocabulary] and
    attention weights [batch, target, source], float32. Teacher forcing: the decoder reads
    `start_id` and then the target, so that logits[:, n] predict target[:, n].

    The encoder is a bidirectional GRU whose final states, through a dense layer with tanh, start
    the decoder's (Bahdanau et al. 2015, appendix A.2.2). Every decoder state attends to the source
    by "additive", "dot", "scaled_dot" or "multi_head" attention, and tanh(W [context; state])
    gives the logits. With `source_lengths` padding never changes a result.

    Parameters with vocabularies S and T, embedding E, hidden H, one layer and "dot":
    (S + T) E + 9 H E + 15 H^2 + 21 H + (H + 1) T; "additive" adds 2 H^2 + 2 H, "multi_head"
    4 H^2 + 4 H. At the defaults with S = T = 64: 1,447,744.
    Raises ValueError for tokens of another rank or outside the vocabulary, a length longer than the
    source, a target of another batch, and an unknown attention.
    """

    source_vocabulary: int
    target_vocabulary: int
    embedding_size: int = 128
    hidden_size: int = 256
    num_layers: int = 1
    attention: str = "additive"
    num_heads: int = 4
    dropout_rate: float = 0.0
    start_id: int = 1
    end_id: int = 2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Name the layers."""
        check_choice("attention", self.attention, ATTENTIONS)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def embed(vocabulary: int) -> nn.Embed:
            # torch.nn.Embedding's initialisation.
            normal = nn.initializers.normal(1.0)
            return nn.Embed(vocabulary, self.embedding_size, embedding_init=normal, **types)

        def dense(features: int) -> nn.Dense:
            return nn.Dense(features, kernel_init=torch_uniform, **types)

        layers = (self.hidden_size, self.num_layers)
        self.source_embedding = embed(self.source_vocabulary)
        self.target_embedding = embed(self.target_vocabulary)
        self.encoder = GRU(*layers, bidirectional=True, dropout_rate=self.dropout_rate, **types)
        self.decoder = GRU(*layers, dropout_rate=self.dropout_rate, **types)
        self.memory = dense(self.hidden_size)
        self.bridge = dense(self.hidden_size)
        self.combine = dense(self.hidden_size)
        self.output = dense(self.target_vocabulary)
        self.dropout = Dropout(self.dropout_rate)
        self.attend: nn.Module
        if self.attention == "additive":
            self.attend = AdditiveAttention(self.hidden_size, **types)
        elif self.attention == "multi_head":
            self.attend = MultiHeadAttention(self.num_heads, **types)
        else:
            self.attend = DotAttention(self.attention == "scaled_dot", self.dtype)

    def __call__(
        self,
        source: Int[Array, "batch source"],
        target: Int[Array, "batch target"],
        source_lengths: Int[Array, "batch"] | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "batch target vocabulary"], Float[Array, "batch target source"]]:
        """Logits and attention weights of a target that is known."""
        memory, state = self.encode(source, source_lengths, train)
        check_tokens("target", target, self.target_vocabulary)
        if jnp.shape(target)[0] != jnp.shape(source)[0]:
            raise ValueError(
                f"target: expected [{jnp.shape(source)[0]}, steps], got {jnp.shape(target)}"
            )
        inputs = after_start(target, self.start_id)
        logits, weights, _ = self.decode(inputs, memory, state, train)
        return logits, weights

    def encode(
        self,
        source: Int[Array, "batch source"],
        source_lengths: Int[Array, "batch"] | None = None,
        train: bool = False,
    ) -> tuple[Memory, Float[Array, "layers batch hidden"]]:
        """What the decoder attends to, and the state that it starts from."""
        check_tokens("source", source, self.source_vocabulary)
        lengths = full_lengths("source_lengths", source_lengths, *jnp.shape(source))
        embedded = self.dropout(self.source_embedding(source), deterministic=not train)
        finals: Any
        outputs, finals = self.encoder(embedded, lengths, train=train)
        # [layers * 2, batch, hidden] -> [layers, batch, 2 * hidden]
        forward, backward = finals[0::2], finals[1::2]
        state = jnp.tanh(self.bridge(jnp.concatenate([forward, backward], axis=-1)))
        mask = length_mask(lengths, outputs.shape[1])[:, None]
        return Memory(self.memory(outputs), mask), state.astype(jnp.float32)

    def decode(
        self,
        inputs: Int[Array, "batch steps"],
        memory: Memory,
        state: Float[Array, "layers batch hidden"],
        train: bool = False,
    ) -> tuple[
        Float[Array, "batch steps vocabulary"],
        Float[Array, "batch steps source"],
        Float[Array, "layers batch hidden"],
    ]:
        """Read tokens from a state: logits of the tokens after them, weights, the state after."""
        embedded = self.dropout(self.target_embedding(inputs), deterministic=not train)
        hidden, state = self.decoder(embedded, initial_state=state, train=train)
        context, weights = self.attend(hidden, memory.vectors, memory.vectors, memory.mask)
        combined = jnp.tanh(self.combine(jnp.concatenate([context, hidden], axis=-1)))
        logits = self.output(self.dropout(combined, deterministic=not train))
        return logits.astype(jnp.float32), weights, state
