"""One step, five ways to run it: the same losses and the same parameters."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from train import DataParallel, Supervised, make_eval_step, make_train_step, on_inputs

DEVICES, BATCH, STEPS = 8, 32, 5


class Network(nn.Module):
    """Dense, batch norm, dense: the norm must see the whole batch on every device."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(16)(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, axis_name=self.axis_name)(x)
        return nn.Dense(3)(nn.relu(x))


def cross_entropy(logits, batch):
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])


def make_task(axis_name=None, **options):
    return Supervised(
        module=Network(axis_name),
        loss=cross_entropy,
        optimizer=optax.sgd(0.1, momentum=0.9),
        axis_name=axis_name,
        **options,
    )


def make_batch(k, mask=None):
    rng = np.random.default_rng(k)
    inputs = rng.normal(size=(BATCH, 8)).astype(np.float32)
    return {
        "inputs": inputs,
        "targets": rng.integers(0, 3, BATCH),
        "mask": np.ones(BATCH, np.float32) if mask is None else mask,
    }


def initial_state():
    return jax.jit(make_task().init)(jax.random.PRNGKey(0), make_batch(0))


def split_over_devices(batch):
    return jax.tree.map(lambda a: a.reshape(DEVICES, -1, *a.shape[1:]), batch)


def run(step, prepare=lambda batch: batch):
    """Losses of some steps, and the parameters and statistics after them."""
    state, losses = initial_state(), []
    for k in range(STEPS):
        state, sums = step(state, prepare(make_batch(k)))
        losses.append(float(sums["loss"] / sums["n"]))
    return losses, jax.device_get(state.variables)


@pytest.fixture(scope="module")
def reference():
    return run(jax.jit(make_task().train_step))


def on_a_mesh(devices):
    parallel = DataParallel(BATCH, jax.devices()[:devices])
    return jax.jit(
        make_task().train_step,
        in_shardings=(parallel.replicated, parallel.by_row),
        out_shardings=parallel.replicated,
    )


def under_pmap():
    return jax.pmap(make_task("data").train_step, "data", in_axes=(None, 0), out_axes=None)


def under_vmap():
    step = make_task("data").train_step
    return jax.jit(
        jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="data", axis_size=DEVICES)
    )


def under_shard_map():
    mesh = Mesh(np.asarray(jax.devices()), ("data",))
    return jax.jit(
        jax.shard_map(
            make_task("data").train_step,
            mesh=mesh,
            in_specs=(P(), P("data")),
            out_specs=P(),
            check_vma=False,  # the default silently multiplies the gradients by the devices
        )
    )


WAYS = {
    "jit on 1 device": (lambda: on_a_mesh(1), lambda batch: batch),
    "jit on 8 devices": (lambda: on_a_mesh(8), lambda batch: batch),
    "pmap": (under_pmap, split_over_devices),
    "vmap": (under_vmap, split_over_devices),
    "shard_map": (under_shard_map, lambda batch: batch),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_numbers(way, reference):
    make_step, prepare = WAYS[way]
    losses, variables = run(make_step(), prepare)
    np.testing.assert_allclose(losses, reference[0], rtol=1e-5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), variables, reference[1])


def test_a_masked_row_counts_for_nothing():
    """Without batch norm, a filled row leaves no trace, whatever it holds."""
    module = nn.Dense(3)

    def apply(variables, inputs, train, **options):
        outputs = module.apply(variables, inputs)
        return (outputs, {}) if options else outputs

    task = Supervised(module=module, loss=cross_entropy, optimizer=optax.sgd(0.1))
    state = jax.jit(task.init)(jax.random.PRNGKey(1), make_batch(0))
    step = jax.jit(make_train_step(apply, cross_entropy, optax.sgd(0.1)))
    mask = np.ones(BATCH, np.float32)
    mask[20:] = 0
    filled = make_batch(1, mask)
    filled["inputs"][20:] = 1e3
    plain = jax.tree.map(lambda a: a[:20], make_batch(1))
    (filled_state, filled_sums), (plain_state, plain_sums) = step(state, filled), step(state, plain)
    assert filled_sums["n"] == plain_sums["n"] == 20
    np.testing.assert_allclose(filled_sums["loss"], plain_sums["loss"], rtol=1e-6)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-6),
        filled_state.params,
        plain_state.params,
    )


def test_evaluation_survives_an_infinite_filled_row():
    state = initial_state()
    mask = np.ones(BATCH, np.float32)
    mask[-1] = 0
    batch = make_batch(0, mask)
    batch["inputs"][-1] = np.inf
    eval_step = make_eval_step(Network().apply, {"loss": cross_entropy})
    sums = jax.jit(eval_step)(state, batch)
    assert sums["n"] == BATCH - 1
    assert np.isfinite(sums["loss"])


def test_a_step_that_is_not_finite_changes_nothing_but_the_counter():
    state = initial_state()
    batch = make_batch(0)
    batch["inputs"][3, 2] = np.nan
    after, sums = jax.jit(make_task().train_step)(state, batch)
    assert sums["skipped"] == 1
    assert sums["n"] == 0
    assert sums["loss"] == 0
    assert after.step == 1
    jax.tree.map(np.testing.assert_array_equal, after.replace(step=state.step), state)


def test_augmentation_and_dropout_depend_on_key_and_step_alone():
    def noise(key, inputs):
        return inputs + jax.random.normal(key, inputs.shape)

    step = jax.jit(make_task(augment=on_inputs(noise)).train_step)
    state, batch = initial_state(), make_batch(0)
    same = [step(state, batch)[1]["loss"] for _ in range(2)]
    other = step(state.replace(step=state.step + 1), batch)[1]["loss"]
    assert same[0] == same[1]
    assert same[0] != other


