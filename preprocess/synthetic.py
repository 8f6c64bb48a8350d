"""Synthetic patients, written as true WFDB records: they stand in for mitdb and ptbdb where nothing can be downloaded.

A beat is a sum of Gaussian waves (P, Q, R, S, T and what disease adds), each with a centre, a width and an
amplitude in every lead, and the beats follow a tachogram with a low-frequency and a respiratory rhythm. This is
the closed form of the model of

    McSharry PE, Clifford GD, Tarassenko L, Smith LA. A dynamical model for generating synthetic
    electrocardiogram signals. IEEE Trans Biomed Eng 50(3):289-294, 2003.

To it come the ectopic beats with their timing, paced beats, bundle branch blocks and infarctions, and what an
electrode adds: baseline wander, mains hum, muscle noise and motion. Every number below is a round textbook range
(amplitudes and durations of an adult's ECG), drawn once a patient and varied from beat to beat.

From top to bottom: waves and beats, the shapes of a patient's beats, the rhythm, the noise, patients, files. The
same seed writes the same bytes. Every header carries the words of `MARK`, so that no reader mistakes a record of
this module for a person's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from utils.errors import InputError

MARK = "synthetic record"
LEADS = ("i", "ii", "v1")  # the order of every amplitude below
LEAD_II = LEADS.index("ii")
SHORTEST = 0.25  # minutes: a dozen beats, too few below for an episode

# ------------------------------------------------------------------------------------------------ waves and beats


@dataclass(frozen=True)
class Wave:
    """One Gaussian deflection of a beat, amplitude * exp(-(t - centre)^2 / (2 * width^2))."""

    centre: float  # s after the R-peak
    width: float  # s, standard deviation
    amplitude: tuple[float, float, float]  # mV in leads i, ii, v1
    follows_rate: bool = False  # repolarisation: centre and width are those at 60 a minute, and scale with sqrt(RR)


@dataclass(frozen=True)
class Morphology:
    """The shape of one kind of beat of one patient."""

    waves: tuple[Wave, ...]

    def at(self, time: np.ndarray, interval: float, gains: np.ndarray | float = 1.0) -> np.ndarray:
        """The beat in mV at `time` (n,) s after its R-peak, `interval` s after the beat before -> (n, leads).

        `gains` (waves,) multiplies each wave: no two beats of a heart are alike.
        """
        stretch = np.sqrt(np.clip(interval, 0.4, 1.4))  # Bazett: QT shortens with the square root of RR
        scale = np.array([stretch if wave.follows_rate else 1.0 for wave in self.waves])
        centre = np.array([wave.centre for wave in self.waves]) * scale
        width = np.array([wave.width for wave in self.waves]) * scale
        amplitude = np.array([wave.amplitude for wave in self.waves]) * np.reshape(gains, (-1, 1))
        return np.exp(-0.5 * ((time[:, None] - centre) / width) ** 2) @ amplitude  # (n, waves) @ (waves, leads)


@dataclass(frozen=True)
class Beat:
    """A beat that has a place in time."""

    time: float  # s from the start of the record to the R-peak
    interval: float  # s since the beat before
    symbol: str  # WFDB annotation symbol
    rhythm: str  # WFDB rhythm name that the beat stands in, "(N" for instance


def peak_at_zero(morphology: Morphology) -> Morphology:
    """Move the waves such that the largest deflection of lead ii is at 0, where annotations point to."""
    time = np.arange(-0.08, 0.08, 0.001)
    shift = time[np.argmax(np.abs(morphology.at(time, interval=0.8)[:, LEAD_II]))]
    return Morphology(tuple(replace(wave, centre=wave.centre - shift) for wave in morphology.waves))


def blend(one: Morphology, other: Morphology, share: float) -> Morphology:
    """`share` of `one` and the rest of `other`: two wavefronts that meet in the ventricles and add up."""

    def scaled(morphology: Morphology, factor: float) -> tuple[Wave, ...]:
        return tuple(
            replace(wave, amplitude=tuple(factor * value for value in wave.amplitude)) for wave in morphology.waves
        )

    return Morphology(scaled(one, share) + scaled(other, 1 - share))


def draw_beats(
    beats: list[Beat], shapes: dict[str, tuple[Morphology, ...]], samples: int, fs: int, rng: Generator
) -> np.ndarray:
    """Clean ECG of `samples` at `fs` Hz -> (samples, leads) in mV.

    Each beat takes one of its symbol's shapes, with 6 % of play in every wave.
    """
    before, after = int(0.5 * fs), int(0.8 * fs)  # a window that holds P to T
    signal = np.zeros((before + samples + after, len(LEADS)))  # margins: no beat needs care at an end
    for beat in beats:
        shape = shapes[beat.symbol][rng.integers(len(shapes[beat.symbol]))]
        middle = round(beat.time * fs)
        time = np.arange(middle - before, middle + after) / fs - beat.time
        gains = rng.normal(1.0, 0.06, len(shape.waves))
        signal[middle : middle + before + after] += shape.at(time, beat.interval, gains)
    return signal[before : before + samples]


# ------------------------------------------------------------------------------------------------ shapes of beats


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
    """V: no P, the wavefront creeps from muscle cell to muscle cell: wide QRS, T discordant to it."""
    ii = rng.choice([1.0, 1.0, 1.0, 1.0, -1.0]) * rng.uniform(1.0, 2.0)
    i, v1 = rng.uniform(-0.8, 0.8) * ii, rng.choice([-1, 1]) * rng.uniform(0.6, 1.6)
    width = rng.uniform(0.025, 0.040)
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


# --------------------------------------------------------------------------------------------------------- rhythm

SINUS = "sinus"  # in an episode: a beat with the patient's own symbol, N, L or R


@dataclass(frozen=True)
class Episode:
    """What may interrupt sinus rhythm, up to and with the sinus beat that ends it."""

    beats: tuple[tuple[str, float], ...]  # symbol, s since the beat before
    rhythm: str = ""  # rhythm name of its beats where it has one of its own


EpisodeKind = Callable[[Generator, float], Episode]  # (rng, sinus RR in s) -> one such episode


def early(rng: Generator, rr: float, low: float, high: float) -> float:
    """Coupling of a premature beat in s, `low` to `high` of an RR, but never into the refractory muscle."""
    return max(0.34, rng.uniform(low, high) * rr)


def atrial_premature(rng: Generator, rr: float) -> Episode:
    """S alone: it resets the sinus node, so the pause after it is little longer than an RR."""
    return Episode((("A", early(rng, rr, 0.50, 0.72)), (SINUS, rng.uniform(1.0, 1.18) * rr)))


def atrial_run(rng: Generator, rr: float) -> Episode:
    """3 to 5 of S."""
    run = tuple(("A", early(rng, rr, 0.55, 0.70)) for _ in range(rng.integers(3, 6)))
    return Episode((*run, (SINUS, rng.uniform(1.05, 1.25) * rr)), "(SVTA")


def ventricular_premature(rng: Generator, rr: float) -> Episode:
    """V alone: the sinus node keeps its beat, so coupling and pause add up to two RR (fully compensatory)."""
    coupling = early(rng, rr, 0.52, 0.75)
    return Episode((("V", coupling), (SINUS, 2 * rr - coupling)))


def ventricular_bigeminy(rng: Generator, rr: float) -> Episode:
    """Every other beat a V, three to five times."""
    pairs = [ventricular_premature(rng, rr).beats for _ in range(rng.integers(3, 6))]
    return Episode(tuple(beat for pair in pairs for beat in pair), "(B")


def _ventricular_chain(rng: Generator, rr: float, length: int) -> tuple[tuple[str, float], ...]:
    """`length` of V at 110 to 170 a minute, then the sinus beat that the undisturbed node would give."""
    chain = [early(rng, rr, 0.55, 0.75), *rng.uniform(0.36, 0.54, length - 1)]
    missed = np.ceil(sum(chain) / rr + 0.6)  # the sinus beats up to here met refractory muscle
    return (*(("V", interval) for interval in chain), (SINUS, missed * rr - sum(chain)))


def ventricular_couplet(rng: Generator, rr: float) -> Episode:
    """Two of V."""
    return Episode(_ventricular_chain(rng, rr, 2))


def ventricular_run(rng: Generator, rr: float) -> Episode:
    """Three to six of V: by definition a tachycardia."""
    return Episode(_ventricular_chain(rng, rr, int(rng.integers(3, 7))), "(VT")


def fusion(rng: Generator, rr: float) -> Episode:
    """F: the ectopic focus fires so late that the sinus beat is on its way; hardly premature."""
    coupling = rng.uniform(0.88, 0.98) * rr
    return Episode((("F", coupling), (SINUS, 2 * rr - coupling)))


def paced_run(rng: Generator, rr: float) -> Episode:
    """8 to 20 paced beats at the pacemaker's even pace, at times with a fusion beat as the first or the last."""
    symbols = ["/"] * int(rng.integers(8, 21))
    for end in (0, -1):
        if rng.random() < 0.3:
            symbols[end] = "f"
    return Episode((*((symbol, 1.06 * rr) for symbol in symbols), (SINUS, 0.92 * rr)), "(P")


