"""Batch order depends on (seed, epoch, index) alone; evaluation covers every row once."""

import numpy as np
import pytest

from data import Batches, DataError, in_order, read_ahead


def numbered(n: int) -> dict[str, np.ndarray]:
    return {"inputs": np.arange(n, dtype=np.float32)[:, None], "targets": np.arange(n)}


def test_an_epoch_is_a_permutation_without_the_remainder():
    batches = Batches(numbered(103), batch_size=10, seed=1)
    seen = np.concatenate([batches[k]["targets"] for k in range(10)])
    assert batches.batches_per_epoch == 10
    assert len(set(seen)) == 100


def test_order_differs_between_epochs_and_seeds_and_repeats_exactly():
    def order(seed, epoch):
        batches = Batches(numbered(40), 10, seed)
        return np.concatenate([batches[k]["targets"] for k in range(4 * epoch, 4 * epoch + 4)])

    assert (order(0, 0) == order(0, 0)).all()
    assert (order(0, 0) != order(0, 1)).any()
    assert (order(0, 0) != order(1, 0)).any()


def test_any_batch_can_be_read_first():
    one, other = (Batches(numbered(64), 8, seed=3) for _ in range(2))
    last_first = {k: other[k]["targets"] for k in reversed(range(24))}
    assert all((one[k]["targets"] == last_first[k]).all() for k in range(24))


@pytest.mark.parametrize("together", [1, 5, 24, 1000])
def test_reading_ahead_starts_and_stops_where_asked(together, monkeypatch):
    batches = Batches(numbered(64), 8, seed=3)
    size = sum(array.nbytes for array in batches[0].values())
    monkeypatch.setattr("data.batches.READ_TOGETHER", together * size)
    read = [batch["targets"] for batch in read_ahead(batches, 5, 29)]
    assert len(read) == 24
    assert all((got == batches[k]["targets"]).all() for k, got in enumerate(read, start=5))
    assert not list(read_ahead(batches, 5, 5))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_same_global_batch(processes):
    whole = Batches(numbered(64), 16, seed=0)
    parts = [Batches(numbered(64), 16, 0, process, processes) for process in range(processes)]
    for k in (0, 7):
        joined = np.concatenate([part[k]["targets"] for part in parts])
        assert (joined == whole[k]["targets"]).all()


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(DataError, match="batch size 11 is larger than the 10 training examples"):
        Batches(numbered(10), 11, seed=0)


@pytest.mark.parametrize(("total", "processes"), [(23, 1), (23, 4), (24, 2), (1, 4)])
def test_evaluation_sees_every_row_once_in_batches_of_one_shape(total, processes):
    seen = []
    for process in range(processes):
        for batch in in_order(numbered(total), 8, process, processes):
            assert batch["inputs"].shape == (8 // processes, 1)
            seen += batch["targets"][batch["mask"] == 1].tolist()
    assert sorted(seen) == list(range(total))
