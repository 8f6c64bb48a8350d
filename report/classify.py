"""From R-peaks to classes: the beats of a recording, cut as the checkpoint's training beats were, and the network.

Days are classified a stretch at a time, in the memory of half an hour.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from ec57.protocol import CLASSES
from models import ecgTransForm
from preprocess.beats import LENGTH, PEAKS, WINDOWS, cut, standardise
from preprocess.context import CONTEXT_NAMES, Context, broken_intervals, record_rhythm, stretch_context, stretches
from preprocess.readers.recording import HIGHEST_RATE, LOWEST_RATE, is_too_slow
from preprocess.signals import BRIDGED, FS, Read, bridging_reader, resampling_reader
from report.rhythm import UNCLASSIFIED
from run_folder.layout import tests_new_patients
from run_folder.network import base_card, load_network, read_card
from support.errors import InputError, count_of
from support.fields import fits
from support.files import read_json
from trainer import stream_logits
from utils import Checkpoint, find_checkpoint, get_device, pretrained_names

DEFAULT = "mit_new_patients_fast"
"""The packaged model that classifies a recording: on patients it has not seen no other finds S and V better."""
ALONE = "mit_beat"
"""The packaged model that classifies single beats."""
UNCLASSIFIABLE = "Q"
ROWS = 32
"""A network is given a multiple of so many beats: PyTorch keeps in memory what it prepares for each size of a batch,
and of a day hardly two stretches have as many beats."""


# ------------------------------------------------------------------------------------------------- the checkpoint


@dataclass(frozen=True)
class Figures:
    """How a network did on beats that it was tested on, by class, percent.

    Sensitivity and plain precision of every class: EC57's positive predictivity, which excuses some confusions, is
    defined for S and V alone.
    """

    per_class: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Class -> sensitivity, precision, beats; empty where nothing is stated."""
    tested_on: str = "not stated"
    new_patients: bool | None = None
    """Whether the test was split from training by patient; exceptions are named in `tested_on`. None: not stated."""


@dataclass(frozen=True)
class Classifier:
    """A trained network, and what is known of it."""

    name: str
    """Of a packaged model; else the path that was given."""
    dataset: str
    classes: tuple[str, ...]
    trained_on: str
    figures: Figures
    cautions: tuple[str, ...]
    """What its card says it must not be used for."""
    model: ecgTransForm = field(repr=False)
    device: torch.device = field(repr=False)
    training_records: dict[str, str] = field(default_factory=dict, repr=False)
    """`preprocess.physionet.first_minute` of each lead of a training record -> its name; empty where not stated.
    Of a run with `--init`, those of the packaged network that it goes back to."""
    fine_tuned: bool = False
    """Whether its training began with another network, so that `training_records` need not have all of them."""
    context: tuple[str, ...] = ()
    """Columns of the context that the network sees beside a beat; none: it sees the beat alone."""


def load_classifier(checkpoint: str | Path | None = None, device: str | torch.device = "cpu") -> Classifier:
    """Load a network to classify with.

    Args:
        checkpoint: a checkpoint file, a run folder or that of a seed, or the name of a packaged model; None:
            `DEFAULT`.

    Raises:
        InputError: there is no such checkpoint, it is damaged, or its beats were cut in a way that cannot be repeated
            on a recording.
    """
    if not isinstance(checkpoint, str | Path | None):
        raise InputError(f"the network must be a path or a name, such as {DEFAULT!r}, got {_kind(checkpoint)}")
    given = DEFAULT if checkpoint is None else str(checkpoint)
    if checkpoint is None and DEFAULT not in pretrained_names():
        raise InputError(f"the packaged model {DEFAULT} is not there; name another network")
    path = find_checkpoint(given)
    model, kept = load_network(path, device)
    _require_known_window(path, kept)
    card = read_card(path)
    records = card.get("training_records") or base_card(kept.data).get("training_records", {})
    stated = {name: card[name] for name in ("per_class", "tested_on", "new_patients") if name in card}
    figures = Figures(**stated) if card else _figures_of_run(path, kept.data)
    return Classifier(
        name=given,
        dataset=kept.dataset,
        classes=kept.configs.classes,
        trained_on=card.get("trained_on") or _trained_on(kept),
        figures=figures,
        cautions=tuple(card.get("cautions", ())),
        model=model,
        device=get_device(device),
        training_records={
            lead: f"{record} of {database}"
            for database, of_database in records.items()
            for record, leads in of_database.items()
            for lead in leads
        },
        fine_tuned="init" in kept.data,
        context=kept.configs.context_features,
    )


