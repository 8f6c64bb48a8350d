"""How a beat is cut: one lead, and one of three windows of 186 samples.

`centred` is this package's own, not in the paper: 360 Hz, centred on the R-peak, each beat standardised. mitdb has
annotated R-peaks; those of ptbdb are detected (`preprocess.detect`).
`kachuee` and `kaggle` are the paper's, by its text and by its rows: 125 Hz, from the R-peak on, see
`preprocess.kachuee`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_configs import chosen_classes
from ec57.annotation_files import StoredAnnotations
from ec57.headers import Header
from preprocess import databases, kachuee, physionet
from preprocess.context import Context, join_contexts, record_context
from preprocess.detect import detect_beats
from preprocess.labels import CLASSES, NO_BEAT, aami_labels, first_of_each_instant, ptb_label, reason_for_admission
from preprocess.leads import LEAD_II, find_lead
from preprocess.readers.wfdb import open_signal
from preprocess.records import (
    ANNOTATOR,
    LISTING,
    list_annotators,
    list_records,
    read_annotations,
    read_header,
    unlisted_records,
)
from preprocess.signals import FS, resample
from support.errors import InputError, count_of, unknown

BEFORE, AFTER = 93, 93  # samples before the R-peak, and from it on
LENGTH = BEFORE + AFTER  # samples, 516.7 ms

WINDOW = (
    f"{LENGTH} samples at {FS:g} Hz ({1000 * LENGTH / FS:.1f} ms) of the lead in `leads`, {BEFORE} before the "
    f"{{peak}} and {AFTER} from it on; each beat standardised to zero mean and unit variance"
)
PEAKS = {"mit": "annotated R-peak", "ptb": "R-peak that preprocess.detect finds"}

FLAT = 0.1  # mV, peak to peak: minutes of leads with less may look alike in steps of 1/200 mV

OUTSIDE = "annotated outside their record"
DOUBLED = "annotated again at the instant of another, which is kept"

USUAL = (0.2, 3.0)  # s, between which the median R-R interval of anybody is
UNUSUAL = (
    f"their beats are mostly less than {USUAL[0]:g} s or more than {USUAL[1]:g} s apart, so their annotations may mark "
    "something else, such as minutes, or count at another rate"
)


@dataclass(frozen=True)
class Account:
    """What did not become a beat, and why: nothing goes missing silently."""

    left_out: dict[str, list[str]] = field(default_factory=dict)  # reason -> records
    remarks: dict[str, list[str]] = field(default_factory=dict)  # what to know of records that were read -> records
    unused: dict[str, int] = field(default_factory=dict)  # symbol -> annotations that mark no beat
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> beats
    flat: int = 0  # beats without any deflection, kept as zeros
    segments: dict[str, int] = field(default_factory=dict)  # reason -> segments without beats (kachuee, kaggle)
    missed: dict[str, int] = field(default_factory=dict)  # class -> annotated beats not cut (kachuee, kaggle)


@dataclass(frozen=True)
class BeatSet:
    """All beats of a dataset, sorted by record and then by position, and what is known of them."""

    samples: np.ndarray  # float32 (n, 1, L): L is LENGTH, or what a `released` file has
    labels: np.ndarray  # int64 (n,), index into `classes`
    classes: tuple[str, ...]
    fs: float  # Hz, the rate of `samples`
    source: str  # physionet, synthetic, records, kaggle or released; of several databases with commas between
    window: str  # a sentence: how each beat was cut, resampled and scaled
    records: np.ndarray | None = None  # int64 (n,), index into `record_names`
    positions: np.ndarray | None = None  # int64 (n,), R-peak as a sample index at the record's own rate
    record_fs: tuple[float, ...] = ()  # Hz, one per record: the rate that its `positions` count in
    record_names: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()  # one per record
    patients: tuple[str, ...] = ()  # one per record
    databases: tuple[str, ...] = ()  # one per record: the slug of its database, "" where that is not known
    source_from: str = ""  # a phrase: how `source` was established
    patients_from: str = ""  # a phrase: how `patients` were identified
    context: Context | None = None  # the rhythm around each beat, where the window has it
    given_test: np.ndarray | None = None  # bool (n,): the test beats, where others have chosen them
    account: Account = field(default_factory=Account)


def only_classes(beats: BeatSet, classes: Sequence[str] | None) -> BeatSet:
    """Leave out the beats of all other classes than `classes`; None keeps them all.

    Raises:
        InputError: a class is unknown, fewer than two are named, or no beat is of any of them.
    """
    if classes is None:
        return beats
    chosen = chosen_classes(classes, beats.classes)
    kept = np.isin(beats.labels, [beats.classes.index(name) for name in chosen])
    if not kept.any():
        raise InputError(
            f"--classes {' '.join(classes)}: none of the {len(kept)} beats is of these classes; keep others"
        )
    counts = np.bincount(beats.labels[~kept], minlength=len(beats.classes))
    dropped = {
        f"are of class {name} (not in --classes)": int(count)
        for name, count in zip(beats.classes, counts, strict=True)
        if count
    }
    new_label = np.array([chosen.index(name) if name in chosen else -1 for name in beats.classes])
    return replace(
        beats,
        samples=beats.samples[kept],
        labels=new_label[beats.labels[kept]],
        classes=chosen,
        records=None if beats.records is None else beats.records[kept],
        positions=None if beats.positions is None else beats.positions[kept],
        context=None if beats.context is None else beats.context.of_beats(kept),
        given_test=None if beats.given_test is None else beats.given_test[kept],
        account=replace(beats.account, dropped=beats.account.dropped | dropped),
    )


# ------------------------------------------------------------------------------------------------ one record


def cut(signal: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the window around each centre, int (n,), of a signal (samples,), both at `FS`.

    Returns:
        (m, LENGTH) windows, and bool (n,) which m of the centres they are of: a window that leaves the signal is not
        cut.
    """
    inside = (centres >= BEFORE) & (centres + AFTER <= len(signal))
    return signal[centres[inside, None] + np.arange(-BEFORE, AFTER)], inside


