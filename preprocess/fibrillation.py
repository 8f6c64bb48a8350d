"""Atrial fibrillation simulated from a record in another rhythm, for the training of the rhythm head.

In fibrillation every R-R interval differs and no beat has a P wave, so a head that has seen none of it calls a good
part of its beats premature: S. DS1 has two records with fibrillation, svdb hardly any. Here the usual beats of a
record get intervals that vary as in fibrillation, and f waves in the place of their P waves; all are ordinary beats
(N). Only their context is made, which is all that the rhythm head sees. On held-out patients of DS1 this raises the
S F1 by 8 to 14 points, almost all of it fewer false S beats in fibrillation (results/inter_patient.md).

Ranges after the textbook picture: f waves of 4 to 9 Hz and up to a tenth of the QRS, mean R-R 0.45 to 0.95 s, intervals
with a coefficient of variation of 0.12 to 0.28 and nearly independent of one another.
"""

from __future__ import annotations

import zlib

import numpy as np

from preprocess.context import (
    CONTEXT_NAMES,
    CYCLE,
    P_WAVE,
    Beats,
    align,
    dominant_beat,
    local_rhythm,
    p_wave,
    remove_baseline,
    shape,
    without_line,
)
from preprocess.signals import FS, bridge

BEATS = 400  # successive usual beats taken of a record; fewer than `FEWEST`: none
FEWEST = 300
F_WAVE, F_WAVE_SPREAD = (4.0, 9.0), 0.4  # Hz: the record's frequency, and its standard deviation from beat to beat
F_AMPLITUDES = (0.0, 0.02, 0.05, 0.1)  # of A, one of them a record: from none to be seen to coarse
P_LEFT = 0.6  # at most so much of the usual P wave stays: a head must not rest on its absence alone
MEAN_RR = (0.45, 0.95)  # s
VARIATION = (0.12, 0.28)  # standard deviation of ln R-R
MEMORY = -0.2  # weight of the deviation before, in that of an interval
SHORTEST, LONGEST = 0.28, 3.0  # s


def simulate_fibrillation(signal: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Simulate the context of the usual beats of one record, were it in atrial fibrillation.

    The same record gives the same beats: the draws are seeded by its R-peaks.

    Args:
        signal: (n,) at 360 Hz, NaN where samples are missing.
        peaks: int64 (beats,), ascending R-peaks.

    Returns:
        float32 (m, K), columns as in `CONTEXT_NAMES`; m is `BEATS`, or less in a short record, or 0.
    """
    nothing = np.zeros((0, len(CONTEXT_NAMES)), dtype=np.float32)
    if len(peaks) < FEWEST:
        return nothing
    clean = remove_baseline(bridge(np.asarray(signal, dtype=np.float64)))
    beats = align(clean, peaks, *dominant_beat(clean, peaks))
    usual = np.flatnonzero(beats.members)
    if len(usual) < FEWEST or not beats.dominant.any():
        return nothing
    rng = np.random.default_rng(zlib.crc32(peaks.astype("<i8").tobytes()))
    first = rng.integers(0, max(1, len(usual) - BEATS))
    chosen = usual[first : first + BEATS]
    cycles = beats.cycles[chosen]
    p = slice(P_WAVE[0] - CYCLE[0], P_WAVE[1] - CYCLE[0])
    cycles[:, p] = _with_f_waves(cycles[:, p], rng)
    intervals = _irregular_intervals(len(chosen) + 1, rng)
    pre, post = intervals[:-1], intervals[1:]
    made = Beats(cycles, np.median(cycles, axis=0), beats.centres[chosen], np.ones(len(chosen), dtype=bool))
    columns = local_rhythm(pre, post) | {"log_pre_mean_record": np.log(pre / pre.mean())} | p_wave(made) | shape(made)
    return np.stack([columns[name] for name in CONTEXT_NAMES], axis=1).astype(np.float32)


def _with_f_waves(waves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """P-wave windows (m, 72) with f waves in the place of the P wave; the noise and the slope of each beat stay."""
    beats, length = waves.shape
    level = without_line(waves)
    usual = np.median(level, axis=0)
    seconds = np.arange(length) / FS
    frequency = rng.uniform(*F_WAVE) + rng.normal(0, F_WAVE_SPREAD, (beats, 1))
    amplitude = rng.choice(F_AMPLITUDES) * rng.uniform(0.7, 1.3, (beats, 1))
    f_waves = amplitude * np.sin(2 * np.pi * (frequency * seconds + rng.random((beats, 1))))
    return waves - usual + rng.uniform(0, P_LEFT) * usual + f_waves


def _irregular_intervals(count: int, rng: np.random.Generator) -> np.ndarray:
    """R-R intervals (count,) in s, as irregular as in fibrillation."""
    deviations = rng.standard_normal(count)
    deviations[1:] += MEMORY * deviations[:-1]
    return np.clip(rng.uniform(*MEAN_RR) * np.exp(rng.uniform(*VARIATION) * deviations), SHORTEST, LONGEST)
