"""Where recordings come from: a folder of WFDB records, which PhysioNet, a user or `synthetic` has filled.

MIT-BIH Arrhythmia Database (Moody & Mark 2001, doi 10.13026/C2F305) and PTB Diagnostic ECG Database (Bousseljot
et al. 1995, doi 10.13026/C28C71), both of PhysioNet (Goldberger et al. 2000). WFDB formats: header(5), signal(5)
and annot(5) of the WFDB Applications Guide.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocess.synthetic import MARK
from utils.errors import InputError
from utils.files import written_whole

if TYPE_CHECKING:
    import requests
    import wfdb

LEAD_II = ("mlii", "ii")
"""Names of the lead that is read, in the order of preference; case does not count. MLII: modified limb lead II."""

SAME_SUBJECT = {"202": "201"}
"""Records of mitdb that are of one subject: cut from one analog tape (header of 202)."""

TIMEOUT = (10, 60)  # s to connect, s between two bytes


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


# ------------------------------------------------------------------------------------------ reading a folder


def list_records(folder: Path, dataset: str) -> list[str]:
    """Return the names of the records in `folder`: those of its RECORDS file, or else of all its headers.

    Names are relative to `folder`, without a suffix, such as "100" or "patient001/s0010_re".

    Raises:
        InputError: there is no such folder, no record in it, or a name that is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        command = f"`python -m preprocess --dataset {dataset}"
        raise InputError(
            f"{folder} is not a folder of records: {command} --source physionet` downloads them, {command} "
            f"--source synthetic` makes some, {command} --raw_path DIR` reads those in DIR"
        )
    listing = folder / "RECORDS"
    if listing.is_file():
        names = listing.read_text(encoding="utf-8", errors="replace").split()
        for name in names:
            if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name):  # a path out of the folder, a web page
                raise InputError(f"{listing} names {name!r}, which is no record of its folder; fetch it again")
    else:
        names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.hea"))
    if not names:
        raise InputError(f"{folder} holds no WFDB record: neither names in a RECORDS file nor a .hea file")
    return names


def read_header(folder: Path, name: str) -> wfdb.Record:
    """Read NAME.hea.

    Raises:
        InputError: the header is absent, cannot be parsed, or describes what cannot be read here.
    """
    import wfdb

    path = Path(folder, f"{name}.hea")
    if not path.is_file():
        raise InputError(f"record {name} has no header: {path} is not there")
    try:
        header = wfdb.rdheader(str(path.with_suffix("")))
    except Exception as error:  # wfdb raises whatever its parser stumbles over
        raise InputError(f"{path} is not a WFDB header: {_first_line(error)}") from error
    if not isinstance(header, wfdb.Record):
        raise InputError(f"{path} is of a record in several segments; only single-segment records can be read")
    files = header.file_name or []
    if len(files) != header.n_sig or not header.fs > 0:
        raise InputError(f"{path} is not a WFDB header: it describes {len(files)} of its {header.n_sig} signals")
    return header


def find_lead(leads: Sequence[str | None], any_lead: bool = False) -> int | None:
    """Return the channel of lead II by its name, with `any_lead` the first one where there is none, else None."""
    names = [(lead or "").strip().lower() for lead in leads]
    for wanted in LEAD_II:
        if wanted in names:
            return names.index(wanted)
    return 0 if any_lead and names else None


def read_signal(folder: Path, name: str, header: wfdb.Record, channel: int) -> np.ndarray:
    """Read one channel of a record.

    Returns:
        float64 (samples,) in physical units (mV), NaN where the record says that a sample is missing.

    Raises:
        InputError: the signal file is absent, or shorter than the header says.
    """
    return _read(folder, name, header, [channel], physical=True).p_signal[:, 0]


def _read(folder: Path, name: str, header: wfdb.Record, channels: list[int], physical: bool) -> wfdb.Record:
    import wfdb

    base = Path(folder, name)
    for file in sorted({header.file_name[channel] for channel in channels}):
        if not base.with_name(file).is_file():
            raise InputError(f"record {name} has no signal file: {base.with_name(file)} is not there")
    try:
        return wfdb.rdrecord(str(base), channels=channels, physical=physical, smooth_frames=physical)
    except Exception as error:  # wfdb raises whatever its decoder stumbles over
        path = base.with_name(header.file_name[channels[0]])
        raise InputError(
            f"{path} cannot be read as {base.name}.hea describes it ({header.sig_len} samples a signal): it was "
            "cut short or is damaged; fetch it again"
        ) from error


