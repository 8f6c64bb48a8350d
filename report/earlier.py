"""What is already where a report will be: whether it may be replaced, and with --resume whether it can be kept."""

from __future__ import annotations

import glob
import reprlib
from pathlib import Path
from typing import Any

from preprocess.physionet import first_minute
from preprocess.readers import Recording
from report.classify import Classifier
from report.options import ReportOptions, Work
from report.outputs import FILES, INDEX_START, MARKER
from report.render import INDEX_TITLE
from report.rounding import rounded
from report.summary import beats_from, thresholds, version
from support.cli import file_suffix
from support.errors import InputError
from support.fields import fits
from support.files import left_by_file_browser, read_json
from utils import find_checkpoint


def name_of(record: Path) -> str:
    """What the report of a recording is called."""
    return record.stem if record.suffix == ".hea" or record.is_file() else record.name


def require_report(folder: Path) -> None:
    """Raise an `InputError` unless `folder` is a report and nothing else, or empty: the rest would be lost."""
    there = [path for path in folder.iterdir() if not left_by_file_browser(path)] if folder.is_dir() else [folder]
    if there and not (folder / MARKER).is_file():
        raise InputError(f"{folder} is there and holds no {MARKER}: it would be lost; name another folder with --out")
    others = sorted(path.name for path in there if path.name not in FILES and path.suffix != ".ect")
    if others:
        raise InputError(
            f"{folder} holds a report, and beside it {others[0]}, which would be lost: move it away, or name another "
            "folder with --out"
        )


def require_same_recording(folder: Path, recording: Recording, options: ReportOptions) -> None:
    """Raise an `InputError` where `folder` has the report of another recording, which would be lost."""
    if not (folder / MARKER).is_file():
        return
    before = read_json(folder / MARKER)
    start = recording.start and recording.start.isoformat()
    now = rounded(
        {
            "record": recording.name,
            "fs": recording.fs,
            "duration_s": recording.length / recording.fs,
            "start": start,
            "first_minute": first_minute(recording.read, recording.fs),
        }
    )
    then = rounded({key: before.get(key) for key in now})
    for key, value in then.items():
        if not fits(value, float | None if key in ("fs", "duration_s") else str | None):
            raise InputError(f"{folder / MARKER}: is damaged: its {key} is {reprlib.repr(value)}; move its folder away")
    tells_nothing = set[str]()
    if options.start is not None or None in (start, then["start"]):
        tells_nothing.add("start")
    leads = (before.get("lead"), recording.lead)
    if leads[0] != leads[1] and all(lead in recording.leads for lead in leads):  # both named by the file, not the user
        tells_nothing.add("first_minute")
    differ = [key for key in now if now[key] != then[key] and key not in tells_nothing]
    if not differ:
        return
    words = {"record": "record {}", "fs": "{:g} Hz", "duration_s": "{:g} s long", "start": "begun {}"}
    shown = [key for key in words if key == "record" or key in differ]
    old, new = (", ".join(words[key].format(about[key]) for key in shown if about[key]) for about in (then, now))
    old += ", with another first minute" if differ == ["first_minute"] else ""
    options_that_tell = "--fs, --unit, --gain, --lead, --column or --start_time"
    again = "" if "record" in differ else f", or of the same file read with another {options_that_tell}"
    raise InputError(
        f"{folder} holds the report of another recording ({old}) than this one ({new}){again}; name another folder "
        "with --out, or remove that one first"
    )


def require_index(out: Path) -> None:
    """Raise an `InputError` where several reports or their index would be written into another page or report."""
    if (out / MARKER).is_file():
        raise InputError(f"{out} holds the report of one recording; name another folder for several with --out")
    for index, mark in ((out / "index.html", INDEX_TITLE), (out / "index.csv", INDEX_START)):
        if index.is_file() and mark not in index.read_text(encoding="utf-8", errors="replace"):
            raise InputError(f"{index} is of something else and would be lost; name another folder with --out")


def kept_report(path: Path, folder: Path, work: Work, classifier: Classifier | None) -> dict[str, Any] | None:
    """The summary of the report in `folder` where it is the one that would be made now, with --resume; else None.

    Raises:
        InputError: `folder` has the report of another recording, or `path` cannot be read.
    """
    marker, options = folder / MARKER, work.options
    pages = ["report.html", *(["report.pdf"] if options.pdf else [])]
    if not options.resume or options.diary or not all((folder / name).is_file() for name in (MARKER, *pages)):
        return None
    read = [*path.parent.glob(f"{glob.escape(name_of(path))}.*")]  # the signals and annotations of WFDB, too
    read += [find_checkpoint(classifier.name)] if classifier else []
    if any(file.is_file() and file.stat().st_mtime >= marker.stat().st_mtime for file in read):
        return None
    before = read_json(marker)
    notes, model = before.get("notes"), before.get("model")
    annotator = file_suffix(options.annotations) if options.annotations else None
    asked = {
        "beats_from": beats_from(annotator, options.classifies),
        "model": classifier and classifier.name,
        "definitions": thresholds(work.definitions, work.quality),
        "version": version(),
    }
    made = {name: before.get(name) for name in asked} | {
        "model": model.get("name") if isinstance(model, dict) else None
    }
    if made != asked:
        return None
    with options.open(path) as recording:
        require_same_recording(folder, recording, options)
        now = (recording.lead, recording.start and recording.start.isoformat(), [*recording.notes])
    of_file = notes[: len(recording.notes)] if isinstance(notes, list) else None  # those on the file come first
    return before if (before.get("lead"), before.get("start"), of_file) == now else None
