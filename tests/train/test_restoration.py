import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from train.restoration import (
    as_file,
    best_filters,
    gaussian_filter,
    gaussian_kernel,
    median_filter,
    plain_filters,
    psnr,
    ssim,
    undo_cut,
)

RANDOM = np.random.default_rng(0)
STEPS = np.kron(RANDOM.integers(20, 230, (6, 8)), np.ones((12, 12))).astype(np.uint8)
NOISY = as_file(STEPS + RANDOM.normal(0, 25, STEPS.shape))


def test_psnr_by_hand():
    black = np.zeros((10, 10), np.uint8)
    assert psnr(black, black + 255) == pytest.approx(0)
    assert psnr(black, black + 1) == pytest.approx(20 * np.log10(255))
    assert psnr(black, black) == pytest.approx(58.92, abs=0.01)
    assert psnr(STEPS, NOISY) == pytest.approx(peak_signal_noise_ratio(STEPS, NOISY))


@pytest.mark.parametrize("shape", [(72, 96), (40, 17), (11, 11)])
def test_ssim_is_that_of_scikit_image(shape):
    clean, noisy = STEPS[: shape[0], : shape[1]], NOISY[: shape[0], : shape[1]]
    wanted = structural_similarity(
        clean, noisy, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(clean, noisy) == pytest.approx(wanted, abs=1e-9)
    assert ssim(clean, clean) == pytest.approx(1)


def test_a_file_rounds_and_cuts():
    np.testing.assert_array_equal(
        as_file(np.array([-3.0, 0.4, 0.6, 254.6, 300])), [0, 0, 1, 255, 255]
    )


def test_smoothing_keeps_what_is_flat_and_spreads_a_point():
    assert gaussian_kernel(1.5, 5).sum() == pytest.approx(1)
    np.testing.assert_allclose(gaussian_filter(np.full((20, 30), 7.0), 2.0), 7)
    np.testing.assert_array_equal(median_filter(np.full((20, 30), 7.0), 5), np.full((20, 30), 7.0))
    point = np.zeros((41, 41))
    point[20, 20] = 1
    spread = gaussian_filter(point, 2.0)
    assert spread.sum() == pytest.approx(1)
    places = np.arange(41) - 20
    assert (spread.sum(1) * places**2).sum() == pytest.approx(4, rel=0.01)  # the variance
    assert median_filter(point, 3).max() == 0


@pytest.mark.parametrize("brightness", [0.0, 5.0, 30.0, 128.0, 250.0])
def test_the_cut_is_undone(brightness):
    noisy = np.clip(brightness + np.random.default_rng(1).normal(0, 25, 200_000), 0, 255)
    assert undo_cut(noisy.mean()[None, None], 25.0).item() == pytest.approx(brightness, abs=0.3)


def test_the_best_filters_are_those_that_score_best():
    pairs = [(STEPS[:36, :36], NOISY[:36, :36]), (STEPS[36:, 60:], NOISY[36:, 60:])]
    kinds = plain_filters(25.0)
    assert {kind.split()[0] for kind in kinds} == {"gaussian", "median", "non-local", "total"}

    def score(filter_):
        return np.mean(
            [psnr(clean, as_file(filter_(noisy.astype(float)))) for clean, noisy in pairs]
        )

    plain = {name: score(filter_) for name, filter_ in kinds.items()}
    undone = {
        f"{name}, cut undone": score(lambda noisy, kind=kind: undo_cut(kind(noisy), 25.0))
        for name, kind in kinds.items()
    }
    best = {max(scores, key=scores.get): max(scores.values()) for scores in (plain, undone)}
    chosen = {name: score(filter_) for name, filter_ in best_filters(pairs, 25.0).items()}
    assert chosen == pytest.approx(best)
    assert list(chosen.values()) == sorted(chosen.values())
    assert min(chosen.values()) > score(lambda noisy: noisy) + 3
