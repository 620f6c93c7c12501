"""Convolution with spectral normalisation."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from flax_models.layers import Conv
from flax_models.torch_weights import Leaves, TorchRule

FIRST_ITERATIONS = 15  # torch's, from random vectors
EPSILON = 1e-12  # torch's, the least norm that a vector is divided by


class SpectralConv(Conv):
    """A convolution whose kernel is divided by its largest singular value (Miyato et al. 2018).

    Shapes and parameters are `Conv`'s. The singular vectors u [features] and v [in * kernel^2] of
    the kernel as a matrix are statistics in float32; while `train`, every call improves them by a
    power iteration (algorithm 1), and no gradient flows through them. This is what
    torch.nn.utils.parametrizations.spectral_norm means. Raises what `Conv` raises.
    """

    train: bool = False

    def normalise_kernel(
        self, kernel: Float[Array, "height width inputs features"]
    ) -> Float[Array, "height width inputs features"]:
        """The kernel over its spectral norm."""
        matrix = kernel.transpose(3, 2, 0, 1).reshape(kernel.shape[-1], -1)
        fixed = lax.stop_gradient(matrix)

        def start() -> Array:
            key = self.make_rng("params")
            return _iterate(fixed, jax.random.normal(key, matrix.shape[1:]), FIRST_ITERATIONS)[1]

        v_state = self.variable("batch_stats", "v", start)
        u_state = self.variable("batch_stats", "u", lambda: _unit(fixed @ v_state.value))
        u, v = u_state.value, v_state.value
        if self.train and not self.is_initializing():
            u, v = _iterate(fixed, v, 1)
            u_state.value, v_state.value = u, v
        return kernel / jnp.einsum("i,ij,j->", u, matrix, v, precision="highest")


def _iterate(matrix: Array, v: Array, iterations: int) -> tuple[Array, Array]:
    """Power iterations: u and v come nearer to the largest singular value's vectors."""
    for _ in range(iterations):
        u = _unit(jnp.matmul(matrix, v, precision="highest"))
        v = _unit(jnp.matmul(u, matrix, precision="highest"))
    return u, v


def _unit(vector: Array) -> Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), EPSILON)


def _to_torch(leaves: Leaves) -> Leaves:
    kernel = leaves[("params", "kernel")]
    tensors = {path: leaf for path, leaf in leaves.items() if path[-1] == "bias"}
    names = ("parametrizations", "weight")
    return tensors | {
        ("params", *names, "original"): kernel.transpose(3, 2, 0, 1),
        ("batch_stats", *names, "0", "_u"): leaves[("batch_stats", "u")],
        ("batch_stats", *names, "0", "_v"): leaves[("batch_stats", "v")],
    }


def _from_torch(leaves: Leaves) -> Leaves:
    names = ("parametrizations", "weight")
    variables = {path: leaf for path, leaf in leaves.items() if path[-1] == "bias"}
    return variables | {
        ("params", "kernel"): leaves[("params", *names, "original")].transpose(2, 3, 1, 0),
        ("batch_stats", "u"): leaves[("batch_stats", *names, "0", "_u")],
        ("batch_stats", "v"): leaves[("batch_stats", *names, "0", "_v")],
    }


# How torch names what a parametrized convolution holds.
SPECTRAL_RULE = TorchRule(_to_torch, _from_torch)
