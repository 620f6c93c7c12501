"""The definition of CTC, by enumeration: slow and plainly right."""

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
