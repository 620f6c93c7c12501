"""Options that mend what XLA does badly by default, where a backend and its version have them."""

import functools

import jax

# XLA:CPU hands convolutions to YNNPACK, whose weight gradient is 2 to 9 times slower than the path
# it replaced. This leaves it everything else.
_CPU_WITHOUT_YNNPACK_CONVOLUTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": ",".join(
        f"LIBRARY_FUSION_TYPE_{kind}" for kind in ("DOT", "INDIVIDUAL_DOT", "REDUCE", "ELTWISE")
    )
}


@functools.cache
def compiler_options(backend: str) -> dict[str, str]:
    """Options for ``jax.jit(..., compiler_options=...)`` of a training step on ``backend``.

    Empty where there is nothing to mend, or this version of XLA does not know the option.
    """
    if backend != "cpu":
        return {}
    try:
        identity = jax.jit(lambda x: x, compiler_options=_CPU_WITHOUT_YNNPACK_CONVOLUTIONS)
        identity.lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _CPU_WITHOUT_YNNPACK_CONVOLUTIONS
