"""Synthetic patients as WFDB records in the manner of mitdb and ptbdb, written whole or not at all."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from preprocess.synthetic.patients import (
    Marks,
    deal,
    draw_healthy,
    draw_infarction,
    draw_mit_patient,
    draw_ptb_patient,
    record_patient,
)
from preprocess.synthetic.rhythm import MIT_DECK
from preprocess.synthetic.waves import LEADS, Beat
from support.errors import InputError
from support.files import folder_written_whole, left_by_file_browser

MARK = "synthetic record"
"""In every header of this module, so that no reader mistakes such a record for a person's."""

HOLTER, DIARY, TRUE_EPISODES = "holter", "diary.csv", "episodes_true.csv"
"""The record of a day, and the tables beside it."""

SHORTEST = 0.25  # minutes, a dozen beats: with fewer there is no episode


@dataclass(frozen=True)
class Format:
    """How a database digitises its signals."""

    fs: int  # Hz
    leads: dict[str, str]  # name in the database -> one of `LEADS`
    code: str  # WFDB storage format
    gain: int  # units a mV
    baseline: int  # units at 0 mV
    lowest: int  # units: the converter saturates below ...
    highest: int  # ... and above


MIT_FORMAT = Format(360, {"MLII": "ii", "V1": "v1"}, "212", 200, 1024, 0, 2047)  # 11 bits, as mitdb
PTB_FORMAT = Format(1000, {lead: lead for lead in LEADS}, "16", 2000, 0, -32767, 32767)  # -32768 is "no value"

# Infarctions are dealt more often than controls; three patients hold both, and six hold three of each.
PTB_DECK = ("control", "infarction", "infarction", "control", "infarction")


def write_synthetic_mit(folder: Path, patients: int, minutes: float, seed: int) -> None:
    """Write one record of `minutes` a patient into `folder`, in the manner of mitdb.

    Leads MLII and V1 in `MIT_FORMAT`: m001.dat, .hea and .atr, m002..., and RECORDS. All of it appears, or on an
    error nothing; synthetic records that are in `folder` are replaced.

    Raises:
        InputError: `patients` or `minutes` is out of range, `folder` cannot be written, or it holds anything but
            synthetic records, which then stays as it is.
    """
    _check_arguments(patients, minutes)
    with folder_written_whole(folder, require_synthetic) as part:
        profiles = deal(MIT_DECK, patients, np.random.default_rng([seed, 0]))
        names = []
        for number in tqdm(range(1, patients + 1), "synthetic patients", disable=None):
            rng = np.random.default_rng([seed, number])  # a patient does not depend on those before
            patient = draw_mit_patient(profiles[number - 1], rng)
            signal, beats = record_patient(patient, minutes * 60, MIT_FORMAT.fs, rng)
            names.append(f"m{number:03d}")
            comments = [mark(seed, number, patients), patient.profile.words]
            _write_signal(part, names[-1], signal, MIT_FORMAT, comments)
            annotations = AnnotationFile(MIT_FORMAT.fs, len(signal), rng)
            for beat in beats:
                annotations.add_beat(beat)
            annotations.write(part, names[-1])
        write_names(part, names)


def write_synthetic_ptb(folder: Path, patients: int, minutes: float, seed: int) -> None:
    """Write `minutes` a patient into `folder`, in the manner of ptbdb.

    Leads i, ii and v1 in `PTB_FORMAT`: patient001/s0001lre.dat and .hea, ..., and RECORDS; the diagnosis is in
    the header, and no beat is annotated. Every third infarction comes as two records of half the length, as
    ptbdb has several of many patients: a split by record is not a split by patient.

    Raises:
        InputError: as `write_synthetic_mit`.
    """
    _check_arguments(patients, minutes)
    with folder_written_whole(folder, require_synthetic) as part:
        groups = deal(PTB_DECK, patients, np.random.default_rng([seed, 0]))
        names: list[str] = []
        for number in tqdm(range(1, patients + 1), "synthetic patients", disable=None):
            rng = np.random.default_rng([seed, number])
            infarcted = groups[number - 1] == "infarction"
            marks = draw_infarction(rng) if infarcted else draw_healthy(rng)
            patient, person = draw_ptb_patient(marks, rng), _ptb_comments(marks, rng)
            home = part / f"patient{number:03d}"
            home.mkdir()
            parts = 2 if infarcted and groups[:number].count("infarction") % 3 == 0 else 1
            for _ in range(parts):
                signal, _ = record_patient(patient, minutes * 60 / parts, PTB_FORMAT.fs, rng)
                name = f"s{len(names) + 1:04d}lre"
                _write_signal(home, name, signal, PTB_FORMAT, [mark(seed, number, patients), *person])
                names.append(f"{home.name}/{name}")
        write_names(part, names)


