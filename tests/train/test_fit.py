"""Early stopping, the best weights, and what a caller of ``fit`` gets back."""

import numpy as np
import pytest

from train import fit, recipes
from train.report import Reporter
from train.run_folder import load_weights

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run whose learning rate is so high that validation soon gets no better."""
    recipe = recipes.get(
        "mnist", epochs=60, patience=3, learning_rate=0.05, schedule="constant", batch_size=400
    )
    return fit(recipe, tmp_path_factory.mktemp("runs") / "stopped", reporter=QUIET)


def test_patience_ends_a_run_that_gets_no_better(stopped):
    accuracies = [line["validation/accuracy"] for line in stopped.history]
    assert len(accuracies) < 60
    best = int(np.argmax(accuracies))
    assert len(accuracies) - 1 - best == 3
    assert stopped.metrics["best_step"] == stopped.history[best]["step"]


def test_the_weights_are_those_of_the_best_evaluation(stopped):
    images, labels = stopped.splits.validation["inputs"], stopped.splits.validation["targets"]
    accuracy = np.mean(stopped.predict(images).argmax(-1) == labels)
    best = max(line["validation/accuracy"] for line in stopped.history)
    assert accuracy == pytest.approx(best, abs=1e-6)
    saved = load_weights(stopped.folder)["params"]["mlp"]["dense_1"]["bias"]
    np.testing.assert_array_equal(
        stopped.weights.variables["params"]["mlp"]["dense_1"]["bias"], saved
    )
    assert (stopped.state.params["mlp"]["dense_1"]["bias"] != saved).any()


def test_a_stopped_run_stays_stopped(stopped):
    again = fit(stopped.recipe, stopped.folder, reporter=QUIET)
    assert again.metrics == stopped.metrics
    assert again.history == stopped.history


def test_a_default_folder_is_new_and_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = fit(recipes.get("mnist", epochs=1, batch_size=400), reporter=QUIET)
    assert run.folder.parts[0] == "runs"
    assert run.folder.name.startswith("mnist-")
    assert (run.folder / "summary.json").exists()
