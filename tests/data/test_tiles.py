import numpy as np
import pytest

from data import cut_tiles, join_tiles, tile_corners

SHAPES = [(1, 1), (16, 40), (33, 32), (64, 64), (65, 130), (100, 37)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "overlap"), [(32, 0), (32, 8), (32, 20), (64, 16)])
def test_tiles_join_to_the_picture_they_were_cut_from(shape, size, overlap):
    picture = np.random.default_rng(0).normal(size=(*shape, 2))
    tiles = cut_tiles(picture, size, overlap)
    assert tiles.shape[1:] == (size, size, 2)
    np.testing.assert_allclose(join_tiles(tiles, *shape, overlap), picture, rtol=1e-5, atol=1e-6)


def test_corners_by_hand():
    assert tile_corners(10, 20, 10, 0) == [(0, 0), (0, 10)]
    assert tile_corners(10, 21, 10, 0) == [(0, 0), (0, 6), (0, 11)]  # 5.5 is rounded to even
    assert tile_corners(18, 10, 10, 2) == [(0, 0), (8, 0)]
    assert tile_corners(3, 4, 10, 2) == [(0, 0)]


def test_a_small_picture_is_mirrored_beyond_its_edges():
    (tile,) = cut_tiles(np.arange(3)[:, None, None], 8, 0)
    np.testing.assert_array_equal(tile[:, 0, 0], [0, 1, 2, 2, 1, 0, 0, 1])
    np.testing.assert_array_equal(tile[:, 0, 0], tile[:, 7, 0])


def test_tiles_that_disagree_leave_no_seam():
    """Each tile answers with its own number; between them the picture changes by small steps."""
    tiles = [np.full((64, 64, 1), value, float) for value in (0, 1, 0)]
    picture = join_tiles(tiles, 64, 160, 16)  # at columns 0, 48 and 96
    assert picture[0, :40].max() == 0
    assert picture[0, 79, 0] == 1
    assert np.abs(np.diff(picture[10, :, 0])).max() < 0.16
