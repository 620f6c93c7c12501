"""Computed shapes and pictures of objects."""

import numpy as np
import pytest
from PIL import Image

from data import DataError, class_names, load_objects, of_classes, read_object
from data.shapes import SHAPES, draw_shapes


@pytest.fixture(scope="module")
def splits():
    return load_objects()


def test_every_class_is_equally_frequent_in_every_part(splits):
    assert [len(part["inputs"]) for part in splits[:3]] == [4000, 500, 1000]
    for part in splits[:3]:
        assert part["inputs"].shape[1:] == (32, 32, 3)
        assert part["inputs"].dtype == np.uint8
        assert set(np.bincount(part["targets"])) == {len(part["targets"]) // 10}


def test_the_same_shapes_are_drawn_every_time_and_other_ones_for_each_part(splits):
    again = draw_shapes(500, seed=1)
    np.testing.assert_array_equal(again["inputs"], splits.validation["inputs"])
    assert (splits.train["inputs"][:500] != splits.validation["inputs"]).any(axis=(1, 2, 3)).all()


def test_a_shape_can_be_seen():
    """It covers a part of the image, and stands out from its ground."""
    down, right = np.mgrid[-1:1:9j, -1:1:9j]
    areas = {name: shape(right, down).mean() for name, shape in SHAPES.items()}
    assert all(0.05 < area < 0.8 for area in areas.values()), areas
    spread = draw_shapes(200, seed=3)["inputs"].std(axis=(1, 2)).max(axis=1)
    assert spread.min() > 15


def test_some_classes_alone_are_numbered_from_0(splits):
    part = of_classes(splits.test, range(7, 10))
    assert set(part["targets"]) == {0, 1, 2}
    original = splits.test["inputs"][splits.test["targets"] == 8]
    np.testing.assert_array_equal(part["inputs"][part["targets"] == 1], original)


def test_names_go_with_the_source():
    assert class_names("computed") == tuple(SHAPES)
    assert class_names("tfds")[:2] == ("airplane", "automobile")


def test_a_picture_of_any_size_is_read_and_a_dot_is_not(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("L", (100, 40), 200).save(path)
    assert read_object(path).shape == (32, 32, 3)
    Image.new("RGB", (1, 1)).save(path)
    with pytest.raises(DataError, match=r"picture\.png: 1 x 1 pixels; must be 8 x 8 or more"):
        read_object(path)


def test_there_are_no_embedded_objects():
    with pytest.raises(DataError, match="leave --source out"):
        load_objects("embedded")
