"""How a run goes on: one command at a time, with the settings and the beats that it began with, or not at all."""

from __future__ import annotations

import os
import platform
import reprlib
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import nn

from data_configs import every_class
from hparams import PRECISIONS, RunConfig
from kernels.precision import Settled
from run_folder.board import has_curves
from run_folder.layout import KEPT, NO_SELECTION, REMEDY, SeedRun
from run_folder.network import base_of, learnt_records, read_card
from split_file import Split
from support import distributed
from support.errors import InputError
from support.fields import fits
from support.files import RUN_AGAIN, read_json, write_table, write_text
from utils import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    load_weights,
    require_finite_weights,
    restore_training,
    rng_state,
    save_checkpoint,
    seed_folders,
)

LAST = "checkpoint_last.pt"
"""In a seed's folder: what a run goes on from."""

MAY_CHANGE = ("num_epochs", "kernel", "precision")
"""Settings that a resumed run may change: how long it trains, and how the same mathematics is computed."""

TEST_HOLDS = {
    "checkpoint_epoch": int,
    "classes": list[str],
    "per_class": dict[str, dict[str, float]],
    **dict.fromkeys(("accuracy", "macro_precision", "macro_recall", "macro_f1"), float),
}
CLASS_HOLDS = {"precision", "recall", "f1", "support"}
"""What tables and summaries read of a test, and of a class in it."""


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
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            write_text(holder, f"process {os.getpid()} on {platform.node()} since {since}: {command}")
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except Timeout as error:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise InputError(f"{run_folder}: in use by {who}; wait until it ends, or stop it") from error


class Hold(ExitStack):
    """Keeps the run that it takes to this command until it closes; of several processes the first one does."""

    taken = False

    def take(self, run_folder: Path) -> None:
        """Take a run, unless it is taken already.

        Raises:
            InputError, OSError: as `locked`.
        """
        if not self.taken and distributed.is_first():
            self.enter_context(locked(run_folder))
            self.taken = True


