"""The figures of the CTC losses: errors against double precision, and memory."""

import numpy as np
import pytest
import torch

from benchmarks import ctc
from benchmarks.cases import CASES


def test_an_error_is_relative():
    assert ctc.error(np.array([3.0, 4.0]), np.array([3.0, 5.0])) == pytest.approx(1 / 34**0.5)


def test_ours_is_ten_times_nearer_to_double_precision_than_torchs_gradient():
    logits, labels = CASES["ctc-small"].logits_and_labels()
    (losses, gradient), reference = (
        ctc.of_torch(logits, labels, precision) for precision in (torch.float32, torch.float64)
    )
    our_losses, our_gradient = ctc.of_ours(logits, labels, "fast")
    assert 10 * ctc.error(our_gradient, reference[1]) < ctc.error(gradient, reference[1])
    assert ctc.error(our_losses, reference[0]) < 1.2 * ctc.error(losses, reference[0])


def test_ours_takes_at_most_six_tenths_of_optaxs_memory():
    logits, labels = CASES["ctc-small"].logits_and_labels()
    ours, optax = (ctc.temporary_bytes(logits, labels, name) for name in ("fast", "optax"))
    assert 0 < ours <= 0.6 * optax
