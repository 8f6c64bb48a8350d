from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ec57.figures import ec57_figures, per_record

CLASSES = ("N", "S", "V", "F", "Q")

# What the WFDB program bxb counts and prints for two records of mitdb against annotations with seeded faults:
# N S V F Q as rows, then O, the beats that the reference lacks; its column o are the beats that were missed.
BXB = {
    "208": (
        [
            [1223, 9, 23, 14, 16, 23],
            [0, 2, 0, 0, 0, 0],
            [8, 11, 766, 12, 12, 15],
            [0, 6, 4, 281, 4, 6],
            [0, 0, 0, 0, 2, 0],
            [11, 14, 16, 0, 0, 0],
        ],
        {"S": (100.00, 4.76), "V": (92.96, 95.16)},
    ),
    "213": (
        [
            [2052, 33, 26, 25, 28, 45],
            [0, 22, 2, 0, 2, 1],
            [1, 2, 181, 2, 3, 6],
            [4, 4, 2, 249, 3, 7],
            [0, 0, 0, 0, 0, 0],
            [11, 13, 14, 0, 0, 0],
        ],
        {"S": (81.48, 29.73), "V": (92.82, 81.17)},
    ),
}


@pytest.mark.parametrize("record", BXB)
def test_figures_are_those_that_bxb_prints(record: str) -> None:
    matrix, printed = BXB[record]
    figures = ec57_figures(matrix, (*CLASSES, "O"))
    for name, (sensitivity, predictivity) in printed.items():
        assert round(100 * figures[name]["se"], 2) == sensitivity
        assert round(100 * figures[name]["ppv"], 2) == predictivity


def test_a_worked_example() -> None:
    matrix = [
        [90, 4, 3, 2, 1],
        [5, 10, 2, 1, 2],
        [1, 3, 30, 4, 2],
        [2, 1, 5, 8, 0],
        [1, 6, 7, 0, 9],
    ]
    figures = ec57_figures(matrix, CLASSES)
    # S: wrongly called so are 4 of N, 3 of V and 1 of F; the 6 of Q are excused
    assert figures["S"] == pytest.approx({"se": 10 / 20, "ppv": 10 / 18, "fpr": 8 / (8 + 165), "beats": 20})
    # V: 3 of N and 2 of S; the 5 of F and the 7 of Q are excused
    assert figures["V"] == pytest.approx({"se": 30 / 40, "ppv": 30 / 35, "fpr": 5 / (5 + 142), "beats": 40})


def test_nothing_to_count_is_not_a_number() -> None:
    figures = ec57_figures(np.diag([5, 0, 0, 0, 0]), CLASSES)
    assert math.isnan(figures["S"]["se"])
    assert math.isnan(figures["V"]["ppv"])
    assert figures["S"]["fpr"] == 0


@given(st.lists(st.lists(st.integers(0, 50), min_size=5, max_size=5), min_size=5, max_size=5))
def test_excuses_never_make_a_figure_worse(matrix: list[list[int]]) -> None:
    counts = np.array(matrix)
    for index, name in ((1, "S"), (2, "V")):
        figures = ec57_figures(matrix, CLASSES)[name]
        if counts[:, index].sum() and not math.isnan(figures["ppv"]):
            assert counts[index, index] / counts[:, index].sum() <= figures["ppv"] <= 1
        if not math.isnan(figures["fpr"]):
            assert 0 <= figures["fpr"] <= 1


def test_matrices_of_records_add_up() -> None:
    table = pd.DataFrame(
        [("a", "N", "N"), ("a", "S", "N"), ("b", "V", "V"), ("b", "V", "F")], columns=["record", "label", "prediction"]
    )
    matrices = per_record(table, CLASSES)
    assert matrices["a"].tolist()[0] == [1, 0, 0, 0, 0]
    assert matrices["a"].tolist()[1] == [1, 0, 0, 0, 0]
    assert matrices["b"].tolist()[2] == [0, 0, 1, 1, 0]
    assert sum(matrix.sum() for matrix in matrices.values()) == 4
