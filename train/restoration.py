"""What restores an image: noise as files have it, scores, and methods that learn nothing."""

import functools
import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Float, UInt8

WHITE = 255.0
LEAST_ERROR = 1 / 12
"""Mean square that rounding alone leaves; a smaller one is not told apart from it."""

Grey = UInt8[np.ndarray, "H W"]
Image = Float[np.ndarray, "H W"]
Filter = Callable[[np.ndarray], np.ndarray]


def as_file(values: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """What a file of 8 bits holds of brightness values: rounded, and cut at black and at white."""
    return np.clip(np.rint(values), 0, WHITE).astype(np.uint8)


def psnr(clean: Grey, other: Grey) -> float:
    """Peak signal-to-noise ratio, 10 log10 (255^2 / mean square), in dB; 58.9 at most."""
    error = np.mean((clean.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(WHITE**2 / max(error, LEAST_ERROR)))


def ssim(clean: Grey, other: Grey) -> float:
    """Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004): the mean over the picture.

    Under Gaussian windows of 11 x 11 pixels and deviation 1.5, where they fit wholly inside, with
    K1 = 0.01 and K2 = 0.03.
    """
    window = functools.partial(convolve, kernel=gaussian_kernel(1.5, 5))
    x, y = clean.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = window(x), window(y)
    variance_x, variance_y = window(x * x) - mean_x**2, window(y * y) - mean_y**2
    covariance = window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * WHITE) ** 2, (0.03 * WHITE) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(similarity.mean())


def gaussian_kernel(deviation: float, radius: int) -> Float[np.ndarray, "taps"]:
    """A Gaussian on -radius to radius whose sum is 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    return weights / weights.sum()


def convolve(image: Image, kernel: Float[np.ndarray, "taps"]) -> np.ndarray:
    """By a symmetric kernel along both axes, where it fits: each side is shorter by taps - 1."""
    for axis in (0, 1):
        image = np.lib.stride_tricks.sliding_window_view(image, len(kernel), axis) @ kernel
    return image


def gaussian_filter(image: Image, deviation: float) -> Image:
    """Smoothed by a Gaussian; mirrored beyond its edges."""
    radius = int(np.ceil(4 * deviation))
    padded = np.pad(image, radius, mode="symmetric")
    return convolve(padded, gaussian_kernel(deviation, radius))


def median_filter(image: Image, side: int) -> Image:
    """The median of the square around each pixel; mirrored beyond the edges."""
    padded = np.pad(image, side // 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return np.median(windows, axis=(-2, -1))


def undo_cut(smoothed: Image, sigma: float) -> Image:
    """Brightness of which ``smoothed`` is the mean, once noise was added and then cut.

    Noise that would go below black is cut there, so that a mean over dark pixels is too bright,
    and near white too dark. The mean of a cut Gaussian rises with its centre, so it has an inverse.
    """
    quantiles = np.asarray(norm.ppf((np.arange(2000) + 0.5) / 2000))
    brightness = np.linspace(0, WHITE, 256)
    means = np.clip(brightness[:, None] + sigma * quantiles, 0, WHITE).mean(axis=1)
    return np.interp(smoothed, means, brightness)


def plain_filters(sigma: float) -> dict[str, Filter]:
    """Filters that learn nothing, for noise of deviation ``sigma``: from values to values.

    Gaussians and medians of several widths; and where scikit-image is installed also non-local
    means and total variation of several strengths.
    """
    filters: dict[str, Filter] = {
        f"gaussian {deviation}": functools.partial(gaussian_filter, deviation=deviation)
        for deviation in (0.7, 1.0, 1.4, 2.0, 2.8)
    }
    filters |= {f"median {side}": functools.partial(median_filter, side=side) for side in (3, 5)}
    if importlib.util.find_spec("skimage"):
        from skimage import restoration

        filters |= {
            f"non-local means {strength}": functools.partial(
                restoration.denoise_nl_means,
                patch_size=5, patch_distance=8, h=strength * sigma, sigma=sigma, fast_mode=True,
                preserve_range=True,
            )
            for strength in (0.4, 0.6, 0.8, 1.0)
        }  # fmt: skip
        filters |= {
            f"total variation {weight}": functools.partial(
                restoration.denoise_tv_chambolle, weight=weight * sigma
            )
            for weight in (0.8, 1.2, 1.8, 2.7)
        }
    return filters


def best_filters(pairs: Sequence[tuple[Grey, Grey]], sigma: float) -> dict[str, Filter]:
    """By name the best of the filters as they are, and the best of them with the cut undone.

    By mean PSNR over pairs of clean and noisy pictures; the better of the two is the last.
    """

    def undone(plain: Filter) -> Filter:
        return lambda noisy: undo_cut(plain(noisy), sigma)

    def score(smoothed: list[np.ndarray]) -> float:
        truths = [clean for clean, _ in pairs]
        return float(np.mean(list(map(psnr, truths, map(as_file, smoothed)))))

    as_they_are: list[tuple[float, str, Filter]] = []
    with_cut_undone: list[tuple[float, str, Filter]] = []
    for name, plain in plain_filters(sigma).items():
        smoothed = [plain(noisy.astype(np.float64)) for _, noisy in pairs]
        as_they_are.append((score(smoothed), name, plain))
        corrected = [undo_cut(one, sigma) for one in smoothed]
        with_cut_undone.append((score(corrected), f"{name}, cut undone", undone(plain)))

    def by_score(one: tuple[float, str, Filter]) -> float:
        return one[0]

    best = [max(kind, key=by_score) for kind in (as_they_are, with_cut_undone)]
    return {name: filter_ for _, name, filter_ in sorted(best, key=by_score)}
