from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from flax_models.attention import (
    AdditiveAttention,
    DotAttention,
    MultiHeadAttention,
    masked_softmax,
)
from flax_models.layers import count_parameters


def name(attention):
    scaled = "Scaled" if getattr(attention, "scaled", False) else ""
    return scaled + type(attention).__name__


KINDS = (AdditiveAttention(7), DotAttention(), DotAttention(scaled=True), MultiHeadAttention(2))


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_dot_by_hand():
    # Scores 0 and ln 3 give weights 1/4 and 3/4.
    query = jnp.array([[[1.0, 0.0]]])
    keys = jnp.array([[[0.0, 5.0], [np.log(3.0), -5.0]]])
    values = jnp.array([[[4.0], [8.0]]])
    outputs, weights = DotAttention().apply({}, query, keys, values)
    np.testing.assert_allclose(weights, [[[0.25, 0.75]]], rtol=1e-6)
    np.testing.assert_allclose(outputs, [[[7.0]]], rtol=1e-6)
    # Scaled by sqrt(4): scores 0 and ln 3 from 0 and 2 ln 3.
    query = jnp.array([[[1.0, 1.0, 0.0, 0.0]]])
    keys = jnp.array([[[0.0, 0.0, 1.0, 1.0], [np.log(3.0), np.log(3.0), 2.0, 2.0]]])
    _, weights = DotAttention(scaled=True).apply({}, query, keys, values)
    np.testing.assert_allclose(weights, [[[0.25, 0.75]]], rtol=1e-6)


def test_additive_by_hand():
    params = {
        "query": {"kernel": jnp.array([[1.0]])},
        "key": {"kernel": jnp.array([[2.0]]), "bias": jnp.array([0.5])},
        "score": {"kernel": jnp.array([[3.0]])},
    }
    query, keys = jnp.array([[[0.5]]]), jnp.array([[[0.0], [1.0]]])
    _, weights = AdditiveAttention(1).apply({"params": params}, query, keys, keys)
    scores = 3 * np.tanh([1.0, 3.0])
    np.testing.assert_allclose(weights[0, 0], np.exp(scores) / np.exp(scores).sum(), rtol=1e-6)


@pytest.mark.parametrize("attention", KINDS, ids=name)
def test_mask_keeps_true_and_padding_never_matters(attention):
    queries, keys, values = random(2, 3, 4), random(2, 5, 4, seed=1), random(2, 5, 4, seed=2)
    variables = random_variables(attention, queries, keys, values)
    mask = (jnp.arange(5) < jnp.array([3, 0])[:, None])[:, None]
    apply = jax.jit(attention.apply)
    outputs, weights = apply(variables, queries, keys, values, mask)
    shorter, _ = apply(variables, queries, keys[:, :3], values[:, :3])
    np.testing.assert_allclose(outputs[0], shorter[0], atol=1e-6)
    np.testing.assert_array_equal(weights[0, :, 3:], 0)
    np.testing.assert_allclose(weights[0].sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(weights[1], 0)
    changed = keys.copy(), values.copy()
    for array in changed:
        array[0, 3:] = 1e4
    np.testing.assert_array_equal(apply(variables, queries, *changed, mask)[0][0], outputs[0])
    gradient = jax.jit(jax.grad(lambda v: apply(v, queries, keys, values, mask)[0].sum()))(
        variables
    )
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("attention", KINDS, ids=name)
def test_bfloat16_stays_close(attention):
    arguments = random(2, 3, 8), random(2, 5, 8, seed=1), random(2, 5, 8, seed=2)
    variables = random_variables(attention, *arguments)
    exact, _ = jax.jit(attention.apply)(variables, *arguments)
    rough, weights = jax.jit(attention.clone(dtype=jnp.bfloat16).apply)(variables, *arguments)
    assert rough.dtype == jnp.bfloat16
    assert weights.dtype == jnp.float32
    assert jnp.abs(rough - exact).max() <= 2e-2 * jnp.abs(exact).max()


def test_parameter_counts():
    x = random(1, 2, 6)
    additive = jax.eval_shape(AdditiveAttention(5).init, jax.random.key(0), x, x[..., :3], x)
    assert count_parameters(additive) == 5 * (6 + 3 + 2)
    multi_head = jax.eval_shape(MultiHeadAttention(3).init, jax.random.key(0), x, x, x)
    assert count_parameters(multi_head) == 4 * 6 * 7


def test_causal_mask_and_dropout():
    x, attention = random(1, 4, 6), MultiHeadAttention(2, dropout_rate=0.5)
    variables = random_variables(attention, x, x, x)
    causal = jnp.tril(jnp.ones((4, 4), bool))
    apply = jax.jit(attention.apply)
    outputs, weights = apply(variables, x, x, x, causal)
    np.testing.assert_array_equal(jnp.triu(weights[0], 1), 0)
    changed = x.copy()
    changed[:, 3] = 9
    later, _ = apply(variables, changed, changed, changed, causal)
    np.testing.assert_array_equal(later[:, :3], outputs[:, :3])
    key = {"dropout": jax.random.key(3)}
    dropped, _ = jax.jit(partial(attention.apply, train=True))(variables, x, x, x, causal, rngs=key)
    assert jnp.abs(dropped - outputs).max() > 1e-2


def test_masked_softmax_by_hand():
    scores = jnp.log(jnp.array([[1.0, 3.0, 100.0]]))
    mask = jnp.array([[True, True, False]])
    np.testing.assert_allclose(masked_softmax(scores, mask), [[0.25, 0.75, 0]], rtol=1e-6)
    assert masked_softmax(scores.astype(jnp.bfloat16), mask).dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": random(3, 4)}, r"queries: expected \[batch, queries, features\]"),
        ({"keys": random(1, 5, 4)}, r"keys: expected \[2, keys, 4\], got \(1, 5, 4\)"),
        ({"keys": random(2, 5, 3)}, r"keys: expected \[2, keys, 4\], got \(2, 5, 3\)"),
        ({"values": random(2, 6, 4)}, r"values: expected \[2, 5, features\], got \(2, 6, 4\)"),
        ({"mask": jnp.ones((2, 5), bool)}, r"mask: .*\(2, 3, 5\), got bool \(2, 5\)"),
        ({"mask": jnp.ones((2, 3, 5))}, r"mask: expected bool .*float32"),
    ],
)
@pytest.mark.parametrize("attention", KINDS[1:], ids=name)
def test_bad_input(attention, change, message):
    good = {"queries": random(2, 3, 4), "keys": random(2, 5, 4), "values": random(2, 5, 4)}
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(attention.init, jax.random.key(0), **(good | change))


def test_heads_must_divide_the_size():
    x = random(2, 3, 4)
    with pytest.raises(ValueError, match=r"queries: expected a size that 3 heads divide"):
        MultiHeadAttention(3).init(jax.random.key(0), x, x, x)
