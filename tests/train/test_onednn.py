"""A program's work by oneDNN gives the same numbers, and no cache is written."""

import platform

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from train import onednn, onednn_products
from train.compiler import compile_mended

CONVOLUTION, PRODUCT = "__onednn$convolution", "__onednn$matmul"

pytestmark = pytest.mark.skipif(
    (jaxlib.__version__, platform.system(), platform.machine()) != onednn.TESTED,
    reason="oneDNN is called only under versions of jaxlib that it was tested with",
)


@pytest.fixture
def whatever_the_work(monkeypatch):
    monkeypatch.setattr(onednn, "LEAST_WORK", 0)
    monkeypatch.setattr(onednn, "LEAST_SHARE", 0)
    monkeypatch.setattr(onednn, "LEAST_WORK_OF_INFERENCE", 0)
    monkeypatch.setattr(onednn, "LEAST_SHARE_OF_INFERENCE", 0)
    monkeypatch.setattr(onednn, "LEAST_WORK_OF_PRODUCTS", 0)
    monkeypatch.setattr(onednn, "LEAST_SHARE_OF_PRODUCTS", 0)
    monkeypatch.setattr(onednn_products, "LEAST_KERNEL_GRADIENT", 0)
    monkeypatch.setattr(onednn_products, "LEAST_BATCH", 0)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolve(images, kernel, stride=1, padding="SAME", **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    strides = (stride, stride) if isinstance(stride, int) else stride
    return jax.lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=numbers, **options
    )


def calls(lowered, target=CONVOLUTION):
    """How many of oneDNN there are while the program is compiled."""
    with onednn.work_for_onednn(lowered):
        return lowered.as_text().count(target)


@pytest.mark.usefixtures("whatever_the_work")
@pytest.mark.parametrize(
    ("images", "kernel", "options", "by_onednn"),
    [  # of the output, the gradient of the images and that of the kernel
        ((3, 9, 7, 16), (3, 3, 16, 18), {}, 3),
        ((2, 8, 6, 17), (3, 3, 17, 16), {"padding": ((2, 0), (1, 3))}, 2),
        ((33, 6, 5, 16), (3, 2, 16, 16), {"padding": "VALID"}, 2 + 3),
        ((2, 9, 10, 32), (3, 3, 32, 16), {"stride": 2, "padding": ((1, 1), (1, 1))}, 2),
        ((2, 11, 8, 16), (4, 5, 16, 32), {"stride": (3, 1), "padding": ((1, 2), (2, 2))}, 2),
        ((2, 9, 7, 3), (3, 3, 3, 16), {}, 2),
        ((2, 9, 7, 1), (3, 3, 1, 16), {}, 2),
        ((2, 9, 7, 16), (3, 3, 16, 1), {}, 2),
        ((1, 1, 7, 16), (3, 3, 16, 16), {}, 3),
        ((2, 9, 1, 16), (3, 3, 16, 16), {}, 3),
        ((2, 9, 7, 20), (1, 1, 20, 30), {}, 2),
        ((1, 3, 3, 130), (3, 3, 130, 16), {}, 2),
        ((2, 8, 8, 16), (3, 3, 16, 16), {"rhs_dilation": (2, 2)}, 2),
        ((2, 4, 4, 16), (3, 3, 16, 16), {"padding": ((1, 1),) * 2, "lhs_dilation": (2, 2)}, 1),
        ((2, 8, 8, 32), (3, 3, 16, 16), {"feature_group_count": 2}, 0),
    ],
)
def test_values_and_gradients_are_those_of_xla(images, kernel, options, by_onednn):
    images, kernel = random(*images), random(*kernel, seed=1)

    def values(images, kernel):
        output, pull_back = jax.vjp(lambda x, k: convolve(x, k, **options), images, kernel)
        return output, pull_back(jnp.cos(jnp.arange(output.size)).reshape(output.shape))

    expected = jax.jit(values)(images, kernel)
    lowered = jax.jit(values).lower(images, kernel)
    compiled = compile_mended(lowered, cached=False)
    assert calls(lowered) == by_onednn
    assert_close(compiled(images, kernel), expected)


def assert_close(ours, theirs):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, atol=2e-6)


