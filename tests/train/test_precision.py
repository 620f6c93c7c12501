"""``--precision bf16``: which operations are in which type, read off every practice's jaxpr."""

import collections

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from data import Splits
from train import UsageError, recipes

SMALL = {
    "adding": {"length": 10},
    "unet": {"width": 4, "depth": 2, "crop": 64},
    "restore": {"width": 4, "depth": 2, "crop": 64},
}
"""Settings that make a practice's trace or data quick."""

PRACTICES = [name for name in recipes.RECIPES if name != "sine"]
PRODUCTS = {"dot_general", "conv_general_dilated"}
ISLANDS = {"exp", "log", "logistic", "erf", "rsqrt", "sqrt", "argmax", "cumsum"}


def splits_of(recipe):
    if recipe.name not in ("captcha", "unet", "restore"):
        return recipe.load()
    images = np.zeros((4, 96, 96, 1 if recipe.name == "restore" else 3), np.uint8)
    examples = {"inputs": images, "targets": images[..., :1]}
    if recipe.name == "captcha":
        texts = np.tile(np.array([ord("a"), ord("b"), 0], np.int32), (4, 1))
        examples = {"inputs": images[..., :1], "targets": texts}
    return Splits(examples, examples, examples, "nowhere")


def equations(jaxpr):
    """All of a jaxpr, those of loops and calls inside it among them."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda x: isinstance(x, jax.extend.core.ClosedJaxpr)
        ):
            if isinstance(value, jax.extend.core.ClosedJaxpr):
                yield from equations(value.jaxpr)
            elif isinstance(value, jax.extend.core.Jaxpr):
                yield from equations(value)


def operand_types(jaxpr, names):
    return collections.Counter(
        str(equation.invars[-1].aval.dtype)
        for equation in equations(jaxpr.jaxpr)
        if equation.primitive.name in names
    )


def traced(name, precision):
    recipe = recipes.get(name, precision=precision, batch_size=2, **SMALL.get(name, {}))
    splits = splits_of(recipe)
    # the gan's judge would be trained first, and no step asks it
    task = recipe.task(None if name == "gan" else splits)
    batch = {key: np.asarray(array[:2]) for key, array in splits.train.items()}
    batch["mask"] = np.ones(2, np.float32)
    state = jax.eval_shape(task.init, jax.random.PRNGKey(0), batch)
    return jax.make_jaxpr(task.train_step, return_shape=True)(state, batch), state


@pytest.mark.parametrize("name", PRACTICES)
def test_products_are_in_bfloat16_and_the_islands_in_float32(name):
    (jaxpr, (after, sums)), state = traced(name, "bf16")
    products = operand_types(jaxpr, PRODUCTS)
    # what is left over: the interpolation of augmentation, and counting in CTC
    assert products["bfloat16"] >= 5
    assert products["float32"] <= 2
    assert "bfloat16" not in operand_types(jaxpr, ISLANDS)
    for leaf in jax.tree.leaves((state, after, sums)):
        assert leaf.dtype != jnp.bfloat16
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == jax.tree.map(
        lambda leaf: leaf.dtype, state
    )


@pytest.mark.parametrize("name", PRACTICES)
def test_without_it_nothing_is_in_bfloat16(name):
    (jaxpr, _), _ = traced(name, "f32")
    assert "bfloat16" not in str(jaxpr)


def test_the_cubic_has_float32_alone():
    with pytest.raises(UsageError, match="precision bf16"):
        recipes.get("sine", precision="bf16")
