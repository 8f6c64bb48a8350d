"""Every table and figure of the paper, ours beside theirs.

Runs what is missing (finished runs are found and reused, a stopped one resumes) and writes RESULTS/<name>.md, .csv and
pictures. Split files are made from the recordings where they are missing.

examples:
  python reproduce.py table2 --source physionet
  python reproduce.py inter_patient --device cpu --num_runs 1 --dataset mit
  python reproduce.py all --device cuda
  python reproduce.py fig5 --source synthetic --num_epochs 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_configs import DATASETS
from hparams import get_hparams_class
from reproduction import figures, pages, tables
from reproduction.experiments import EXPERIMENTS, RECORDINGS, Experiment
from reproduction.runs import MissingDataError, Options, Result, Schedule, finished, train
from trainer import RunConfig
from utils.cli import ArgumentParser
from utils.errors import InputError, run_command
from utils.files import write_table, write_text
from utils.seeds import get_device

DEFAULT = RunConfig()
SEEDS = 3  # as the paper


def build_parser() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser(
        prog="python reproduce.py",
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
        help="the paper's 60 epochs, or 6 with a one-cycle step size (default: short on cpu, else supervised)",
    )
    add("--num_epochs", type=int, metavar="N", help="passes over the training beats (default: the recipe's, 60 or 6)")
    add("--num_runs", type=int, default=SEEDS, metavar="N", help=f"seeds of each row (default: {SEEDS}, as the paper)")
    add("--seed_id", type=int, default=0, metavar="K", help="first seed (default: 0)")
    add("--limit_train", type=int, metavar="N", help="train on a class-stratified subset of N beats (default: all)")
    add(
        "--dataset",
        action="append",
        choices=DATASETS,
        help="run the rows of this dataset alone; what is finished of others stays on the page (default: both)",
    )
    add("--only_finished", action="store_true", help="train nothing, write the pages of what is finished")
    add(
        "--source",
        choices=RECORDINGS,
        default=RECORDINGS[0],
        help="where recordings are from: folders mitdb and ptbdb in --raw_path; PhysioNet, which fills those; or "
        f"synthetic patients (default: {RECORDINGS[0]}). Rows of beats that others have cut need their files: "
        "kaggle/*.csv, ptb_released_val.pt",
    )
    add("--raw_path", type=Path, default=Path("data/raw"), metavar="DIR", help="of recordings (default: data/raw)")
    add(
        "--data_path",
        type=Path,
        default=Path("data/reproduce"),
        metavar="DIR",
        help="of split files, made where they are missing (default: data/reproduce)",
    )
    add(
        "--save_dir",
        type=Path,
        default=Path(DEFAULT.save_dir),
        metavar="DIR",
        help=f"of runs, in its folder reproduce (default: {DEFAULT.save_dir})",
    )
    add(
        "--results",
        type=Path,
        metavar="DIR",
        help="of what comes out (default: results; of synthetic data results/synthetic)",
    )
    return parser


def options_of(args: argparse.Namespace) -> Options:
    """Check the command line and fill in what it leaves open.

    Raises:
        InputError: a value is out of range.
    """
    get_device(args.device)
    recipe = get_hparams_class(args.recipe or ("short" if args.device == "cpu" else "supervised"))()
    epochs = recipe.num_epochs if args.num_epochs is None else args.num_epochs
    # RunConfig checks the ranges, here before anything is read or written
    RunConfig(num_epochs=epochs, num_runs=args.num_runs, seed_id=args.seed_id, limit_train=args.limit_train)
    results = Path("results/synthetic" if args.source == "synthetic" else "results")
    return Options(
        device=args.device,
        schedule=Schedule(epochs, recipe.schedule, args.limit_train),
        seed_id=args.seed_id,
        num_runs=args.num_runs,
        datasets=tuple(args.dataset or DATASETS),
        only_finished=args.only_finished,
        source=args.source,
        raw_path=args.raw_path,
        data_path=args.data_path,
        save_dir=args.save_dir,
        results=args.results or results,
    )


def reproduce(experiment: Experiment, options: Options) -> Path:
    """Run what is missing of `experiment`, and write its page after every row; return the page's path.

    Raises:
        InputError: no row has its data, or something given is wrong.
        TrainingError: the loss of a run is no longer finite.
    """
    rows = [row for row in experiment.rows if row.beats.dataset in options.datasets]
    if not rows:
        raise InputError(f"{experiment.name}: has no rows of {' or '.join(options.datasets)}")
    absent: dict[str, str] = {}
    results = finished_rows(experiment, options)
    for number, row in enumerate([] if options.only_finished else rows, start=1):
        print(f"\n{experiment.name}, row {number} of {len(rows)}: {row.label}; {options.schedule}")
        try:
            train(row, options)
        except MissingDataError as reason:
            absent[row.label] = str(reason)
            print(f"not run: {reason}")
        results = finished_rows(experiment, options)
        if results:
            write_page(experiment, results, absent, options)
    if not results:
        reason = "nothing is finished" if options.only_finished else "; ".join(absent.values())
        raise InputError(f"{experiment.name}: there is nothing to show: {reason}")
    for path, says in figures.draw(experiment, results, options.results, options.device):
        print(f"{path}: {says}")
    return write_page(experiment, results, absent, options)


def finished_rows(experiment: Experiment, options: Options) -> list[Result]:
    """What is finished of every row, on any schedule."""
    return [result for row in experiment.rows for result in finished(row, options)]


def write_page(experiment: Experiment, results: Sequence[Result], absent: dict[str, str], options: Options) -> Path:
    """Write RESULTS/<name>.csv and .md, which shows the pictures that are there; return the path of the latter.

    `absent` says why a row (its label) could not be run.
    """
    page = options.results / f"{experiment.name}.md"
    write_table(page.with_suffix(".csv"), tables.long_table(results), index=False)
    done = {result.row.label for result in results}
    not_run = [f"{row.label} ({absent.get(row.label, 'not yet')})" for row in experiment.rows if row.label not in done]
    text = pages.report(experiment, results, not_run)
    shown = sorted(options.results.glob(f"{experiment.name}_*.png"))
    pictures = "".join(f"\n![{path.stem.replace('_', ' ')}]({path.name})\n" for path in shown)
    write_text(page, text + pictures)
    return page


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line `arguments` (default: sys.argv) ask for.

    Raises:
        InputError, TrainingError: as `reproduce`.
    """
    args = build_parser().parse_args(arguments)
    options = options_of(args)
    names = EXPERIMENTS if "all" in args.names else dict.fromkeys(args.names)
    written = [reproduce(EXPERIMENTS[name], options) for name in names]
    print("\n" + "\n".join(f"{page} and {page.with_suffix('.csv')}" for page in written))


if __name__ == "__main__":
    sys.exit(run_command(run))
