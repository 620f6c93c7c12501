"""A generator and a discriminator that learn from each other (Goodfellow et al. 2014)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int, PyTree, UInt8, UInt32

from flax_models import Discriminator, Generator
from train.generation import DigitJudge, frechet_distance, moment_sums
from train.steps import Batch, Sums, keep_if, sum_over
from train.task import Task


class Player(struct.PyTreeNode):
    """One of the two networks, with its own optimizer's state."""

    params: PyTree
    model_state: PyTree
    opt_state: optax.OptState

    @property
    def variables(self) -> dict[str, PyTree]:
        """What ``module.apply`` takes."""
        return {"params": self.params, **self.model_state}


class Adversaries(struct.PyTreeNode):
    """Both players, the judge that looks on, and samples of the generator at some steps."""

    step: Int[Array, ""]
    generator: Player
    discriminator: Player
    judge: PyTree
    gallery: UInt8[Array, "milestones samples 28 28 1"]
    key: UInt32[Array, "2"]

    @property
    def variables(self) -> dict[str, PyTree]:
        """Of all three networks, by name."""
        return {
            "generator": self.generator.variables,
            "discriminator": self.discriminator.variables,
            "judge": self.judge,
        }


@dataclasses.dataclass(frozen=True)
class Adversarial(Task):
    """DCGAN's two steps in one: the discriminator learns first, then the generator from it.

    A batch holds noise as ``inputs``, for evaluation; training draws its own by the step's key.
    ``targets`` are real digits.

    Args:
        generator, discriminator: of images of 32 x 32 from -1 to 1; digits get a black margin.
        optimizer: of each player; an optax transformation.
        judge: variables of a trained ``DigitJudge``; none to evaluate and predict.
        noise_size: numbers from which the generator makes an image.
        milestones: numbers of steps after which ``samples`` images are kept, from noise that is the
            same each time.
        axis_name: of the mapped axis under pmap; the networks' batch norms need the same.
    """

    generator: Generator
    discriminator: Discriminator
    optimizer: optax.GradientTransformation
    noise_size: int
    judge: PyTree | None = None
    milestones: Sequence[int] = ()
    samples: int = 12
    axis_name: str | None = None

    def init(self, key: Array, batch: Batch) -> Adversaries:
        """Both players from their initialisers."""
        generator_key, discriminator_key, train_key = jax.random.split(key, 3)
        images = with_margin(batch["targets"])

        def player(variables: Any) -> Player:
            params = variables.pop("params")
            return Player(params, variables, self.optimizer.init(params))

        return Adversaries(
            step=jnp.zeros((), jnp.int32),
            generator=player(self.generator.init(generator_key, batch["inputs"])),
            discriminator=player(self.discriminator.init(discriminator_key, images)),
            judge=self.judge,
            gallery=jnp.zeros((len(self.milestones), self.samples, 28, 28, 1), jnp.uint8),
            key=train_key,
        )

    def train_step(self, state: Adversaries, batch: Batch) -> tuple[Adversaries, Sums]:
        """Adam on -log D(x) - log(1 - D(G(z))), then on -log D(G(z)), which does not saturate.

        The generator runs once for both: its images are differentiated through the discriminator
        that has just learned.
        """
        total = sum_over(self.axis_name)
        key = jax.random.fold_in(state.key, state.step)
        if self.axis_name is not None:
            key = jax.random.fold_in(key, lax.axis_index(self.axis_name))
        real, mask = with_margin(batch["targets"]), batch["mask"]
        n = total(mask.sum())
        noise = jax.random.normal(key, (len(real), self.noise_size))

        def generate(params: PyTree) -> tuple[Array, PyTree]:
            model_state = state.generator.model_state
            return self.generator.apply(
                {"params": params, **model_state}, noise, train=True, mutable=list(model_state)
            )

        def discriminate(params: PyTree, model_state: PyTree, images: Array) -> tuple[Array, Any]:
            return self.discriminator.apply(
                {"params": params, **model_state}, images, train=True, mutable=list(model_state)
            )

        def discriminator_loss(params: PyTree) -> tuple[Array, PyTree]:
            logits, model_state = discriminate(params, state.discriminator.model_state, real)
            fake_logits, model_state = discriminate(params, model_state, lax.stop_gradient(fakes))
            losses = jax.nn.softplus(-logits) + jax.nn.softplus(fake_logits)
            return jnp.sum(losses * mask) / n, model_state

        def generator_loss(images: Array) -> tuple[Array, PyTree]:
            learned = discriminator
            logits, model_state = discriminate(learned.params, learned.model_state, images)
            return jnp.sum(jax.nn.softplus(-logits) * mask) / n, model_state

        fakes, pull_back, generator_state = jax.vjp(generate, state.generator.params, has_aux=True)
        (loss, model_state), gradients = jax.value_and_grad(discriminator_loss, has_aux=True)(
            state.discriminator.params
        )
        loss, gradients = total((loss, gradients))
        discriminator = self._updated(state.discriminator, gradients, model_state)
        (loss_of_fakes, model_state), by_pixel = jax.value_and_grad(generator_loss, has_aux=True)(
            fakes
        )
        loss_of_fakes, back = total((loss_of_fakes, pull_back(by_pixel)[0]))
        generator = self._updated(state.generator, back, generator_state)
        proposed = state.replace(
            generator=generator,
            discriminator=discriminator.replace(model_state=self._shared(model_state)),
        )
        finite = jnp.isfinite(loss + loss_of_fakes)
        finite &= jnp.isfinite(optax.tree.norm(gradients) + optax.tree.norm(back))
        sums = {"loss": loss * n, "generator_loss": loss_of_fakes * n, "n": n}
        state, sums = keep_if(finite, proposed, state, sums)
        state = state.replace(step=state.step + 1)
        return state.replace(gallery=self._hung(state)), sums

    def _updated(self, player: Player, gradients: PyTree, model_state: PyTree) -> Player:
        updates, opt_state = self.optimizer.update(gradients, player.opt_state, player.params)
        params = optax.apply_updates(player.params, updates)
        return Player(params, self._shared(model_state), opt_state)

    def _shared(self, model_state: PyTree) -> PyTree:
        return model_state if self.axis_name is None else lax.pmean(model_state, self.axis_name)

    def _hung(self, state: Adversaries) -> Array:
        """The gallery, with new samples where this step is a milestone."""
        if not self.milestones:
            return state.gallery
        reached = jnp.asarray(self.milestones) == state.step

        def hang() -> Array:
            noise = jax.random.normal(state.key, (self.samples, self.noise_size))
            images = jnp.rint(self._images(state.variables, noise)).astype(jnp.uint8)
            return jnp.where(reached[:, None, None, None, None], images, state.gallery)

        return lax.cond(reached.any(), hang, lambda: state.gallery)

    def eval_step(self, state: Any, batch: Batch) -> Sums:
        """Both losses, and the moments of the judge's features of real and generated digits."""
        total, mask, variables = sum_over(self.axis_name), batch["mask"], state.variables
        images = self._images(variables, batch["inputs"])

        def logits(images: Array) -> Any:
            return self.discriminator.apply(variables["discriminator"], with_margin(images))

        def moments(images: Array, name: str) -> Sums:
            features: Any = DigitJudge().apply(
                variables["judge"], images, method=DigitJudge.features
            )
            return moment_sums(features, mask, name)

        fake_logits = logits(images)
        losses = jax.nn.softplus(-logits(batch["targets"])) + jax.nn.softplus(fake_logits)
        return total(
            {
                "loss": jnp.sum(losses * mask),
                "generator_loss": jnp.sum(jax.nn.softplus(-fake_logits) * mask),
                **moments(batch["targets"], "real"),
                **moments(images, "fake"),
                "n": mask.sum(),
            }
        )

    def summarize(self, means: dict[str, Any]) -> dict[str, float]:
        """The losses, and the Fréchet distance where there are moments."""
        losses = {name: means[name] for name in ("loss", "generator_loss")}
        if "real_mean" not in means:
            return losses
        return {**losses, "frechet_distance": frechet_distance(means, "real", "fake")}

    def predict(self, state: Any, inputs: Any) -> Any:
        """Digits with pixels from 0 to 255, and the judge's probabilities of each."""
        images = self._images(state.variables, inputs)
        logits: Any = DigitJudge().apply(state.variables["judge"], images)
        return {"images": images, "probabilities": jax.nn.softmax(logits)}

    def _images(self, variables: PyTree, noise: Array) -> Float[Array, "B 28 28 1"]:
        images: Any = self.generator.apply(variables["generator"], noise)
        return (images[:, 2:-2, 2:-2] + 1) * 127.5


def with_margin(
    digits: Float[Array, "B 28 28 1"] | UInt8[Array, "B 28 28 1"],
) -> Float[Array, "B 32 32 1"]:
    """Pixels from 0 to 255 as pixels from -1 to 1, with a margin of black."""
    margin = ((0, 0), (2, 2), (2, 2), (0, 0))
    return jnp.pad(digits.astype(jnp.float32) / 127.5 - 1, margin, constant_values=-1)
