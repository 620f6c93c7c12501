"""Gates that start out remembering: chrono initialisation (Tallec and Ollivier 2018)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from flax_models.recurrent import Recurrent


def chrono_init(key: Array, params: PyTree, layer: Recurrent, longest: int) -> PyTree:
    """The parameters of a recurrent layer, with the biases of its gates set for long memories.

    A unit whose forget gate (in a GRU: update gate) rests at s / (1 + s) forgets within about s
    steps. Its bias log s is drawn so that s is uniform between 1 and `longest` - 1; the input gate
    of an LSTM gets the opposite (section 2 of the paper). An `RNN` has no gates and stays as it is.

    Args:
        key: of the draw.
        params: of `layer`, as `bias_ih_l0` [gates * hidden].
        layer: tells which rows belong to which gate.
        longest: steps that a memory may have to last, 3 or more.

    Raises:
        ValueError: `longest` below 3.
    """
    if longest < 3:
        raise ValueError(f"longest: expected 3 steps or more, got {longest}")
    signs = {"forget": 1.0, "update": 1.0, "input": -1.0}
    changed = dict(params)
    for name in sorted(params):
        if not name.startswith("bias_ih"):
            continue
        key, draw_key = jax.random.split(key)
        spans = jax.random.uniform(draw_key, (layer.hidden_size,), minval=1.0, maxval=longest - 1.0)
        of_gates = [signs.get(gate, 0.0) * jnp.log(spans) for gate in layer.gates]
        changed[name] = params[name] + jnp.concatenate(of_gates)
    return changed