def _require_known_window(path: Path, kept: Checkpoint) -> None:
    """Raise an `InputError` unless the training beats were cut as `classify_peaks` cuts."""
    window, length = kept.data.get("window"), kept.configs.sequence_len
    sentence = WINDOWS["centred"].sentence
    known = {sentence.format(length=LENGTH, peak=peak) for peak in PEAKS.values()}
    if window not in known:
        says = f"were cut in another way: {window}" if window not in (None, "unknown") else "are not described in it"
        raise InputError(
            f"{path}: the beats that it was trained on {says}; a report cuts {LENGTH} samples around each "
            "R-peak, so train on split files of `python -m preprocess --window centred`"
        )
    if length != LENGTH:
        raise InputError(f"{path}: takes beats of {length} samples; a report cuts {LENGTH}")


def _trained_on(kept: Checkpoint) -> str:
    data = kept.data
    records = len(data.get("training_records", ()))
    words = [f"{data.get('source', 'unknown')} data of --dataset {kept.dataset}"]
    words += [count_of(records, "record")] if records else []
    text = ", ".join([*words, f"{data.get('protocol', 'unknown')} split"])
    if "init" not in data:
        return text
    return f"{text}; fine-tuned from {data['init']}{', whose records are counted too' * bool(data.get('init_records'))}"


def _figures_of_run(path: Path, trained_on: dict[str, Any]) -> Figures:
    """What the run that wrote a checkpoint measured on its test split: test_best.json beside it.

    Args:
        trained_on: what the checkpoint says of the run's beats (`SeedRun.data`).
    """
    test = path.with_name("test_best.json")
    if path.name != "checkpoint_best.pt" or not test.is_file():
        return Figures()
    metrics = read_json(test)
    data, per_class = metrics.get("data") or {}, metrics.get("per_class", {})
    if not (
        fits(data, dict[str, Any])
        and fits(protocol := data.get("protocol", "unknown"), str)
        and fits(per_class, dict[str, dict[str, float]])
        and all({"recall", "precision", "support"} <= figures.keys() for figures in per_class.values())
    ):
        raise InputError(f"{test}: is damaged: these are not figures of a test; move it away to do without them")
    return Figures(
        per_class={
            name: {
                "sensitivity": 100 * figures["recall"] if figures["support"] else None,
                "precision": 100 * figures["precision"] if figures["support"] else None,
                "beats": figures["support"],
            }
            for name, figures in per_class.items()
        },
        tested_on=f"{data.get('source', 'unknown')} data, {protocol} split",
        new_patients=tests_new_patients(protocol, trained_on),
    )


# ------------------------------------------------------------------------------------------------------- the beats


def classify_beats(
    windows: np.ndarray, classifier: Classifier | str | Path | None = None, context: Context | None = None
) -> np.ndarray:
    """Classify beats that are cut already.

    Args:
        windows: (n, 186) at 360 Hz, the R-peak at sample 93, in any unit; each is standardised here.
        classifier: a network, or what `load_classifier` takes for one; None: `ALONE`, or with a context `DEFAULT`.
        context: of the n beats (`preprocess.context.record_context`), for a network that sees it.

    Returns:
        float32 (n, C): the probability of each of the network's classes.

    Raises:
        InputError: the beats have another shape or missing samples, or the network sees a context and none is given.
    """
    windows = _numbers(windows, "windows")
    if windows.ndim != 2 or windows.shape[1] != LENGTH or not np.isfinite(windows).all():
        raise InputError(f"windows of shape {windows.shape}: (n, {LENGTH}) finite samples at {FS:g} Hz are needed")
    if not isinstance(classifier, Classifier):
        classifier = load_classifier(ALONE if classifier is None and context is None else classifier)
    if classifier.context:
        if context is None:
            raise InputError(
                f"{classifier.name} sees the rhythm around each beat, so single beats are not enough: give a network "
                f"of single beats, such as {ALONE!r}, or the context, or a whole signal to classify_signal"
            )
        if len(context.features) != len(windows):
            raise InputError(f"the context is that of {len(context.features)} beats, the windows are {len(windows)}")
    return _probabilities(standardise(windows)[0], context, classifier)


