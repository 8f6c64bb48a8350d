"""The figures by which inter-patient classifiers are compared: ANSI/AAMI EC57, for SVEB (class S) and VEB (class V).

They are not the ordinary precision and recall of two classes. The standard excuses confusions that it leaves open to
a program: a beat of Q counts as neither right nor wrong where it is called S or V, nor does a fusion beat F that is
called V (de Chazal et al. 2004, section II-G, and the program `bxb` of the WFDB software do the same).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

EXCUSED = {"S": ("Q",), "V": ("F", "Q")}
"""For each class that has figures, the true classes whose beats may be called so without a fault."""


def ec57_figures(matrix: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Sensitivity, positive predictivity and false-positive rate of S and V.

    With TP the beats of a class that are called so, FN its others, FP the beats of other classes called so but for
    the excused ones, and TN the pairs in which neither side is of the class:
    Se = TP / (TP + FN), +P = TP / (TP + FP), FPR = FP / (FP + TN).

    Args:
        matrix: (C, C) counts, rows true and columns predicted, in the order of `classes`. Further classes, such as
            `bxb`'s O for beats that one side lacks, take part like N.

    Returns:
        For S and V: `se`, `ppv`, `fpr`, fractions of 1 (NaN where nothing is counted), and `beats`, TP + FN.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    figures = {}
    for name, excused in EXCUSED.items():
        own = list(classes).index(name)
        others = np.array([other != name for other in classes])
        charged = others & ~np.isin(classes, excused)
        tp, beats = counts[own, own], counts[own].sum()
        fp, tn = counts[charged, own].sum(), counts[np.ix_(others, others)].sum()
        figures[name] = {
            "se": _ratio(tp, beats),
            "ppv": _ratio(tp, tp + fp),
            "fpr": _ratio(fp, fp + tn),
            "beats": int(beats),
        }
    return figures


def per_record(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The confusion matrix (C, C) of each record, from a table with the columns record, label and prediction."""
    return {
        str(name): confusion_matrix(part["label"], part["prediction"], labels=list(classes))
        for name, part in predictions.groupby("record", sort=True)
    }


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else float("nan")
