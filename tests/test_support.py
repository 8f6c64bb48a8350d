from __future__ import annotations

import csv
import json
import logging
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch.distributed
from conftest import ROOT, write_toy_splits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support import distributed, launch, threads
from support.errors import InputError, one_line, reason_of, run_command
from support.fields import fits, from_fields
from support.figures import new_figure, save_figure
from support.files import (
    LogFile,
    folder_written_whole,
    read_json,
    read_table,
    require_writable,
    write_json,
    write_table,
    write_text,
    written_whole,
)
from support.progress import progress_bar

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID")

# --------------------------------------------------------------------------------------------------------------- files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(json.JSONDecodeError), written_whole(path) as part:
        part.write_text("half")
        json.loads("half")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [*tmp_path.iterdir()] == [path]


def test_an_unwritable_folder_is_an_input_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_json(in_the_way / "value.json", 1)
    with pytest.raises(InputError, match="file is a file; name another folder with --out"):
        require_writable(in_the_way / "deeper", "--out")


def test_a_damaged_json_file_is_an_input_error(tmp_path: Path) -> None:
    damaged = "absent or damaged"
    for text, message in (('{"a": 1', damaged), ("[1]", "holds a list"), ("\x00\xff", damaged), ("[" * 10**5, damaged)):
        (tmp_path / "value.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_json(tmp_path / "value.json")
        with pytest.raises(InputError, match=r"; fetch it$"):
            read_json(tmp_path / "value.json", "fetch it")


FORMULAS = ("=1+1", "-a", "+a", "@sum", "\tx", "'=1", "-", "-1+1", "=", "''", "a;=1", "a\n@b", "\t\t=1", ";';'-1")
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="=+-@\t\n;'"), max_size=8)


@settings(max_examples=40)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=5), header=TEXTS.filter(lambda text: text.strip() not in ("", "n", "@"))
)
@example(texts=[*FORMULAS], header="=h")
def test_a_table_holds_no_formula_and_gives_back_its_texts(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], header: str
) -> None:
    path = tmp_path_factory.mktemp("table") / "table.csv"
    write_table(path, pd.DataFrame({header: texts, "n": [-1.5] * len(texts)}, index=pd.Index(texts, name="@")))
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [*csv.reader(stream)]
    # To a spreadsheet of another country a semicolon, a tab or the end of a line may begin a cell.
    for cell in (part for row in rows for text in row for part in (text, *re.split(r"[;\t\n]", text)[1:])):
        assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r") or re.fullmatch(
            r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", cell, re.I
        )
    assert [row[2] for row in rows[1:]] == ["-1.5"] * len(texts)  # numbers stay numbers
    back = read_table(path, index_col=0, keep_default_na=False, dtype=str)
    assert back.columns.tolist() == [header, "n"]
    assert back.index.tolist() == texts
    assert back.index.name == "@"
    assert back[header].tolist() == texts


def test_a_table_of_numbers_is_written_as_ever(tmp_path: Path) -> None:
    table = pd.DataFrame({"N": [99.456, 7], "note": ["-0.5", "+1e3"]}, index=pd.Index(["recall", "f1"], name="percent"))
    table["mixed"] = pd.Series([-99.5, 7], index=table.index, dtype=object)
    write_table(tmp_path / "table.csv", table, decimals=2)
    assert (tmp_path / "table.csv").read_text() == "percent,N,note,mixed\nrecall,99.46,-0.5,-99.5\nf1,7.00,+1e3,7\n"


