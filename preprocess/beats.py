"""How a beat is cut: one lead II, and one of three windows of 186 samples.

`centred` is the window of the notes' preprocessing: 360 Hz, centred on the R-peak, each beat standardised. mitdb has
annotated R-peaks; those of ptbdb are found with XQRS and moved to the largest deflection, see `find_r_peaks`.
`kachuee` and `kaggle` are the paper's as its text and as its rows have it: 125 Hz, from the R-peak on, see
`preprocess.kachuee`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocess import databases, kachuee
from preprocess import labels as meanings
from preprocess import records as recordings
from support.errors import InputError

if TYPE_CHECKING:
    import wfdb

FS = 360.0  # Hz, the rate of mitdb
BEFORE, AFTER = 93, 93  # samples before the R-peak, and from it on
LENGTH = BEFORE + AFTER  # samples, 516.7 ms

WINDOW = (
    f"{LENGTH} samples at {FS:g} Hz ({1000 * LENGTH / FS:.1f} ms) of the lead in `leads`, {BEFORE} before the "
    f"{{peak}} and {AFTER} from it on{{resampled}}; each beat standardised to zero mean and unit variance"
)
PEAKS = {"mit": "annotated R-peak", "ptb": "R-peak that wfdb's XQRS detects"}

SEARCH = 0.075  # s, how far an R-peak may be from where XQRS puts it
BASELINE = 0.3  # s, moving average that deflections are measured from: longer than any QRS
SHORTEST = 2.0  # s, less does not hold the two beats that a detector needs


@dataclass(frozen=True)
class Account:
    """What did not become a beat, and why: nothing goes missing silently."""

    left_out: dict[str, list[str]] = field(default_factory=dict)  # reason -> records
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> beats
    flat: int = 0  # beats without any deflection, kept as zeros
    segments: dict[str, int] = field(default_factory=dict)  # reason -> segments without beats (kachuee, kaggle)
    missed: dict[str, int] = field(default_factory=dict)  # class -> annotated beats not cut (kachuee, kaggle)


@dataclass(frozen=True)
class BeatSet:
    """All beats of a dataset, sorted by record and then by position, and what is known of them."""

    samples: np.ndarray  # float32 (n, 1, LENGTH)
    labels: np.ndarray  # int64 (n,), index into `classes`
    classes: tuple[str, ...]
    fs: float  # Hz, the rate of `samples`
    source: str  # physionet, synthetic, records, kaggle or released
    window: str  # a sentence: how each beat was cut, resampled and scaled
    records: np.ndarray | None = None  # int64 (n,), index into `record_names`
    positions: np.ndarray | None = None  # int64 (n,), R-peak as a sample index at the record's own rate
    record_fs: float | None = None  # Hz, the rate that `positions` count in
    record_names: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()  # one a record
    patients: tuple[str, ...] = ()  # one a record
    given_test: np.ndarray | None = None  # bool (n,): the test beats, where others have chosen them
    account: Account = field(default_factory=Account)


# ------------------------------------------------------------------------------------------------ one record


def resample(signal: np.ndarray, fs: float, target: float = FS) -> np.ndarray:
    """Bring a signal (n,) from `fs` to `target` Hz with scipy's polyphase filter; missing samples stay missing."""
    if fs == target:
        return signal
    from scipy.signal import resample_poly

    ratio = Fraction(target / fs).limit_denominator(1000)
    # "line": without it the filter sees a step from zero at both ends, which a detector takes for a beat.
    resampled = resample_poly(bridge(signal), ratio.numerator, ratio.denominator, padtype="line")
    nearest = np.round(np.arange(len(resampled)) * fs / target).astype(np.int64)
    resampled[np.isnan(signal)[np.minimum(nearest, len(signal) - 1)]] = np.nan
    return resampled


def bridge(signal: np.ndarray) -> np.ndarray:
    """Replace missing samples (NaN) by a line between their neighbours; all missing: zeros."""
    missing = np.isnan(signal)
    if not missing.any():
        return signal
    if missing.all():
        return np.zeros_like(signal)
    places = np.arange(len(signal))
    return np.interp(places, places[~missing], signal[~missing])


