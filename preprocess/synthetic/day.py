"""A day of a synthetic patient: when they sleep, walk and take a tablet, and what their heart does meanwhile.

A recording begins at `START` and follows the clock: at night the heart is slow. Every day of it has the same programme,
whose events come at shares of the day, so a recording of half an hour holds each of them too, only shorter. Between
them ectopic beats come by chance, those of the ventricles less often after the tablet.

What each event is called is known here, not found: `true_episodes` names the beats of an event by the rules of the
report's list of episodes. Bradycardia and tachycardia have no place in it: how they are bounded depends on a window
over which the rate is averaged.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial

import numpy as np
from numpy.random import Generator

from preprocess.synthetic.patients import Patient, draw_mit_patient
from preprocess.synthetic.rhythm import (
    AMBULATORY,
    SINUS,
    Episode,
    EpisodeKind,
    atrial_couplet,
    atrial_fibrillation,
    atrial_premature,
    atrial_run,
    fusion,
    idioventricular_run,
    placed,
    sinus_pause,
    supraventricular_tachycardia,
    tachogram,
    ventricular_bigeminy,
    ventricular_couplet,
    ventricular_premature,
    ventricular_run,
    ventricular_tachycardia,
    ventricular_trigeminy,
)
from preprocess.synthetic.waves import Beat, Morphology

DAY, HOUR = 86400, 3600  # s
START = datetime(2026, 3, 2, 8, 0, 0)
"""When every recording begins."""

ASLEEP = (23 * HOUR, 31 * HOUR)  # s of the clock: 23:00 to 07:00
APART = 4  # sinus beats at least between two events: none can join another to a pattern that nobody planned
COUPLET, RUN = partial(ventricular_couplet, rest=0.85), partial(ventricular_run, rest=0.85)  # in exercise, too
PAUSE = 2.0  # s; a longer R-R interval is a pause
CLEAR = 8.0  # s at least between an event and unreadable time
CALM = 45.0  # s without ectopy on either side of fibrillation: a detector of irregular rhythm sees some beats around it


@dataclass(frozen=True)
class Stretch:
    """Some time of the recording."""

    start: float  # s
    end: float  # s
    what: str


@dataclass(frozen=True)
class Entry:
    """A line of the patient's diary."""

    time: float  # s
    kind: str  # activity, medication, symptom or other
    note: str
    end: float | None = None  # s


@dataclass(frozen=True)
class Planned:
    """Something that the heart does at a time of its own, or as soon afterwards as there is room."""

    time: float  # s
    play: EpisodeKind
    seconds: float  # the longest that it may take
    symptom: str = ""  # what the patient writes down, a few seconds after it has begun


@dataclass(frozen=True)
class Span:
    """An item of the programme: when it begins, how long it lasts in a whole day, and how long at least."""

    share: float  # of the day
    seconds: float
    shortest: float

    def within(self, start: float, seconds: float, what: str) -> Stretch:
        """Where it lies in a day of `seconds` from `start` on."""
        begin = start + self.share * seconds
        return Stretch(begin, begin + max(self.shortest, self.seconds * seconds / DAY), what)


WALKING, STAIRS, SLEEP = "walking", "climbing stairs", "asleep"
LOAD = {WALKING: (34.0, 3.0), STAIRS: (48.0, 5.0), SLEEP: (-16.0, 0.5)}
"""What an activity adds to the heart rate, in 1/min, and by how much it multiplies the noise of the muscles."""

ACTIVITIES = ((WALKING, Span(0.085, 1800, 150)), (STAIRS, Span(0.21, 180, 60)), (WALKING, Span(0.38, 1500, 120)))

NOISE, LEADS_OFF = "noise", "leads off"
UNREADABLE = (
    (NOISE, Span(0.25, 90, 15)),
    (LEADS_OFF, Span(0.52, 420, 30)),
    (NOISE, Span(0.58, 60, 12)),
    (NOISE, Span(0.93, 75, 12)),
)

FIBRILLATION = Span(0.66, 2700, 120)
MEDICATION, TIRED = 0.42, 0.49  # shares of the day
TABLET = "beta blocker, 50 mg"


