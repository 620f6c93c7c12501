"""A killed run goes on to the same end, bit for bit, also past a damaged checkpoint."""

import json
import random
import re
import signal
import time

import jax
import numpy as np
import pytest
from command import run, start
from safetensors.numpy import load_file

from data import load_digits
from train import DataParallel, fit, recipes
from train.checkpoints import Checkpoints
from train.loop import Loop
from train.report import Reporter

EPOCHS = 16
SETTINGS = {"epochs": EPOCHS, "batch_size": 200, "shift": 1}
OPTIONS = [f"--{name}={value}" for name, value in SETTINGS.items()]


def final_state(folder):
    """Parameters, optimizer state, key and counter of a run's last checkpoint, as bytes."""
    loop = Loop(recipes.get("mnist", **SETTINGS).task(load_digits()), DataParallel(200))
    with Checkpoints(folder / "checkpoints", loop.parallel, pytest.fail) as checkpoints:
        template = loop.template(0, load_digits().train)
        state, _ = checkpoints.restore(template)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def metrics(folder):
    """The log without the clock."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def assert_same_run(folder, unbroken):
    assert final_state(folder) == final_state(unbroken)
    assert metrics(folder) == metrics(unbroken)
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, unbroken))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    done = run("train", "mnist", "--out", folder, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return folder


def test_ten_kills_at_random_steps_leave_no_trace(unbroken, tmp_path):
    folder, kills, resumed_at = tmp_path / "killed", 0, []
    for attempt in range(40):
        process = start("train", "mnist", "--out", folder, *OPTIONS)
        # two evaluations further at the most, then a moment's delay: any step may be hit
        lines_to_wait, seen = random.Random(attempt).randint(0, 2), 0
        for line in process.stderr:
            if found := re.search(r"resumed at step (\d+)", line):
                resumed_at.append(int(found[1]))
            seen += line.startswith("step ")
            if seen > lines_to_wait:
                break
        if kills == 10 or seen <= lines_to_wait:
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
            break
        time.sleep(random.Random(attempt).uniform(0.0, 0.15))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills == 10
    assert resumed_at == sorted(resumed_at)
    assert_same_run(folder, unbroken)


class Interrupt(Reporter):
    """Presses Ctrl-C when a line begins so; the checkpoint of that evaluation is not saved."""

    def __init__(self, beginning):
        super().__init__(quiet=True)
        self.beginning, self.lines = beginning, []

    def line(self, text):
        self.lines.append(text)
        if self.beginning and text.startswith(self.beginning):
            raise KeyboardInterrupt


def newest(folder):
    return max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))


def largest(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_one_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0b100
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def unbroken_here(tmp_path_factory):
    """In this process, whose eight devices let XLA divide the work in another way."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    fit(recipes.get("mnist", **SETTINGS), folder, jax.devices()[:1], Reporter(quiet=True))
    return folder


@pytest.mark.parametrize("damage", [truncate, flip_one_byte])
def test_a_damaged_newest_checkpoint_is_rejected_and_the_end_is_the_same(
    unbroken_here, tmp_path, damage
):
    recipe, folder = recipes.get("mnist", **SETTINGS), tmp_path / "damaged"
    one_device = jax.devices()[:1]
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, folder, one_device, Interrupt("step 100 "))
    assert newest(folder).name == "80"
    damage(largest(newest(folder)))
    reporter = Interrupt(None)
    fit(recipe, folder, one_device, reporter)
    rejections = [line for line in reporter.lines if line.startswith("rejected")]
    assert len(rejections) == 1
    assert rejections[0].startswith("rejected the checkpoint of step 80: ")
    assert rejections[0].endswith("falling back to step 60")
    assert "resumed at step 60 of 320" in reporter.lines
    assert_same_run(folder, unbroken_here)


@pytest.fixture
def interruptible():
    """Children hear Ctrl-C, which they would ignore as a job in a shell's background does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_names_the_last_checkpoint_and_how_to_go_on(unbroken, tmp_path):
    folder = tmp_path / "interrupted"
    process = start("train", "mnist", "--out", folder, *OPTIONS)
    lines = iter(process.stderr)
    while not next(lines).startswith("step 40 "):
        pass
    process.send_signal(signal.SIGINT)
    rest = list(lines)
    assert process.wait(timeout=60) == 130, rest
    assert "Traceback" not in "".join(rest)
    last = rest[-1]
    assert last.startswith(f"interrupted; the last good checkpoint is {folder / 'checkpoints'}/")
    assert last.strip().endswith(f"flax-models train mnist --out {folder} {' '.join(OPTIONS)}")
    assert run("train", "mnist", "--out", folder, *OPTIONS).returncode == 0
    assert_same_run(folder, unbroken)


def test_a_finished_run_says_so_and_stays_as_it_is(unbroken):
    before = {path: path.read_bytes() for path in unbroken.glob("*.json*")}
    again = run("train", "mnist", "--out", unbroken, *OPTIONS)
    assert again.returncode == 0
    assert "finished" in again.stderr
    assert "test/accuracy" in again.stdout
    assert {path: path.read_bytes() for path in unbroken.glob("*.json*")} == before
