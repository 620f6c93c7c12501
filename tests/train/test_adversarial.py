"""The two players' steps against their definition, and what a checkpoint must hold."""

import dataclasses
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_models import Discriminator, Generator
from train import fit, recipes
from train.adversarial import Adversarial, with_margin
from train.generation import DigitJudge
from train.report import Reporter

ROWS, NOISE = 8, 4
QUIET = Reporter(quiet=True)


def make_task(axis_name=None):
    return Adversarial(
        generator=Generator(width=2, axis_name=axis_name),
        discriminator=Discriminator(width=2, axis_name=axis_name),
        optimizer=optax.sgd(0.1),
        noise_size=NOISE,
        milestones=(2,),
        samples=3,
        axis_name=axis_name,
    )


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 28, 28, 1)).astype(np.uint8)
    noise = np.zeros((ROWS, NOISE), np.float32)
    return {"inputs": noise, "targets": images, "mask": np.ones(ROWS, np.float32)}


def test_a_step_is_the_two_players_steps_one_after_the_other(batch):
    """Written out: log-probabilities rather than softplus, the generator run twice."""
    task = make_task()
    state = jax.jit(task.init)(jax.random.PRNGKey(0), batch)
    noise = jax.random.normal(jax.random.fold_in(state.key, 0), (ROWS, NOISE))
    apply = functools.partial(task.discriminator.apply, train=True, mutable=["batch_stats"])

    def generated(params):
        variables = {**state.generator.variables, "params": params}
        return task.generator.apply(variables, noise, train=True, mutable=["batch_stats"])

    def of_discriminator(params):
        fakes, _ = generated(state.generator.params)
        real, stats = apply(
            {**state.discriminator.variables, "params": params}, with_margin(batch["targets"])
        )
        fake, stats = apply({"params": params, **stats}, fakes)
        return -jnp.mean(jnp.log(jax.nn.sigmoid(real)) + jnp.log(1 - jax.nn.sigmoid(fake))), stats

    @jax.jit
    def written_out():
        (loss, stats), gradient = jax.value_and_grad(of_discriminator, has_aux=True)(
            state.discriminator.params
        )
        learned = jax.tree.map(lambda p, g: p - 0.1 * g, state.discriminator.params, gradient)

        def of_generator(params):
            fakes, own_stats = generated(params)
            fake, _ = apply({"params": learned, **stats}, fakes)
            return -jnp.mean(jnp.log(jax.nn.sigmoid(fake))), own_stats

        (_, own_stats), gradient = jax.value_and_grad(of_generator, has_aux=True)(
            state.generator.params
        )
        drawn = jax.tree.map(lambda p, g: p - 0.1 * g, state.generator.params, gradient)
        return loss, learned, drawn, own_stats

    loss, learned, drawn, own_stats = written_out()
    after, sums = jax.jit(task.train_step)(state, batch)
    assert float(sums["loss"] / sums["n"]) == pytest.approx(float(loss), rel=1e-5)
    close = functools.partial(np.testing.assert_allclose, atol=1e-5)
    jax.tree.map(close, after.discriminator.params, learned)
    jax.tree.map(close, after.generator.params, drawn)
    jax.tree.map(close, after.generator.model_state, own_stats)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), drawn, state.generator.params)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_samples_are_hung_at_milestones_alone(batch):
    task = make_task()
    step = jax.jit(task.train_step)
    states = [jax.jit(task.init)(jax.random.PRNGKey(0), batch)]
    for _ in range(3):
        states.append(step(states[-1], batch)[0])
    galleries = [np.asarray(state.gallery) for state in states]
    assert galleries[1].max() == 0
    assert galleries[2].std() > 0
    np.testing.assert_array_equal(galleries[2], galleries[3])


def test_a_step_that_is_not_finite_changes_nothing_but_the_counter(batch):
    task = make_task()
    state = jax.jit(task.init)(jax.random.PRNGKey(0), batch)
    mask = np.where(np.arange(ROWS) == 0, np.nan, 1).astype(np.float32)
    after, sums = jax.jit(task.train_step)(state, {**batch, "mask": mask})
    assert (float(sums["skipped"]), float(sums["loss"]), int(after.step)) == (1, 0, 1)
    jax.tree.map(np.testing.assert_array_equal, after.replace(step=state.step), state)


def test_every_device_of_a_mapped_axis_ends_with_the_same_state(batch):
    """``out_axes=None`` refuses results that differ along the axis; noise is each device's own."""
    task = make_task("data")
    state = make_task().init(jax.random.PRNGKey(0), batch)
    shares = jax.tree.map(lambda array: array.reshape(2, -1, *array.shape[1:]), batch)
    step = jax.vmap(task.train_step, (None, 0), None, axis_name="data", axis_size=2)
    after, sums = jax.jit(step)(state, shares)
    assert float(sums["n"]) == ROWS
    assert (after.generator.params["main_0"]["kernel"] != 0).any()


def test_evaluation_does_not_depend_on_filled_rows(batch):
    """The judge's features are summed where the mask says so."""
    recipe = recipes.get("gan", width=2, noise_size=NOISE, batch_size=ROWS)
    judge = DigitJudge().init(jax.random.PRNGKey(1), batch["targets"])
    task = dataclasses.replace(recipe.task(None), judge=judge)
    state = jax.jit(task.init)(jax.random.PRNGKey(0), batch)
    half = np.arange(ROWS) < ROWS // 2
    rows = {name: array[half] for name, array in batch.items()}
    alone = jax.jit(task.eval_step)(state, rows)
    masked = jax.jit(task.eval_step)(state, {**batch, "mask": half.astype(np.float32)})
    for name, sums in alone.items():  # of products of features: small ones come of larger parts
        largest = np.abs(sums).max()
        np.testing.assert_allclose(masked[name], sums, rtol=1e-5, atol=1e-6 * largest)


def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path):
    recipe = recipes.get(
        "gan", epochs=2, evaluate_every=1, batch_size=400, width=2, noise_size=4, samples=20
    )
    unbroken = fit(recipe, tmp_path / "run", reporter=QUIET)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    (tmp_path / "run" / "summary.json").unlink()
    resumed = fit(recipe, tmp_path / "run", reporter=QUIET)
    jax.tree.map(np.testing.assert_array_equal, resumed.state, unbroken.state)
    assert resumed.metrics == unbroken.metrics
    assert int(resumed.state.step) == 20
