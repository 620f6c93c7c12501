"""Options that mend what XLA does badly by default, where a backend and its version have them."""

import functools

import jax

Options = dict[str, str | bool]

# XLA:CPU hands convolutions to YNNPACK, whose weight gradient is 2 to 9 times slower than the path
# it replaced. This leaves it everything else.
_CPU_WITHOUT_YNNPACK_CONVOLUTIONS: Options = {
    "xla_cpu_experimental_ynn_fusion_type": ",".join(
        f"LIBRARY_FUSION_TYPE_{kind}" for kind in ("DOT", "INDIVIDUAL_DOT", "REDUCE", "ELTWISE")
    )
}


def compiler_options(lowered: jax.stages.Lowered) -> Options:
    """Options for ``lowered.compile(compiler_options=...)`` on the default backend.

    Empty where there is nothing to mend: without convolutions they make a step slower (an MLP's
    took 2.5 ms with them and 1.3 ms without).
    """
    if jax.default_backend() == "cpu" and "stablehlo.convolution" in lowered.as_text():
        return cpu_convolution_options()
    return {}


@functools.cache
def cpu_convolution_options() -> Options:
    """Options for convolutions on CPU; empty where this version of XLA does not know them."""
    try:
        identity = jax.jit(lambda x: x, compiler_options=_CPU_WITHOUT_YNNPACK_CONVOLUTIONS)
        identity.lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _CPU_WITHOUT_YNNPACK_CONVOLUTIONS
