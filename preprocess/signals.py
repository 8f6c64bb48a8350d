"""A signal before it is cut: its rate, and its missing samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

FS = 360.0  # Hz, the rate of mitdb
REACH = 1.0  # s beyond a stretch that resampling it needs: more than the filter's half length at any rate from 20 Hz on

BRIDGED = 0.1  # s of missing samples that lose no time: no beat has room in them

Read = Callable[[int, int], np.ndarray]
"""Gives the samples [start, stop) of a signal, float64 (stop - start,), NaN where samples are missing."""


def resample(signal: np.ndarray, fs: float) -> np.ndarray:
    """Bring a signal (n,) from `fs` Hz to `FS` with scipy's polyphase filter; missing samples stay missing."""
    if fs == FS:
        return signal
    from scipy.signal import resample_poly

    ratio = Fraction(FS / fs).limit_denominator(1000)
    # "line": without it the filter sees a step from zero at both ends, which a detector takes for a beat.
    resampled = resample_poly(bridge(signal), ratio.numerator, ratio.denominator, padtype="line")
    nearest = np.round(np.arange(len(resampled)) * fs / FS).astype(np.int64)
    resampled[np.isnan(signal)[np.minimum(nearest, len(signal) - 1)]] = np.nan
    return resampled


def resampling_reader(read: Read, length: int, fs: float) -> tuple[Read, int]:
    """Read a signal of `length` samples at `fs` Hz as one at `FS`, a stretch at a time.

    Reading a stretch takes the memory of that stretch alone. Its samples equal those of `resample` of the whole signal,
    but for rounding. Where no small fraction gives the ratio of the rates they also keep to the clock, from which a
    whole day resampled at once would drift by up to 0.1 s.

    Returns:
        The reading function, and the number of samples at `FS`.
    """
    if fs == FS:
        return read, length
    down = Fraction(FS / fs).limit_denominator(1000).denominator

    def read_resampled(start: int, stop: int) -> np.ndarray:
        first = max(0, math.floor((start / FS - REACH) * fs)) // down * down  # where samples of both rates coincide
        last = min(length, math.ceil((stop / FS + REACH) * fs))
        part = resample(read(first, last), fs)
        skip = start - round(first * FS / fs)
        part = part[skip : skip + stop - start]
        return np.pad(part, (0, stop - start - len(part)), mode="edge")  # rounding may leave the last one out

    return read_resampled, math.ceil(length * FS / fs)


def spans(member: np.ndarray) -> np.ndarray:
    """The maximal stretches of `member` (n,) -> int64 (k, 2), [start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], member, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2).astype(np.int64)


def parted(peaks: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Say between which of the R-peaks (beats,) and the next one of the `borders` lies: bool (beats - 1,)."""
    return np.diff(np.searchsorted(np.sort(borders), peaks, side="right")) > 0


def bridging_reader(read: Read, length: int, longest: int) -> Read:
    """Read a signal of `length` samples with a line in the place of missing ones, of up to `longest` in a row.

    Longer gaps stay, and so do those at the ends of the signal, which nothing can be drawn a line to.
    """

    def read_bridged(start: int, stop: int) -> np.ndarray:
        # So far that a gap that goes on beyond is longer than `longest`.
        first, last = max(0, start - longest - 1), min(length, stop + longest + 1)
        signal = read(first, last)
        missing = np.isnan(signal)
        if missing.any():
            short = np.zeros(len(signal), dtype=bool)
            for gap, end in spans(missing):
                short[gap:end] = end - gap <= longest and first + gap > 0 and first + end < length
            signal = np.where(short, bridge(signal), signal)
        return signal[start - first : stop - first]

    return read_bridged


def bridge(signal: np.ndarray) -> np.ndarray:
    """Replace missing samples (NaN) of a signal (n,) by a line between their neighbours; all missing: zeros."""
    missing = np.isnan(signal)
    if not missing.any():
        return signal
    if missing.all():
        return np.zeros_like(signal)
    places = np.arange(len(signal))
    return np.interp(places, places[~missing], signal[~missing])
