"""Recordings of KardiaMobile (.atc), AliveCor's "ECG file format", version 4 of the file.

"ALIVE", three zeros, a version, and blocks: a name of 4 letters, the length of its data, the data, a checksum. Block
"fmt " has the rate and the resolution, "ecg " lead I, "ecg2" lead II and so on. All numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from preprocess.readers.heads import is_utc, stamp_of
from preprocess.readers.recording import Channel, Options, Source, Trace
from support.errors import InputError

MAGIC = b"ALIVE\0\0\0"
FIRST = 12  # the first block, after the version
AROUND = 12  # bytes of a block that are not data: its name, length and checksum

LEADS = dict(
    zip(
        ("ecg ", "ecg2", "ecg3", "ecg4", "ecg5", "ecg6", "ecg7", "ecg8", "ecg9", "ecga", "ecgb", "ecgc"),
        ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"),
        strict=True,
    )
)


class KardiaSource(Source):
    """A recording of one lead or of six."""

    format = "Kardia"

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.name = path, path.stem
        options.refuse(path, "a Kardia file", "unit", "gain")
        blocks = self._blocks()
        form = self._data(blocks, "fmt ")
        if len(form) < 5:
            raise self._damaged("its block fmt, which has the sampling frequency, is not there or too short")
        self._fs, resolution = struct.unpack_from("<HH", form, 1)  # Hz, nV
        if not self._fs or not resolution:
            raise self._damaged(f"its sampling frequency is {self._fs} Hz and its resolution {resolution} nV")
        self._millivolts = resolution / 1e6
        self._places = [blocks[block] for block in LEADS if block in blocks]
        self.channels = tuple(Channel(lead, self._millivolts, "nV") for block, lead in LEADS.items() if block in blocks)
        if not self.channels:
            raise self._damaged("it has no block with an ECG")
        stamp = self._data(blocks, "info")[:32].split(b"\0")[0].decode("latin-1").strip()
        self.start, self.in_utc = stamp_of(stamp), is_utc(stamp)
        if stamp and self.start is None:
            self.undated = f"the date in the file, {stamp!r}, is not understood"
        options.check_rate(path, self._fs)

    def open(self, channel: int) -> Trace:
        """Open a lead."""
        place, size = self._places[channel]

        def read(first: int, last: int) -> np.ndarray:
            values = np.fromfile(self.path, "<i2", last - first, offset=place + 2 * first)
            if len(values) < last - first:
                raise self._damaged("it has become shorter since it was opened")
            return values * self._millivolts

        return Trace(self._fs, size // 2, read)

    def _blocks(self) -> dict[str, tuple[int, int]]:
        """Find all blocks and check them -> place and size of the data of each."""
        size, place = self.path.stat().st_size, FIRST
        blocks: dict[str, tuple[int, int]] = {}
        with self.path.open("rb") as file:
            file.seek(place)
            while place < size:
                head = file.read(8)
                length = int.from_bytes(head[4:], "little")
                if len(head) < 8 or place + length + AROUND > size:
                    raise self._damaged(f"it is cut short in the block at byte {place}")
                data, stated = file.read(length), int.from_bytes(file.read(4), "little")
                name = head[:4].decode("latin-1")
                if stated not in _checksums(head, data):
                    raise self._damaged(f"the checksum of its block {name.strip()} differs")
                blocks.setdefault(name, (place + 8, length))
                place += length + AROUND
        return blocks

    def _data(self, blocks: dict[str, tuple[int, int]], name: str) -> bytes:
        place, size = blocks.get(name, (0, 0))
        with self.path.open("rb") as file:
            file.seek(place)
            return file.read(size)

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path} is damaged: {what}; export it from the app again")


def _checksums(head: bytes, data: bytes) -> set[int]:
    """What may stand as the checksum: the sum of all bytes, which AliveCor's own reader expects, or a CRC-32."""
    everything = np.frombuffer(head + data, np.uint8).sum(dtype=np.uint64)
    return {int(everything) % 2**32, zlib.crc32(data), zlib.crc32(head + data)}