@dataclass(frozen=True)
class Plan:
    """What is settled before the first beat."""

    seconds: float
    activities: tuple[Stretch, ...]
    unreadable: tuple[Stretch, ...]
    medication: tuple[float, ...]  # s
    onset: float  # s until the tablet works
    events: tuple[Planned, ...]  # in time
    diary: tuple[Entry, ...]  # without the symptoms, which come with the events

    def has_room(self, time: float, seconds: float) -> bool:
        """Whether an event of `seconds` from `time` on stays clear of unreadable time and of the recording's end."""
        clear = all(time + seconds + CLEAR < stretch.start or stretch.end + CLEAR < time for stretch in self.unreadable)
        return clear and time + seconds + CLEAR < self.seconds

    def ventricular_chance(self, time: float) -> float:
        """How likely V is to come next: most likely in the afternoon, least likely under the tablet."""
        chance = 0.06 * (1 + 0.5 * float(_afternoon(np.array(time))))
        taken = [time - dose for dose in self.medication if dose <= time]
        if taken:
            since = taken[-1]
            chance *= 1 - 0.8 * (1 - np.exp(-since / self.onset)) * np.exp(-since / (8 * HOUR))
        return chance


def _afternoon(time: np.ndarray) -> np.ndarray:
    """Times in s -> 1 at four in the afternoon, -1 at four in the morning."""
    return np.cos(2 * np.pi * (START.hour * HOUR + time - 16 * HOUR) / DAY)


def plan_recording(seconds: float) -> Plan:
    """The programme of every day of the recording; a last day of less than half an hour has none."""
    starts = [start for start in np.arange(0.0, seconds, DAY).tolist() if seconds - start >= HOUR / 2]
    days = [(start, min(seconds - start, DAY)) for start in starts]
    activities = [span.within(*day, what) for day in days for what, span in ACTIVITIES]
    doses = tuple(start + MEDICATION * length for start, length in days)
    night = START.hour * HOUR
    for midnight in np.arange(0, seconds, DAY):
        asleep = Stretch(midnight + ASLEEP[0] - night, min(midnight + ASLEEP[1] - night, seconds), SLEEP)
        if asleep.start < seconds:
            activities.append(asleep)
    unreadable = tuple(span.within(*day, what) for day in days for what, span in UNREADABLE)
    diary = [
        Entry(stretch.start, "other" if stretch.what == SLEEP else "activity", stretch.what, stretch.end)
        for stretch in activities
    ]
    diary += [Entry(dose, "medication", TABLET) for dose in doses]
    diary += [Entry(start + TIRED * length, "symptom", "tired") for start, length in days]
    diary += [
        Entry(stretch.start, "other", "shower, electrodes off", stretch.end)
        for stretch in unreadable
        if stretch.what == LEADS_OFF
    ]
    return Plan(
        seconds=seconds,
        activities=tuple(activities),
        unreadable=unreadable,
        medication=doses,
        onset=min(1200.0, 0.04 * days[0][1]),
        events=tuple(event for day in days for event in _events(*day)),
        diary=tuple(diary),
    )


