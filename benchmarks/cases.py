"""What is compared: networks and their batches, and our side; PyTorch's is in twins.py."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

import flax_models as models
from train import DataParallel, Supervised
from train.compiler import compile_mended
from train.task import Weights

Call = Callable[[], object]
"""Does its work once, and returns when it is done."""

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
LABELS = 5
"""Characters of a text that CTC aligns."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that is trained by SGD with momentum on one batch.

    Args:
        model: without dropout, which would draw differently on the two sides.
        shape: of the inputs, batch first and channels last.
        classes: for cross-entropy, or for CTC where there are outputs by time step; None for the
            mean square of the outputs.
        vocabulary: inputs are that many kinds of tokens rather than numbers.
        modes: ``train``, ``infer``.
    """

    model: nn.Module
    shape: tuple[int, ...]
    classes: int | None = None
    vocabulary: int | None = None
    modes: tuple[str, ...] = ("train", "infer")

    @property
    def has_images(self) -> bool:
        """Whether PyTorch has the channels elsewhere."""
        return len(self.shape) == 4

    def batch(self) -> dict[str, np.ndarray]:
        """Inputs and targets, the same ones every time."""
        generator = np.random.default_rng(0)
        inputs: np.ndarray = generator.normal(size=self.shape).astype(np.float32)
        if self.vocabulary is not None:
            inputs = generator.integers(0, self.vocabulary, self.shape)
        size = (self.shape[0], LABELS) if self.reads_text else (self.shape[0],)
        targets = generator.integers(1 if self.reads_text else 0, self.classes or 1, size)
        return {
            "inputs": inputs,
            "targets": targets,
            "mask": np.ones(self.shape[0], np.float32),
        }

    @property
    def convolves(self) -> bool:
        """Whether the levers for convolutional networks have something to do."""
        return self.has_images or isinstance(self.model, models.Generator)

    @property
    def reads_text(self) -> bool:
        """Whether the loss is CTC's."""
        return isinstance(self.model, models.CRNN)

    def loss(self, outputs: Any, batch: dict[str, Any]) -> Array:
        """One number an example."""
        outputs = first(outputs)
        if self.classes is None:
            return jnp.square(outputs).reshape(len(outputs), -1).mean(-1)
        if self.reads_text:
            return models.ctc_loss(outputs, batch["targets"], reduction="none", method="fast")
        return optax.softmax_cross_entropy_with_integer_labels(outputs, batch["targets"])

    def in_bfloat16(self) -> "Network":
        """The same network, computing in bfloat16 where it may."""
        model = self.model
        if isinstance(model, Translator):
            model = model.clone(model=model.model.clone(dtype=jnp.bfloat16))
        else:
            model = model.clone(dtype=jnp.bfloat16)
        return dataclasses.replace(self, model=model)

    def train(self, variables: Any, mended: bool = True) -> Callable[[], float]:
        """A training step that gives its loss.

        Args:
            variables: to begin with; None draws them.
            mended: whether to compile with the options that this library chooses.
        """
        return self.repeated(*self.compile(variables, mended))

    def repeated(self, state: Any, train_step: Any) -> Callable[[], float]:
        """A compiled step that goes on from what it left, always on the same batch."""
        batch = jax.device_put(self.batch())  # where PyTorch has its own, too

        def step() -> float:
            nonlocal state
            state, sums = train_step(state, batch)
            return float(sums["loss"]) / float(sums["n"])

        return step

    def compile(self, variables: Any, mended: bool = True) -> tuple[Any, Any]:
        """The first state, and the compiled step from (state, batch) to (state, sums)."""
        batch = self.batch()
        task = Supervised(self.model, self.loss, optax.sgd(LEARNING_RATE, MOMENTUM))
        parallel = DataParallel(self.shape[0], jax.devices()[:1])
        state = parallel.init(task.init, jax.random.PRNGKey(0), batch)
        if variables is not None:
            own = jax.tree.map(jnp.copy, dict(variables))  # the step donates what it is given
            state = state.replace(params=own.pop("params"), model_state=own)
        lowered = jax.jit(task.train_step, donate_argnums=0).lower(state, batch)
        return state, compile_mended(lowered, cached=False) if mended else lowered.compile()

    def infer(self, variables: Any, mended: bool = True) -> Call:
        """A forward pass as in evaluation."""
        inputs = jax.device_put(self.batch()["inputs"])
        weights = Weights(jax.device_put(variables))

        def apply(weights: Weights, inputs: Any) -> Array:
            return first(self.model.apply(weights.variables, inputs))

        lowered = jax.jit(apply).lower(weights, inputs)
        compiled = compile_mended(lowered, cached=False) if mended else lowered.compile()
        return lambda: jax.block_until_ready(compiled(weights, inputs))


