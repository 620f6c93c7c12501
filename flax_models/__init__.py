"""Classical deep-learning architectures as Flax Linen modules and pure functions of arrays."""

from flax_models.mlp import MLP as MLP
from flax_models.torch_weights import from_torch as from_torch
from flax_models.torch_weights import to_torch as to_torch
