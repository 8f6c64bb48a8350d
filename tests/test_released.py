from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import RELEASED, needs, toy_beats
from made_records import read_splits

import data_configs
from dataloader import data_generator
from hparams import RunConfig
from preprocess.__main__ import main
from preprocess.released import read_released
from support.errors import InputError
from trainer import Trainer


def write_released(path: Path, dataset: str = "ptb", count: int = 60, length: int = 186) -> tuple[torch.Tensor, ...]:
    """Write a file as the paper's authors did: samples (n, 1, L) float32 and labels (n,) float64."""
    samples, labels = toy_beats(count, {"mit": 5, "ptb": 2}[dataset], length)
    torch.save({"samples": samples, "labels": labels.double()}, path)
    return samples, labels


def deal(path: Path, *arguments: str, dataset: str = "ptb") -> int:
    source = ["--dataset", dataset, "--source", "released", "--raw_path", str(path), "--out", str(path.parent / "out")]
    return main([*source, *arguments])


@pytest.mark.parametrize("dataset", ["mit", "ptb"])
@pytest.mark.parametrize("length", [186, 187])
def test_one_file_becomes_three_splits(tmp_path: Path, dataset: str, length: int) -> None:
    samples, labels = write_released(tmp_path / "one.pt", dataset, 100, length)
    assert deal(tmp_path / "one.pt", "--fractions", "70", "15", "15", dataset=dataset) == 0
    files = read_splits(tmp_path / "out" / dataset)
    assert [len(content["labels"]) for content in files.values()] == pytest.approx([70, 15, 15], abs=1)
    for content in files.values():
        assert content["source"] == "released" and content["protocol"] == "beat" and content["fs"] == 125
        assert content["labels"].dtype == torch.int64 and f"{length} samples as in the file" in content["window"]
        assert not {"records", "positions", "patients"} & set(content)
    there = {(sample.numpy().tobytes(), int(label)) for sample, label in zip(samples, labels, strict=True)}
    dealt = {
        (sample.numpy().tobytes(), int(label))
        for content in files.values()
        for sample, label in zip(content["samples"], content["labels"], strict=True)
    }
    assert dealt == there and len(dealt) == 100


@pytest.mark.parametrize("shape", ["n1L", "nL1", "nL"])
@pytest.mark.parametrize("as_numpy", [False, True])
def test_copies_of_other_shapes_are_read(tmp_path: Path, shape: str, as_numpy: bool) -> None:
    samples, labels = write_released(tmp_path / "one.pt")
    stored = {"n1L": samples, "nL1": samples.transpose(1, 2), "nL": samples.squeeze(1)}[shape]
    contents: dict[str, Any] = {"samples": stored, "labels": labels.double()}
    if as_numpy:
        contents = {key: value.numpy() for key, value in contents.items()}
    torch.save(contents, tmp_path / "one.pt")
    beats = read_released("ptb", tmp_path / "one.pt")
    assert (beats.samples == samples.numpy()).all() and beats.samples.shape == (60, 1, 186)
    assert (beats.labels == labels.numpy()).all() and beats.classes == ("normal", "infarction")


def test_what_is_no_released_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.pt"
    write_released(path)

    def message(*arguments: str, where: Path = path, dataset: str = "ptb") -> str:
        assert deal(where, *arguments, dataset=dataset) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    assert f"{tmp_path} is a folder: --source released reads one .pt file" in message(where=tmp_path)
    assert "absent.pt is not there: --source released reads one" in message(where=tmp_path / "absent.pt")
    assert "needs to know the patients, which source released does not" in message("--split", "inter_patient")
    assert "--window does not go with --source released" in message("--window", "kachuee")
    assert "--any_lead does not go with --source released" in message("--any_lead")
    assert main(["--dataset", "ptb", "--source", "released"]) == 2
    assert "--source released needs --raw_path FILE.pt" in capsys.readouterr().err
    assert main(["--dataset", "ptb", "--source", "kaggle", "--window", "centred"]) == 2
    assert "--window does not go with --source kaggle" in capsys.readouterr().err
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(path.read_bytes()[:-300])
    assert "damaged" in message(where=damaged)
    write_released(path, "mit")
    assert "label 2 of beat 2 is not a class of ptb" in message()
    assert not (tmp_path / "out").exists()


def test_beats_of_known_source_do_not_lose_it(tmp_path: Path) -> None:
    samples, labels = toy_beats(10, 2)
    torch.save({"samples": samples, "labels": labels, "source": "synthetic"}, tmp_path / "one.pt")
    with pytest.raises(InputError, match="split file of source synthetic"):
        read_released("ptb", tmp_path / "one.pt")


@pytest.mark.usefixtures("small_runs")
@pytest.mark.parametrize("length", [186, 187])
def test_a_released_file_is_trained_and_tested_on(tmp_path: Path, length: int) -> None:
    write_released(tmp_path / "one.pt", length=length)
    assert deal(tmp_path / "one.pt") == 0
    settings: Any = {"dataset": "ptb", "recipe": "short", "num_epochs": 1, "limit_train": 20, "sequence_len": length}
    settings |= {"experiment_description": "released", "run_description": "run"}
    settings |= {"data_path": str(tmp_path / "out"), "save_dir": str(tmp_path / "logs")}
    Trainer(RunConfig(**settings)).train()
    assert "released data, beat split" in (tmp_path / "logs/released/run/seed_0/train.log").read_text()
    matrix = json.loads((tmp_path / "logs/released/run/seed_0/test_best.json").read_text())["confusion_matrix"]
    assert np.sum(matrix) == len(torch.load(tmp_path / "out/ptb/test.pt", weights_only=True)["labels"])


@needs(RELEASED.name)
def test_the_released_file_itself(tmp_path: Path) -> None:
    file = tmp_path / "released.pt"
    file.symlink_to(RELEASED)
    assert deal(file, "--fractions", "70", "15", "15") == 0
    files = read_splits(tmp_path / "out" / "ptb")
    counts = {name: torch.bincount(content["labels"]).tolist() for name, content in files.items()}
    assert counts == {"train": [453, 1175], "val": [97, 253], "test": [97, 253]}
    whole = torch.load(RELEASED, weights_only=True)["samples"].numpy()
    dealt = [sample.numpy().tobytes() for content in files.values() for sample in content["samples"]]
    assert sorted(dealt) == sorted(sample.tobytes() for sample in whole)

    copies = tmp_path / "copies/ptb"
    copies.mkdir(parents=True)
    for name in files:
        (copies / f"{name}.pt").symlink_to(RELEASED)
    splits = data_generator(copies.parent, data_configs.ptb(), None, 0)
    assert all((split.samples.numpy() == whole).all() for split in splits.values())


def test_the_file_of_another_dataset_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_released(tmp_path / "one.pt", "ptb")
    assert deal(tmp_path / "one.pt", dataset="mit") == 2
    assert "has no beat of class V, F, Q" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
