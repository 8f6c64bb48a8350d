"""Sensitivity and positive predictivity as ANSI/AAMI EC57 defines them, for QRS complexes, SVEB (S) and VEB (V).

They are not the ordinary recall and precision of a class. The standard excuses confusions that it leaves open to
a program: a beat of Q counts as neither right nor wrong where it is called S or V, nor does a fusion beat F that is
called V (de Chazal et al. 2004, section II-G, and the WFDB program `bxb` do the same).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

EXCUSED = {"S": ("Q",), "V": ("F", "Q")}
"""For each class that has figures, the true classes whose beats may be called so without a fault."""


class Ratio(NamedTuple):
    """A figure that is a share: `part` of `whole` beats or runs."""

    part: int
    whole: int

    @property
    def percent(self) -> float:
        """100 part / whole, NaN where nothing is counted."""
        return 100 * self.part / self.whole if self.whole else float("nan")


def class_ratios(
    matrix: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str], name: str, excused: Sequence[str]
) -> dict[str, Ratio]:
    """Sensitivity, positive predictivity and false-positive rate of one class.

    With TP the beats of the class that are called so, FN its others, FP the beats of other classes called so but for
    the excused ones, and TN the pairs in which neither side is of the class:
    Se = TP / (TP + FN), +P = TP / (TP + FP), FPR = FP / (FP + TN).

    Args:
        matrix: (C, C) counts, rows true and columns predicted, in the order of `classes`.
        name: the class.
        excused: the true classes whose beats may be called so without a fault.

    Returns:
        `se`, `ppv` and `fpr`.

    Raises:
        ValueError: the matrix holds shares, or means, and no counts.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    if (counts != np.asarray(matrix)).any():
        raise ValueError("matrix: counts of beats are needed, whole numbers; a normalised matrix has lost them")
    own = list(classes).index(name)
    others = np.array([other != name for other in classes])
    charged = others & ~np.isin(classes, excused)
    tp, beats = int(counts[own, own]), int(counts[own].sum())
    fp, tn = int(counts[charged, own].sum()), int(counts[np.ix_(others, others)].sum())
    return {"se": Ratio(tp, beats), "ppv": Ratio(tp, tp + fp), "fpr": Ratio(fp, fp + tn)}


def has_figures(classes: Iterable[str]) -> bool:
    """Whether `ec57_figures` has both its classes, S and V, among `classes`."""
    return EXCUSED.keys() <= {*classes}


def ec57_figures(matrix: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """The figures of S and V from a confusion matrix, such as that of a classifier whose beats are given.

    Args:
        matrix: (C, C) counts, rows true and columns predicted, in the order of `classes`. Further classes, such as
            O for beats that one side lacks, take part like N. S and V must be there (`has_figures`).

    Returns:
        For S and V: `se`, `ppv`, `fpr`, fractions of 1 (NaN where nothing is counted), and `beats`, the true ones.

    Raises:
        ValueError: as `class_ratios`.
    """
    figures = {}
    for name, excused in EXCUSED.items():
        ratios = class_ratios(matrix, classes, name, excused)
        figures[name] = {figure: ratio.percent / 100 for figure, ratio in ratios.items()}
        figures[name]["beats"] = ratios["se"].whole
    return figures


def beat_figures(matrix: pd.DataFrame, excused: Mapping[str, Sequence[str]] = EXCUSED) -> dict[str, Ratio]:
    """The six figures of a beat-by-beat comparison.

    Args:
        matrix: counts, its rows N S V F Q and O, X (extra beats of the test), its columns the same in small letters,
            with o and x the missed beats of the reference.

    Returns:
        "Q Se", "Q +P" (all QRS complexes), "V Se", "V +P", "S Se", "S +P".
    """
    counts = matrix.to_numpy()
    found = int(counts[:5, :5].sum())
    figures = {"Q Se": Ratio(found, int(counts[:5].sum())), "Q +P": Ratio(found, int(counts[:, :5].sum()))}
    for name in "VS":
        ratios = class_ratios(counts, matrix.index, name, excused[name])
        figures |= {f"{name} Se": ratios["se"], f"{name} +P": ratios["ppv"]}
    return figures


def per_record(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The confusion matrix (C, C) of each record, from a table with the columns record, label and prediction."""
    from sklearn.metrics import confusion_matrix

    return {
        str(name): confusion_matrix(part["label"], part["prediction"], labels=list(classes))
        for name, part in predictions.groupby("record", sort=True)
    }
