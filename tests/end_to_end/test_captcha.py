"""Reading text in images, on pictures of two digits that a small run learns in seconds."""

import json

import numpy as np
import pytest
from command import answers, assert_complete, run, summary, train
from two_digits import OPTIONS, TEXTS, draw_folder, picture


@pytest.fixture(scope="module")
def captcha(tmp_path_factory):
    folder = draw_folder(tmp_path_factory.mktemp("captcha") / "images", None)
    (folder / "22_broken.png").write_text("no image")
    return train(tmp_path_factory, "captcha", "--source", folder, *OPTIONS)


def test_texts_are_read(captcha):
    folder, done = captcha
    assert_complete("captcha", {"learning_curves", "posteriors", "readings"}, folder, done)
    metrics = summary(folder)["metrics"]
    assert metrics["test/exact_match"] > 0.9
    assert metrics["test/cer"] < 0.1
    assert 0.3 < metrics["test/blank_rate"] < 0.8
    assert summary(folder)["data"] == "images, 180 images"
    assert "left out 22_broken.png: not a readable image" in done.stderr


def test_eval_repeats_the_test_metrics(captcha):
    done = run("eval", captcha[0])
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    for name in ("test/loss", "test/exact_match", "test/cer"):
        assert measured[name] == pytest.approx(summary(captcha[0])["metrics"][name], rel=1e-6)


def test_files_of_any_size_and_mode_are_read(captcha, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    for number, (text, path) in enumerate(zip(TEXTS, paths, strict=True)):
        image = picture(text, 1000 + number).resize((64 + number, 32))
        image.convert("RGB" if number % 2 else "L").save(path)
    given = answers(captcha[0], *paths)
    assert [answer["input"] for answer in given] == list(map(str, paths))
    assert sum(answer["text"] == text for answer, text in zip(given, TEXTS, strict=True)) >= 8
    assert all(0 <= answer["confidence"] <= 1 for answer in given)
    assert np.mean([answer["confidence"] for answer in given]) > 0.7


def test_what_is_not_an_image_is_named(captcha, tmp_path):
    path = tmp_path / "letter.png"
    path.write_text("no image")
    done = run("predict", captcha[0], path)
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: not a readable image\n"


def test_shuffled_labels_stay_at_chance(captcha, tmp_path, tmp_path_factory):
    """The same pipeline on labels of other images reads one in nine, so no label leaks."""
    shuffled = np.random.default_rng(0).permutation([text for text in TEXTS for _ in range(20)])
    images = draw_folder(tmp_path / "shuffled", list(shuffled))
    folder, _ = train(tmp_path_factory, "captcha", "--source", images, *OPTIONS)
    assert summary(folder)["metrics"]["test/exact_match"] < 0.35
    assert summary(captcha[0])["metrics"]["test/exact_match"] > 0.9
