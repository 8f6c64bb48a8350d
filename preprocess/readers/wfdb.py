"""WFDB records, by `preprocess.records`: the reader of this room's own training data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ec57.headers import DEFAULT_FS, Header, time_of_day
from preprocess import records
from preprocess.readers.recording import Channel, Options, Source, Trace
from support.errors import InputError

UNRATED = f"the header gives no sampling frequency, {DEFAULT_FS:g} Hz assumed"


def record_of(path: Path) -> tuple[Path, str] | None:
    """Return the folder and the name of the record that `path` names, with a suffix or without; None: there is none."""
    for stem in (path, path.with_suffix("")) if path.name else ():  # `.` and `/` have none
        if stem.with_name(f"{stem.name}.hea").is_file():
            return stem.parent, stem.name
    return None


class WfdbSource(Source):
    """A record in one segment or in several."""

    format = "WFDB"
    marks_missing = True

    def __init__(self, folder: Path, name: str, options: Options) -> None:
        self._folder, self.path, self.name = folder, folder / f"{name}.hea", name
        self._header = records.read_header(folder, name)
        self.start, time = self._header.start, self._header.time
        if self.start is None and re.search("[1-9]", time):  # 0:00 says only that times count from the start
            why = "is not a time of day" if time_of_day(time) is None else "has no valid date"
            self.undated = f"the time in its header, {time[:40]}, {why}"
        self.channels = tuple(Channel(one.name, one.millivolts, one.units) for one in self._header.signals)
        self._options, self._rated = options, self._header.rated
        if not self._rated and options.fs is not None:
            self._header = replace(self._header, fs=options.fs, rated=True)
        options.refuse(self.path, "a WFDB record", "unit", "gain")
        if not self.channels:
            raise InputError(f"{self.path} holds no signal, only annotations go with it; name a record with an ECG")

    def open(self, channel: int) -> Trace:
        """Open a signal at its full rate, of which a frame may hold several samples."""
        if self._rated:
            self._options.check_rate(self.path, self._header.rate(channel))
        trace = open_signal(self._folder, self.name, self._header, channel)
        notes = tuple(f"{note}; --fs says another" if note == UNRATED else note for note in trace.notes)
        return replace(trace, notes=notes, is_rated=self._rated)


def open_signal(folder: Path, name: str, header: Header, channel: int) -> Trace:
    """Open a channel of a record whose header is read. All its files are looked at, none is held open.

    Raises:
        InputError: a signal file is absent, cut short or not as its header describes it.
    """
    records.check_signal(folder, name, header, channel)
    signal, notes = header.signals[channel], []
    if not header.rated:
        notes.append(UNRATED)
    if not signal.calibrated:
        notes.append("not calibrated (no ADC gain in the header, 200 units a mV assumed)")
    if records.checksum_differs(folder, name, header, channel):
        notes.append("samples do not match the checksum in the header")
    # The layout of a record, if it has one, is a segment without samples, and ends at 0.
    ends = np.cumsum([segment.length for segment in header.segments], dtype=np.int64) * signal.spf
    return Trace(
        fs=header.rate(channel),
        length=records.signal_length(folder, name, header, channel),
        read=lambda first, last: records.read_signal(folder, name, header, channel, first, last),
        borders=np.unique(ends[:-1][ends[:-1] > 0]),
        notes=tuple(notes),
    )
