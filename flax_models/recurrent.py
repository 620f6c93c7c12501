"""Recurrent layers that mean what torch.nn.RNN, LSTM and GRU with batch_first=True mean.

The input projection of all steps is one matrix product outside the scan, the gates of a step are
one product inside. Parameters carry torch's names and layout: weight_ih_l0 [gates * hidden, in],
weight_hh_l0 [gates * hidden, hidden], bias_ih_l0, bias_hh_l0; `_l1` is the second layer, `_reverse`
its backward direction. torch's two biases are both parameters, so that weights go both ways bit for
bit and an optimizer moves them as torch's does.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from flax_models.checks import check_choice, check_shape, known_size
from flax_models.dropout import Dropout
from flax_models.lengths import full_lengths, length_mask
from flax_models.recurrence import hidden_states, walk
from flax_models.recurrent_cells import GRU_CELL, LSTM_CELL, RNN_CELLS, Carry, Cell

# The hidden state, or the LSTM's pair of hidden and cell state.
State = PyTree[Float[Array, "layers_times_directions batch hidden"]]


class Recurrent(nn.Module):
    """What the three cells share: layers, directions, dropout between layers, lengths.

    x [batch, time, features] -> outputs [batch, time, directions * hidden] and the final state
    [layers * directions, batch, hidden], float32, layer by layer, forward before backward. With
    `lengths` it is torch's packed sequence: outputs beyond a length are 0, the final state is that
    of the last real step, and the backward direction starts there. Gates, for teaching
    and plots, are sown: `apply(..., mutable=["intermediates"])` gives "gates" among them, a dict of
    [layers * directions, batch, time, hidden].
    Products are computed in `dtype`; gates and what is carried stay float32.
    The gradient is `recurrence.py`'s, which is faster and cannot be differentiated forwards
    (jax.jvp, jax.hessian); with `own_gradient=False` or while gates are sown it is autodiff's.
    Raises ValueError for x that is not [batch, time, features] with the features of the variables,
    for a length longer than the sequence, and for an initial state of another shape.
    """

    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    dropout_rate: float = 0.0
    own_gradient: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    gates: ClassVar[tuple[str, ...]] = ()  # in torch's order of rows
    states: ClassVar[tuple[str, ...]] = ("hidden state",)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time features"],
        lengths: Int[Array, "batch"] | None = None,
        initial_state: State | None = None,
        train: bool = False,
    ) -> tuple[Float[Array, "batch time outputs"], State]:
        features = known_size(self, "weight_ih_l0", otherwise="features", axis=-1)
        check_shape("x", x, ("batch", "time", features))
        batch, steps, _ = x.shape
        suffixes = ("", "_reverse") if self.bidirectional else ("",)
        initial = self._unpack_state(initial_state, batch, self.num_layers * len(suffixes))
        live = None
        if lengths is not None:
            live = length_mask(full_lengths("lengths", lengths, batch, steps), steps).T

        # Time is the leading axis between here and the return: it is what scan walks along.
        outputs = x.astype(self.dtype).swapaxes(0, 1)
        finals: list[Carry] = []
        activations = []
        keep_gates = self.is_mutable_collection("intermediates")
        for layer in range(self.num_layers):
            if layer > 0:
                outputs = Dropout(self.dropout_rate, deterministic=not train)(outputs)
            of_directions = []
            for suffix in suffixes:
                start = tuple(part[len(finals)] for part in initial)
                final, hidden, gates = self._direction(
                    outputs, start, live, f"_l{layer}{suffix}", suffix != "", keep_gates
                )
                finals.append(final)
                activations.append(gates)
                of_directions.append(hidden)
            outputs = jnp.concatenate(of_directions, axis=-1)
        state = tuple(jnp.stack(parts) for parts in zip(*finals, strict=True))
        if keep_gates:
            named = {
                gate: jnp.stack([gates[index] for gates in activations]).swapaxes(1, 2)
                for index, gate in enumerate(self.gates)
            }
            self.sow("intermediates", "gates", named, reduce_fn=lambda _, new: new)
        return outputs.swapaxes(0, 1), state if len(state) > 1 else state[0]

    def _direction(
        self,
        x: Float[Array, "time batch features"],
        start: Carry,
        live: Bool[Array, "time batch"] | None,
        suffix: str,
        reverse: bool,
        keep_gates: bool,
    ) -> tuple[Carry, Float[Array, "time batch hidden"], tuple[Array, ...]]:
        """One layer in one direction: final carry, hidden states and gates of all steps."""
        rows = len(self.gates) * self.hidden_size
        weight_ih = self._parameter(f"weight_ih{suffix}", rows, x.shape[-1])
        weight_hh = self._parameter(f"weight_hh{suffix}", rows, self.hidden_size)
        bias_ih = self._parameter(f"bias_ih{suffix}", rows)
        bias_hh = self._parameter(f"bias_hh{suffix}", rows)
        projected = jnp.dot(x, weight_ih.T.astype(self.dtype), preferred_element_type=jnp.float32)
        weight, biases = weight_hh.T.astype(self.dtype), (bias_ih, bias_hh)
        arguments = (self.cell(), reverse, projected, start, weight, biases, live)
        if keep_gates or not self.own_gradient:
            final, carries, gates = walk(*arguments)
            hidden = carries[0]
        else:
            final, hidden = hidden_states(*arguments)
            gates = ()
        if live is not None:
            hidden = jnp.where(live[:, :, None], hidden, 0)
            gates = tuple(jnp.where(live[:, :, None], gate, 0) for gate in gates)
        return final, hidden.astype(self.dtype), gates

    def _parameter(self, name: str, *shape: int) -> Array:
        """Drawn as torch draws weights and biases: U(-1/sqrt(hidden), 1/sqrt(hidden))."""
        bound = self.hidden_size**-0.5

        def uniform(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return self.param(name, uniform, shape, self.param_dtype)

    def _unpack_state(self, state: State | None, batch: int, rows: int) -> Carry:
        """The initial state as a tuple of its parts, zeros by default."""
        if state is None:
            return (jnp.zeros((rows, batch, self.hidden_size)),) * len(self.states)
        given = tuple(state) if len(self.states) > 1 else (state,)
        if len(given) != len(self.states):
            expected = " and ".join(self.states)
            raise ValueError(f"initial_state: expected {expected}, got {len(given)} arrays")
        for part in given:
            check_shape("initial_state", part, (rows, batch, self.hidden_size))
        return tuple(jnp.asarray(part, jnp.float32) for part in given)

    def cell(self) -> Cell:
        """The step of this kind of layer."""
        raise NotImplementedError


class RNN(Recurrent):
    """h' = tanh(W x + b + U h), or relu (Elman 1990, as torch.nn.RNN).

    Shapes, lengths and errors: `Recurrent`. Gates: hidden.
    Parameters a layer and direction: hidden * (in + hidden + 2).
    """

    nonlinearity: str = "tanh"

    gates: ClassVar[tuple[str, ...]] = ("hidden",)

    def cell(self) -> Cell:
        """The step of Elman's network."""
        check_choice("nonlinearity", self.nonlinearity, tuple(RNN_CELLS))
        return RNN_CELLS[self.nonlinearity]


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000).

    c' = forget * c + input * candidate, h' = output * tanh(c'). The state is the pair (h, c).
    Shapes, lengths and errors: `Recurrent`. Gates: input, forget, candidate, output.
    Parameters a layer and direction: 4 * hidden * (in + hidden + 2).
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    states: ClassVar[tuple[str, ...]] = ("hidden state", "cell state")

    def cell(self) -> Cell:
        """The step of long short-term memory."""
        return LSTM_CELL


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014, with the reset gate after the product, as torch has).

    candidate = tanh(W x + b + reset * (U h + b')), h' = (1 - update) * candidate + update * h.
    Shapes, lengths and errors: `Recurrent`. Gates: reset, update, candidate.
    Parameters a layer and direction: 3 * hidden * (in + hidden + 2).
    """

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")

    def cell(self) -> Cell:
        """The step of the gated recurrent unit."""
        return GRU_CELL
