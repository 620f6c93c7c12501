"""Variables for a test, without the seconds that compiling an initialisation takes."""

import jax
import numpy as np


def random_variables(model, *inputs, bound=0.5, seed=0):
    """Uniform in +-bound where the model has a weight; norm layers start as they should."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name in ("mean", "var", "scale"):
            return np.full(leaf.shape, 0.0 if name == "mean" else 1.0, np.float32)
        return rng.uniform(-bound, bound, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(
        draw, jax.eval_shape(model.init, jax.random.key(0), *inputs)
    )
