"""`python -m reproduce.pretrained RUN_FOLDER NAME`: keep a trained network in pretrained/, with a card of its figures.

The weights alone become NAME.pt. The card, NAME.json for programs and NAME.md for readers, is made of what the run
wrote: what it was trained and tested on, how, and what came out, and what the network must not be used for.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_configs import DatasetConfig
from dataloader import load_splits
from ec57.figures import has_figures, per_record
from ec57.headers import millivolts_of
from hparams import LEARNT, RunConfig
from preprocess.databases import SAME_SUBJECT
from preprocess.physionet import first_minute
from preprocess.readers import open_recording
from preprocess.records import read_header
from reproduce.pages import cell, groups_lines, markdown
from reproduce.runs import read_predictions, tested_on
from reproduce.tables import ec57_of, groups_table, learnt_counts
from run_folder.layout import tests_new_patients
from run_folder.network import base_card
from run_folder.reports import FIGURES, metrics_table
from run_folder.resume import as_it_ran, tests_if_finished
from support.cli import ArgumentParser
from support.errors import InputError, count_of, run_command
from support.files import read_json, write_json, write_text
from utils import PRETRAINED, find_checkpoint, load_checkpoint, save_checkpoint, seed_folders

FACTS = ("trained_on", "tested_on", "window", "recipe", "command", "machine", "licence")
NOT_OF_THE_NETWORK = {
    *("dataset", "device", "data_path", "save_dir", "experiment_description", "run_description"),
    *("umap", "tensorboard"),
}
FEW, FEW_BEATS = 0.01, 100
"""Share of the training beats, and number of them, below which a class rests on few."""

ALWAYS = "Not for clinical use: not cleared by any regulator."
CAUTIONS = {
    "synthetic": "Not for real patients: it was trained and tested on synthetic ones, and its figures show that the "
    "programs work, no more.",
    "beat": "Not for new patients: it was tested on beats of the patients that it was trained on, and its figures do "
    "not hold for anybody else (results/inter_patient.md).",
    "mit": "It reads lead II (or a lead like it) and classifies beats: it finds no non-conducted P waves, no "
    "conduction block and no ST changes.",
    "ptb": "It tells infarction from normal by one beat of lead II, in records of people who were either healthy or in "
    "hospital for an infarction: it has never seen any other disease, or any other lead.",
}
SEES_CONTEXT = (
    "It sees the record around a beat (data/README.md, Context): it needs the whole record, with up to fifty beats to "
    "come, and is not for beat-by-beat use.",
    "It compares a beat with the usual beat of its own recording: where most beats are ventricular or paced, it calls "
    "those N.",
)
LICENCES = {"physionet": "weights: as this package; data: ODC-BY 1.0 (PhysioNet), cite as in the README"}


def keep_weights(checkpoint_path: Path, path: Path) -> None:
    """Write what is needed to use a checkpoint, and nothing of its training, to `path`.

    The optimiser, the generators and the history stay behind; configuration, class weights and the origin of the
    training beats are kept.

    Raises:
        InputError: no checkpoint.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    metrics = {key: value for key, value in checkpoint.metrics.items() if key in ("class_weights", "data")}
    save_checkpoint(path, dataclasses.replace(checkpoint, optimizer={}, rng={}, metrics=metrics))


def _free_path(name: str, folder: Path) -> Path:
    """Where the weights of a network called `name` are kept; an `InputError` where that is not a name, or taken."""
    if not name.replace("_", "").isalnum():
        raise InputError(f"{name}: a name of letters, digits and _ is needed, such as mit_new_patients")
    path = folder / f"{name}.pt"
    if path.exists():
        raise InputError(f"{path} is there: take another name, or move it and its card away")
    return path


