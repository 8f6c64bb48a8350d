"""What a run says and writes: its configuration, a line and a row per epoch, its tests, the summary over its seeds."""

from __future__ import annotations

import filecmp
import itertools
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_configs import DatasetConfig
from ec57.figures import ec57_figures, has_figures
from hparams import RunConfig
from models import BiTrans, ecgTransForm
from run_folder import pictures
from run_folder.layout import KEPT, NO_SELECTION, SeedRun, environment
from run_folder.network import learnt_records
from run_folder.resume import best_epoch, resumptions, tests_at
from split_file import SPLITS, Split, splits_by_patient
from support import distributed
from support.files import read_json, write_json, write_table
from utils import SELECTION_BEATS, Checkpoint, copy_code, seed_folders, selection_classes, selection_f1

FIGURES = ("precision", "recall", "f1")
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
HASHES = frozenset({"fingerprints", "places", "training_fingerprint"})
OF_CONTEXT = frozenset({"rhythm_classes", "rhythm_features", "morphology_features", "heads"})
"""Settings that a network without context does not look at."""


def headline(metrics: dict[str, Any]) -> str:
    """The two figures that sum a test up, in percent."""
    return f"accuracy {100 * metrics['accuracy']:.2f} %, macro-F1 {100 * metrics['macro_f1']:.2f} %"


def metrics_table(metrics: dict[str, Any]) -> pd.DataFrame:
    """The figures in percent in the shape of Table 2: rows precision, recall, F1, support; columns classes, macro.

    A class without a beat in the split has no figures and no part in the macro ones.
    """
    table = pd.DataFrame(
        {
            name: {**{key: 100 * row[key] if row["support"] else np.nan for key in FIGURES}, "support": row["support"]}
            for name, row in metrics["per_class"].items()
        }
    )
    table["macro"] = [*(100 * metrics[f"macro_{key}"] for key in FIGURES), table.loc["support"].sum()]
    table.index.name = "percent"
    return table


