"""What a test leaves in the run folder: tables, predictions, pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from run_folder import pictures
from support.files import write_json, write_table

if TYPE_CHECKING:
    from dataloader import Split


FIGURES = ("precision", "recall", "f1")


def headline(metrics: dict[str, Any]) -> str:
    """The two figures that sum a test up, in percent."""
    return f"accuracy {100 * metrics['accuracy']:.2f} %, macro-F1 {100 * metrics['macro_f1']:.2f} %"


def metrics_table(metrics: dict[str, Any]) -> pd.DataFrame:
    """The figures in percent in the shape of Table 2: rows precision, recall, F1, support; columns classes, macro."""
    table = pd.DataFrame(
        {
            name: {**{key: 100 * row[key] for key in FIGURES}, "support": row["support"]}
            for name, row in metrics["per_class"].items()
        }
    )
    table["macro"] = [*(100 * metrics[f"macro_{key}"] for key in FIGURES), table.loc["support"].sum()]
    table.index.name = "percent"
    return table


def summary_table(runs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Mean and sample standard deviation in percent over the test metrics of several runs (paper Table 2).

    Rows precision, recall, f1 and accuracy (under `macro`); for each class and `macro` a column and its `_sd`.
    The standard deviation of one run is not known and left empty.
    """
    tables = []
    for metrics in runs:
        table = metrics_table(metrics).drop(index="support")
        table.loc["accuracy", "macro"] = 100 * metrics["accuracy"]
        tables.append(table)
    stacked = np.stack([table.to_numpy(dtype=float) for table in tables])
    mean = pd.DataFrame(stacked.mean(axis=0), index=tables[0].index, columns=tables[0].columns)
    spread = stacked.std(axis=0, ddof=1) if len(runs) > 1 else np.full(stacked.shape[1:], np.nan)
    spread = pd.DataFrame(spread, index=mean.index, columns=[f"{name}_sd" for name in mean.columns])
    both = pd.concat([mean, spread], axis=1)
    return both[[column for name in mean.columns for column in (name, f"{name}_sd")]]


def provenance(split: Split) -> str:
    """Where the beats come from and how they were split, for every line and title of a result."""
    if split.source == split.protocol == "unknown":
        return "split files that name no source"
    return f"{split.source} data, {split.protocol} split"


def log_metrics(metrics: dict[str, Any], log: logging.Logger) -> None:
    """Log a test as a table in percent."""
    table = metrics_table(metrics)
    text = table.map("{:.2f}".format)
    text.loc["support"] = [f"{int(beats):,}" for beats in table.loc["support"]]
    for line in text.rename_axis(index=None, columns="percent").to_string().splitlines():
        log.info(line)
    log.info(f"accuracy {100 * metrics['accuracy']:.2f} %, loss {metrics['loss']:.4f}")


def write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    """Write a test as `path`, which ends in .json, and as the .csv table beside it."""
    table = metrics_table(metrics).round(2).astype(object)
    table.loc["support"] = table.loc["support"].astype(int)
    write_table(path.with_suffix(".csv"), table)
    write_json(path, metrics)


def predictions_table(test: Split, probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """A row a test beat: record and R-peak where known, class, predicted class, probability (n, C) of each class."""
    names = np.asarray(classes)
    columns: dict[str, Any] = {}
    if test.records is not None and test.record_names:
        columns["record"] = np.asarray(test.record_names)[test.records.numpy()]
    if test.positions is not None:
        columns["position"] = test.positions.numpy()
    columns["label"] = names[test.labels.cpu().numpy()]
    columns["prediction"] = names[probabilities.argmax(axis=1)]
    return pd.DataFrame(columns | {f"p_{name}": probabilities[:, index] for index, name in enumerate(names)})


def write_test(
    folder: Path, test: Split, probabilities: np.ndarray, metrics: dict[str, Any], classes: Sequence[str], title: str
) -> None:
    """Write predictions_test.csv and confusion_matrix.png of one test into `folder`."""
    predictions = predictions_table(test, probabilities, classes)
    write_table(folder / "predictions_test.csv", predictions, index=False, decimals=6)
    path = folder / "confusion_matrix.png"
    pictures.plot_confusion_matrix(metrics["confusion_matrix"], classes, f"{title}\n{headline(metrics)}", path)
