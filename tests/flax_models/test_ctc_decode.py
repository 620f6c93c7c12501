import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ctc_reference import collapse, probabilities_of_labellings

from flax_models.ctc import ctc_loss
from flax_models.ctc_decode import ctc_align, ctc_beam_search, ctc_greedy_decode


def random_logits(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1.5, shape).astype(np.float32)


def test_greedy_by_hand():
    # a a _ a b b, with the last two steps cut off in the second row, and all blanks in the third.
    paths = np.array([[1, 1, 0, 1, 2, 2], [1, 1, 0, 1, 2, 2], [0, 0, 0, 0, 0, 0]])
    logits = 10.0 * jax.nn.one_hot(paths, 3)
    labels, lengths, log_probs = ctc_greedy_decode(logits, jnp.array([6, 4, 6]))
    np.testing.assert_array_equal(lengths, [3, 2, 0])
    np.testing.assert_array_equal(labels, [[1, 1, 2, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6])
    best = float(jax.nn.log_softmax(logits).max())
    np.testing.assert_allclose(log_probs, [6 * best, 4 * best, 6 * best], rtol=1e-6)


@pytest.mark.parametrize("blank", [0, 2])
def test_greedy_collapses_the_best_path(blank):
    logits = random_logits(0, 5, 9, 4)
    labels, lengths, _ = ctc_greedy_decode(logits, blank_id=blank)
    for b in range(5):
        assert tuple(labels[b, : lengths[b]]) == collapse(logits[b].argmax(-1), blank)
        assert (labels[b, lengths[b] :] == blank).all()


def test_beam_search_prefers_the_labelling_over_the_path():
    # The course's case with p(blank) = 0.6: the best path is blank blank (0.36), and yet the
    # label a has more probability: 0.4 * 0.4 + 2 * 0.4 * 0.6 = 0.64.
    logits = jnp.log(jnp.array([[[0.6, 0.4], [0.6, 0.4]]]))
    assert int(ctc_greedy_decode(logits).lengths[0]) == 0
    labels, lengths, log_probs = ctc_beam_search(logits, beam_width=2)
    assert lengths.tolist() == [[1, 0]]
    assert labels[0, 0, 0] == 1
    np.testing.assert_allclose(np.exp(log_probs), [[0.64, 0.36]], rtol=1e-6)


@pytest.mark.parametrize(("seed", "blank"), [(0, 0), (1, 1), (2, 2)])
def test_wide_beam_is_exhaustive(seed, blank):
    logits = random_logits(seed, 3, 4, 3)
    steps = jnp.array([4, 3, 1])
    labels, lengths, log_probs = ctc_beam_search(logits, steps, beam_width=40, blank_id=blank)
    for b in range(3):
        per_step = np.asarray(jax.nn.log_softmax(logits[b, : steps[b]]))
        totals = probabilities_of_labellings(per_step, blank)
        ranked = sorted(totals, key=totals.get, reverse=True)
        found = [tuple(row[:n].tolist()) for row, n in zip(labels[b], lengths[b], strict=True)]
        assert len(ranked) <= 40
        assert found[0] == ranked[0]
        # And every labelling is found once, with its whole probability.
        assert found[: len(ranked)] == ranked
        expected = np.log([totals[one] for one in ranked])
        np.testing.assert_allclose(log_probs[b, : len(ranked)], expected, rtol=1e-5, atol=1e-6)
        assert (log_probs[b, len(ranked) :] == -np.inf).all()


def test_narrow_beam_scores_do_not_exceed_the_likelihood():
    logits = random_logits(3, 2, 12, 5)
    labels, lengths, log_probs = ctc_beam_search(logits, beam_width=4)
    for w in range(4):
        likelihood = -ctc_loss(logits, labels[:, w], None, lengths[:, w], reduction="none")
        assert (log_probs[:, w] <= likelihood + 1e-4).all()
    assert (jnp.diff(log_probs, axis=1) <= 0).all()


@pytest.mark.parametrize("blank", [0, 3])
def test_alignment_collapses_to_the_label_and_is_the_best_path(blank):
    logits = random_logits(4, 4, 6, 4)
    labels = np.array([[1, 1, 2], [2, 1, -1], [1, 2, 1], [-1, -1, -1]])
    label_lengths, steps = np.array([3, 2, 3, 0]), np.array([6, 5, 3, 6])
    path, log_probs = ctc_align(logits, labels, steps, label_lengths, blank)
    for b in range(4):
        label = tuple(labels[b, : label_lengths[b]].tolist())
        assert collapse(path[b, : steps[b]].tolist(), blank) == label
        assert (path[b, steps[b] :] == blank).all()
        per_step = np.asarray(jax.nn.log_softmax(logits[b, : steps[b]]))
        best = max(
            sum(per_step[t, k] for t, k in enumerate(one))
            for one in itertools.product(range(4), repeat=int(steps[b]))
            if collapse(one, blank) == label
        )
        np.testing.assert_allclose(log_probs[b], best, rtol=1e-5)


def test_alignment_of_an_infeasible_label_is_impossible():
    path, log_probs = ctc_align(random_logits(5, 2, 3, 3), np.array([[1, 1, 2], [1, 2, 1]]))
    assert (path[0] == 0).all()
    assert log_probs[0] == -np.inf
    assert path[1].tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ctc_greedy_decode(x[0]), r"logits: expected \[batch, time, classes\]"),
        (lambda x: ctc_greedy_decode(x, np.array([5, 1])), "logit_lengths: .* 0 to 4.*got 5"),
        (lambda x: ctc_beam_search(x, beam_width=0), "beam_width: expected at least 1, got 0"),
        (lambda x: ctc_beam_search(x, blank_id=-1), "blank_id: .*got -1"),
        (lambda x: ctc_align(x, np.full((2, 2), 7)), "labels: expected classes from 0 to 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 4, 3), np.float32))
