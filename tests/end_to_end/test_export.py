"""Exported files answer as the run does, with JAX alone, and say what they take and give."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from cell_pictures import draw_cells
from command import ROOT, answers, assert_mistake, call, run, train
from PIL import Image
from safetensors import safe_open
from two_digits import OPTIONS, TEXTS, draw_folder, picture

from data.cells import simulate_cells
from train import UsageError, recipes
from train.export import ExportedTask, load_exported, save_exported
from train.run_folder import save_weights, write_config
from train.task import Weights

ALONE = """
import runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
ours = {"flax", "flax_models", "train", "data", "optax", "orbax"} & sys.modules.keys()
assert not ours, ours
"""


@pytest.fixture(scope="module")
def captcha(tmp_path_factory):
    """A run folder, its exported file, and ten pictures."""
    place = tmp_path_factory.mktemp("export")
    folder, _ = train(
        tmp_path_factory, "captcha", "--source", draw_folder(place / "images", None), *OPTIONS
    )
    pictures = [place / f"{number}.png" for number in range(10)]
    for number, path in enumerate(pictures):
        image = picture(TEXTS[number % len(TEXTS)], 1000 + number)
        image.resize((64 + 3 * number, 32)).convert("RGB").save(path)
    file = place / "reader.jax"
    done = run("export", folder, file)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == str(file)
    return folder, file, pictures


def said(*arguments):
    """What a command prints, in this process."""
    code, out, err = call(*arguments)
    assert code == 0, err
    return list(map(json.loads, out.splitlines()))


def answers_alone(example, folder, *arguments):
    """What an example of ``docs`` says, in a process that imports nothing of ours and no Flax."""
    alone = subprocess.run(
        [sys.executable, "-c", ALONE, ROOT / "docs" / example, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "XLA_FLAGS": ""},
    )
    assert alone.returncode == 0, alone.stderr
    return list(map(json.loads, alone.stdout.splitlines()))


def test_the_example_reads_as_predict_does_with_jax_alone(captcha, tmp_path):
    folder, file, pictures = captcha
    got = answers_alone("load_exported.py", tmp_path, file, *pictures)
    wanted = answers(folder, *pictures)
    assert [one["text"] for one in got] == [one["text"] for one in wanted]
    assert len({one["text"] for one in got}) > 5  # they are read, not passed over
    np.testing.assert_allclose(
        [one["confidence"] for one in got], [one["confidence"] for one in wanted], rtol=1e-5
    )


def test_masks_are_those_of_predict_with_jax_alone_and_from_the_file(tmp_path):
    """Of an untrained U-Net that finds half of a picture, with each of the symmetries."""
    recipe = recipes.get("unet", crop=32, width=4, depth=2, views=8)
    task = recipe.task(None)
    inputs = simulate_cells(0)[0][None, : recipe.patch, : recipe.patch]
    variables = jax.device_get(jax.jit(task.init)(jax.random.key(0), {"inputs": inputs}).variables)
    found = jax.jit(task.predict)(Weights(variables), inputs)
    head = variables["params"]["network"]["head"]
    head["bias"] = head["bias"] - np.median(found)
    write_config(tmp_path / "run", recipe)
    save_weights(tmp_path / "run", recipe, variables, inputs)
    file = tmp_path / "elsewhere" / "finder.jax"
    file.parent.mkdir()
    pictures = sorted((draw_cells(tmp_path / "cells") / "images").iterdir())[:10]
    said("export", tmp_path / "run", file)
    wanted = said("predict", tmp_path / "run", *pictures)
    assert 0.05 < np.mean([one["foreground"] for one in wanted]) < 0.95
    of_file = said("predict", file, *pictures)
    (tmp_path / "alone").mkdir()
    alone = answers_alone("segment_exported.py", tmp_path, file, "alone", *pictures)
    for place, answered in ((file.parent / "predictions", of_file), (Path("alone"), alone)):
        for one, other, path in zip(answered, wanted, pictures, strict=True):
            assert one["mask"] == str(place / f"{path.stem}_mask.png")
            ours, theirs = (np.asarray(Image.open(tmp_path / a["mask"])) for a in (one, other))
            np.testing.assert_array_equal(ours, theirs)


def test_predict_and_eval_take_the_file(captcha):
    folder, file, pictures = captcha
    both = (said("predict", place, *pictures) for place in (file, folder))
    for one, other in zip(*both, strict=True):
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), rel=1e-5)
        assert one == other
    (measured,), (wanted,) = (said("eval", place) for place in (file, folder))
    for name in ("recipe", "data"):
        assert measured.pop(name) == wanted.pop(name)
    assert measured == pytest.approx(wanted, rel=1e-5)


def test_the_description_says_what_goes_in_and_comes_out(captcha):
    description = json.loads(captcha[1].with_name("reader.jax.json").read_text())
    assert description["recipe"] == "captcha"
    assert description["input"] == {"shape": ["batch", 16, 32, 1], "dtype": "uint8"}
    assert description["output"]["prediction/classes"]["shape"] == ["batch", 8]
    assert description["output"]["prediction/log_probs"]["shape"] == ["batch", 8, 4]
    assert description["alphabet"] == "234"
    assert "height 16" in description["how_to_read"]
    assert description["platforms"] == ["cpu", "cuda", "tpu"]


def test_the_weights_say_what_they_belong_to(captcha):
    with safe_open(captcha[0] / "model.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    config = json.loads((captcha[0] / "config.json").read_text())
    assert metadata["recipe"] == config["recipe"] == "captcha"
    assert json.loads(metadata["settings"]) == config["settings"]
    assert json.loads(metadata["input"]) == {"shape": [16, 32, 1], "dtype": "uint8"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sine", {}),
        ("boston", {}),
        ("mnist", {}),
        ("mnist", {"precision": "bf16"}),
        ("netflix", {"cell": "lstm"}),
        ("adding", {"length": 12, "lengths": (12,)}),
        ("mnist-rows", {"hidden_size": 8}),
        ("mnist-words", {"hidden_size": 8}),
        ("sentiment", {"hidden_size": 4, "run_bits": 5}),
        ("restore", {"width": 2, "depth": 1}),
        ("autoencoder", {"kind": "variational"}),
        ("cifar10", {"widths": (4,), "hidden": (8,)}),
    ],
)
def test_every_practice_predicts_from_a_file_as_from_its_weights(name, options, tmp_path):
    if name == "restore":
        options = {**options, "source": str(draw_cells(tmp_path / "cells", pictures=10))}
    recipe = recipes.get(name, **options)
    splits = recipe.load()
    tolerance = 2**-8 if recipe.precision == "bf16" else 1e-5
    inputs = splits.test["inputs"]
    one = {name: array[:1] for name, array in splits.train.items()} | {"mask": np.ones(1)}
    state = jax.jit(recipe.task(splits).init)(jax.random.key(1), one)
    variables = jax.device_get(state.variables)
    file = tmp_path / "file"
    save_exported(file, recipe, variables, jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype))
    loaded, settings, function, untrained = load_exported(file)
    assert loaded == name
    assert settings["seed"] == 0
    assert not untrained.keys() & {"params", "batch_stats"}
    task = recipe.task(None)
    exported = ExportedTask(function, task, file)
    wanted = jax.jit(task.predict)(Weights(variables), inputs[:3])
    for rows in (1, 3):
        got = exported.predict(Weights(untrained), inputs[:rows])
        assert jax.tree.structure(got) == jax.tree.structure(wanted)
        for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(one, other[:rows], rtol=tolerance, atol=tolerance)
    if name == "adding":  # of any length
        assert exported.predict(Weights({}), np.zeros((2, 7, 2), np.float32)).shape == (2, 1)


def test_a_search_led_from_python_is_refused(tmp_path):
    with pytest.raises(UsageError, match="translate cannot be exported"):
        save_exported(
            tmp_path / "file", recipes.get("translate"), {}, jax.ShapeDtypeStruct((9,), np.int32)
        )
    assert not list(tmp_path.iterdir())


def test_mistakes(captcha, tmp_path):
    folder, file, pictures = captcha
    assert_mistake(["export", folder], "export DIR FILE")
    assert_mistake(["export", tmp_path, tmp_path / "file"], "not a run folder")
    assert_mistake(["export", folder, tmp_path / "no" / "file"], "cannot be written")
    assert_mistake(["export", folder, tmp_path], "cannot be written")
    assert not list(tmp_path.iterdir())
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes()[:-1])
    assert_mistake(["predict", copy, pictures[0]], "not an exported file", "copy.json")
    beside = tmp_path / "copy.json"
    beside.write_text(file.with_name("reader.jax.json").read_text())
    assert_mistake(["predict", copy, pictures[0]], "not the file that copy.json describes")
    beside.write_text("{")
    assert_mistake(["eval", copy], "copy.json", "damaged")
