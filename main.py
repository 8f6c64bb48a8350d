"""Train and test ECGTransForm from the command line.

examples:
  python main.py --dataset mit --device cpu
  python main.py --dataset ptb --device cuda --num_runs 3
  python main.py --resume experiments_logs/mit/2026-05-01_12-00-00
  python main.py --dataset mit --test experiments_logs/mit/2026-05-01_12-00-00/seed_0/checkpoint_best.pt
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hparams import RunConfig
from run_folder.resume import latest_config
from support.cli import ArgumentParser, add_options
from support.errors import InputError, run_command
from support.fields import from_fields
from trainer import Trainer
from utils import SEED_FOLDER, find_checkpoint, seed_folders

# The options that --test takes; the checkpoint says the rest.
TEST_TAKES = (
    *("dataset", "device", "data_path", "save_dir", "experiment_description", "run_description", "seed_id"),
    *("kernel", "precision", "umap"),
    "sequence_len",  # which a released checkpoint does not say
)
# What may be changed when a run is resumed; everything else stays as it was when the run began.
RESUME_MAY_CHANGE = ("device", "data_path", "num_epochs", "kernel", "precision", "umap", "tensorboard")


def build_parser() -> ArgumentParser:
    """The command line: the fields of `RunConfig`, and what is to be done with them."""
    parser = ArgumentParser(
        prog="python main.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser, RunConfig)
    parser.add_argument(
        "--resume",
        metavar="RUN_FOLDER",
        help="continue the run in this folder with the configuration that it last had; "
        f"{', '.join(f'--{name}' for name in RESUME_MAY_CHANGE)} may be given",
    )
    parser.add_argument(
        "--test",
        metavar="CHECKPOINT",
        help="no training: test a checkpoint on the test split: a file, the folder of a run, or the name of one in "
        "pretrained/, such as mit_new_patients",
    )
    return parser


def resumed_config(folder: Path, given: dict[str, Any]) -> RunConfig:
    """The configuration that the run in `folder` last had, with the options in `given` that may change.

    Raises:
        InputError: no run there, or `given` contradicts it.
    """
    latest = latest_config(folder)
    if latest is None:
        raise InputError(
            f"--resume {folder}: no run there (no seed_*/config.json); a run folder is "
            "<save_dir>/<experiment>/<run>, its path is the last line of a run"
        )
    path, config = latest
    run = from_fields(RunConfig, config.get("run"), f"{path}: its 'run'")
    for name, value in given.items():
        if name not in RESUME_MAY_CHANGE and value != (began := getattr(run, name)):
            how = "without it" if began is None else f"with {began}"
            raise InputError(f"--{name}: the run in {folder} began {how}; leave the option out, or start a new run")
    return RunConfig(**vars(run) | given)


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line `arguments` (default: sys.argv) ask for.

    Raises:
        InputError: something in them, or in a file that they name, is wrong.
    """
    given = vars(build_parser().parse_args(arguments))
    resume, test = given.pop("resume"), given.pop("test")
    if resume == "":
        raise InputError("--resume: is empty; give the folder of a run")
    if test == "":
        raise InputError("--test: is empty; give a checkpoint, the folder of a run, or a name in pretrained/")
    if resume is not None and test is not None:
        raise InputError("--resume and --test: give one of them, not both")
    if test is not None:
        if of_training := [f"--{name}" for name in given if name not in TEST_TAKES]:
            raise InputError(f"--test trains nothing, so it takes no {', '.join(of_training)}")
        Trainer(RunConfig(**given)).test(find_checkpoint(test, "--test"))
    elif resume is not None:
        # A seed's own folder is taken for the run that it belongs to; a run may be called seed_0, too.
        is_seed = SEED_FOLDER.fullmatch(Path(resume).name) and (Path(resume) / "config.json").is_file()
        folder = Path(resume).parent if is_seed else Path(resume)
        if is_seed and len(seed_folders(folder)) > 1:
            print(f"{resume}: is a seed of the run {folder}, which goes on with all its seeds")
        train(Trainer(resumed_config(folder, given), folder))
    else:
        train(Trainer(RunConfig(**given)))


def train(trainer: Trainer) -> None:
    """Train, and say how to go on where the user interrupts it."""
    try:
        trainer.train()
    except KeyboardInterrupt:
        if trainer.run_folder is not None:
            print(f"continue with: python main.py --resume {shlex.quote(str(trainer.run_folder))}", file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(run_command(run, "take a smaller --batch_size, or free some"))
