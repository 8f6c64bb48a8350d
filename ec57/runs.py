"""The run-by-run comparison of ANSI/AAMI EC57, to the count as the WFDB program `rxr` makes it.

A run is two or more V beats (or S beats) in a row: couplet (2), short run (3 to 5), long run (6 or more). For
sensitivity each run of the reference is looked up in the test, for predictivity each run of the test in the reference:
how long is the longest run there, in a window from a match window before its first beat to one after its last? Episodes
of ventricular flutter or fibrillation (VF) count as long runs of V, those of atrial fibrillation or flutter (AF) as
long runs of S. Where the wording below is odd, so is the program, and its figures are those that others publish.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from ec57.annotations import Annotations
from ec57.beats import END_OF_FILE, UNREADABLE
from ec57.figures import Ratio
from ec57.protocol import CLASSES, Protocol

LONGEST = 6
"""Longer runs count as this long."""

VF_ON, VF_OFF, AF_ON, AF_OFF, SHUTDOWN = "VF on", "VF off", "AF on", "AF off", "shutdown"
OFF = (VF_OFF, AF_OFF)


class Kind(NamedTuple):
    """What a run is made of."""

    beats: tuple[str, ...]
    """The classes that make it."""
    episode_on: str
    episode_off: str
    enders: tuple[str, ...]
    """What ends a run of the side whose runs are looked up."""
    breakers: tuple[str, ...]
    """What breaks a run of the side in which they are looked up."""


V_RUNS = Kind(("V", "F"), VF_ON, VF_OFF, ("N", "Q", "S", SHUTDOWN), ("N", "Q", "S", SHUTDOWN, AF_ON))
S_RUNS = Kind(("S",), AF_ON, AF_OFF, ("N", "Q", "V", "F", SHUTDOWN), ("N", "Q", "V", "F", SHUTDOWN, VF_ON))

Event = tuple[int, str]
"""Time in samples, and the class of a beat or what happens there."""


def read_events(annotations: Annotations, classes: Mapping[str, str]) -> list[Event]:
    """The beats, episodes and shutdowns of one side.

    Normal beats in AF are S. One episode at a time is open: the onset of one kind ends the other without a word, an
    onset of the same kind says nothing, and only a `]` or another rhythm says that an episode is over.
    """
    events: list[Event] = []
    opened = None
    for time, symbol, subtype, note in zip(
        annotations.times, annotations.symbols, annotations.subtypes, annotations.notes, strict=True
    ):
        name = classes.get(symbol)
        if name is not None:
            events.append((time, "S" if name == "N" and opened == AF_ON else name))
            continue
        happens = None
        if symbol == "~":
            happens = SHUTDOWN if subtype & UNREADABLE == UNREADABLE else None
        elif symbol == "[" or (symbol == "+" and note.startswith("(VF")):
            happens = VF_ON if opened != VF_ON else None
            opened = VF_ON
        elif symbol == "+" and note.startswith("(AF"):
            happens = AF_ON if opened != AF_ON else None
            opened = AF_ON
        elif opened == VF_ON and (symbol == "]" or (symbol == "+" and note)):
            happens, opened = VF_OFF, None
        elif opened == AF_ON and symbol == "+" and note:
            happens, opened = AF_OFF, None
        if happens is not None:
            events.append((time, happens))
    return events


class _Finder:
    """Finds the longest run of one side in windows that are asked for in turn; never reads back."""

    def __init__(self, events: list[Event], kind: Kind) -> None:
        self.events = [*events, (END_OF_FILE, "end of file")]
        self.kind = kind
        self.position = 0
        self.episode_end = -END_OF_FILE  # none yet

    def longest(self, start: int, stop: int) -> int:
        """The length of the longest run in [start, stop], at most `LONGEST`."""
        kind, events = self.kind, self.events
        if self.episode_end >= start:
            return LONGEST
        while events[self.position][0] < start:
            if events[self.position][1] == kind.episode_on:
                self._pass_episode()
                if self.episode_end >= start:
                    return LONGEST
            else:
                self.position += 1
        longest = length = 0
        while events[self.position][0] <= stop:
            name = events[self.position][1]
            if name == kind.episode_on:
                longest = LONGEST
                self._pass_episode()
                continue
            if name in kind.beats:
                length += 1
                longest = max(longest, length)
            elif name in kind.breakers:
                length = 0
            self.position += 1
        return min(longest, LONGEST)

    def _pass_episode(self) -> None:
        """Read on to the end of the episode that begins here: the next event that is not a beat."""
        self.position += 1
        while self.events[self.position][1] in CLASSES:
            self.position += 1
        self.episode_end = self.events[self.position][0]


def _look_up(
    events: list[Event], others: list[Event], kind: Kind, window: int, start: int, end: int | None
) -> list[tuple[int, int]]:
    """For each run of one side its length and that of the longest run of the other side there."""
    finder = _Finder(others, kind)
    pairs: list[tuple[int, int]] = []
    begin = bisect_left(events, start, key=lambda event: event[0])
    length = first = last = 0
    for _, name in events[:begin]:
        if name == kind.episode_on:
            length = LONGEST
        elif name in OFF:
            length = 0
    if length:  # the comparison begins within an episode
        first, last = start - window, start + window
    for time, name in events[begin:]:
        if end is not None and time > end:
            return pairs
        if name in kind.beats:
            if not length:
                first = time - window
            last = time + window
            length += 1
        elif name == kind.episode_on:
            if not length:  # `last` stays that of the run before until a beat or the end of the episode moves it
                first, length = time - window, LONGEST
        elif name == kind.episode_off:
            if length:
                last = time + window
        elif name in kind.enders and length:
            pairs.append((min(length, LONGEST), finder.longest(first, last)))
            length = 0
    if length:
        pairs.append((min(length, LONGEST), finder.longest(first, last)))
    return pairs


@dataclass(frozen=True)
class Runs:
    """Runs of one kind, counted by the length of a run of the reference (rows) and of the test (columns), 0 to 6.

    0 stands for no run, 1 for a single beat, 6 for six or more beats.
    """

    sensitivity: pd.DataFrame
    """The runs of the reference, and the longest run of the test at each."""
    predictivity: pd.DataFrame
    """The runs of the test, and the longest run of the reference at each."""

    @cached_property
    def counts(self) -> dict[str, int]:
        """The columns of the table of runs.

        C, S and L are couplets, short and long runs; Ts those of the reference that the test has as such or as a longer
        one, FN the others; Tp those of the test that the reference has so, FP the others.
        """
        counts: dict[str, int] = {}
        # Of both the rows are the runs that are looked up: those of the test are columns in `predictivity`.
        of_reference, of_test = self.sensitivity.to_numpy(), self.predictivity.to_numpy().T
        for name, lengths in {"C": slice(2, 3), "S": slice(3, 6), "L": slice(6, 7)}.items():
            for matrix, right, wrong in ((of_reference, "Ts", "FN"), (of_test, "Tp", "FP")):
                runs = matrix[lengths]
                found = int(runs[:, lengths.start :].sum())
                counts |= {f"{name}{right}": found, f"{name}{wrong}": int(runs.sum()) - found}
        return counts

    @cached_property
    def figures(self) -> dict[str, Ratio]:
        """Sensitivity and positive predictivity of each length: "CSe", "C+P", "SSe", "S+P", "LSe", "L+P"."""
        return run_figures(self.counts)


def run_figures(counts: Mapping[str, int]) -> dict[str, Ratio]:
    """Sensitivity and positive predictivity from the columns of a table of runs (`Runs.counts`)."""
    figures = {}
    for name in "CSL":
        for figure, right, wrong in (("Se", "Ts", "FN"), ("+P", "Tp", "FP")):
            found = counts[f"{name}{right}"]
            figures[f"{name}{figure}"] = Ratio(found, found + counts[f"{name}{wrong}"])
    return figures


@dataclass(frozen=True)
class RunComparison:
    """What `compare_runs` found."""

    record: str
    ventricular: Runs
    """Runs of V and F, and VF."""
    supraventricular: Runs
    """Runs of S, and AF."""


def compare_runs(
    reference: Annotations,
    test: Annotations,
    fs: float,
    length: int | None = None,
    protocol: Protocol = Protocol(),
    record: str = "",
) -> RunComparison:
    """Compare two annotations of a record run by run.

    Args:
        fs: of the record, in Hz.
        length: samples of the record; None (or 0) where it is not known.
        protocol: match window, part of the record, classes.
        record: name, for tables.

    Raises:
        InputError: the sampling frequency is below 1 Hz or no number.
    """
    window, start, end = protocol.in_samples(fs, length)
    ours, theirs = read_events(reference, protocol.classes), read_events(test, protocol.classes)

    def runs(kind: Kind) -> Runs:
        of_reference = _look_up(ours, theirs, kind, window, start, end)
        of_test = _look_up(theirs, ours, kind, window, start, end)
        return Runs(_matrix(of_reference), _matrix([(found, looked_up) for looked_up, found in of_test]))

    return RunComparison(record, runs(V_RUNS), runs(S_RUNS))


def _matrix(pairs: list[tuple[int, int]]) -> pd.DataFrame:
    counts = [[0] * (LONGEST + 1) for _ in range(LONGEST + 1)]
    for row, column in pairs:
        counts[row][column] += 1
    return pd.DataFrame(counts)
