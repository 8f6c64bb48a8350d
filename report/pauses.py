"""Whether a pause is one: a deflection of the size of a QRS in it may be a beat that was missed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.detect import deflection_between, deflection_sizes
from preprocess.signals import Read

AROUND = 10.0  # s on either side of a pause, whose beats say what size a QRS has


def deflection_test(read: Read, length: int, fs: float, peaks: np.ndarray) -> Callable[[int, int], bool]:
    """Make the function that says whether a deflection of QRS size lies strictly between the beats at two samples.

    Args:
        read: the signal, `length` samples at `fs` Hz.
        peaks: int64 (beats,) all its R-peaks, ascending.
    """

    def has_deflection(start: int, end: int) -> bool:
        first, last = max(0, start - round(AROUND * fs)), min(length, end + round(AROUND * fs))
        signal = read(first, last)
        near = peaks[(peaks >= first) & (peaks < last)] - first
        if not near.size:
            return False
        typical = float(np.median(deflection_sizes(signal, fs)[near]))
        return deflection_between(signal, fs, start - first, end - first, typical)

    return has_deflection
