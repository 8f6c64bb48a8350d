"""The folder of a report: tables, annotations and summary, written whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.analysis import Analysis
from report.burden import hours_table
from report.classify import called
from report.diary import Diary
from report.episodes import KINDS, RUNS
from report.quality import REASONS
from report.render import IndexRow
from report.rhythm import UNCLASSIFIED
from report.rounding import rounded, rounded_table
from report.summary import summary, why_unreadable
from support.files import write_table, write_text

MARKER = "summary.json"
"""Every report folder holds it, so a folder without it is not overwritten."""

FILES = frozenset({MARKER, "report.html", "report.pdf", "beats.csv", "episodes.csv", "hours.csv", "diary.csv"})
"""What a report folder may hold, beside the annotations (.ect): what `write_report` writes, and what --pdf adds."""

RHYTHMS = (
    ("irregular_rhythm", "(AFIB"),
    ("trigeminy_v", "(T"),
    ("bigeminy_v", "(B"),
    ("svt", "(SVTA"),
    ("idioventricular", "(IVR"),
    ("nsvt", "(VT"),
    ("vt_sustained", "(VT"),
)
"""Kinds that WFDB has a rhythm for; where they overlap the later one of the list is named."""

OF_CLASSES = re.compile(r"(^|_)(beats_[NSVFQ]|beats_unclassified|[vs]_(percent|per_hour|doubtful))$")
"""Columns that count beats by their class of EC57, or need it."""

NOT_IN_INDEX = frozenset({"record", "withheld_episodes", "longest", "fastest", "diary", "definitions"})
"""What the table of several reports leaves out of their summaries; programs take up to about a hundred columns well."""

DOUBTED = tuple(kind for kind in KINDS if kind in RUNS or kind == "pause")
"""Kinds of episodes that may be doubtful."""

INDEX_START = "record,error"
"""How the table of several reports begins."""

ROWS = 50_000
"""Rows of beats.csv, and annotations, that are made at once."""

END = bytes(2)
"""What ends a file of annotations."""

NOISY, CLEAN = 48, 0  # subtypes of ~: the first signal is unreadable (bits 4 and 5), is readable again


def write_report(folder: Path, analysis: Analysis, page: str) -> dict[str, Any]:
    """Write all files of a report into `folder`; return the summary, with all digits."""
    made = summary(analysis)
    definitions = {"definitions": made["definitions"]}  # as they were given
    write_text(folder / "report.html", page)
    write_text(folder / MARKER, json.dumps(rounded(made) | definitions, indent=2, allow_nan=False) + "\n")
    tables = {"episodes": episodes_table(analysis), "hours": _hours_table(analysis)}
    if analysis.diary is not None:
        tables["diary"] = _diary_table(analysis, analysis.diary)
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", rounded_table(table), index=False)
    write_table(folder / "beats.csv", map(rounded_table, beats_tables(analysis)), index=False)
    write_annotations(folder, analysis)
    return made


def index_table(rows: Sequence[IndexRow]) -> pd.DataFrame:
    """A row a recording: the figures of its summary as `pandas.json_normalize` names them, `heart_rate.mean.bpm`, or
    why it failed. What a summary names only where it occurs has a column in any case, so that studies have the same.
    """
    made = [{} if row.summary is None else _one_row(rounded(row.summary)) for row in rows]
    names = pd.DataFrame({"record": [row.record for row in rows], "error": [row.error for row in rows]})
    return pd.concat([names, pd.json_normalize(made)], axis=1).convert_dtypes()  # counts stay whole beside empty cells


def _one_row(summary: dict[str, Any]) -> dict[str, Any]:
    doubtful, unreadable, model = summary["doubtful_episodes"], summary["unreadable_s"], summary["model"]
    return {name: value for name, value in summary.items() if name not in NOT_IN_INDEX} | {
        "notes": " ".join(summary["notes"]),
        "unreadable_s": {reason: unreadable.get(reason, 0.0) for reason in REASONS},
        "burden_per_day": summary["burden_per_day"] or {"S": None, "V": None},
        "heart_rate": {name: {"bpm": rate and rate["bpm"]} for name, rate in summary["heart_rate"].items()},
        "doubtful_episodes": {
            kind: None if summary["episodes"][kind] is None else doubtful.get(kind, 0) for kind in DOUBTED
        },
        "model": {name: model and model[name] for name in ("name", "this_record_in_training")},
    }


def beats_tables(analysis: Analysis) -> Iterator[pd.DataFrame]:
    """A row a beat, with its time of day where that is known, in parts: days have hundreds of thousands of beats."""
    for first in range(0, max(1, analysis.rhythm.samples.size), ROWS):  # of no beats the names of the columns
        chosen = slice(first, first + ROWS)
        table = analysis.rhythm.table(chosen)
        if analysis.diagnosis is not None:
            diagnosis = analysis.diagnosis.iloc[chosen]
            table["class"] = called(diagnosis.to_numpy(), (*diagnosis,), UNCLASSIFIED)
            for at, name in enumerate(diagnosis):
                table.insert(3 + at, f"p_{name}", diagnosis[name].to_numpy())
        table.insert(2, "clock", _clocks(analysis, table["time_s"]))
        yield table


def episodes_table(analysis: Analysis) -> pd.DataFrame:
    """A row an episode."""
    table = analysis.episodes.table()
    table["reason"] = [why_unreadable(analysis, episode) for episode in analysis.episodes.found]
    table["clock"] = _clocks(analysis, table["start_s"])
    return table


def _hours_table(analysis: Analysis) -> pd.DataFrame:
    table = hours_table(analysis.hours)
    table.insert(2, "clock", _clocks(analysis, table["start_s"]))
    return _without_unknown(analysis, table)


def _diary_table(analysis: Analysis, diary: Diary) -> pd.DataFrame:
    table = diary.table()
    table.insert(2, "clock", _clocks(analysis, table["time_s"]))
    return _without_unknown(analysis, table)


def _without_unknown(analysis: Analysis, table: pd.DataFrame) -> pd.DataFrame:
    """`table` with empty cells for what needs classes of EC57, which not every network has."""
    if analysis.diagnosis is None:
        return table
    return table.assign(**{name: None for name in table if OF_CLASSES.search(name)})


def _clocks(analysis: Analysis, seconds: pd.Series) -> pd.Series:
    """Times of day to the millisecond; empty where the start is not known."""
    if analysis.recording.start is None:
        return pd.Series([""] * len(seconds), index=seconds.index, dtype=object)
    stamps = (pd.Timestamp(analysis.recording.start) + pd.to_timedelta(seconds, unit="s")).dt.round("ms")
    return stamps.dt.strftime("%Y-%m-%d %H:%M:%S.%f").str[:-3]


def annotations_of(analysis: Analysis) -> pd.DataFrame:
    """The annotations of a report: sample, symbol, subtype, note; beats, changes of rhythm, unreadable time."""
    rhythm = analysis.rhythm
    labels = np.full(rhythm.samples.size, "(N", dtype=object)
    for kind, note in RHYTHMS:
        for episode in analysis.episodes.of(kind):
            first, past = np.searchsorted(rhythm.samples, [episode.start, episode.end + 1])
            labels[first:past] = note
    first = np.append(0, np.flatnonzero(labels[1:] != labels[:-1]) + 1)[: labels.size]
    readable_again = rhythm.unreadable[:, 1]
    # At one sample a change of rhythm comes before the beat that it begins with, and what begins unreadable time comes
    # last: EC57 takes that time for shutdown only if the very next annotation ends it, and passes over it in flutter.
    parts = [
        (np.append(0, rhythm.samples[first[1:]]), 1, "+", 0, labels[first] if labels.size else "(N"),
        (rhythm.unreadable[:, 0], 4, "~", NOISY, ""),
        (readable_again[readable_again < rhythm.length], 0, "~", CLEAN, ""),
        (rhythm.flutter[:, 0], 2, "[", 0, ""),
        (rhythm.flutter[:, 1], 2, "]", 0, ""),
        (rhythm.samples, 3, rhythm.classes, 0, ""),
    ]
    names = ["sample", "order", "symbol", "subtype", "note"]
    table = pd.concat([pd.DataFrame(dict(zip(names, part, strict=True))) for part in parts], ignore_index=True)
    return table.sort_values(["sample", "order"], kind="stable", ignore_index=True).drop(columns="order")


def write_annotations(folder: Path, analysis: Analysis) -> None:
    """Write `<record>.ect`, the annotations with their time base.

    In parts, since wfdb takes a quarter of a kilobyte an annotation to write them. A file gives each as the samples
    since the one before it; it begins with the time base, and two zero bytes end it.
    """
    import wfdb

    table = annotations_of(analysis)
    part, before = folder / "record.part", 0  # wfdb writes none of a name with a dot
    with (folder / f"{analysis.recording.name}.ect").open("wb") as whole:
        for first in range(0, len(table), ROWS):
            rows = table.iloc[first : first + ROWS]
            samples = rows["sample"].to_numpy(np.int64)
            wfdb.wrann(
                part.stem,
                part.suffix[1:],
                samples - before,
                symbol=rows["symbol"].tolist(),
                subtype=rows["subtype"].to_numpy(np.int64),
                aux_note=rows["note"].tolist(),
                fs=analysis.recording.fs if first == 0 else None,
                write_dir=str(folder),
            )
            whole.write(part.read_bytes()[: -len(END)])
            part.unlink()
            before = samples[-1]
        whole.write(END)
