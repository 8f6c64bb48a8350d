"""Tables of text: CSV and its relatives, and the exports of an Apple Watch. Read by pandas, in parts.

A table has no place from which sample n could be read, so it is converted once, when a column is opened, to a temporary
file of float64, which has no name and goes with its last reader.

What a table says of itself is taken from the lines above its data: a head of `key,value` lines (`heads`), then names of
columns, then units. What it does not say, the user has to: nothing is guessed.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from ec57.headers import millivolts_of
from preprocess.readers.columns import CLOCK, MISSING, SECONDS, Column, column_of
from preprocess.readers.heads import NUMBER, Head, Line, is_key_value, is_utc, stamp_of
from preprocess.readers.recording import (
    ADU,
    HIGHEST_RATE,
    Channel,
    Options,
    Runs,
    Source,
    Trace,
    iso_date,
    missing_values,
    same_rate,
)
from support.errors import InputError, unknown
from support.files import text_encoding

HEAD = 2**16  # bytes that are looked at to see how a table is made
ALIKE = 20  # lines of data that must be made alike
ROWS = 200_000  # rows read at once
RATES = (20.0, HIGHEST_RATE)  # Hz, between which a time column that gives no unit can only mean one

DELIMITERS = ("\t", ";", "|", ",", " ")
"""What may stand between two cells, by precedence: a comma may belong to a number where another one is there."""

NOWHERE = "\x1f"
"""A delimiter that no table has: there is one column, and a comma in it is a decimal one."""

ELAPSED = re.compile(r"elapsed|relative", re.IGNORECASE)
EPOCHS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
"""Numbers from here on count from 1970 -> s in one of them."""

IRREGULAR = 0.01  # share of intervals of a time column that may be longer than a sample, or shorter
BLOCK = 101  # rows: stamps that are late for fewer make no gap; prime, for they may be late in a rhythm
DAY = 86_400.0  # s
LONGEST_GAP = 30.0  # days


@dataclass(frozen=True)
class Layout:
    """How a table is made, and what its head says."""

    skip: int  # lines before the data
    delimiter: str
    decimal: str
    quoted: bool
    is_spaced: bool  # every second line is blank: those are no rows
    columns: tuple[Column, ...]
    first: tuple[str, ...]  # row
    head: Head

    @property
    def time(self) -> int | None:
        """The column that says when each sample is; None: there is none."""
        return self._first("time")

    @property
    def date(self) -> int | None:
        """The column of the dates of the clock times in column `time`; None: there is none, or those are no such."""
        is_clock = self.time is not None and CLOCK.fullmatch(self.first[self.time].strip("[]"))
        return self._first("date") if is_clock and not ELAPSED.search(self.columns[self.time].title) else None

    @property
    def is_dated(self) -> bool:
        """Whether dates and clock times of two columns make stamps that can be read."""
        return self.date is not None and stamp_of(self._stamps(pd.DataFrame([self.first])).iloc[0]) is not None

    @property
    def first_time(self) -> str:
        """That of the first row, with its date where that has a column of its own; "": there is none."""
        return "" if self.time is None else str(self.times(pd.DataFrame([self.first])).iloc[0])

    def times(self, rows: pd.DataFrame) -> pd.Series:
        """The cells of column `time`, with their dates where those have a column of their own."""
        return self._stamps(rows) if self.is_dated else rows[self.time]

    def _stamps(self, rows: pd.DataFrame) -> pd.Series:
        days, clocks = (rows[column].astype("string").str.strip(" '\"[]") for column in (self.date, self.time))
        days = days.str.replace(r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", regex=True)
        return days + " " + clocks.str.replace(r"^(\d:)", r"0\1", regex=True)

    @property
    def undated(self) -> str:
        """Why the dates beside clock times are not read; "": they are, or there are none."""
        if self.date is None or self.is_dated:
            return ""
        title, cell = self.columns[self.date].title or f"{self.date + 1}", self.first[self.date][:40]
        return f"the dates in column {title}, such as {cell!r}, are not understood, 2026-01-31 would be"

    @property
    def strange(self) -> int | None:
        """The column of times in a form that is not read; None: there is none, or another that is read."""
        if self.time is not None:
            return None
        return self._first("date") if (number := self._first("strange")) is None else number

    @property
    def unread(self) -> str | None:
        """Which column has times that are not read, and why; None: there is none, or another that is read."""
        number = self._first("unclear") if self.strange is None else self.strange
        if self.time is not None or number is None:
            return None
        title, cell = self.columns[number].title or f"{number + 1}", self.first[number][:40]
        if number == self.strange:
            return (
                f"the times in column {title}, such as {cell!r}, are not understood, 2026-01-31 14:05:07.004 would be"
            )
        return f"column {title} is called times, but in no unit that is known: name it such as time_ms"

    def _first(self, role: str) -> int | None:
        return next((number for number, column in enumerate(self.columns) if column.role == role), None)


class TableSource(Source):
    """A table with a row for each sample."""

    takes_unit = True

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self._options, self.name = path, options, path.stem
        self._encoding, lines = _first_lines(path)
        layout = _layout(lines)
        if layout is None:
            written = [line.strip() for line in lines if line.strip()]
            if len(written) == 1:
                raise InputError(
                    f"{path} has no rows, only the line {written[0][:60]!r}; below it a row for each sample is wanted"
                )
            raise InputError(
                f"{path} holds no samples that can be read: it is no table of numbers, and not in the formats WFDB, "
                "EDF, BDF, ISHNE or Kardia"
            )
        if options.unit == ADU and options.gain is None:
            raise InputError("--unit adu needs --gain, the ADC units per mV, such as --gain 200")
        self._layout = layout
        self.format = "Apple Watch" if layout.head.is_watch else "CSV"
        self.start, self.undated = self._begin()
        self.in_utc = layout.head.in_utc if self.start == layout.head.start else is_utc(layout.first_time)
        signals, empty = (
            [n for n, column in enumerate(layout.columns) if column.role == r] for r in ("signal", "empty")
        )
        self._signals = signals or empty  # of several, one without title or numbers is what a last delimiter makes
        if options.column is not None:
            self.chosen = self._named(options.column)
        elif not self._signals:
            odd = next((f"; {column.odd[:40]!r} is no number" for column in layout.columns if column.odd), "")
            raise InputError(f"{path} has no column of a signal, only {self._list_columns()}{odd}")
        backwards = next((column for column in layout.columns if column.role == "backwards"), None)
        if backwards is not None:
            raise InputError(f"{path}: the times in column {backwards.title} go back; put its rows in order of time")
        if layout.head.fs is not None:
            options.check_rate(path, layout.head.fs)
        unsaid = {}  # what the file does not say -> how to say it
        if options.fs is None and layout.head.fs is None and layout.time is None:
            several = f"its head has several rates, {' and '.join(map(repr, layout.head.rates))}, and "
            why = f"{several if layout.head.rates else ''}{layout.unread or 'it has no time column'}"
            unsaid[f"its sampling frequency ({why})"] = "--fs HZ"
        if options.millivolts is None and not any(self._unit(number) for number in self._signals):
            unsaid["the unit of its values"] = "--unit mV, uV or V, or --unit adu --gain ADU_PER_MV"
        if unsaid:
            raise InputError(f"{path} does not say {' and '.join(unsaid)}: give {', and '.join(unsaid.values())}")
        self.channels = tuple(map(self._channel, self._signals))

    def open(self, channel: int) -> Trace:
        """Convert a column to a temporary file."""
        column, layout = self._signals[channel], self._layout
        millivolts = self.channels[channel].millivolts
        with ExitStack() as stack:
            try:
                store = stack.enter_context(tempfile.TemporaryFile(prefix="ecg"))
                total, missing, clock = self._convert(column, 1.0 if millivolts is None else millivolts, store)
            except OSError as error:
                raise InputError(
                    f"{self.path} cannot be converted in {tempfile.gettempdir()} ({error.strerror or error}): name "
                    "another folder in the environment variable TMPDIR"
                ) from error
            close = stack.pop_all().close

        def read_stored(first: int, last: int) -> np.ndarray:
            store.seek(8 * first)
            return np.frombuffer(store.read(8 * (last - first)))

        if clock is None:
            fs, notes = self._stated_rate or 0.0, []
            why = layout.unread
            if layout.time is not None:
                why = f"column {layout.columns[layout.time].title or 'of times'} is not used"
            if why is not None:
                says = "--fs says" if self._options.fs else "its head says"
                notes.append(f"the rows are taken for {fs:g} Hz without a gap, as {says}; {why}")
            notes += missing_values(missing, fs)
            is_rated = layout.head.fs is not None
            return Trace(float(fs), total, read_stored, notes=tuple(notes), is_rated=is_rated, close=close)
        runs, days = clock.runs(total), []
        if layout.undated:
            days.append(f"days without a row would not be seen: {layout.undated}")
        return Trace(
            clock.fs,
            runs.length,
            lambda first, last: runs.read(first, last, read_stored),
            borders=runs.starts[1:],
            notes=(*days, *clock.notes(), *missing_values(missing, clock.fs)),
            close=close,
        )

    @property
    def _stated_rate(self) -> float | None:
        """Hz, as the user or the head says; None: only the time column can tell."""
        return self._options.fs or self._layout.head.fs

    # ---------------------------------------------------------------------------------------------- columns

    def _named(self, wanted: str) -> int:
        """Return which of the signals --column means."""
        columns = self._layout.columns
        alike = [n for n, column in enumerate(columns) if wanted.strip().casefold() in column.names]
        if not alike and wanted.strip().isdecimal() and 1 <= int(wanted) <= len(columns):
            alike = [int(wanted) - 1]
        if not alike:
            raise unknown(f"{self.path}: --column", wanted, [self._list_columns()])
        if columns[alike[0]].role in ("text", "strange", "date"):
            raise InputError(f"{self.path}: column {wanted} holds no numbers; there are {self._list_columns()}")
        if alike[0] not in self._signals:
            self._signals = sorted([*self._signals, alike[0]])
        return self._signals.index(alike[0])

    def _list_columns(self) -> str:
        return ", ".join(
            f"{number} {column.title or '(unnamed)'}" for number, column in enumerate(self._layout.columns, 1)
        )

    def _unit(self, number: int) -> str:
        return self._layout.columns[number].unit or self._layout.head.unit

    def _channel(self, number: int) -> Channel:
        column, units = self._layout.columns[number], self._unit(number)
        lead = self._layout.head.lead if len(self._layout.columns) == 1 else None
        name = lead or column.name or (f"column {number + 1}" if len(self._signals) > 1 else None)
        return Channel(name, self._options.millivolts or (millivolts_of(units) if units else None), units)

    def _begin(self) -> tuple[datetime | None, str]:
        """When the first row is, and why that is not known although the file has times; "": it has none."""
        layout = self._layout
        if layout.time is None:
            return layout.head.start, layout.head.undated or (
                "" if layout.strange is None else "its times are not understood"
            )
        column, cell = layout.columns[layout.time], layout.first_time
        start = stamp_of(cell) or layout.head.start
        if start is not None or layout.head.undated:
            return start, layout.head.undated
        if layout.undated:
            return None, layout.undated
        title = column.title or "of times"
        if CLOCK.fullmatch(cell.strip("[]")):
            since_start = ELAPSED.search(title) or not re.search("[1-9]", cell)
            return None, "" if since_start else f"the times in column {title} have no date"
        seconds = float(cell.replace(",", ".")) if NUMBER.fullmatch(cell) else 0.0
        if seconds * SECONDS.get(column.unit.casefold(), 1.0) < EPOCHS[-1][0]:
            return None, ""
        return None, f"the times in column {title} count from 1970, in no time zone that is stated"

    # ------------------------------------------------------------------------------------------------- rows

    def _convert(self, column: int, millivolts: float, store: IO[bytes]) -> tuple[int, int, Clock | None]:
        """Write a column to `store`, in mV -> how many rows, how many without a value, and where they are in time.

        Where the rate is stated, and the time column cannot tell one, the rows are taken for regular: no clock.

        Raises:
            InputError: the time column tells another rate than the user or the head.
        """
        time = self._layout.time
        timed = time is not None
        clock: Clock | None = None
        total = missing = 0
        for chunk in self._chunks():
            if timed:
                times = self._layout.times(chunk)
                try:
                    if clock is None:
                        clock = Clock.of(self.path, self._layout.columns[time], times)
                        self._check_clock(clock)
                    clock.add(times, total)
                except UntimedError:
                    if self._stated_rate is None:
                        raise
                    timed, clock = False, None
            values = self._numbers(chunk[column]) * millivolts
            store.write(values.tobytes())
            total += len(values)
            missing += int((~np.isfinite(values)).sum())
        store.flush()
        return total, missing, clock

    def _check_clock(self, clock: Clock) -> None:
        """Raise an `InputError` where the time column tells another rate than the user or the head."""
        title, head = self._layout.columns[self._layout.time or 0].title or "of times", self._layout.head.fs
        self._options.check_rate(self.path, clock.fs, f" by its column {title}")
        if head is not None and not same_rate(clock.fs, head):
            raise InputError(
                f"{self.path} contradicts itself: {head:g} Hz by its head, {clock.fs:g} Hz by its column {title}; "
                "correct one of them"
            )

    def _chunks(self) -> Iterator[pd.DataFrame]:
        """Read all columns: pandas would not notice a row with too many cells where it reads some of them."""
        layout = self._layout
        with self._reading():
            chunks = pd.read_csv(
                self.path,
                sep=r"\s+" if layout.delimiter == " " else layout.delimiter,
                decimal=layout.decimal,
                header=None,
                skiprows=layout.skip,
                encoding=self._encoding,
                encoding_errors="replace",
                quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                na_values=["", '""'],
                keep_default_na=len(layout.columns) > 1,  # of one column only some blank lines are no rows, see below
                skip_blank_lines=len(layout.columns) > 1,
                skipinitialspace=True,
                chunksize=ROWS,
            )
        with self._reading(), chunks:
            chunks = self._of_one_width(chunks)
            filled = self._without_spacing(chunks) if layout.is_spaced else chunks
            yield from _without_last_blanks(filled) if len(layout.columns) == 1 else filled

    def _of_one_width(self, chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Check that pandas finds as many columns as the first lines have.

        Raises:
            InputError: it does not.
        """
        for chunk in chunks:
            if chunk.shape[1] != (width := len(self._layout.columns)):
                raise InputError(
                    f"{self.path} cannot be read as a table: by what its quotes hold its rows have {width} cells or "
                    f"{chunk.shape[1]}; put quotes around whole cells alone"
                )
            yield chunk

    def _without_spacing(self, chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Leave out every second row, which is blank.

        Raises:
            InputError: one of them is not.
        """
        for chunk in chunks:
            is_between = chunk.index % 2 == 1
            if (wrong := chunk.index[is_between & chunk.notna().any(axis=1).to_numpy()]).size:
                raise InputError(
                    f"{self.path}: every second line of its data is blank, but line {int(wrong[0]) + 1} is not: leave "
                    "the blank lines out, but for those where a sample is missing"
                )
            yield chunk[~is_between]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except (ValueError, OverflowError, MemoryError) as error:  # those of pandas are ValueErrors
            raise InputError(f"{self.path} cannot be read as a table: {error}; correct the line") from error

    def _numbers(self, cells: pd.Series) -> np.ndarray:
        """The values of cells -> float64 (n,), NaN where one is empty."""
        if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
            return cells.to_numpy(np.float64)
        texts = cells.astype("string").str.strip().str.strip("\"'")
        if self._layout.decimal == ",":
            texts = texts.str.replace(",", ".")
        values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.isnan(values) & ~cells.isna().to_numpy() & ~texts.str.lower().isin(MISSING).to_numpy(bool)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{self.path}: {str(cells.iloc[row])[:40]!r} in row {int(cells.index[row]) + 1} of the data is no "
                "number; correct it, or leave the cell empty where the sample is missing"
            )
        return values


class UntimedError(InputError):
    """The time column does not say where the rows are in time."""


class Clock:
    """Where the rows of a table are in time, as a column of it says."""

    def __init__(self, path: Path, column: Column, scale: float | None) -> None:
        self.path, self._column = path, column
        self.fs = 1.0  # Hz
        self._pace = 1.0  # Hz, as measured; not rounded
        self._scale = scale  # s in one unit of the column; None: it has no numbers
        self._first = 0.0  # s
        self._last: float | None = None  # s
        self._midnights = 0  # that a clock has passed
        self._late = np.empty(0)  # samples that the stamps of the rows not yet judged are late
        self._judged = 0  # rows
        self._usual = 0.0  # samples that stamps were late in the last block, in the median
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # rows that begin a run, samples missing before each

    @classmethod
    def of(cls, path: Path, column: Column, cells: pd.Series) -> Clock:
        """Find the sampling frequency in the first rows.

        Raises:
            UntimedError: they are not regular.
        """
        scale = None
        if pd.api.types.is_numeric_dtype(cells.dtype):
            scale = _scale_of(path, column, cells.to_numpy(np.float64))
        clock = cls(path, column, scale)
        seconds = cls(path, column, scale)._seconds(cells)  # `add` will count the midnights in them
        seconds = seconds[np.isfinite(seconds)]
        steps = np.diff(seconds)
        pace = _pace(seconds)
        if pace is None:
            raise clock._irregular()
        clock._pace = clock.fs = pace
        if abs(clock.fs - round(clock.fs)) < max(1e-4, 1 / len(steps)) * clock.fs:  # stamps are rounded
            clock.fs = float(max(round(clock.fs), 1))
        samples = steps * clock.fs  # 0.5 or 1.5 where 500 Hz is counted in ms
        if max(np.mean(samples > 1.55), np.mean(samples < 0.45)) > IRREGULAR:  # a late stamp makes one of each
            raise clock._irregular()
        clock._first = float(seconds[0])
        late = clock._lateness(seconds[:BLOCK], 0)
        long = np.flatnonzero(np.diff(late) >= 0.5)
        clock._usual = float(np.median(late[: long[0] + 1] if len(long) else late))
        return clock

    def add(self, cells: pd.Series, first: int) -> None:
        """Take the times of further rows, the first of which is row `first`.

        Raises:
            UntimedError: time goes back or jumps, or a cell is empty or no time.
        """
        seconds = self._seconds(cells)
        before = seconds[0] - 1 / self.fs if self._last is None else self._last
        steps = np.diff(seconds, prepend=before)
        if not np.isfinite(steps).all() or (steps < -0.5 / self.fs).any():
            row = first + int(np.argmax(~np.isfinite(steps) | (steps < -0.5 / self.fs)))
            raise UntimedError(
                f"{self.path}: the time in row {row + 1} of the data, column {self._column.title or 'time'}, is no "
                "time or goes back; correct it, or give --fs to take the rows for regular"
            )
        if (days := steps.max() / DAY) > LONGEST_GAP:
            raise UntimedError(
                f"{self.path}: the times in column {self._column.title or 'time'} jump by {days:.0f} days after row "
                f"{first + int(steps.argmax())} of the data; make a file of each recording"
            )
        self._last = float(seconds[-1])
        self._late = np.append(self._late, self._lateness(seconds, first))
        self._judge(len(self._late) - 2 * BLOCK + 1)

    def _lateness(self, seconds: np.ndarray, first: int) -> np.ndarray:
        """How many samples the stamps of the rows from `first` on are late, by the pace since row 0 -> float64 (n,)."""
        return (seconds - self._first) * self._pace - np.arange(first, first + len(seconds))

    def _judge(self, end: int) -> None:
        """Find the gaps in the blocks that begin before `end` of the rows not yet judged.

        A stamp may be late alone, but after a gap all are: so the least late of a row and of those after it, in its
        block and the next, is what counts. How late stamps usually are is measured again in each block: clocks drift.
        """
        begins = range(0, end, BLOCK)
        for begin in begins:
            late = self._late[begin : begin + 2 * BLOCK]
            stays = np.minimum.accumulate(late[::-1])[::-1][:BLOCK] - self._usual
            missing = np.maximum.accumulate(np.append(0, np.round(stays))).astype(np.int64)
            gaps, missing = np.diff(missing), missing[1:]  # samples before each row, before it since the block began
            self._usual = float(np.median(late[:BLOCK] - missing)) + missing[-1]
            if len(places := np.flatnonzero(gaps)):
                self._runs.append((places + self._judged + begin, gaps[places]))
        judged = min(len(begins) * BLOCK, len(self._late))
        self._judged += judged
        self._late = self._late[judged:]

    def runs(self, total: int) -> Runs:
        """Where the stretches without a gap begin, once all rows are added."""
        self._judge(len(self._late))
        rows = np.concatenate([np.zeros(1, np.int64), *(rows for rows, _ in self._runs)])
        missing = np.concatenate([np.zeros(1, np.int64), *(missing for _, missing in self._runs)])
        return Runs(rows + missing.cumsum(), rows, total)

    def notes(self) -> list[str]:
        """What to know of the times, in phrases."""
        notes = []
        if self._scale not in (None, 1.0) and self._column.unit.casefold() not in SECONDS:
            unit = {1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}[self._scale]
            title = self._column.title or "of times"
            notes.append(f"the column {title} is taken as {unit}, which makes {self.fs:g} Hz")
        gaps = sum(int(missing.sum()) for _, missing in self._runs)
        if gaps:
            notes.append(f"its times leave out {gaps} samples ({gaps / self.fs:.1f} s); those are missing")
        return notes

    def _seconds(self, cells: pd.Series) -> np.ndarray:
        """Times of the rows after `_last` -> float64 (n,) s from anywhere, NaN where there is none."""
        if self._scale is not None:
            numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            return numbers * self._scale
        texts = cells.astype("string").str.strip().str.strip("'\"[]").str.replace(",", ".")
        if iso_date(first := str(texts.iloc[0])) != first:
            texts = texts.map(iso_date, na_action="ignore")
        if texts.str.contains("-", regex=False).any():
            stamps = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
            instants = stamps.to_numpy("datetime64[ns]")
            seconds = (instants - np.datetime64("2000-01-01", "ns")) / np.timedelta64(1, "s")
            return np.where(np.isnat(instants), np.nan, seconds)
        parts = texts.str.split(":", expand=True).apply(pd.to_numeric, errors="coerce")
        weights = 60.0 ** np.arange(parts.shape[1])[::-1]
        seconds = parts.to_numpy(np.float64, na_value=np.nan) @ weights
        before = seconds[0] if self._last is None else self._last - DAY * self._midnights
        midnights = self._midnights + (np.diff(seconds, prepend=before) < -DAY / 2).cumsum()
        self._midnights = int(midnights[-1])  # elapsed times go on beyond 24 hours and pass none
        return seconds + DAY * midnights

    def _irregular(self) -> UntimedError:
        return UntimedError(
            f"{self.path}: the times in column {self._column.title or 'time'} are not regular enough to tell the "
            "sampling frequency; give --fs, in Hz, to take the rows for regular"
        )


def _pace(seconds: np.ndarray) -> float | None:
    """The rows a second of a time column, s (n,), but for its gaps; None: it cannot be told.

    Told by blocks of rows, on which a late stamp has no bearing but where it is the first.
    """
    rows = next((rows for rows in (BLOCK, 11) if len(seconds) > 10 * rows), 1)
    spans = np.diff(seconds[::rows])
    if not len(spans) or not (usual := np.quantile(spans, 0.5, method="higher")) > 0:
        return None
    for within in (0.7, 0.8):  # rows: no gap in them; from the median, which is rounded, to the mean, which is not
        regular = spans[np.abs(spans - usual) < within * usual / rows]
        if not len(regular):
            return None
        usual = regular.mean()
    return float(rows / usual)


# ----------------------------------------------------------------------------------------------- how it is made


def _first_lines(path: Path) -> tuple[str, list[str]]:
    """Return the encoding of a text file, and its first lines; none where it is no text."""
    with path.open("rb") as file:
        content = file.read(HEAD + 1)
    encoding = text_encoding(content[:HEAD], cut=len(content) > HEAD)
    text = content[:HEAD].decode(encoding, errors="replace")
    lines = re.split(r"\r\n|\n|\r", text)
    if "\0" in text:
        return encoding, []
    return encoding, lines[:-1] if len(content) > HEAD else lines


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether blank lines stand between the lines of the data, as of an export that ends each with \\r\\r\\n.

    They might be missing samples: of as many values not every second one is missing.
    """
    is_filled = [bool(line.strip()) for line in lines]
    between, others = is_filled[1::2], is_filled[::2]
    return len(between) >= ALIKE and not any(between) and 2 * sum(others) > len(others)


def _layout(lines: list[str]) -> Layout | None:
    """Find how a table is made by its first lines; None: it is no table."""
    for begin, line in enumerate(lines):
        if any(letter.isdigit() for letter in line):
            data = [other for other in lines[begin:] if other.strip()][:ALIKE]
            above = [other for other in lines[:begin] if other.strip()]
            for delimiter in _delimiters(above, data):
                rows = [_cells(other, delimiter) for other in data]
                if len({len(row) for row in rows}) == 1 and all(any(map(NUMBER.fullmatch, row)) for row in rows):
                    return _describe(begin, above, lines[begin:], data, delimiter)
    return None


def _delimiters(above: list[str], data: list[str]) -> list[str]:
    """The delimiters that may be, by precedence. A comma in lines of one number each is a decimal one."""
    if all(NUMBER.fullmatch(line.strip()) for line in data):
        with_comma = sum("," in line for line in data)
        if with_comma < len(data) or is_key_value(above) or (above and "," not in above[-1]):
            return [NOWHERE]
    return [delimiter for delimiter in DELIMITERS if all(delimiter in line.strip(" ") for line in data)] or [NOWHERE]


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    """Cut a line into cells, as pandas will: in double quotes a delimiter is a part of the cell."""
    if delimiter == " ":
        parts = re.findall(r'"[^"]*"|\S+', line)
    else:
        parts = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [""])
    return tuple(part.strip().strip("\"'").strip() for part in parts)


