"""Loss curves of the whole network in float32 and in bf16, from the same weights and batches.

    python -m benchmarks.arithmetics --data_path data [--beats 20000] [--num_epochs 2] [--num_runs 3] [--threads N]

For every seed the network is trained on the same class-stratified beats in both arithmetics, and the training loss
averaged over parts of the run. What bf16 changes is to be compared with what another seed changes.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.throughput import has_native_bf16
from data_configs import DATASETS, DatasetConfig, get_dataset_class
from dataloader import Batches, limited, load_splits
from hparams import supervised
from losses import loss_weights, make_loss
from models import ecgTransForm
from split_file import Split
from support.cli import ArgumentParser, at_least_one, cpu_threads
from support.errors import InputError, run_command
from trainer import evaluate, train_one_epoch
from utils import seed_everything

ARITHMETICS = ("fp32", "bf16")
PARTS = 10
"""Parts of a run; the mean loss of each is printed."""


def trained(splits: dict[str, Split], configs: DatasetConfig, num_epochs: int, precision: str, seed: int) -> np.ndarray:
    """Train with the paper's settings but for weight decay.

    Returns:
        float (steps + 1,): the loss of every step, and last the macro-F1 on validation, percent.
    """
    recipe = dataclasses.replace(supervised(), precision=precision)
    seed_everything(seed)
    model = ecgTransForm(configs, recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, betas=recipe.betas)
    loss_function = make_loss(recipe, loss_weights(configs, recipe, splits["train"].labels))
    batches, losses = Batches(splits["train"], recipe, seed), []
    for epoch in range(1, num_epochs + 1):
        order = batches.order(epoch)
        arguments = (model, splits["train"], order, loss_function, optimizer, configs.classes)
        train_one_epoch(*arguments, epoch=epoch, on_step=lambda loss: losses.append(float(loss)))
    validation = evaluate(model, splits["val"], loss_function, configs.classes)
    return np.array([*losses, 100 * validation.metrics["macro_f1"]])


def run(arguments: Sequence[str] | None = None) -> None:
    """Train in both arithmetics, and print both curves.

    Raises:
        InputError: this processor has no bf16, or the split files cannot be used.
    """
    parser = ArgumentParser(prog="python -m benchmarks.arithmetics", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--data_path", type=Path, default=Path("data"), help="folder of the split files (default: data)")
    add("--dataset", choices=DATASETS, default="mit", help="(default: mit)")
    add("--beats", type=at_least_one, default=20_000, help="training beats (default: 20000)")
    add("--num_epochs", type=at_least_one, default=2, help="passes over them (default: 2)")
    add("--num_runs", type=at_least_one, default=3, help="seeds (default: 3)")
    add("--threads", type=cpu_threads, help="CPU threads (default: torch's)")
    given = parser.parse_args(arguments)
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    if not has_native_bf16():
        raise InputError("nothing to compare: the compiled encoder has no bf16 here; it takes a CPU with AVX512-BF16")
    configs = get_dataset_class(given.dataset)()
    splits = load_splits(given.data_path, configs)
    if not configs.num_classes <= given.beats <= len(splits["train"]):
        raise InputError(f"--beats must be {configs.num_classes} to {len(splits['train'])}, got {given.beats}")
    splits["train"] = limited(splits["train"], configs, given.beats, seed=0)
    curves: dict[str, list[np.ndarray]] = {precision: [] for precision in ARITHMETICS}
    for seed in range(given.num_runs):
        for precision in ARITHMETICS:
            started = time.perf_counter()
            curves[precision].append(trained(splits, configs, given.num_epochs, precision, seed))
            print(f"seed {seed}, {precision}: {time.perf_counter() - started:.0f} s", flush=True)
    seeds = f"{given.num_runs} seeds, mean ± standard deviation"
    print(f"\n{given.beats:,} training beats, {given.num_epochs} epochs, {seeds}\n")
    print(f"{'steps':>12s}{'float32':>18s}{'bf16':>18s}{'bf16 - float32 of one seed':>30s}")
    both = {precision: np.stack(of_seeds) for precision, of_seeds in curves.items()}  # (seeds, steps + 1)
    steps = both["fp32"].shape[1] - 1
    rows = [(f"{part[0] + 1} - {part[-1] + 1}", part) for part in np.array_split(np.arange(steps), min(PARTS, steps))]
    for title, part in [*rows, ("macro-F1", np.array([steps]))]:
        fp32, bf16 = (both[precision][:, part].mean(axis=1) for precision in ARITHMETICS)  # (seeds,)
        print(f"{title:>12s}{_cell(fp32):>18s}{_cell(bf16):>18s}{_cell(bf16 - fp32):>30s}")


def _cell(of_seeds: np.ndarray) -> str:
    return f"{of_seeds.mean():.4f}" + (f" ± {of_seeds.std(ddof=1):.4f}" if len(of_seeds) > 1 else "")


if __name__ == "__main__":
    sys.exit(run_command(run))
