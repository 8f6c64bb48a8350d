"""The pictures of an experiment, drawn from finished runs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import utils
from data_configs import DatasetConfig
from reproduce.experiments import Experiment
from reproduce.runs import Result
from run_folder import pictures
from run_folder.network import load_network
from run_folder.reports import headline, summary_table
from split_file import Split, load_split
from support.figures import CLASS_COLOURS, class_colours, default_style, new_figure, save_figure

OF_RUN = {
    "confusion_matrix": "Confusion matrix on the test split, counts and row percent",
    "class_curves": "F1 of each class on the validation split over the epochs",
    "sample_beats": "Test beats of each class, drawn at random, that were classified right and wrong",
    "umap": "The test beats' features in the plane by UMAP",
}
"""Pictures of one run, and what each shows."""

EXAMPLES = 2  # beats right, and as many wrong, of each class in the picture of samples


@dataclass(frozen=True)
class Picture:
    """A picture that was drawn."""

    path: Path
    says: str
    """What it shows."""


def draw(experiment: Experiment, results: Sequence[Result], folder: Path, device: str) -> list[Picture]:
    """Draw the pictures of `experiment` into `folder`.

    Fig. 5 and 6 are bars. The others show one run, the first of `results` and its first seed: confusion matrix and
    curves of the classes, and where its test split is at hand sample beats and, with umap-learn, the features by UMAP.
    """
    if experiment.form == "bars":
        return [_bars(experiment, results, name, folder) for name in experiment.columns]
    if experiment.form == "accuracy":  # shows runs of tables 2 and 3, which have their pictures
        return []
    return _of_run(experiment.name, results[0], folder, device)


def names(experiment: Experiment) -> set[str]:
    """The file names of all pictures that `draw` may make of `experiment`."""
    kinds = {"bars": experiment.columns, "accuracy": ()}.get(experiment.form, OF_RUN)
    return {f"{experiment.name}_{kind}.png" for kind in kinds}


def of_one_schedule(results: Sequence[Result]) -> list[Result]:
    """The results of the schedule that most rows have, the first of several: bars of mixed schedules would mislead."""
    schedules = [result.schedule for result in results]
    chosen = max(schedules, key=lambda schedule: (schedules.count(schedule), -schedules.index(schedule)))
    return [result for result in results if result.schedule == chosen]


def _bars(experiment: Experiment, results: Sequence[Result], name: str, folder: Path) -> Picture:
    chosen = of_one_schedule(results)
    summaries = [summary_table(result.tests).loc["f1"] for result in chosen]
    ours = [(summary[name], summary[f"{name}_sd"]) for summary in summaries]
    paper = [result.row.published.mean("f1", name) for result in chosen]
    what = "macro-F1" if name == "macro" else f"F1 of class {name}"
    title = f"{experiment.title.partition(':')[0]}, {what}\nours: {_about(chosen[0])}\npaper: 60 epochs, Kaggle beats"
    path = folder / f"{experiment.name}_{name}.png"
    plot_bars([result.row.label for result in chosen], ours, paper, title, path)
    return Picture(path, f"{what}, ours and the paper's")


def _of_run(name: str, result: Result, folder: Path, device: str) -> list[Picture]:
    seed_folder, test = result.seed_folders[0], result.tests[0]
    classes = test["classes"]
    title = f"{result.row.label}, seed {result.seeds[0]}, best epoch {test['checkpoint_epoch']}\n{_about(result)}"
    made = []

    def path(kind: str) -> Path:
        made.append(Picture(folder / f"{name}_{kind}.png", OF_RUN[kind]))
        return made[-1].path

    to = path("confusion_matrix")
    pictures.plot_confusion_matrix(test["confusion_matrix"], classes, f"{title}\n{headline(test)}", to)
    to = path("class_curves")
    plot_class_curves(result.histories(), classes, f"{result.row.label}\n{_about(result)}", to)

    kept = seed_folder / "checkpoint_best.pt"
    data = Path(result.configs[0]["run"]["data_path"]) / result.row.beats.dataset / "test.pt"
    if not (kept.is_file() and data.is_file()):  # the run was brought here without them
        return made
    model, checkpoint = load_network(kept, device)
    split = load_split(data, checkpoint.configs)
    if split.fingerprint() != result.configs[0]["data"]["fingerprints"]["test"]:
        return made
    to = path("sample_beats")
    _sample_beats(result, split, checkpoint.configs, title, to)
    if utils.has_umap():
        to = path("umap")
        pictures.draw_umap(to, title, model, split.to(utils.get_device(device)), checkpoint.configs, result.seeds[0])
    return made


def _sample_beats(result: Result, split: Split, configs: DatasetConfig, title: str, path: Path) -> None:
    predictions = result.predictions()[0]
    number = {name: index for index, name in enumerate(configs.classes)}
    called = predictions["prediction"].map(number).to_numpy()
    records = (
        [f"record {record}" for record in predictions["record"]] if "record" in predictions else [""] * len(called)
    )
    samples = split.samples[:, 0].numpy()  # (n, 1, L) -> (n, L)
    axis = np.arange(samples.shape[1])
    times = (axis, "sample") if split.fs is None else (1000 * axis / split.fs, "ms")
    plot_sample_beats(samples, split.labels.numpy(), called, records, configs.classes, times, title, path)


def _about(result: Result) -> str:
    config = result.configs[0]
    return f"{config['data']['source']} data, {config['data']['protocol']} split; {result.schedule}"


# ------------------------------------------------------------------------------------------ how they are drawn


@default_style()
def plot_class_curves(histories: Sequence[pd.DataFrame], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw each class's F1 on validation, and the macro mean, over the epochs.

    Of several histories (one per seed) the mean is drawn, and the range from lowest to highest shaded.
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
    pictures.count_epochs(axes, len(epochs))
    axes.set_ylabel("F1 on validation, %")
    axes.set_ylim(top=100.5)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside right center")
    axes.set_title(title, fontsize=9)
    save_figure(figure, path)


@default_style()
def plot_bars(
    names: Sequence[str], ours: Sequence[tuple[float, float]], paper: Sequence[float], title: str, path: Path
) -> None:
    """Draw a pair of bars per name, ours (mean, standard deviation) and the paper's, in percent; NaN leaves one out."""
    figure = new_figure(max(1.6 + 1.25 * len(names), 7), 4)
    axes = figure.add_subplot()
    places = np.arange(len(names))
    means, sds = np.array(ours, dtype=float).T
    other = np.asarray(paper, dtype=float)
    tops = means + np.nan_to_num(sds)  # of the error bars
    ours_and_theirs = ((-0.2, means, tops, CLASS_COLOURS[0], "ours"), (0.2, other, other, "#BBBBBB", "paper"))
    for offset, values, above, colour, label in ours_and_theirs:
        known = ~np.isnan(values)
        axes.bar(places[known] + offset, values[known], 0.38, color=colour, label=label)
        for place, value, top in zip(places[known], values[known], above[known], strict=True):
            axes.text(place + offset, top + 0.4, f"{value:.1f}", ha="center", va="bottom", fontsize=8)
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


@default_style()
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
