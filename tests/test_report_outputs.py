"""The folders of reports: several recordings and their index, what is replaced, and what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import joblib
import numpy as np
import pandas as pd
import pytest
import wfdb
from conftest import ROOT
from joblib.externals.loky.process_executor import TerminatedWorkerError
from made_records import store
from made_reports import complaint, load, report_of, write_checkpoint, write_rhythm

import report
from report import outputs, render
from report.__main__ import names_of, run
from report.browser import print_pdf
from support.errors import InputError, run_command

# --------------------------------------------------------------------------------------------------- several recordings


def test_several_recordings_have_an_index_and_one_that_fails_is_told(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(records / name) for name in ("m001", "m009", "m002")]
    assert run_command(lambda: run([*paths, "--annotations", "atr", "--out", str(tmp_path / "all")])) == 1
    index = (tmp_path / "all" / "index.html").read_text()
    assert 'href="m001/report.html"' in index
    assert 'href="m002/report.html"' in index
    assert "m009" in index
    assert "<p>3 recordings; no report was made of 1.</p>" in index  # it may be for want of a file, or of a folder
    assert "Pauses: R-R intervals longer than 2 s" in index
    assert not (tmp_path / "all" / "m009").exists()
    told = capsys.readouterr().err
    assert "1 of 3 recordings failed" in told
    assert f"\n{records / 'm009'} is not there" in f"\n{told}"  # named once, by the message itself
    # index.csv is the summaries, as pandas lays them out, but for what has more or fewer names in each recording.
    table = pd.read_csv(tmp_path / "all" / "index.csv", index_col="record").dropna(axis=1, how="all")
    assert [*table.index] == ["m001", "m009", "m002"]
    assert table["error"].isna().tolist() == [True, False, True] and table.loc["m009"].count() == 1
    summaries = [load(tmp_path / "all" / name)[0] for name in ("m001", "m002")]
    flat = pd.json_normalize(summaries).set_index("record")
    assert all(set(summary["doubtful_episodes"]) <= set(outputs.DOUBTED) for summary in summaries)
    assert {"doubtful_episodes.nsvt", "doubtful_episodes.pause"} < {*table}
    same = [name for name in table if name in flat and name != "notes"]
    assert (table.loc[flat.index, same].fillna("") == flat[same].fillna("")).all(axis=None)
    assert {"burden_percent.V", "heart_rate.mean.bpm", "episodes.run_v", "pauses.gt_2_0", "hrv.sdnn_ms"} < {*same}
    assert "\nm001,,WFDB,360,MLII,,True," in (tmp_path / "all" / "index.csv").read_text()


def test_a_stopped_command_goes_on_with_resume(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps the reports that it would make again, makes those that it would make otherwise, and lists all."""
    shutil.copytree(records, tmp_path / "raw")
    out, paths = tmp_path / "r", [str(tmp_path / "raw" / name) for name in ("m001", "m002")]
    network, another = (str(write_checkpoint(tmp_path / name)) for name in ("c.pt", "d.pt"))

    def made(*options: str) -> list[str]:
        """The recordings whose reports are new."""
        for page in out.glob("*/report.html"):
            page.write_text("before")
        assert run_command(lambda: run([*paths, "--out", str(out), *options])) == 0
        assert pd.read_csv(out / "index.csv")["beats.all"].gt(0).tolist() == [True, True]
        return [page.parent.name for page in sorted(out.glob("*/report.html")) if page.read_text() != "before"]

    def stopped(calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Path, object]]:
        call, arguments, named = next(iter(calls))
        yield call(*arguments, **named)
        raise KeyboardInterrupt

    atr = ("--resume", "--annotations", "atr")
    with monkeypatch.context() as patch:
        patch.setattr(joblib, "Parallel", lambda **_: stopped)
        assert run_command(lambda: run([*paths, "--out", str(out), *atr[1:]])) == 130
    assert f"{out} has 1 of 2; add --resume to the same command to go on" in capsys.readouterr().err
    assert made(*atr) == ["m002"]
    (tmp_path / "diary.csv").write_text("time,kind\n1,other\n")
    assert report_of(Path(paths[0]), out / "m001", *atr, "--diary", str(tmp_path / "diary.csv")) == 0
    assert made(*atr) == [] and (out / "m001" / "diary.csv").is_file()
    assert made(*atr[1:]) == ["m001", "m002"]
    assert made(*atr, "--pause", "1.5") == ["m001", "m002"]
    assert made(*atr, "--pause", "1.5") == []
    assert made("--resume", "--checkpoint", network) == ["m001", "m002"]
    assert made("--resume", "--checkpoint", another) == ["m001", "m002"]
    assert made("--resume", "--checkpoint", another) == []
    assert made(*atr, "--checkpoint", network) == ["m001", "m002"]  # its R-peaks are others
    os.utime(tmp_path / "raw" / "m002.atr")
    assert made(*atr, "--checkpoint", network) == ["m002"]
    os.utime(network)
    assert made(*atr, "--checkpoint", network) == ["m001", "m002"]
    summary = out / "m001" / "summary.json"
    summary.write_text(summary.read_text().replace('"notes": [', '"notes": "x", "other": ['))
    assert made(*atr, "--checkpoint", network) == ["m001"]
    for suffix in ("hea", "dat"):  # another recording of the same name, and older
        content = (records / f"m001.{suffix}").read_bytes()
        (tmp_path / "raw" / f"m002.{suffix}").write_bytes(content.replace(b"m001", b"m002"))
        os.utime(tmp_path / "raw" / f"m002.{suffix}", (0, 0))
    assert run_command(lambda: run([*paths, "--out", str(out), *atr, "--checkpoint", network])) == 1
    assert "m002 holds the report of another recording" in capsys.readouterr().err


