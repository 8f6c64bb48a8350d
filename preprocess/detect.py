"""Where the beats are: R-peaks of one ECG lead, at any rate, in any unit, upright or inverted.

One rule decides. The *steepness* of the signal at an instant is the root mean square slope of its 5 to 20 Hz band over
100 ms: P and T waves, baseline wander and muscle noise have little of it. Every local maximum of the steepness is a
candidate, and its *height* is its steepness as a share of that of the beats around it (the *level*). From the highest
candidate to the lowest, one becomes a beat if its height exceeds a threshold; the threshold is low far from the beats
that are there already, and rises steeply towards them, where P and T waves are. So a long interval is searched down to
low deflections without a second pass, and a high wave beside a higher one is left out.

A beat far lower than both its neighbours, and than the level, is left out again where these are so near each other that
none is due between them: it is noise. Nor is an interpolated ventricular beat due, or one in a couplet or run of
several shapes, but these are hardly ever that low.

What lies further than `MARGIN` from an instant does not matter to it. So days are read in parts, and where the parts
begin changes nothing but the last bits of the arithmetic.

The idea of an adaptive threshold on slope energy is that of Pan & Tompkins (IEEE Trans Biomed Eng 1985;32:230-236).
The form of the threshold is that of a logistic regression on mitdb, in which either half of the records predicted the
other. `LOW` and `ROOM` were chosen on mitdb, svdb and nstdb; for the rest neither svdb nor ptbdb was looked at.
benchmarks/README.md has the figures.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator

import numpy as np

from preprocess.signals import Read, bridge
from support.errors import InputError

STEEP_BAND = (5.0, 20.0)  # Hz, the band whose slope is measured
STEEP_WINDOW = 0.1  # s, over which it is averaged: about a QRS complex
APART = 0.2  # s, the least between the steepest instants of two beats; their R-peaks may be some 0.1 s nearer

BEAT_WINDOW = 1.5  # s, the highest steepness in it is taken for that of a beat
LEVEL_REACH = 8.0  # s on either side: the level is the median of these
LONG_REACH = 60.0  # s on either side: a pause, or a lead that is off for a while, does not let the level fall
LONG_SHARE = 0.4  # below this share of the median over it
HOP = 0.25  # s, the level is computed at multiples of this
SECOND_HOPS = 4  # hops in a second

THRESHOLD = 0.225  # least height of a beat that is `NEAR` or further from both its neighbours
NEAR = 0.4  # s, from here on the threshold rises with the square of NEAR / distance, for each neighbour
ALWAYS = 0.7  # a candidate of this height is a beat however near its neighbours are: tachycardia

LOW = 0.4  # of the level, and of the lower of its neighbours: a beat below this is noise, unless there is room for it
ROOM = 1.3  # usual intervals between its neighbours are room for a beat
USUAL_REACH = 15.0  # s on either side: the usual interval is the median of these

PEAK_BAND = (3.0, 40.0)  # Hz, the R-peak is the largest deflection, up or down, of this band
PEAK_REACH = 0.075  # s, within this distance of the highest steepness

DEFLECTION_WINDOW = 0.16  # s, the size of a deflection is the range of the band of R-peaks in it

LOWEST_RATE = 50.0  # Hz
SHORTEST = 0.5  # s
PART = 600.0  # s, that are read at once, beside the margins
MARGIN = LONG_REACH + USUAL_REACH + 10.0  # s, on either side of a part: its levels and usual intervals depend on it


def detect_beats(signal: np.ndarray, fs: float) -> np.ndarray:
    """Find the beats of a signal (n,) at `fs` Hz, in any unit; NaN and infinite samples are gaps.

    Returns:
        int64 (beats,) sample indices of the R-peaks, ascending.

    Raises:
        InputError: the signal is not one lead, or the rate is below 50 Hz.
    """
    signal = np.asarray(signal)
    if signal.ndim != 1:
        raise InputError(f"signal of shape {signal.shape}: (n,) samples of one lead are needed")
    return detect_in_parts(lambda start, stop: signal[start:stop], len(signal), fs)


def detect_in_parts(read: Read, length: int, fs: float, part: float = PART) -> np.ndarray:
    """Find the beats of a signal of `length` samples at `fs` Hz that is read in parts of `part` seconds.

    Args:
        read: returns the samples [start, stop) of the signal.

    Returns:
        int64 (beats,) sample indices of the R-peaks, ascending; the same whatever `part` is, but where rounding
        decides between two equals.

    Raises:
        InputError: the rate is below 50 Hz.
    """
    if not fs >= LOWEST_RATE:
        raise InputError(f"beats cannot be found at {fs:g} Hz: at least {LOWEST_RATE:g} Hz are needed")
    found = [np.empty(0, dtype=np.int64)]
    for first, start, stop, last in parts(length, fs, part):
        signal = np.asarray(read(first, last), dtype=np.float64)
        signal = np.where(np.isfinite(signal), signal, np.nan)
        found.append(first + _detect(signal, fs, start - first, stop - first))
    return np.unique(np.concatenate(found))


def parts(length: int, fs: float, part: float = PART) -> Iterator[tuple[int, int, int, int]]:
    """Divide `length` samples at `fs` Hz into parts [start, stop) of `part` seconds, which follow one another.

    Yields:
        first, start, stop, last: each with the samples [first, last), its margins, that it depends on.
    """
    second = SECOND_HOPS * _samples(HOP, fs)  # parts and margins are multiples of it, so that all share one grid
    margin, step = (math.ceil(time) * second for time in (MARGIN, part))
    for start in range(0, length, step):
        yield max(start - margin, 0), start, min(start + step, length), min(start + step + margin, length)


def band_pass(signal: np.ndarray, fs: float, band: tuple[float, float]) -> np.ndarray:
    """The band of a signal (n,) without missing samples, in phase with it."""
    from scipy.signal import butter, sosfiltfilt

    low, high = band
    sections = butter(2, (low, min(high, 0.45 * fs)), "bandpass", fs=fs, output="sos")
    return sosfiltfilt(sections, signal - np.median(signal))


def steepness(signal: np.ndarray, fs: float) -> np.ndarray:
    """The steepness of a signal (n,) at `fs` Hz -> (n,), its unit a second; 0 where nothing moves, or it is missing."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

    missing, whole = np.isnan(signal), bridge(signal)
    slope = np.gradient(band_pass(whole, fs, STEEP_BAND)) * fs
    width = _samples(STEEP_WINDOW, fs) | 1
    square = uniform_filter1d(slope**2, width)
    still = maximum_filter1d(whole, width) == minimum_filter1d(whole, width)
    return np.where(missing | still, 0.0, np.sqrt(np.maximum(square, 0.0)))  # a running mean may fall below 0 by a hair


