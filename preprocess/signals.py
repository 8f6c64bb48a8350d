"""A signal before it is cut: its rate, and its missing samples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

FS = 360.0  # Hz, the rate of mitdb


def resample(signal: np.ndarray, fs: float, target: float = FS) -> np.ndarray:
    """Bring a signal (n,) from `fs` to `target` Hz with scipy's polyphase filter; missing samples stay missing."""
    if fs == target:
        return signal
    from scipy.signal import resample_poly

    ratio = Fraction(target / fs).limit_denominator(1000)
    # "line": without it the filter sees a step from zero at both ends, which a detector takes for a beat.
    resampled = resample_poly(bridge(signal), ratio.numerator, ratio.denominator, padtype="line")
    nearest = np.round(np.arange(len(resampled)) * fs / target).astype(np.int64)
    resampled[np.isnan(signal)[np.minimum(nearest, len(signal) - 1)]] = np.nan
    return resampled


def bridge(signal: np.ndarray) -> np.ndarray:
    """Replace missing samples (NaN) by a line between their neighbours; all missing: zeros."""
    missing = np.isnan(signal)
    if not missing.any():
        return signal
    if missing.all():
        return np.zeros_like(signal)
    places = np.arange(len(signal))
    return np.interp(places, places[~missing], signal[~missing])
