"""Data parallelism outside the step: the same code for one CPU, eight TPU cores, or many hosts."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from train.compiler import compiler_options
from train.errors import UsageError
from train.steps import Batch


def use_compilation_cache(folder: Path) -> None:
    """Keep compiled steps on disk, so that a second process starts at once.

    ``JAX_COMPILATION_CACHE_DIR``, if set, comes first.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


class DataParallel:
    """A mesh of one axis, ``data``, over the devices; state replicated, batches cut by row.

    The compiler inserts the all-reduces, and batch normalisation sees the global batch. Steps are
    written for the global batch (``axis_name=None``).

    Args:
        batch_size: rows of the global batch, divisible by the number of devices.
        devices: default all devices of all processes.
        accumulate: parts in which a step takes its batch, each divided among the devices.

    Raises:
        UsageError: the batch cannot be divided among the devices, or into the parts.
    """

    def __init__(
        self,
        batch_size: int,
        devices: Sequence[jax.Device] | None = None,
        accumulate: int = 1,
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
                f"use --batch-size {below or pieces} or {below + pieces}"
            )
        self.mesh, self.batch_size = mesh, batch_size
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.by_row = NamedSharding(mesh, PartitionSpec("data"))
        self.process, self.processes = jax.process_index(), jax.process_count()

    @property
    def is_main(self) -> bool:
        """Whether this process writes the logs, figures and weights."""
        return self.process == 0

    def init(self, function: Callable[..., PyTree], *arguments: Any) -> PyTree:
        """Run ``function`` so that its result is born replicated on all devices."""
        return jax.jit(function, out_shardings=self.replicated)(*arguments)

    def compile(
        self, step: Callable[..., PyTree], state: PyTree, batch: Batch, donate: bool
    ) -> Any:
        """Compile ``step(state, batch)`` ahead of time, for these shapes only.

        A compiled step cannot retrace: other shapes are an error rather than a second compilation.
        With ``donate`` the state gives its memory to the result.
        """
        jitted = jax.jit(
            step,
            in_shardings=(self.replicated, self.by_row),
            out_shardings=self.replicated,
            donate_argnums=0 if donate else (),
        )
        lowered = jitted.lower(state, batch)
        return lowered.compile(compiler_options=compiler_options(lowered))

    def put(self, batch: Batch) -> Batch:
        """This process's rows as one global array for each name."""
        if self.processes == 1:
            return batch  # a compiled step places NumPy rows faster than device_put does
        return {
            name: jax.make_array_from_process_local_data(self.by_row, array)
            for name, array in batch.items()
        }

    def replicate(self, tree: PyTree) -> PyTree:
        """A tree that every process has, on all devices."""
        return jax.device_put(tree, self.replicated)

    def wait(self, name: str) -> None:
        """Let every process arrive here before any goes on."""
        if self.processes > 1:
            multihost_utils.sync_global_devices(name)

    def to_host(self, tree: PyTree) -> PyTree:
        """A replicated tree as NumPy arrays, without communication."""
        return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)
