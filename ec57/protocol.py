"""What a comparison follows: the match window, the part of the record, and which annotation symbol is which class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from support.cli import option
from support.errors import InputError, unknown

CLASSES = ("N", "S", "V", "F", "Q")
"""Normal, supraventricular ectopic, ventricular ectopic, fusion, and paced or unclassifiable beats."""

GROUPINGS = {
    "ec57": {"N": "NLRB", "S": "AaJSnej", "V": "VrE", "F": "F", "Q": "/fQ?"},
    "de_chazal": {"N": "NLRBejn", "S": "AaJS", "V": "VrE", "F": "F", "Q": "/fQ?"},
}
"""The annotation symbols of each class; no other symbol is a beat.

`ec57` is how the WFDB programs `bxb` and `rxr` count. De Chazal et al. (2004), and most work on inter-patient
classification after them, have the escape beats e and j in N, and so n, which mitdb does not have."""


BEYOND_ANY_RECORD = 1e9
"""Seconds: no recording is as long."""

LONGEST_WINDOW = 1.0
"""Seconds: in more, a beat would be paired with its neighbours at any heart rate; 150 is meant as milliseconds."""


class Span(NamedTuple):
    """What a comparison covers, in samples."""

    window: int
    """How far apart the two annotations of one beat may be."""
    start: int
    end: int | None
    """The last sample; None: the comparison ends with the reference."""


@dataclass(frozen=True)
class Protocol:
    """How two annotation files are compared; the defaults are those that EC57 asks for.

    Raises:
        InputError: a value is out of range.
    """

    window: float = option(
        0.15, "match window: how far apart the two annotations of one beat may be, in seconds", metavar="SECONDS"
    )
    start: float = option(
        300.0, "start of the comparison, in seconds; what is earlier is for learning", default="300", metavar="SECONDS"
    )
    end: float | None = option(
        None,
        "end of the comparison, in seconds",
        default="the end of the record, or of the reference annotations where the header does not give its length",
        metavar="SECONDS",
    )
    grouping: str = option(
        "ec57",
        f"which beats are which class, {' or '.join(GROUPINGS)}: the escape beats e, j and n are S in ec57 and N in "
        "de_chazal",
    )

    def __post_init__(self) -> None:
        if not 0 < self.window <= LONGEST_WINDOW:
            raise InputError(
                f"--window must be above 0 and at most {LONGEST_WINDOW:g} second, such as 0.15, got {self.window:g}"
            )
        if not 0 <= self.start < BEYOND_ANY_RECORD:
            raise InputError(f"--start must be 0 or a positive number of seconds, such as 300, got {self.start:g}")
        if self.end is not None and not self.start < self.end < BEYOND_ANY_RECORD:
            raise InputError(f"--end must be later than --start ({self.start:g} s), got {self.end:g}")
        if self.grouping not in GROUPINGS:
            raise unknown("--grouping", self.grouping, GROUPINGS)

    @property
    def classes(self) -> dict[str, str]:
        """The class of each annotation symbol that is a beat."""
        return {symbol: name for name, symbols in GROUPINGS[self.grouping].items() for symbol in symbols}

    def in_samples(self, fs: float, length: int | None) -> Span:
        """The times in samples of a record of `length` samples (None or 0: not known) at `fs` Hz.

        Raises:
            InputError: `fs` is below 1 Hz.
        """
        if not 1 <= fs < math.inf:
            raise InputError(f"the sampling frequency must be at least 1 Hz, got {fs:g}")
        end = (length or None) if self.end is None else to_samples(self.end, fs)
        return Span(to_samples(self.window, fs), to_samples(self.start, fs), end)


def to_samples(seconds: float, fs: float) -> int:
    """A time in samples, rounded as the WFDB programs do."""
    return int(seconds * fs + 0.5)
