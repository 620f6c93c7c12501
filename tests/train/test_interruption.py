"""A KeyboardInterrupt that Python swallowed is raised at the next step of a loop."""

import asyncio
import contextlib
import gc
import signal
import sys

import jax
import numpy as np
import optax
import pytest

from data import Batches
from flax_models import MLP
from train import DataParallel, Supervised
from train.interruption import interruptible
from train.loop import Guard, Loop

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def in_the_foreground():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def swallowing_collection():
    """A garbage collection in which Ctrl-C comes, which Python then prints and forgets."""

    def interrupt_once(phase, info):
        gc.callbacks.remove(interrupt_once)
        signal.raise_signal(signal.SIGINT)

    def collect():
        gc.callbacks.append(interrupt_once)
        gc.collect()

    return collect


def squares(outputs, batch):
    return optax.squared_error(outputs[:, 0], batch["targets"])


@pytest.mark.usefixtures("in_the_foreground")
def test_training_ends_at_the_next_step(swallowing_collection):
    examples = {"inputs": np.ones((200, 3), np.float32), "targets": np.ones(200, np.float32)}
    loop = Loop(
        Supervised(MLP((2, 1)), squares, optax.sgd(0.1)), DataParallel(2, jax.devices()[:1])
    )
    state = loop.init(0, examples)
    looks = []

    def look(step, loss):
        looks.append(step)
        swallowing_collection()

    with pytest.raises(KeyboardInterrupt):
        loop.train(state, Batches(examples, 2, seed=0), range(100), Guard(), look)
    assert looks == [50]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("in_the_foreground")
def test_without_it_the_interrupt_is_lost(swallowing_collection, monkeypatch):
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: lost.append(what.exc_type))
    swallowing_collection()
    assert lost == [KeyboardInterrupt]


@pytest.mark.usefixtures("in_the_foreground")
def test_the_end_of_a_loop_is_early_enough(swallowing_collection):
    with pytest.raises(KeyboardInterrupt), interruptible():
        swallowing_collection()


@pytest.mark.usefixtures("in_the_foreground")
def test_one_that_comes_in_an_event_loop_waits_for_its_end():
    """Python would be left with half a loop, which prints a traceback when it is collected."""
    ended = []

    async def interrupted():
        signal.raise_signal(signal.SIGINT)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt), interruptible():
        asyncio.run(interrupted())
    assert ended


@pytest.mark.usefixtures("in_the_foreground")
def test_a_second_one_ends_an_event_loop_that_hangs():
    ended = []

    async def hung():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt), interruptible():
        asyncio.run(hung())
    assert not ended


@pytest.mark.usefixtures("in_the_foreground")
def test_a_loop_around_all_of_it_as_a_notebook_has_makes_none_wait():
    ended = []

    async def trained():
        with interruptible():
            signal.raise_signal(signal.SIGINT)
            ended.append(True)

    loop = asyncio.new_event_loop()
    with contextlib.closing(loop), pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(trained())
    assert not ended


@pytest.mark.usefixtures("in_the_foreground")
def test_another_comes_at_once():
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_one_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as check:
            signal.raise_signal(signal.SIGINT)
            check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
