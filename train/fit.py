"""From a recipe to a finished run folder: data, steps, evaluations, checkpoints, figures."""

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from data import Batches, Splits
from train import figures
from train.checkpoints import Checkpoints, latest_in_words
from train.errors import RunError
from train.log import RunLog
from train.loop import Guard, Loop, Predictor
from train.overfit import first_examples, unchanging
from train.parallel import DataParallel, usable_cores
from train.recipe import Recipe, Run, default_folder
from train.report import Reporter
from train.run_folder import (
    SUMMARY,
    check_folder,
    load_weights,
    read_history,
    save_weights,
    write_config,
    write_json,
)
from train.task import Weights


@dataclasses.dataclass
class Progress:
    """What a checkpoint holds beside the state: all that is needed to go on."""

    step: int = 0
    best_score: float | None = None
    evaluations_without_better: int = 0
    first_loss: float | None = None
    seconds: float = 0.0
    """Spent training, evaluating and saving; compilation is left out."""


def fit(
    recipe: Recipe,
    out: str | Path | None = None,
    devices: Sequence[jax.Device] | None = None,
    reporter: Reporter | None = None,
    fsdp: bool = False,
) -> Run:
    """Train a recipe into a run folder, or go on with the run that is there.

    A resumed run ends with the same parameters, bit for bit, as an unbroken one.

    Args:
        recipe: what to train, as from ``recipes.get("mnist", epochs=3)``.
        out: the run folder; default a new one below ``runs``.
        devices: default all devices of all processes.
        reporter: where progress goes; default stderr.
        fsdp: cut parameters and optimizer state over the devices; see ``DataParallel``.

    Raises:
        UsageError: settings or folder do not fit; nothing has been written then.
        DataError: the data do not fit; likewise.
        RunError: the run failed; its last good checkpoint is named.
    """
    # 1. Everything that can be wrong is found before anything is written
    if recipe.overfit is not None:
        recipe = unchanging(recipe)
    folder = default_folder(recipe) if out is None else Path(out).expanduser()
    check_folder(folder, recipe)
    parallel = DataParallel(recipe.batch_size, devices, recipe.accumulate, fsdp)
    splits = recipe.load()
    if recipe.overfit is not None:
        splits = first_examples(splits, recipe.overfit)
    place = (parallel.process, parallel.processes)
    batches = Batches(splits.train, recipe.batch_size, recipe.seed, *place)
    task = recipe.training_task(splits)
    reporter = reporter or Reporter(quiet=not parallel.is_main)

    # 2. Train
    loop = Loop(task, parallel)
    try:
        if parallel.is_main:
            write_config(folder, recipe)
        devices_in_words = f"{parallel.mesh.size} x {jax.devices()[0].device_kind}"
        reporter.line(f"{recipe.name} on {devices_in_words}, data {splits.source}, into {folder}")
        state, progress = _train(recipe, folder, loop, splits, batches, reporter)

        # 3. Test the best weights, once, and draw
        variables = load_weights(folder)
        finished = (folder / SUMMARY).exists()
        metrics = (
            json.loads((folder / SUMMARY).read_text())["metrics"]
            if finished
            else _test(recipe, loop, splits, variables, read_history(folder))
        )
        run = Run(
            recipe=recipe,
            task=task,
            folder=folder,
            metrics=metrics,
            state=parallel.to_host(state),
            weights=Weights(variables),
            splits=splits,
            history=read_history(folder),
            predict=Predictor(task, variables),
        )
        if not finished:
            # by every process, since it may train further; few examples bear no conclusion
            conclusions = {} if recipe.overfit else recipe.conclude(run)
            if parallel.is_main:
                _draw_and_summarize(run, loop, progress, conclusions)
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror or error}"
        raise RunError(f"{reason}; {latest_in_words(folder)}") from error
    except FloatingPointError as error:
        raise RunError(f"{error}; {latest_in_words(folder)}") from error
    finally:
        reporter.stop()
    return run


