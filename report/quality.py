"""What of a recording cannot be read (stand-in: missing samples)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from report.definitions import Definition


@dataclass(frozen=True)
class Quality:
    """Thresholds (stand-in)."""

    def listed(self) -> list[Definition]:
        return []


class Unreadable(NamedTuple):
    """A stretch [start, end) in samples that cannot be read, and why."""

    start: int
    end: int
    reason: str


def unreadable(
    read: Callable[[int, int], np.ndarray], length: int, fs: float, beats: np.ndarray, quality: Quality = Quality()
) -> list[Unreadable]:
    """Stretches of missing samples."""
    missing = np.concatenate([[False], np.isnan(read(0, length)), [False]])
    edges = np.flatnonzero(np.diff(missing.astype(np.int8))).reshape(-1, 2)
    return [Unreadable(int(start), int(end), "missing samples") for start, end in edges]
