"""The CTC loss in log space with a gradient of its own, and the pieces alignment shares with it.

The states of a label sequence l1 .. lN are its S = 2N + 1 extended labels: blank, l1, blank, l2,
..., lN, blank (Graves et al. 2006, section 4.1). A path stays, advances by one state, or skips the
blank between two different labels. Forward and backward variables are divided by their maximum at
every step, so their size does not grow with the sequence and float32 suffices; the gradient is
softmax minus the posterior of each class (equation 16), from one backward scan.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from flax_models.apart import apart
from flax_models.lengths import length_mask

# Stands for log 0: finite, so that differences and products with 0 never give not-a-number.
LOG_ZERO = -1e30
# Up to this many classes a product with one-hot labels beats a scatter on every device.
ONE_HOT_CLASSES = 512


def before(
    states: Float[Array, "batch states"],
) -> tuple[Float[Array, "batch states"], Float[Array, "batch states"]]:
    """What lies one and two states before each state."""
    # XLA:CPU computes a step faster that the padding is not fused into
    padded = apart(jnp.pad(states, ((0, 0), (2, 0)), constant_values=LOG_ZERO))
    return padded[:, 1:-1], padded[:, :-2]


def _behind(states: Array) -> tuple[Array, Array]:
    padded = apart(jnp.pad(states, ((0, 0), (0, 2)), constant_values=LOG_ZERO))
    return padded[:, 1:-1], padded[:, 2:]


def _logaddexp3(a: Array, b: Array, c: Array) -> Array:
    largest = jnp.maximum(jnp.maximum(a, b), c)
    return largest + jnp.log(jnp.exp(a - largest) + jnp.exp(b - largest) + jnp.exp(c - largest))


def _interleave(blanks: Array, labels: Array) -> Array:
    """[..., N + 1] and [..., N] -> [..., 2N + 1]: blank, label, blank, ..., blank."""
    pairs = jnp.stack([blanks[..., :-1], labels], axis=-1)
    return jnp.concatenate([pairs.reshape(*labels.shape[:-1], -1), blanks[..., -1:]], axis=-1)


def emissions(
    logits: Float[Array, "batch time classes"], labels: Int[Array, "batch labels"], blank_id: int
) -> tuple[Float[Array, "time batch states"], Float[Array, "batch time 1"]]:
    """Log-probability of every state's class at every step, and the logits' normalisers."""
    normalisers = jax.nn.logsumexp(logits, axis=2, keepdims=True)
    of_labels = jnp.take_along_axis(logits, labels[:, None, :], axis=2) - normalisers
    of_blank = logits[:, :, blank_id, None] - normalisers
    of_blanks = jnp.broadcast_to(of_blank, (*logits.shape[:2], labels.shape[1] + 1))
    log_probs = jnp.maximum(_interleave(of_blanks, of_labels), LOG_ZERO)
    return log_probs.transpose(1, 0, 2), normalisers


def skips(labels: Int[Array, "batch labels"]) -> Float[Array, "batch states"]:
    """0 where a state can be reached by skipping the blank before it, log 0 elsewhere."""
    differs = jnp.pad(labels[:, 1:] != labels[:, :-1], ((0, 0), (1, 0)))[:, : labels.shape[1]]
    blanks = jnp.full((labels.shape[0], labels.shape[1] + 1), LOG_ZERO)
    return _interleave(blanks, jnp.where(differs, 0.0, LOG_ZERO))


def only_state(
    state: Int[Array, "batch"] | int, batch: int, states: int
) -> Float[Array, "batch states"]:
    """Log-probability 1 for one state of each example: where a path starts and where it ends."""
    state = jnp.broadcast_to(jnp.asarray(state), (batch,))
    return jnp.where(jnp.arange(states) == state[:, None], 0.0, LOG_ZERO)


def final_states(
    scores: Float[Array, "batch states"], label_lengths: Int[Array, "batch"]
) -> Float[Array, "batch states"]:
    """Keep the two states a path may end in: the last label and the blank after it."""
    state = jnp.arange(scores.shape[1])
    last = 2 * label_lengths[:, None]
    return jnp.where((state == last) | (state == last - 1), scores, LOG_ZERO)


def _forward(
    log_probs: Float[Array, "time batch states"],
    skip: Float[Array, "batch states"],
    live: Bool[Array, "time batch"],
    label_lengths: Int[Array, "batch"],
) -> tuple[Float[Array, "batch"], Float[Array, "time batch states"]]:
    """Log-likelihood, and every step's forward variables up to a constant of the step."""

    def step(alpha: Array, inputs: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        live_now, log_prob = inputs
        one, two = before(alpha)
        new = _logaddexp3(alpha, one, two + skip) + log_prob
        scale = new.max(axis=1)
        new = jnp.maximum(new - scale[:, None], LOG_ZERO)
        alpha = jnp.where(live_now[:, None], new, alpha)
        return alpha, (alpha, jnp.where(live_now, scale, 0.0))

    # Before the first step a path is at the first blank: from there it stays or advances, as ever.
    start = only_state(0, *log_probs.shape[1:])
    last, (alphas, scales) = lax.scan(step, start, (live, log_probs))
    ends = final_states(last, label_lengths)
    return jax.nn.logsumexp(ends, axis=1) + scales.sum(axis=0), alphas


def _posterior(
    log_probs: Float[Array, "time batch states"],
    skip: Float[Array, "batch states"],
    live: Bool[Array, "time batch"],
    label_lengths: Int[Array, "batch"],
    alphas: Float[Array, "time batch states"],
) -> Float[Array, "time batch states"]:
    """Probability of being in each state at each step, given the labels."""
    end = only_state(2 * label_lengths, *log_probs.shape[1:])
    _, skip_ahead = _behind(skip)

    def step(after: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        live_now, log_prob = inputs
        one, two = _behind(after)
        beta = _logaddexp3(after, one, two + skip_ahead)
        beta = jnp.maximum(beta - beta.max(axis=1, keepdims=True), LOG_ZERO)
        return jnp.where(live_now[:, None], beta + log_prob, end), beta

    _, betas = lax.scan(step, end, (live, log_probs), reverse=True)
    return jax.nn.softmax(alphas + betas, axis=2)


def _posterior_of_classes(
    posterior: Float[Array, "time batch states"],
    labels: Int[Array, "batch labels"],
    blank_id: int,
    classes: int,
) -> Float[Array, "batch time classes"]:
    of_labels = posterior[:, :, 1::2].transpose(1, 0, 2)
    of_blank = posterior[:, :, 0::2].sum(axis=2).T
    if classes <= ONE_HOT_CLASSES:
        one_hot = jax.nn.one_hot(labels, classes, dtype=posterior.dtype)
        summed = jnp.einsum("btn,bnk->btk", of_labels, one_hot, precision="highest")
    else:
        batch, steps, _ = of_labels.shape
        example, step = jnp.arange(batch)[:, None, None], jnp.arange(steps)[None, :, None]
        summed = jnp.zeros((batch, steps, classes), posterior.dtype)
        summed = summed.at[example, step, labels[:, None, :]].add(of_labels)
    return summed.at[:, :, blank_id].add(of_blank)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def ctc_negative_log_likelihood(
    logits: Float[Array, "batch time classes"],
    labels: Int[Array, "batch labels"],
    logit_lengths: Int[Array, "batch"],
    label_lengths: Int[Array, "batch"],
    blank_id: int,
) -> Float[Array, "batch"]:
    """Return -log p(labels) of each example.

    For float32 logits [B, T, K] and labels [B, N] that are classes, padding included; an infeasible
    example gives about 1e30 with a finite gradient. Memory O(B T (K + N)). Raises nothing:
    `ctc.ctc_loss` checks, masks and reduces.
    """
    return _likelihood_forward(logits, labels, logit_lengths, label_lengths, blank_id)[0]


def _likelihood_forward(
    logits: Array, labels: Array, logit_lengths: Array, label_lengths: Array, blank_id: int
) -> tuple[Array, tuple[Array, ...]]:
    log_probs, normalisers = emissions(logits, labels, blank_id)
    live = length_mask(logit_lengths, logits.shape[1]).T
    log_likelihood, alphas = _forward(log_probs, skips(labels), live, label_lengths)
    return -log_likelihood, (logits, labels, live, label_lengths, log_probs, normalisers, alphas)


def _likelihood_backward(
    blank_id: int, residuals: tuple[Array, ...], cotangents: Float[Array, "batch"]
) -> tuple[Array, None, None, None]:
    logits, labels, live, label_lengths, log_probs, normalisers, alphas = residuals
    posterior = _posterior(log_probs, skips(labels), live, label_lengths, alphas)
    observed = _posterior_of_classes(posterior, labels, blank_id, logits.shape[2])
    gradient = (jnp.exp(logits - normalisers) - observed) * cotangents[:, None, None]
    return jnp.where(live.T[..., None], gradient, 0.0), None, None, None


ctc_negative_log_likelihood.defvjp(_likelihood_forward, _likelihood_backward)
