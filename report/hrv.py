"""Heart rate variability in the time domain: Task Force of ESC and NASPE 1996 (doi 10.1161/01.CIR.93.5.1043)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from report.definitions import Definitions
from report.rhythm import Rhythm, in_spans


@dataclass(frozen=True)
class Variability:
    """The figures of `variability`; standard deviations are those of a sample (n - 1). None: too little to tell."""

    nn: int
    """N-N intervals that the figures rest on."""
    nn_s: float
    """Their sum, s."""
    rr: int
    """Valid R-R intervals outside irregular rhythm."""
    withheld: int
    """Valid R-R intervals in irregular rhythm, which take no part."""
    sdnn_ms: float | None
    """Standard deviation of all N-N intervals."""
    sdann_ms: float | None
    """Standard deviation of the means of 5-min segments; only of a day of them, however long the recording is."""
    sdnn_index_ms: float | None
    """Mean of the standard deviations of 5-min segments."""
    rmssd_ms: float | None
    """Root mean square of successive differences."""
    pnn50_percent: float | None
    """Share of successive differences above 50 ms."""
    few_nn: bool
    """So few of the R-R intervals are N-N that these figures say little about the heart rate."""

    @property
    def mostly_irregular(self) -> bool:
        """Most of the valid R-R intervals are in irregular rhythm, so the figures are those of a small part."""
        return self.withheld > self.rr

    @property
    def nn_share(self) -> float | None:
        """N-N / R-R."""
        return self.nn / self.rr if self.rr else None


def variability(rhythm: Rhythm, irregular: np.ndarray, definitions: Definitions) -> Variability:
    """Heart rate variability outside irregular rhythm.

    An N-N interval is a valid R-R interval between two beats of N. Left out are those outside 0.4 to 2.0 s, and of the
    rest those more than 20 % off the mean of their neighbours, 20 on either side as far as there are, as in PhysioNet's
    HRV toolkit. Differences are taken of intervals that share a beat. A segment counts where its N-N intervals fill
    half of it.

    Args:
        irregular: (k, 2) in samples, first and last beat (`Episodes.irregular`).
    """
    outside = rhythm.valid & ~in_spans((rhythm.samples[:-1] + rhythm.samples[1:]) / 2, irregular)
    normal = rhythm.classes == "N"
    seconds = rhythm.rr / rhythm.fs
    kept = outside & normal[:-1] & normal[1:]
    kept &= (seconds >= definitions.nn_shortest) & (seconds <= definitions.nn_longest)
    at = np.flatnonzero(kept)
    at = at[_near_neighbours(rhythm.rr[at], definitions.nn_neighbours, definitions.nn_deviation)]
    ms = 1000 * seconds[at]
    # Of whole samples, so that 50 ms is no more than 50 ms.
    differences = 1000 * np.diff(rhythm.rr[at])[np.diff(at) == 1] / rhythm.fs

    segment = np.floor(rhythm.samples[at] / rhythm.fs / definitions.nn_segment).astype(np.int64)
    least = 1000 * definitions.nn_segment * definitions.nn_filled / 100
    by_segment = np.split(ms, np.flatnonzero(np.diff(segment)) + 1)
    segments = [values for values in by_segment if values.size > 1 and values.sum() >= least]
    is_day = len(segments) * definitions.nn_segment >= 3600 * definitions.day_readable  # of N-N, not of fibrillation
    return Variability(
        few_nn=bool(100 * at.size < definitions.nn_share * outside.sum()),
        nn=at.size,
        nn_s=float(seconds[at].sum()),
        rr=int(outside.sum()),
        withheld=int((rhythm.valid & ~outside).sum()),
        sdnn_ms=_deviation(ms),
        sdann_ms=_deviation(np.array([values.mean() for values in segments])) if is_day else None,
        sdnn_index_ms=float(np.mean([np.std(values, ddof=1) for values in segments])) if segments else None,
        rmssd_ms=float(np.sqrt(np.mean(differences**2))) if differences.size else None,
        pnn50_percent=(
            float(100 * np.mean(np.abs(differences) > definitions.nn_difference)) if differences.size else None
        ),
    )


def _near_neighbours(intervals: np.ndarray, neighbours: int, percent: float) -> np.ndarray:
    """bool (n,): not further than so many percent off the mean of the neighbours on either side, if there is any.

    Intervals are whole samples, so the sums are exact and 20 % is no more than 20 %.
    """
    totals = np.append(0, np.cumsum(intervals))
    at = np.arange(intervals.size)
    first, past = np.maximum(at - neighbours, 0), np.minimum(at + neighbours + 1, intervals.size)
    others, total = past - first - 1, totals[past] - totals[first] - intervals
    return 100 * np.abs(intervals * others - total) <= percent * total


def _deviation(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if values.size > 1 else None