def standardise(windows: np.ndarray) -> tuple[np.ndarray, int]:
    """Scale each window (n, L) to zero mean and unit (population) variance; a flat one becomes zeros.

    Returns:
        float32 (n, L), and the number of flat windows.
    """
    centred = windows - windows.mean(axis=1, keepdims=True)
    flat = np.ptp(windows, axis=1) == 0
    centred[flat] = 0.0  # rounding may have left the mean a hair off
    deviation = centred.std(axis=1, keepdims=True)
    deviation[flat] = 1.0
    return (centred / deviation).astype(np.float32), int(flat.sum())


Truth = tuple[np.ndarray, np.ndarray] | int
"""What is known of a record: its annotated beats, positions (n,) at its own rate and labels (n,); or one label."""


@dataclass(frozen=True)
class RecordBeats:
    """The beats of one record, in their order in time, and what did not become one."""

    samples: np.ndarray  # float32 (n, LENGTH)
    labels: np.ndarray  # int64 (n,)
    positions: np.ndarray  # int64 (n,), at the record's own rate
    account: Account
    context: Context | None = None  # of the n beats; None: the window has none
    annotated: int = 0  # beats that the annotations mark, cut or not
    first_minute: str | None = None  # `preprocess.physionet.first_minute` of the lead; None: too flat to tell


def cut_centred(signal: np.ndarray, fs: float, truth: Truth) -> RecordBeats:
    """Cut the beats of a record's signal (n,) at `fs` Hz, each centred on its R-peak and standardised.

    Raises:
        InputError: as `detect_beats`, where the beats are not annotated.
    """
    at_fs = resample(signal, fs)
    if isinstance(truth, tuple):
        positions, labels = truth
    else:
        positions = detect_beats(signal, fs)
        labels = np.full(len(positions), truth, dtype=np.int64)
    peaks = np.round(positions * FS / fs).astype(np.int64)
    windows, inside = cut(at_fs, peaks)
    whole = ~np.isnan(windows).any(axis=1)
    context = record_context(at_fs, peaks).of_beats(np.flatnonzero(inside)[whole])
    samples, flat = standardise(windows[whole])
    dropped = {"leave the record": int((~inside).sum()), "hold missing samples": int((~whole).sum())}
    account = Account(dropped=dropped, flat=flat)
    return RecordBeats(samples, labels[inside][whole], positions[inside][whole], account, context)


