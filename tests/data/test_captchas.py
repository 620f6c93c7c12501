import itertools
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw

from data import DataError, decode_text, drawn_captchas, fit_image, load_captchas
from data.captcha_drawing import CHARACTERS, draw_captcha, draw_captcha_as_png

COLUMNS_A_STEP = 4


TEXTS = ["".join(letters) for letters in itertools.product("abc", repeat=3)]


def picture_of(text, width=40):
    image = Image.new("L", (width, 24), 255)
    ImageDraw.Draw(image).text((2, 6), text, fill=0)
    return image


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "captchas"
    folder.mkdir()
    for text in TEXTS:
        picture_of(text).save(folder / f"{text}.png")
    return folder


def load(source, **options):
    return load_captchas(str(source), 24, COLUMNS_A_STEP, **{"images": 20, **options})


def texts(examples):
    return [decode_text(points) for points in examples["targets"]]


def test_a_captcha_is_a_function_of_its_seed():
    drawn, again = (dict(draw_captcha(f"seed {number}") for number in range(24)) for _ in range(2))
    assert drawn == again
    assert len(drawn) == 24
    assert all(4 <= len(text) <= 6 and set(text) <= set(CHARACTERS) for text in drawn)
    assert all(image.size == (160, 60) for image in drawn.values())


def test_drawn_captchas_are_prepared_once_as_a_tfds_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    splits = load("generated", data_dir=str(tmp_path / "prepared"), images=200)
    assert splits.source == "drawn_captchas/200/1.0.0"
    assert [len(part["inputs"]) for part in splits[:3]] == [200, 20, 20]
    assert splits.train["inputs"].shape[1:] == (24, 64, 1)
    everything = [text for part in splits[:3] for text in texts(part)]
    assert len(set(everything)) == 240  # a text drawn twice is a chance of one in 10,000

    built = tfds.builder_from_directory(tmp_path / "prepared" / "drawn_captchas" / "200" / "1.0.0")
    by_text = {example["text"].decode(): example for example in built.as_data_source("test")}
    image = Image.fromarray(by_text[texts(splits.test)[0]]["image"][..., 0])
    np.testing.assert_array_equal(splits.test["inputs"][0], fit_image(image, 24))

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared").rglob("*")}
    again = load("generated", data_dir=str(tmp_path / "prepared"), images=200)
    np.testing.assert_array_equal(again.train["inputs"], splits.train["inputs"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared").rglob("*")} == before


def test_a_folder_and_a_zip_of_it_are_the_same(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "captchas.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"inside/{path.name}")
    one, other = load(folder), load(tmp_path / "captchas.zip")
    for ours, theirs in zip(one[:3], other[:3], strict=True):
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert sorted(text for part in one[:3] for text in texts(part)) == sorted(TEXTS)
    assert [len(part["inputs"]) for part in one[:3]] == [20, 3, 4]
    picture = fit_image(picture_of(texts(one.train)[0]), 24)
    np.testing.assert_array_equal(one.train["inputs"][0], picture)


def test_several_images_of_one_text(folder):
    picture_of("abc").save(folder / "abc_2.png")
    splits = load(folder)
    assert sum(text == "abc" for part in splits[:3] for text in texts(part)) == 2


def test_broken_images_are_left_out_and_named(folder, caplog):
    (folder / "cab.png").write_bytes((folder / "cab.png").read_bytes()[:100])
    (folder / "bca.png").write_text("no image")
    (folder / "_7.png").write_bytes((folder / "abc.png").read_bytes())
    (folder / "notes.txt").write_text("not an image, and not named like one")
    splits = load(folder)
    assert sum(len(part["inputs"]) for part in splits[:3]) == len(TEXTS) - 2
    assert sorted(record.getMessage() for record in caplog.records) == [
        "left out _7.png: no text before the underscore of its name",
        "left out bca.png: not a readable image",
        "left out cab.png: not a readable image",
    ]


def test_images_of_other_proportions_are_continued_or_squeezed():
    image = Image.fromarray(np.arange(20, 180, dtype=np.uint8).reshape(8, 20))
    wide = fit_image(image, 8, 30)
    assert wide.shape == (8, 30, 1)
    np.testing.assert_array_equal(wide[:, :20, 0], np.asarray(image))
    assert (wide[:, 20:] == wide[:, 19:20]).all()
    assert fit_image(image, 8, 12).shape == (8, 12, 1)
    assert fit_image(image, 16).shape == (16, 40, 1)


def test_a_text_too_long_for_its_image(folder):
    picture_of("abc", width=26).save(folder / "abbbbba.png")  # 7 steps, and 4 between the equal
    with pytest.raises(DataError, match=r"'abbbbba' is too long for images 40 pixels.* be 44 or m"):
        load(folder)


def test_a_character_that_no_training_image_has(folder):
    names = sorted(path.name for path in folder.iterdir())
    tested = names[np.random.default_rng(0).permutation(len(names))[0]]
    (folder / tested).rename(folder / f"{Path(tested).stem}é.png")  # the order of names stays
    with pytest.raises(DataError, match="captchas, 27 images: 'é' in the test part and never in"):
        load(folder)


def test_all_cores_draw_the_same_as_one(monkeypatch):
    monkeypatch.setattr(drawn_captchas, "PART", 400)
    by_processes = list(drawn_captchas.draw_split("a split", drawn_captchas.WORTH_PROCESSES))
    assert len(by_processes) == drawn_captchas.WORTH_PROCESSES
    for number in range(0, drawn_captchas.WORTH_PROCESSES, 97):
        assert by_processes[number] == draw_captcha_as_png(f"a split {number}")


def test_a_script_without_a_guard_runs_once(tmp_path):
    """Drawing starts processes, which must not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from data import drawn_captchas\n"
        "print(sum(1 for _ in drawn_captchas.draw_split('a split', 1001)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1001\n", "")


def test_no_folder_no_images_and_too_few(folder, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder or zip of images named by"):
        load(tmp_path / "nowhere")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match=r"text\.zip: no such folder or zip"):
        load(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(DataError, match=r"none\.zip: 0 readable images named by their label; 10"):
        load(tmp_path / "none.zip")
    for path in sorted(folder.iterdir())[:18]:
        path.unlink()
    with pytest.raises(DataError, match="captchas: 9 readable images"):
        load(folder)
    with pytest.raises(DataError, match="images 19: 20 or more"):
        load("generated", images=19)
