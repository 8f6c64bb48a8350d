"""The beats of one recording, what of it can be read, and which R-R intervals count."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ec57.protocol import CLASSES
from preprocess.signals import parted, spans
from support.errors import InputError, unknown

UNCLASSIFIED = "unclassified"
"""What a beat is called that no network could see whole. Among sequences of beats it stands as Q does."""


@dataclass(frozen=True, eq=False)
class Rhythm:
    """The n beats of a recording.

    Beats in unreadable time and in ventricular flutter are left out: of neither is it known where its beats are.

    Raises:
        InputError: beats are out of order or outside the recording, a class is unknown, or an interval ends before it
            begins.
    """

    samples: np.ndarray
    """int64 (n,), increasing: where the beats are."""
    classes: np.ndarray
    """str (n,): of each beat one of `CLASSES`."""
    fs: float
    """Samples a second."""
    length: int
    """Samples of the recording."""
    unreadable: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """int64 (k, 2), [start, end) in samples: leads off, saturation, noise, gaps of the file."""
    flutter: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """int64 (k, 2), [start, end) in samples: ventricular flutter or fibrillation: `[` to `]` of given annotations,
    else where the signal makes it possible."""
    borders: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """int64 (k,): where a recording was put together, the first sample after time of unknown length was lost."""
    hidden: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """int64 (k,): the beats, as samples, after which one may have been missed before the next (`report.pauses`)."""
    probabilities: np.ndarray | None = None
    """float (n, 5): of each beat and class, in the order of `CLASSES`."""

    def __post_init__(self) -> None:
        samples, classes = np.asarray(self.samples, dtype=np.int64), np.asarray(self.classes, dtype=str)
        if not self.fs > 0 or self.length < 1:
            raise InputError(f"a recording of {self.length} samples at {self.fs:g} Hz; both must be above 0")
        if samples.ndim != 1 or samples.shape != classes.shape:
            raise InputError(f"there are {samples.size} beats but {classes.size} classes")
        if not np.isin(classes, CLASSES).all():
            raise unknown("class of a beat", classes[~np.isin(classes, CLASSES)][0], CLASSES)
        if (np.diff(samples) <= 0).any():
            late = int(np.argmax(np.diff(samples) <= 0))
            raise InputError(f"the beat at sample {samples[late + 1]} does not come after that at {samples[late]}")
        # The records of svdb are annotated up to the sample after their last one.
        if samples.size and not 0 <= samples[0] <= samples[-1] <= self.length:
            outside = samples[0] if samples[0] < 0 else samples[-1]
            raise InputError(f"the beat at sample {outside} is outside the recording of {self.length} samples")
        unreadable = disjoint(self.unreadable, "unreadable", self.length)
        flutter = disjoint(self.flutter, "flutter", self.length)
        kept = ~(inside(samples, unreadable) | inside(samples, flutter))
        values = {"samples": samples[kept], "classes": classes[kept], "unreadable": unreadable, "flutter": flutter}
        values |= {"borders": np.unique(np.asarray(self.borders, dtype=np.int64))}
        if self.probabilities is not None:
            probabilities = np.asarray(self.probabilities)
            if probabilities.shape != (samples.size, len(CLASSES)):
                raise InputError(
                    f"the probabilities are {probabilities.shape}; {samples.size} beats of {len(CLASSES)} classes "
                    "are needed"
                )
            values["probabilities"] = probabilities[kept]
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @cached_property
    def rr(self) -> np.ndarray:
        """int64 (n - 1,): the R-R intervals in samples, valid or not."""
        return np.diff(self.samples)

    @cached_property
    def valid(self) -> np.ndarray:
        """bool (n - 1,): no unreadable time, no flutter, no border and no missed beat lies in the R-R interval."""
        # No beat lies in unreadable time or flutter, so whatever parts two beats begins between them.
        begins = np.concatenate([self.unreadable[:, 0], self.flutter[:, 0], self.borders])
        return ~parted(self.samples, begins) & ~self.may_hide

    @cached_property
    def may_hide(self) -> np.ndarray:
        """bool (n - 1,): a beat may have been missed in the R-R interval."""
        return np.isin(self.samples[:-1], self.hidden)

    def stretches(self, bridge: float) -> np.ndarray:
        """int64 (k, 2): the first and last beat, indices, of stretches of valid intervals, across up to `bridge` s."""
        return spans(across(self.valid, self.rr, bridge * self.fs))  # interval k is between the beats k and k + 1

    @cached_property
    def linked(self) -> np.ndarray:
        """bool (n - 1,): the R-R interval is valid and no beat of Q is at its ends, so a sequence of beats goes on."""
        classified = self.classes != "Q"
        return self.valid & classified[:-1] & classified[1:]

    @cached_property
    def unclassified(self) -> np.ndarray:
        """bool (n,): no network could classify the beat, at an end of the recording or beside a gap; its class is Q."""
        if self.probabilities is None:
            return np.zeros(self.samples.size, dtype=bool)
        return np.isnan(self.probabilities).any(axis=1)

    def unsure(self, percent: float, chosen: slice = slice(None)) -> np.ndarray:
        """bool (n,): the network gave the class of a `chosen` beat less than so many %; none where no network did."""
        if self.probabilities is None:
            return np.zeros(self.samples[chosen].size, dtype=bool)
        return self.probabilities[chosen].max(axis=1) < percent / 100

    @cached_property
    def judged(self) -> np.ndarray:
        """bool (n,): the beat has a class, Q too; every burden is a share of these."""
        return ~self.unclassified

    def judged_outside(self, spans: np.ndarray) -> np.ndarray:
        """bool (n,): judged beats outside the `spans` (k, 2) of irregular rhythm, which a burden of S is a share of."""
        return self.judged & ~in_spans(self.samples, spans)

    def counts(self, chosen: slice = slice(None)) -> dict[str, int]:
        """The beats of each class, those that are unclassified apart from Q, and "all" of the `chosen`."""
        classes = np.where(self.unclassified, UNCLASSIFIED, self.classes)[chosen]
        return {name: int((classes == name).sum()) for name in (*CLASSES, UNCLASSIFIED)} | {"all": classes.size}

    @cached_property
    def readable_s(self) -> float:
        """Readable time in seconds, flutter included."""
        return (self.length - int(np.diff(self.unreadable).sum())) / self.fs

    def readable_within(self, start_s: float, end_s: float) -> float:
        """Readable seconds between two times: exactly 0 where none can be read, so it is worked out in samples."""
        start, end = start_s * self.fs, min(end_s * self.fs, self.length)
        return (end - start - overlap(self.unreadable, start, end)) / self.fs

    def table(self, chosen: slice = slice(None)) -> pd.DataFrame:
        """A row for each of the `chosen` beats: sample, time_s, class, p_N to p_Q where they are known, rr_s, rr_valid.

        `rr_s` is the interval that ends at the beat; the first beat has none.
        """
        columns: dict[str, ArrayLike] = {
            "sample": self.samples[chosen],
            "time_s": self.samples[chosen] / self.fs,
            "class": np.where(self.unclassified[chosen], UNCLASSIFIED, self.classes[chosen]),
        }
        if self.probabilities is not None:
            columns |= {f"p_{name}": self.probabilities[chosen, at] for at, name in enumerate(CLASSES)}
        size = self.samples.size  # there may be none
        columns["rr_s"] = np.append(np.nan, self.rr / self.fs)[:size][chosen]
        columns["rr_valid"] = np.append(False, self.valid)[:size][chosen]
        return pd.DataFrame(columns)


def overlap(intervals: np.ndarray, start: float, end: float) -> float:
    """How much of [start, end) the disjoint `intervals` (k, 2) cover."""
    return float(np.clip(np.minimum(intervals[:, 1], end) - np.maximum(intervals[:, 0], start), 0, None).sum())


def without(intervals: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What of the disjoint, ordered `intervals` [start, end) (k, 2) the likewise `others` leave: (m, 2)."""
    marks = np.unique(np.concatenate([intervals.ravel(), others.ravel()]))
    parts = np.stack([marks[:-1], marks[1:]], axis=1)
    return parts[inside(parts[:, 0], intervals) & ~inside(parts[:, 0], others)]


