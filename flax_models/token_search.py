"""Greedy and beam search over tokens, for any model that goes one token at a time.

What is common to the decoders of `seq2seq_decode.py` and `captioner_decode.py`: pure functions with
static shapes, for use inside `jit`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree

# (tokens [rows], state) -> log-probabilities [rows, vocabulary] of the next token, whatever else
# is to be kept of the step, and the state after it. All leaves have the rows as their first axis.
Step = Callable[[Array, PyTree], tuple[Array, PyTree, PyTree]]


class Found(NamedTuple):
    """Decoded tokens; beam search adds an axis of candidates after the batch, best first.

    `tokens` [batch, max_length] are `end_id` from the end on; `lengths` do not count it;
    `log_probs` do, where it was reached. `extras` [batch, max_length, ...] are what the steps gave
    beside, 0 after the end.
    """

    tokens: Int[Array, "*batch steps"]
    lengths: Int[Array, "*batch"]
    log_probs: Float[Array, "*batch"]
    extras: PyTree


def check_sizes(**sizes: int) -> None:
    """Raise a ValueError that names the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")


def greedy_search(step: Step, state: PyTree, start_id: int, end_id: int, max_length: int) -> Found:
    """Take the most probable token at every step, until `end_id` or `max_length` tokens."""
    batch = jax.tree.leaves(state)[0].shape[0]

    def advance(carry: Any, _: None) -> tuple[Any, tuple[Any, ...]]:
        tokens, ended, score, state = carry
        log_probs, extra, state = step(tokens, state)
        tokens = jnp.where(ended, end_id, jnp.argmax(log_probs, axis=1))
        score = score + jnp.where(ended, 0.0, log_probs.max(axis=1))
        extra = _zero_where(ended, extra)
        ended = ended | (tokens == end_id)
        return (tokens, ended, score, state), (tokens, ended, extra)

    start = (
        jnp.full((batch,), start_id),
        jnp.zeros((batch,), bool),
        jnp.zeros((batch,)),
        state,
    )
    (_, _, score, _), (tokens, ended, extras) = lax.scan(advance, start, length=max_length)
    extras = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), extras)
    return Found(tokens.T, (~ended).sum(axis=0), score, extras)


class _Beams(NamedTuple):
    """State of the search; all leaves begin [batch, width]."""

    tokens: Int[Array, "batch width steps"]
    last: Int[Array, "batch width"]
    ended: Bool[Array, "batch width"]
    log_probs: Float[Array, "batch width"]
    lengths: Int[Array, "batch width"]
    extras: PyTree
    state: PyTree

    def taken(self, source: Int[Array, "batch width"]) -> "_Beams":
        """The beams that come from those at `source`."""
        example = jnp.arange(source.shape[0])[:, None]
        return jax.tree.map(lambda leaf: leaf[example, source], self)


def beam_search(
    step: Step,
    state: PyTree,
    start_id: int,
    end_id: int,
    max_length: int,
    beam_width: int,
    length_penalty: Float[Array, ""],
) -> Found:
    """Keep the `beam_width` most probable token sequences at every step.

    The step sees the beams of all examples as one batch, `beam_width` rows an example. Candidates
    are ranked by log_prob / ((5 + tokens) / 6)^length_penalty, tokens including the end (Wu et al.
    2016, equation 14); `log_probs` are without the penalty. A candidate that does not exist has
    log-probability -inf. Exact when the width is at least the number of sequences.
    """
    grid = (jax.tree.leaves(state)[0].shape[0], beam_width)

    def advance(beams: _Beams, index: Array) -> tuple[_Beams, None]:
        log_probs, extra, state = _on_rows(step, beams.last, beams.state)
        vocabulary = jnp.arange(log_probs.shape[-1])
        # An ended beam goes on in one way only, by another end token that costs nothing.
        log_probs = jnp.where(
            beams.ended[..., None], jnp.where(vocabulary == end_id, 0.0, -jnp.inf), log_probs
        )
        scores = (beams.log_probs[..., None] + log_probs).reshape(grid[0], -1)
        best, chosen = lax.top_k(scores, beam_width)
        extras = jax.tree.map(
            lambda kept, new: kept.at[:, :, index].set(new),
            beams.extras,
            _zero_where(beams.ended, extra),
        )
        beams = beams._replace(extras=extras, state=state).taken(chosen // vocabulary.size)
        last = chosen % vocabulary.size
        ended = beams.ended | (last == end_id)
        return beams._replace(
            tokens=beams.tokens.at[:, :, index].set(last),
            last=last,
            ended=ended,
            log_probs=best,
            lengths=beams.lengths + ~ended,
        ), None

    last = jnp.full(grid, start_id, jnp.int32)
    state = jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], beam_width, axis=1), state)
    _, extra, _ = jax.eval_shape(lambda *given: _on_rows(step, *given), last, state)
    start = _Beams(
        tokens=jnp.full((*grid, max_length), end_id, jnp.int32),
        last=last,
        ended=jnp.zeros(grid, bool),
        # At first all beams are the same: only one may go on.
        log_probs=jnp.full(grid, -jnp.inf).at[:, 0].set(0.0),
        lengths=jnp.zeros(grid, jnp.int32),
        extras=jax.tree.map(
            lambda leaf: jnp.zeros((*grid, max_length, *leaf.shape[2:]), leaf.dtype), extra
        ),
        state=state,
    )
    beams, _ = lax.scan(advance, start, jnp.arange(max_length))
    count = beams.lengths + beams.ended
    ranked = jnp.argsort(-beams.log_probs / ((5 + count) / 6) ** length_penalty, axis=1)
    beams = beams.taken(ranked)
    return Found(beams.tokens, beams.lengths, beams.log_probs, beams.extras)


def _on_rows(step: Step, tokens: Int[Array, "batch width"], state: PyTree) -> Any:
    """`step` with [batch, width] in one axis of rows, and its results in two axes again."""
    grid = tokens.shape
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (tokens, state))
    return jax.tree.map(lambda leaf: leaf.reshape(*grid, *leaf.shape[1:]), step(*rows))


def _zero_where(ended: Bool[Array, "*rows"], tree: PyTree) -> PyTree:
    """The leaves [*rows, ...] with 0 in the rows that have ended."""

    def zero(leaf: Array) -> Array:
        of_rows = ended.reshape(*ended.shape, *(1,) * (leaf.ndim - ended.ndim))
        return jnp.where(of_rows, jnp.zeros((), leaf.dtype), leaf)

    return jax.tree.map(zero, tree)
