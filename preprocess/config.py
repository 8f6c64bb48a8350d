"""What `python -m preprocess` is asked to do: its options, and which of them go together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_configs import chosen_classes
from preprocess.beats import WINDOWS, ReadingOptions
from preprocess.databases import DATABASES, DEFAULT, Database
from preprocess.kaggle import read_kaggle
from preprocess.labels import CLASSES
from preprocess.leads import LEAD_II
from preprocess.records import ANNOTATOR
from preprocess.released import read_released
from preprocess.splits import PROTOCOLS
from support.cli import option
from support.errors import InputError, unknown

RAW = Path("data/raw")  # with a folder for each database
RAW_PATHS = {
    "records": {"mit": "data/raw/mitdb", "ptb": "data/raw/ptbdb"},
    "physionet": {"mit": "data/raw/mitdb", "ptb": "data/raw/ptbdb"},
    "synthetic": {"mit": "data/raw/synthetic_mit", "ptb": "data/raw/synthetic_ptb"},
    "kaggle": {"mit": "data/raw/kaggle", "ptb": "data/raw/kaggle"},
}
SOURCES = (*RAW_PATHS, "released")
CUT_ALREADY = {"kaggle": read_kaggle, "released": read_released}
"""The sources whose beats are cut already -> what reads them."""

PATIENTS, MINUTES = 20, 5.0
HOLTER_PATH = Path("data/raw/synthetic_holter")
WITH_HOURS = ("source", "hours", "raw_path", "seed_id")
"""The options that go with --hours, which writes a recording and no split files."""


def one_of(names: Iterable[str]) -> str:
    """The choices of an option, as argparse shows them."""
    return f"{{{','.join(names)}}}"


@dataclass(frozen=True)
class PreparationConfig:
    """From recordings to split files: each field is the option of its name.

    Raises:
        InputError: a value is unknown or out of range, or two do not go together.
    """

    dataset: str = option(
        "",
        "mit: AAMI beat classes; ptb: infarction or not",
        default="none; required, except with --hours",
        metavar=one_of(CLASSES),
    )
    source: str = option(
        "records",
        "records: a folder of WFDB records; physionet: a database, downloaded from PhysioNet and compared with its "
        "checksums (mitdb 0.1 GB, ptbdb 1.7 GB); synthetic: artificial patients; kaggle: the CSV files of the "
        "Kaggle heartbeat set; released: one .pt file as the paper's authors released it, named by --raw_path and "
        "split again",
        metavar=one_of(SOURCES),
    )
    database: str | None = option(
        None,
        "the database to download, or that the records are of: "
        + "; ".join(f"{slug}, {database.title} ({database.dataset})" for slug, database in DATABASES.items())
        + ". Its leads, annotator and patients are then known. Several are read as one set, each from a folder of its "
        "name below --raw_path",
        default="for --source physionet "
        + ", ".join(f"{slug} with --dataset {dataset}" for dataset, slug in DEFAULT.items())
        + "; for records none, those of mitdb, svdb, nstdb and ptbdb are recognised by their signals",
        metavar="NAME[,NAME...]",
    )
    raw_path: Path | None = option(
        None,
        "folder of the recordings (--source released: the file); those downloaded or synthetic are written there first",
        default=", ".join(sorted({path for paths in RAW_PATHS.values() for path in paths.values()}))
        + f" by source and dataset, {RAW}/NAME for a --database; for released none",
        metavar="PATH",
    )
    out: Path = option(Path("data"), "folder to write <dataset>/ into", metavar="DIR")
    split: str = option(
        "beat",
        "beat: split single beats; inter_patient: split whole patients, those of mitdb into DS1 and DS2",
        metavar=one_of(PROTOCOLS),
    )
    folds: int | None = option(
        None,
        "with --split inter_patient: K splits for cross-validation in DIR/fold_1 to fold_K, each with other "
        "test patients; of mitdb only DS1 is used, and DS2 stays untouched",
        default="one split",
        metavar="K",
    )
    patients_file: Path | None = option(
        None,
        "CSV file that says which patient each record is of: record,patient in its first line, then one line per "
        "record, named as in RECORDS",
        default="as the database or the headers say; else one patient per (top) folder, or per record",
        metavar="FILE",
    )
    window: str | None = option(
        None,
        "how a beat is cut from a recording. centred: 360 Hz, centred on the R-peak, standardised. kachuee and kaggle: "
        "125 Hz, from the R-peak on for 1.2 R-R intervals, padded with zeros; kachuee as the text of the paper's data "
        "says, from maxima above 0.9 in segments of 10 s, each segment scaled to [0, 1]; kaggle like the rows of the "
        "Kaggle set, which differ: from annotated R-peaks (mit) or maxima above 0.9 in segments of 5 s (ptb), each "
        "beat scaled to [0, 1]; the rows themselves are read with --source kaggle",
        default="centred",
        metavar=one_of(WINDOWS),
    )
    fractions: tuple[float, ...] | None = option(
        None,
        "shares of train, val and test: any three positive numbers",
        default="64 16 20, the paper's",
        metavar="SHARE",
    )
    seed_id: int = option(0, "seed of splits and of synthetic patients", metavar="N")
    lead: str | None = option(
        None,
        "name of the lead to read, or several in order of preference; case, and words such as ECG and lead, are "
        "ignored",
        default=f"that of --database, else {','.join(LEAD_II)}",
        metavar="NAME[,NAME...]",
    )
    any_lead: bool = option(
        False,
        "also read records without that lead: their lead II, or else their first ECG signal",
        default="such records are left out",
    )
    annotator: str | None = option(
        None,
        "suffix of the annotation files that mark the beats, for --dataset mit",
        default=f"that of --database, else {ANNOTATOR}",
        metavar="EXT",
    )
    classes: tuple[str, ...] | None = option(
        None,
        "classes to keep, such as N S V F; beats of the others are left out",
        default="all, N S V F Q or normal infarction",
        metavar="NAME",
    )
    patients: int | None = option(None, "number of synthetic patients", default=f"{PATIENTS}", metavar="N")
    minutes: float | None = option(
        None, "minutes of recording per synthetic patient", default=f"{MINUTES:g}", metavar="M"
    )
    hours: float | None = option(
        None,
        "with --source synthetic: instead of split files write one recording of H hours, with a diary and its true "
        "episodes, to try `python -m report` on; goes only with --seed_id and --raw_path (then by default "
        f"{HOLTER_PATH})",
        default="split files",
        metavar="H",
    )

    def __post_init__(self) -> None:
        for name in ("raw_path", "out", "patients_file"):  # callers in Python may give texts
            if isinstance(path := getattr(self, name), str):
                object.__setattr__(self, name, Path(path))
        if self.source not in SOURCES:
            raise unknown("--source", self.source, SOURCES)
        if not 0 <= self.seed_id < 2**32:
            raise InputError(f"--seed_id {self.seed_id}: a seed is 0 to {2**32 - 1}")
        if self.hours is not None:
            self._check_hours()
            return
        if not self.dataset:
            raise InputError(f"--dataset is missing: give one of {', '.join(CLASSES)}")
        for name, known in {"dataset": CLASSES, "split": PROTOCOLS, "window": WINDOWS}.items():
            if getattr(self, name) not in (None, *known):
                raise unknown(f"--{name}", getattr(self, name), known)
        if self.classes is not None:
            chosen_classes(self.classes, CLASSES[self.dataset])
        self._check_split()
        self._check_source()

    def _check_hours(self) -> None:
        if self.source != "synthetic":
            raise InputError(f"--hours goes with --source synthetic only, not with {self.source}")
        for field in dataclasses.fields(self):
            if field.name not in WITH_HOURS and getattr(self, field.name) != field.default:
                raise InputError(
                    f"--{field.name} does not go with --hours, which writes one recording and no split files"
                )

    def _check_split(self) -> None:
        if self.fractions is not None and not (
            len(self.fractions) == 3 and min(self.fractions) > 0 and np.isfinite(sum(self.fractions))
        ):
            given = " ".join(f"{fraction:g}" for fraction in self.fractions)
            raise InputError(f"--fractions {given}: three positive numbers are needed, such as 70 15 15")
        if self.folds is None:
            return
        if self.split != "inter_patient":
            raise InputError("--folds needs --split inter_patient: whole patients are dealt to the folds")
        if self.folds < 2:
            raise InputError(f"--folds must be at least 2, got {self.folds}")
        if self.fractions is not None:
            raise InputError(
                "--fractions does not apply to --folds: a fold is test, and about 20 % of the rest validation"
            )

    def _check_source(self) -> None:
        if self.source != "synthetic" and (self.patients is not None or self.minutes is not None):
            raise InputError("--patients and --minutes go with --source synthetic only")
        if self.source == "synthetic" and self.split == "inter_patient" and (self.patients or PATIENTS) < 3:
            raise InputError(f"--patients {self.patients}: --split inter_patient needs at least 3, one a split")
        for name in ("lead", "any_lead", "annotator", "window", "patients_file"):
            if getattr(self, name) not in (None, False) and self.source in CUT_ALREADY:
                raise InputError(f"--{name} does not go with --source {self.source}, whose beats are cut already")
        if self.leads is not None and not all(self.leads):
            raise InputError(f"--lead {self.lead}: give names with commas between them, such as V5,V1")
        if self.annotator is not None and self.dataset != "mit":
            raise InputError("--annotator goes with --dataset mit only: the beats of ptb are detected")
        if self.annotator is not None and not re.fullmatch(r"\w[\w.-]*", self.annotator):
            raise InputError(f"--annotator {self.annotator}: give the suffix of a file, such as atr or qrs")
        if self.source == "released" and self.raw_path is None:
            raise InputError("--source released needs --raw_path FILE.pt, the file to read")
        if self.databases and self.source not in ("records", "physionet"):
            raise InputError(f"--database goes with --source physionet or records, not with {self.source}")
        for database in self.databases:
            if database.dataset != self.dataset:
                raise InputError(
                    f"--database {database.slug} goes with --dataset {database.dataset}, not {self.dataset}"
                )
        if self.patients_file is not None and len(self.databases) > 1:
            raise InputError("--patients_file goes with one database at a time")

    @property
    def databases(self) -> tuple[Database, ...]:
        """Those of --database; none where it is not given."""
        slugs = [] if self.database is None else self.database.split(",")
        for slug in slugs:
            if slug not in DATABASES:
                raise unknown("--database", slug, DATABASES)
            if slugs.count(slug) > 1:
                raise InputError(f"--database {self.database}: {slug} is named twice")
        return tuple(DATABASES[slug] for slug in slugs)

    @property
    def leads(self) -> tuple[str, ...] | None:
        """The names of --lead; None where it is not given."""
        return None if self.lead is None else tuple(name.strip() for name in self.lead.split(","))

    @property
    def shares(self) -> tuple[float, ...] | None:
        """--fractions as shares that add up to 1; None where it is not given."""
        return None if self.fractions is None else tuple(part / sum(self.fractions) for part in self.fractions)

    @property
    def raw(self) -> Path:
        """Where the recordings are; of several databases the folder with a folder for each."""
        if self.raw_path is not None:
            return self.raw_path
        if self.hours is not None:
            return HOLTER_PATH
        if len(self.databases) == 1:
            return RAW / self.databases[0].slug
        return RAW if self.databases else Path(RAW_PATHS[self.source][self.dataset])

    def reading(self, database: Database | None) -> ReadingOptions:
        """What is read: the leads and the annotator that the user names, else those of `database`, if it is known."""
        its_leads, its_annotator = (database.leads, database.annotator) if database else ((), None)
        leads, annotator = self.leads or its_leads or LEAD_II, self.annotator or its_annotator or ANNOTATOR
        return ReadingOptions(leads, self.any_lead, annotator, self.window or "centred")
