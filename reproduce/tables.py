"""Results as tables for machines, in percent: what becomes the .csv files, and what `pages` shows to readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ec57.figures import ec57_figures, has_figures, per_record
from reproduce.runs import Result
from run_folder.reports import summary_table
from run_folder.resume import as_it_ran
from support.errors import count_of
from support.files import read_table


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; that of one value is not known."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def long_table(results: Sequence[Result]) -> pd.DataFrame:
    """A row for each figure of each class of each result; the paper's figure beside ours where there is one."""
    lines = []
    for result in results:
        summary = summary_table(result.tests)
        about = provenance(result)
        for figure in summary.index:
            for name in [column for column in summary.columns if not column.endswith("_sd")]:
                mean, sd = summary.loc[figure, name], summary.loc[figure, f"{name}_sd"]
                if not np.isnan(mean):
                    paper = result.row.published.mean(figure, name)
                    lines.append({**about, "class": name, "figure": figure, "mean": mean, "sd": sd, "paper": paper})
        if has_figures(result.tests[0]["classes"]):
            for name, figures in ec57_of(result.tests).items():
                for figure, values in figures.items():
                    mean, sd = mean_sd(values)
                    lines.append({**about, "class": name, "figure": f"ec57_{figure}", "mean": mean, "sd": sd})
    return pd.DataFrame(lines).round(4)


def what_leaves(old: Path, table: pd.DataFrame) -> list[str]:
    """Rows, or seeds of them, of the long table in the file `old` that `table`, which is to replace it, has not."""
    if not old.is_file():
        return []
    columns = ["row", "schedule", "seeds"]
    before = read_table(old, "move it away", usecols=columns).drop_duplicates()
    now = {} if table.empty else {(row, schedule): seeds for row, schedule, seeds in table[columns].to_numpy().tolist()}
    lost = []
    for row, schedule, seeds in before[columns].to_numpy().tolist():
        kept = now.get((row, schedule), 0)
        if kept < seeds:
            lost.append(f"{f'{seeds - kept} of {seeds} seeds of ' if kept else ''}the row '{row}' of {schedule}")
    return lost


def provenance(result: Result) -> dict[str, Any]:
    """What a row of results must say of itself."""
    config, schedule = result.configs[0], result.schedule
    stages = [stage for config in result.configs for stage in as_it_ran(config)]
    return {
        "row": result.row.label,
        "schedule": str(schedule),
        "recipe": config["hparams"]["recipe"],
        "seeds": len(result.seeds),
        "source": config["data"]["source"],
        "protocol": config["data"]["protocol"],
        "window": result.row.beats.window,
        "device": " and ".join(dict.fromkeys(map(_device, stages))),
        "torch": " and ".join(dict.fromkeys(stage["environment"]["torch"] for stage in stages)),
        "date": result.finished_on,
        "train_beats": config["counts"]["train"]["all"],
        "trained_on": learnt_counts(config)["all"],
        "val_beats": config["counts"]["val"]["all"],
        "test_beats": config["counts"]["test"]["all"],
    }


def learnt_counts(config: dict[str, Any]) -> dict[str, int]:
    """Of a config.json: the beats of each class that the network learnt from, and under `all` their number."""
    return config["counts"].get("trained_on", config["counts"]["train"])


def _device(config: dict[str, Any]) -> str:
    """Of a config.json: the device, on a CPU its threads, and the arithmetic where it is not float32."""
    environment, precision = config["environment"], config["hparams"]["precision"]
    threads = f", {count_of(environment['threads'], 'thread')}" if environment["device"] == "cpu" else ""
    return environment["device_name"] + threads + (f" ({precision})" if precision != "fp32" else "")


