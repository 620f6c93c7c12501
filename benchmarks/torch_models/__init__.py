"""Plain torch.nn twins of flax_models, with the established key names."""
