"""The progress bar of an epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor
from tqdm import tqdm

from support.launch import is_first


@contextmanager
def progress_bar(title: str, steps: int) -> Iterator[Callable[[Tensor], None]]:
    """A bar with loss and time left on stderr; the block calls what it yields with the loss of every step.

    On a terminal it moves twice a second, elsewhere (a log file) it writes a line per minute; of several processes the
    first shows it. The loss is read when the bar moves, not at every step: reading it waits for a GPU.
    """
    every = 0.5 if sys.stderr.isatty() else 60.0
    with tqdm(
        total=steps,
        desc=title,
        unit="batch",
        leave=False,
        disable=not is_first(),
        mininterval=every,
        maxinterval=every,  # else tqdm's monitor speeds a slow bar up to a line every 10 s
        delay=every,
    ) as bar:

        def show(loss: Tensor) -> None:
            if bar.disable:
                return
            if time.time() - bar.last_print_t >= every:
                bar.set_postfix(loss=f"{float(loss):.4f}", refresh=False)
            bar.update()

        yield show
