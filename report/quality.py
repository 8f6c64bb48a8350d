"""Which time of a recording cannot be read: samples are missing, the lead is off, the amplifier is at its limit, noise.

Noise is judged by two things that a clean signal has, however irregular its rhythm: it is quiet between its beats, and
most beats look like some others near them. benchmarks/README.md says how much noise is found, and what is lost of clean
recordings.

The hum of the mains with a lead that is off passes for both: it has no beats, or equal ones. But it has nearly all its
power above that of an ECG. In any window of mitdb, svdb and nstdb at most 57 % of the power above 3 Hz is above 38 Hz.

Ventricular tachycardia is not quiet between its beats, either, and its beats are unlike those around it. So runs of
beats that are fast, alike and larger than those around them are left out where noise is judged. Nor is it noise where
beats differ, but it is quiet between them, or they stand out from all that is between them.

Ventricular flutter and fibrillation have neither, but they are nearly sinusoidal, which noise is not: where the signal
and itself half a mean period later all but cancel (the leakage of the VF filter, Kuo & Dillman, Computers in Cardiology
1978), nothing is called noise, and flutter is said to be possible. Measured in windows of 5 s, every second, on the 48
records of mitdb, of which 207 alone has flutter (six episodes, 143 s): 131 s of it found, 6 s at its ends too many, and
no false alarm, nor in 20.5 h of svdb (41 records) and 6 h of nstdb, records with electrode motion. The flutter is that
of one patient, and the threshold was chosen on it: how much of another's is found has not been measured. A tachycardia
of 180/min and more without a level stretch between its beats looks the same, and so may a tremor of the hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from preprocess.detect import APART, band_pass, level_at, parts, steepness
from preprocess.signals import BRIDGED, bridge, bridging_reader, spans
from report.definitions import CHOSEN, Thresholds, threshold
from report.rhythm import disjoint
from support.errors import InputError

REASONS = ("missing", "flat", "saturation", "noise")
"""Why time is unreadable. Where several hold, the first one is given."""

HOP = 1.0  # s, noise is judged at multiples of this
RAIL_APART = 0.2  # of the signal's range: nearer to its median than this a plateau is a level baseline, not the limit
RAIL_NEAR = 0.01  # of the signal's range: so near to its highest or lowest value a plateau is at the limit
GLITCH = 0.02  # s: what is over sooner says nothing of where the limits are
PLATEAU_HIGH = 0.5  # s on either side, in which a plateau is the highest or lowest value

QUIET = 40.0  # %, the percentile of steepness that says how quiet it is between the beats
SHAPE_BAND = (1.0, 40.0)  # Hz
SHAPE_REACH = 0.2  # s on either side of an R-peak: what is compared of beats
SHAPE_NEIGHBOURS = 15  # beats on either side that one is compared with
SHAPE_RANK = 3  # the third best likeness counts: one or two may be chance
SHAPE_SIZE = 0.7  # of two beats alike the smaller has at least this share of the other's size
FLUTTER_BAND = (1.0, 30.0)  # Hz
HUM_BAND = (3.0, 38.0)  # Hz: an ECG is between; hum above it, also that of 60 Hz which 100 samples a second fold to 40
HUM_AROUND = 60  # s on either side: the hum that an ECG has there is the usual one
WINDOWS = 60  # that are in memory at once


@dataclass(frozen=True)
class Quality(Thresholds):
    """What makes time unreadable.

    Raises:
        InputError: a value is out of range.
    """

    missing_longest: float = threshold(
        BRIDGED, "missing samples up to this long are bridged by a line, more are unreadable", "s", CHOSEN
    )
    flat_range: float = threshold(0.01, "a lead is off where the signal stays within this range", "mV", CHOSEN)
    flat_shortest: float = threshold(
        2.0,
        "for at least this long; but where it moves within the range, never at one value for so long, and lies in a "
        "pause of up to --doubtful_pause, it is read, and the pause is doubtful",
        "s",
        CHOSEN,
    )
    rail_shortest: float = threshold(
        0.2,
        "saturation: the signal stays at one value, its highest or lowest or within 1 % of its range of it, unless "
        "that is its baseline, for at least this long, longer than a clipped QRS complex",
        "s",
        CHOSEN,
    )
    noise_index: float = threshold(
        0.17,
        "noise: the steepness between beats, as a share of that of beats, divided by the mean likeness of beats to "
        "their like, is above this",
        "",
        CHOSEN,
    )
    noise_likeness: float = threshold(
        0.95,
        "but there is no noise where beats are at least this like their like, however much is between them: atrial "
        "flutter",
        "",
        CHOSEN,
    )
    noise_certain: float = threshold(
        0.5,
        "nor where the leakage stays below --flutter_leakage, a fast tachycardia, unless the index is above this",
        "",
        CHOSEN,
    )
    noise_quiet: float = threshold(
        0.1,
        "nor where the steepness between beats is below this share of that of beats, whatever their likeness: the few "
        "beats after flutter",
        "",
        CHOSEN,
    )
    noise_between: float = threshold(
        0.35,
        "nor where a window has three beats and more, and no deflection between them is steeper than this share of the "
        "least steep of them, if they are as alike as --noise_run_likeness has it",
        "",
        CHOSEN,
    )
    noise_between_least: float = threshold(
        1.0, "and if so much of the window is between beats: in a tachycardia nothing is", "s", CHOSEN
    )
    noise_run_beats: int = threshold(
        4,
        "noise is judged without runs of ventricular tachycardia, whose waves leave nothing quiet between them, if "
        "--noise_shortest of a window is left: runs of at least this many beats",
        "beats",
        CHOSEN,
    )
    noise_run_rate: float = threshold(120.0, "each following the one before it at this rate or faster", "1/min", CHOSEN)
    noise_run_likeness: float = threshold(
        0.7, "and at least this like it, which false beats in noise hardly ever are", "", CHOSEN
    )
    noise_run_size: float = threshold(
        1.3,
        "and in the median this many times as large as the beats before and after the run: those of a sinus "
        "tachycardia with noise are not",
        "",
        CHOSEN,
    )
    hum_share: float = threshold(
        0.95,
        "noise, too, is hum of the mains without an ECG, a lead that is off: at least this share of the power above "
        "3 Hz is above 38 Hz",
        "",
        CHOSEN,
    )
    hum_rise: float = threshold(
        2.0,
        "and the hum is more than this many times as large as in the minutes around where there is an ECG: in a pause "
        "it stays what it was",
        "",
        CHOSEN,
    )
    noise_window: float = threshold(5.0, "window of the noise index, the hum and the flutter leakage", "s", CHOSEN)
    noise_shortest: float = threshold(3.0, "shortest stretch of noise", "s", CHOSEN)
    noise_bridge: float = threshold(
        5.0, "readable stretches shorter than this between noise and other unreadable time are noise too", "s", CHOSEN
    )
    flutter_leakage: float = threshold(
        0.57, "leakage of the VF filter, below which the signal is nearly sinusoidal", "", "Kuo & Dillman 1978"
    )
    flutter_shortest: float = threshold(3.0, "shortest stretch of the leakage that makes flutter possible", "s", CHOSEN)
    flutter_bridge: float = threshold(
        10.0,
        "possible flutter is never called noise, nor is what lies between two stretches of it, up to this long",
        "s",
        CHOSEN,
    )
    flutter_certain: float = threshold(
        0.45,
        "ventricular flutter or fibrillation is possible where the leakage is below --flutter_leakage and, for at "
        "least --flutter_shortest, below this",
        "",
        CHOSEN,
    )
    flutter_slowest: float = threshold(
        180.0, "and the signal has at least this many waves; slower ones are those of a tachycardia", "1/min", CHOSEN
    )
    waves_slowest: float = threshold(
        150.0, "the leakage is looked at where the signal has at least this many waves", "1/min", CHOSEN
    )
    waves_fastest: float = threshold(600.0, "and at most this many; the hum of the mains has more", "1/min", CHOSEN)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise InputError(f"--{field.name} must be a number above 0, got {value:g}")


class Waves(NamedTuple):
    """What the VF filter says of a signal around every second."""

    leakage: np.ndarray
    """float (seconds,); 1 where samples are missing or the waves are too slow or fast for flutter and tachycardia."""
    rate: np.ndarray
    """float (seconds,), waves a minute; 0 where the leakage was not looked at."""


class Hum(NamedTuple):
    """What is above the band of an ECG in windows around every second."""

    share: np.ndarray
    """float (seconds,), of the power of the window; 0 where nothing moves."""
    size: np.ndarray
    """float (seconds,), the root of its power, in a unit of no matter."""


class Unreadable(NamedTuple):
    """A stretch [start, end), in samples."""

    start: int
    end: int
    reason: str
    """One of `REASONS`."""


def unreadable(
    read: Callable[[int, int], np.ndarray],
    length: int,
    fs: float,
    beats: np.ndarray,
    quality: Quality = Quality(),
    filtered: Waves | None = None,
) -> list[Unreadable]:
    """Find the unreadable time of a signal of `length` samples at `fs` Hz, which is read in parts.

    Args:
        read: returns the samples [start, stop) of the signal, in mV, NaN where they are missing.
        beats: int (n,) samples, ascending: what `preprocess.detect` finds in it.
        filtered: its `vf_filtered`; None: it is computed.

    Returns:
        Stretches that do not overlap, ascending.
    """
    second = max(round(HOP * fs), 1)
    if filtered is None:
        filtered = vf_filtered(read, length, fs, quality)
    # A few samples that are lost now and then, as on a radio link, must not hide that a lead is off.
    read = bridging_reader(read, length, round(quality.missing_longest * fs))
    found: dict[str, list[np.ndarray]] = {reason: [] for reason in REASONS}
    plateaus, rails, middles = [], (np.inf, -np.inf), []
    indices, hums = [np.zeros(0)], [Hum(np.zeros(0), np.zeros(0))]
    for first, start, stop, last in parts(length, fs):
        signal = np.asarray(read(first, last), dtype=np.float64)
        signal[~np.isfinite(signal)] = np.nan
        inside = slice(start - first, stop - first)
        found["missing"].append(start + spans(np.isnan(signal[inside])))
        found["flat"].append(start + spans(_flat(signal, fs, quality)[inside]))
        if not np.isnan(signal[inside]).all():
            low, high = _lasting_extremes(signal[inside], fs)
            rails = (min(rails[0], low), max(rails[1], high))
            middles.append(np.nanmedian(signal[inside]))
        plateaus += [(start + a, start + b, signal[inside][a]) for a, b in _plateaus(signal, fs, quality, inside)]
        grid = np.arange(-(-start // second) * second, stop, second) - first
        near = beats[(beats >= first) & (beats < last)] - first
        indices.append(_noise_index(signal, fs, near, grid, quality))
        hums.append(_hum(signal, fs, grid, quality))
    near, apart = (share * (rails[1] - rails[0]) for share in (RAIL_NEAR, RAIL_APART))
    touching = [
        (a, b)
        for a, b, value in plateaus
        if not rails[0] + near < value < rails[1] - near and abs(value - np.median(middles)) > apart
    ]
    found["saturation"].append(np.array(touching, dtype=np.int64).reshape(-1, 2))
    hum = Hum(*map(np.concatenate, zip(*hums, strict=True)))
    index = np.where(_is_hum_alone(hum, quality), np.inf, np.concatenate(indices))
    noisy = index > quality.noise_index
    waves = noisy & (filtered.leakage < quality.flutter_leakage) & (index < quality.noise_certain)
    flutter = possible_flutter(filtered, length, fs, quality)
    found["noise"].append(_noise_spans(noisy, waves, flutter, second, length, fs, quality))
    nothing = np.zeros((0, 2), dtype=np.int64)
    joined = {reason: disjoint(np.concatenate([nothing, *found[reason]]), reason) for reason in REASONS}
    joined["missing"] = _longer(joined["missing"], quality.missing_longest * fs)
    joined["saturation"] = _longer(joined["saturation"], quality.rail_shortest * fs)
    return _without_islands(_apart(joined), quality.noise_bridge * fs)


def quiet_pauses(
    read: Callable[[int, int], np.ndarray],
    fs: float,
    lost: Sequence[Unreadable],
    beats: np.ndarray,
    lengths: tuple[float, float],
    quality: Quality = Quality(),
) -> dict[int, Unreadable]:
    """Find the flat stretches that may be pauses of the heart in a signal of little noise, and no lead that is off.

    Such a stretch lies between two beats as far apart as in a pause, with nothing else that is lost between them; and
    it moves a little: a lead that is off, or lost data that a recorder filled, stays at one value.

    Args:
        read: returns the samples [start, stop) of the signal, in mV, NaN where they are missing.
        lost: its unreadable time, ascending.
        beats: int (n,) samples, ascending.
        lengths: of a pause, in samples: longer than the first, at most the second.

    Returns:
        The sample of the beat before each such stretch -> the stretch.
    """
    found: dict[int, Unreadable] = {}
    for at, part in enumerate(lost):
        after = int(np.searchsorted(beats, part.start, side="left"))
        if part.reason != "flat" or not 0 < after < len(beats):
            continue
        first, last = int(beats[after - 1]), int(beats[after])
        alone = (at == 0 or lost[at - 1].end <= first) and (at + 1 == len(lost) or lost[at + 1].start >= last)
        if not alone or last < part.end or not lengths[0] < last - first <= lengths[1]:
            continue
        signal = bridge(np.asarray(read(part.start, part.end), dtype=np.float64))
        unmoved = np.diff(spans(signal[1:] == signal[:-1]), axis=1).max(initial=0)
        if unmoved < quality.flat_shortest * fs:
            found[first] = part
    return found


def vf_filtered(read: Callable[[int, int], np.ndarray], length: int, fs: float, quality: Quality = Quality()) -> Waves:
    """Look through the VF filter around every second of a signal of `length` samples at `fs` Hz.

    Args:
        read: returns the samples [start, stop) of the signal, NaN where they are missing.
    """
    second, half = max(round(HOP * fs), 1), max(round(quality.noise_window * fs / 2), 1)
    read = bridging_reader(read, length, round(quality.missing_longest * fs))
    found = [Waves(np.zeros(0), np.zeros(0))]
    for first, start, stop, last in parts(length, fs):
        signal = np.asarray(read(first, last), dtype=np.float64)
        signal[~np.isfinite(signal)] = np.nan
        grid = np.arange(-(-start // second) * second, stop, second) - first
        found.append(_waves(signal, fs, grid, half, quality))
    return Waves(*map(np.concatenate, zip(*found, strict=True)))


def marked_flutter(times: Sequence[int], symbols: Sequence[str], length: int) -> np.ndarray:
    """Ventricular flutter and fibrillation as annotations mark it -> int64 (k, 2) in samples.

    Args:
        times: of the annotations, in samples, ascending.
        symbols: of the annotations; flutter lasts from each `[` to the next `]`, or to the end.
        length: of the recording, in samples.
    """
    found, begun = [], None
    for time, symbol in zip(times, symbols, strict=True):
        if symbol == "[" and begun is None:
            begun = time
        elif symbol == "]" and begun is not None:
            found.append((begun, time))
            begun = None
    if begun is not None:
        found.append((begun, length))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def possible_flutter(filtered: Waves, length: int, fs: float, quality: Quality = Quality()) -> np.ndarray:
    """Find where a signal of `length` samples at `fs` Hz may be that of ventricular flutter or fibrillation.

    Args:
        filtered: its `vf_filtered`.

    Returns:
        int64 (k, 2), [start, end) in samples, ascending.
    """
    second = max(round(HOP * fs), 1)
    low = (filtered.leakage < quality.flutter_certain) & (filtered.rate >= quality.flutter_slowest)
    shortest = quality.flutter_shortest * fs / second
    certain = [
        (start, end)
        for start, end in spans(filtered.leakage < quality.flutter_leakage)
        if (np.diff(spans(low[start:end])) >= shortest).any()
    ]
    return _around(np.array(certain, dtype=np.int64).reshape(-1, 2), len(low), second, length)


# ------------------------------------------------------------------------------------------------------- its steps


def _flat(signal: np.ndarray, fs: float, quality: Quality) -> np.ndarray:
    """Say of each sample (n,) whether it is in a stretch that stays within the range of a lead that is off."""
    from scipy.ndimage import binary_dilation, maximum_filter1d, minimum_filter1d

    width = max(round(quality.flat_shortest * fs), 2) | 1
    missing = np.isnan(signal)
    low, high = np.where(missing, -np.inf, signal), np.where(missing, np.inf, signal)
    # A window that leaves the signal, or holds a missing sample, is not flat.
    still = np.zeros(len(signal), dtype=bool)
    half = width // 2
    if len(signal) >= width:
        with np.errstate(invalid="ignore"):
            extent = maximum_filter1d(high, width) - minimum_filter1d(low, width)
        still[half : len(signal) - half] = (extent <= quality.flat_range)[half : len(signal) - half]
    return binary_dilation(still, np.ones(width, dtype=bool)) if still.any() else still


def _lasting_extremes(signal: np.ndarray, fs: float) -> tuple[float, float]:
    """The lowest and the highest value that a signal (n,) keeps longer than a glitch; infinite where there is none."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    width, missing = round(GLITCH * fs) + 1, np.isnan(signal)
    low = maximum_filter1d(np.where(missing, np.inf, signal), width).min()
    high = minimum_filter1d(np.where(missing, -np.inf, signal), width).max()
    return float(low), float(high)