def test_recordings_of_one_name_are_called_by_their_folders_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"p1/v1/a.csv": "p1_v1_a", "p1/v2/a.csv": "p1_v2_a", "p2/v1/a.edf": "p2_v1_a", "p2/v1/b.csv": "b"}
    for path in (tmp_path / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert names_of([tmp_path / path for path in names]) == {tmp_path / path: name for path, name in names.items()}
    with pytest.raises(InputError, match=r"p1_a\.hea and p1/a\.hea would both become p1_a/"):
        names_of([*map(Path, ("p1_a.hea", "p1/a.hea", "p2/a.hea"))])
    for patient in ("p1", "p2"):
        write_rhythm(tmp_path / patient, "ecg", "N" * 60, 1.0)
    paths = [str(tmp_path / patient / "ecg.hea") for patient in ("p1", "p2")]
    run([*paths, "--annotations", "atr", "--out", str(tmp_path / "r")])
    assert re.findall('href="(.*?)/report.html', (tmp_path / "r" / "index.html").read_text()) == ["p1_ecg", "p2_ecg"]
    assert pd.read_csv(tmp_path / "r" / "index.csv")["record"].tolist() == ["p1_ecg", "p2_ecg"]
    assert (tmp_path / "r" / "p1_ecg" / "ecg.ect").is_file() and "p2_ecg: 1 min 1 s of" in capsys.readouterr().out


def test_a_segment_is_in_the_report_of_its_record_alone(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`*.hea` names segments too. Those of a header that is wrong stay, and those whose record is not named."""
    reported: list[list[Path]] = []
    monkeypatch.setattr("report.__main__.report_many", lambda folders, out, work: reported.append([*folders]))
    for name in ("m001", "m002"):
        shutil.copy(records / f"{name}.hea", tmp_path)
    length = int((tmp_path / "m001.hea").read_text().split()[3])
    (tmp_path / "whole.hea").write_text(f"whole/2 2 360 {2 * length}\nm001 {length}\nm001 {length}\n")
    (tmp_path / "damaged.hea").write_text("damaged/2 2 360 9\nm002 9\n")
    (tmp_path / "itself.hea").write_text("itself/1 2 360 9\nitself 9\n")
    every, options = sorted(tmp_path.glob("*.hea")), ("--annotations", "atr", "--out", str(tmp_path / "out"))
    run([*map(str, every), *options])
    assert reported.pop() == [path for path in every if path.name != "m001.hea"]
    assert capsys.readouterr().err == "note: left out as segments of other recordings named here: m001.hea\n"
    run([*map(str, every[2:4]), *options])
    assert reported.pop() == every[2:4] == [tmp_path / "m001.hea", tmp_path / "m002.hea"]
    assert not capsys.readouterr().err


def test_the_index_marks_what_its_reports_mark(tmp_path: Path) -> None:
    write_rhythm(tmp_path, "much", "N" * 100 + "A" * 25 + "NV" * 40 + "N" * 195, 1.0)
    write_rhythm(tmp_path, "little", "N" * 60, 1.0)
    out = tmp_path / "r"
    arguments = [tmp_path / name for name in ("much", "little", "none")]
    assert run_command(lambda: run([*map(str, arguments), "--annotations", "atr", "--out", str(out)])) == 1
    head, *rows = re.findall("<tr>.*?</tr>", (out / "index.html").read_text(), re.DOTALL)
    titles = re.findall("<th[^>]*>(.*?)</th>", head)
    cells = [dict(zip(titles, re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row), strict=False)) for row in rows]
    assert "SVT" in titles and f'colspan="{len(titles) - 1}"' in rows[2]
    mark = '<span class="mark">{}</span> {} %'
    assert (cells[0]["V"], cells[0]["S"]) == (mark.format("marked", "10.0"), mark.format("excessive", "6.2"))
    assert cells[1]["V"] == cells[1]["S"] == "0.0 %"
    assert [row.count('class="quiet"') for row in rows] == [5, 8, 0]  # what there is none of: VT, ...
    assert "per readable hour" in (out / "much" / "report.html").read_text().split("What stands out")[0]
    assert "per readable hour" not in (out / "little" / "report.html").read_text().split("What stands out")[0]


def test_the_index_leads_to_a_report_of_any_name(annotated: Path) -> None:
    name = "caf\udce9 #1?"  # of a file whose name is Latin-1
    index = render.index_page([render.IndexRow(name, load(annotated)[0])])
    assert '<a href="caf%E9%20%231%3F/report.html">' in index


def test_a_template_is_compiled_for_the_first_page_alone(annotated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [render.IndexRow("a", load(annotated)[0])]
    first = render.index_page(rows)
    monkeypatch.delattr(jinja2.Environment, "compile")
    assert render.index_page(rows) == first


HOSTILE = "<script>alert(1)</script> \x1b]0;title\x07\nnote: forged\u202e"


def test_what_a_file_holds_is_text_to_the_page_and_to_the_terminal(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No markup, no escape sequence, no line of its own; and the page forbids itself scripts and requests."""
    name = HOSTILE.replace("/", "")
    header = f"a 1 360 1800\n~ 0 200/mV 12 0 0 0 0 {HOSTILE.partition(chr(10))[0]}"
    (tmp_path / f"{name}.hea").write_text(header, encoding="utf-8")
    (tmp_path / "b.hea").write_text(header.replace("~ 0", "none.dat 16"), encoding="utf-8")
    (tmp_path / "diary.csv").write_text(f'time,kind,note\n1,other,"{HOSTILE}"\n', encoding="utf-8")
    out, options = tmp_path / "r", ["--lead", "1", "--checkpoint", str(checkpoint), "--diary", tmp_path / "diary.csv"]
    assert report_of(tmp_path / f"{name}.hea", out / "one", *options) == 0
    assert load(out / "one")[0]["lead"].isprintable()
    assert run_command(lambda: run([*map(str, [*tmp_path.glob("*.hea"), "--out", out, *options[:-2]])])) == 1
    said = capsys.readouterr()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]|^note: forged", said.out + said.err, re.MULTILINE)
    for page in (out / "one/report.html", out / "index.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text and "&lt;script&gt;alert(1)&lt;" in text
        assert re.search('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ', text)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_recording_that_memory_is_short_for_leaves_the_others_their_reports(
    records: Path, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(record: Path, *given: Any) -> dict[str, Any]:
        if record.name == "m002":
            raise MemoryError
        if record.name == "m003":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return written(record, *given)

    written = report.__main__.report_one
    monkeypatch.setattr(report.__main__, "report_one", attempt)
    # In this process whatever --jobs says: another would not know of the `attempt` above.
    monkeypatch.setattr(joblib, "Parallel", lambda **_: lambda calls: (call(*a, **k) for call, a, k in calls))
    paths = [str(records / name) for name in ("m003", "m002", "m001")]
    arguments = [*paths, "--annotations", "atr", "--jobs", str(jobs), "--out", str(tmp_path / "r")]
    assert run_command(lambda: run(arguments)) == 1
    assert (tmp_path / "r" / "m001" / "report.html").is_file() and not (tmp_path / "r" / "m002").exists()
    told = capsys.readouterr().err
    remedy = "free some, as by closing other programs" if jobs == 1 else "give fewer --jobs, or free some"
    for path in paths[:2]:
        assert f"{path}: not enough memory; {remedy}" in told
    assert "2 of 3 recordings failed" in told


def test_a_defect_names_the_recording_that_it_came_up_with(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(report.__main__, "page")
    with pytest.raises(NameError) as error:
        run([str(records / "m001"), str(records / "m002"), "--annotations", "atr", "--out", str(tmp_path / "r")])
    assert f"It came up with {records / 'm001'}; without that, and with --resume" in error.value.__notes__[0]


def test_a_process_that_is_killed_costs_no_report_that_is_done(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def done_but_killed(calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Path, object]]:
        call, arguments, named = next(iter(calls))
        with monkeypatch.context() as patch:
            patch.delattr(report.__main__, "tqdm")  # the semaphore of a bar would be called leaked
            done = call(*arguments, **named)
        yield done
        raise TerminatedWorkerError

    def parallel(*, idle_worker_timeout: float, **_: object) -> Callable[..., Iterator[tuple[Path, object]]]:
        assert idle_worker_timeout < 60  # s, that processes outlive a killed command
        return done_but_killed

    monkeypatch.setattr(joblib, "Parallel", parallel)
    paths = [str(records / name) for name in ("m001", "m002")]
    arguments = [*paths, "--annotations", "atr", "--jobs", "2", "--out", str(tmp_path / "r")]
    assert run_command(lambda: run(arguments)) == 1
    told = capsys.readouterr().err
    assert f"{paths[1]}: the process that worked on it was killed, as where memory runs out; give fewer --jobs" in told
    assert "1 of 2 recordings failed" in told
    index = (tmp_path / "r" / "index.html").read_text()
    assert "m001/report.html" in index and "was killed" in index


# ----------------------------------------------------------------------------------------------------- what is replaced


def test_the_report_of_another_recording_is_not_replaced(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, given = tmp_path / "r", ("--annotations", "atr", "--out", tmp_path / "r")
    assert report_of(records / "m001", out, *given[:2]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    line = complaint(capsys, records / "m002", *given)
    assert f"{out} holds the report of another recording (record m001) than this one (record m002)" in line
    assert "name another folder with --out" in line
    namesake = tmp_path / "m001.csv"
    namesake.write_text("MLII_mV\n" + "0.1\n0.2\n" * 5000)
    line = complaint(capsys, namesake, "--fs", "250", "--checkpoint", write_checkpoint(tmp_path / "c.pt"), *given[2:])
    assert "(record m001, 360 Hz, 90 s long) than this one (record m001, 250 Hz, 40 s long)" in line
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "summary.json").write_text(json.dumps(json.loads(before["summary.json"]) | {"fs": "fast"}))
    assert "summary.json: is damaged: its fs is 'fast'; move" in complaint(capsys, records / "m001", *given)
    (out / "summary.json").write_bytes(before["summary.json"])
    assert report_of(records / "m001", out, *given[:2], "--start_time", "2026-01-31T08:00", "--pause", "1.9") == 0
    assert report_of(records / "m001", out, *given[:2]) == 0
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    store(tmp_path / "m001", -values[:, None], 360)  # as long, at the same rate, by the same name
    shutil.copy(records / "m001.atr", tmp_path)
    (tmp_path / "m001.csv").unlink()
    line = complaint(capsys, tmp_path / "m001", *given)
    assert "of another recording (record m001, with another first minute) than this one (record m001)" in line
    (out / "remarks.txt").write_text("mine")
    assert "and beside it remarks.txt, which would be lost" in complaint(capsys, records / "m001", *given)
    assert f"{out} holds the report of one recording" in complaint(capsys, records / "m001", records / "m002", *given)
    (tmp_path / "s").mkdir()
    for name in ("index.csv", "index.html"):
        (tmp_path / "s" / name).write_text("mine")
        line = complaint(capsys, records / "m001", records / "m002", *given[:2], "--out", tmp_path / "s")
        assert f"{name} is of something else and would be lost" in line


def test_neither_a_unit_nor_a_lead_that_the_user_states_lets_a_report_of_another_recording_be_replaced(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of one name, length and rate that name no lead: the first minute alone tells them apart."""
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    for patient, sign in (("a", 1), ("b", -1)):
        (tmp_path / patient).mkdir()
        np.savetxt(tmp_path / patient / "ecg.csv", sign * values, fmt="%.3f")
    out, network = tmp_path / "r", ("--checkpoint", write_checkpoint(tmp_path / "c.pt"))
    read = ("--fs", "360", "--unit", "mV", *network)
    assert report_of(tmp_path / "a" / "ecg.csv", out, *read) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = "than this one (record ecg), or of the same file read with another --fs, --unit, --gain, --lead, --column"
    for stated in ((), ("--lead", "II"), ("--lead", "V1"), ("--gain", "200")):
        unit = ("--unit", "adu") if "--gain" in stated else ("--unit", "mV")
        line = complaint(capsys, tmp_path / "b" / "ecg.csv", "--fs", "360", *unit, *stated, *network, "--out", out)
        assert "holds the report of another recording (record ecg, with another first minute)" in line
        assert again in line
    for other in (("--fs", "360", "--unit", "uV"), ("--fs", "250", "--unit", "mV")):  # the same file, corrected
        line = complaint(capsys, tmp_path / "a" / "ecg.csv", *other, *network, "--out", out)
        assert "or of the same file read with another --fs, --unit," in line and "or remove that one first" in line
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    assert report_of(tmp_path / "a" / "ecg.csv", out, *read, "--lead", "II") == 0  # the same samples


def test_another_lead_that_the_file_names_replaces_the_report(records: Path, tmp_path: Path) -> None:
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    np.savetxt(
        tmp_path / "ecg.csv", np.c_[values, -values], fmt="%.3f", delimiter=",", header="II_mV,V1_mV", comments=""
    )
    network = ("--checkpoint", write_checkpoint(tmp_path / "c.pt"))
    for lead in ("II", "V1"):
        assert report_of(tmp_path / "ecg.csv", tmp_path / "r", "--fs", "360", "--lead", lead, *network) == 0
        assert load(tmp_path / "r")[0]["lead"] == lead


def test_what_a_file_browser_left_keeps_no_report_from_being_replaced(records: Path, tmp_path: Path) -> None:
    """In the folder of a report, and in one that is otherwise empty."""
    out = tmp_path / "r"
    out.mkdir()
    for pause in ("2.0", "1.9"):
        (out / ".DS_Store").write_bytes(b"\0")
        assert report_of(records / "m001", out, "--annotations", "atr", "--pause", pause) == 0
        assert not (out / ".DS_Store").exists()


def test_a_report_is_written_through_a_link_and_not_to_the_root(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for _ in range(2):
        assert report_of(records / "m001", tmp_path / "link", "--annotations", "atr") == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "summary.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}
    line = complaint(capsys, records / "m001", "--annotations", "atr", "--out", "/")
    assert "/ cannot be replaced" in line


def test_a_kill_leaves_no_half_report(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert report_of(records / "m001", out, "--annotations", "atr") == 0
    before = (out / "summary.json").read_bytes()
    code = (
        "import time, report.outputs as o\n"
        "def slow(*a): print('writing', flush=True); time.sleep(60)\n"
        "o.write_annotations = slow\n"
        "from report.__main__ import run\n"
        f"run([{str(records / 'm001')!r}, '--annotations', 'atr', '--pause', '1.9', '--out', {str(out)!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline().strip() == b"writing"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (out / "summary.json").read_bytes() == before
    (left,) = tmp_path.glob(".r.*.part")
    os.utime(left, (0, 0))
    assert report_of(records / "m001", out, "--annotations", "atr", "--pause", "1.9") == 0  # clears what is left
    assert json.loads((out / "summary.json").read_text())["definitions"]["pause"] == 1.9
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_what_the_browser_says_may_be_in_any_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another language's words in another code page; of bytes that are not text the rest is still told."""
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\nprintf 'kein Speicher verf\\374gbar\\n' >&2\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InputError, match=r"--pdf: \S+/chromium wrote none \(kein Speicher verf.gbar\), and no report"):
        print_pdf(tmp_path / "report.html", tmp_path / "report.pdf")
