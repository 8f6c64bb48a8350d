"""Where the rows of a table are in time, as a column of it says: the sampling frequency, and what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from preprocess.readers.columns import ELAPSED, Column
from preprocess.readers.heads import SECONDS
from preprocess.readers.recording import HIGHEST_RATE, Runs, iso_stamp, same_rate
from support.errors import InputError

RATES = (1.0, HIGHEST_RATE)  # Hz, that the rows of a table may have: one of heart rates has a row a second
EPOCHS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
"""Numbers from here on may count from 1970 -> s in one of them."""

FIRST_EPOCH = 946_684_800.0  # s from 1970 to 2000: no file of numbers is older, so smaller ones count from elsewhere

NAMES = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}
"""The s in one unit -> what it is called."""

IRREGULAR = 0.01  # share of intervals of a time column that may be longer than a sample, or shorter
BLOCK = 101  # rows: stamps that are late for fewer make no gap; prime, as they may be late periodically
HOUR, DAY = 3600.0, 86_400.0  # s
LONGEST_GAP = 30.0  # days

OFFSET = re.compile(r":\d\d(?:\.\d+)?\s?(Z|[+-]\d\d:?\d\d)$")
"""From UTC, at the end of a stamp."""


class UntimedError(InputError):
    """The time column does not say where the rows are in time."""


class Clock:
    """Where the rows of a table are in time, as a column of it says."""

    def __init__(self, path: Path, column: Column, scale: float | None) -> None:
        self.path, self._column = path, column
        self.fs = 1.0  # Hz
        self.is_told = False  # the stated rate tells the unit of the times, or that of counts
        self._pace = 1.0  # Hz, as measured; not rounded
        self._scale = scale  # s in one unit of the column; None: it has no numbers
        self._first = 0.0  # s
        self._last: float | None = None  # s
        self._midnights = 0  # that a clock has passed
        self._offset: str | None = None  # from UTC, as the first stamp has it; "": it has none
        self._shift = ""  # which other offset stamps have, and from where on; "": all have the same
        self._late = np.empty(0)  # samples that the stamps of the rows not yet judged are late
        self._judged = 0  # rows
        self._usual = 0.0  # samples that stamps were late in the last block, in the median
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # rows that begin a run, samples missing before each
        self._missing = 0  # samples, of all runs
        self._hours: list[int] = []  # rows, from 1 on, before which a local clock leaves out an hour
        self._is_regular = False  # the user says the rate, so these hours are not missing

    @classmethod
    def of(cls, path: Path, column: Column, cells: pd.Series, stated: float | None = None) -> Clock:
        """Find the sampling frequency in the first rows.

        Args:
            stated: Hz, as the user or the head says; it tells the unit of times that do not give it, and of counts.

        Raises:
            UntimedError: they are not regular, or in a unit that cannot be told.
        """
        scale, counted = None, stated if column.role == "count" else None
        is_told = counted is not None
        if counted is not None:
            scale = 1 / counted
        elif pd.api.types.is_numeric_dtype(cells.dtype):
            scale, is_told = _scale_of(path, column, cells.to_numpy(np.float64), stated)
        clock = cls(path, column, scale)
        clock.is_told = is_told
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
        if counted is not None:
            if not same_rate(pace, counted):
                raise clock._irregular()
            clock._pace = clock.fs = counted
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
                f"{self.path}: the time in row {row + 1} of the data, column {self._column.title or 'time'}, is "
                "not a time or goes back; correct it, or give --fs to take the rows for regular"
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

    def runs(self, total: int, is_regular: bool = False) -> Runs:
        """Where the stretches without a gap begin, once all rows are added.

        Args:
            is_regular: the user says the rate: an hour that a clock leaves out, as in spring, is then not missing.
        """
        self._judge(len(self._late))
        rows = np.concatenate([np.zeros(1, np.int64), *(rows for rows, _ in self._runs)])
        missing = np.concatenate([np.zeros(1, np.int64), *(missing for _, missing in self._runs)])
        is_local = self._scale is None and not self._offset and not ELAPSED.search(self._column.title)
        is_hour = (np.abs(missing - HOUR * self._pace) <= 1) & is_local
        self._hours, self._is_regular = (rows[is_hour] + 1).tolist(), is_regular
        if is_regular:
            rows, missing = rows[~is_hour], missing[~is_hour]
        self._missing = int(missing.sum())
        return Runs(rows + missing.cumsum(), rows, total)

    def notes(self) -> list[str]:
        """What to know of the times, in phrases, once `runs` are found."""
        notes = []
        is_count = self._column.role == "count"
        if self._scale not in (None, 1.0) and self._column.unit.casefold() not in SECONDS and not is_count:
            title = self._column.title or "of times"
            notes.append(f"the column {title} is taken as {NAMES[self._scale]}, which makes {self.fs:g} Hz")
        if self._shift:
            notes.append(self._shift)
        if gaps := self._missing:
            what = "counts" if is_count else "times"
            notes.append(f"its {what} leave out {gaps} samples ({gaps / self.fs:.1f} s); those are missing")
        for row in self._hours:
            why = (
                "which --fs takes for the beginning of summer time: all clock times given here are those before it"
                if self._is_regular
                else "as when summer time begins: if it does, nothing is missing, and --fs takes the rows for regular"
            )
            notes.append(f"its clock goes forward by an hour at row {row} of the data, {why}")
        return notes

    def _seconds(self, cells: pd.Series) -> np.ndarray:
        """Times of the rows after `_last` -> float64 (n,) s from anywhere, NaN where there is none."""
        if self._scale is not None:
            numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            return numbers * self._scale
        texts = cells.astype("string").str.strip().str.replace(",", ".")
        bare = texts.str.strip("'\"[]")  # all that most columns need, for which a call a row would take long
        rewritten = iso_stamp(str(texts.iloc[0])) != str(bare.iloc[0])
        texts = texts.map(iso_stamp, na_action="ignore") if rewritten else bare
        if texts.str.contains("-", regex=False).any():
            self._watch_offset(texts)
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

    def _watch_offset(self, texts: pd.Series) -> None:
        """Note where the stamps of the rows after those added change their offset from UTC, as at the end of summer.

        How far apart they are is told in UTC, but the clock times of a recording all count from the first stamp.
        """
        if self._offset is None:
            self._offset = _offset_of(str(texts.iloc[0]))
        if not self._offset or self._shift:
            return
        for place in np.flatnonzero(~texts.str.endswith(self._offset).to_numpy(bool, na_value=True)):
            stamp, old = str(texts.iloc[place]), _in_full(self._offset)
            other = _offset_of(stamp)
            if other and (new := _in_full(other)) != old:
                row = self._judged + len(self._late) + int(place) + 1
                self._shift = (
                    f"from row {row} of the data on, {stamp}, its times are those of {new}, before it of {old}; all "
                    f"clock times given here are of {old}"
                )
                return

    def _irregular(self) -> UntimedError:
        return UntimedError(
            f"{self.path}: the times in column {self._column.title or 'time'} are not regular enough to tell the "
            "sampling frequency; give --fs, in Hz, to take the rows for regular"
        )


def _offset_of(stamp: str) -> str:
    """The offset from UTC at the end of a stamp, as it is written; "": there is none."""
    match = OFFSET.search(stamp)
    return match[1] if match else ""


def _in_full(offset: str) -> str:
    """UTC+02:00 for +0200 and +02:00, UTC+00:00 for Z and -00:00."""
    digits = re.sub(r"\D", "", offset).ljust(4, "0")
    sign = "-" if offset[0] == "-" and int(digits) else "+"
    return f"UTC{sign}{digits[:2]}:{digits[2:]}"


def _pace(seconds: np.ndarray) -> float | None:
    """The rows a second of a time column, s (n,), gaps left out; None: it cannot be told.

    Told by blocks of rows, so that a late stamp matters only as the first of one.
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


