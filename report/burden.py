"""How much: the beats of each class, the burden of V and of S, and all of it hour by hour."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from report.definitions import Definitions
from report.episodes import KINDS, Episodes
from report.rates import Rate, mean_rate, window_rates
from report.rhythm import Rhythm, overlap

HOUR = 3600  # s
DAY = 24  # h
LEAST = 1 / 12  # h, five minutes: of less no figure stands for an hour


@dataclass(frozen=True)
class Share:
    """Beats of one class among all beats that could be judged."""

    beats: int
    of: int
    """All beats that have a class, Q too (`Rhythm.judged`); for S those outside irregular rhythm."""
    hours: float
    """Readable hours in which they were counted."""

    @property
    def percent(self) -> float | None:
        """None without any that has a class."""
        return 100 * self.beats / self.of if self.of else None

    @property
    def per_hour(self) -> float | None:
        """Per readable hour; None without any that has a class, or where it would be that of less than `LEAST`."""
        return self.beats / self.hours if self.of and self.hours >= LEAST else None


@dataclass(frozen=True)
class Burden:
    """The beats of a recording, and what share is ectopic."""

    beats: dict[str, int]
    """Of each class, "unclassified" ones, which no class has, and "all"."""
    v: Share
    s: Share
    s_withheld: int
    """Beats of S in irregular rhythm, which `s` leaves out."""
    v_mark: str
    """"", "marked" or "high": from 10 and from 20 % of V on."""
    excessive_s: dict[str, float] | None
    """What makes ectopy of S excessive: `sve_run` -> the beats of the longest run, `sve_per_day` -> those in 24 h, or
    all of a shorter recording, where these reach the threshold. Empty: neither does. None: neither does in a recording
    too short to tell a day's beats."""
    is_day: bool
    """From 18 readable hours on; below that nothing is called 24 h."""
    per_day: dict[str, float] | None
    """Beats of V and S in 24 h, from 20 readable hours on; S is missing where fewer hours are left outside
    irregular rhythm. None: both are."""

    @property
    def abnormal_percent(self) -> float | None:
        """(S + V + F) / all beats that have a class, those in irregular rhythm too; None without any."""
        abnormal = sum(self.beats[name] for name in "SVF")
        return 100 * abnormal / self.v.of if self.v.of else None


def burden(rhythm: Rhythm, episodes: Episodes, definitions: Definitions) -> Burden:
    """The burden of the whole recording."""
    counts = rhythm.counts()
    readable = rhythm.readable_s / HOUR
    regular_beats = rhythm.judged_outside(episodes.irregular)
    withheld = int((rhythm.classes[~regular_beats] == "S").sum())
    regular = readable - float(np.diff(episodes.irregular_time).sum()) / rhythm.fs / HOUR
    v = Share(counts["V"], int(rhythm.judged.sum()), readable)
    s = Share(counts["S"] - withheld, int(regular_beats.sum()), regular)
    level = [100 * v.beats >= threshold * max(v.of, 1) for threshold in definitions.burdens]
    per_day = {
        name: DAY * share.per_hour
        for name, share in (("V", v), ("S", s))
        if share.hours >= definitions.per_day_readable and share.per_hour is not None
    }
    longest = max((run.beats for run in episodes.of("run_s") if not run.doubtful), default=0)
    s_figures: dict[str, float] = {"sve_run": longest}
    if "S" in per_day:
        s_figures["sve_per_day"] = per_day["S"]
    elif s.beats >= definitions.sve_per_day:  # a day has no fewer than a part of it
        s_figures["sve_per_day"] = s.beats
    excessive = {name: figure for name, figure in s_figures.items() if figure >= getattr(definitions, name)}
    return Burden(
        beats=counts,
        v=v,
        s=s,
        s_withheld=withheld,
        v_mark=("", "marked", "high")[sum(level)],
        excessive_s=excessive if excessive or "S" in per_day else None,
        is_day=readable >= definitions.day_readable,
        per_day=per_day or None,
    )