def _probabilities(samples: np.ndarray, context: Context | None, classifier: Classifier) -> np.ndarray:
    """Standardised beats (n, 186) and their context -> float32 (n, C)."""
    if not len(samples):
        return np.zeros((0, len(classifier.classes)), dtype=np.float32)
    inputs = [samples[:, None, :]]  # (n, L) -> (n, 1, L): one lead
    if classifier.context and context is not None:
        if classifier.model.has_morphology_head:
            as_stored = context.difference.astype(np.float16).astype(np.float32)  # as split files keep it
            inputs = [as_stored[:, None, :]]
        inputs.append(context.features[:, [CONTEXT_NAMES.index(name) for name in classifier.context]])  # (n, K)
    blank = -len(samples) % ROWS
    inputs = [np.pad(values, [(0, blank), *[(0, 0)] * (values.ndim - 1)]) for values in inputs]
    part = tuple(torch.from_numpy(np.ascontiguousarray(values)).to(classifier.device) for values in inputs)
    (logits,) = stream_logits(classifier.model, [part])
    return logits[: len(samples)].softmax(dim=1).cpu().numpy()


def classify_peaks(
    read: Read,
    length: int,
    fs: float,
    peaks: np.ndarray,
    classifier: Classifier,
    bridge_s: float = BRIDGED,
    broken: np.ndarray | None = None,
) -> np.ndarray:
    """Classify the beats of a recording, a stretch of about half an hour at a time.

    Args:
        read: the lead in any unit, `length` samples at `fs` Hz.
        peaks: int64 (n,), R-peaks in samples at `fs` Hz, ascending.
        bridge_s: missing samples for so many seconds in a row are bridged by a line.
        broken: bool (n - 1,), time is lost between a beat and the next, so that their interval says nothing of the
            rhythm; None: nowhere.

    Returns:
        float32 (n, C): the probability of each of `classifier.classes`; NaN for a beat whose window leaves the
        recording or holds more missing samples, which nothing can classify.
    """
    read = bridging_reader(read, length, round(bridge_s * fs))
    read, length = resampling_reader(read, length, fs)
    at_fs = np.round(np.asarray(peaks, dtype=np.int64) * FS / fs).astype(np.int64)
    probabilities = np.full((len(at_fs), len(classifier.classes)), np.nan, dtype=np.float32)
    rhythm = record_rhythm(at_fs, broken) if classifier.context and len(at_fs) else {}
    for stretch in stretches(at_fs, length):
        signal, own = read(stretch.start, stretch.stop), at_fs[stretch.beats] - stretch.start
        windows, inside = cut(signal, own)
        complete = ~np.isnan(windows).any(axis=1)
        whole = np.flatnonzero(inside)[complete]
        samples, _ = standardise(windows[complete])
        context = None
        if classifier.context:
            its_rhythm = {name: values[stretch.beats] for name, values in rhythm.items()}
            context = stretch_context(signal, own, its_rhythm).of_beats(whole)
        probabilities[stretch.beats.start + whole] = _probabilities(samples, context, classifier)
    return probabilities


