"""Several processes watch one another, so that the death of one ends the others with a word."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import jax
import numpy as np
from jax._src.distributed import global_state  # where the coordinator is has no public name
from jax.experimental import multihost_utils

SECONDS_FOR_OWN_WORDS = 5
"""A process that fails says so; the others may be about to fail alike, with a better message."""

ENDED, FAILED, DIED = "has ended", "has failed", "has died"


class Peers:
    """A connection of every process to process 0, which the kernel closes when its owner dies.

    JAX's own runtime notices a dead process too, by missing heartbeats, but then aborts without
    a word that a person could use. Use it as a context manager around the run: leaving it in peace
    says that this process has ended, leaving it by an exception that it has failed.

    Args:
        last_words: from what happened to another process to the line that this one ends with.
    """

    def __init__(self, last_words: Callable[[str], str]):
        self._last_words = last_words
        self._connections: dict[int, socket.socket] = {}
        self.process, self.processes = jax.process_index(), jax.process_count()

    def __enter__(self) -> "Peers":
        if self.processes == 1:
            return self
        listener = socket.socket()
        if self.process == 0:
            listener.bind(("", 0))
            listener.listen(self.processes)
        port = int(multihost_utils.broadcast_one_to_all(np.int32(listener.getsockname()[1])))
        if self.process == 0:
            for _ in range(1, self.processes):
                connection, _ = listener.accept()
                self._connections[int(connection.recv(16))] = connection
        else:
            host = str(global_state.coordinator_address).rpartition(":")[0]
            connection = socket.create_connection((host.strip("[]"), port))
            connection.sendall(f"{self.process}\n".encode())
            self._connections[0] = connection
        listener.close()
        for other, connection in self._connections.items():
            _notice_lost_hosts(connection)
            threading.Thread(target=self._watch, args=(other, connection), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._connections:
            time.sleep(1)  # the failure may be that a process died, of which the watch knows more
        self._tell(ENDED if kind is None else FAILED)

    def _tell(self, word: str) -> None:
        for connection in self._connections.values():
            try:
                connection.sendall(f"{self.process} {word}\n".encode())
            except OSError:
                continue  # it is gone: others will hear that from the kernel

    def _watch(self, other: int, connection: socket.socket) -> None:
        try:
            with connection.makefile() as lines:
                for line in lines:
                    process, word = line.split(maxsplit=1)
                    if word.strip() != ENDED:
                        self._end(process, word.strip())
                    elif int(process) == other:
                        return
        except OSError:
            pass  # a lost host, by keep-alive
        self._end(str(other), DIED)

    def _end(self, process: str, word: str) -> None:
        """Pass it on, and end this process at once: it may hang in a collective operation."""
        if word == FAILED:
            time.sleep(SECONDS_FOR_OWN_WORDS)
        for connection in self._connections.values():
            try:
                connection.sendall(f"{process} {word}\n".encode())
            except OSError:
                continue
        line = self._last_words(f"process {process} of {self.processes} {word}")
        os.write(sys.stderr.fileno(), f"error: {line}\n".encode())
        os._exit(1)


def _notice_lost_hosts(connection: socket.socket) -> None:
    """Have the kernel ask after 10 silent seconds, and give up after three questions more."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