@dataclass(frozen=True)
class Hour:
    """An hour of a recording, or what of it there is."""

    start_s: float
    end_s: float
    readable_s: float
    irregular_s: float
    beats: dict[str, int]
    """As in `Burden`."""
    v: Share
    s: Share
    min: Rate | None
    mean: float | None
    """Heart rate, 1/min."""
    max: Rate | None
    episodes: dict[str, int | None]
    """Of every kind those that begin in this hour; None: it was not looked for."""


def hours(rhythm: Rhythm, episodes: Episodes, definitions: Definitions, into_hour_s: float = 0.0) -> list[Hour]:
    """What every hour of the recording holds.

    Args:
        into_hour_s: seconds past the full hour at which the recording begins; the hours are then those of the clock,
            the first of them cut short.
    """
    rates = window_rates(rhythm, definitions, episodes.unlike)
    regular_beats = rhythm.judged_outside(episodes.irregular)
    duration = rhythm.length / rhythm.fs
    last = duration - 0.5 / rhythm.fs  # less than a sample before the end begins no hour, whatever the rounding
    edges = np.concatenate([[0.0], np.arange(HOUR - into_hour_s % HOUR, last, HOUR), [duration]])
    bounds = np.append(np.ceil(edges[:-1] * rhythm.fs - 1e-6).astype(np.int64), rhythm.length + 1)
    beats = [slice(*pair) for pair in itertools.pairwise(np.searchsorted(rhythm.samples, bounds).tolist())]
    windows = [slice(*pair) for pair in itertools.pairwise(np.searchsorted(rates.samples, bounds).tolist())]
    kinds: list[Counter[str]] = [Counter() for _ in beats]
    starts = [episode.start for episode in episodes.found]
    for episode, hour in zip(episodes.found, np.searchsorted(bounds, starts, side="right") - 1, strict=True):
        kinds[hour][episode.kind] += 1
    found = []
    for hour, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
        in_hour = beats[hour]
        classes, judged = rhythm.classes[in_hour], rhythm.judged[in_hour]
        regular = regular_beats[in_hour]
        readable_s = rhythm.readable_within(start, end)
        irregular_s = overlap(episodes.irregular_time, start * rhythm.fs, end * rhythm.fs) / rhythm.fs
        low, high = rates.extremes(rhythm.fs, windows[hour])
        found.append(
            Hour(
                start_s=start,
                end_s=end,
                readable_s=readable_s,
                irregular_s=irregular_s,
                beats=rhythm.counts(in_hour),
                v=Share(int((classes == "V").sum()), int(judged.sum()), readable_s / HOUR),
                s=Share(int((classes[regular] == "S").sum()), int(regular.sum()), (readable_s - irregular_s) / HOUR),
                min=low,
                mean=mean_rate(rhythm.rr[in_hour][rhythm.valid[in_hour]], rhythm.fs),
                max=high,
                episodes={kind: kinds[hour][kind] if kind in episodes.sought else None for kind in KINDS},
            )
        )
    return found


def hours_table(hours: Sequence[Hour]) -> pd.DataFrame:
    """A row an hour: its time, beats and burdens, heart rate, and how many episodes of each kind begin in it."""
    return pd.DataFrame(
        [
            {
                "start_s": hour.start_s,
                "end_s": hour.end_s,
                "readable_s": hour.readable_s,
                "irregular_s": None if hour.episodes["irregular_rhythm"] is None else hour.irregular_s,
                **{f"beats_{name}": count for name, count in hour.beats.items()},
                "v_percent": hour.v.percent,
                "v_per_hour": hour.v.per_hour,
                "s_percent": hour.s.percent,
                "s_per_hour": hour.s.per_hour,
                "rate_min_bpm": hour.min and hour.min.bpm,
                "rate_mean_bpm": hour.mean,
                "rate_max_bpm": hour.max and hour.max.bpm,
                **hour.episodes,
            }
            for hour in hours
        ]
    )
