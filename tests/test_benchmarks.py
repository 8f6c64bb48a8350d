from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import arithmetics, detector, epoch, processes, quality, throughput
from preprocess.synthetic import write_synthetic_mit
from support.errors import run_command


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        (throughput.run, ["--repeats", "0"], "argument --repeats: 0 is not a whole number of 1 or more; `python -m"),
        (throughput.run, ["--threads", "-1"], "argument --threads: -1 is not a whole number of 1 or more"),
        (epoch.run, ["--stream", "all"], "argument --stream: all is not a whole number of 1 or more"),
        (epoch.run, ["--beats", "4", "10"], "--beats must be at least 5, a beat a class, got 4"),
        (arithmetics.run, ["--num_runs", "0"], "argument --num_runs: 0 is not a whole number of 1 or more"),
        (processes.run, ["--processes", "2", "0"], "argument --processes: 0 is not a whole number of 1 or more"),
        (detector.run, ["--raw_path", "raw"], "raw/mitdb: no record there has annotations, NAME.atr"),
    ],
)
def test_wrong_input_is_one_line(
    run: Callable[[list[str]], None],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw" / "mitdb").mkdir(parents=True)
    (tmp_path / "raw" / "mitdb" / "RECORDS").write_text("a\n")
    (tmp_path / "raw" / "mitdb" / "a.hea").write_text("a 1 360 0\na.dat 16\n")
    assert run_command(lambda: run(arguments)) == 2
    out, said = capfd.readouterr()
    assert message in said
    assert (out, said.count("\n")) == ("", 1)


def test_beats_stream_through_the_network_part_by_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(epoch, "PART", 4)
    epoch.run(["--stream", "10"])
    streamed = [line.split(",")[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert streamed == ["4 beats streamed", "10 beats streamed"]


def test_memory_of_steps_leaves_out_what_was_there_before_on_any_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "Path", lambda path: tmp_path / "none")  # as where there is no /proc
    monkeypatch.setattr(throughput, "build", lambda *given: lambda: None)
    setting = throughput.Setting(1, 186, 1)
    assert throughput.memory_of_steps("torch", setting, train=False) < 10
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)  # it has no such module
    assert math.isnan(throughput.memory_of_steps("torch", setting, train=False))


def test_a_training_that_fails_ends_the_comparison_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "TORCHRUN", ["false"])
    assert run_command(lambda: processes.run(["--data_path", str(tmp_path)])) == 2
    assert capfd.readouterr().err == "error: main.py failed with 1 of --processes; what it says stands above\n"


def test_the_tables_of_unreadable_time_take_a_part_of_a_database_and_detect_its_beats_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for database, name in (("mitdb", "208"), ("nstdb", "118e06")):  # of DS1; the noise of nstdb begins at minute 5
        write_synthetic_mit(tmp_path / database, 1, 5.5, 0)
        for path in (tmp_path / database).glob("m001.*"):
            path.rename(path.with_name(name + path.suffix))
        for path in (tmp_path / database / f"{name}.hea", tmp_path / database / "RECORDS"):
            path.write_text(path.read_text().replace("m001", name))
    detected, detect_beats = [], quality.detect_beats
    monkeypatch.setattr(quality, "detect_beats", lambda *given: detected.append(given) or detect_beats(*given))
    quality.run(["--raw_path", str(tmp_path)])
    assert len(detected) == 2
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line]
    assert "6" in rows  # dB
    groups = [row for row in rows if row.startswith(("DS", "mitdb", "svdb"))]
    assert groups == ["DS1, without the rules", "DS1", "mitdb, 1 record, without the rules", "mitdb, 1 record"]
