"""Patients: which shapes, rhythm and electrodes go together, and one recording of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from preprocess.synthetic.noise import Noise, draw_disturbance, draw_noise
from preprocess.synthetic.rhythm import SINUS_RHYTHM, Profile, heart_beats, tachogram
from preprocess.synthetic.shapes import (
    Anatomy,
    atrial_beats,
    draw_anatomy,
    fusion_beats,
    left_block_beat,
    paced_beat,
    paced_fusion_beat,
    right_block_beat,
    sinus_beat,
    ventricular_beat,
)
from preprocess.synthetic.waves import Beat, Morphology, Wave, draw_beats

Card = TypeVar("Card")


@dataclass(frozen=True)
class Patient:
    """All that stays the same in the recordings of one patient."""

    profile: Profile
    shapes: dict[str, tuple[Morphology, ...]]  # annotation symbol -> shapes of the beats so annotated
    rr: float  # s, mean sinus RR
    variability: float  # standard deviation of the sinus RR over its mean
    respiration: float  # Hz
    noise: Noise


def draw_patient(profile: Profile, shapes: dict[str, tuple[Morphology, ...]], mains: int, rng: Generator) -> Patient:
    """A patient with these beats: rate, breathing and electrodes are drawn."""
    return Patient(
        profile=profile,
        shapes=shapes,
        rr=60 / rng.uniform(58, 92),
        variability=rng.uniform(0.02, 0.06),
        respiration=rng.uniform(0.2, 0.33),
        noise=draw_noise(rng, mains),
    )


def draw_mit_patient(profile: Profile, rng: Generator) -> Patient:
    """A patient with the beats that mitdb's symbols name."""
    heart = draw_anatomy(rng)
    heart = replace(heart, t=heart.t * rng.choice([1.0, 1.0, 1.0, 1.0, 0.5, -0.5]))  # the ill have flat and inverted T
    sinus = {"N": sinus_beat, "L": left_block_beat, "R": right_block_beat}[profile.conduction](heart)
    usual, second = ventricular_beat(heart, rng), ventricular_beat(heart, rng)
    paced = paced_beat(heart, rng)
    shapes = {
        profile.conduction: (sinus,),
        "A": atrial_beats(heart, sinus, rng),
        "V": (usual, usual, usual, second),  # a second focus fires now and then: multiform
        "F": fusion_beats(sinus, usual, rng),
        "/": (paced,),
        "f": (paced_fusion_beat(sinus, paced),),
    }
    return draw_patient(profile, shapes, mains=60, rng=rng)


@dataclass(frozen=True)
class Marks:
    """What an infarction changes in lead ii; a healthy heart may show a little of each."""

    q: float  # depth of Q over the height of R
    st: float  # mV, ST elevation
    t: float  # how much of T is turned over: 0 upright, 0.5 flat, 1 upside down
    site: str  # localisation, as ptbdb names it; "no" in the healthy

    @property
    def healthy(self) -> bool:
        """Whether these are the marks of a healthy control."""
        return self.site == "no"


def draw_healthy(rng: Generator) -> Marks:
    """A septal Q, an early repolarisation, a low T: what is normal and still misleads."""
    return Marks(rng.uniform(0.0, 0.10), rng.uniform(0.0, 0.05), rng.uniform(0.0, 0.3), "no")


def draw_infarction(rng: Generator) -> Marks:
    """An infarction of some degree: not every one shows all three marks, and an anterior one shows less in ii."""
    site = str(rng.choice(["inferior", "inferior", "infero-lateral", "infero-posterior", "anterior"]))
    seen = 0.5 if site == "anterior" else 1.0
    shown = rng.random(3) < (0.75, 0.65, 0.7)
    shown[rng.integers(3)] = True
    q, st, t = shown * (rng.uniform(0.15, 0.6), rng.uniform(0.06, 0.25), rng.uniform(0.4, 1.0)) * seen
    return Marks(float(q), float(st), float(t), site)


def marked_beat(heart: Anatomy, marks: Marks) -> Morphology:
    """A sinus beat with Q, ST and T as `marks` says."""
    beat = sinus_beat(replace(heart, t=heart.t * (1 - 2 * marks.t)))
    q, st = -marks.q * heart.r, (-0.3 * marks.st, marks.st, -0.4 * marks.st)
    changes = (
        Wave(-0.034, 0.012, (0.3 * q, q, 0.0)),
        Wave(0.10, 0.035, st, follows_rate=True),
        Wave(0.18, 0.045, st, follows_rate=True),
    )
    return Morphology(beat.waves + changes)


def draw_ptb_patient(marks: Marks, rng: Generator) -> Patient:
    """A patient in sinus rhythm."""
    beat = marked_beat(draw_anatomy(rng), marks)
    return draw_patient(SINUS_RHYTHM, {"N": (beat,)}, mains=50, rng=rng)


def record_patient(patient: Patient, seconds: float, fs: int, rng: Generator) -> tuple[np.ndarray, list[Beat]]:
    """One recording -> signal (samples, leads) in mV, and its beats."""
    samples = round(seconds * fs)
    sinus_rr = tachogram(seconds, patient.rr, patient.variability * patient.rr, patient.respiration, rng)
    beats = heart_beats(patient.profile, sinus_rr, samples / fs, rng)
    heart = draw_beats(beats, patient.shapes, samples, fs, rng)
    return heart + draw_disturbance(patient.noise, patient.respiration, samples, fs, rng), beats


def deal(deck: Sequence[Card], patients: int, rng: Generator) -> list[Card]:
    """One card a patient: the deck again and again from its left, then shuffled.

    The counts depend only on `patients`, the order on the seed: no seed leaves a class out.
    """
    cards = [deck[k % len(deck)] for k in range(patients)]
    return [cards[k] for k in rng.permutation(patients)]