def level_at(steep: np.ndarray, fs: float, places: np.ndarray) -> np.ndarray:
    """The steepness that beats around each place (m,) have, for the steepness (n,) of a signal."""
    import pandas as pd
    from scipy.ndimage import maximum_filter1d

    hop = _samples(HOP, fs)
    highest = pd.Series(maximum_filter1d(steep, _samples(BEAT_WINDOW, fs) | 1)[::hop])
    highest[highest == 0] = np.nan  # a gap
    short, long = (
        highest.rolling(2 * round(reach / HOP) + 1, center=True, min_periods=1).median().to_numpy()
        for reach in (LEVEL_REACH, LONG_REACH)
    )
    nearest = np.minimum(np.round(places / hop).astype(np.int64), len(highest) - 1)
    return np.maximum(short, LONG_SHARE * long)[nearest]


def deflection_sizes(signal: np.ndarray, fs: float) -> np.ndarray:
    """The size of the deflection around each sample of a signal (n,) at `fs` Hz, in its unit -> (n,)."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    waves = band_pass(bridge(signal), fs, PEAK_BAND)
    width = _samples(DEFLECTION_WINDOW, fs) | 1
    return maximum_filter1d(waves, width) - minimum_filter1d(waves, width)


# -------------------------------------------------------------------------------------------------------- its steps


def _samples(time: float, fs: float) -> int:
    return max(round(time * fs), 1)


def _detect(signal: np.ndarray, fs: float, start: int, stop: int) -> np.ndarray:
    """Find those beats of a signal (n,) whose highest steepness is in [start, stop)."""
    from scipy.signal import find_peaks

    if len(signal) < SHORTEST * fs:
        return np.empty(0, dtype=np.int64)
    steep = steepness(signal, fs)
    candidates, _ = find_peaks(steep, distance=_samples(APART, fs))
    candidates = candidates[steep[candidates] > 0]
    heights = steep[candidates] / level_at(steep, fs, candidates)
    beats = _accept(candidates / fs, heights)
    candidates, heights = candidates[beats], heights[beats]
    candidates = candidates[~_is_noise(candidates / fs, heights)]
    return _place(signal, fs, candidates[(candidates >= start) & (candidates < stop)])


def _accept(times: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Say of each candidate, with times (m,) in s, ascending, and heights (m,), whether it is a beat -> bool (m,)."""
    beats = np.zeros(len(times), dtype=bool)
    accepted = [-np.inf, np.inf]  # their times
    order = np.argsort(-heights, kind="stable")
    order = order[heights[order] > THRESHOLD]
    for index, time, height in zip(order.tolist(), times[order].tolist(), heights[order].tolist(), strict=True):
        place = bisect.bisect(accepted, time)
        before, after = time - accepted[place - 1], accepted[place] - time
        threshold = THRESHOLD * max(NEAR / before, 1.0) ** 2 * max(NEAR / after, 1.0) ** 2
        if height > min(threshold, ALWAYS):
            accepted.insert(place, time)
            beats[index] = True
    return beats


def _is_noise(times: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Say of each beat, with times (m,) in s, ascending, and heights (m,), whether it is noise -> bool (m,)."""
    noise = np.zeros(len(times), dtype=bool)
    intervals = np.diff(times)
    lower = np.minimum(heights[:-2], heights[2:])
    for index in 1 + np.flatnonzero(heights[1:-1] < LOW * np.minimum(lower, 1.0)):
        before, after = times[index - 1], times[index + 1]
        first, past = np.searchsorted(times, [before - USUAL_REACH, after + USUAL_REACH])
        noise[index] = after - before < ROOM * np.median(intervals[first : past - 1])
    return noise


def _place(signal: np.ndarray, fs: float, beats: np.ndarray) -> np.ndarray:
    """Move each beat (m,) to its R-peak."""
    if not len(beats):
        return beats.astype(np.int64)
    deflection = np.abs(band_pass(bridge(signal), fs, PEAK_BAND))
    deflection[np.isnan(signal)] = 0.0
    reach = _samples(PEAK_REACH, fs)
    around = np.clip(beats[:, None] + np.arange(-reach, reach + 1), 0, len(signal) - 1)  # (m, 2 * reach + 1)
    return around[np.arange(len(beats)), deflection[around].argmax(axis=1)]