@pytest.mark.usefixtures("whatever_the_work")
@pytest.mark.parametrize(
    ("product", "left", "right", "by_onednn"),
    [  # of the output and both gradients
        ("bik,bkj->bij", (3, 5, 7), (3, 7, 4), 3),
        ("bki,bjk->bij", (3, 7, 5), (3, 4, 7), 3),
        ("bik,bjk->bji", (3, 5, 7), (3, 4, 7), 3),
        ("bqhd,bkhd->bhqk", (2, 5, 3, 8), (2, 6, 3, 8), 3),
        ("bhqk,bkhd->bqhd", (2, 3, 5, 6), (2, 6, 3, 8), 3),
        ("bk,bk->b", (4, 9), (4, 9), 3),
        ("bki,bk->bi", (4, 9, 5), (4, 9), 3),
        ("bkli,bklj->bij", (2, 3, 4, 5), (2, 3, 4, 6), 3),
        ("nk,kj->nj", (9, 5), (5, 6), 1),
        ("ntk,kj->ntj", (4, 3, 5), (5, 6), 1),
        ("nk,k->n", (9, 5), (5,), 1),
        ("ni,nj->ij", (9, 5), (9, 6), 1),
        ("i,j->ij", (5,), (6,), 1),
    ],
)
def test_products_and_their_gradients_are_those_of_xla(product, left, right, by_onednn):
    left, right = random(*left), random(*right, seed=1)

    def values(left, right):
        output, pull_back = jax.vjp(lambda a, b: jnp.einsum(product, a, b), left, right)
        return output, pull_back(jnp.cos(jnp.arange(output.size)).reshape(output.shape))

    lowered = jax.jit(values).lower(left, right)
    compiled = compile_mended(lowered, cached=False)
    assert calls(lowered, PRODUCT) == by_onednn
    assert_close(compiled(left, right), jax.jit(values)(left, right))


@pytest.mark.parametrize(
    ("product", "left", "right", "dtype", "pays"),
    [
        ("ni,nj->ij", (4096, 256), (4096, 256), jnp.float32, True),
        ("ni,nj->ij", (4096, 256), (4096, 256), jnp.bfloat16, False),
        ("ni,nj->ij", (4096, 256), (4096, 128), jnp.float32, False),  # 2^27
        ("ik,kj->ij", (4096, 256), (256, 4096), jnp.float32, False),
        ("ni,nj->ij", (128, 4096), (128, 1024), jnp.float32, True),
        ("ni,nj->ij", (128, 4096), (128, 4096), jnp.float32, False),
        ("bik,bkj->bij", (32, 256, 128), (32, 128, 256), jnp.float32, True),
        ("bik,bkj->bij", (32, 256, 128), (32, 128, 128), jnp.float32, False),
    ],
)
def test_enough_work_in_products_pays(product, left, right, dtype, pays):
    factors = jax.ShapeDtypeStruct(left, dtype), jax.ShapeDtypeStruct(right, dtype)
    lowered = jax.jit(lambda a, b: jnp.einsum(product, a, b)).lower(*factors)
    assert calls(lowered, PRODUCT) == pays


def test_products_beside_convolutions_are_left_alone():
    def both(a, b, images, kernel):
        return jnp.einsum("bik,bkj->bij", a, b), convolve(images, kernel)

    def counted(size):
        shapes = (32, 256, 128), (32, 128, 256), (1, size, size, 128), (3, 3, 128, 128)
        lowered = jax.jit(both).lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
        return calls(lowered, PRODUCT)

    assert counted(4) == 1
    assert counted(64) == 0


def test_small_products_are_left_alone():
    """However much work all of them are."""

    def many(a, b):
        return [jnp.einsum("bik,bkj->bij", a + i, b) for i in range(100)]

    factors = jax.ShapeDtypeStruct((8, 64, 64), jnp.float32)
    assert calls(jax.jit(many).lower(factors, factors), PRODUCT) == 0


@pytest.mark.usefixtures("whatever_the_work")
def test_a_convolution_in_a_loop():
    images, kernels = random(2, 6, 6, 16), random(3, 3, 3, 16, 16, seed=1) / 12

    def loss(kernels):
        output, _ = jax.lax.scan(lambda x, k: (jnp.tanh(convolve(x, k)), None), images, kernels)
        return jnp.sum(output**2)

    lowered = jax.jit(jax.value_and_grad(loss)).lower(kernels)
    value, gradient = compile_mended(lowered, cached=False)(kernels)
    assert calls(lowered) == 3
    expected_value, expected_gradient = jax.value_and_grad(loss)(kernels)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4 * np.abs(gradient).max())


