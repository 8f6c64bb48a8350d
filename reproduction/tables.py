"""Results as tables: a long one for machines (.csv) and the paper's form for readers (.md), in percent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reproduction import published
from reproduction.experiments import Experiment, Row
from reproduction.runs import Result, Schedule
from utils.ec57 import ec57_figures, per_record
from utils.metrics import FIGURES, summary_table

AAMI = "mit"  # the dataset that has SVEB and VEB
PAPER_SCHEDULE = (str(Schedule(60, "constant")), 3)  # and its seeds


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def cell(mean: float, sd: float = float("nan")) -> str:
    """A figure with its standard deviation, where there is one."""
    if np.isnan(mean):
        return ""
    return f"{mean:.2f}" if np.isnan(sd) else f"{mean:.2f} ± {sd:.2f}"


def shown(summary: pd.DataFrame, figure: str, name: str) -> str:
    """A figure of a `summary_table`."""
    return cell(summary.loc[figure, name], summary.loc[figure, f"{name}_sd"])


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; that of one value is not known."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


# ------------------------------------------------------------------------------------------ the long table


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
                    lines[-1]["paper"] = paper_figure(result.row, figure, name)
        if "S" in result.tests[0]["classes"]:
            for name, figures in ec57_of(result).items():
                for figure, values in figures.items():
                    mean, sd = mean_sd(values)
                    lines.append({**about, "class": name, "figure": f"ec57_{figure}", "mean": mean, "sd": sd})
    return pd.DataFrame(lines).round(4)


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
        "device": " and ".join(sorted({config["environment"]["device_name"] for config in result.configs})),
        "train_beats": config["counts"]["train"]["all"],
        "val_beats": config["counts"]["val"]["all"],
        "test_beats": config["counts"]["test"]["all"],
    }


def paper_figure(row: Row, figure: str, name: str) -> float:
    """The published figure for one of ours, NaN where there is none."""
    if figure == "accuracy":
        return published.ACCURACY if row.published is published.TABLE2["f1"] else float("nan")
    if row.published is published.TABLE2["f1"]:
        return published.TABLE2[figure].get(name, float("nan"))
    return row.published.get(name, float("nan")) if figure == "f1" else float("nan")


def ec57_of(result: Result) -> dict[str, dict[str, list[float]]]:
    """EC57's figures of S and V in percent, a list over the seeds."""
    every = [ec57_figures(test["confusion_matrix"], test["classes"]) for test in result.tests]
    return {
        name: {figure: [100 * seed[name][figure] for seed in every] for figure in ("se", "ppv", "fpr")}
        for name in every[0]
    }


# --------------------------------------------------------------------------------------- tables for readers


def figures_table(results: Sequence[Result], figure: str) -> list[str]:
    """One figure of every class and the macro mean, with F1 the accuracy: our rows, and under them the paper's."""
    classes = results[0].tests[0]["classes"]
    lines = []
    for result in results:
        summary = summary_table(result.tests)
        cells = [shown(summary, figure, name) for name in (*classes, "macro")]
        if figure == "f1":
            cells.append(shown(summary, "accuracy", "macro"))
        lines.append([ours(result), result.schedule, len(result.seeds), *cells])
    lines += paper_lines(results, figure, classes)
    header = [{"f1": "F1"}.get(figure, figure), "schedule", "seeds", *classes, "macro"]
    return markdown([*header, "accuracy"] if figure == "f1" else header, lines)


def ours(result: Result) -> str:
    """What a row of ours is called; synthetic data is called so."""
    synthetic = ", synthetic data" if is_synthetic(result) else ""
    return f"ours{synthetic}: {result.row.label}"


def is_synthetic(result: Result) -> bool:
    """Whether the beats are of no real patient."""
    return result.configs[0]["data"]["source"] == "synthetic"


