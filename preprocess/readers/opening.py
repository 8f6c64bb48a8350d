"""Which format a file has, which lead of it is read, and whether it can be."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from preprocess.leads import ecg_channels, find_lead, is_lead, names_other_signal
from preprocess.readers import edf, ishne, kardia, tables, wfdb
from preprocess.readers.recording import (
    HIGHEST_RATE,
    LOWEST_RATE,
    UNITS,
    YEARS,
    Channel,
    Options,
    Recording,
    Source,
    Trace,
    is_too_slow,
    missing_values,
    parse_start,
)
from support.errors import InputError, listed, one_line, unknown

LONGEST = 366.0  # days; a header that says more is damaged

MAGIC: dict[bytes, Callable[[Path, Options], Source]] = {
    edf.EDF_VERSION: edf.EdfSource,
    edf.BDF_VERSION: edf.EdfSource,
    ishne.MAGIC: ishne.IshneSource,
    ishne.ANNOTATIONS: ishne.IshneSource,
    kardia.MAGIC: kardia.KardiaSource,
}
"""First bytes of the files of each format."""

TABLES = {".csv", ".tsv", ".txt"}
"""Suffixes of tables, beside which a record of the same name may lie."""

BOM = rb"(\xef\xbb\xbf|\xff\xfe)?\s*"
"""What may stand before the first character of a text: a byte order mark of UTF-8 or UTF-16, and white space."""

JSON = "JSON: save the signal as CSV"
OTHERS = {
    rb"\x1f\x8b": "a compressed file: unpack it first",
    rb"PK\x03\x04|\xd0\xcf\x11\xe0": "a ZIP archive or an office document: unpack it, or save its table as CSV",
    rb"%PDF": "a PDF, which has a picture of the signal: export the recording as EDF or CSV",
    BOM + rb"<\0?\?\0?x": "XML: export the recording as EDF or CSV",
    BOM + rb"(?i:<(!doctype )?html)": "a web page: fetch the recording again",
    BOM + rb"\{": JSON,
    rb"\x89HDF": "HDF5: export the recording as EDF or CSV",
    # Version 4 has no magic: five whole numbers, of which the first is a type and the last the length of a name.
    rb"MATLAB \d.\d MAT-file|[\0\n\x14\x1e(2]\0{3}.{8}[\0\1]\0{3}[^\0]\0{3}\w": "a MATLAB file: save the signal as "
    "CSV; if it is of a WFDB record, as those of the PhysioNet Challenges are, copy its header (.hea) too",
    rb".{128}DICM": "a DICOM file: export the recording as EDF or CSV",
    rb".{16}SCPECG": "an SCP-ECG file: export the recording as EDF or CSV",
    rb"\x93NUMPY": "a NumPy array: save it as CSV, or classify it in Python, report.classify_signal(signal, fs)",
}
"""What files that are mistaken for recordings begin with, and what to do with them."""

FIRST = 132  # bytes that tell a format

SPANS = (0.01, 50.0)  # mV, the least and the most that an ECG spans in most stretches of 10 s
STRETCH = 10.0  # s
STRETCHES = 100  # that are looked at, all over the recording
BLOCK = 2**20  # samples read at once where all are looked at


def open_recording(
    path: str | Path,
    *,
    lead: str | None = None,
    fs: float | None = None,
    unit: str | None = None,
    gain: float | None = None,
    column: str | None = None,
    any_lead: bool = False,
    start_time: str | datetime | None = None,
) -> Recording:
    """Open one lead of a recording in WFDB, EDF, EDF+, BDF, CSV, ISHNE or Kardia format, whatever its suffix.

    Lead II is read. Where there is none, another lead has to be asked for, unless the file has only one ECG and does
    not say which lead it is. Whenever the lead that is read is not known, a note says so.

    Args:
        path: a file, or a WFDB record with or without a suffix.
        lead: the lead that is read instead of lead II: its name in any usual spelling, or its number from 1 on. Where
            the file has one ECG and does not name it, or `column` is given, which lead it is.
        fs: Hz, of a table that neither says it nor has times, or of a WFDB record whose header gives none; another rate
            than that of the file is refused, unless the file does not say that its rate is that of sampling.
        unit: mV, uV, V, nV or adu: the unit of a table or an EDF file; where the file says another, a note tells that.
        gain: ADC units per mV, for unit adu; where the file says another, a note tells that too.
        column: name, or number from 1 on, of the column of a table, or of the signal of another file, that is read.
        any_lead: take the first ECG lead where there is no lead II.
        start_time: when the recording began, in local time, as ISO 8601 has it, without a time zone; instead of what
            the file says, which a note then tells.

    Returns:
        The recording, to be closed by the caller; reading it takes memory for the part that is read.

    Raises:
        InputError: there is no such file or lead, it is damaged or cut short, it holds no samples or has fewer than
            100 or more than 50,000 a second, it does not say its rate or unit and neither does the caller, or the
            caller says another rate than it does; the message says what to do.
    """
    path = Path(path)
    options = Options(fs, unit, gain, column)
    start = None if start_time is None else parse_start(start_time)
    try:
        source = _recognise(path, options)
        channel, name, notes = _choose(path, source, lead, any_lead, column)
        trace = source.open(channel)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        _check(path, trace, options)
        stated, undated = _stated_start(source)
        notes += [*trace.notes, *_missing(trace, source), *options.overruled(source.channels[channel].units)]
        notes += [*_begun(start, stated, undated, source.in_utc), *_implausible(trace, source)]
    except BaseException:
        trace.close()
        raise
    return Recording(
        name=source.name,
        path=source.path,
        format=source.format,
        fs=trace.fs,
        length=trace.length,
        lead=one_line(name),
        leads=tuple(map(one_line, _names(source))),
        start=start or stated,
        borders=trace.borders,
        notes=tuple(one_line(f"{note[0].upper()}{note[1:]}.") for note in notes),
        _trace=trace,
    )


def _stated_start(source: Source) -> tuple[datetime | None, str]:
    """When a recording began by its file, and why that is not known although the file has times; "": it has none."""
    if source.start is None or source.start.year in YEARS:
        return source.start, source.undated
    return None, f"the date in the file, {source.start.date()}, is not between the years {YEARS[0]} and {YEARS[-1]}"


def _begun(start: datetime | None, stated: datetime | None, undated: str, in_utc: bool) -> list[str]:
    """Say where the start is the user's and not the file's, where it is missing, and where it is in UTC."""
    if start is not None:
        differs = stated is not None and start != stated
        return [f"it begins at {start}, as --start_time says; the file says {stated}"] if differs else []
    if stated is None:
        return [f"{undated}; it is not known when the recording began, --start_time says it"] if undated else []
    utc = "it states its times in UTC, and so are those given here; --start_time gives the local time"
    return [utc] if in_utc else []


def _recognise(path: Path, options: Options) -> Source:
    """Find out which format a file has: by its first bytes, and by its suffix where these tell nothing."""
    record = wfdb.record_of(path)
    if not path.is_file():
        if record:
            return wfdb.WfdbSource(*record, options)
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file, or a record in it")
        raise InputError(f"{path} is not there, nor is the header of a WFDB record, {path}.hea")
    with path.open("rb") as file:
        begin = file.read(FIRST)
        file.seek(max(path.stat().st_size - 16, 0))
        end = file.read()
    for magic, source in MAGIC.items():
        if begin.startswith(magic):
            return source(path, options)
    if record and path.suffix.lower() not in TABLES:
        return wfdb.WfdbSource(*record, options)
    if not begin:
        raise InputError(f"{path} is empty: it holds no samples")
    for pattern, what in OTHERS.items():
        if re.match(pattern, begin, re.DOTALL):
            raise InputError(f"{path} is {what}")
    # In a table brackets may stand around a title, and around the time of the first row.
    if re.match(BOM + rb'\[\s*[\d"{\[-]', begin) and end.rstrip().endswith(b"]"):
        raise InputError(f"{path} is {JSON}")
    return tables.TableSource(path, options)


def _names(source: Source) -> tuple[str, ...]:
    return tuple(channel.name or f"channel {number}" for number, channel in enumerate(source.channels, 1))


def _named(channels: Sequence[Channel], names: Sequence[str], wanted: str) -> int | None:
    """The channel that the name of a lead or of a signal means, or its number from 1 on; None: there is none."""
    channel = find_lead(channels, (wanted,))
    if channel is None and wanted in names:
        return names.index(wanted)
    if channel is None and wanted.isdecimal() and 1 <= int(wanted) <= len(channels):
        return int(wanted) - 1
    return channel


def _choose(
    path: Path, source: Source, lead: str | None, any_lead: bool, column: str | None
) -> tuple[int, str, list[str]]:
    """Choose the channel that is read -> its number, the name of the lead, and what to know of the choice.

    Raises:
        InputError: the lead is not there, or none is named and there is no lead II, or it is in no voltage.
    """
    if source.chosen is not None or column is not None:
        channel, stated = _by_column(path, source, column, lead)
    elif lead is not None:
        channel, stated = _by_lead(path, source, lead)
    else:
        channel, stated = _lead_ii(path, source, any_lead), None
    if source.channels[channel].millivolts is None:
        raise InputError(_no_voltage(path, source, channel))
    called = stated or _names(source)[channel]
    return channel, called, _notes_on_lead(source.channels, channel, called, stated)


def _by_column(path: Path, source: Source, column: str | None, lead: str | None) -> tuple[int, str | None]:
    """The channel that --column names, and which lead it is where --lead says so and the file does not."""
    channels, names = source.channels, _names(source)
    channel = source.chosen
    if channel is None and column is not None:
        channel = _named(channels, names, column)
    if channel is None:
        raise unknown(f"{path}: --column", column, names, "or give its number from 1 on")
    if lead is None or find_lead(channels[channel : channel + 1], (lead,)) is not None:
        return channel, None
    if is_lead(channels[channel].name):
        raise InputError(f"{path}: what --column names is lead {names[channel]}, not {lead}")
    if not is_lead(lead):
        raise InputError(f"{path}: --column takes {names[channel]}, and --lead {lead} is not a lead: give one of them")
    return channel, lead


def _by_lead(path: Path, source: Source, lead: str) -> tuple[int, str | None]:
    """The channel that --lead names, or the only ECG of a file that does not name it, which --lead then does."""
    names = _names(source)
    channel = _named(source.channels, names, lead)
    if channel is not None:
        return channel, None
    unnamed = _only_unnamed(source.channels)
    if unnamed is None or not is_lead(lead):
        raise unknown(f"{path}: --lead", lead, names, "or give its number from 1 on")
    return unnamed, lead


def _lead_ii(path: Path, source: Source, any_lead: bool) -> int:
    """The channel of lead II, or with `any_lead` of the first ECG, or the only ECG of a file that does not name it."""
    channel = find_lead(source.channels, any_lead=any_lead)
    channel = _only_unnamed(source.channels) if channel is None else channel
    if channel is None:
        names, possible = _names(source), ecg_channels(source.channels)
        unmeasured = [n for n, other in enumerate(source.channels) if not names_other_signal(other.name)]
        if unmeasured and not possible:  # --lead or --any_lead would not help
            raise InputError(_no_voltage(path, source, unmeasured[0]))
        if not possible:
            called = f"{path} has no ECG by the names of its signals, {listed(names)}"
            raise InputError(f"{called}: if one of them is an ECG, --lead NAME reads it")
        example = names[possible[0]]
        option = f"--lead{'=' if example.startswith('-') else ' '}{shlex.quote(example)}"  # -aVR is not an option
        raise InputError(
            f"{path} has no lead II; it has {listed(names)}: name the one to be read, such as {option}, or its number "
            "from 1 on, or --any_lead for the first ECG"
        )
    return channel


def _only_unnamed(channels: Sequence[Channel]) -> int | None:
    """The channel that alone may be an ECG, if its name is not that of a lead."""
    possible = ecg_channels(channels)
    return possible[0] if len(possible) == 1 and not is_lead(channels[possible[0]].name) else None


def _no_voltage(path: Path, source: Source, channel: int) -> str:
    """Say that a channel is in no known voltage, and what to type instead."""
    units = source.channels[channel].units
    what = f"is in {units}, which is not a unit of voltage" if units else "does not say its unit"
    remedy = "--lead NAME takes another one" if ecg_channels(source.channels) else "correct the units in its header"
    remedy = f"give --unit {', '.join(UNITS[:3])}" if source.takes_unit else remedy
    return f"{path}: {_names(source)[channel]} {what}; {remedy}"


def _notes_on_lead(channels: Sequence[Channel], channel: int, called: str, stated: str | None) -> list[str]:
    """What to know of the choice of a channel that is `called` so, or of which the user `stated` the lead."""
    name, notes = channels[channel].name, []
    if stated:
        notes.append(f"the file does not name the lead; it is {stated}, as --lead says")
    elif not name:
        notes.append("the file does not say which lead it has")
    elif not is_lead(called):
        notes.append(f"the file does not say which lead {called} is")
    if name is not None and sum(other.name == name for other in channels) > 1:
        notes.append(
            f"the file has several signals named {name}; number {channel + 1} is read, --lead also takes a number"
        )
    return notes


def _check(path: Path, trace: Trace, options: Options) -> None:
    if trace.length < 1:
        raise InputError(f"{path} holds no samples; name a recording that has some")
    if trace.fs > HIGHEST_RATE:
        what = "its sampling frequency" if options.fs is None else "--fs"
        raise InputError(
            f"{path} has {trace.fs:g} samples a second; no ECG has more than {HIGHEST_RATE:g}: correct {what}, in Hz"
        )
    if is_too_slow(trace.fs):
        raise InputError(
            f"{path} has {trace.fs:g} samples a second; an ECG needs at least {LOWEST_RATE:g} to be read beat by beat: "
            "record or export it at a higher rate"
        )
    if trace.length > LONGEST * 86_400 * trace.fs:
        raise InputError(f"{path} says that it is {trace.length / trace.fs / 86_400:.0f} days long; fetch it again")


def _missing(trace: Trace, source: Source) -> tuple[str, ...]:
    """Say how many samples are marked as missing, where the format has a mark for them."""
    if not source.marks_missing:
        return ()
    blocks = (trace.read(first, min(first + BLOCK, trace.length)) for first in range(0, trace.length, BLOCK))
    return missing_values(sum(int(np.isnan(block).sum()) for block in blocks), trace.fs)


def _implausible(trace: Trace, source: Source) -> list[str]:
    """Say that the values are far from those of an ECG, as they are with a wrong unit."""
    size = max(1, round(STRETCH * trace.fs))
    last = max(trace.length - size, 0)
    spans = []
    for first in np.unique(np.linspace(0, last, min(STRETCHES, -(-trace.length // size))).astype(np.int64)).tolist():
        values = trace.read(first, min(first + size, trace.length))
        values = values[np.isfinite(values)]
        if len(values) and np.ptp(values) > 0:  # not with the leads off
            spans.append(float(np.ptp(values)))
    span = float(np.median(spans)) if spans else None
    if span is None or SPANS[0] <= span <= SPANS[1]:
        return []
    wrong = f"more than {SPANS[1]:g}" if span > 1 else f"less than {SPANS[0]:g}"
    remedy = "; --unit says which is right" if source.takes_unit else ""
    usual = f"{float(f'{span:.3g}'):,g} mV in {STRETCH:g} s"  # 4,400 mV, not 4.4e+03
    return [f"the signal mostly spans {usual}, {wrong}: its unit may be wrong{remedy}"]
