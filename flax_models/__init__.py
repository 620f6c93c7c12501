"""Classical deep-learning architectures as Flax Linen modules and pure functions of arrays."""
