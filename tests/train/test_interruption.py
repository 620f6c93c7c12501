"""KeyboardInterrupt is raised once a garbage collection that would swallow it is over."""

import gc
import signal
import time

import pytest

from train.interruption import interrupts_heard


@pytest.fixture
def in_the_foreground():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def collection_that_is_interrupted():
    """A callback like JAX's, in which Ctrl-C comes once."""
    came = []

    def _xla_gc_callback(phase, info):
        if phase == "start" and not came:
            came.append(phase)
            signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(_xla_gc_callback)
    yield came
    gc.callbacks.remove(_xla_gc_callback)


@pytest.mark.usefixtures("in_the_foreground")
def test_one_in_a_garbage_collection_comes_later(collection_that_is_interrupted):
    def collect_and_wait():
        gc.collect()
        time.sleep(20)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interrupts_heard():
        collect_and_wait()
    assert collection_that_is_interrupted
    assert time.monotonic() - begun < 10


@pytest.mark.usefixtures("in_the_foreground")
def test_another_comes_at_once_and_the_handler_is_put_back():
    with pytest.raises(KeyboardInterrupt), interrupts_heard():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_one_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_heard():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