def cut_cycles(signal: np.ndarray, fs: float, truth: Truth, reading: kachuee.Reading) -> RecordBeats:
    """Cut the beats of a record's signal (n,) at `fs` Hz from each R-peak on, by the rules of `reading`.

    Where beats are annotated, either each but the last is cut there, or each candidate takes class and position of the
    annotated beat that it is matched with; a candidate without one is dropped.
    """
    at_fs = kachuee.resample(signal, fs)
    reach = reading.candidates
    dropped: dict[str, int] = {}
    without: dict[str, int] = {}
    missed: dict[str, int] = {}
    if isinstance(truth, tuple) and reading.annotated is not None:
        reach = reading.annotated
        peaks = np.round(truth[0] * kachuee.FS / fs).astype(np.int64)
        intervals = kachuee.annotated_intervals(peaks, reading)
        dropped["begin at the last beat of their record"] = len(peaks) - len(intervals)
        peaks, positions, labels = peaks[: len(intervals)], truth[0][: len(intervals)], truth[1][: len(intervals)]
    else:
        peaks, intervals, without = kachuee.find_beats(at_fs, reading)
        positions = np.round(peaks * fs / kachuee.FS).astype(np.int64)
        if isinstance(truth, tuple):
            matched, beats = kachuee.match(positions, truth[0], kachuee.TOLERANCE * fs)
            dropped["begin at no annotated beat"] = len(peaks) - len(matched)
            peaks, intervals, positions, labels = peaks[matched], intervals[matched], truth[0][beats], truth[1][beats]
        else:
            labels = np.full(len(peaks), truth, dtype=np.int64)
    samples, enough, whole, flat = kachuee.cut(at_fs, peaks, intervals, LENGTH, reading, reach)
    dropped |= {reach.reason: int((~enough).sum()), "hold missing samples": int((enough & ~whole).sum())}
    labels, positions = labels[enough & whole], positions[enough & whole]
    if isinstance(truth, tuple):
        classes = CLASSES["mit"]  # only its beats are annotated
        lost = np.bincount(truth[1], minlength=len(classes)) - np.bincount(labels, minlength=len(classes))
        missed = dict(zip(classes, lost.tolist(), strict=True))
    account = Account(dropped=dropped, flat=flat, segments=without, missed=missed)
    return RecordBeats(samples, labels, positions, account)


@dataclass(frozen=True)
class Window:
    """A way to cut the beats of a record."""

    fs: float  # Hz, the rate of the beats
    sentence: str  # for `BeatSet.window`, with places for what is known later
    peaks: dict[str, str]  # what the sentence calls the R-peaks of each dataset
    cut: Callable[[np.ndarray, float, Truth], RecordBeats]


WINDOWS = {
    "centred": Window(FS, WINDOW, PEAKS, cut_centred),
} | {
    name: Window(kachuee.FS, reading.sentence, reading.peaks, partial(cut_cycles, reading=reading))
    for name, reading in {"kachuee": kachuee.KACHUEE, "kaggle": kachuee.KAGGLE}.items()
}


# --------------------------------------------------------------------------------------------------- a folder


@dataclass(frozen=True)
class ReadingOptions:
    """What is read of the records of a folder, and how their beats are cut."""

    lead: tuple[str, ...] = LEAD_II  # names of the lead, in the order of preference
    any_lead: bool = False  # records without it are read too: from lead II, or else from their first ECG channel
    annotator: str = ANNOTATOR  # suffix of the annotation files
    window: str = "centred"  # one of `WINDOWS`

    @property
    def no_lead(self) -> str:
        """Why a record is left out that has no lead to read."""
        if self.any_lead:
            return "no ECG channel"
        return f"no lead {'II' if self.lead == LEAD_II else ' or '.join(self.lead)}"


