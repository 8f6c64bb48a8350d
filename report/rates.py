"""Heart rate, and where it is slow or fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from report.definitions import Definitions
from report.rhythm import Rhythm, in_spans, whole_windows


@dataclass(frozen=True)
class Rate:
    """A heart rate, and the time of the middle of its window."""

    bpm: float
    time_s: float


@dataclass(frozen=True)
class HeartRate:
    """Lowest, mean and highest heart rate; None where there are too few valid R-R intervals.

    The lowest and the highest are medians (`WindowRates`), in which a single pause does not count. In the mean it does,
    so the mean may be below the lowest.
    """

    min: Rate | None
    mean: float | None
    max: Rate | None


@dataclass(frozen=True, eq=False)
class WindowRates:
    """The heart rate in every window of so many successive valid R-R intervals.

    It is that of the median of the means of two successive intervals. A false beat changes three of these, a missed one
    two; neither makes an extreme, and in bigeminy every mean is that of a short and a long interval, so neither of
    them passes for the heart rate.
    """

    samples: np.ndarray
    """int64 (w,): the beat in the middle of each."""
    bpm: np.ndarray
    """float (w,)."""

    def extremes(self, fs: float, chosen: slice = slice(None)) -> tuple[Rate | None, Rate | None]:
        """The lowest and the highest of the windows `chosen`, the first of those."""
        samples, bpm = self.samples[chosen], self.bpm[chosen]
        if not bpm.size:
            return None, None
        low, high = int(bpm.argmin()), int(bpm.argmax())
        return (Rate(float(bpm[low]), float(samples[low] / fs)), Rate(float(bpm[high]), float(samples[high] / fs)))


WINDOWS = 50_000
"""That are in memory at once: days have hundreds of thousands."""

NO_SPANS = np.zeros((0, 2), dtype=np.int64)


def window_rates(rhythm: Rhythm, definitions: Definitions, unlike: np.ndarray = NO_SPANS) -> WindowRates:
    """The heart rate in every window of `heart_rate_intervals` valid R-R intervals.

    Args:
        unlike: int64 (k, 2), samples, the first and last beat of runs whose beats may be none (`Episodes.unlike`), in
            order: what they have no part in makes the heart rate.
    """
    size = definitions.heart_rate_intervals
    doubtful = in_spans(rhythm.samples, unlike)
    starts = whole_windows(rhythm.valid & ~doubtful[:-1] & ~doubtful[1:], size)
    pairs = rhythm.samples[2:] - rhythm.samples[:-2]  # two successive intervals
    if not starts.size:
        return WindowRates(np.zeros(0, dtype=np.int64), np.zeros(0))
    windows = np.lib.stride_tricks.sliding_window_view(pairs, size - 1)
    parts = np.array_split(starts, -(-starts.size // WINDOWS))
    medians = np.concatenate([np.median(windows[part], axis=1) for part in parts])
    return WindowRates(rhythm.samples[starts + size // 2], 120 * rhythm.fs / medians)


def heart_rate(rhythm: Rhythm, definitions: Definitions, unlike: np.ndarray = NO_SPANS) -> HeartRate:
    """The heart rate of the whole recording; `unlike` as `window_rates` has it, and of no matter to the mean."""
    low, high = window_rates(rhythm, definitions, unlike).extremes(rhythm.fs)
    return HeartRate(low, mean_rate(rhythm.rr[rhythm.valid], rhythm.fs), high)


def mean_rate(intervals: np.ndarray, fs: float) -> float | None:
    """60 / mean of valid R-R intervals, given in samples; None without any."""
    return float(60 * intervals.size * fs / intervals.sum()) if intervals.size else None


def slow_and_fast(rhythm: Rhythm, definitions: Definitions) -> Iterator[tuple[str, tuple[int, int]]]:
    """Bradycardia and tachycardia: the kind, and the first and last beat, indices.

    The rate at a beat is the mean rate of 8 valid intervals, 4 before it and 4 after it. Where one of these is not
    valid, it is that of the nearest beat on the same side of it, if there is one with 8.
    """
    size = definitions.rate_intervals
    starts = whole_windows(rhythm.valid, size)
    if not starts.size:
        return
    rates = 60 * size * rhythm.fs / (rhythm.samples[starts + size] - rhythm.samples[starts])
    # The stretch of valid intervals that each beat is in: of m beats, it has m - size windows.
    stretch = np.append(0, np.cumsum(~rhythm.valid))
    counts = np.bincount(stretch)
    first_beat = np.append(0, np.cumsum(counts)[:-1])[stretch]
    last_window = first_beat + counts[stretch] - 1 - size
    rated = last_window >= first_beat
    beats = np.arange(stretch.size)
    window = np.clip(beats - size // 2, first_beat, np.maximum(last_window, first_beat))
    rate = np.full(beats.size, np.nan)
    rate[rated] = rates[np.searchsorted(starts, window[rated])]
    for kind, there in (
        ("bradycardia", rate < definitions.bradycardia),
        ("tachycardia", rate > definitions.tachycardia),
    ):
        at = np.flatnonzero(there)
        gaps = rhythm.samples[at[1:]] - rhythm.samples[at[:-1]]
        follows = (np.diff(at) == 1) & rhythm.valid[at[:-1]]
        apart = ~(follows | (gaps <= definitions.rate_bridge * rhythm.fs))
        edge = np.ones(min(at.size, 1), dtype=bool)
        for first, last in zip(at[np.append(edge, apart)], at[np.append(apart, edge)], strict=True):
            if rhythm.samples[last] - rhythm.samples[first] >= definitions.rate_duration * rhythm.fs:
                yield kind, (int(first), int(last))