def test_augmentation_may_change_inputs_and_targets_together():
    def turned(key, batch):
        order = jax.random.permutation(key, BATCH)
        return {**batch, "inputs": batch["inputs"][order], "targets": batch["targets"][order]}

    def inputs_turned(key, batch):
        return {**turned(key, batch), "targets": batch["targets"]}

    state, batch = initial_state(), make_batch(0)
    losses = [
        jax.jit(make_task(augment=augment).train_step)(state, batch)[1]["loss"]
        for augment in (None, turned, inputs_turned)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert abs(losses[0] - losses[2]) > 1e-3


def test_the_objective_is_the_mean_over_the_global_batch():
    state, batch = initial_state(), make_batch(0)
    _, sums = jax.jit(make_task().train_step)(state, batch)
    outputs, _ = Network().apply(
        state.variables, batch["inputs"], train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(sums["loss"], cross_entropy(outputs, batch).sum(), rtol=1e-6)
    assert jnp.asarray(sums["n"]) == BATCH


class Plain(nn.Module):
    """Dense and dropout, without batch norm."""

    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(64)(x))
        return nn.Dense(3)(nn.Dropout(self.dropout, deterministic=not train)(x))


def step_of(module, accumulate, **options):
    """One step of plain gradient descent with rate 1: the change of the parameters, and sums."""
    task = Supervised(module=module, loss=cross_entropy, optimizer=optax.sgd(1.0), **options)
    state = jax.jit(task.init)(jax.random.PRNGKey(2), make_batch(0))
    batch = make_batch(3, np.float32(np.arange(BATCH) % 5 > 0))
    after, sums = jax.jit(task.accumulating(accumulate).train_step)(state, batch)
    return jax.tree.map(jnp.subtract, state.params, after.params), sums, after


def assert_close(ours, theirs, **tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **tolerance), ours, theirs)


@pytest.mark.parametrize("parts", [2, 8])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(parts):
    """With a mask that leaves the parts with different numbers of rows, and augmentation."""
    options = {
        "augment": on_inputs(lambda key, inputs: inputs + jax.random.normal(key, inputs.shape)),
        "metrics": {"right": lambda logits, batch: logits.argmax(-1) == batch["targets"]},
    }
    whole, sums, _ = step_of(Plain(), 1, **options)
    gradient, sums_of_parts, _ = step_of(Plain(), parts, **options)
    assert_close(gradient, whole, atol=1e-6)
    assert_close(sums_of_parts, sums, rtol=1e-6)


def test_each_part_has_its_own_dropout():
    """Equal rows in the two parts: the same mask would give the same losses twice."""

    def losses_of(accumulate):
        row = np.ones((2, 8), np.float32)
        seen = []

        def loss(logits, batch):
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), logits[:, 0])
            return logits[:, 0]

        task = Supervised(module=Plain(0.5), loss=loss, optimizer=optax.sgd(0.1))
        batch = {"inputs": row, "targets": np.zeros(2, int), "mask": np.ones(2, np.float32)}
        state = jax.jit(task.init)(jax.random.PRNGKey(2), batch)
        jax.block_until_ready(jax.jit(task.accumulating(accumulate).train_step)(state, batch))
        jax.effects_barrier()
        return np.concatenate(seen)

    assert len(np.unique(losses_of(2))) == 2


def test_batch_norm_sees_one_part_at_a_time():
    """The documented difference: statistics of 8 rows, and four updates of the running ones."""
    whole, _, after = step_of(Network(), 1)
    gradient, _, after_parts = step_of(Network(), 4)
    difference = optax.tree.norm(jax.tree.map(jnp.subtract, gradient, whole))
    assert difference > 0.01 * optax.tree.norm(whole)

    batch, mean = make_batch(3), np.zeros(16)
    dense = jax.device_get(initial_params())["Dense_0"]
    hidden = batch["inputs"] @ dense["kernel"] + dense["bias"]
    for part in range(4):
        mean = 0.9 * mean + 0.1 * hidden[part::4].mean(0)
    statistics = after_parts.model_state["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(statistics["mean"], mean, atol=1e-6)
    whole_statistics = after.model_state["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(whole_statistics["mean"], 0.1 * hidden.mean(0), atol=1e-6)


def initial_params():
    task = Supervised(module=Network(), loss=cross_entropy, optimizer=optax.sgd(1.0))
    return jax.jit(task.init)(jax.random.PRNGKey(2), make_batch(0)).params


def test_parts_on_eight_devices_and_under_shard_map_are_the_same():
    module = Plain()
    whole, _, _ = step_of(module, 1)
    task = Supervised(module=module, loss=cross_entropy, optimizer=optax.sgd(1.0), accumulate=2)
    state = jax.jit(task.init)(jax.random.PRNGKey(2), make_batch(0))
    batch = make_batch(3, np.float32(np.arange(BATCH) % 5 > 0))
    parallel = DataParallel(BATCH, accumulate=2)
    compiled = parallel.compile(task.train_step, state, batch, donate=False)
    after, _ = compiled(parallel.place(state), batch)
    assert_close(jax.tree.map(jnp.subtract, state.params, after.params), whole, atol=1e-6)
    assert "all-to-all" not in compiled.as_text()  # each device keeps the rows that it has

    mapped = jax.shard_map(
        dataclasses.replace(task, axis_name="data").train_step,
        mesh=parallel.mesh,
        in_specs=(P(), P("data")),
        out_specs=P(),
        check_vma=False,
    )
    after, _ = jax.jit(mapped)(state, batch)
    assert_close(jax.tree.map(jnp.subtract, state.params, after.params), whole, atol=1e-6)
