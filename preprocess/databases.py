"""What each public database is: where it is kept, who annotated it, whose records it has.

MIT-BIH Arrhythmia Database (Moody & Mark 2001, doi 10.13026/C2F305) and PTB Diagnostic ECG Database (Bousseljot
et al. 1995, doi 10.13026/C28C71), both of PhysioNet (Goldberger et al. 2000).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass

from preprocess.headers import Header
from preprocess.synthetic import MARK

SAME_SUBJECT = {"202": "201"}
"""Records of mitdb that are of one subject: cut from one analog tape (header of 202)."""


@dataclass(frozen=True)
class Database:
    """One of PhysioNet's databases."""

    slug: str
    version: str
    annotator: str | None  # suffix of the files with the beats; None: it has none
    record_name: str  # regular expression that the names of its records match


DATABASES = {
    "mit": Database("mitdb", "1.0.0", "atr", r"1[0-2]\d|2[0-3]\d"),
    "ptb": Database("ptbdb", "1.0.0", None, r"patient\d{3}/s\d{4}[a-z_]{3}"),
}


def source_of(dataset: str, names: Collection[str], headers: Collection[Header]) -> str:
    """Say whose records these are, from what is in the folder.

    "synthetic" where a header carries the mark of `preprocess.synthetic`, "physionet" where all names are those
    of mitdb or ptbdb, else "records".
    """
    if any(MARK in comment for header in headers for comment in header.comments):
        return "synthetic"
    known = re.compile(DATABASES[dataset].record_name)
    return "physionet" if all(known.fullmatch(name) for name in names) else "records"


def patient_of(name: str, source: str) -> str:
    """Return the patient of a record: the folder that it lies in, else its own name; 201 and 202 are one."""
    if source == "physionet":
        name = SAME_SUBJECT.get(name, name)
    return posixpath.dirname(name) or name
