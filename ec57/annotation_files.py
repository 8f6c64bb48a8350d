"""What the annotation files of a WFDB record hold: annot(5) of the WFDB Applications Guide, the MIT format.

They are read here because wfdb 4.3.1 never returns from a file that begins with two notes of its time resolution, or
with a "##" note that it does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# The symbols of the codes 1 to 41; a space: the code is not in use.
_SYMBOLS = 'NLRaVFJASEj/Q~ | sT*D"=pB^t+u?![]en@xf()r'
NOTQRS, NOTE, SKIP, NUM, SUB, CHN, AUX = 0, 22, 59, 60, 61, 62, 63

SYMBOLS = frozenset(_SYMBOLS.replace(" ", ""))
"""The symbols of the annotation codes that WFDB defines, of beats and of others."""

UNDEFINED = re.compile(r"\[(\d+)\]")
"""What stands for the symbol of a code that neither WFDB nor the file defines."""

_RESOLUTION = re.compile(r"## time resolution:\s*(\S+)")
_DEFINITION = re.compile(r"(\d+)\s+(\S+)")


@dataclass(frozen=True)
class StoredAnnotations:
    """The n annotations of an annotation file."""

    positions: np.ndarray  # int64 (n,); from `parse_annotations` in the file's time base and order, see there
    symbols: np.ndarray  # str (n,), such as "N"; "[42]" (`UNDEFINED`) for code 42, which has no symbol
    subtypes: np.ndarray  # int64 (n,)
    channels: np.ndarray  # int64 (n,), the signal that an annotation is about
    notes: tuple[str, ...]  # n auxiliary texts, empty for most; rhythms are here: "(AFIB"

    def ascending(self) -> StoredAnnotations:
        """The same in order of time, those of one time in their order."""
        order = np.argsort(self.positions, kind="stable")
        return StoredAnnotations(
            self.positions[order],
            self.symbols[order],
            self.subtypes[order],
            self.channels[order],
            tuple(self.notes[at] for at in order),
        )

    def rescaled(self, ratio: float) -> StoredAnnotations:
        """The same at positions `ratio` times as large, rounded to the nearest whole number, halves up."""
        if ratio == 1:
            return self
        return replace(self, positions=np.floor(self.positions * ratio + 0.5).astype(np.int64))


def decode_text(content: bytes) -> str:
    """Decode text of WFDB files: UTF-8, or what older programs write, where µ is one byte."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse_annotations(content: bytes) -> tuple[StoredAnnotations, float | None]:
    """Read the content of an annotation file.

    Returns:
        The annotations in the order of the file, at positions in units of its time resolution; and that resolution in
        Hz, None where the file does not state one: the unit is then the record's frame.

    Raises:
        ValueError: the file was cut short or is not an annotation file, or states a time resolution that cannot be one.
    """
    words = np.frombuffer(content[: len(content) // 2 * 2], "<u2").tolist()
    symbol_of = {code: symbol for code, symbol in enumerate(_SYMBOLS, 1) if symbol != " "}
    rows: list[list[Any]] = []  # time, code, subtype, channel, note
    time = channel = at = 0
    try:
        while words[at]:  # annot(5): a zero word ends every file
            code, value, at = words[at] >> 10, words[at] & 0x3FF, at + 1
            if code == SKIP:
                time += _signed(words[at] << 16 | words[at + 1], 32)  # the high half first
                at += 2
            elif code <= SKIP:
                time += value
                rows.append([time, code, 0, channel, ""])
            elif code == SUB:
                rows[-1][2] = _signed(value & 0xFF, 8)
            elif code == CHN:
                channel = rows[-1][3] = value & 0xFF
            elif code == AUX:
                size = value & 0xFF
                text = content[2 * at : 2 * at + size]
                rows[-1][4] = decode_text(text).rstrip("\0")
                at += (size + 1) // 2
        if any(words[at:]) or len(content) % 2:
            raise ValueError("it goes on after its end mark, so it is damaged or no annotation file")
    except IndexError:
        raise ValueError("it has no end mark, so it was cut short or is not an annotation file") from None

    resolution, defined = _definitions(rows)
    rows = [row for row in rows if row[1] != NOTQRS]
    times, codes, subtypes, channels, notes = zip(*rows, strict=True) if rows else ((),) * 5
    symbol_of |= defined
    annotations = StoredAnnotations(
        positions=np.array(times, dtype=np.int64),
        symbols=np.array([symbol_of.get(code, f"[{code}]") for code in codes], dtype=str),
        subtypes=np.array(subtypes, dtype=np.int64),
        channels=np.array(channels, dtype=np.int64),
        notes=tuple(notes),
    )
    return annotations, resolution


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _definitions(rows: list[list[Any]]) -> tuple[float | None, dict[int, str]]:
    """Take the leading "##" notes at time 0 off the rows -> the time resolution, and symbols of codes.

    They are notes to the reader of the file, between "## annotation type definitions" and "## end of definitions" also
    without the "##". Those of a kind that is not known here have no bearing on what follows.
    """
    resolution: float | None = None
    symbols: dict[int, str] = {}
    in_table = False
    while rows and rows[0][:3] == [0, NOTE, 0] and (in_table or rows[0][4].startswith("##")):
        note = rows.pop(0)[4]
        if match := _RESOLUTION.match(note):
            try:
                resolution = float(match[1])
            except ValueError:
                resolution = 0.0
            if not 0 < resolution < float("inf"):
                raise ValueError(f"it states the time resolution {match[1]!r}; a number above 0 is wanted, in Hz")
        elif note.startswith("##"):
            in_table = note.startswith("## annotation type definitions")
        elif match := _DEFINITION.match(note):
            symbols[int(match[1])] = match[2]
    return resolution, symbols
