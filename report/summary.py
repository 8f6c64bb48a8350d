"""What a report says in figures, as `summary.json` holds it."""

from __future__ import annotations

import itertools
import tomllib
from bisect import bisect_left
from collections import defaultdict
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from preprocess.leads import is_lead
from report.analysis import Analysis
from report.classify import called
from report.definitions import Definitions, Quality
from report.diary import Diary
from report.episodes import KINDS, Episode
from report.rhythm import UNCLASSIFIED

ROOT = Path(__file__).resolve().parents[1]
LASTING = tuple(kind for kind in KINDS if not kind.startswith("isolated"))  # an isolated beat has no length
RATED = tuple(kind for kind in LASTING if kind != "bradycardia")  # its fastest says nothing

NEED_CLASSES = (
    *("grouping", "burden_per_hour", "burden_per_day", "burden_mark", "doubtful_beats", "unsure_beats"),
    *("withheld_episodes", "withheld_beats", "pauses", "hrv"),
)
"""Figures that are null where no beat has a class of EC57 (`Analysis.diagnosis`)."""


def version() -> str:
    """Of this package."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def summary(analysis: Analysis) -> dict[str, Any]:
    """The content of `summary.json`, with all digits; a figure that there is too little for is null."""
    recording, rhythm, episodes, burden = analysis.recording, analysis.rhythm, analysis.episodes, analysis.burden
    start = recording.start
    made = {
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
        "beats_from": beats_from(analysis.annotator, analysis.classifier is not None),
        "grouping": "de_chazal",
        "escape_beats": analysis.escape_beats,
        "beats": burden.beats,
        "burden_percent": {"abnormal": burden.abnormal_percent, "S": burden.s.percent, "V": burden.v.percent},
        "burden_per_hour": {"S": burden.s.per_hour, "V": burden.v.per_hour},
        "burden_per_day": burden.per_day,
        "burden_mark": {
            "S": None if burden.excessive_s is None else "excessive" if burden.excessive_s else "",
            "V": burden.v_mark,
        },
        "beats_left_out": analysis.left_out,
        "heart_rate": {
            "min": analysis.heart_rate.min and asdict(analysis.heart_rate.min),
            "mean": analysis.heart_rate.mean and {"bpm": analysis.heart_rate.mean, "time_s": None},
            "max": analysis.heart_rate.max and asdict(analysis.heart_rate.max),
        },
        "episodes": episodes.counts(),
        "doubtful_episodes": episodes.doubtful_counts(),
        "doubtful_beats": episodes.doubtful_beats(),
        "unsure_beats": unsure_beats(analysis),
        "withheld_episodes": episodes.withheld,
        "withheld_beats": {"S": burden.s_withheld},
        "irregular_percent": irregular_percent(analysis),
        "longest": {kind: _episode(analysis, found) for kind in LASTING if (found := episodes.longest(kind))},
        "fastest": {kind: _episode(analysis, found) for kind in RATED if (found := episodes.fastest(kind))},
        "pauses": _pause_counts(analysis),
        "hrv": asdict(analysis.variability),
        "diary": None if analysis.diary is None else _entries(analysis.diary),
        "model": _model(analysis),
        "definitions": thresholds(analysis.definitions, analysis.quality),
        "version": version(),
    }
    return made if analysis.diagnosis is None else made | dict.fromkeys(NEED_CLASSES) | _of_diagnosis(analysis)


def beats_from(annotator: str | None, classified: bool) -> str:
    """Where the R-peaks and the classes come from."""
    if annotator is None:
        return "R-peaks detected, classes by the network"
    return f"R-peaks of annotations {annotator}, classes by the network" if classified else f"annotations {annotator}"


def thresholds(definitions: Definitions, quality: Quality) -> dict[str, Any]:
    """Every threshold by the name of its option, exactly as given."""
    return {entry.name: entry.value for entry in (*definitions.listed(), *quality.listed())}


def excessive_by(analysis: Analysis) -> dict[str, str]:
    """Why supraventricular ectopy is excessive: each threshold that is reached, in brief -> in words."""
    reached, words = analysis.burden.excessive_s or {}, {}
    if "sve_run" in reached:
        limit = analysis.definitions.sve_run
        words[f"run ≥ {limit}"] = f"a run of {reached['sve_run']} S, at or above {limit} beats"
    if "sve_per_day" in reached:
        per_day = f"{analysis.definitions.sve_per_day:g}"
        time = "24 h" if "S" in (analysis.burden.per_day or {}) else "less than a day"
        words[f"≥ {per_day} a day"] = f"{reached['sve_per_day']:,.0f} S in {time}, at or above {per_day}"
    return words


def unsure_beats(analysis: Analysis) -> dict[str, int]:
    """How many of the beats of V and of S that the burdens count have a doubtful class."""
    rhythm = analysis.rhythm
    unsure = rhythm.unsure(analysis.definitions.doubtful_probability)
    counted = rhythm.judged_outside(analysis.episodes.irregular)
    return {
        "V": int((unsure & (rhythm.classes == "V")).sum()),
        "S": int((unsure & counted & (rhythm.classes == "S")).sum()),
    }


def unreadable_by_reason(analysis: Analysis) -> dict[str, float]:
    """Seconds of unreadable time by what makes it so."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in analysis.unreadable:
        seconds[part.reason] += (part.end - part.start) / analysis.recording.fs
    return dict(seconds)


def why_unreadable(analysis: Analysis, episode: Episode) -> str:
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
    """Of a network of other classes than EC57's: the beats of each, of those that could be classified."""
    assert analysis.diagnosis is not None
    names = (*analysis.diagnosis,)
    classes = called(analysis.diagnosis.to_numpy(), names, UNCLASSIFIED)
    return {name: int((classes == name).sum()) for name in names}


def _other_lead(analysis: Analysis) -> list[str]:
    """A note, if the lead is known to be another than the one that the networks are trained on."""
    if analysis.classifier is None or not analysis.other_lead or not is_lead(analysis.recording.lead):
        return []
    return [f"Lead {analysis.recording.lead} was read; the networks here are trained on lead II (in svdb, ECG1)."]


def _of_diagnosis(analysis: Analysis) -> dict[str, Any]:
    counts = diagnosis_counts(analysis)
    total = sum(counts.values())
    return {
        "beats": {**counts, UNCLASSIFIED: analysis.unclassified, "all": total + analysis.unclassified},
        "burden_percent": {name: 100 * count / total if total else None for name, count in counts.items()},
    }


def _entries(diary: Diary) -> list[dict[str, Any]]:
    return [{name: getattr(entry, name) for name in ("time_s", "end_s", "kind", "note")} for entry in diary.entries]


def _pause_counts(analysis: Analysis) -> dict[str, Any]:
    counts = partial(analysis.episodes.pause_counts, analysis.definitions)
    return {
        **counts(),
        "after_ectopic": counts(after_ectopic=True),
        "doubtful": {**counts(doubtful=True), "after_ectopic": counts(after_ectopic=True, doubtful=True)},
        "beatless": len(analysis.episodes.beatless),
    }


def _episode(analysis: Analysis, episode: Episode) -> dict[str, Any]:
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
