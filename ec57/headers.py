"""The header file of a WFDB record, field by field as header(5) of the WFDB Applications Guide describes it.

It is read here because the parser of wfdb 4.3.1 refuses legal headers (the base date 0/0/0 of the manual's own
example) and misreads others in silence: a unit of µV becomes V, a gain of 1E3 becomes 1, a sampling frequency of
3.6e2 becomes 3.6.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from ec57.annotation_files import decode_text

DEFAULT_FS = 250.0  # Hz, where the header gives no sampling frequency
DEFAULT_GAIN = 200.0  # ADC units per physical unit, where the gain is zero or missing: the signal is not calibrated
DEFAULT_UNITS = "mV"

GAP = "~"
"""The name of a segment, or of a signal file, that holds no samples."""

NULL_FORMAT = "0"
"""The format of a signal without samples."""

MILLIVOLTS = {
    unit: millivolts
    for units, millivolts in (
        ("v volt", 1e3),
        ("mv mvolt milliv millivolt", 1.0),
        ("uv μv uvolt μvolt microv microvolt", 1e-3),
        ("nv nvolt nanovolt", 1e-6),
    )
    for name in units.split()
    for unit in (name, f"{name}s")
}
"""mV in one unit; case does not count (nobody records megavolts). No other unit is one of voltage."""


def millivolts_of(units: str) -> float | None:
    """The mV of one of the `units`, such as "uV"; None where they are not units of voltage."""
    return MILLIVOLTS.get(unicodedata.normalize("NFKC", units).strip().casefold())  # NFKC: micro sign -> Greek mu


_FLOAT = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_RATE = re.compile(rf"(?P<fs>{_FLOAT})(?:/(?P<counter>{_FLOAT})?(?:\((?P<base>{_FLOAT})\))?)?")
_FORMAT = re.compile(r"(?P<fmt>\d+)(?:x(?P<spf>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_GAIN = re.compile(rf"(?P<gain>{_FLOAT})(?:\((?P<baseline>{_FLOAT})\))?(?:/(?P<units>\S+))?")
_LARGEST = 2**53
"""Of whole numbers: no field needs more, and floating-point numbers hold all up to it."""

_NAME = re.compile(r"\w[\w.-]{,99}")


@dataclass(frozen=True)
class Signal:
    """One signal of a record: what it is, how it is stored and how its ADC units become physical ones."""

    name: str | None  # the description, such as "MLII"; None: not given
    file: str  # in the record's folder
    fmt: str  # storage format, a key of `PACKINGS` or `FLAC` in `preprocess.signal_files`, or `NULL_FORMAT`
    spf: int  # samples a frame
    skew: int  # frames of this signal that precede frame 0 of the record
    offset: int  # bytes before the first sample
    gain: float  # ADC units per physical unit
    calibrated: bool  # False: the header gives no gain, and `gain` is the default
    baseline: int  # ADC units at 0 physical units
    units: str
    initial: int  # ADC units, what the first difference of a difference format is added to
    checksum: int | None  # of all its samples, modulo 2^16; None: not given

    @property
    def millivolts(self) -> float | None:
        """The mV of one physical unit, None where that is not a unit of voltage."""
        return millivolts_of(self.units)


@dataclass(frozen=True)
class Segment:
    """A stretch of a multi-segment record: a record in the same folder, or a gap."""

    name: str  # `GAP`: no samples
    length: int  # frames; 0: the layout segment, which only lists signals


@dataclass(frozen=True)
class Header:
    """A header file. A frame holds the samples of all signals in 1 / `fs` seconds, mostly one each."""

    fs: float  # Hz, frames per second
    length: int | None  # frames; None: the header does not say
    n_sig: int
    signals: tuple[Signal, ...]  # of a multi-segment record: of its layout, once `preprocess.records` has read it
    segments: tuple[Segment, ...]  # empty: a record in one piece
    comments: tuple[str, ...]  # without the "#"
    start: datetime | None = None  # of the recording; None: the header does not give both date and time
    time: str = ""  # the base time as the header has it; "": not given
    rated: bool = True  # False: the header gives no sampling frequency, and `fs` is the default

    def rate(self, channel: int) -> float:
        """Samples per second of a signal."""
        return self.fs * self.signals[channel].spf


def parse_header(content: bytes) -> Header:
    """Read the content of a header file.

    Counter frequency, base counter value, ADC resolution and block size have no bearing on the samples; they are not
    kept.

    Raises:
        ValueError: a field is not as header(5) has it, or asks for what cannot be read; the message names it.
    """
    lines = [line.strip() for line in decode_text(content).split("\n")]
    comments = tuple(line.strip(" \t#") for line in lines if line.startswith("#"))
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError("it has no record line")

    name, *fields = lines[0].split()
    name, is_multi, n_seg = name.partition("/")
    if not _NAME.fullmatch(name):
        raise ValueError(f"its first line begins with {name[:20]!r}, which is not a record name")
    if not fields:
        raise ValueError("its record line gives no number of signals")
    n_sig = _whole(fields[0], "number of signals")
    rated = len(fields) > 1
    fs = _rate(fields[1]) if rated else DEFAULT_FS
    length = _whole(fields[2], "number of samples") if len(fields) > 2 else 0
    time = fields[3] if len(fields) > 3 else ""
    start = _start(time, fields[4]) if len(fields) > 4 else None
    if is_multi:
        segments = _segments(lines[1:], _whole(n_seg, "number of segments"))
        total = sum(segment.length for segment in segments)
        if length not in (0, total):
            raise ValueError(f"its {len(segments)} segments have {total} samples, its record line says {length}")
        return Header(fs, total, n_sig, (), segments, comments, start, time, rated)
    if len(lines) - 1 < n_sig:
        raise ValueError(f"it describes {len(lines) - 1} of its {n_sig} signals")
    signals = tuple(_signal(line, number) for number, line in enumerate(lines[1 : n_sig + 1]))  # more are not read
    _check_files(signals)
    return Header(fs, length or None, n_sig, signals, (), comments, start, time, rated)


def _whole(text: str, what: str, least: float = 0) -> int:
    """Read a whole number; programs that write all numbers as 16.0 or 1.6e1 are understood."""
    if not re.fullmatch(_FLOAT, text) or not float(text).is_integer() or float(text) < least:
        raise ValueError(f"the {what} is {text!r}; a whole number is wanted{'' if least < 0 else ', 0 or more'}")
    if abs(float(text)) > _LARGEST:
        raise ValueError(f"the {what} is {text!r}, more than any record has")
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else int(float(text))


def _rate(text: str) -> float:
    match = _RATE.fullmatch(text)
    if not match or not 0 < float(match["fs"]) < inf:
        raise ValueError(f"its sampling frequency is {text!r}; a number above 0 is wanted, in Hz")
    return float(match["fs"])


def _start(time: str, date: str) -> datetime | None:
    """Read base time and base date, DD/MM/YYYY; None where they give no time and date, such as 0/0/0."""
    since_midnight = time_of_day(time)
    if since_midnight is None:
        return None
    try:
        day, month, year = (int(part) for part in date.split("/"))
        return datetime(year, month, day) + since_midnight
    except (ValueError, OverflowError):
        return None


def time_of_day(text: str) -> timedelta | None:
    """Read a base time, [[HH:]MM:]SS -> what has passed since midnight; None where no clock shows it."""
    try:
        *larger, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    if len(larger) > 2:
        return None
    hours, minutes = ([0.0, 0.0, *larger])[-2:]
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60):
        return None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _segments(lines: Sequence[str], count: int) -> tuple[Segment, ...]:
    if not 1 <= count <= len(lines):
        raise ValueError(f"it lists {len(lines)} of its {count} segments")
    segments = []
    for line in lines[:count]:
        name, *fields = line.split()
        if not fields or not (name == GAP or _NAME.fullmatch(name)):
            raise ValueError(f"its segment line {line!r} is not a record name and number of samples")
        segments.append(Segment(name, _whole(fields[0], f"number of samples of segment {name}")))
    if not all(segment.length for segment in segments[1:]):
        raise ValueError("a segment has no samples, which only the first one, the layout, may have")
    return tuple(segments)


def _signal(line: str, number: int) -> Signal:
    """Read a signal line: fields may be left out from the right."""
    fields = line.split(None, 8)
    where = f"of signal {number}"
    if len(fields) < 2:
        raise ValueError(f"its line {line[:40]!r} gives no file and format {where}")
    file, form = fields[:2]
    if re.search(r"[/\\\0]|.{100}", file) or file in ("-", ".", ".."):  # "-": standard input
        raise ValueError(f"the file {where} is {file!r}; a name is wanted, of a file in the header's folder")
    stored = _FORMAT.fullmatch(form)
    if not stored or stored["spf"] == "0":
        raise ValueError(f"the format {where} is {form!r}; one like 212 or 16x2:1+512 is wanted")
    gain, baseline, units = 0.0, None, None
    if len(fields) > 2:
        scale = _GAIN.fullmatch(fields[2])
        if not scale:
            raise ValueError(f"the ADC gain {where} is {fields[2]!r}; one like 200 or 200(1024)/mV is wanted")
        gain, baseline, units = float(scale["gain"]), scale["baseline"], scale["units"]
    names = ("ADC resolution", "ADC zero", "initial value", "checksum", "block size")
    numbers = [_whole(text, f"{name} {where}", least=-inf) for name, text in zip(names, fields[3:8], strict=False)]
    zero = numbers[1] if len(numbers) > 1 else 0
    return Signal(
        name=fields[8].strip() if len(fields) > 8 else None,
        file=file,
        fmt=str(int(stored["fmt"])),
        spf=_whole(stored["spf"] or "1", f"number of samples a frame {where}"),
        skew=_whole(stored["skew"] or "0", f"skew {where}"),
        offset=_whole(stored["offset"] or "0", f"byte offset {where}"),
        gain=gain or DEFAULT_GAIN,
        calibrated=gain != 0,
        baseline=zero if baseline is None else _whole(baseline, f"baseline {where}", least=-inf),
        units=units or DEFAULT_UNITS,
        initial=numbers[2] if len(numbers) > 2 else zero,
        checksum=numbers[3] or None if len(numbers) > 3 else None,  # 0 holds the place of one that was not computed
    )


def _check_files(signals: Sequence[Signal]) -> None:
    """Signals of one file stand together and agree on how it is stored."""
    before: Signal | None = None
    files: set[str] = set()
    for number, signal in enumerate(signals):
        if signal.fmt == NULL_FORMAT:
            continue
        if before is not None and signal.file == before.file:
            if (signal.fmt, signal.offset) != (before.fmt, before.offset):
                raise ValueError(
                    f"signal {number} has another format or byte offset than the one before in {signal.file}"
                )
        elif signal.file in files:
            raise ValueError(f"signal {number} is in {signal.file} again, after signals of other files")
        files.add(signal.file)
        before = signal
