"""Running the console script as a user does, and what its runs have in common."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from train.cli import main

ROOT = Path(__file__).parents[2]


def start(*arguments: object, **options) -> subprocess.Popen:
    """``flax-models ARGUMENTS`` in a new process on one CPU device, or as many as ``devices``.

    ``extra`` adds to its environment.
    """
    devices = options.pop("devices", 1)
    environment = {
        **os.environ,
        **options.pop("extra", {}),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "train.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def run(*arguments: object, **options) -> subprocess.CompletedProcess:
    """The same, waited for."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def train(tmp_path_factory, recipe, *options):
    """The folder of a run that ended well, and its process."""
    folder = tmp_path_factory.mktemp("runs") / recipe
    done = run("train", recipe, "--out", folder, *options)
    assert done.returncode == 0, done.stderr
    return folder, done


def summary(folder):
    """What ``summary.json`` of a run says."""
    return json.loads((folder / "summary.json").read_text())


def answers(folder, *inputs):
    """What ``predict`` says, an object an input."""
    done = run("predict", folder, *inputs)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_complete(practice, figures, folder, done):
    """The folder holds all that is promised, each figure shows something, the output is plain."""
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json", "metrics.jsonl", "events", "checkpoints", "model.safetensors", "figures",
        "summary.json",
    }  # fmt: skip
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert drawn == figures
    for path in (folder / "figures").iterdir():
        assert np.asarray(Image.open(path).convert("L")).std() > 5, f"{path.name} is blank"
    assert summary(folder).keys() >= {
        "recipe", "metrics", "baseline", "steps", "seconds", "compile_seconds",
        "examples_per_second", "device", "jax", "data", "seed",
    }  # fmt: skip
    assert done.stdout.startswith(f"{practice}: test/")
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr


def assert_eval_repeats(folder):
    """``eval`` measures what the summary says."""
    done = run("eval", folder)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    tested = {k: v for k, v in summary(folder)["metrics"].items() if k.startswith("test/")}
    assert tested
    for name, value in tested.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-6, err_msg=name)


def call(*arguments):
    """Exit code, stdout and stderr of the command line, in this process: eight devices."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def assert_mistake(arguments, *words):
    """It ends with exit 2, nothing on stdout, and one line that holds the words."""
    code, out, err = call(*arguments)
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