@dataclass(frozen=True)
class Profile:
    """A type of patient: how the ventricles conduct and what interrupts the rhythm how often."""

    words: str  # for the header
    conduction: str  # N, L or R: the symbol of the sinus beats
    episodes: tuple[EpisodeKind, ...]  # drawn like cards from a shuffled pack
    every: int  # mean number of sinus beats between two episodes


PACED = Profile("pacemaker", "N", (paced_run, paced_run, paced_run, ventricular_premature), every=8)
MIXED = Profile(
    "atrial and ventricular ectopy",
    "N",
    (atrial_premature, fusion, ventricular_premature, atrial_premature, fusion, ventricular_run),
    every=5,
)
ATRIAL = Profile("atrial ectopy", "N", (atrial_premature, atrial_premature, atrial_premature, atrial_run), every=9)
VENTRICULAR = Profile(
    "ventricular ectopy",
    "N",
    (ventricular_premature, fusion, ventricular_couplet, fusion, ventricular_bigeminy, ventricular_run),
    every=7,
)
QUIET = Profile("rare ectopy", "N", (atrial_premature, ventricular_premature), every=45)
SINUS_RHYTHM = Profile("sinus rhythm", "N", (), every=1)

# Dealt to the patients of a folder from the left, then shuffled. Its start is such that six patients have each
# class at least twice, and two patients have all classes.
MIT_DECK = (
    MIXED,
    PACED,
    MIXED,
    PACED,
    ATRIAL,
    VENTRICULAR,
    ATRIAL,
    replace(VENTRICULAR, words="ventricular ectopy, left bundle branch block", conduction="L"),
    replace(QUIET, words="rare ectopy, right bundle branch block", conduction="R"),
    replace(QUIET, words="rare ectopy, left bundle branch block", conduction="L"),
)


