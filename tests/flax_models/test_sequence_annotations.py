"""The shapes in the signatures of the sequence models, checked at run time.

In a process of its own: with the checks on, a wrong rank is a type error before it can be the
ValueError that users see. Shapes are all that is computed, so nothing compiles.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

CALLS = """
    import jax
    import jax.numpy as jnp
    from jaxtyping import install_import_hook

    with install_import_hook("flax_models", "beartype.beartype"):
        import flax_models as fm

    key, x, lengths = jax.random.key(0), jnp.ones((2, 7, 3)), jnp.array([7, 3])

    def check(function, *arguments, **options):
        return jax.eval_shape(lambda *traced: function(*traced, **options), *arguments)

    for cell in (fm.RNN, fm.LSTM, fm.GRU):
        model = cell(4, 2, bidirectional=True)
        variables = check(model.init, key, x, lengths)
        (_, state), _ = check(model.apply, variables, x, lengths, mutable=["intermediates"])
        check(model.apply, variables, x, lengths, state)

    images, widths = jnp.ones((2, 16, 20, 1)), jnp.array([20, 8])
    crnn = fm.CRNN(5, 4, (6, 4, 8), 7, 5)
    check(crnn.apply, check(crnn.init, key, images), images, widths)

    source, target = jnp.ones((2, 5), int), jnp.ones((2, 4), int)
    for attention in ("additive", "dot", "scaled_dot", "multi_head"):
        model = fm.Seq2Seq(6, 4, 3, 4, attention=attention, num_heads=2)
        variables = check(model.init, key, source, target)
        check(model.apply, variables, source, target, jnp.array([5, 2]))
        for decode in (fm.greedy_decode, fm.beam_decode):
            check(lambda v, s: decode(model, v, s, max_length=3), variables, source)

    for cell in ("rnn", "lstm", "gru"):
        model = fm.Captioner(4, cell, (2, 3), 3, 4)
        variables = check(model.init, key, images, target % 4)
        check(model.apply, variables, images, target)
        for decode in (fm.greedy_caption, fm.beam_caption):
            check(lambda v, i: decode(model, v, i, max_length=3), variables, images)
    layer = fm.GRU(4)
    params = check(layer.init, key, x)["params"]
    check(lambda k, p: fm.chrono_init(k, p, layer, 9), jax.random.PRNGKey(0), params)

    reader = fm.TextClassifier(6, 3, 4, 5, longest_run=3)
    check(reader.apply, check(reader.init, key, source), source, jnp.array([5, 2]))

    mask = jnp.ones((2, 1, 7), bool)
    for model in (fm.AdditiveAttention(3), fm.DotAttention(True), fm.MultiHeadAttention(1)):
        check(model.apply, check(model.init, key, x, x, x), x, x, x, mask)

    logits, labels = jnp.zeros((2, 6, 4)), jnp.array([[1, 2], [1, 1]])
    for method in ("optax", "fast"):
        for reduction in ("none", "mean", "sum"):
            options = {"reduction": reduction, "method": method}
            check(fm.ctc_loss, logits, labels, lengths - 1, lengths // 4, **options)
    check(fm.ctc_feasible, labels, lengths)
    check(fm.ctc_align, logits, labels)
    check(fm.ctc_greedy_decode, logits)
    check(fm.ctc_beam_search, logits, beam_width=3)
    check(fm.edit_distance, labels, labels)

    # The checks are on: a wrong rank does not get through.
    try:
        check(fm.ctc_feasible, labels[0], lengths)
    except Exception as error:
        assert "labels" in str(error), error
    else:
        raise AssertionError("annotations were not checked")
"""


def test_every_public_call_has_the_annotated_shapes():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(CALLS)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
