"""One process beside several: the loss curve at the same global batch, and the scaling.

    python -m benchmarks.processes --data_path data/demo [--processes 1 2] [--num_epochs 3] [--limit_train N]

Runs main.py under torchrun with each number of processes, one thread each, on the split files of `--data_path`. Without
batch normalisation and dropout the curves would be one (tests/test_distributed.py shows that); with them each process
normalises by the statistics of its own share of a batch and draws its own dropout masks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from support.cli import ArgumentParser, at_least_one
from support.errors import InputError, run_command

ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def history(processes: int, options: Sequence[str], save_dir: Path) -> pd.DataFrame:
    """Train with `processes` processes and return the history of the run.

    Raises:
        InputError: the training failed.
    """
    names = ["--save_dir", str(save_dir), "--experiment_description", "scaling", "--run_description", str(processes)]
    done = subprocess.run(
        [*TORCHRUN, f"--nproc_per_node={processes}", str(ROOT / "main.py"), *options, *names],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise InputError(f"main.py failed with {processes} of --processes; what it says stands above")
    return pd.read_csv(save_dir / "scaling" / str(processes) / "seed_0" / "history.csv")


def run(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; options that are not its own go to main.py.

    Raises:
        InputError: as `history`.
    """
    parser = ArgumentParser(prog="python -m benchmarks.processes", description=__doc__.splitlines()[0])
    says = "numbers of processes; other options go to main.py (default: 1 2)"
    parser.add_argument("--processes", type=at_least_one, nargs="+", default=[1, 2], help=says)
    args, options = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        histories = {processes: history(processes, options, Path(folder)) for processes in args.processes}
    first = histories[args.processes[0]]
    for processes, rows in histories.items():
        print(f"{processes} process{'es' if processes > 1 else ''} of one thread")
        print("  train loss " + " ".join(f"{loss:.4f}" for loss in rows["train_loss"]))
        print("  val loss   " + " ".join(f"{loss:.4f}" for loss in rows["val_loss"]))
        speed, base = rows["train_beats_per_second"].max(), first["train_beats_per_second"].max()
        print(f"  {speed:.0f} beats/s in the fastest epoch, {speed / base:.2f}x of {args.processes[0]}")


if __name__ == "__main__":
    sys.exit(run_command(run))
