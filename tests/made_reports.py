"""Reports of small recordings by the command `python -m report`, and what lies in their folders."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from made_records import annotate, store

import data_configs
import hparams
from models import ecgTransForm
from preprocess.beats import WINDOWS
from report.__main__ import run
from support.errors import run_command
from utils import Checkpoint, save_checkpoint

WINDOW = WINDOWS["centred"].sentence.format(length=186, peak="annotated R-peak")

FILES = {"report.html", "summary.json", "beats.csv", "episodes.csv", "hours.csv"}


def write_checkpoint(path: Path, dataset: str = "mit", window: str | None = WINDOW, **changes: Any) -> Path:
    """A small network that has learnt nothing, of a dataset's configuration with `changes`."""
    configs = dataclasses.replace(data_configs.get_dataset_class(dataset)(), feedforward_dim=32, **changes)
    recipe = hparams.supervised()
    torch.manual_seed(0)
    model = ecgTransForm(configs, recipe)
    data = {"source": "synthetic", "protocol": "beat", "fs": 360.0} | ({"window": window} if window else {})
    save_checkpoint(path, Checkpoint(configs.name, configs, recipe, model.state_dict(), metrics={"data": data}))
    return path


def report_of(record: Path, out: Path, *options: str | Path) -> int:
    return run_command(lambda: run([str(record), "--out", str(out), *map(str, options)]))


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that a command of bad input says."""
    capsys.readouterr()
    assert run_command(lambda: run([*map(str, arguments)])) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def load(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    return (
        json.loads((folder / "summary.json").read_text()),
        pd.read_csv(folder / "beats.csv", keep_default_na=False, na_values=[""]),
        pd.read_csv(folder / "episodes.csv"),
    )


class Made(NamedTuple):
    """What a report says: of its summary, beats and episodes what `load` reads of them."""

    summary: dict[str, Any]
    beats: pd.DataFrame
    episodes: pd.DataFrame
    page: str


def report_on(record: Path, out: Path, *options: str | Path) -> Made:
    """The report that the command makes of a record."""
    assert report_of(record, out, *options) == 0
    return Made(*load(out), (out / "report.html").read_text())


def write_rhythm(folder: Path, name: str, symbols: str, period: float | np.ndarray, pause: int | None = None) -> Path:
    """A record of narrow spikes at 250 Hz, annotated with the `symbols`, `period` seconds from each beat to the next.

    From the second of two A on it is half of that. After beat number `pause` it is 8 s.
    """
    pairs, periods = map("".join, itertools.pairwise(symbols)), np.broadcast_to(period, len(symbols) - 1)
    steps = [each / 2 if pair == "AA" else each for pair, each in zip(pairs, periods.tolist(), strict=True)]
    if pause is not None:
        steps[pause] = 8
    peaks = (250 * (1 + np.cumsum([0, *steps]))).astype(int)
    signal = np.zeros((peaks[-1] + 250, 1))
    for at, height in enumerate((0.3, 1.0, 0.3), start=-1):
        signal[peaks + at] = height
    signal += 0.01 * np.random.default_rng(0).normal(size=signal.shape)
    record = store(folder / name, signal, 250)
    annotate(record, peaks, symbols, fs=250)
    return record


def write_quiet(folder: Path, quiet: float) -> Path:
    """A record of 60 beats with a pause of 4 s, in which the signal stays within `quiet` mV, 3 s before it ends."""
    peaks = np.cumsum([250, *[200] * 29, 1000, *[200] * 29])
    rng = np.random.default_rng(1)
    signal = 0.02 * rng.normal(size=(peaks[-1] + 750, 1))
    for start, end in ((peaks[29], peaks[30]), (peaks[-1], len(signal))):
        signal[start + 20 : end - 20] = quiet * rng.uniform(-0.5, 0.5, (end - start - 40, 1))
    for at, height in itertools.product(peaks, ((-1, 0.3), (0, 1.0), (1, 0.3))):
        signal[at + height[0]] += height[1]
    record = store(folder / "quiet", signal, 250, gain=1000)
    annotate(record, peaks, "N" * len(peaks), fs=250)
    return record
