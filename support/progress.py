"""The progress bar of an epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from tqdm import tqdm

from support.distributed import is_first


class LateValue:
    """Reads scalars of a device without waiting for it: a value comes out once the device has got that far."""

    def __init__(self) -> None:
        self.under_way: tuple[Tensor, torch.cuda.Event] | None = None

    def offer(self, value: Tensor) -> float | None:
        """Take in `value`, a scalar tensor; return it, or an earlier one that has arrived, or None."""
        if value.device.type != "cuda":
            return float(value) if value.device.type == "cpu" else None
        arrived = None
        if self.under_way is not None:
            copy, copied = self.under_way
            if copied.query():
                arrived, self.under_way = float(copy), None
        if self.under_way is None:
            copy = torch.empty((), dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()
            self.under_way = copy, copied
        return arrived


@contextmanager
def progress_bar(title: str, steps: int) -> Iterator[Callable[[Tensor], None]]:
    """A bar with loss and time left on stderr; the block calls what it yields with the loss of every step.

    On a terminal it moves twice a second, elsewhere (a log file) it writes a line per minute; of several processes the
    first shows it.
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
        late = LateValue()

        def show(loss: Tensor) -> None:
            if bar.disable:
                return
            value = late.offer(loss)
            if value is not None:
                bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            bar.update()

        yield show
