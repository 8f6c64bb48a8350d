"""PhysioNet's files (Goldberger et al. 2000): downloading a database, and telling whether records are as published.

With every database PhysioNet publishes SHA256SUMS.txt, the SHA-256 sum of each of its files. A download compares all
files with it, and keeps it beside them as mitdb-1.0.0.sha256, so that they are compared again whenever they are read.
Records without that list are compared with `fingerprints.csv`: a hash of what is read of a lead, however it is stored.
It has all leads of mitdb, nstdb and 52 of the 78 records of svdb, and lead II of 47 of the 549 of ptbdb.
"""

from __future__ import annotations

import csv
import hashlib
import posixpath
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from preprocess.databases import DATABASES, FEW, Database
from preprocess.labels import reason_for_admission
from preprocess.records import list_records, read_header, read_signal
from preprocess.signals import Read
from preprocess.synthetic import MARK
from support.errors import InputError, listed
from support.files import write_text

if TYPE_CHECKING:
    import requests

TIMEOUT = (10, 60)  # s to connect, s between two bytes
RETRIES = 2  # of a file that did not come, or came damaged
CHUNK = 2**20  # bytes

FINGERPRINTS = Path(__file__).with_name("fingerprints.csv")

_SUM = re.compile(r"([0-9a-f]{64})  ?\*?(\w[\w.+-]*(?:/\w[\w.+-]*)*)")
"""A line of SHA256SUMS.txt; a name that leads out of the folder does not match."""


# -------------------------------------------------------------------------------------------------- download


def download(database: Database, folder: Path) -> list[str]:
    """Download the records of `database` into `folder`, from where `wfdb.set_db_index_url` points to (PhysioNet).

    Every file is compared with PhysioNet's SHA-256 sum, also one that was there before; one that differs is fetched
    again. A file appears whole or not at all, so a second call goes on where the first stopped. `wfdb.dl_files` is not
    used: it compares nothing, writes in place, and waits for a silent server for ever.

    Returns:
        The files that were there, differed, and were fetched again.

    Raises:
        InputError: the network or the server fails, a file stays damaged, or `folder` cannot be written.
    """
    import pooch
    import requests
    from wfdb.io.download import config

    folder = Path(folder)
    base = posixpath.join(config.db_index_url, database.slug, database.version, "")
    replaced: list[str] = []
    with requests.Session() as session:
        sums = _fetch_sums(session, base, database, folder)
        storage = pooch.Pooch(folder, base, registry=sums, retry_if_failed=RETRIES)
        pooch.get_logger().setLevel("ERROR")  # what it has to say is in our messages

        def fetch(file: str) -> None:
            if file not in sums:
                raise InputError(f"{base}SHA256SUMS.txt does not list {file}, though RECORDS names that record")

            def note(path: str, action: str, _: pooch.Pooch) -> None:
                if action != "fetch":  # pooch's files are readable by nobody else
                    shutil.copymode(_sums_path(folder, database), path)
                if action == "update":
                    replaced.append(file)

            with _one_line(base + file, folder / file):
                storage.fetch(file, processor=note, downloader=_through(session))

        fetch("RECORDS")
        names = list_records(folder, database.dataset)
        for name in tqdm(names, f"{database.slug} {database.version}", unit="record", disable=None):
            for file in _files_of(name, sums) or [f"{name}.hea"]:
                fetch(file)
    return replaced


def _fetch_sums(session: requests.Session, base: str, database: Database, folder: Path) -> dict[str, str]:
    """Fetch SHA256SUMS.txt, keep it in `folder`, and return file -> sum."""
    there = next(folder.rglob("*.hea"), None) is not None
    offline = f", or leave --source physionet out to take the records in {folder} as they are" if there else ""
    with _one_line(f"{base}SHA256SUMS.txt", folder, offline):
        response = session.get(f"{base}SHA256SUMS.txt", timeout=TIMEOUT)
        response.raise_for_status()
    sums = _parse_sums(response.text)
    if "RECORDS" not in sums:
        raise InputError(
            f"{base}SHA256SUMS.txt lists no RECORDS: it is not PhysioNet's list of checksums, but a web page perhaps"
        )
    write_text(_sums_path(folder, database), response.text)
    return sums