def read_beats(
    dataset: str,
    folder: Path,
    options: ReadingOptions = ReadingOptions(),
    database: databases.Database | None = None,
    patients_file: Path | None = None,
) -> BeatSet:
    """Read all beats of a folder of WFDB records.

    `mit`: beats and classes from the annotations. `ptb`: beats detected, the class from the diagnosis in the
    header. A record without the lead to read is left out. `database` is the one that the user says the records
    are of, `patients_file` a CSV file that says whose they are.

    Raises:
        InputError: the folder, one of its records or `patients_file` cannot be read, no record has the lead, they have
            several rates, no beat is found, one has two classes, or some headers name a patient and others do not.
    """
    folder = Path(folder)
    names = list_records(folder, dataset)
    headers = {name: read_header(folder, name) for name in names}
    given = databases.patients_from_file(patients_file, names) if patients_file else None
    channels, left_out = _choose(dataset, folder, headers, options)
    record_fs = _common_rate(folder, {name: headers[name].rate(channel) for name, channel in channels.items()})

    read = {
        name: _read_record(dataset, folder, name, headers[name], channel, record_fs, options)
        for name, channel in tqdm(channels.items(), f"{dataset} records", disable=None)
    }
    parts = {name: part for name, part in read.items() if len(part.labels)}
    if len(parts) < len(read):
        left_out["no beats found"] = [name for name in read if name not in parts]
    account = total([*(part.account for part in read.values()), Account(left_out)])
    if not parts:
        raise InputError(_no_beats(dataset, folder, headers, read, options, account))
    if unlisted := unlisted_records(folder, names):
        account.left_out["not in the RECORDS file"] = unlisted

    comments = {name: headers[name].comments for name in parts}
    origin = physionet.identify(folder, comments, channels, dataset, options.annotator, database)
    copies = _copies({name: part.first_minute for name, part in parts.items()})
    patients, patients_from = given or databases.patients_of(comments, origin.database, str(folder), copies)
    account.remarks.update(_remarks_on_copies(copies, patients))
    window = WINDOWS[options.window]
    return BeatSet(
        samples=np.concatenate([part.samples for part in parts.values()])[:, None, :],  # (n, L) -> (n, 1, L): one lead
        labels=np.concatenate([part.labels for part in parts.values()]),
        classes=CLASSES[dataset],
        fs=window.fs,
        source=origin.source,
        window=window.sentence.format(length=LENGTH, peak=window.peaks[dataset]),
        records=np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts.values()]),
        positions=np.concatenate([part.positions for part in parts.values()]),
        record_fs=(record_fs,) * len(parts),
        record_names=tuple(parts),
        leads=tuple(headers[name].signals[channels[name]].name or "unnamed" for name in parts),
        patients=tuple(patients[name] for name in parts),
        databases=(origin.database.slug if origin.database else "",) * len(parts),
        source_from=origin.reason,
        patients_from=patients_from,
        context=join_contexts([part.context for part in parts.values()]),
        account=account,
    )


def _read_record(
    dataset: str, folder: Path, name: str, header: Header, channel: int, fs: float, options: ReadingOptions
) -> RecordBeats:
    """Read one lead of a record at `fs` Hz and what is known of its beats, and cut them."""
    window = WINDOWS[options.window]
    trace = open_signal(folder, name, header, channel)
    signal = trace.read(0, trace.length)
    truth: Truth
    if dataset == "mit":
        annotations = _read_annotations(folder, name, header, options.annotator, fs)
        truth, selection = select_beats(name, annotations, len(signal), fs, window.fs)
        annotated = len(truth[0]) + sum(selection.dropped.values())
    else:
        label = _diagnosis(header)
        assert label is not None  # `_choose` leaves out the records whose diagnosis is not a class
        truth, selection, annotated = label, Account(), 0
    beats = window.cut(signal, fs, truth)
    account = total([selection, beats.account, Account(remarks={note: [name] for note in trace.notes})])
    return replace(beats, account=account, annotated=annotated, first_minute=_first_minute(signal, fs))


