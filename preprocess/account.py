"""What became of the recordings, in lines: what was read, left out and split, as `python -m preprocess` prints it."""

from __future__ import annotations

import posixpath
from pathlib import Path

import numpy as np

from preprocess import splits
from preprocess.beats import BeatSet
from preprocess.databases import DATABASES
from preprocess.synthetic import DIARY, TRUE_EPISODES, Holter
from support.errors import count_of, listed

NAMED = 12  # records named in a line before it says how many more


def reading_account(dataset: str, raw: Path, beats: BeatSet) -> list[str]:
    """Describe in lines what was read and what was left out."""
    account = beats.account
    lines = [f"{dataset}: {raw}, source {beats.source}" + (f": {beats.source_from}" if beats.source_from else "")]
    lines.append(f"read         {len(beats.labels)} beats")
    if beats.patients:
        patients = count_of(len({*beats.patients}), "patient")
        lines[-1] += f" of {count_of(len(beats.record_names), 'record')} of {patients}"
    if beats.patients_from:
        lines.append(f"patients     {beats.patients_from}")
    if beats.leads:
        leads = sorted({*beats.leads})
        lines.append("leads        " + ", ".join(f"{lead} in {beats.leads.count(lead)}" for lead in leads))
    lines.append(f"window       {beats.window}")
    for reason, names in account.left_out.items():
        lines.append(f"left out     {count_of(len(names), 'record')}, {reason}: {listed(names, NAMED)}")
    if any(reason.startswith("no lead ") for reason in account.left_out):  # without --any_lead
        lines.append("             --lead NAME takes another lead, --any_lead the first ECG channel of such records")
    for remark, names in account.remarks.items():
        lines.append(f"note         {count_of(len(names), 'record')}, {remark}: {listed(names, NAMED)}")
    if account.unused:
        codes = sorted(account.unused.items(), key=lambda item: -item[1])
        counts = ", ".join(f"{symbol} {count}" for symbol, count in codes)
        lines.append(f"not used     {sum(account.unused.values())} annotations that mark no beat: {counts}")
    for reason, count in account.dropped.items():
        if count:
            lines.append(f"dropped      windows that {reason}: {count}")
    for reason, count in account.segments.items():
        if count:
            lines.append(f"no beats     in {count} segments {reason}")
    if sum(account.missed.values()):
        counts = ", ".join(f"{name} {count}" for name, count in account.missed.items())
        lines.append(f"missed       {sum(account.missed.values())} annotated beats that could not be cut: {counts}")
    if account.flat:
        lines.append(f"flat         {account.flat} beats without any deflection, kept as zeros")
    for database in (DATABASES[slug] for slug in dict.fromkeys(beats.databases) if slug):
        if database.note:
            lines.append(f"note         {database.slug}: {database.note}")
        lines.append(f"cite         {database.citation}; doi {database.doi}")
    return lines


def split_account(beats: BeatSet, split: splits.Split, protocol: str, seed: int) -> list[str]:
    """Describe in lines which beats went where: a table of classes per split, and what to know of it."""
    lines = [f"split        {protocol}, seed {seed}"]
    lines.append(f"{'':13}" + "".join(f"{name:>11}" for name in (*beats.classes, "beats", "patients")))
    absent = {}
    for name, index in split.items():
        counts = np.bincount(beats.labels[index], minlength=len(beats.classes))
        absent[name] = [beats.classes[label] for label in np.flatnonzero(counts == 0)]
        cells = [*counts, len(index), len(_patients(beats, index)) or "unknown"]
        lines.append(f"  {name:<11}" + "".join(f"{cell:>11}" for cell in cells))
    for name, classes in absent.items():
        if classes:
            lines.append(f"note         {name} has no beat of class {', '.join(classes)}")
        if classes and name == "train":
            others = " ".join(other for other in beats.classes if other not in classes)
            lines.append(
                "             The paper's loss weighs a class by its training beats, so it needs some of each: leave "
                f"{', '.join(classes)} out with --classes {others}, or train with --loss cross_entropy"
            )
    if protocol != "beat":
        lines += _patient_notes(beats, split, protocol)
    return lines


def _patient_notes(beats: BeatSet, split: splits.Split, protocol: str) -> list[str]:
    lines = [f"validation   patients {', '.join(sorted(_patients(beats, split['val'])))}"]
    if "mitdb" in beats.databases and protocol != "inter_patient":
        lines.append("protocol     of mitdb the patients of DS1 alone (de Chazal et al. 2004); DS2 stays unopened")
    elif "mitdb" in beats.databases:
        used = {record for index in split.values() for record in _records(beats, index)}
        unused = [name for number, name in enumerate(beats.record_names) if number not in used]
        paced = [name for name in unused if posixpath.basename(name) in splits.PACED]
        others = [name for name in unused if name not in paced]
        of = "" if {*beats.databases} == {"mitdb"} else ", for the records of mitdb"
        lines.append(f"protocol     DS1 (train, validation) and DS2 (test) of de Chazal et al. 2004{of}")
        if paced:
            lines.append(f"left out     paced records, as in the protocol: {', '.join(paced)}")
        if others:
            lines.append(f"left out     records of neither DS1 nor DS2: {', '.join(others)}")
    shared = _patients(beats, split["test"]) & (_patients(beats, split["train"]) | _patients(beats, split["val"]))
    if shared:
        names = [name for name, patient in zip(beats.record_names, beats.patients, strict=True) if patient in shared]
        lines.append(f"note         one subject on both sides, as in the protocol: records {', '.join(names)}")
    return lines


def _records(beats: BeatSet, index: np.ndarray) -> list[int]:
    return [] if beats.records is None else np.unique(beats.records[index]).tolist()


def _patients(beats: BeatSet, index: np.ndarray) -> set[str]:
    return {beats.patients[record] for record in _records(beats, index)}


def recording_account(holter: Holter) -> list[str]:
    """Describe in lines what a synthetic recording holds."""
    form, hours = holter.form, holter.samples / holter.form.fs / 3600
    beats = ", ".join(f"{symbol} {count}" for symbol, count in holter.beats.most_common())
    episodes = ", ".join(f"{kind} {count}" for kind, count in holter.episodes.most_common())
    return [
        f"recording    {holter.record}: a synthetic patient, {hours:g} h from {holter.start:%Y-%m-%d %H:%M} on, "
        f"{' and '.join(form.leads)} at {form.fs} Hz",
        f"annotations  {holter.record}.atr: {beats}; rhythms, and time that cannot be read",
        f"episodes     {holter.record.with_name(TRUE_EPISODES)}, the true ones: {episodes}",
        f"diary        {holter.record.with_name(DIARY)}: {holter.diary} entries",
    ]