def _write_signal(home: Path, name: str, signal: np.ndarray, form: Format, comments: list[str]) -> None:
    """Write NAME.dat and NAME.hea of `signal` (samples, leads) in mV."""
    import wfdb

    leads = len(form.leads)
    wfdb.wrsamp(
        name,
        fs=form.fs,
        units=["mV"] * leads,
        sig_name=list(form.leads),
        d_signal=digitised(signal, form),
        fmt=[form.code] * leads,
        adc_gain=[form.gain] * leads,
        baseline=[form.baseline] * leads,
        comments=comments,
        write_dir=str(home),
    )


def digitised(signal: np.ndarray, form: Format) -> np.ndarray:
    """`signal` (samples, `LEADS`) in mV as units of the converter, int64 (samples, leads of the format)."""
    columns = [LEADS.index(lead) for lead in form.leads.values()]
    units = np.round(signal[:, columns] * form.gain) + form.baseline
    return np.clip(units, form.lowest, form.highest).astype(np.int64)


class AnnotationFile:
    """The annotations of a record: its beats, a "+" with the rhythm's name where a rhythm starts, and other marks."""

    def __init__(self, fs: int, samples: int, rng: Generator) -> None:
        self._fs, self._samples, self._rng = fs, samples, rng
        self._rhythm = ""
        self._places, self._subtypes = array("q"), array("b")  # arrays: a day has 100,000 of them
        self._symbols: list[str] = []
        self._notes: list[str] = []

    def add_beat(self, beat: Beat) -> int:
        """Mark a beat that comes after those marked before, and return its sample."""
        # Annotators hit the peak within a sample or two.
        place = int(np.clip(round(beat.time * self._fs + self._rng.normal(0, 0.8)), 1, self._samples - 1))
        if beat.rhythm != self._rhythm:
            self._rhythm = beat.rhythm
            lead_in = round(0.11 * self._fs)
            self.add(max(place - lead_in, 0), "+", note=f"{beat.rhythm}\0")  # mitdb ends the names with a NUL
        self.add(place, beat.symbol)
        return place

    def add(self, place: int, symbol: str, subtype: int = 0, note: str = "") -> None:
        """Put a mark at a sample; marks may be added in any order."""
        self._places.append(place)
        self._symbols.append(symbol)
        self._subtypes.append(subtype)
        self._notes.append(note)

    def write(self, home: Path, name: str) -> None:
        """Write NAME.atr."""
        import wfdb

        order = np.argsort(self._places, kind="stable")
        wfdb.wrann(
            name,
            "atr",
            np.array(self._places)[order],
            [self._symbols[k] for k in order],
            subtype=np.array(self._subtypes, dtype=np.int64)[order],
            aux_note=[self._notes[k] for k in order],
            fs=self._fs,
            write_dir=str(home),
        )


def write_names(folder: Path, names: list[str]) -> None:
    """Write RECORDS."""
    (folder / "RECORDS").write_text("".join(f"{name}\n" for name in names), encoding="ascii")


def _ptb_comments(marks: Marks, rng: Generator) -> list[str]:
    """The head of a ptbdb header, in its words."""
    return [
        f"age: {rng.integers(35, 80)}",
        f"sex: {rng.choice(['male', 'female'])}",
        "ECG date: n/a",
        "Diagnose:",
        f"Reason for admission: {'Healthy control' if marks.healthy else 'Myocardial infarction'}",
        f"Acute infarction (localization): {marks.site}",
        "Former infarction (localization): no",
        "Additional diagnoses: no",
        "Smoker: unknown",
    ]


def mark(seed: int, number: int, patients: int) -> str:
    """The header comment that says what the record is."""
    return f"{MARK}, seed {seed}, patient {number} of {patients}"


def _check_arguments(patients: int, minutes: float) -> None:
    if patients < 1:
        raise InputError(f"{patients} synthetic patients cannot be written; give at least 1")
    if not SHORTEST <= minutes < 24 * 60:
        raise InputError(f"{minutes} minutes a synthetic patient: give {SHORTEST} or more, and less than a day")


def require_synthetic(folder: Path) -> None:
    """Raise `InputError` unless `folder` is one, and all files in it belong to synthetic records."""
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; synthetic patients need a folder")
    files = [path for path in sorted(folder.rglob("*")) if not path.is_dir() and not left_by_file_browser(path)]
    headers = {path for path in files if path.suffix == ".hea" and MARK in path.read_text("latin-1")}
    for path in files:
        ours = path.suffix in {".hea", ".dat", ".atr"} and path.with_suffix(".hea") in headers
        beside = {folder / "RECORDS"} if headers else set()
        if folder / f"{HOLTER}.hea" in headers:
            beside |= {folder / DIARY, folder / TRUE_EPISODES}
        if not ours and path not in beside:
            raise InputError(
                f"{folder} holds {path.relative_to(folder)}, which is not part of a synthetic record and would be "
                "lost; name another folder for the synthetic patients"
            )