def test_a_carriage_return_ends_no_row(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", pd.DataFrame({"record": ["\r=1+1"], "n": [1]}), index=False)
    assert (tmp_path / "table.csv").read_text() == "record,n\n\\r=1+1,1\n"


def test_files_have_the_same_bytes_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines end alike on Windows, whose own ending is another: tables are compared byte for byte."""
    monkeypatch.setattr(os, "linesep", "\r\n")
    write_table(tmp_path / "table.csv", pd.DataFrame({"a": [1, 2]}), index=False)
    write_json(tmp_path / "value.json", {})
    assert (tmp_path / "table.csv").read_bytes() == b"a\n1\n2\n"
    assert (tmp_path / "value.json").read_bytes() == b"{}\n"


def test_an_absent_table_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"table\.csv: is absent or damaged"):
        read_table(tmp_path / "table.csv")


# -------------------------------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize(
    ("value", "hint", "right"),
    [
        (1, int, True),
        (True, int, False),
        (1.0, int, False),
        (1, float, True),
        (10**400, float, False),
        (float("inf"), float, False),
        (float("nan"), float, False),
        (True, float, False),
        (True, bool, True),
        (1, bool, False),
        (None, int | None, True),
        ("x", int | None, False),
        ((1, 2), tuple[int, ...], True),
        ((), tuple[int, ...], True),
        ((1, "2"), tuple[int, ...], False),
        ([1, 2], tuple[int, ...], False),
        ((0.9, 1), tuple[float, float], True),
        ((0.9,), tuple[float, float], False),
        ([{"a": 1}], list[dict[str, Any]], True),
        ([{1: 1}], list[dict[str, Any]], False),
        ({"a": {"b": None}}, dict[str, Any], True),
        ({"a": 1.5}, dict[str, int], False),
    ],
)
def test_values_and_annotations(value: object, hint: object, right: bool) -> None:
    assert fits(value, hint) == right


@dataclass(frozen=True)
class Recipe:
    epochs: int
    rate: float = 0.1
    names: list[str] = field(default_factory=list)
    sizes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"--epochs must be at least 1, got {self.epochs}")


def test_a_dataclass_from_a_dict() -> None:
    assert from_fields(Recipe, {"epochs": 3, "rate": 1}, "a.json") == Recipe(3, 1)
    assert from_fields(Recipe, {"epochs": 3, "sizes": [1, 2], "names": ["a"]}, "a") == Recipe(3, 0.1, ["a"], (1, 2))
    for values, message in (
        (None, "a.json is a NoneType; a dict is needed"),
        ({}, "a.json: epochs is missing"),
        ({"epochs": 3, "epoch": 1}, "a.json: 'epoch' is unknown"),
        ({"epochs": "3"}, "a.json: epochs is '3'; a whole number is needed"),
        ({"epochs": 3, "rate": None}, "a.json: rate is None; a finite number is needed"),
        ({"epochs": 3, "names": [3]}, r"a.json: names is \[3\]; a list\[str\] is needed"),
        ({"epochs": 3, "sizes": [1, "2"]}, r"a.json: sizes is \[1, '2'\]; a tuple\[int, ...\] or None is needed"),
        ({"epochs": 0}, "a.json: --epochs must be at least 1, got 0"),
    ):
        with pytest.raises(InputError, match=message):
            from_fields(Recipe, values, "a.json")


# --------------------------------------------------------------------------------------------------- several processes


@pytest.mark.parametrize(
    ("variables", "rank", "size"),
    [
        ({}, 0, 1),
        ({"RANK": "1"}, 0, 1),
        ({"RANK": "", "WORLD_SIZE": "", "LOCAL_RANK": ""}, 0, 1),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "x"}, 0, 1),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "none"}, 3, 8),
    ],
)
def test_only_torchrun_makes_several_processes(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], rank: int, size: int
) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launch.by_torchrun() == torch.distributed.is_torchelastic_launched()
    assert (distributed.rank(), distributed.world_size(), launch.local_rank()) == (rank, size, min(rank, 1))
    assert launch.is_first() == (rank == 0)
    assert distributed.local_device("cuda") == ("cuda" if size == 1 else "cuda:1")


# ------------------------------------------------------------------------------------------------------------ threads


@pytest.mark.parametrize("given", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", None])
def test_threads_wait_asleep_unless_the_user_says_how(given: str | None) -> None:
    environment = {given: "7"} if given else {}
    threads.wait_asleep(environment)
    assert environment == ({given: "7"} if given else {"GOMP_SPINCOUNT": threads.TURNS})


COMMANDS = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for path in (*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/*.py"))
    if path.parent != ROOT / "tests" and "if __name__ == " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("command", ["report", *COMMANDS])
def test_every_command_says_how_threads_wait_before_torch_is_imported(command: str) -> None:
    script = (
        "import importlib, os, sys\n"
        "class Torch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            sys.exit(0 if 'GOMP_SPINCOUNT' in os.environ else 'torch comes first')\n"
        "sys.meta_path.insert(0, Torch())\n"
        f"importlib.import_module({command!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=ROOT, env=environment)


# -------------------------------------------------------------------------------------------------------- command lines

COMMAND = """
import os, sys
from support.errors import InputError, TrainingError, run_command
def command():
    {body}
sys.exit(run_command(command))
"""


HELP = "from support.cli import ArgumentParser; ArgumentParser(prog='x').parse_args(['--help'])"


def shell(body: str, redirected: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line of that body in a shell that redirects its output."""
    environment = {name: value for name, value in os.environ.items() if name not in TORCHRUN}
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", sys.executable, "-c", COMMAND.format(body=body)],
        capture_output=True, timeout=60, cwd=ROOT, env=environment | variables, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "raised",
    ["MemoryError", 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 9 bytes")'],
)
def test_memory_that_runs_out_is_told_in_one_line(raised: str) -> None:
    done = shell(f"raise {raised}")
    assert done.returncode == 1
    assert done.stderr.decode() == "error: not enough memory; free some, as by closing other programs\n"
    assert b"Traceback" in shell("raise RuntimeError('another')").stderr


def test_where_memory_runs_out_a_command_is_told_of_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise MemoryError

    assert run_command(command, "take a smaller --batch_size") == 1
    assert capsys.readouterr().err == "error: not enough memory; take a smaller --batch_size\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_output_encoding(encoding: str) -> None:
    done = shell(
        r"print('\u00b5 \u00b1 \u2192 \udcff'); raise InputError('\u00b5 \u00b1 \u2192 \udcff')",
        PYTHONIOENCODING=encoding,
    )
    assert done.returncode == 2
    for output in (done.stdout, done.stderr):
        shown = output.decode(encoding).replace("\\xb5", "µ").replace("\\xb1", "±").replace("\\u2192", "→")
        assert re.fullmatch(r"(error: )?µ ± → \\udcff\n", shown)


@pytest.mark.parametrize(
    ("body", "redirected", "code", "said"),
    [
        ("print('x')", ">&-", 0, ""),
        ("print('x', file=sys.stderr)", "2>&-", 0, ""),
        ("sys.stdout.flush(); sys.stderr.isatty()", "<&- >&- 2>&-", 0, ""),
        ("raise InputError('wrong')", ">&-", 2, "error: wrong\n"),
        ("raise InputError('wrong')", "2>&-", 2, ""),
        ("raise InputError('wrong')", "2>/dev/full", 2, ""),
        ("raise TrainingError('nan')", "", 1, "error: nan\n"),
        ("print('x')", ">/dev/full", 2, "error: a file or the standard output: No space left on device\n"),
        (HELP, ">/dev/full", 2, "error: a file or the standard output: No space left on device\n"),
        ("print('x' * 99999)", ">/dev/full", 2, "error: a file or the standard output: No space left on device\n"),
        ("print('x', file=sys.stderr)", "2>/dev/full", 2, ""),
        ("os.kill(os.getpid(), 2)", "", 130, "interrupted\n"),
        ("open('/no/such/file')", "", 2, "error: /no/such/file: No such file or directory\n"),
        ("open('x' * 300)", "", 2, f"error: {'x' * 300}: File name too long\n"),
        ("os.mkdir('/proc/folder')", "", 2, "error: /proc/folder: No such file or directory\n"),
        ("os.rename('/no/a', '/no/b')", "", 2, "error: /no/a -> /no/b: No such file or directory\n"),
        ("raise OSError(5, 'Input/output error')", "", 2, "error: a file or the standard output: Input/output error\n"),
    ],
)
def test_one_line_and_the_exit_code(body: str, redirected: str, code: int, said: str) -> None:
    done = shell(body, redirected)
    assert (done.returncode, done.stderr.decode()) == (code, said)


def test_what_is_written_to_a_closed_stream_ends_in_no_file(tmp_path: Path) -> None:
    """The next file that is opened would get the number of the closed stream, and the messages of libraries."""
    done = shell(f"open({str(tmp_path / 'f')!r}, 'w').write('mine'); os.system('echo noise >&2')", ">&- 2>&-")
    assert done.returncode == 0
    assert (tmp_path / "f").read_text() == "mine"


def test_a_reader_that_goes_away_ends_the_command_silently() -> None:
    done = shell("[print('x' * 9999) for _ in range(99)]", '| head -c 1; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, done.stdout, done.stderr) == (141, b"x", b"")


def test_a_defect_keeps_its_traceback() -> None:
    done = shell("1 / 0")
    assert done.returncode == 1
    assert b"ZeroDivisionError" in done.stderr


@given(st.text(max_size=300))
@example("\x1b[31m" * 1000)
def test_messages_are_one_line_that_a_terminal_can_show(text: str) -> None:
    message = str(InputError(text))
    assert message == "" or message.isprintable()
    assert len(message) < 2100
    assert one_line(message) == message


def test_the_reason_of_an_error_names_its_file() -> None:
    assert reason_of(OSError(28, "No space left on device", b"a\xff")) == "a\\udcff: No space left on device"
    assert reason_of(OSError("odd")) == "a file or the standard output: odd"


def test_a_log_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "train.log").symlink_to("/dev/full")
    log, handler = logging.Logger("test"), LogFile(tmp_path / "train.log")
    log.addHandler(handler)
    with pytest.raises(InputError, match=r"train.log cannot be written: No space left on device"):
        log.info("a line")
    handler.close()


def test_a_log_takes_any_text(tmp_path: Path) -> None:
    log, handler = logging.Logger("test"), LogFile(tmp_path / "train.log")
    log.addHandler(handler)
    log.info("µ \udcff")
    handler.close()
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "µ \\udcff\n"


def test_a_picture_shows_the_name_of_any_file(tmp_path: Path) -> None:
    figure = new_figure(3, 3)
    title = figure.add_subplot().set_title("$_$, \udcff")  # no formula, and a byte that is not UTF-8
    save_figure(figure, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 0
    assert title.get_text() == r"$_$, \udcff"


@pytest.mark.parametrize("place", ["x" * 300, f"{'x' * 300}/y"])
@pytest.mark.parametrize("writer", [written_whole, partial(folder_written_whole, require_ours=print)])
def test_a_place_whose_name_is_too_long(tmp_path: Path, place: str, writer: Any) -> None:
    with (
        pytest.raises(InputError, match=f"{place} cannot be written: File name too long; name a folder that can be"),
        writer(tmp_path / place) as part,
    ):
        part.touch()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full is Linux's")
def test_a_full_disk_is_named_where_numpy_tells_no_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"out cannot be written: 1000000 requested and \d+ written, the disk may"),
        written_whole(tmp_path / "out"),
    ):
        np.zeros(10**6).tofile("/dev/full")


