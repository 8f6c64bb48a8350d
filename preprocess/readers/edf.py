"""EDF, EDF+ and BDF, by edfio: Kemp and Olivan, European data format 'plus', Clin. Neurophysiol. 2003, 114: 1755-1761.

edfio reads a file of 16-bit samples in parts but one of 24-bit samples (BDF) whole, and it takes data records with time
between them (EDF+D) for continuous ones. So it is given the header and a few data records at a time, of either format,
and the times that stand in the annotations of the records say where these belong.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ec57.annotation_files import decode_text
from ec57.headers import millivolts_of
from preprocess.readers.recording import ADU, Channel, Options, Runs, Source, Trace
from support.errors import InputError

if TYPE_CHECKING:
    import edfio

EDF_VERSION = b"0       "
BDF_VERSION = b"\xffBIOSEMI"

FIELDS = 256  # bytes of the header, and again for each signal
RECORDING = slice(88, 168)  # of the header: what EDF+ says of the recording
DATE, TIME = slice(168, 176), slice(176, 184)  # of the header: when it began
RECORDS = slice(236, 244)  # of the header: how many data records there are
DURATION = slice(244, 252)  # of the header: of a data record, s
SIGNALS = slice(252, 256)  # of the header
LABEL = (0, 16)  # of each signal: begin, size in bytes
PHYSICAL = (104, 16)  # of each signal: the least and the greatest value
SAMPLES = (216, 8)  # of each signal: samples in a data record
OPEN = -1  # data records, while the recording is being made

ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
ONSET = re.compile(rb"([+-]\d{1,9}(?:\.\d{0,12})?)\x14")
"""The time of a data record, s, with which its annotations begin."""

NO_DATE = datetime(1985, 1, 1).date()
"""The earliest date of the format, which programs write for an unknown one."""

BLOCK = 2**23  # bytes read at once, or one data record if that is larger


class EdfSource(Source):
    """A file of signals, which may differ in rate, cut into data records of one duration."""

    takes_unit = True

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self._options, self.name = path, options, path.stem
        with path.open("rb") as file:
            self._is_bdf = file.read(8) == BDF_VERSION
            file.seek(SIGNALS.start)
            with self._parsing():
                count = int(file.read(4).decode("latin-1"))
            file.seek(0)
            size = FIELDS * (max(count, 0) + 1)
            self._header = file.read(size)
        kind = "BDF" if self._is_bdf else "EDF"
        options.refuse(path, f"an {kind} file", "gain")
        if options.unit == ADU:
            raise InputError(
                f"--unit adu does not go with {path}, an {kind} file, which has its scale: give mV, uV or V"
            )
        if count < 1 or len(self._header) < size:
            raise self._damaged(f"it ends in its header of {count} signals")
        self._notes: list[str] = []
        self._labels = [text.strip() for text in self._fields(*LABEL)]
        if {*self._labels} <= {*ANNOTATIONS}:
            raise InputError(f"{path} holds annotations alone, no signal; name the file with the ECG")
        self._read_commas(count)
        with self._parsing():
            self._duration = float(self._header[DURATION])
            self._sizes = [int(text) for text in self._fields(*SAMPLES)]
        if not 0 < self._duration < np.inf:
            raise self._damaged(f"by its header a data record lasts {self._duration:g} s")
        with self._parsing():
            edf = self._decode()
            self.channels = tuple(map(self._channel, edf.signals))
            self._shown = [number for number, label in enumerate(self._labels) if label not in ANNOTATIONS]
            stated, reserved, begin = int(self._header[RECORDS]), edf.reserved, edf.bytes_in_header_record
        if begin != size or min(self._sizes) < 1:
            raise self._damaged(
                f"its header of {begin} bytes has {count} signals and data records of {self._duration:g} s with "
                f"{min(self._sizes)} samples or more of each"
            )
        plus = re.match(r"[EB]DF(\+[CD])", reserved)
        self.format = kind + (plus[1] if plus else "")
        self._width = 3 if self._is_bdf else 2  # bytes of a sample
        self._record = sum(self._sizes) * self._width  # bytes
        self._stored = self._count(stated)
        self.start, self.undated = self._started() if self._stored else (None, "")

    def open(self, channel: int) -> Trace:
        """Open a signal at its own rate."""
        per_record = self._sizes[self._shown[channel]]
        fs = round(per_record / self._duration, 9)  # 75 samples in 0.3 s
        self._options.check_rate(self.path, fs)
        with self._parsing():
            signal = self._decode().signals[channel]
            ranges = (*signal.digital_range, *signal.physical_range)
        if ranges[0] == ranges[1] or ranges[2] == ranges[3] or not np.isfinite(ranges).all():
            raise self._damaged(
                f"signal {channel + 1} has no scale: its digital values from {ranges[0]} to {ranges[1]} stand for "
                f"{ranges[2]:g} to {ranges[3]:g}"
            )
        millivolts = self.channels[channel].millivolts or 1.0

        def read_stored(first: int, last: int) -> np.ndarray:
            begin, end = first // per_record, -(-last // per_record)  # data records
            step = max(1, BLOCK // self._record)
            blocks = [self._read(channel, one, min(one + step, end)) for one in range(begin, end, step)]
            values = np.concatenate(blocks) if blocks else np.empty(0)
            return values[first - begin * per_record :][: last - first] * millivolts

        is_late = self.format.endswith("+C") and self._stored > 1 and self._is_late(fs)
        if not self.format.endswith("+D") and not is_late:
            return Trace(fs, self._stored * per_record, read_stored, notes=tuple(self._notes))
        runs, overlap = self._runs(fs, per_record)
        notes = list(self._notes)
        if is_late:
            notes.append(f"it is {self.format}, without interruptions, but the times of its data records have some")
        if len(runs.starts) > 1:
            missing = (runs.length - runs.total) / fs
            times = len(runs.starts) - 1
            often = "once" if times == 1 else f"{times} times"
            notes.append(f"interrupted {often}, for {missing:.1f} s in all; those are missing")
        if overlap > 1:
            notes.append(
                f"its data records overlap by up to {overlap / fs:.3g} s by their times; they are read in turn"
            )
        return Trace(
            fs,
            runs.length,
            lambda first, last: runs.read(first, last, read_stored),
            borders=runs.starts[1:],
            notes=tuple(notes),
        )

    # ------------------------------------------------------------------------------------------- the header

    def _fields(self, begin: int, size: int) -> list[str]:
        """One field of every signal: those of all signals stand together."""
        count = len(self._header) // FIELDS - 1
        place = FIELDS + begin * count
        return [self._header[place + size * one :][:size].decode("latin-1") for one in range(count)]

    def _read_commas(self, count: int) -> None:
        """Replace decimal commas, which some programs write against the format, by points."""
        begin, size = PHYSICAL
        signals = slice(FIELDS + begin * count, FIELDS + (begin + size) * count)
        before, header = self._header, bytearray(self._header)
        for place in (DURATION, signals):
            header[place] = header[place].replace(b",", b".")
        self._header = bytes(header)
        if self._header != before:
            self._notes.append("its header has decimal commas; they are read as points")

    def _channel(self, signal: edfio.EdfSignal | edfio.BdfSignal) -> Channel:
        label, units = (_decoded(text) for text in (signal.label, signal.physical_dimension))
        return Channel(label or None, self._options.millivolts or millivolts_of(units), units)

    def _count(self, stated: int) -> int:
        """Return how many data records the file holds."""
        there, rest = divmod(self.path.stat().st_size - len(self._header), self._record)
        if stated == OPEN:
            self._notes.append(f"never closed by its recorder: all of its {there} data records are read")
            return there
        if stated < 0 or there < stated:
            raise InputError(
                f"{self.path} is cut short: it holds {there} data records, its header says {stated}; copy it again"
            )
        if there > stated or rest:
            further = (there - stated) * self._record + rest
            self._notes.append(f"{further} bytes after the {stated} data records that its header gives are left out")
        return stated

    def _started(self) -> tuple[datetime | None, str]:
        """When the recording begins, with the part of a second that EDF+ has in its annotations; why that is not known.

        The latter is "" where it is, or where the header gives neither date nor time.
        """
        start = None
        with suppress(Exception), warnings.catch_warnings(action="ignore"):  # not given, or not as the standard has it
            start = self._decode(self._bytes(0, 1)).startdatetime
        if start is not None and start.date() != NO_DATE:
            return start, ""
        date, time = (self._header[place].decode("latin-1").strip() for place in (DATE, TIME))
        if not re.search("[1-9]", time if date == f"{NO_DATE:%d.%m.%y}" else date + time):
            return None, ""
        if start is not None or self._header[RECORDING].startswith(b"Startdate X"):
            return None, f"the start in its header, {date + ' ' + time!r}, has no date: it was not known, or taken out"
        return None, f"the start in its header, {date + ' ' + time!r}, is not a valid date and time"

    # ---------------------------------------------------------------------------------------- data records

    def _bytes(self, first: int, last: int) -> bytes:
        """Read the data records [first, last)."""
        with self.path.open("rb") as file:
            file.seek(len(self._header) + first * self._record)
            content = file.read((last - first) * self._record)
        if len(content) < (last - first) * self._record:
            raise self._damaged("it has become shorter since it was opened")
        return content

    def _read(self, channel: int, first: int, last: int) -> np.ndarray:
        """Read a signal of the data records [first, last) -> float64 (samples,) in its unit."""
        with self._parsing():
            return self._decode(self._bytes(first, last)).signals[channel].data

    def _decode(self, records: bytes = b"") -> edfio.Edf | edfio.Bdf:
        """Give edfio the header and some data records, as if they were a file."""
        import io

        import edfio

        count = len(records) // self._record if records else 0
        content = self._header[: RECORDS.start] + f"{count:<8}".encode() + self._header[RECORDS.stop :] + records
        if self._is_bdf:
            return edfio.read_bdf(io.BytesIO(content), header_encoding="latin-1")
        return edfio.read_edf(content, header_encoding="latin-1")

    def _runs(self, fs: float, per_record: int) -> tuple[Runs, int]:
        """Find where the data records are in time, by the onset that each has in its annotations.

        Returns:
            The runs, and by how many samples at most a data record begins before those before it would end: each may
            be a sample early, and many add up.
        """
        onsets = np.array([*self._onsets()])
        starts = np.round((onsets - onsets[0]) * fs).astype(np.int64) if len(onsets) else np.empty(0, np.int64)
        steps = np.diff(starts)
        if (steps < per_record - 1).any():
            early = int(np.argmax(steps < per_record - 1)) + 1
            raise self._damaged(f"its data record {early + 1} begins before the one before it ends")
        late = starts - np.arange(len(starts)) * per_record  # samples missing before each data record, but for rounding
        first, missing = [0], [0]  # data record of each run, samples missing before it
        overlap = 0
        for record in np.flatnonzero(np.diff(late, prepend=0)).tolist():
            overlap = max(overlap, missing[-1] - int(late[record]))
            if late[record] - missing[-1] > 1:  # onsets are rounded, but rounding does not add up
                first.append(record)
                missing.append(int(late[record]))
        stored = np.array(first) * per_record
        return Runs(stored + missing, stored, self._stored * per_record), overlap

    def _is_late(self, fs: float) -> bool:
        """Whether the last data record of a file that should have no interruptions begins late, as after one."""
        with suppress(InputError):  # the file has no onsets, which it need not have
            first, last = (next(self._onsets(record)) for record in (0, self._stored - 1))
            return last - first - (self._stored - 1) * self._duration > 1.5 / fs  # a sample may be rounding
        return False

    def _onsets(self, begin_with: int = 0) -> Iterator[float]:
        """When the data records begin, s, from record `begin_with` on."""
        number = next((one for one, label in enumerate(self._labels) if label in ANNOTATIONS), None)
        if number is None:
            raise InputError(
                f"{self.path} is {self.format}, a recording with interruptions, but has no annotations that say when "
                "they were; export it as EDF+C"
            )
        begin, size = sum(self._sizes[:number]) * self._width, self._sizes[number] * self._width
        step = max(1, BLOCK // self._record)
        for first in range(begin_with, self._stored, step):
            last = min(first + step, self._stored)
            content = self._bytes(first, last)
            for record in range(last - first):
                match = ONSET.match(content, record * self._record + begin, record * self._record + begin + size)
                if not match:
                    raise self._damaged(f"its data record {first + record + 1} does not say when it begins")
                yield float(match[1])

    # ----------------------------------------------------------------------------------------------- faults

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Turn what fails in the block into an `InputError`: a damaged header ends in errors of any kind."""
        try:
            with warnings.catch_warnings(action="ignore"):
                yield
        except InputError:
            raise
        except Exception as error:
            raise self._damaged(f"its header cannot be read ({error})") from error

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path} is damaged: {what}; copy it again")


def _decoded(text: str) -> str:
    """A field of a header, which was read byte by byte: some programs write UTF-8, as for the µ of µV."""
    return decode_text(text.encode("latin-1")).strip()
