"""What every reader gives, whatever the format: one lead of a recording, in mV, read in parts."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType

import numpy as np

from ec57.headers import millivolts_of
from preprocess.signals import Read
from support.errors import InputError, unknown

ADU = "adu"
"""The unit of values as the analogue-to-digital converter gave them."""

UNITS = ("mV", "uV", "V", "nV", ADU)

HIGHEST_RATE = 50_000.0  # Hz, of which no recorder of the heart comes near; what says more is wrong

MOST_MILLIVOLTS = 1e12
"""A sample from here on counts as missing, since sums of squares would overflow: no wrong unit or gain makes one of an
ECG's, but a damaged header or cell does."""

LOWEST_RATE = 100.0  # Hz: a QRS complex has its energy below 50 Hz


@dataclass(frozen=True)
class Options:
    """What the user says of a file, because the file does not.

    A unit or gain replaces what the file says, and a note tells that; another rate is refused, since it would change
    every interval.
    """

    fs: float | None = None  # Hz
    unit: str | None = None  # one of `UNITS`
    gain: float | None = None  # ADC units per mV, where the unit is adu
    column: str | None = None  # of a table, or a signal of another file: its name, or its number from 1 on

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            InputError: a value is out of range or unknown, or a gain is given with a unit other than adu.
        """
        for name, value in (("fs", self.fs), ("gain", self.gain)):
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"--{name} must be a number above 0, got {value}")
        if self.unit is not None and self.unit != ADU and millivolts_of(self.unit) is None:
            raise unknown("--unit", self.unit, UNITS)
        if self.gain is not None and self.unit not in (None, ADU):
            raise InputError(f"--gain goes with --unit adu, not with --unit {self.unit}")

    @property
    def millivolts(self) -> float | None:
        """The mV of one unit, as the user says; None: he does not."""
        if self.gain is not None:
            return 1 / self.gain
        return None if self.unit is None else millivolts_of(self.unit)

    def refuse(self, path: Path, kind: str, *names: str) -> None:
        """Refuse the options `names` for a file of this kind, which says itself what they would say.

        Raises:
            InputError: one of them is given.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise InputError(f"--{name} does not go with {path}, {kind}: leave it out")

    def check_rate(self, path: Path, fs: float, where: str = "") -> None:
        """Refuse another sampling frequency than the one that the file gives.

        Args:
            where: the file gives it, such as " by its column time".

        Raises:
            InputError: the user gave another one.
        """
        if self.fs is not None and not same_rate(self.fs, fs):
            raise InputError(
                f"--fs {self.fs:g} is not the sampling frequency in {path}, {fs:g} Hz{where}: leave --fs out"
            )

    def overruled(self, units: str) -> list[str]:
        """Say where the unit that the user gives replaces that of the file."""
        if self.millivolts is None or not units or self.millivolts == millivolts_of(units):
            return []
        given = f"{self.gain:g} ADC units a mV, as --gain" if self.gain is not None else f"{self.unit}, as --unit"
        return [f"values are taken as {given} says; the file says {units}"]


def same_rate(one: float, other: float) -> bool:
    """Whether two sampling frequencies, in Hz, differ by no more than rounding."""
    return bool(np.isclose(one, other, rtol=1e-3))


def is_too_slow(fs: float) -> bool:
    """Whether a sampling frequency, in Hz, is below `LOWEST_RATE` by more than rounding, or the drift of a clock."""
    return fs < LOWEST_RATE and not same_rate(fs, LOWEST_RATE)


def missing_values(count: int, fs: float) -> tuple[str, ...]:
    """Say how many samples have no value, where some have none; gaps in time are told where they are found."""
    return (f"samples without a value, which are missing: {count} ({round(count / fs, 3):g} s)",) if count else ()


def iso_stamp(text: str) -> str:
    """Rewrite 31.1.2026 14:05, 2026/01/31 14:05, and WFDB's [14:05:07.004 31/01/2026], as ISO 8601; leave the rest.

    Brackets and quotes around any time are taken off. A date such as 03/04/2026 outside them may be of March or April.
    """
    if wfdb := re.fullmatch(r"'?\[([\d:.]+) (\d\d)/(\d\d)/(\d{4})\]'?", text):
        return f"{wfdb[4]}-{wfdb[3]}-{wfdb[2]} {wfdb[1]}"
    text = text.strip("[]'\" ")
    if date := re.match(r"(\d\d?)\.(\d\d?)\.(\d{4})(?=[T ])", text):
        return f"{date[3]}-{date[2]:>02}-{date[1]:>02}{text[date.end() :]}"
    if date := re.match(r"(\d{4})/(\d\d?)/(\d\d?)(?=[T ])", text):
        return f"{date[1]}-{date[2]:>02}-{date[3]:>02}{text[date.end() :]}"
    return text


YEARS = range(1900, 2201)
"""The years in which a recording may begin: a clock that was never set, or a year of two digits, gives others."""