def paper_accuracy() -> str:
    """Both accuracies of the paper for MIT-BIH; `ACCURACY_NOTE` explains the star."""
    return f"{cell(published.ACCURACY, published.ACCURACY_SD)} (text); {published.accuracy_from_recalls():.2f} *"


def paper_lines(results: Sequence[Result], figure: str, classes: Sequence[str]) -> list[list[object]]:
    """The paper's line of the table, if it has that figure for the first row's classes."""
    about = ["paper, Kaggle beats", *PAPER_SCHEDULE]
    if results[0].row.published is published.TABLE2["f1"]:
        sd = published.TABLE2_MACRO_F1_SD if figure == "f1" else float("nan")
        cells = [cell(published.TABLE2[figure][name]) for name in classes]
        cells.append(cell(published.TABLE2[figure]["macro"], sd))
        return [[*about, *cells, *([paper_accuracy()] if figure == "f1" else [])]]
    if results[0].row.published is published.TABLE3["f1"] and figure in published.TABLE3:
        cells = [cell(published.TABLE3[figure][name]) for name in classes]
        return [[*about, *cells, cell(published.TABLE3[figure]["macro"], published.TABLE3_MACRO_F1_SD), ""]]
    return []


def macro_table(results: Sequence[Result], classes: Sequence[str] = ("macro",)) -> list[str]:
    """F1 of a few columns for every row, with the paper's beside it: the form of Fig. 5, Fig. 6 and Table 4."""
    header = ["", "schedule", "seeds"]
    for name in classes:
        header += [f"{name} F1, ours", f"{name} F1, paper"]
    lines = []
    for result in results:
        summary = summary_table(result.tests)
        cells = []
        for name in classes:
            cells += [shown(summary, "f1", name), cell(paper_figure(result.row, "f1", name))]
        lines.append([ours(result), result.schedule, len(result.seeds), *cells])
    return markdown(header, lines)


def accuracy_table(results: Sequence[Result]) -> list[str]:
    """Accuracy and macro-F1, ours and the paper's: the form of Table 4."""
    lines: list[list[object]] = []
    for result in results:
        summary = summary_table(result.tests)
        cells = [shown(summary, "accuracy", "macro"), shown(summary, "f1", "macro")]
        lines.append([ours(result), result.schedule, len(result.seeds), *cells])
    mit = cell(published.TABLE2["f1"]["macro"], published.TABLE2_MACRO_F1_SD)
    ptb = cell(published.TABLE3["f1"]["macro"], published.TABLE3_MACRO_F1_SD)
    lines.append(["paper: MIT-BIH, Kaggle beats", *PAPER_SCHEDULE, paper_accuracy(), mit])
    lines.append(["paper: PTB, Kaggle beats", *PAPER_SCHEDULE, "", ptb])
    return markdown(["", "schedule", "seeds", "accuracy", "macro-F1"], lines)


ACCURACY_NOTE = (
    "\\* 98.87 is what the recalls of the paper's Table 2 times the test counts of its Table 1 amount to; its text and "
    "Table 4 quote 99.35."
)


def ec57_table(results: Sequence[Result]) -> list[str]:
    """S and V by EC57, F1 of every class and accuracy, with the published DS1 -> DS2 figures."""
    classes = results[0].tests[0]["classes"]
    header = ["", "schedule", *(f"{c} {f}" for c in "SV" for f in ("Se", "+P", "FPR"))]
    header += [*(f"F1 {name}" for name in classes), "accuracy"]
    lines: list[list[object]] = []
    for result in results:
        summary, figures = summary_table(result.tests), ec57_of(result)
        cells = [cell(*mean_sd(values)) for name in "SV" for values in figures[name].values()]
        cells += [*(shown(summary, "f1", name) for name in classes), shown(summary, "accuracy", "macro")]
        lines.append([ours(result), result.schedule, *cells])
    for work in published.INTER_PATIENT:
        ec57 = (work.s_se, work.s_ppv, None, work.v_se, work.v_ppv, None)
        f1 = {"S": work.s_f1, "V": work.v_f1}
        cells = ["" if value is None else f"{value:g}" for value in (*ec57, *(f1.get(name) for name in classes))]
        lines.append([f"{work.work}, DS1 -> DS2", "", *cells, ""])
    return markdown(header, lines)