def _events(start: float, seconds: float) -> list[Planned]:
    """What the heart does in a day of `seconds` from `start` on."""
    fibrillation = FIBRILLATION.within(start, seconds, "")
    duration = fibrillation.end - fibrillation.start
    short_run = partial(ventricular_tachycardia, shortest=2.0, longest=7.0)
    long_pause = partial(sinus_pause, shortest=3.1, longest=3.6)
    shares: list[tuple[float, EpisodeKind, float, str]] = [
        (0.03, atrial_couplet, 5, ""),
        (0.05, COUPLET, 5, ""),
        (0.06, atrial_run, 8, ""),
        (0.08, short_run, 12, ""),
        (0.14, partial(supraventricular_tachycardia, shortest=12.0, longest=35.0), 40, "sudden palpitations"),
        (0.17, partial(ventricular_bigeminy, most=20), 50, ""),
        (0.19, COUPLET, 5, ""),
        (0.29, partial(ventricular_trigeminy, most=15), 60, ""),
        (0.33, partial(ventricular_tachycardia, shortest=33.0, longest=48.0), 55, "palpitations, light-headed"),
        (0.37, ventricular_bigeminy, 15, ""),
        (0.41, short_run, 12, ""),
        (0.47, long_pause, 5, "nearly fainted"),
        (FIBRILLATION.share, partial(atrial_fibrillation, seconds=duration), duration * 1.3, "fluttering heart"),
        (0.74, sinus_pause, 4, ""),
        (0.77, idioventricular_run, 16, ""),
        (0.79, sinus_pause, 4, ""),
        (0.82, partial(sinus_pause, shortest=2.55, longest=2.9), 4, ""),
        (0.85, long_pause, 5, ""),
        (0.88, ventricular_trigeminy, 25, ""),
        (0.90, sinus_pause, 4, ""),
    ]
    return [Planned(start + share * seconds, play, most, symptom) for share, play, most, symptom in shares]


def draw_ambulatory_patient(rng: Generator) -> Patient:
    """A patient for a day: electrodes that hold, and a sinus node that keeps to a usual rate."""
    patient = draw_mit_patient(AMBULATORY, rng)
    sinus, usual, second = patient.shapes["N"][0], patient.shapes["V"][0], patient.shapes["V"][-1]
    hidden = patient.shapes["A"][-1]
    shapes = (
        patient.shapes
        | {
            "V": (usual,) * 12 + (second,),
            "V(VT": (usual,),  # a tachycardia stays at its focus, and so do the patterns
            "V(IVR": (second,),
            "V(B": (usual,),
            "V(T": (usual,),
            "A(SVTA": (hidden,),
            "N(AFIB": (Morphology(sinus.waves[1:]),),  # no P
        }
    )
    noise = replace(patient.noise, wander=rng.uniform(0.02, 0.06), muscle=rng.uniform(0.006, 0.014), motions=0.05)
    return replace(patient, shapes=shapes, rr=60 / rng.uniform(70, 80), noise=noise)


