"""Results as pages for readers, in percent: the paper's tables, ours above theirs, and where each row comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from reproduce.experiments import Experiment
from reproduce.published import INTER_PATIENT, TABLE2, TABLE3, Published, accuracy_from_recalls
from reproduce.runs import Result, Schedule
from reproduce.tables import FEWEST, ec57_of, groups_table, is_synthetic, mean_sd, provenance, records_table
from run_folder.layout import CHOSEN
from run_folder.reports import FIGURES, summary_table

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


def figures_table(results: Sequence[Result], figure: str) -> list[str]:
    """One figure of every class and the macro mean, with F1 the accuracy: our rows, and under them the paper's."""
    columns = [*results[0].tests[0]["classes"], "macro"]
    title, beside = ("F1", ["accuracy"]) if figure == "f1" else (figure, [])
    lines = []
    for result in results:
        summary = summary_table(result.tests)
        cells = [shown(summary, figure, name) for name in columns]
        cells += [shown(summary, name, "macro") for name in beside]
        lines.append([ours(result), result.schedule, len(result.seeds), *cells])
    published = results[0].row.published
    if figure in published.means:
        lines.append(["paper, Kaggle beats", *PAPER_SCHEDULE, *paper_line(published, figure, columns)])
    return markdown([title, "schedule", "seeds", *columns, *beside], lines)


def ours(result: Result) -> str:
    """What a row of ours is called; synthetic data is called so."""
    synthetic = ", synthetic data" if is_synthetic(result) else ""
    return f"ours{synthetic}: {result.row.label}"


def paper_line(published: Published, figure: str, columns: Sequence[str]) -> list[str]:
    """The paper's cells for `columns` of a figure, with F1 the accuracy after them."""
    cells = [cell(published.mean(figure, name), published.sd(figure, name)) for name in columns]
    return [*cells, paper_accuracy(published)] if figure == "f1" else cells


def paper_accuracy(published: Published) -> str:
    """For MIT-BIH both that the paper gives; `ACCURACY_NOTE` explains the star."""
    quoted = cell(published.mean("accuracy", "macro"), published.sd("accuracy", "macro"))
    return f"{quoted} (text); {accuracy_from_recalls():.2f} *" if published is TABLE2 else quoted


def bars_table(results: Sequence[Result], columns: Sequence[str]) -> list[str]:
    """F1 of some columns for every row, with the paper's beside it, schedule by schedule: Fig. 5 and 6."""
    header = ["", "schedule", "seeds"]
    for name in columns:
        header += [f"{name} F1, ours", f"{name} F1, paper"]
    lines = []
    for result in sorted(results, key=lambda result: result.schedule.rank):
        summary = summary_table(result.tests)
        cells = []
        for name in columns:
            cells += [shown(summary, "f1", name), cell(result.row.published.mean("f1", name))]
        lines.append([ours(result), result.schedule, len(result.seeds), *cells])
    return markdown(header, lines)


def accuracy_table(results: Sequence[Result]) -> list[str]:
    """Macro-F1 and accuracy, ours and the paper's: the form of Table 4."""
    lines: list[list[object]] = []
    for result in results:
        summary = summary_table(result.tests)
        cells = [shown(summary, "f1", "macro"), shown(summary, "accuracy", "macro")]
        lines.append([ours(result), result.schedule, len(result.seeds), *cells])
    lines.append(["paper: MIT-BIH, Kaggle beats", *PAPER_SCHEDULE, *paper_line(TABLE2, "f1", ["macro"])])
    lines.append(["paper: PTB, Kaggle beats", *PAPER_SCHEDULE, *paper_line(TABLE3, "f1", ["macro"])])
    return markdown(["", "schedule", "seeds", "macro F1", "accuracy"], lines)


ACCURACY_NOTE = (
    "\\* 98.87 follows from the recalls in the paper's Table 2 and the test counts in its Table 1; its text and Table "
    "4 quote 99.35."
)


def ec57_table(results: Sequence[Result]) -> list[str]:
    """S and V by EC57, F1 of every class and accuracy, with the published DS1 -> DS2 figures.

    The last checkpoint stands beside the best one where they are not of one epoch: a validation split of a few patients
    is a poor guide to which does better on new ones.
    """
    classes = results[0].tests[0]["classes"]
    header = ["", "schedule", *(f"{c} {f}" for c in "SV" for f in ("Se", "+P", "FPR"))]
    header += [*(f"F1 {name}" for name in classes), "accuracy"]
    lines: list[list[object]] = []
    for result in results:
        epochs = [[test["checkpoint_epoch"] for test in tests] for tests in (result.tests, result.last_tests)]
        kept = {"best": result.tests} | ({"last": result.last_tests} if epochs[0] != epochs[1] else {})
        for name, tests in kept.items():
            summary, figures = summary_table(tests), ec57_of(tests)
            cells = [cell(*mean_sd(values)) for name in "SV" for values in figures[name].values()]
            cells += [*(shown(summary, "f1", name) for name in classes), shown(summary, "accuracy", "macro")]
            lines.append([f"{ours(result)}, {name} checkpoint", result.schedule, *cells])
    for work in INTER_PATIENT:
        ec57 = (work.s_se, work.s_ppv, None, work.v_se, work.v_ppv, None)
        f1 = {"S": work.s_f1, "V": work.v_f1}
        cells = ["" if value is None else f"{value:g}" for value in (*ec57, *(f1.get(name) for name in classes))]
        lines.append([f"{work.work}, DS1 -> DS2", "", *cells, ""])
    return markdown(header, lines)


GROUP_FIGURES = ("S Se", "S +P", "S F1", "V Se", "V +P", "V F1", "accuracy", "macro-F1", "macro-F1 without Q")

