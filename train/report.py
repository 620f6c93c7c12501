"""Progress for a person: a bar on a terminal or in a notebook, plain lines in a log file."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0
"""In a log file, where no bar can be redrawn."""


class Reporter:
    """Writes to stderr, so that stdout holds results alone.

    Args:
        stream: where to write; default stderr.
        quiet: write nothing, as in all processes but the main one.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False):
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self._can_redraw = self.stream.isatty() or _in_notebook()
        self._bar: tqdm | None = None
        self._last_line = time.monotonic()
        self._steps = 0

    def line(self, text: str) -> None:
        """One line that stays."""
        self._last_line = time.monotonic()
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def start(self, name: str, step: int, steps: int) -> None:
        """Begin to show progress from ``step`` of ``steps``."""
        self._steps = steps
        if self._can_redraw and not self.quiet:
            self._bar = tqdm(
                desc=name, initial=step, total=steps, unit="step", file=self.stream, leave=False
            )

    def progress(self, step: int, loss: float) -> None:
        """Show where training stands."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            self._bar.update(step - self._bar.n)
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self.line(f"step {step}/{self._steps}  loss {loss:.4g}")

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _in_notebook() -> bool:
    """Whether this program is a notebook's kernel, rather than one that only imported its parts."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def in_words(record: dict[str, float]) -> str:
    """An evaluation as one line, as ``step 430  epoch 1  train/loss 0.35``."""
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in record.items()
    )