def _parse_sums(text: str) -> dict[str, str]:
    matches = [_SUM.fullmatch(line.strip()) for line in text.splitlines()]
    return {match[2]: match[1] for match in matches if match}


def _sums_path(folder: Path, database: Database) -> Path:
    return folder / f"{database.slug}-{database.version}.sha256"


def _files_of(name: str, sums: Mapping[str, str]) -> list[str]:
    """Return the files of a record, the header first, without superseded ones such as 800.atr-."""
    form = re.compile(rf"{re.escape(name)}\.\w+")
    return sorted((file for file in sums if form.fullmatch(file)), key=lambda file: not file.endswith(".hea"))


def _through(session: requests.Session) -> Callable[[str, str, object], None]:
    """Return a downloader for pooch that uses one connection for all files; its own makes one a file."""

    def get(url: str, path: str, _: object) -> None:
        with session.get(url, timeout=TIMEOUT, stream=True) as response, Path(path).open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)

    return get


@contextmanager
def _one_line(url: str, path: Path, remedy: str = "") -> Iterator[None]:
    """Turn what goes wrong while `url` is fetched into `path` into an `InputError`; `remedy` helps offline."""
    import requests

    again = "run the same command again, it goes on where this one stopped"
    try:
        yield
    except requests.RequestException as error:
        status = error.response is not None and f"HTTP {error.response.status_code} {error.response.reason}"
        raise InputError(
            f"{url} cannot be fetched ({status or type(error).__name__}): check the network and {again}{remedy}"
        ) from error
    except ValueError as error:  # what pooch raises when the sum differs
        raise InputError(
            f"{url} came damaged {RETRIES + 1} times: its SHA-256 sum is not the one that PhysioNet lists; {again}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; name a folder that can be") from error


# -------------------------------------------------------------------------------------------------- origin


@dataclass(frozen=True)
class Origin:
    """Where records are from, as far as that was checked."""

    source: str  # physionet, synthetic or records
    database: Database | None = None  # the one they are of: found out, or stated by the user
    reason: str = ""  # what was checked, or what speaks against it


def identify(
    folder: Path,
    comments: Mapping[str, Sequence[str]],
    channels: Mapping[str, int],
    dataset: str,
    annotator: str,
    stated: Database | None = None,
) -> Origin:
    """Say where the records of a folder are from.

    "synthetic" where a header carries the mark of `preprocess.synthetic`. "physionet" where every record is as
    PhysioNet publishes it: its files, by the list of a download; or the signal that is read, its rate and scale, and
    the annotations or the diagnosis, by `fingerprints.csv`. Else "records". Names say nothing.

    Args:
        folder: holds the records, or a folder with them.
        comments: those in the headers of the records to identify, by their names relative to `folder`.
        channels: the one that is read of each record.
        dataset: "mit", whose truth is in the annotations, or "ptb", whose truth is the diagnosis.
        annotator: suffix of the annotation files.
        stated: the database that the user says the records are of.
    """
    if any(MARK in line for lines in comments.values() for line in lines):
        return Origin("synthetic", stated, "so marked in the headers")
    lists, known = _lists(folder), _fingerprints()
    for database in [stated] if stated else [base for base in DATABASES.values() if base.dataset == dataset]:
        verdicts: dict[str, bool | None] = {}  # None: nothing to compare with
        for name in comments:
            truth = f"{name}.{annotator}" if dataset == "mit" else None
            verdict = None
            if database.slug in lists:
                verdict = _as_listed(folder, name, truth, *lists[database.slug])
            published = next((known[place] for place in _places(database.slug, name) if place in known), None)
            if not verdict and published:
                verdict = fingerprint(folder, name, channels[name], truth) in published
            verdicts[name] = verdict
        if all(verdicts.values()):
            of = "annotations" if dataset == "mit" else "diagnoses"
            return Origin("physionet", database, f"signals read and {of} as in {database.slug} {database.version}")
        if stated or any(verdict is not None for verdict in verdicts.values()):
            return Origin("records", stated, _doubt(database, verdicts, stated is not None))
    return Origin("records", stated)