def _describe(begin: int, above: list[str], below: list[str], data: list[str], delimiter: str) -> Layout | None:
    """Describe a table by its first rows, `data`; None: two decimal marks.

    They begin in line `begin`, below the lines `above`, with all the lines `below` that are looked at.
    """
    rows = [_cells(line, delimiter) for line in data]
    numbers = "".join(cell for row in rows for cell in row if NUMBER.fullmatch(cell))
    if "," in numbers and "." in numbers:
        return None
    decimal = "," if "," in numbers else "."
    width = len(rows[0])
    names, units, above = _titles(above, delimiter, width)
    columns = tuple(
        column_of(number, names[number], units[number], [row[number] for row in rows], decimal)
        for number in range(width)
    )
    return Layout(
        skip=begin,
        delimiter=delimiter,
        decimal=decimal,
        quoted=any('"' in line for line in below),
        is_spaced=width == 1 and _is_spaced(below),  # of several columns no blank line is a row
        columns=columns,
        first=rows[0],
        head=Head.of(above),
    )


def _titles(above: list[str], delimiter: str, width: int) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Return the names and the units of all columns, "" where they are not given, and the lines above those."""
    titles: list[tuple[str, ...]] = []
    while above and len(titles) < 2:
        cells = _cells(above[-1].lstrip("#% "), delimiter)
        if len(cells) != width or (width == 1 and Line.of(above[-1]).value):
            break
        titles.append(cells)
        above = above[:-1]
        if not any(millivolts_of(cell) is not None for cell in cells):
            break
    nothing = ("",) * width
    names, units = (titles[-1], titles[0]) if len(titles) == 2 else (titles[0] if titles else nothing, nothing)
    return names, units, above


def _scale_of(path: Path, column: Column, times: np.ndarray) -> float:
    """The s in one unit of a column of numbers that count time: as it says, or else as the numbers can only be."""
    if column.unit.casefold() in SECONDS:
        return SECONDS[column.unit.casefold()]
    for least, seconds in EPOCHS:
        if times[0] >= least:
            return seconds
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    for seconds in (1.0, 1e-3, 1e-6):
        if usual != 1 and usual * seconds > 0 and RATES[0] <= 1 / (usual * seconds) <= RATES[1]:
            return seconds
    raise UntimedError(
        f"{path}: column {column.title or 'of times'} counts {usual:g} a row, which may be samples or milliseconds: "
        "give --fs, in Hz"
    )


def _without_last_blanks(chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Leave out the empty rows at the end."""
    held: list[pd.DataFrame] = []
    for chunk in chunks:
        filled = np.flatnonzero(chunk.notna().any(axis=1).to_numpy())
        if not len(filled):
            held.append(chunk)
            continue
        end = int(filled[-1]) + 1
        yield from held
        yield chunk.iloc[:end]
        held = [chunk.iloc[end:]] if end < len(chunk) else []
