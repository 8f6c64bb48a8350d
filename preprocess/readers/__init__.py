"""Recordings of any format through one interface (WFDB for now)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from preprocess import records
from preprocess.leads import LEAD_II, find_lead
from support.errors import InputError


@dataclass(frozen=True, eq=False)
class Recording:
    """One lead of one recording."""

    name: str
    path: Path
    format: str
    fs: float
    length: int
    lead: str
    leads: tuple[str, ...]
    start: datetime | None
    borders: np.ndarray
    notes: tuple[str, ...]
    read: Callable[[int, int], np.ndarray]

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *what: object) -> None:
        pass

    def parts(self, seconds: float = 600.0) -> Iterator[tuple[int, np.ndarray]]:
        """Parts of the signal, one after the other, with their first samples."""
        step = round(seconds * self.fs)
        for start in range(0, self.length, step):
            yield start, self.read(start, min(self.length, start + step))


def open_recording(
    path: Path,
    *,
    lead: str | None = None,
    fs: float | None = None,
    unit: str | None = None,
    gain: float | None = None,
    column: str | None = None,
    any_lead: bool = False,
    start_time: datetime | None = None,
) -> Recording:
    """Open one lead of a recording."""
    path = Path(path).with_suffix("") if Path(path).suffix == ".hea" else Path(path)
    if not path.with_suffix(".hea").is_file():
        raise InputError(f"{path}: no such recording")
    folder, name = path.parent, path.name
    header = records.read_header(folder, name)
    channel = find_lead(header.signals, (lead,) if lead else LEAD_II, any_lead)
    there = tuple(signal.name or "unnamed" for signal in header.signals)
    if channel is None:
        raise InputError(f"{path} has no lead {lead or 'II'}; it has {', '.join(there)}: give one with --lead")
    rate = header.rate(channel)
    length = records.signal_length(folder, name, header, channel)
    return Recording(
        name,
        path.with_suffix(".hea"),
        "WFDB",
        rate,
        length,
        there[channel],
        there,
        start_time,
        np.zeros(0, dtype=np.int64),
        (),
        lambda start, stop: records.read_signal(folder, name, header, channel, start, stop),
    )
