"""Which stretches of the signal are shown: the longest, fastest and first of each kind, and each diary entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from report.definitions import Definitions
from report.diary import Entry
from report.episodes import Episode, Episodes, fastest_of, longest_of
from report.rates import HeartRate
from report.rhythm import Rhythm
from report.rounding import on_its_side
from support.errors import enumerated

SECONDS = 7.0  # of a row: 175 mm at 25 mm/s, the width of an A4 page between its margins
LEAD_IN, LEAD_OUT = 1.4, 0.6  # s of signal at least before and after an episode
BEFORE_BEAT = 0.4  # s of signal before the first beat of the usual rhythm: its P wave is seen
MOST = 48  # strips
MOST_ROWS = 2  # of one strip
USUAL = 0.2  # of the median R-R interval: what is further off is not the usual rhythm

NAMES = {
    "isolated_v": "isolated V",
    "couplet_v": "V couplet",
    "run_v": "V run",
    "nsvt": "non-sustained VT",
    "vt_sustained": "sustained VT",
    "idioventricular": "slow V run (idioventricular or AIVR)",
    "bigeminy_v": "ventricular bigeminy",
    "trigeminy_v": "ventricular trigeminy",
    "isolated_s": "isolated S",
    "couplet_s": "S couplet",
    "run_s": "S run",
    "svt": "SVT",
    "bigeminy_s": "supraventricular bigeminy",
    "trigeminy_s": "supraventricular trigeminy",
    "pause": "pause",
    "bradycardia": "bradycardia",
    "tachycardia": "tachycardia",
    "irregular_rhythm": "irregular rhythm (AF possible)",
    "ventricular_flutter": "possible ventricular flutter or fibrillation",
    "unreadable": "unreadable time",
}
"""Every kind of episode in words."""

ANNOTATED_FLUTTER = NAMES | {"ventricular_flutter": "annotated ventricular flutter or fibrillation"}
"""The same where annotations mark the flutter, which is then more than possible."""


def kind_names(flutter_is_annotated: bool) -> dict[str, str]:
    """Every kind of episode in words."""
    return ANNOTATED_FLUTTER if flutter_is_annotated else NAMES


BY_WEIGHT = (
    "ventricular_flutter",
    *("vt_sustained", "nsvt", "pause", "irregular_rhythm", "svt", "idioventricular", "run_v", "run_s"),
    *("couplet_v", "bigeminy_v", "trigeminy_v", "couplet_s", "bigeminy_s", "trigeminy_s"),
    *("bradycardia", "tachycardia", "isolated_v", "isolated_s"),
)
"""The kinds that get strips, the gravest first."""


@dataclass(frozen=True)
class Strip:
    """A stretch of signal to show."""

    start_s: float
    rows: int
    """Of `SECONDS` each."""
    titles: tuple[str, ...]
    """What it shows; several where one stretch is the longest and the fastest."""
    marked: tuple[float, float] | None = None
    """The episode in it, in seconds; it may go on beyond the strip."""


@dataclass(frozen=True)
class Chosen:
    """The strips of a report."""

    strips: tuple[Strip, ...]
    left_out: int
    """How many more there would be."""


def choose_strips(
    rhythm: Rhythm,
    episodes: Episodes,
    heart_rate: HeartRate,
    entries: Sequence[Entry],
    definitions: Definitions,
    names: Mapping[str, str] = NAMES,
) -> Chosen:
    """Choose the strips of a report: a usual stretch, what matters most, symptoms, the rest as far as there is room.

    One stretch is shown once, under all its titles.

    Args:
        names: of the kinds of episodes, in words.
    """
    duration = rhythm.length / rhythm.fs
    wanted: dict[object, Strip] = {}  # by what they show: the episode that is marked, or else the stretch itself
    for strip in _candidates(rhythm, episodes, heart_rate, entries, definitions, names):
        start = float(np.clip(strip.start_s, 0, max(duration - strip.rows * SECONDS, 0)))
        key = (strip.marked, None if strip.marked else (start, strip.rows))
        other = wanted.get(key, replace(strip, start_s=start))
        wanted[key] = replace(other, titles=tuple(dict.fromkeys(other.titles + strip.titles)))
    shown = tuple(replace(strip, titles=_together(strip.titles)) for strip in [*wanted.values()][:MOST])
    return Chosen(shown, max(len(wanted) - MOST, 0))


def _together(titles: Sequence[str]) -> tuple[str, ...]:
    """Titles that differ in their first word alone as one: longest and fastest V run, 5 beats."""
    words: dict[str, list[str]] = {}
    for title in titles:
        word, _, rest = title.partition(" ")
        words.setdefault(rest, []).append(word)
    return tuple(f"{enumerated(of)} {rest}" for rest, of in words.items())


def _candidates(
    rhythm: Rhythm,
    episodes: Episodes,
    heart_rate: HeartRate,
    entries: Sequence[Entry],
    definitions: Definitions,
    names: Mapping[str, str],
) -> Iterator[Strip]:
    yield from _usual(rhythm, definitions.doubtful_probability)
    fs, once = episodes.fs, episodes.named_once()
    chosen = {kind: [episode for episode in once if episode.kind == kind] for kind in BY_WEIGHT}
    for kind in BY_WEIGHT:
        for title, episode in _extremes(kind, chosen[kind], names[kind]):
            yield _around(episode, title, fs, definitions)
    for entry in entries:
        if entry.kind == "symptom":
            yield _of_entry(entry)
    low, high = heart_rate.min, heart_rate.max
    if low is not None and high is not None and round(low.bpm) != round(high.bpm):
        for title, rate in (("lowest heart rate", low), ("highest heart rate", high)):
            doubtful = ", doubtful" if rate.doubtful else ""
            yield Strip(rate.time_s - SECONDS / 2, 1, (f"{title}, {rate.bpm:.0f}/min{doubtful}",))
    for kind in BY_WEIGHT:
        if len(chosen[kind]) > 1:
            yield _around(chosen[kind][0], f"first {names[kind]}", fs, definitions)
    for entry in entries:
        if entry.kind != "symptom":
            yield _of_entry(entry)


def _extremes(kind: str, found: list[Episode], name: str) -> Iterator[tuple[str, Episode]]:
    """The longest of a kind, and the fastest (the slowest bradycardia); the only one, and beats, by themselves."""
    if not found:
        return
    if len(found) == 1 or kind.startswith("isolated"):
        yield (f"the only {name}" if len(found) == 1 else f"first {name}"), found[0]
        return
    if not kind.startswith("couplet"):
        yield f"longest {name}", longest_of(found)
    fastest = fastest_of(found)
    if fastest and kind == "bradycardia":
        rated = [episode for episode in found if episode.rate_bpm is not None]
        yield f"slowest {name}", min(rated, key=lambda episode: episode.rate_bpm or 0.0)
    elif fastest and not kind.startswith(("bigeminy", "trigeminy", "irregular")):
        yield f"fastest {name}", fastest


def _around(episode: Episode, title: str, fs: float, definitions: Definitions) -> Strip:
    start, end, seconds = episode.start / fs, episode.end / fs, (episode.end - episode.start) / fs
    rate = "" if episode.rate_bpm is None else f", {on_its_side(episode.rate_bpm, 0, definitions.rates)}/min"
    beats = f", {episode.beats} beats" if episode.beats > 2 else ""
    decimals = 2 if episode.kind == "pause" else 1
    length = f", {on_its_side(seconds, decimals, definitions.lengths)} s" if seconds else ""
    rows = min(MOST_ROWS, int(np.ceil((seconds + LEAD_IN + LEAD_OUT) / SECONDS)))
    spare = max(rows * SECONDS - seconds, 2 * LEAD_IN)
    doubtful = ", doubtful" if episode.doubtful else ""
    return Strip(start - spare / 2, rows, (f"{title}{beats}{length}{rate}{doubtful}",), (start, end))


def _of_entry(entry: Entry) -> Strip:
    note = f": {entry.note}" if entry.note else ""
    return Strip(entry.time_s - SECONDS / 2, 1, (f"diary, {entry.kind}{note}",))


def _usual(rhythm: Rhythm, doubtful: float) -> Iterator[Strip]:
    """`SECONDS` of N beats whose rate is nearest the recording's median, without doubtful classes where there are such.

    Of beats of any class where most are not N. None where no rate is near the median.

    Args:
        doubtful: percent; a class with a lower probability is doubtful.
    """
    normal = rhythm.classes == "N"
    title = "usual rhythm"
    if normal.sum() < rhythm.judged.sum() / 2:
        normal, title = np.ones_like(normal), "predominant rhythm"
    ends = np.searchsorted(rhythm.samples, rhythm.samples + SECONDS * rhythm.fs, side="right") - 1
    bad, unsure, broken = (
        np.append(0, np.cumsum(beats)) for beats in (~normal, rhythm.unsure(doubtful), ~rhythm.valid)
    )
    starts = np.arange(rhythm.samples.size)
    whole = (ends > starts + 2) & (bad[ends + 1] == bad[starts]) & (broken[ends] == broken[starts])
    whole &= rhythm.samples + SECONDS * rhythm.fs <= rhythm.length
    if not whole.any():
        return
    lasting = (rhythm.samples[ends] - rhythm.samples) / np.maximum(ends - starts, 1)  # samples, the mean R-R
    median = np.median(rhythm.rr[rhythm.valid])
    off = np.abs(lasting - median)
    usual = whole & (off <= USUAL * median)
    sure = usual & (unsure[ends + 1] == unsure[starts])
    chosen = np.flatnonzero(sure if sure.any() else usual)
    if chosen.size:
        yield Strip(float(rhythm.samples[chosen[off[chosen].argmin()]] / rhythm.fs - BEFORE_BEAT), 1, (title,))
