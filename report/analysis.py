"""One recording, from its signal to every figure of its report; nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ec57.protocol import CLASSES
from preprocess import records as wfdb_records
from preprocess.detect import detect_in_parts
from preprocess.leads import is_lead_ii
from preprocess.physionet import first_minute
from preprocess.readers import Recording
from preprocess.signals import bridging_reader, parted
from preprocess.synthetic import MARK
from report.burden import Burden, Hour, burden, hours
from report.classify import UNCLASSIFIABLE, Classifier, classify_peaks, in_classes
from report.definitions import Definitions, Quality
from report.diary import Diary, diary_figures, read_diary
from report.episodes import Episodes, find_classless, find_episodes
from report.flutter import possible_flutter, vf_filtered
from report.given import GivenBeats, between_given_beats, read_given_beats
from report.hrv import Variability, variability
from report.options import Work
from report.pauses import deflection_test, hidden_beats
from report.quality import Unreadable, quiet_pauses, unreadable
from report.rates import HeartRate, heart_rate
from report.rhythm import Rhythm, inside
from report.shapes import shape_test
from report.strips import Chosen, choose_strips, kind_names
from report.trends import Trends, trends
from support.cli import file_suffix
from support.errors import InputError

Step = Callable[[str], object]
"""Called with the name of each step of the work as it begins."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that a report says of one recording."""

    recording: Recording
    synthetic: bool
    """The recording says that a program made it."""
    definitions: Definitions
    quality: Quality
    fs_unconfirmed: bool
    """The sampling frequency is the user's word alone; the file says none."""
    classifier: Classifier | None
    """None: the classes are those of annotations."""
    annotator: str | None
    """Suffix of the annotations that gave the beats, or with a classifier the R-peaks alone; None: detected."""
    rhythm: Rhythm
    diagnosis: pd.DataFrame | None
    """Of a network whose classes are not those of EC57, such as normal and infarction: a row a beat, a column for the
    probability of each class; `rhythm` then calls no beat anything but Q, and no episode is made of beats."""
    first_minute: str
    """A hash of it (`preprocess.physionet.first_minute`)."""
    escape_beats: int | None
    """How many beats the annotations call escape beats, which are in N; None: the classes are not those of
    annotations."""
    left_out: int
    """R-peaks in unreadable time or flutter, which are not part of `rhythm`."""
    unreadable: tuple[Unreadable, ...]
    episodes: Episodes
    burden: Burden
    heart_rate: HeartRate
    variability: Variability
    hours: tuple[Hour, ...]
    trends: Trends
    diary: Diary | None
    flutter_is_annotated: bool
    """Annotations say where there is ventricular flutter; else the signal says where it is possible."""
    strips: Chosen

    @property
    def duration_s(self) -> float:
        """Of the recording, unreadable time included."""
        return self.recording.length / self.recording.fs

    @property
    def training_record(self) -> str | None:
        """The training record of the network that this recording is, by its first minute; None: none that is known."""
        return None if self.classifier is None else self.classifier.training_records.get(self.first_minute)

    @property
    def unclassified(self) -> int:
        """Beats at an end of the recording or at a gap, which no window holds; in sequences they are taken for Q."""
        lost = self.rhythm.unclassified if self.diagnosis is None else self.diagnosis.isna().any(axis=1)
        return int(lost.sum())

    @property
    def other_lead(self) -> bool:
        """Whether the lead is not known to be one that the networks have learnt from; of a training record it is."""
        return self.training_record is None and not is_lead_ii(self.recording.lead)

    @property
    def names(self) -> Mapping[str, str]:
        """Every kind of episode in words."""
        return kind_names(self.flutter_is_annotated)

    def clock(self, seconds: float) -> datetime | None:
        """The time of day at so many seconds; None where it is not known when the recording began."""
        return None if self.recording.start is None else self.recording.start + timedelta(seconds=seconds)


