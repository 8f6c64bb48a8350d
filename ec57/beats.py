"""The beat-by-beat comparison of ANSI/AAMI EC57, to the count as the WFDB program `bxb` makes it.

Each side is read as a stream of beats; the two are walked through together, and at each step the current beat of one
side is paired with that of the other, or is missed (by the test) or extra (in the test). What lies between the beats
matters too: ventricular flutter or fibrillation (VF), whose beats are left out, and shutdown, the time in which a side
declares the signal unreadable. Where the wording below is odd (the last two episodes alone are remembered, say),
so is the program, and its figures are those that others publish.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from ec57.annotations import Annotations
from ec57.figures import Ratio, beat_figures
from ec57.protocol import CLASSES, Protocol, to_samples

ROWS = (*CLASSES, "O", "X")
"""Of a matrix: beats of the reference; extra ones, which only the test has, out of and in shutdown of the reference."""
COLUMNS = tuple(name.lower() for name in ROWS)
"""Of a matrix: beats of the test; missed ones, which only the reference has, out of and in shutdown of the test."""

EXTRA = MISSED = ROWS.index("O")
IN_SHUTDOWN = ROWS.index("X")
FLUTTER_WAVE = ROWS.index("O")
"""A `!` outside an episode of VF is paired like a beat but not counted as one: the beat that it is paired with counts
as extra, or as missed."""
UNCOUNTED = -1
"""The class of what stands before the first beat of a stream, at time 0, and after its last one."""
END_OF_FILE = 2**62
"""The time of a beat after the last one."""
OPEN = -1
"""The end of an episode that has none."""
UNREADABLE = 0x30
"""A `~` whose subtype has both of these bits says that both signals are unreadable: shutdown."""


class Episodes(NamedTuple):
    """What a stream has passed: first and last sample of the latest episodes, and the samples of all shutdowns."""

    vf: tuple[int, int] = (END_OF_FILE, OPEN)
    vf_before: tuple[int, int] = (END_OF_FILE, OPEN)
    shutdown: tuple[int, int] = (END_OF_FILE, OPEN)
    shutdown_before: tuple[int, int] = (END_OF_FILE, OPEN)
    shutdown_samples: int = 0

    def in_vf(self, time: int) -> bool:
        """Whether `time` lies in one of the two latest episodes of VF, ends included."""
        return any(on <= time and (time <= off or off == OPEN) for on, off in (self.vf, self.vf_before))

    def in_shutdown(self, time: int) -> bool:
        """Whether `time` lies in one of the two latest shutdowns, ends included."""
        return any(on <= time <= off for on, off in (self.shutdown, self.shutdown_before))

    def begin_in(self, start: int, stop: int) -> bool:
        """Whether one of the episodes begins in [start, stop)."""
        return any(start <= on < stop for on, _ in self[:4])


NO_EPISODES = Episodes()


@dataclass(frozen=True)
class Stream:
    """The beats of one side: an empty one at time 0, those of the file, and the ends of file that follow."""

    times: list[int] = field(default_factory=lambda: [0])
    classes: list[int] = field(default_factory=lambda: [UNCOUNTED])
    """Rows of the matrix, or `UNCOUNTED`."""
    episodes: list[Episodes] = field(default_factory=list)
    """What the stream has passed when the beat becomes the current one: the next beat has been read by then."""
    intervals: list[int] = field(default_factory=lambda: [0])
    """RR intervals in samples, 0 where an episode lies in them."""

    def append(self, time: int, name: int, passed: Episodes) -> None:
        """Add the next beat; `passed` is up to it."""
        self.episodes.append(passed)
        self.times.append(time)
        self.classes.append(name)


def read_stream(annotations: Annotations, classes: Mapping[str, int], window: int, end: int | None) -> Stream:
    """Read the beats of one side and the episodes between them.

    Args:
        classes: the row of the matrix of each symbol that is compared.
        window: the match window, in samples.
        end: the last sample of the comparison, None where it is not known; closes a shutdown at the end of the file.
    """
    times, symbols = annotations.times, annotations.symbols
    unreadable = [
        symbol == "~" and subtype & UNREADABLE == UNREADABLE
        for symbol, subtype in zip(symbols, annotations.subtypes, strict=True)
    ]
    stream, passed = Stream(), NO_EPISODES
    index, count = 0, len(times)
    while index < count:
        symbol = symbols[index]
        if symbol in classes:
            stream.append(times[index], classes[symbol], passed)
        elif symbol == "[":
            on, off = times[index], passed.vf[1]
            while index < count and symbols[index] != "]":
                index += 1
            if index < count:
                off = times[index]
            # Without a `]` the file ends here, and the episode keeps the end of the one before.
            passed = passed._replace(vf=(on, off), vf_before=passed.vf)
        elif unreadable[index]:
            on, samples = times[index], passed.shutdown_samples
            if index + 1 == count:
                off = END_OF_FILE
                samples += 0 if end is None else end - on
            elif symbols[index + 1] == "~" and not unreadable[index + 1]:
                index += 1
                off = times[index]
                samples += off - on
            else:  # no end is marked: shutdown lasts from the last beat to the next annotation, less the match window
                off = times[index + 1] - window
                on = min(max(stream.times[-1], passed.vf[1]) + window, off)
                samples += off - on
            passed = passed._replace(shutdown=(on, off), shutdown_before=passed.shutdown, shutdown_samples=samples)
        index += 1
    for _ in range(4):  # a current beat, a next one, and room for the two that the start may skip
        stream.append(END_OF_FILE, UNCOUNTED, passed)
    stream.episodes.append(passed)
    _measure_intervals(stream)
    return stream


def _measure_intervals(stream: Stream) -> None:
    for before, time, passed in zip(stream.times, stream.times[1:], stream.episodes[1:], strict=False):
        known = before != 0 and time != END_OF_FILE
        clear = passed is NO_EPISODES or not passed.begin_in(before, time)
        stream.intervals.append(time - before if known and clear else 0)


@dataclass(frozen=True)
class BeatComparison:
    """What `compare_beats` found."""

    record: str
    matrix: pd.DataFrame
    """Counts: the reference's classes as rows (`ROWS`), the test's as columns (`COLUMNS`). Rows O and X are the extra
    beats of the test, columns o and x its missed ones; X and x lie in a shutdown of the other side."""
    rr_error: float | None
    """Root mean square of the differences of RR intervals, in ms; None where no two could be compared."""
    shutdown_seconds: int
    """Shutdown of the test, in whole seconds."""

    @cached_property
    def figures(self) -> dict[str, Ratio]:
        """Sensitivity and positive predictivity: "Q Se", "Q +P" (all QRS complexes), "V Se", "V +P", "S Se", "S +P"."""
        return beat_figures(self.matrix)

    @cached_property
    def missed_in_shutdown(self) -> dict[str, Ratio]:
        """The reference's beats that the test missed in its shutdown: "beats", and of each class.

        The S beats are left out of the part of "beats", as the program does.
        """
        missed, all_beats = self.matrix["x"], self.matrix.sum(axis="columns")
        of_all = Ratio(int(missed[["N", "V", "F", "Q"]].sum()), int(all_beats[list(CLASSES)].sum()))
        return {"beats": of_all} | {name: Ratio(int(missed[name]), int(all_beats[name])) for name in CLASSES}


class _Tally:
    """Counts pairs of classes, and differences of RR intervals."""

    def __init__(self) -> None:
        self.counts = [[0] * len(COLUMNS) for _ in ROWS]
        self.squares = self.intervals = 0

    def add(self, row: int, column: int, reference_interval: int, test_interval: int) -> None:
        # RR intervals are compared at every step, also where the beats are not paired or not counted
        if reference_interval > 0 and test_interval > 0:
            self.squares += (reference_interval - test_interval) ** 2
            self.intervals += 1
        if 0 <= min(row, column) < len(CLASSES):  # one of the two at least is a beat, the other something that counts
            self.counts[row][column] += 1


def compare_beats(
    reference: Annotations,
    test: Annotations,
    fs: float,
    length: int | None = None,
    protocol: Protocol = Protocol(),
    record: str = "",
) -> BeatComparison:
    """Compare two annotations of a record beat by beat.

    Args:
        fs: of the record, in Hz.
        length: samples of the record; None (or 0) where it is not known: the comparison then ends with the reference.
        protocol: match window, part of the record, classes.
        record: name, for tables.

    Returns:
        The matrix of classes, the figures that follow from it, RR interval error and shutdown.

    Raises:
        InputError: the sampling frequency is below 1 Hz or no number.
    """
    window, start, end = protocol.in_samples(fs, length)
    classes = {symbol: ROWS.index(name) for symbol, name in protocol.classes.items()} | {"!": FLUTTER_WAVE}
    ours, theirs = read_stream(reference, classes, window, end), read_stream(test, classes, window, end)
    tally = _Tally()

    # In a comparison at (i, j) the current beats are i and j and the next ones i + 1 and j + 1.
    i, j = _first_beats(ours, theirs, window, start, tally)
    reference_end, test_end = (END_OF_FILE - 1, -END_OF_FILE) if end is None else (end, end)
    times, test_times = ours.times, theirs.times
    while times[i] <= reference_end or test_times[j] <= test_end:
        time, test_time = times[i], test_times[j]
        if test_time < time:
            early, late, next_early, next_late = test_time, time, test_times[j + 1], times[i + 1]
        else:
            early, late, next_early, next_late = time, test_time, times[i + 1], test_times[j + 1]
        # The two are one beat, unless the next one on the early side is as near to the late one or nearer, and has no
        # nearer partner.
        to_next = abs(late - next_early)
        paired = late - early <= window and (late - early < to_next or abs(next_late - next_early) < to_next)
        row, column, next_i, next_j = ours.classes[i], theirs.classes[j], i + 1, j + 1
        if paired:
            pass
        elif test_time < time:
            row, next_i = _row_of_extra(test_time, ours.episodes[i]), i
        else:
            column, next_j = IN_SHUTDOWN if theirs.episodes[j].in_shutdown(time) else MISSED, j
        tally.add(row, column, ours.intervals[i], theirs.intervals[j])
        i, j = next_i, next_j

    per_second = to_samples(1, fs)
    mean_square = tally.squares / tally.intervals if tally.intervals else None
    return BeatComparison(
        record,
        pd.DataFrame(tally.counts, index=list(ROWS), columns=list(COLUMNS)),
        None if mean_square is None else math.sqrt(mean_square) * 1000 / per_second,
        (to_samples(0.5, fs) + theirs.episodes[j].shutdown_samples) // per_second,
    )


def _first_beats(ours: Stream, theirs: Stream, window: int, start: int, tally: _Tally) -> tuple[int, int]:
    """The current beats with which the comparison starts.

    The test's last beat before `start` belongs to it if it is nearest to the reference's first one.
    """
    i = next(index for index, time in enumerate(ours.times) if time >= start)
    j = next(index for index, time in enumerate(theirs.times[1:]) if time >= start)
    time, test_time, test_next = ours.times[i], theirs.times[j], theirs.times[j + 1]
    if time - test_time < abs(time - test_next) and time - test_time <= window:
        tally.add(ours.classes[i], theirs.classes[j], ours.intervals[i], theirs.intervals[j])
        return i + 1, j + 1
    j += 1
    if theirs.times[j] - start <= window and abs(time - theirs.times[j + 1]) < abs(time - theirs.times[j]):
        j += 1
    return i, j


def _row_of_extra(time: int, reference: Episodes) -> int:
    """The row in which an extra beat of the test counts."""
    if reference.in_vf(time):
        return UNCOUNTED
    return IN_SHUTDOWN if reference.in_shutdown(time) else EXTRA
