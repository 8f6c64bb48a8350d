from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_beats

from data_configs import DatasetConfig
from split_file import Split, load_split, splits_by_patient
from support.errors import InputError


@pytest.mark.parametrize("shape", ["n1L", "nL1", "nL"])
@pytest.mark.parametrize("as_numpy", [False, True])
@pytest.mark.parametrize("label_type", [torch.float64, torch.int64, torch.int32, torch.uint8])
def test_files_of_the_released_code_and_its_copies_load(
    tmp_path: Path, mit: DatasetConfig, shape: str, as_numpy: bool, label_type: torch.dtype
) -> None:
    samples, labels = toy_beats(10, 5)
    stored = {"n1L": samples, "nL1": samples.transpose(1, 2), "nL": samples.squeeze(1)}[shape]
    stored_labels = labels.to(label_type)
    contents = (
        {"samples": stored.numpy(), "labels": stored_labels.numpy()}
        if as_numpy
        else {"samples": stored, "labels": stored_labels}
    )
    torch.save(contents, tmp_path / "train.pt")
    split = load_split(tmp_path / "train.pt", mit)
    assert split.samples.dtype == torch.float32
    assert split.labels.dtype == torch.int64
    assert torch.equal(split.samples, samples)
    assert torch.equal(split.labels, labels)


def test_the_path_may_be_text(tmp_path: Path, mit: DatasetConfig) -> None:
    samples, labels = toy_beats(10, 5)
    torch.save({"samples": samples, "labels": labels}, tmp_path / "train.pt")
    assert len(load_split(str(tmp_path / "train.pt"), mit)) == 10
    with pytest.raises(InputError, match=r"val\.pt: no such file"):
        load_split(str(tmp_path / "val.pt"), mit)


def test_a_text_in_a_split_file_forges_no_line_of_a_log(tmp_path: Path, mit: DatasetConfig) -> None:
    samples, labels = toy_beats(10, 5)
    forged = dict.fromkeys(("source", "protocol", "window"), "beat\nepoch 2/2: \x1b[31m")
    records = {"records": labels, "record_names": ["a"] * 5, "databases": ["b\nc"] * 5}
    torch.save({"samples": samples, "labels": labels, **forged, **records}, tmp_path / "train.pt")
    split = load_split(tmp_path / "train.pt", mit)
    assert all(text.isprintable() for text in (split.origin, split.window, split.source))
    assert split.protocol == "beat epoch 2/2: \\x1b[31m"


def damage(kind: str, path: Path) -> None:
    """Write a split file with one thing wrong."""
    samples, labels = toy_beats(10, 5)
    contents: object = {"samples": samples, "labels": labels}
    match kind:
        case "nan":
            samples[3, 0, 7] = float("nan")
        case "infinite":
            samples[3, 0, 7] = float("inf")
        case "label above":
            labels[2] = 5
        case "label below":
            labels[2] = -1
        case "label fraction":
            contents = {"samples": samples, "labels": labels + 0.5}
        case "lengths":
            contents = {"samples": samples, "labels": labels[:-1]}
        case "beat length":
            contents = {"samples": samples[:, :, :100], "labels": labels}
        case "dimensions":
            contents = {"samples": samples.reshape(2, 5, 1, 186), "labels": labels}
        case "two leads":
            contents = {"samples": samples.repeat(1, 2, 1), "labels": labels}
        case "no beats":
            contents = {"samples": samples[:0], "labels": labels[:0]}
        case "no labels":
            contents = {"samples": samples}
        case "text":
            contents = {"samples": ["a", "b"], "labels": labels}
        case "list":
            contents = [samples, labels]
        case "classes":
            contents = {"samples": samples, "labels": labels, "classes": ["normal", "infarction"]}
        case "class names":
            contents = {"samples": samples, "labels": np.array(["N"] * len(labels))}
        case "records":
            contents = {"samples": samples, "labels": labels, "records": labels[:3]}
        case "databases":
            names = {"record_names": ["a", "b", "c", "d", "e"], "databases": ["mitdb"]}
            contents = {"samples": samples, "labels": labels, "records": labels} | names
        case "record index":
            contents = {"samples": samples, "labels": labels, "records": labels, "record_names": ["only"]}
    torch.save(contents, path)
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:-300])
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "other file":
        path.write_text("samples,labels\n1,2\n")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "1 beats hold NaN or infinite samples, the first is beat 3"),
        ("infinite", "NaN or infinite"),
        ("label above", r"label 5 of beat 2 .* 0 to 4"),
        ("label below", "label -1 of beat 2"),
        ("label fraction", "label 0.5 of beat 0"),
        ("lengths", "labels of shape .*beside 10 beats"),
        ("beat length", "beats of 100 samples, the network takes 186"),
        ("dimensions", r"samples of shape \(2, 5, 1, 186\)"),
        ("two leads", r"samples of shape \(10, 2, 186\)"),
        ("no beats", "holds no beats"),
        ("no labels", "has no 'labels'"),
        ("text", "'samples' is a list"),
        ("list", "holds a list"),
        ("classes", "normal, infarction"),
        ("class names", "arrays of numbers are needed; .*, or as data/README.md, A dataset of your own, says"),
        ("records", "'records' of shape"),
        ("databases", "1 'databases' beside 5 'record_names'"),
        ("record index", "'records' counts from 0 to 4, beside 1"),
        ("cut short", "damaged"),
        ("empty", "is empty"),
        ("other file", "damaged"),
    ],
)
def test_bad_split_files(tmp_path: Path, mit: DatasetConfig, kind: str, message: str) -> None:
    path = tmp_path / "train.pt"
    damage(kind, path)
    with pytest.raises(InputError, match=message) as error:
        load_split(path, mit)
    assert str(path) in str(error.value)


