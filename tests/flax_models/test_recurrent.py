from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from flax_models.layers import count_parameters
from flax_models.recurrent import GRU, LSTM, RNN

CELLS = (RNN, LSTM, GRU)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def shapes(model, x):
    return jax.eval_shape(model.init, jax.random.key(0), x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_unit(rows):
    """One feature, one hidden unit: rows of (input weight, recurrent weight, its two biases)."""
    columns = np.array(rows, np.float32).T
    return {
        "params": {
            "weight_ih_l0": columns[0][:, None],
            "weight_hh_l0": columns[1][:, None],
            "bias_ih_l0": columns[2],
            "bias_hh_l0": columns[3],
        }
    }


def test_rnn_step_by_hand():
    x, h = 2.0, 0.5
    variables = one_unit([(0.5, -1.0, 0.1, 0.2)])
    # 0.5 * 2 - 1 * 0.5 + 0.1 + 0.2 = 0.8
    outputs, state = RNN(1).apply(variables, jnp.full((1, 1, 1), x), None, jnp.full((1, 1, 1), h))
    np.testing.assert_allclose(outputs, [[[np.tanh(0.8)]]], rtol=1e-6)
    np.testing.assert_allclose(state, [[[np.tanh(0.8)]]], rtol=1e-6)
    relu, _ = RNN(1, nonlinearity="relu").apply(variables, jnp.full((1, 1, 1), -x))
    np.testing.assert_array_equal(relu, [[[0.0]]])


def test_lstm_step_by_hand():
    # Rows: input, forget, candidate, output. x = 1, h = 0.5, c = -1.
    variables = one_unit(
        [(1.0, 0.0, 0.5, 0.5), (0.0, 2.0, 0.0, 1.0), (1.0, 1.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0)]
    )
    x, h, c = jnp.ones((1, 1, 1)), jnp.full((1, 1, 1), 0.5), jnp.full((1, 1, 1), -1.0)
    (outputs, (hidden, cell)), sown = LSTM(1).apply(
        variables, x, None, (h, c), mutable=["intermediates"]
    )
    gates = sown["intermediates"]["gates"]
    expected = {
        "input": sigmoid(2.0),
        "forget": sigmoid(2.0),
        "candidate": np.tanh(1.5),
        "output": sigmoid(-1.0),
    }
    assert gates.keys() == expected.keys()
    for gate, value in expected.items():
        np.testing.assert_allclose(gates[gate], np.full((1, 1, 1, 1), value), rtol=1e-6)
    memory = sigmoid(2.0) * -1.0 + sigmoid(2.0) * np.tanh(1.5)
    np.testing.assert_allclose(cell, [[[memory]]], rtol=1e-6)
    np.testing.assert_allclose(hidden, [[[sigmoid(-1.0) * np.tanh(memory)]]], rtol=1e-6)
    np.testing.assert_array_equal(outputs[:, -1], hidden[0])


def test_gru_step_by_hand():
    # Rows: reset, update, candidate. x = 1, h = 0.5; the last bias is inside the reset gate.
    variables = one_unit([(1.0, 2.0, 0.5, -0.5), (0.0, 1.0, 0.25, 0.25), (1.0, 2.0, 0.5, 3.0)])
    x, h = jnp.ones((1, 1, 1)), jnp.full((1, 1, 1), 0.5)
    (outputs, state), sown = GRU(1).apply(variables, x, None, h, mutable=["intermediates"])
    gates = sown["intermediates"]["gates"]
    reset, update = sigmoid(2.0), sigmoid(1.0)
    candidate = np.tanh(1.5 + reset * (1.0 + 3.0))
    for gate, value in {"reset": reset, "update": update, "candidate": candidate}.items():
        np.testing.assert_allclose(gates[gate], np.full((1, 1, 1, 1), value), rtol=1e-6)
    expected = (1 - update) * candidate + update * 0.5
    np.testing.assert_allclose(outputs, [[[expected]]], rtol=1e-6)
    np.testing.assert_allclose(state, [[[expected]]], rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_never_matters_and_each_row_is_as_if_alone(cell):
    model = cell(5, num_layers=2, bidirectional=True)
    x, lengths = random(4, 7, 3), np.array([7, 4, 1, 0])
    variables = random_variables(model, x)
    apply = jax.jit(
        lambda x, lengths: model.apply(variables, x, lengths, mutable=["intermediates"])
    )
    (outputs, state), sown = apply(x, lengths)
    assert all(
        gate.shape == (4, 4, 7, 5) for gate in jax.tree.leaves(sown["intermediates"]["gates"])
    )
    padded = np.where((np.arange(7) < lengths[:, None])[..., None], x, 1e3).astype(np.float32)
    for got, want in zip(
        jax.tree.leaves(apply(padded, lengths)),
        jax.tree.leaves(((outputs, state), sown)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)
    alone_apply = jax.jit(model.apply)
    for row, length in enumerate(lengths[:2]):
        alone, alone_state = alone_apply(variables, x[row : row + 1, :length])
        np.testing.assert_allclose(outputs[row, :length], alone[0], atol=1e-6)
        np.testing.assert_array_equal(outputs[row, length:], 0)
        for got, want in zip(jax.tree.leaves(state), jax.tree.leaves(alone_state), strict=True):
            np.testing.assert_allclose(got[:, row], want[:, 0], atol=1e-6)
    for part in jax.tree.leaves(state):
        np.testing.assert_array_equal(part[:, 3], 0)


@pytest.mark.parametrize("cell", CELLS)
def test_an_example_that_is_not_a_number_leaves_the_others_alone(cell):
    """Inference of a GRU looks at a gate of the first one."""
    module, x = cell(6), jax.random.normal(jax.random.key(0), (3, 5, 4))
    variables = module.init(jax.random.key(1), x)
    want, got = (module.apply(variables, inputs) for inputs in (x, x.at[0].set(jnp.nan)))
    for good, bad in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
        axis = good.shape.index(3)
        np.testing.assert_array_equal(
            jnp.take(bad, jnp.array([1, 2]), axis), jnp.take(good, jnp.array([1, 2]), axis)
        )
        assert jnp.isnan(jnp.take(bad, 0, axis)).all()


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_in_two_parts(cell):
    model, x = cell(4), random(2, 6, 3)
    variables, apply = random_variables(model, x), jax.jit(model.apply)
    outputs, state = apply(variables, x)
    first, between = apply(variables, x[:, :3])
    second, last = apply(variables, x[:, 3:], initial_state=between)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), outputs, atol=1e-6)
    for got, want in zip(jax.tree.leaves(last), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(("cell", "gates"), [(RNN, 1), (LSTM, 4), (GRU, 3)])
def test_parameter_count_and_initial_range(cell, gates):
    variables = shapes(cell(16, 2, bidirectional=True), random(1, 2, 5))
    expected = 2 * gates * 16 * (5 + 16 + 2) + 2 * gates * 16 * (32 + 16 + 2)
    assert count_parameters(variables) == expected
    drawn = cell(16).init(jax.random.key(0), random(1, 2, 5))
    for leaf in jax.tree.leaves(drawn):
        assert leaf.dtype == jnp.float32
        assert 0.15 < jnp.abs(leaf).max() <= 0.25


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_only_between_layers(cell):
    x, key = random(2, 5, 3), {"dropout": jax.random.key(1)}
    one, two = cell(8, 1, dropout_rate=0.5), cell(8, 2, dropout_rate=0.5)
    variables = random_variables(two, x)
    single = {"params": {k: v for k, v in variables["params"].items() if "_l0" in k}}
    np.testing.assert_array_equal(
        jax.jit(partial(one.apply, train=True))(single, x)[0], jax.jit(one.apply)(single, x)[0]
    )
    still, _ = jax.jit(two.apply)(variables, x)
    dropped, _ = jax.jit(partial(two.apply, train=True))(variables, x, rngs=key)
    assert jnp.abs(still - dropped).max() > 1e-2


@pytest.mark.usefixtures("bfloat16_loops")
@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_stays_close_with_a_float32_carry(cell):
    x = random(3, 40, 6)
    model = cell(16, bidirectional=True)
    variables = random_variables(model, x)
    exact, _ = jax.jit(model.apply)(variables, x)
    rough, state = jax.jit(model.clone(dtype=jnp.bfloat16).apply)(variables, x)
    assert rough.dtype == jnp.bfloat16
    assert all(part.dtype == jnp.float32 for part in jax.tree.leaves(state))
    assert jnp.abs(rough - exact).max() <= 2e-2 * jnp.abs(exact).max()


def test_float32_carry_keeps_what_bfloat16_would_lose():
    # The forget gate is open for good and each step adds 1e-3: 200 of them make 0.2. A bfloat16
    # cell would stop growing where 1e-3 is below half its spacing.
    candidate = np.arctanh(1e-3)
    variables = one_unit([(0, 0, 50.0, 0), (0, 0, 50.0, 0), (0, 0, candidate, 0), (0, 0, 0, 0)])
    x = jnp.zeros((1, 400, 1))
    start = (jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1)))
    _, (_, cell) = jax.jit(LSTM(1, dtype=jnp.bfloat16).apply)(variables, x, None, start)
    np.testing.assert_allclose(cell, [[[1.4]]], atol=2e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_bad_input(cell):
    model, x = cell(4), random(2, 5, 3)
    variables = shapes(model, x)
    with pytest.raises(ValueError, match=r"x: expected \[batch, time, 3\], got \(2, 3\)"):
        model.apply(variables, x[:, 0])
    with pytest.raises(ValueError, match=r"x: expected \[batch, time, 3\], got \(2, 5, 2\)"):
        model.apply(variables, x[:, :, :2])
    with pytest.raises(ValueError, match=r"lengths: expected lengths from 0 to 5.* got 6"):
        model.apply(variables, x, np.array([6, 1]))
    with pytest.raises(ValueError, match=r"lengths: expected integers of shape \(2,\)"):
        model.apply(variables, x, np.array([1, 2, 3]))
    wrong = jnp.zeros((2, 2, 4))
    with pytest.raises(ValueError, match=r"initial_state: expected \[1, 2, 4\], got \(2, 2, 4\)"):
        model.apply(variables, x, None, (wrong, wrong) if cell is LSTM else wrong)


def test_lstm_needs_both_states():
    model, x = LSTM(4), random(2, 5, 3)
    variables = shapes(model, x)
    with pytest.raises(ValueError, match="initial_state: expected hidden state and cell state"):
        model.apply(variables, x, None, (jnp.zeros((1, 2, 4)),))
    with pytest.raises(ValueError, match="nonlinearity: expected one of tanh, relu"):
        shapes(RNN(4, nonlinearity="sigmoid"), x)


def with_gradient(model, variables, x, initial, lengths, weights):
    """Gradients of a loss that reads every output and the final state, by variables and state."""

    def loss(variables, x, initial):
        outputs, state = model.apply(variables, x, lengths, initial)
        leaves = jax.tree.leaves((outputs, state))
        return sum((w * leaf).sum() for w, leaf in zip(weights, leaves, strict=True))

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(variables, x, initial)


@pytest.mark.parametrize("lengths", [None, np.array([5, 1, 3])], ids=["full", "packed"])
@pytest.mark.parametrize("cell", [*CELLS, partial(RNN, nonlinearity="relu")])
def test_own_gradient_is_that_of_autodiff(cell, lengths):
    model = cell(4, bidirectional=True)
    x = random(3, 5, 2)
    variables = random_variables(model, x)
    outputs, state = model.apply(variables, x)
    initial = jax.tree.map(lambda leaf: random(*leaf.shape, seed=1), state)
    weights = [random(*leaf.shape, seed=2) for leaf in jax.tree.leaves((outputs, state))]
    own, autodiff = (
        with_gradient(
            cell(4, bidirectional=True, own_gradient=flag), variables, x, initial, lengths, weights
        )
        for flag in (True, False)
    )
    for one, other in zip(jax.tree.leaves(own), jax.tree.leaves(autodiff), strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_the_recurrent_weights_gradient_is_one_product():
    """Outside every scan: the backward walk holds the product with the weight, and no other."""
    model, x = LSTM(4), random(3, 5, 2)
    variables = random_variables(model, x)

    def loss(variables):
        return model.apply(variables, x)[0].sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss))(variables)
    products = [
        str(equation.params["jaxpr"]).count("dot_general")
        for equation in jaxpr.jaxpr.eqns
        if equation.primitive.name == "scan"
    ]
    assert products == [1, 1]


def test_forward_mode_needs_autodiff():
    model, x = GRU(4, own_gradient=False), random(3, 5, 2)
    variables = random_variables(model, x)
    _, tangent = jax.jvp(lambda x: model.apply(variables, x)[0], (x,), (np.ones_like(x),))
    step = 1e-2
    difference = model.apply(variables, x + step)[0] - model.apply(variables, x - step)[0]
    np.testing.assert_allclose(tangent, difference / (2 * step), atol=1e-3)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: GRU(4).apply(variables, x)[0], (x,), (np.ones_like(x),))
