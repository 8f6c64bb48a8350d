"""How a run goes on: one command at a time, with the settings and the beats that it began with, or not at all."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import nn

from dataloader import Split
from run_folder.board import has_curves
from run_folder.layout import KEPT, NO_SELECTION, SeedRun
from support import distributed
from support.errors import InputError
from support.fields import fits
from support.files import read_json, write_table
from utils import Checkpoint, load_checkpoint, restore_training, rng_state, save_checkpoint

MAY_CHANGE = ("num_epochs", "kernel", "precision")
"""Settings that a resumed run may change: how long it trains, and how the same mathematics is computed."""


@contextmanager
def locked(run_folder: Path) -> Iterator[None]:
    """Keep a run to this command while the block runs. A killed command leaves no lock behind.

    Raises:
        InputError: another command holds the run.
        OSError: the folder cannot be written.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    holder = run_folder / ".locked_by"  # beside the lock: opening a lock file empties it
    try:
        with FileLock(run_folder / ".lock", blocking=False):
            command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
            holder.write_text(
                f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}: {command}",
                encoding="utf-8",
            )
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except Timeout as error:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise InputError(f"{run_folder}: in use by {who}; wait until it ends, or stop it") from error


def as_it_ran(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A seed's config.json as the run began, and with what each resumption changed: more epochs, another device.

    config.json keeps what the run began with, and in `resumed` what was other than that each time that it went on.
    """
    changes = [{part: values for part, values in entry.items() if part in config} for entry in _resumptions(config)]
    return [config | change for change in [{}, *changes]]


def as_last_resumed(config: dict[str, Any]) -> dict[str, Any]:
    """A seed's config.json with what its latest resumption changed."""
    return as_it_ran(config)[-1]


def _resumptions(config: dict[str, Any]) -> list[dict[str, Any]]:
    entries = config.get("resumed", [])
    return entries if fits(entries, list[dict[str, Any]]) else []  # a damaged list is passed over


# ------------------------------------------------------------------------------------------- finished or not


def tests_of(folder: Path, num_epochs: int) -> dict[str, dict[str, Any]] | None:
    """The tests of the best and the last checkpoint in a seed's folder; None unless it came to `num_epochs`.

    test_last.json is the last file that a seed writes.
    """
    paths = {kept: folder / f"test_{kept}.json" for kept in KEPT}
    if not all(path.is_file() for path in paths.values()):
        return None
    tests = {kept: read_json(path) for kept, path in paths.items()}
    return tests if tests["last"].get("checkpoint_epoch") == num_epochs else None


def finished_tests(folder: Path, run: SeedRun) -> dict[str, dict[str, Any]] | None:
    """The tests of a seed that is finished, None for one that is not.

    Raises:
        InputError: it is finished, but with other settings or other beats, or its files are damaged.
    """
    tests = tests_of(folder, run.hparams.num_epochs)
    drawn = not run.run.umap or (folder / "umap.png").is_file()
    drawn &= not run.run.tensorboard or has_curves(folder)
    if tests is None or not drawn or not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json")
    require_same_beats(folder, config.get("data", {}), run)
    require_same_settings(folder, config.get("dataset", {}) | config.get("hparams", {}), run)
    return tests


def require_same_settings(folder: Path, began: dict[str, Any], run: SeedRun) -> None:
    """Raise an `InputError` where the run in `folder` began with other settings than it would go on with.

    `main.py --resume` takes the options from the run itself; what a recipe or an option means may have changed.
    """
    now = asdict(run.configs) | asdict(run.hparams)
    for name in changed_settings(began, now):
        raise InputError(
            f"{folder}: began with {name} {began[name]} and would go on with {now[name]}; start a new run, or give "
            f"the option that sets {name} to {began[name]}"
        )


def changed_settings(began: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names of settings that both know and that differ, but for those that may change while a run goes on.

    The weight of the hard class is one of the loss `hard_class` alone: earlier versions noted another for the rest.
    """

    def plain(value: object) -> object:
        return list(value) if isinstance(value, tuple) else value  # JSON has lists only

    ignored = MAY_CHANGE if "hard_class" in (began.get("loss"), now.get("loss")) else (*MAY_CHANGE, "hard_class_weight")
    return [name for name in began if name in now and name not in ignored and plain(began[name]) != plain(now[name])]


def require_same_beats(folder: Path, began: dict[str, Any], run: SeedRun) -> None:
    """Raise an `InputError` where the run in `folder` began with other beats, by the fingerprints in `began`."""
    if began.get("fingerprints") != run.fingerprints:
        raise InputError(
            f"{run.run.data_path}: holds other beats than those that the run in {folder} began with; resume it with "
            "the same split files, or start a new run"
        )


def require_same_window(checkpoint: Path, trained_on: dict[str, Any], test: Split) -> None:
    """Raise an `InputError` where a network trained on beats cut in one way would be tested on beats cut in another.

    Args:
        trained_on: what the checkpoint says of its training beats (`SeedRun.data`); a value that it or the split file
            does not give is not compared.
    """
    for name in ("window", "fs"):
        before, now = trained_on.get(name), getattr(test, name)
        if before not in (None, "unknown") and now not in (None, "unknown") and before != now:
            raise InputError(
                f"{checkpoint}: was trained on beats of {name} '{before}', and the test split has {name} '{now}'; make "
                "the split files with the --window of its training"
            )


# -------------------------------------------------------------------------------------- checkpoints and history


def keep(folder: Path, run: SeedRun, model: nn.Module, optimizer: torch.optim.Optimizer, history: list[dict]) -> None:
    """Write the checkpoints and the history of the epochs so far; the first of several processes does.

    The last checkpoint comes first: what a kill after it leaves undone, `resume` makes up from it.
    """
    if not distributed.is_first():
        return
    checkpoint = Checkpoint(
        dataset=run.run.dataset,
        configs=run.configs,
        hparams=run.hparams,
        model=model.state_dict(),
        optimizer=optimizer.state_dict(),
        epoch=len(history),
        rng=rng_state(run.device),
        metrics={"history": [*history], "class_weights": run.class_weights.tolist(), "data": run.data},
    )
    save_checkpoint(folder / "checkpoint_last.pt", checkpoint)
    _write_what_follows(folder, checkpoint)


def resume(folder: Path, run: SeedRun, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Go on from the last checkpoint in `folder`, if there is one; return its history, a row an epoch.

    Raises:
        InputError: the checkpoint does not fit what this run is to do, or the beats have changed.
    """
    path = folder / "checkpoint_last.pt"
    last = distributed.on_first(lambda: load_checkpoint(path, run.run.dataset) if path.is_file() else None)
    if last is None:
        return []
    require_same_beats(folder, last.metrics.get("data", {}), run)
    require_same_settings(folder, asdict(last.configs) | asdict(last.hparams), run)
    num_epochs = run.hparams.num_epochs
    if last.epoch > num_epochs:
        raise InputError(f"--num_epochs must be at least {last.epoch}, which the run in {folder} has, got {num_epochs}")
    if run.hparams.schedule != "constant" and last.hparams.num_epochs != num_epochs:
        raise InputError(
            f"--num_epochs {num_epochs}: the {run.hparams.schedule} schedule of this run was laid out for "
            f"{last.hparams.num_epochs} epochs; resume it with those, or start a new run"
        )
    history = last.metrics.get("history", [])
    if not history or any("val_selection_f1" not in row for row in history):
        raise InputError(f"{path}: its history is of another version of this package; start a new run")
    restore_training(model, optimizer, run.device, last, path)
    if distributed.is_first():
        _write_what_follows(folder, last)
    return history


def best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest selection macro-F1 on validation (`utils.selection_f1`); the first of several."""
    if history[-1]["val_selection_f1"] == NO_SELECTION:
        return len(history)
    return 1 + max(range(len(history)), key=lambda index: (history[index]["val_selection_f1"], -index))


def _write_what_follows(folder: Path, last: Checkpoint) -> None:
    """Write what follows from the last checkpoint: the best one, where it is that, and the history."""
    history = last.metrics["history"]
    if best_epoch(history) == last.epoch:
        save_checkpoint(folder / "checkpoint_best.pt", last)
    write_table(folder / "history.csv", pd.DataFrame(history), index=False)
