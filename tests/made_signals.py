"""Signals made by hand: beats with P, QRS and T wave at any time, and ventricular fibrillation."""

from __future__ import annotations

import numpy as np

FS = 250  # Hz


def ecg_of(times: np.ndarray, fs: float, seconds: float, noise: float = 0.01, seed: int = 0) -> np.ndarray:
    """Beats of 1 mV with P, QRS and T wave, their R-peaks at `times` (s) -> (samples,) in mV."""
    time = np.arange(round(seconds * fs)) / fs
    signal = noise * np.random.default_rng(seed).standard_normal(len(time))
    for beat in times:
        for at, height, width in ((-0.16, 0.15, 0.02), (0, 1.0, 0.012), (0.03, -0.25, 0.012), (0.28, 0.3, 0.045)):
            near = slice(max(round((beat + at - 6 * width) * fs), 0), max(round((beat + at + 6 * width) * fs), 0))
            signal[near] += height * np.exp(-0.5 * ((time[near] - beat - at) / width) ** 2)
    return signal


def beat_times(seconds: float, seed: int = 0, shortest: float = 0.55, longest: float = 1.1) -> np.ndarray:
    times = 0.5 + np.cumsum(np.random.default_rng(seed).uniform(shortest, longest, round(2 * seconds / shortest)))
    return times[times < seconds - 0.5]


def clean(seconds: float = 120, fs: float = FS, noise: float = 0.01) -> np.ndarray:
    """A signal of `seconds` with a beat every 0.55 to 1.1 s."""
    return ecg_of(beat_times(seconds), fs, seconds, noise)


def fibrillating() -> np.ndarray:
    """Beats, and from 40 to 80 s ventricular fibrillation."""
    signal, time = clean(120), np.arange(40 * FS) / FS
    rate = 4.5 + 0.5 * np.sin(2 * np.pi * 0.2 * time)  # Hz
    size = 0.8 + 0.3 * np.sin(2 * np.pi * 0.13 * time)  # mV
    noise = 0.03 * np.random.default_rng(4).standard_normal(len(time))
    signal[40 * FS : 80 * FS] = size * np.sin(2 * np.pi * np.cumsum(rate) / FS) + noise
    return signal
