from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_records import read_splits

from preprocess.__main__ import main
from preprocess.kaggle import read_kaggle, read_rows
from support.errors import InputError

TRAIN, TEST = (60, 10, 20, 10, 15), (12, 5, 6, 5, 5)  # beats a class, in blocks as in the original files


def write_rows(path: Path, counts: dict[int, int], seed: int = 0) -> np.ndarray:
    """Write rows as the Kaggle files have them -> the numbers (n, 188)."""
    labels = np.repeat([*counts], [*counts.values()]).astype(float)
    rows = np.column_stack([np.random.default_rng(seed).random((len(labels), 187)), labels])
    np.savetxt(path, rows, fmt="%.18e", delimiter=",")
    return rows


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    folder = tmp_path / "kaggle"
    folder.mkdir()
    write_rows(folder / "mitbih_train.csv", dict(enumerate(TRAIN)))
    write_rows(folder / "mitbih_test.csv", dict(enumerate(TEST)), seed=1)
    write_rows(folder / "ptbdb_normal.csv", {0: 40}, seed=2)
    write_rows(folder / "ptbdb_abnormal.csv", {1: 110}, seed=3)
    return folder


def run(kaggle: Path, *arguments: str) -> int:
    paths = ["--source", "kaggle", "--raw_path", str(kaggle), "--out", str(kaggle.parent / "out")]
    return main([*paths, *arguments])


def test_rows_keep_their_first_186_samples_unscaled(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", {0: 3, 2: 2})
    samples, labels = read_rows(tmp_path / "rows.csv", range(5))
    assert samples.dtype == np.float32 and labels.dtype == np.int64
    np.testing.assert_array_equal(samples, rows[:, :186].astype(np.float32))
    assert labels.tolist() == [0, 0, 0, 2, 2]


def test_mit_keeps_its_test_file_and_holds_out_a_fifth_of_train(kaggle: Path) -> None:
    assert run(kaggle, "--dataset", "mit") == 0
    files = read_splits(kaggle.parent / "out" / "mit")
    counts = {name: torch.bincount(content["labels"]).tolist() for name, content in files.items()}
    assert counts == {"train": [48, 8, 16, 8, 12], "val": [12, 2, 4, 2, 3], "test": [*TEST]}
    rows = np.loadtxt(kaggle / "mitbih_test.csv", delimiter=",")
    np.testing.assert_allclose(files["test"]["samples"][:, 0], rows[:, :186], rtol=1e-6)
    for content in files.values():
        assert content["samples"].shape[1:] == (1, 186) and content["samples"].dtype == torch.float32
        assert content["source"] == "kaggle" and content["protocol"] == "beat" and content["fs"] == 125
        assert content["classes"] == list("NSVFQ") and "first 186 of the 187" in content["window"]
        assert not {"records", "positions", "record_names", "patients", "leads", "record_fs"} & set(content)


def test_ptb_is_split_as_the_paper_does(kaggle: Path) -> None:
    assert run(kaggle, "--dataset", "ptb") == 0
    files = read_splits(kaggle.parent / "out" / "ptb")
    counts = {name: torch.bincount(content["labels"]).tolist() for name, content in files.items()}
    assert counts["test"] == [8, 22] and counts["val"] == pytest.approx([6, 18], abs=1)
    assert sum(map(sum, counts.values())) == 150
    samples = torch.cat([content["samples"] for content in files.values()])
    assert len(torch.unique(samples, dim=0)) == 150
    assert run(kaggle, "--dataset", "ptb", "--fractions", "1", "1", "1") == 0
    assert {len(content["labels"]) for content in read_splits(kaggle.parent / "out" / "ptb").values()} == {50}


def edit(row: int, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """A change of one row, by its number from 1, of a CSV file."""

    def apply(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[row - 1] = ",".join(change(lines[row - 1].split(",")))
        path.write_text("\n".join(lines) + "\n")

    return apply


FAULTS = {
    "short": (edit(7, lambda cells: cells[:-1]), "row 7: 187 values; a row is 187 numbers and a label"),
    "long": (edit(9, lambda cells: [*cells, "0"]), "row 9: 189 values"),
    "all long": (edit(1, lambda cells: [*cells, "0"]), "row 1: 189 values"),
    "word": (edit(115, lambda cells: [*cells[:3], "abc", *cells[4:]]), "row 115: value 4 is 'abc'"),
    "NaN": (edit(30, lambda cells: [*cells[:9], "nan", *cells[10:]]), "row 30: value 10 is 'nan'"),
    "empty": (edit(31, lambda cells: ["", *cells[1:]]), "row 31: value 1 is ''"),
    "infinite": (edit(2, lambda cells: ["1e99", *cells[1:]]), "row 2: value 1 is '1e99'"),
    "label": (edit(3, lambda cells: [*cells[:-1], "5"]), "row 3: label 5; labels here are 0, 1, 2, 3, 4"),
    "half": (edit(3, lambda cells: [*cells[:-1], "0.5"]), "row 3: label 0.5"),
    "no rows": (lambda path: path.write_text(""), "no rows"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe" * 300), "not readable as text"),
    "absent": (lambda path: path.unlink(), "is not there: --source kaggle reads mitbih_train.csv and"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_row_is_named(kaggle: Path, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    path, (spoil, message) = kaggle / "mitbih_train.csv", FAULTS[fault]
    spoil(path)
    assert run(kaggle, "--dataset", "mit") == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith(f"error: {path}") and message in error[0]
    assert not (kaggle.parent / "out").exists()


def test_the_row_number_counts_every_line(kaggle: Path) -> None:
    path = kaggle / "mitbih_train.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "", *lines[4:]]) + "\n\n")
    assert len(read_kaggle("mit", kaggle).labels) == sum(TRAIN) + sum(TEST)  # blank lines are not rows
    edit(8, lambda cells: cells[:5])(path)
    with pytest.raises(InputError, match="row 8: 5 values"):
        read_kaggle("mit", kaggle)


def test_labels_of_the_other_ptb_file_are_refused(kaggle: Path) -> None:
    edit(5, lambda cells: [*cells[:-1], "0"])(kaggle / "ptbdb_abnormal.csv")
    with pytest.raises(InputError, match=r"ptbdb_abnormal.csv, row 5: label 0; labels here are 1"):
        read_kaggle("ptb", kaggle)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "mit", "--fractions", "70", "15", "15"), "--fractions does not apply"),
        (("--dataset", "mit", "--split", "inter_patient"), "needs to know the patients"),
        (("--dataset", "ptb", "--any_lead"), "--any_lead does not go with --source kaggle"),
    ],
)
def test_options_that_do_not_apply_are_refused(
    kaggle: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(kaggle, *arguments) == 2
    assert message in capsys.readouterr().err