def records_table(result: Result) -> pd.DataFrame:
    """S and V by EC57 and accuracy of each test record, means over the seeds of a result."""
    classes = result.tests[0]["classes"]
    tables = [per_record(predictions, classes) for predictions in result.predictions()]
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


def provenance_table(results: Sequence[Result]) -> list[str]:
    """Where each row comes from."""
    lines = []
    for result in results:
        about = provenance(result)
        best = ", ".join(str(test["checkpoint_epoch"]) for test in result.tests)
        minutes = sum(float(history["seconds"].sum()) for history in result.histories()) / 60
        beats = " / ".join(f"{about[f'{name}_beats']:,}" for name in ("train", "val", "test"))
        seeds = ", ".join(map(str, result.seeds))
        origin = (about[key] for key in ("source", "protocol", "window"))
        lines.append([about["row"], about["schedule"], seeds, *origin, beats, about["device"], best, f"{minutes:.0f}"])
    header = ["row", "schedule", "seeds", "source", "protocol", "window", "train / val / test beats", "device"]
    return markdown([*header, "best epoch", "minutes of epochs"], lines)


def report(experiment: Experiment, results: Sequence[Result], not_run: Sequence[str], heading: Sequence[str]) -> str:
    """The Markdown page of an experiment."""
    lines = [f"# {experiment.title}", "", *heading, "", experiment.note, ""]
    if experiment.name in ("fig5", "fig6"):
        lines += [*macro_table(results, ("macro",) if experiment.name == "fig5" else ("macro", "S")), ""]
    elif experiment.name == "table4":
        lines += [*accuracy_table(results), "", ACCURACY_NOTE, ""]
    else:
        for dataset in dict.fromkeys(result.row.beats.dataset for result in results):
            of_it = [result for result in results if result.row.beats.dataset == dataset]
            for figure in reversed(FIGURES):
                lines += [*figures_table(of_it, figure), ""]
            if of_it[0].row.published is published.TABLE2["f1"]:
                lines += [ACCURACY_NOTE, ""]
            if experiment.name == "inter_patient" and dataset == AAMI:
                lines += _ec57_part(of_it)
    lines += ["## Where the rows come from", "", *provenance_table(results), ""]
    lines += [f"Not run: {row}." for row in not_run]
    return "\n".join(lines).rstrip() + "\n"


def _ec57_part(results: Sequence[Result]) -> list[str]:
    lines = [
        "## By ANSI/AAMI EC57: SVEB (S) and VEB (V), percent",
        "",
        *ec57_table(results),
        "",
        "Se is sensitivity, +P positive predictivity, FPR false-positive rate. As the standard says, Q beats called S, "
        "and F or Q beats called V, are no false positives; so +P is not the precision above. Escape beats e and j are "
        "in N, as in de Chazal et al. 2004; the program `bxb` counts them as S.",
        "",
    ]
    for result in results:
        if result.row.beats.protocol != "inter_patient":
            continue
        table = records_table(result).sort_values("S beats", ascending=False)
        beats, most = int(table["S beats"].sum()), int(table["S beats"].iloc[0])
        lines += [
            f"## Each test record: {ours(result)}, {result.schedule}",
            "",
            f"{most:,} of the {beats:,} S beats belong to record {table['record'].iloc[0]}: the gross figures of S say "
            "more of that patient than of the others.",
            "",
            *markdown(list(table.columns), table.map(_as_text).to_numpy().tolist()),
            "",
        ]
    return lines


def _as_text(value: object) -> str:
    return cell(value) if isinstance(value, float) else str(value)
