"""Whether a Linen module and its torch twin are the same network, from the same weights."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax.traverse_util import flatten_dict

from flax_models.torch_weights import from_torch, to_torch

BatchNorm = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
torch.set_num_threads(1)


def images_first(array: np.ndarray) -> np.ndarray:
    """[batch, height, width, channels] as torch has it; what is not an image stays as it is."""
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def images_last(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def unchanged(array: np.ndarray) -> np.ndarray:
    return array


def randomise(twin: torch.nn.Module, twin_inputs: list[Any], seed: int = 0) -> None:
    """Random weights where the initialisation is constant, and random norm statistics.

    Two choices keep the comparison about the networks and not about rounding; without them torch's
    own float32 gradients of a ResNet-50 are a tenth away from its float64 ones. The statistics are
    those of the inputs times a random factor, since others let a deep network's numbers grow
    without bound. The norms' biases are near +4 or -4, so that hardly an activation lies at the
    kink of a ReLU, where the last digit decides whether a gradient passes.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in twin.modules() if isinstance(module, BatchNorm)]
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.numel() == 1 or parameter.std() < 1e-3:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for norm in norms:
            norm.bias += 4 * torch.randn(norm.bias.shape, generator=generator).sign()
            norm.momentum = None  # the running statistics become the next batch's
        twin.train()(*twin_inputs)
        for norm in norms:
            norm.momentum = 0.1
            shift = 0.3 * torch.randn(norm.running_mean.shape, generator=generator)
            norm.running_mean += shift * norm.running_var.sqrt()
            norm.running_var *= 0.5 + torch.rand(norm.running_var.shape, generator=generator)


