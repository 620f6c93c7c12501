"""The console script ``flax-models``."""

import dataclasses
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from data import DataError
from train.checkpoints import latest_in_words
from train.errors import RunError, UsageError
from train.fit import fit
from train.loop import Loop, Predictor
from train.parallel import DataParallel, use_compilation_cache
from train.recipe import Recipe, default_folder
from train.recipes import RECIPES, find
from train.report import in_words
from train.run_folder import SUMMARY, check_folder, load_weights, read_config
from train.settings import build, from_values, help_text, parse_options, settings
from train.weights import convert

USAGE = """\
flax-models list                            what there is to train
flax-models train RECIPE [--out DIR] [--seed N] [--epochs N] [--FIELD V ...]
flax-models train RECIPE --help             the settings of a recipe
flax-models eval DIR                        test metrics of a run's best weights, as JSON
flax-models predict DIR INPUT...            one JSON object a line
flax-models convert ARCH IN OUT             weights from PyTorch's names and layout, and back
"""


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


@dataclasses.dataclass(frozen=True)
class Launch:
    """Options of ``train`` that say where and on what a run takes place, not what it learns."""

    out: str | None = None
    coordinator: str | None = None
    """Address of process 0, as ``host:1234``, when several processes train together."""
    processes: int | None = None
    process: int | None = None


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
    out = Path(launch.out).expanduser() if launch.out else default_folder(recipe)
    if launch.out is None and jax.process_count() > 1:
        raise UsageError("several processes need one run folder; name it with --out")
    if (out / SUMMARY).exists():
        check_folder(out, recipe)
        print(f"{out} holds this run, finished", file=sys.stderr)
    try:
        run = fit(recipe, out)
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
    if given == [None, None, None]:
        return
    if None in given:
        raise UsageError("several processes need --coordinator, --processes and --process")
    # Gloo, which carries the data between CPUs, greets on file descriptor 1: results keep theirs
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    jax.distributed.initialize(
        launch.coordinator, launch.processes, launch.process, heartbeat_timeout_seconds=10
    )


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
    folder, *rest = arguments
    recipe = _recipe_of(Path(folder), rest)
    splits = recipe.load()
    loop = Loop(recipe.task(splits), DataParallel(recipe.batch_size))
    variables = loop.parallel.replicate(load_weights(Path(folder)))
    measured = loop.evaluate(variables, splits.test)
    results = {f"test/{name}": value for name, value in measured.items()}
    print(json.dumps({"recipe": recipe.name, **results, "data": splits.source}))
    return 0


def _predict(arguments: list[str]) -> int:
    folders = [argument for argument in arguments[:1] if not argument.startswith("--")]
    if not folders or len(arguments) < 2:
        raise UsageError("name a run folder and what to predict for: predict DIR INPUT...")
    folder, *inputs = arguments
    recipe = _recipe_of(Path(folder), [])
    predict = Predictor(recipe.task(None), load_weights(Path(folder)), folder=Path(folder))
    for answer in recipe.answers(predict, inputs):
        print(json.dumps(answer, ensure_ascii=False), flush=True)
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


def _recipe_of(folder: Path, arguments: list[str]) -> Recipe:
    """The recipe that a run folder holds, reading its data where ``arguments`` say."""
    name, values = read_config(folder)
    recipe_class = find(name)
    where = {key: setting for key, setting in settings(recipe_class).items() if setting.where}
    recipe = from_values(recipe_class, values | parse_options(where, arguments))
    return recipe


def _prepare_process() -> None:
    """What a program may set for its process, and a library may not."""
    # absl is the logger of TFDS and Orbax; their warnings are not for our users
    logging.getLogger("absl").setLevel(logging.ERROR)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    use_compilation_cache(cache / "flax-models" / "xla")


if __name__ == "__main__":
    sys.exit(main())
