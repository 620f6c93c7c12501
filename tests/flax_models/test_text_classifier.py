"""A text is read in both directions, and neither padding nor its neighbours count."""

import jax
import numpy as np
import pytest
from random_variables import random_variables

from flax_models import GRU, TextClassifier
from flax_models.layers import count_parameters
from flax_models.text_classifier import hash_runs

MODEL = TextClassifier(11, 2, 5, 4, longest_run=3, run_bits=6)
TOKENS = np.random.default_rng(0).integers(1, 11, (4, 7))
LENGTHS = np.array([7, 1, 3, 5])


def test_padding_and_neighbours_never_change_a_result():
    variables = random_variables(MODEL, TOKENS)
    padded = np.concatenate([TOKENS, np.full((4, 4), 10)], axis=1)
    padded = np.where(np.arange(11) < LENGTHS[:, None], padded, 10)
    got = MODEL.apply(variables, padded, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = MODEL.apply(variables, TOKENS[row : row + 1, :length])
        np.testing.assert_allclose(got[row : row + 1], alone, atol=1e-5)


def test_an_empty_text_is_finite():
    variables = random_variables(MODEL, TOKENS)
    assert np.isfinite(MODEL.apply(variables, TOKENS, np.array([0, 0, 7, 7]))).all()


def test_it_is_mean_and_maximum_of_a_gru_over_sums_of_embeddings():
    variables = random_variables(MODEL, TOKENS)
    params = variables["params"]
    x = params["embedding"]["embedding"][TOKENS]
    for run in (2, 3):
        x = x + params["run_embedding"]["embedding"][np.asarray(hash_runs(TOKENS, run, 6))]
    outputs, _ = GRU(4, bidirectional=True).apply({"params": params["recurrent"]}, x)
    pooled = np.concatenate([outputs.mean(1), outputs.max(1)], axis=-1)
    want = pooled @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(MODEL.apply(variables, TOKENS), want, atol=1e-5)


def test_rows_of_runs_by_hand():
    """Token 3 alone: 3 * 2654435769 = 7963307307, less 2^32 is 3668340011, over 2^24: 218."""
    assert int(hash_runs(np.array([[3]]), 1, 8)[0, 0]) == 3 * 0x9E3779B1 % 2**32 // 2**24
    rows = np.asarray(hash_runs(np.array([[1, 2, 3, 1, 2], [0, 0, 0, 1, 2]]), 2, 20))
    assert rows[0, 1] == rows[0, 4] == rows[1, 4]
    assert len({int(row) for row in rows[0, :4]}) == 4
    assert rows[0, 3] != rows[1, 3]  # 3 1 and 0 1: order and neighbour count


def test_a_run_that_was_never_seen_adds_nothing():
    variables = jax.jit(MODEL.init)(jax.random.key(0), TOKENS)
    without = TextClassifier(11, 2, 5, 4, longest_run=1)
    params = {name: leaf for name, leaf in variables["params"].items() if name != "run_embedding"}
    want = without.apply({"params": params}, TOKENS)
    np.testing.assert_allclose(MODEL.apply(variables, TOKENS), want, atol=1e-6)


def test_the_number_of_parameters():
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), TOKENS)
    assert count_parameters(shapes) == 5 * 11 + 6 * 4 * (5 + 4 + 2) + 17 * 2 + 2**6 * 5


@pytest.mark.parametrize(
    ("model", "tokens", "lengths", "message"),
    [
        (MODEL, np.array([[1, 11]]), None, "tokens: expected tokens from 0 to 10, got 11"),
        (MODEL, np.array([1, 2]), None, r"tokens: expected integers \[batch, steps\]"),
        (MODEL, np.array([[1, 2]]), np.array([3]), "lengths: expected lengths from 0 to 2"),
        (TextClassifier(3, longest_run=0), np.array([[1]]), None, "longest_run: expected 1"),
    ],
)
def test_what_does_not_fit_is_named(model, tokens, lengths, message):
    with pytest.raises(ValueError, match=message):
        model.init(jax.random.key(0), tokens, lengths)
