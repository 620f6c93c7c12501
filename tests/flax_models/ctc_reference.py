"""The definition of CTC, by enumeration: slow and plainly right; and random cases."""

import itertools

import numpy as np


def collapse(path, blank):
    """Merge repeats, then drop blanks."""
    return tuple(int(k) for k, _ in itertools.groupby(path) if k != blank)


def probabilities_of_labellings(log_probs, blank):
    """Sum over every alignment of [time, classes], by its labelling."""
    totals = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        p = np.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
        labelling = collapse(path, blank)
        totals[labelling] = totals.get(labelling, 0.0) + p
    return totals


def random_case(seed, blank, batch=7, steps=19, classes=6, width=6):
    """Feasible examples of several lengths, with many repeats, and padding outside the alphabet."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (batch, steps, classes)).astype(np.float32)
    alphabet = [k for k in range(classes) if k != blank][: 2 if seed % 2 else classes]
    labels = rng.choice(alphabet, (batch, width)).astype(np.int32)
    label_lengths = rng.integers(0, width + 1, batch).astype(np.int32)
    label_lengths[0] = width
    logit_lengths = rng.integers(2 * width, steps + 1, batch).astype(np.int32)
    labels[np.arange(width) >= label_lengths[:, None]] = -1
    return logits, labels, logit_lengths, label_lengths


