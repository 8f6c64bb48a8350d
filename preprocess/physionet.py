"""Downloading a database from PhysioNet (Goldberger et al. 2000), and comparing what came with its checksums."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.databases import DATABASES
from preprocess.records import checksum_differs, list_records, read_annotations, read_header
from support.errors import InputError
from support.files import written_whole

if TYPE_CHECKING:
    import requests

TIMEOUT = (10, 60)  # s to connect, s between two bytes


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
    signals = {posixpath.join(posixpath.dirname(name), signal.file) for signal in header.signals}
    return [*sorted(signals), *([f"{name}.{annotator}"] if annotator else [])]


def record_fault(folder: Path, name: str, annotator: str | None) -> str | None:
    """Return what is wrong with a record on disk, None for nothing.

    Each signal is compared with its checksum, the sum of its samples modulo 2^16 (header(5)).
    """
    try:
        header = read_header(folder, name)
        for channel, signal in enumerate(header.signals):
            if checksum_differs(folder, name, header, channel):
                return (
                    f"signal {signal.name} in {Path(folder, name).with_name(signal.file)} does not match its checksum"
                )
        if annotator:
            read_annotations(folder, name, header, annotator)
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