class _Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize(
    ("writer", "message"), [("torch", "was not run"), ("legacy", "was not run"), ("pickle", "not a file of torch.save")]
)
def test_code_in_a_file_is_never_run(tmp_path: Path, mit: DatasetConfig, writer: str, message: str) -> None:
    path, marker = tmp_path / "train.pt", tmp_path / "ran"
    contents = {"samples": _Attack(marker), "labels": torch.zeros(1)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(contents))
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(InputError, match=message):
        load_split(path, mit)
    assert not marker.exists()


def test_numpy_objects_are_refused(tmp_path: Path, mit: DatasetConfig) -> None:
    marker = tmp_path / "ran"
    array = np.empty(1, dtype=object)
    array[0] = _Attack(marker)
    torch.save({"samples": array, "labels": np.zeros(1)}, tmp_path / "train.pt")
    with pytest.raises(InputError):
        load_split(tmp_path / "train.pt", mit)
    assert not marker.exists()


def test_its_records_are_those_of_its_beats_by_their_names_alone() -> None:
    names, databases = ("mitdb/100", "mitdb/101", "800"), ("mitdb", "mitdb", "svdb")
    labels = torch.zeros(3, dtype=torch.int64)
    split = Split(torch.zeros(3, 1, 186), labels, None, torch.tensor([2, 0, 2]), None, names, databases)
    assert split.its_records == [("mitdb", "100"), ("svdb", "800")]
    assert split.its_databases == ["mitdb", "svdb"]
    assert split.subset(torch.tensor([0])).its_databases == ["svdb"]
    assert dataclasses.replace(split, databases=()).its_records == [("", "mitdb/100"), ("", "800")]


def test_the_protocol_says_whether_the_test_patients_are_new() -> None:
    protocols = ("inter_patient", "inter_patient, fold 1 of 5", "beat", "unknown")
    assert [splits_by_patient(protocol) for protocol in protocols] == [True, True, False, None]


def test_fingerprints_are_of_all_that_is_learnt_from_and_of_every_place() -> None:
    samples, labels = toy_beats(10, 5)
    split = Split(samples, labels, torch.zeros(10, 2), torch.zeros(10).long(), torch.arange(10), ("a", "b"), ("x", "x"))
    beats: list[Any] = [{}, {"samples": samples + 1}, {"labels": labels.flip(0)}, {"context": torch.ones(10, 2)}]
    places: list[Any] = [{}, {"records": torch.ones(10).long()}, {"positions": torch.arange(1, 11)}]
    places += [{"record_names": ("b", "a")}, {"databases": ("x", "y")}, {"records": None}]
    assert len({dataclasses.replace(split, **other).fingerprint() for other in beats}) == len(beats)
    assert len({dataclasses.replace(split, **other).place_fingerprint() for other in places}) == len(places)
    assert {dataclasses.replace(split, **other).fingerprint() for other in places} == {split.fingerprint()}
