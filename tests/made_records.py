"""WFDB records, and the split files that `python -m preprocess` makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wfdb

from preprocess.__main__ import main


def store(
    record: Path,
    signal: np.ndarray,
    fs: float,
    gain: float = 200.0,
    leads: Sequence[str] = ("MLII",),
    comments: Sequence[str] = (),
    fmt: str = "16",
) -> Path:
    """Write a record of a signal (samples, leads): of whole numbers in ADC units, else in mV."""
    record.parent.mkdir(parents=True, exist_ok=True)
    count = len(leads)
    wfdb.wrsamp(
        record.name,
        fs,
        ["mV"] * count,
        [*leads],
        **{"d_signal" if np.issubdtype(signal.dtype, np.integer) else "p_signal": signal},
        fmt=[fmt] * count,
        adc_gain=[gain] * count,
        baseline=[0] * count,
        comments=[*comments],
        write_dir=str(record.parent),
    )
    return record


def annotate(
    record: Path,
    samples: Sequence[int] | np.ndarray,
    symbols: Sequence[str],
    annotator: str = "atr",
    fs: float | None = None,
) -> None:
    """Write an annotation file beside a record; it states `fs` where that is given."""
    wfdb.wrann(record.name, annotator, np.asarray(samples), symbol=[*symbols], fs=fs, write_dir=str(record.parent))


def run(*arguments: str | Path) -> int:
    """`python -m preprocess`."""
    return main([str(argument) for argument in arguments])


def read_splits(folder: Path) -> dict[str, dict[str, Any]]:
    """What the split files of a folder hold."""
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("train", "val", "test")}
