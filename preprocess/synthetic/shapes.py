"""The shapes of a patient's beats: sinus, bundle branch blocks, premature, ventricular, fusion and paced ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from preprocess.synthetic.waves import Morphology, Wave, blend, peak_at_zero


@dataclass(frozen=True)
class Anatomy:
    """What all sinus beats of a patient share."""

    p: float  # mV, P in lead ii
    pr: float  # s from the peak of P to R
    r: float  # mV, R in lead ii
    width: float  # s, standard deviation of the R wave
    s: float  # mV, depth of S in lead ii
    t: float  # mV, T in lead ii
    qt: float  # s from R to the peak of T at 60 a minute
    lead_i: float  # lead i over lead ii: the heart's axis


def draw_anatomy(rng: Generator) -> Anatomy:
    """One adult."""
    return Anatomy(
        p=rng.uniform(0.10, 0.22),
        pr=rng.uniform(0.13, 0.19),
        r=rng.uniform(0.5, 1.7),
        width=rng.uniform(0.009, 0.015),
        s=rng.uniform(0.05, 0.45),
        t=rng.uniform(0.15, 0.40),
        qt=rng.uniform(0.27, 0.32),
        lead_i=rng.uniform(0.3, 1.2),
    )


def p_wave(heart: Anatomy, size: float = 1.0, pr: float | None = None) -> Wave:
    """The P wave, `size` times that of the sinus node."""
    ii = size * heart.p
    return Wave(-(pr or heart.pr), 0.022, (0.6 * ii, ii, 0.4 * ii))


def t_waves(heart: Anatomy, ii: float, v1: float) -> tuple[Wave, ...]:
    """A T wave that rises slowly and falls fast, as T waves do."""
    early = Wave(heart.qt - 0.05, 0.05, (0.3 * heart.lead_i * ii, 0.45 * ii, 0.45 * v1), follows_rate=True)
    late = Wave(heart.qt, 0.032, (0.6 * heart.lead_i * ii, 0.8 * ii, 0.8 * v1), follows_rate=True)
    return early, late


def narrow_qrs(heart: Anatomy) -> tuple[Wave, ...]:
    """Q, R and S of a heart whose both bundle branches conduct."""
    width, i = heart.width, heart.lead_i
    return (
        Wave(-2.4 * width, 0.8 * width, (-0.08, -0.09 * heart.r, 0.0)),
        Wave(0.0, width, (i * heart.r, heart.r, 0.25)),
        Wave(2.6 * width, 0.9 * width, (-0.5 * heart.s, -heart.s, -0.9)),
    )


def sinus_beat(heart: Anatomy) -> Morphology:
    """N: P, narrow QRS, T."""
    return Morphology((p_wave(heart), *narrow_qrs(heart), *t_waves(heart, heart.t, 0.15)))


def left_block_beat(heart: Anatomy) -> Morphology:
    """L: the left ventricle is late. QRS wide and notched, no Q, T against it."""
    i, width = max(heart.lead_i, 0.6), 1.45 * heart.width
    qrs = (
        Wave(0.0, width, (i * heart.r, heart.r, -0.6)),
        Wave(2.4 * width, 1.2 * width, (0.7 * i * heart.r, 0.45 * heart.r, -1.0)),
    )
    down = Wave(0.13, 0.045, (-0.15, -0.2 * heart.r, 0.3), follows_rate=True)  # ST
    return peak_at_zero(Morphology((p_wave(heart), *qrs, down, *t_waves(heart, -0.5 * heart.t, 0.4))))


def right_block_beat(heart: Anatomy) -> Morphology:
    """R: the right ventricle is late. A narrow start, then a slurred S in lead ii and an R' in v1."""
    depth = 0.45 + heart.s
    late = Wave(0.050, 0.016, (-0.7 * depth, -depth, 0.9))
    return Morphology((p_wave(heart), *narrow_qrs(heart)[:2], late, *t_waves(heart, heart.t, -0.2)))


def atrial_beats(heart: Anatomy, sinus: Morphology, rng: Generator) -> tuple[Morphology, ...]:
    """A: the ventricles as in sinus rhythm, the P of another focus: upside down, nearer to R."""
    size, pr = rng.uniform(-1.2, -0.4), heart.pr * rng.uniform(0.6, 0.85)
    ectopic = Morphology((p_wave(heart, size, pr), *sinus.waves[1:]))
    hidden = Morphology(sinus.waves[1:])  # its P lies in the T before, or in the QRS
    return ectopic, ectopic, ectopic, hidden


def ventricular_beat(heart: Anatomy, rng: Generator) -> Morphology:
    """V: no P, the wavefront creeps from muscle cell to muscle cell: wide QRS, T discordant to it.

    The QRS lasts 115 to 170 ms. Its voltage goes with that of the sinus beats, and so its slope does: in the records of
    mitdb's DS1 and of svdb that have V beats, the steepness of V is 0.5 to 1.4 of that of N (`preprocess.detect`).
    """
    ii = rng.choice([1.0, 1.0, 1.0, 1.0, -1.0]) * rng.uniform(1.0, 2.0) * np.sqrt(heart.r)
    i, v1 = rng.uniform(-0.8, 0.8) * ii, rng.choice([-1, 1]) * rng.uniform(0.6, 1.6)
    width = rng.uniform(0.018, 0.026)
    start, shoulder, t = rng.uniform(-0.3, 0.1), rng.uniform(0.0, 0.7), rng.uniform(0.2, 0.5)
    waves = (
        Wave(-2.0 * width, 0.5 * width, (start * i, start * ii, start * v1)),
        Wave(0.0, width, (i, ii, v1)),
        Wave(1.8 * width, 0.8 * width, (shoulder * i, shoulder * ii, shoulder * v1)),
        Wave(heart.qt - 0.03, 0.065, (-t * i, -t * ii, -t * v1), follows_rate=True),
    )
    return peak_at_zero(Morphology(waves))


def fusion_beats(sinus: Morphology, ventricular: Morphology, rng: Generator) -> tuple[Morphology, ...]:
    """F: the sinus wavefront meets the ectopic one, sometimes earlier, sometimes later."""
    return tuple(blend(sinus, ventricular, share) for share in rng.uniform(0.35, 0.65, 4))


def paced_beat(heart: Anatomy, rng: Generator) -> Morphology:
    """/: a spike of about 2 ms, then the wide QRS of a ventricle driven from its apex, T against it."""
    spike = Wave(-rng.uniform(0.016, 0.028), 0.0012, (0.5, rng.uniform(0.5, 2.0), 0.4))
    first, depth = rng.uniform(0.2, 1.4), rng.uniform(0.5, 2.2)
    waves = (
        spike,
        Wave(0.0, 0.016, (0.5 * first, first, 0.2)),
        Wave(rng.uniform(0.065, 0.105), rng.uniform(0.022, 0.034), (0.6, -depth, -0.9)),
        Wave(heart.qt + 0.04, 0.07, (-0.2, 0.4 * depth, 0.4), follows_rate=True),
    )
    return Morphology(waves)


def paced_fusion_beat(sinus: Morphology, paced: Morphology) -> Morphology:
    """f: the spike comes while the sinus wavefront is under way."""
    spike, *driven = paced.waves
    mixed = blend(Morphology(tuple(driven)), sinus, 0.5)
    return Morphology((spike, *mixed.waves))