def analyse(
    recording: Recording, work: Work, classifier: Classifier | None, step: Step = lambda title: None
) -> Analysis:
    """Find everything that the report of a recording says; it has to stay open until its strips are drawn.

    Args:
        classifier: None: `work.options.annotations` give the classes.

    Raises:
        InputError: the signal, the annotations or the diary cannot be read, or do not fit; or there is neither a
            classifier nor `work.options.annotations`.
    """
    options, definitions = work.options, work.definitions
    entries = read_diary(Path(options.diary), recording.length / recording.fs, recording.start) if options.diary else []
    annotator = file_suffix(options.annotations) if options.annotations else None
    given = read_given_beats(recording, annotator, options.fs) if annotator else None
    beats = _beats(recording, given, work, classifier, step)

    step("episodes")
    rhythm = beats.rhythm
    if beats.diagnosis is None:
        likeness = None if classifier is None else shape_test(recording.read, rhythm.length, rhythm.fs, rhythm.samples)
        episodes = find_episodes(rhythm, definitions, likeness)
    else:
        episodes = find_classless(rhythm)
    rates = heart_rate(rhythm, definitions, episodes.unlike)
    names = kind_names(beats.lost.flutter_is_annotated)
    return Analysis(
        recording=recording,
        synthetic=_is_synthetic(recording),
        definitions=definitions,
        quality=work.quality,
        fs_unconfirmed=options.fs is not None and not recording.is_rated,
        classifier=classifier,
        annotator=annotator,
        rhythm=rhythm,
        diagnosis=beats.diagnosis,
        first_minute=first_minute(recording.read, rhythm.fs),
        escape_beats=beats.escape_beats,
        left_out=beats.left_out,
        unreadable=tuple(beats.lost.unreadable),
        episodes=episodes,
        burden=burden(rhythm, episodes, definitions),
        heart_rate=rates,
        variability=variability(rhythm, episodes.irregular, definitions),
        hours=tuple(hours(rhythm, episodes, definitions, _into_hour(recording.start))),
        trends=trends(rhythm, episodes, definitions),
        diary=diary_figures(entries, rhythm, episodes) if options.diary else None,
        flutter_is_annotated=beats.lost.flutter_is_annotated,
        strips=choose_strips(rhythm, episodes, rates, entries, definitions, names),
    )


@dataclass(frozen=True, eq=False)
class _Beats:
    """The beats of a recording with their classes, and what is lost of it; `Analysis` says what each figure means."""

    rhythm: Rhythm
    diagnosis: pd.DataFrame | None
    escape_beats: int | None
    left_out: int
    lost: _LostTime


def _beats(
    recording: Recording, given: GivenBeats | None, work: Work, classifier: Classifier | None, step: Step
) -> _Beats:
    """Find the beats, leave out those in lost time, and classify the rest."""
    read, fs, length = recording.read, recording.fs, recording.length
    step("beats")
    detected = detect_in_parts(read, length, fs)
    peaks = detected if given is None else given.peaks
    step("quality")
    lost = _lost_time(recording, detected, given, work, classifier)
    # Beats in noise or flutter must not pass for the rhythm of those around them.
    kept = ~inside(peaks, lost.spans) & ~inside(peaks, lost.flutter)
    peaks = peaks[kept]

    step("classes")
    if classifier is not None:
        classes, probabilities, diagnosis = _classified(recording, peaks, lost, classifier, work.quality)
    elif given is not None:
        classes, probabilities, diagnosis = given.classes[kept], None, None
    else:
        raise InputError("the beats get their classes from a classifier or from options.annotations: give one of them")
    rhythm = Rhythm(
        peaks, classes, fs, length, lost.spans, lost.flutter, lost.interruptions, probabilities=probabilities
    )
    hidden = hidden_beats(rhythm, work.definitions, deflection_test(read, length, fs, peaks))
    return _Beats(
        rhythm=replace(rhythm, hidden=np.union1d(hidden, lost.before_quiet)),
        diagnosis=diagnosis,
        escape_beats=int(given.escape[kept].sum()) if given is not None and classifier is None else None,
        left_out=int((~kept).sum()),
        lost=lost,
    )


