"""The order of batches: a function of (seed, epoch, index) alone, the same for any reader."""

from collections.abc import Iterator

import numpy as np

from data.errors import DataError
from data.splits import Examples, count, rows


class Batches:
    """Element ``k`` is the ``k``-th training batch of an endless pass over in-memory arrays.

    Each epoch is a fresh permutation drawn from (seed, epoch); a remainder that fills no batch is
    dropped, because padding would distort batch normalisation. With several processes, each reads
    its own consecutive rows of the *global* batch, so the batch is the same for any process count.

    Args:
        examples: arrays of equal length N.
        batch_size: rows of a global batch, at most N and divisible by ``processes``.
        seed: of the permutations.
        process, processes: which share of each batch this process reads.
    """

    def __init__(
        self, examples: Examples, batch_size: int, seed: int, process: int = 0, processes: int = 1
    ):
        total = count(examples)
        if batch_size > total:
            raise DataError(
                f"batch size {batch_size} is larger than the {total} training examples; "
                f"use --batch-size {total} or less"
            )
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.batches_per_epoch = total // batch_size
        share = batch_size // processes
        self._share = slice(process * share, (process + 1) * share)
        self._epoch_and_order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self.batches_per_epoch * 1_000_000_000  # endless for every practical purpose

    def __getitem__(self, k: int) -> Examples:
        epoch, index = divmod(k, self.batches_per_epoch)
        chosen = self._order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        return rows(self.examples, chosen[self._share])

    def _order(self, epoch: int) -> np.ndarray:
        cached_epoch, order = self._epoch_and_order
        if cached_epoch != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(count(self.examples))
            self._epoch_and_order = (epoch, order)  # one assignment: readers run in threads
        return order

    def __repr__(self) -> str:
        return f"Batches({count(self.examples)} examples by {self.batch_size}, seed {self.seed})"


READ_TOGETHER = 2**20
"""Bytes that a reading thread gathers at once: to hand over each small batch by itself costs more
than to gather it."""


def read_ahead(batches: Batches, start: int, stop: int) -> Iterator[Examples]:
    """Batches ``start`` to ``stop``, gathered by Grain's threads while the device computes."""
    import grain  # late: on import it may warn, before a program has set what it logs

    size = sum(array.nbytes for array in batches[start].values()) if start < stop else 1
    together = max(1, READ_TOGETHER // size)
    spans = [range(k, min(k + together, stop)) for k in range(start, stop, together)]
    groups = grain.MapDataset.source(spans).map(lambda span: [batches[k] for k in span])
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
    for group in groups.to_iter_dataset(options):
        yield from group


def in_order(
    examples: Examples, batch_size: int, process: int = 0, processes: int = 1
) -> Iterator[Examples]:
    """All examples once, in their order, for evaluation: every batch has the same shape.

    The last batch is filled with zero rows; ``mask`` is 1 for a real row and 0 for a filled one.
    """
    total, share = count(examples), batch_size // processes
    for first in range(0, total, batch_size):
        start = min(first + process * share, total)
        stop = min(start + share, total)
        batch = rows(examples, slice(start, stop))
        batch["mask"] = np.ones(stop - start, np.float32)
        yield {name: _filled(array, share) for name, array in batch.items()}


def _filled(array: np.ndarray, length: int) -> np.ndarray:
    missing = length - len(array)
    return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) if missing else array
