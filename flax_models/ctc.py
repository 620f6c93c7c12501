"""Connectionist temporal classification: the loss, made safe, and the inputs it can be asked for.

The label sequence's probability is the sum over all alignments that collapse to it (repeats merged,
then blanks dropped): Graves, Fernández, Gomez and Schmidhuber 2006, equations 3 to 8.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from flax_models.ctc_fast import ctc_negative_log_likelihood
from flax_models.lengths import full_lengths, is_concrete, length_mask


def ctc_feasible(
    labels: Int[Array, "batch labels"],
    logit_lengths: Int[Array, "batch"],
    label_lengths: Int[Array, "batch"] | None = None,
) -> Bool[Array, "batch"]:
    """Whether the steps suffice: one for a label, and one more (a blank) between equal neighbours.

    Count what a loss leaves out with `(~ctc_feasible(labels, logit_lengths, label_lengths)).sum()`.
    """
    labels = jnp.asarray(labels)
    label_lengths = full_lengths("label_lengths", label_lengths, *labels.shape)
    repeats = labels[:, 1:] == labels[:, :-1]
    repeats &= length_mask(label_lengths, labels.shape[1])[:, 1:]
    return jnp.asarray(logit_lengths) >= label_lengths + repeats.sum(axis=1)


def check_blank(logits: Float[Array, "batch time classes"], blank_id: int) -> None:
    """Raise a ValueError unless logits are [batch, time, classes] and blank_id is a class."""
    if jnp.ndim(logits) != 3:
        raise ValueError(f"logits: expected [batch, time, classes], got {jnp.shape(logits)}")
    if not 0 <= blank_id < jnp.shape(logits)[2]:
        raise ValueError(
            f"blank_id: expected one of the {jnp.shape(logits)[2]} classes, got {blank_id}"
        )


def prepare_labels(
    logits: Float[Array, "batch time classes"],
    labels: Int[Array, "batch labels"],
    label_lengths: Int[Array, "batch"] | None,
    blank_id: int,
) -> tuple[Int[Array, "batch labels"], Int[Array, "batch"], Bool[Array, "batch"]]:
    """Return labels whose padding is a valid class, their lengths, and which examples are valid.

    Raises:
        ValueError: wrong shapes; or, where the values are known, a label outside the alphabet.
    """
    check_blank(logits, blank_id)
    batch, _, classes = logits.shape
    if (
        jnp.ndim(labels) != 2
        or jnp.shape(labels)[0] != batch
        or jnp.shape(labels)[1] == 0
        or not jnp.issubdtype(jnp.result_type(labels), jnp.integer)
    ):
        raise ValueError(
            f"labels: expected integers of shape [{batch}, labels], at least one column,"
            f" got {jnp.result_type(labels)} {jnp.shape(labels)}"
        )
    label_lengths = full_lengths("label_lengths", label_lengths, *jnp.shape(labels))
    masked, wrong = _replace_padding(
        jnp.asarray(labels, jnp.int32), label_lengths, classes, blank_id
    )
    if is_concrete(wrong) and np.any(wrong):
        raise ValueError(
            f"labels: expected classes from 0 to {classes - 1} without the blank {blank_id}"
            f" within label_lengths, got {np.asarray(labels)[np.asarray(wrong)][0]}"
        )
    return masked, label_lengths, ~wrong.any(axis=1)


@partial(jax.jit, static_argnames=("classes", "blank_id"))
def _replace_padding(
    labels: Array, label_lengths: Array, classes: int, blank_id: int
) -> tuple[Array, Array]:
    """Give padding, which may hold anything, a class that can be looked up; find wrong labels."""
    real = length_mask(label_lengths, labels.shape[1])
    wrong = real & ((labels < 0) | (labels >= classes) | (labels == blank_id))
    padding = 0 if blank_id != 0 or classes == 1 else 1
    return jnp.where(real & ~wrong, labels, padding), wrong


def ctc_loss(
    logits: Float[Array, "batch time classes"],
    labels: Int[Array, "batch labels"],
    logit_lengths: Int[Array, "batch"] | None = None,
    label_lengths: Int[Array, "batch"] | None = None,
    blank_id: int = 0,
    reduction: str = "mean",
    method: str = "optax",
) -> Float[Array, ""] | Float[Array, "batch"]:
    """Return the negative log-probability of the labels under per-step logits, in float32.

    An infeasible example (see `ctc_feasible`) has loss 0 and gradient 0, as with torch's
    `zero_infinity=True`, and still counts in the mean. No loss is below 0.

    Args:
        logits: [B, T, K], finite, not yet normalised; any float type.
        labels: [B, N], classes of 0..K-1 other than the blank; what lies beyond a label's length
            is never read, so any padding value will do.
        logit_lengths: [B], the real steps; default T.
        label_lengths: [B], the real labels; default N.
        blank_id: the class that means "no label".
        reduction: "none" gives [B]; "sum" adds up; "mean" is torch's: each loss is divided by its
            label length (at least 1), then the batch is averaged.
        method: "optax" is `optax.ctc_loss`; "fast" has a gradient of its own, more accurate on long
            sequences and faster on CPU (`ctc_fast.py`).

    Raises:
        ValueError: shapes or lengths that do not fit, an unknown option, a label outside the
            alphabet. Under `jit` labels have no values to look at: there such an example's loss is
            not-a-number, which no training run can overlook.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
    if method not in ("optax", "fast"):
        raise ValueError(f"method: expected 'optax' or 'fast', got {method!r}")
    labels, label_lengths, valid = prepare_labels(logits, labels, label_lengths, blank_id)
    logit_lengths = full_lengths("logit_lengths", logit_lengths, *logits.shape[:2])
    return _ctc_loss(
        logits, labels, logit_lengths, label_lengths, valid, blank_id, reduction, method
    )


@partial(jax.jit, static_argnames=("blank_id", "reduction", "method"))
def _ctc_loss(
    logits: Array,
    labels: Array,
    logit_lengths: Array,
    label_lengths: Array,
    valid: Array,
    blank_id: int,
    reduction: str,
    method: str,
) -> Array:
    logits = logits.astype(jnp.float32)
    if method == "fast":
        losses = ctc_negative_log_likelihood(logits, labels, logit_lengths, label_lengths, blank_id)
    else:
        # optax reads emissions through a product with one-hot labels: never in bfloat16.
        with jax.default_matmul_precision("highest"):
            losses = optax.ctc_loss(
                logits,
                1.0 - length_mask(logit_lengths, logits.shape[1]),
                labels,
                1.0 - length_mask(label_lengths, labels.shape[1]),
                blank_id=blank_id,
            )
    # Rounding can carry a loss near 0 below it (optax issue 1771).
    losses = jnp.maximum(losses, 0.0)
    losses = jnp.where(ctc_feasible(labels, logit_lengths, label_lengths), losses, 0.0)
    losses = jnp.where(valid, losses, jnp.nan)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return (losses / jnp.maximum(label_lengths, 1)).mean()
