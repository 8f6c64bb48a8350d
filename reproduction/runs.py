"""The runs behind a row: making its split files, training what is missing, reading what is finished.

Every run has a name that says all that sets it apart, `<row>__<schedule>`, so a second command finds it, finished or
stopped, and goes on with it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import preprocess.__main__ as preparation
from data_configs import get_dataset_class
from dataloader import SPLITS, load_split
from preprocess.kaggle import FILES as KAGGLE_FILES
from reproduction.experiments import Beats, Row
from trainer import RunConfig, Trainer
from utils.errors import InputError

EXPERIMENT = "reproduce"  # the folder of the runs in --save_dir
DAY = re.compile(r"\d{4}-\d\d-\d\d")
RAW_FOLDERS = {"mit": "mitdb", "ptb": "ptbdb"}
RELEASED_FILES = {"ptb": "ptb_released_val.pt"}


class MissingDataError(Exception):
    """The recordings or files of a row are not on this machine; the message says which and how to get them."""


@dataclass(frozen=True)
class Schedule:
    """How long a run trains, on how much, and how its step size moves: rows of different ones are not comparable."""

    num_epochs: int
    step_size: str
    """constant or one_cycle."""
    limit_train: int | None = None
    """Training beats, class-stratified; None for all."""

    @property
    def recipe(self) -> str:
        """The recipe of that step size."""
        return "short" if self.step_size == "one_cycle" else "supervised"

    @property
    def slug(self) -> str:
        """For the name of a run's folder."""
        beats = "" if self.limit_train is None else f"_{self.limit_train}beats"
        return f"{self.step_size}_{self.num_epochs}{beats}"

    def __str__(self) -> str:
        epochs = f"{self.num_epochs} epoch{'s' if self.num_epochs > 1 else ''}"
        step = {"constant": "constant step size", "one_cycle": "one cycle"}[self.step_size]
        beats = "" if self.limit_train is None else f", {self.limit_train:,} training beats"
        return f"{epochs}, {step}{beats}"


@dataclass(frozen=True)
class Options:
    """What `reproduce.py` is told; each field is one of its options."""

    device: str
    schedule: Schedule
    seed_id: int
    num_runs: int
    datasets: tuple[str, ...]
    only_finished: bool
    source: str
    raw_path: Path
    data_path: Path
    save_dir: Path
    results: Path


@dataclass(frozen=True)
class Result:
    """The finished seeds of one row on one schedule."""

    row: Row
    folder: Path
    seeds: tuple[int, ...]
    configs: tuple[dict[str, Any], ...]
    """config.json of each seed."""
    tests: tuple[dict[str, Any], ...]
    """test_best.json of each seed."""
    last_tests: tuple[dict[str, Any], ...]
    """test_last.json of each seed."""

    @property
    def schedule(self) -> Schedule:
        """As the run itself recorded it."""
        hparams = self.configs[0]["hparams"]
        return Schedule(hparams["num_epochs"], hparams["schedule"], self.configs[0]["run"]["limit_train"])

    @property
    def seed_folders(self) -> list[Path]:
        """The folder of each seed."""
        return [self.folder / f"seed_{seed}" for seed in self.seeds]

    @property
    def finished_on(self) -> str:
        """The day of the last line in the log of the last seed, 2024-05-01."""
        lines = (self.seed_folders[-1] / "train.log").read_text(encoding="utf-8").splitlines()
        return next((day.group() for line in reversed(lines) if (day := DAY.match(line))), "")

    def command(self, experiment: str) -> str:
        """What runs this row, and the others of its dataset and schedule."""
        schedule = self.schedule
        words = [experiment, "--dataset", self.row.beats.dataset, "--recipe", schedule.recipe]
        words += ["--num_epochs", str(schedule.num_epochs), "--num_runs", str(len(self.seeds))]
        words += ["--seed_id", str(self.seeds[0])] if self.seeds[0] else []
        words += ["--limit_train", str(schedule.limit_train)] if schedule.limit_train is not None else []
        words += ["--source", "synthetic"] if self.configs[0]["data"]["source"] == "synthetic" else []
        return " ".join(["python reproduce.py", *words])

    def histories(self) -> list[pd.DataFrame]:
        """A table a seed, a row an epoch."""
        return [pd.read_csv(folder / "history.csv") for folder in self.seed_folders]

    def predictions(self) -> list[pd.DataFrame]:
        """A table a seed, a row a test beat."""
        # keep_default_na: a class may be called NA one day, and an empty record is no number
        paths = [folder / "predictions_test.csv" for folder in self.seed_folders]
        return [pd.read_csv(path, keep_default_na=False, dtype={"record": str}) for path in paths]


def row_slug(row: Row, source: str) -> str:
    """What sets a row's runs apart, but for the schedule."""
    beats = row.beats
    synthetic = ["synthetic"] if source == "synthetic" else []
    settings = [f"{name}-{value}" for name, value in row.settings.items()]
    return "_".join([beats.dataset, *synthetic, beats.protocol, beats.window, *settings])


