"""Options that mend what XLA does badly by default, where a backend and its version have them."""

import contextlib
import functools
import math
import re
from collections.abc import Iterator

import jax

from train.onednn import Given, work_for_onednn

Options = dict[str, str | bool]

# The kinds of work that XLA:CPU may hand to YNNPACK, whose convolutions take up to 10 times as long
# as the ones they replaced. No kind below makes them alone; ELTWISE was seen to draw one into a
# fusion.
WIDE = ("REDUCE",)
WIDE_TRAINING = ("REDUCE", "INDIVIDUAL_DOT")
"""Products one by one too: VGG's step takes 0.92, others at most 1.02 (docs/performance.md)."""

NARROW = ("DOT", "INDIVIDUAL_DOT", "REDUCE", "ELTWISE")
"""YNNPACK takes no convolution of 16 channels; its other fusions then help to train batch norm."""
NARROW_OR_RECURRENT_INFERENCE = ()
"""Its reductions gain nothing there, and the CRNN's pooling takes longer by them."""

BESIDE_ONEDNN = ("DOT", "INDIVIDUAL_DOT")
"""Where no convolution is left that their fusions could draw in."""

NARROW_CHANNELS = 16

WIDE_VECTORS: Options = {"xla_cpu_prefer_vector_width": "512"}
"""Bits, of which XLA uses 256 by default where the processor has more; LSTMs are faster by them."""


def compile_mended(lowered: jax.stages.Lowered, cached: bool = True) -> jax.stages.Compiled:
    """Compile with the options that mend this program.

    Args:
        lowered: what ``jax.jit(function).lower(...)`` gave.
        cached: False sends work on a CPU to oneDNN where that pays (``train/onednn.py``).
            It is for programs that run for minutes: no compilation cache can hold them.
    """
    if jax.default_backend() != "cpu":
        return lowered.compile()
    text = lowered.as_text()  # before calls of oneDNN take the place of convolutions
    options = compiler_options(text)
    if not cached:
        with work_for_onednn(lowered) as given, _without_cache():
            if given is Given.CONVOLUTIONS:
                options = cpu_convolution_options(_kinds_beside_onednn(text))
            if given is not Given.NOTHING:
                return lowered.compile(compiler_options=options)
    return lowered.compile(compiler_options=options)


@contextlib.contextmanager
def _without_cache() -> Iterator[None]:
    """Nothing that is compiled in here is written to JAX's compilation cache."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, math.inf)
    try:
        yield
    finally:
        jax.config.update(name, before)


def compiler_options(text: str) -> Options:
    """Options for a CPU program in StableHLO.

    Without convolutions only the width of vectors: those for convolutions make such a step slower
    (an MLP's took 2.5 ms with them and 1.3 ms without).
    """
    if "stablehlo.convolution" not in text:
        return WIDE_VECTORS
    narrow, recurrent = _mostly_narrow(text), "stablehlo.while" in text
    if not _has_kernel_gradient(text):
        inference = NARROW_OR_RECURRENT_INFERENCE if narrow or recurrent else WIDE
        return cpu_convolution_options(inference)
    return cpu_convolution_options(
        NARROW if narrow and "stablehlo.rsqrt" in text else WIDE_TRAINING
    )


def _kinds_beside_onednn(text: str) -> tuple[str, ...]:
    """As no convolution is left to YNNPACK, it may have the products."""
    if not _has_kernel_gradient(text):
        return BESIDE_ONEDNN
    if _mostly_narrow(text) and "stablehlo.rsqrt" in text:
        return NARROW
    return (*BESIDE_ONEDNN, "REDUCE")


def _has_kernel_gradient(text: str) -> bool:
    """Whether a convolution sums over the batch, as a kernel's gradient does and no other."""
    return re.search(r"stablehlo\.convolution.*dim_numbers = \[f, 0, 1, b\]", text) is not None


def _mostly_narrow(text: str) -> bool:
    """Whether most numbers that convolutions put out lie in maps of few channels."""
    narrow = total = 0
    for shape in re.findall(r"stablehlo\.convolution.*-> tensor<((?:\d+x)+)[a-z]", text):
        *_, channels = sizes = [int(size) for size in shape.split("x")[:-1]]
        total += math.prod(sizes)
        narrow += math.prod(sizes) * (channels <= NARROW_CHANNELS)
    return 2 * narrow > total


@functools.cache
def cpu_convolution_options(kinds: tuple[str, ...]) -> Options:
    """YNNPACK for these kinds of work only; empty where this version of XLA does not know them."""
    options: Options = {
        "xla_cpu_experimental_ynn_fusion_type": ",".join(
            f"LIBRARY_FUSION_TYPE_{kind}" for kind in kinds
        )
    }
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options
