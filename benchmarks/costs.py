"""What XLA counts in a training step, for ``benchmarks.scaling``: arithmetic, bytes, exchange.

Compiled for one CPU device, and for eight virtual ones to see what they exchange. The networks
are compiled as other devices have them, with XLA's own convolutions.
"""

import dataclasses
import io
import math
import os
import re
import time
from collections.abc import Iterator
from typing import Any

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax
import numpy as np
import optax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun
from PIL import Image

from benchmarks.cases import Network
from benchmarks.plain import plain_flax
from data import Batches
from flax_models import CRNN, resnet50
from train import DataParallel, Supervised

NETWORKS = {
    "ResNet-50": Network(resnet50(), (8, 224, 224, 3), 1000),
    "captcha reader": Network(CRNN(37), (8, 48, 160, 1), 37),
}


def measure(network: Network) -> dict[str, float]:
    """Arithmetic and bytes of a step by example and by step, and what eight devices exchange."""
    few, many = (count(network, batch) for batch in (4, 8))
    costs = {}
    for name in few:
        each = (many[name] - few[name]) / 4
        costs |= {f"{name}_an_example": each, f"{name}_a_step": max(0.0, few[name] - 4 * each)}
    return costs | exchanged(network) | {"example": math.prod(network.shape[1:])}  # as uint8


def count(network: Network, batch: int) -> dict[str, float]:
    """Operations and bytes of one float32 step on one device.

    As XLA:CPU compiles and fuses it, but with XLA's own convolutions as other devices have. XLA
    counts the body of a loop once, so the other rounds are added.
    """
    network = dataclasses.replace(network, shape=(batch, *network.shape[1:]))
    with plain_flax():
        step, arguments = training_step(network)
        jaxpr = jax.make_jaxpr(step)(*arguments)
        total = cost(jax.jit(step, donate_argnums=0).lower(*arguments))
    for body, rounds in loops(jaxpr.jaxpr):
        once = cost(jax.jit(jaxpr_as_fun(body)).lower(*body.in_avals))
        total = {name: total[name] + (rounds - 1) * once[name] for name in total}
    return total | {"product_bytes": product_bytes(jaxpr.jaxpr)}


def training_step(network: Network) -> tuple[Any, tuple[Any, Any]]:
    """The step of SGD with momentum, and shapes of its state and batch."""
    task = Supervised(network.model, network.loss, optax.sgd(0.1, 0.9))
    batch = {
        name: jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))
        for name, array in network.batch().items()
    }
    return task.train_step, (jax.eval_shape(task.init, jax.random.PRNGKey(0), batch), batch)


def cost(lowered: jax.stages.Lowered) -> dict[str, float]:
    """``cost_analysis`` of what is compiled from it."""
    found = lowered.compile().cost_analysis()
    return {"flops": found.get("flops", 0.0), "bytes": found.get("bytes accessed", 0.0)}


def loops(jaxpr: Any) -> Iterator[tuple[ClosedJaxpr, int]]:
    """Bodies and lengths of all scans; none of ours lies within another."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["jaxpr"], equation.params["length"]
        else:
            for part in inside(equation):
                yield from loops(part)


def inside(equation: Any) -> Iterator[Jaxpr]:
    """What an equation of a jaxpr calls, as the body of a jitted function."""
    for parameter in jax.tree.leaves(list(equation.params.values())):
        if isinstance(parameter, ClosedJaxpr):
            yield parameter.jaxpr
        elif isinstance(parameter, Jaxpr):
            yield parameter


def product_bytes(jaxpr: Any) -> float:
    """Bytes of the operands and results of convolutions and matrix products.

    All that would pass to and from memory if everything else were fused into them.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            arrays = [variable.aval for variable in (*equation.invars, *equation.outvars)]
            total += sum(array.size * array.dtype.itemsize for array in arrays)
        rounds = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += rounds * sum(product_bytes(part) for part in inside(equation))
    return total


def exchanged(network: Network) -> dict[str, float]:
    """How many all-reduces eight devices make in a step, and of how many bytes."""
    parallel = DataParallel(network.shape[0])
    with plain_flax():
        step, arguments = training_step(network)
        compiled = parallel.compile(step, *arguments, donate=True)
    results = re.findall(r"= (.*?) all-reduce(?:-start)?\(", compiled.as_text())
    sizes = [
        sum(4 * math.prod(map(int, filter(None, shape.split(",")))) for shape in shapes)
        for shapes in (re.findall(r"[fsu]32\[([\d,]*)\]", result) for result in results)
    ]
    state, _ = arguments
    return {
        "all_reduces": len(sizes),
        "all_reduce_bytes": sum(sizes),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    }


def decoding(images: int = 100) -> float:
    """Seconds of one core that Pillow takes for a JPEG of 500 x 375 pixels, cut to 224 x 224."""
    noise = np.random.default_rng(0).normal(128, 40, (24, 32, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(file, "jpeg")
    begun = time.process_time()
    for _ in range(images):
        with Image.open(file) as image:
            np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
    return (time.process_time() - begun) / images


def gathering(network: Network, batches: int = 100) -> float:
    """Seconds of one core for an example of a random batch, out of 20,000 arrays in memory."""
    arrays = {"inputs": np.ones((20_000, *network.shape[1:]), np.uint8)}
    reader = Batches(arrays, 256, seed=0)
    reader[0]  # draws the order of the epoch
    begun = time.process_time()
    for number in range(batches):
        reader[number % reader.batches_per_epoch]
    return (time.process_time() - begun) / (batches * 256)
