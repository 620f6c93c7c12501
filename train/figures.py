"""Figures that several practices share. Drawn without pyplot, which keeps global state."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font


def save(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    figure.savefig(path, dpi=120, bbox_inches="tight")


def learning_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """One panel a metric, train against validation, over training steps."""
    names = sorted({key.partition("/")[2] for line in history for key in line if "/" in key})
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(names) :]:
        axes.axis("off")
    for axes, name in zip(panels, names, strict=False):
        values: list[float] = []
        for split in ("train", "validation"):
            points = [
                (line["step"], line[f"{split}/{name}"])
                for line in history
                if f"{split}/{name}" in line
            ]
            if points:
                steps, heights = zip(*points, strict=True)
                axes.plot(steps, heights, label=split, marker="." if len(steps) < 30 else None)
                values += heights
        if min(values) > 0 and max(values) > 100 * min(values):
            axes.set_yscale("log")
        axes.set(xlabel="training step", ylabel=name, title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    save(figure, path)


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, names: Sequence[str], path: Path
) -> None:
    """Counts of predicted class (column) by true class (row)."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, predicted), 1)
    figure = Figure(figsize=(0.55 * len(names) + 1.5, 0.55 * len(names) + 1), layout="constrained")
    axes = figure.subplots()
    # mistakes are few: colour them apart from the diagonal, which would drown them
    mistakes = counts * (1 - np.eye(len(names), dtype=int))
    axes.imshow(mistakes, cmap="Reds")
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            dark = mistakes[row, column] > mistakes.max() / 2
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", fontsize=8,
                color="white" if dark else "black",
            )  # fmt: skip
    axes.set(
        xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names,
        xlabel="predicted", ylabel="true",
        title=f"{np.trace(counts)} of {counts.sum()} right ({np.trace(counts) / counts.sum():.1%})",
    )  # fmt: skip
    save(figure, path)


def image_grid(
    images: np.ndarray, titles: Sequence[str], path: Path, heading: str, columns: int = 8
) -> None:
    """Images [N, H, W, 1 or 3] in rows, each under its title of one or more lines."""
    number_of_rows = -(-len(images) // columns)
    width = 10.4 / columns
    lines = 1 + max((title.count("\n") for title in titles), default=0)
    height = width * images.shape[1] / images.shape[2] + 0.15 + 0.15 * lines
    figure = Figure(figsize=(10.4, height * number_of_rows + 0.5), layout="constrained")
    figure.suptitle(heading)
    panels = figure.subplots(number_of_rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.axis("off")
    for axes, image, title in zip(panels, images, titles, strict=False):
        axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray")
        axes.set_title(title, fontsize=8)
    save(figure, path)


def image_rows(rows: Mapping[str, np.ndarray], path: Path, heading: str) -> None:
    """Grey images [N, H, W, 1] from 0 to 1, close together, a named row each."""
    height = 9 / max(map(len, rows.values())) + 0.05
    figure = Figure(figsize=(9.8, height * len(rows) + 0.5), layout="constrained")
    figure.suptitle(heading)
    panels = figure.subplots(len(rows), squeeze=False).ravel()
    for axes, (name, images) in zip(panels, rows.items(), strict=True):
        axes.imshow(np.concatenate(images[..., 0], axis=1), cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], anchor="W")
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    save(figure, path)


def surest_mistakes(
    images: np.ndarray,
    truth: Sequence[object] | np.ndarray,
    predicted: Sequence[object] | np.ndarray,
    confidence: np.ndarray,
    path: Path,
) -> None:
    """The 24 images whose wrong answers were the most confident ones."""
    wrong = np.flatnonzero(np.asarray(truth) != np.asarray(predicted))
    surest = wrong[np.argsort(-confidence[wrong])][:24]
    image_grid(
        images[surest],
        [f"{truth[i]} as\n{predicted[i]} ({confidence[i]:.0%})" for i in surest],
        path,
        heading="The most confident mistakes: truth, prediction, probability",
    )


def drawable(character: str) -> str:
    """The character, or its name where matplotlib's own font lacks it: "han" for a Hangul syllable.

    Boxes would say nothing, and a font that has every script is not to be expected.
    """
    if ord(character) in FT2Font(findfont("DejaVu Sans")).get_charmap():
        return character
    return unicodedata.name(character, "?").split()[-1].lower()
