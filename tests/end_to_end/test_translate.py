"""The practice `translate`: a small language of ours, its mistakes, and what padding may not do."""

import jax
import numpy as np
import pytest
from command import answers, assert_complete, assert_eval_repeats, assert_mistake, summary, train

from train import recipes
from train.run_folder import load_weights

NUMBERS = {
    "one": "ein", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs",
}  # fmt: skip
COLOURS = {
    "red": "rot", "blue": "blau", "green": "grün", "black": "schwarz", "white": "weiß",
    "brown": "braun",
}  # fmt: skip
THINGS = {
    "dog": "Hund", "cat": "Katze", "bird": "Vogel", "horse": "Pferd", "house": "Haus",
    "tree": "Baum",
}  # fmt: skip
SMALL = (
    "--source-language", "en", "--target-language", "xx", "--merges", "200", "--attention", "dot",
    "--embedding-size", "32", "--hidden-size", "64", "--learning-rate", "0.01",
    "--batch-size", "16", "--epochs", "20", "--evaluate-every", "5", "--beam-width", "3",
)  # fmt: skip


def pairs():
    """All 216 phrases, "three red dogs" and "drei Hund, rot", in a fixed order without order."""
    phrases = [
        (f"{number} {colour} {thing}", f"{NUMBERS[number]} {THINGS[thing]}, {COLOURS[colour]}")
        for number in NUMBERS
        for colour in COLOURS
        for thing in THINGS
    ]
    return [phrases[index] for index in np.random.default_rng(0).permutation(len(phrases))]


def write(folder, **parts):
    folder.mkdir(exist_ok=True)
    for part, lines in parts.items():
        for ending, column in zip(("en", "xx"), zip(*lines, strict=True), strict=True):
            (folder / f"{part}.{ending}").write_text("\n".join(column) + "\n")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """146 phrases to learn from, and 35 others for each of validation and test."""
    every = pairs()
    folder = tmp_path_factory.mktemp("texts") / "phrases"
    return write(folder, train=every[:146], val=every[146:181], test_1=every[181:])


@pytest.fixture(scope="module")
def trained(texts, tmp_path_factory):
    return train(tmp_path_factory, "translate", "--source", texts, *SMALL)


def test_a_run_folder_is_complete(trained):
    assert_complete("translate", {"attention", "learning_curves"}, *trained)
    assert_eval_repeats(trained[0])


def test_unseen_phrases_are_translated(trained):
    result = summary(trained[0])
    assert result["metrics"]["validation/exact_match"] > 0.8
    assert result["metrics"]["test/exact_match"] > 0.8
    assert result["bleu"]["test"]["cased"] > 80 > result["baseline"]["test/bleu"]
    assert result["bleu"]["validation"]["lowercase"] >= result["bleu"]["validation"]["cased"]
    assert result["baseline"]["test/exact_match"] == 0
    assert result["data"] == "phrases en-xx"
    assert result["texts"]["training_pairs"] + result["texts"]["longer_pairs_left_out"] == 146


def test_shuffled_targets_teach_nothing(texts, tmp_path, tmp_path_factory):
    """The same pipeline, where no target belongs to its source, stays at chance: 1 in 216."""
    every = pairs()
    order = np.random.default_rng(1).permutation(146)
    shuffled = [(every[i][0], every[j][1]) for i, j in enumerate(order)]
    write(tmp_path / "shuffled", train=shuffled, val=every[146:181], test_1=every[181:])
    folder, _ = train(tmp_path_factory, "translate", "--source", tmp_path / "shuffled", *SMALL)
    assert summary(folder)["metrics"]["validation/exact_match"] < 0.1


def test_predict_needs_the_weights_and_not_the_texts(trained, texts, tmp_path):
    hidden = texts.rename(tmp_path / "elsewhere")
    try:
        first, second = answers(trained[0], "two  black cat", "six white tree")
    finally:
        hidden.rename(texts)
    assert first.keys() == {"input", "text", "confidence"}
    assert (first["input"], first["text"]) == ("two  black cat", "zwei Katze, schwarz")
    assert second["text"] == "sechs Baum, weiß"
    assert 0.2 < first["confidence"] <= 1