def clock_time(text: str) -> datetime:
    """A date with its time of day, in ISO 8601 or another form that `iso_stamp` knows.

    Raises:
        ValueError: it cannot be read, or it is a date alone, which says no time.
    """
    text = iso_stamp(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("cannot be read") from None
    try:
        date.fromisoformat(text)
    except ValueError:
        return time
    raise ValueError("is a date without a time of day")


def parse_start(given: str | datetime) -> datetime:
    """When a recording began, as --start_time gives it: ISO 8601, by the clock of the recording.

    Raises:
        InputError: it cannot be read, or has a time zone, which the times in a recording do not have.
    """
    try:
        start = given if isinstance(given, datetime) else clock_time(given)
    except ValueError as error:
        raise InputError(f"--start_time {given}: {error}; write it as 2026-01-31T08:00:00") from error
    if start.year not in YEARS:
        raise InputError(f"--start_time {given}: its year must be {YEARS[0]} to {YEARS[-1]}")
    if start.tzinfo is not None:
        raise InputError(f"--start_time {given}: give the clock of the recording, without a time zone")
    return start


@dataclass(frozen=True)
class Channel:
    """One signal of a file, before it is opened."""

    name: str | None  # as the file has it; None: not given
    millivolts: float | None  # the mV of one of its units; None: not of voltage, or not given
    units: str  # as the file has them; "": not given


@dataclass(frozen=True)
class Trace:
    """One channel of a file, opened. It holds no samples."""

    fs: float  # Hz
    length: int  # samples
    read: Read  # in mV
    borders: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # see `Recording.borders`
    notes: tuple[str, ...] = ()  # what to know of the file, in phrases
    is_rated: bool = True  # False: the file does not say `fs`; the user does, or it is assumed
    close: Callable[[], None] = lambda: None


class Source(ABC):
    """A file that was recognised: what it says of itself, and how one of its channels is opened."""

    name: str
    path: Path
    format: str
    channels: tuple[Channel, ...]
    start: datetime | None = None
    undated: str = ""  # why the start is not known although the file has times; "": it is, or the file has none
    in_utc: bool = False  # the start is stated in UTC
    chosen: int | None = None  # the channel that --column names, where columns are not channels
    takes_unit: bool = False  # --unit may say what the file does not
    marks_missing: bool = False  # samples without a value are found by reading all, once the length is plausible

    @abstractmethod
    def open(self, channel: int) -> Trace:
        """Open one of the channels.

        Raises:
            InputError: it cannot be read.
        """


@dataclass(frozen=True)
class Recording:
    """One lead of a recording. Close it, or use it in a `with` block: a converted table is a temporary file."""

    name: str  # of the record, or of the file without its suffix
    path: Path  # the file; of a WFDB record its header
    format: str  # "WFDB", "EDF", "EDF+C", "EDF+D", "BDF", "BDF+C", "BDF+D", "CSV", "Apple Watch", "ISHNE" or "Kardia"
    fs: float  # Hz
    length: int  # samples
    lead: str  # that is read: its name as the file has it, or as the user says where the file names none
    leads: tuple[str, ...]  # all that are there; "channel 2" where the second has no name
    start: datetime | None  # in the local time of the recording, without a time zone; None: not known
    borders: np.ndarray  # int64 (n,), the first sample of each segment after the first, where recording was interrupted
    notes: tuple[str, ...]  # sentences: what a reader of results should know of the recording
    _trace: Trace

    def read(self, start: int | None = None, stop: int | None = None) -> np.ndarray:
        """Read samples from `start` to `stop` as a slice has them.

        Returns:
            float64 (stop - start,) in mV, NaN where the recording has no sample, or one of `MOST_MILLIVOLTS` or more.

        Raises:
            InputError: the file is damaged there, or has been changed.
        """
        start, stop, _ = slice(start, stop).indices(self.length)
        values = self._trace.read(start, max(start, stop))
        return np.where(np.abs(values) < MOST_MILLIVOLTS, values, np.nan)

    @property
    def is_rated(self) -> bool:
        """Whether the file says `fs`; else the user does, or it is assumed."""
        return self._trace.is_rated

    def close(self) -> None:
        """Release what reading holds: a temporary file, where there is one."""
        self._trace.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Runs:
    """Where the samples that a file with gaps stores are in time.

    Run k holds the stored samples from `stored[k]` to `stored[k + 1]`; its first is sample `starts[k]` of the
    recording. What lies between two runs is missing.
    """

    starts: np.ndarray  # int64 (n,), ascending; the first is 0
    stored: np.ndarray  # int64 (n,), ascending; the first is 0
    total: int  # samples stored

    @property
    def length(self) -> int:
        """Samples of the recording, those missing included."""
        return int(self.starts[-1] + self.total - self.stored[-1])

    def read(self, first: int, last: int, read: Read) -> np.ndarray:
        """Read samples [first, last) of the recording by `read`, which reads stored ones -> float64, NaN in gaps."""
        values = np.full(last - first, np.nan)
        run = max(int(np.searchsorted(self.starts, first, side="right")) - 1, 0)
        while run < len(self.starts) and self.starts[run] < last:
            end = self.total if run + 1 == len(self.starts) else int(self.stored[run + 1])
            start, begin = int(self.starts[run]), int(self.stored[run])
            wanted = max(start, first), min(start + end - begin, last)
            if wanted[0] < wanted[1]:
                part = read(*(begin + sample - start for sample in wanted))
                values[wanted[0] - first : wanted[1] - first] = part
            run += 1
        return values
