"""PyTorch's side of the comparison: the twin of each case, its training step and its inference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cases import (
    CASES,
    LEARNING_RATE,
    MOMENTUM,
    SOURCE_STEPS,
    VOCABULARY,
    Call,
    Ctc,
    Network,
    first,
)
from benchmarks.torch_models import (
    autoencoder,
    cnn,
    crnn,
    gan,
    mlp,
    recurrent,
    resnet,
    seq2seq,
    unet,
    vgg,
    vit,
)
from flax_models import from_torch


class Translator(nn.Module):
    """Source and target tokens side by side to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.model = seq2seq.Seq2Seq(VOCABULARY, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, source + target] -> [batch, target, vocabulary]."""
        return self.model(tokens[:, :SOURCE_STEPS], tokens[:, SOURCE_STEPS:])[0]


def _recurrent(name: str, hidden: int, bidirectional: bool) -> nn.Module:
    return getattr(recurrent, name.upper())(
        hidden, hidden, batch_first=True, bidirectional=bidirectional
    )


def _vgg16() -> nn.Module:
    return vgg.VGG(16, 10, True, hidden_features=512, pooled_size=1, dropout_rate=0.0)


TWINS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: mlp.MLP(784, (64, 10)),
    "cnn": lambda: cnn.CNN((32, 32), 3),
    "vgg16-bn": _vgg16,
    "resnet18": lambda: resnet.ResNet((2, 2, 2, 2), False, 10, small_images=True),
    "resnet20": lambda: resnet.CifarResNet(20),
    "resnet50": lambda: resnet.ResNet((3, 4, 6, 3), True, 1000),
    "unet": lambda: unet.UNet(3),
    "rnn": lambda: _recurrent("rnn", 64, False),
    "lstm": lambda: _recurrent("lstm", 64, False),
    "gru": lambda: _recurrent("gru", 64, False),
    "rnn-large": lambda: _recurrent("rnn", 256, True),
    "lstm-large": lambda: _recurrent("lstm", 256, True),
    "gru-large": lambda: _recurrent("gru", 256, True),
    "crnn": lambda: crnn.CRNN(37, 50, dropout_rate=0.0),
    "vit": lambda: vit.ViT((32, 32), 10, 4, 192, 6, 3, 768),
    "seq2seq": Translator,
    "autoencoder": lambda: autoencoder.Autoencoder(widths=(16, 32), kind="convolutional"),
    "dcgan-generator": lambda: gan.Generator(),
    "dcgan-discriminator": lambda: gan.Discriminator(),
}


class Twin:
    """A case's network in PyTorch, with given weights and memory layout.

    Args:
        name: of the case.
        state_dict: weights; None keeps the twin's own.
        layout: of images in memory.
        compiled: whether by ``torch.compile``.
        device: as ``cpu`` or ``cuda``.
        bfloat16: whether products are in bfloat16 (autocast), with float32 parameters.
    """

    def __init__(
        self,
        name: str,
        state_dict: dict[str, Tensor] | None = None,
        layout: torch.memory_format = torch.contiguous_format,
        compiled: bool = False,
        device: str = "cpu",
        bfloat16: bool = False,
    ):
        case = CASES[name]
        assert isinstance(case, Network)
        self._case, self._twin = case, TWINS[name]().to(device)
        self._device, self._bfloat16 = device, bfloat16
        if state_dict is not None:
            self._twin.load_state_dict(state_dict)
        batch = case.batch()
        inputs: np.ndarray = batch["inputs"]
        if case.has_images:
            inputs = inputs.transpose(0, 3, 1, 2).copy()
        self._inputs = torch.from_numpy(inputs).to(device)
        if case.has_images:
            self._twin = self._twin.to(memory_format=layout)  # type: ignore[call-overload]
            self._inputs = self._inputs.to(memory_format=layout)
        self._targets = torch.from_numpy(batch["targets"]).to(device)
        self._optimizer = torch.optim.SGD(self._twin.parameters(), LEARNING_RATE, MOMENTUM)
        self._call: Callable[[Tensor], Any] = torch.compile(self._twin) if compiled else self._twin

    def train(self) -> float:
        """One training step; gives its loss."""
        self._twin.train()
        self._optimizer.zero_grad()
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            outputs = first(self._call(self._inputs))
        loss = self._loss(outputs.float())
        loss.backward()
        self._optimizer.step()
        return loss.item()

    def infer(self) -> None:
        """A forward pass as in evaluation."""
        self._twin.eval()
        autocast = torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16)
        with torch.inference_mode(), autocast:
            self._call(self._inputs)
        if self._device == "cuda":
            torch.cuda.synchronize()

    def _loss(self, outputs: Tensor) -> Tensor:
        if self._case.classes is None:
            return outputs.square().mean()
        if self._case.reads_text:
            return _ctc(outputs, self._targets, "none").mean()
        return nn.functional.cross_entropy(outputs, self._targets)


def first_weights(name: str) -> tuple[dict[str, Tensor], Any]:
    """The weights that a network's comparison begins with: PyTorch's, and the same for Flax."""
    case = CASES[name]
    assert isinstance(case, Network)
    torch.manual_seed(0)
    weights = {key: tensor.clone() for key, tensor in TWINS[name]().state_dict().items()}
    return weights, from_torch(weights, case.model, case.batch()["inputs"])


def ctc_call(case: Ctc, device: str = "cpu") -> Callable[[], float]:
    """The CTC loss and its gradient by PyTorch."""
    logits, labels = (torch.from_numpy(array).to(device) for array in case.logits_and_labels())
    logits.requires_grad_()

    def step() -> float:
        logits.grad = None
        loss = _ctc(logits, labels, "mean")
        loss.backward()
        return loss.item()

    return step


def _ctc(logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    batch, steps, _ = logits.shape
    logit_lengths, label_lengths = (torch.full((batch,), n) for n in (steps, labels.shape[1]))
    probabilities = logits.log_softmax(-1).transpose(0, 1)
    return nn.functional.ctc_loss(
        probabilities, labels, logit_lengths, label_lengths, reduction=reduction
    )


def on_one_thread(call: Call) -> Call:
    """The same work on a single thread: where that is faster, PyTorch's threads get in each
    other's way, as they do when the machine is loaded."""

    def alone() -> object:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return call()
        finally:
            torch.set_num_threads(threads)

    return alone
