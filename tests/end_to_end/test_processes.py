"""Two real processes over loopback train as one, and one process goes on where they stopped."""

import json
import socket

import numpy as np
import pytest
from command import run, start
from safetensors.numpy import load_file

OPTIONS = ["--epochs=6", "--batch-size=128", "--shift=0"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_two(folder, *options):
    coordinator = f"127.0.0.1:{free_port()}"
    return [
        start(
            "train", "mnist", "--out", folder, *options,
            f"--coordinator={coordinator}", "--processes=2", f"--process={process}",
            devices=4,
        )
        for process in range(2)
    ]  # fmt: skip


def metrics(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def assert_same(folder, reference):
    ours, theirs = metrics(folder), metrics(reference)
    assert len(ours) == len(theirs) == 6
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, reference))
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    done = run("train", "mnist", "--out", folder, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return folder


def test_eight_virtual_devices_give_the_same_run(reference, tmp_path):
    done = run("train", "mnist", "--out", tmp_path / "eight", *OPTIONS, devices=8)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "eight", reference)


def test_two_processes_give_the_same_run(reference, tmp_path):
    main, other = start_two(tmp_path / "two", *OPTIONS)
    outputs = [process.communicate(timeout=300) for process in (main, other)]
    assert [main.returncode, other.returncode] == [0, 0], outputs
    assert "test/accuracy" in outputs[0][0]
    assert outputs[1][0] == ""  # one process writes the results
    assert "8 x cpu" in outputs[0][1]
    assert_same(tmp_path / "two", reference)


def test_one_process_goes_on_where_two_were_killed(reference, tmp_path):
    main, other = start_two(tmp_path / "killed", *OPTIONS)
    for line in main.stderr:
        if line.startswith("step 93 "):
            break
    for process in (main, other):
        process.kill()
        process.communicate()
    done = run("train", "mnist", "--out", tmp_path / "killed", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "resumed at step" in done.stderr
    assert_same(tmp_path / "killed", reference)
