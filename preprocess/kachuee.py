"""The paper's own segmentation: one heart cycle from the R-peak on, at 125 Hz, scaled to [0, 1], padded with zeros.

Kachuee, Fazeli & Sarrafzadeh 2018, "ECG heartbeat classification: a deep transferable representation" (doi
10.1109/ICHI.2018.00092): windows of 10 s scaled to [0, 1]; R-peak candidates are the local maxima
(zero-crossings of the first derivative) above 0.9; T is the median R-R interval of the window; from each R-peak on
1.2 T is kept and padded with zeros to a fixed length. "Segment" here is their window, "window" what is cut of a beat.

Where their text is silent or their rows differ from it, the rows of ptbdb as released with the paper decide: 325 of
2,328 are, to the rounding of float32, stretches of lead ii of 41 records of ptbdb, so where each began, ended and how
it was scaled is known. data/README.md says what they show.
"""

from __future__ import annotations

import numpy as np

FS = 125.0  # Hz
SAMPLES = 187  # of a row, padded
SEGMENT = 5.0  # s; the text says 10, but no released row crosses a multiple of 5 s, and all begin above 0.9 of it
THRESHOLD = 0.9  # of the segment's range
SPAN = 1.2  # median R-R intervals that a window is long
REFRACTORY = 0.2  # s; of candidates closer than that the highest stays (not in the text): no two beats are so close
TOLERANCE = 0.15  # s between a candidate and its annotation, the match window of ANSI/AAMI EC57

WINDOW = (
    f"the first {{length}} of {SAMPLES} samples at {FS:g} Hz of the lead in `leads`{{resampled}}: from {{peak}} on for "
    f"{SPAN:g} median R-R intervals of its {SEGMENT:g} s, each beat scaled to [0, 1], padded with zeros"
)
PEAK = f"a local maximum above {THRESHOLD:g} of {SEGMENT:g} s scaled to [0, 1]"
PEAKS = {"mit": f"{PEAK}, within {1000 * TOLERANCE:g} ms of the annotated R-peak,", "ptb": PEAK}


def resample(signal: np.ndarray, fs: float) -> np.ndarray:
    """Bring a signal (n,) from `fs` to 125 Hz by linear interpolation; next to a missing sample (NaN) all are missing.

    From 1000 Hz that is every 8th sample, unfiltered: so the released rows were made. A filter in front of it
    (scipy's polyphase) moves some sample of a row by 5 % of its height in the median, by 1 to 17 % in all.
    """
    if not len(signal):
        return signal
    samples = int((len(signal) - 1) * FS / fs) + 1
    return np.interp(np.arange(samples) * (fs / FS), np.arange(len(signal)), signal)


def find_candidates(segment: np.ndarray) -> np.ndarray:
    """Find the R-peak candidates of one segment (n,), of any unit.

    A local maximum is where the first derivative goes from positive to negative; where it is zero in between, a
    plateau, its middle. The first and the last sample are none. Missing samples (NaN) do not count for the range,
    and a maximum beside one is none.

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


def find_beats(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Find the R-peaks of a signal (n,) at 125 Hz, and the median R-R interval of the segment of each.

    Returns:
        int64 (m,) ascending R-peaks; float64 (m,) intervals in samples; and the number of segments without
        beats, by the reason.
    """
    length = round(SEGMENT * FS)
    peaks, intervals = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    without = {"that are flat or missing": 0, "with fewer than two candidates": 0, "cut short by the record's end": 0}
    for start in range(0, len(signal), length):
        segment = signal[start : start + length]
        if len(segment) < length:
            without["cut short by the record's end"] += 1
            continue
        candidates = find_candidates(segment)
        if len(candidates) < 2:
            without["that are flat or missing" if _is_flat(segment) else "with fewer than two candidates"] += 1
            continue
        peaks.append(start + candidates)
        intervals.append(np.full(len(candidates), np.median(np.diff(candidates))))
    return np.concatenate(peaks), np.concatenate(intervals), without


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
    signal: np.ndarray, peaks: np.ndarray, intervals: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Cut and scale the windows of the R-peaks (n,) of a signal at 125 Hz.

    A window is 1.2 `intervals` (n,), rounded down and at most 187 samples, scaled to [0, 1], padded with zeros to
    187; its first `length` are kept. It runs on into the next segment, where the released rows stop: that loses no
    beat, and as each beat is scaled by itself, nothing jumps.

    Returns:
        float32 (m, length) windows; bool (n,), which of the windows lie within the signal; bool (n,), which hold no
        missing samples: the m windows are those of both; and how many of them are flat, kept as zeros.
    """
    spans = np.minimum(SPAN * intervals, SAMPLES).astype(np.int64)
    inside = peaks + spans <= len(signal)
    places = peaks[:, None] + np.arange(SAMPLES)  # (n, SAMPLES)
    body = np.arange(SAMPLES) < spans[:, None]
    windows = signal[np.minimum(places, len(signal) - 1)] if len(signal) else np.empty(places.shape)
    whole = ~(np.isnan(windows) & body).any(axis=1)
    windows, body = windows[inside & whole], body[inside & whole]
    lowest = windows.min(axis=1, where=body, initial=np.inf)[:, None]
    span = windows.max(axis=1, where=body, initial=-np.inf)[:, None] - lowest
    scaled = np.where(body, windows - lowest, 0.0) / np.where(span > 0, span, 1.0)
    return scaled[:, :length].astype(np.float32), inside, whole, int((span == 0).sum())
