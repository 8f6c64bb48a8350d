"""How far the beats of a run can be trusted: whether they look like beats.

The network gives every detected deflection a class, and noise is V more often than not. But beats of one origin look
alike, and noise is like nothing: each beat of a run is compared with the others of the run and with those around it.

With the default threshold, 0.8: of the true runs of 3 and more V or S that the annotations of DS1 (mitdb) and of 41
records of svdb have, 226 of 228 are not doubtful (V 87 of 89, S 139 of 139). Of false runs of V from the raw signal, by
the network: all 8 in the noise of a synthetic day (with that noise taken for readable), 2 of 3 in 108 and 203, and 3 of
4 in the noise that nstdb adds to 118.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.signals import Read, bridge
from report.shapes import RANK, unit_shapes

NEIGHBOURS = 100
"""Beats on either side of a run that its beats are compared with."""

MOST = 1000
"""Beats of a run that are judged, evenly spaced in a longer one, for work and memory grow with their square. The
longest run that is annotated in mitdb or svdb has 665."""

MARGIN = 2.0  # s of signal on either side, for the band-pass


def shape_test(read: Read, length: int, fs: float, peaks: np.ndarray) -> Callable[[int, int], float]:
    """How much the beats of a run look like one another, or like other beats near it.

    Args:
        read: the signal, `length` samples at `fs` Hz.
        peaks: int64 (n,) samples, ascending: all beats.

    Returns:
        A function of the samples of a run's first and last beat: the median over its beats, at most `MOST` of them, of
        the correlation with the beat of these that is most alike, or with the third most alike of the `NEIGHBOURS` on
        either side of the run, whichever is greater. From -1 to 1.
    """

    def shapes_of(beats: np.ndarray) -> np.ndarray:
        start = max(int(beats[0]) - round(MARGIN * fs), 0)
        signal = bridge(read(start, min(int(beats[-1]) + round(MARGIN * fs), length)))
        return unit_shapes(signal, fs, beats - start)[0]

    def likeness(first: int, last: int) -> float:
        begin, past = np.searchsorted(peaks, [first, last + 1])
        judged = np.linspace(begin, past - 1, min(past - begin, MOST)).astype(np.int64)
        before = np.arange(max(begin - NEIGHBOURS, 0), begin)
        after = np.arange(past, min(past + NEIGHBOURS, len(peaks)))
        chosen = np.concatenate([before, judged, after])
        stretches = np.split(peaks[chosen], np.flatnonzero(np.diff(chosen) > 1) + 1)  # without what is left out between
        shapes = np.concatenate([shapes_of(beats) for beats in stretches])
        own = (chosen >= begin) & (chosen < past)
        alike = shapes[own] @ shapes.T  # (beats of the run, n)
        mates, others = alike[:, own] - 2 * np.eye(own.sum()), alike[:, ~own]
        best = mates.max(axis=1)
        if others.shape[1] >= RANK:
            best = np.maximum(best, np.partition(others, -RANK, axis=1)[:, -RANK])
        return float(np.median(best))

    return likeness
