"""The command line: recordings -> OUT/<dataset>/{train,val,test}.pt, and an account of what became of them."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from preprocess import physionet, splits
from preprocess.account import NAMED, reading_account, recording_account, split_account
from preprocess.beats import BeatSet, only_classes, read_beats
from preprocess.config import CUT_ALREADY, MINUTES, PATIENTS, PreparationConfig
from preprocess.databases import DATABASES, DEFAULT, Database
from preprocess.joined import join
from preprocess.synthetic import DIARY, write_synthetic_holter, write_synthetic_mit, write_synthetic_ptb
from support.cli import ArgumentParser, add_options
from support.errors import InputError, count_of, listed, printable_lines, run_command

SYNTHESISE = {"mit": write_synthetic_mit, "ptb": write_synthetic_ptb}


def build_parser() -> ArgumentParser:
    """The command line: the fields of `PreparationConfig`."""
    parser = ArgumentParser(
        prog="python -m preprocess",
        description="Read ECG recordings and write OUT/<dataset>/train.pt, val.pt and test.pt.",
        allow_abbrev=False,
    )
    add_options(parser, PreparationConfig)
    return parser


def prepare(config: PreparationConfig) -> None:
    """Go from recordings to split files, and print what happened.

    Raises:
        InputError: the recordings cannot be read or split as asked, or OUT cannot be written. No split file was
            written.
    """
    start = time.monotonic()
    out = config.out / config.dataset
    splits.check_writable(out)
    if config.folds is not None:
        splits.require_no_other_folds(config.out, config.dataset, config.folds)
    shares, total = config.shares, sum(config.fractions or ())
    if shares is not None and not np.isclose(total, (1, 100)).any():
        taken = " ".join(f"{100 * share:.1f}" for share in shares)
        print(f"note         --fractions add up to {total:g}; taken as {taken} %")
    beats = only_classes(_read(config), config.classes)
    if config.folds is None:
        made = {out: (config.split, splits.split_beats(beats, config.split, shares, config.seed_id))}
    else:
        every = splits.fold_splits(beats, config.folds, config.seed_id)
        made = {
            config.out / f"fold_{fold}" / config.dataset: (f"{config.split}, fold {fold} of {config.folds}", split)
            for fold, split in enumerate(every, start=1)
        }
    print(printable_lines(reading_account(config.dataset, config.raw, beats)))
    for folder, (protocol, split) in made.items():
        paths = splits.write_split_files(folder, beats, split, protocol, config.seed_id)
        print(printable_lines(split_account(beats, split, protocol, config.seed_id)))
        print(f"written      {', '.join(map(str, paths))}; {time.monotonic() - start:.1f} s")


def _read(config: PreparationConfig) -> BeatSet:
    """Read the beats, after downloading or synthesising the recordings where that is asked for."""
    if config.source in CUT_ALREADY:
        return CUT_ALREADY[config.source](config.dataset, config.raw)
    if len(config.databases) > 1:
        return join({base.slug: _read_records(config, config.raw / base.slug, base) for base in config.databases})
    if config.source == "synthetic":
        patients = PATIENTS if config.patients is None else config.patients
        minutes = MINUTES if config.minutes is None else config.minutes
        SYNTHESISE[config.dataset](config.raw, patients, minutes, config.seed_id)
    return _read_records(config, config.raw, next(iter(config.databases), None))


def _read_records(config: PreparationConfig, raw: Path, database: Database | None) -> BeatSet:
    if config.source == "physionet":
        database = database or DATABASES[DEFAULT[config.dataset]]
        replaced = physionet.download(database, raw)
        if replaced:
            again = f"{count_of(len(replaced), 'file')} did not match PhysioNet's checksums, fetched again"
            print(f"{again}: {listed(replaced, NAMED)}")
    elif database is not None and not raw.is_dir():
        command = f"--source physionet --database {database.slug}"
        raise InputError(
            f"{raw} is not a folder of records: {command} downloads them, --raw_path DIR names another folder"
        )
    return read_beats(config.dataset, raw, config.reading(database), database, config.patients_file)


def prepare_recording(folder: Path, hours: float, seed: int) -> None:
    """Write a synthetic recording of `hours` into `folder`, and print what it holds and what to do with it.

    Raises:
        InputError: as `write_synthetic_holter`.
    """
    start = time.monotonic()
    holter = write_synthetic_holter(folder, hours, seed)
    print(printable_lines(recording_account(holter)))
    print(f"written      {folder}; {time.monotonic() - start:.1f} s")
    record, diary = (shlex.quote(str(path)) for path in (holter.record, folder / DIARY))
    print(f"next         python -m report {record} --diary {diary}")


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line `arguments` (default: sys.argv) ask for.

    Raises:
        InputError: something in them, or in a file that they name, is wrong.
    """
    config = PreparationConfig(**vars(build_parser().parse_args(arguments)))
    if config.hours is None:
        prepare(config)
    else:
        prepare_recording(config.raw, config.hours, config.seed_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
