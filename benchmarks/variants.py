"""The calls that are timed against one another, checked to do the same before a clock starts."""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.cases import CASES, Call, Ctc, Network
from benchmarks.elsewhere import ONE_CORE, PLAIN, Elsewhere
from benchmarks.twins import Twin, ctc_call, first_weights, on_one_thread


def variants(name: str, with_compile: bool = True) -> Iterator[tuple[str, dict[str, Call]]]:
    """For each mode of a case: calls by name, those of PyTorch beginning with ``torch``.

    Raises:
        AssertionError: they do not all have the same loss.
    """
    case = CASES[name]
    if isinstance(case, Ctc):
        torch_step = ctc_call(case)
        one_core = Elsewhere(name, ONE_CORE)
        steps = {
            "ours": case.train("fast"),
            ONE_CORE: one_core.variant("train"),
            "optax": case.train("optax"),
            "torch eager": torch_step,
        }
        check_equal({name: step() for name, step in steps.items()})
        yield "train", {**steps, "torch one thread": on_one_thread(torch_step)}
        one_core.close()
        return
    yield from _of_network(name, case, with_compile)


def _of_network(
    name: str, case: Network, with_compile: bool
) -> Iterator[tuple[str, dict[str, Call]]]:
    weights, variables = first_weights(name)
    twins = {"torch eager": Twin(name, weights)}
    if case.has_images:
        twins["torch channels-last"] = Twin(name, weights, torch.channels_last)
    if with_compile:
        twins["torch compile"] = Twin(name, weights, compiled=True)
    one_thread = Twin(name, weights)
    # Convolutions gain by a second core, always; the other networks have no levers to be without.
    kind = PLAIN if case.convolves else ONE_CORE
    elsewhere = Elsewhere(name, kind)
    if "train" in case.modes:
        steps = {"ours": case.train(variables), kind: elsewhere.variant("train")}
        steps |= {key: twin.train for key, twin in twins.items()}
        check_equal({key: step() for key, step in steps.items()})
        yield "train", {**steps, "torch one thread": on_one_thread(one_thread.train)}
    if "infer" in case.modes:
        calls: dict[str, Call] = {
            "ours": case.infer(variables),
            kind: elsewhere.variant("infer"),
        }
        calls |= {key: twin.infer for key, twin in twins.items()}
        calls["torch one thread"] = on_one_thread(one_thread.infer)
        yield "infer", calls
    elsewhere.close()


def check_equal(losses: dict[str, float], tolerance: float = 1e-4) -> None:
    """Raise an AssertionError unless all losses are equal up to rounding."""
    values = np.array(list(losses.values()))
    assert np.allclose(values, values[0], rtol=tolerance), f"unequal losses {losses}"
