"""The console script ``flax-models``."""

import dataclasses
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.export import Exported

from data import DataError, Splits
from train.allocator import restart_with_faster_memory
from train.checkpoints import latest_in_words
from train.errors import RunError, UsageError
from train.export import ExportedTask, load_exported, save_exported
from train.fit import fit
from train.loop import Loop, Predictor
from train.parallel import DataParallel, choose_devices, use_compilation_cache
from train.peers import Peers
from train.recipe import Recipe, default_folder
from train.recipes import RECIPES, find
from train.report import in_words
from train.run_folder import SUMMARY, check_folder, load_input, load_weights, read_config
from train.settings import build, from_values, help_text, parse_options, settings
from train.task import Task
from train.weights import convert

USAGE = """\
flax-models list                            what there is to train
flax-models train RECIPE [--out DIR] [--seed N] [--epochs N] [--FIELD V ...]
flax-models train RECIPE --help             the settings of a recipe
flax-models eval DIR|FILE                   test metrics of a run's best weights, as JSON
flax-models predict DIR|FILE INPUT...       one JSON object a line
flax-models export DIR FILE                 the trained function for JAX alone, and FILE.json
flax-models convert ARCH IN OUT             weights from PyTorch's names and layout, and back
"""


def program() -> int:
    """The console script: ``main`` in a process that is made ready for training."""
    if "train" in sys.argv[1:2]:
        restart_with_faster_memory()
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; results go to stdout, progress and errors to stderr.

    Returns:
        0; 2 for a user's mistake; 1 for a run that failed; 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        _prepare_process()
        return _dispatch(arguments)
    except (UsageError, DataError, RunError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    except BrokenPipeError:  # the reader of stdout, as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "list": _list,
        "train": _train,
        "eval": _eval,
        "predict": _predict,
        "export": _export,
        "convert": _convert,
    }
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(USAGE, end="")
        return 0 if arguments else 2
    command, *rest = arguments
    if command not in commands:
        raise UsageError(f"no command {command!r}; there are {', '.join(commands)}")
    return commands[command](rest)


def _list(arguments: list[str]) -> int:
    if arguments:
        raise UsageError(f"list takes no arguments, got {' '.join(arguments)}")
    for name, recipe in RECIPES.items():
        print(f"{name:11} {recipe.learns}; data: {recipe.data}; expect {recipe.expected}")
    return 0


GO_ON = "start all processes again by the same commands to go on"


@dataclasses.dataclass(frozen=True)
class Launch:
    """Options of ``train`` that say where and on what a run takes place, not what it learns."""

    out: str | None = None
    coordinator: str | None = None
    """Address of process 0, as ``host:1234``, when several processes train together."""
    processes: int | None = None
    process: int | None = None
    distributed: bool = False
    """Whether to meet the processes that the cluster tells of: TPU pods, SLURM, Open MPI."""
    devices: int | None = None
    """Use so many devices, an equal number of each process; default all."""
    fsdp: bool = False
    """Cut parameters and optimizer state over the devices, rather than repeat them on each."""


