"""The one error that users cause, and how a command line reports it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable


class InputError(Exception):
    """Something the user gave is wrong: an argument, a file, a record.

    The message is one line that says what is wrong, in which file or argument, and what would be right.
    Command lines print it and end with exit code 2; library callers may catch it.
    """


class TrainingError(Exception):
    """A run cannot go on, though its input was in order: the loss is no longer finite, say. One line, exit code 1."""


def run_command(command: Callable[[], None]) -> int:
    """Run a command line's body and return its exit code.

    0 when it returns; with one line on stderr 2 for an `InputError`, 1 for a `TrainingError` and 130 when the
    user interrupts it. Every other exception is a defect of ours and keeps its traceback.
    """
    try:
        command()
    except (InputError, TrainingError) as error:
        if os.environ.get("RANK", "0") != "0":
            time.sleep(2)  # the first of several processes mostly says the same, and its end ends this one
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) went away; the code is that of SIGPIPE
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0
