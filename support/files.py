"""Files that appear whole or not at all: written beside their place and renamed into it.

A file that cannot be written is an `InputError` of whatever writes it here (`written_whole`).
torch is imported where its files are written or read: commands without a network start in a third of the time.
"""

from __future__ import annotations

import errno
import glob
import json
import logging
import os
import re
import secrets
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from support import torch_files
from support.errors import InputError

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
FORMULA = re.compile(r"(^|[;\t\n])(?=[=+\-@\t'])")
"""Before what a spreadsheet would take for a formula, at the beginning of a text or of what may be a cell to it.

Many countries' spreadsheets part cells at semicolons. The apostrophe is what `write_table` itself puts there.
"""

ABANDONED = 3600.0  # s without a write, after which a part counts as left behind by a command that was killed


def text_encoding(content: bytes, cut: bool = False) -> str:
    """Tell the encoding of a text by its bytes: UTF-8 or UTF-16, or else Windows' Western one, which fits any bytes.

    Args:
        cut: the text goes on, so its last character here may be incomplete.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if not cut or error.start < len(content) - 4:
            return "cp1252"
    return "utf-8-sig"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` when the block ends without an error.

    Readers see the old file or the new one, never a part: a kill at any moment leaves `path` as it was.
    The yielded name keeps the suffix of `path`, since libraries choose a format by it. A folder that is not
    there is made. What killed commands left of `path` behind is removed, after an hour.

    Raises:
        InputError: the folder cannot be made or written.
    """
    path = Path(path)
    beside = _beside(path, path.stem, f".part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def folder_written_whole(folder: Path, require_ours: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a folder beside `folder` to write into; it takes the place of `folder` when the block ends without error.

    A kill at any moment leaves the old folder or the new one, or for an instant none, never a part. What killed
    commands left behind is removed, after an hour.

    Args:
        require_ours: is called with a `folder` that is there already, and raises an `InputError` where something of
            another kind would be lost with it.

    Raises:
        InputError: `folder` holds something else, or cannot be made or written.
    """
    folder = Path(folder).resolve()  # of a link, what it leads to
    if not folder.name:
        raise InputError(f"{folder} cannot be replaced; name a folder in it")
    part, old = (_beside(folder, folder.name, ending) for ending in (".part", ".old"))
    try:
        if folder.exists():
            require_ours(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        with suppress(OSError):
            if old.exists() and not folder.exists():  # the new one could not take its place
                old.rename(folder)
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _beside(path: Path, stem: str, ending: str) -> Path:
    """Name a hidden part beside `path`, and remove those that killed commands left behind.

    The name is drawn: processes of two containers or machines may have one number, and would write into one part.
    """
    with suppress(OSError):  # the folder cannot be looked into: what writes there says so
        for leftover in path.parent.glob(f".{glob.escape(stem)}.{'?' * 8}{ending}"):
            with suppress(OSError):  # another command was faster, or it is another user's
                if time.time() - leftover.stat().st_mtime > ABANDONED:
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return path.with_name(f".{stem}.{secrets.token_hex(4)}{ending}")


def _unwritable(path: Path, error: OSError) -> InputError:
    # numpy's `tofile`, with which wfdb writes signals, counts bytes and leaves out why.
    reason = error.strerror or f"{error}, the disk may be full"
    return InputError(f"{path} cannot be written: {reason}; name a folder that can be")


def left_by_file_browser(path: Path) -> bool:
    """Whether macOS or Windows made the file for itself in a folder that was looked at: nothing is lost with it."""
    return path.name in (".DS_Store", "Thumbs.db", "desktop.ini") or path.name.startswith("._")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all; on every system the same bytes."""
    with written_whole(path) as part:
        part.write_bytes(text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401  (whatever JSON can hold)
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


RUN_AGAIN = "move its folder away and run it again"
"""What to do about a damaged file of a run, or of anything else that a command wrote into a folder of its own."""


def read_json(path: Path, remedy: str = RUN_AGAIN) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        remedy: what the user can do about an absent or damaged file.

    Raises:
        InputError: it is absent or damaged, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is absent or damaged ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, not an object; {remedy}")
    return value


class LogFile(logging.FileHandler):
    """A log file, appended to. One that cannot be written ends the run, where logging would print tracebacks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Called by logging while it handles what went wrong with a line: raise that.

        Raises:
            InputError: the file cannot be written.
        """
        error = sys.exception()
        if isinstance(error, OSError):
            raise InputError(f"{self.baseFilename} cannot be written: {error.strerror or error}") from error
        raise

    def close(self) -> None:
        """Close the file; what could not be written has raised before."""
        with suppress(OSError):
            super().close()


def require_writable(folder: Path, option: str) -> None:
    """Raise an `InputError` where files in `folder` could not be written: sooner than after minutes of work.

    Args:
        option: the one that names the folder, for the message.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "cannot be written" if there.is_dir() else "is a file"
        raise InputError(f"{folder} cannot be made or written: {there} {reason}; name another folder with {option}")


def write_torch(path: Path, value: dict[str, Any]) -> None:
    """`torch.save` a dict of tensors and plain values, whole or not at all and flushed to disk."""
    with written_whole(path) as part, part.open("wb") as stream:
        save_torch(value, stream)


def save_torch(value: dict[str, Any], stream: BinaryIO) -> None:
    """`torch.save` to an open file and flush it to disk.

    Raises:
        OSError: the disk is full, say; torch wraps what the file raised in a RuntimeError of its own.
    """
    import torch

    try:
        torch.save(value, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise
    stream.flush()
    os.fsync(stream.fileno())


def write_table(
    path: Path, table: pd.DataFrame | Iterable[pd.DataFrame], index: bool = True, decimals: int | None = None
) -> None:
    """Write `table`, or its parts one below the other, as CSV, whole or not at all; `read_table` gives back its texts.

    A spreadsheet runs a cell that begins with =, +, -, @ or a tab as a formula. So a text that does, in a cell or a
    header, and that is not a number, gets an apostrophe before it, and so does a text that begins with one; likewise
    within a text behind a semicolon, a tab or a line feed, where a spreadsheet may begin another cell. A carriage
    return, which many readers take for the end of a row, becomes a backslash and an r. Numbers are written as they are.
    """
    with (
        written_whole(path) as whole,
        whole.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        for number, part in enumerate([table] if isinstance(table, pd.DataFrame) else table):
            _with_texts(part, _escaped).to_csv(
                file,
                index=index,
                header=number == 0,
                float_format=None if decimals is None else f"%.{decimals}f",
                lineterminator="\n",  # on Windows, too
            )


def read_table(path: Path, remedy: str = RUN_AGAIN, **options: Any) -> pd.DataFrame:  # noqa: ANN401  (those of pandas)
    """Read a CSV file of `write_table` with the `options` of `pandas.read_csv`; `remedy` as in `read_json`.

    Raises:
        InputError: it is absent or damaged.
    """
    try:
        table = pd.read_csv(path, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is absent or damaged ({error}); {remedy}") from error
    return _with_texts(table, _unescaped)


def _with_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """`table` with `change` done to every text in its cells, headers and names of rows."""

    def changed(value: Any) -> Any:  # noqa: ANN401  (a cell of any type)
        return change(value) if isinstance(value, str) else value

    table = table.rename(columns=changed)
    for number, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):  # in a column of objects, whole numbers and fractions may stand
            column = table.iloc[:, number]
            table.isetitem(number, pd.Series([*map(changed, column)], index=column.index, dtype=kind))
    if not isinstance(table.index, pd.RangeIndex):
        table = table.rename(index=changed)
    return table.rename_axis(index=[*map(changed, table.index.names)])


def _escaped(text: str) -> str:
    text = text.replace("\r", "\\r")
    return text if NUMBER.fullmatch(text) else FORMULA.sub(r"\1'", text)


def _unescaped(text: str) -> str:
    return re.sub(r"(^|[;\t\n])'", r"\1", text)


def read_torch(path: Path, kind: str, remedy: str) -> dict[str, Any]:
    """Read a `torch.save`d dict of tensors, numpy arrays and plain values without running code from the file.

    Args:
        kind: what the file should be, for the messages: "split file".
        remedy: what the user can do about an absent or damaged file.

    Returns:
        The dict, tensors on the CPU. A numpy array at its top level is a numpy array again; deeper ones are
        `torch_files.StoredArray`s.

    Raises:
        InputError: the file is absent, empty, unreadable, damaged, no dict with text for keys, or holds something else.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{path}: no such file; {remedy}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; {remedy}")
    try:
        torch_files.check(path)
        with torch.serialization.safe_globals(torch_files.STAND_INS), warnings.catch_warnings(action="ignore"):
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except torch_files.DamagedFileError as error:
        raise InputError(f"{path}: {error}; {remedy}") from error
    except Exception as error:  # reading damaged bytes ends in errors of any kind
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a place before the file's beginning
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        if isinstance(error, MemoryError) or "memory" in str(error):  # torch has no type of error for that
            raise InputError(f"{path}: does not fit into the memory that is free") from error
        raise InputError(f"{path}: is damaged, cut short or not a {kind}; {remedy}") from error
    if not isinstance(contents, dict):
        raise InputError(f"{path}: holds a {type(contents).__name__}; a {kind} is a dict; {remedy}")
    if not all(isinstance(key, str) for key in contents):
        raise InputError(f"{path}: holds keys that are not strings; those of a {kind} are names; {remedy}")
    return {
        key: value.values if isinstance(value, torch_files.StoredArray) else value for key, value in contents.items()
    }
