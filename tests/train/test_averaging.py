"""The moving average by hand, and that it is what is evaluated, saved and resumed."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from train import UsageError, fit, recipes
from train.averaging import Averaged
from train.report import Reporter
from train.run_folder import check_folder
from train.steps import keep_if
from train.task import Task


class CountingState(struct.PyTreeNode):
    step: jax.Array
    variables: dict


@dataclasses.dataclass(frozen=True)
class Counting(Task):
    """The parameter is the square of the step; the statistic its negative; the rest constant."""

    def init(self, key, batch):
        variables = {"p": jnp.zeros(2), "s": jnp.zeros(()), "c": jnp.float32(0.1), "i": 3}
        return CountingState(jnp.int32(0), jax.tree.map(jnp.asarray, variables))

    def train_step(self, state, batch):
        square = jnp.float32(state.step + 1) ** 2
        variables = {**state.variables, "p": jnp.full(2, square), "s": -square}
        proposed = state.replace(variables=variables)
        kept, sums = keep_if(batch["good"], proposed, state, {"n": jnp.float32(1)})
        return kept.replace(step=state.step + 1), sums

    def eval_step(self, state, batch):
        return {"loss": state.variables["s"], "n": jnp.float32(1)}

    def predict(self, state, inputs):
        return state.variables["p"]


def averages(decay, good):
    task = Averaged(Counting(), decay)
    state = task.init(jax.random.PRNGKey(0), {})
    for flag in good:
        state, _ = jax.jit(task.train_step)(state, {"good": jnp.bool_(flag)})
    return state, task


def test_the_decay_warms_up_to_its_value():
    """Shares 9/11, 9/12, then 1 - 0.26 of the way to 1, 4, 9."""
    state, task = averages(0.26, [True] * 3)
    first = 9 / 11 * 1
    second = first + 9 / 12 * (4 - first)
    third = second + 0.74 * (9 - second)
    np.testing.assert_allclose(state.variables["p"], [third] * 2, rtol=1e-6)
    np.testing.assert_allclose(state.variables["s"], -third, rtol=1e-6)
    np.testing.assert_allclose(task.eval_step(state, {})["loss"], -third, rtol=1e-6)
    np.testing.assert_allclose(task.predict(state, None), [third] * 2, rtol=1e-6)
    assert state.current.variables["s"] == -9
    assert state.step == 3


def test_constants_stay_as_they_are():
    state, _ = averages(0.9, [True] * 5)
    assert state.variables["c"] == jnp.float32(0.1)
    assert state.variables["i"] == 3
    assert state.variables["i"].dtype == jnp.int32


def test_a_skipped_step_leaves_the_average():
    before, _ = averages(0.9, [True])
    after, _ = averages(0.9, [True, False])
    assert after.step == 2
    jax.tree.map(np.testing.assert_array_equal, after.variables, before.variables)


SETTINGS = {"ema": 0.9, "epochs": 4, "batch_size": 200}


class Interrupt(Reporter):
    def line(self, text):
        if text.startswith("step 60 "):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    return fit(recipes.get("mnist", **SETTINGS), folder, reporter=Reporter(quiet=True))


def test_the_saved_weights_are_the_average(unbroken):
    assert unbroken.metrics["best_step"] == 80
    saved = unbroken.weights.variables["params"]["mlp"]["dense_1"]["kernel"]
    state = unbroken.state
    np.testing.assert_array_equal(saved, state.average["params"]["mlp"]["dense_1"]["kernel"])
    assert (saved != state.current.params["mlp"]["dense_1"]["kernel"]).any()


def test_a_resumed_average_is_the_same_bit_for_bit(unbroken, tmp_path):
    recipe = recipes.get("mnist", **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "run", reporter=Interrupt(quiet=True))
    resumed = fit(recipe, tmp_path / "run", reporter=Reporter(quiet=True))
    jax.tree.map(np.testing.assert_array_equal, resumed.state, unbroken.state)
    assert resumed.metrics == unbroken.metrics


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(UsageError, match=r"between 0 and 1, as 0\.999"):
        recipes.get("mnist", ema=decay)


def test_a_run_from_before_the_setting_existed_resumes(unbroken, tmp_path):
    """Its config does not name ``ema``: it had none, and goes on without one."""

    folder = tmp_path / "old"
    folder.mkdir()
    config = json.loads((unbroken.folder / "config.json").read_text())
    del config["settings"]["ema"]
    (folder / "config.json").write_text(json.dumps(config))
    check_folder(folder, recipes.get("mnist", epochs=4, batch_size=200))
    with pytest.raises(UsageError, match=r"ema None \(now 0.9\)"):
        check_folder(folder, unbroken.recipe)
