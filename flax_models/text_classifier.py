"""A text to one vector: embedded characters and runs of them, read in both directions."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_models.dropout import Dropout
from flax_models.layers import Initializer, torch_uniform
from flax_models.lengths import full_lengths, length_mask
from flax_models.recurrent import GRU
from flax_models.seq2seq import check_tokens


class TextClassifier(nn.Module):
    """Bidirectional GRU over embedded tokens, pooled over the real steps, and a dense layer.

    tokens [batch, steps] -> [batch, outputs], float32. With `lengths`, what stands beyond a length
    changes nothing. A step is the sum of its token's embedding and, for `longest_run` above 1, of
    the embeddings of the runs of 2 to `longest_run` tokens that end there. Runs share a table of
    2^`run_bits` rows by their hash (Joulin et al. 2017, "N-gram features"), so that none has to be
    listed, and start at zero: a run that was never seen then adds nothing. The pooled vector is the
    mean and the maximum of the GRU's outputs. Dropout takes whole features of the embedding, the
    same ones at all steps (Gal and Ghahramani 2016), and single ones of the pooled vector.

    Parameters with vocabulary V, embedding E, hidden H: E V + 6 H (E + H + 2) + (4 H + 1) outputs,
    and 2^run_bits E for the runs.
    Raises ValueError for tokens that are not integers [batch, steps] or outside the vocabulary, a
    length longer than the text, and a run of no token.
    """

    vocabulary: int
    outputs: int = 2
    embedding_size: int = 64
    hidden_size: int = 64
    longest_run: int = 1
    run_bits: int = 15
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch steps"],
        lengths: Int[Array, "batch"] | None = None,
        train: bool = False,
    ) -> Float[Array, "batch outputs"]:
        check_tokens("tokens", tokens, self.vocabulary)
        if self.longest_run < 1:
            raise ValueError(f"longest_run: expected 1 or more, got {self.longest_run}")
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        lengths = full_lengths("lengths", lengths, *tokens.shape)
        real = length_mask(lengths, tokens.shape[1])[:, :, None]

        def embed(rows: int, init: Initializer, name: str) -> nn.Embed:
            return nn.Embed(rows, self.embedding_size, embedding_init=init, name=name, **types)

        x = embed(self.vocabulary, nn.initializers.normal(0.1), "embedding")(tokens)
        if self.longest_run > 1:
            of_runs = embed(2**self.run_bits, nn.initializers.zeros, "run_embedding")
            for run in range(2, self.longest_run + 1):
                x = x + of_runs(hash_runs(tokens, run, self.run_bits))
        x = Dropout(self.dropout_rate, broadcast_dims=(1,), deterministic=not train)(x)
        gru = GRU(self.hidden_size, bidirectional=True, name="recurrent", **types)
        outputs, _ = gru(x, lengths=lengths)  # zeros beyond a length
        outputs = outputs.astype(jnp.float32)
        mean = outputs.sum(axis=1) / jnp.maximum(lengths, 1)[:, None]
        highest = jnp.where(real, outputs, -1).max(axis=1)  # a GRU's outputs lie above -1
        pooled = jnp.concatenate([mean, highest], axis=-1)
        pooled = Dropout(self.dropout_rate, deterministic=not train)(pooled)
        head = nn.Dense(self.outputs, kernel_init=torch_uniform, name="head", **types)
        return head(pooled).astype(jnp.float32)


def hash_runs(tokens: Int[Array, "batch steps"], run: int, bits: int) -> Int[Array, "batch steps"]:
    """The row, below 2^`bits`, of the `run` tokens that end at each step.

    Before the first token stand zeros.
    Multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4): the
    highest bits of products with 2^32 times the golden ratio.
    """
    steps = tokens.shape[1]
    padded = jnp.pad(tokens, ((0, 0), (run - 1, 0))).astype(jnp.uint32)
    hashed = jnp.zeros(tokens.shape, jnp.uint32)
    for start in range(run):
        hashed = (hashed + padded[:, start : start + steps]) * jnp.uint32(0x9E3779B1)
    return (hashed >> (32 - bits)).astype(jnp.int32)