def split_folder(beats: Beats, options: Options) -> Path:
    """The --data_path of a row's split files."""
    synthetic = "synthetic_" if options.source == "synthetic" else ""
    return options.data_path / f"{synthetic}{beats.protocol}_{beats.window}"


def prepare(beats: Beats, options: Options) -> Path:
    """Make the split files of a row unless they are there; return their --data_path.

    Raises:
        MissingDataError: the recordings or files that they are made of are absent.
        InputError: those are there, but cannot be used.
    """
    folder = split_folder(beats, options)
    if all((folder / beats.dataset / f"{name}.pt").is_file() for name in SPLITS):
        return folder
    arguments = ["--dataset", beats.dataset, "--out", str(folder), *_source_arguments(beats, options)]
    if beats.protocol != "beat":
        arguments += ["--split", beats.protocol]
    preparation.prepare(preparation.parse(arguments))
    return folder


def _source_arguments(beats: Beats, options: Options) -> list[str]:
    if beats.cut_by_others:
        if options.source == "synthetic":
            raise MissingDataError("no synthetic counterpart")
        if beats.window == "kaggle_files":
            source, folder = "kaggle", options.raw_path / "kaggle"
            needed = [folder / name for name in KAGGLE_FILES[beats.dataset]]
        else:
            source, folder = "released", options.raw_path / RELEASED_FILES[beats.dataset]
            needed = [folder]
        absent = [str(path) for path in needed if not path.is_file()]
        if absent:
            raise MissingDataError(f"{' and '.join(absent)} not there")
        return ["--source", source, "--raw_path", str(folder)]
    name = RAW_FOLDERS[beats.dataset] if options.source != "synthetic" else f"synthetic_{beats.dataset}"
    folder = options.raw_path / name
    if options.source == "records" and not folder.is_dir():
        raise MissingDataError(f"{folder} not there; --source physionet downloads it")
    return ["--source", options.source, "--raw_path", str(folder), "--window", beats.window]


def train(row: Row, options: Options) -> None:
    """Train and test the seeds of a row that are not finished yet.

    Raises:
        MissingDataError, InputError, TrainingError: as `prepare` and `Trainer.train`.
    """
    run = run_config(row, options, prepare(row.beats, options))
    folder = options.save_dir / EXPERIMENT / run.run_description
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}; --save_dir names a folder that can be") from error
    Trainer(run, folder).train()


def run_config(row: Row, options: Options, data_path: Path) -> RunConfig:
    """The run of a row: its settings on the schedule of `options`, and no more training beats than there are."""
    schedule = options.schedule
    if schedule.limit_train is not None:
        configs = get_dataset_class(row.beats.dataset)()
        if len(load_split(data_path / configs.name / "train.pt", configs)) <= schedule.limit_train:
            schedule = dataclasses.replace(schedule, limit_train=None)
    return RunConfig(
        **{
            "dataset": row.beats.dataset,
            "device": options.device,
            "data_path": str(data_path),
            "save_dir": str(options.save_dir),
            "experiment_description": EXPERIMENT,
            "run_description": f"{row_slug(row, options.source)}__{schedule.slug}",
            "seed_id": options.seed_id,
            "num_runs": options.num_runs,
            "recipe": schedule.recipe,
            "schedule": schedule.step_size,
            "num_epochs": schedule.num_epochs,
            "limit_train": schedule.limit_train,
            **row.settings,
        }
    )


def finished(row: Row, options: Options) -> list[Result]:
    """What is finished of a row, one `Result` a schedule, the longest first."""
    folders = sorted((options.save_dir / EXPERIMENT).glob(f"{row_slug(row, options.source)}__*"))
    results = [result for folder in folders if (result := _read(row, folder)) is not None]
    return sorted(results, key=lambda result: (-result.schedule.num_epochs, str(result.schedule)))


def _read(row: Row, folder: Path) -> Result | None:
    """The finished seeds in `folder`, None if there are none."""
    seeds = []
    for path in folder.glob("seed_*/test_last.json"):  # the last file that a seed writes
        try:
            config = json.loads((path.parent / "config.json").read_text())
            test, last = (json.loads((path.parent / f"test_{kept}.json").read_text()) for kept in ("best", "last"))
            if last["checkpoint_epoch"] == config["hparams"]["num_epochs"]:
                seeds.append((int(config["seed"]), config, test, last))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path.parent}: is damaged or of another version of this package ({error}); move it away"
            ) from error
    if not seeds:
        return None
    numbers, configs, tests, last_tests = zip(*sorted(seeds, key=lambda seed: seed[0]), strict=True)
    # not of the training split, of which --limit_train takes another part for every seed
    if len({config["data"]["fingerprints"]["test"] for config in configs}) > 1:
        raise InputError(f"{folder}: its seeds were tested on different beats; move it away and run it anew")
    return Result(row, folder, numbers, configs, tests, last_tests)
