"""Data parallelism outside the step: the same code for one CPU, eight TPU cores, or many hosts."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from train.compiler import compile_mended
from train.errors import UsageError
from train.steps import Batch


def use_compilation_cache(folder: Path) -> None:
    """Keep compiled steps on disk, so that a second process starts at once.

    ``JAX_COMPILATION_CACHE_DIR``, if set, comes first. Each number of cores has a folder of its
    own in ``folder``: XLA:CPU cuts a program into tasks for as many as there are when it compiles,
    and does not put that in its key.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        of_cores = folder / f"{usable_cores()}-cores"
        jax.config.update("jax_compilation_cache_dir", str(of_cores))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def usable_cores() -> int:
    """Cores that this process may run on, as by ``taskset`` or a batch system."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_devices(count: int | None) -> list[jax.Device] | None:
    """So many devices, an equal number of each process; None, for all, where none is given.

    Raises:
        UsageError: the processes have fewer, or cannot take equal numbers.
    """
    if count is None:
        return None
    processes = jax.process_count()
    share = count // processes
    of_each = [[d for d in jax.devices() if d.process_index == p] for p in range(processes)]
    most = min(map(len, of_each))
    if count < 1 or count % processes or share > most:
        raise UsageError(
            f"devices {count}: {processes} process{'es' * (processes > 1)} with {most} "
            f"each can use {processes} to {processes * most}, a multiple of {processes}"
        )
    return [device for own in of_each for device in own[:share]]


SMALLEST_CUT = 4096
"""Numbers in an array that is worth cutting: a small one costs more to gather than to keep."""


class DataParallel:
    """A mesh of one axis, ``data``, over the devices; state replicated, batches cut by row.

    The compiler inserts the all-reduces, and batch normalisation sees the global batch. Steps are
    written for the global batch (``axis_name=None``).

    Args:
        batch_size: rows of the global batch, divisible by the number of devices.
        devices: default all devices of all processes.
        accumulate: parts in which a step takes its batch, each divided among the devices.
        fsdp: cut parameters, averages and optimizer state over the devices, each large array along
            its longest dimension that they divide (as in ZeRO, Rajbhandari et al. 2020); the
            compiler gathers what a layer needs.

    Raises:
        UsageError: the batch cannot be divided among the devices, or into the parts.
    """

    def __init__(
        self,
        batch_size: int,
        devices: Sequence[jax.Device] | None = None,
        accumulate: int = 1,
        fsdp: bool = False,
    ):
        # Mesh's axes are Auto in every version of JAX; jax.make_mesh became Explicit in 0.9
        mesh = Mesh(np.asarray(jax.devices() if devices is None else devices), ("data",))
        pieces = mesh.size * accumulate
        if batch_size % pieces:
            below = batch_size // pieces * pieces
            by = [f"{mesh.size} devices"] * (mesh.size > 1)
            by += [f"the {accumulate} parts of --accumulate"] * (accumulate > 1)
            raise UsageError(
                f"batch size {batch_size} is not divisible by {' times '.join(by)}; "
                f"use --batch-size {f'{below} or ' * (below > 0)}{below + pieces}"
            )
        self.mesh, self.batch_size, self.fsdp = mesh, batch_size, fsdp
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.by_row = NamedSharding(mesh, PartitionSpec("data"))
        self.process, self.processes = jax.process_index(), jax.process_count()

    @property
    def is_main(self) -> bool:
        """Whether this process writes the logs, figures and weights."""
        return self.process == 0

    def settled(self, sums: PyTree) -> PyTree:
        """The results of a step, waited for on virtual devices.

        They share the threads of a CPU: with several steps under way at once one may wait for the
        others for ever.
        """
        is_virtual = self.mesh.size > 1 and self.mesh.devices.flat[0].platform == "cpu"
        return jax.block_until_ready(sums) if is_virtual else sums

    def layout(self, tree: PyTree) -> PyTree:
        """For each array or shape of a state how it lies on the devices."""
        return jax.tree.map(self._layout_of, tree)

    def _layout_of(self, leaf: Any) -> NamedSharding:
        shape = jnp.shape(leaf)
        whole = [axis for axis, size in enumerate(shape) if size % self.mesh.size == 0]
        if not self.fsdp or math.prod(shape) < SMALLEST_CUT or not whole:
            return self.replicated
        longest = max(whole, key=lambda axis: shape[axis])
        return NamedSharding(self.mesh, PartitionSpec(*[None] * longest, "data"))

    def init(self, function: Callable[..., PyTree], *arguments: Any) -> PyTree:
        """Run ``function`` so that its result is born on all devices."""
        layout = self.layout(jax.eval_shape(function, *arguments))
        return jax.jit(function, out_shardings=layout)(*arguments)

    def compile(
        self, step: Callable[..., PyTree], state: PyTree, batch: Batch, donate: bool
    ) -> Any:
        """Compile ``step(state, batch)`` ahead of time, for these shapes only.

        A compiled step cannot retrace: other shapes are an error rather than a second compilation.
        With ``donate`` the state gives its memory to the first of two results, the next state.
        """
        layout = self.layout(state)
        jitted = jax.jit(
            step,
            in_shardings=(layout, self.by_row),
            out_shardings=(layout, self.replicated) if donate else self.replicated,
            donate_argnums=0 if donate else (),
        )
        return compile_mended(jitted.lower(state, batch), cached=False)

    def put(self, batch: Batch) -> Batch:
        """This process's rows as one global array for each name."""
        if self.processes == 1:
            return batch  # a compiled step places NumPy rows faster than device_put does
        return {
            name: jax.make_array_from_process_local_data(self.by_row, array)
            for name, array in batch.items()
        }

    def place(self, tree: PyTree) -> PyTree:
        """A tree that every process has, on all devices."""
        return jax.device_put(tree, self.layout(tree))

    def wait(self, name: str) -> None:
        """Let every process arrive here before any goes on."""
        if self.processes > 1:
            multihost_utils.sync_global_devices(name)

    def to_host(self, tree: PyTree) -> PyTree:
        """A tree on the devices as NumPy arrays; where it is cut, every process must call this."""

        def whole(leaf: jax.Array) -> np.ndarray:
            if leaf.is_fully_replicated:
                return np.asarray(leaf.addressable_data(0))
            if leaf.is_fully_addressable:
                return np.asarray(leaf)
            return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

        return jax.tree.map(whole, tree)
