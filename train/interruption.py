"""Ctrl-C that is heard wherever it comes."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SWALLOWS = "_xla_gc_callback"
"""JAX's part of a garbage collection: Python prints an exception in it and goes on."""

LATER = 0.05
"""Seconds, in which such a collection is over."""


@contextlib.contextmanager
def interrupts_heard() -> Iterator[None]:
    """In here SIGINT raises KeyboardInterrupt, and later if it would be swallowed now.

    Where SIGINT has a handler already, or is ignored as in a shell's background, that remains.
    """
    is_main = threading.current_thread() is threading.main_thread()
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not (is_main and is_usual):
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_name == SWALLOWS:
                threading.Timer(LATER, os.kill, (os.getpid(), number)).start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
