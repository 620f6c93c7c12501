"""Real processes over loopback train as one, and any number goes on where others stopped."""

import json
import shutil
import socket
import time

import numpy as np
import pytest
from command import assert_mistake, run, start
from safetensors.numpy import load_file

OPTIONS = ["--epochs=6", "--batch-size=128", "--shift=0"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_several(count, folder, *options, each=None):
    """Processes with ``each`` virtual devices, by default with eight together."""
    coordinator = f"127.0.0.1:{free_port()}"
    return [
        start(
            "train", "mnist", "--out", folder, *options,
            f"--coordinator={coordinator}", f"--processes={count}", f"--process={process}",
            devices=each or 8 // count,
        )
        for process in range(count)
    ]  # fmt: skip


def ends_of(processes):
    """Exit codes, stdout and stderr of each."""
    texts = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


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


@pytest.mark.parametrize(
    ("count", "options"), [(2, ["--fsdp"]), pytest.param(4, [], marks=pytest.mark.slow)]
)
def test_several_processes_give_the_same_run(count, options, reference, tmp_path):
    (main, *others) = ends_of(start_several(count, tmp_path / "run", *OPTIONS, *options))
    assert {code for code, _, _ in (main, *others)} == {0}, (main, others)
    assert "test/accuracy" in main[1]
    assert {out for _, out, _ in others} == {""}  # one process writes the results
    assert "8 x cpu" in main[2]
    assert_same(tmp_path / "run", reference)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("each", [1, 2, 4, 8])
def test_any_number_of_processes_and_devices_gives_the_same_run(count, each, reference, tmp_path):
    ends = ends_of(start_several(count, tmp_path / "run", *OPTIONS, each=each))
    assert {code for code, _, _ in ends} == {0}, ends
    assert f"{count * each} x cpu" in ends[0][2]
    assert_same(tmp_path / "run", reference)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run of two processes, of which the second was killed; and how the first one ended."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    main, other = start_several(2, folder, *OPTIONS)
    lines = []
    for line in main.stderr:
        lines.append(line)
        if line.startswith("step 93 "):
            break
    other.kill()
    killed_at = time.monotonic()
    main.wait(timeout=60)
    seconds = time.monotonic() - killed_at
    lines += [*main.stderr]
    other.communicate()
    return folder, main.returncode, lines, seconds


def test_a_killed_process_ends_the_other_with_its_name_and_how_to_go_on(killed):
    folder, code, lines, seconds = killed
    assert code == 1
    assert seconds < 60
    (last,) = [line for line in lines if line.startswith("error: ")]
    assert last.startswith(
        f"error: process 1 of 2 has died; the last good checkpoint is {folder / 'checkpoints'}/"
    )
    assert last.endswith("; start all processes again by the same commands to go on\n")
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize("count", [1, 4])
def test_another_number_of_processes_goes_on_where_two_were_killed(
    count, killed, reference, tmp_path
):
    shutil.copytree(killed[0], tmp_path / "run")
    if count == 1:
        ends = ends_of([start("train", "mnist", "--out", tmp_path / "run", *OPTIONS)])
    else:
        ends = ends_of(start_several(count, tmp_path / "run", *OPTIONS))
    assert {code for code, _, _ in ends} == {0}, ends
    assert "resumed at step" in ends[0][2]
    assert_same(tmp_path / "run", reference)


def test_a_cluster_tells_the_processes_of_each_other(tmp_path):
    """As SLURM does, by its variables; two of each process's four devices are used."""
    processes = []
    for process in range(2):
        slurm = {
            "SLURM_JOB_ID": str(free_port()) if process == 0 else slurm["SLURM_JOB_ID"],
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": "2",
            "SLURM_PROCID": str(process),
            "SLURM_LOCALID": str(process),
            "SLURM_STEP_NUM_NODES": "1",
        }
        options = ["--epochs=1", "--distributed", "--devices=4"]
        processes.append(
            start("train", "mnist", "--out", tmp_path / "run", *options, devices=4, extra=slurm)
        )
    ends = ends_of(processes)
    assert {code for code, _, _ in ends} == {0}, ends
    assert "mnist on 4 x cpu" in ends[0][2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--processes=2", "--process=1"], "several processes need --coordinator, --processes"),
        (["--distributed", "--process=1"], "leave --coordinator out"),
        (["--devices=9"], "devices 9: 1 process with 8 each can use 1 to 8"),
        (["--devices=0"], "devices 0: 1 process with 8 each can use 1 to 8"),
    ],
)
def test_processes_and_devices_that_cannot_be(options, words, tmp_path):
    assert_mistake(["train", "mnist", "--out", tmp_path / "run", *options], words)
    assert not (tmp_path / "run").exists()


def test_no_cluster_tells_of_others(tmp_path):
    """In a process of its own: JAX must not have started yet."""
    done = run("train", "mnist", "--out", tmp_path / "run", "--distributed")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot meet the other processes: coordinator_address")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
