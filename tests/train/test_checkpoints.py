"""Every damage to a checkpoint is found, said, and survived."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import DataParallel
from train.checkpoints import DIGEST, Checkpoints, find_damage


@pytest.fixture
def lines():
    return []


@pytest.fixture
def saved(tmp_path, lines):
    """Checkpoints of steps 1, 2 and 3, of which the first is the best."""
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, DataParallel(8), lines.append) as checkpoints:
        for step, score in ((1, 0.9), (2, 0.1), (3, 0.2)):
            checkpoints.save(step, state(step), {"seconds": float(step)}, score)
    return folder


def state(step):
    return {"step": jnp.int32(step), "kernel": jnp.full((50, 20), step / 7)}


def restored(folder, lines):
    with Checkpoints(folder, DataParallel(8), lines.append) as checkpoints:
        return checkpoints.latest_step(), *checkpoints.restore(jax.eval_shape(state, 0))


def test_a_state_comes_back_bit_for_bit(saved, lines):
    step, got, progress = restored(saved, lines)
    assert step == 3
    assert progress == {"seconds": 3.0}
    jax.tree.map(np.testing.assert_array_equal, got, state(3))
    assert not lines


def test_the_two_latest_and_the_best_are_kept(saved, lines):
    with Checkpoints(saved, DataParallel(8), lines.append) as checkpoints:
        checkpoints.save(4, state(4), {}, 0.3)
    assert sorted(path.name for path in saved.iterdir()) == ["1", "3", "4"]


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_any_flipped_byte_in_any_file_is_found(saved):
    newest = saved / "3"
    for path in [path for path in newest.rglob("*") if path.is_file() and path.stat().st_size]:
        before = path.read_bytes()
        flip_a_byte(path)
        assert find_damage(newest), f"a flipped byte of {path.name} went unnoticed"
        path.write_bytes(before)
        assert find_damage(newest) is None


def largest_file(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


def truncate(checkpoint):
    path = largest_file(checkpoint)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "flipped": lambda newest: flip_a_byte(largest_file(newest)),
    "truncated": truncate,
    "unsealed": lambda newest: (newest / DIGEST).unlink(),
    "missing": lambda newest: next(newest.rglob("_METADATA")).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_passed_over(saved, lines, damage):
    DAMAGES[damage](saved / "3")
    step, got, progress = restored(saved, lines)
    assert step == 2
    assert progress == {"seconds": 2.0}
    jax.tree.map(np.testing.assert_array_equal, got, state(2))
    (line,) = lines
    assert line.startswith("rejected the checkpoint of step 3: ")
    assert line.endswith("; falling back to step 2")
    assert (saved.parent / "rejected" / "3-0").is_dir()


def test_with_every_checkpoint_damaged_a_run_starts_again(saved, lines):
    for path in list(saved.iterdir()):
        truncate(path)
    with Checkpoints(saved, DataParallel(8), lines.append) as checkpoints:
        assert checkpoints.latest_step() is None
    assert all(line.endswith("starting from the beginning") for line in lines)


def test_a_checkpoint_of_eight_devices_restores_on_one(tmp_path, lines):
    folder = tmp_path / "checkpoints"
    eight, one = DataParallel(8), DataParallel(8, jax.devices()[:1])
    with Checkpoints(folder, eight, lines.append) as checkpoints:
        checkpoints.save(1, eight.place(state(1)), {}, 0.0)
    with Checkpoints(folder, one, lines.append) as checkpoints:
        got, _ = checkpoints.restore(jax.eval_shape(state, 0))
    assert got["kernel"].sharding.device_set == set(jax.devices()[:1])
    jax.tree.map(np.testing.assert_array_equal, got, state(1))
