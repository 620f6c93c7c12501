import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from flax_models.layers import count_parameters
from flax_models.seq2seq import ATTENTIONS, Seq2Seq
from flax_models.seq2seq_decode import beam_decode, greedy_decode

SMALL = Seq2Seq(6, 4, embedding_size=3, hidden_size=4, num_heads=2, start_id=1, end_id=2)
SOURCE = np.array([[3, 4, 5, 0, 0], [5, 5, 1, 2, 3]])
LENGTHS = np.array([3, 5])


@pytest.fixture(scope="module")
def variables():
    return random_variables(SMALL, SOURCE, np.zeros((2, 3), int))


FORCED = jax.jit(SMALL.apply)


def sequences(steps, vocabulary, end):
    """Every output of at most `steps` tokens: an end token at the end, or cut at `steps`."""
    for tokens in itertools.product(range(vocabulary), repeat=steps):
        stop = tokens.index(end) if end in tokens else steps
        if all(token == end for token in tokens[stop:]):
            yield tokens, stop


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_never_matters(attention):
    model = SMALL.clone(attention=attention)
    target = np.array([[3, 0, 2], [1, 1, 2]])
    variables = random_variables(model, SOURCE, target)
    apply = jax.jit(model.apply)
    logits, weights = apply(variables, SOURCE, target, LENGTHS)
    assert logits.shape == (2, 3, 4)
    assert weights.shape == (2, 3, 5)
    np.testing.assert_array_equal(weights[0, :, 3:], 0)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    other = np.where(np.arange(5) < LENGTHS[:, None], SOURCE, 5)
    np.testing.assert_array_equal(apply(variables, other, target, LENGTHS)[0], logits)
    alone, _ = apply(variables, SOURCE[:1, :3], target[:1])
    np.testing.assert_allclose(alone[0], logits[0], atol=1e-5)


def test_teacher_forcing_sees_only_earlier_targets(variables):
    target = np.array([[3, 0, 2], [1, 1, 2]])
    changed = target.copy()
    changed[:, 1] = 3
    before, _ = FORCED(variables, SOURCE, target, LENGTHS)
    after, _ = FORCED(variables, SOURCE, changed, LENGTHS)
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert jnp.abs(before[:, 2] - after[:, 2]).max() > 1e-3


def test_greedy_follows_the_teacher_forced_argmax(variables):
    tokens, lengths, log_probs, weights = greedy_decode(SMALL, variables, SOURCE, LENGTHS, 6)
    logits, forced_weights = FORCED(variables, SOURCE, tokens, LENGTHS)
    for row, length in enumerate(lengths):
        spoken = min(int(length) + 1, 6)
        np.testing.assert_array_equal(logits[row, :spoken].argmax(-1), tokens[row, :spoken])
        assert (tokens[row, length:] == SMALL.end_id).all()
        assert (tokens[row, :length] != SMALL.end_id).all()
        expected = jax.nn.log_softmax(logits[row, :spoken]).max(-1).sum()
        np.testing.assert_allclose(log_probs[row], expected, rtol=1e-5)
        np.testing.assert_allclose(weights[row, :spoken], forced_weights[row, :spoken], atol=1e-5)
        np.testing.assert_array_equal(weights[row, spoken:], 0)


def test_wide_beam_is_exhaustive(variables):
    steps, every = 3, list(sequences(3, 4, 2))
    found = beam_decode(SMALL, variables, SOURCE, LENGTHS, steps, beam_width=len(every))
    forced = {
        tokens: np.asarray(FORCED(variables, SOURCE, np.array([tokens] * 2), LENGTHS)[0])
        for tokens, _ in every
    }
    forced = {tokens: np.asarray(jax.nn.log_softmax(x)) for tokens, x in forced.items()}
    for row in range(2):
        scores = {}
        for tokens, stop in every:
            log_probs = forced[tokens][row]
            scores[tokens] = sum(log_probs[n, tokens[n]] for n in range(min(stop + 1, steps)))
        ranked = sorted(scores, key=scores.get, reverse=True)
        assert found.tokens[row].tolist() == [list(tokens) for tokens in ranked]
        expected = [scores[tokens] for tokens in ranked]
        np.testing.assert_allclose(found.log_probs[row], expected, rtol=1e-4, atol=1e-5)
        assert found.lengths[row].tolist() == [dict(every)[tokens] for tokens in ranked]