def find_r_peaks(signal: np.ndarray, fs: float = FS) -> np.ndarray:
    """Find the R-peaks of a signal (n,) in mV.

    wfdb's XQRS detects the complexes. It must see about 360 Hz: its wavelet has a fixed width in samples, and at
    1000 Hz it finds no beat at all in 35 of 47 records of ptbdb. On wide complexes it lands on a shoulder, so
    each is moved to the largest deflection, up or down, within 75 ms. Against the annotations of mitdb (46
    records of MLII, minutes 10 to 18: sensitivity 99.5 %, predictivity 99.9 %) that brings the 95th percentile
    of the distance from 33 ms to 8 ms, and the beats further off than 30 ms from 5.8 % to 1.0 %.

    Returns:
        int64 (peaks,) sample indices, ascending; none for less than two seconds.
    """
    from wfdb import processing

    if len(signal) < SHORTEST * fs:
        return np.empty(0, dtype=np.int64)
    signal = bridge(signal)
    detector = processing.XQRS(sig=signal, fs=fs)
    detector.detect(verbose=False)
    if not len(detector.qrs_inds):
        return np.empty(0, dtype=np.int64)
    peaks = processing.correct_peaks(
        signal, detector.qrs_inds, round(SEARCH * fs), round(BASELINE * fs), peak_dir="both"
    )
    return np.unique(peaks).astype(np.int64)


def cut(
    signal: np.ndarray, centres: np.ndarray, before: int = BEFORE, after: int = AFTER
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows of `before` samples before each centre (n,) and `after` from it on.

    Returns:
        (m, before + after) windows, and bool (n,) which m of the centres they are of: a window that leaves the
        signal is not cut.
    """
    inside = (centres >= before) & (centres + after <= len(signal))
    starts = centres[inside] - before
    return signal[starts[:, None] + np.arange(before + after)], inside


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


def cut_centred(signal: np.ndarray, fs: float, truth: Truth) -> RecordBeats:
    """Cut the beats of a record's signal (n,) at `fs` Hz, each centred on its R-peak and standardised."""
    at_fs = resample(signal, fs)
    if isinstance(truth, tuple):
        positions, labels = truth
    else:
        positions = np.round(find_r_peaks(at_fs) * fs / FS).astype(np.int64)
        labels = np.full(len(positions), truth, dtype=np.int64)
    windows, inside = cut(at_fs, np.round(positions * FS / fs).astype(np.int64))
    whole = ~np.isnan(windows).any(axis=1)
    samples, flat = standardise(windows[whole])
    dropped = {"leave the record": int((~inside).sum()), "hold missing samples": int((~whole).sum())}
    return RecordBeats(samples, labels[inside][whole], positions[inside][whole], Account(dropped=dropped, flat=flat))


def cut_cycles(signal: np.ndarray, fs: float, truth: Truth, reading: kachuee.Reading) -> RecordBeats:
    """Cut the beats of a record's signal (n,) at `fs` Hz from each R-peak on, as `reading` has it.

    Annotated beats: each but the last is cut where it is annotated; or a candidate takes class and position of the one
    that it is matched with, or is dropped.
    """
    at_fs = kachuee.resample(signal, fs)
    annotated = isinstance(truth, tuple)
    reach = reading.candidates
    dropped, without, missed = {}, {}, {}
    if annotated and reading.annotated is not None:
        reach = reading.annotated
        peaks = np.round(truth[0] * kachuee.FS / fs).astype(np.int64)
        intervals = kachuee.annotated_intervals(peaks, reading)
        dropped["begin at the last beat of their record"] = len(peaks) - len(intervals)
        peaks, positions, labels = peaks[: len(intervals)], truth[0][: len(intervals)], truth[1][: len(intervals)]
    else:
        peaks, intervals, without = kachuee.find_beats(at_fs, reading)
        positions = np.round(peaks * fs / kachuee.FS).astype(np.int64)
        if annotated:
            matched, beats = kachuee.match(positions, truth[0], kachuee.TOLERANCE * fs)
            dropped["begin at no annotated beat"] = len(peaks) - len(matched)
            peaks, intervals, positions, labels = peaks[matched], intervals[matched], truth[0][beats], truth[1][beats]
        else:
            labels = np.full(len(peaks), truth, dtype=np.int64)
    samples, enough, whole, flat = kachuee.cut(at_fs, peaks, intervals, LENGTH, reading, reach)
    dropped |= {reach.reason: int((~enough).sum()), "hold missing samples": int((enough & ~whole).sum())}
    labels, positions = labels[enough & whole], positions[enough & whole]
    if annotated:
        classes = meanings.AAMI_CLASSES
        lost = np.bincount(truth[1], minlength=len(classes)) - np.bincount(labels, minlength=len(classes))
        missed = dict(zip(classes, lost.tolist(), strict=True))
    return RecordBeats(samples, labels, positions, Account({}, dropped, flat, without, missed))


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


def read_beats(
    dataset: str, folder: Path, any_lead: bool = False, progress: bool = False, window: str = "centred"
) -> BeatSet:
    """Read all beats of a folder of WFDB records, cut by one of `WINDOWS`.

    `mit`: beats and classes from the annotations. `ptb`: beats detected, the class from the diagnosis in the
    header. `any_lead` takes the first channel of a record without lead II, which is left out otherwise.

    Raises:
        InputError: the folder or one of its records cannot be read, or no beat is found.
    """
    from tqdm import tqdm

    folder, kind = Path(folder), WINDOWS[window]
    names = recordings.list_records(folder, dataset)
    headers = {name: recordings.read_header(folder, name) for name in names}
    source = databases.source_of(dataset, names, headers.values())
    channels, left_out = _choose(dataset, folder, headers, any_lead)
    record_fs = _common_rate(folder, {name: headers[name].fs for name in channels})

    parts: dict[str, RecordBeats] = {}
    accounts: list[Account] = []
    for name, channel in tqdm(channels.items(), f"{dataset} records", disable=None if progress else True):
        signal = recordings.read_signal(folder, name, headers[name], channel)
        truth = _annotated_beats(folder, name) if dataset == "mit" else _diagnosis(headers[name])
        beats = kind.cut(signal, record_fs, truth)
        accounts.append(beats.account)
        if len(beats.labels):
            parts[name] = beats
        else:
            left_out.setdefault("no beats found", []).append(name)

    if not parts:
        raise InputError(f"{folder}: no beats in {len(channels)} records")
    return BeatSet(
        samples=np.concatenate([part.samples for part in parts.values()])[:, None, :],  # (n, L) -> (n, 1, L): one lead
        labels=np.concatenate([part.labels for part in parts.values()]),
        classes=meanings.CLASSES[dataset],
        fs=kind.fs,
        source=source,
        window=kind.sentence.format(
            length=LENGTH,
            peak=kind.peaks[dataset],
            resampled="" if record_fs == kind.fs else f", resampled from {record_fs:g} Hz",
        ),
        records=np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts.values()]),
        positions=np.concatenate([part.positions for part in parts.values()]),
        record_fs=record_fs,
        record_names=tuple(parts),
        leads=tuple(headers[name].sig_name[channels[name]] or "unnamed" for name in parts),
        patients=tuple(databases.patient_of(name, source) for name in parts),
        account=Account(
            left_out,
            _total(account.dropped for account in accounts),
            sum(account.flat for account in accounts),
            _total(account.segments for account in accounts),
            _total(account.missed for account in accounts),
        ),
    )


