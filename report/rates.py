"""Heart rate, and where it is slow or fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from report.definitions import Definitions
from report.rhythm import Rhythm, across, in_spans


@dataclass(frozen=True)
class Rate:
    """A heart rate, and the time of the middle of its window."""

    bpm: float
    time_s: float
    doubtful: bool = False
    """Two or more beats of its window may be noise (`WindowRates.doubtful`)."""


@dataclass(frozen=True)
class HeartRate:
    """Lowest, mean and highest heart rate; None where there are too few valid R-R intervals.

    The lowest and the highest are medians (`WindowRates`), in which a single pause does not count. In the mean it does,
    so the mean may be below the lowest; where groups of three intervals repeat, it may be outside on either side.
    """

    min: Rate | None
    mean: float | None
    max: Rate | None


@dataclass(frozen=True, eq=False)
class WindowRates:
    """The heart rate in every window of so many successive valid R-R intervals.

    It is the rate of the median of the means of two successive intervals. A false beat changes three of these means, a
    missed one two, so neither makes an extreme; and in bigeminy every mean is of a short and a long interval, so that
    neither alone passes for the heart rate.
    """

    samples: np.ndarray
    """int64 (w,): the beat in the middle of each."""
    bpm: np.ndarray
    """float (w,)."""
    doubtful: np.ndarray
    """bool (w,): two or more of its beats have a doubtful class other than N, so they may be noise. A single false beat
    would not make an extreme."""

    def extremes(self, fs: float, chosen: slice = slice(None)) -> tuple[Rate | None, Rate | None]:
        """The lowest and the highest of the windows `chosen`: the first of those, a doubtful one only where all are."""
        samples, bpm, doubtful = self.samples[chosen], self.bpm[chosen], self.doubtful[chosen]
        if not bpm.size:
            return None, None

        def rate(extreme: float) -> Rate:
            at = np.flatnonzero(bpm == extreme)
            at = at[doubtful[at].argmin()]
            return Rate(float(extreme), float(samples[at] / fs), bool(doubtful[at]))

        return rate(bpm.min()), rate(bpm.max())


WINDOWS = 50_000
"""That are in memory at once: days have hundreds of thousands."""

NO_SPANS = np.zeros((0, 2), dtype=np.int64)


def window_rates(rhythm: Rhythm, definitions: Definitions, unlike: np.ndarray = NO_SPANS) -> WindowRates:
    """The heart rate in every window of `heart_rate_intervals` valid R-R intervals.

    Across an interruption of up to `rate_bridge` a window goes on: it then has as many means of two successive ones.

    Args:
        unlike: int64 (k, 2), samples, in order: the first and last beat of runs whose beats may be noise
            (`Episodes.unlike`). Their intervals are left out.
    """
    size = definitions.heart_rate_intervals
    doubtful = in_spans(rhythm.samples, unlike)
    usable = rhythm.valid & ~doubtful[:-1] & ~doubtful[1:]
    stretch = np.cumsum(~across(usable, rhythm.rr, definitions.rate_bridge * rhythm.fs))  # (n - 1,)
    at = np.flatnonzero(usable[:-1] & usable[1:])  # the first of two successive intervals
    starts = np.flatnonzero(stretch[at[size - 2 :]] == stretch[at[: max(at.size - size + 2, 0)]])
    if not starts.size:
        return WindowRates(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=bool))
    pairs = rhythm.samples[at + 2] - rhythm.samples[at]
    windows = np.lib.stride_tricks.sliding_window_view(pairs, size - 1)
    parts = np.array_split(starts, -(-starts.size // WINDOWS))
    medians = np.concatenate([np.median(windows[part], axis=1) for part in parts])
    # The network calls noise V more often than not, and hardly ever N.
    unsure = rhythm.unsure(definitions.doubtful_probability) & (rhythm.classes != "N")
    unsure = np.append(0, np.cumsum(unsure))  # of the beats before each
    many = unsure[at[starts + size - 2] + 3] - unsure[at[starts]] > 1
    return WindowRates(rhythm.samples[at[starts + size // 2 - 1] + 1], 120 * rhythm.fs / medians, many)


def heart_rate(rhythm: Rhythm, definitions: Definitions, unlike: np.ndarray = NO_SPANS) -> HeartRate:
    """The heart rate of the whole recording; `unlike` as in `window_rates`, for the extremes alone."""
    low, high = window_rates(rhythm, definitions, unlike).extremes(rhythm.fs)
    return HeartRate(low, mean_rate(rhythm.rr[rhythm.valid], rhythm.fs), high)


def mean_rate(intervals: np.ndarray, fs: float) -> float | None:
    """60 / mean of valid R-R intervals (k,), given in samples at `fs` Hz, 1/min; None without any."""
    return float(60 * intervals.size * fs / intervals.sum()) if intervals.size else None


def enough_for_rates(rhythm: Rhythm, definitions: Definitions) -> bool:
    """Whether there are beats enough for a bradycardia or tachycardia, somewhere."""
    first, last = rhythm.stretches(definitions.rate_bridge).T
    long = rhythm.samples[last] - rhythm.samples[first] >= definitions.rate_duration * rhythm.fs
    return bool((long & (last - first >= definitions.rate_intervals)).any())


def slow_and_fast(rhythm: Rhythm, definitions: Definitions) -> Iterator[tuple[str, tuple[int, int]]]:
    """Bradycardia and tachycardia: the kind, and the first and last beat, indices.

    The rate at a beat is the mean rate of 8 valid intervals, the nearest 4 before it and 4 after it. Beyond an
    interruption longer than `rate_bridge` none is taken: where too few are left on that side, more are of the other.
    """
    size, bridge = definitions.rate_intervals, definitions.rate_bridge * rhythm.fs
    at = np.flatnonzero(rhythm.valid)
    if at.size < size:
        return
    totals = np.append(0, np.cumsum(rhythm.rr[at]))
    rates = 60 * size * rhythm.fs / (totals[size:] - totals[:-size])  # of each window of valid intervals
    stretch = np.cumsum(~across(rhythm.valid, rhythm.rr, bridge))  # (n - 1,)
    of_beat = np.append(0, stretch)
    first, past = (np.searchsorted(stretch[at], of_beat, side) for side in ("left", "right"))  # of its valid intervals
    rated = past - first >= size
    before = np.append(0, np.cumsum(rhythm.valid))  # valid intervals before each beat
    rate = np.full(of_beat.size, np.nan)
    rate[rated] = rates[np.clip(before - size // 2, first, past - size)[rated]]
    for kind, there in (
        ("bradycardia", rate < definitions.bradycardia),
        ("tachycardia", rate > definitions.tachycardia),
    ):
        at = np.flatnonzero(there)
        gaps = rhythm.samples[at[1:]] - rhythm.samples[at[:-1]]
        follows = (np.diff(at) == 1) & rhythm.valid[at[:-1]]
        apart = ~(follows | (gaps <= bridge))
        edge = np.ones(min(at.size, 1), dtype=bool)
        for first, last in zip(at[np.append(edge, apart)], at[np.append(apart, edge)], strict=True):
            if rhythm.samples[last] - rhythm.samples[first] >= definitions.rate_duration * rhythm.fs:
                yield kind, (int(first), int(last))
