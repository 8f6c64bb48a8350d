"""Noise: where beats cannot be told from what is between them.

It is judged by two things that a clean signal has, however irregular its rhythm: it is quiet between its beats, and
most beats look like some others near them. benchmarks/README.md says how much noise is found, and what is lost of clean
recordings.

The hum of the mains with a lead that is off passes for both: it has no beats, or equal ones. But it has nearly all its
power above that of an ECG. In any window of mitdb, svdb and nstdb at most 57 % of the power above 3 Hz is above 38 Hz.

Ventricular tachycardia is not quiet between its beats, either, and its beats are unlike those around it. So runs of
beats that are fast, alike and larger than those around them are left out where noise is judged. Nor is it noise where
beats differ, but it is quiet between them, or they stand out from all that is between them. Flutter, which has neither
(`report.flutter`), is not noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocess.detect import APART, level_at, steepness
from preprocess.signals import bridge, spans
from report.definitions import Quality
from report.flutter import in_samples
from report.rhythm import longer
from report.shapes import NEIGHBOURS, alike_by, likeness, unit_shapes

QUIET = 40.0  # %, the percentile of steepness that says how quiet it is between the beats
HUM_BAND = (3.0, 38.0)  # Hz: an ECG is between; hum above it, also that of 60 Hz which 100 samples a second fold to 40
HUM_AROUND = 60  # s on either side: the hum that an ECG has there is the usual one
WINDOWS = 60  # that are in memory at once
LOOKED_AT = 125  # samples at least on either side of the middle of a window, whose percentile is taken


def noise_index(signal: np.ndarray, fs: float, beats: np.ndarray, grid: np.ndarray, quality: Quality) -> np.ndarray:
    """The noise index in windows around `grid`; 0 where something else says that they can be read.

    Args:
        signal: (n,) in mV at `fs` Hz, NaN where samples are missing.
        beats: int (beats,) samples of it, ascending.
        grid: int (windows,) samples of it: their middles.

    Returns:
        float (windows,).
    """
    half = max(round(quality.noise_window * fs / 2), 1)
    if not len(grid) or len(signal) <= 2 * half or np.isnan(signal).all():
        return np.zeros(len(grid))
    steep = steepness(signal, fs)
    level = level_at(steep, fs, grid)
    shapes, sizes = unit_shapes(bridge(signal), fs, beats)
    alike = likeness(shapes, sizes)
    index = _index_of(steep, beats, alike, grid, level, half, quality)
    doubted = index > quality.noise_index
    doubted[doubted] = ~_stand_out(steep, fs, beats, alike, grid[doubted], half, quality)
    index[~doubted] = 0.0
    if not doubted.any():  # as of most signals
        return index
    in_run = np.zeros(len(signal), dtype=bool)
    for start, end in _fast_runs(fs, beats, shapes, sizes, quality):
        in_run[max(start, 0) : end] = True
    if in_run.any():
        beside = ~in_run[beats]
        rest = np.where(in_run, np.nan, steep)
        index_of_rest = _index_of(rest, beats[beside], alike[beside], grid[doubted], level[doubted], half, quality)
        index[doubted] = np.minimum(index[doubted], index_of_rest)
    return index


def _index_of(
    steep: np.ndarray,
    beats: np.ndarray,
    alike: np.ndarray,
    grid: np.ndarray,
    level: np.ndarray,
    half: int,
    quality: Quality,
) -> np.ndarray:
    """The noise index in windows of `half` on either side of `grid`.

    Args:
        steep: float (n,), NaN where it is left out.
        alike: float (beats,), the likeness of each beat.
        level: float (windows,), the steepness of beats around each of `grid`.
    """
    step = max(half // LOOKED_AT, 1)
    around = steep[np.clip(grid[:, None] + np.arange(-half, half + 1, step), 0, len(steep) - 1)]  # (windows, samples)
    left = (~np.isnan(around)).mean(axis=1) * quality.noise_window
    judged = left >= min(quality.noise_shortest, quality.noise_window)
    busy = np.zeros(len(grid))
    percentile = np.nanpercentile if np.isnan(around[judged]).any() else np.percentile  # the first takes far longer
    with np.errstate(invalid="ignore", divide="ignore"):
        busy[judged] = np.nan_to_num(percentile(around[judged], QUIET, axis=1) / level[judged])
    total = np.append(0.0, np.cumsum(alike))
    low, high = np.searchsorted(beats, grid - half), np.searchsorted(beats, grid + half)
    mean = np.where(high > low, (total[high] - total[low]) / np.maximum(high - low, 1), 1.0)
    # Noise may be like nothing: no division by 0.
    doubted = (busy >= quality.noise_quiet) & (mean < quality.noise_likeness)
    return np.where(doubted, busy / np.maximum(mean, 0.1), 0.0)


def _stand_out(
    steep: np.ndarray,
    fs: float,
    beats: np.ndarray,
    alike: np.ndarray,
    grid: np.ndarray,
    half: int,
    quality: Quality,
) -> np.ndarray:
    """Say of windows around `grid` whether their beats are alike and far steeper than all that is between them.

    Beside a lead that is off there may be two beats with nothing between them: three are asked for.
    """
    from scipy.signal import find_peaks

    found = np.zeros(len(grid), dtype=bool)
    if len(beats) < 3 or not len(grid):
        return found
    between, _ = find_peaks(steep)
    after = np.clip(np.searchsorted(beats, between), 1, len(beats) - 1)
    nearest = np.minimum(np.abs(between - beats[after - 1]), np.abs(beats[after] - between))
    between = between[nearest > APART * fs]
    for at, middle in enumerate(grid.tolist()):
        first, past = np.searchsorted(beats, (middle - half, middle + half))
        low, high = np.searchsorted(between, (middle - half, middle + half))
        rest = 2 * half / fs - 2 * APART * (past - first)
        is_like = past - first >= 3 and alike[first:past].mean() >= quality.noise_run_likeness
        if is_like and rest >= quality.noise_between_least:
            highest = steep[between[low:high]].max(initial=0.0)
            found[at] = highest <= quality.noise_between * steep[beats[first:past]].min()
    return found


def _fast_runs(
    fs: float, beats: np.ndarray, shapes: np.ndarray, sizes: np.ndarray, quality: Quality
) -> list[tuple[int, int]]:
    """Runs of beats that follow one another fast and are alike: [start, end) in samples, half an interval around."""
    if len(beats) < 2:
        return []
    intervals = np.diff(beats)
    linked = (intervals <= 60 / quality.noise_run_rate * fs) & (
        alike_by(shapes, sizes, apart=1) >= quality.noise_run_likeness
    )
    found = []
    for first, last in longer(spans(linked), quality.noise_run_beats - 1).tolist():
        around = np.concatenate([sizes[max(first - NEIGHBOURS, 0) : first], sizes[last + 1 :][:NEIGHBOURS]])
        if len(around) and np.median(sizes[first : last + 1]) >= quality.noise_run_size * np.median(around):
            beside = int(np.median(intervals[first:last])) // 2
            found.append((int(beats[first]) - beside, int(beats[last]) + beside))
    return found


class Hum(NamedTuple):
    """What is above the band of an ECG in windows around every second."""

    share: np.ndarray
    """float (seconds,), of the power of the window; 0 where nothing moves."""
    size: np.ndarray
    """float (seconds,), the root of its power, in an arbitrary unit."""


def hum_of(signal: np.ndarray, fs: float, grid: np.ndarray, quality: Quality) -> Hum:
    """The hum in windows around `grid`; arguments as those of `noise_index`."""
    half = max(round(quality.noise_window * fs / 2), 1)
    found = Hum(np.zeros(len(grid)), np.zeros(len(grid)))
    if not len(grid) or len(signal) <= 2 * half or np.isnan(signal).all():
        return found
    whole = bridge(signal)
    frequencies = np.fft.rfftfreq(2 * half, 1 / fs)
    low, high = HUM_BAND
    taper = np.hanning(2 * half)
    starts = np.clip(grid - half, 0, len(signal) - 2 * half)  # at the ends whole windows, too
    for first in range(0, len(grid), WINDOWS):
        part = slice(first, first + WINDOWS)
        windows = whole[starts[part, None] + np.arange(2 * half)]
        windows = (windows - windows.mean(axis=1, keepdims=True)) * taper
        power = np.abs(np.fft.rfft(windows)) ** 2
        above = power[:, frequencies > high].sum(axis=1)
        total = power[:, frequencies >= low].sum(axis=1)
        found.share[part] = above / np.maximum(total, np.finfo(float).tiny)
        found.size[part] = np.sqrt(above)
    return found


def is_hum_alone(hum: Hum, quality: Quality) -> np.ndarray:
    """Say of each second (n,) whether there is hum without an ECG, and more than in a pause."""
    import pandas as pd

    beside = pd.Series(np.where(hum.share < quality.hum_share, hum.size, np.nan))
    usual = beside.rolling(2 * HUM_AROUND + 1, center=True, min_periods=1).median().fillna(0.0).to_numpy()
    return (hum.share >= quality.hum_share) & (hum.size > quality.hum_rise * usual)


def noise_spans(
    noisy: np.ndarray, waves: np.ndarray, flutter: np.ndarray, second: int, length: int, fs: float, quality: Quality
) -> np.ndarray:
    """What of the windows at every second is noise, after bridging -> int64 (k, 2) in samples."""
    hop = second / fs
    readable = np.zeros(len(noisy), dtype=bool)
    for start, end in (*longer(spans(waves), quality.flutter_shortest / hop), *((flutter + second // 2) // second)):
        readable[start:end] = True
    noisy = noisy & ~_bridged(readable, quality.flutter_bridge / hop)
    noisy = _bridged(noisy, quality.noise_bridge / hop)
    return in_samples(longer(spans(noisy), quality.noise_shortest / hop), len(noisy), second, length)


def _bridged(member: np.ndarray, longest: float) -> np.ndarray:
    """Fill gaps of `member` (n,) that are shorter than `longest`."""
    filled = member.copy()
    for start, end in spans(~member):
        if start > 0 and end < len(member) and end - start < longest:
            filled[start:end] = True
    return filled