def test_a_full_disk_while_a_run_begins(tmp_path: Path) -> None:
    """Room for the first file of the code, not for the second; and a scheduler left its variables."""
    largest = (ROOT / "data_configs.py").stat().st_size + 1000
    write_toy_splits(tmp_path / "data", "mit")
    out = tmp_path / "out"
    script = (
        "import resource, sys; import main; from support.errors import run_command\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest}))\n"
        "sys.exit(run_command(main.run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--data_path", tmp_path / "data", "--save_dir", out, "--kernel", "stock"],
        capture_output=True, text=True, timeout=120, cwd=ROOT, check=False,
        env=os.environ | {"RANK": "1", "WORLD_SIZE": "", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"error: \S+\.\w+ cannot be written: File too large; name a folder that can be\n", done.stderr)
    assert not [*out.rglob("*.part*")]
    copies = [path for path in out.rglob("code/**/*") if path.is_file()]
    assert copies
    for path in copies:
        assert path.read_bytes() == (ROOT / path.relative_to(next(out.rglob("code")))).read_bytes()


def test_two_writers_of_one_file_do_not_share_its_part(tmp_path: Path) -> None:
    """In two containers they may have the same process number."""
    path = tmp_path / "train.pt"
    with written_whole(path) as one:
        one.write_text("one")
        with written_whole(path) as two:
            two.write_text("two")
        assert path.read_text() == "two"
    assert path.read_text() == "one"
    assert [*tmp_path.iterdir()] == [path]