def read_annotations(folder: Path, name: str, suffix: str = "atr") -> tuple[np.ndarray, list[str]]:
    """Read the annotations of a record.

    Returns:
        int64 (n,) sample indices, ascending, and the n symbols.

    Raises:
        InputError: the annotation file is absent, cut short or none.
    """
    import wfdb

    path = Path(folder, f"{name}.{suffix}")
    if not path.is_file():
        raise InputError(f"record {name} has no annotations, which --dataset mit needs: {path} is not there")
    content = path.read_bytes()
    if len(content) % 2 or content[-2:] != b"\0\0":  # annot(5): a zero word ends every annotation file
        raise InputError(f"{path} was cut short or is no annotation file; fetch it again")
    try:
        annotation = wfdb.rdann(str(path.with_suffix("")), suffix)
    except Exception as error:  # wfdb raises whatever its decoder stumbles over
        raise InputError(f"{path} is no annotation file: {_first_line(error)}") from error
    order = np.argsort(annotation.sample, kind="stable")
    return annotation.sample[order], [annotation.symbol[index] for index in order]


def source_of(dataset: str, names: Collection[str], headers: Collection[wfdb.Record]) -> str:
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


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


# ------------------------------------------------------------------------------------- downloading a database


def download(dataset: str, folder: Path, progress: bool = False) -> list[str]:
    """Download mitdb or ptbdb into `folder`, from where `wfdb.set_db_index_url` points to (PhysioNet).

    A file appears whole or not at all, so what is there is kept and a second call goes on where the first
    stopped. Every record is then read and compared with the checksums of its header, also one that was there
    before; a record that differs is fetched once more. `wfdb.dl_files` is not used: it asks physionet.org for
    the version whatever the index says, writes in place, and waits for a silent server for ever.

    Returns:
        The names of the records that had to be fetched again.

    Raises:
        InputError: the network or the server fails, a record stays damaged, or `folder` cannot be written.
    """
    from tqdm import tqdm
    from wfdb.io.download import config

    folder, database = Path(folder), DATABASES[dataset]
    base = posixpath.join(config.db_index_url, database.slug, database.version)
    with _session() as session:

        def fetch(file: str, again: bool = False) -> None:
            if again or not (folder / file).is_file():
                content = _get(session, posixpath.join(base, file))
                with written_whole(folder / file) as part:
                    part.write_bytes(content)

        fetch("RECORDS", again=True)  # first: a folder that is not complete then says what it lacks
        names = list_records(folder, dataset)
        bar = tqdm(names, f"{database.slug} {database.version}", unit="record", disable=None if progress else True)
        return [name for name in bar if _fetch_record(folder, name, database.annotator, fetch)]


def _fetch_record(folder: Path, name: str, annotator: str | None, fetch: Callable[[str, bool], None]) -> bool:
    """Make one record complete and whole; return whether it had to be fetched again."""
    fault = None
    for again in (False, True):
        fetch(f"{name}.hea", again)
        for file in _files_of(folder, name, annotator):
            fetch(file, again)
        fault = record_fault(folder, name, annotator)
        if fault is None:
            return again
    raise InputError(f"record {name} came damaged twice: {fault}; run the same command again later")


def _files_of(folder: Path, name: str, annotator: str | None) -> list[str]:
    """Return the files beside its header that a record needs; none when the header cannot be read."""
    try:
        header = read_header(folder, name)
    except InputError:
        return []
    signals = {posixpath.join(posixpath.dirname(name), file) for file in header.file_name or []}
    return [*sorted(signals), *([f"{name}.{annotator}"] if annotator else [])]


def record_fault(folder: Path, name: str, annotator: str | None) -> str | None:
    """Return what is wrong with a record on disk, None for nothing.

    Each signal is compared with its checksum, the sum of its samples modulo 2^16 (header(5)).
    """
    try:
        header = read_header(folder, name)
        if header.n_sig:
            record = _read(folder, name, header, list(range(header.n_sig)), physical=False)
            for lead, file, sum_is, sum_was in zip(
                header.sig_name, header.file_name, record.calc_checksum(expanded=True), header.checksum, strict=True
            ):
                if sum_was is not None and (sum_is - sum_was) % 2**16:
                    return f"signal {lead} in {Path(folder, name).with_name(file)} does not match its checksum"
        if annotator:
            read_annotations(folder, name, annotator)
    except InputError as error:
        return str(error)
    return None


def _session() -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    patient = HTTPAdapter(max_retries=Retry(total=2, backoff_factor=0.2, status_forcelist=(502, 503, 504)))
    session.mount("http://", patient)
    session.mount("https://", patient)
    return session


def _get(session: requests.Session, url: str) -> bytes:
    """Return the whole body of `url`; requests raises when it is shorter than announced."""
    import requests

    try:
        response = session.get(url, timeout=TIMEOUT)
        response.raise_for_status()
    except requests.RequestException as error:
        status = error.response is not None and f"HTTP {error.response.status_code} {error.response.reason}"
        raise InputError(
            f"{url} cannot be fetched ({status or type(error).__name__}): check the network and run the same "
            "command again, it goes on where this one stopped"
        ) from error
    return response.content
