"""The cost of reading is measured on the same steps."""

from benchmarks.pipeline import variants
from train import recipes


def test_each_variant_takes_its_steps_again_and_again():
    recipe = recipes.get("mnist", batch_size=32)
    calls = variants(recipe, recipe.load(), 3)
    assert set(calls) == {"whole training", "steps alone", "steps, not augmented"}
    for call in calls.values():
        call()
        call()
