"""Where the beats are (stand-in)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.beats import find_r_peaks
from preprocess.signals import FS, resample


def detect_beats(signal: np.ndarray, fs: float) -> np.ndarray:
    """R-peaks of a signal (n,) in mV at `fs` Hz: int64 (beats,)."""
    return np.round(find_r_peaks(resample(signal, fs)) * fs / FS).astype(np.int64)


def detect_in_parts(read: Callable[[int, int], np.ndarray], length: int, fs: float) -> np.ndarray:
    """R-peaks of a signal of `length` samples that is read in parts."""
    return detect_beats(read(0, length), fs)
