"""What practices that write a sequence token by token share: teacher forcing, and its metrics.

Logits are [B, T, vocabulary]; ``targets`` [B, T] hold tokens, each row filled with ``PADDING``.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from data import PADDING
from train.steps import Batch, Sums, TrainState
from train.task import Supervised


@dataclasses.dataclass(frozen=True)
class TeacherForced(Supervised):
    """``Supervised`` for a module of (inputs, targets), which is told the tokens before each one.

    ``augment`` finds such a pair as the ``inputs`` of its batch.
    """

    def init(self, key: Array, batch: Batch) -> TrainState:
        """As ``Supervised``, with the targets among the inputs."""
        return super().init(key, with_targets(batch))

    def train_step(self, state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        """As ``Supervised``, with the targets among the inputs."""
        return super().train_step(state, with_targets(batch))

    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """As ``Supervised``, with the targets among the inputs."""
        return super().eval_step(state, with_targets(batch))


def with_targets(batch: Batch) -> Batch:
    """The batch with inputs and targets together as its inputs."""
    return {**batch, "inputs": (batch["inputs"], batch["targets"])}


def cross_entropy(logits: Array, batch: Batch) -> Float[Array, "B"]:
    """Summed over the tokens of a target, so that each token of a batch weighs the same."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
    return jnp.where(batch["targets"] != PADDING, losses, 0.0).sum(axis=1)


def right_tokens(logits: Array, batch: Batch) -> Float[Array, "B"]:
    """Tokens of a target that are the most probable after the true ones before them."""
    right = (logits.argmax(-1) == batch["targets"]) & (batch["targets"] != PADDING)
    return right.sum(axis=1).astype(jnp.float32)


def tokens(_: Array, batch: Batch) -> Float[Array, "B"]:
    """Tokens of a target, its end among them."""
    return (batch["targets"] != PADDING).sum(axis=1).astype(jnp.float32)


def exact(logits: Array, batch: Batch) -> Float[Array, "B"]:
    """1 where every token is right, which is where greedy decoding gives the target: else 0."""
    return (right_tokens(logits, batch) == tokens(logits, batch)).astype(jnp.float32)


def by_token(means: dict[str, float]) -> dict[str, float]:
    """Loss and accuracy by token, from sums by text."""
    return {
        "loss": means["loss"] / means["tokens"],
        "token_accuracy": means["token_accuracy"] / means["tokens"],
        "exact_match": means["exact_match"],
    }
