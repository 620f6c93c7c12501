"""Classical deep-learning architectures as Flax Linen modules and pure functions of arrays."""

from flax_models.mlp import MLP as MLP
from flax_models.polynomial import cubic as cubic
from flax_models.polynomial import squared_errors_gradient as squared_errors_gradient
from flax_models.torch_weights import from_torch as from_torch
from flax_models.torch_weights import to_torch as to_torch
