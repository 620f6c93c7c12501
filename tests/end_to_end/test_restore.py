"""Taking noise out, on small simulated pictures that a small run learns in seconds."""

import numpy as np
import pytest
from cell_pictures import draw_cells
from command import answers, assert_complete, assert_eval_repeats, assert_mistake, summary, train
from PIL import Image

from data.cells import simulate_cells
from train.restoration import as_file, psnr

OPTIONS = ["--crop=32", "--width=8", "--depth=1", "--batch-size=8", "--epochs=20"]


@pytest.fixture(scope="module")
def restore(tmp_path_factory):
    folder = draw_cells(tmp_path_factory.mktemp("cells") / "cells", noise=False)
    return train(
        tmp_path_factory, "restore", "--source", folder, "--learning-rate=1e-2", "--views=1",
        "--evaluate-every=10", *OPTIONS,
    )  # fmt: skip


def test_noise_is_taken_out(restore):
    folder, done = restore
    assert_complete("restore", {"learning_curves", "restored"}, folder, done)
    result = summary(folder)
    noisy, as_it_is, cut_undone = result["baseline"]["by_filter"].values()
    assert 20 < noisy["psnr"] < 23
    assert noisy["psnr"] + 5 < as_it_is["psnr"] < cut_undone["psnr"]
    assert result["baseline"]["filter"].endswith(", cut undone")
    for score, gained in {"psnr": 5, "ssim": 0.2}.items():
        assert result["baseline"][f"test/{score}"] == cut_undone[score] > noisy[score] + gained
        for part in ("validation", "test"):
            assert result[score][part] > noisy[score] + gained
    assert result["data"] == "cells, 20 images"


def test_eval_repeats_the_test_metrics(restore):
    assert_eval_repeats(restore[0])


def test_grey_and_colour_pictures_are_restored_at_their_own_sizes(restore, tmp_path):
    random, paths, clean = np.random.default_rng(0), [], []
    for number, channels in {16: 1, 19: 3}.items():
        pixels, _ = simulate_cells(number, noise=False)
        pixels = pixels[: 100 + number, :90, :channels]
        clean.append(pixels.squeeze())
        paths.append(tmp_path / f"{number}.png")
        noisy = as_file(clean[-1] + random.normal(0, 25, clean[-1].shape))
        Image.fromarray(noisy).save(paths[-1])
    given = answers(restore[0], *paths)
    assert [answer["input"] for answer in given] == list(map(str, paths))
    for answer, path, wanted in zip(given, paths, clean, strict=True):
        assert answer["restored"] == str(restore[0] / "predictions" / f"{path.stem}_restored.png")
        got = np.asarray(Image.open(answer["restored"]))
        assert got.shape == wanted.shape
        assert psnr(wanted, got) > psnr(wanted, np.asarray(Image.open(path))) + 4


def test_settings_that_cannot_be(tmp_path):
    arguments = ["train", "restore", "--out", tmp_path / "run"]
    assert_mistake([*arguments, "--sigma=0"], "sigma 0.0: must be above 0 and at most 255")
    assert_mistake([*arguments, "--source=/nowhere"], "/nowhere: no such folder or zip of images")
    assert not (tmp_path / "run").exists()
