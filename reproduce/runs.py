"""The runs behind a row: making its split files, training what is missing, reading what is finished.

Every run has a name that says all that sets it apart, `<row>__<schedule>`, so a second command finds it, finished or
stopped, and goes on with it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_configs import get_dataset_class
from hparams import RunConfig, get_hparams_class
from preprocess.__main__ import prepare as prepare_splits
from preprocess.config import RAW_PATHS, PreparationConfig
from reproduce.experiments import Beats, Row
from run_folder.resume import changed_settings, tests_at
from split_file import SPLITS, load_split
from support.errors import InputError, count_of
from support.files import read_json, read_table, write_json
from trainer import Trainer
from utils import seed_folders

EXPERIMENT = "reproduce"  # the folder of the runs in --save_dir
TESTED = re.compile(r"^(\d{4}-\d\d-\d\d) .*test of the last checkpoint", re.MULTILINE)
RELEASED_FILES = {"ptb": "ptb_released_val.pt"}


class MissingDataError(Exception):
    """The recordings or files of a row are not on this machine; the message says which and how to get them."""


@dataclass(frozen=True)
class Schedule:
    """How long a run trains, on how much, and at what learning rate: rows of different schedules are not comparable."""

    num_epochs: int
    rate_schedule: str
    """constant or one_cycle (`TrainingConfig.schedule`)."""
    limit_train: int | None = None
    """Training beats, class-stratified; None for all."""

    @property
    def recipe(self) -> str:
        """The recipe with that schedule of the learning rate."""
        return "short" if self.rate_schedule == "one_cycle" else "supervised"

    @property
    def rank(self) -> tuple[float, ...]:
        """A sort key: schedules on all training beats first, then by beats and by epochs, the most first."""
        return (-float("inf") if self.limit_train is None else -self.limit_train, -self.num_epochs)

    @property
    def slug(self) -> str:
        """For the name of a run's folder."""
        beats = "" if self.limit_train is None else f"_{self.limit_train}beats"
        return f"{self.rate_schedule}_{self.num_epochs}{beats}"

    @classmethod
    def of_slug(cls, slug: str) -> Schedule | None:
        """The schedule of that slug, None where it is none."""
        found = re.fullmatch(r"(constant|one_cycle)_(\d+)(?:_(\d+)beats)?", slug)
        if found is None:
            return None
        rate_schedule, epochs, beats = found.groups()
        return cls(int(epochs), rate_schedule, None if beats is None else int(beats))

    def __str__(self) -> str:
        rate = {"constant": "constant learning rate", "one_cycle": "one cycle"}[self.rate_schedule]
        beats = "" if self.limit_train is None else f", {self.limit_train:,} training beats"
        return f"{count_of(self.num_epochs, 'epoch')}, {rate}{beats}"


@dataclass(frozen=True)
class Options:
    """The options of `python -m reproduce`, by their names."""

    device: str
    precision: str | None
    """Of the matrix products, None: the recipe's; like the device it sets no runs apart."""
    recipe: str | None
    """supervised or short, for its schedule; None: by the device, or that of the row (`schedule_of`)."""
    num_epochs: int | None
    limit_train: int | None
    seed_id: int
    num_runs: int
    datasets: tuple[str, ...]
    rows: tuple[int, ...]
    only_finished: bool
    source: str
    raw_path: Path
    data_path: Path
    save_dir: Path
    results: Path

    def schedule_of(self, row: Row) -> Schedule:
        """How long a row trains, and at what learning rate.

        A recipe that keeps the last epoch (`new_patients`) has a schedule that ends at its best, which it keeps where
        no other is asked for.
        """
        recipe = get_hparams_class(self.recipe or ("short" if self.device == "cpu" else "supervised"))()
        own = get_hparams_class(row.settings.get("recipe", recipe.recipe))()
        if self.recipe is None and own.selection == "last":
            recipe = own
        return Schedule(self.num_epochs or recipe.num_epochs, recipe.schedule, self.limit_train)


