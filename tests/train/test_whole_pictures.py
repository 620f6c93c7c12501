import numpy as np
import pytest

from train.whole_pictures import distinct_stems, predict_whole, turned, turned_back

PICTURE = np.random.default_rng(0).integers(0, 256, (70, 45, 3), np.uint8)


def test_the_eight_symmetries_are_different_and_turned_back():
    tile = np.arange(2 * 9).reshape(3, 3, 2)
    views = [turned(tile, symmetry) for symmetry in range(8)]
    assert len({view.tobytes() for view in views}) == 8
    for symmetry, view in enumerate(views):
        np.testing.assert_array_equal(turned_back(view, symmetry), tile)
        np.testing.assert_array_equal(turned(tile[None], symmetry)[0], view)


@pytest.mark.parametrize("size", [16, 32, 64, 100])
@pytest.mark.parametrize("views", [1, 4, 8])
def test_tiles_of_any_size_give_the_answer_of_a_pointwise_network(size, views):
    shapes = set()

    def predict(inputs):
        shapes.add(inputs.shape)
        return inputs[..., :2].astype(np.float32) * [2, -1] + 5

    whole = predict_whole(predict, PICTURE, views, size)
    np.testing.assert_allclose(whole, PICTURE[..., :2] * [2.0, -1.0] + 5, rtol=1e-5, atol=1e-4)
    assert shapes == {(views, size, size, 3)}  # one shape: compiled once


def test_views_are_averaged():
    """A network that answers with the row number: under all symmetries the mean is the middle."""

    def rows(inputs):
        number, size = inputs.shape[:2]
        return np.broadcast_to(np.arange(size).reshape(1, size, 1, 1), (number, size, size, 1))

    square = np.zeros((16, 16, 3), np.uint8)
    np.testing.assert_allclose(predict_whole(rows, square, 8, 16), 7.5)
    np.testing.assert_allclose(predict_whole(rows, square, 1, 16)[:, 3, 0], np.arange(16))


def test_files_of_one_name_are_told_apart():
    paths = ["a.png", "x/a.png", "b.tar.gz", "a.jpg", "a_2.png", "b.tar"]
    assert distinct_stems(paths) == ["a", "a_2", "b.tar", "a_3", "a_2_2", "b"]
