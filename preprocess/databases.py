"""What each public database is: the kind of its labels, the annotations and lead to read, and the patients.

All are from PhysioNet (Goldberger et al. 2000, doi 10.1161/01.CIR.101.23.e215). Who the patients are comes from the
headers or the documentation of a database; where these say nothing, a run says so.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.synthetic import MARK
from support.errors import InputError, listed
from support.files import text_encoding

Comments = Mapping[str, Sequence[str]]
"""Record -> the comments of its header, without their #."""

Patients = tuple[dict[str, str], str]
"""Record -> its patient, and a phrase that says where that is from."""

FEW = 5  # records named in a message before it says how many more

SAME_SUBJECT = {"202": "201"}
"""Records of mitdb that are of one subject: cut from one analog tape (header of 202)."""


def _of_mitdb(comments: Comments) -> Patients:
    numbers = {name: posixpath.basename(name) for name in comments}
    return (
        {name: SAME_SUBJECT.get(number, number) for name, number in numbers.items()},
        "as published: one per record, but 201 and 202 are the same",
    )


def _of_ptbdb(comments: Comments) -> Patients:
    folders = {name: posixpath.basename(posixpath.dirname(name)) for name in comments}
    return {name: folder or name for name, folder in folders.items()}, "as published: one per folder"


def _of_edb(comments: Comments) -> Patients:
    """Take records whose headers describe one person, in whatever order, to be of that person.

    According to ECGBench (github.com/vlbthambawita/ECGBench) that gives 80 patients where 79 are published, and e0206
    and e0210 differ only in age: they are taken to be of one, too.
    """
    first: dict[frozenset[str], str] = {}
    patients = {name: first.setdefault(frozenset(lines), name) if lines else name for name, lines in comments.items()}
    for name in patients:
        if posixpath.basename(name) == "e0210":
            patients[name] = patients.get(posixpath.join(posixpath.dirname(name), "e0206"), patients[name])
    return (
        patients,
        "not published (but that there are 79 in 90 records): taken to be one where age, sex, findings, medication and "
        "recorder in the headers agree",
    )


@dataclass(frozen=True)
class Database:
    """One of PhysioNet's databases."""

    slug: str
    version: str
    title: str
    dataset: str  # what its labels are for: "mit", classes of beats, or "ptb", a diagnosis a record
    doi: str  # of the data
    citation: str  # what its authors ask for
    annotator: str | None = "atr"  # suffix of the files with the beats; None: it has none
    leads: tuple[str, ...] = ()  # leads to read, the first that a record has; none: lead II
    patients: Callable[[Comments], Patients] | None = None  # None: by `comments`, else one per record
    subjects_of: str | None = None  # slug of the database whose subjects these are too
    note: str = ""  # what to know before its beats are used


_DATABASES = (
    Database(
        "mitdb",
        "1.0.0",
        "MIT-BIH Arrhythmia Database",
        "mit",
        "10.13026/C2F305",
        "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol 20(3):45-50, 2001",
        patients=_of_mitdb,
    ),
    Database(
        "svdb",
        "1.0.0",
        "MIT-BIH Supraventricular Arrhythmia Database",
        "mit",
        "10.13026/C2V30W",
        "Greenwald SD. Improved detection and classification of arrhythmias in noise-corrupted electrocardiograms "
        "using contextual information. PhD thesis, Harvard-MIT Division of Health Sciences and Technology, 1990",
        leads=("ECG1",),
        note="which leads ECG1 and ECG2 are is not known",
    ),
    Database(
        "incartdb",
        "1.0.0",
        "St Petersburg INCART 12-lead Arrhythmia Database",
        "mit",
        "10.13026/C2V88N",
        "Tihonenko V, Khaustov A, Ivanov S, Rivin A, Yakushenko E. St Petersburg INCART 12-lead Arrhythmia Database. "
        "PhysioNet, 2008",
        note="annotations stand in the middle of the QRS complex, and nobody has moved them to the R-peak",
    ),
    Database(
        "edb",
        "1.0.0",
        "European ST-T Database",
        "mit",
        "10.13026/C2D59Z",
        "Taddei A, Distante G, Emdin M, Pisani P, Moody GB, Zeelenberg C, Marchesi C. The European ST-T Database: "
        "standard for evaluating systems for the analysis of ST-T changes in ambulatory electrocardiography. Eur Heart "
        "J 13:1164-1172, 1992",
        # No record has lead II, and none of the others is in all: two leads each, in fifteen combinations.
        leads=("V5", "MLIII", "V4"),
        patients=_of_edb,
        note="no record has lead II",
    ),
    Database(
        "ltafdb",
        "1.0.0",
        "Long Term AF Database",
        "mit",
        "10.13026/C2QG6Q",
        "Petrutiu S, Sahakian AV, Swiryn S. Abrupt changes in fibrillatory wave characteristics at the termination of "
        "paroxysmal atrial fibrillation in humans. Europace 9(7):466-470, 2007",
        leads=("ECG",),
        note="both leads are named ECG, the first is read; which they are is not known",
    ),
    Database(
        "afdb",
        "1.0.0",
        "MIT-BIH Atrial Fibrillation Database",
        "mit",
        "10.13026/C2MW2D",
        "Moody GB, Mark RG. A new method for detecting atrial fibrillation using R-R intervals. Computers in "
        "Cardiology 10:227-230, 1983",
        annotator="qrs",  # atr holds the rhythm only
        leads=("ECG1",),
        note="its beats are detected, nobody has checked them, and all are called normal; which leads ECG1 and ECG2 "
        "are is not known",
    ),
    Database(
        "nstdb",
        "1.0.0",
        "MIT-BIH Noise Stress Test Database",
        "mit",
        "10.13026/C2HS3T",
        "Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. Computers in Cardiology "
        "11:381-384, 1984",
        subjects_of="mitdb",
        note="records 118 and 119 of mitdb with noise added",
    ),
    Database(
        "ptbdb",
        "1.0.0",
        "PTB Diagnostic ECG Database",
        "ptb",
        "10.13026/C28C71",
        "Bousseljot R, Kreiseler D, Schnabel A. Nutzung der EKG-Signaldatenbank CARDIODAT der PTB über das Internet. "
        "Biomedizinische Technik 40(S1):317, 1995",
        annotator=None,
        patients=_of_ptbdb,
    ),
)