def _doubt(database: Database, verdicts: Mapping[str, bool | None], stated: bool) -> str:
    differ = [name for name, verdict in verdicts.items() if verdict is False]
    unknown = [name for name, verdict in verdicts.items() if verdict is None]
    published, count = f"{database.slug} {database.version}", len(verdicts)
    faults = []
    if differ:
        faults.append(f"{len(differ)} of {count} not as in {published}: {listed(differ, FEW)}")
    if unknown:
        command = f"--source physionet --database {database.slug}"
        faults.append(f"{len(unknown)} of {count} could not be compared with {published}, as {command} does")
    remedy = "" if stated else f"; --database {database.slug} takes them for its records nevertheless"
    return "; ".join(faults) + remedy


def _places(slug: str, name: str) -> Iterator[tuple[str, str]]:
    """The places in the table that a record may have: its name, and that without the folders above its database."""
    parts = name.split("/")
    yield from ((slug, "/".join(parts[first:])) for first in range(len(parts)))


def _lists(folder: Path) -> dict[str, tuple[Path, dict[str, str]]]:
    """Slug -> the folder that its download went to and file -> SHA-256 sum, for the downloads in `folder`."""
    slugs = {_sums_path(folder, database).name: slug for slug, database in DATABASES.items()}
    return {
        slugs[path.name]: (path.parent, _parse_sums(path.read_text(encoding="utf-8", errors="replace")))
        for path in folder.rglob("*.sha256")
        if path.name in slugs
    }


def _as_listed(folder: Path, name: str, annotations: str | None, base: Path, sums: Mapping[str, str]) -> bool:
    """Say whether the files of a record that are there are those of the list, its header and annotations among them."""
    if not (folder / name).is_relative_to(base):
        return False
    needed = {folder / f"{name}.hea", *([folder / annotations] if annotations else [])}
    stated = {base / file: sums[file] for file in _files_of((folder / name).relative_to(base).as_posix(), sums)}
    return needed <= stated.keys() and all(_sha256(path) == stated[path] for path in stated if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def _fingerprints() -> dict[tuple[str, str], frozenset[str]]:
    """The table `fingerprints.csv`: (slug, record) -> the fingerprints of its leads."""
    table: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    with FINGERPRINTS.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            table[row["database"], row["record"]].add(row["fingerprint"])
    return {place: frozenset(leads) for place, leads in table.items()}


def fingerprint(folder: Path, name: str, channel: int, annotations: str | None) -> str:
    """Return a hash of what is read of one lead of a record.

    The first 16 hexadecimal digits of the SHA-256 of rate, gain and baseline, the samples in ADC units (int32, little
    endian; the least one where a sample is missing), and the annotation file (`annotations`, in `folder`), or else the
    diagnosis.

    Raises:
        InputError: header or signal cannot be read.
    """
    header = read_header(folder, name)
    signal = header.signals[channel]
    truth = Path(folder, annotations).read_bytes() if annotations else _diagnosis(header.comments)
    scale = f"{header.fs:g} {signal.gain:g} {signal.baseline:g}\n"
    values = read_signal(folder, name, header, channel) / (signal.millivolts or 1.0) * signal.gain + signal.baseline
    samples = np.where(np.isnan(values), np.iinfo(np.int32).min, np.round(values)).astype("<i4")
    return hashlib.sha256(scale.encode() + samples.tobytes() + truth).hexdigest()[:16]


def first_minute(read: Read, fs: float) -> str:
    """Return a hash of the first minute of a lead, the same in any format and with any annotations.

    The first 16 hexadecimal digits of the SHA-256 of the rate and of the samples in steps of 1/200 mV (int32, little
    endian), in which mitdb is stored, counted from the first that is there. So neither a conversion that keeps rate and
    scale nor another baseline, such as that of nstdb, changes it.

    Args:
        read: start and stop in samples -> the lead in mV, NaN where samples are missing.
        fs: its rate in Hz.
    """
    values = np.round(200 * read(0, round(60 * fs)))
    there = np.isfinite(values)
    baseline = values[there][0] if there.any() else 0.0
    samples = np.where(there, values - baseline, np.iinfo(np.int32).min).astype("<i4")
    return hashlib.sha256(f"{fs:g}\n".encode() + samples.tobytes()).hexdigest()[:16]


def _diagnosis(comments: Sequence[str]) -> bytes:
    return (reason_for_admission(comments) or "").lower().encode()
