"""Beats that others have cut: the Kaggle "heartbeat" set, which the paper used.

Kachuee, Fazeli & Sarrafzadeh 2018, "ECG heartbeat classification: a deep transferable representation" (doi
10.1109/ICHI.2018.00092). A row is 187 samples at 125 Hz scaled to [0, 1], zero-padded, and a label. As the paper's
authors did, the first 186 samples are kept. Records and positions are not known.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from preprocess.beats import LENGTH, BeatSet
from preprocess.kachuee import FS, SAMPLES
from preprocess.labels import CLASSES
from support.errors import InputError

WINDOW = (
    f"the first {LENGTH} of the {SAMPLES} samples of a row: at {FS:g} Hz from an R-peak on for 1.2 median R-R "
    "intervals, each beat scaled to [0, 1], padded with zeros"
)

FILES = {
    "mit": {"mitbih_train.csv": range(5), "mitbih_test.csv": range(5)},
    "ptb": {"ptbdb_normal.csv": range(1), "ptbdb_abnormal.csv": range(1, 2)},
}
"""The files of each dataset, and the labels that each may hold."""


def read_kaggle(dataset: str, folder: Path) -> BeatSet:
    """Read all beats of the two files of a dataset; for `mit` the test beats are those of mitbih_test.csv.

    Raises:
        InputError: a file is absent, or a row is not 187 finite samples and a label of the file.
    """
    folder = Path(folder)
    parts = [read_rows(folder / name, labels) for name, labels in FILES[dataset].items()]
    return BeatSet(
        samples=np.concatenate([samples for samples, _ in parts])[:, None, :],  # (n, L) -> (n, 1, L)
        labels=np.concatenate([labels for _, labels in parts]),
        classes=CLASSES[dataset],
        fs=FS,
        source="kaggle",
        window=WINDOW,
        given_test=np.repeat([False, True], [len(labels) for _, labels in parts]) if dataset == "mit" else None,
    )


def read_rows(path: Path, labels: range) -> tuple[np.ndarray, np.ndarray]:
    """Read one CSV file -> float32 (n, LENGTH) samples and int64 (n,) labels.

    Args:
        labels: those that the file may hold.

    Raises:
        InputError: the file is absent, or a row is not 187 finite samples and such a label.
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(
            f"{path} is not there: --source kaggle reads {' and '.join(FILES['mit'])}, or "
            f"{' and '.join(FILES['ptb'])}, of kaggle.com/datasets/shayanfazeli/heartbeat from --raw_path"
        )
    try:
        with np.errstate(over="ignore"):  # too large for float32: infinite, and found below
            table = pd.read_csv(path, header=None, dtype=np.float32).to_numpy()
    except (ValueError, OSError):  # pandas' parser errors are ValueErrors, and do not always say where
        table = np.empty((0, 0), dtype=np.float32)
    last = table[:, -1] if table.size else table
    if table.shape[1] != SAMPLES + 1 or not np.isfinite(table).all() or not np.isin(last, labels).all():
        raise InputError(f"{path}, {faulty_row(path, labels)}")
    return np.ascontiguousarray(table[:, :LENGTH]), last.astype(np.int64)


def faulty_row(path: Path, labels: range) -> str:
    """Find the first row that is not a beat, line by line -> "row 7: ..."."""
    expected = f"a row is {SAMPLES} numbers and a label"
    fault = "no rows"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.reader(stream)
            for cells in rows:
                where = f"row {rows.line_num}"
                if not cells:
                    continue
                fault = "not plain comma-separated numbers"
                if len(cells) != SAMPLES + 1:
                    return f"{where}: {len(cells)} values; {expected}"
                for column, cell in enumerate(cells, start=1):
                    if not _is_finite(cell):
                        return f"{where}: value {column} is {cell.strip()[:20]!r}; {expected}"
                if float(cells[-1]) not in labels:
                    return f"{where}: label {cells[-1].strip()}; labels here are {', '.join(map(str, labels))}"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return f"not readable as text ({error}); {expected}"
    return f"{fault}; {expected}"


def _is_finite(cell: str) -> bool:
    try:
        with np.errstate(over="ignore"):
            return math.isfinite(np.float32(cell))
    except ValueError:
        return False