def _plateaus(signal: np.ndarray, fs: float, quality: Quality, inside: slice) -> np.ndarray:
    """Stretches [start, end), counted from where `inside` begins, in which one value stays that may be a rail.

    One at the border of a part is in two pieces, which are joined later: so short pieces there are given, too.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    reach = 2 * round(PLATEAU_HIGH * fs) + 1
    same = np.append(signal[1:] == signal[:-1], False)
    extreme = (signal == maximum_filter1d(signal, reach)) | (signal == minimum_filter1d(signal, reach))
    whole = spans(same & extreme) + np.array([0, 1])  # the last of the equal ones
    whole = _longer(whole, quality.rail_shortest * fs) - inside.start
    whole = np.clip(whole, 0, inside.stop - inside.start)
    return whole[whole[:, 1] > whole[:, 0]]


def _noise_index(signal: np.ndarray, fs: float, beats: np.ndarray, grid: np.ndarray, quality: Quality) -> np.ndarray:
    """The noise index in windows around `grid`; 0 where something else says that they can be read."""
    half = max(round(quality.noise_window * fs / 2), 1)
    if not len(grid) or len(signal) <= 2 * half or np.isnan(signal).all():
        return np.zeros(len(grid))
    steep = steepness(signal, fs)
    level = level_at(steep, fs, grid)
    shapes, sizes = unit_shapes(bridge(signal), fs, beats)
    alike = _likeness(shapes, sizes)
    index = _index_of(steep, beats, alike, grid, level, half, quality)
    doubted = index > quality.noise_index
    doubted[doubted] = ~_stand_out(steep, fs, beats, alike, grid[doubted], half, quality)
    index[~doubted] = 0.0
    in_run = np.zeros(len(signal), dtype=bool)
    for start, end in _fast_runs(fs, beats, shapes, sizes, quality):
        in_run[max(start, 0) : end] = True
    if doubted.any() and in_run.any():
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
    step = max(half // 125, 1)
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
        _alike(shapes, sizes, apart=1) >= quality.noise_run_likeness
    )
    found = []
    for first, last in _longer(spans(linked), quality.noise_run_beats - 1).tolist():
        around = np.concatenate([sizes[max(first - SHAPE_NEIGHBOURS, 0) : first], sizes[last + 1 :][:SHAPE_NEIGHBOURS]])
        if len(around) and np.median(sizes[first : last + 1]) >= quality.noise_run_size * np.median(around):
            beside = int(np.median(intervals[first:last])) // 2
            found.append((int(beats[first]) - beside, int(beats[last]) + beside))
    return found


def _hum(signal: np.ndarray, fs: float, grid: np.ndarray, quality: Quality) -> Hum:
    """The hum in windows around `grid`."""
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


def _is_hum_alone(hum: Hum, quality: Quality) -> np.ndarray:
    """Say of each second (n,) whether there is hum without an ECG, and more than in a pause."""
    import pandas as pd

    beside = pd.Series(np.where(hum.share < quality.hum_share, hum.size, np.nan))
    usual = beside.rolling(2 * HUM_AROUND + 1, center=True, min_periods=1).median().fillna(0.0).to_numpy()
    return (hum.share >= quality.hum_share) & (hum.size > quality.hum_rise * usual)


def _waves(signal: np.ndarray, fs: float, grid: np.ndarray, half: int, quality: Quality) -> Waves:
    """What the VF filter says of windows around `grid`."""
    found = Waves(np.ones(len(grid)), np.zeros(len(grid)))
    missing = np.append(0, np.cumsum(np.isnan(signal)))
    if len(signal) <= 2 * half or missing[-1] == len(signal):
        return found
    waves = band_pass(bridge(signal), fs, FLUTTER_BAND)
    for at, middle in enumerate(grid.tolist()):
        start, end = max(middle - half, 0), min(middle + half, len(signal))
        window = vf_filter(waves[start:end])
        rate = 30 * fs / window.half_period if window.half_period else 0.0
        if missing[end] == missing[start] and quality.waves_slowest <= rate <= quality.waves_fastest:
            found.leakage[at], found.rate[at] = window.leakage, rate
    return found


def unit_shapes(signal: np.ndarray, fs: float, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The beats (n,) of a signal in the band `SHAPE_BAND`, without mean and of length 1, and their lengths.

    Returns:
        float (n, samples), of which two multiply to their correlation, and (n,).
    """
    reach = max(round(SHAPE_REACH * fs), 1)
    around = np.clip(beats[:, None] + np.arange(-reach, reach + 1), 0, len(signal) - 1)  # (n, samples)
    shapes = band_pass(signal, fs, SHAPE_BAND)[around]
    shapes -= shapes.mean(axis=1, keepdims=True)
    sizes = np.maximum(np.sqrt((shapes**2).sum(axis=1)), np.finfo(float).tiny)
    return shapes / sizes[:, None], sizes


