"""Pictures of a run. Each says in its title where the data come from, so that none can pass for another."""

from __future__ import annotations

import textwrap
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
from support.figures import CLASS_COLOURS, class_colours, new_figure, save_figure
from utils import plot_umap, umap_embedding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UMAP_BEATS = 5000  # beats in a UMAP picture at most, class-stratified; more only hide one another
FEATURES_BATCH = 128  # beats; bounds the memory of a forward pass
EXAMPLES = 2  # beats right, and as many wrong, of each class in the picture of samples


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


def plot_curves(history: pd.DataFrame, best: int, title: str, path: Path) -> None:
    """Draw loss, accuracy and macro-F1 of training and validation over the epochs, the `best` one marked."""
    figure = new_figure(10, 3.4)
    panels: list[Axes] = list(figure.subplots(1, 3))
    names = {"loss": "loss", "accuracy": "accuracy, %", "macro_f1": "macro-F1, %"}
    for axes, (column, name) in zip(panels, names.items(), strict=True):
        scale = 1 if column == "loss" else 100
        span = 0.1 if column == "loss" else 2.0  # at least: a flat curve should look flat
        for split, colour in (("train", CLASS_COLOURS[0]), ("val", CLASS_COLOURS[1])):
            values = scale * history[f"{split}_{column}"]
            axes.plot(history["epoch"], values, color=colour, marker="o", markersize=3, label=split)
        axes.axvline(best, color="grey", linestyle=":", label=f"best epoch, {best}")
        _count_epochs(axes, len(history))
        axes.set_ylabel(name)
        axes.ticklabel_format(axis="y", useOffset=False)
        low, high = axes.get_ylim()
        if high - low < span:
            axes.set_ylim((low + high - span) / 2, (low + high + span) / 2)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


def _count_epochs(axes: Axes, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def plot_class_curves(histories: Sequence[pd.DataFrame], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw each class's F1 on validation, and the macro mean, over the epochs.

    Of several histories (one a seed) the mean is drawn, and the range from lowest to highest shaded.
    """
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    epochs = histories[0]["epoch"]
    columns = {**{name: f"val_f1_{name}" for name in classes}, "macro": "val_macro_f1"}
    for (name, column), colour in zip(columns.items(), [*class_colours(len(classes)), "black"], strict=True):
        values = 100 * np.stack([history[column].to_numpy() for history in histories])  # (seeds, epochs)
        mean, style = values.mean(axis=0), "--" if name == "macro" else "-"
        axes.plot(epochs, mean, style, color=colour, marker="o", markersize=3, label=f"{name}, {mean[-1]:.1f} at last")
        if len(values) > 1:
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    _count_epochs(axes, len(epochs))
    axes.set_ylabel("F1 on validation, %")
    axes.set_ylim(top=100.5)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside right center")
    axes.set_title(title, fontsize=9)
    save_figure(figure, path)


def plot_bars(
    names: Sequence[str], ours: Sequence[tuple[float, float]], paper: Sequence[float], title: str, path: Path
) -> None:
    """Draw a pair of bars a name, ours (mean, standard deviation) and the paper's, in percent; NaN leaves one out."""
    figure = new_figure(max(1.6 + 1.25 * len(names), 7), 4)
    axes = figure.add_subplot()
    places = np.arange(len(names))
    means, sds = np.array(ours, dtype=float).T
    other = np.asarray(paper, dtype=float)
    for offset, values, colour, label in ((-0.2, means, CLASS_COLOURS[0], "ours"), (0.2, other, "#BBBBBB", "paper")):
        known = ~np.isnan(values)
        axes.bar(places[known] + offset, values[known], 0.38, color=colour, label=label)
        for place, value in zip(places[known], values[known], strict=True):
            axes.text(place + offset, value + 0.4, f"{value:.1f}", ha="center", va="bottom", fontsize=8)
    spread = ~np.isnan(means) & ~np.isnan(sds)
    axes.errorbar(places[spread] - 0.2, means[spread], sds[spread], fmt="none", ecolor="black", capsize=3)
    every = np.concatenate([means, other])
    low = float(np.nanmin(every))
    # bars from 0 would hide small differences, which the figures are about
    axes.set_ylim(10 * np.floor((low - 5) / 10) if low > 60 else 0, 104)
    axes.set_xticks(places, [textwrap.fill(name, 14) for name in names], fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel("F1 on test, % (axis cut)" if axes.get_ylim()[0] > 0 else "F1 on test, %")
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    axes.set_title(title, fontsize=9)
    save_figure(figure, path)


def plot_sample_beats(
    samples: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    captions: Sequence[str],
    classes: Sequence[str],
    times: tuple[np.ndarray, str],
    title: str,
    path: Path,
) -> None:
    """Draw test beats of each class, two that were called right and two that were called wrong, drawn at random.

    Args:
        samples: (n, L).
        labels: (n,) true class of each beat.
        predictions: (n,) the class that it was called.
        captions: (n,) what to say of each beat, its record for instance.
        classes: names, the index is the label.
        times: (L,) the time axis, and its name.
    """
    rng = np.random.default_rng(0)
    figure = new_figure(max(1.9 * len(classes), 5) + 0.6, 7.4)
    panels = figure.subplots(2 * EXAMPLES, len(classes), sharex=True, squeeze=False)
    for label, name in enumerate(classes):
        for right in (True, False):
            members = np.flatnonzero((labels == label) & ((predictions == label) == right))
            chosen = rng.choice(members, min(EXAMPLES, len(members)), replace=False)
            for place in range(EXAMPLES):
                axes = panels[place if right else EXAMPLES + place, label]
                axes.tick_params(labelsize=7)
                axes.set_yticks([])
                if place >= len(chosen):
                    says = "no other" if len(chosen) else "none"
                    axes.text(0.5, 0.5, says, ha="center", transform=axes.transAxes)
                    continue
                beat = chosen[place]
                axes.plot(times[0], samples[beat], color=CLASS_COLOURS[0] if right else CLASS_COLOURS[1], linewidth=1)
                called = "" if right else f" called {classes[predictions[beat]]}"
                axes.set_title(f"{name}{called}\n{captions[beat]}", fontsize=7)
    for row in range(2 * EXAMPLES):
        panels[row, 0].set_ylabel("called right" if row < EXAMPLES else "called wrong", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel(times[1], fontsize=8)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


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
