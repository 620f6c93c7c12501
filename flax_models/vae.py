"""Variational autoencoder of images."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_models.autoencoder import Decoder, Encoder, coder_rules
from flax_models.checks import check_shape
from flax_models.torch_weights import TorchRule


class VAE(nn.Module):
    """Variational autoencoder (Kingma and Welling 2014, section 3 and appendix C).

    images [batch, height, width, channels], noise [batch, latent_features] or None -> logits of the
    images' pixels, and the mean and log variance [batch, latent_features] of the code. The code is
    mean + exp(log variance / 2) * noise; the caller draws the noise from its own key, as
    `jax.random.normal(key, (batch, latent_features))`. Without noise it is the mean.
    Parameters for images of 28x28x1: dense 441,808 at the defaults; convolutional with widths
    (16, 32) 165,425.
    Raises ValueError for images of another rank or other channels than `channels`, for noise of
    another shape, and for an unknown kind.
    """

    latent_features: int = 32
    widths: Sequence[int] = (256, 64)
    kind: str = "dense"
    channels: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Two submodules, so that either can be called alone."""
        dtypes = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.encoder = Encoder(2 * self.latent_features, self.widths, self.kind, **dtypes)
        self.decoder = Decoder(self.channels, self.widths, self.kind, **dtypes)

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        noise: Float[Array, "batch latent"] | None = None,
    ) -> tuple[
        Float[Array, "batch height width channels"],
        Float[Array, "batch latent"],
        Float[Array, "batch latent"],
    ]:
        """Logits of the images, and the mean and log variance of their code."""
        mean, log_variance = self.encode(images)
        code = mean
        if noise is not None:
            check_shape("noise", noise, mean.shape)
            code = mean + jnp.exp(log_variance / 2) * noise
        _, height, width, _ = images.shape
        return self.decode(code, (height, width)), mean, log_variance

    def encode(
        self, images: Float[Array, "batch height width channels"]
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Mean and log variance of the code of `images`, in float32."""
        check_shape("images", images, ("batch", "height", "width", self.channels))
        mean, log_variance = jnp.split(self.encoder(images).astype(jnp.float32), 2, axis=-1)
        return mean, log_variance

    def decode(
        self, code: Float[Array, "batch latent"], size: tuple[int, int]
    ) -> Float[Array, "batch height width channels"]:
        """Logits of the images of height and width `size` that `code` stands for."""
        return self.decoder(code, size).astype(jnp.float32)

    def torch_rules(self) -> dict[str, TorchRule]:
        """torch flattens and unflattens channels first."""
        return coder_rules(self.kind, self.channels, self.widths)


def kl_divergence(
    mean: Float[Array, "batch latent"], log_variance: Float[Array, "batch latent"]
) -> Float[Array, " batch"]:
    """KL(N(mean, variance) || N(0, 1)), summed over the code (Kingma and Welling, appendix B)."""
    mean, log_variance = mean.astype(jnp.float32), log_variance.astype(jnp.float32)
    return (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance).sum(-1) / 2
