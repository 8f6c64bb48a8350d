"""The README says what is there: the figures of its tables are those of results/ and of the works that they name, its
links and options exist; and the pages of results/ say what the code says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

import ec57.__main__ as comparison
import main
import preprocess.__main__ as preparation
import report.__main__ as reporting
import reproduce.__main__ as reproduction
from preprocess.databases import SAME_SUBJECT
from reproduce.experiments import EXPERIMENTS
from reproduce.pages import cell
from reproduce.published import INTER_PATIENT, TABLE2

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("[a-z]*/README.md"))]


def rows(beginning: str) -> list[list[str]]:
    """The cells of the table rows whose first cell begins so."""
    lines = [line for line in README.splitlines() if line.startswith(f"| {beginning}")]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def result(name: str, row: str, schedule: str) -> pd.DataFrame:
    """The figures of one row of results/<name>.csv, by class and figure."""
    table = pd.read_csv(ROOT / "results" / f"{name}.csv", keep_default_na=False)
    chosen = table[(table["row"] == row) & (table["schedule"] == schedule)]
    assert len(chosen)
    return chosen.set_index(["class", "figure"])


COLUMNS = ("N", "S", "V", "F", "Q", "macro")


@pytest.mark.parametrize(
    ("beginning", "page", "label", "schedule"),
    [
        ("ours, the paper's 60 epochs", "table2", "MIT-BIH, centred window", "60 epochs, constant learning rate"),
        ("ours, 20 epochs with one cycle", "table2", "MIT-BIH, centred window", "20 epochs, one cycle"),
        ("with the rhythm around a beat", "inter_patient", "MIT-BIH, by beat, with context", "20 epochs, one cycle"),
        ("ours, 6 epochs with one cycle", "table2", "MIT-BIH, centred window", "6 epochs, one cycle"),
    ],
)
def test_the_table_of_the_split_by_beat(beginning: str, page: str, label: str, schedule: str) -> None:
    (row,) = rows(beginning)
    figures = result(page, label, schedule)
    expected = [figures.loc[(name, "f1"), "mean"] for name in COLUMNS] + [figures.loc[("macro", "accuracy"), "mean"]]
    means = [float(cell.partition(" ± ")[0]) for cell in row[1:]]
    assert means == pytest.approx([float(value) for value in expected], abs=0.005001)
    spreads = [cell.partition(" ± ")[2] for cell in row[6:]]
    for shown, figure in zip(spreads, ("f1", "accuracy"), strict=True):
        spread = figures.loc[("macro", figure), "sd"]
        assert (float(shown) == pytest.approx(float(spread), abs=0.005001)) if shown else not spread


def test_what_others_have_published() -> None:
    (row,) = rows("paper, 60 epochs")
    paper = [cell(TABLE2.mean("f1", name), TABLE2.sd("f1", name)) for name in COLUMNS]
    assert row[1:] == [*paper, cell(TABLE2.mean("accuracy", "macro"), TABLE2.sd("accuracy", "macro"))]
    one_line = " ".join(README.split())
    for work in INTER_PATIENT:
        for row in rows(work.work):
            assert row[1:5] == [f"{value:g}" for value in (work.s_se, work.s_ppv, work.v_se, work.v_ppv)]
        if work.s_f1 is not None:
            _, _, after = one_line.partition(work.work)
            assert re.findall(r"\d\d\.\d", after)[:2] == [f"{work.s_f1:g}", f"{work.v_f1:g}"]


@pytest.mark.parametrize("page", sorted((ROOT / "results").glob("*.csv")), ids=lambda page: page.stem)
def test_a_page_says_what_the_code_says_of_it(page: Path) -> None:
    experiment, text = EXPERIMENTS[page.stem], page.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith(f"# {experiment.title}\n")
    assert experiment.note in text
    for label in pd.read_csv(page)["row"].unique():
        assert label in {row.label for row in experiment.rows}


def test_the_tables_of_fig5_are_those_of_its_csv() -> None:
    _, *sections = (ROOT / "results" / "fig5.md").read_text(encoding="utf-8").split("\n## On all training beats, ")
    schedules = {"the paper's 60 epochs": "60 epochs, constant learning rate", "20 epochs": "20 epochs, one cycle"}
    shown = set()
    for section in sections:
        schedule = next(schedule for title, schedule in schedules.items() if section.startswith(title))
        for label in [row.label for row in EXPERIMENTS["fig5"].rows]:
            for cells in re.findall(rf"^\| {re.escape(label)} \|((?: [\d.± ]+ \|){{8}})$", section, re.MULTILINE):
                figures = result("fig5", label, schedule)
                expected = [figures.loc[(name, "f1"), "mean"] for name in COLUMNS[:-1]]
                for figure in ("f1", "accuracy"):
                    expected += [figures.loc[("macro", figure), column] for column in ("mean", "sd")]
                expected.append(figures.loc[("macro", "f1"), "paper"])
                found = [float(text) for text in re.findall(r"[\d.]+", cells)]
                known = [float(value) for value in expected if value != ""]  # one seed has no deviation
                assert found == pytest.approx(known, abs=0.005001)
                shown.add((label, schedule))
    table = pd.read_csv(ROOT / "results" / "fig5.csv")
    assert shown == {*zip(table["row"], table["schedule"], strict=True)}


def test_the_table_of_new_patients() -> None:
    (row,) = rows("ours, the beat alone, epoch 1 of 6 with one cycle")
    figures = result("inter_patient", "MIT-BIH, by patient", "6 epochs, one cycle")
    keys = [("S", "ec57_se"), ("S", "ec57_ppv"), ("V", "ec57_se"), ("V", "ec57_ppv"), ("macro", "accuracy")]
    for shown, key in zip(row[1:], keys, strict=True):
        value = figures.loc[key, "mean"] if key in figures.index else ""
        assert (float(shown) if shown else "") == (pytest.approx(float(value), abs=0.005001) if value else "")


def test_who_is_not_new_among_the_new_patients() -> None:
    _, _, section = README.partition("### New patients\n")
    above, _, _ = section.partition("\n|")
    for record, other in SAME_SUBJECT.items():
        assert f"record {record} is from the same patient as {other} of DS1" in " ".join(above.split())


@pytest.mark.parametrize(
    ("row", "part", "group"),
    [
        ("ours, with the rhythm around the beat", "DS1 -> DS2", "all"),
        ("ours, the same, trained on svdb too", "DS1 and svdb -> DS2 and other svdb patients", "mitdb"),
        ("ours, on DS1 and svdb, without BiTrans", "Without BiTrans", "mitdb"),
    ],
)
def test_the_rows_with_context_are_those_of_the_page(row: str, part: str, group: str) -> None:
    (cells,) = rows(row)
    page = (ROOT / "results" / "new_patients.md").read_text(encoding="utf-8")
    _, _, section = page.partition(f"\n## {part}\n")
    groups = [line.split("|")[2:-1] for line in section.splitlines() if line.startswith(f"| {group} | 22 |")]
    mean = [cell.split("±")[0].strip() for cell in groups[0]]  # records; S Se, +P, F1; V Se, +P, F1; accuracy
    assert cells[1:] == [mean[index] for index in (1, 2, 4, 5, 7)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_lines_fit_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    is_first = page == ROOT / "README.md"  # those beside the code have wider tables
    assert all(len(line) <= 120 for line in text.splitlines() if is_first or not line.startswith("|"))
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_options_in_the_readme_exist() -> None:
    helps = " ".join(
        module.build_parser().format_help() for module in (main, preparation, reproduction, comparison, reporting)
    )
    known = {*re.findall(r"--[a-z]\w*", helps), "--nproc_per_node", "--logdir"}  # of torchrun and of tensorboard
    assert {*re.findall(r"(?<![\w-])--[a-z]\w*", README)} <= known
