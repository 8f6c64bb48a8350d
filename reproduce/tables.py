"""Results as tables for machines, in percent: what becomes the .csv files, and what `pages` shows to readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ec57.figures import ec57_figures, per_record
from reproduce.runs import Result
from run_folder.reports import summary_table
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
                    lines.append({**about, "class": name, "figure": figure, "mean": mean, "sd": sd})
                    lines[-1]["paper"] = result.row.published.mean(figure, name)
        if "S" in result.tests[0]["classes"]:
            for name, figures in ec57_of(result.tests).items():
                for figure, values in figures.items():
                    mean, sd = mean_sd(values)
                    lines.append({**about, "class": name, "figure": f"ec57_{figure}", "mean": mean, "sd": sd})
    return pd.DataFrame(lines).round(4)


def rows_that_leave(old: Path, table: pd.DataFrame) -> list[tuple[str, str]]:
    """Row and schedule of what the long table in the file `old` has, and `table`, which is to replace it, has not."""
    if not old.is_file():
        return []
    before = read_table(old, usecols=["row", "schedule"]).drop_duplicates()
    return [
        pair
        for pair in before.itertuples(index=False, name=None)
        if table.empty or pair not in {*zip(table["row"], table["schedule"], strict=True)}
    ]


def provenance(result: Result) -> dict[str, Any]:
    """What a row of results must say of itself."""
    config, schedule = result.configs[0], result.schedule
    return {
        "row": result.row.label,
        "schedule": str(schedule),
        "recipe": config["hparams"]["recipe"],
        "seeds": len(result.seeds),
        "source": config["data"]["source"],
        "protocol": config["data"]["protocol"],
        "window": result.row.beats.window,
        "device": " and ".join(sorted({_device(config["environment"]) for config in result.configs})),
        "torch": config["environment"]["torch"],
        "date": result.finished_on,
        "train_beats": config["counts"]["train"]["all"],
        "trained_on": config["counts"].get("trained_on", config["counts"]["train"])["all"],
        "val_beats": config["counts"]["val"]["all"],
        "test_beats": config["counts"]["test"]["all"],
    }


def _device(environment: dict[str, Any]) -> str:
    threads = environment["threads"]
    name = environment["device_name"]
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}" if environment["device"] == "cpu" else name


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
                values = [100 * seed[name][figure] for seed in figures]
                line[f"{name} {title}"] = float("nan") if np.isnan(values).any() else float(np.mean(values))
        line["accuracy"] = float(np.mean([100 * np.trace(matrix) / matrix.sum() for matrix in matrices]))
        lines.append(line)
    return pd.DataFrame(lines)


def is_synthetic(result: Result) -> bool:
    """Whether the beats are of no real patient."""
    return result.configs[0]["data"]["source"] == "synthetic"
