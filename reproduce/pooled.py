"""`python -m reproduce.pooled RUN_FOLDER ...`: the tests of several runs as one, such as those of all folds.

A design is chosen by patients held out within DS1: `python -m preprocess --dataset mit --split inter_patient --folds 5`
makes the folds, `main.py --data_path data/fold_1` and so on train on each, and this pools what the first seed of each
run says of its test patients.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ec57.figures import has_figures
from reproduce.pages import groups_lines
from reproduce.runs import read_predictions
from reproduce.tables import groups_table
from run_folder.resume import tests_if_finished
from support.cli import ArgumentParser
from support.errors import InputError, run_command
from utils import seed_folders


def pooled(folders: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """The predictions of the first seed of each run in one table, and the names of the classes.

    Raises:
        InputError: a folder holds no finished run or one without S or V, two were tested on beats of one record, or
            their classes differ.
    """
    tables: list[pd.DataFrame] = []
    classes: list[str] = []
    for folder in folders:
        finished = [(seed, tests) for seed in seed_folders(folder) if (tests := tests_if_finished(seed)) is not None]
        if not finished:
            raise InputError(f"{folder}: no finished run there (no seed_* that was tested after its last epoch)")
        seed_folder, tests = finished[0]
        table = read_predictions(seed_folder / "predictions_test.csv")
        if "record" not in table:
            raise InputError(f"{folder}: its predictions name no records; make the split files from recordings")
        known = {*table["record"]} & {name for other in tables for name in other["record"]}
        if known:
            raise InputError(f"{folder}: record {min(known)} was tested by an earlier run too; give each fold once")
        tables.append(table)
        own = tests["best"]["classes"]
        if not has_figures(own):
            raise InputError(f"{folder}: has the classes {' '.join(own)}; S and V are needed, whose figures these are")
        if classes and own != classes:
            raise InputError(f"{folder}: has the classes {' '.join(own)}, the run before it {' '.join(classes)}")
        classes = own
    return pd.concat(tables, ignore_index=True), classes


def run(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the runs that the command line names.

    Raises:
        InputError: as `pooled`.
    """
    parser = ArgumentParser(prog="python -m reproduce.pooled", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("folders", metavar="RUN_FOLDER", nargs="+", type=Path, help="folders of finished runs")
    predictions, classes = pooled(parser.parse_args(arguments).folders)
    print("\n".join(groups_lines(groups_table([predictions], classes))))


if __name__ == "__main__":
    sys.exit(run_command(run))