def test_company_changes_no_translation(trained, texts):
    """A text alone, and the same among longer ones and more than fill a batch."""
    recipe = recipes.get(
        "translate", source=str(texts), hidden_size=64, embedding_size=32, attention="dot"
    )
    variables = load_weights(trained[0])
    alone = recipe.translate(variables, ["two black cat"])[0]
    crowd = recipe.translate(variables, ["two black cat", "one " * 20, *["red dog"] * 105])
    assert len(crowd) == 107
    assert crowd[0].text == alone.text
    assert crowd[0].confidence == pytest.approx(alone.confidence, rel=1e-4)
    assert crowd[0].weights.shape == (len(alone.target_tokens), len(alone.source_tokens))
    np.testing.assert_allclose(crowd[0].weights, alone.weights, atol=1e-4)
    np.testing.assert_allclose(alone.weights.sum(axis=1), 1, rtol=1e-4)
    assert {answer.text for answer in crowd[2:]} == {crowd[2].text}


def test_padding_changes_no_logit(texts):
    recipe = recipes.get(
        "translate", source=str(texts), target_language="xx", embedding_size=4, hidden_size=4
    )
    splits = recipe.load()
    task = recipe.task(splits)
    rows = {name: np.array(array[:3]) for name, array in splits.test.items()}
    variables = jax.jit(task.init)(jax.random.PRNGKey(0), rows).variables
    wider = np.pad(rows["inputs"], [(0, 0), (0, 5)])
    apply = jax.jit(task.module.apply)
    logits, other = (apply(variables, (each, rows["targets"])) for each in (rows["inputs"], wider))
    np.testing.assert_allclose(other, logits, atol=1e-5)
    assert np.ptp(logits, axis=0).max() > 1e-3  # each text gives its own


def test_vocabularies_know_the_training_part_alone(texts, tmp_path):
    every = pairs()
    other = write(
        tmp_path / "other", train=every[:146], val=[("Q Q", "Q Q")], test_1=[("Z Z", "Z Z")]
    )
    found = [
        recipes.get("translate", source=str(folder), target_language="xx").vocabularies
        for folder in (texts, other)
    ]
    for mine, theirs in zip(*found, strict=True):
        assert mine.tokens == theirs.tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["an empty text"]),
        ("  ", ["an empty text"]),
        ("ЖЩ", ["'ЖЩ'", "training showed nothing"]),
    ],
)
def test_a_text_that_says_nothing(trained, text, words):
    assert_mistake(["predict", trained[0], text], *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--source", "nowhere"], ["nowhere: no such folder"]),
        (["--source-language", "fr"], ["0 files test*.fr"]),
        (["--target-language", "fr"], ["train.fr: no such file"]),
        (["--target-language", "en"], ["both languages are en; name two"]),
        (["--attention", "self"], ["one of additive, dot, multi-head", "'self'"]),
        (["--attention", "multi-head", "--hidden-size", "30"], ["30", "4 heads must divide it"]),
        (["--coverage", "0"], ["coverage 0.0", "above 0 and at most 1"]),
        (["--dropout-rate", "1"], ["dropout_rate 1.0", "below 1"]),
        (["--beam-width", "0"], ["beam_width 0", "1 or more"]),
        (["--merges", "-1"], ["merges -1", "0, for characters"]),
    ],
)
def test_wrong_options(texts, tmp_path, options, words):
    arguments = ["train", "translate", "--source", texts, *SMALL, "--out", tmp_path / "run"]
    assert_mistake([*arguments, *options], *words)
    assert not (tmp_path / "run").exists()


def test_files_of_different_lengths(texts, tmp_path):
    every = pairs()
    write(tmp_path / "texts", train=every[:9], val=every[9:12], test_1=every[12:15])
    (tmp_path / "texts" / "train.xx").write_text("eins\n")
    arguments = ["train", "translate", "--source", tmp_path / "texts", *SMALL]
    assert_mistake(
        [*arguments, "--out", tmp_path / "run"], "train.en has 9 lines", "train.xx has 1;"
    )
    assert not (tmp_path / "run").exists()
