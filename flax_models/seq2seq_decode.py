"""Greedy and beam decoding with a trained `Seq2Seq`: jitted functions with static shapes.

They are functions of (model, variables), not methods, because a scan over decoder steps is a plain
`lax.scan` of pure calls. A model and the sizes are static: each pair of shapes compiles once.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from flax_models.lengths import full_lengths
from flax_models.seq2seq import Memory, Seq2Seq, check_tokens


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


def _check(
    model: Seq2Seq, source: Array, source_lengths: Array | None, sizes: dict[str, int]
) -> Array:
    check_tokens("source", source, model.source_vocabulary)
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
    return full_lengths("source_lengths", source_lengths, *jnp.shape(source))


def _decode_step(
    model: Seq2Seq, variables: Any, tokens: Array, memory: Memory, state: Array
) -> tuple[Array, Array, Array]:
    """Log-probabilities [batch, vocabulary] after one token each, weights and state."""
    results: Any = model.apply(variables, tokens[:, None], memory, state, method=Seq2Seq.decode)
    logits, weights, state = results
    return jax.nn.log_softmax(logits[:, 0]), weights[:, 0], state


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
    lengths = _check(model, source, source_lengths, {"max_length": max_length})
    return _greedy_decode(model, variables, jnp.asarray(source), lengths, max_length)


@partial(jax.jit, static_argnames=("model", "max_length"))
def _greedy_decode(
    model: Seq2Seq, variables: Any, source: Array, source_lengths: Array, max_length: int
) -> Translation:
    encoded: Any = model.apply(variables, source, source_lengths, method=Seq2Seq.encode)
    memory, state = encoded
    batch = source.shape[0]

    def step(carry: Any, _: None) -> tuple[Any, tuple[Array, ...]]:
        tokens, ended, score, state = carry
        log_probs, weights, state = _decode_step(model, variables, tokens, memory, state)
        tokens = jnp.where(ended, model.end_id, jnp.argmax(log_probs, axis=1))
        score = score + jnp.where(ended, 0.0, log_probs.max(axis=1))
        weights = jnp.where(ended[:, None], 0.0, weights)
        ended = ended | (tokens == model.end_id)
        return (tokens, ended, score, state), (tokens, ended, weights)

    start = (
        jnp.full((batch,), model.start_id),
        jnp.zeros((batch,), bool),
        jnp.zeros((batch,)),
        state,
    )
    (_, _, score, _), (tokens, ended, weights) = lax.scan(step, start, length=max_length)
    return Translation(tokens.T, (~ended).sum(axis=0), score, weights.swapaxes(0, 1))


def beam_decode(
    model: Seq2Seq,
    variables: Any,
    source: Int[Array, "batch source"],
    source_lengths: Int[Array, "batch"] | None = None,
    max_length: int = 50,
    beam_width: int = 4,
    length_penalty: float = 0.0,
) -> Translation:
    """Keep the `beam_width` most probable token sequences at every step.

    Candidates are ranked by log_prob / ((5 + tokens) / 6)^length_penalty, tokens including the end
    (Wu et al. 2016, equation 14); `log_probs` are without the penalty. A candidate that does not
    exist has log-probability -inf. Exact when the width is at least the number of sequences.

    Raises:
        ValueError: tokens or lengths that do not fit, a max_length or beam_width below 1.
    """
    sizes = {"max_length": max_length, "beam_width": beam_width}
    lengths = _check(model, source, source_lengths, sizes)
    penalty = jnp.float32(length_penalty)
    return _beam_decode(
        model, variables, jnp.asarray(source), lengths, max_length, beam_width, penalty
    )


class _Beams(NamedTuple):
    """State of the search, [batch, width, ...]."""

    tokens: Int[Array, "batch width steps"]
    last: Int[Array, "batch width"]
    ended: Array
    log_probs: Float[Array, "batch width"]
    lengths: Int[Array, "batch width"]
    weights: Float[Array, "batch width steps source"]
    state: Float[Array, "batch width layers hidden"]

    def taken(self, source: Int[Array, "batch width"]) -> "_Beams":
        """The beams that come from those at `source`."""
        example = jnp.arange(source.shape[0])[:, None]
        return jax.tree.map(lambda leaf: leaf[example, source], self)


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
    encoded: Any = model.apply(variables, source, source_lengths, method=Seq2Seq.encode)
    memory, state = encoded
    batch, source_steps = source.shape
    grid = (batch, beam_width)
    # The decoder sees the beams of all examples as one batch.
    memory = jax.tree.map(lambda leaf: jnp.repeat(leaf, beam_width, axis=0), memory)
    vocabulary = jnp.arange(model.target_vocabulary)

    def step(beams: _Beams, index: Array) -> tuple[_Beams, None]:
        flat_state = jnp.moveaxis(beams.state, 2, 0).reshape(-1, batch * beam_width, hidden)
        log_probs, weights, new_state = _decode_step(
            model, variables, beams.last.reshape(-1), memory, flat_state
        )
        # An ended beam goes on in one way only, by another end token that costs nothing.
        log_probs = jnp.where(
            beams.ended[..., None],
            jnp.where(vocabulary == model.end_id, 0.0, -jnp.inf),
            log_probs.reshape(*grid, -1),
        )
        scores = (beams.log_probs[..., None] + log_probs).reshape(batch, -1)
        best, chosen = lax.top_k(scores, beam_width)
        weights = jnp.where(beams.ended[..., None], 0.0, weights.reshape(*grid, -1))
        beams = beams._replace(
            weights=beams.weights.at[:, :, index].set(weights),
            state=jnp.moveaxis(new_state.reshape(-1, *grid, hidden), 0, 2),
        ).taken(chosen // vocabulary.size)
        last = chosen % vocabulary.size
        ended = beams.ended | (last == model.end_id)
        return beams._replace(
            tokens=beams.tokens.at[:, :, index].set(last),
            last=last,
            ended=ended,
            log_probs=best,
            lengths=beams.lengths + ~ended,
        ), None

    hidden = model.hidden_size
    start = _Beams(
        tokens=jnp.full((*grid, max_length), model.end_id, jnp.int32),
        last=jnp.full(grid, model.start_id, jnp.int32),
        ended=jnp.zeros(grid, bool),
        # At first all beams are the same: only one may go on.
        log_probs=jnp.full(grid, -jnp.inf).at[:, 0].set(0.0),
        lengths=jnp.zeros(grid, jnp.int32),
        weights=jnp.zeros((*grid, max_length, source_steps)),
        state=jnp.repeat(state.swapaxes(0, 1)[:, None], beam_width, axis=1),
    )
    beams, _ = lax.scan(step, start, jnp.arange(max_length))
    count = beams.lengths + beams.ended
    ranked = jnp.argsort(-beams.log_probs / ((5 + count) / 6) ** length_penalty, axis=1)
    beams = beams.taken(ranked)
    return Translation(beams.tokens, beams.lengths, beams.log_probs, beams.weights)
