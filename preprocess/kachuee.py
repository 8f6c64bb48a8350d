"""The paper's own segmentation: one heart cycle from the R-peak on, at 125 Hz, scaled to [0, 1], padded with zeros.

Kachuee, Fazeli & Sarrafzadeh 2018, "ECG heartbeat classification: a deep transferable representation" (doi
10.1109/ICHI.2018.00092): windows of 10 s scaled to [0, 1]; R-peak candidates are the local maxima
(zero-crossings of the first derivative) above 0.9; T is the median R-R interval of the window; from each R-peak on
1.2 T is kept and padded with zeros to a fixed length. "Segment" here is their window, "window" what is cut of a beat.

Their published rows, the Kaggle set, were not made that way. Of ptbdb, 325 of 2,328 rows as released with the paper
are, to the rounding of float32, stretches of lead ii of 41 records, so where each began, ended and how it was scaled
is known. Of mitdb only the counts are known. data/README.md says what both show. Hence two readings: `KACHUEE` is the
text, `KAGGLE` a reconstruction of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

FS = 125.0  # Hz
SAMPLES = 187  # of a row, padded
THRESHOLD = 0.9  # of the segment's range
SPAN = 1.2  # median R-R intervals T that a window is long
REFRACTORY = 0.2  # s; of candidates closer than that the highest stays (not in the text): no two beats are so close
TOLERANCE = 0.15  # s between a candidate and its annotation, the match window of ANSI/AAMI EC57


@dataclass(frozen=True)
class Reach:
    """How far a window goes: it stops where its segment or record ends, and is dropped if that leaves too little."""

    end: Literal["segment", "record"]
    least: float  # T that must be left; SPAN: all of the window
    reason: str  # why windows are dropped


@dataclass(frozen=True)
class Reading:
    """What differs between the text and the rows."""

    segment: float  # s
    scaled: Literal["segment", "beat"]  # to [0, 1]: the segment as a whole, or each beat by itself
    candidates: Reach  # windows from an R-peak candidate on
    annotated: Reach | None  # windows from an annotated R-peak on; None: from the candidates that are near one
    sentence: str  # how each beat is cut, with places for `length` and `peak`
    peaks: dict[str, str]  # what the sentence calls the R-peaks of each dataset


_CUT = f"the first {{length}} of {SAMPLES} samples at {FS:g} Hz of the lead in `leads`: {SPAN:g} median R-R intervals"
_MAXIMUM = f"a local maximum above {THRESHOLD:g} of their range on"

# The text is silent on windows that run past their segment: here they go on in the record, and no beat is lost.
KACHUEE = Reading(
    segment=10.0,
    scaled="segment",
    candidates=Reach("record", SPAN, "leave the record"),
    annotated=None,
    sentence=f"{_CUT} of its 10 s from {{peak}}, scaled to [0, 1] as its 10 s are and clipped beyond their end, "
    "padded with zeros",
    peaks={"mit": f"{_MAXIMUM}, within {1000 * TOLERANCE:g} ms of the annotated R-peak", "ptb": _MAXIMUM},
)

# ptbdb: no released row crosses a multiple of 5 s, and none has less than T left before one. mitdb: the counts have
# every annotated beat but the last of each record, so no window was dropped for where it ends.
KAGGLE = Reading(
    segment=5.0,
    scaled="beat",
    candidates=Reach("segment", 1.0, "leave the segment within 1 median R-R interval"),
    annotated=Reach("record", 0.0, "leave the record"),
    sentence=f"{_CUT} of its 5 s from {{peak}}, each beat scaled to [0, 1], padded with zeros",
    peaks={
        "mit": "the annotated R-peak on, at most to the record's end",
        "ptb": f"{_MAXIMUM}, at most to the segment's end",
    },
)


def resample(signal: np.ndarray, fs: float) -> np.ndarray:
    """Bring a signal (n,) from `fs` to 125 Hz by linear interpolation; next to a missing sample (NaN) all are missing.

    From 1000 Hz that is every 8th sample, unfiltered, as the released rows were made. A filter in front of it
    (scipy's polyphase) moves some sample of a row by 5 % of its height in the median, by 1 to 17 % in all.
    """
    if not len(signal):
        return signal
    samples = int((len(signal) - 1) * FS / fs) + 1
    return np.interp(np.arange(samples) * (fs / FS), np.arange(len(signal)), signal)


def find_candidates(segment: np.ndarray) -> np.ndarray:
    """Find the R-peak candidates of one segment (n,), of any unit.

    A local maximum is where the first derivative goes from positive to negative; where it is zero in between, a
    plateau, its middle. The first and the last sample do not count as maxima, nor does one beside a missing sample
    (NaN); missing samples do not count for the range.

    Returns:
        int64 (m,), ascending, 200 ms or more apart; none for a flat segment.
    """
    from scipy.signal import find_peaks

    if _is_flat(segment):
        return np.empty(0, dtype=np.int64)
    lowest, highest = np.nanmin(segment), np.nanmax(segment)
    level = lowest + THRESHOLD * (highest - lowest)
    peaks, _ = find_peaks(segment, height=np.nextafter(level, np.inf), distance=round(REFRACTORY * FS))
    return peaks.astype(np.int64)


def _is_flat(segment: np.ndarray) -> bool:
    present = segment[~np.isnan(segment)]
    return not len(present) or present.min() == present.max()


def find_beats(signal: np.ndarray, reading: Reading) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Find the R-peak candidates of a signal (n,) at 125 Hz, and the median R-R interval of the segment of each.

    Returns:
        int64 (m,) ascending R-peaks; float64 (m,) intervals in samples; and the number of segments without
        beats, by the reason.
    """
    length = round(reading.segment * FS)
    peaks, intervals = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    flat, few, short = (
        f"of {reading.segment:g} s {reason}"
        for reason in ("that are flat or missing", "with fewer than two candidates", "cut short by the record's end")
    )
    without = {flat: 0, few: 0, short: 0}
    for start in range(0, len(signal), length):
        segment = signal[start : start + length]
        if len(segment) < length:
            without[short] += 1
            continue
        candidates = find_candidates(segment)
        if len(candidates) < 2:
            without[flat if _is_flat(segment) else few] += 1
            continue
        peaks.append(start + candidates)
        intervals.append(np.full(len(candidates), np.median(np.diff(candidates))))
    return np.concatenate(peaks), np.concatenate(intervals), without


def annotated_intervals(peaks: np.ndarray, reading: Reading) -> np.ndarray:
    """Give each annotated R-peak (n,), ascending samples at 125 Hz, but the last the R-R interval T of its window.

    T is the median R-R interval of the annotated beats in the segment; of one beat there, that to the next beat. No
    Kaggle row of mitdb can be traced to its record, so this T is a guess, carried over from ptbdb.

    Returns:
        float64 (n - 1,) intervals in samples; none for no beat.
    """
    segments = peaks // round(reading.segment * FS)
    intervals = np.diff(peaks).astype(np.float64)
    result = intervals.copy()
    for segment in np.unique(segments):
        here = np.flatnonzero(segments == segment)
        if len(here) > 1:
            result[here[0] : here[-1] + 1] = np.median(intervals[here[0] : here[-1]])
    return result


def match(candidates: np.ndarray, annotated: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Match each candidate (n,) with the nearest annotated beat (m,), at most `tolerance` away; both ascending.

    Of several candidates nearest to one beat the nearest is matched, of two as near the first.

    Returns:
        int64 (k,) indices of candidates and (k,) of the beats that they are matched with, both ascending.
    """
    if not len(candidates) or not len(annotated):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    after = np.searchsorted(annotated, candidates).clip(1, max(len(annotated) - 1, 1))
    around = np.stack([after - 1, np.minimum(after, len(annotated) - 1)])  # (2, n): the beats on both sides
    distances = np.abs(annotated[around] - candidates)
    side = distances.argmin(axis=0)
    beat, distance = around[side, np.arange(len(candidates))], distances.min(axis=0)
    near = np.flatnonzero(distance <= tolerance)
    near = near[np.lexsort((near, distance[near], beat[near]))]  # by beat, the nearest candidate first
    beats, first = np.unique(beat[near], return_index=True)
    return near[first], beats


def cut(
    signal: np.ndarray, peaks: np.ndarray, intervals: np.ndarray, length: int, reading: Reading, reach: Reach
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Cut and scale the windows of the R-peaks (n,) of a signal at 125 Hz.

    A window is 1.2 `intervals` (n,), rounded down and at most 187 samples, as far as `reach` goes, scaled to [0, 1],
    padded with zeros to 187; its first `length` are kept. Scaled by its segment, what lies beyond the segment's end is
    clipped: it may be higher or lower than all that the range was taken from.

    Returns:
        float32 (m, length) windows; bool (n,), which of the windows have what `reach` asks for; bool (n,), which hold
        no missing samples: the m windows are those of both; and how many of those scaled by themselves are flat, kept
        as zeros.
    """
    segment = round(reading.segment * FS)
    ends = len(signal) if reach.end == "record" else np.minimum((peaks // segment + 1) * segment, len(signal))
    spans = np.minimum(SPAN * intervals, SAMPLES).astype(np.int64)
    kept = np.minimum(spans, ends - peaks)
    enough = (kept > 0) & (kept >= np.minimum(spans, reach.least * intervals))
    places = peaks[:, None] + np.arange(SAMPLES)  # (n, SAMPLES)
    body = np.arange(SAMPLES) < kept[:, None]
    windows = signal[np.minimum(places, len(signal) - 1)] if len(signal) else np.empty(places.shape)
    whole = ~(np.isnan(windows) & body).any(axis=1)
    windows, body = windows[enough & whole], body[enough & whole]
    if reading.scaled == "beat":
        lowest = windows.min(axis=1, where=body, initial=np.inf)
        highest = windows.max(axis=1, where=body, initial=-np.inf)
    else:
        segments = signal[: len(signal) // segment * segment].reshape(-1, segment)
        own = peaks[enough & whole] // segment
        lowest, highest = (extreme.reduce(segments, axis=1)[own] for extreme in (np.fmin, np.fmax))  # without NaN
    span = (highest - lowest)[:, None]
    values = np.where(body, windows - lowest[:, None], 0.0) / np.where(span > 0, span, 1.0)
    return values.clip(0.0, 1.0)[:, :length].astype(np.float32), enough, whole, int((span == 0).sum())
