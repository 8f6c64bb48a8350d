"""The pictures of an experiment, drawn from finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import utils
from data_configs import DatasetConfig
from reproduce.experiments import Experiment
from reproduce.runs import Result
from run_folder import pictures
from run_folder.network import load_network
from run_folder.reports import headline, summary_table
from split_file import Split, load_split
from utils import get_device

OF_RUN = {
    "confusion_matrix": "Confusion matrix on the test split, counts and row percent",
    "class_curves": "F1 of each class on the validation split over the epochs",
    "sample_beats": "Test beats of each class, drawn at random, that were classified right and wrong",
    "umap": "The test beats' features in the plane by UMAP",
}
"""Pictures of one run, and what each shows."""


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
    pictures.plot_bars([result.row.label for result in chosen], ours, paper, title, path)
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
    pictures.plot_class_curves(result.histories(), classes, f"{result.row.label}\n{_about(result)}", to)

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
        pictures.draw_umap(to, title, model, split.to(get_device(device)), checkpoint.configs, result.seeds[0])
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
    pictures.plot_sample_beats(samples, split.labels.numpy(), called, records, configs.classes, times, title, path)


def _about(result: Result) -> str:
    config = result.configs[0]
    return f"{config['data']['source']} data, {config['data']['protocol']} split; {result.schedule}"
