"""The same networks as they would be in plain Flax: XLA's own operations, no compiler option.

``python -m benchmarks.plain NAME`` is the process that runs them; it does what it reads, line by
line.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from unittest import mock

import flax.linen as nn
from jax import lax
from jaxtyping import Array

from benchmarks.cases import CASES, Network
from benchmarks.twins import first_weights
from flax_models import cnn, crnn, layers, resnet, unet, vgg
from flax_models.convolution import convolve_directly
from flax_models.pooling import pair


def _max_pool(images: Array, window: int | tuple[int, int], stride=None, padding: int = 0) -> Array:
    sides = (padding, padding)
    return nn.max_pool(images, pair(window), pair(stride or window), (sides, sides))


def _convolve_transposed(images: Array, kernel: Array, stride: int, padding: int) -> Array:
    side = kernel.shape[0] - 1 - padding
    return lax.conv_transpose(
        images,
        kernel,
        (stride, stride),
        ((side, side), (side, side)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=True,
    )


@contextlib.contextmanager
def plain_flax() -> Iterator[None]:
    """What is traced in here has none of this library's levers for convolutional networks."""
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(layers, "convolve", convolve_directly))
        patches.enter_context(
            mock.patch.object(layers, "convolve_transposed", _convolve_transposed)
        )
        for module in (cnn, crnn, resnet, unet, vgg):
            patches.enter_context(mock.patch.object(module, "max_pool", _max_pool))
        yield


PLAIN = "plain flax"
"""The name of the variant."""


class PlainFlax:
    """A case in plain Flax, in a process of its own with the memory of one that asks for nothing.

    The benchmark's process has large pages, or the allocator that was preloaded; both are levers of
    this library, and settled when a process starts.
    """

    def __init__(self, name: str) -> None:
        asked_for = {"LD_PRELOAD", "GLIBC_TUNABLES"}
        environment = {key: value for key, value in os.environ.items() if key not in asked_for}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.plain", name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self) -> float:
        """One training step; its loss."""
        return self._answer("train")

    def infer(self) -> float:
        """One forward pass; zero."""
        return self._answer("infer")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self, mode: str) -> float:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(mode + "\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):  # nobody reads, or nothing is answered
            raise RuntimeError("the process of plain Flax has ended, see above") from None


def main(name: str) -> None:
    """Do what each line of the input says, and answer when it is done."""
    case = CASES[name]
    assert isinstance(case, Network)
    _, variables = first_weights(name)
    compiled: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        mode = line.strip()
        if mode not in compiled:
            with plain_flax():
                compiled[mode] = getattr(case, mode)(variables, mended=False)
        done = compiled[mode]()
        print(done if mode == "train" else 0, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
