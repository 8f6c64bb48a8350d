"""What an annotation symbol or a diagnosis means: the AAMI groups and the two diagnoses of PTB.

AAMI groups: ANSI/AAMI EC57, "Testing and reporting performance results of cardiac rhythm and ST segment
measurement algorithms". PTB diagnoses: header comment "Reason for admission" of the PTB Diagnostic ECG Database
(Bousseljot et al. 1995).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from data_configs import DATASETS, PREPARED
from ec57.protocol import GROUPINGS
from support.errors import InputError

CLASSES = {name: DATASETS[name]().classes for name in PREPARED}

AAMI_CLASSES = CLASSES["mit"]
"""Normal, supraventricular ectopic, ventricular ectopic, fusion, and paced or unclassifiable."""

AAMI_SYMBOLS = GROUPINGS["de_chazal"]
"""The annotation symbols of each group: all that WFDB has for beats. The others mark rhythm, waves, noise or quality.

Escape beats, also the supraventricular n, are N as in de Chazal et al. 2004. B is a bundle branch block of either
side, r an R-on-T premature ventricular beat, ? a beat that its annotator did not classify.
"""

ESCAPE_SYMBOLS = "ejn"
"""Those of escape beats, which other groupings have in S."""

NO_BEAT = -1

PTB_CLASSES = CLASSES["ptb"]

PTB_DIAGNOSES = {
    "healthy control": PTB_CLASSES.index("normal"),
    "myocardial infarction": PTB_CLASSES.index("infarction"),
}
"""The two reasons for admission that are classes; records with any other are left out."""

_CLASS_OF_SYMBOL = {symbol: AAMI_CLASSES.index(group) for group, symbols in AAMI_SYMBOLS.items() for symbol in symbols}


def aami_labels(symbols: Iterable[str]) -> np.ndarray:
    """Return the index into `AAMI_CLASSES` of each annotation symbol, `NO_BEAT` where it marks no beat.

    Returns:
        int64 (n,).
    """
    return np.array([_CLASS_OF_SYMBOL.get(symbol, NO_BEAT) for symbol in symbols], dtype=np.int64)


def first_of_each_instant(
    where: str,
    positions: np.ndarray,
    labels: np.ndarray,
    symbols: np.ndarray,
    fs: float,
    instants: np.ndarray | None = None,
) -> np.ndarray:
    """Find the first of the beats of each instant; those of one instant must be of one class.

    Args:
        where: the beats are from, for the message.
        positions: int (n,), samples at `fs` Hz.
        labels: (n,), their classes.
        symbols: (n,), their annotation symbols.
        instants: (n,), the same for beats of one instant; None: an instant is a sample.

    Returns:
        Indices (k,), int64, by instant.

    Raises:
        InputError: the beats of one instant are of different classes.
    """
    _, first, which = np.unique(positions if instants is None else instants, return_index=True, return_inverse=True)
    other = np.flatnonzero(labels != labels[first][which])
    if len(other):
        one, position = first[which[other[0]]], positions[other[0]]
        raise InputError(
            f"{where} has a beat of two classes, {symbols[one]} and {symbols[other[0]]}, at sample {position} "
            f"({position / fs:.3f} s): correct its annotations, or leave it out"
        )
    return first


def reason_for_admission(comments: Sequence[str]) -> str | None:
    """Return the diagnosis that the header comments of a PTB record give, None where they give none."""
    for comment in comments:
        key, _, value = comment.partition(":")
        if key.strip().lower() == "reason for admission":
            return value.strip() or None
    return None


def ptb_label(reason: str | None) -> int | None:
    """Return the index into `PTB_CLASSES` of a reason for admission, None where it is neither of the two."""
    return PTB_DIAGNOSES.get((reason or "").lower())
