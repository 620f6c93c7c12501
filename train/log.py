"""What a run records: ``metrics.jsonl``, TensorBoard's event files, and a line for a person."""

import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from train.report import Reporter, in_words
from train.run_folder import append_history, read_history, write_history


class RunLog:
    """Records evaluations of a run that begins, or goes on, at ``first_step``.

    What an interrupted run recorded after that step is dropped.

    Args:
        folder: the run folder.
        first_step: 0, or the step of the checkpoint that was restored.
        reporter: shows each evaluation.
        is_main: whether this process writes files.
    """

    def __init__(self, folder: Path, first_step: int, reporter: Reporter, is_main: bool):
        self._folder, self._reporter = folder, reporter
        self._events: EventFile | None = None
        if is_main:
            write_history(folder, read_history(folder, first_step))
            self._events = EventFile(folder / "events", first_step)

    def evaluation(self, record: dict[str, float]) -> None:
        """Record the metrics of one evaluation; ``step`` is among them."""
        self._reporter.line(in_words(record))
        if self._events is not None:
            append_history(self._folder, record)
            self._events.scalars(int(record["step"]), record)

    def close(self) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()


class EventFile:
    """TensorBoard's scalars by step in a new file below ``folder``, without TensorFlow.

    The file begins with a mark by which TensorBoard drops what an interrupted run logged after
    ``first_step``.
    """

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._write(Event(step=first_step + 1, session_log=start))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Log values at a step."""
        summary = Summary(
            value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        )
        self._write(Event(step=step, summary=summary))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._file.flush()
