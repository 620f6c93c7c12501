"""Compiler options are used where this version of XLA has them, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import compiler

KINDS = pytest.mark.parametrize(
    "kinds",
    [
        compiler.WIDE,
        compiler.WIDE_TRAINING,
        compiler.NARROW,
        compiler.NARROW_OR_RECURRENT_INFERENCE,
    ],
)


@KINDS
def test_they_change_no_result(kinds):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 8)).astype(np.float32)
    images = np.random.default_rng(1).normal(size=(2, 16, 16, 4)).astype(np.float32)

    def loss(kernel):
        sides = ((1, 1), (1, 1))
        numbers = ("NHWC", "HWIO", "NHWC")
        outputs = jax.lax.conv_general_dilated(
            images, kernel, (1, 1), sides, dimension_numbers=numbers
        )
        return jnp.sum(outputs**2)

    plain = jax.jit(jax.grad(loss))(kernel)
    options = compiler.cpu_convolution_options(kinds)
    mended = jax.jit(jax.grad(loss), compiler_options=options)(kernel)
    np.testing.assert_allclose(mended, plain, rtol=1e-4, atol=1e-4)


def lowered(features, gradient=False, steps=None, norm=False):
    """A convolution, perhaps followed by a norm or a loop, or its kernel's gradient."""
    images, kernel = jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, features))
    numbers = ("NHWC", "HWIO", "NHWC")

    def function(kernel):
        outputs = jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "SAME", dimension_numbers=numbers
        )
        if norm:
            outputs *= jax.lax.rsqrt(outputs.var((0, 1, 2)) + 1)
        if steps:
            outputs = jax.lax.fori_loop(0, steps, lambda _, x: jnp.tanh(x), outputs)
        return outputs.sum()

    return jax.jit(jax.grad(function) if gradient else function).lower(kernel)


def test_a_program_without_convolutions_gets_wide_vectors_and_none_of_them():
    lowered = jax.jit(lambda x: jnp.tanh(x @ x.T)).lower(jnp.ones((8, 8)))
    assert compiler.compiler_options(lowered.as_text()) == compiler.WIDE_VECTORS
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    np.testing.assert_allclose(compiler.compile_mended(lowered)(x), np.tanh(x @ x.T), atol=1e-6)


def test_no_other_backend_gets_any(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(compiler, "compiler_options", lambda text: {"no_such_option": True})
    compiler.compile_mended(lowered(32))
    compiler.compile_mended(lowered(32), cached=False)


@pytest.mark.parametrize(
    ("program", "kinds"),
    [
        ({"features": 32}, compiler.WIDE),
        ({"features": 32, "gradient": True}, compiler.WIDE_TRAINING),
        ({"features": 16}, compiler.NARROW_OR_RECURRENT_INFERENCE),
        ({"features": 16, "gradient": True}, compiler.WIDE_TRAINING),
        ({"features": 16, "gradient": True, "norm": True}, compiler.NARROW),
        ({"features": 32, "gradient": True, "norm": True}, compiler.WIDE_TRAINING),
        ({"features": 32, "steps": 3}, compiler.NARROW_OR_RECURRENT_INFERENCE),
    ],
)
def test_training_and_inference_of_wide_and_narrow_networks(program, kinds):
    options = compiler.compiler_options(lowered(**program).as_text())
    assert options == compiler.cpu_convolution_options(kinds)


@KINDS
def test_the_versions_with_ynnpack_have_them(kinds):
    assert bool(compiler.cpu_convolution_options(kinds)) == (jax.__version_info__ >= (0, 10))


def test_a_version_without_them_gets_none():
    assert compiler.cpu_convolution_options(("NO_SUCH_KIND",)) == {}