MEAN_NOTE = (
    f"The mean over records takes the records with {FEWEST} beats of the class or more (for accuracy and macro-F1 all "
    "of them; the macro-F1 of a record is over the classes that it has). Where no beat of such a record is called that "
    "class, its +P counts as 0; `sumstats` leaves it out of the mean."
)


def groups_lines(table: pd.DataFrame) -> list[str]:
    """`tables.groups_table` in Markdown, mean ± standard deviation."""
    lines = [
        [row["group"], row["records"], *(cell(row[key], row[f"{key}_sd"]) for key in GROUP_FIGURES)]
        for _, row in table.iterrows()
    ]
    return markdown(["", "records", *GROUP_FIGURES], lines)


def provenance_table(results: Sequence[Result]) -> list[str]:
    """Where each row comes from."""
    lines = []
    for result in results:
        about = provenance(result)
        minutes = sum(float(history["seconds"].sum()) for history in result.histories()) / 60
        cells = {
            "row": about["row"],
            "schedule": about["schedule"],
            "seeds": ", ".join(map(str, result.seeds)),
            **{key: about[key] for key in ("source", "protocol", "window")},
            "train / val / test beats": " / ".join(f"{about[f'{name}_beats']:,}" for name in ("train", "val", "test")),
            "beats an epoch": f"{about['trained_on']:,}",
            "test records": _records(result),
            "best epoch": ", ".join(str(test["checkpoint_epoch"]) for test in result.tests),
            "minutes of epochs": f"{minutes:.0f}",
            **{key: about[key] for key in ("device", "torch", "date")},
        }
        lines.append(cells)
    return markdown(list(lines[0]), [list(cells.values()) for cells in lines])


def _records(result: Result) -> str:
    predictions = result.predictions()[0]
    return str(predictions["record"].nunique()) if "record" in predictions else "unknown"


def report(experiment: Experiment, results: Sequence[Result]) -> str:
    """The Markdown page of an experiment."""
    lines = [f"# {experiment.title}", "", *heading(results), "", experiment.note, ""]
    if experiment.form == "bars":
        lines += [*bars_table(results, experiment.columns), ""]
    elif experiment.form == "accuracy":
        lines += [*accuracy_table(results), "", ACCURACY_NOTE, ""]
    else:
        for dataset in dict.fromkeys(result.row.beats.dataset for result in results):
            of_it = [result for result in results if result.row.beats.dataset == dataset]
            lines += _of_dataset(of_it)
            if experiment.form == "patients" and dataset == AAMI:
                lines += _ec57_part(of_it)
    lines += ["## Where the rows come from", "", *provenance_table(results), ""]
    for result in results:
        number = 1 + experiment.rows.index(result.row)
        lines += [f"    {command}" for command in result.commands(experiment.name, number)]
    return "\n".join([*lines, ""])


def heading(results: Sequence[Result]) -> list[str]:
    """What the figures are, and warnings where they are of several schedules or of synthetic data."""
    chosen: dict[str, list[str]] = {}  # which checkpoint -> rows
    for result in results:
        rows = chosen.setdefault(CHOSEN[result.configs[0]["hparams"].get("selection", "best")], [])
        if result.row.label not in rows:
            rows.append(result.row.label)
    says = list(chosen) if len(chosen) == 1 else [f"{which} ({'; '.join(rows)})" for which, rows in chosen.items()]
    lines = [f"Percent; checkpoint tested: {', '.join(says)}; with several seeds, mean ± standard deviation."]
    if {str(result.schedule) for result in results} != {PAPER_SCHEDULE[0]}:
        lines.append("Rows of different schedules are not comparable, least of all with the paper's 60 epochs.")
    if any(map(is_synthetic, results)):
        lines += ["", "**Figures of synthetic data are of no real patients: they show that it works, no more.**"]
    return lines


def _of_dataset(results: Sequence[Result]) -> list[str]:
    lines = []
    for figure in reversed(FIGURES):
        lines += [*figures_table(results, figure), ""]
    if results[0].row.published is TABLE2:
        lines += [ACCURACY_NOTE, ""]
    return lines


def _ec57_part(results: Sequence[Result]) -> list[str]:
    lines = [
        "## By ANSI/AAMI EC57: SVEB (S) and VEB (V), percent",
        "",
        *ec57_table(results),
        "",
        "Se is sensitivity, +P positive predictivity, FPR false-positive rate. As the standard says, Q beats called S, "
        "and F or Q beats called V, are not false positives; so +P is not the precision above. Escape beats e and j "
        "are in N, as in de Chazal et al. 2004; the program `bxb` counts them as S.",
        "",
    ]
    for result in results:
        if result.row.beats.protocol != "inter_patient":
            continue
        table = records_table(result)
        if table.empty:
            continue
        classes = result.tests[0]["classes"]
        lines += [f"## Groups of test records: {ours(result)}, {result.schedule}", ""]
        lines += [*groups_lines(groups_table(result.predictions(), classes)), "", MEAN_NOTE, ""]
        table = table.sort_values("S beats", ascending=False)
        beats, most = int(table["S beats"].sum()), int(table["S beats"].iloc[0])
        lines += [f"## Each test record: {ours(result)}, {result.schedule}", ""]
        if most > beats / 2:
            lines += [
                f"{most:,} of the {beats:,} S beats belong to record {table['record'].iloc[0]}: the gross figures of S "
                "say more of that patient than of the others.",
                "",
            ]
        lines += [
            *markdown(list(table.columns), table.map(_as_text).to_numpy().tolist()),
            "",
        ]
    return lines


def _as_text(value: object) -> str:
    return cell(value) if isinstance(value, float) else str(value)