DATABASES = {database.slug: database for database in _DATABASES}

DEFAULT = {"mit": "mitdb", "ptb": "ptbdb"}
"""Dataset -> the slug of the paper's database."""


# -------------------------------------------------------------------------------------------------- patients

_PATIENT_COMMENTS = (
    # "patient 3" (incartdb), "<subject_id>: 10000032" (MIMIC-IV), "Patient ID: A-0.1"; the name has a digit
    re.compile(
        r"<?(?:patient|subject)(?:[ _-]?(?:id|number|no\.?))?>?\s*(?:[:=#]\s*)?(?=\S*\d)(\w+(?:[.-]\w+)*)",
        re.IGNORECASE,
    ),
    # what WFDB's nst writes: a record with noise is of the patient of the record without
    re.compile(r"Created by `nst' from records (\S+) and .*"),
    re.compile(rf"{MARK}, seed \d+, patient (\d+) of \d+"),
)


def patient_in(comments: Sequence[str]) -> str | None:
    """Return the patient that a header's comments name, None where they name none."""
    for comment in comments:
        for form in _PATIENT_COMMENTS:
            if match := form.fullmatch(comment.strip()):
                return match[1]
    return None


def patients_of(
    comments: Comments,
    database: Database | None = None,
    where: str = "this folder",
    copies: Sequence[Sequence[str]] = (),
) -> Patients:
    """Say which patient each record is of.

    In this order: as `database` says; by the header comments, where they name a patient; where records lie in several
    folders, by the top one, since those below may be the sessions of a patient; else each record is taken to be one
    patient. The last two are guesses; copies of one signal are then taken to be of one patient.

    Args:
        comments: those of every record, by its name relative to the folder of records.
        database: the one that the records are of, where that is known.
        where: what the message calls their folder.
        copies: groups of records that have the same signal.

    Raises:
        InputError: some headers name a patient and others do not, and theirs cannot be guessed.
    """
    if database is not None and database.patients is not None:
        return database.patients(comments)
    named = {name: patient_in(lines) for name, lines in comments.items()}
    unnamed = [name for name, patient in named.items() if patient is None]
    if named and not unnamed:
        return {name: str(patient) for name, patient in named.items()}, "as the header comments say"
    if len(unnamed) < len(named):
        example, patient = next((name, patient) for name, patient in named.items() if patient is not None)
        raise InputError(
            f"{where}: no patient is named in the header of {listed(unnamed, FEW)}, while that of {example} names "
            f"{patient}; say whose every record is with --patients_file FILE, a CSV file with the line record,patient "
            "above one line a record"
        )
    unknown = "not given" if database is None else "not published"
    remedy = "; --patients_file FILE says whose they are" if database is None else ""
    patients, one = {name: name for name in comments}, "record"
    if len({posixpath.dirname(name) for name in comments}) > 1:
        patients = {name: name.partition("/")[0] for name in comments}
        one = "top folder, with all below it" if any(name.count("/") > 1 for name in comments) else "folder"
    guess = f"{unknown}: taken to be one per {one} (a patient with several may be in two splits){remedy}"
    return _joined(patients, copies), guess


def _joined(patients: Mapping[str, str], copies: Sequence[Sequence[str]]) -> dict[str, str]:
    """Record -> its patient, where the records of each of the groups `copies` are of one."""
    joined = dict(patients)
    for names in copies:
        owners = {joined[name] for name in names}
        first = joined[names[0]]
        joined = {name: first if owner in owners else owner for name, owner in joined.items()}
    return joined


def read_patients(path: Path) -> dict[str, str]:
    """Read a CSV file with a line `record,patient` above one line a record -> record: patient.

    Raises:
        InputError: it is absent or no such table, or gives a record twice or without a patient.
    """
    import pandas as pd

    try:
        encoding = text_encoding(path.read_bytes())  # not UTF-8 where Excel wrote it
        table = pd.read_csv(path, encoding=encoding, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"--patients_file {path} cannot be read as CSV: {reason}") from error
    if not {"record", "patient"} <= {*table.columns}:
        raise InputError(
            f"--patients_file {path} has the columns {', '.join(table.columns)}; its first line must be record,patient"
        )
    records, patients = table["record"].str.strip(), table["patient"].str.strip()
    if records.duplicated().any():
        raise InputError(f"--patients_file {path} gives record {records[records.duplicated()].iloc[0]} twice")
    if (patients == "").any():
        raise InputError(f"--patients_file {path} gives no patient for record {records[patients == ''].iloc[0]}")
    return dict(zip(records, patients, strict=True))


def patients_from_file(path: Path, names: Sequence[str]) -> Patients:
    """Look up the patient of each of the records `names` in the file `path`.

    Raises:
        InputError: the file cannot be read, lacks a record, or has one that is not among `names`.
    """
    patients = read_patients(path)
    for fault, records in (
        ("has no line for", [name for name in names if name not in patients]),
        ("gives a patient for", [f"{name} (not there)" for name in patients if name not in {*names}]),
    ):
        if records:
            raise InputError(f"--patients_file {path} {fault} {listed(records, FEW)}: name each once")
    return {name: patients[name] for name in names}, f"as {path} says"