@dataclasses.dataclass(frozen=True)
class Ctc:
    """The CTC loss alone with its gradient."""

    batch: int
    steps: int
    classes: int
    labels: int

    def logits_and_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits [B, T, K] and labels [B, N], the same ones every time."""
        generator = np.random.default_rng(0)
        logits = generator.normal(size=(self.batch, self.steps, self.classes)).astype(np.float32)
        return logits, generator.integers(1, self.classes, (self.batch, self.labels))

    def train(self, method: str) -> Callable[[], float]:
        """Loss and gradient by a method of ``ctc_loss``."""
        logits, labels = jax.device_put(self.logits_and_labels())
        step = jax.jit(jax.value_and_grad(lambda x: models.ctc_loss(x, labels, method=method)))
        return lambda: float(jax.block_until_ready(step(logits))[0])


class Translator(nn.Module):
    """Source and target tokens side by side to logits: ``Seq2Seq`` with one input."""

    model: models.Seq2Seq
    source_steps: int

    def __call__(self, tokens: Array, train: bool = False) -> Array:
        """Logits [batch, target, vocabulary] of tokens [batch, source + target]."""
        source, target = tokens[:, : self.source_steps], tokens[:, self.source_steps :]
        return first(self.model(source, target, train=train))


def first(outputs: Any) -> Any:
    """The outputs of a recurrent network without its state; others as they are."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _recurrent(name: str, steps: int, hidden: int, bidirectional: bool) -> Network:
    module = getattr(models, name.upper())
    return Network(module(hidden, bidirectional=bidirectional), (64, steps, hidden))


VOCABULARY, SOURCE_STEPS, TARGET_STEPS = 2000, 20, 20

CASES: dict[str, Network | Ctc] = {
    "mlp": Network(models.MLP((64, 10)), (128, 784), classes=10),
    "cnn": Network(models.CNN(), (128, 32, 32, 3), classes=10),
    "vgg16-bn": Network(
        models.VGG(16, 10, True, hidden_features=512, pooled_size=1, dropout_rate=0.0),
        (32, 32, 32, 3),
        classes=10,
    ),
    "resnet18": Network(
        models.resnet18(num_classes=10, small_images=True), (32, 32, 32, 3), classes=10
    ),
    "resnet20": Network(models.resnet20(), (128, 32, 32, 3), classes=10),
    "resnet50": Network(models.resnet50(), (8, 224, 224, 3), classes=1000, modes=("infer",)),
    "unet": Network(models.UNet(), (4, 128, 128, 3)),
    **{name: _recurrent(name, 30, 64, False) for name in ("rnn", "lstm", "gru")},
    **{f"{name}-large": _recurrent(name, 128, 256, True) for name in ("rnn", "lstm", "gru")},
    "crnn": Network(models.CRNN(37, dropout_rate=0.0), (32, 50, 200, 1), classes=37),
    "vit": Network(models.ViT(10, 4, 192, 6, 3, 768), (32, 32, 32, 3), classes=10),
    "seq2seq": Network(
        Translator(models.Seq2Seq(VOCABULARY, VOCABULARY), SOURCE_STEPS),
        (64, SOURCE_STEPS + TARGET_STEPS),
        vocabulary=VOCABULARY,
    ),
    "autoencoder": Network(
        models.Autoencoder(widths=(16, 32), kind="convolutional"), (128, 28, 28, 1)
    ),
    "dcgan-generator": Network(models.Generator(), (64, 100)),
    "dcgan-discriminator": Network(models.Discriminator(), (64, 32, 32, 1)),
    "ctc-small": Ctc(64, 50, 37, 5),
    "ctc-medium": Ctc(32, 400, 100, 60),
    "ctc-large": Ctc(16, 1500, 5000, 200),
}
