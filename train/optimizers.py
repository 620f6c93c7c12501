"""Optimizers and learning rate schedules, as settings of a recipe."""

import dataclasses
from typing import Any, Literal

import jax
import optax
from jaxtyping import PyTree

from train.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An optax chain: clip the gradient, decay the weights, follow a learning rate schedule.

    ``adamw`` decays the weights apart from the gradient (Loshchilov and Hutter 2019); ``sgd`` and
    ``adam`` add the decay to the gradient, as PyTorch's do. Decay touches kernels and embeddings,
    never biases or the scales of norms.
    """

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    warmup: float = 0.0
    """Share of all steps in which the learning rate rises linearly from zero."""
    drops: tuple[float, ...] = (0.5, 0.75)
    """For ``step``: shares of all steps after which the learning rate is divided by ten."""
    momentum: float = 0.9
    """Of ``sgd``."""
    nesterov: bool = True
    """Whether the momentum of ``sgd`` looks ahead (Nesterov 1983)."""
    beta1: float = 0.9
    """Decay of the gradients' mean that ``adam`` and ``adamw`` keep."""
    weight_decay: float = 0.0
    clip_norm: float | None = None
    """Largest norm of the whole gradient; a longer one is scaled down."""

    def __post_init__(self) -> None:
        """Refuse values that no schedule can follow."""
        if not 0 <= self.warmup < 1:
            raise UsageError(f"optimizer.warmup {self.warmup}: a share of all steps, from 0 to 1")
        if self.learning_rate <= 0:
            raise UsageError(f"optimizer.learning_rate {self.learning_rate}: must be positive")
        if not 0 <= self.beta1 < 1:
            raise UsageError(f"optimizer.beta1 {self.beta1}: from 0 to below 1")

    def build(self, steps: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """The transformation for a run of ``steps`` steps, and its learning rate by step."""
        schedule = self.learning_rates(steps)
        parts = []
        if self.clip_norm is not None:
            parts.append(optax.clip_by_global_norm(self.clip_norm))
        decay = optax.add_decayed_weights(self.weight_decay, mask=decays)
        decay_in_gradient = [decay] if self.weight_decay and self.name != "adamw" else []
        decay_in_update = [decay] if self.weight_decay and self.name == "adamw" else []
        rule = (
            optax.trace(self.momentum, self.nesterov)
            if self.name == "sgd"
            else optax.scale_by_adam(b1=self.beta1)
        )
        parts += [
            *decay_in_gradient,
            rule,
            *decay_in_update,
            optax.scale_by_learning_rate(schedule),
        ]
        return optax.chain(*parts), schedule

    def learning_rates(self, steps: int) -> optax.Schedule:
        """Linear warm-up, then the schedule over the steps that remain."""
        warmup_steps = round(self.warmup * steps)
        remaining = max(1, steps - warmup_steps)
        match self.schedule:
            case "constant":
                main = optax.constant_schedule(self.learning_rate)
            case "cosine":
                main = optax.cosine_decay_schedule(self.learning_rate, remaining)
            case "step":
                drops = {round(share * steps) - warmup_steps: 0.1 for share in self.drops}
                main = optax.piecewise_constant_schedule(self.learning_rate, drops)
        if not warmup_steps:
            return main
        rise = optax.linear_schedule(0.0, self.learning_rate, warmup_steps)
        return optax.join_schedules([rise, main], [warmup_steps])


def decays(params: PyTree) -> PyTree:
    """True for the leaves that weight decay touches: all but biases and scales of norms.

    By name, not by rank: under ``nn.scan`` a bias has two dimensions. A recurrent layer's biases
    are called ``bias_ih_l0`` and so on.
    """

    def decay(path: tuple[Any, ...], _: Any) -> bool:
        name = path[-1].key
        return "bias" not in name and name != "scale"

    return jax.tree_util.tree_map_with_path(decay, params)
