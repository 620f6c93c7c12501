"""Finding cells, on small simulated pictures that a small run learns in seconds."""

import numpy as np
import pytest
from cell_pictures import draw_cells
from command import (
    answers,
    assert_complete,
    assert_eval_repeats,
    assert_mistake,
    run,
    summary,
    train,
)
from PIL import Image

from data.cells import simulate_cells
from train.segmentation import dice_and_iou

OPTIONS = [
    "--crop=32",
    "--width=8",
    "--depth=2",
    "--batch-size=8",
    "--epochs=40",
    "--evaluate-every=20",
]


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    folder = draw_cells(tmp_path_factory.mktemp("cells") / "cells")
    (folder / "images" / "broken.png").write_text("no image")
    (folder / "masks" / "broken.png").write_text("no image")
    return train(tmp_path_factory, "unet", "--source", folder, "--learning-rate=1e-2", *OPTIONS)


def test_cells_are_found(unet):
    folder, done = unet
    assert_complete("unet", {"dice", "learning_curves", "outlines"}, folder, done)
    result = summary(folder)
    for part in ("validation", "test"):
        assert 0.5 < result["dice"][part] <= 1
        assert result["dice"][part] / 2 <= result["iou"][part] < result["dice"][part]
    assert 0 < result["baseline"]["test/iou"] < result["baseline"]["test/dice"] < 1
    assert result["data"] == "cells, 20 images"
    assert "left out images/broken.png: not a readable image" in done.stderr


def test_eval_repeats_the_test_metrics(unet):
    assert_eval_repeats(unet[0])


def test_a_mask_is_written_for_each_picture_of_any_size(unet, tmp_path):
    """Stems that are the same, larger than a tile and smaller, grey and with transparency."""
    (tmp_path / "a").mkdir()
    pictures = {
        "one.png": (200, 150, "RGB"),
        "a/one.png": (30, 17, "L"),
        "two.png": (64, 64, "RGBA"),
    }
    paths, masks = [tmp_path / name for name in pictures], []
    for path, (height, width, mode) in zip(paths, pictures.values(), strict=True):
        pixels, mask = simulate_cells(100)
        masks.append(mask[:height, :width])
        Image.fromarray(pixels[:height, :width]).convert(mode).save(path)
    given = answers(unet[0], *paths)
    assert [answer["input"] for answer in given] == list(map(str, paths))
    names = ["one_mask.png", "one_2_mask.png", "two_mask.png"]
    assert [answer["mask"] for answer in given] == [
        str(unet[0] / "predictions" / name) for name in names
    ]
    found = [np.asarray(Image.open(answer["mask"])) for answer in given]
    for answer, image, mask in zip(given, found, masks, strict=True):
        assert image.shape == mask.shape
        assert set(np.unique(image)) <= {0, 255}
        assert answer["foreground"] == pytest.approx((image > 0).mean())
    assert dice_and_iou(masks[0], found[0] > 0)[0] > 0.5


def test_a_picture_of_one_pixel_and_a_file_that_is_none(unet, tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    (tmp_path / "letter.png").write_text("no image")
    for name, words in {
        "dot.png": "1 x 1 pixels; give 16 x 16 or more",
        "letter.png": "not a readable image",
    }.items():
        done = run("predict", unet[0], tmp_path / name)
        assert done.returncode == 2
        assert done.stderr == f"error: {tmp_path / name}: {words}\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--source=embedded"], "leave --source out for simulated cells"),
        (["--source=/nowhere"], "/nowhere: no such folder or zip of images/ and masks/"),
        (["--crop=40"], "crop 40: must be a multiple of 16"),
        (["--zoom=2"], "zoom 2.0: must be from 1 to 1.5"),
        (["--views=9"], "views 9: must be from 1 to 8"),
        (["--width=0"], "width 0: must be 1 or more"),
    ],
)
def test_settings_that_cannot_be(tmp_path, options, words):
    assert_mistake(["train", "unet", "--out", tmp_path / "run", *options], words)
    assert not (tmp_path / "run").exists()


def test_a_wrong_mask_ends_the_run_before_it_begins(tmp_path):
    folder = draw_cells(tmp_path / "cells", 12)
    Image.new("L", (5, 5)).save(folder / "masks" / "03.png")
    arguments = ["train", "unet", "--source", folder, "--out", tmp_path / "run"]
    assert_mistake(arguments, "masks/03.png: 5 x 5 pixels, but its image has 90 x 64")
    (folder / "masks" / "03.png").unlink()
    assert_mistake(arguments, "images/03.png: no mask of this name in masks/")
    assert not (tmp_path / "run").exists()