def tachogram(
    seconds: float, mean: float, deviation: float, respiration: float, rng: Generator
) -> Callable[[float], float]:
    """Sinus RR as a function of time, both in s: McSharry's two-peaked spectrum with random phases.

    The peaks are the Mayer wave at 0.1 Hz and breathing at `respiration` Hz, the first with half the power.
    """
    rate = 4  # Hz; the spectrum ends below 0.5 Hz
    samples = 2 * int(np.ceil(seconds * rate / 2)) + 2
    frequency = np.fft.rfftfreq(samples, 1 / rate)
    power = sum(
        share * np.exp(-0.5 * ((frequency - centre) / 0.02) ** 2)
        for share, centre in ((1 / 3, 0.1), (2 / 3, respiration))
    )
    phase = rng.uniform(0, 2 * np.pi, len(frequency))
    wave = np.fft.irfft(np.sqrt(power) * np.exp(1j * phase), samples)
    rr = mean + deviation * (wave - wave.mean()) / wave.std()
    return lambda time: float(rr[int(time * rate)])


def shuffled_for_ever(kinds: tuple[EpisodeKind, ...], rng: Generator) -> Iterator[EpisodeKind]:
    """Every kind once in a random order, again and again: no kind stays away for long."""
    while True:
        yield from (kinds[k] for k in rng.permutation(len(kinds)))