@dataclass(frozen=True)
class Result:
    """The finished seeds of one row on one schedule."""

    row: Row
    schedule: Schedule
    folder: Path
    seeds: tuple[int, ...]
    configs: tuple[dict[str, Any], ...]
    """config.json of each seed."""
    tests: tuple[dict[str, Any], ...]
    """test_best.json of each seed."""
    last_tests: tuple[dict[str, Any], ...]
    """test_last.json of each seed."""

    @property
    def seed_folders(self) -> list[Path]:
        """The folder of each seed."""
        return [self.folder / f"seed_{seed}" for seed in self.seeds]

    @property
    def finished_on(self) -> str:
        """The days on which the seeds were tested, 2024-05-01."""
        return " and ".join(sorted({tested_on(folder) for folder in self.seed_folders}))

    def commands(self, experiment: str, number: int) -> list[str]:
        """What runs this row, the `number`-th of `experiment`: one command for each block of seeds.

        A block is of seeds that follow one another and ran on one device in one precision.
        """
        blocks: list[tuple[list[int], str]] = []
        for seed, config in zip(self.seeds, self.configs, strict=True):
            words = self._command(config, experiment, number)
            if blocks and (blocks[-1][0][-1] + 1, blocks[-1][1]) == (seed, words):
                blocks[-1][0].append(seed)
            else:
                blocks.append(([seed], words))
        return [
            " ".join([words, "--num_runs", str(len(block)), *(["--seed_id", str(block[0])] if block[0] else [])])
            for block, words in blocks
        ]

    def _command(self, config: dict[str, Any], experiment: str, number: int) -> str:
        """What runs a seed with `config` of this row, but for which seed it is."""
        schedule, device, precision = self.schedule, config["run"]["device"], config["hparams"]["precision"]
        words = ["python -m reproduce", experiment, "--row", str(number)]
        words += ["--device", device] if device != RunConfig().device else []
        words += ["--recipe", schedule.recipe, "--num_epochs", str(schedule.num_epochs)]
        words += ["--limit_train", str(schedule.limit_train)] if schedule.limit_train is not None else []
        words += ["--precision", precision] if precision != "fp32" else []
        words += ["--source", "synthetic"] if config["data"]["source"] == "synthetic" else []
        return " ".join(words)

    def histories(self) -> list[pd.DataFrame]:
        """One table per seed, one row per epoch."""
        return [read_table(folder / "history.csv") for folder in self.seed_folders]

    def predictions(self) -> list[pd.DataFrame]:
        """One table per seed, one row per test beat."""
        return [read_predictions(folder / "predictions_test.csv") for folder in self.seed_folders]


def tested_on(seed_folder: Path) -> str:
    """The day on which a seed was tested, 2024-05-01; empty where its log does not say."""
    days = TESTED.findall((seed_folder / "train.log").read_text(encoding="utf-8"))
    return days[-1] if days else ""


def read_predictions(path: Path) -> pd.DataFrame:
    """Read the predictions_test.csv of a seed: one row per test beat."""
    # A class or a record may have a name that pandas takes for a missing value, or for a number.
    return read_table(path, keep_default_na=False, dtype=dict.fromkeys(("record", "label", "prediction"), str))


def row_slug(row: Row, source: str) -> str:
    """What sets a row's runs apart, but for the schedule."""
    beats = row.beats
    synthetic = ["synthetic"] if source == "synthetic" else []
    settings = [f"{name}-{value}" for name, value in row.settings.items()]
    return "_".join([beats.dataset, *beats.databases, *synthetic, beats.protocol, beats.window, *settings])


def split_folder(beats: Beats, options: Options) -> Path:
    """The --data_path of a row's split files."""
    synthetic = "synthetic_" if options.source == "synthetic" else ""
    databases = "".join(f"{slug}_" for slug in beats.databases)
    return options.data_path / f"{databases}{synthetic}{beats.protocol}_{beats.window}"


def prepare(beats: Beats, options: Options) -> Path:
    """Make the split files of a row unless they are there; return their --data_path.

    Beside them is kept what they were made of, the names and sizes of the files.

    Raises:
        MissingDataError: the recordings or files that they are made of are absent, and so are they.
        InputError: those are there, but cannot be used, or are others than the split files were made of.
    """
    folder = split_folder(beats, options)
    made_of = folder / beats.dataset / "made_of.json"
    there = all((folder / beats.dataset / f"{name}.pt").is_file() for name in SPLITS)
    source, path = _source_of(beats, options)
    # Synthetic patients are written by the preparation itself.
    files = _files_in(path, beats.databases) if source != "synthetic" or there else {}
    if there:
        if files and made_of.is_file() and _that_are_read(read_json(made_of)) != files:
            raise InputError(
                f"{folder / beats.dataset}: its split files were made of other recordings than {path} holds now; move "
                "them away, with the runs on them, to make new ones"
            )
        return folder
    if not files and source not in ("physionet", "synthetic"):
        remedy = "; --source physionet downloads it" if source == "records" else ""
        raise MissingDataError(f"no {' and '.join(beats.databases) or path.name}{remedy}")
    prepare_splits(
        PreparationConfig(
            dataset=beats.dataset,
            source=source,
            database=",".join(beats.databases) or None,
            raw_path=path,
            out=folder,
            split=beats.protocol,
            window=None if beats.cut_by_others else beats.window,
        )
    )
    write_json(made_of, _files_in(path, beats.databases))
    return folder


def _source_of(beats: Beats, options: Options) -> tuple[str, Path]:
    """The --source of a row for `preprocess`, and its --raw_path."""
    if options.source == "synthetic" and (beats.databases or beats.cut_by_others):
        raise MissingDataError("no synthetic counterpart")
    if beats.databases:
        return options.source, options.raw_path
    if beats.window == "kaggle_files":
        return "kaggle", options.raw_path / "kaggle"
    if beats.window == "released_file":
        return "released", options.raw_path / RELEASED_FILES[beats.dataset]
    return options.source, options.raw_path / Path(RAW_PATHS[options.source][beats.dataset]).name


