"""What is compared: each network with its PyTorch twin, from the same weights on the same batch."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jaxtyping import Array

import flax_models as models
from benchmarks.torch_models import cnn, mlp, recurrent, resnet, unet, vgg
from train import DataParallel, Supervised
from train.compiler import compiler_options
from train.task import Weights

Call = Callable[[], object]
"""Does its work once, and returns when it is done."""

LEARNING_RATE, MOMENTUM = 1e-3, 0.9


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and its twin, trained by SGD with momentum on one batch.

    Args:
        model: without dropout, which would draw differently on the two sides.
        twin: makes the same in torch.
        shape: of the inputs, batch first and channels last.
        classes: number of classes for cross-entropy; None for the mean square of the outputs.
    """

    model: nn.Module
    twin: Callable[[], torch.nn.Module]
    shape: tuple[int, ...]
    classes: int | None = None

    def variants(self) -> Iterator[tuple[str, dict[str, Call]]]:
        """For ``train`` and ``infer``: calls by name, those of torch beginning with ``torch``.

        Raises:
            AssertionError: the two sides do not have the same loss before the clock starts.
        """
        generator = np.random.default_rng(0)
        inputs = generator.normal(size=self.shape).astype(np.float32)
        targets = generator.integers(0, self.classes or 1, self.shape[0])
        torch.manual_seed(0)
        twin = self.twin()
        state_dict = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
        variables = models.from_torch(state_dict, self.model, inputs)
        layouts = {"torch eager": torch.contiguous_format}
        if len(self.shape) == 4:
            layouts["torch channels-last"] = torch.channels_last
        training: dict[str, Call] = {}
        inference: dict[str, Call] = {}
        training["ours"], loss = self._ours(variables, inputs, targets)
        inference["ours"] = self._ours_inferring(variables, inputs)
        for name, layout in layouts.items():
            step, infer = self._torch(state_dict, inputs, targets, layout)
            twin_loss = step()
            assert abs(twin_loss - loss) <= 1e-4 * abs(loss), f"losses {loss} and {twin_loss}"
            training[name], inference[name] = step, infer
        yield "train", training
        yield "infer", inference

    def _ours(self, variables: Any, inputs: np.ndarray, targets: np.ndarray) -> tuple[Call, float]:
        task = Supervised(self.model, self._loss, optax.sgd(LEARNING_RATE, MOMENTUM))
        batch = {"inputs": inputs, "targets": targets, "mask": np.ones(len(inputs), np.float32)}
        parallel = DataParallel(len(inputs), jax.devices()[:1])
        state = parallel.init(task.init, jax.random.PRNGKey(0), batch)
        own = jax.tree.map(jnp.copy, dict(variables))  # the step donates what it is given
        state = state.replace(params=own.pop("params"), model_state=own)
        train_step = parallel.compile(task.train_step, state, batch, donate=True)

        def step() -> float:
            nonlocal state
            state, sums = train_step(state, batch)
            return float(sums["loss"] / sums["n"])

        return step, step()

    def _ours_inferring(self, variables: Any, inputs: np.ndarray) -> Call:
        weights = Weights(jax.device_put(variables))
        lowered = jax.jit(self._apply).lower(weights, inputs)
        infer = lowered.compile(compiler_options=compiler_options(lowered))
        return lambda: jax.block_until_ready(infer(weights, inputs))

    def _apply(self, weights: Weights, inputs: Any) -> Array:
        return first(self.model.apply(weights.variables, inputs))

    def _loss(self, outputs: Any, batch: dict[str, Any]) -> Array:
        outputs = first(outputs)
        if self.classes is None:
            return jnp.square(outputs).reshape(len(outputs), -1).mean(-1)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, batch["targets"])

    def _torch(
        self, state_dict: Any, inputs: np.ndarray, targets: np.ndarray, layout: torch.memory_format
    ) -> tuple[Callable[[], float], Call]:
        twin = self.twin()
        twin.load_state_dict(state_dict)
        images = len(self.shape) == 4
        x = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy() if images else inputs)
        if images:
            twin, x = twin.to(memory_format=layout), x.to(memory_format=layout)
        labels = torch.from_numpy(targets)
        optimizer = torch.optim.SGD(twin.parameters(), LEARNING_RATE, MOMENTUM)

        def step() -> float:
            twin.train()
            optimizer.zero_grad()
            outputs = first(twin(x))
            if self.classes is None:
                loss = outputs.square().mean()
            else:
                loss = torch.nn.functional.cross_entropy(outputs, labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        def infer() -> None:
            twin.eval()
            with torch.inference_mode():
                twin(x)

        return step, infer


@dataclasses.dataclass(frozen=True)
class Ctc:
    """The CTC loss alone with its gradient, by both methods of ours and torch's."""

    batch: int
    steps: int
    classes: int
    labels: int

    def variants(self) -> Iterator[tuple[str, dict[str, Call]]]:
        """As ``Network.variants``, for ``train`` alone."""
        generator = np.random.default_rng(0)
        logits = generator.normal(size=(self.batch, self.steps, self.classes)).astype(np.float32)
        labels = generator.integers(1, self.classes, (self.batch, self.labels))
        calls: dict[str, Call] = {}
        losses = []
        for name, method in (("ours", "fast"), ("optax", "optax")):
            calls[name], loss = self._ours(logits, labels, method)
            losses.append(loss)
        calls["torch eager"], loss = self._torch(logits, labels)
        np.testing.assert_allclose(losses, loss, rtol=1e-4)
        yield "train", calls

    def _ours(self, logits: np.ndarray, labels: np.ndarray, method: str) -> tuple[Call, float]:
        step = jax.jit(jax.value_and_grad(lambda x: models.ctc_loss(x, labels, method=method)))
        return lambda: jax.block_until_ready(step(logits)), float(step(logits)[0])

    def _torch(self, logits: np.ndarray, labels: np.ndarray) -> tuple[Call, float]:
        x = torch.tensor(logits, requires_grad=True)
        y = torch.from_numpy(labels)
        lengths = (torch.full((self.batch,), n) for n in (self.steps, self.labels))
        logit_lengths, label_lengths = lengths

        def step() -> float:
            x.grad = None
            probabilities = x.log_softmax(-1).transpose(0, 1)
            loss = torch.nn.functional.ctc_loss(probabilities, y, logit_lengths, label_lengths)
            loss.backward()
            return loss.item()

        return step, step()


def first(outputs: Any) -> Any:
    """The outputs of a recurrent network without its state; others as they are."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _recurrent(name: str, steps: int, hidden: int, bidirectional: bool) -> Network:
    module, twin = getattr(models, name.upper()), getattr(recurrent, name.upper())
    options = {"hidden_size": hidden, "bidirectional": bidirectional}
    return Network(
        module(**options),
        lambda: twin(input_size=hidden, batch_first=True, **options),
        (64, steps, hidden),
    )


def _vgg16(make: Callable[..., Any], **options: Any) -> Any:
    return make(16, 10, True, hidden_features=512, pooled_size=1, dropout_rate=0.0, **options)


CASES: dict[str, Network | Ctc] = {
    "mlp": Network(models.MLP((64, 10)), lambda: mlp.MLP(784, (64, 10)), (128, 784), classes=10),
    "cnn": Network(models.CNN(), lambda: cnn.CNN((32, 32), 3), (128, 32, 32, 3), classes=10),
    "vgg16-bn": Network(_vgg16(models.VGG), lambda: _vgg16(vgg.VGG), (32, 32, 32, 3), classes=10),
    "resnet18": Network(
        models.resnet18(num_classes=10, small_images=True),
        lambda: resnet.ResNet((2, 2, 2, 2), False, 10, small_images=True),
        (32, 32, 32, 3),
        classes=10,
    ),
    "resnet20": Network(
        models.resnet20(), lambda: resnet.CifarResNet(20), (128, 32, 32, 3), classes=10
    ),
    "unet": Network(models.UNet(), lambda: unet.UNet(3), (4, 128, 128, 3)),
    **{name: _recurrent(name, 30, 64, False) for name in ("rnn", "lstm", "gru")},
    **{f"{name}-large": _recurrent(name, 128, 256, True) for name in ("rnn", "lstm", "gru")},
    "ctc-small": Ctc(64, 50, 37, 5),
    "ctc-medium": Ctc(32, 400, 100, 60),
    "ctc-large": Ctc(16, 1500, 5000, 200),
}