def _train(
    recipe: Recipe,
    folder: Path,
    loop: Loop,
    splits: Splits,
    batches: Batches,
    reporter: Reporter,
) -> tuple[Any, Progress]:
    """Begin or resume, and go on to the last step or until early stopping ends the run."""
    parallel, steps = loop.parallel, recipe.epochs * batches.batches_per_epoch
    with Checkpoints(folder / "checkpoints", parallel, reporter.line) as checkpoints:
        step = checkpoints.latest_step()
        if step is None:
            state, progress = loop.init(recipe.seed, splits.train), Progress()
        else:
            state, saved = checkpoints.restore(loop.template(recipe.seed, splits.train))
            progress = Progress(**saved)
            reporter.line(f"resumed at step {step} of {steps}")
        log = RunLog(folder, progress.step, reporter, parallel.is_main)
        reporter.start(recipe.name, progress.step, steps)
        guard = Guard(progress.first_loss)
        while progress.step < steps and not _stopped_early(recipe, progress):
            begun, compiled_before = time.perf_counter(), loop.compile_seconds
            next_step = progress.step + recipe.evaluate_every * batches.batches_per_epoch
            span = range(progress.step, min(next_step, steps))
            state, totals = loop.train(state, batches, span, guard, reporter.progress)
            measured = loop.evaluate(state.variables, splits.validation)

            record: dict[str, float] = {
                "step": span.stop,
                "epoch": span.stop // batches.batches_per_epoch,
            }
            record |= {f"train/{k}": v for k, v in totals.means(loop.task).items()}
            record |= {f"validation/{k}": v for k, v in measured.items()}
            record |= loop.task.hyperparameters(span.stop - 1)
            if totals.skipped:
                record["skipped_steps"] = totals.skipped
            score = measured[recipe.monitor] * (1 if recipe.higher_is_better else -1)
            better = math.isfinite(score) and (
                progress.best_score is None or score > progress.best_score
            )
            if better:
                variables = parallel.to_host(state.variables)  # by every process: they may be cut
                if parallel.is_main:
                    save_weights(folder, recipe, variables, splits.train["inputs"])
            compiling = loop.compile_seconds - compiled_before
            progress = Progress(
                step=span.stop,
                best_score=score if better else progress.best_score,
                evaluations_without_better=0 if better else progress.evaluations_without_better + 1,
                first_loss=guard.first_loss,
                seconds=progress.seconds + time.perf_counter() - begun - compiling,
            )
            log.evaluation({**record, "seconds": round(progress.seconds, 3)})
            checkpoints.save(span.stop, state, dataclasses.asdict(progress), score)
        log.close()
    if progress.best_score is None:
        raise FloatingPointError(f"validation/{recipe.monitor} was never finite")
    return state, progress


def _stopped_early(recipe: Recipe, progress: Progress) -> bool:
    return recipe.patience is not None and progress.evaluations_without_better >= recipe.patience


def _test(
    recipe: Recipe, loop: Loop, splits: Splits, variables: PyTree, history: list[dict[str, float]]
) -> dict[str, float]:
    """Test metrics of the best weights, beside the validation metrics that chose them."""
    measured = loop.evaluate(loop.parallel.place(variables), splits.test)
    choose = max if recipe.higher_is_better else min
    best = choose(
        (line for line in history if math.isfinite(line[f"validation/{recipe.monitor}"])),
        key=lambda line: line[f"validation/{recipe.monitor}"],
    )
    chosen_by = {k: v for k, v in best.items() if k.startswith("validation/")}
    return {f"test/{k}": v for k, v in measured.items()} | chosen_by | {"best_step": best["step"]}


def _draw_and_summarize(
    run: Run, loop: Loop, progress: Progress, conclusions: dict[str, Any]
) -> None:
    """Figures first and ``summary.json`` last: a run with a summary is finished."""
    figures.learning_curves(run.history, run.figures / "learning_curves.png")
    if not run.recipe.overfit:
        run.recipe.draw(run)
    device = jax.devices()[0]
    summary = {
        "recipe": run.recipe.name,
        "metrics": run.metrics,
        "baseline": run.recipe.baseline(run.splits),
        **conclusions,
        "steps": progress.step,
        "seconds": round(progress.seconds, 2),
        "compile_seconds": round(loop.compile_seconds, 2),
        "examples_per_second": round(progress.step * run.recipe.batch_size / progress.seconds),
        "device": device.platform,
        "device_kind": device.device_kind,
        "devices": loop.parallel.mesh.size,
        "cores": usable_cores(),
        "jax": jax.__version__,
        "data": run.splits.source,
        "seed": run.recipe.seed,
        "date": time.strftime("%Y-%m-%d"),
    }
    write_json(run.folder / SUMMARY, summary)
