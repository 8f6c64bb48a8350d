"""What a classifier got right: accuracy, per-class and macro figures, and their mean over runs (paper Tables 2, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

FIGURES = ("precision", "recall", "f1")


def classification_metrics(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Compare (n,) true labels with (n,) predicted ones; all figures are fractions of 1.

    The macro figures are plain means over the classes that occur among labels or predictions (scikit-learn's
    rule), so that a class the split lacks does not count as a failure. A figure whose denominator is 0 is 0.

    Returns:
        accuracy, macro_precision, macro_recall, macro_f1, per_class (name -> precision, recall, f1, support)
        and confusion_matrix (rows true, columns predicted, in the order of classes), ready for JSON.
    """
    every_label = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=every_label, zero_division=0
    )
    matrix = confusion_matrix(labels, predictions, labels=every_label)
    occurs = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "macro_precision": float(precision[occurs].mean()),
        "macro_recall": float(recall[occurs].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "per_class": {
            name: {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(support[index]),
            }
            for index, name in enumerate(classes)
        },
        "classes": list(classes),
        "confusion_matrix": matrix.tolist(),
    }


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
