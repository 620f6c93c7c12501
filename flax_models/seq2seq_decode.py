"""Greedy and beam decoding with a trained `Seq2Seq`: jitted functions with static shapes.

They are functions of (model, variables), not methods, because a scan over decoder steps is a plain
`lax.scan` of pure calls. A model and the sizes are static: each pair of shapes compiles once.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_models.lengths import full_lengths
from flax_models.seq2seq import Seq2Seq, check_tokens
from flax_models.token_search import Step, beam_search, check_sizes, greedy_search


class Translation(NamedTuple):
    """Decoded tokens; beam search adds an axis of candidates after the batch, best first.

    `tokens` [batch, max_length] are the model's `end_id` from the end on; `lengths` do not count
    it; `log_probs` do, where it was reached. `weights` [batch, max_length, source] are the
    attention's, 0 after the end.
    """

    tokens: Int[Array, "*batch steps"]
    lengths: Int[Array, "*batch"]
    log_probs: Float[Array, "*batch"]
    weights: Float[Array, "*batch steps source"]


def _check(model: Seq2Seq, source: Array, source_lengths: Array | None, **sizes: int) -> Array:
    check_tokens("source", source, model.source_vocabulary)
    check_sizes(**sizes)
    return full_lengths("source_lengths", source_lengths, *jnp.shape(source))


def _begin(
    model: Seq2Seq, variables: Any, source: Array, source_lengths: Array, rows: int = 1
) -> tuple[Step, Array]:
    """The decoder's step over `rows` rows an example, and the state [batch, layers, hidden]."""
    encoded: Any = model.apply(variables, source, source_lengths, method=Seq2Seq.encode)
    memory, state = encoded
    memory = jax.tree.map(lambda leaf: jnp.repeat(leaf, rows, axis=0), memory)

    def step(tokens: Array, state: Array) -> tuple[Array, Array, Array]:
        state = state.swapaxes(0, 1)
        results: Any = model.apply(variables, tokens[:, None], memory, state, method=Seq2Seq.decode)
        logits, weights, state = results
        return jax.nn.log_softmax(logits[:, 0]), weights[:, 0], state.swapaxes(0, 1)

    return step, state.swapaxes(0, 1)


def greedy_decode(
    model: Seq2Seq,
    variables: Any,
    source: Int[Array, "batch source"],
    source_lengths: Int[Array, "batch"] | None = None,
    max_length: int = 50,
) -> Translation:
    """Take the most probable token at every step, until `end_id` or `max_length` tokens.

    Raises:
        ValueError: tokens or lengths that do not fit, a max_length below 1.
    """
    lengths = _check(model, source, source_lengths, max_length=max_length)
    return _greedy_decode(model, variables, jnp.asarray(source), lengths, max_length)


@partial(jax.jit, static_argnames=("model", "max_length"))
def _greedy_decode(
    model: Seq2Seq, variables: Any, source: Array, source_lengths: Array, max_length: int
) -> Translation:
    step, state = _begin(model, variables, source, source_lengths)
    return Translation(*greedy_search(step, state, model.start_id, model.end_id, max_length))


def beam_decode(
    model: Seq2Seq,
    variables: Any,
    source: Int[Array, "batch source"],
    source_lengths: Int[Array, "batch"] | None = None,
    max_length: int = 50,
    beam_width: int = 4,
    length_penalty: float = 0.0,
) -> Translation:
    """Keep the `beam_width` most probable token sequences at every step; see `beam_search`.

    Raises:
        ValueError: tokens or lengths that do not fit, a max_length or beam_width below 1.
    """
    sizes = {"max_length": max_length, "beam_width": beam_width}
    lengths = _check(model, source, source_lengths, **sizes)
    penalty = jnp.float32(length_penalty)
    return _beam_decode(
        model, variables, jnp.asarray(source), lengths, max_length, beam_width, penalty
    )


@partial(jax.jit, static_argnames=("model", "max_length", "beam_width"))
def _beam_decode(
    model: Seq2Seq,
    variables: Any,
    source: Array,
    source_lengths: Array,
    max_length: int,
    beam_width: int,
    length_penalty: Array,
) -> Translation:
    step, state = _begin(model, variables, source, source_lengths, beam_width)
    ids = (model.start_id, model.end_id)
    return Translation(*beam_search(step, state, *ids, max_length, beam_width, length_penalty))
