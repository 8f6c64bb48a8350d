"""`python -m run_folder.pretrained RUN_FOLDER NAME`: keep a trained network in pretrained/, its weights alone."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from support.cli import ArgumentParser
from support.errors import InputError, run_command
from utils import PRETRAINED, find_checkpoint, load_checkpoint, save_checkpoint


def keep_weights(checkpoint_path: Path, name: str, folder: Path = PRETRAINED) -> Path:
    """Write what is needed to use a checkpoint, and nothing of its training, to `folder`/NAME.pt; return that.

    The optimiser, the generators and the history stay behind; configuration, class weights and the origin of the
    training beats are kept.

    Raises:
        InputError: no checkpoint, or `name` is none for a file.
    """
    if not name.replace("_", "").isalnum():
        raise InputError(f"{name}: a name of letters, digits and _ is right, such as mit_new_patients")
    checkpoint = load_checkpoint(checkpoint_path)
    metrics = {key: checkpoint.metrics[key] for key in ("class_weights", "data") if key in checkpoint.metrics}
    path = folder / f"{name}.pt"
    save_checkpoint(path, dataclasses.replace(checkpoint, optimizer={}, rng={}, metrics=metrics))
    return path


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = ArgumentParser(prog="python -m run_folder.pretrained", description=__doc__.partition(": ")[2])
    parser.add_argument("checkpoint", metavar="RUN_FOLDER", help="folder of a run, or a checkpoint of it")
    parser.add_argument("name", metavar="NAME", help="name that --test and the report know it by")
    given = parser.parse_args(arguments)
    path = keep_weights(find_checkpoint(given.checkpoint), given.name)
    size = path.stat().st_size / 1e6
    print(f"written {path}, {size:.2f} MB; its card, {path.with_suffix('.md')}, is yours to write")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
