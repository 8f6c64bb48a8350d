"""The patient's diary, and what heart rate and ectopy were before, during and after its entries."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from preprocess.readers import clock_time
from report.episodes import Episodes
from report.rates import mean_rate
from report.rhythm import Rhythm, in_spans, without
from report.rounding import elapsed
from support.errors import InputError, unknown
from support.files import text_encoding

KINDS = ("activity", "medication", "symptom", "other")
AROUND = 3600.0  # s: the hour before and the hour after an entry
MINUTE = 60.0  # s: diaries are written to the minute, so a clock time may be that much before what it tells

_OFFSET = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")
_DECIMAL_COMMA = re.compile(r"(\d+:[0-5]\d:)?\d+,\d+")
_MINUTES = re.compile(r"\d{1,2}:\d\d")
_EITHER = "write a date and time such as 2026-01-31 14:05, an offset such as 07:15:00, or seconds"


@dataclass(frozen=True)
class Entry:
    """One entry of a diary, in seconds from the start of the recording."""

    time_s: float
    end_s: float | None
    kind: str
    note: str
    is_offset: bool = False
    """Its time was given as hours, minutes and seconds from the start, which looks like a clock time."""
    is_cut: bool = False
    """It began before the recording, by more than a diary's minute, or ended after it, and is cut to it."""


@dataclass(frozen=True)
class Period:
    """What the beats of a stretch of time say; figures without beats to rest on are None."""

    beats: int
    readable_s: float
    rate_bpm: float | None
    """60 / mean valid R-R interval."""
    v_percent: float | None
    """Of all beats that have a class (`Rhythm.judged`)."""
    s_percent: float | None
    """Of those outside irregular rhythm, in which every beat may come early."""
    v_doubtful: int
    """Beats of V in doubtful runs, which `v_percent` counts among the others."""
    s_doubtful: int


@dataclass(frozen=True)
class Around:
    """The hour before, the time itself where it has an end, and the hour after."""

    before: Period
    during: Period | None
    after: Period


@dataclass(frozen=True)
class Diary:
    """The entries in order of time with their figures, and the same of each kind, its entries taken together."""

    entries: tuple[Entry, ...]
    figures: tuple[Around, ...]
    by_kind: dict[str, Around]

    @property
    def has_doubtful(self) -> bool:
        """Whether doubtful runs have a part in a figure."""
        every = [*self.figures, *self.by_kind.values()]
        periods = [period for around in every for period in (around.before, around.during, around.after) if period]
        return any(period.v_doubtful or period.s_doubtful for period in periods)

    def table(self) -> pd.DataFrame:
        """One row per entry and one per kind: time, kind, note, and the figures of the three periods."""
        rows = [
            {"time_s": entry.time_s, "end_s": entry.end_s, "kind": entry.kind, "note": entry.note, **_columns(around)}
            for entry, around in zip(self.entries, self.figures, strict=True)
        ]
        rows += [
            {"time_s": None, "end_s": None, "kind": kind, "note": "all entries of this kind", **_columns(around)}
            for kind, around in self.by_kind.items()
        ]
        table = pd.DataFrame(rows)
        counts = [name for name in table if name.endswith(("_beats", "_doubtful"))]
        return table.astype(dict.fromkeys(counts, "Int64"))  # some may be missing


def _columns(around: Around) -> dict[str, float | None]:
    return {
        f"{name}_{figure.name}": None if period is None else getattr(period, figure.name)
        for name, period in vars(around).items()
        for figure in fields(Period)
    }


# ---------------------------------------------------------------------------------------------------- the file