def in_classes(probabilities: np.ndarray, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, C) of some of the five `CLASSES`, in any order -> those of all five, and the class of each.

    A class that the network does not know has the probability 0. A beat that could not be classified is Q.

    Returns:
        float (n, 5), and str (n,).
    """
    five = np.zeros((len(probabilities), len(CLASSES)), dtype=np.float32)
    five[:, [CLASSES.index(name) for name in classes]] = probabilities
    five[np.isnan(probabilities).any(axis=1)] = np.nan
    return five, called(five, CLASSES, UNCLASSIFIABLE)


def called(probabilities: np.ndarray, classes: tuple[str, ...], unclassified: str) -> np.ndarray:
    """The likeliest of the classes for each beat, str (n,); `unclassified` where a probability is NaN."""
    lost = np.isnan(probabilities).any(axis=1)
    names = np.array(classes)[np.where(lost[:, None], 0.0, probabilities).argmax(axis=1)]
    return np.where(lost, unclassified, names)


def classify_signal(
    signal: np.ndarray,
    fs: float,
    classifier: Classifier | str | Path | None = None,
    peaks: ArrayLike | None = None,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Find and classify the beats of a signal that is not a file.

    Args:
        signal: (n,) one lead in mV, NaN or masked where samples are missing.
        fs: its rate in Hz, 100 at least.
        classifier: a network, or what `load_classifier` takes for one; None: `DEFAULT`.
        peaks: (beats,) R-peaks in samples, ascending; None: they are detected.
        device: for a network that is yet to be loaded.

    Returns:
        A row a beat: sample, time_s, class ("unclassified" where its window leaves the signal or lacks more than 0.1 s
        in a row), and p_<class> for each class of the network (NaN where unclassified).

    Raises:
        InputError: the signal is not one lead, the rate no number of 100 at least, or the peaks no ascending sample
            numbers of the signal; or as `load_classifier` has it.
    """
    from preprocess.detect import detect_beats

    signal = _numbers(signal, "signal")
    if signal.ndim != 1 or not len(signal):
        raise InputError(
            f"signal of shape {signal.shape}: (n,) samples of one lead are needed, such as signal[:, 0] of (n, leads)"
        )
    signal = np.where(np.isfinite(signal), signal, np.nan)
    if not isinstance(fs, int | float | np.integer | np.floating) or is_too_slow(fs) or not fs <= HIGHEST_RATE:
        between = f"{LOWEST_RATE:g} to {HIGHEST_RATE:g}"
        raise InputError(f"fs must be the sampling frequency in Hz, a number from {between}, got {_kind(fs)}")
    found = None if peaks is None else _sample_numbers(peaks, len(signal))
    if not isinstance(classifier, Classifier):
        classifier = load_classifier(classifier, device)
    found = detect_beats(signal, fs) if found is None else found
    broken = broken_intervals(signal, found, round(BRIDGED * fs))
    probabilities = classify_peaks(
        lambda start, stop: signal[start:stop], len(signal), fs, found, classifier, broken=broken
    )
    classes = called(probabilities, classifier.classes, UNCLASSIFIED)
    table = {"sample": found, "time_s": found / fs, "class": classes}
    table |= {f"p_{name}": probabilities[:, at] for at, name in enumerate(classifier.classes)}
    return pd.DataFrame(table)


def _kind(value: object) -> str:
    """A wrong argument as a message shows it."""
    return repr(value) if isinstance(value, str | numbers.Number) else type(value).__name__


def _numbers(values: object, name: str) -> np.ndarray:
    """The argument `name` as float64, NaN where it is masked; an `InputError` where it holds no numbers."""
    try:
        return np.asarray(np.ma.filled(np.asanyarray(values, dtype=np.float64), np.nan))
    except (TypeError, ValueError):
        raise InputError(f"{name} must be an array of numbers, got {_kind(values)}") from None


def _sample_numbers(peaks: object, length: int) -> np.ndarray:
    """R-peaks in samples of a signal of `length` samples -> int64 (n,); an `InputError` where they are none."""
    given = _numbers(peaks, "peaks")
    if given.ndim != 1 or np.asarray(peaks).dtype == bool:
        raise InputError(f"peaks of shape {given.shape}: the sample numbers (beats,) of the R-peaks are needed")
    if (broken := given[given != np.floor(given)]).size:
        raise InputError(
            f"peaks must be whole sample numbers, got {broken[0]:g}; of seconds np.rint(seconds * fs) makes them"
        )
    if (outside := given[(given < 0) | (given >= length)]).size:
        raise InputError(f"peaks must be samples of the signal, 0 to {length - 1}, got {outside[0]:g}")
    if (np.diff(given) <= 0).any():
        raise InputError("peaks must ascend, each one once; np.unique(peaks) makes them")
    return given.astype(np.int64)
