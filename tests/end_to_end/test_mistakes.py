"""Every mistake of a user ends with exit 2, one helpful line, and nothing half-written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, assert_mistake, call, run

BOSTON = (ROOT / "data" / "embedded" / "boston.csv").read_text().splitlines()


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "run"
    yield folder
    assert not folder.exists(), "something was written"


def test_unknown_recipe(out):
    assert_mistake(["train", "mnits", "--out", out], "did you mean mnist?")


def test_no_recipe():
    assert_mistake(["train"], "name a recipe", "mnist")


def test_unknown_command():
    assert_mistake(["trian", "mnist"], "no command 'trian'", "train")


def test_misspelled_option(out):
    assert_mistake(["train", "mnist", "--out", out, "--epocs", "3"], "did you mean --epochs?")


def test_value_of_the_wrong_type(out):
    assert_mistake(["train", "mnist", "--out", out, "--epochs", "x"], "expected an integer", "'x'")


def test_batch_larger_than_the_data(out):
    arguments = ["train", "mnist", "--out", out, "--batch-size", "4008"]
    assert_mistake(arguments, "4008", "4000 training examples", "--batch-size 4000")


def test_batch_not_divisible_by_the_devices(out):
    arguments = ["train", "mnist", "--out", out, "--batch-size", "100"]
    assert_mistake(arguments, "not divisible by 8 devices", "--batch-size 96 or 104")


def test_batch_not_divisible_by_the_parts(out):
    arguments = ["train", "mnist", "--out", out, "--batch-size", "128", "--accumulate", "3"]
    assert_mistake(
        arguments, "8 devices times the 3 parts of --accumulate", "--batch-size 120 or 144"
    )


def test_a_step_that_takes_its_batch_whole(out):
    arguments = ["train", "sine", "--out", out, "--accumulate", "5"]
    assert_mistake(arguments, "accumulate 5", "takes its batch whole; leave it out")


def test_data_directory_without_the_data_set(out, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments = ["train", "mnist", "--out", out, "--source", "tfds", "--data-dir", empty]
    assert_mistake(arguments, "no prepared mnist", "--download")
    assert not list(empty.iterdir())


def test_a_file_where_the_data_directory_is_expected(out, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = [
        "train",
        "mnist",
        "--out",
        out,
        "--source",
        "tfds",
        "--data-dir",
        tmp_path / "file",
    ]
    assert_mistake(arguments, "a file; the data directory must be a folder")


def test_a_file_where_the_run_folder_is_expected(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert_mistake(["train", "mnist", "--out", tmp_path / "file"], "a file; --out needs a folder")
    assert_mistake(["train", "mnist", "--out", tmp_path / "file" / "x"], "--out needs a folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_written():
    assert_mistake(["train", "mnist", "--out", "/proc/flax-models"], "cannot be written", "--out")


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    assert_mistake(["train", "mnist", "--out", tmp_path], "not empty and not a run folder")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.fixture(scope="module")
def boston_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "boston"
    code, _, err = call(
        "train", "boston", "--out", folder, "--epochs", "2", "--cross-validate=false"
    )
    assert code == 0, err
    return folder


def test_a_run_folder_of_another_recipe(boston_run):
    before = sorted(boston_run.rglob("*"))
    assert_mistake(["train", "mnist", "--out", boston_run], "holds a run of boston, not of mnist")
    assert sorted(boston_run.rglob("*")) == before


def test_a_run_folder_of_other_settings(boston_run):
    arguments = ["train", "boston", "--out", boston_run, "--epochs", "3", "--cross-validate=false"]
    assert_mistake(arguments, "other settings: epochs 2 (now 3)", "another --out")


def test_eval_and_predict_without_a_run(tmp_path):
    assert_mistake(["eval", tmp_path], "not a run folder")
    assert_mistake(["predict", tmp_path, "x"], "not a run folder")
    assert_mistake(["eval"], "name a run folder")
    assert_mistake(["predict", tmp_path], "what to predict for")


def test_predict_for_a_table_that_lacks_a_column(boston_run, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("\n".join(line.split(",", 1)[1] for line in BOSTON))
    assert_mistake(["predict", boston_run, table], "no column crim")


def replace_cell(text):
    lines = BOSTON.copy()
    cells = lines[7].split(",")
    cells[5] = text
    lines[7] = ",".join(cells)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\n".join(line.rsplit(",", 1)[0] for line in BOSTON), ["no column medv"]),
        (replace_cell(""), ["line 8, column rm: empty cell"]),
        (replace_cell("nan"), ["line 8, column rm: 'nan' is not a finite number"]),
        (replace_cell("six"), ["line 8, column rm: 'six' is not a number"]),
        ("\n".join(BOSTON[:4]), ["3 rows; 5 folds need 10"]),
    ],
    ids=["missing column", "empty cell", "NaN", "word", "too few rows"],
)
def test_a_wrong_table(out, tmp_path, content, words):
    path = tmp_path / "table.csv"
    path.write_text(content)
    assert_mistake(["train", "boston", "--out", out, "--source", path], str(path), *words)


def test_captcha_without_images(out, tmp_path):
    arguments = ["train", "captcha", "--out", out, "--source"]
    assert_mistake([*arguments, tmp_path / "no.zip"], "no.zip: no such folder or zip of images")
    assert_mistake([*arguments, tmp_path], "0 readable images named by their label")
    assert_mistake([*arguments, "embedded"], "leave --source out")
    assert_mistake(["train", "captcha", "--out", out, "--height", "8"], "height 8: must be 15")
    assert_mistake(["train", "captcha", "--out", out, "--images", "3"], "images 3: 20 or more")


def test_a_traceback_only_on_request(out):
    with pytest.raises(ValueError, match="did you mean"):
        call("train", "mnits", "--out", out, "--debug")


def test_the_same_from_a_shell():
    """Through the interpreter's own exit code and streams."""
    done = run("train", "mnits")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: no recipe 'mnits'; did you mean mnist?\n"


def test_a_learning_rate_that_explodes(tmp_path):
    arguments = ["train", "mnist", "--learning-rate", "1e9", "--epochs", "30"]
    code, _, err = call(*arguments, "--out", tmp_path / "run")
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: the loss is not finite or has exploded since step ")
    assert "the last good loss was 2." in last
    assert "checkpoint" in last
    assert "Traceback" not in err


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    """A real file system of 3 MiB; mounting one needs root, or a user namespace of our own."""
    folder, script = tmp_path / "disk", tmp_path / "script.sh"
    folder.mkdir()
    script.write_text(
        f"""set -e
mount -t tmpfs -o size=3m tmpfs {folder}
cd {ROOT}
flax() {{ python -m train.cli "$@"; }}
code=0; flax train mnist --epochs 12 --hidden 256 --out {folder}/run || code=$?
echo "exit $code"
rm -f {folder}/ballast
mount -o remount,size=60m {folder}
flax eval {folder}/run
flax train mnist --epochs 12 --hidden 256 --out {folder}/run
"""
    )
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XLA_FLAGS": "",
    }
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", script],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert "exit 1" in done.stdout, done.stderr
    first, second = done.stderr.split("resumed at step", 1)
    error = next(line for line in first.splitlines() if line.startswith("error: "))
    assert "No space left" in error
    assert "stands" in error or "last good checkpoint" in error
    assert json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert done.returncode == 0, second