def summary_table(runs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Mean and sample standard deviation in percent over the test metrics of several runs (paper Table 2).

    Rows precision, recall, f1 and accuracy (under `macro`); for each class and `macro` a column and its `_sd`.
    The standard deviation of one run is not known and left empty.
    """
    tables = [metrics_table(metrics).drop(index="support") for metrics in runs]
    stacked = np.full((len(runs), len(FIGURES) + 1, len(tables[0].columns)), np.nan)
    for values, table, metrics in zip(stacked, tables, runs, strict=True):
        values[:-1], values[-1, -1] = table, 100 * metrics["accuracy"]
    spread = stacked.std(axis=0, ddof=1) if len(runs) > 1 else np.full(stacked.shape[1:], np.nan)
    index = pd.Index([*FIGURES, "accuracy"], name=tables[0].index.name)
    columns = [column for name in tables[0].columns for column in (name, f"{name}_sd")]
    pairs = np.stack([stacked.mean(axis=0), spread], axis=2)  # (figures, classes and macro, mean and sd)
    return pd.DataFrame(pairs.reshape(len(index), -1), index, columns)  # each mean with its sd after it


def ec57_part(metrics: dict[str, Any]) -> dict[str, dict[str, dict[str, float | None]]]:
    """`ec57`: the figures of S and V (`ec57.figures.ec57_figures`) in a test on new patients; else nothing.

    They are fractions of 1, None where nothing is counted.
    """
    if not splits_by_patient(metrics["data"]["protocol"]) or not has_figures(metrics["classes"]):
        return {}
    figures = ec57_figures(metrics["confusion_matrix"], metrics["classes"])
    return {
        "ec57": {
            name: {figure: None if np.isnan(value) else value for figure, value in row.items()}
            for name, row in figures.items()
        }
    }


def ec57_line(metrics: dict[str, Any]) -> str | None:
    """S and V by ANSI/AAMI EC57; None of a test without these figures (`ec57_part`)."""
    if "ec57" not in metrics:
        return None

    def percent(figure: float | None) -> str:
        return "-" if figure is None else f"{100 * figure:.2f}"

    values = ", ".join(
        f"{name} Se {percent(row['se'])} +P {percent(row['ppv'])}" for name, row in metrics["ec57"].items()
    )
    return f"ANSI/AAMI EC57: {values}; F or Q called V, and Q called S, lower the precision above but not +P"


def never_called_note(metrics: dict[str, Any]) -> str | None:
    """Which classes of the split no beat was called by; None where each was."""
    called = dict(zip(metrics["classes"], np.sum(metrics["confusion_matrix"], axis=0).tolist(), strict=True))
    never = [name for name, row in metrics["per_class"].items() if row["support"] and not called[name]]
    if not never:
        return None
    used = [name for name, beats in called.items() if beats]
    if len(used) == 1:
        every = f"note: every beat was called {used[0]}"
        if "checkpoint" in metrics:  # of --test, perhaps on beats unlike those of its training
            return f"{every}: of these beats this network tells no classes apart"
        return f"{every}: this network tells no classes apart; train it longer"
    return f"note: no beat was called {' or '.join(never)}; a precision of 0.00 stands for one that is not defined"


def log_metrics(metrics: dict[str, Any], log: logging.Logger) -> None:
    """Log a test as a table in percent, and of one on new patients the figures of EC57."""
    table = metrics_table(metrics)
    text = table.map(lambda value: "" if np.isnan(value) else f"{value:.2f}")
    text.loc["support"] = [f"{int(beats):,}" for beats in table.loc["support"]]
    for line in text.rename_axis(index=None, columns="percent").to_string().splitlines():
        log.info(line)
    log.info(f"accuracy {100 * metrics['accuracy']:.2f} %, loss {metrics['loss']:.4f}")
    for line in filter(None, (ec57_line(metrics), never_called_note(metrics))):
        log.info(line)


def write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    """Write a test as `path`, which ends in .json, and as the .csv table beside it."""
    table = metrics_table(metrics).round(2).astype(object)
    table.loc["support"] = table.loc["support"].astype(int)
    write_table(path.with_suffix(".csv"), table)
    write_json(path, metrics)


def predictions_table(test: Split, probabilities: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """One row per test beat: record and R-peak where known, class, predicted class and the probabilities (n, C)."""
    names = np.asarray(classes)
    columns: dict[str, Any] = {}
    if test.records is not None and test.record_names:
        columns["record"] = np.asarray(test.record_names)[test.records.numpy()]
    if test.positions is not None:
        columns["position"] = test.positions.numpy()
    columns["label"] = names[test.labels.cpu().numpy()]
    columns["prediction"] = names[probabilities.argmax(axis=1)]
    return pd.DataFrame(columns | {f"p_{name}": probabilities[:, index] for index, name in enumerate(names)})


def write_predictions(
    folder: Path, test: Split, probabilities: np.ndarray, metrics: dict[str, Any], classes: Sequence[str], title: str
) -> None:
    """Write predictions_test.csv and confusion_matrix.png of one test into `folder`."""
    predictions = predictions_table(test, probabilities, classes)
    write_table(folder / "predictions_test.csv", predictions, index=False, decimals=6)
    path = folder / "confusion_matrix.png"
    pictures.plot_confusion_matrix(metrics["confusion_matrix"], classes, f"{title}\n{headline(metrics)}", path)


# -------------------------------------------------------------------------------------------- what a run begins with


def describe(
    folder: Path, run: SeedRun, model: ecgTransForm, epochs_done: int, arithmetic: str | None, log: logging.Logger
) -> None:
    """Save the effective configuration in a seed's folder with a copy of the code, and log it with every note on it.

    Args:
        epochs_done: by the checkpoint that the run goes on from; 0 for one that begins.
        arithmetic: the note on a precision that is not the one asked for.
    """
    if not distributed.is_first():
        return
    config = configuration(run, model)
    save_configuration(folder, config, epochs_done)
    if epochs_done:
        log.info(f"resuming after epoch {epochs_done}")
    log_configuration(config, log)
    for note in (*data_notes(run), name_note(folder.parent, run.run_config, epochs_done), arithmetic):
        if note:
            log.info(note)


def configuration(run: SeedRun, model: ecgTransForm) -> dict[str, Any]:
    """All that a run depends on, ready for JSON, and when it began."""
    classes = run.configs.classes
    others = run.trained_on is not run.splits["train"]  # also SMOTE's beats, or those of validation
    counted = run.splits | ({"trained_on": run.trained_on} if others else {})
    kernel = {"encoder_kernel": model.bitrans.kernel_on(run.device)} if isinstance(model.bitrans, BiTrans) else {}
    return {
        "time": time.strftime(TIME_FORMAT),
        "run": asdict(run.run_config),
        "seed": run.seed,
        "dataset": asdict(run.configs) | {"trans_dim": run.configs.trans_dim, "num_heads": run.configs.num_heads},
        "hparams": asdict(run.hparams),
        "data": run.data,
        "counts": {name: split.class_counts(classes) | {"all": len(split)} for name, split in counted.items()},
        "class_weights": dict(zip(classes, run.class_weights.tolist(), strict=True)),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "environment": environment(run.device) | {"processes": distributed.world_size()} | kernel,
    }


def save_configuration(folder: Path, config: dict[str, Any], epochs_done: int) -> None:
    """Write config.json and code/.

    A run that goes on leaves both as they were: it adds an entry to `resumed` with what differs now and, where the code
    has changed, a copy of its own.
    """
    path, code = folder / "config.json", folder / "code"
    if not (epochs_done and path.is_file()):
        write_json(path, config)
        copy_code(code)
        return
    began = read_json(path)
    new_code = folder / f"code_after_epoch_{epochs_done}"
    copy_code(new_code)
    if _same_files(new_code, code):
        shutil.rmtree(new_code)
    now = json.loads(json.dumps(config))  # a tuple is a list there
    changed = {part: now[part] for part in ("run", "hparams", "environment") if now[part] != began.get(part)}
    entry = {"time": time.strftime(TIME_FORMAT), "after_epoch": epochs_done} | changed
    write_json(path, began | {"resumed": [*resumptions(began), entry]})


def _same_files(one: Path, other: Path) -> bool:
    names, others = ({path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in (one, other))
    return names == others and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)


def log_configuration(config: dict[str, Any], log: logging.Logger) -> None:
    """Log all of a configuration but its hashes and, of a network without context, the settings of the context."""
    left_to_the_file = HASHES if config["dataset"]["context"] != "none" else HASHES | OF_CONTEXT
    for part, values in config.items():
        if not isinstance(values, dict):
            log.info(f"{part} = {values}")
            continue
        log.info(f"{part}:")
        for key, value in values.items():
            # What the command line leaves open stands below, as the recipe has it.
            if key not in left_to_the_file and not (part == "run" and value is None):
                log.info(f"  {key} = {value}")


def data_notes(run: SeedRun) -> Iterator[str | None]:
    """What a reader of the figures must know of the beats that they come from; None where there is nothing to say."""
    for name, split in run.splits.items():
        note = left_out_note(split)
        yield note and f"{name}: {note}"
    yield protocol_note(run.splits["test"], run.configs)
    yield absent_note(run.trained_on, run.configs.classes)
    yield window_note("the network of --init", run.window_before, run.splits["train"])
    yield _learnt_note("the network of --init", run.learnt_before, run.splits["test"])
    for one, other in itertools.combinations(SPLITS, 2):
        if run.fingerprints[one] == run.fingerprints[other]:
            yield f"note: {one} and {other} hold the same beats; figures on one say nothing beyond the other's"
    yield selection_note(run.splits["val"], run.configs.classes, run.hparams.selection)


def left_out_note(split: Split) -> str | None:
    """Which beats of a split file take no part, because the network does not have their class; None: all do."""
    if not split.left_out:
        return None
    return "left out, beats of classes that the network was not trained on: " + ", ".join(
        f"{beats:,} of {name}" for name, beats in split.left_out.items()
    )


def protocol_note(test: Split, configs: DatasetConfig) -> str | None:
    """Warns that a network for new patients is tested on patients that it learns from; None: it is not, or unknown."""
    if not configs.has_ensembles or splits_by_patient(test.protocol) is not False:
        return None
    return (
        f"note: --context {configs.context} is for new patients, and these files are split by beat: test beats are of "
        "patients that are trained on. python -m preprocess --split inter_patient keeps them apart"
    )


def absent_note(trained_on: Split, classes: Sequence[str]) -> str | None:
    """Which classes no training beat is of; None: none. The losses cal and weighted_ce refuse to train then."""
    absent = [name for name, beats in trained_on.class_counts(classes).items() if not beats]
    if not absent:
        return None
    return (
        f"note: {_have(absent)} no training beat: the network cannot learn to name such beats, which count as errors "
        "in other splits; --classes leaves a class out"
    )


def window_note(who: str, trained_on: str, split: Split) -> str | None:
    """Warns that a split file does not say how its beats were cut, where a network's training beats do.

    Args:
        who: the network, in words.
        trained_on: the window of the beats that it was trained on, or "unknown".
    """
    if trained_on == "unknown" or split.window != "unknown":
        return None
    return (
        f"note: the split files do not say how their beats were cut; {who} was trained on {trained_on}. Its figures "
        "hold for beats cut and scaled like these alone"
    )


def learnt_note(path: Path, checkpoint: Checkpoint, test: Split) -> str | None:
    """Which records of a test split the network at `path` was trained on.

    None: none that is known; or `test` is that of its own training, whose protocol is in every title, and the network
    did not start from another (`--init`), which has learnt elsewhere too.
    """
    trained_on = checkpoint.data
    own = test.fingerprint() == trained_on.get("fingerprints", {}).get("test") and "init" not in trained_on
    if own or trained_on.get("source") != test.source:
        return None
    return _learnt_note("the network", learnt_records(path, checkpoint), test)


def _learnt_note(who: str, learnt: Set[str], test: Split) -> str | None:
    """Which of the records of `test` a network was trained on that learnt from those called `learnt`; None: none."""
    tested = {name for _, name in test.its_records}
    both = sorted(learnt & tested)
    if not both:
        return None
    some = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
    return (
        f"note: {who} was trained on {len(both)} of the {len(tested)} records tested here, by their names ({some}); "
        "on these the figures say nothing of new patients, and they may rest on the very beats of the training"
    )


def selection_note(validation: Split, classes: Sequence[str], selection: str) -> str | None:
    """Which classes do not choose the best epoch, and why; None where all do.

    One without a validation beat has no part in any macro figure (`utils.classification_metrics`); one with a few has.
    """
    if selection == "last":
        return "note: validation beats are trained on too, so their figures are not a test, and the last epoch is kept"
    counts = validation.class_counts(classes)
    absent = [name for name in classes if not counts[name]]
    few = [f"{name} ({counts[name]})" for name in classes if counts[name] and name not in selection_classes(counts)]
    says = []
    if absent:
        says.append(f"{_have(absent)} no validation beat and no part in any macro figure of validation")
    if few:
        says.append(
            f"the best epoch is chosen without classes of fewer than {SELECTION_BEATS} validation beats, "
            f"{', '.join(few)}: their F1 varies by chance; all other figures include them"
        )
    return f"note: {'; '.join(says)}" if says else None


def _have(classes: Sequence[str]) -> str:
    return f"class {classes[0]} has" if len(classes) == 1 else f"classes {', '.join(classes)} have"


def name_note(run_folder: Path, run: RunConfig, epochs_done: int) -> str | None:
    """Says that a new run has another name than it was given; None: it has that name, or is resumed."""
    wanted = run.run_description
    if epochs_done or wanted in (None, run_folder.name):
        return None
    return f"note: there is a run {wanted} already; this one is {run_folder.name}"


def context_note(learnt: Mapping[str, int], configs: DatasetConfig) -> str | None:
    """What the small networks on the context were trained on; None where there are none, or they were before.

    Args:
        learnt: database -> training beats (`rhythm.fit_context`); its name is empty where the split file has none.
    """
    heads = ["rhythm head"] * configs.has_rhythm_head + ["shape ensemble"] * configs.has_morphology_head
    beats = [f"{count:,} beats{f' of {database}' if database else ''}" for database, count in learnt.items()]
    return f"{' and '.join(heads)}: trained on {', '.join(beats)}" if beats else None


# ---------------------------------------------------------------------------------------------------- an epoch


def history_row(
    epoch: int,
    train: dict[str, float],
    validation_loss: float,
    validation: dict[str, Any],
    selection: str,
    seconds: float,
) -> dict[str, Any]:
    """A row of history.csv; figures are fractions of 1, times are in s.

    `val_selection_f1` chooses the best epoch; -1 in every row where validation chooses none (selection `last`).
    """
    return {
        "epoch": epoch,
        **{f"train_{name}": train[name] for name in ("loss", "accuracy", "macro_f1")},
        "val_loss": validation_loss,
        "val_accuracy": validation["accuracy"],
        "val_macro_f1": validation["macro_f1"],
        "val_selection_f1": selection_f1(validation) if selection == "best" else NO_SELECTION,
        **{f"val_f1_{name}": figures["f1"] for name, figures in validation["per_class"].items()},
        "seconds": seconds,
        "train_beats_per_second": train["beats_per_second"],
    }


def epoch_line(history: list[dict[str, Any]], num_epochs: int) -> str:
    """The line of the log on the last epoch of `history`."""
    row = history[-1]
    figures = "; ".join(
        f"{split} loss {row[f'{split}_loss']:.4f} acc {100 * row[f'{split}_accuracy']:.2f} "
        f"macro-F1 {100 * row[f'{split}_macro_f1']:.2f}"
        for split in ("train", "val")
    )
    chosen = row["val_selection_f1"] != NO_SELECTION
    mark = ", best so far" if chosen and best_epoch(history) == len(history) else ""
    by, shown = (f"{100 * row[f'val_{name}']:.2f}" for name in ("selection_f1", "macro_f1"))
    if mark and by != shown:
        mark += f" ({by} without classes of few validation beats)"
    return (
        f"epoch {row['epoch']}/{num_epochs}: {figures}; {row['seconds']:.1f} s, "
        f"training {row['train_beats_per_second']:.0f} beats/s{mark}"
    )


# ------------------------------------------------------------------------------------------------- over the seeds


def summarise(run_folder: Path, num_epochs: int) -> None:
    """Write summary.csv over all finished seeds of a run, of the best checkpoints and of the last: `summary_table`."""
    every = [tests_at(folder, num_epochs) for folder in seed_folders(run_folder)]
    tests = [test for test in every if test is not None]
    tables = {kept: summary_table([test[kept] for test in tests]) for kept in KEPT}
    write_table(run_folder / "summary.csv", pd.concat(tables, names=["checkpoint"]), decimals=2)
