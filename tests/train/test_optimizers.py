"""Schedules at known steps; decay where it belongs; the same steps as PyTorch's optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from train import UsageError
from train.optimizers import Optimizer, decays


def rates(steps, **options):
    schedule = Optimizer(learning_rate=1.0, **options).learning_rates(steps)
    return [float(schedule(step)) for step in range(steps)]


def test_constant():
    assert rates(4, schedule="constant") == [1.0] * 4


def test_cosine_falls_from_the_peak_to_zero():
    values = rates(101, schedule="cosine")
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.5, abs=0.02)
    assert values[100] == pytest.approx(0.0, abs=1e-3)


def test_warmup_rises_linearly_then_the_schedule_begins():
    values = rates(100, schedule="cosine", warmup=0.1)
    np.testing.assert_allclose(values[:11], np.linspace(0, 1, 11), atol=1e-6)
    assert values[11] < values[10]


def test_step_divides_by_ten_at_each_share():
    values = rates(100, schedule="step", drops=(0.5, 0.75), warmup=0.1)
    np.testing.assert_allclose([values[49], values[51], values[76]], [1, 0.1, 0.01], rtol=1e-5)


def test_decay_skips_biases_and_norms_even_when_stacked_by_scan():
    params = {
        "dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((3, 2))},
        "norm": {"scale": jnp.ones((3, 2)), "bias": jnp.ones(2)},
        "embed": {"embedding": jnp.ones((5, 2))},
        "gru": {"weight_hh_l0": jnp.ones((6, 2)), "bias_hh_l0": jnp.ones(6)},
    }
    assert decays(params) == {
        "dense": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "embed": {"embedding": True},
        "gru": {"weight_hh_l0": True, "bias_hh_l0": False},
    }


TWINS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.01),
}


@pytest.mark.parametrize("name", TWINS)
def test_ten_steps_equal_pytorchs(name):
    """In double precision: in float32, optax's 1 - 0.999**t alone costs 3e-5 of a step."""
    start = np.random.default_rng(0).normal(size=(4, 3))
    twin = torch.nn.Parameter(torch.tensor(start))
    torch_optimizer = TWINS[name]([twin])
    rule, _ = Optimizer(
        name="sgd" if name == "nesterov" else name,
        learning_rate=0.1,
        schedule="constant",
        nesterov=name == "nesterov",
        weight_decay=0.01,
    ).build(steps=10)
    for _ in range(10):
        torch_optimizer.zero_grad()
        (twin**4).sum().mul(0.1).backward()
        torch_optimizer.step()
    with jax.enable_x64(True):
        params = {"kernel": jnp.asarray(start)}
        state = rule.init(params)
        for _ in range(10):
            gradient = jax.grad(lambda p: 0.1 * jnp.sum(p["kernel"] ** 4))(params)
            updates, state = rule.update(gradient, state, params)
            params = jax.tree.map(jnp.add, params, updates)
    np.testing.assert_allclose(params["kernel"], twin.detach().numpy(), atol=1e-7)


def test_clipping_bounds_the_whole_gradient():
    optimizer = Optimizer(
        name="sgd", learning_rate=1.0, schedule="constant", momentum=0.0, clip_norm=1.0
    )
    rule, _ = optimizer.build(1)
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}
    updates, _ = rule.update(gradient, rule.init(params), params)
    np.testing.assert_allclose(updates["a"], [-0.6, 0.0], atol=1e-6)
    np.testing.assert_allclose(updates["b"], [-0.8], atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"warmup": 1.0}, {"warmup": -0.1}, {"learning_rate": 0.0}, {"beta1": 1.0}]
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(UsageError):
        Optimizer(**options)