@dataclass(frozen=True, eq=False)
class _LostTime:
    """Where no beat is counted, and where the time between two beats is not known."""

    unreadable: list[Unreadable]
    flutter: np.ndarray
    """int64 (k, 2): ventricular flutter, as annotations mark it, or else as the signal makes it possible."""
    flutter_is_annotated: bool
    interruptions: np.ndarray
    """int64 (k,): of `interruptions`."""
    before_quiet: np.ndarray
    """int64 (k,): the beats that begin a pause in which the lead may have been off (`quality.quiet_pauses`)."""

    @cached_property
    def spans(self) -> np.ndarray:
        """int64 (k, 2): the unreadable time."""
        return np.array([(part.start, part.end) for part in self.unreadable], dtype=np.int64).reshape(-1, 2)


def _lost_time(
    recording: Recording, detected: np.ndarray, given: GivenBeats | None, work: Work, classifier: Classifier | None
) -> _LostTime:
    read, length, fs = recording.read, recording.length, recording.fs
    definitions, quality = work.definitions, work.quality
    filtered = vf_filtered(read, length, fs, quality)
    lost = unreadable(read, length, fs, detected, quality, filtered)
    if given is not None and classifier is None:
        lost = between_given_beats(lost, given, definitions.doubtful_pause * fs, quality.flat_shortest * fs)
    # Annotations that give a network its R-peaks may mark nothing else: then flutter is looked for.
    if given is not None and (classifier is None or len(given.flutter)):
        flutter, flutter_is_annotated = given.flutter, True
    else:
        flutter, flutter_is_annotated = possible_flutter(filtered, length, fs, quality), False
    borders = interruptions(recording, round(quality.missing_longest * fs))
    peaks = detected if given is None else given.peaks
    lengths = (definitions.pause * fs, definitions.doubtful_pause * fs)
    quiet = quiet_pauses(read, fs, lost, peaks, lengths, np.append(flutter[:, 0], borders), quality)
    read_after_all = {*quiet.values()}
    return _LostTime(
        unreadable=[part for part in lost if part not in read_after_all],
        flutter=flutter,
        flutter_is_annotated=flutter_is_annotated,
        interruptions=borders,
        before_quiet=np.array([*quiet], dtype=np.int64),
    )


def _classified(
    recording: Recording, peaks: np.ndarray, lost: _LostTime, classifier: Classifier, quality: Quality
) -> tuple[np.ndarray, np.ndarray | None, pd.DataFrame | None]:
    """What a network makes of the beats (n,).

    Returns:
        The class of EC57 of each (n,), its probabilities (n, 5), and None; of a network of other classes Q, None,
        and `Analysis.diagnosis`.
    """
    broken = parted(peaks, np.concatenate([lost.spans[:, 0], lost.flutter[:, 0], lost.interruptions]))
    probabilities = classify_peaks(
        recording.read,
        recording.length,
        recording.fs,
        peaks,
        classifier,
        bridge_s=quality.missing_longest,
        broken=broken,
    )
    if {*classifier.classes} <= {*CLASSES}:
        probabilities, classes = in_classes(probabilities, classifier.classes)
        return classes, probabilities, None
    return np.full(len(peaks), UNCLASSIFIABLE), None, pd.DataFrame(probabilities, columns=[*classifier.classes])


def _is_synthetic(recording: Recording) -> bool:
    """Whether the header of a WFDB record says that a program made it."""
    if recording.format != "WFDB":
        return False
    header = wfdb_records.read_header(recording.path.parent, recording.path.stem)
    return any(MARK in comment for comment in header.comments)


def interruptions(recording: Recording, longest: int) -> np.ndarray:
    """The borders of a recording at which the time between two beats is lost, samples (k,).

    Not so at a gap of up to `longest` missing samples, which is bridged: how long it is is known.
    """

    read = bridging_reader(recording.read, recording.length, longest)

    def is_bridged(border: int) -> bool:
        beside = slice(max(border - 1, 0), min(border + 1, recording.length))  # a border may be either end of a gap
        is_missing = np.isnan(recording.read(beside.start, beside.stop))
        return bool(is_missing.any() and not np.isnan(read(beside.start, beside.stop)).any())

    return np.array([border for border in recording.borders.tolist() if not is_bridged(border)], dtype=np.int64)


def _into_hour(start: datetime | None) -> float:
    return 0.0 if start is None else (start - start.replace(minute=0, second=0, microsecond=0)).total_seconds()
