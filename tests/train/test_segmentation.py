import jax
import numpy as np
import pytest

from train.segmentation import cross_entropy_and_dice, dice_and_iou, otsu_mask, patch_dice


def mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def test_dice_and_iou_by_hand():
    truth, predicted = mask("##..", "##.."), mask(".##.", ".##.")
    assert dice_and_iou(truth, predicted) == pytest.approx((2 * 2 / 8, 2 / 6))
    assert dice_and_iou(truth, truth) == (1, 1)
    assert dice_and_iou(truth, ~truth) == (0, 0)
    nothing = np.zeros_like(truth)
    assert dice_and_iou(nothing, nothing) == (1, 1)
    assert dice_and_iou(truth, nothing) == dice_and_iou(nothing, truth) == (0, 0)


def test_the_dice_of_patches_is_that_of_masks():
    random = np.random.default_rng(0)
    truth = random.random((6, 8, 8, 1)) < 0.4
    logits = random.normal(size=truth.shape)
    truth[:2] = False
    logits[0] = -1
    got = patch_dice(logits, {"targets": truth.astype(np.uint8)})
    wanted = [dice_and_iou(t[..., 0], p[..., 0] > 0)[0] for t, p in zip(truth, logits, strict=True)]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert list(got[:2]) == [1, 0]


def test_the_objective_by_hand():
    """Probability 3/4 everywhere, four pixels, one of them foreground."""
    logits = np.full((1, 2, 2, 1), np.log(3.0), np.float32)
    targets = np.array([1, 0, 0, 0], np.uint8).reshape(1, 2, 2, 1)
    entropy = -(np.log(0.75) + 3 * np.log(0.25)) / 4
    soft_dice = (2 * 0.75 + 1) / (4 * 0.75 + 1 + 1)
    got = cross_entropy_and_dice(logits, {"targets": targets})
    assert got.shape == (1,)
    np.testing.assert_allclose(got, entropy + 1 - soft_dice, rtol=1e-6)


def test_the_objective_of_an_empty_mask_falls_with_the_logits():
    batch = {"targets": np.zeros((1, 4, 4, 1), np.uint8)}
    gradient = jax.grad(lambda x: cross_entropy_and_dice(x, batch)[0])(np.zeros((1, 4, 4, 1)))
    assert (gradient > 0).all()
    surely = np.full((1, 4, 4, 1), -50.0)
    np.testing.assert_allclose(cross_entropy_and_dice(surely, batch), 0, atol=1e-6)


@pytest.mark.parametrize("inverted", [False, True])
def test_otsus_threshold_parts_two_levels_whatever_the_polarity(inverted):
    random = np.random.default_rng(0)
    truth = np.zeros((40, 50), bool)
    truth[10:25, 15:40] = True
    grey = np.where(truth, 170, 90) + random.integers(-30, 31, truth.shape)
    grey = 255 - grey if inverted else grey
    pixels = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(otsu_mask(pixels), truth)


def test_otsus_threshold_of_a_flat_picture_finds_nothing():
    assert not otsu_mask(np.full((20, 20, 3), 200, np.uint8)).any()