def test_beam_of_one_is_greedy_and_length_penalty_reorders(variables):
    greedy = greedy_decode(SMALL, variables, SOURCE, LENGTHS, 6)
    beam = beam_decode(SMALL, variables, SOURCE, LENGTHS, 6, beam_width=1)
    for ours, theirs in zip(beam, greedy, strict=True):
        np.testing.assert_allclose(ours[:, 0], theirs, atol=1e-5)
    plain = beam_decode(SMALL, variables, SOURCE, LENGTHS, 6, beam_width=4)
    long = beam_decode(SMALL, variables, SOURCE, LENGTHS, 6, beam_width=4, length_penalty=5.0)
    assert (jnp.diff(plain.log_probs) <= 0).all()
    ended = long.tokens[..., -1] == SMALL.end_id
    ranks = long.log_probs / ((5 + long.lengths + ended) / 6) ** 5.0
    assert (jnp.diff(ranks) <= 1e-6).all()
    np.testing.assert_allclose(jnp.sort(long.log_probs), jnp.sort(plain.log_probs), rtol=1e-6)


@pytest.mark.usefixtures("bfloat16_loops")
def test_dropout_and_bfloat16(variables):
    target = np.array([[3, 0, 2], [1, 1, 2]])
    exact, _ = FORCED(variables, SOURCE, target, LENGTHS)
    rough, weights = jax.jit(SMALL.clone(dtype=jnp.bfloat16).apply)(
        variables, SOURCE, target, LENGTHS
    )
    assert rough.dtype == weights.dtype == jnp.float32
    assert jnp.abs(rough - exact).max() <= 2e-2 * jnp.abs(exact).max()
    dropping = jax.jit(partial(SMALL.clone(dropout_rate=0.5).apply, train=True))
    dropped, _ = dropping(variables, SOURCE, target, LENGTHS, rngs={"dropout": jax.random.key(1)})
    assert jnp.abs(dropped - exact).max() > 1e-2


@pytest.mark.parametrize(("attention", "extra"), [("dot", 0), ("additive", 2), ("multi_head", 4)])
def test_parameter_count(attention, extra):
    s, t, e, h = 6, 4, 3, 4
    model = SMALL.clone(attention=attention)
    shapes = jax.eval_shape(model.init, jax.random.key(0), SOURCE, SOURCE % 4)
    expected = (s + t) * e + 9 * h * e + 15 * h * h + 21 * h + (h + 1) * t + extra * (h * h + h)
    assert count_parameters(shapes) == expected
    if attention == "additive":
        default = Seq2Seq(64, 64)
        shapes = jax.eval_shape(default.init, jax.random.key(0), SOURCE, SOURCE)
        assert f"{count_parameters(shapes):,}" in Seq2Seq.__doc__


@pytest.mark.parametrize(
    ("source", "target", "lengths", "message"),
    [
        (SOURCE[0], SOURCE % 4, None, r"source: expected integers \[batch, steps\].*\(5,\)"),
        (SOURCE + 1, SOURCE % 4, None, "source: expected tokens from 0 to 5, got 6"),
        (SOURCE, SOURCE, None, "target: expected tokens from 0 to 3, got 5"),
        (SOURCE, np.ones((3, 2), int), None, r"target: expected \[2, steps\], got \(3, 2\)"),
        (SOURCE, SOURCE % 4, np.array([6, 1]), "source_lengths: .* from 0 to 5.* got 6"),
    ],
)
def test_bad_input(source, target, lengths, message):
    # eval_shape would hide the values: what is known before tracing is checked.
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda key: SMALL.init(key, source, target, lengths), jax.random.key(0))


def test_bad_options(variables):
    with pytest.raises(ValueError, match="attention: expected one of additive"):
        jax.eval_shape(SMALL.clone(attention="x").init, jax.random.key(0), SOURCE, SOURCE % 4)
    with pytest.raises(ValueError, match="max_length: expected at least 1, got 0"):
        greedy_decode(SMALL, variables, SOURCE, LENGTHS, 0)
    with pytest.raises(ValueError, match="beam_width: expected at least 1, got 0"):
        beam_decode(SMALL, variables, SOURCE, LENGTHS, 3, 0)
