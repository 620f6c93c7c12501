"""Parameters and optimizer state cut over eight devices: the same training in less memory."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train import DataParallel, Supervised
from train.averaging import Averaged
from train.checkpoints import Checkpoints
from train.loop import Loop

BATCH, STEPS = 32, 5


class Network(nn.Module):
    """Kernels [24, 256], [256, 256] and [256, 6], whose longest cut is not always the first."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(256)(x))
        x = nn.BatchNorm(use_running_average=not train)(nn.relu(nn.Dense(256)(x)))
        return nn.Dense(6)(x)


TASK = Averaged(
    Supervised(
        module=Network(),
        loss=lambda logits, batch: optax.softmax_cross_entropy_with_integer_labels(
            logits, batch["targets"]
        ),
        # so that a gradient of rounding errors alone is not scaled up to a whole step
        optimizer=optax.adamw(1e-3, eps=1e-4),
    ),
    decay=0.9,
)


def make_batch(k):
    rng = np.random.default_rng(k)
    return {
        "inputs": rng.normal(size=(BATCH, 24)).astype(np.float32),
        "targets": rng.integers(0, 6, BATCH),
        "mask": np.ones(BATCH, np.float32),
    }


def trained(parallel):
    """The state after some steps, and their losses."""
    state = parallel.init(TASK.init, jax.random.PRNGKey(0), make_batch(0))
    step = parallel.compile(TASK.train_step, state, make_batch(0), donate=True)
    losses = []
    for k in range(STEPS):
        state, sums = step(state, make_batch(k))
        losses.append(float(sums["loss"]))
    return state, losses


@pytest.fixture(scope="module")
def replicated():
    return trained(DataParallel(BATCH))


@pytest.fixture(scope="module")
def parallel():
    return DataParallel(BATCH, fsdp=True)


@pytest.fixture(scope="module")
def cut(parallel):
    return trained(parallel)


def assert_close(ours, theirs, **tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **tolerance), ours, theirs)


def test_training_is_the_same(cut, replicated, parallel):
    np.testing.assert_allclose(cut[1], replicated[1], rtol=1e-5)
    ours, theirs = parallel.to_host(cut[0]), DataParallel(BATCH).to_host(replicated[0])
    assert_close(ours, theirs, atol=1e-5)
    assert (ours.average["params"]["Dense_0"]["kernel"] != 0).any()


def bytes_on(device, tree):
    shards = [shard for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards]
    return sum(shard.data.nbytes for shard in shards if shard.device == device)


def test_a_device_holds_an_eighth_of_what_is_large(cut, replicated):
    for part in ("params", "opt_state"):
        here, whole = (getattr(state.current, part) for state in (cut[0], replicated[0]))
        for device in jax.devices():
            # of 75,000 numbers those of biases, norm and the last layer are not cut
            assert bytes_on(device, whole) > 6 * bytes_on(device, here)


def test_the_longest_divisible_dimension_is_cut(cut):
    params = cut[0].current.params
    pieces = {
        name: params[name]["kernel"].addressable_shards[0].data.shape
        for name in ("Dense_0", "Dense_1", "Dense_2")
    }
    assert pieces == {"Dense_0": (24, 32), "Dense_1": (32, 256), "Dense_2": (256, 6)}


@pytest.mark.parametrize(("devices", "fsdp"), [(1, False), (4, True), (8, False)])
def test_a_checkpoint_restores_onto_other_devices(cut, parallel, tmp_path, devices, fsdp):
    other = DataParallel(BATCH, jax.devices()[:devices], fsdp=fsdp)
    with Checkpoints(tmp_path, parallel, pytest.fail) as checkpoints:
        checkpoints.save(STEPS, cut[0], {}, 0.0)
    with Checkpoints(tmp_path, other, pytest.fail) as checkpoints:
        template = jax.eval_shape(TASK.init, jax.random.PRNGKey(0), make_batch(0))
        state, _ = checkpoints.restore(template)
    kernel = state.current.params["Dense_1"]["kernel"]
    assert kernel.sharding.device_set == set(jax.devices()[:devices])
    assert kernel.addressable_shards[0].data.shape == (64 if fsdp else 256, 256)
    jax.tree.map(np.testing.assert_array_equal, other.to_host(state), parallel.to_host(cut[0]))


def test_evaluation_takes_what_is_cut_and_what_is_whole(cut, parallel):
    examples = {name: array for name, array in make_batch(9).items() if name != "mask"}
    loop = Loop(TASK, parallel)
    whole = parallel.to_host(cut[0].variables)
    assert loop.evaluate(cut[0].variables, examples) == loop.evaluate(
        parallel.place(whole), examples
    )
    one = Loop(TASK, DataParallel(BATCH, jax.devices()[:1]))
    expected = one.evaluate(jax.tree.map(jnp.asarray, whole), examples)
    assert loop.evaluate(cut[0].variables, examples) == pytest.approx(expected, rel=1e-5)
