"""Compiler options are used where this version of XLA has them, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np

from train import compiler


def test_they_change_no_result():
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
    mended = jax.jit(jax.grad(loss), compiler_options=compiler.compiler_options("cpu"))(kernel)
    np.testing.assert_allclose(mended, plain, rtol=1e-4, atol=1e-4)


def test_other_backends_get_none():
    assert compiler.compiler_options("gpu") == {}
    assert compiler.compiler_options("tpu") == {}


def test_the_versions_with_ynnpack_have_them():
    assert bool(compiler.compiler_options("cpu")) == (jax.__version_info__ >= (0, 10))


def test_a_version_without_them_gets_none(monkeypatch):
    monkeypatch.setattr(compiler, "_CPU_WITHOUT_YNNPACK_CONVOLUTIONS", {"xla_no_such_option": "1"})
    assert compiler.compiler_options.__wrapped__("cpu") == {}