def test_a_part_that_nobody_writes_to_any_more_is_a_leftover(tmp_path: Path) -> None:
    names = (".[a].0123abcd.part.pt", ".b.0123abcd.part.pt", ".[a].0123abcd.part", ".[a].second.part.pt")
    parts = [tmp_path / name for name in names]
    for part in parts:
        part.write_text("half")
        os.utime(part, (0, 0))
    with written_whole(tmp_path / "[a].pt") as living:
        living.write_text("half")
        write_text(tmp_path / "[a].pt", "whole")
        assert living.is_file()
    assert [part.is_file() for part in parts] == [False, True, True, True]  # the others are of other files


def test_a_folder_that_nobody_writes_to_any_more_is_a_leftover(tmp_path: Path) -> None:
    names = (".[a].0123abcd.part", ".[a].0123abcd.old", ".[a].89abcdef.part", ".b.0123abcd.part", ".[a].second.part")
    parts = [tmp_path / name for name in names]
    for part in parts:
        part.mkdir()
        (part / "half").write_text("")
        os.utime(part, None if "89abcdef" in part.name else (0, 0))  # that is of a living command, here or elsewhere
    with folder_written_whole(tmp_path / "[a]", lambda folder: None) as part:
        (part / "whole").write_text("")
    assert [part.is_dir() for part in parts] == [False, False, True, True, True]
    assert [path.name for path in (tmp_path / "[a]").iterdir()] == ["whole"]


def test_the_bar_has_the_loss_of_the_step_at_which_it_moves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0  # s
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    with progress_bar("epoch 1/2", 6) as show:
        for step in range(6):
            now += 40
            show(torch.tensor(float(step)))
    assert re.findall(r"(\d)/6 [^\r]*loss=(\d)\.0000", capsys.readouterr().err) == [("2", "1"), ("4", "3"), ("6", "5")]
