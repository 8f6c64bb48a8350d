"""The errors that users cause, and how a command line reports them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TextIO

from support.launch import is_first

BROKEN_PIPE = 141  # what a shell reports of a command that SIGPIPE ended
FREE_MEMORY = "free some, as by closing other programs"
"""What helps a command that has no option to take less memory."""
MOST_NAMES = 50  # in a message
LONGEST = 2000  # characters of a message; names that a damaged file holds may be of any length


def printable(line: str) -> str:
    """`line` with control characters as backslash escapes: names and contents of files must not steer a terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in line
    )


def printable_lines(lines: Iterable[str]) -> str:
    """`lines`, each `printable`, as one text."""
    return "\n".join(map(printable, lines))


def one_line(text: str) -> str:
    """`text` in one line that a terminal can show: white space is single blanks, control characters are escaped."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


class InputError(Exception):
    """Something the user gave is wrong: an argument, a file, a record.

    The message is one line that says what is wrong, in which file or argument, and what would be right.
    Command lines print it and end with exit code 2; library callers may catch it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def listed(names: Iterable[object], most: int = MOST_NAMES) -> str:
    """The first `most` of the names, a comma between two, and how many more there are.

    All columns of a table with its samples in one row would fill a screen.
    """
    every = [str(name) for name in names]
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def enumerated(words: Sequence[str]) -> str:
    """One or several words as in a sentence: a; a and b; a, b and c."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def count_of(number: int, noun: str) -> str:
    """A number with its noun: 1 beat, 2,652 beats."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def unknown(what: str, value: object, known: Iterable[object], remedy: str = "") -> InputError:
    """The error that `value` is none of those that are `known`, in the one form that all of them have.

    Args:
        what: names the value: "--dataset", or of a file's content "diary.csv, row 3: kind".
        remedy: what else could be given.
    """
    more = f"; {remedy}" if remedy else ""
    return InputError(f"{what} {value}: unknown; choose from {listed(known)}{more}")


class TrainingError(Exception):
    """A run cannot go on, though its input was fine: the loss is no longer finite, say. One line, exit code 1."""


class PartlyFailedError(Exception):
    """Some of several inputs failed and were reported; the output for the others is complete. One line, exit code 1."""


def run_command(command: Callable[[], None], memory_remedy: str = FREE_MEMORY) -> int:
    """Run a command line's body and return its exit code; `memory_remedy` is what to do where memory runs out.

    0 when it returns; with one line on stderr 2 for an `InputError` or an `OSError` (a full disk, a folder that cannot
    be written, a file that cannot be read), 1 for a `TrainingError`, a `PartlyFailedError` or where memory runs out,
    and 130 when the user interrupts it; 141 without a word when the reader of the output went away. Every other
    exception is a defect of ours and keeps its traceback.

    Output that the terminal's encoding lacks is written as backslash escapes; output to a closed stream is dropped.
    """
    _open_streams()
    try:
        with suppress(SystemExit):  # how argparse ends --help, with exit code 0
            command()
        sys.stdout.flush()
    except (InputError, TrainingError, PartlyFailedError) as error:
        code = _fail(f"error: {one_line(str(error))}", 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        code = _fail(f"error: {reason_of(error)}", 2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        code = _fail(f"error: {out_of_memory(memory_remedy)}", 1)
    else:
        code = 0
    for stream in (sys.stdout, sys.stderr):
        _settle(stream)
    return code


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether memory ran out: PyTorch has an exception of its own for that on a GPU, and none on the CPU."""
    named = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or named


def out_of_memory(remedy: str = FREE_MEMORY) -> str:
    """What is said where memory ran out, and what to do about it."""
    return f"not enough memory; {remedy}"


def reason_of(error: OSError) -> str:
    """The file of an `OSError`, where it names one, and what is wrong with it, in one line."""
    # A file that was opened by its descriptor is named by that number, which tells nobody anything.
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if not isinstance(name, (int, type(None)))]
    reason = error.strerror or str(error) or type(error).__name__
    return one_line(f"{' -> '.join(names) or 'a file or the standard output'}: {reason}")


def _open_streams() -> None:
    """Let stdout and stderr take any text; where the shell closed one, what is written to it goes nowhere."""
    # Descriptors 0 to 2 that are closed would be given to the next files opened, and messages end up in those.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):  # not so where a caller has put something else in its place
            stream.reconfigure(errors="backslashreplace")


def _fail(line: str, code: int) -> int:
    if not is_first():
        time.sleep(2)  # the first of several processes mostly says the same, and its end ends this one
    with suppress(OSError):  # nobody is left to tell
        sys.stdout.flush()
    with suppress(OSError):
        print(line, file=sys.stderr)
    return code


def _settle(stream: TextIO) -> None:
    """Flush `stream`; where that fails, let the interpreter, which tries again at its end, not fail too."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
