"""Train and test ECGTransForm from the command line.

examples:
  python main.py --dataset mit --device cpu
  python main.py --dataset ptb --device cuda --num_runs 3
  python main.py --resume experiments_logs/mit/2024-05-01_12-00-00
  python main.py --dataset mit --test experiments_logs/mit/2024-05-01_12-00-00/seed_0/checkpoint_best.pt
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_configs import DATASETS
from hparams import LOSSES, RECIPES, SAMPLERS, SCHEDULES, VARIANTS
from support.cli import ArgumentParser
from support.errors import InputError, run_command
from trainer import RunConfig, Trainer

SEED_FOLDER = re.compile(r"seed_\d+")
# What has a meaning for a test of a checkpoint, which knows the rest itself.
TEST_TAKES = (
    *("dataset", "device", "data_path", "save_dir", "experiment_description", "run_description", "seed_id"),
    *("kernel", "precision", "umap"),
)
# What a resumed run may be given anew; everything else stays as it was when the run began.
RESUME_MAY_CHANGE = ("device", "data_path", "num_epochs", "kernel", "precision", "umap")


def build_parser() -> ArgumentParser:
    """The command line. Options that are not given stay unset, so that `RunConfig` alone knows the defaults."""
    parser = ArgumentParser(
        prog="python main.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    default = RunConfig()
    add("--dataset", help=f"{' or '.join(DATASETS)} (default: {default.dataset})")
    add("--device", help=f"torch device: cpu, cuda, cuda:0, mps (default: {default.device})")
    add("--data_path", help=f"folder that holds <dataset>/{{train,val,test}}.pt (default: {default.data_path})")
    add("--save_dir", help=f"folder of the experiments (default: {default.save_dir})")
    add("--experiment_description", help="name of the experiment's folder (default: the dataset)")
    add("--run_description", help="name of the run's folder; -2, -3 is added to one that exists (default: date_time)")
    add("--seed_id", type=int, help=f"first seed k (default: {default.seed_id})")
    add(
        "--num_runs",
        type=int,
        help=f"runs with seeds k, k+1, ...; mean and sd go to summary.csv (default: {default.num_runs})",
    )
    add(
        "--recipe",
        help=f"{', '.join(RECIPES)}: the paper's training; sequences of 15 beats, as in the user's notes; the "
        f"paper's in 6 epochs with a one-cycle step size (default: {default.recipe})",
    )
    add("--num_epochs", type=int, help="passes over the training beats (default: the recipe's, 60 or 6)")
    add(
        "--batch_size",
        type=int,
        help="beats a step, for recipe notes sequences of 15 beats a step "
        "(default: the recipe's, 128 beats or 20 sequences)",
    )
    add(
        "--schedule",
        help=f"course of the step size over the run, {' or '.join(SCHEDULES)}: a rise over the first 30 %% of the "
        "steps and a fall to almost 0 (default: the recipe's, constant, for short one_cycle)",
    )
    add(
        "--loss",
        help=f"{', '.join(LOSSES)} (default: the recipe's, cal or hard_class; with --sampler balanced or smote, and "
        "with every --variant but full, cross_entropy)",
    )
    add(
        "--variant",
        help=f"ablation of the network (Fig. 5): {', '.join(VARIANTS)}; msc_crm_bitrans is the whole network "
        "before CAL is added (default: full)",
    )
    add(
        "--sampler",
        help=f"{', '.join(SAMPLERS)} (Fig. 6): every training beat once an epoch; as many drawn at random, every class "
        "equally probable; every class filled up to the largest with beats between its own (default: shuffle)",
    )
    add(
        "--limit_train",
        type=int,
        metavar="N",
        help="train on a class-stratified subset of N beats; validation and test keep theirs (default: all)",
    )
    add("--sequence_len", type=int, metavar="L", help="samples of a beat in the split files (default: 186)")
    add(
        "--kernel",
        help="how the encoder layers are computed: auto, stock (torch.nn's layers), torch (memory-saving "
        "PyTorch), native (compiled on first use); the mathematics is the same (default: auto)",
    )
    add("--precision", help="arithmetic of the matrix products: fp32, bf16, on CUDA also tf32 (default: fp32)")
    add("--umap", action="store_true", help="draw umap.png: the test beats' features in the plane (default: off)")
    add(
        "--resume",
        metavar="RUN_FOLDER",
        help="continue the run in this folder with its own configuration; "
        f"{', '.join(f'--{name}' for name in RESUME_MAY_CHANGE)} may be given anew",
    )
    add("--test", metavar="CHECKPOINT", help="no training: test this checkpoint on the dataset's test split")
    return parser


def resumed_config(folder: Path, given: dict[str, Any]) -> RunConfig:
    """The configuration of the run in `folder`, with what `given` may change of it.

    Raises:
        InputError: no run there, or `given` contradicts it.
    """
    configs = [path for path in folder.glob("seed_*/config.json") if SEED_FOLDER.fullmatch(path.parent.name)]
    configs.sort(key=lambda path: int(path.parent.name.removeprefix("seed_")))
    if not configs:
        raise InputError(
            f"--resume {folder}: no run there (no seed_*/config.json); a run folder is "
            "<save_dir>/<experiment>/<run>, its path is the last line of a run"
        )
    try:
        run = RunConfig(**json.loads(configs[0].read_text())["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{configs[0]}: is damaged or of another version of this package ({error})") from error
    for name, value in given.items():
        if name not in RESUME_MAY_CHANGE and value != getattr(run, name):
            raise InputError(
                f"--{name} {value}: the run in {folder} began with {getattr(run, name)} and keeps it; "
                "leave the option out, or start a new run"
            )
    return RunConfig(**vars(run) | given)


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line `arguments` (default: sys.argv) ask for.

    Raises:
        InputError: something in them, or in a file that they name, is wrong.
    """
    given = vars(build_parser().parse_args(arguments))
    resume, test = given.pop("resume", None), given.pop("test", None)
    if resume is not None and test is not None:
        raise InputError("--resume and --test: one of them at a time")
    if test is not None:
        for name in given.keys() - set(TEST_TAKES):
            raise InputError(f"--{name} has no meaning with --test, which trains nothing; leave it out")
        Trainer(RunConfig(**given)).test(Path(test))
    elif resume is not None:
        # A seed's own folder is taken for the run that it belongs to.
        folder = Path(resume).parent if SEED_FOLDER.fullmatch(Path(resume).name) else Path(resume)
        Trainer(resumed_config(folder, given), folder).train()
    else:
        Trainer(RunConfig(**given)).train()


if __name__ == "__main__":
    sys.exit(run_command(run))
