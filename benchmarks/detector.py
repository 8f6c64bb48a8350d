"""The detector of `preprocess.detect` on annotated databases: sensitivity, predictivity, placement, speed.

Scored by `ec57` as EC57 asks for: 150 ms, from minute 5 on, ventricular flutter left out. Placement is the distance of
a detected beat from the annotated one, over whole records.

example:
  python -m benchmarks.detector --raw_path data/raw
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ec57
from preprocess import records as recordings
from preprocess.detect import detect_beats
from preprocess.leads import find_lead
from support.cli import ArgumentParser
from support.errors import InputError, run_command

QRS_WINDOW = 0.15  # s
DATABASES = ("mitdb", "svdb")
DAY = 86400.0  # s


class RecordSignal(NamedTuple):
    """One lead of an annotated record."""

    name: str
    signal: np.ndarray  # (n,) mV
    fs: float  # Hz
    reference: ec57.Annotations


class Score(NamedTuple):
    """What one record adds to the figures."""

    name: str
    found: ec57.Ratio  # sensitivity
    right: ec57.Ratio  # positive predictivity
    offsets: np.ndarray  # ms, detected minus annotated
    length: float  # s
    cpu: float  # s


def annotated_records(folder: Path) -> list[str]:
    """The names of the annotated records of a folder, even those that its RECORDS file leaves out (118e_6 of nstdb).

    Raises:
        InputError: there is none.
    """
    listed = recordings.list_records(folder, "mit")
    every = [*listed, *recordings.unlisted_records(folder, listed)]
    names = [name for name in every if (folder / f"{name}.atr").is_file()]
    if not names:
        raise InputError(f"{folder}: no record there has annotations, NAME.atr")
    return names


def read_records(folder: Path) -> Iterator[RecordSignal]:
    """Read the annotated records of a folder: lead II, or else the first ECG channel.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    for name in annotated_records(folder):
        header = recordings.read_header(folder, name)
        channel = find_lead(header.signals, any_lead=True)
        if channel is not None:
            fs = header.rate(channel)
            signal = recordings.read_signal(folder, name, header, channel)
            yield RecordSignal(name, signal, fs, ec57.read_annotations(folder / f"{name}.atr", fs))


def times_of(reference: ec57.Annotations, symbols: Container[str]) -> np.ndarray:
    """Samples of the annotations with one of `symbols`, int64 (n,)."""
    chosen = [at for at, symbol in zip(reference.times, reference.symbols, strict=True) if symbol in symbols]
    return np.array(chosen, dtype=np.int64)


def beats_of(reference: ec57.Annotations) -> np.ndarray:
    """int64 (n,): where the annotated beats are."""
    return times_of(reference, ec57.Protocol().classes)


def nearest(places: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The nearest of the ascending `places` (at least two) to each point of `to`, the earlier of two as near."""
    after = np.clip(np.searchsorted(places, to), 1, len(places) - 1)
    return np.where(to - places[after - 1] <= places[after] - to, places[after - 1], places[after])


def score(record: RecordSignal) -> Score:
    """Detect the beats of a record and compare them with the annotated ones."""
    begin = time.process_time()
    found = detect_beats(record.signal, record.fs)
    cpu = time.process_time() - begin
    test = ec57.Annotations(found.tolist(), ["N"] * len(found))
    figures = ec57.compare_beats(record.reference, test, record.fs, len(record.signal), record=record.name).figures
    annotated = beats_of(record.reference)
    offsets = (nearest(found, annotated) - annotated) / record.fs
    return Score(
        record.name,
        figures["Q Se"],
        figures["Q +P"],
        1000 * offsets[np.abs(offsets) <= QRS_WINDOW],
        len(record.signal) / record.fs,
        cpu,
    )


def row(title: str, scores: Sequence[Score]) -> str:
    """A line of the table: figures of all the records together."""
    beats, detected = (sum(getattr(s, name).whole for s in scores) for name in ("found", "right"))
    missed, false = (sum(getattr(s, name).whole - getattr(s, name).part for s in scores) for name in ("found", "right"))
    offsets = np.concatenate([s.offsets for s in scores])
    cpu = sum(s.cpu for s in scores) / sum(s.length for s in scores) * DAY
    low, middle, high = np.percentile(offsets, (5, 50, 95))
    return (
        f"| {title} | {len(scores)} | {beats} | {missed} | {false} | {100 - 100 * missed / beats:.2f} | "
        f"{100 - 100 * false / detected:.2f} | {middle:.1f} ({low:.1f} to {high:.1f}) | "
        f"{100 * np.mean(np.abs(offsets) <= 1000 * 3 / 360 + 1e-6):.1f} | {cpu:.1f} |"
    )


def run(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the databases in --raw_path.

    Raises:
        InputError: as `read_records`.
    """
    parser = ArgumentParser(
        prog="python -m benchmarks.detector",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--raw_path", type=Path, default=Path("data/raw"), help="folder with mitdb and svdb")
    args = parser.parse_args(arguments)
    folders = {database: args.raw_path / database for database in DATABASES}
    for folder in folders.values():  # before the header is printed
        annotated_records(folder)
    print(
        "| records | number | beats | missed | false | Se, % | +P, % | offset, ms: median (5 to 95 %) "
        "| within 8.3 ms, % | CPU s for 24 h |\n" + "| --- " * 10 + "|"
    )
    for database, folder in folders.items():
        scores = [score(record) for record in read_records(folder)]
        print(row(database, scores))
        if database == "mitdb":
            odd = [s for s in scores if int(s.name) % 2]
            print(row("mitdb, odd numbers", odd))
            print(row("mitdb, even numbers", [s for s in scores if s not in odd]))
        worst = sorted(scores, key=lambda s: s.found.part + s.right.part - s.found.whole - s.right.whole)[:8]
        print(
            f"\n{database}, most errors (missed, false): "
            + ", ".join(f"{s.name} ({s.found.whole - s.found.part}, {s.right.whole - s.right.part})" for s in worst)
            + "\n"
        )


if __name__ == "__main__":
    sys.exit(run_command(run))
