import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_models.layers import BatchNorm, Conv, ConvTranspose
from flax_models.max_pooling import max_pool
from flax_models.pooling import adaptive_avg_pool, avg_pool, pad_images

# Reconstructed: the course shows the pooled numbers, and this is one image whose 2x2 blocks have
# those maxima and means.
COURSE_IMAGE = jnp.array([[1, 9, 2, 4], [3, 4, 7, 4], [8, 2, 6, 1], [5, 2, 3, 4]], jnp.float32)


def as_image(rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


def test_pooling_gives_the_numbers_of_the_course():
    image = as_image(COURSE_IMAGE)
    np.testing.assert_array_equal(max_pool(image, 2)[0, :, :, 0], [[9, 7], [8, 6]])
    np.testing.assert_array_equal(avg_pool(image, 2)[0, :, :, 0], [[4.25, 4.25], [4.25, 3.5]])


def test_max_pooling_pads_with_less_than_any_value():
    pooled = max_pool(as_image([[-3, -2], [-4, -1]]), 3, 2, padding=1)
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[-1]])


def test_average_pooling_counts_padded_zeros():
    pooled = avg_pool(as_image([[9, 18], [27, 36]]), 3, 2, padding=1)
    np.testing.assert_allclose(pooled[0, :, :, 0], [[10]])


def test_adaptive_pooling_overlaps_bins():
    # Five columns in three bins: 0-1, 1-3, 3-4.
    pooled = adaptive_avg_pool(as_image([[1, 2, 3, 4, 6]]), (1, 3))
    np.testing.assert_allclose(pooled[0, :, :, 0], [[1.5, 3, 5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("zeros", [0, 0, 1, 2, 3, 0, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2, 1]),
        ("replicate", [1, 1, 1, 2, 3, 3, 3]),
    ],
)
def test_padding_modes(mode, row):
    image = as_image([[1, 2, 3]] * 3)
    np.testing.assert_array_equal(pad_images(image, 2, mode)[0, 3, :, 0], row)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "size"),
    [(3, 1, 1, 7), (3, 2, 1, 4), (7, 2, 3, 4), (3, 1, 0, 5), (2, 2, 0, 3), (1, 2, 0, 4)],
)
def test_convolution_sizes(kernel_size, stride, padding, size):
    conv = Conv(4, kernel_size, stride, padding)
    outputs, _ = jax.eval_shape(
        conv.init_with_output, jax.random.key(0), jax.ShapeDtypeStruct((2, 7, 7, 3), jnp.float32)
    )
    assert outputs.shape == (2, size, size, 4)


def test_convolution_by_hand():
    variables = {"params": {"kernel": jnp.arange(1.0, 5).reshape(2, 2, 1, 1), "bias": jnp.ones(1)}}
    outputs = Conv(1, 2).apply(variables, as_image([[1, 2, 0], [0, 1, 3]]))
    # 1*1 + 2*2 + 3*0 + 4*1 + 1 and 1*2 + 2*0 + 3*1 + 4*3 + 1.
    np.testing.assert_array_equal(outputs[0, 0, :, 0], [10, 18])


def test_transposed_convolution_by_hand():
    variables = {"params": {"kernel": jnp.arange(1.0, 5).reshape(2, 2, 1, 1), "bias": jnp.ones(1)}}
    outputs = ConvTranspose(1).apply(variables, as_image([[2]]))
    np.testing.assert_array_equal(outputs[0, :, :, 0], [[3, 5], [7, 9]])


def test_batch_norm_keeps_the_unbiased_variance():
    x = jnp.array([[1.0], [2.0], [3.0], [6.0]])  # mean 3, variance 3.5 biased and 14/3 unbiased
    variables = BatchNorm().init(jax.random.key(0), x)
    outputs, updated = BatchNorm().apply(variables, x, True, mutable=["batch_stats"])
    stats = updated["batch_stats"]
    np.testing.assert_allclose(stats["mean"], [0.3], rtol=1e-6)
    np.testing.assert_allclose(stats["var"], [0.9 + 0.1 * 14 / 3], rtol=1e-6)
    np.testing.assert_allclose(outputs[0], -2 / np.sqrt(3.5 + 1e-5), rtol=1e-6)


def test_batch_norm_keeps_its_digits_far_from_zero():
    x = 100 + 0.01 * jax.random.normal(jax.random.key(0), (512, 3))
    variables = BatchNorm().init(jax.random.key(0), x)
    outputs, _ = BatchNorm().apply(variables, x, True, mutable=["batch_stats"])
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    np.testing.assert_allclose(outputs, exact, atol=1e-3)


def test_batch_norm_over_a_mapped_axis_is_that_of_the_whole_batch():
    x = jax.random.normal(jax.random.key(0), (8, 5, 3))
    variables = BatchNorm().init(jax.random.key(0), x)
    want, want_updated = BatchNorm().apply(
        variables, x.reshape(40, 3), True, mutable=["batch_stats"]
    )
    mapped = BatchNorm(axis_name="data")
    got, updated = jax.vmap(
        lambda part: mapped.apply(variables, part, True, mutable=["batch_stats"]), axis_name="data"
    )(x)
    np.testing.assert_allclose(got.reshape(40, 3), want, atol=1e-5)
    for name in ("mean", "var"):
        for shard in updated["batch_stats"][name]:
            np.testing.assert_allclose(shard, want_updated["batch_stats"][name], rtol=1e-5)


def test_batch_norm_refuses_a_single_value():
    x = jnp.ones((1, 3))
    variables = BatchNorm().init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"^x: expected more than one value .* got \(1, 3\)"):
        BatchNorm().apply(variables, x, True, mutable=["batch_stats"])


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv(2), (5, 5, 3), r"images: expected \[batch, height, width, channels\], got \(5, 5, 3"),
        (Conv(2), (1, 2, 5, 3), r"images: expected height and width of at least \(3, 3\)"),
        (Conv(2, padding=1, padding_mode="wrap"), (1, 5, 5, 3), "padding_mode: expected one of"),
        (Conv(2, 5, padding=2, padding_mode="reflect"), (1, 2, 5, 3), "images: .* to reflect"),
        (ConvTranspose(2), (5, 5, 3), r"images: expected \[batch, height, width, channels\]"),
    ],
)
def test_bad_input(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.init(jax.random.key(0), jnp.zeros(shape))
