"""Downloads from a small HTTP server on loopback that has the folder layout of PhysioNet."""

from __future__ import annotations

import hashlib
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from made_records import annotate, store

from preprocess import physionet
from preprocess.__main__ import main
from preprocess.beats import ReadingOptions, read_beats
from preprocess.databases import DATABASES, Database
from preprocess.records import list_records
from preprocess.synthetic import write_synthetic_mit, write_synthetic_ptb
from support.errors import InputError

MITDB, PTBDB, EDB, NSTDB = (DATABASES[slug] for slug in ("mitdb", "ptbdb", "edb", "nstdb"))
SUMS = "SHA256SUMS.txt"

Fault = Callable[[bytes], bytes | None]
"""What the server makes of a file: another content, or None to hang up in the middle of it."""


class Mirror:
    """A loopback server of `folder` that counts requests, and spoils files when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: Counter[str] = Counter()
        self.faults: dict[str, list[Fault]] = {}  # the next answers to requests of a file, first come first served
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/files/"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.removeprefix("/files/")
        self.requests[path] += 1
        file = self.folder / path
        if not file.is_file():
            handler.send_error(404)
            return
        content = file.read_bytes()
        sent = self.faults[path].pop(0)(content) if self.faults.get(path) else content
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content if sent is None else sent)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if sent is None else sent)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def hang_up(_: bytes) -> None:
    return None


def corrupt(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def flip_labels(content: bytes) -> bytes:
    """Call every beat of an annotation file premature ventricular, the way that annot(5) packs it."""
    words = np.frombuffer(content, "<u2").copy()
    words[words >> 10 == 1] += 4 << 10  # N, code 1, to V, code 5
    return words.tobytes()


def is_a_web_page(_: bytes) -> bytes:
    return b"<html>Please log in to this network</html>"


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS.txt as PhysioNet does: a line for every other file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder)}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three records of mitdb and three patients of ptbdb, both synthetic, in the layout of PhysioNet."""
    folder = tmp_path_factory.mktemp("files")
    write_synthetic_mit(folder / "mitdb/1.0.0", patients=3, minutes=0.5, seed=0)
    write_synthetic_ptb(folder / "ptbdb/1.0.0", patients=3, minutes=0.25, seed=0)
    for slug in ("mitdb", "ptbdb"):
        write_sums(folder / slug / "1.0.0")
    return folder


@pytest.fixture
def mirror(databases: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # between two attempts
    mirror = Mirror(databases)
    wfdb.set_db_index_url(mirror.url)
    yield mirror
    wfdb.set_db_index_url()
    mirror.close()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def database_of(databases: Path, slug: str) -> dict[str, bytes]:
    """The files of a database as a download has them: the list of checksums under its own name."""
    files = files_below(databases / slug / "1.0.0")
    return files | {f"{slug}-1.0.0.sha256": files.pop(SUMS)}


@pytest.mark.parametrize("database", [MITDB, PTBDB])
def test_a_download_is_the_database(mirror: Mirror, databases: Path, tmp_path: Path, database: Database) -> None:
    assert physionet.download(database, tmp_path) == []
    assert files_below(tmp_path) == database_of(databases, database.slug)
    assert set(mirror.requests.values()) == {1}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "plain").touch()
    assert modes == {stat.S_IMODE((tmp_path / "plain").stat().st_mode)}


def test_what_is_complete_is_not_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    physionet.download(MITDB, tmp_path)
    mirror.requests.clear()
    (tmp_path / "RECORDS").write_text("m001\n")  # a part of the database is not the database
    assert physionet.download(MITDB, tmp_path) == ["RECORDS"]
    assert mirror.requests == {f"mitdb/1.0.0/{SUMS}": 1, "mitdb/1.0.0/RECORDS": 1}
    assert len(list_records(tmp_path, "mit")) == 3


def test_an_interrupted_download_goes_on_where_it_stopped(mirror: Mirror, databases: Path, tmp_path: Path) -> None:
    mirror.faults["mitdb/1.0.0/m002.dat"] = [hang_up] * (physionet.RETRIES + 1)
    with pytest.raises(InputError, match=r"m002\.dat cannot be fetched \(.*run the same command again"):
        physionet.download(MITDB, tmp_path)
    done = files_below(tmp_path)  # whole files, and no parts
    assert set(done) == {"mitdb-1.0.0.sha256", "RECORDS", "m001.hea", "m001.dat", "m001.atr", "m002.hea", "m002.atr"}
    assert physionet.download(MITDB, tmp_path) == []
    assert files_below(tmp_path) == database_of(databases, "mitdb")
    counts = {path.rpartition("/")[2]: count for path, count in mirror.requests.items()}
    assert counts.pop("m002.dat") == physionet.RETRIES + 2 and counts.pop(SUMS) == 2
    assert set(counts.values()) == {1}