def heart_beats(profile: Profile, sinus_rr: Callable[[float], float], seconds: float, rng: Generator) -> list[Beat]:
    """The beats of a record of `seconds`, in time: sinus rhythm, interrupted by the episodes of `profile`."""
    kinds = shuffled_for_ever(profile.episodes, rng)
    time, beats = rng.uniform(0.3, 0.6) - sinus_rr(0.0), []
    base = "(N" if sinus_rr(0.0) <= 1.0 else "(SBR"  # below 60 a minute: bradycardia
    until_episode = int(rng.integers(2, profile.every + 2))
    while True:
        rr = sinus_rr(max(time, 0.0))
        episode = Episode(((SINUS, rr),))
        if profile.episodes and until_episode == 0:
            episode = next(kinds)(rng, rr)
            until_episode = int(rng.integers(profile.every // 2 + 1, profile.every * 3 // 2 + 2))
        until_episode -= 1
        for symbol, interval in episode.beats:
            time += interval
            if time >= seconds:
                return beats
            own = symbol == SINUS and episode.rhythm != "(B"  # a sinus beat ends an episode or is half of a pair
            beats.append(
                Beat(
                    time,
                    interval,
                    profile.conduction if symbol == SINUS else symbol,
                    base if own or not episode.rhythm else episode.rhythm,
                )
            )


# ---------------------------------------------------------------------------------------------------------- noise


@dataclass(frozen=True)
class Noise:
    """What the electrodes of a patient add."""

    wander: float  # mV, standard deviation of the baseline
    hum: float  # mV, amplitude of the mains
    mains: int  # Hz, 50 or 60
    muscle: float  # mV, standard deviation at rest
    motions: float  # electrode movements a minute


def draw_noise(rng: Generator, mains: int) -> Noise:
    """The electrodes of one recording: some good, some bad."""
    return Noise(
        wander=rng.uniform(0.02, 0.12),
        hum=rng.uniform(0.0, 0.02),
        mains=mains,
        muscle=rng.uniform(0.006, 0.03),
        motions=rng.uniform(0.0, 1.0),
    )


def band_noise(samples: int, fs: int, low: float, high: float, rng: Generator) -> np.ndarray:
    """Gaussian noise between `low` and `high` Hz, standard deviation 1 -> (samples, leads)."""
    length = 1 << (samples - 1).bit_length()  # powers of two keep the transform fast
    frequency = np.fft.rfftfreq(length, 1 / fs)
    inside = (frequency >= low) & (frequency <= high)
    spectrum = np.zeros((len(frequency), len(LEADS)), dtype=complex)
    parts = rng.normal(size=(2, int(inside.sum()), len(LEADS)))
    spectrum[inside] = parts[0] + 1j * parts[1]
    wave = np.fft.irfft(spectrum, length, axis=0)
    return wave[:samples] * length / (2 * np.sqrt(inside.sum()))


def motion_artefacts(samples: int, fs: int, per_minute: float, rng: Generator) -> np.ndarray:
    """Jumps of the skin potential that decay within a second or so -> (samples, leads) in mV."""
    signal = np.zeros((samples, len(LEADS)))
    for _ in range(rng.poisson(per_minute * samples / fs / 60)):
        start, fade = int(rng.integers(samples)), rng.uniform(0.1, 0.6)
        time = np.arange(samples - start)[: int(4 * fade * fs)] / fs
        bump = (time / 0.05) / (1 + time / 0.05) * np.exp(-time / fade)
        signal[start : start + len(time)] += np.outer(bump, rng.normal(0, 0.6, len(LEADS)))
    return signal


def draw_disturbance(noise: Noise, respiration: float, samples: int, fs: int, rng: Generator) -> np.ndarray:
    """All that is not heart -> (samples, leads) in mV."""
    time = np.arange(samples)[:, None] / fs
    phases = rng.uniform(0, 2 * np.pi, (2, len(LEADS)))
    breathing = np.sin(2 * np.pi * respiration * time + phases[0])
    wander = noise.wander * (band_noise(samples, fs, 0.02, 0.4, rng) + 0.7 * breathing)
    hum = noise.hum * np.sin(2 * np.pi * noise.mains * time + phases[1])
    tension = np.exp(0.5 * band_noise(samples, fs, 0.0, 0.1, rng))  # muscles tighten and relax
    muscle = noise.muscle * tension * band_noise(samples, fs, 15.0, 0.4 * fs, rng)
    return wander + hum + muscle + motion_artefacts(samples, fs, noise.motions, rng)


# ------------------------------------------------------------------------------------------------------- patients


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
    shapes = {"N": (marked_beat(draw_anatomy(rng), marks),)}
    return draw_patient(SINUS_RHYTHM, shapes, mains=50, rng=rng)


def record_patient(patient: Patient, seconds: float, fs: int, rng: Generator) -> tuple[np.ndarray, list[Beat]]:
    """One recording -> signal (samples, leads) in mV, and its beats."""
    samples = round(seconds * fs)
    sinus_rr = tachogram(seconds, patient.rr, patient.variability * patient.rr, patient.respiration, rng)
    beats = heart_beats(patient.profile, sinus_rr, samples / fs, rng)
    heart = draw_beats(beats, patient.shapes, samples, fs, rng)
    return heart + draw_disturbance(patient.noise, patient.respiration, samples, fs, rng), beats


def deal(deck: tuple, patients: int, rng: Generator) -> list:
    """One card a patient: the deck again and again from its left, then shuffled.

    The counts depend on `patients` alone, only the order on the seed: no seed leaves a class out.
    """
    cards = [deck[k % len(deck)] for k in range(patients)]
    return [cards[k] for k in rng.permutation(patients)]


# ---------------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class Format:
    """How a database digitises its signals."""

    fs: int  # Hz
    leads: dict[str, str]  # name in the database -> one of `LEADS`
    code: str  # WFDB storage format
    gain: int  # units a mV
    baseline: int  # units at 0 mV
    lowest: int  # units: the converter saturates below ...
    highest: int  # ... and above


MIT_FORMAT = Format(360, {"MLII": "ii", "V1": "v1"}, "212", 200, 1024, 0, 2047)  # 11 bits, as mitdb
PTB_FORMAT = Format(1000, {lead: lead for lead in LEADS}, "16", 2000, 0, -32767, 32767)  # -32768 is "no value"

# Infarctions are dealt more often than controls; three patients hold both, and six hold three of each.
PTB_DECK = ("control", "infarction", "infarction", "control", "infarction")


def write_synthetic_mit(folder: Path, patients: int, minutes: float, seed: int, progress: bool) -> None:
    """Write one record of `minutes` a patient into `folder`, in the manner of mitdb.

    Leads MLII and V1 in `MIT_FORMAT`: m001.dat, .hea and .atr, m002..., and RECORDS. All of it appears, or on an
    error nothing; synthetic records that are in `folder` are replaced.

    Raises:
        InputError: an argument is out of range, `folder` cannot be written, or it holds something else than
            synthetic records, which then stays as it is.
    """
    _check_arguments(patients, minutes, seed)
    with _folder_written_whole(folder) as part:
        profiles = deal(MIT_DECK, patients, np.random.default_rng([seed, 0]))
        names = []
        for number in _counted(patients, progress):
            rng = np.random.default_rng([seed, number])  # a patient does not depend on those before
            patient = draw_mit_patient(profiles[number - 1], rng)
            signal, beats = record_patient(patient, minutes * 60, MIT_FORMAT.fs, rng)
            names.append(f"m{number:03d}")
            comments = [_mark(seed, number, patients), patient.profile.words]
            _write_signal(part, names[-1], signal, MIT_FORMAT, comments)
            _write_annotations(part, names[-1], beats, len(signal), rng)
        _write_names(part, names)


def write_synthetic_ptb(folder: Path, patients: int, minutes: float, seed: int, progress: bool) -> None:
    """Write `minutes` a patient into `folder`, in the manner of ptbdb.

    Leads i, ii and v1 in `PTB_FORMAT`: patient001/s0001lre.dat and .hea, ..., and RECORDS; the diagnosis is in
    the header, and no beat is annotated. Every third infarction comes as two records of half the length, as
    ptbdb has several of many patients: a split by record is not a split by patient.

    Raises:
        InputError: as `write_synthetic_mit`.
    """
    _check_arguments(patients, minutes, seed)
    with _folder_written_whole(folder) as part:
        groups = deal(PTB_DECK, patients, np.random.default_rng([seed, 0]))
        names = []
        for number in _counted(patients, progress):
            rng = np.random.default_rng([seed, number])
            infarcted = groups[number - 1] == "infarction"
            marks = draw_infarction(rng) if infarcted else draw_healthy(rng)
            patient, person = draw_ptb_patient(marks, rng), _ptb_comments(marks, rng)
            home = part / f"patient{number:03d}"
            home.mkdir()
            parts = 2 if infarcted and groups[:number].count("infarction") % 3 == 0 else 1
            for _ in range(parts):
                signal, _ = record_patient(patient, minutes * 60 / parts, PTB_FORMAT.fs, rng)
                name = f"s{len(names) + 1:04d}lre"
                _write_signal(home, name, signal, PTB_FORMAT, [_mark(seed, number, patients), *person])
                names.append(f"{home.name}/{name}")
        _write_names(part, names)


def _counted(patients: int, progress: bool) -> Iterable[int]:
    """The numbers of the patients from 1, with a progress bar when asked for."""
    from tqdm import tqdm

    return tqdm(range(1, patients + 1), "synthetic patients", disable=not progress)


def _write_signal(home: Path, name: str, signal: np.ndarray, form: Format, comments: list[str]) -> None:
    """Write NAME.dat and NAME.hea of `signal` (samples, leads) in mV."""
    import wfdb

    columns = [LEADS.index(lead) for lead in form.leads.values()]
    units = np.clip(np.round(signal[:, columns] * form.gain) + form.baseline, form.lowest, form.highest)
    wfdb.wrsamp(
        name,
        fs=form.fs,
        units=["mV"] * len(columns),
        sig_name=list(form.leads),
        d_signal=units.astype(np.int64),
        fmt=[form.code] * len(columns),
        adc_gain=[form.gain] * len(columns),
        baseline=[form.baseline] * len(columns),
        comments=comments,
        write_dir=str(home),
    )


def _write_annotations(home: Path, name: str, beats: list[Beat], samples: int, rng: Generator) -> None:
    """Write NAME.atr: the beats, and a "+" with the rhythm's name where a rhythm starts."""
    import wfdb

    marks, rhythm = [], None
    for beat in beats:
        # Annotators hit the peak within a sample or two.
        place = int(np.clip(round(beat.time * MIT_FORMAT.fs + rng.normal(0, 0.8)), 1, samples - 1))
        if beat.rhythm != rhythm:
            rhythm = beat.rhythm
            marks.append((max(place - 40, 0), "+", f"{rhythm}\0"))  # mitdb ends the names with a NUL
        marks.append((place, beat.symbol, ""))
    places, symbols, notes = (list(column) for column in zip(*marks, strict=True))
    wfdb.wrann(name, "atr", np.array(places), symbols, aux_note=notes, fs=MIT_FORMAT.fs, write_dir=str(home))


def _write_names(folder: Path, names: list[str]) -> None:
    (folder / "RECORDS").write_text("".join(f"{name}\n" for name in names), encoding="ascii")


def _ptb_comments(marks: Marks, rng: Generator) -> list[str]:
    """The head of a ptbdb header, in its words."""
    return [
        f"age: {rng.integers(35, 80)}",
        f"sex: {rng.choice(['male', 'female'])}",
        "ECG date: n/a",
        "Diagnose:",
        f"Reason for admission: {'Healthy control' if marks.healthy else 'Myocardial infarction'}",
        f"Acute infarction (localization): {marks.site}",
        "Former infarction (localization): no",
        "Additional diagnoses: no",
        "Smoker: unknown",
    ]


def _mark(seed: int, number: int, patients: int) -> str:
    return f"{MARK}, seed {seed}, patient {number} of {patients}"


def _check_arguments(patients: int, minutes: float, seed: int) -> None:
    if patients < 1:
        raise InputError(f"{patients} synthetic patients cannot be written; give at least 1")
    if not SHORTEST <= minutes < 24 * 60:
        raise InputError(f"{minutes} minutes a synthetic patient: give {SHORTEST} or more, and less than a day")
    if seed < 0:
        raise InputError(f"seed {seed}: synthetic patients need a seed of 0 or more")


def _check_is_ours(folder: Path) -> None:
    """Raise `InputError` unless all files in `folder` belong to synthetic records."""
    files = [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
    headers = {path for path in files if path.suffix == ".hea" and MARK in path.read_text("latin-1")}
    for path in files:
        ours = path.suffix in {".hea", ".dat", ".atr"} and path.with_suffix(".hea") in headers
        if not ours and not (headers and path == folder / "RECORDS"):
            raise InputError(
                f"{folder} holds {path.relative_to(folder)}, which is no part of a synthetic record and would be "
                "lost; name another folder for the synthetic patients"
            )


@contextmanager
def _folder_written_whole(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, and put it into the place of `folder` when the block succeeds."""
    folder = Path(folder).absolute()
    part, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        if folder.is_dir():
            _check_is_ours(folder)
        elif folder.exists():
            raise InputError(f"{folder} is a file; synthetic patients need a folder")
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}; name a folder that can be") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
