"""ISHNE Holter files (.ecg): Badilini, The ISHNE Holter standard output file format, A.N.E. 1998, 3: 263-266.

"ISHNE1.0", a checksum of the header (CRC-16-CCITT that starts from 0xFFFF; some recorders write 0 instead), a header of
512 bytes, a block of any length, and the samples: int16, all leads of one instant after another. All numbers are
little-endian.
"""

from __future__ import annotations

import binascii
import struct
from datetime import datetime
from pathlib import Path

import numpy as np

from preprocess.readers.recording import Channel, Options, Source, Trace
from support.errors import InputError

MAGIC = b"ISHNE1.0"
ANNOTATIONS = b"ANN  1.0"
"""What a file of annotations alone begins with."""

FIXED = 522  # bytes before the block of variable length
MOST_LEADS = 12
MISSING = -32768
"""A sample while the lead was off; the standard has no mark for one, recorders that need one write the lowest value."""

LEADS = {2: "X", 3: "Y", 4: "Z", 5: "I", 6: "II", 7: "III", 8: "aVR", 9: "aVL", 10: "aVF"}
LEADS |= {11: "V1", 12: "V2", 13: "V3", 14: "V4", 15: "V5", 16: "V6", 17: "ES", 18: "AS", 19: "AI"}
"""Table 1 of the standard. Its codes 0, unknown, and 1, generic, name no lead."""

NOT_GIVEN = {0, -9}
"""What stands for an unknown part of a date or of a time."""

BLOCK = 2**20  # bytes read at once


class IshneSource(Source):
    """A Holter recording of up to 12 leads of one rate."""

    format = "ISHNE"
    marks_missing = True

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.name = path, path.stem
        options.refuse(path, "an ISHNE file", "unit", "gain")
        with path.open("rb") as file:
            head = file.read(FIXED)
        if head.startswith(ANNOTATIONS):
            raise InputError(f"{path} holds annotations alone; name the .ecg file that they belong to")
        size = path.stat().st_size
        if len(head) < FIXED:
            raise InputError(f"{path} is cut short: it has {size} bytes, the header of an ISHNE file {FIXED}")
        variable, samples, _, self._offset = struct.unpack_from("<4i", head, 10)
        if variable < 0 or self._offset != FIXED + variable or self._offset > size:
            raise self._damaged(f"its samples begin at byte {self._offset} of {size}")
        stated = int.from_bytes(head[8:10], "little")
        self._is_unchecked = stated == 0
        if not self._is_unchecked and stated != _checksum(path, self._offset):
            raise self._damaged("the checksum of its header differs")
        (self._leads,) = struct.unpack_from("<h", head, 156)
        (self._fs,) = struct.unpack_from("<h", head, 272)
        if not 1 <= self._leads <= MOST_LEADS:
            raise self._damaged(f"it has {self._leads} leads; 1 to {MOST_LEADS} are possible")
        codes = struct.unpack_from(f"<{self._leads}h", head, 158)
        self._resolutions = struct.unpack_from(f"<{self._leads}h", head, 206)  # nV
        self.channels = tuple(
            Channel(LEADS.get(code), resolution / 1e6, "nV")
            for code, resolution in zip(codes, self._resolutions, strict=True)
        )
        self.start, self.undated = _start(head)
        self._is_uncounted = samples == 0 and size > self._offset
        self._length = self._count(samples, (size - self._offset) // 2)
        options.check_rate(path, self._fs)

    def open(self, channel: int) -> Trace:
        """Open a lead."""
        resolution = self._resolutions[channel]
        if resolution <= 0:
            raise self._damaged(f"the resolution of its lead {channel + 1} is {resolution} nV")

        def read(first: int, last: int) -> np.ndarray:
            place = self._offset + 2 * first * self._leads
            values = np.fromfile(self.path, "<i2", (last - first) * self._leads, offset=place)
            if len(values) < (last - first) * self._leads:
                raise self._damaged("it has become shorter since it was opened")
            values = values.reshape(-1, self._leads)[:, channel]  # (samples, leads) -> (samples,)
            return np.where(values == MISSING, np.nan, values * (resolution / 1e6))

        notes = []
        if self._is_unchecked:
            notes.append("its header has no checksum, so it cannot be seen whether it is damaged")
        if self._is_uncounted:
            notes.append(f"its header gives no samples; all {self._length} that it holds of each lead are read")
        return Trace(self._fs, self._length, read, notes=tuple(notes))

    def _count(self, samples: int, stored: int) -> int:
        """Return the samples of each lead: some recorders state them, others those of all leads together."""
        if self._is_uncounted:
            return stored // self._leads
        if samples * self._leads > stored and samples - samples % self._leads == stored - stored % self._leads:
            return stored // self._leads
        if samples < 0 or samples * self._leads > stored:
            raise InputError(
                f"{self.path} is cut short: it holds {stored // self._leads} samples of each of {self._leads} leads, "
                f"its header says {samples}; copy it again from the recorder"
            )
        return samples

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path} is damaged: {what}; copy it again from the recorder")


def _checksum(path: Path, end: int) -> int:
    """The CRC-16-CCITT of the bytes from 10 to `end`."""
    value = 0xFFFF
    with path.open("rb") as file:
        file.seek(10)
        for begin in range(10, end, BLOCK):
            value = binascii.crc_hqx(file.read(min(BLOCK, end - begin)), value)
    return value


def _start(head: bytes) -> tuple[datetime | None, str]:
    """When the recording began, and why that is not known although the header has a date or a time; "": it has none."""
    day, month, year = struct.unpack_from("<3h", head, 138)
    hour, minute, second = struct.unpack_from("<3h", head, 150)
    try:
        return datetime(year, month, day, hour, minute, second), ""
    except ValueError:
        if {day, month, year, hour, minute, second} <= NOT_GIVEN:
            return None, ""
        stated = f"{year}-{month}-{day} {hour}:{minute}:{second}"
        return None, f"the start in its header, {stated}, is not a valid date and time"
