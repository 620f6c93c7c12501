import zipfile

import numpy as np
import pytest
from PIL import Image

from data import DataError, even_light, load_pictures, read_picture
from data.cells import simulate_cells


def picture_of(number):
    pixels, mask = simulate_cells(number)
    return Image.fromarray(pixels[:40, : 50 + number]), Image.fromarray(mask[:40, : 50 + number])


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cells"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(20):
        image, mask = picture_of(number)
        image.save(folder / "images" / f"{number:02}.png")
        mask.convert("L").save(folder / "masks" / f"{number:02}.png")
    return folder


def load(folder, masks=True):
    return load_pictures(str(folder), masks)


def everything(pictures):
    return {picture.name: picture for part in pictures[:3] for picture in part}


def test_parts_are_fixed_and_hold_every_picture_once(folder):
    pictures = load(folder)
    assert [len(part) for part in pictures[:3]] == [14, 2, 4]
    assert pictures.source == "cells, 20 images"
    found = everything(pictures)
    assert sorted(found) == [f"images/{number:02}.png" for number in range(20)]
    order = np.random.default_rng(0).permutation(20)
    names = [picture.name for part in pictures[:3] for picture in part]
    assert names == [f"images/{number:02}.png" for number in order]
    for number in range(20):
        image, mask = picture_of(number)
        picture = found[f"images/{number:02}.png"]
        np.testing.assert_array_equal(picture.pixels, np.asarray(image))
        np.testing.assert_array_equal(picture.mask, np.asarray(mask))


def test_a_zip_of_the_folder_is_the_same(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for path in folder.rglob("*.png"):
            archive.write(path, f"all/{path.relative_to(folder)}")
        archive.writestr("__MACOSX/images/._00.png", "not an image")
    one, other = everything(load(folder)), everything(load(tmp_path / "cells.zip"))
    assert [f"all/{name}" for name in one] == list(other)
    for ours, theirs in zip(one.values(), other.values(), strict=True):
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        np.testing.assert_array_equal(ours.mask, theirs.mask)


def test_without_masks_any_images_do(folder, tmp_path):
    with_folder = everything(load(folder, masks=False))
    assert len(with_folder) == 20
    (folder / "images").rename(tmp_path / "plain")
    plain = everything(load(tmp_path / "plain", masks=False))
    assert sorted(plain) == [f"{number:02}.png" for number in range(20)]
    for name, picture in plain.items():
        np.testing.assert_array_equal(picture.pixels, with_folder[f"images/{name}"].pixels)
        assert picture.mask.shape == picture.pixels.shape[:2]
        assert not picture.mask.any()


def test_broken_files_are_left_out_and_named(folder, caplog):
    (folder / "images" / "03.png").write_bytes((folder / "images/03.png").read_bytes()[:100])
    (folder / "masks" / "05.png").write_text("no image")
    Image.new("RGB", (8, 40)).save(folder / "images" / "07.png")
    found = everything(load(folder))
    missing = {f"images/{number:02}.png" for number in range(20)} - set(found)
    assert missing == {"images/03.png", "images/05.png", "images/07.png"}
    assert sorted(record.getMessage() for record in caplog.records) == [
        "left out images/03.png: not a readable image",
        "left out images/07.png: 8 x 40 pixels; give 16 x 16 or more",
        "left out masks/05.png: not a readable image",
    ]


def test_a_mask_may_be_one_and_zero_or_empty_or_have_another_ending(folder):
    mask = np.asarray(Image.open(folder / "masks" / "00.png"))
    Image.fromarray((mask > 0).astype(np.uint8)).save(folder / "masks" / "00.bmp")
    (folder / "masks" / "00.png").unlink()
    Image.new("L", Image.open(folder / "masks" / "01.png").size).save(folder / "masks" / "01.png")
    found = everything(load(folder))
    np.testing.assert_array_equal(found["images/00.png"].mask, mask > 0)
    assert mask.any()
    assert not found["images/01.png"].mask.any()


def test_mistakes_are_named(folder, tmp_path):
    mask = folder / "masks" / "04.png"
    content = mask.read_bytes()
    Image.new("L", (12, 40)).save(mask)
    with pytest.raises(DataError, match=r"masks/04\.png: 12 x 40 pixels, but its image has 54"):
        load(folder)
    Image.fromarray(np.arange(54 * 40, dtype=np.uint16).astype(np.uint8).reshape(40, 54)).save(mask)
    with pytest.raises(DataError, match=r"masks/04\.png: 256 values from 0 to 255; a mask has two"):
        load(folder)
    mask.unlink()
    with pytest.raises(DataError, match=r"images/04\.png: no mask of this name in masks/; add it"):
        load(folder)
    mask.write_bytes(content)
    assert len(everything(load(folder))) == 20

    with pytest.raises(DataError, match=r"nowhere: no such folder or zip of images/ and masks/"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: 0 readable pictures of images/ and masks/"):
        load(tmp_path / "empty")
    with pytest.raises(DataError, match=r"empty: 0 readable pictures of images; give 10 or more"):
        load(tmp_path / "empty", masks=False)


def test_a_picture_for_prediction_is_named_where_it_is_too_small(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(DataError, match=r"dot\.png: 1 x 1 pixels; give 16 x 16 or more"):
        read_picture(tmp_path / "dot.png")


def test_simulated_cells_are_a_function_of_their_number():
    pictures = load_pictures("computed", masks=True)
    assert [len(part) for part in pictures[:3]] == [140, 20, 40]
    shares = [picture.mask.mean() for picture in pictures.train]
    assert min(shares) > 0
    assert 0.05 < np.mean(shares) < 0.3
    pixels, mask = simulate_cells(17)
    (again,) = [picture for part in pictures[:3] for picture in part if picture.name == "cells 17"]
    np.testing.assert_array_equal(pixels, again.pixels)
    np.testing.assert_array_equal(mask, again.mask)
    assert pixels[mask].mean() > pixels[~mask].mean() + 10
    stained, mask = simulate_cells(19)
    assert stained[mask].mean() < stained[~mask].mean() - 10


def test_contrast_is_stretched_whatever_the_light():
    dark = np.random.default_rng(0).integers(10, 40, (50, 50, 3), np.uint8)
    stretched = even_light(dark)
    assert stretched.min() == 0
    assert stretched.max() == 255
    assert (np.diff(stretched.ravel()[np.argsort(dark.ravel())].astype(int)) >= 0).all()
    flat = even_light(np.full((20, 20, 3), 7, np.uint8))
    assert len(np.unique(flat)) == 1
