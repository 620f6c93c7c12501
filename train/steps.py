"""One pure training step, right under ``jit``, ``pmap``, ``shard_map`` and ``vmap``."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int, PyTree, UInt32

Batch = dict[str, Any]
"""``inputs`` and ``targets`` with one row an example, and ``mask`` [B]: 1 for a row that counts."""

Sums = dict[str, Array]
"""Metrics summed over the rows that count, and their number ``n``; divided once, at the end."""

PerExample = Callable[[Any, Batch], Float[Array, "B"]]
"""From a network's outputs and the batch to one number an example."""

Augment = Callable[[Array, Batch], Batch]
"""From a key and a batch to a changed batch; what must move alike, as image and mask, does."""


class TrainState(struct.PyTreeNode):
    """What a step changes, as one pytree that is donated, checkpointed and restored whole."""

    step: Int[Array, ""]
    params: PyTree
    model_state: PyTree
    """The variables that are not trained by gradients, by collection, as ``batch_stats``."""
    opt_state: optax.OptState
    key: UInt32[Array, "2"]
    """Root of the run's randomness; a step folds its number in, so resuming needs no more."""

    @property
    def variables(self) -> dict[str, PyTree]:
        """What ``module.apply`` takes."""
        return {"params": self.params, **self.model_state}


def sum_over(axis_name: str | None) -> Callable[[PyTree], PyTree]:
    """Sum over the devices of a mapped axis, or nothing where the step sees the whole batch.

    This is all that tells the two kinds of step apart. Differentiate first and sum afterwards:
    a psum inside the differentiated function gives wrong gradients without an error.
    """
    if axis_name is None:
        return lambda tree: tree
    return functools.partial(lax.psum, axis_name=axis_name)


