"""The rhythm: a tachogram of sinus intervals (McSharry et al. 2003), and the episodes that interrupt it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from preprocess.synthetic.waves import Beat

CALM_RR = 0.8  # s; at this RR couplings are as given
REFRACTORY, LATEST = 0.34, 0.92  # s, and a share of RR: no premature beat is earlier, or later
SINUS = "sinus"  # in an episode: a beat with the patient's own symbol, N, L or R


@dataclass(frozen=True)
class Episode:
    """What may interrupt sinus rhythm, up to and with the sinus beat that ends it."""

    beats: tuple[tuple[str, float], ...]  # symbol, s since the beat before
    rhythm: str = ""  # rhythm name of its beats where it has one of its own


EpisodeKind = Callable[[Generator, float], Episode]  # (rng, sinus RR in s) -> one such episode


def early(rng: Generator, rr: float, low: float, high: float) -> float:
    """Coupling of a premature beat in s: `low` to `high` of an RR of `CALM_RR`, but never into the refractory muscle.

    It goes with the square root of RR, as the QT interval does: in the sinus rhythm of mitdb's DS1 and of svdb the
    median coupling of V is 0.80 of RR at 115 a minute, 0.65 at 80, and 0.54 at 55, and that of S 0.79, 0.69 and 0.60.
    """
    coupling = rng.uniform(low, high) * np.sqrt(CALM_RR * rr)
    return max(REFRACTORY, min(coupling, LATEST * rr))


def atrial_premature(rng: Generator, rr: float) -> Episode:
    """A single S: it resets the sinus node, so the pause after it is little longer than an RR."""
    return Episode((("A", early(rng, rr, 0.50, 0.72)), (SINUS, rng.uniform(1.0, 1.18) * rr)))


def atrial_couplet(rng: Generator, rr: float) -> Episode:
    """Two of S."""
    pair = tuple(("A", early(rng, rr, 0.55, 0.70)) for _ in range(2))
    return Episode((*pair, (SINUS, rng.uniform(1.02, 1.2) * rr)))


def atrial_run(rng: Generator, rr: float) -> Episode:
    """3 to 5 of S."""
    run = tuple(("A", early(rng, rr, 0.55, 0.70)) for _ in range(rng.integers(3, 6)))
    return Episode((*run, (SINUS, rng.uniform(1.05, 1.25) * rr)), "(SVTA")


def ventricular_premature(rng: Generator, rr: float) -> Episode:
    """A single V: the sinus node keeps its beat, so coupling and pause add up to two RR (fully compensatory)."""
    coupling = early(rng, rr, 0.52, 0.75)
    return Episode((("V", coupling), (SINUS, 2 * rr - coupling)))


def ventricular_bigeminy(rng: Generator, rr: float, most: int = 5) -> Episode:
    """Every other beat a V, three to `most` times."""
    pairs = [ventricular_premature(rng, rr).beats for _ in range(rng.integers(3, most + 1))]
    return Episode(tuple(beat for pair in pairs for beat in pair), "(B")


def ventricular_trigeminy(rng: Generator, rr: float, most: int = 5) -> Episode:
    """Every third beat a V, three to `most` times."""
    triples = [(*ventricular_premature(rng, rr).beats, (SINUS, rr)) for _ in range(rng.integers(3, most + 1))]
    return Episode(tuple(beat for triple in triples for beat in triple), "(T")


def _ventricular_chain(rng: Generator, rr: float, length: int, rest: float) -> tuple[tuple[str, float], ...]:
    """`length` of V at 110 to 170 a minute, then the sinus beat that the undisturbed node would give."""
    return _until_sinus([early(rng, rr, 0.55, 0.75), *rng.uniform(0.36, 0.54, length - 1)], rr, rest)


def _until_sinus(chain: list[float], rr: float, rest: float = 0.9) -> tuple[tuple[str, float], ...]:
    """V at the intervals of `chain`, then the next sinus beat that comes `rest` of an RR after them or later."""
    missed = np.ceil(sum(chain) / rr + rest)  # the sinus beats before it meet refractory muscle
    return (*(("V", interval) for interval in chain), (SINUS, missed * rr - sum(chain)))


def ventricular_couplet(rng: Generator, rr: float, rest: float = 0.6) -> Episode:
    """Two of V; a sinus beat follows after `rest` of an RR at least."""
    return Episode(_ventricular_chain(rng, rr, 2, rest))


def ventricular_run(rng: Generator, rr: float, rest: float = 0.6) -> Episode:
    """Three to six of V: by definition a tachycardia; a sinus beat follows after `rest` of an RR at least."""
    return Episode(_ventricular_chain(rng, rr, int(rng.integers(3, 7)), rest), "(VT")


def _steady(rng: Generator, cycle: float, length: int) -> np.ndarray:
    """`length` intervals of a focus or a circuit: they differ by a hundredth or so."""
    return cycle * rng.normal(1.0, 0.012, length)


def ventricular_tachycardia(rng: Generator, rr: float, shortest: float, longest: float) -> Episode:
    """V at an even 130 to 170 a minute for `shortest` to `longest` s."""
    cycle = rng.uniform(0.355, 0.46)
    length = int(np.ceil(rng.uniform(shortest, longest) / cycle))
    return Episode(_until_sinus([early(rng, rr, 0.55, 0.75), *_steady(rng, cycle, length)], rr), "(VT")


def idioventricular_run(rng: Generator, rr: float) -> Episode:
    """Five to twelve of V, hardly faster than the sinus node and slower than 100 a minute."""
    cycle = max(0.88 * rr, 0.64)
    return Episode(_until_sinus([0.95 * rr, *_steady(rng, cycle, int(rng.integers(4, 12)))], rr), "(IVR")


def supraventricular_tachycardia(rng: Generator, rr: float, shortest: float, longest: float) -> Episode:
    """S at an even 160 to 180 a minute for `shortest` to `longest` s; then the sinus node takes its time."""
    cycle = rng.uniform(0.335, 0.37)
    length = int(np.ceil(rng.uniform(shortest, longest) / cycle))
    run = (early(rng, rr, 0.55, 0.70), *_steady(rng, cycle, length))
    return Episode((*(("A", interval) for interval in run), (SINUS, rng.uniform(1.2, 1.5) * rr)), "(SVTA")


def atrial_fibrillation(rng: Generator, rr: float, seconds: float) -> Episode:
    """Fibrillation for `seconds`, at 85 to 120 a minute: no interval says anything of the next."""
    mean = float(np.clip(0.75 * rr, 0.5, 0.7))
    shape = 16  # of the gamma distribution: its standard deviation is a quarter of its mean
    intervals = np.clip(rng.gamma(shape, mean / shape, int(seconds / mean)), 0.34, 1.8)
    return Episode((*(("N", interval) for interval in intervals), (SINUS, rng.uniform(1.2, 1.6) * rr)), "(AFIB")


def sinus_pause(rng: Generator, rr: float, shortest: float = 2.1, longest: float = 2.9) -> Episode:
    """The sinus node stops for `shortest` to `longest` s."""
    return Episode(((SINUS, rng.uniform(shortest, longest)),))


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
AMBULATORY = Profile("a day with its rhythms", "N", (), every=1)  # `preprocess.synthetic.day` says what comes when
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


def placed(episode: Episode, time: float, conduction: str, base: str) -> Iterator[Beat]:
    """The beats of an episode that follows on a beat at `time`; `base` is the rhythm around it."""
    for symbol, interval in episode.beats:
        time += interval
        # A sinus beat ends an episode, or is part of its pattern.
        own = not episode.rhythm or (symbol == SINUS and episode.rhythm not in ("(B", "(T"))
        yield Beat(time, interval, conduction if symbol == SINUS else symbol, base if own else episode.rhythm)


def heart_beats(profile: Profile, sinus_rr: Callable[[float], float], seconds: float, rng: Generator) -> list[Beat]:
    """The beats of a record of `seconds`, in time: sinus rhythm, interrupted by the episodes of `profile`."""
    kinds = shuffled_for_ever(profile.episodes, rng)
    time = rng.uniform(0.3, 0.6) - sinus_rr(0.0)
    beats: list[Beat] = []
    base = "(N" if sinus_rr(0.0) <= 1.0 else "(SBR"  # below 60 a minute: bradycardia
    until_episode = int(rng.integers(2, profile.every + 2))
    while True:
        rr = sinus_rr(max(time, 0.0))
        episode = Episode(((SINUS, rr),))
        if profile.episodes and until_episode == 0:
            episode = next(kinds)(rng, rr)
            until_episode = int(rng.integers(profile.every // 2 + 1, profile.every * 3 // 2 + 2))
        until_episode -= 1
        for beat in placed(episode, time, profile.conduction, base):
            time = beat.time
            if time >= seconds:
                return beats
            beats.append(beat)
