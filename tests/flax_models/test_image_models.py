"""What holds for every image model: published sizes, precision, errors."""

import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import flax_models
from flax_models import (
    CNN,
    MLP,
    VAE,
    VGG,
    Autoencoder,
    CifarResNet,
    Discriminator,
    Generator,
    ResNet,
    UNet,
    ViT,
    from_torch,
    kl_divergence,
    to_torch,
)
from flax_models.layers import count_parameters


def parameters(model, *shape):
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    return count_parameters(jax.eval_shape(model.init, jax.random.key(0), images))


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("vgg11", {}, 132_863_336),
        ("vgg13", {}, 133_047_848),
        ("vgg16", {}, 138_357_544),
        ("vgg19", {}, 143_667_240),
        ("vgg11", {"batch_norm": True}, 132_868_840),
        ("vgg13", {"batch_norm": True}, 133_053_736),
        ("vgg16", {"batch_norm": True}, 138_365_992),
        ("vgg19", {"batch_norm": True}, 143_678_248),
        ("resnet18", {}, 11_689_512),
        ("resnet34", {}, 21_797_672),
        ("resnet50", {}, 25_557_032),
        ("resnet101", {}, 44_549_160),
        ("resnet152", {}, 60_192_808),
        ("vit_tiny", {}, 5_717_416),
        ("vit_small", {}, 22_050_664),
        ("vit_base", {}, 86_567_656),
    ],
)
def test_published_parameter_counts(name, options, count):
    assert parameters(getattr(flax_models, name)(**options), 1, 224, 224, 3) == count


@pytest.mark.parametrize(
    ("name", "count", "millions"),
    [
        ("resnet20", 269_722, 0.27),
        ("resnet32", 464_154, 0.46),
        ("resnet44", 658_586, 0.66),
        ("resnet56", 853_018, 0.85),
        ("resnet110", 1_727_962, 1.7),
        ("resnet1202", 19_421_274, 19.4),
    ],
)
def test_parameter_counts_of_he_et_al(name, count, millions):
    got = parameters(getattr(flax_models, name)(scan=True), 1, 32, 32, 3)
    assert got == count
    assert float(f"{got / 1e6:.2g}" if millions > 1.5 and millions < 2 else got / 1e6) == (
        pytest.approx(millions, abs=0.05 if millions > 10 else 0.005)
    )


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [
        (MLP((64, 10)), (1, 784), 50_890),
        (CNN(), (1, 32, 32, 3), 1_403_050),
        (UNet(), (1, 64, 64, 3), 7_763_041),
        (UNet(width=64), (1, 64, 64, 3), 31_037_633),
        (Autoencoder(), (1, 28, 28, 1), 439_728),
        (Autoencoder(kind="convolutional", widths=(16, 32)), (1, 28, 28, 1), 115_217),
        (VAE(), (1, 28, 28, 1), 441_808),
        (VAE(kind="convolutional", widths=(16, 32)), (1, 28, 28, 1), 165_425),
        (Generator(), (1, 100), 1_066_880),
        (Generator(3, 64), (1, 100), 3_576_704),
        (Discriminator(), (1, 32, 32, 1), 661_248),
        (Discriminator(64), (1, 64, 64, 3), 2_765_568),
    ],
)
def test_parameter_counts_of_the_docstrings(model, shape, count):
    assert parameters(model, *shape) == count
    assert f"{count:,}" in " ".join(type(model).__doc__.split())


