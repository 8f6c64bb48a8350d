"""How an epoch's time grows with the beats, and what part of it is not the network.

    python -m benchmarks.epoch [--beats 1000 10000 100000] [--stream N] [--kernel auto] [--threads N]

For each number of beats one epoch of training and one evaluation of the network, and the same with a stand-in that
does next to nothing: what the stand-in needs is data, metrics and bookkeeping. Writing the checkpoints is timed on its
own. `--stream` instead classifies beats that come part by part, and shows that memory does not grow. Inputs are noise:
no figure here is of real beats.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import hparams
from benchmarks.throughput import resident_mb
from data_configs import DatasetConfig, mit
from dataloader import Batches
from kernels.precision import require_arithmetic
from losses import loss_weights, make_loss
from models import ecgTransForm
from split_file import Split
from support.cli import ArgumentParser, at_least_one, cpu_threads
from support.errors import InputError, run_command
from trainer import evaluate, stream_logits, train_one_epoch
from utils import Checkpoint, save_checkpoint

PART = 2048  # beats


class StandIn(nn.Module):
    """A network of five weights: its epochs cost what is not the network."""

    def __init__(self, configs: DatasetConfig) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(configs.num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, L) -> (B, C)."""
        return self.bias.expand(len(x), -1)


def epoch_seconds(
    model: nn.Module, split: Split, configs: DatasetConfig, recipe: hparams.TrainingConfig
) -> tuple[float, float]:
    """Seconds of one training epoch and of one evaluation of `model` on `split`."""
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    loss_function = make_loss(recipe, loss_weights(configs, recipe, split.labels))
    started = time.perf_counter()
    order = Batches(split, recipe, seed=0).order(1)
    train_one_epoch(model, split, order, loss_function, optimizer, configs.classes)
    trained = time.perf_counter()
    evaluate(model, split, loss_function, configs.classes)
    return trained - started, time.perf_counter() - trained


def checkpoint_seconds(model: nn.Module, configs: DatasetConfig, recipe: hparams.TrainingConfig) -> float:
    """Seconds to write the best and the last checkpoint, with Adam's state."""
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    checkpoint = Checkpoint(configs.name, configs, recipe, model.state_dict(), optimizer.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for name in ("best", "last"):
            save_checkpoint(Path(folder) / f"{name}.pt", checkpoint)
        return time.perf_counter() - started


def stream(model: nn.Module, beats: int, length: int) -> None:
    """Classify `beats` that are drawn a part at a time; print speed and peak memory as they go by."""
    done, started = 0, time.perf_counter()
    parts = ((torch.randn(min(PART, beats - first), 1, length),) for first in range(0, beats, PART))
    for logits in stream_logits(model, parts):
        done += len(logits)
        if done == beats or done // PART in (1, 4, 16, 64):
            speed = done / (time.perf_counter() - started)
            print(f"{done:8} beats streamed, {speed:6.0f} beats/s, peak {resident_mb()[1]:5.0f} MB", flush=True)


def run(arguments: Sequence[str] | None = None) -> None:
    """Measure and print.

    Raises:
        InputError: there are fewer beats than classes, or this processor has no such kernel or precision.
    """
    parser = ArgumentParser(prog="python -m benchmarks.epoch", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--beats",
        type=at_least_one,
        nargs="+",
        default=[1000, 10_000, 100_000],
        help="numbers of beats (default: 1000 10000 100000)",
    )
    add("--stream", type=at_least_one, metavar="N", help="classify N beats part by part instead")
    add("--kernel", default="auto", help="as for main.py (default: auto)")
    add("--precision", default="fp32", help="as for main.py (default: fp32)")
    add("--threads", type=cpu_threads, default=torch.get_num_threads(), help="CPU threads (default: torch's)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    configs = mit()
    if min(args.beats) < configs.num_classes:
        raise InputError(f"--beats must be at least {configs.num_classes}, a beat a class, got {min(args.beats)}")
    require_arithmetic(args.precision, torch.device("cpu"), args.kernel)
    recipe = dataclasses.replace(hparams.supervised(), kernel=args.kernel, precision=args.precision)
    model = ecgTransForm(configs, recipe)
    if args.stream:
        stream(model, args.stream, configs.sequence_len)
        return
    writing = checkpoint_seconds(model, configs, recipe)
    print(f"{args.kernel}, {args.precision}, {args.threads} threads; two checkpoints: {1e3 * writing:.0f} ms; noise")
    print(f"{'beats':>8} {'train s':>8} {'beats/s':>8} {'test s':>8} {'beats/s':>8} {'not network':>15} {'peak MB':>8}")
    for beats in args.beats:
        split = Split(torch.randn(beats, 1, configs.sequence_len), torch.arange(beats) % configs.num_classes)
        train, test = epoch_seconds(model, split, configs, recipe)
        outside = sum(epoch_seconds(StandIn(configs), split, configs, recipe)) + writing
        print(
            f"{beats:8} {train:8.1f} {beats / train:8.0f} {test:8.1f} {beats / test:8.0f} "
            f"{100 * outside / (train + test):13.2f} % {resident_mb()[1]:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(run_command(run))
