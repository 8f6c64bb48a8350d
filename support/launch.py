"""Which of how many processes this is. Light: torch is not imported, so that a command can fail fast.

`torchrun` starts several processes and numbers them in RANK, WORLD_SIZE and LOCAL_RANK. Schedulers leave variables of
the same names behind, some of them empty, so these count only where torchrun launched this process; otherwise there
is one process, whatever the environment says.
"""

from __future__ import annotations

import os


def by_torchrun() -> bool:
    """Whether torchrun launched this process: what `torch.distributed.is_torchelastic_launched` returns."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def world_size() -> int:
    """Number of processes."""
    return int(os.environ["WORLD_SIZE"]) if by_torchrun() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ["RANK"]) if by_torchrun() else 0


def local_rank() -> int:
    """Number of this process on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if by_torchrun() else 0


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0
