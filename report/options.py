"""The options of `python -m report`, but for the thresholds, which are `report.definitions`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from preprocess.leads import LEAD_II
from preprocess.readers import Options, parse_start
from report.classify import DEFAULT
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
        default=f"{DEFAULT}; where --annotations is given, no network: the annotated classes",
    )
    out: str | None = option(
        None,
        "folder that becomes the report; of several recordings it gets a folder each and index.html, "
        "which lists those of this command. An earlier report "
        "of the same recording there is replaced, that of another one is refused",
        default=f"{FOLDER}/<record>; of several {FOLDER}",
        metavar="DIR",
    )
    annotations: str | None = option(
        None,
        "suffix of the annotation file beside a WFDB record that gives the beats; with --checkpoint it gives the "
        "R-peaks alone",
        default="none, beats are detected",
        metavar="EXT",
    )
    lead: str | None = option(None, "name of the lead to read", default=" or ".join(LEAD_II), metavar="NAME")
    any_lead: bool = option(False, "of a recording without lead II read its first ECG lead, where no --lead is given")
    fs: float | None = option(
        None,
        "rate of a file that does not say it, in Hz; another than the file says is refused",
        default="what the file says",
        metavar="HZ",
    )
    unit: str | None = option(
        None,
        "unit of the values of a CSV or EDF file: mV, uV, V, nV, or, of CSV, adu with --gain; in place of what the "
        "file says, and the report then tells both",
        default="what the file says",
    )
    gain: float | None = option(
        None,
        "units of the values of a CSV file a mV, with --unit adu; likewise",
        default="none",
        metavar="ADU_PER_MV",
    )
    column: str | None = option(
        None,
        "column of a CSV file, or signal of another one, by its name or its number from 1; --lead then says which lead "
        "it is, where the file does not",
        default="that of --lead; of a CSV file the one that there is",
    )
    diary: str | None = option(
        None,
        "diary as a CSV file: columns time, kind (activity, medication, symptom, other), and note and end where there "
        "are some; a time is 2026-01-31 14:05, an offset from the start 07:15:00, or seconds; a clock time alone, as "
        "14:05, is refused: it has no date",
        default="none",
        metavar="CSV",
    )
    start_time: str | None = option(
        None,
        "when the recording began, by its own clock, such as 2026-01-31T08:00; in place of what the file says, and the "
        "report then tells both",
        default="what the file says",
        metavar="ISO",
    )
    jobs: int = option(1, "recordings at a time", metavar="N")
    device: str = option("cpu", "torch device: cpu, cuda, cuda:0, mps")
    pdf: bool = option(False, "write report.pdf too, through an installed Chromium")

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"--jobs must be at least 1, got {self.jobs}")
        Options(self.fs, self.unit, self.gain, self.column)  # checks them, before any file is opened
        if self.start_time is not None:
            self.start  # noqa: B018  (raises where it cannot be read)

    @property
    def classifies(self) -> bool:
        """Whether a network takes part."""
        return self.annotations is None or self.checkpoint is not None

    @property
    def start(self) -> datetime | None:
        """`start_time` as a date and time, without a time zone."""
        return None if self.start_time is None else parse_start(self.start_time)
