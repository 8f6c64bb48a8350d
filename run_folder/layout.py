"""Where a run lives, `<save_dir>/<experiment>/<run>/seed_<k>/`, and what one seed of it is."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_configs import DatasetConfig
from hparams import RunConfig, TrainingConfig
from split_file import Split, splits_by_patient
from support.errors import InputError

KEPT = ("best", "last")
"""The two checkpoints of a seed."""

REMEDY = {
    "best": "remove the checkpoint_last.pt beside it, so that --resume trains the seed from its first epoch",
    "last": "copy the checkpoint_best.pt beside it over it, so that --resume goes on after the best epoch, or remove "
    "it, so that it trains the seed from its first epoch",
}
"""What to do about a damaged checkpoint of a run that goes on."""

CHOSEN = {"best": "highest validation macro-F1", "last": "after the last epoch"}
"""Selection (`TrainingConfig.selection`) -> which checkpoint is the one to quote."""

NO_SELECTION = -1.0
"""Stands for the selection macro-F1 where validation chooses no epoch: the last one is then the best."""


def checkpoint_meanings(selection: str) -> dict[str, str]:
    """What each checkpoint in `KEPT` is, in words, under a selection (`TrainingConfig.selection`)."""
    return {"best": f"{CHOSEN[selection]}, the one to quote", "last": "after the last epoch"}


@dataclass(frozen=True)
class SeedRun:
    """One seed of a run: its settings, its beats, and the network that it starts from."""

    run_config: RunConfig
    seed: int
    configs: DatasetConfig
    hparams: TrainingConfig
    device: torch.device
    splits: dict[str, Split]
    """train, val and test, as the split files have them."""
    trained_on: Split
    """What the network learns from: the training split; with SMOTE also the beats that it makes, and where the last
    epoch is kept, those of validation."""
    class_weights: Tensor
    """(C,), those of the loss."""
    learnt_before: frozenset[str] = frozenset()
    """The records of the same source that the network of `--init` was trained on, as far as they are known."""
    base: str | None = None
    """That network; where it has no card and was fine-tuned itself, the one at the root of its fine-tunings."""
    window_before: str = "unknown"
    """How the beats that it was trained on were cut. Not read again for a run that goes on: its log has the note."""

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """A hash of each split: a run goes on with the beats that it began with, or not at all."""
        return {name: split.fingerprint() for name, split in self.splits.items()}

    @cached_property
    def training_fingerprint(self) -> str:
        """A hash of `trained_on`: of no split file where SMOTE adds beats or validation is trained on too."""
        if self.trained_on is self.splits["train"]:
            return self.fingerprints["train"]
        return self.trained_on.fingerprint()

    @cached_property
    def place_fingerprints(self) -> dict[str, str]:
        """A hash of where the beats of each split are from: sequences and the tables of records follow from it."""
        return {name: split.place_fingerprint() for name, split in self.splits.items()}

    @property
    def data(self) -> dict[str, Any]:
        """Where the beats come from and how they were cut and split, for config.json and the checkpoint."""
        learnt = [self.trained_on]
        if self.trained_on.records is None:  # SMOTE's beats are of no record; those that it makes them of are
            learnt = [self.splits[name] for name in self.hparams.learnt_splits]
        names = dict.fromkeys(name for split in learnt for _, name in split.its_records)
        begins: dict[str, Any] = {}
        if self.run_config.init is not None:
            tested = {name for _, name in self.splits["test"].its_records}
            begins = {
                "init": self.run_config.init,
                "init_base": self.base or self.run_config.init,
                "init_records": sorted(self.learnt_before),
                "init_tested": sorted(self.learnt_before & tested),
            }
        return self.splits["train"].provenance() | {
            "fingerprints": self.fingerprints,
            "places": self.place_fingerprints,
            "training_fingerprint": self.training_fingerprint,
            "training_records": list(names | dict.fromkeys(sorted(self.learnt_before))),
            **begins,
        }


def tests_new_patients(protocol: str, trained_on: dict[str, Any]) -> bool | None:
    """Whether a network's training was split by patient from its run's test; None: nobody knows.

    Args:
        protocol: of the test.
        trained_on: what the run says of its beats (`SeedRun.data`), and of the network that it started from.
    """
    if trained_on.get("init_tested"):
        return False
    by_patient = splits_by_patient(protocol)
    unknown = "init" in trained_on and not trained_on.get("init_records")
    return None if by_patient and unknown else by_patient


def new_run_folder(save_dir: Path, experiment: str, run: str | None) -> Path:
    """Make and return `save_dir/experiment/run`; `run` defaults to the date and time.

    A folder that exists is never written into: the name gets -2, -3, ... so that runs started together do not
    overwrite one another.

    Raises:
        InputError: the folder cannot be made.
    """
    name = run or time.strftime("%Y-%m-%d_%H-%M-%S")
    parent = save_dir / experiment
    folder, attempt = parent / name, 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                attempt += 1
                folder = parent / f"{name}-{attempt}"
    except OSError as error:
        raise InputError(
            f"{parent}: cannot be written ({error.strerror}); name another folder with --save_dir"
        ) from error


def make_seed_folder(folder: Path) -> Path:
    """Make a seed's folder with a log to write to, and clear what a killed run left half-written; return it.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.rglob(".*.part*"):  # a run that was killed while it wrote
            leftover.unlink()
        (folder / "train.log").open("a").close()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
    return folder


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and threads that a run depends on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": importlib.metadata.version("scikit-learn"),
        "pandas": pd.__version__,
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """The CPU's name where the system tells it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