FAULTS = [
    ("m002.dat", corrupt),
    ("m002.dat", lambda content: content[:-3]),
    ("m002.dat", hang_up),
    ("m002.dat", is_a_web_page),
    ("m002.hea", is_a_web_page),
    ("m002.hea", lambda _: b""),
    ("m002.atr", lambda content: content[: len(content) // 4 * 2]),
    ("m002.atr", flip_labels),
    ("RECORDS", lambda _: b"m001\n"),
]


@pytest.mark.parametrize(("file", "fault"), FAULTS)
def test_a_file_that_comes_damaged_is_fetched_once_more(
    mirror: Mirror, databases: Path, tmp_path: Path, file: str, fault: Fault
) -> None:
    mirror.faults[f"mitdb/1.0.0/{file}"] = [fault]
    assert physionet.download(MITDB, tmp_path) == []
    assert files_below(tmp_path) == database_of(databases, "mitdb")
    assert mirror.requests.pop(f"mitdb/1.0.0/{file}") == 2
    assert set(mirror.requests.values()) == {1}


@pytest.mark.parametrize(
    ("file", "spoil"),
    [("m002.dat", lambda content: content[:50]), ("m002.hea", lambda content: content[:50]), ("m002.atr", flip_labels)],
)
def test_a_file_that_differs_on_disk_is_fetched_again(
    mirror: Mirror, databases: Path, tmp_path: Path, file: str, spoil: Fault
) -> None:
    shutil.copytree(databases / "mitdb/1.0.0", tmp_path, dirs_exist_ok=True)
    (tmp_path / file).write_bytes(spoil((tmp_path / file).read_bytes()))
    assert (tmp_path / file).read_bytes() != (databases / "mitdb/1.0.0" / file).read_bytes()
    assert physionet.download(MITDB, tmp_path) == [file]
    assert files_below(tmp_path).items() >= database_of(databases, "mitdb").items()
    assert set(mirror.requests) == {f"mitdb/1.0.0/{name}" for name in (SUMS, file)}


def test_a_file_that_stays_damaged_is_named(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.faults["ptbdb/1.0.0/patient002/s0002lre.dat"] = [corrupt] * (physionet.RETRIES + 1)
    command = ["--dataset", "ptb", "--source", "physionet", "--raw_path", str(tmp_path / "raw")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {mirror.url}ptbdb/1.0.0/patient002/s0002lre.dat came damaged 3 times: its SHA-256")
    assert not (tmp_path / "out").exists()


def test_from_the_server_to_split_files(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--dataset", "mit", "--source", "physionet", "--raw_path", str(tmp_path / "raw")]
    physionet.download(MITDB, tmp_path / "raw")
    (tmp_path / "raw/m003.dat").write_bytes(corrupt((tmp_path / "raw/m003.dat").read_bytes()))
    assert main([*command, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "1 file did not match PhysioNet's checksums, fetched again: m003.dat" in printed.out
    assert "source synthetic" in printed.out  # what it is, not where it came from
    assert torch.load(tmp_path / "mit/train.pt", weights_only=True)["source"] == "synthetic"


def test_a_web_page_instead_of_the_list(mirror: Mirror, tmp_path: Path) -> None:
    mirror.faults[f"mitdb/1.0.0/{SUMS}"] = [is_a_web_page]
    with pytest.raises(InputError, match="lists no RECORDS: it is not PhysioNet's list of checksums"):
        physionet.download(MITDB, tmp_path)
    assert not files_below(tmp_path)
    assert physionet.download(MITDB, tmp_path) == []


def test_a_list_that_leads_out_of_the_folder(mirror: Mirror, tmp_path: Path) -> None:
    mirror.faults[f"mitdb/1.0.0/{SUMS}"] = [lambda content: content.replace(b"m001.", b"../m001.")]
    with pytest.raises(InputError, match=r"does not list m001\.hea, though RECORDS names that record"):
        physionet.download(MITDB, tmp_path / "raw")
    assert {*files_below(tmp_path)} == {"raw/RECORDS", "raw/mitdb-1.0.0.sha256"}


def test_a_file_that_the_server_lacks(mirror: Mirror, tmp_path: Path) -> None:
    wfdb.set_db_index_url(mirror.url + "elsewhere/")
    with pytest.raises(InputError, match=r"mitdb/1\.0\.0/SHA256SUMS\.txt cannot be fetched \(HTTP 404 Not Found\)"):
        physionet.download(MITDB, tmp_path)
    assert not files_below(tmp_path)


def test_no_network(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.server.server_close()  # nobody listens any more
    command = ["--dataset", "mit", "--source", "physionet", "--raw_path", str(tmp_path / "raw")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and "cannot be fetched (ConnectionError): check the network" in errors[0]
    assert "leave --source physionet out" not in errors[0]
    assert not files_below(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "m001.hea").write_text("m001 1 360 10\n")
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "or leave --source physionet out to take the records in" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        physionet.download(MITDB, tmp_path / "raw")


def test_a_full_disk_is_one_line(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.core.shutil.move", full)
    with pytest.raises(InputError, match=r"RECORDS cannot be written: No space left on device"):
        physionet.download(MITDB, tmp_path)
    assert [*files_below(tmp_path)] == ["mitdb-1.0.0.sha256"]


# ------------------------------------------------------------------ a database that we have no fingerprints of


def write_record(folder: Path, name: str, seed: int, annotated: bool = True) -> None:
    """Write 20 s of noise at 250 Hz, as edb has it, with a beat every second."""
    signal = np.random.default_rng(seed).normal(0, 100, (5000, 2)).astype(np.int64)
    comments = (f"Age: {50 + seed}  Sex: M", "Mixed angina")
    record = store(folder / name, signal, 250, leads=("V5", "MLIII"), comments=comments, fmt="212")
    if annotated:
        annotate(record, np.arange(250, 4800, 250), "N" * 19, fs=250)


@pytest.fixture
def edb(tmp_path: Path, mirror: Mirror) -> Path:
    """The folder that a download of a small edb went to."""
    server = tmp_path / "server/edb/1.0.0"
    for seed, name in enumerate(("e0103", "e0104", "e0105", "e0106")):
        write_record(server, name, seed)
    (server / "e0103.atr-").write_text("an older revision")
    (server / "RECORDS").write_text("e0103\ne0104\ne0105\ne0106\n")
    write_sums(server)
    mirror.folder = tmp_path / "server"
    assert physionet.download(EDB, tmp_path / "raw/edb") == []
    assert not (tmp_path / "raw/edb/e0103.atr-").exists()
    return tmp_path / "raw/edb"


@pytest.mark.parametrize("levels", [0, 1])
def test_what_was_downloaded_is_known_again(edb: Path, levels: int) -> None:
    beats = read_beats("mit", edb.parents[levels - 1] if levels else edb, ReadingOptions(any_lead=True))
    assert beats.source == "physionet" and set(beats.databases) == {"edb"}
    assert beats.source_from == "signals read and annotations as in edb 1.0.0"
    beats = read_beats("mit", edb, ReadingOptions(EDB.leads), database=EDB)
    assert beats.source == "physionet" and set(beats.leads) == {"V5"}


def test_annotations_that_are_not_in_the_list_are_not_physionets(edb: Path) -> None:
    for path in edb.glob("*.atr"):
        shutil.copy(path, path.with_suffix(".own"))
    assert read_beats("mit", edb, ReadingOptions(any_lead=True, annotator="own")).source == "records"


def test_the_list_of_another_folder_does_not_vouch(edb: Path, tmp_path: Path) -> None:
    shutil.copy(edb / "edb-1.0.0.sha256", tmp_path / "raw")
    (edb / "edb-1.0.0.sha256").unlink()
    assert read_beats("mit", tmp_path / "raw", ReadingOptions(any_lead=True)).source == "records"


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("e0104.dat", corrupt),
        ("e0104.atr", flip_labels),
        ("e0104.hea", lambda content: content.replace(b"Mixed angina", b"Effort angina")),
    ],
)
def test_what_was_changed_after_the_download_is_not_physionets(edb: Path, file: str, spoil: Fault) -> None:
    (edb / file).write_bytes(spoil((edb / file).read_bytes()))
    beats = read_beats("mit", edb, ReadingOptions(EDB.leads), database=EDB)
    assert beats.source == "records" and beats.source_from == "1 of 4 not as in edb 1.0.0: e0104"
    assert set(beats.databases) == {"edb"}  # as the user says
    beats = read_beats("mit", edb, ReadingOptions(any_lead=True))
    assert beats.source == "records" and set(beats.databases) == {""}
    assert "1 of 4 not as in edb 1.0.0: e0104; --database edb takes them" in beats.source_from


def test_a_record_without_annotations_is_downloaded(mirror: Mirror, tmp_path: Path) -> None:
    server = tmp_path / "server/nstdb/1.0.0"
    write_record(server, "118e00", 0)
    write_record(server, "bw", 1, annotated=False)  # noise alone
    (server / "RECORDS").write_text("118e00\nbw\n")
    write_sums(server)
    mirror.folder = tmp_path / "server"
    assert physionet.download(NSTDB, tmp_path / "raw") == []
    assert {"118e00.atr", "bw.dat", "bw.hea"} < set(files_below(tmp_path / "raw"))
