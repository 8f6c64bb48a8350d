"""Tables of text: CSV and its relatives, and the exports of an Apple Watch. Read by pandas, in parts.

Where sample n stands in a table cannot be computed, so it is converted once, when a column is opened, to a temporary
file of float64, which has no name and goes with its last reader.

What a table says of itself is taken from the lines above its data: a head of `key,value` lines (`heads`), then names of
columns, then units (`layout`, `columns`); where its rows are in time from a column of times (`clock`). What it does not
say, the user has to: nothing is guessed.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from ec57.headers import millivolts_of
from preprocess.readers.clock import EPOCHS, Clock, UntimedError, since_1970
from preprocess.readers.columns import CLOCK, ELAPSED, MISSING
from preprocess.readers.heads import NUMBER, SECONDS, is_utc, stamp_of
from preprocess.readers.layout import first_lines, layout_of
from preprocess.readers.recording import ADU, Channel, Options, Source, Trace, missing_values, same_rate
from support.errors import InputError, unknown

ROWS = 200_000  # rows read at once
CELLS = 2**25  # at most; pandas fills each row up to the longest, so a small file may have billions
WIDTHS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
"""What pandas says of a row that is longer than others."""

MINUTE = 60.0  # s, to which a head may round the start
OFFSETS = 900.0  # s: time zones differ by multiples of it


def _number_of(cell: str) -> float:
    """The number in a cell, with either decimal mark; 0.0 where there is none."""
    return float(cell.replace(",", ".")) if NUMBER.fullmatch(cell) else 0.0


class TableSource(Source):
    """A table with a row for each sample."""

    takes_unit = True

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self._options, self.name = path, options, path.stem
        self._encoding, lines = first_lines(path)
        layout = layout_of(lines)
        if layout is None:
            written = [line.strip() for line in lines if line.strip()]
            if len(written) == 1:
                raise InputError(
                    f"{path} has no rows, only the line {written[0][:60]!r}; a row for each sample is missing below it"
                )
            raise InputError(
                f"{path} holds no samples that can be read: it is not a table of numbers, and not in the formats WFDB, "
                f"EDF, BDF, ISHNE or Kardia; the signals of a WFDB record need its header, {path.stem}.hea, beside them"
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
            number = self._named(options.column)
            self._signals = sorted({*self._signals, number})
            self.chosen = self._signals.index(number)
        elif not self._signals:
            odd = next((f"; {column.odd[:40]!r} is not a number" for column in layout.columns if column.odd), "")
            raise InputError(f"{path} has no column of a signal, only {self._list_columns()}{odd}")
        backwards = next((column for column in layout.columns if column.role == "backwards"), None)
        if backwards is not None:
            raise InputError(f"{path}: the times in column {backwards.title} go back; put its rows in order of time")
        if layout.head.fs is not None and not layout.head.unsure:
            options.check_rate(path, layout.head.fs)
        unsaid = {}  # what the file does not say -> how to say it
        if options.fs is None and layout.head.fs is None and layout.time is None:
            unrated = f"{layout.head.unrated}, and " if layout.head.unrated else ""
            why = f"{unrated}{layout.unread or 'it has no time column'}"
            unsaid[f"its sampling frequency ({why})"] = "--fs HZ"
        if options.millivolts is None and not any(self._unit(number) for number in self._signals):
            unsaid["the unit of its values"] = "--unit mV, uV or V, or --unit adu --gain ADU_PER_MV"
        if unsaid:
            other = f"; or name its columns in as many cells: {layout.misfit}" if layout.misfit else ""
            raise InputError(
                f"{path} does not say {' and '.join(unsaid)}: give {', and '.join(unsaid.values())}{other}"
            )
        self.channels = tuple(map(self._channel, self._signals))

    def open(self, channel: int) -> Trace:
        """Convert a column to a temporary file."""
        column, layout = self._signals[channel], self._layout
        millivolts = self.channels[channel].millivolts or 1.0  # a channel without one is not opened
        with ExitStack() as stack:
            try:
                store = stack.enter_context(tempfile.TemporaryFile(prefix="ecg"))
                total, missing, clock, others = self._convert(column, millivolts, store)
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
            if layout.clocks:
                why = f"column {self._title(layout.clocks[0])} is not used"
            if why is not None:
                says = "--fs says" if self._options.fs else "its head says"
                notes.append(f"the rows are taken for {fs:g} Hz without a gap, as {says}; {why}")
            notes += [*self._on_first_row(), *self._on_rate(fs), *missing_values(missing, fs)]
            is_rated = self._says_rate(fs)
            return Trace(float(fs), total, read_stored, notes=tuple(notes), is_rated=is_rated, close=close)
        runs, days = clock.runs(total, is_regular=self._options.fs is not None), others
        head, first = layout.head.start, stamp_of(layout.first_time)
        if head is not None and first is not None and abs((first - head).total_seconds()) >= MINUTE:
            days.append(f"its head says that it began at {head}, its first row that it is of {first}, which is taken")
        if layout.undated:
            days.append(f"days without a row would not be seen: {layout.undated}")
        days += self._on_first_row()
        return Trace(
            clock.fs,
            runs.length,
            lambda first, last: runs.read(first, last, read_stored),
            borders=runs.starts[1:],
            notes=(*days, *clock.notes(), *self._on_rate(clock.fs, clock), *missing_values(missing, clock.fs)),
            is_rated=layout.time is not None or self._says_rate(clock.fs),
            close=close,
        )

    @property
    def _stated_rate(self) -> float | None:
        """Hz, as the user or the head says; None: only the time column can tell."""
        return self._options.fs or self._layout.head.fs

    def _says_rate(self, fs: float) -> bool:
        """Whether the head says that the rate is `fs`, Hz."""
        return self._layout.head.fs is not None and same_rate(fs, self._layout.head.fs)

    def _on_rate(self, fs: float, clock: Clock | None = None) -> list[str]:
        """Say that the rate of the head is not taken, or is although its line does not call it that of sampling.

        Args:
            clock: that the rate is of; None: the rows are taken for regular.
        """
        head, line = self._layout.head, f"the line {self._layout.head.unsure[:60]!r} of its head"
        if head.fs is None:
            return []
        if not self._says_rate(fs):
            says = "--fs says" if self._options.fs else "its times say"
            return [f"the rate is {fs:g} Hz, as {says}; {line} is not used"]
        if not head.unsure or self._options.fs or (clock is not None and not clock.is_told):
            return []
        return [f"the rate is {fs:g} Hz, as {line} says, though not of what; --fs gives another"]

    def _on_first_row(self) -> list[str]:
        """Say that the first row may be titles."""
        if not self._layout.may_number:
            return []
        row = self._layout.delimiter.join(self._layout.first)
        return [
            f"its first row, {row}, is taken for samples; if it numbers the columns, as pandas writes it, take it out: "
            "all times are one sample late"
        ]

    # ---------------------------------------------------------------------------------------------- columns

    def _named(self, wanted: str) -> int:
        """Return the number of the column that --column means.

        Raises:
            InputError: there is none, or it holds times or no numbers.
        """
        columns = self._layout.columns
        alike = [n for n, column in enumerate(columns) if wanted.strip().casefold() in column.names]
        if not alike and wanted.strip().isdecimal() and 1 <= int(wanted) <= len(columns):
            alike = [int(wanted) - 1]
        if not alike:
            raise unknown(f"{self.path}: --column", wanted, [self._list_columns()])
        if (role := columns[alike[0]].role) in ("time", "text", "strange", "date"):
            held = "times" if role == "time" else "no numbers"
            raise InputError(f"{self.path}: column {wanted} holds {held}; there are {self._list_columns()}")
        return alike[0]

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
        return Channel(name, self._options.millivolts or millivolts_of(units), units)

    def _begin(self) -> tuple[datetime | None, str]:
        """When the first row is, and why that is not known although the file has times; "": it has none."""
        layout = self._layout
        if layout.time is None:
            return layout.head.start, layout.head.undated or (
                "" if layout.strange is None else "its times are not understood"
            )
        column, cell, head = layout.columns[layout.time], layout.first_time, layout.head.start
        if head is not None and not self._begins_with(head):
            return None, f"the head says that it began at {head}, column {column.title or 'of times'} begins at {cell}"
        start = stamp_of(cell) or head
        if start is not None or layout.head.undated:
            return start, layout.head.undated
        if layout.undated:
            return None, layout.undated
        title = column.title or "of times"
        if CLOCK.fullmatch(cell.strip("[]")):
            since_start = ELAPSED.search(title) or not re.search("[1-9]", cell)
            return None, "" if since_start else f"the times in column {title} have no date"
        first = _number_of(cell)
        if since_1970(first, column.unit) is not None:
            return None, f"the times in column {title} count from 1970, in no time zone that is stated"
        if first * SECONDS.get(column.unit.casefold(), 1.0) < EPOCHS[-1][0]:
            return None, ""
        return None, f"it is not said from when the times in column {title} count, the first of which is {cell}"

    def _begins_with(self, head: datetime) -> bool:
        """Whether the first time of the column can be the start that the head states.

        It cannot where a part of a recording was exported with the head of the whole. Where both state a date the
        column's is that of the first row.
        """
        column, cell = self._layout.columns[self._layout.time or 0], self._layout.first_time.strip("[]'\" ")
        if stamp_of(cell) is not None:
            return True
        if CLOCK.fullmatch(cell):
            *hours, minutes, seconds = (float(part.replace(",", ".")) for part in cell.split(":"))
            first = 3600 * sum(hours) + 60 * minutes + seconds
            clock = (head - head.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
            return first < 1 or (not ELAPSED.search(column.title) and abs(first - clock) < MINUTE)
        first = _number_of(cell)
        if (since := since_1970(first, column.unit)) is None:
            return first * SECONDS.get(column.unit.casefold(), 1.0) < 1
        apart = (since - (head - datetime(1970, 1, 1)).total_seconds()) % OFFSETS
        return min(apart, OFFSETS - apart) < 2

    # ------------------------------------------------------------------------------------------------- rows

    def _convert(self, column: int, millivolts: float, store: IO[bytes]) -> tuple[int, int, Clock | None, list[str]]:
        """Write a column to `store`, in mV -> how many rows, how many without a value, where these are in time, notes.

        Where the rate is stated, and the time column cannot tell one, the rows are taken for regular: no clock.

        Raises:
            InputError: the time column tells another rate than the user or the head.
        """
        number, clock = 0, None
        notes: list[str] = []
        total = missing = 0
        for chunk in self._chunks():
            if not total:
                number, clock = self._clock(chunk)
                if clock is not None and number != self._layout.clocks[0]:
                    first, used = self._title(self._layout.clocks[0]), self._title(number)
                    notes.append(f"the times in column {first} are not regular; those in column {used} are used")
            if clock is not None:
                try:
                    clock.add(self._layout.times(chunk, number), total)
                except UntimedError:
                    if self._stated_rate is None:
                        raise
                    clock = None
            values = self._numbers(chunk[column]) * millivolts
            store.write(values.tobytes())
            total += len(values)
            missing += int((~np.isfinite(values)).sum())
        store.flush()
        return total, missing, clock, notes if clock is not None else []

    def _clock(self, rows: pd.DataFrame) -> tuple[int, Clock | None]:
        """Find the first column, and its number, by which the first rows are regular; none, where the rate is stated.

        Raises:
            UntimedError: there are only others, and the rate is not stated.
        """
        why: UntimedError | None = None
        for number in self._layout.clocks:
            column = self._layout.columns[number]
            if column.role == "count" and self._stated_rate is None:
                continue
            try:
                clock = Clock.of(self.path, column, self._layout.times(rows, number), self._stated_rate)
            except UntimedError as error:
                why = why or error
                continue
            self._check_clock(clock, number)
            return number, clock
        if why is not None and self._stated_rate is None:
            raise why
        return 0, None

    def _title(self, number: int) -> str:
        column = self._layout.columns[number]
        return column.title or ("of counts" if column.role == "count" else "of times")

    def _check_clock(self, clock: Clock, number: int) -> None:
        """Raise an `InputError` where the time column tells another rate than the user or the head."""
        title, head = self._title(number), None if self._layout.head.unsure else self._layout.head.fs
        self._options.check_rate(self.path, clock.fs, f" by its column {title}")
        if head is not None and not same_rate(clock.fs, head):
            raise InputError(
                f"{self.path} contradicts itself: {head:g} Hz by its head, {clock.fs:g} Hz by its column {title}; "
                "correct one of them"
            )

    def _chunks(self) -> Iterator[pd.DataFrame]:
        """Read all columns: pandas would not notice a row with too many cells if it read only some of them."""
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
                compression=None,  # whatever the suffix: what is compressed was refused by its first bytes
                quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                na_values=["", '""'],
                keep_default_na=len(layout.columns) > 1,  # of one column only some blank lines are not rows, see below
                skip_blank_lines=len(layout.columns) > 1,
                skipinitialspace=True,
                chunksize=min(ROWS, CELLS // len(layout.columns)),
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
                    f"{self.path} cannot be read as a table: its rows have {width} cells or {chunk.shape[1]}, by how "
                    "its quotes are taken; put quotes around whole cells alone"
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
                    "the blank lines out, except where a sample is missing"
                )
            yield chunk[~is_between]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except pd.errors.ParserError as error:
            if match := WIDTHS.search(str(error)):
                raise InputError(
                    f"{self.path} cannot be read as a table: line {match[2]} has {match[3]} cells, the lines above it "
                    f"have {match[1]}; correct the line, or make a file of each table"
                ) from error
            why = str(error).removeprefix("Error tokenizing data. C error: ")
            raise InputError(f"{self.path} cannot be read as a table: {why}; correct the line") from error
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
                f"{self.path}: {str(cells.iloc[row])[:40]!r} in row {int(cells.index[row]) + 1} of the data is "
                "not a number; correct it, or leave the cell empty where the sample is missing"
            )
        return values


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