def _files_in(path: Path, folders: Sequence[str] = ()) -> dict[str, int]:
    """Name -> bytes of the file `path`, or of all files in that folder; nothing where there is neither.

    With `folders` those of the folder that are in these, and nothing where one of them is absent.
    """
    if folders:
        each = [_files_in(path / name) for name in folders]
        return {name: size for files in each for name, size in files.items()} if all(each) else {}
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return _that_are_read({file.relative_to(path.parent).as_posix(): file.stat().st_size for file in sorted(files)})


def _that_are_read(files: dict[str, int]) -> dict[str, int]:
    """Of the files of recordings those that split files are made of: a record's own, tables and tensors.

    A record's are called as its header is. What else lies there, such as PhysioNet's checksums, changes no beat.
    """
    records = {name.removesuffix(".hea") for name in files if name.endswith(".hea")}

    def is_read(name: str) -> bool:
        return name.endswith((".csv", ".pt", "/RECORDS")) or name.rpartition(".")[0] in records

    return {name: size for name, size in files.items() if is_read(name)}


def train(row: Row, options: Options) -> None:
    """Train and test the seeds of a row that are not finished yet.

    Raises:
        MissingDataError, InputError, TrainingError: as `prepare` and `Trainer.train`.
    """
    run = run_config(row, options, prepare(row.beats, options))
    assert run.run_description is not None  # `run_config` names every run
    Trainer(run, options.save_dir / EXPERIMENT / run.run_description).train()


def run_config(row: Row, options: Options, data_path: Path) -> RunConfig:
    """The run of a row: its settings, the schedule of `options`, and no more training beats than there are."""
    schedule = options.schedule_of(row)
    if schedule.limit_train is not None:
        configs = get_dataset_class(row.beats.dataset)()
        recipe = get_hparams_class(row.settings.get("recipe", schedule.recipe))()
        files = (data_path / configs.name / f"{name}.pt" for name in recipe.learnt_splits)
        beats = sum(len(load_split(path, configs)) for path in files)
        if beats <= schedule.limit_train:
            schedule = dataclasses.replace(schedule, limit_train=None)
    settings: dict[str, Any] = {
        "dataset": row.beats.dataset,
        "device": options.device,
        "data_path": str(data_path),
        "save_dir": str(options.save_dir),
        "experiment_description": EXPERIMENT,
        "run_description": f"{row_slug(row, options.source)}__{schedule.slug}",
        "seed_id": options.seed_id,
        "num_runs": options.num_runs,
        "recipe": schedule.recipe,
        "schedule": schedule.rate_schedule,
        "num_epochs": schedule.num_epochs,
        "limit_train": schedule.limit_train,
        "precision": options.precision,
        **row.settings,
    }
    return RunConfig(**settings)


def finished(row: Row, options: Options) -> list[Result]:
    """What is finished of a row, one `Result` per schedule: first those on all training beats, the longest before.

    Raises:
        InputError: a file of a run is damaged, or its seeds do not belong in one row.
    """
    prefix = f"{row_slug(row, options.source)}__"
    results = []
    for folder in sorted((options.save_dir / EXPERIMENT).glob(f"{prefix}*")):
        schedule = Schedule.of_slug(folder.name.removeprefix(prefix))
        if schedule is not None and (result := _read(row, schedule, folder)) is not None:
            results.append(result)
    return sorted(results, key=lambda result: result.schedule.rank)


def _read(row: Row, schedule: Schedule, folder: Path) -> Result | None:
    """The finished seeds in `folder`, None if there are none.

    Raises:
        InputError: a file is damaged, or the seeds do not belong in one row.
    """
    seeds = []
    for seed_folder in seed_folders(folder):
        tests = tests_at(seed_folder, schedule.num_epochs)
        if tests is None:
            continue
        config = read_json(seed_folder / "config.json")
        try:
            hparams, limit = config["hparams"], config["run"]["limit_train"]
            if Schedule(hparams["num_epochs"], hparams["schedule"], limit) != schedule:
                raise InputError(f"{seed_folder}: was not trained as the name of the run says; move it away")
            if config["data"]["fingerprints"]["test"]:  # which a page needs of a seed
                seeds.append((int(config["seed"]), config, tests["best"], tests["last"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{seed_folder}: is damaged or of another version of this package ({error!r}); move it away"
            ) from error
    if not seeds:
        return None
    numbers, configs, best, last = zip(*sorted(seeds, key=lambda seed: seed[0]), strict=True)
    for config in configs[1:]:
        # Not the training beats: of those, --limit_train takes another part for every seed.
        same_test = config["data"]["fingerprints"]["test"] == configs[0]["data"]["fingerprints"]["test"]
        if not same_test or changed_settings(configs[0]["hparams"], config["hparams"]):
            raise InputError(f"{folder}: its seeds differ in their beats or settings; move it away and run it again")
    return Result(row, schedule, folder, numbers, configs, best, last)