SMALL = [
    (MLP((16, 5)), (3, 4, 4, 1)),
    (CNN((4, 8), (16,)), (3, 9, 8, 3)),
    (VGG(11, 5, True, hidden_features=16, pooled_size=1), (2, 48, 48, 3)),
    (ResNet((1, 1, 1, 1), False, 5, small_images=True), (2, 24, 24, 3)),
    (ResNet((1, 1), True, 5), (2, 24, 24, 3)),
    (CifarResNet(14), (2, 12, 12, 3)),
    (UNet(2, 4, 2), (2, 13, 14, 3)),
    (Autoencoder(4, (16,)), (3, 6, 7, 1)),
    (VAE(4, (6, 8), "convolutional"), (3, 9, 8, 1)),
    (Generator(1, 16, 4), (3, 8)),
    (Discriminator(16, 4), (3, 16, 16, 1)),
    (Discriminator(16, 4, spectral_norm=True), (3, 16, 16, 1)),
    (ViT(5, 4, 12, 2, 3, 16), (2, 8, 12, 3)),
]
names = [f"{type(model).__name__}-{index}" for index, (model, _) in enumerate(SMALL)]


def random_variables(model, shape):
    """Variables of sensible size, without compiling the initialisation."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    generator = np.random.default_rng(0)

    def draw(path, leaf):
        noise = generator.normal(size=leaf.shape).astype(np.float32)
        if path[-1] in ("scale", "var"):
            return 1 + 0.1 * np.abs(noise)
        return noise / np.sqrt(max(np.prod(leaf.shape[:-1]), leaf.shape[0] if leaf.shape else 1))

    shapes = flatten_dict(dict(jax.eval_shape(model.init, jax.random.key(0), x)))
    return unflatten_dict({path: jnp.asarray(draw(path, leaf)) for path, leaf in shapes.items()})


@pytest.mark.parametrize(("model", "shape"), SMALL, ids=names)
def test_bfloat16_is_near_float32_and_its_parameters_and_outputs_stay_float32(model, shape):
    x = jax.random.normal(jax.random.key(2), shape)
    variables = random_variables(model, shape)
    low = model.clone(dtype=jnp.bfloat16)
    assert all(
        leaf.dtype == jnp.float32
        for leaf in jax.tree.leaves(jax.eval_shape(low.init, jax.random.key(0), x))
    )
    want = jax.tree.leaves(jax.jit(model.apply)(variables, x))
    got = jax.tree.leaves(jax.jit(low.apply)(variables, x))
    for low_output, output in zip(got, want, strict=True):
        assert low_output.dtype == jnp.float32
        scale = float(jnp.abs(output).max())
        assert scale > 0
        assert float(jnp.abs(low_output - output).max()) <= 2e-2 * scale
        assert not jnp.array_equal(low_output, output)  # it did compute in bfloat16


@pytest.mark.parametrize(("model", "shape"), SMALL, ids=names)
def test_weights_go_to_torch_and_back_bit_for_bit(model, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = random_variables(model, shape)
    back = from_torch(to_torch(variables, model), model, x)
    jax.tree.map(np.testing.assert_array_equal, dict(variables), back)


def test_scanned_and_unrolled_resnet32_agree_and_exchange_checkpoints():
    images = jax.random.normal(jax.random.key(0), (2, 12, 12, 3))
    scanned, unrolled = (CifarResNet(32, scan=scan) for scan in (True, False))
    variables = random_variables(scanned, images.shape)
    other = jax.eval_shape(unrolled.init, jax.random.key(1), images)
    assert jax.tree.structure(variables) == jax.tree.structure(other)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, other)

    def step(model):
        def loss(params):
            logits, updated = model.apply(
                {**variables, "params": params}, images, True, mutable=["batch_stats"]
            )
            return jnp.square(logits - 1).mean(), (logits, updated)

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])

    (loss, (logits, updated)), gradients = step(scanned)
    (want_loss, (want_logits, want_updated)), want_gradients = step(unrolled)
    scale = float(jnp.abs(want_logits).max())
    np.testing.assert_allclose(loss, want_loss, rtol=1e-5)
    np.testing.assert_allclose(logits, want_logits, atol=1e-5 * scale)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(want_gradients))
    for got, want in ((gradients, want_gradients), (updated, want_updated)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), got, want)


@pytest.mark.timeout(300)
def test_resnet1202_compiles_its_train_step_within_a_minute_and_runs_it():
    model = flax_models.resnet1202()
    images, labels = jnp.ones((2, 8, 8, 3)), jnp.array([1, 7])
    variables = random_variables(model, images.shape)
    # A rate never seen before: the persistent cache must not hide what is measured.
    optimizer = optax.sgd(1e-3 * (1 + time.time() % 1))
    state = (variables, optimizer.init(variables["params"]))

    def train_step(state, images, labels):
        variables, optimizer_state = state

        def loss(params):
            logits, updated = model.apply(
                {**variables, "params": params}, images, True, mutable=["batch_stats"]
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updated

        (value, updated), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        updates, optimizer_state = optimizer.update(gradients, optimizer_state)
        params = optax.apply_updates(variables["params"], updates)
        return ({**updated, "params": params}, optimizer_state), value

    start = time.perf_counter()
    compiled = jax.jit(train_step).lower(state, images, labels).compile()
    assert time.perf_counter() - start < 60
    state, loss = compiled(state, images, labels)
    assert np.isfinite(loss)


@pytest.mark.parametrize(
    ("model", "first", "second", "message"),
    [
        (CNN((4,), ()), (1, 8, 8, 3), (4, 32, 32), r"images: expected \[batch, height, width, 3\]"),
        (CNN((4,), ()), (1, 8, 8, 3), (1, 8, 8, 4), r"width, 3\], got \(1, 8, 8, 4\)"),
        (CNN((4,), ()), (1, 8, 8, 3), (1, 10, 8, 3), "images: expected a height and width that"),
        (CNN(), (1, 7, 8, 3), None, r"images: expected \[batch, height >= 8, width >= 8"),
        (CNN(padding_mode="circular"), (1, 8, 8, 3), None, "padding_mode: expected one of zeros"),
        (MLP((3,)), (2, 5), (2, 6), r"x: expected \[batch, 5\], got \(2, 6\)"),
        (MLP((3,)), (5,), None, r"x: expected \[batch, ...features\], got \(5,\)"),
        (MLP(()), (2, 5), None, "features: expected at least one"),
        (VGG(hidden_features=4), (1, 31, 40, 3), None, r"images: expected .* got \(1, 31, 40, 3\)"),
        (VGG(12), (1, 32, 32, 3), None, "depth: expected one of 11, 13, 16, 19"),
        (ResNet((1,)), (1, 16, 16, 3), (1, 16, 16, 1), r"images: expected .* width, 3\], got"),
        (CifarResNet(21), (1, 8, 8, 3), None, r"depth: expected 6n \+ 2"),
        (CifarResNet(8), (1, 8, 8, 3), (8, 8, 3), r"images: expected .* got \(8, 8, 3\)"),
        (CifarResNet(8, shortcut="C"), (1, 8, 8, 3), None, "shortcut: expected one of"),
        (UNet(depth=3), (1, 7, 9, 3), None, "height >= 8, width >= 8, channels] for depth 3, got"),
        (UNet(1, 2, 1), (1, 8, 8, 3), (1, 8, 8, 1), r"images: expected .* width, 3\], got"),
        (UNet(skip="multiply"), (1, 16, 16, 3), None, "skip: expected one of"),
        (UNet(upsampling="nearest"), (1, 16, 16, 3), None, "upsampling: expected one of"),
        (Autoencoder(), (1, 8, 8, 3), None, r"images: expected \[batch, height, width, 1\], got"),
        (Autoencoder(kind="sparse"), (1, 8, 8, 1), None, "kind: expected one of"),
        (VAE(), (8, 8, 1), None, r"images: expected \[batch, height, width, 1\], got \(8, 8, 1\)"),
        (Generator(image_size=28), (1, 5), None, "image_size: expected a power of two"),
        (Generator(1, 8, 2), (1, 5), (1, 6), r"latent: expected \[batch, 5\], got \(1, 6\)"),
        (Discriminator(), (1, 28, 28, 1), None, r"images: expected \[batch, 32, 32, channels\]"),
        (ViT(patch_size=8), (1, 12, 16, 3), None, "images: expected .* multiples of 8, got"),
        (ViT(2, 4, 6, 1, 3, 6), (1, 8, 8, 3), (1, 8, 12, 3), "images: expected 4 patches of 4"),
    ],
)
def test_bad_input_is_one_line_that_names_argument_and_shapes(model, first, second, message):
    with pytest.raises(ValueError, match=message) as caught:  # noqa: PT012
        first, *second = (
            jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (first, second) if shape
        )
        variables = jax.eval_shape(model.init, jax.random.key(0), first)
        assert second, "init should have failed"
        jax.eval_shape(model.apply, variables, *second)
    # JAX may add a paragraph of its own, about tracebacks, after a line of dashes.
    assert re.match(rf"[^\n]*{message}[^\n]*(\n-|$)", str(caught.value))


def test_noise_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"noise: expected \[1, 32\], got \(1, 31\)"):
        VAE().init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, 31)))


def test_kl_divergence_by_hand():
    # N(1, 1) from N(0, 1): 1/2. N(0, e) from N(0, 1): (e - 1 - 1) / 2.
    got = kl_divergence(jnp.array([[1.0], [0.0]]), jnp.array([[0.0], [1.0]]))
    np.testing.assert_allclose(got, [0.5, (np.e - 2) / 2], rtol=1e-6)


def test_dropout_is_only_for_training_and_follows_its_key():
    model, x = MLP((32, 4), dropout_rate=0.5), jnp.ones((2, 3))
    variables = model.init(jax.random.key(0), x)

    def train(seed):
        return model.apply(variables, x, True, rngs={"dropout": jax.random.key(seed)})

    np.testing.assert_array_equal(train(1), train(1))
    assert not jnp.array_equal(train(1), train(2))
    assert not jnp.array_equal(train(1), model.apply(variables, x))


def test_zero_init_makes_every_block_the_identity():
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    shallow, deep = (CifarResNet(depth, zero_init_last=True) for depth in (8, 20))
    variables = jax.jit(deep.init)(jax.random.key(1), x)
    kept = {
        collection: {name: tree for name, tree in trees.items() if name[-1] not in "123"}
        | {name: trees[name] for name in ("conv1", "bn1") if name in trees}
        for collection, trees in variables.items()
    }
    np.testing.assert_allclose(shallow.apply(kept, x), deep.apply(variables, x), rtol=1e-5)


@pytest.mark.parametrize("width", [64, 8])
def test_the_width_of_vgg_scales_every_block(width):
    """3x3 kernels, biases and two numbers a norm: column A of the paper's table 1."""
    widths = [width * multiple for multiple in (1, 2, 4, 4, 8, 8, 8, 8)]
    features = sum(9 * i * o + 3 * o for i, o in zip([3, *widths], widths, strict=False))
    dense = 8 * width * 256 + 256 + 257 * 256 + 257 * 10
    model = VGG(11, 10, True, hidden_features=256, pooled_size=1, width=width)
    assert parameters(model, 1, 32, 32, 3) == features + dense


def test_frozen_features_get_no_gradient_and_keep_their_statistics():
    model = VGG(11, 3, True, 0.0, hidden_features=8, pooled_size=1, width=2, frozen_features=True)
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    variables = random_variables(model, x.shape)

    def loss(params):
        variables_now = {**variables, "params": params}
        outputs, changed = model.apply(variables_now, x, train=True, mutable=["batch_stats"])
        return jnp.square(outputs).sum(), (outputs, changed)

    gradients, (outputs, changed) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for module, leaves in gradients.items():
        moves = any(np.any(leaf) for leaf in jax.tree.leaves(leaves))
        assert moves == module.startswith("classifier"), module
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], variables["batch_stats"])
    np.testing.assert_allclose(outputs, jax.jit(model.apply)(variables, x), rtol=1e-5)
