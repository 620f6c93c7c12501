"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever it happens to be. In a callback of the garbage collector or
of a weak reference, both of which JAX has, it prints the exception and goes on. In an event loop
that is just being made, as Orbax makes one for every checkpoint, half a loop stays behind, whose
collection prints a traceback.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """A function for each turn of a loop: it raises a KeyboardInterrupt that was lost in here.

    The end of the block does so too. Within asyncio's code the first is not raised before that; a
    second is, in case that code waits for ever. Where SIGINT has a handler of its own, or is
    ignored as in a shell's background, that remains.
    """
    came = False
    around = _frames_in("asyncio", sys._getframe())  # a notebook runs in an event loop

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came_before, came = came, True
        if came_before or _frames_in("asyncio", frame) == around:
            raise KeyboardInterrupt

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _frames_in(package: str, frame: FrameType | None) -> int:
    """How many calls to code of the package lead there."""
    count = 0
    while frame is not None:
        count += frame.f_globals.get("__name__", "").partition(".")[0] == package
        frame = frame.f_back
    return count
