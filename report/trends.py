"""Heart rate and ectopy over the whole recording, in equal bins of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from report.definitions import Definitions
from report.episodes import Episodes
from report.rates import window_rates
from report.rhythm import Rhythm

WIDTHS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Seconds that a bin may be wide: what divides a minute or an hour."""

FEWEST = 3
"""Beats, or R-R intervals, that a bin tells something by: one V alone would be 100 %."""

BINS = 300
"""At most so many: more than a page has room for."""


@dataclass(frozen=True, eq=False)
class Trends:
    """The bins of a recording; NaN where a bin has nothing to tell. The last one may be cut short."""

    width_s: float
    start_s: np.ndarray
    """(bins,)"""
    mean_bpm: np.ndarray
    """(bins,): 60 / mean of the valid R-R intervals that begin in the bin."""
    low_bpm: np.ndarray
    """(bins,): the lowest heart rate of the windows whose middle is in the bin, as for the whole recording."""
    high_bpm: np.ndarray
    v_percent: np.ndarray
    """(bins,): of all beats of the bin that have a class (`Rhythm.judged`)."""
    s_percent: np.ndarray
    """(bins,): of those outside irregular rhythm."""


def bin_width(duration_s: float) -> float:
    """The narrowest of `WIDTHS` with at most `BINS` bins; beyond half a month as many hours as it takes."""
    for width in WIDTHS:
        if duration_s <= width * BINS:
            return width
    return 3600 * np.ceil(duration_s / 3600 / BINS)


def trends(rhythm: Rhythm, episodes: Episodes, definitions: Definitions) -> Trends:
    """Heart rate and the share of V and S beats in each bin."""
    duration = rhythm.length / rhythm.fs
    width = bin_width(duration)
    bins = max(1, int(np.ceil(duration / width)))

    def bin_of(samples: np.ndarray) -> np.ndarray:
        return np.minimum((samples / rhythm.fs / width).astype(np.int64), bins - 1)

    beats = bin_of(rhythm.samples)
    intervals = np.flatnonzero(rhythm.valid)
    seconds = rhythm.rr[intervals] / rhythm.fs
    at = beats[intervals]
    counts = np.bincount(at, minlength=bins)
    total = np.bincount(at, weights=seconds, minlength=bins)
    rates = window_rates(rhythm, definitions, episodes.unlike)
    low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
    np.minimum.at(low, bin_of(rates.samples), rates.bpm)
    np.maximum.at(high, bin_of(rates.samples), rates.bpm)
    return Trends(
        width_s=float(width),
        start_s=width * np.arange(bins),
        mean_bpm=_ratio(60 * counts, total, counts >= FEWEST),
        low_bpm=np.where(np.isfinite(low), low, np.nan),
        high_bpm=np.where(np.isfinite(high), high, np.nan),
        v_percent=_share(beats, rhythm.classes == "V", rhythm.judged, bins),
        s_percent=_share(beats, rhythm.classes == "S", rhythm.judged_outside(episodes.irregular), bins),
    )


def _share(bin_of: np.ndarray, member: np.ndarray, counted: np.ndarray, bins: int) -> np.ndarray:
    part = np.bincount(bin_of[member & counted], minlength=bins)
    whole = np.bincount(bin_of[counted], minlength=bins)
    return _ratio(100 * part, whole, whole >= FEWEST)


def _ratio(part: np.ndarray, whole: np.ndarray, told: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=told)