def make_card(
    seed_folder: Path, test: dict[str, Any], predictions: pd.DataFrame, name: str, raw_path: Path
) -> dict[str, Any]:
    """What the finished seed in `seed_folder` says of its network, as NAME.json holds it.

    Args:
        test: its test_best.json.
        predictions: one row per test beat.
        name: of the network.
        raw_path: as `training_records` takes it.

    Raises:
        InputError: its split files are not there any more.
    """
    stages = as_it_ran(read_json(seed_folder / "config.json"))
    config, configs = stages[-1], load_checkpoint(seed_folder / "checkpoint_best.pt").configs
    arithmetic = " and ".join(dict.fromkeys(stage["hparams"]["precision"] for stage in stages))
    data, counts, classes = config["data"], config["counts"], test["classes"]
    new_patients = tests_new_patients(data["protocol"], data)
    records = predictions["record"].nunique() if "record" in predictions else 0
    of_mitdb = "mitdb" in test["data"].get("databases", ())
    but = same_patients(predictions["record"], data) if records and new_patients and of_mitdb else ""
    of_records = f" of {count_of(records, 'record')}{but}" if records else ""
    environment, hparams = config["environment"], config["hparams"]
    validation_too, made = "val" in LEARNT[hparams["selection"]], hparams["sampler"] == "smote"
    also = ["those of validation too"] * validation_too + ["those that SMOTE made among them"] * made
    also += [f"fine-tuned from {config['run']['init']}"] if config["run"].get("init") else []
    epochs = count_of(hparams["num_epochs"], "epoch")
    return {
        "name": name,
        "dataset": config["dataset"]["name"],
        "trained_on": f"{learnt_counts(config)['all']:,} beats of --dataset {config['dataset']['name']}, "
        f"{data['source']} data, {data['protocol']} split{'; '.join(['', *also])}",
        "training_records_are": "hashes of the first minute of each lead (preprocess.physionet.first_minute)",
        "training_records": training_records(config, configs, raw_path),
        "tested_on": f"{counts['test']['all']:,} beats" + of_records,
        "new_patients": new_patients,
        "protocol": data["protocol"],
        "window": data["window"].replace(" of the lead in `leads`", ""),  # which is in the split file, not here
        "recipe": f"{hparams['recipe']}, {epochs}, seed {config['seed']}; epoch {test['checkpoint_epoch']} kept"
        + (f"; arithmetic {arithmetic}" if arithmetic != "fp32" else ""),
        "command": command_of(config),
        "machine": f"{environment['device_name']}, torch {environment['torch']}, {tested_on(seed_folder)}",
        "parameters": config["parameters"],
        "accuracy": round(100 * test["accuracy"], 2),
        "macro_f1": round(100 * test["macro_f1"], 2),
        "per_class_is": "sensitivity (recall) and plain precision, percent: of all beats called so, those that are",
        "per_class": {one: per_class_of(test["confusion_matrix"], at) for at, one in enumerate(classes)},
        **(standard_of(test) if new_patients and has_figures(classes) else {}),
        "confusion_matrix": test["confusion_matrix"],
        "per_record": {record: matrix.tolist() for record, matrix in per_record(predictions, classes).items()}
        if records
        else {},
        "classes": classes,
        "cautions": cautions_of(config, classes),
        "licence": LICENCES.get(data["source"], "weights: as this package; data: theirs"),
        "test_fingerprint": data["fingerprints"]["test"],
    }


def same_patients(tested: Iterable[str], data: dict[str, Any]) -> str:
    """Which `tested` records are of a patient of another record that the network learnt from, in words; "": none.

    Args:
        tested: records of mitdb, with `mitdb/` before the name or without, and maybe of other databases.
        data: of the run's config.json.
    """
    learnt = {*data.get("training_records", ()), *data.get("init_records", ())}
    of_mitdb = [{name.removeprefix("mitdb/") for name in names} for names in (tested, learnt)]
    return "".join(
        f", of which {record} is from the same patient as training record {other}"
        for record, other in SAME_SUBJECT.items()
        if record in of_mitdb[0] and other in of_mitdb[1]
    )