def lowered_for(
    channels=16, size=64, batch=8, dtype=jnp.float32, stride=1, product=0, gradient=False
):
    """A convolution or its kernel's gradient, and perhaps a product of 10 rows with a square."""
    images = jax.ShapeDtypeStruct((batch, size, size, channels), dtype)
    kernel = jax.ShapeDtypeStruct((3, 3, channels, channels), dtype)
    factors = [jax.ShapeDtypeStruct((n, product), dtype) for n in (10, product)]

    @jax.jit
    def convolution_and_product(x, k, a, b):
        convolution, pull_back = jax.vjp(lambda k: convolve(x, k, stride), k)
        return pull_back(convolution) if gradient else convolution, a @ b

    return convolution_and_product.lower(images, kernel, *factors)


@pytest.mark.parametrize(
    ("options", "pays"),
    [
        ({"batch": 64}, True),
        ({"batch": 7}, False),
        ({"batch": 64, "dtype": jnp.bfloat16}, False),
        ({"batch": 64, "stride": 2}, True),
        ({"batch": 64, "channels": 128}, True),
        ({"batch": 64, "product": 10_000}, True),
        ({"batch": 64, "product": 12_000}, False),
    ],
)
def test_enough_work_of_the_usual_kind_pays(options, pays):
    assert calls(lowered_for(**options)) == pays


@pytest.mark.parametrize(
    ("options", "pays"),
    [
        ({"batch": 8}, True),
        ({"batch": 7}, False),
        ({"batch": 64, "product": 10_000}, True),
        ({"batch": 64, "product": 12_000}, False),
        ({"batch": 64, "stride": 2, "product": 3_000}, True),
        ({"batch": 64, "stride": 2, "product": 3_500}, False),
        ({"batch": 8, "channels": 128, "product": 16_000}, True),
        ({"batch": 8, "channels": 128, "product": 20_000}, False),
    ],
)
def test_with_a_kernel_gradient_few_channels_of_stride_one_or_little_else_pay(options, pays):
    assert bool(calls(lowered_for(gradient=True, **options))) == pays


@pytest.mark.usefixtures("whatever_the_work")
def test_the_program_is_put_back():
    lowered = lowered_for()
    before = lowered.as_text()
    assert calls(lowered) == 1
    assert lowered.as_text() == before
    with pytest.raises(ValueError, match="while"), onednn.work_for_onednn(lowered):
        raise ValueError("while it is compiled")
    assert lowered.as_text() == before


@pytest.mark.usefixtures("whatever_the_work")
def test_another_jaxlib_or_several_devices_keep_theirs(monkeypatch):
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    assert mesh.size == 2
    by_row = NamedSharding(mesh, PartitionSpec("data"))
    images, kernel = random(2, 8, 8, 16), random(3, 3, 16, 16)
    lowered = jax.jit(convolve, in_shardings=(by_row, None)).lower(images, kernel)
    assert calls(lowered) == 0
    monkeypatch.setattr(onednn, "TESTED", ("0.0.0", "Linux", "x86_64"))
    assert calls(lowered_for()) == 0


@pytest.mark.usefixtures("whatever_the_work")
def test_only_what_a_cache_can_hold_is_written_to_it(tmp_path):
    """XLA would read memory that is not there to serialize a call of oneDNN."""
    before = (
        jax.config.jax_compilation_cache_dir,
        jax.config.jax_persistent_cache_min_compile_time_secs,
    )
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.experimental.compilation_cache.compilation_cache.reset_cache()
    try:
        compile_mended(lowered_for(), cached=False)
        assert not list(tmp_path.glob("jit_convolution_and_product-*-cache"))
        compile_mended(lowered_for(), cached=True)
        assert len(list(tmp_path.glob("jit_convolution_and_product-*-cache"))) == 1
    finally:
        jax.config.update("jax_compilation_cache_dir", before[0])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])
        jax.experimental.compilation_cache.compilation_cache.reset_cache()


@pytest.mark.usefixtures("whatever_the_work")
def test_what_is_not_a_number_stays_so_behind_relu():
    images, kernel = random(1, 5, 5, 3), random(3, 3, 3, 16, seed=1)
    images[0, 2, 2, 0] = np.nan
    lowered = jax.jit(lambda x, k: jax.nn.relu(convolve(x, k) + 1)).lower(images, kernel)
    assert calls(lowered) == 1
    output = compile_mended(lowered, cached=False)(images, kernel)
    assert np.isnan(output[0, 1:4, 1:4]).all()