def sinus_node(plan: Plan, patient: Patient, rng: Generator) -> Callable[[float], float]:
    """Sinus RR as a function of time, both in s: day and night, activity, a slow drift, and the tachogram.

    The tachogram flattens as the rate rises: in exercise the vagus withdraws, which carries the variation from breath
    to breath (Monfredi et al., Hypertension 2014;64:1334-1343: it falls steeply with the rate in every heart).
    """
    seconds = np.arange(int(plan.seconds) + 2)
    wanted = 60 / patient.rr + 4 * _afternoon(seconds)
    for stretch in plan.activities:
        wanted[int(stretch.start) : int(stretch.end)] += LOAD[stretch.what][0]
    knots = np.arange(0, len(seconds) + 600, 600)
    wanted += np.interp(seconds, knots, rng.normal(0, 2.5, len(knots)))
    rate = np.empty(len(seconds))
    level = wanted[0]
    for second, target in enumerate(wanted.tolist()):  # the node follows within a minute, and recovers more slowly
        level += (target - level) / (40 if target > level else 90)
        rate[second] = level

    @lru_cache(maxsize=1)  # time does not go back, and the transform of a whole day would take 60 MB
    def variation(_: int) -> Callable[[float], float]:
        return tachogram(HOUR, 1.0, patient.variability, patient.respiration, rng)

    def rr(time: float) -> float:
        mean = 60 / rate[int(time)]
        vagus = min(1.0, mean / patient.rr) ** 2
        varied = 1 + vagus * (variation(int(time // HOUR))(time % HOUR) - 1)
        return float(np.clip(mean * varied, 0.36, 1.25))

    return rr


def _by_chance(plan: Plan, time: float, rng: Generator) -> EpisodeKind | None:
    """The ectopy that comes next, or most often none."""
    ventricular, atrial, fused = plan.ventricular_chance(time), 0.004, 0.001
    drawn = rng.random()
    if drawn >= ventricular + atrial + fused:
        return None
    if drawn >= ventricular + atrial:
        return fusion
    if drawn >= ventricular:
        return (atrial_premature, atrial_couplet, atrial_run)[rng.choice(3, p=(0.90, 0.06, 0.04))]
    return (ventricular_premature, COUPLET, RUN)[rng.choice(3, p=(0.96, 0.035, 0.005))]


@dataclass(frozen=True)
class Played:
    """An event as it came, or a sinus beat between two."""

    episode: Episode
    beats: tuple[Beat, ...]
    symptom: str = ""


def heart_of_the_day(plan: Plan, patient: Patient, rng: Generator) -> Iterator[Played]:
    """What the heart does from the first to the last beat of the recording, one event or sinus beat after the other."""
    node = sinus_node(plan, patient, rng)
    waiting = deque(plan.events)
    time, since, calm_until = rng.uniform(0.3, 0.6) - node(0.0), 0, 0.0
    while True:
        rr = node(max(time, 0.0))
        episode, symptom = Episode(((SINUS, rr),)), ""
        if since >= APART and time >= calm_until:
            event = waiting[0] if waiting else None
            before_fibrillation = event is not None and event.seconds > CALM * 2 and event.time - time < CALM
            if event is not None and event.time <= time:
                if plan.has_room(time, event.seconds):
                    episode, symptom = event.play(rng, rr), event.symptom
                    waiting.popleft()
            elif not before_fibrillation and plan.has_room(time, 10.0) and (kind := _by_chance(plan, time, rng)):
                episode = kind(rng, rr)
        beats = tuple(placed(episode, time, patient.profile.conduction, "(N"))
        if beats[-1].time >= plan.seconds:
            return
        yield Played(episode, beats, symptom)
        time = beats[-1].time
        since = since + 1 if episode.beats == ((SINUS, rr),) else 0
        if episode.rhythm == "(AFIB":
            calm_until = time + CALM


@dataclass(frozen=True)
class TrueEpisode:
    """An episode as the report lists them, at the beats `first` to `last` of the annotations."""

    kind: str
    first: int
    last: int


def true_episodes(episode: Episode, first: int, places: Sequence[int], fs: float) -> Iterator[TrueEpisode]:
    """What there is to find in an event.

    Args:
        first: index of its first beat.
        places: sample of every beat up to its last one.
    """
    symbols = [symbol for symbol, _ in episode.beats]
    for beat, (_, interval) in enumerate(episode.beats, first):
        if interval > PAUSE - 0.1 and places[beat] - places[beat - 1] > PAUSE * fs:
            yield TrueEpisode("pause", beat - 1, beat)
    at = first
    for symbol, group in itertools.groupby(symbols):
        length = len(list(group))
        if symbol in ("A", "V"):
            suffix = {"A": "s", "V": "v"}[symbol]
            name = {1: "isolated", 2: "couplet"}.get(length, "run")
            yield TrueEpisode(f"{name}_{suffix}", at, at + length - 1)
            if length > 2:
                seconds = (places[at + length - 1] - places[at]) / fs
                fast = 60 * (length - 1) / seconds > 100
                tachycardia = "svt" if symbol == "A" else "vt_sustained" if seconds >= 30 else "nsvt"
                if fast or symbol == "V":
                    yield TrueEpisode(tachycardia if fast else "idioventricular", at, at + length - 1)
        at += length
    if episode.rhythm in ("(B", "(T"):  # from the sinus beats before the first V to the last V
        kind, lead_in = ("bigeminy_v", 1) if episode.rhythm == "(B" else ("trigeminy_v", 2)
        last_v = first + max(at for at, symbol in enumerate(symbols) if symbol == "V")
        yield TrueEpisode(kind, first - lead_in, last_v)
    if episode.rhythm == "(AFIB":
        yield TrueEpisode("irregular_rhythm", first, first + len(symbols) - 2)


def clock(seconds: float) -> str:
    """A time of the recording as date and time of day."""
    return f"{START + timedelta(seconds=round(seconds)):%Y-%m-%d %H:%M:%S}"
