"""What a run records can be read by TensorBoard and by a person, and survives a resume."""

import io

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.log import RunLog
from train.report import Reporter, in_words
from train.run_folder import read_history


@pytest.fixture
def quiet():
    return Reporter(quiet=True)


def record(step):
    return {"step": step, "train/loss": 1.0 / step}


def test_tensorboard_reads_the_scalars(tmp_path, quiet):
    log = RunLog(tmp_path, 0, quiet, is_main=True)
    for step in (10, 20, 30):
        log.evaluation(record(step))
    log.close()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    points = [(point.step, point.value) for point in events.Scalars("train/loss")]
    np.testing.assert_allclose(points, [(s, 1 / s) for s in (10, 20, 30)], rtol=1e-6)


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path, quiet):
    first = RunLog(tmp_path, 0, quiet, is_main=True)
    for step in (10, 20, 30):
        first.evaluation(record(step))
    first.close()
    second = RunLog(tmp_path, 20, quiet, is_main=True)
    second.evaluation(record(31))
    second.close()
    assert [line["step"] for line in read_history(tmp_path)] == [10, 20, 31]
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [point.step for point in events.Scalars("train/loss")] == [10, 20, 31]


def test_a_torn_last_line_is_left_out(tmp_path, quiet):
    log = RunLog(tmp_path, 0, quiet, is_main=True)
    log.evaluation(record(10))
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "train/l')
    assert read_history(tmp_path) == [record(10)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(stream):
    reporter = Reporter(stream)
    reporter.start("mnist", 0, 100)
    for step in (50, 100):
        reporter.progress(step, 0.25)
    reporter.line(in_words({"step": 100, "train/loss": 0.25}))
    reporter.stop()
    return stream.getvalue()


def test_a_log_file_holds_no_control_characters():
    assert progress(io.StringIO()) == "step 100  train/loss 0.25\n"


def test_a_terminal_sees_a_bar():
    text = progress(Terminal())
    assert "\r" in text
    assert "mnist" in text
    assert "loss 0.25" in text
    assert "step 100  train/loss 0.25\n" in text


def test_a_log_file_hears_of_a_long_silence(monkeypatch):
    monkeypatch.setattr("train.report.SECONDS_BETWEEN_LINES", 0.0)
    assert progress(io.StringIO()).startswith("step 50/100  loss 0.25\nstep 100/100  loss 0.25\n")
