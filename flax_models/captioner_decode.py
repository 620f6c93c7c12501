"""Greedy and beam decoding with a trained `Captioner`: jitted functions with static shapes."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from flax_models.captioner import Captioner
from flax_models.token_search import Found, Step, beam_search, check_sizes, greedy_search


class Caption(NamedTuple):
    """Decoded tokens; beam search adds an axis of candidates after the batch, best first.

    `tokens` [batch, max_length] are the model's `end_id` from the end on; `lengths` do not count
    it; `log_probs` do, where it was reached.
    """

    tokens: Int[Array, "*batch steps"]
    lengths: Int[Array, "*batch"]
    log_probs: Float[Array, "*batch"]


def greedy_caption(
    model: Captioner,
    variables: Any,
    images: Float[Array, "batch height width channels"],
    max_length: int = 20,
) -> Caption:
    """Take the most probable token at every step, until `end_id` or `max_length` tokens.

    Raises:
        ValueError: images that do not fit, a max_length below 1.
    """
    check_sizes(max_length=max_length)
    return _greedy_caption(model, variables, images, max_length)


@partial(jax.jit, static_argnames=("model", "max_length"))
def _greedy_caption(model: Captioner, variables: Any, images: Array, max_length: int) -> Caption:
    step, state = _begin(model, variables, images)
    return _caption(greedy_search(step, state, model.start_id, model.end_id, max_length))


def beam_caption(
    model: Captioner,
    variables: Any,
    images: Float[Array, "batch height width channels"],
    max_length: int = 20,
    beam_width: int = 4,
    length_penalty: float = 0.0,
) -> Caption:
    """Keep the `beam_width` most probable token sequences at every step; see `beam_search`.

    Raises:
        ValueError: images that do not fit, a max_length or beam_width below 1.
    """
    check_sizes(max_length=max_length, beam_width=beam_width)
    penalty = jnp.float32(length_penalty)
    return _beam_caption(model, variables, images, max_length, beam_width, penalty)


@partial(jax.jit, static_argnames=("model", "max_length", "beam_width"))
def _beam_caption(
    model: Captioner,
    variables: Any,
    images: Array,
    max_length: int,
    beam_width: int,
    length_penalty: Array,
) -> Caption:
    step, state = _begin(model, variables, images)
    ids = (model.start_id, model.end_id)
    return _caption(beam_search(step, state, *ids, max_length, beam_width, length_penalty))


def _begin(model: Captioner, variables: Any, images: Array) -> tuple[Step, PyTree]:
    """The decoder's step, and its first state with the batch as the leading axis."""

    def moved(state: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), state)

    def step(tokens: Array, state: PyTree) -> tuple[Array, tuple[()], PyTree]:
        results: Any = model.apply(
            variables, tokens[:, None], moved(state), method=Captioner.decode
        )
        logits, state = results
        return jax.nn.log_softmax(logits[:, 0]), (), moved(state)

    return step, moved(model.apply(variables, images, method=Captioner.encode))


def _caption(found: Found) -> Caption:
    return Caption(found.tokens, found.lengths, found.log_probs)