def select_beats(
    name: str, annotations: StoredAnnotations, length: int, fs: float, window_fs: float
) -> tuple[tuple[np.ndarray, np.ndarray], Account]:
    """Select the annotations that are beats of a record of `length` samples at `fs` Hz, each instant once.

    An instant is a sample at the rate of the windows, `window_fs`: two beats there would be the same window, and one of
    them could be trained on and the other tested.

    Returns:
        Positions (n,), ascending, and labels (n,) of the beats; and an account of the other annotations.

    Raises:
        InputError: the annotations of one instant are of different classes.
    """
    labels = aami_labels(annotations.symbols)
    is_beat = labels != NO_BEAT
    inside = is_beat & (annotations.positions >= 0) & (annotations.positions < length)
    positions, labels, symbols = annotations.positions[inside], labels[inside], annotations.symbols[inside]
    instants = np.round(positions * window_fs / fs)
    first = first_of_each_instant(f"record {name}", positions, labels, symbols, fs, instants)
    lost = {OUTSIDE: int((is_beat & ~inside).sum()), DOUBLED: len(positions) - len(first)}
    lost = {reason: count for reason, count in lost.items() if count}
    remarks = {f"beats {reason}": [name] for reason in lost}
    apart = np.diff(positions[first]) / fs
    if len(apart) and not USUAL[0] <= np.median(apart) <= USUAL[1]:
        remarks[UNUSUAL] = [name]
    return (positions[first], labels[first]), Account(
        remarks=remarks,
        dropped={f"belong to beats {reason}": count for reason, count in lost.items()},
        unused=dict(Counter(annotations.symbols[~is_beat].tolist())),
    )


def total(accounts: Iterable[Account]) -> Account:
    """Add up accounts, field by field and reason by reason."""
    sums: dict[str, Any] = {}
    for account in accounts:
        for each in fields(Account):
            value = getattr(account, each.name)
            if isinstance(value, dict):
                by_reason = sums.setdefault(each.name, {})
                for reason, part in value.items():
                    by_reason[reason] = by_reason[reason] + part if reason in by_reason else part
            else:
                sums[each.name] = sums.get(each.name, 0) + value
    return Account(**sums)