def _total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total)


def _choose(
    dataset: str, folder: Path, headers: dict[str, wfdb.Record], any_lead: bool
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Choose the records to read -> the channel of each, and for each reason the records left out."""
    channels: dict[str, int] = {}
    left_out: dict[str, list[str]] = {}
    for name, header in headers.items():
        channel = recordings.find_lead(header.sig_name or [], any_lead)
        if dataset == "ptb" and _diagnosis(header) is None:
            reason = meanings.reason_for_admission(header.comments) or "not given"
            left_out.setdefault(f"diagnosis {reason}", []).append(name)
        elif channel is None:
            left_out.setdefault("no lead II", []).append(name)
        else:
            channels[name] = channel
    if not channels:
        why = "; ".join(f"{reason}: {len(names)} records" for reason, names in left_out.items())
        wanted = []
        if "no lead II" in left_out:
            there = sorted({lead or "unnamed" for header in headers.values() for lead in header.sig_name or []})
            wanted.append(
                f"a lead named MLII or II is wanted, there are {', '.join(there) or 'none'}; --any_lead takes the first"
            )
        if left_out.keys() - {"no lead II"}:
            wanted.append(
                "a 'Reason for admission' of healthy control or myocardial infarction is wanted, as in ptbdb; records "
                "with annotated beats are read by --dataset mit"
            )
        raise InputError(f"{folder} holds no record to read ({why}); {'; '.join(wanted)}")
    return channels, left_out


def _common_rate(folder: Path, rates: dict[str, float]) -> float:
    by_rate = {rate: name for name, rate in rates.items()}
    if len(by_rate) > 1:
        examples = ", ".join(f"{name} at {rate:g} Hz" for rate, name in sorted(by_rate.items()))
        raise InputError(f"{folder} holds records of different rates ({examples}); keep one rate in a folder")
    return float(next(iter(by_rate)))


def _annotated_beats(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions and classes (n,) of the annotations that mark beats."""
    positions, symbols = recordings.read_annotations(folder, name)
    labels = meanings.aami_labels(symbols)
    beat = labels != meanings.NO_BEAT
    return positions[beat], labels[beat]


def _diagnosis(header: wfdb.Record) -> int | None:
    return meanings.ptb_label(meanings.reason_for_admission(header.comments))