def _train(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        raise UsageError(f"name a recipe to train: {', '.join(RECIPES)}")
    name, *rest = arguments
    recipe_class, launch_settings = find(name), settings(Launch)
    known = {**launch_settings, **settings(recipe_class)}
    if "--help" in rest or "-h" in rest:
        print(f"flax-models train {name}: {recipe_class.learns}\n{help_text(known)}")
        return 0
    values = parse_options(known, rest)
    launch = Launch(**{key: values.pop(key) for key in launch_settings if key in values})
    recipe = build(recipe_class, values)
    _join(launch)
    devices = choose_devices(launch.devices)
    out = Path(launch.out).expanduser() if launch.out else default_folder(recipe)
    if launch.out is None and jax.process_count() > 1:
        raise UsageError("several processes need one run folder; name it with --out")
    if (out / SUMMARY).exists():
        check_folder(out, recipe)
        print(f"{out} holds this run, finished", file=sys.stderr)
    try:
        with Peers(lambda event: f"{event}; {latest_in_words(out)}; {GO_ON}"):
            run = fit(recipe, out, devices, fsdp=launch.fsdp)
    except KeyboardInterrupt:
        again = shlex.join(["flax-models", "train", name, *rest])
        again += "" if launch.out else f" --out {shlex.quote(str(out))}"
        print(f"interrupted; {latest_in_words(out)}; to go on: {again}", file=sys.stderr)
        return 130
    if jax.process_index() == 0:
        _print_results(run.folder)
    return 0


def _join(launch: Launch) -> None:
    """Meet the other processes of this run, if it has several."""
    given = [launch.coordinator, launch.processes, launch.process]
    if given == [None, None, None] and not launch.distributed:
        return
    if launch.distributed and given != [None, None, None]:
        raise UsageError("--distributed finds the others by itself; leave --coordinator out")
    if None in given and not launch.distributed:
        raise UsageError("several processes need --coordinator, --processes and --process")
    # Gloo, which carries the data between CPUs, greets on file descriptor 1: results keep theirs
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        jax.distributed.initialize(
            launch.coordinator, launch.processes, launch.process, heartbeat_timeout_seconds=40
        )
    except ValueError as error:  # nothing was detected, or numbers that do not fit each other
        raise UsageError(
            f"cannot meet the other processes: {error} Name --coordinator HOST:PORT, "
            "--processes N and --process I, below N"
        ) from error


def _print_results(folder: Path) -> None:
    summary = json.loads((folder / SUMMARY).read_text())
    print(f"{summary['recipe']}: {in_words(summary['metrics'])}")
    for name, result in summary.items():
        if name != "metrics" and isinstance(result, dict | list):  # baseline and conclusions
            print(f"{name}: {json.dumps(result)}")
    print(f"figures: {', '.join(map(str, sorted((folder / 'figures').glob('*.png'))))}")


def _eval(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("name a run folder: flax-models eval DIR")
    place, *rest = arguments
    trained = _trained(Path(place), rest)
    splits = trained.recipe.load()
    devices = jax.devices()[:1] if trained.exported else None  # it was lowered for one
    parallel = DataParallel(trained.recipe.batch_size, devices)
    loop = Loop(trained.task(splits), parallel)
    measured = loop.evaluate(parallel.place(trained.variables), splits.test)
    results = {f"test/{name}": value for name, value in measured.items()}
    print(json.dumps({"recipe": trained.recipe.name, **results, "data": splits.source}))
    return 0


def _predict(arguments: list[str]) -> int:
    places = [argument for argument in arguments[:1] if not argument.startswith("--")]
    if not places or len(arguments) < 2:
        raise UsageError("name a run folder and what to predict for: predict DIR INPUT...")
    place, inputs = Path(arguments[0]), arguments[1:]
    trained = _trained(place, [])
    folder = place.parent if trained.exported else place
    predict = Predictor(trained.task(None), trained.variables, folder=folder)
    for answer in trained.recipe.answers(predict, inputs):
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    return 0


def _export(arguments: list[str]) -> int:
    if len(arguments) != 2:
        raise UsageError("name a run folder and a file: flax-models export DIR FILE")
    folder, file = map(Path, arguments)
    recipe = _recipe(*read_config(folder), [])
    save_exported(file, recipe, load_weights(folder), load_input(folder))
    print(json.dumps({"input": str(folder), "output": str(file), "bytes": file.stat().st_size}))
    return 0


def _convert(arguments: list[str]) -> int:
    if len(arguments) != 3:
        raise UsageError("name an architecture and two files: convert vgg16 IN.pth OUT.safetensors")
    arch, source, target = arguments
    if not Path(source).is_file():
        raise UsageError(f"{source}: no such file")
    try:
        convert(arch, source, target)
    except ImportError:
        raise UsageError(
            f"{source} and {target}: .pth files need torch; pip install torch"
        ) from None
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(json.dumps({"input": source, "output": target}))
    return 0


@dataclasses.dataclass(frozen=True)
class Trained:
    """A recipe with its best weights, or with the exported function that holds them."""

    recipe: Recipe
    variables: dict[str, Any]
    place: Path
    exported: Exported | None = None

    def task(self, splits: Splits | None) -> Task:
        """Fit to evaluate and to predict."""
        task = self.recipe.task(splits)
        return ExportedTask(self.exported, task, self.place) if self.exported else task


def _trained(place: Path, arguments: list[str]) -> Trained:
    """What lies in a run folder or an exported file, its data read where ``arguments`` say."""
    if place.is_file():
        name, values, exported, variables = load_exported(place)
        return Trained(_recipe(name, values, arguments), variables, place, exported)
    recipe = _recipe(*read_config(place), arguments)
    return Trained(recipe, load_weights(place), place)


def _recipe(name: str, values: dict[str, Any], arguments: list[str]) -> Recipe:
    recipe_class = find(name)
    where = {key: setting for key, setting in settings(recipe_class).items() if setting.where}
    return from_values(recipe_class, values | parse_options(where, arguments))


def _prepare_process() -> None:
    """What a program may set for its process, and a library may not."""
    # absl is the logger of TFDS and Orbax; their warnings are not for our users
    logging.getLogger("absl").setLevel(logging.ERROR)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    use_compilation_cache(cache / "flax-models" / "xla")


if __name__ == "__main__":
    sys.exit(program())
