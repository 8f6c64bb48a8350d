"""Whether a pause is one: a deflection of the size of a QRS in it may be a beat that was missed, a swing may hide one.

On the 48 records of mitdb, with the beats that `preprocess.detect` finds, nine R-R intervals above 2 s hold annotated
beats: small ones after an electrode moved. All nine are told by the swing of the signal, 0.67 of the height of a QRS
and more; it is 0.50 at most in the 133 true pauses outside ventricular flutter and marks of noise. `SWING` was chosen
on these records.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.detect import deflection_sizes
from preprocess.signals import Read
from report.definitions import Definitions
from report.rhythm import Rhythm

AFTER_BEAT, BEFORE_BEAT = 0.5, 0.3  # s, where the T wave of a beat and the P wave of the next may be
QRS_SHARE = 0.5  # of the usual size: 99 % of mitdb's pauses hold at most 0.30, 99 % of its beats have at least 0.74

SWING = 0.6
"""Heights of a QRS that the signal moves by in a pause: from there on beats may be hidden in it."""
T_WAVE, P_WAVE = 0.45, 0.1  # s after the beat before a pause and before that after it, which are not part of it
QRS = (0.05, 0.08)  # s before and after an R-peak, where its height is measured

AROUND = 10.0  # s on either side of a pause, whose beats say what size a QRS has


def deflection_test(read: Read, length: int, fs: float, peaks: np.ndarray) -> Callable[[int, int], bool]:
    """Make the function that says whether a beat may hide between the beats at two samples.

    It may where a deflection of QRS size lies there, or where the signal moves by the height of a QRS, however slowly:
    an electrode that loses contact and finds it again.

    Args:
        read: the signal, `length` samples at `fs` Hz.
        peaks: int64 (beats,) all its R-peaks, ascending.
    """

    before, after = (round(seconds * fs) for seconds in QRS)

    def has_deflection(start: int, end: int) -> bool:
        first, last = max(0, start - round(AROUND * fs)), min(length, end + round(AROUND * fs))
        signal = read(first, last)
        near = peaks[(peaks >= first) & (peaks < last)] - first
        if not near.size:
            return False
        sizes = deflection_sizes(signal, fs)
        if deflection_between(sizes, fs, start - first, end - first, float(np.median(sizes[near]))):
            return True
        height = float(np.median([_range(signal[max(0, at - before) : at + after]) for at in near]))
        pause = signal[start - first + round(T_WAVE * fs) : end - first - round(P_WAVE * fs)]
        return _range(pause) >= SWING * height

    return has_deflection


def deflection_between(sizes: np.ndarray, fs: float, start: int, stop: int, typical: float) -> bool:
    """Say whether a deflection of QRS size lies in a pause: the detector may have missed a beat.

    Args:
        sizes: (n,) of deflections, as `deflection_sizes` has them of a signal at `fs` Hz with the pause in it.
        start: R-peak that the pause begins with, a sample of `sizes`.
        stop: R-peak that it ends with.
        typical: the usual size of a beat: the median of `sizes` at R-peaks near the pause.
    """
    first, last = start + round(AFTER_BEAT * fs), stop - round(BEFORE_BEAT * fs)
    return first < last and bool(sizes[first:last].max() >= QRS_SHARE * typical)


def hidden_beats(rhythm: Rhythm, definitions: Definitions, may_hide: Callable[[int, int], bool]) -> np.ndarray:
    """The beats, int64 samples (k,), that begin a pause in which one may have been missed, as `Rhythm.hidden` has them.

    That is so, too, of a pause longer than `doubtful_pause`: where a lead falls off, its noise may be too large for a
    flat line and too small for a beat.

    Args:
        may_hide: of `deflection_test`.
    """
    long = np.flatnonzero(rhythm.valid & (rhythm.rr > definitions.pause * rhythm.fs))
    return np.array(
        [
            start
            for start, end in rhythm.samples[np.stack([long, long + 1], axis=1)]
            if end - start > definitions.doubtful_pause * rhythm.fs or may_hide(start, end)
        ],
        dtype=np.int64,  # of none too
    )


def _range(signal: np.ndarray) -> float:
    """Peak to peak of the samples that are there; 0 without any."""
    there = signal[np.isfinite(signal)]
    return float(np.ptp(there)) if there.size else 0.0