def assert_close(got: Any, want: Any, tolerance: float, name: str, floor: float = 0.0) -> None:
    """`got` is within `tolerance` of `want`, relative to its largest entry (at least `floor`)."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, torch has {want.shape}"
    assert np.isfinite(want).all(), f"{name}: torch's numbers are not finite"
    scale = max(np.abs(want).max(initial=0.0), floor)
    difference = np.abs(got - want).max(initial=0.0)
    assert difference <= tolerance * scale, f"{name}: differs by {difference:.3g} of {scale:.3g}"


def assert_trees_close(
    got: Any, want: Any, tolerance: float, name: str, floor: float = 0.0
) -> None:
    got, want = flatten_dict(got, sep="/"), flatten_dict(want, sep="/")
    assert got.keys() == want.keys()
    for path in want:
        assert_close(got[path], want[path], tolerance, f"{name} {path}", floor)


def assert_round_trip(model: nn.Module, state_dict: dict[str, Any], *inputs: Any) -> None:
    """torch -> flax -> torch -> flax, bit for bit in both directions."""
    variables = from_torch(state_dict, model, *inputs)
    back = to_torch(variables, model)
    wanted = {k: np.asarray(v) for k, v in state_dict.items() if "num_batches_tracked" not in k}
    assert back.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)
    again = flatten_dict(from_torch(back, model, *inputs))
    for path, leaf in flatten_dict(variables).items():
        np.testing.assert_array_equal(again[path], leaf, err_msg=str(path))


def check_parity(
    model: nn.Module,
    twin: torch.nn.Module,
    *inputs: Any,
    to_twin: Callable[[np.ndarray], np.ndarray] = images_first,
    from_twin: Callable[[np.ndarray], np.ndarray] = images_last,
    steps: int = 10,
    learning_rate: float | None = None,
    seed: int = 0,
) -> None:
    """Outputs, gradients, running statistics, ten SGD steps and the round trip of the weights.

    `inputs` are NumPy arrays (or None) in the Linen module's layout; `to_twin` and `from_twin` move
    inputs and outputs to the twin's and back.
    """
    twin_inputs = [None if x is None else torch.from_numpy(to_twin(x).copy()) for x in inputs]
    randomise(twin, twin_inputs, seed)
    initial = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    variables = from_torch(initial, model, *inputs)
    assert_round_trip(model, initial, *inputs)
    parity = _Parity(model, twin, inputs, twin_inputs, to_twin, from_twin)

    outputs, loss, gradients = parity.evaluate(variables)
    twin.eval()
    twin_outputs, twin_loss = parity.twin_pass()
    for index, (got, want) in enumerate(zip(outputs, twin_outputs, strict=True)):
        assert_close(got, want, 1e-5, f"output {index}")
    assert_close(loss, twin_loss, 1e-5, "loss")
    parity.assert_gradients(gradients, "evaluation gradient")

    twin.train()
    losses, twin_losses = [], []
    for step in range(steps):
        loss, gradients, updated = parity.train(variables)
        losses.append(float(loss))
        twin_losses.append(float(parity.twin_pass()[1]))
        if step == 0:
            parity.assert_gradients(gradients, "training gradient")
            state = from_torch(twin.state_dict(), model, *inputs)
            assert_trees_close(
                updated.get("batch_stats", {}), state.get("batch_stats", {}), 1e-5, "statistics"
            )
            learning_rate = learning_rate or _gentle_rate(losses[0], gradients)
        params = _descend(variables["params"], gradients, learning_rate)
        variables = {**variables, **updated, "params": params}
        with torch.no_grad():
            for parameter in twin.parameters():
                if parameter.grad is not None:
                    parameter -= learning_rate * parameter.grad
    assert losses[-1] < 0.95 * losses[0], f"ten steps of SGD hardly changed the loss: {losses}"
    np.testing.assert_allclose(losses, twin_losses, rtol=1e-4)


def check_parity_in_double(model: nn.Module, twin: torch.nn.Module, *inputs: Any) -> None:
    """The same in float64, for networks so deep that torch's own float32 gradients are a part in a
    hundred away from its float64 ones, and prove nothing.
    """
    with jax.enable_x64(True):
        model = model.clone(dtype=jnp.float64, param_dtype=jnp.float64)
        check_parity(model, twin.double(), *(x.astype(np.float64) for x in inputs))


def _gentle_rate(loss, gradients):
    """The rate at which, to first order, a step takes a twentieth off the loss."""
    squares = sum(float(np.square(leaf).sum()) for leaf in jax.tree.leaves(gradients))
    return 0.05 * loss / squares


@jax.jit
def _descend(params, gradients, learning_rate):
    return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradients)


class _Parity:
    """Both networks' passes over one batch, with the squared error to fixed random targets."""

    def __init__(self, model, twin, inputs, twin_inputs, to_twin, from_twin):
        self.model, self.twin, self.inputs = model, twin, inputs
        self.twin_inputs, self.from_twin = twin_inputs, from_twin
        with torch.no_grad():
            outputs = jax.tree.leaves(twin.eval()(*twin_inputs))
        shapes = [from_twin(output.numpy()).shape for output in outputs]
        generator = np.random.default_rng(1)
        precision = outputs[0].numpy().dtype
        self.targets = [generator.normal(size=shape).astype(precision) for shape in shapes]
        self.twin_targets = [torch.from_numpy(to_twin(target).copy()) for target in self.targets]
        self.takes_train = "train" in inspect.signature(type(model).__call__).parameters
        options = {"xla_backend_optimization_level": 0}  # halves the time to compile
        self.evaluate = jax.jit(self._evaluate, compiler_options=options)
        self.train = jax.jit(self._train, compiler_options=options)

    def _loss(self, params, rest, train):
        options = {"train": train} if self.takes_train else {}
        outputs, updated = self.model.apply(
            {"params": params, **rest}, *self.inputs, **options, mutable=["batch_stats"]
        )
        outputs = jax.tree.leaves(outputs)
        loss = sum(
            jnp.square(output - target).mean()
            for output, target in zip(outputs, self.targets, strict=True)
        )
        return loss, (outputs, updated)

    def _evaluate(self, variables):
        (loss, (outputs, _)), gradients = self._gradients(variables, train=False)
        return outputs, loss, gradients

    def _train(self, variables):
        (loss, (_, updated)), gradients = self._gradients(variables, train=True)
        return loss, gradients, updated

    def _gradients(self, variables, train):
        rest = {name: tree for name, tree in variables.items() if name != "params"}
        return jax.value_and_grad(self._loss, has_aux=True)(variables["params"], rest, train)

    def twin_pass(self):
        self.twin.zero_grad()
        outputs = jax.tree.leaves(self.twin(*self.twin_inputs))
        loss = sum(
            torch.square(output - target).mean()
            for output, target in zip(outputs, self.twin_targets, strict=True)
        )
        loss.backward()
        return [self.from_twin(output.detach().numpy()) for output in outputs], loss.item()

    def assert_gradients(self, gradients, name):
        """Every parameter's within 1e-4 of its own largest entry.

        A difference of 1e-7 of the network's largest gradient is rounding: it is all that there is
        in the gradient of a bias that a norm takes away.
        """
        tensors = self.twin.state_dict()
        for key, parameter in self.twin.named_parameters():
            missing = parameter.grad is None
            tensors[key] = torch.zeros_like(parameter) if missing else parameter.grad
        want = from_torch(tensors, self.model, *self.inputs)["params"]
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(want))
        assert largest > 0
        assert_trees_close(gradients, want, 1e-4, name, floor=1e-3 * largest)