def longer(intervals: np.ndarray, shortest: float) -> np.ndarray:
    """Those of the `intervals` [start, end) (k, 2) that are at least so long."""
    return intervals[intervals[:, 1] - intervals[:, 0] >= shortest]


def in_spans(points: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """bool (n,): which points lie in one of the disjoint, ordered `spans` (k, 2), their ends included."""
    after = np.searchsorted(spans[:, 1], points)
    return np.append(spans[:, 0], np.inf)[after] <= points


def runs_of(member: np.ndarray, linked: np.ndarray) -> np.ndarray:
    """Maximal runs of beats that are `member` (n,), each `linked` (n - 1,) to the next: (runs, 2), first and last."""
    joined = member[:-1] & member[1:] & linked
    first = np.flatnonzero(member & ~np.append(False, joined)[: member.size])
    last = np.flatnonzero(member & ~np.append(joined, False)[: member.size])
    return np.stack([first, last], axis=1)


def whole_windows(linked: np.ndarray, size: int) -> np.ndarray:
    """The first interval of every window of `size` successive intervals all of which are `linked` (n,)."""
    broken = np.append(0, np.cumsum(~linked))
    return np.flatnonzero(broken[size:] == broken[:-size])


def across(usable: np.ndarray, lengths: np.ndarray, longest: float) -> np.ndarray:
    """Which intervals are `usable` (n,), or belong to an interruption that windows of usable ones may go on across.

    Such an interruption has usable intervals on both sides: at an end of the recording there is none to go on from.

    Args:
        lengths: (n,), of the intervals, in any unit.
        longest: that an interruption may be in all, in that unit.
    """
    interruptions = spans(~usable)
    totals = np.append(0, np.cumsum(lengths))
    short = np.diff(totals[interruptions], axis=1).ravel() <= longest
    between = (interruptions[:, 0] > 0) & (interruptions[:, 1] < usable.size)
    return usable | inside(np.arange(usable.size), interruptions[short & between])


def disjoint(given: ArrayLike, name: str, length: int | None = None) -> np.ndarray:
    """`given` [start, end) as int64 (k, 2), in order, those that touch made one, cut to `length` samples.

    Raises:
        InputError: one ends before it begins; the message calls it by `name`.
    """
    intervals = np.asarray(given, dtype=np.int64).reshape(-1, 2)
    for start, end in intervals[intervals[:, 1] < intervals[:, 0]]:
        raise InputError(f"the {name} interval from sample {start} ends before it begins, at {end}")
    intervals = np.clip(intervals, 0, length)
    intervals = intervals[intervals[:, 1] > intervals[:, 0]]
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    if not len(intervals):
        return intervals
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.append(True, intervals[1:, 0] > reach[:-1])
    return np.stack([intervals[first, 0], reach[np.append(np.flatnonzero(first)[1:] - 1, -1)]], axis=1)


def inside(samples: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """bool (n,): which samples lie in one of the disjoint, ordered `intervals` [start, end) (k, 2)."""
    before = np.searchsorted(intervals[:, 0], samples, side="right") - 1
    return (before >= 0) & (samples < np.append(intervals[:, 1], 0)[before])