def make_train_step(
    apply: Callable[..., Any],
    loss: PerExample,
    optimizer: optax.GradientTransformation,
    metrics: Mapping[str, PerExample] | None = None,
    augment: Augment | None = None,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Callable[[TrainState, Batch], tuple[TrainState, Sums]]:
    """Build ``train_step(state, batch) -> (state, sums)``.

    The objective is the mean of ``loss`` over the rows of the *global* batch with mask 1. With
    ``axis_name=None`` the step sees the global batch, as under ``jit`` on a mesh. With a name it
    sees one device's share, as under ``pmap``, ``shard_map`` or ``vmap``, and sums over the axis;
    batch normalisation then needs the same ``axis_name`` to see the whole batch.

    A step whose loss or gradients are not finite changes nothing but the step counter, and counts
    as ``skipped``: parameters, statistics and optimizer state stay those of the last good step.

    With ``accumulate=K`` the batch is taken in K parts, one after another, and the gradients are
    added up: the same objective and the same update in a K-th of the memory for activations.
    Augmentation is that of the whole batch. Two things differ from the batch taken at once:
    dropout draws a mask of its own for each part, and batch norm sees one part at a time, so its
    normalisation is by B/K rows and its running statistics move K times in a step.

    Args:
        apply: ``module.apply``; called with ``train=True`` and a ``dropout`` key.
        loss: per-example loss [B].
        optimizer: an optax transformation.
        metrics: further per-example figures [B] by name.
        augment: random changes of the batch inside the step, from a key of that step.
        axis_name: of the mapped axis, if any.
        accumulate: parts in which the batch is taken; must divide the rows that the step sees.
    """
    total = sum_over(axis_name)
    metrics = metrics or {}

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        key = jax.random.fold_in(state.key, state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        augment_key, dropout_key = jax.random.split(key)
        if augment is not None:
            batch = augment(augment_key, batch)
        n = total(batch["mask"].sum())

        def learn(model_state: PyTree, rows: Batch, key: Array) -> tuple[PyTree, PyTree, Sums]:
            """Gradients of the objective's part that lies in ``rows``, statistics, and sums."""

            def objective(params: PyTree) -> tuple[Array, tuple[PyTree, Any]]:
                outputs, changed = apply(
                    {"params": params, **model_state},
                    rows["inputs"],
                    train=True,
                    mutable=list(model_state),
                    rngs={"dropout": key},
                )
                outputs = in_float32(outputs)
                return jnp.sum(loss(outputs, rows) * rows["mask"]) / n, (changed, outputs)

            (part, (changed, outputs)), gradients = jax.value_and_grad(objective, has_aux=True)(
                state.params
            )
            return gradients, changed, {"loss": part, **_sums(metrics, outputs, rows)}

        if accumulate == 1:
            gradients, model_state, sums = learn(state.model_state, batch, dropout_key)
        else:
            gradients, model_state, sums = _in_parts(
                learn, accumulate, state.model_state, batch, dropout_key
            )
        gradients, sums = total((gradients, sums))
        if axis_name is not None:
            model_state = lax.pmean(model_state, axis_name)

        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        proposed = state.replace(
            params=optax.apply_updates(state.params, updates),
            model_state=model_state,
            opt_state=opt_state,
        )
        finite = jnp.isfinite(sums["loss"]) & jnp.isfinite(optax.tree.norm(gradients))
        new_state, sums = keep_if(
            finite,
            proposed,
            state,
            {**sums, "loss": sums["loss"] * n, "n": n},
        )
        return new_state.replace(step=state.step + 1), sums

    return train_step


def in_float32(outputs: PyTree) -> PyTree:
    """Half-precision outputs in float32: losses, metrics and predictions are computed in it."""

    def widen(leaf: Any) -> Any:
        return leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf

    return jax.tree.map(widen, outputs)


def on_inputs(change: Callable[[Array, Any], Any]) -> Augment:
    """Augmentation of ``inputs`` alone, by ``(key, inputs) -> inputs``."""
    return lambda key, batch: {**batch, "inputs": change(key, batch["inputs"])}


def keep_if(finite: Array, proposed: PyTree, state: PyTree, sums: Sums) -> tuple[PyTree, Sums]:
    """The proposed state and its sums where ``finite``; else the old state and one ``skipped``."""
    kept = jax.tree.map(functools.partial(jnp.where, finite), proposed, state)
    sums = {name: jnp.where(finite, value, 0.0) for name, value in sums.items()}
    return kept, {**sums, "skipped": 1.0 - finite}


def make_eval_step(
    apply: Callable[..., Any],
    metrics: Mapping[str, PerExample],
    axis_name: str | None = None,
) -> Callable[[Any, Batch], Sums]:
    """Build ``eval_step(state, batch) -> sums`` for any state with ``variables``.

    Rows with mask 0 add nothing, so the sums do not depend on how examples were batched.
    """
    total = sum_over(axis_name)

    def eval_step(state: Any, batch: Batch) -> Sums:
        outputs = in_float32(apply(state.variables, batch["inputs"], train=False))
        return total({**_sums(metrics, outputs, batch), "n": batch["mask"].sum()})

    return eval_step


def _sums(
    metrics: Mapping[str, PerExample],
    outputs: Any,
    batch: Batch,
) -> Sums:
    # where, not a product: a filled row may give infinity, and 0 * infinity is not a number
    counts = batch["mask"] > 0
    return {
        name: jnp.sum(jnp.where(counts, metric(outputs, batch), 0.0))
        for name, metric in metrics.items()
    }


def _in_parts(
    learn: Callable[[PyTree, Batch, Array], tuple[PyTree, PyTree, Sums]],
    parts: int,
    model_state: PyTree,
    batch: Batch,
    key: Array,
) -> tuple[PyTree, PyTree, Sums]:
    """What ``learn`` gives for the whole batch, from its parts; statistics pass from one on."""

    def cut(rows: Array) -> Array:
        # part k has the rows k, k + parts, ...: so each device keeps the rows that it has
        return rows.reshape(-1, parts, *rows.shape[1:]).swapaxes(0, 1)

    def add(carry: tuple[PyTree, PyTree], part: tuple[Batch, Array]) -> tuple[Any, Sums]:
        gradients, model_state = carry
        more, model_state, sums = learn(model_state, *part)
        return (jax.tree.map(jnp.add, gradients, more), model_state), sums

    xs = (jax.tree.map(cut, batch), jax.random.split(key, parts))
    first = jax.tree.map(lambda leaf: leaf[0], xs)
    shapes = jax.eval_shape(learn, model_state, *first)[0]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    # no loop on a CPU, where convolutions in one take up to 100 times as long (jax issue 12868)
    unroll = parts if jax.default_backend() == "cpu" else 1
    (gradients, model_state), sums = lax.scan(add, (zeros, model_state), xs, unroll=unroll)
    return gradients, model_state, jax.tree.map(lambda leaf: leaf.sum(0), sums)