def ec57_of(tests: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """EC57's figures of S and V in percent, a list over the tests of several seeds."""
    every = [ec57_figures(test["confusion_matrix"], test["classes"]) for test in tests]
    return {
        name: {figure: [100 * seed[name][figure] for seed in every] for figure in ("se", "ppv", "fpr")}
        for name in every[0]
    }


def records_table(result: Result) -> pd.DataFrame:
    """S and V by EC57 and accuracy of each test record, means over the seeds; empty where no beat's record is known."""
    classes = result.tests[0]["classes"]
    every = result.predictions()
    if "record" not in every[0]:
        return pd.DataFrame()
    tables = [per_record(predictions, classes) for predictions in every]
    lines = []
    for record in tables[0]:
        matrices = [table[record] for table in tables]
        figures = [ec57_figures(matrix, classes) for matrix in matrices]
        line: dict[str, Any] = {"record": record, "beats": int(matrices[0].sum())}
        for name in "SV":
            line[f"{name} beats"] = figures[0][name]["beats"]
            for figure, title in {"se": "Se", "ppv": "+P", "fpr": "FPR"}.items():
                line[f"{name} {title}"] = float(np.mean([100 * seed[name][figure] for seed in figures]))
        line["accuracy"] = float(np.mean([100 * np.trace(matrix) / matrix.sum() for matrix in matrices]))
        lines.append(line)
    return pd.DataFrame(lines)


FEWEST = 5
"""Beats of a class from which on a record counts in the mean over records."""


def groups_table(predictions: Sequence[pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """S and V by EC57, accuracy and macro-F1 of groups of test records; mean and standard deviation over the seeds.

    The groups: all records, and each database, where record names say it ("mitdb/100"), both also without the record
    with most S beats, where that has more than half of them; and in place of gross figures the mean over the records
    with `FEWEST` beats of the class (of accuracy and macro-F1 over all). There +P of a record counts as 0 where no beat
    is called so.

    Args:
        predictions: one table per seed, with record, label and prediction.
        classes: the names of the classes.

    Returns:
        Columns group, records, then of each figure, in percent, its mean and `<figure>_sd`.
    """
    every = [per_record(table, classes) for table in predictions]
    lines = []
    for group, names in _groups(predictions[0]).items():
        figures = [_gross(np.sum([matrices[name] for name in names], axis=0), classes) for matrices in every]
        lines.append({"group": group, "records": len(names)} | _over_seeds(figures))
    figures = [_mean_over_records([*matrices.values()], classes) for matrices in every]
    lines.append({"group": "mean over records", "records": len(every[0])} | _over_seeds(figures))
    return pd.DataFrame(lines)


def _groups(predictions: pd.DataFrame) -> dict[str, list[str]]:
    """The groups of records with gross figures: name -> records."""
    s_beats = predictions["record"][predictions["label"] == "S"].value_counts()
    records = list(predictions["record"].unique())
    databases = sorted({name.partition("/")[0] for name in records if "/" in name})
    wholes = {"all": records} | {slug: [name for name in records if name.startswith(f"{slug}/")] for slug in databases}
    groups: dict[str, list[str]] = {}
    for whole, names in wholes.items():
        groups[whole] = names
        own = s_beats[s_beats.index.isin(names)]
        if len(own) > 1 and own.iloc[0] > own.sum() / 2:
            most = own.index[0]
            group = f"without record {most}" if whole == "all" else f"{whole} without record {most.partition('/')[2]}"
            groups[group] = [name for name in names if name != most]
    return groups


def _mean_over_records(matrices: Sequence[np.ndarray], classes: Sequence[str]) -> dict[str, float]:
    """The mean of each figure over those of the records, one confusion matrix each, that count for it."""
    each = [_gross(matrix, classes) for matrix in matrices]
    mean = {}
    for key in each[0]:
        counted = np.array([one[key] for one in each if key[0] not in "SV" or one[f"{key[0]} beats"] >= FEWEST])
        if key.endswith("+P"):  # no beat was called so
            counted = np.nan_to_num(counted)
        mean[key] = float(np.nanmean(counted)) if np.isfinite(counted).any() else float("nan")
    return mean


def _gross(matrix: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Percent, of a confusion matrix: EC57's figures of S and V, accuracy, macro-F1 over all classes and without Q."""
    figures: dict[str, float] = {}
    for name, values in ec57_figures(matrix, classes).items():
        se, ppv = 100 * values["se"], 100 * values["ppv"]
        figures |= {f"{name} beats": values["beats"], f"{name} Se": se, f"{name} +P": ppv}
        figures[f"{name} F1"] = 2 * se * ppv / (se + ppv) if se + ppv > 0 else 0.0
    hits, sizes = np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1)
    f1 = 200 * hits / np.maximum(sizes, 1)
    occurs = matrix.sum(axis=1) > 0
    four = occurs & (np.asarray(classes) != "Q")
    return figures | {
        "accuracy": 100 * hits.sum() / matrix.sum(),
        "macro-F1": float(f1[occurs].mean()),
        "macro-F1 without Q": float(f1[four].mean()) if four.any() else float("nan"),
    }


def _over_seeds(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    line = {}
    for key in figures[0]:
        line[key], line[f"{key}_sd"] = mean_sd([seed[key] for seed in figures])
    return line


def is_synthetic(result: Result) -> bool:
    """Whether the beats are of no real patient."""
    return result.configs[0]["data"]["source"] == "synthetic"