def as_it_ran(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A seed's config.json as the run began, and with what each resumption changed: more epochs, another device.

    config.json keeps what the run began with and, under `resumed`, what differed each time that it was resumed.
    """
    changes = [{part: values for part, values in entry.items() if part in config} for entry in resumptions(config)]
    return [config | change for change in [{}, *changes]]


def resumptions(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Each time that a seed went on, and what was other than at its beginning; a damaged list is passed over."""
    entries = config.get("resumed", [])
    return entries if fits(entries, list[dict[str, Any]]) else []


def latest_config(run_folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Path and latest state of the config.json of the seed that was started or resumed last; None where none has one.

    Those of other seeds know nothing of what the latest command changed for the whole run, such as where its beats are.

    Raises:
        InputError: one of them is damaged.
    """
    paths = [path for seed in seed_folders(run_folder) if (path := seed / "config.json").is_file()]
    if not paths:
        return None
    configs = [read_json(path) for path in paths]

    def went_on(number: int) -> tuple[str, int]:  # those of earlier versions do not say when they began
        times = [str(entry.get("time", "")) for entry in (configs[number], *resumptions(configs[number]))]
        return max(times), number

    latest = max(range(len(paths)), key=went_on)
    return paths[latest], as_it_ran(configs[latest])[-1]


def settled_arithmetic(run_folder: Path | None, run: RunConfig, device: torch.device) -> Settled | None:
    """The arithmetic that a run which goes on has used so far; None where it is still to be decided.

    That is so for a new run, and where another precision is asked for than before, or another kind of device.

    Raises:
        InputError: a config.json is damaged.
    """
    latest = latest_config(run_folder) if run_folder is not None else None
    if latest is None:
        return None
    asked, used, on = (_part(latest[1], name, latest[0]) for name in ("run", "hparams", "environment"))
    as_before = asked.get("precision") == run.precision and str(on.get("device")).partition(":")[0] == device.type
    if not as_before or used.get("precision") not in PRECISIONS:
        return None
    return Settled(used["precision"], str(on.get("encoder_kernel")))


def _part(config: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """The part `name` of a config.json at `path`."""
    values = config.get(name, {})
    if not isinstance(values, dict):
        raise InputError(f"{path}: is damaged: its '{name}' is {reprlib.repr(values)}, not an object; start a new run")
    return values


# ------------------------------------------------------------------------------------------- finished or not


def tests_at(folder: Path, num_epochs: int) -> dict[str, dict[str, Any]] | None:
    """The tests of the best and the last checkpoint in a seed's folder; None unless it was trained for `num_epochs`.

    test_last.json is the last file that a seed writes.

    Raises:
        InputError: one of them is damaged.
    """
    paths = {kept: folder / f"test_{kept}.json" for kept in KEPT}
    if not all(path.is_file() for path in paths.values()):
        return None
    tests = {kept: _read_test(path) for kept, path in paths.items()}
    return tests if tests["last"].get("checkpoint_epoch") == num_epochs else None


def _read_test(path: Path) -> dict[str, Any]:
    test = read_json(path)
    for name, kind in TEST_HOLDS.items():
        if not fits(test.get(name), kind):
            raise InputError(f"{path}: is damaged: its '{name}' is {reprlib.repr(test.get(name))}; {RUN_AGAIN}")
    if any(not row.keys() >= CLASS_HOLDS for row in test["per_class"].values()):
        raise InputError(f"{path}: is damaged: a class in its 'per_class' lacks a figure; {RUN_AGAIN}")
    return test


def tests_if_finished(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The tests of a seed that came to the end of what its run was last told to do; None unless it did.

    A finished seed that was told to train longer and stopped on the way has newer checkpoints than tests.

    Raises:
        InputError: its config.json or a test is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        return None
    return tests_at(folder, _part(as_it_ran(read_json(path))[-1], "hparams", path).get("num_epochs", 0))


def tests_if_finished_as(folder: Path, run: SeedRun) -> dict[str, dict[str, Any]] | None:
    """The tests of a seed that is finished, None for one that is not.

    Raises:
        InputError: it is finished, but with other settings or other beats, or its files are damaged.
    """
    path, tests = folder / "config.json", tests_at(folder, run.hparams.num_epochs)
    drawn = not run.run_config.umap or (folder / "umap.png").is_file()
    drawn &= not run.run_config.tensorboard or has_curves(folder)
    if tests is None or not drawn or not path.is_file():
        return None
    config = read_json(path)
    data, dataset, hparams = (_part(config, name, path) for name in ("data", "dataset", "hparams"))
    require_same_run(folder, data, dataset | hparams, run)
    return tests


def require_same_run(folder: Path, data: dict[str, Any], settings: dict[str, Any], run: SeedRun) -> None:
    """Raise an `InputError` where the run in `folder` would go on with other beats or settings than it began with.

    Args:
        data: what the folder says of the beats (`SeedRun.data`).
        settings: what it says of the dataset and of the training, name -> value.
    """
    require_same_beats(folder, data, run)
    require_same_settings(folder, settings, run)
    if (began := data.get("init")) != (now := run.run_config.init):
        raise InputError(f"{folder}: began with --init {began} and would go on with {now}; start a new run")
    # Last, since another sampler is better reported as a setting. Runs of earlier versions have no such hash.
    if data.get("training_fingerprint", run.training_fingerprint) != run.training_fingerprint:
        raise InputError(
            f"{folder}: would go on with other training beats of the same split files than it began with; give the "
            "--limit_train that it began with (with --sampler smote also the same processor and versions of numpy, "
            "scikit-learn and imbalanced-learn), or start a new run"
        )


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

    ignored = MAY_CHANGE if now.get("loss") == "hard_class" else (*MAY_CHANGE, "hard_class_weight")
    return [name for name in began if name in now and name not in ignored and plain(began[name]) != plain(now[name])]


def require_same_beats(folder: Path, began: dict[str, Any], run: SeedRun) -> None:
    """Raise an `InputError` where the run in `folder` began with other beats, by the hashes in `began`.

    Runs of earlier versions have no hash of the beats' records and positions, so these are not compared.
    """
    if began.get("fingerprints") != run.fingerprints:
        differ = "other beats"
    elif began.get("places", run.place_fingerprints) != run.place_fingerprints:
        differ = "other records or positions of the beats"
    else:
        return
    raise InputError(
        f"{run.run_config.data_path}: holds {differ} than the run in {folder} began with; resume it with the same "
        "split files, or start a new run"
    )


def require_same_window(checkpoint: Path, trained_on: dict[str, Any], split: Split) -> None:
    """Raise an `InputError` where a network trained on beats cut in one way would see a split cut in another.

    Args:
        trained_on: what the checkpoint says of its training beats (`SeedRun.data`); a value that it or the split file
            does not give is not compared.
    """
    for name in ("window", "fs"):
        before, now = trained_on.get(name), getattr(split, name)
        if before not in (None, "unknown") and now not in (None, "unknown") and before != now:
            raise InputError(
                f"{checkpoint}: was trained on beats of {name} '{before}', and the split file has {name} '{now}'; make "
                "the split files with the --window of its training"
            )


# -------------------------------------------------------------------------------------- checkpoints and history


def keep(
    folder: Path, run: SeedRun, model: nn.Module, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]]
) -> None:
    """Write the checkpoints and the history of the epochs so far; the first of several processes does.

    The last checkpoint is written first: after a kill, `resume` writes the rest from it.

    Raises:
        TrainingError: a weight or a buffer is not finite, so nobody could go on from it or classify by it.
    """
    require_finite_weights(model, len(history))
    if not distributed.is_first():
        return
    checkpoint = Checkpoint(
        dataset=run.run_config.dataset,
        configs=run.configs,
        hparams=run.hparams,
        model=model.state_dict(),
        optimizer=optimizer.state_dict(),
        epoch=len(history),
        rng=rng_state(run.device),
        metrics={"history": [*history], "class_weights": run.class_weights.tolist(), "data": run.data},
    )
    save_checkpoint(folder / LAST, checkpoint)
    _write_what_follows(folder, checkpoint)


def resume(
    folder: Path, run: SeedRun, model: nn.Module, optimizer: torch.optim.Adam
) -> tuple[SeedRun, list[dict[str, Any]]]:
    """Go on from the last checkpoint in `folder`, if there is one.

    Returns:
        `run`, with what its checkpoint says of the network of `--init`, and the history, one row per epoch.

    Raises:
        InputError: the checkpoint does not fit what this run is to do, or the beats have changed.
    """
    path = folder / LAST

    def read() -> Checkpoint | None:
        return load_checkpoint(path, run.run_config.dataset, remedy=REMEDY["last"]) if path.is_file() else None

    last = distributed.on_first(read)
    if last is None:
        return run, []
    require_same_run(folder, last.data, asdict(last.configs) | asdict(last.hparams), run)
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
    learnt_before = frozenset(last.data.get("init_records", ()))
    return replace(run, learnt_before=learnt_before, base=last.data.get("init_base")), history


def start_from(seed_folder: Path | None, run: SeedRun, model: nn.Module) -> SeedRun:
    """Give the network of a run with `--init` the weights of that checkpoint; one that goes on has its own.

    Args:
        seed_folder: of the run, where there is one already.

    Returns:
        `run`, with the records that the checkpoint was trained on, and how their beats were cut.

    Raises:
        InputError: there is no such checkpoint, or it is of another network or of beats cut otherwise.
    """
    given = run.run_config.init
    if given is None or (seed_folder is not None and (seed_folder / LAST).is_file()):
        return run
    path = find_checkpoint(given, "--init")
    began = distributed.on_first(lambda: load_checkpoint(path, sequence_len=run.configs.sequence_len))
    its, ours = (asdict(one.configs) | asdict(one.hparams) for one in (began, run))
    for name in ("classes", "context", "variant"):
        if its[name] != ours[name]:
            value, own = (" ".join(part) if isinstance(part, tuple) else part for part in (its[name], ours[name]))
            other = name == "classes" and not {*its[name]} <= {*every_class(run.configs)}
            option = "" if other else f"--{name} {value}, or "
            raise InputError(f"--init {given}: has {name} {value}, this run {own}; give {option}another network")
    require_same_window(path, began.data, run.splits["train"])
    load_weights(model, began, path)
    # Records of the same name may be others where the source is another.
    is_known = began.data.get("source") == run.splits["train"].source
    return replace(
        run,
        learnt_before=frozenset(learnt_records(path, began) if is_known else ()),
        base=given if read_card(path) else base_of(began.data) or given,
        window_before=began.data.get("window") or "unknown",
    )


def best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest selection macro-F1 on validation (`utils.selection_f1`); the first of several."""
    if history[-1]["val_selection_f1"] == NO_SELECTION:
        return len(history)
    return 1 + max(range(len(history)), key=lambda index: (history[index]["val_selection_f1"], -index))


def _write_what_follows(folder: Path, last: Checkpoint) -> None:
    """Write what follows from the last checkpoint: the history and, where its epoch is the best, checkpoint_best.pt."""
    history = last.metrics["history"]
    if best_epoch(history) == last.epoch:
        save_checkpoint(folder / "checkpoint_best.pt", last)
    write_table(folder / "history.csv", pd.DataFrame(history), index=False)
