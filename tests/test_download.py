"""Downloads from a small HTTP server on loopback that has the folder layout of PhysioNet."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import wfdb

from preprocess import physionet
from preprocess.__main__ import main
from preprocess.records import list_records
from preprocess.synthetic import write_synthetic_mit, write_synthetic_ptb
from support.errors import InputError

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


def is_a_web_page(_: bytes) -> bytes:
    return b"<html>Please log in to this network</html>"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three records of mitdb and three patients of ptbdb, both synthetic, in the layout of PhysioNet."""
    folder = tmp_path_factory.mktemp("files")
    write_synthetic_mit(folder / "mitdb/1.0.0", patients=3, minutes=0.5, seed=0, progress=False)
    write_synthetic_ptb(folder / "ptbdb/1.0.0", patients=3, minutes=0.25, seed=0, progress=False)
    return folder


@pytest.fixture
def mirror(databases: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = Mirror(databases)
    wfdb.set_db_index_url(mirror.url)
    yield mirror
    wfdb.set_db_index_url()
    mirror.close()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("dataset", ["mit", "ptb"])
def test_a_download_is_the_database(mirror: Mirror, databases: Path, tmp_path: Path, dataset: str) -> None:
    assert physionet.download(dataset, tmp_path) == []
    assert files_below(tmp_path) == files_below(databases / f"{dataset}db/1.0.0")
    assert set(mirror.requests.values()) == {1}


def test_what_is_complete_is_not_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    physionet.download("mit", tmp_path)
    mirror.requests.clear()
    (tmp_path / "RECORDS").write_text("m001\n")  # a part of the database is not the database
    assert physionet.download("mit", tmp_path) == []
    assert mirror.requests == {"mitdb/1.0.0/RECORDS": 1}
    assert len(list_records(tmp_path, "mit")) == 3


def test_an_interrupted_download_goes_on_where_it_stopped(mirror: Mirror, databases: Path, tmp_path: Path) -> None:
    mirror.faults["mitdb/1.0.0/m002.dat"] = [hang_up]
    with pytest.raises(InputError, match=r"m002\.dat cannot be fetched \(.*run the same command again"):
        physionet.download("mit", tmp_path)
    done = files_below(tmp_path)
    assert set(done) == {"RECORDS", "m001.hea", "m001.dat", "m001.atr", "m002.hea"}  # whole files, and no parts
    assert physionet.download("mit", tmp_path) == []
    assert files_below(tmp_path) == files_below(databases / "mitdb/1.0.0")
    counts = {path.rpartition("/")[2]: count for path, count in mirror.requests.items()}
    assert counts.pop("m002.dat") == counts.pop("RECORDS") == 2
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("m002.dat", corrupt),
        ("m002.dat", lambda content: content[:-3]),
        ("m002.hea", is_a_web_page),
        ("m002.hea", lambda content: b""),
        ("m002.atr", lambda content: content[: len(content) // 4 * 2]),
        ("m002.dat", is_a_web_page),
    ],
)
def test_a_damaged_record_is_fetched_once_more(
    mirror: Mirror, databases: Path, tmp_path: Path, file: str, fault: Fault
) -> None:
    mirror.faults[f"mitdb/1.0.0/{file}"] = [fault]
    assert physionet.download("mit", tmp_path) == ["m002"]
    assert files_below(tmp_path) == files_below(databases / "mitdb/1.0.0")
    assert mirror.requests[f"mitdb/1.0.0/{file}"] == 2
    assert mirror.requests["mitdb/1.0.0/m001.dat"] == mirror.requests["mitdb/1.0.0/m003.dat"] == 1


@pytest.mark.parametrize("file", ["m002.dat", "m002.hea", "m002.atr"])
def test_a_file_that_another_tool_left_in_part_is_fetched_again(
    mirror: Mirror, databases: Path, tmp_path: Path, file: str
) -> None:
    shutil.copytree(databases / "mitdb/1.0.0", tmp_path, dirs_exist_ok=True)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:50])
    assert physionet.download("mit", tmp_path) == ["m002"]
    assert files_below(tmp_path) == files_below(databases / "mitdb/1.0.0")


def test_a_record_that_stays_damaged_is_named(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.faults["ptbdb/1.0.0/patient002/s0002lre.dat"] = [corrupt, corrupt]
    command = ["--dataset", "ptb", "--source", "physionet", "--raw_path", str(tmp_path / "raw")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: record patient002/s0002lre came damaged twice: signal ")
    assert "s0002lre.dat does not match its checksum" in error
    assert not (tmp_path / "out").exists()


def test_from_the_server_to_split_files(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--dataset", "mit", "--source", "physionet", "--raw_path", str(tmp_path / "raw")]
    mirror.faults["mitdb/1.0.0/m003.dat"] = [corrupt]
    assert main([*command, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "record m003 did not match its checksums and was fetched again" in printed.out
    assert "source synthetic" in printed.out  # what it is, not where it came from
    assert torch.load(tmp_path / "mit/train.pt", weights_only=True)["source"] == "synthetic"


def test_a_web_page_instead_of_the_list(mirror: Mirror, tmp_path: Path) -> None:
    mirror.faults["mitdb/1.0.0/RECORDS"] = [is_a_web_page]
    with pytest.raises(InputError, match="names '<html>Please', which is no record"):
        physionet.download("mit", tmp_path)
    assert physionet.download("mit", tmp_path) == []


def test_a_file_that_the_server_lacks(mirror: Mirror, tmp_path: Path) -> None:
    wfdb.set_db_index_url(mirror.url + "elsewhere/")
    with pytest.raises(InputError, match=r"mitdb/1\.0\.0/RECORDS cannot be fetched \(HTTP 404 Not Found\)"):
        physionet.download("mit", tmp_path)
    assert not files_below(tmp_path)


def test_no_network(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.server.server_close()  # nobody listens any more
    command = ["--dataset", "mit", "--source", "physionet", "--raw_path", str(tmp_path / "raw")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and "cannot be fetched (ConnectionError): check the network" in errors[0]
    assert not files_below(tmp_path)


def test_a_folder_that_cannot_be_written(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        physionet.download("mit", tmp_path / "raw")
