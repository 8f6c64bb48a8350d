"""Every table and figure of the paper, ours beside theirs; and what is not in it: inter_patient (new patients), context
(what the rhythm around a beat adds), recipes (two ways of training).

Runs what is missing (finished runs are found and reused, a stopped one resumes) and writes RESULTS/<name>.md, .csv and
pictures. Split files are made from the recordings where they are missing.

examples:
  python -m reproduce table2 --source physionet
  python -m reproduce inter_patient --device cpu --num_runs 1 --dataset mit
  python -m reproduce all --device cuda
  python -m reproduce fig5 --source synthetic --num_epochs 2
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from data_configs import PREPARED
from hparams import PRECISIONS, RunConfig
from kernels.precision import require_arithmetic
from reproduce import figures, pages, tables
from reproduce.experiments import EXPERIMENTS, RECORDINGS, Experiment, Row
from reproduce.runs import MissingDataError, Options, Result, finished, train
from support import distributed
from support.cli import ArgumentParser
from support.errors import InputError, TrainingError, count_of, run_command
from support.files import require_writable, write_table, write_text
from utils import get_device

DEFAULT = RunConfig()
SEEDS = 3  # as the paper


def build_parser() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser(
        prog="python -m reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", choices=(*EXPERIMENTS, "all"), help=f"{', '.join(EXPERIMENTS)} or all")
    add("--device", default=DEFAULT.device, help=f"torch device: cpu, cuda, cuda:0, mps (default: {DEFAULT.device})")
    add(
        "--recipe",
        choices=("supervised", "short"),
        help="the schedule: the paper's 60 epochs, or 6 with a one-cycle learning rate (default: short on cpu, else "
        "supervised; of rows of the recipe new_patients, its 3 epochs)",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic of the matrix products, also of a stopped run that goes on: fp32, bf16, on CUDA also tf32 "
        "(default: fp32)",
    )
    add("--num_epochs", type=int, metavar="N", help="passes over the training beats (default: the recipe's)")
    add("--num_runs", type=int, default=SEEDS, metavar="N", help=f"seeds of each row (default: {SEEDS}, as the paper)")
    add("--seed_id", type=int, default=0, metavar="K", help="first seed (default: 0)")
    add("--limit_train", type=int, metavar="N", help="train on a class-stratified subset of N beats (default: all)")
    add(
        "--dataset",
        action="append",
        choices=PREPARED,
        help="run only the rows of this dataset; what is finished of others stays on the page (default: both)",
    )
    add(
        "--row",
        action="append",
        type=int,
        metavar="N",
        help="run only the N-th row of one table or figure, as numbered in the output (default: all)",
    )
    add("--only_finished", action="store_true", help="train nothing, write the pages of what is finished")
    add(
        "--source",
        choices=RECORDINGS,
        default=RECORDINGS[0],
        help="where recordings are from. records: folders mitdb and ptbdb in --raw_path; physionet: downloaded into "
        f"those; synthetic: artificial patients (default: {RECORDINGS[0]}). Rows of beats that others have cut need "
        "their files in --raw_path: kaggle/*.csv, ptb_released_val.pt",
    )
    add(
        "--raw_path",
        type=Path,
        default=Path("data/raw"),
        metavar="DIR",
        help="folder of the recordings (default: data/raw)",
    )
    add(
        "--data_path",
        type=Path,
        default=Path("data/reproduce"),
        metavar="DIR",
        help="folder of the split files, made where they are missing (default: data/reproduce)",
    )
    add(
        "--save_dir",
        type=Path,
        default=Path(DEFAULT.save_dir),
        metavar="DIR",
        help=f"folder of the runs, which go into its subfolder reproduce (default: {DEFAULT.save_dir})",
    )
    add(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder of the pages (default: results, or results/own where the pages in results have rows of runs that "
        "are not in --save_dir; for synthetic data results/synthetic)",
    )
    return parser


def options_of(args: argparse.Namespace) -> Options:
    """Check the command line and fill in what it leaves open.

    Raises:
        InputError: a value is out of range, the device or precision is not available, or a folder cannot be written.
    """
    if distributed.world_size() > 1:
        raise InputError("python -m reproduce works with one process; start it without torchrun")
    require_arithmetic(args.precision or "fp32", get_device(args.device))
    # RunConfig checks the ranges, here before anything is read or written
    RunConfig(num_epochs=args.num_epochs, num_runs=args.num_runs, seed_id=args.seed_id, limit_train=args.limit_train)
    results = args.results or Path("results/synthetic" if args.source == "synthetic" else "results")
    places = {"results": results, "save_dir": args.save_dir, "data_path": args.data_path}
    for option, folder in places.items():
        require_writable(folder, f"--{option}")
    given = vars(args) | {
        "datasets": tuple(args.dataset or PREPARED),
        "rows": tuple(args.row or ()),
        "results": results,
    }
    return Options(**{field.name: given[field.name] for field in dataclasses.fields(Options)})


def keeping_rows(experiment: Experiment, options: Options) -> Options:
    """`options` with another folder for results where pages in the default one would lose rows.

    The pages that come with the project are of runs that are not in git: on another machine they are not in
    `options.save_dir`, and a page that is written there would have its own rows only.
    """
    results = finished_rows(experiment, options)
    page = options.results / f"{experiment.name}.csv"
    lost = tables.what_leaves(page, tables.long_table(results))
    if not lost:
        return options
    own = options.results / "own"
    rows = count_of(len(lost), "row")
    print(f"note: {page} has {rows} of runs that are not in {options.save_dir}; it stays, yours go to {own}")
    return dataclasses.replace(options, results=own)


def chosen_rows(experiment: Experiment, options: Options) -> dict[int, Row]:
    """The rows of `experiment` that `options` ask for, by their number from 1."""
    return {
        number: row
        for number, row in enumerate(experiment.rows, start=1)
        if row.beats.dataset in options.datasets and (not options.rows or number in options.rows)
    }


def error_of(failed: Sequence[Exception], missing: Sequence[str] = ()) -> Exception:
    """One error that tells all of `failed`, and what is `missing`: a `TrainingError` where one of them is."""
    kind = TrainingError if any(isinstance(error, TrainingError) for error in failed) else InputError
    return kind("; ".join(dict.fromkeys([*map(str, failed), *missing])))


def reproduce(experiment: Experiment, options: Options) -> list[Exception]:
    """Run what is missing of `experiment`, write its page after every row, and draw its pictures.

    Returns:
        What went wrong with rows whose recordings are at hand.

    Raises:
        MissingDataError: nothing of it is finished, for want of recordings.
        InputError, TrainingError: nothing of it is finished, for another reason.
    """
    reasons: dict[str, str] = {}
    failed: list[Exception] = []
    for number, row in ({} if options.only_finished else chosen_rows(experiment, options)).items():
        print(f"\n{experiment.name}, row {number} of {len(experiment.rows)}: {row.label}; {options.schedule_of(row)}")
        try:
            train(row, options)
        except MissingDataError as reason:
            reasons[row.label] = str(reason)
            print(f"not run: --raw_path {options.raw_path}: {reason}")
        except InputError as reason:
            reasons[row.label] = "it could not be run"
            failed.append(reason)
            print(f"not run: {reason}")
        except TrainingError as reason:
            reasons[row.label] = "its training failed"
            failed.append(TrainingError(f"{experiment.name}, row {number}: {reason}"))
            print(f"failed: {reason}")
        else:
            write_page(experiment, finished_rows(experiment, options), reasons, options, pictures=())
    results = finished_rows(experiment, options)
    if not results and failed:
        raise error_of(failed)
    if not results:
        missing = dict.fromkeys(f"--raw_path {options.raw_path}: {reason}" for reason in reasons.values())
        raise MissingDataError("; ".join([f"{experiment.name}: nothing is finished", *missing]))
    drawn = figures.draw(experiment, results, options.results, options.device)
    for name in figures.names(experiment) - {picture.path.name for picture in drawn}:
        (options.results / name).unlink(missing_ok=True)  # of an earlier page
    for picture in drawn:
        print(f"{picture.path}: {picture.says}")
    page = write_page(experiment, results, reasons, options, drawn)
    print(f"{page} and {page.with_suffix('.csv')}")
    return failed


def finished_rows(experiment: Experiment, options: Options) -> list[Result]:
    """What is finished of every row, on any schedule."""
    return [result for row in experiment.rows for result in finished(row, options)]


def write_page(
    experiment: Experiment,
    results: Sequence[Result],
    reasons: dict[str, str],
    options: Options,
    pictures: Sequence[figures.Picture],
) -> Path:
    """Write RESULTS/<name>.csv and .md of `results`, what is finished; return the path of the latter.

    `reasons` says why a row, by its label, could not be run.
    """
    page = options.results / f"{experiment.name}.md"
    table = tables.long_table(results)
    for lost in tables.what_leaves(page.with_suffix(".csv"), table):
        print(f"note: {page} loses {lost}: not in {options.save_dir}")
    write_table(page.with_suffix(".csv"), table, index=False)
    done = {result.row.label for result in results}
    not_run = [row.label for row in experiment.rows if row.label not in done]
    lines = [f"Not run: {label} ({reasons.get(label, 'not yet')})." for label in not_run]
    shown = [f"\n![{picture.says}]({picture.path.name})" for picture in pictures]
    write_text(page, "\n".join([pages.report(experiment, results), *lines, *shown]).rstrip() + "\n")
    return page


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line `arguments` (default: sys.argv) ask for.

    Raises:
        InputError, TrainingError: as `reproduce`.
    """
    args = build_parser().parse_args(arguments)
    options = options_of(args)
    names = [*EXPERIMENTS] if "all" in args.names else [*dict.fromkeys(args.names)]
    chosen = [EXPERIMENTS[name] for name in names]
    if options.rows and len(chosen) > 1:
        raise InputError("--row numbers the rows of one table or figure; name a single one")
    for number in options.rows:
        if not 1 <= number <= len(chosen[0].rows):
            raise InputError(f"--row {number}: {names[0]} has the rows 1 to {len(chosen[0].rows)}")
    chosen = [experiment for experiment in chosen if chosen_rows(experiment, options)]
    if not chosen:
        wanted = f"row {', '.join(map(str, options.rows))} " if options.rows else "rows "
        raise InputError(f"{', '.join(names)}: has no {wanted}of {' or '.join(options.datasets)}")
    failed: list[Exception] = []
    missing: list[str] = []
    for experiment in chosen:
        try:
            failed += reproduce(experiment, options if args.results else keeping_rows(experiment, options))
        except MissingDataError as reason:
            missing.append(str(reason))
            print(f"not written: {reason}")
        except (InputError, TrainingError) as error:
            failed.append(error)
    if failed or len(missing) == len(chosen):
        raise error_of(failed, missing)


if __name__ == "__main__":
    sys.exit(run_command(run))