def _choose(
    dataset: str, folder: Path, headers: dict[str, Header], options: ReadingOptions
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Choose the records to read -> the channel of each, and for each reason the records left out."""
    channels: dict[str, int] = {}
    left_out: dict[str, list[str]] = {}
    for name, header in headers.items():
        channel = find_lead(header.signals, options.lead, options.any_lead)
        if dataset == "ptb" and _diagnosis(header) is None:
            reason = reason_for_admission(header.comments) or "not given"
            left_out.setdefault(f"diagnosis {reason}", []).append(name)
        elif channel is None:
            left_out.setdefault(options.no_lead, []).append(name)
        elif header.signals[channel].millivolts is None:
            lead = header.signals[channel]
            left_out.setdefault(f"lead {lead.name} is in {lead.units}, which is not a unit of voltage", []).append(name)
        else:
            channels[name] = channel
    if not channels:
        raise InputError(_no_records(folder, headers, left_out, options))
    return channels, left_out


def _no_records(
    folder: Path, headers: dict[str, Header], left_out: dict[str, list[str]], options: ReadingOptions
) -> str:
    """Say that all records are left out, and what to type instead."""
    why = "; ".join(f"{reason}: {count_of(len(names), 'record')}" for reason, names in left_out.items())
    remedies = []
    if options.no_lead in left_out:
        there = sorted({signal.name or "unnamed" for header in headers.values() for signal in header.signals})
        others = "" if options.any_lead else ", --any_lead the first ECG channel"
        remedies.append(
            str(
                unknown("lead", " or ".join(options.lead), there or ["none"], f"--lead NAME takes one of these{others}")
            )
        )
    if any(reason.startswith("diagnosis ") for reason in left_out):
        remedies.append(
            "--dataset ptb reads records whose header gives the 'Reason for admission' healthy control or myocardial "
            "infarction, as in ptbdb; --dataset mit reads records with annotated beats"
        )
    if any(reason.endswith("not a unit of voltage") for reason in left_out):
        remedies.append("write V, mV, uV or nV into the header, whichever it is")
    return f"{folder} holds no record to read ({why}){''.join(f'; {remedy}' for remedy in remedies)}"


def _no_beats(
    dataset: str,
    folder: Path,
    headers: dict[str, Header],
    read: dict[str, RecordBeats],
    options: ReadingOptions,
    account: Account,
) -> str:
    """Say that the records that were read have no beats, and why."""
    none = f"{folder}: no beats in {count_of(len(read), 'record')}"
    if dataset == "ptb" or any(part.annotated for part in read.values()):
        lost = [f"{count} windows {reason}" for reason, count in account.dropped.items() if count]
        lost += [f"{count} segments {reason}" for reason, count in account.segments.items() if count]
        return f"{none} ({', '.join(lost)})" if lost else none
    codes = ", ".join(f"{symbol} {count}" for symbol, count in sorted(account.unused.items())) or "none"
    name = next(iter(read))
    others = [one for one in list_annotators(folder, name, headers[name]) if one != options.annotator]
    there = f"; there are annotations of {', '.join(others)}, too: --annotator {others[0]}" if others else ""
    return f"{none}; the codes of the {options.annotator} annotations, such as {name}'s, are {codes}{there}"


def _read_annotations(folder: Path, name: str, header: Header, annotator: str, rate: float) -> StoredAnnotations:
    try:
        return read_annotations(folder, name, header, annotator, rate)
    except InputError as error:
        if _diagnosis(header) is not None:
            raise InputError(f"{error}; its header gives a diagnosis, and --dataset ptb reads such records") from error
        if Path(folder, f"{name}.{annotator}").is_file():
            raise
        without = f"to leave it out, name the other records, one a line, in {folder / LISTING}"
        raise InputError(f"{error}; {without}; python -m report needs no annotations") from error


def _common_rate(folder: Path, rates: dict[str, float]) -> float:
    by_rate = {rate: name for name, rate in rates.items()}
    if len(by_rate) > 1:
        examples = ", ".join(f"{name} at {rate:g} Hz" for rate, name in sorted(by_rate.items()))
        raise InputError(
            f"{folder} holds records of different rates ({examples}); --raw_path DIR names a folder whose records have "
            "one rate, such as that of one database"
        )
    return next(iter(by_rate))


def _first_minute(signal: np.ndarray, fs: float) -> str | None:
    """The hash that copies of a record share; None where that minute of the lead (n,), in mV, is flat or missing."""
    start = signal[: round(60 * fs)]
    there = start[np.isfinite(start)]
    if not there.size or np.ptp(there) < FLAT:
        return None
    return physionet.first_minute(lambda first, stop: signal[first:stop], fs)


def _copies(first_minutes: dict[str, str | None]) -> list[list[str]]:
    """Groups of records that have the same first minute."""
    groups: dict[str, list[str]] = {}
    for name, minute in first_minutes.items():
        if minute is not None:
            groups.setdefault(minute, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _remarks_on_copies(copies: Iterable[Sequence[str]], patients: Mapping[str, str]) -> dict[str, list[str]]:
    """Name the records of each group that has the same first minute, and their patients."""
    remarks: dict[str, list[str]] = {}
    for group in copies:
        of = ", ".join(dict.fromkeys(patients[name] for name in group))
        remarks.setdefault(f"the first minute of their signals is the same (patient {of})", []).extend(group)
    return remarks


def _diagnosis(header: Header) -> int | None:
    return ptb_label(reason_for_admission(header.comments))
