"""The annotations of a record as they are compared; they and what is needed of its header are read from WFDB files."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ec57 import headers
from ec57.annotation_files import SYMBOLS, UNDEFINED, parse_annotations
from support.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import wfdb

COMMENT = '"'


@dataclass(frozen=True)
class Annotations:
    """The annotations of one record by one annotator, in the order of the file.

    Raises:
        InputError: the lists differ in length, a time is not a whole number or earlier than the one before, or a symbol
            is not WFDB's.
    """

    times: Sequence[int] | np.ndarray
    """In samples of the record, not in seconds."""
    symbols: Sequence[str]
    subtypes: Sequence[int] | np.ndarray = ()
    """Of `~`: which signals are noisy or unreadable. Empty: all 0."""
    notes: Sequence[str] = ()
    """Of `+`: the rhythm that begins, such as "(AFIB". Empty: all ""."""

    def __post_init__(self) -> None:
        for time in self.times:
            if time % 1:  # also NaN and infinity; a list in seconds, above all
                raise InputError(f"the annotation time {time} is not a whole number; times are samples of the record")
        times = [int(time) for time in self.times]
        fields: dict[str, Sequence[object]] = {
            "times": times,
            "symbols": list(self.symbols),
            "subtypes": [int(subtype) for subtype in self.subtypes] if len(self.subtypes) else [0] * len(times),
            "notes": list(self.notes) if len(self.notes) else [""] * len(times),
        }
        for name, values in fields.items():
            if len(values) != len(times):
                raise InputError(f"there are {len(times)} annotation times but {len(values)} {name}")
            object.__setattr__(self, name, values)
        for time, following in itertools.pairwise(times):
            if following < time:
                raise InputError(
                    f"annotations are out of order: the one at sample {following} comes after that at {time}"
                )
        unknown = set(self.symbols) - SYMBOLS
        if unknown:
            time, symbol = next(pair for pair in zip(times, self.symbols, strict=True) if pair[1] in unknown)
            known = " ".join(sorted(SYMBOLS))
            raise InputError(f"the annotation {symbol!r} at sample {time} is not one of WFDB's: {known}")

    @classmethod
    def from_wfdb(cls, annotation: wfdb.Annotation) -> Annotations:
        """What `wfdb.rdann` returned. Labels that the file itself defines are read as comments."""
        symbols = list(annotation.symbol)
        if annotation.custom_labels is not None:
            own = {*annotation.custom_labels["symbol"]} - SYMBOLS
            symbols = [COMMENT if symbol in own else symbol for symbol in symbols]
        notes = annotation.aux_note
        return cls(
            annotation.sample.tolist(),
            symbols,
            () if annotation.subtype is None else annotation.subtype.tolist(),
            () if notes is None else [note.rstrip("\0") for note in notes],
        )


class Header(NamedTuple):
    """What a comparison needs to know of a record."""

    fs: float
    """Sampling frequency, in Hz."""
    length: int | None
    """Samples of each signal; None where the header does not say."""


def read_header(record: str | Path) -> Header:
    """Read the header of a record, `record` being the path of its files without their suffix.

    Where it gives no sampling frequency, 250 Hz are assumed, as by the WFDB programs; `is_rated` tells.

    Raises:
        InputError: it is absent, cannot be parsed, or gives a sampling frequency below 1 Hz.
    """
    header = _parsed(record)
    return Header(header.fs, header.length)


def is_rated(record: str | Path) -> bool:
    """Whether the header of a record gives its sampling frequency; `record` and errors as for `read_header`."""
    return _parsed(record).rated


def _parsed(record: str | Path) -> headers.Header:
    path = Path(f"{record}.hea")
    if not path.is_file() and Path(record).is_dir():
        raise InputError(f"{record} is a folder; name a record in it, by its path, no suffix")
    if not path.is_file():
        raise InputError(f"record {record} has no header: {path} is not there; name a record by its path, no suffix")
    try:
        header = headers.parse_header(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not a WFDB header: {error}") from error
    if header.fs < 1:
        raise InputError(f"{path} gives a sampling frequency of {header.fs:g} Hz; it must be at least 1 Hz")
    return header


def read_annotations(path: str | Path, fs: float) -> Annotations:
    """Read an annotation file, such as `100.atr`.

    Args:
        fs: of the record, in Hz; times in a file that states another resolution are converted to it.

    Raises:
        InputError: it is absent, cut short, no annotation file, out of order, or has a code that is not defined.
    """
    path = Path(path)
    if not path.is_file():
        where = "its folder and suffix (on the command line: --test_dir, --reference, --test)"
        raise InputError(f"{path} is not there; check {where}")
    try:
        stored, resolution = parse_annotations(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}; make it again") from error
    symbols = stored.symbols.tolist()
    for time, symbol in zip(stored.positions.tolist(), symbols, strict=True):
        if code := UNDEFINED.fullmatch(symbol):
            raise InputError(
                f"{path}: the annotation at sample {time} has the code {code[1]}, which neither WFDB nor the file "
                "defines"
            )
    try:
        return Annotations(
            stored.rescaled(fs / (resolution or fs)).positions.tolist(),
            [symbol if symbol in SYMBOLS else COMMENT for symbol in symbols],  # the file's own are of no beats
            stored.subtypes.tolist(),
            stored.notes,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
