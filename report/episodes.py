"""What happens in a recording, and when: ectopy in its forms, pauses, slow, fast and irregular rhythm.

Pure functions of the beats, of what can be read, and of the definitions. A sequence of beats ends where an R-R interval
is not valid, at a beat of Q and at the ends of the recording; no episode of beats goes past its end.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from report.definitions import Definitions
from report.irregular import enough_for_irregular, irregular_rhythm
from report.rates import enough_for_rates, mean_rate, slow_and_fast
from report.rhythm import Rhythm, disjoint, inside, runs_of, without

KINDS = (
    "isolated_v",
    "couplet_v",
    "run_v",
    "nsvt",
    "vt_sustained",
    "idioventricular",
    "bigeminy_v",
    "trigeminy_v",
    "isolated_s",
    "couplet_s",
    "run_s",
    "svt",
    "bigeminy_s",
    "trigeminy_s",
    "pause",
    "bradycardia",
    "tachycardia",
    "irregular_rhythm",
    "ventricular_flutter",
    "unreadable",
)
"""Every kind of episode. A run of 3 beats or more is `run_v` or `run_s`; of those, the runs that `nsvt`,
`vt_sustained`, `idioventricular` or `svt` names are there a second time, under that name."""

CLASSLESS_KINDS = ("ventricular_flutter", "unreadable")
"""The kinds that are found where no beat has a class of EC57; of the others nothing is known there."""

RUN = 3
"""Beats of the shortest run; two are a couplet, one is isolated."""

SUPRAVENTRICULAR = frozenset({"isolated_s", "couplet_s", "run_s", "svt", "bigeminy_s", "trigeminy_s"})
"""The kinds that say nothing in an irregular rhythm, in which every beat may come early."""

TWICE = {"run_v": ("nsvt", "vt_sustained", "idioventricular"), "run_s": ("svt",)}
"""Runs that may have a more telling name as well."""

RUNS = frozenset(TWICE).union(*TWICE.values())
"""The kinds of which the longest has the most beats, as a physician counts them; of others it lasts longest."""

AROUND, FEWEST = 40, 3
"""Beats on either side of a run of S whose N-N intervals say how fast the sinus rhythm is, and how many it takes."""


@dataclass(frozen=True)
class Episode:
    """Something that begins and ends: at the samples of its first and last beat; flutter and lost time [start, end)."""

    kind: str
    start: int
    end: int
    beats: int
    rate_bpm: float | None
    """Of its own intervals alone, neither that before its first beat nor that after its last; None without any, for a
    pause, for flutter and for unreadable time."""
    doubtful: str = ""
    """Why a run or a pause may not be real; "": nothing speaks against it."""
    unlike: bool = False
    """A run is doubtful because its beats do not look like beats: they may be noise."""
    after_ectopic: bool = False
    """A beat of S, V or F begins a pause, so it may be compensatory."""


def extent(episode: Episode) -> tuple[int, int]:
    """How long an episode is, to compare it with others of its kind: a run by its beats first, then in samples."""
    return (episode.beats if episode.kind in RUNS else 0, episode.end - episode.start)


def longest_of(found: Sequence[Episode]) -> Episode:
    """The longest (`extent`) of at least one, the first of those, a doubtful one only where all are."""
    return max(found, key=lambda one: (not one.doubtful, extent(one)))


def fastest_of(found: Sequence[Episode]) -> Episode | None:
    """The one with the highest rate, the first of those, a doubtful one only where all are; None: none has one."""
    rated = [episode for episode in found if episode.rate_bpm is not None]
    return max(rated, key=lambda one: (not one.doubtful, one.rate_bpm or 0.0), default=None)


@dataclass(frozen=True)
class Episodes:
    """What `find_episodes` found."""

    fs: float
    found: tuple[Episode, ...]
    """In order of their start; those of one start in the order of `KINDS`."""
    irregular: np.ndarray
    """int64 (k, 2) in samples: the first and last beat of each episode of irregular rhythm."""
    irregular_time: np.ndarray
    """int64 (k, 2) in samples, [start, end): the readable time of these, which may go on across lost time."""
    withheld: dict[str, int]
    """Of each kind of S the episodes that lie in irregular rhythm, wholly or in part; they are not in `found`."""
    beatless: np.ndarray
    """int64 (k, 2) in samples: readable time longer than a pause that no two beats enclose (`beatless_time`)."""
    sought: tuple[str, ...] = KINDS
    """The kinds that were looked for."""

    def of(self, kind: str) -> list[Episode]:
        """Those of one kind."""
        return [episode for episode in self.found if episode.kind == kind]

    def named_once(self) -> list[Episode]:
        """All in order, a run that has a more telling name as well under that one alone."""
        telling = {
            (kind, episode.start, episode.end)
            for kind, others in TWICE.items()
            for other in others
            for episode in self.of(other)
        }
        return [episode for episode in self.found if (episode.kind, episode.start, episode.end) not in telling]

    def counts(self) -> dict[str, int | None]:
        """Of every kind how many there are; None: it was not looked for."""
        counts = Counter(episode.kind for episode in self.found)
        return {kind: counts[kind] if kind in self.sought else None for kind in KINDS}

    @property
    def unlike(self) -> np.ndarray:
        """int64 (k, 2), samples, disjoint and in order: first and last beat of runs whose beats may be noise."""
        return disjoint([(one.start, one.end) for one in self.found if one.unlike], "doubtful")

    @property
    def doubtful_runs(self) -> np.ndarray:
        """int64 (k, 2), samples, disjoint and in order: first and last beat of the doubtful runs of V and of S."""
        runs = [*self.of("run_v"), *self.of("run_s")]
        return disjoint([(run.start, run.end) for run in runs if run.doubtful], "doubtful")

    def doubtful_beats(self) -> dict[str, int]:
        """How many beats of V and of S the doubtful runs of each have."""
        return {name: sum(run.beats for run in self.of(f"run_{name.lower()}") if run.doubtful) for name in ("V", "S")}

    def doubtful_counts(self) -> dict[str, int]:
        """Of every kind that has doubtful ones how many of `counts` they are."""
        return dict(Counter(episode.kind for episode in self.found if episode.doubtful))

    def pause_counts(
        self, definitions: Definitions, after_ectopic: bool = False, doubtful: bool | None = None
    ) -> dict[str, int]:
        """How many pauses exceed each threshold, in the shape of the summary: gt_2_0, gt_2_5, ge_3_0.

        Args:
            after_ectopic: count only those that a beat of S, V or F begins.
            doubtful: count only those that are doubtful, or that are not; None: both.
        """
        lengths = np.array(
            [
                pause.end - pause.start
                for pause in self.of("pause")
                if (pause.after_ectopic or not after_ectopic) and doubtful in (None, bool(pause.doubtful))
            ]
        )
        counts = {
            f"gt_{_in_name(seconds)}": int((lengths > seconds * self.fs).sum())
            for seconds in (definitions.pause, definitions.pause_long)
        }
        longest = definitions.pause_very_long
        return counts | {f"ge_{_in_name(longest)}": int((lengths >= longest * self.fs).sum())}

    @property
    def withheld_total(self) -> int:
        """How many episodes of S are withheld, each counted once: a fast run is listed a second time, as SVT."""
        return sum(count for kind, count in self.withheld.items() if kind not in TWICE["run_s"])

    def longest(self, kind: str) -> Episode | None:
        """The longest of one kind (`longest_of`); None: there is none."""
        found = self.of(kind)
        return longest_of(found) if found else None

    def fastest(self, kind: str) -> Episode | None:
        """The fastest of one kind (`fastest_of`)."""
        return fastest_of(self.of(kind))

    def table(self) -> pd.DataFrame:
        """A row an episode: kind, start_s, end_s, duration_s, beats, rate_bpm, doubtful (why)."""
        rows = [
            (
                episode.kind,
                episode.start / self.fs,
                episode.end / self.fs,
                (episode.end - episode.start) / self.fs,
                episode.beats,
                episode.rate_bpm,
                episode.doubtful,
            )
            for episode in self.found
        ]
        table = pd.DataFrame(rows, columns=["kind", "start_s", "end_s", "duration_s", "beats", "rate_bpm", "doubtful"])
        return table.astype({"rate_bpm": float})


def find_episodes(
    rhythm: Rhythm,
    definitions: Definitions,
    likeness: Callable[[int, int], float] | None = None,
) -> Episodes:
    """Find the episodes of every kind in `KINDS`.

    Args:
        likeness: how much the beats of the run between two samples look like one another or like others
            (`report.shapes.shape_test`). None: it is not known.
    """
    spans = irregular_rhythm(rhythm, definitions)
    irregular = rhythm.samples[spans]
    found = [_between(rhythm, "irregular_rhythm", first, last) for first, last in spans]
    withheld: Counter[str] = Counter()
    for episode in (*_ventricular(rhythm, definitions), *_supraventricular(rhythm, definitions)):
        if episode.kind in SUPRAVENTRICULAR and _touches(irregular, episode):
            withheld[episode.kind] += 1
        else:
            found.append(_judged(episode, rhythm, definitions, likeness))
    found += _pauses(rhythm, definitions)
    for kind, (first, last) in slow_and_fast(rhythm, definitions):
        found.append(_between(rhythm, kind, first, last))
    found += _lost_time(rhythm)
    return Episodes(
        fs=rhythm.fs,
        found=_in_order(found),
        irregular=irregular,
        irregular_time=without(irregular, rhythm.unreadable),
        withheld={kind: withheld[kind] for kind in KINDS if kind in SUPRAVENTRICULAR},
        beatless=beatless_time(rhythm, definitions.pause * rhythm.fs),
        sought=_sought(rhythm, definitions),
    )


def _sought(rhythm: Rhythm, definitions: Definitions) -> tuple[str, ...]:
    """The kinds that there are beats enough for: a recording of 10 s cannot have what lasts for 15 s."""
    if not rhythm.samples.size:
        return CLASSLESS_KINDS
    short = set[str]()
    if not enough_for_rates(rhythm, definitions):
        short |= {"bradycardia", "tachycardia"}
    if not enough_for_irregular(rhythm, definitions):
        short.add("irregular_rhythm")
    return tuple(kind for kind in KINDS if kind not in short)


def find_classless(rhythm: Rhythm) -> Episodes:
    """Find the episodes of `CLASSLESS_KINDS` alone: the beats have no classes by which ectopy could be told."""
    nothing = np.zeros((0, 2), dtype=np.int64)
    return Episodes(rhythm.fs, _in_order(_lost_time(rhythm)), nothing, nothing, {}, nothing, CLASSLESS_KINDS)


def beatless_time(rhythm: Rhythm, longest: float) -> np.ndarray:
    """Readable time of more than `longest` samples that no two beats enclose, so that it is not an R-R interval.

    It lies between a beat and lost time or an end of the recording, or between two of those.

    Returns:
        int64 (k, 2), [start, end) in samples, ascending.
    """
    lost = disjoint(np.concatenate([rhythm.unreadable, rhythm.flutter]), "lost")
    others = np.concatenate([[0, rhythm.length], lost.ravel(), rhythm.borders])
    marks, first = np.unique(np.concatenate([rhythm.samples, others]), return_index=True)
    is_beat = first < rhythm.samples.size
    start, end = marks[:-1], marks[1:]
    chosen = ~(is_beat[:-1] & is_beat[1:]) & ~inside(start, lost) & (end - start > longest)
    return np.stack([start[chosen], end[chosen]], axis=1)


def _in_order(found: list[Episode]) -> tuple[Episode, ...]:
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda episode: (episode.start, order[episode.kind])))


def _judged(
    episode: Episode, rhythm: Rhythm, definitions: Definitions, likeness: Callable[[int, int], float] | None
) -> Episode:
    """`episode`; a run that may not be real says why."""
    if episode.beats < RUN or episode.kind.startswith(("bigeminy", "trigeminy")):
        return episode
    why = []
    own = slice(*np.searchsorted(rhythm.samples, [episode.start, episode.end + 1]))
    if (~rhythm.unsure(definitions.doubtful_probability, own)).sum() < RUN:
        why.append(f"fewer than three of its beats have a class of {definitions.doubtful_probability:g} % or more")
    unlike = likeness is not None and likeness(episode.start, episode.end) < definitions.doubtful_likeness
    if unlike:
        why.append("its beats look neither like one another nor like others")
    if (episode.rate_bpm or 0.0) > definitions.doubtful_rate:
        why.append(f"faster than {definitions.doubtful_rate:g}/min")
    if episode.kind in SUPRAVENTRICULAR and prematurity(rhythm, episode) > definitions.doubtful_prematurity:
        why.append("the sinus rhythm around it is about as fast")
    return dataclasses.replace(episode, doubtful="; ".join(why), unlike=unlike)


def prematurity(rhythm: Rhythm, run: Episode) -> float:
    """The mean R-R interval of a run over the median N-N interval of the `AROUND` beats on either side of it.

    A run of S begins early; the sinus rhythm of exertion gathers pace. By the annotations of DS1 (mitdb) and of 41
    records of svdb 2 of 97 runs of S faster than 100/min are above 0.85. On a synthetic day whose sinus node varied as
    much in exertion as at rest, 43 of 73 that the network made of exertion and fibrillation are, and none of the 13
    true ones.

    Returns:
        NaN where fewer than three N-N intervals are near.
    """
    first, last = np.searchsorted(rhythm.samples, [run.start, run.end])
    around = np.r_[max(first - AROUND, 0) : first, last : min(last + AROUND, len(rhythm.rr))]
    sinus = rhythm.valid[around] & (rhythm.classes[around] == "N") & (rhythm.classes[around + 1] == "N")
    intervals = rhythm.rr[around][sinus]
    if len(intervals) < FEWEST:
        return float("nan")
    return float((run.end - run.start) / (last - first) / np.median(intervals))


def _lost_time(rhythm: Rhythm) -> list[Episode]:
    """Flutter and unreadable time, in which no beat is counted."""
    return [
        Episode(kind, int(start), int(end), 0, None)
        for kind, spans in (("ventricular_flutter", rhythm.flutter), ("unreadable", rhythm.unreadable))
        for start, end in spans
    ]


def _in_name(seconds: float) -> str:
    """2.0 -> 2_0."""
    return str(float(seconds)).replace(".", "_")


def _between(rhythm: Rhythm, kind: str, first: int, last: int) -> Episode:
    """The episode from beat `first` to beat `last`, indices; its rate is that of the valid intervals."""
    rate = mean_rate(rhythm.rr[first:last][rhythm.valid[first:last]], rhythm.fs)
    return Episode(kind, int(rhythm.samples[first]), int(rhythm.samples[last]), int(last - first) + 1, rate)


def _touches(intervals: np.ndarray, episode: Episode) -> bool:
    """Whether `episode` and one of the ordered `intervals` share a beat."""
    after = int(np.searchsorted(intervals[:, 1], episode.start))
    return after < len(intervals) and bool(intervals[after, 0] <= episode.end)


def _ventricular(rhythm: Rhythm, definitions: Definitions) -> Iterator[Episode]:
    beats = rhythm.classes == "V"
    member = beats | (rhythm.classes == "F") if definitions.fusion_in_runs else beats
    for episode in _ectopy(rhythm, beats, member, "v", definitions):
        yield episode
        if episode.kind == "run_v" and episode.beats >= definitions.vt_min_beats:
            kind = "idioventricular"
            if episode.rate_bpm is not None and episode.rate_bpm > definitions.vt_rate:
                sustained = episode.end - episode.start >= definitions.vt_sustained * rhythm.fs
                kind = "vt_sustained" if sustained else "nsvt"
            yield dataclasses.replace(episode, kind=kind)


def _supraventricular(rhythm: Rhythm, definitions: Definitions) -> Iterator[Episode]:
    beats = rhythm.classes == "S"
    for episode in _ectopy(rhythm, beats, beats, "s", definitions):
        yield episode
        if episode.kind == "run_s" and episode.rate_bpm is not None and episode.rate_bpm > definitions.svt_rate:
            yield dataclasses.replace(episode, kind="svt")


def _ectopy(
    rhythm: Rhythm, beats: np.ndarray, member: np.ndarray, suffix: str, definitions: Definitions
) -> Iterator[Episode]:
    """Isolated beats, couplets, runs, bigeminy and trigeminy of one class.

    Args:
        beats: bool (n,): those of the class; only they are isolated.
        member: bool (n,): those that make couplets and runs: `beats`, and for V beats of F where that is asked for.
    """
    runs = runs_of(member, rhythm.linked)
    isolated = np.zeros(member.size, dtype=bool)
    isolated[runs[runs[:, 0] == runs[:, 1], 0]] = True
    isolated &= beats
    for first, last in runs:
        length = last - first + 1
        if length > 1 or isolated[first]:
            kind = "isolated" if length == 1 else "couplet" if length < RUN else "run"
            yield _between(rhythm, f"{kind}_{suffix}", first, last)

    # In bigeminy and trigeminy the ectopic beats are isolated, so a couplet breaks the pattern. A fusion beat breaks it
    # too: it is partly an ectopic beat, so it cannot stand for one of those between two of them.
    other = ~member & ~np.isin(rhythm.classes, ("F", "Q"))
    letters = np.where(isolated, "E", np.where(other, "o", "x"))
    links = np.where(np.append(rhythm.linked, False)[: member.size], "-", "|")
    text = "".join(np.char.add(letters, links).tolist())  # two letters a beat: "o-E-o-E|"
    for name, unit, fewest in (
        ("bigeminy", "o-E", definitions.bigeminy_min),
        ("trigeminy", "o-o-E", definitions.trigeminy_min),
    ):
        for match in re.finditer(f"(?:{unit}-){{{fewest - 1},}}{unit}", text):
            yield _between(rhythm, f"{name}_{suffix}", match.start() // 2, (match.end() - 1) // 2)


def _pauses(rhythm: Rhythm, definitions: Definitions) -> Iterator[Episode]:
    ectopic = np.isin(rhythm.classes, ("S", "V", "F"))
    for at in np.flatnonzero((rhythm.valid | rhythm.may_hide) & (rhythm.rr > definitions.pause * rhythm.fs)):
        start, end = int(rhythm.samples[at]), int(rhythm.samples[at + 1])
        doubtful = "beats may have been missed in it, or the lead was off" if rhythm.may_hide[at] else ""
        yield Episode("pause", start, end, 2, None, doubtful, after_ectopic=bool(ectopic[at]))