def _unit_by_size(first: float) -> float:
    """The s in one unit of numbers from `first` on that are large enough to count from 1970; 0: they are not."""
    return next((seconds for least, seconds in EPOCHS if first >= least), 0.0)


def since_1970(first: float, unit: str = "") -> float | None:
    """The s from 1970 to the first of the times of a column, in its unit or, "", in that of its size; None: no such."""
    scale = SECONDS.get(unit.casefold()) or _unit_by_size(first)
    return first * scale if first * scale >= FIRST_EPOCH else None


def _scale_of(path: Path, column: Column, times: np.ndarray, stated: float | None) -> tuple[float, bool]:
    """The s in one unit of a column of numbers that count time, and whether only the `stated` rate tells it.

    It is what the column says, or else the only one that the numbers allow.
    """
    if column.unit.casefold() in SECONDS:
        return SECONDS[column.unit.casefold()], False
    if since_1970(times[0]) is not None:
        return _unit_by_size(times[0]), False
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    rates = {seconds: 1 / (usual * seconds) for seconds in (1.0, 1e-3, 1e-6, 1e-9) if usual > 0 and usual != 1}
    # Numbers this large that do not count from 1970 are of an unknown recorder, so slower tables are thought of too.
    least = RATES[0] if times[0] < EPOCHS[-1][0] else RATES[0] / 5
    possible = [seconds for seconds, rate in rates.items() if least <= rate <= RATES[1]]
    told = stated if len(possible) > 1 else None
    if told is not None:
        possible = [seconds for seconds in possible if 0.5 < rates[seconds] / told < 2]  # units are 1000 apart
    if len(possible) == 1:
        return possible[0], told is not None
    title, units = column.title or "of times", " or ".join(NAMES[seconds] for seconds in possible)
    raise UntimedError(
        f"{path}: column {title} counts {usual:g} a row, which may be {units or 'samples or milliseconds'}: give --fs, "
        f"in Hz{f', or the unit in the title, such as {title}_ms' if units and column.title else ''}"
    )