def cautions_of(config: dict[str, Any], classes: Sequence[str]) -> list[str]:
    """What the network of a run's config.json must not be used for."""
    kinds = (config["data"]["source"], config["data"]["protocol"], config["dataset"]["name"])
    cautions = [ALWAYS, *(CAUTIONS[kind] for kind in kinds if kind in CAUTIONS)]
    cautions += SEES_CONTEXT if config["dataset"]["context"] != "none" else ()
    learnt = learnt_counts(config)
    few = [f"{one} ({learnt[one]:,})" for one in classes if learnt[one] < max(FEW * learnt["all"], FEW_BEATS)]
    if few:
        cautions.append(f"It was trained on few beats of class {', '.join(few)}.")
    if init := config["run"].get("init"):
        cautions.append(f"It was fine-tuned from {init}: what that network learnt from, this one has seen too.")
    return cautions


def per_class_of(matrix: Sequence[Sequence[int]], at: int) -> dict[str, Any]:
    """Sensitivity and precision of a class in percent, None where nothing is counted, and its test beats."""
    counts = np.asarray(matrix)
    beats, called, right = int(counts[at].sum()), int(counts[:, at].sum()), int(counts[at, at])
    return {
        "sensitivity": round(100 * right / beats, 2) if beats else None,
        "precision": round(100 * right / called, 2) if called else None,
        "beats": beats,
    }


def standard_of(test: dict[str, Any]) -> dict[str, Any]:
    """S and V of a test by ANSI/AAMI EC57, for the card; None where nothing is counted."""
    return {
        "ec57_is": "sensitivity and positive predictivity of ANSI/AAMI EC57, percent: F and Q called V and Q called S "
        "are not charged",
        "ec57": {
            one: {
                figure: None if math.isnan(row[key][0]) else round(row[key][0], 2)
                for figure, key in {"sensitivity": "se", "predictivity": "ppv"}.items()
            }
            for one, row in ec57_of([test]).items()
        },
    }


def training_records(config: dict[str, Any], configs: DatasetConfig, raw_path: Path) -> dict[str, dict[str, list[str]]]:
    """How the report knows the records again that the network of a run's config.json learnt from.

    Args:
        config: its `data_path` must still hold the split files of the run.
        configs: of the network.
        raw_path: holds a folder of records for each database.

    Returns:
        Database -> record -> the hash of the first minute of each of its leads; without records that are not there.
        Of the network of `--init` the run knows the records by name alone, so one is that of the only database there
        that has the name.

    Raises:
        InputError: the split files, or records that are there, cannot be read.
    """
    of_beats = dataclasses.replace(configs, context="none")  # which any split file has
    learnt = LEARNT[config["hparams"]["selection"]]
    found: dict[str, dict[str, list[str]]] = base_card(config["data"]).get("training_records", {})
    splits = load_splits(config["run"]["data_path"], of_beats, learnt).values()
    its_records = {record: None for split in splits for record in split.its_records}
    known = {name for records in found.values() for name in records} | {name for _, name in its_records}
    for name in sorted({*config["data"].get("init_records", ())} - known):
        having = [folder.name for folder in raw_path.glob("*/") if (folder / f"{name}.hea").is_file()]
        if len(having) == 1:
            its_records[having[0], name] = None
    for database, name in its_records:
        folder = raw_path / database
        if database and (folder / f"{name}.hea").is_file():
            found.setdefault(database, {})[name] = _first_minutes(folder, name)
    return found


def _first_minutes(folder: Path, name: str) -> list[str]:
    """`first_minute` of each lead of a record, as a report reads it."""
    hashes = []
    for number, signal in enumerate(read_header(folder, name).signals, start=1):
        if millivolts_of(signal.units) is not None:
            with open_recording(folder / name, lead=str(number)) as recording:
                hashes.append(first_minute(recording.read, recording.fs))
    return hashes


def command_of(config: dict[str, Any]) -> str:
    """The `main.py` command that trains the network of a run's config.json once more, on split files like its own."""
    default = RunConfig()
    options = {
        name: value
        for name, value in config["run"].items()
        if name not in NOT_OF_THE_NETWORK and value != getattr(default, name, None)
    }
    words = [
        shlex.join([f"--{name}", *map(str, value if isinstance(value, list) else [value])])
        for name, value in options.items()
    ]
    return " ".join(["python main.py --dataset", config["dataset"]["name"], *words, "--data_path DIR"])


