"""The options of `python -m report`, but for the thresholds, which are `report.definitions`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from preprocess.leads import LEAD_II
from preprocess.readers import Options, Recording, open_recording, parse_start
from report.classify import DEFAULT
from report.definitions import Definitions, Quality
from support.cli import option
from support.errors import InputError

FOLDER = Path("reports")


@dataclass(frozen=True)
class ReportOptions:
    """What is read, classified and written.

    Raises:
        InputError: a value is out of range.
    """

    checkpoint: str | None = option(
        None,
        "network that classifies the beats: a checkpoint file, a run folder, or the name of a packaged model",
        default=f"{DEFAULT}; with --annotations no network, but the annotated classes",
    )
    out: str | None = option(
        None,
        "folder to write the report into; with several recordings, a folder that gets one for each, and index.html, "
        "which lists those of this command. An earlier report of the same recording there is replaced; where there is "
        "one of another recording, nothing is written",
        default=f"{FOLDER}/<record>, or {FOLDER} for several recordings",
        metavar="DIR",
    )
    annotations: str | None = option(
        None,
        "suffix of an annotation file beside a WFDB record: take its beats; with --checkpoint, only its R-peaks",
        default="none; beats are detected",
        metavar="EXT",
    )
    lead: str | None = option(None, "lead to read, by name or number", default=" or ".join(LEAD_II), metavar="NAME")
    any_lead: bool = option(False, "without --lead: read the first ECG lead of a recording that has no lead II")
    fs: float | None = option(
        None,
        "sampling frequency in Hz, for a file that does not state it; refused where the file states another",
        default="what the file says",
        metavar="HZ",
    )
    unit: str | None = option(
        None,
        "unit of the values in a CSV or EDF file: mV, uV, V or nV; in a CSV file also adu, with --gain. It replaces "
        "what the file says, and the report states both",
        default="what the file says",
    )
    gain: float | None = option(
        None,
        "ADC units per mV in a CSV file, with --unit adu",
        default="none",
        metavar="ADU_PER_MV",
    )
    column: str | None = option(
        None,
        "column of a CSV file, or signal of any other file, by name or by number from 1 on; --lead then says which "
        "lead it is if the file does not",
        default="the one that --lead names; in a CSV file with a single signal that one",
    )
    diary: str | None = option(
        None,
        "diary as a CSV file with the columns time, kind (activity, medication, symptom, other) and, as needed, note "
        "and end; a time is 2026-01-31 14:05, an offset from the start 07:15:00, or seconds; a clock time alone, such "
        "as 14:05, is refused because it has no date",
        default="none",
        metavar="CSV",
    )
    start_time: str | None = option(
        None,
        "local time at which the recording began, such as 2026-01-31T08:00. It replaces what the file says, and the "
        "report states both",
        default="what the file says",
        metavar="ISO",
    )
    resume: bool = option(
        False,
        "keep a report that is there already if this version would make it again, with the same options and from files "
        "that are older than it: a stopped command over many recordings then goes on where it stopped",
    )
    jobs: int = option(1, "number of recordings to work on at a time", metavar="N")
    device: str = option("cpu", "torch device: cpu, cuda, cuda:0, mps")
    pdf: bool = option(False, "write report.pdf too, through an installed Chromium")

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"--jobs must be at least 1, got {self.jobs}")
        Options(self.fs, self.unit, self.gain, self.column)  # checks them, before any file is opened
        self.start  # noqa: B018  (raises where it cannot be read)

    @property
    def classifies(self) -> bool:
        """Whether a network takes part."""
        return self.annotations is None or self.checkpoint is not None

    @property
    def start(self) -> datetime | None:
        """`start_time` as a date and time, without a time zone."""
        return None if self.start_time is None else parse_start(self.start_time)

    def open(self, path: str | Path) -> AbstractContextManager[Recording]:
        """Open a recording as these options say (`open_recording`, which raises)."""
        return open_recording(
            path,
            lead=self.lead,
            any_lead=self.any_lead,
            fs=self.fs,
            unit=self.unit,
            gain=self.gain,
            column=self.column,
            start_time=self.start,
        )


@dataclass(frozen=True)
class Work:
    """What is done with every recording of a command."""

    options: ReportOptions
    definitions: Definitions
    quality: Quality
