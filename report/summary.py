"""What a report says in figures, as `summary.json` holds it, and in the few sentences that are read first."""

from __future__ import annotations

import itertools
import tomllib
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from preprocess.leads import is_lead
from report.analysis import Analysis
from report.burden import DAY, HOUR
from report.classify import called
from report.diary import Diary
from report.drawings import moment
from report.episodes import KINDS, Episode, Pause
from report.rates import Rate
from report.rhythm import UNCLASSIFIED
from report.rounding import elapsed

ROOT = Path(__file__).resolve().parents[1]
RATED = ("run_v", "nsvt", "vt_sustained", "idioventricular", "run_s", "svt", "couplet_v", "couplet_s", "tachycardia")
LASTING = tuple(kind for kind in KINDS if not kind.startswith("isolated"))  # an isolated beat has no length
USUAL_RATES = (40.0, 130.0)  # 1/min, the mean of a recording
MUCH_LOST = 10.0  # %, unreadable
SOME = 10  # S beats: of fewer one that the network invented may decide


def version() -> str:
    """Of this package."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def summary(analysis: Analysis) -> dict[str, Any]:
    """The content of `summary.json`, with all digits; a figure that there is too little for is null."""
    recording, rhythm, episodes = analysis.recording, analysis.rhythm, analysis.episodes
    start = recording.start
    return {
        "record": recording.name,
        "format": recording.format,
        "fs": recording.fs,
        "lead": recording.lead,
        "start": start and start.isoformat(),
        "synthetic": analysis.synthetic,
        "first_minute": analysis.first_minute,
        "duration_s": analysis.duration_s,
        "readable_s": rhythm.readable_s,
        "unreadable_s": unreadable_by_reason(analysis),
        "notes": [*recording.notes, *_other_lead(analysis)],
        "beats_from": beats_from(analysis),
        "grouping": None if analysis.diagnosis is not None else "de_chazal",
        "escape_beats": analysis.escape_beats,
        **(_by_diagnosis(analysis) if analysis.diagnosis is not None else _by_class(analysis)),
        "beats_left_out": analysis.left_out,
        "heart_rate": {
            "min": _rate(analysis.heart_rate.min),
            "mean": analysis.heart_rate.mean and {"bpm": analysis.heart_rate.mean, "time_s": None},
            "max": _rate(analysis.heart_rate.max),
        },
        "episodes": episodes.counts(),
        "doubtful_episodes": episodes.doubtful_counts(),
        "withheld_episodes": episodes.withheld if analysis.diagnosis is None else None,
        "withheld_beats": {"S": analysis.burden.s_withheld} if analysis.diagnosis is None else None,
        "irregular_percent": irregular_percent(analysis),
        "longest": {kind: _episode(analysis, episodes.longest(kind)) for kind in LASTING if episodes.of(kind)},
        "fastest": {kind: _episode(analysis, episodes.fastest(kind)) for kind in RATED if episodes.fastest(kind)},
        "pauses": _pause_counts(analysis) if analysis.diagnosis is None else None,
        "hrv": asdict(analysis.variability) if analysis.diagnosis is None else None,
        "diary": None if analysis.diary is None else _entries(analysis.diary),
        "model": _model(analysis),
        "definitions": {
            entry.name: entry.value for entry in (*analysis.definitions.listed(), *analysis.quality.listed())
        },
        "version": version(),
    }


def beats_from(analysis: Analysis) -> str:
    """Where the R-peaks and the classes come from."""
    if analysis.annotator is None:
        return "R-peaks detected, classes by the network"
    if analysis.classifier is None:
        return f"annotations {analysis.annotator}"
    return f"R-peaks of annotations {analysis.annotator}, classes by the network"


def excessive_by(analysis: Analysis) -> dict[str, str]:
    """What makes supraventricular ectopy excessive: each threshold that is reached, in short, and with its figure."""
    reached, words = analysis.burden.excessive_s or {}, {}
    if "sve_run" in reached:
        limit = analysis.definitions.sve_run
        words[f"run ≥ {limit}"] = f"a run of {reached['sve_run']} S, at or above {limit} beats"
    if "sve_per_day" in reached:
        limit = f"{analysis.definitions.sve_per_day:g}"
        words[f"≥ {limit} a day"] = f"{reached['sve_per_day']:,.0f} S in 24 h, at or above {limit}"
    return words


def unreadable_by_reason(analysis: Analysis) -> dict[str, float]:
    """Seconds of unreadable time by what makes it so."""
    seconds: Counter[str] = Counter()
    for part in analysis.unreadable:
        seconds[part.reason] += (part.end - part.start) / analysis.recording.fs
    return dict(seconds)


def reason_of(analysis: Analysis, episode: Episode) -> str:
    """Why the time of an episode of unreadable time cannot be read: its reasons in order; "" of another kind."""
    if episode.kind != "unreadable":
        return ""
    parts = analysis.unreadable
    first = bisect_left(parts, episode.start, key=lambda part: part.start)
    inside = itertools.takewhile(lambda part: part.start < episode.end, parts[first:])
    return ", ".join(dict.fromkeys(part.reason for part in inside))


def irregular_percent(analysis: Analysis) -> float | None:
    """Share of readable time in irregular rhythm; None without readable time, or where it was not looked for."""
    if "irregular_rhythm" not in analysis.episodes.sought:
        return None
    irregular = float(np.diff(analysis.episodes.irregular_time).sum())
    readable = analysis.rhythm.readable_s
    return 100 * irregular / analysis.rhythm.fs / readable if readable > 0 else None


def diagnosis_counts(analysis: Analysis) -> dict[str, int]:
    """Of a network that tells infarction from normal: the beats of each class, of those that could be classified."""
    assert analysis.diagnosis is not None
    assert analysis.classifier is not None
    classes = called(analysis.diagnosis, analysis.classifier.classes, UNCLASSIFIED)
    return {name: int((classes == name).sum()) for name in analysis.classifier.classes}


def _by_diagnosis(analysis: Analysis) -> dict[str, Any]:
    counts = diagnosis_counts(analysis)
    total = sum(counts.values())
    return {
        "beats": {**counts, UNCLASSIFIED: analysis.unclassified, "all": total + analysis.unclassified},
        "burden_percent": {name: 100 * count / total if total else None for name, count in counts.items()},
        "burden_per_hour": None,
        "burden_per_day": None,
        "burden_mark": None,
    }


def _entries(diary: Diary) -> list[dict[str, Any]]:
    return [{name: getattr(entry, name) for name in ("time_s", "end_s", "kind", "note")} for entry in diary.entries]


def _pause_counts(analysis: Analysis) -> dict[str, Any]:
    def counts(after_ectopic: bool) -> tuple[dict[str, int], dict[str, int]]:
        every, sure = (
            analysis.episodes.pause_counts(analysis.definitions, after_ectopic, doubtful) for doubtful in (True, False)
        )
        return every, {name: every[name] - sure[name] for name in every}

    every, doubtful = counts(after_ectopic=False)
    after, doubtful_after = counts(after_ectopic=True)
    return {
        **every,
        "after_ectopic": after,
        "doubtful": {**doubtful, "after_ectopic": doubtful_after},
        "beatless": len(analysis.episodes.beatless),
    }


def _by_class(analysis: Analysis) -> dict[str, Any]:
    burden = analysis.burden
    return {
        "beats": burden.beats,
        "burden_percent": {"abnormal": burden.abnormal_percent, "S": burden.s.percent, "V": burden.v.percent},
        "burden_per_hour": {"S": burden.s.per_hour, "V": burden.v.per_hour},
        "burden_per_day": burden.per_day,
        "burden_mark": {
            "S": None if burden.excessive_s is None else "excessive" if burden.excessive_s else "",
            "V": burden.v_mark,
        },
    }


def _rate(rate: Rate | None) -> dict[str, float] | None:
    return None if rate is None else {"bpm": rate.bpm, "time_s": rate.time_s}


def _episode(analysis: Analysis, episode: Episode | None) -> dict[str, Any] | None:
    if episode is None:
        return None
    fs = analysis.rhythm.fs
    return {
        "start_s": episode.start / fs,
        "duration_s": (episode.end - episode.start) / fs,
        "beats": episode.beats,
        "rate_bpm": episode.rate_bpm,
    }


def _model(analysis: Analysis) -> dict[str, Any] | None:
    classifier = analysis.classifier
    if classifier is None:
        return None
    return {
        "name": classifier.name,
        "dataset": classifier.dataset,
        "classes": list(classifier.classes),
        "trained_on": classifier.trained_on,
        "this_record_in_training": analysis.training_record,
        "tested_on": classifier.figures.tested_on,
        "new_patients": classifier.figures.new_patients,
        "per_class": {
            name: {key if key == "beats" else f"{key}_percent": figure for key, figure in figures.items()}
            for name, figures in classifier.figures.per_class.items()
        },
    }


# ------------------------------------------------------------------------------------------------------- in words


def findings(analysis: Analysis) -> list[str]:
    """What stands out, the gravest first; empty where nothing does."""
    found: list[str] = []
    episodes, burden, fs = analysis.episodes, analysis.burden, analysis.rhythm.fs

    def at(episode: Episode) -> str:
        return _at(analysis, episode.start / fs)

    flutter = episodes.of("ventricular_flutter")
    if flutter:
        total = sum(episode.end - episode.start for episode in flutter) / fs
        found.append(
            f"{count_of(len(flutter), analysis.names['ventricular_flutter'])}, {lasting(total)} in all, the first "
            f"{at(flutter[0])}; its beats are not counted"
        )
    for kind in ("vt_sustained", "nsvt"):
        runs = episodes.of(kind)
        if runs:
            long, fast = episodes.longest(kind), episodes.fastest(kind)
            text = f"{_counted(runs, analysis.names[kind])}: longest {long.beats} beats"
            text += f" ({(long.end - long.start) / fs:.1f} s) at {long.rate_bpm:.0f}/min, {at(long)}"
            if fast is not long:
                text += f"; fastest {fast.rate_bpm:.0f}/min ({fast.beats} beats), {at(fast)}"
            found.append(text)
    found += _pauses(analysis)
    if len(episodes.irregular):
        longest, share = episodes.longest("irregular_rhythm"), irregular_percent(analysis)
        which = "" if len(episodes.irregular) == 1 else "the longest "
        found.append(
            f"irregular rhythm, atrial fibrillation possible, in {share:.1f} % of readable time "
            f"({count_of(len(episodes.irregular), 'episode')}, {which}{at(longest)}); S burden, S episodes and "
            "heart rate variability are withheld there"
        )
    if burden.v_mark:
        level = analysis.definitions.burden_high if burden.v_mark == "high" else analysis.definitions.burden_marked
        short = "" if burden.is_day else f" (of {burden.v.of:,} beats in {lasting(analysis.rhythm.readable_s)})"
        found.append(f"V burden {burden.v.percent:.1f} % of beats, at or above {level:g} %{short}")
    if burden.excessive_s:
        found.append(f"excessive supraventricular ectopy: {' and '.join(excessive_by(analysis).values())}")
    found += _frequent_s(analysis)
    svt = episodes.of("svt")
    if svt:
        long = episodes.longest("svt")
        found.append(f"{_counted(svt, 'SVT')}: longest {long.beats} beats at {long.rate_bpm:.0f}/min, {at(long)}")
    for kind in (
        "idioventricular",
        "bigeminy_v",
        "trigeminy_v",
        "bigeminy_s",
        "trigeminy_s",
        "bradycardia",
        "tachycardia",
    ):
        some = episodes.of(kind)
        if some:
            total = sum(episode.end - episode.start for episode in some) / fs
            found.append(f"{count_of(len(some), analysis.names[kind])}, {lasting(total)} in all")
    return found


def _at(analysis: Analysis, seconds: float) -> str:
    """At a time of day; where that is not known, from so long after the start."""
    return f"{'at' if analysis.recording.start else 'from'} {moment(analysis, seconds)}"


def _frequent_s(analysis: Analysis) -> list[str]:
    """Of a recording with too few hours to count the S of a day: whether a day at their rate would have too many."""
    s, limit = analysis.burden.s, analysis.definitions.sve_per_day
    known = analysis.burden.excessive_s or "S" in (analysis.burden.per_day or {})
    if known or s.per_hour is None or s.beats < SOME or DAY * s.per_hour < limit:
        return []
    hours = lasting(s.hours * HOUR)
    return [
        f"S {s.percent:.1f} % of beats, {s.per_hour:,.0f} per hour, in {hours}; excessive is from {limit:g} in 24 h "
        "on, which these hours cannot show"
    ]


IN_DOUBT = "in which beats may have been missed or the lead was off"


def _pauses(analysis: Analysis) -> list[str]:
    """The pauses in a sentence, those of the longest threshold where there are some; none where there is no pause."""
    definitions, fs, pauses = analysis.definitions, analysis.rhythm.fs, analysis.episodes.pauses
    sure = [pause for pause in pauses if not pause.possible_missed_beat]
    if not sure:
        return [f"{count_of(len(pauses), 'doubtful pause')}, {IN_DOUBT}"] if pauses else []

    def very_long(among: Sequence[Pause]) -> list[Pause]:
        return [pause for pause in among if pause.end - pause.start >= definitions.pause_very_long * fs]

    long_ones = very_long(sure)
    chosen = long_ones or sure
    doubtful = len(very_long(pauses) if long_ones else pauses) - len(chosen)
    longest = max(chosen, key=lambda pause: pause.end - pause.start)
    limit = f"of {definitions.pause_very_long:g} s and more" if long_ones else f"longer than {definitions.pause:g} s"
    text = f"{count_of(len(chosen), 'pause')} {limit}: longest {(longest.end - longest.start) / fs:.2f} s, at "
    return [text + moment(analysis, longest.start / fs) + (f"; and {doubtful:,} doubtful" if doubtful else "")]


def warnings(analysis: Analysis) -> list[str]:
    """What limits every figure of the report."""
    found: list[str] = []
    rhythm, duration = analysis.rhythm, analysis.duration_s
    if analysis.synthetic:
        found.append("Synthetic data: a program made this recording. It says nothing about any person.")
    if analysis.training_record:
        found.append(
            f"By its first minute this is record {analysis.training_record}, which the network was trained on: its "
            "classes are likely to be better here than on a new patient, and say nothing about how well it does."
        )
    if not rhythm.samples.size:
        found.append("No beat was found that could be read; there is nothing to report on.")
    found += analysis.recording.notes
    if analysis.other_lead and analysis.classifier is not None:
        verb = "is" if is_lead(analysis.recording.lead) else "may be"
        found.append(
            f"Networks learn from lead II here (of svdb from ECG1), and this {verb} another lead: the shape of every "
            "beat differs there, and how far the classes can be trusted has not been measured."
        )
    lost = 100 * (1 - rhythm.readable_s / duration)
    if lost >= MUCH_LOST:
        reasons = ", ".join(f"{reason} {lasting(s)}" for reason, s in unreadable_by_reason(analysis).items())
        found.append(f"{lost:.0f} % of the recording cannot be read ({reasons}); every figure is of the rest.")
    if not analysis.burden.is_day:
        found.append(
            f"{lasting(rhythm.readable_s)} can be read, less than {analysis.definitions.day_readable:g} h: "
            "no figure stands for a day."
        )
    if analysis.diagnosis is not None:
        found.append(
            "This network tells infarction from normal, beat by beat. It names no ectopic beats, so there are no "
            "episodes but unreadable time and ventricular flutter, no ectopy burden and no heart rate variability."
        )
    mean = analysis.heart_rate.mean
    if analysis.fs_unconfirmed and mean is not None and not USUAL_RATES[0] <= mean <= USUAL_RATES[1]:
        found.append(
            f"The mean heart rate is {mean:.0f}/min, and every time rests on --fs {analysis.recording.fs:g}, which "
            "nothing in the file confirms."
        )
    offsets = [entry for entry in analysis.diary.entries if entry.is_offset] if analysis.diary else []
    if offsets and analysis.recording.start is not None:
        found.append(
            f"The times such as {elapsed(offsets[0].time_s)} in the diary count from the start: that one is "
            f"{moment(analysis, offsets[0].time_s)}. A time of day needs its date, as 2026-01-31 14:05."
        )
    found += _beatless(analysis)
    found += _cut_entries(analysis)
    if analysis.unclassified:
        found.append(
            f"{count_of(analysis.unclassified, 'beat')} at an end of the recording or beside a gap could not be "
            "classified; they are counted apart, as unclassified."
        )
    if analysis.left_out and analysis.annotator is not None:  # of detected peaks many are none, in noise
        one = analysis.left_out == 1
        found.append(
            f"{count_of(analysis.left_out, 'annotated beat')} in unreadable time or ventricular flutter "
            f"{'is' if one else 'are'} left out."
        )
    return found


def _other_lead(analysis: Analysis) -> list[str]:
    """That a lead was read which is known to be another than the networks learn from; none where it is not known."""
    if analysis.classifier is None or not analysis.other_lead or not is_lead(analysis.recording.lead):
        return []
    return [f"Lead {analysis.recording.lead} was read, and networks learn from lead II here (of svdb from ECG1)."]


def _beatless(analysis: Analysis) -> list[str]:
    """Where beats are absent, but no two of them enclose a pause."""
    found, fs = analysis.episodes.beatless, analysis.recording.fs
    if not len(found) or not analysis.rhythm.samples.size:
        return []
    start, end = max(found.tolist(), key=lambda span: span[1] - span[0])
    length = f"{(end - start) / fs:.1f} s {_at(analysis, start / fs)}"
    where = "without a beat beside lost time or an end of the recording"
    text = f"Readable time {where} is in {len(found):,} places, the longest {length}"
    if len(found) == 1:
        text = f"There are {length} {where}"
    return [f"{text}: a pause there is not counted, for it has no beat on one side."]


def _cut_entries(analysis: Analysis) -> list[str]:
    """Which entries of the diary begin before the recording or end after it."""
    cut = [entry for entry in analysis.diary.entries if entry.is_cut] if analysis.diary else []
    if not cut:
        return []
    many = f"{len(cut):,} entries of the diary begin before the recording or end after it, the first of them"
    one = "One entry of the diary begins before the recording or ends after it,"
    return [f"{one if len(cut) == 1 else many} {_at(analysis, cut[0].time_s)}; what is outside is cut off."]


COUNTABLE = ("pause", "doubtful pause", "beat", "annotated beat", "escape beat", "episode")


def count_of(number: int, name: str) -> str:
    """1 pause, 2 pauses; 3 episodes of what has no plural."""
    if name in COUNTABLE:
        return f"{number:,} {name}{'' if number == 1 else 's'}"
    return f"{number:,} episode{'' if number == 1 else 's'} of {name}"


def _counted(episodes: list[Episode], name: str) -> str:
    """3 episodes of SVT; 3 episodes of SVT, and 12 doubtful; 12 doubtful episodes of SVT."""
    doubtful = sum(bool(episode.doubtful) for episode in episodes)
    sure = len(episodes) - doubtful
    if not sure:
        return f"{doubtful:,} doubtful episode{'' if doubtful == 1 else 's'} of {name}"
    return count_of(sure, name) + (f", and {doubtful:,} doubtful" if doubtful else "")


def lasting(seconds: float) -> str:
    """A length of time in words: 12.3 s, 4 min 10 s, 23 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"
