"""The beats that annotations beside a WFDB record give, in place of those that the detector finds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from ec57.protocol import CLASSES
from preprocess import labels as meanings
from preprocess import records as wfdb_records
from preprocess.readers import Recording
from report.flutter import marked_flutter
from report.quality import Unreadable
from support.errors import InputError


@dataclass(frozen=True)
class GivenBeats:
    """What the annotations of a record say of its beats."""

    peaks: np.ndarray
    """int64 (n,): samples, ascending."""
    classes: np.ndarray
    """str (n,): of each beat one of `CLASSES`."""
    escape: np.ndarray
    """bool (n,): an escape beat, whose class is N."""
    flutter: np.ndarray
    """int64 (k, 2): from each `[` to the `]` after it."""


def read_given_beats(recording: Recording, annotator: str, fs: float | None) -> GivenBeats:
    """Read the annotations beside a WFDB record.

    Args:
        fs: Hz, as the user says; where the header gives none, it is that of the frames in which annotations count.

    Raises:
        InputError: it is not a WFDB record, has no such annotations or no beat among them, or a beat is outside it or
            of two classes.
    """
    if recording.format != "WFDB":
        raise InputError(
            f"--annotations {annotator}: {recording.path} is of the format {recording.format}; only WFDB records have "
            "annotations beside them"
        )
    folder, name = recording.path.parent, recording.path.stem
    header = wfdb_records.read_header(folder, name)
    if not header.rated and fs is not None:
        header = replace(header, fs=fs)
    annotations = wfdb_records.read_annotations(folder, name, header, annotator, recording.fs)
    labels = meanings.aami_labels(annotations.symbols)
    is_beat = labels != meanings.NO_BEAT
    peaks, labels = annotations.positions[is_beat], labels[is_beat]
    where = f"{folder / name}.{annotator}"
    if not len(peaks):
        raise InputError(f"{where}: marks no beat; is it that of another annotator?")
    # The records of svdb are annotated up to the sample after their last one.
    outside = peaks[(peaks < 0) | (peaks > recording.length)]
    if outside.size:
        raise InputError(
            f"{where}: has {outside.size} beats outside the recording of {recording.length} samples, the first at "
            f"sample {outside[0]}; are they those of another record?"
        )
    symbols = annotations.symbols[is_beat]
    first = meanings.first_of_each_instant(where, peaks, labels, symbols, recording.fs)  # one annotated twice is one
    classes = np.array(CLASSES)[labels[first]]
    escape = np.isin(symbols[first], [*meanings.ESCAPE_SYMBOLS])
    flutter = marked_flutter(annotations.positions.tolist(), annotations.symbols.tolist(), recording.length)
    return GivenBeats(peaks[first], classes, escape, flutter)


def between_given_beats(
    lost: list[Unreadable], given: GivenBeats, longest_noise: float, longest_level: float
) -> list[Unreadable]:
    """What is left of unreadable time where beats and flutter are annotated: whoever annotated them could read it.

    Missing samples are left: those nobody could read.

    Args:
        longest_noise: samples; noise is left where it is longer than this without an annotated beat or flutter.
        longest_level: samples; likewise of a signal that is flat or at its limit.
    """
    found, peaks = [], np.sort(np.concatenate([given.peaks, *(np.arange(*span) for span in given.flutter)]))
    for part in lost:
        if part.reason == "missing":
            found.append(part)
            continue
        first, past = np.searchsorted(peaks, [part.start, part.end])
        edges = [part.start - 1, *peaks[first:past].tolist(), part.end]
        gaps = ((a + 1, b) for a, b in itertools.pairwise(edges))  # from the sample after a beat
        longest = longest_noise if part.reason == "noise" else longest_level
        found += [Unreadable(a, b, part.reason) for a, b in gaps if b - a > longest]
    return found