def read_diary(path: Path, duration_s: float, start: datetime | None) -> list[Entry]:
    """Read a diary: CSV with the columns time, kind, and where there are some note and end, in any order.

    A time is a date and time (`2026-01-31 14:05`), an offset from the start (`07:15:00`), or seconds (`26100`). Where
    semicolons part the cells, a comma is the decimal one. What of an entry lies outside the recording is cut off.

    Args:
        start: of the recording; clock times need it.

    Returns:
        The entries in order of their time.

    Raises:
        InputError: the file is absent, or has no such columns or no entry, or a row has a time or kind that cannot be
            read, lies outside the recording as a whole, or has cells without a column; the message names the row by its
            line in the file.
    """
    columns, rows, delimiter = _read_rows(path)
    entries = []
    for number, row in rows:
        where = f"--diary {path}, row {number}"
        cells = _cells(columns, row, delimiter, where)
        if cells:
            entries.append(_entry(cells, where, duration_s, start))
    if not entries:
        raise InputError(f"--diary {path}: has no entry below its first line; write some, or leave --diary out")
    return sorted(entries, key=lambda entry: entry.time_s)


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """The names of the columns, the rows below them with their lines in the file, and what stands between two cells."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"--diary {path}: no such file") from error
    except OSError as error:
        raise InputError(f"--diary {path}: cannot be read ({error.strerror or error})") from error
    text = content.decode(text_encoding(content), errors="replace")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)  # spreadsheets of some countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            rows.append((reader.line_num, row))
    except csv.Error as error:
        number = rows[-1][0] + 1 if rows else 1
        raise InputError(f"--diary {path}, row {number}: its double quotes do not match ({error})") from error
    columns = [name.strip().lower() for name in rows[0][1]] if rows else []
    if not {"time", "kind"} <= {*columns}:
        raise InputError(
            f"--diary {path}: its first line must name the columns time and kind, and may name note and end; it is "
            f"{head.strip()!r}"
        )
    return columns, rows[1:], delimiter


def _cells(columns: Sequence[str], row: Sequence[str], delimiter: str, where: str) -> dict[str, str]:
    """The cells of a row by the names of their columns; none of a blank row."""
    if not any(cell.strip() for cell in row):
        return {}
    if any(cell.strip() for cell in row[len(columns) :]):
        raise InputError(
            f"{where}: it has {len(row)} cells and the first line names {len(columns)} columns; put a note that "
            f"holds {delimiter!r} between double quotes"
        )
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False)}  # the last may be left out
    for column in ("time", "end"):
        if delimiter == ";" and _DECIMAL_COMMA.fullmatch(cells.get(column, "")):
            cells[column] = cells[column].replace(",", ".")
    return cells


def _entry(cells: dict[str, str], where: str, duration_s: float, start: datetime | None) -> Entry:
    """An entry from its `cells`, cut to the recording, in which a part of it has to lie."""
    kind, text = cells.get("kind", "").lower(), cells.get("time", "")
    if kind not in KINDS:
        raise unknown(f"{where}: kind", repr(cells.get("kind", "")), KINDS)
    time_s = _seconds(text, "time", where, start)
    end_s = _seconds(cells["end"], "end", where, start) if cells.get("end") else None
    if end_s is not None and end_s < time_s:
        raise InputError(f"{where}: its end {cells['end']} is before its time {text}")
    is_offset = _OFFSET.fullmatch(text) is not None
    is_clock = not is_offset and _plain_seconds(text) is None
    early = is_clock and -MINUTE < time_s < 0
    if time_s > duration_s or (time_s < 0 and not early and (end_s is None or end_s <= 0)):
        said = ", counted from the start," if is_offset else ""
        raise InputError(
            f"{where}: the time {text!r}{said} is outside the recording, which lasts {elapsed(duration_s)}"
            + (f" from {start:%Y-%m-%d %H:%M:%S} on" if start else "")
            + "; correct it or leave the row out"
            + ("; a time of day needs its date, as 2026-01-31 14:05" if said else "")
            + ("; --start_time corrects a recorder whose clock was wrong" if start and not said else "")
        )
    cut_time = max(time_s, 0.0)
    cut_end = None if end_s is None else min(max(end_s, cut_time), duration_s)
    is_cut = (time_s < 0 and not early) or (end_s or 0.0) > duration_s
    return Entry(cut_time, cut_end, kind, cells.get("note", ""), is_offset, is_cut)


def _seconds(text: str, column: str, where: str, start: datetime | None) -> float:
    """A time in seconds from the start of the recording, which may be outside it."""
    if match := _OFFSET.fullmatch(text):
        hours, minutes, seconds = match.groups()
        return 3600.0 * int(hours) + 60 * int(minutes) + float(seconds)
    if _MINUTES.fullmatch(text):
        raise InputError(f"{where}: the {column} {text!r} may be a clock time or an offset; {_EITHER}")
    at = _plain_seconds(text)
    return _since(text, column, where, start) if at is None else at


def _plain_seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _since(text: str, column: str, where: str, start: datetime | None) -> float:
    try:
        clock = clock_time(text)
    except ValueError as error:
        raise InputError(f"{where}: the {column} {text!r} {error}; {_EITHER}") from None
    if clock.tzinfo is not None:
        raise InputError(
            f"{where}: the {column} {text!r} has a time zone; give the clock of the recording, without one"
        )
    if start is None:
        raise InputError(
            f"{where}: the {column} {text!r} is a clock time, and the recording does not say when it began; give "
            "--start_time, or write offsets such as 07:15:00"
        )
    return (clock - start).total_seconds()


# --------------------------------------------------------------------------------------------------- the figures


def diary_figures(entries: Sequence[Entry], rhythm: Rhythm, episodes: Episodes) -> Diary:
    """What heart rate and ectopy were in the hour before, during and in the hour after each entry.

    Of a kind the stretches of all its entries are taken together, each moment once, so entries in quick succession do
    not count a beat twice; and what is during one of them is neither before nor after another.
    """
    duration = rhythm.length / rhythm.fs

    def around(chosen: Iterable[Entry]) -> Around:
        chosen = list(chosen)
        before = [(max(entry.time_s - AROUND, 0.0), entry.time_s) for entry in chosen]
        during = [(entry.time_s, entry.end_s) for entry in chosen if entry.end_s is not None]
        ends = [entry.time_s if entry.end_s is None else entry.end_s for entry in chosen]
        after = [(end, min(end + AROUND, duration)) for end in ends]
        return Around(
            before=period(_merge(before, during)),
            during=period(_merge(during)) if during else None,
            after=period(_merge(after, during)),
        )

    period = _period_of(rhythm, episodes)
    return Diary(
        entries=tuple(entries),
        figures=tuple(around([entry]) for entry in entries),
        by_kind={
            kind: around(entry for entry in entries if entry.kind == kind)
            for kind in KINDS
            if any(entry.kind == kind for entry in entries)
        },
    )


def _period_of(rhythm: Rhythm, episodes: Episodes) -> Callable[[np.ndarray], Period]:
    """A function that gives the `Period` of the disjoint stretches [start, end) (k, 2), in seconds."""
    regular_beats = rhythm.judged_outside(episodes.irregular)
    doubtful = in_spans(rhythm.samples, episodes.doubtful_runs)

    def share(name: str, chosen: np.ndarray) -> float | None:
        return float(100 * np.mean(rhythm.classes[chosen] == name)) if chosen.any() else None

    def count(name: str, chosen: np.ndarray) -> int:
        return int((rhythm.classes[chosen] == name).sum())

    def period(stretches: np.ndarray) -> Period:
        inside = np.zeros(rhythm.samples.size, dtype=bool)
        readable = 0.0
        for start, end in stretches.tolist():
            inside |= (rhythm.samples >= start * rhythm.fs) & (rhythm.samples < end * rhythm.fs)
            readable += rhythm.readable_within(start, end)
        intervals = rhythm.rr[rhythm.valid & inside[:-1] & inside[1:]]
        return Period(
            beats=int(inside.sum()),
            readable_s=readable,
            rate_bpm=mean_rate(intervals, rhythm.fs),
            v_percent=share("V", inside & rhythm.judged),
            s_percent=share("S", inside & regular_beats),
            v_doubtful=count("V", inside & doubtful),
            s_doubtful=count("S", inside & doubtful & regular_beats),
        )

    return period


def _merge(stretches: Iterable[tuple[float, float]], others: Sequence[tuple[float, float]] = ()) -> np.ndarray:
    """Stretches of time in order, (k, 2), those that overlap made one, less the `others`."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    whole = np.array(merged, dtype=np.float64).reshape(-1, 2)
    return without(whole, _merge(others)) if others else whole
