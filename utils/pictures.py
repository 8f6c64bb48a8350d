"""Pictures of a run. Each says in its title where the data come from, so that none can pass for another."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.errors import InputError
from utils.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASS_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE", "#BBBBBB")  # told apart colour-blind


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with written_whole(path) as part:
        figure.savefig(part)


def plot_confusion_matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw a (C, C) matrix of counts, rows true and columns predicted, with each row's percentages."""
    counts = np.asarray(matrix)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(1.9 + 0.95 * len(classes), 1.6 + 0.85 * len(classes))
    axes = figure.add_subplot()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if percent[row, column] > 55 else "black"
        text = f"{counts[row, column]:,}\n{percent[row, column]:.1f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(title, fontsize=9)
    figure.colorbar(image, ax=axes, label="share of the true class, %", fraction=0.046)
    _save(figure, path)


def plot_curves(history: pd.DataFrame, title: str, path: Path) -> None:
    """Draw loss, accuracy and macro-F1 of training and validation over the epochs, the best epoch marked."""
    figure = _figure(10, 3.4)
    best = int(history.loc[history["val_macro_f1"].idxmax(), "epoch"])
    panels: list[Axes] = list(figure.subplots(1, 3))
    names = {"loss": "loss", "accuracy": "accuracy, %", "macro_f1": "macro-F1, %"}
    for axes, (column, name) in zip(panels, names.items(), strict=True):
        scale = 1 if column == "loss" else 100
        span = 0.1 if column == "loss" else 2.0  # at least: a flat curve should look flat
        for split, colour in (("train", CLASS_COLOURS[0]), ("val", CLASS_COLOURS[1])):
            values = scale * history[f"{split}_{column}"]
            axes.plot(history["epoch"], values, color=colour, marker="o", markersize=3, label=split)
        axes.axvline(best, color="grey", linestyle=":", label=f"best epoch, {best}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.set_xlim(0.5, len(history) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.ticklabel_format(axis="y", useOffset=False)
        low, high = axes.get_ylim()
        if high - low < span:
            axes.set_ylim((low + high - span) / 2, (low + high + span) / 2)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    _save(figure, path)


def require_umap() -> None:
    """Raise an `InputError` where umap-learn is not installed."""
    if importlib.util.find_spec("umap") is None:
        raise InputError("--umap needs umap-learn: pip install -r requirements.txt")


def umap_embedding(features: np.ndarray, seed: int) -> np.ndarray:
    """Embed (n, 128) features in the plane with UMAP (McInnes et al. 2018): (n, 2).

    Raises:
        InputError: umap-learn is not installed, or there are too few beats for it.
    """
    require_umap()
    import umap  # heavy, and needed for this picture alone

    if len(features) < 5:
        raise InputError(f"--umap: {len(features)} beats are too few for a picture; 5 are the least")
    return umap.UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed, n_jobs=1).fit_transform(features)


def plot_umap(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Draw (n, 2) embedded features, coloured by their true class; rare classes lie on top."""
    figure = _figure(6, 5.2)
    axes = figure.add_subplot()
    counts = np.bincount(labels, minlength=len(classes))
    for label in np.argsort(-counts, kind="stable"):
        if counts[label]:
            chosen = points[labels == label]
            axes.scatter(*chosen.T, s=5, color=CLASS_COLOURS[label], label=f"{classes[label]} ({counts[label]:,})")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    entries = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    in_order = [text for name in classes for text in entries if text.startswith(f"{name} (")]
    axes.legend([entries[text] for text in in_order], in_order, markerscale=3, fontsize=8)
    axes.set_title(title, fontsize=9)
    _save(figure, path)