def _alike(shapes: np.ndarray, sizes: np.ndarray, apart: int) -> np.ndarray:
    """The correlation of each beat (n,) with the one `apart` places later, less if sizes differ -> (n - apart,)."""
    one, other = sizes[apart:], sizes[:-apart]
    size = np.minimum(np.minimum(one, other) / np.maximum(one, other) / SHAPE_SIZE, 1.0)
    return (shapes[apart:] * shapes[:-apart]).sum(axis=1) * size


def _likeness(shapes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How much each beat (n,) is like others near it: its third best correlation with one, less if sizes differ."""
    count = len(sizes)
    if count < 2:
        return np.ones(count)
    likeness = np.full((count, 2 * SHAPE_NEIGHBOURS), -1.0)
    for apart in range(1, min(SHAPE_NEIGHBOURS, count - 1) + 1):
        both = _alike(shapes, sizes, apart)
        likeness[apart:, apart - 1] = likeness[:-apart, SHAPE_NEIGHBOURS + apart - 1] = both
    rank = min(SHAPE_RANK, count - 1)
    return np.partition(likeness, -rank, axis=1)[:, -rank]


class Filtered(NamedTuple):
    """What the VF filter says of a window."""

    leakage: float
    """0 for a sine, about 0.7 and more for noise and for beats."""
    half_period: int
    """Samples in which half a wave passes, in the mean; 0 where there is none."""


def vf_filter(waves: np.ndarray) -> Filtered:
    """The VF filter (Kuo & Dillman 1978) of a window (n,) of the band `FLUTTER_BAND`."""
    movement = np.abs(np.diff(waves)).sum()
    half_period = round(np.pi * np.abs(waves).sum() / movement) if movement > 0 else 0
    if not 0 < half_period < len(waves):
        return Filtered(1.0, 0)
    now, later = waves[:-half_period], waves[half_period:]
    return Filtered(float(np.abs(now + later).sum() / (np.abs(now) + np.abs(later)).sum()), half_period)


def _noise_spans(
    noisy: np.ndarray, waves: np.ndarray, flutter: np.ndarray, second: int, length: int, fs: float, quality: Quality
) -> np.ndarray:
    """What of the windows at every second is noise, after bridging -> int64 (k, 2) in samples."""
    hop = second / fs
    readable = np.zeros(len(noisy), dtype=bool)
    for start, end in (*_longer(spans(waves), quality.flutter_shortest / hop), *((flutter + second // 2) // second)):
        readable[start:end] = True
    noisy = noisy & ~_bridged(readable, quality.flutter_bridge / hop)
    noisy = _bridged(noisy, quality.noise_bridge / hop)
    return _around(_longer(spans(noisy), quality.noise_shortest / hop), len(noisy), second, length)


def _around(windows: np.ndarray, count: int, second: int, length: int) -> np.ndarray:
    """Stretches of the `count` windows at every second (k, 2) in samples.

    A window stands for the time that is nearer to its middle than to that of another.
    """
    found = np.clip(windows * second - second // 2, 0, length)
    found[windows[:, 1] == count, 1] = length
    return found


def _bridged(member: np.ndarray, longest: float) -> np.ndarray:
    """Fill gaps of `member` (n,) that are shorter than `longest`."""
    filled = member.copy()
    for start, end in spans(~member):
        if start > 0 and end < len(member) and end - start < longest:
            filled[start:end] = True
    return filled


def _longer(stretches: np.ndarray, shortest: float) -> np.ndarray:
    return stretches[stretches[:, 1] - stretches[:, 0] >= shortest]


def _apart(stretches: dict[str, np.ndarray]) -> list[Unreadable]:
    """Give time that has several reasons to the first of them."""
    borders = np.unique(np.concatenate([every.reshape(-1) for every in stretches.values()]))
    found: list[Unreadable] = []
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        for reason, every in stretches.items():
            at = np.searchsorted(every[:, 0], start, side="right") - 1
            if at >= 0 and every[at, 1] > start:
                if found and (found[-1].end, found[-1].reason) == (start, reason):
                    found[-1] = found[-1]._replace(end=end)
                else:
                    found.append(Unreadable(start, end, reason))
                break
    return found


def _without_islands(lost: list[Unreadable], longest: float) -> list[Unreadable]:
    """Call gaps of fewer than `longest` samples beside noise that, too: what is between is hardly ever clean."""
    found = lost[:1]
    for part in lost[1:]:
        before = found[-1]
        if "noise" in (before.reason, part.reason) and 0 < part.start - before.end < longest:
            if before.reason == "noise":
                found[-1] = before._replace(end=part.start)
            else:
                part = part._replace(start=before.end)
        if (part.start, part.reason) == (found[-1].end, found[-1].reason):
            found[-1] = found[-1]._replace(end=part.end)
        else:
            found.append(part)
    return found
