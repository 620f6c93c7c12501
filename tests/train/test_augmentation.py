"""Augmentation of objects, and what is asked of mixed images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import cut_mix, mix_up, random_cutout, random_flip
from train.classification import cross_entropy, mixed_cross_entropy, mixture
from train.errors import UsageError
from train.objects import Augmentation

IMAGES = np.random.default_rng(0).integers(1, 256, (16, 8, 8, 3)).astype(np.uint8)
BATCH = {"inputs": IMAGES, "targets": np.arange(16) % 4, "mask": np.ones(16, np.float32)}
KEY = jax.random.PRNGKey(0)


def test_a_flip_turns_some_images_and_keeps_the_rest():
    flipped = np.asarray(random_flip(KEY, IMAGES))
    kept = (flipped == IMAGES).all(axis=(1, 2, 3))
    turned = (flipped == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ turned).all()
    assert 0 < turned.sum() < 16


def test_a_cutout_blacks_out_at_most_a_square():
    cut = np.asarray(random_cutout(KEY, IMAGES, 4))
    black = (cut == 0).all(axis=-1)
    assert ((cut == IMAGES).all(axis=-1) ^ black).all()
    assert black.sum(axis=(1, 2)).max() == 16
    assert black.sum(axis=(1, 2)).min() >= 4  # a quarter of it where the centre is in a corner
    assert black.any(axis=1).sum(axis=1).max() == 4


@pytest.mark.parametrize("way", [mix_up, cut_mix])
def test_mixed_images_hold_as_much_of_their_own_as_they_say(way):
    """Of images of one colour the mean tells the share."""
    colours = np.full((2, 32, 32, 3), 0, np.float32)
    colours[0] = 1
    for seed in range(5):
        mixed, own = way(jax.random.PRNGKey(seed), colours, 1.0)
        assert 0 <= own <= 1
        means = np.asarray(mixed, np.float64).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, [own, 1 - own], atol=1e-6)


def test_a_mixture_by_hand():
    asked = mixture(jnp.array([0, 1]), 4, jnp.array(0.75), 0.2)
    np.testing.assert_allclose(asked, [[0.65, 0.25, 0.05, 0.05], [0.25, 0.65, 0.05, 0.05]])


def test_without_mixing_the_loss_is_the_cross_entropy():
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(16, 4)))
    batch = Augmentation(crop=0, flip=False).build(4)(KEY, BATCH)
    np.testing.assert_array_equal(batch["inputs"], IMAGES)
    np.testing.assert_allclose(
        mixed_cross_entropy(logits, batch), cross_entropy(logits, BATCH), rtol=1e-6
    )


def test_augmentation_is_a_function_of_its_key():
    augment = jax.jit(Augmentation(2, True, 3, 0.5, 1.0, 0.1).build(4))
    one, same, other = (augment(jax.random.PRNGKey(seed), BATCH) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["inputs"], same["inputs"])
    np.testing.assert_array_equal(one["mixture"], same["mixture"])
    assert (one["inputs"] != other["inputs"]).any(axis=(1, 2, 3)).all()
    np.testing.assert_allclose(one["mixture"].sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"crop": -1}, {"cutmix": -0.5}, {"label_smoothing": 1.0}])
def test_impossible_changes_are_refused(wrong):
    with pytest.raises(UsageError, match=rf"augmentation\.{next(iter(wrong))} "):
        Augmentation(**wrong)
