"""One trace of each step, evaluation that does not depend on batches, and the guard."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from data import Batches, load_digits
from train import DataParallel, fit, recipes
from train.loop import Guard, Loop, Predictor
from train.steps import TrainState
from train.task import Supervised


@dataclasses.dataclass(frozen=True)
class Counting(Supervised):
    """Counts how often Python runs through each step, which is once a trace."""

    traces: dict = dataclasses.field(default_factory=dict)

    def _count(self, name):
        self.traces[name] = self.traces.get(name, 0) + 1

    def train_step(self, state, batch):
        self._count("train")
        return super().train_step(state, batch)

    def eval_step(self, state, batch):
        self._count("eval")
        return super().eval_step(state, batch)


def counting(recipe, splits):
    task = recipe.task(splits)
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    return Counting(**fields)


def ignore(step, loss):
    pass


@pytest.fixture(scope="module")
def splits():
    return load_digits()


def test_one_trace_of_each_step_in_a_run(monkeypatch, tmp_path, splits):
    """A whole run by ``fit``: epochs, evaluations with a ragged end, test, figures."""
    mnist, made = recipes.find("mnist"), []
    original = mnist.task

    def task(self, splits):
        monkeypatch.setattr(mnist, "task", original)
        made.append(counting(self, splits))
        return made[-1]

    monkeypatch.setattr(mnist, "task", task)
    fit(recipes.get("mnist", epochs=3, batch_size=96), tmp_path / "run")
    assert made[0].traces == {"train": 1, "eval": 1}


def test_evaluation_does_not_depend_on_batch_size_or_devices(splits):
    recipe = recipes.get("mnist")
    results = []
    for batch_size, devices in ((128, 8), (96, 1), (500, 1), (16, 8)):
        parallel = DataParallel(batch_size, jax.devices()[:devices])
        loop = Loop(recipe.task(splits), parallel)
        state = loop.init(0, splits.train)
        results.append(loop.evaluate(state.variables, splits.test))
    for other in results[1:]:
        assert other["accuracy"] == results[0]["accuracy"]
        assert other["loss"] == pytest.approx(results[0]["loss"], rel=1e-6)


def test_prediction_takes_any_number_of_rows(splits):
    recipe = recipes.get("mnist")
    loop = Loop(recipe.task(splits), DataParallel(8))
    variables = loop.parallel.to_host(loop.init(0, splits.train).variables)
    predict = Predictor(recipe.task(None), variables, batch_size=64)
    images = splits.test["inputs"]
    whole = predict(images)
    assert whole.shape == (500, 10)
    np.testing.assert_allclose(whole.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(predict(images[:1]), whole[:1], rtol=1e-5)


def test_a_network_can_learn_one_batch_by_heart(splits):
    few = {name: array[:32] for name, array in splits.train.items()}
    recipe = recipes.get("mnist", epochs=1, batch_size=32, shift=0, schedule="constant")
    loop = Loop(recipe.task(splits), DataParallel(32))
    batches = Batches(few, 32, seed=0)
    state: TrainState = loop.init(0, few)
    state, _ = loop.train(state, batches, range(200), Guard(), ignore)
    assert loop.evaluate(state.variables, few)["loss"] < 0.01


def see(guard, losses):
    for step, loss in enumerate(losses):
        finite = math.isfinite(loss)
        guard.see(step, {"loss": loss * 4 if finite else 0.0, "n": 4.0 if finite else 0.0})


def test_the_guard_ends_a_run_after_ten_bad_steps_in_a_row():
    with pytest.raises(FloatingPointError, match=r"since step 2; the last good loss was 1\.5"):
        see(Guard(), [2.0, 1.5, *[math.nan] * 10])


def test_the_guard_passes_over_fewer_bad_steps():
    guard = Guard()
    see(guard, [2.0, *[math.nan] * 9, 1.0, *[math.nan] * 9, 0.5])
    assert guard.last_good_loss == 0.5


def test_the_guard_ends_a_run_that_explodes_without_overflow():
    with pytest.raises(FloatingPointError, match="since step 1"):
        see(Guard(), [2.0, *[1e9] * 10])


def test_the_guard_knows_the_first_loss_of_a_resumed_run():
    guard = Guard(first_loss=1e-3)
    with pytest.raises(FloatingPointError):
        see(guard, [2e6] * 10)
