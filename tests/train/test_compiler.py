"""Compiler options are used where this version of XLA has them, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import compiler

KINDS = pytest.mark.parametrize("kinds", [compiler.WIDE, compiler.NARROW])


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


def lowered_convolution(features):
    images, kernel = jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, features))
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.jit(
        lambda x: jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    ).lower(images)


def test_only_a_program_with_convolutions_on_a_cpu_gets_them(monkeypatch):
    product = jax.jit(lambda x: x @ x.swapaxes(-1, -2)).lower(jnp.ones((1, 8, 8, 2)))
    convolution = lowered_convolution(32)
    wide, narrow = map(compiler.cpu_convolution_options, (compiler.WIDE, compiler.NARROW))
    assert compiler.compiler_options(convolution) == wide
    assert compiler.compiler_options(lowered_convolution(16)) == narrow
    assert compiler.compiler_options(product) == {}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiler.compiler_options(convolution) == {}


@KINDS
def test_the_versions_with_ynnpack_have_them(kinds):
    assert bool(compiler.cpu_convolution_options(kinds)) == (jax.__version_info__ >= (0, 10))


def test_a_version_without_them_gets_none():
    assert compiler.cpu_convolution_options(("NO_SUCH_KIND",)) == {}
