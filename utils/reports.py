"""What a test leaves in the run folder: tables, predictions, pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from utils import pictures
from utils.files import write_json, write_table
from utils.metrics import headline, metrics_table

if TYPE_CHECKING:
    from dataloader import Split


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
