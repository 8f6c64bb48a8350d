"""How much beats look alike: beats of one origin do, and noise is like nothing.

`report.noise` recognises noise by it, and a run that may be noise is doubtful by it (`shape_test`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.detect import band_pass
from preprocess.signals import Read, bridge

BAND = (1.0, 40.0)  # Hz
REACH = 0.2  # s on either side of an R-peak: what is compared of beats
NEIGHBOURS = 15  # beats on either side that one is compared with
RANK = 3  # the third best likeness counts: one or two may be chance
SIZE = 0.7  # of two beats alike the smaller has at least this share of the other's size

BESIDE_RUN = 100
"""Beats on either side of a run that its beats are compared with."""

MOST_OF_RUN = 1000
"""Beats of a run that are judged, evenly spaced in a longer one, for work and memory grow with their square. The
longest run that is annotated in mitdb or svdb has 665."""

MARGIN = 2.0  # s of signal on either side of a run, for the band-pass


def unit_shapes(signal: np.ndarray, fs: float, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The beats (n,) of a signal in the band `BAND`, without mean and of length 1, and their lengths.

    Returns:
        float (n, samples), of which two multiply to their correlation, and (n,).
    """
    reach = max(round(REACH * fs), 1)
    around = np.clip(beats[:, None] + np.arange(-reach, reach + 1), 0, len(signal) - 1)  # (n, samples)
    shapes = band_pass(signal, fs, BAND)[around]
    shapes -= shapes.mean(axis=1, keepdims=True)
    sizes = np.maximum(np.sqrt((shapes**2).sum(axis=1)), np.finfo(float).tiny)
    return shapes / sizes[:, None], sizes


def alike_by(shapes: np.ndarray, sizes: np.ndarray, apart: int) -> np.ndarray:
    """The correlation of each beat (n,) with the one `apart` places later, less if sizes differ -> (n - apart,)."""
    one, other = sizes[apart:], sizes[:-apart]
    size = np.minimum(np.minimum(one, other) / np.maximum(one, other) / SIZE, 1.0)
    return (shapes[apart:] * shapes[:-apart]).sum(axis=1) * size


def likeness(shapes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How much each beat (n,) is like others near it: its third best correlation with one, less if sizes differ."""
    count = len(sizes)
    if count < 2:
        return np.ones(count)
    found = np.full((count, 2 * NEIGHBOURS), -1.0)
    for apart in range(1, min(NEIGHBOURS, count - 1) + 1):
        both = alike_by(shapes, sizes, apart)
        found[apart:, apart - 1] = found[:-apart, NEIGHBOURS + apart - 1] = both
    rank = min(RANK, count - 1)
    return np.partition(found, -rank, axis=1)[:, -rank]


def shape_test(read: Read, length: int, fs: float, peaks: np.ndarray) -> Callable[[int, int], float]:
    """How much the beats of a run look like one another, or like other beats near it.

    The network gives every detected deflection a class, and noise is V more often than not. With the default threshold,
    0.8: of the true runs of 3 or more V or S that the annotations of DS1 (mitdb) and of 41 records of svdb have, 226
    of 228 are not doubtful (V 87 of 89, S 139 of 139). Of false runs of V from the raw signal, by the network, all 8 in
    the noise of a synthetic day (with that noise taken for readable) are, 2 of 3 in 108 and 203, and 3 of 4 in the
    noise that nstdb adds to 118.

    Args:
        read: the signal, `length` samples at `fs` Hz.
        peaks: int64 (n,) samples, ascending: all beats.

    Returns:
        A function of the samples of a run's first and last beat: the median over its beats, at most `MOST_OF_RUN` of
        them, of the correlation with the beat of these that is most alike, or with the third most alike of the
        `BESIDE_RUN` on either side of the run, whichever is greater. From -1 to 1.
    """

    def shapes_of(beats: np.ndarray) -> np.ndarray:
        start = max(int(beats[0]) - round(MARGIN * fs), 0)
        signal = bridge(read(start, min(int(beats[-1]) + round(MARGIN * fs), length)))
        return unit_shapes(signal, fs, beats - start)[0]

    def likeness_of_run(first: int, last: int) -> float:
        begin, past = np.searchsorted(peaks, [first, last + 1])
        judged = np.linspace(begin, past - 1, min(past - begin, MOST_OF_RUN)).astype(np.int64)
        before = np.arange(max(begin - BESIDE_RUN, 0), begin)
        after = np.arange(past, min(past + BESIDE_RUN, len(peaks)))
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

    return likeness_of_run
