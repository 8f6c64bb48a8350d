"""Ventricular flutter and fibrillation: where annotations mark it, and where a signal makes it possible.

They are nearly sinusoidal, which noise is not: there the signal and itself half a mean period later all but cancel (the
leakage of the VF filter, Kuo & Dillman, Computers in Cardiology 1978). Measured in windows of 5 s, every second, on the
48 records of mitdb, of which 207 alone has flutter (six episodes, 143 s): 131 s of it found, 6 s at its ends too many,
and no false alarm, nor in 20.5 h of svdb (41 records) and 6 h of nstdb, records with electrode motion. The flutter is
that of one patient, and the threshold was chosen on it: how much of another's is found has not been measured. A
tachycardia of 180/min or more without a level stretch between its beats looks the same, and so may a tremor of the
hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from preprocess.detect import band_pass, parts
from preprocess.signals import Read, bridge, bridging_reader, spans
from report.definitions import Quality

HOP = 1.0  # s, flutter and noise are judged at multiples of this
BAND = (1.0, 30.0)  # Hz


class Waves(NamedTuple):
    """What the VF filter says of a signal around every second."""

    leakage: np.ndarray
    """float (seconds,); 1 where samples are missing or the waves are too slow or fast for flutter and tachycardia."""
    rate: np.ndarray
    """float (seconds,), waves a minute; 0 where the leakage was not looked at."""


def vf_filtered(read: Read, length: int, fs: float, quality: Quality = Quality()) -> Waves:
    """Look through the VF filter around every second of a signal of `length` samples at `fs` Hz."""
    second, half = max(round(HOP * fs), 1), max(round(quality.noise_window * fs / 2), 1)
    read = bridging_reader(read, length, round(quality.missing_longest * fs))
    found = [Waves(np.zeros(0), np.zeros(0))]
    for first, start, stop, last in parts(length, fs):
        signal = read(first, last)
        grid = np.arange(-(-start // second) * second, stop, second) - first
        found.append(_waves(signal, fs, grid, half, quality))
    return Waves(*map(np.concatenate, zip(*found, strict=True)))


def marked_flutter(times: Sequence[int] | np.ndarray, symbols: Sequence[str], length: int) -> np.ndarray:
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
    if begun is not None and begun < length:
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
    return in_samples(np.array(certain, dtype=np.int64).reshape(-1, 2), len(low), second, length)


def _waves(signal: np.ndarray, fs: float, grid: np.ndarray, half: int, quality: Quality) -> Waves:
    """What the VF filter says of windows around `grid`."""
    found = Waves(np.ones(len(grid)), np.zeros(len(grid)))
    missing = np.append(0, np.cumsum(np.isnan(signal)))
    if len(signal) <= 2 * half or missing[-1] == len(signal):
        return found
    waves = band_pass(bridge(signal), fs, BAND)
    for at, middle in enumerate(grid.tolist()):
        start, end = max(middle - half, 0), min(middle + half, len(signal))
        window = vf_filter(waves[start:end])
        rate = 30 * fs / window.half_period if window.half_period else 0.0
        if missing[end] == missing[start] and quality.waves_slowest <= rate <= quality.waves_fastest:
            found.leakage[at], found.rate[at] = window.leakage, rate
    return found


class Filtered(NamedTuple):
    """What the VF filter says of a window."""

    leakage: float
    """0 for a sine, about 0.7 or more for noise and for beats."""
    half_period: int
    """Samples in which half a wave passes, in the mean; 0 where there is none."""


def vf_filter(waves: np.ndarray) -> Filtered:
    """The VF filter (Kuo & Dillman 1978) of a window (n,) of the band `BAND`."""
    movement = np.abs(np.diff(waves)).sum()
    half_period = round(np.pi * np.abs(waves).sum() / movement) if movement > 0 else 0
    if not 0 < half_period < len(waves):
        return Filtered(1.0, 0)
    now, later = waves[:-half_period], waves[half_period:]
    return Filtered(float(np.abs(now + later).sum() / (np.abs(now) + np.abs(later)).sum()), half_period)


def in_samples(windows: np.ndarray, count: int, second: int, length: int) -> np.ndarray:
    """Stretches of the `count` windows at every second (k, 2) in samples.

    A window stands for the time that is nearer to its middle than to that of another.
    """
    found = np.clip(windows * second - second // 2, 0, length)
    found[windows[:, 1] == count, 1] = length
    return found
