"""The figures at the head of a report, one a tile: what is read first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from report.analysis import Analysis
from report.burden import Share
from report.drawings import moment
from report.summary import diagnosis_counts, excessive_by, unsure_beats
from report.wording import lasting, lost_time, number, percent
from support.errors import count_of

DASH = "\u2013"
SPACE = "\u00a0"
"""Between a class and its number: they stay on one line, as a number and its unit do (`report.render.unbroken`)."""


class Tile(NamedTuple):
    """A figure with its name."""

    name: str
    value: str
    unit: str = ""
    detail: str = ""
    """What the figure rests on, in a line or two."""
    mark: str = ""
    """What is to be noticed of it, such as a threshold that it reaches."""


def tiles(analysis: Analysis) -> Iterator[Tile]:
    """The tiles of a report, in their order."""
    yield _readable(analysis)
    if analysis.diagnosis is None:
        yield _beats(analysis)
        yield from _burdens(analysis)
    else:
        yield from _diagnosed(analysis)
    yield from _heart_rates(analysis)
    if analysis.diagnosis is None and analysis.rhythm.samples.size:
        yield _longest_run(analysis)
        yield _pauses(analysis)


def _readable(analysis: Analysis) -> Tile:
    seconds = analysis.rhythm.readable_s
    share = f"{percent(100 * seconds / analysis.duration_s)} of the recording"
    return Tile("Readable time", lasting(seconds), detail="; ".join(filter(None, (share, lost_time(analysis)))))


def _beats(analysis: Analysis) -> Tile:
    counts = analysis.burden.beats
    of_class = ", ".join(f"{name}{SPACE}{number(counts[name])}" for name in "NSVFQ")
    apart = f", unclassified {number(analysis.unclassified)}" if analysis.unclassified else ""
    too = ", S in irregular rhythm too" if analysis.burden.s_withheld else ""
    share = percent(analysis.burden.abnormal_percent)
    return Tile("Beats", number(counts["all"]), detail=f"{of_class}{apart}; abnormal (S, V, F{too}) {share}")


def _burdens(analysis: Analysis) -> Iterator[Tile]:
    burden, definitions = analysis.burden, analysis.definitions
    reached = {"marked": definitions.burden_marked, "high": definitions.burden_high}.get(burden.v_mark)
    mark = "" if reached is None else f"≥ {reached:g} %"
    in_runs, unsure = analysis.episodes.doubtful_beats(), unsure_beats(analysis)

    def doubtful(name: str) -> str:
        runs = f"; {number(in_runs[name])} of them in doubtful runs" if in_runs[name] else ""
        limit = f"{definitions.doubtful_probability:g} %"
        return runs + (f"; {number(unsure[name])} of them with a probability below {limit}" if unsure[name] else "")

    yield Tile(
        "V burden", percent(burden.v.percent, definitions.burdens), detail=_share(burden.v) + doubtful("V"), mark=mark
    )
    where = ", outside irregular rhythm" if len(analysis.episodes.irregular) else ""
    marks = ", ".join(excessive_by(analysis))
    yield Tile("S burden", percent(burden.s.percent), detail=_share(burden.s) + where + doubtful("S"), mark=marks)


def _share(share: Share) -> str:
    """What a burden is of, and how many beats an hour it makes, where that is known."""
    per_hour = "" if share.per_hour is None else f", {number(share.per_hour, 1)} per readable hour"
    return f"{number(share.beats)} of {count_of(share.of, 'classified beat')}{per_hour}"


def _diagnosed(analysis: Analysis) -> Iterator[Tile]:
    counts = diagnosis_counts(analysis)
    total = sum(counts.values())
    yield Tile("Beats", number(total), detail="classified")
    for name, count in counts.items():
        share = 100 * count / total if total else None
        yield Tile(f"Beats called {name}", percent(share), detail=count_of(count, "beat"))


def _heart_rates(analysis: Analysis) -> Iterator[Tile]:
    low, mean, high = analysis.heart_rate.min, analysis.heart_rate.mean, analysis.heart_rate.max
    yield Tile("Heart rate, mean", number(mean), "/min", "60 / mean of the valid R-R intervals, pauses too")
    name = f"Heart rate, lowest {DASH} highest"
    if low is None or high is None or mean is None:
        yield Tile(name, "-")
        return
    times = dict.fromkeys(moment(analysis, rate.time_s) for rate in (low, high))
    where = "below the lowest" if round(mean) < round(low.bpm) else ""
    where = "above the highest" if round(mean) > round(high.bpm) else where
    outside = f"; the mean, of all intervals, is {where}" if where else ""
    words = " and ".join(word for word, rate in (("lowest", low), ("highest", high)) if rate.doubtful)
    doubtful = f"; {words} doubtful: some of these may not be beats" if words else ""
    size = analysis.definitions.heart_rate_intervals
    yield Tile(
        name,
        f"{low.bpm:.0f} {DASH} {high.bpm:.0f}",
        "/min",
        f"at {' and '.join(times)}{doubtful}; each from {size} R-R intervals, as the median of the means of two "
        f"successive ones: a single pause does not count{outside}",
    )


def _longest_run(analysis: Analysis) -> Tile:
    name, fs = "Longest V run", analysis.rhythm.fs
    long, fast = analysis.episodes.longest("run_v"), analysis.episodes.fastest("run_v")
    if long is None:
        fusion = "" if analysis.definitions.fusion_in_runs else "; F are not counted"
        return Tile(name, "none", detail=f"no three V in a row{fusion}")
    seconds = number((long.end - long.start) / fs, 1, analysis.definitions.lengths)
    rate, fastest = (number(run.rate_bpm, 0, analysis.definitions.rates) for run in (long, fast or long))
    detail = f"{seconds} s at {rate}/min; fastest {fastest}/min"
    return Tile(name, number(long.beats), "beats", detail, "doubtful" if long.doubtful else "")


def _pauses(analysis: Analysis) -> Tile:
    episodes, definitions = analysis.episodes, analysis.definitions
    some, more, most = episodes.pause_counts(definitions, doubtful=False).values()
    after, *_ = episodes.pause_counts(definitions, after_ectopic=True, doubtful=False).values()
    doubtful = episodes.doubtful_counts().get("pause", 0)
    detail = f"> {definitions.pause_long:g} s: {more}, ≥ {definitions.pause_very_long:g} s: {most}"
    detail += f"; {after} after an ectopic beat" if after else ""
    detail += f"; and {doubtful} doubtful" if doubtful else ""
    return Tile(f"Pauses > {definitions.pause:g} s", number(some), detail=detail)
