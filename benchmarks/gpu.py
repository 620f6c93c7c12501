"""The table on a GPU: ``python -m benchmarks.gpu [NAME...] [--json FILE] [--minutes 8.5]``.

Each network in float32 and in bfloat16 (parameters stay float32), against PyTorch eager and
channels-last on the same device: its recurrent layers are cuDNN's. Needs jax, flax, optax and torch
with CUDA, and no network. ``torch.compile``, which takes minutes for all of these, is asked for by
``--compile``. With ``--device cpu`` it runs anywhere, to see that it does.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator

# torch needs memory on the same device
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import torch

from benchmarks.cases import CASES, Call, Ctc, Network
from benchmarks.measure import compare, interleave
from benchmarks.twins import Twin, ctc_call, first_weights
from benchmarks.variants import check_equal

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""Of the losses of both sides before a clock starts; a GPU's float32 products are TF32 at times."""


def main() -> int:
    """Measure until the time is up; one line a row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="append one object a row")
    parser.add_argument("--minutes", type=float, default=8.5, help="begin no row after these")
    parser.add_argument("--blocks", type=int, default=9, help="short blocks a variant")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if options.device == "cuda":
        if jax.default_backend() != "gpu" or not torch.cuda.is_available():
            parser.error("jax and torch must both see a GPU; --device cpu runs without one")
        # both sides may round float32 products to TF32, as JAX does by default
        torch.backends.cuda.matmul.allow_tf32 = True
    begun = time.monotonic()
    for name in options.names or CASES:
        for precision in ("float32", "bfloat16"):
            if time.monotonic() - begun > 60 * options.minutes:
                print(f"{options.minutes} minutes are up before {name} in {precision}")
                return 0
            for mode, calls in variants(name, precision, options.device, options.compile):
                row = measure(name, mode, precision, calls, options.blocks)
                print(in_words(row), flush=True)
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps(row) + "\n")
    return 0


def variants(
    name: str, precision: str, device: str, with_compile: bool
) -> Iterator[tuple[str, dict[str, Call]]]:
    """For each mode of a case: calls by name, those of PyTorch beginning with ``torch``.

    Raises:
        AssertionError: they do not all have the same loss.
    """
    case = CASES[name]
    if isinstance(case, Ctc):
        if precision == "float32":  # both sides compute it in float32 whatever the logits are
            steps = {
                "ours": case.train("fast"),
                "optax": case.train("optax"),
                "torch eager": ctc_call(case, device),
            }
            check_equal({key: step() for key, step in steps.items()}, TOLERANCE[precision])
            yield "train", dict(steps)
        return
    rough = precision == "bfloat16"
    weights, variables = first_weights(name)
    ours: Network = case.in_bfloat16() if rough else case
    on_device = {"device": device, "bfloat16": rough}
    twins = {"torch eager": Twin(name, weights, **on_device)}  # type: ignore[arg-type]
    if case.has_images:
        twins["torch channels-last"] = Twin(name, weights, torch.channels_last, **on_device)  # type: ignore[arg-type]
    if with_compile:
        twins["torch compile"] = Twin(name, weights, compiled=True, **on_device)  # type: ignore[arg-type]
    if "train" in case.modes:
        steps = {"ours": ours.train(variables)} | {key: twin.train for key, twin in twins.items()}
        check_equal({key: step() for key, step in steps.items()}, TOLERANCE[precision])
        yield "train", dict(steps)
    yield "infer", {"ours": ours.infer(variables)} | {key: t.infer for key, t in twins.items()}


def measure(name: str, mode: str, precision: str, calls: dict[str, Call], blocks: int) -> dict:
    """One row: medians in milliseconds, and the ratio to the fastest torch."""
    return {
        "name": name,
        "mode": mode,
        "precision": precision,
        "device": jax.devices()[0].device_kind,
        **compare(interleave(calls, blocks)),
    }


def in_words(row: dict) -> str:
    """A row as a line."""
    medians = ", ".join(f"{name} {value:.3g}" for name, value in row["milliseconds"].items())
    low, high = row["ratio_quartiles"]
    return (
        f"{row['name']:12} {row['mode']:6} {row['precision']:9} ratio {row['ratio']:.2f} "
        f"[{low:.2f}, {high:.2f}] to {row['fastest_torch']}; ms: {medians}"
    )


if __name__ == "__main__":
    sys.exit(main())