def card_page(card: dict[str, Any], test: dict[str, Any], predictions: pd.DataFrame) -> str:
    """The card of a network for readers, in Markdown.

    Args:
        card: of `make_card`.
        test: test_best.json of the seed.
        predictions: one row per test beat.
    """
    lines = [
        f"# {card['name']}",
        "",
        f"ECGTransForm for `--dataset {card['dataset']}`. **Research only, not for clinical use.** "
        f"`python main.py --dataset {card['dataset']} --test {card['name']}` takes it by this name and, where its "
        f"beats were cut with `--window centred`, `python -m report --checkpoint {card['name']}` too; "
        f"{card['parameters']:,} parameters, weights only, float32.",
        "",
        *markdown(["", ""], [[fact.replace("_", " "), card[fact]] for fact in FACTS]),
        "",
        f"Percent, of the test beats; accuracy {card['accuracy']:.2f}, macro-F1 {card['macro_f1']:.2f}:",
        "",
    ]
    table = metrics_table(test)
    rows = [[figure, *(cell(table.loc[figure, name]) for name in table.columns)] for figure in FIGURES]
    rows.append(["beats", *(f"{int(beats):,}" for beats in table.loc["support"])])
    lines += markdown(["", *table.columns], rows)
    if "ec57" in card:
        lines += ["", "The same test by ANSI/AAMI EC57:", ""]
        lines += groups_lines(groups_table([predictions], card["classes"]))
    lines += ["", "Limits:", "", *(f"- {caution}" for caution in card["cautions"])]
    return "\n".join([*lines, ""])


def keep_network(run_folder: Path, name: str, raw_path: Path, folder: Path = PRETRAINED) -> Path:
    """Write the weights of a finished run, its best checkpoint, and their card to `folder`; return the weights' path.

    Args:
        run_folder: of the run, or of one of its seeds.
        name: that `--test` and the report know the network by.
        raw_path: holds a folder of records for each database.
        folder: for NAME.pt, NAME.json and NAME.md.

    Raises:
        InputError: as `make_card`, `run_folder` is not a folder or has several seeds, its run is not finished, or
            `name` is none for a file, or that of another network.
    """
    if not run_folder.is_dir():
        raise InputError(f"{run_folder}: no such folder; give that of a finished run, whose tests the card quotes")
    if len(seeds := seed_folders(run_folder)) > 1:
        raise InputError(f"{run_folder}: has {len(seeds)} seeds; give the folder of one, such as {seeds[0]}")
    checkpoint_path = find_checkpoint(run_folder)
    seed_folder = checkpoint_path.parent
    tests = tests_if_finished(seed_folder)
    if tests is None:
        raise InputError(
            f"{seed_folder}: its run is not finished; go on with `python main.py --resume "
            f"{shlex.quote(str(seed_folder.parent))}`"
        )
    path = _free_path(name, folder)
    test = tests["best"]
    predictions = read_predictions(seed_folder / "predictions_test.csv")
    card = make_card(seed_folder, test, predictions, name, raw_path)
    page = card_page(card, test, predictions)
    write_json(path.with_suffix(".json"), card)
    write_text(path.with_suffix(".md"), page)
    keep_weights(checkpoint_path, path)  # last: weights never stand beside another network's card
    return path


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for.

    Raises:
        InputError: as `keep_network`.
    """
    parser = ArgumentParser(prog="python -m reproduce.pretrained", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument(
        "run_folder", metavar="RUN_FOLDER", type=Path, help="folder of a finished run, or of one of its seeds"
    )
    parser.add_argument("name", metavar="NAME", help="name that --test and the report know it by")
    parser.add_argument(
        "--raw_path",
        metavar="DIR",
        type=Path,
        default=Path("data/raw"),
        help="folder of the databases; the card gets a hash of each training record found there, by which a report "
        "recognises the record and warns (default: data/raw)",
    )
    given = parser.parse_args(arguments)
    path = keep_network(given.run_folder, given.name, given.raw_path)
    print(f"written {path}, {path.stat().st_size / 1e6:.2f} MB, and its card {path.with_suffix('.md')}")


if __name__ == "__main__":
    sys.exit(run_command(run))
