"""Ventricular flutter and fibrillation, where they are possible: the signal itself is nearly sinusoidal.

The measure is the leakage of the VF filter (Kuo & Dillman, Computers in Cardiology 1978): how much is left of a signal
when it is added to itself half a mean period later, 0 for a sine. A detector finds beats in flutter all the same, and a
network calls them V, so without this flutter becomes runs of V and raises their burden.

Measured in windows of 5 s, every second, on the 48 records of mitdb, of which 207 alone has ventricular flutter (six
episodes, 143 s), with the default thresholds: 131 s of it found, five of the six episodes, and 6 s at their ends too
many. No false alarm in the 24 h of mitdb, nor in 20.5 h of svdb (41 records) and 6 h of nstdb, records with electrode
motion. The flutter is that of one patient, and the threshold was chosen on it: how much of another's is found has not
been measured. A tachycardia without a level stretch between its beats looks the same, and so may a tremor of the hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from preprocess.detect import band_pass, parts
from preprocess.signals import bridge
from report.quality import FLUTTER_BAND, HOP, Quality, Unreadable, spans, vf_filter


def possible_flutter(
    read: Callable[[int, int], np.ndarray], length: int, fs: float, lost: Sequence[Unreadable], quality: Quality
) -> np.ndarray:
    """Find where a signal of `length` samples at `fs` Hz may be that of ventricular flutter or fibrillation.

    Args:
        read: returns the samples [start, stop) of the signal, NaN where they are missing.
        lost: its unreadable time; a window that holds some tells nothing, but for noise, which no flutter is called.

    Returns:
        int64 (k, 2), [start, end) in samples, ascending.
    """
    second, half = max(round(HOP * fs), 1), max(round(quality.noise_window * fs / 2), 1)
    leakages = [np.zeros(0)]
    for first, start, stop, last in parts(length, fs):
        signal = np.asarray(read(first, last), dtype=np.float64)
        grid = np.arange(-(-start // second) * second, stop, second) - first
        leakage = np.ones(len(grid))
        if len(signal) > 2 * half and np.isfinite(signal).any():
            waves = band_pass(bridge(np.where(np.isfinite(signal), signal, np.nan)), fs, FLUTTER_BAND)
            for at, middle in enumerate(grid):
                found = vf_filter(waves[max(middle - half, 0) : middle + half])
                rate = 30 * fs / found.half_period if found.half_period else 0.0
                if quality.flutter_slowest <= rate <= quality.flutter_fastest:
                    leakage[at] = found.leakage
        leakages.append(leakage)
    every = np.concatenate(leakages)
    middles = np.arange(len(every)) * second
    for part in (part for part in lost if part.reason != "noise"):
        every[(middles + half > part.start) & (middles - half < part.end)] = 1.0
    shortest = quality.flutter_shortest * fs / second
    certain = [
        (start, end)
        for start, end in spans(every < quality.flutter_leakage)
        if (np.diff(spans(every[start:end] < quality.flutter_certain)) >= shortest).any()
    ]
    # A window stands for the time that is nearer to its middle than to that of another.
    return np.clip(np.array(certain, dtype=np.int64).reshape(-1, 2) * second - second // 2, 0, length)
