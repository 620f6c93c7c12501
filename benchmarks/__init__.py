"""The same work in JAX and in PyTorch, side by side, in one run."""
