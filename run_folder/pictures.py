"""Pictures of a run. Each says in its title where the data come from, so that none can pass for another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from data_configs import DatasetConfig
from dataloader import stratified_subset
from models import ecgTransForm
from split_file import Split
from support.figures import CLASS_COLOURS, default_style, new_figure, save_figure
from utils import plot_umap, umap_embedding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UMAP_BEATS = 5000  # beats in a UMAP picture at most, class-stratified; more only hide one another
FEATURES_BATCH = 128  # beats; bounds the memory of a forward pass


@default_style()
def plot_confusion_matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw the figure of `confusion_figure` into a file."""
    save_figure(confusion_figure(matrix, classes, title), path)


def confusion_figure(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Figure:
    """A (C, C) matrix of counts, rows true and columns predicted, with each row's percentages."""
    counts = np.asarray(matrix)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(1.9 + 0.95 * len(classes), 1.6 + 0.85 * len(classes))
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
    return figure


@default_style()
def plot_curves(history: pd.DataFrame, best: int, title: str, path: Path) -> None:
    """Draw loss, accuracy and macro-F1 of training and validation over the epochs, the `best` one marked."""
    figure = new_figure(10, 3.4)
    panels: list[Axes] = list(figure.subplots(1, 3))
    names = {"loss": "loss", "accuracy": "accuracy, %", "macro_f1": "macro-F1, %"}
    for axes, (column, name) in zip(panels, names.items(), strict=True):
        scale = 1 if column == "loss" else 100
        span = 0.1 if column == "loss" else 2.0  # at least: a flat curve should look flat
        for split, style, colour in (("train", "x--", CLASS_COLOURS[0]), ("val", "o-", CLASS_COLOURS[1])):
            values = scale * history[f"{split}_{column}"]
            axes.plot(history["epoch"], values, style, color=colour, markersize=3, label=split)
        axes.axvline(best, color="grey", linestyle=":", label=f"best epoch, {best}")
        count_epochs(axes, len(history))
        axes.set_ylabel(name)
        axes.ticklabel_format(axis="y", useOffset=False)
        low, high = axes.get_ylim()
        if high - low < span:
            axes.set_ylim((low + high - span) / 2, (low + high + span) / 2)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


def count_epochs(axes: Axes, epochs: int) -> None:
    """Have the x axis count epochs, in whole numbers from 1."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_umap(path: Path, title: str, model: ecgTransForm, test: Split, configs: DatasetConfig, seed: int) -> None:
    """Draw the features of the beats of `test`, or of a stratified part of many, into the file `path`."""
    if len(test) > UMAP_BEATS:
        title += f"; {UMAP_BEATS:,} of {len(test):,} beats"
        test = test.subset(stratified_subset(test.labels.cpu(), UMAP_BEATS, configs.num_classes, seed))
    model.eval()
    with torch.no_grad():
        features = torch.cat([model.features(x) for x in test.samples.split(FEATURES_BATCH)])  # (n, 1, L) -> (n, 128)
    points = umap_embedding(features.cpu().numpy(), seed)
    plot_umap(points, test.labels.cpu().numpy(), configs.classes, title, path)
