"""From per-step logits to labels: best path, prefix beam search and forced alignment.

All three are jitted over whole batches with static shapes: labels come back padded with the blank,
which is never a label, and with their lengths.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from flax_models.ctc import check_blank, ctc_feasible, prepare_labels
from flax_models.ctc_fast import LOG_ZERO, before, emissions, final_states, only_state, skips
from flax_models.lengths import full_lengths, length_mask


class Decoded(NamedTuple):
    """Label sequences of a batch; beam search adds an axis of candidates, best first."""

    labels: Int[Array, "*batch time"]
    lengths: Int[Array, "*batch"]
    log_probs: Float[Array, "*batch"]


class Alignment(NamedTuple):
    """The class of every step, and the log-probability of that path."""

    path: Int[Array, "batch time"]
    log_probs: Float[Array, "batch"]


def ctc_greedy_decode(
    logits: Float[Array, "batch time classes"],
    logit_lengths: Int[Array, "batch"] | None = None,
    blank_id: int = 0,
) -> Decoded:
    """Take the best class of every step, merge repeats, drop blanks (best-path decoding).

    logits [B, T, K] -> labels [B, T], lengths [B], and the log-probability [B] of the best *path*,
    a lower bound of the labels' own. Graves et al. 2006, section 3.2.

    Raises:
        ValueError: logits of another rank, a blank that is no class, lengths that do not fit.
    """
    check_blank(logits, blank_id)
    lengths = full_lengths("logit_lengths", logit_lengths, *logits.shape[:2])
    return _greedy(logits, lengths, blank_id)


@partial(jax.jit, static_argnames="blank_id")
def _greedy(logits: Array, logit_lengths: Array, blank_id: int) -> Decoded:
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    live = length_mask(logit_lengths, logits.shape[1])
    path = jnp.where(live, jnp.argmax(log_probs, axis=2), blank_id)
    before = jnp.pad(path[:, :-1], ((0, 0), (1, 0)), constant_values=blank_id)
    kept = (path != blank_id) & (path != before)
    # Kept steps move left to their rank among the kept; the others go past the end and are dropped.
    place = jnp.where(kept, jnp.cumsum(kept, axis=1) - 1, path.shape[1])
    example = jnp.arange(path.shape[0])[:, None]
    labels = jnp.full_like(path, blank_id).at[example, place].set(path, mode="drop")
    score = jnp.where(live, log_probs.max(axis=2), 0.0).sum(axis=1)
    return Decoded(labels, kept.sum(axis=1), score)


def ctc_beam_search(
    logits: Float[Array, "batch time classes"],
    logit_lengths: Int[Array, "batch"] | None = None,
    beam_width: int = 10,
    blank_id: int = 0,
) -> Decoded:
    """Search for the most probable *labels*, adding up the alignments of each (prefix beam search).

    logits [B, T, K] -> labels [B, W, T], lengths [B, W], log-probabilities [B, W], best first. The
    log-probability counts the alignments that the beam kept; a candidate that does not exist (fewer
    labellings than the width) has log-probability -inf. Exact when the width is at least the number
    of labellings. Hannun, Maas, Jurafsky and Ng 2014, algorithm 1, without a language model.

    Raises:
        ValueError: logits of another rank, a blank that is no class, lengths that do not fit, a
            width below 1.
    """
    check_blank(logits, blank_id)
    if beam_width < 1:
        raise ValueError(f"beam_width: expected at least 1, got {beam_width}")
    lengths = full_lengths("logit_lengths", logit_lengths, *logits.shape[:2])
    return _beam_search(logits, lengths, beam_width, blank_id)


class _Beam(NamedTuple):
    prefixes: Int[Array, "width time"]
    lengths: Int[Array, "width"]
    ends_blank: Float[Array, "width"]  # log-probability of the alignments that end in a blank
    ends_label: Float[Array, "width"]  # and of those that end in the prefix's last label

    @property
    def total(self) -> Float[Array, "width"]:
        return jnp.logaddexp(self.ends_blank, self.ends_label)


@partial(jax.jit, static_argnames=("beam_width", "blank_id"))
def _beam_search(logits: Array, logit_lengths: Array, beam_width: int, blank_id: int) -> Decoded:
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    live = length_mask(logit_lengths, logits.shape[1])
    steps = logits.shape[1]
    dead = jnp.full((beam_width,), -jnp.inf)
    start = _Beam(
        prefixes=jnp.full((beam_width, steps), blank_id, jnp.int32),
        lengths=jnp.zeros((beam_width,), jnp.int32),
        ends_blank=dead.at[0].set(0.0),
        ends_label=dead,
    )

    def step(beam: _Beam, inputs: tuple[Array, Array]) -> tuple[_Beam, None]:
        live_now, log_prob = inputs
        extended = _extend_beam(beam, log_prob, blank_id)
        return jax.tree.map(lambda new, old: jnp.where(live_now, new, old), extended, beam), None

    def search(live: Array, log_probs: Array) -> Decoded:
        beam, _ = lax.scan(step, start, (live, log_probs))
        return Decoded(beam.prefixes, beam.lengths, beam.total)

    return jax.vmap(search)(live, log_probs)


def _extend_beam(beam: _Beam, log_prob: Float[Array, "classes"], blank_id: int) -> _Beam:
    """Advance one example by one step: every prefix stays or grows by a label; the best survive."""
    (width, steps), classes = beam.prefixes.shape, log_prob.shape[0]
    prefix = jnp.arange(width)
    # For the empty prefix this reads the padding, a blank, and ends_label is -inf there.
    last = beam.prefixes[prefix, jnp.maximum(beam.lengths - 1, 0)]
    stays_blank = beam.total + log_prob[blank_id]
    stays_label = beam.ends_label + log_prob[last]
    # A label equal to the last one is a new label only after a blank.
    grows = jnp.broadcast_to(beam.total[:, None], (width, classes))
    grows = grows.at[prefix, last].set(beam.ends_blank) + log_prob
    grows = grows.at[:, blank_id].set(-jnp.inf)

    # Prefix i that grows out of another kept prefix j is one labelling, not two: move it to i.
    without_last = beam.prefixes.at[prefix, jnp.maximum(beam.lengths - 1, 0)].set(blank_id)
    is_parent = (
        (beam.lengths[:, None] == beam.lengths + 1)
        & (without_last[:, None] == beam.prefixes).all(axis=2)
        & (beam.total > -jnp.inf)
    )
    parent = jnp.where(is_parent.any(axis=1), jnp.argmax(is_parent, axis=1), width)
    from_parent = grows.at[parent, last].get(mode="fill", fill_value=-jnp.inf)
    stays_label = jnp.logaddexp(stays_label, from_parent)
    grows = grows.at[parent, last].set(-jnp.inf, mode="drop")

    scores = jnp.concatenate([jnp.logaddexp(stays_blank, stays_label), grows.reshape(-1)])
    _, chosen = lax.top_k(scores, width)
    stayed = chosen < width
    source = jnp.where(stayed, chosen, (chosen - width) // classes)
    label = (chosen - width) % classes
    lengths = beam.lengths[source]
    prefixes = beam.prefixes[source]
    grown = prefixes.at[prefix, lengths].set(label, mode="drop")
    return _Beam(
        prefixes=jnp.where(stayed[:, None], prefixes, grown),
        lengths=jnp.where(stayed, lengths, jnp.minimum(lengths + 1, steps)),
        ends_blank=jnp.where(stayed, stays_blank[source], -jnp.inf),
        ends_label=jnp.where(stayed, stays_label[source], scores[chosen]),
    )


def ctc_align(
    logits: Float[Array, "batch time classes"],
    labels: Int[Array, "batch labels"],
    logit_lengths: Int[Array, "batch"] | None = None,
    label_lengths: Int[Array, "batch"] | None = None,
    blank_id: int = 0,
) -> Alignment:
    """Return the most probable alignment of given labels (forced alignment, Viterbi).

    logits [B, T, K], labels [B, N] -> the class of every step [B, T], blank beyond a length, and
    the path's log-probability [B]. An infeasible example has an all-blank path and -inf.

    Raises:
        ValueError: shapes or lengths that do not fit, a label outside the alphabet (under `jit`
            such an example counts as infeasible).
    """
    labels, label_lengths, valid = prepare_labels(logits, labels, label_lengths, blank_id)
    logit_lengths = full_lengths("logit_lengths", logit_lengths, *logits.shape[:2])
    possible = valid & ctc_feasible(labels, logit_lengths, label_lengths)
    return _align(logits, labels, logit_lengths, label_lengths, possible, blank_id)


@partial(jax.jit, static_argnames="blank_id")
def _align(
    logits: Array,
    labels: Array,
    logit_lengths: Array,
    label_lengths: Array,
    possible: Array,
    blank_id: int,
) -> Alignment:
    log_probs, _ = emissions(logits.astype(jnp.float32), labels, blank_id)
    skip = skips(labels)
    live = length_mask(logit_lengths, logits.shape[1]).T

    def forward(best: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        live_now, log_prob = inputs
        one, two = before(best)
        arrivals = jnp.stack([best, one, two + skip])
        new = jnp.maximum(arrivals.max(axis=0) + log_prob, LOG_ZERO)
        moved = jnp.where(live_now[:, None], jnp.argmax(arrivals, axis=0), 0)
        return jnp.where(live_now[:, None], new, best), moved

    best, moves = lax.scan(forward, only_state(0, *log_probs.shape[1:]), (live, log_probs))
    ends = final_states(best, label_lengths)

    def backward(state: Array, move: Array) -> tuple[Array, Array]:
        came_from = state - jnp.take_along_axis(move, state[:, None], axis=1)[:, 0]
        return came_from, state

    _, states = lax.scan(backward, jnp.argmax(ends, axis=1), moves, reverse=True)
    states = states.T
    # Odd states are labels: state 2n + 1 is label n.
    label = jnp.take_along_axis(labels, jnp.minimum(states // 2, labels.shape[1] - 1), axis=1)
    on_label = (states % 2 == 1) & live.T & possible[:, None]
    path = jnp.where(on_label, label, blank_id)
    return Alignment(path, jnp.where(possible, ends.max(axis=1), -jnp.inf))
