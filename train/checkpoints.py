"""Checkpoints by Orbax, sealed by a digest of every file.

Orbax survives a kill in the middle of saving, and a truncated file makes it raise; but a flipped
byte loads silently wrong. So each checkpoint carries ``digest.json`` with the SHA-256 of its files,
written last: a checkpoint without one was not finished, one that differs from it is damaged.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from train.errors import RunError
from train.parallel import DataParallel
from train.run_folder import write_json

DIGEST = "digest.json"


class Checkpoints:
    """The two latest checkpoints of a run and the best one, below ``folder``.

    Opening moves every damaged or unfinished checkpoint into ``rejected`` beside the folder and
    says so through ``report``.
    """

    def __init__(self, folder: Path, parallel: DataParallel, report: Callable[[str], None]):
        from orbax.checkpoint import v1 as orbax  # a third of a second: only a run needs it

        self.folder, self.parallel = folder.absolute(), parallel
        if parallel.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._reject_damaged(report)
        parallel.wait("checkpoints checked")
        policies = orbax.training.preservation_policies
        self._orbax = orbax.training.Checkpointer(
            self.folder,
            cleanup_tmp_directories=True,
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(2), policies.BestN(get_metric_fn=_score, n=1)]
            ),
        )

    def latest_step(self) -> int | None:
        """Step of the newest good checkpoint."""
        latest = self._orbax.latest
        return None if latest is None else latest.step

    def restore(self, template: PyTree) -> tuple[PyTree, dict[str, Any]]:
        """State and progress of the newest good checkpoint, on this run's devices.

        The number of devices and processes may differ from those that saved it, and so may FSDP.
        """
        step = self.latest_step()
        assert step is not None, "restore was called without a checkpoint"
        abstract = jax.tree.map(
            lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout),
            template,
            self.parallel.layout(template),
        )
        state = self._orbax.load_checkpointables(step, {"state": abstract})["state"]
        metadata = self._orbax.checkpointables_metadata(step).custom_metadata
        return state, metadata["progress"]

    def save(self, step: int, state: PyTree, progress: dict[str, Any], score: float) -> None:
        """Write and seal a checkpoint; ``score`` is higher for a better one.

        Raises:
            RunError: it could not be written; the checkpoints before it stand.
        """
        before = self.latest_step()
        try:
            self._orbax.save_checkpointables(
                step,
                {"state": state},
                force=True,
                metrics={"score": score if math.isfinite(score) else -math.inf},
                custom_metadata={"progress": progress},
            )
            if self.parallel.is_main:
                seal(self.folder / str(step))
        except Exception as error:  # a full disk arrives as OSError or inside Orbax's own types
            kept = "no checkpoint" if before is None else f"the checkpoint of step {before}"
            raise RunError(
                f"the checkpoint of step {step} could not be written ({_first_line(error)}); "
                f"{kept} stands; free some space and run the same command again"
            ) from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._orbax.close()

    def _reject_damaged(self, report: Callable[[str], None]) -> None:
        steps = sorted((path for path in self.folder.iterdir() if path.name.isdigit()), key=_number)
        damage = {path: damage for path in steps if (damage := find_damage(path))}
        sound = [path.name for path in steps if path not in damage]
        fallback = f"falling back to step {sound[-1]}" if sound else "starting from the beginning"
        rejected = self.folder.parent / "rejected"
        for path, reason in damage.items():
            rejected.mkdir(exist_ok=True)
            copies = len(list(rejected.iterdir()))
            path.rename(rejected / f"{path.name}-{copies}")
            report(f"rejected the checkpoint of step {path.name}: {reason}; {fallback}")


def latest_in_words(run_folder: Path) -> str:
    """Which checkpoint a run can go on from, for a message."""
    folders = (run_folder / "checkpoints").glob("*")
    steps = [int(path.name) for path in folders if path.name.isdigit()]
    if not steps:
        return "no checkpoint had been saved"
    return f"the last good checkpoint is {run_folder / 'checkpoints' / str(max(steps))}"


def seal(checkpoint: Path) -> None:
    """Write the digest of a finished checkpoint."""
    write_json(checkpoint / DIGEST, _digests(checkpoint))


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        expected = json.loads((checkpoint / DIGEST).read_text())
    except FileNotFoundError:
        return "it was not finished"
    except ValueError:
        return f"{DIGEST} is damaged"
    found = _digests(checkpoint)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if found[name] != expected.get(name):
            return f"{name} is damaged"
    return None


def _digests(checkpoint: Path) -> dict[str, str]:
    files = (path for path in checkpoint.rglob("*") if path.is_file() and path.name != DIGEST)
    return {
        path.relative_to(checkpoint).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]


def _number(path: Path) -> int:
    return int(path.name)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
