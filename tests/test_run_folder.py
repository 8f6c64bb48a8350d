"""What a run's folder says and holds; how a run writes and resumes it is in test_trainer.py."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import data_configs
import hparams
from data_configs import DatasetConfig
from hparams import RunConfig, TrainingConfig
from models import BiTrans, ecgTransForm
from run_folder import network, reports, resume
from run_folder.layout import SeedRun, new_run_folder
from run_folder.network import load_network
from run_folder.reports import (
    epoch_line,
    headline,
    history_row,
    learnt_note,
    metrics_table,
    never_called_note,
    predictions_table,
    protocol_note,
    selection_note,
    summary_table,
)
from split_file import Split
from support.errors import InputError
from utils import Checkpoint, classification_metrics, save_checkpoint


def test_what_is_said_of_classes_of_few_and_of_no_validation_beats() -> None:
    labels = torch.repeat_interleave(torch.arange(5), torch.tensor([20, 3, 12, 0, 10]))
    split = Split(torch.zeros(len(labels), 1, 186), labels)
    note = selection_note(split, "NSVFQ", "best") or ""
    assert note.startswith(
        "note: class F has no validation beat and no part in any macro figure of validation; the best "
    )
    assert "is chosen without classes of fewer than 10 validation beats, S (3): their F1 varies" in note
    without = selection_note(split.subset((labels != 1).nonzero().flatten()), "NSVFQ", "best") or ""
    assert without == "note: classes S, F have no validation beat and no part in any macro figure of validation"


def test_tables_have_the_shape_of_the_papers() -> None:
    labels = np.array([0, 0, 1, 1])
    runs = [classification_metrics(labels, np.array(p), ("a", "b")) for p in ([0, 0, 1, 1], [0, 1, 1, 1])]
    table = metrics_table(runs[0])
    assert list(table.columns) == ["a", "b", "macro"]
    assert list(table.index) == ["precision", "recall", "f1", "support"]
    table = metrics_table(runs[1])
    assert table["a"].tolist() == pytest.approx([100, 50, 200 / 3, 2])
    assert table["b"].tolist() == pytest.approx([200 / 3, 100, 80, 2])
    assert table["macro"].tolist() == pytest.approx([500 / 6, 75, 220 / 3, 4])
    absent = metrics_table(classification_metrics(labels, labels, ("a", "b", "c")))["c"]
    assert absent[:-1].isna().all() and absent["support"] == 0
    assert headline(runs[1]) == "accuracy 75.00 %, macro-F1 73.33 %"
    summary = summary_table(runs)
    assert list(summary.columns) == ["a", "a_sd", "b", "b_sd", "macro", "macro_sd"]
    assert summary.loc["recall", "a"] == pytest.approx(75)
    assert summary.loc["recall", "a_sd"] == pytest.approx(np.std([100, 50], ddof=1))
    assert summary.loc["accuracy", "macro"] == pytest.approx(87.5)
    assert summary_table(runs[:1])["a_sd"].isna().all()


def test_an_epoch_is_told_by_its_own_figures() -> None:
    train = {"loss": 0.5, "accuracy": 0.91, "macro_f1": 0.82, "beats_per_second": 1234.4}
    per_class = {
        "a": {"f1": 0.7, "recall": 0.61, "support": 20},
        "b": {"f1": 0.5, "recall": 0.41, "support": 20},
        "c": {"f1": 0.2, "recall": 0.21, "support": 9},
    }
    validation = {"accuracy": 0.73, "macro_f1": 0.64, "per_class": per_class}
    rows = [history_row(epoch, train, 0.25, validation, "best", 61.04) for epoch in (1, 2)]
    assert rows[0] == {
        "epoch": 1,
        "train_loss": 0.5,
        "train_accuracy": 0.91,
        "train_macro_f1": 0.82,
        "val_loss": 0.25,
        "val_accuracy": 0.73,
        "val_macro_f1": 0.64,
        "val_selection_f1": 0.6,  # c has too few beats
        "val_f1_a": 0.7,
        "val_f1_b": 0.5,
        "val_f1_c": 0.2,
        "seconds": 61.04,
        "train_beats_per_second": 1234.4,
    }
    line = (
        "epoch {}/9: train loss 0.5000 acc 91.00 macro-F1 82.00; val loss 0.2500 acc 73.00 macro-F1 64.00; 61.0 s, "
        "training 1234 beats/s"
    )
    best = ", best so far (60.00 without classes of few validation beats)"
    assert epoch_line(rows[:1], 9) == line.format(1) + best
    assert epoch_line([rows[0] | {"val_selection_f1": 0.64}], 9) == line.format(1) + ", best so far"
    assert epoch_line(rows, 9) == line.format(2)  # no better than the first
    assert epoch_line([history_row(1, train, 0.25, validation, "last", 61.04)], 9) == line.format(1)


def test_predictions_stand_beside_the_beat_that_they_are_of() -> None:
    split = Split(
        torch.zeros(3, 1, 186),
        torch.tensor([0, 1, 1]),
        records=torch.tensor([1, 0, 0]),
        record_names=("100", "101"),
        positions=torch.tensor([70, 80, 90]),
    )
    table = predictions_table(split, np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), ("a", "b"))
    assert list(table) == ["record", "position", "label", "prediction", "p_a", "p_b"]
    assert table.values.tolist() == [
        ["101", 70, "a", "a", 0.9, 0.1],
        ["100", 80, "b", "a", 0.6, 0.4],
        ["100", 90, "b", "b", 0.2, 0.8],
    ]
    alone = predictions_table(Split(split.samples, split.labels), np.eye(2)[[0, 1, 1]], ("a", "b"))
    assert list(alone) == ["label", "prediction", "p_a", "p_b"]


def test_a_network_is_loaded_ready_to_classify(tmp_path: Path, mit: DatasetConfig) -> None:
    """By name or by path as text, with this machine's kernel."""
    recipe = dataclasses.replace(hparams.supervised(), kernel="stock")
    save_checkpoint(
        tmp_path / "checkpoint_best.pt", Checkpoint("mit", mit, recipe, ecgTransForm(mit, recipe).state_dict())
    )
    for given in (str(tmp_path), tmp_path / "checkpoint_best.pt"):
        model, checkpoint = load_network(given)
        assert not model.training
        assert isinstance(model.bitrans, BiTrans) and model.bitrans.kernel_on(torch.device("cpu")) != "stock"
        assert checkpoint.hparams == recipe
        assert torch.equal(model.state_dict()["clf.weight"], checkpoint.model["clf.weight"])
    assert load_network("mit_new_patients")[0].has_rhythm_head


def test_a_network_is_the_same_in_a_notebook_of_double_precision_and_leaves_its_random_numbers_alone() -> None:
    expected = load_network("mit_beat")[0].state_dict()
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        model = load_network("mit_beat")[0]
    finally:
        torch.set_default_dtype(dtype)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=0)  # types too


def test_a_network_is_loaded_in_the_arithmetic_that_a_run_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """What main.py refuses is refused; and on CUDA fp32 and tf32 are what they say."""
    for settings, said in (
        ({"precision": "tf32"}, "--precision tf32 needs a CUDA GPU; on cpu use fp32 or bf16"),
        ({"precision": "bf16", "kernel": "stock"}, "--precision bf16 does not work with --kernel stock"),
    ):
        with pytest.raises(InputError, match=said):
            load_network("mit_beat", **settings)
    switches: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    monkeypatch.setattr(network, "get_device", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(ecgTransForm, "to", lambda model, device: model)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for precision in ("tf32", "fp32"):
            load_network("mit_beat", "cuda", precision=precision)
            assert [switch.allow_tf32 for switch in switches] == [precision == "tf32"] * 2
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value
    with pytest.raises(InputError, match="--kernel torch is not available: it works on the CPU, not on cuda"):
        load_network("mit_beat", "cuda", kernel="torch")


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--save_dir"):
        new_run_folder(tmp_path / "file", "e", "r")


def test_any_command_line_holds_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["main.py", "--data_path", "\udce9"])  # the name of a folder, no UTF-8
    in_use = r"in use by process \d+ on .*: main.py --data_path \\udce9; wait until it ends"
    with resume.locked(tmp_path), pytest.raises(InputError, match=in_use), resume.locked(tmp_path):
        pass


def test_runs_of_one_name_do_not_overwrite_one_another(tmp_path: Path) -> None:
    names = [new_run_folder(tmp_path, "e", "r").name for _ in range(3)]
    assert names == ["r", "r-2", "r-3"]
    assert new_run_folder(tmp_path, "e", None) != new_run_folder(tmp_path, "e", None)


def test_a_test_on_records_of_the_training_is_noted_but_on_its_own_test_split(
    tmp_path: Path, mit: DatasetConfig
) -> None:
    labels = torch.tensor([0, 1])
    test = Split(torch.zeros(2, 1, 186), labels, records=labels, record_names=("100", "101"), source="physionet")
    learnt = {"training_records": ["101", "102"], "source": "physionet"}
    own = {"fingerprints": {"test": test.fingerprint()}}
    for data, noted in (
        (learnt, True),
        (learnt | own, False),  # split by beat, as every title says
        (learnt | own | {"init": "mit_beat"}, True),  # --init learnt elsewhere, too
        (learnt | {"source": "synthetic"}, False),
        (learnt | {"training_records": ["102"]}, False),
    ):
        checkpoint = Checkpoint("mit", mit, hparams.supervised(), {}, metrics={"data": data})
        note = learnt_note(tmp_path / "checkpoint_best.pt", checkpoint, test) or ""
        assert (
            note.startswith("note: the network was trained on 1 of the 2 records tested here, by their names (101); ")
            == noted
        )


@pytest.mark.parametrize(("selection", "learnt"), [("best", ["a"]), ("last", ["a", "b"])])
def test_beats_of_smote_are_of_the_records_that_it_makes_them_of(
    mit: DatasetConfig, supervised: TrainingConfig, selection: str, learnt: list[str]
) -> None:
    labels = torch.zeros(1, dtype=torch.int64)
    train, val, test = (
        Split(torch.zeros(1, 1, 186), labels, records=labels + record, record_names=("a", "b", "c"))
        for record in range(3)
    )
    splits = {"train": train, "val": val, "test": test}
    recipe = dataclasses.replace(supervised, sampler="smote", selection=selection)
    made = dataclasses.replace(train, records=None)
    run = SeedRun(RunConfig(), 0, mit, recipe, torch.device("cpu"), splits, made, torch.ones(5))
    assert run.data["training_records"] == learnt


def test_classes_that_are_never_called_are_told() -> None:
    labels = np.array([0, 0, 1, 2])
    assert never_called_note(classification_metrics(labels, labels, "NSVF")) is None  # no beat is F
    note = never_called_note(classification_metrics(labels, np.array([0, 1, 1, 0]), "NSVF"))
    assert note == "note: no beat was called V; a precision of 0.00 stands for one that is not defined"
    metrics = classification_metrics(labels, np.zeros(4, int), "NSVF")
    note = never_called_note(metrics)
    assert note == "note: every beat was called N: this network tells no classes apart; train it longer"
    note = never_called_note(metrics | {"checkpoint": "mit_beat"})  # --test: it may tell those of other beats apart
    assert note == "note: every beat was called N: of these beats this network tells no classes apart"


@pytest.mark.parametrize(
    ("context", "protocol", "noted"),
    [
        ("rhythm", "beat", True),
        ("rhythm", "inter_patient", False),
        ("rhythm", "unknown", False),
        ("joint", "beat", False),
    ],
)
def test_a_network_for_new_patients_on_a_split_by_beat_is_noted(context: str, protocol: str, noted: bool) -> None:
    split = Split(torch.zeros(1, 1, 186), torch.zeros(1, dtype=torch.int64), protocol=protocol)
    note = protocol_note(split, data_configs.mit(context=context))
    assert (note is not None) == noted


@pytest.mark.parametrize(
    ("trained_on", "differs"),
    [
        ({"window": "centred", "fs": 360.0}, None),
        ({"window": "kachuee", "fs": 360.0}, "window"),
        ({"window": "centred", "fs": 125.0}, "fs"),
        ({"window": "unknown", "fs": None}, None),
        ({}, None),
    ],
)
def test_beats_of_another_window_or_rate_than_those_of_the_training_are_refused(
    trained_on: dict[str, Any], differs: str | None
) -> None:
    split = Split(torch.zeros(1, 1, 186), torch.zeros(1, dtype=torch.int64), window="centred", fs=360.0)
    if differs is None:
        resume.require_same_window(Path("c.pt"), trained_on, split)
    else:
        with pytest.raises(InputError, match=f"^c.pt: was trained on beats of {differs} '{trained_on[differs]}'"):
            resume.require_same_window(Path("c.pt"), trained_on, split)


def test_what_has_changed_when_a_run_goes_on_is_kept_beside_what_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_code(folder: Path) -> None:
        folder.mkdir()
        (folder / "main.py").write_text(next(code))

    code = iter(("old", "old", "new"))
    monkeypatch.setattr(reports, "copy_code", copy_code)
    for epochs_done, threads in ((0, 1), (2, 1), (3, 4)):
        config = {"run": {}, "hparams": {"betas": (0.9, 0.99)}, "environment": {"threads": threads}}
        reports.save_configuration(tmp_path, config, epochs_done)
    assert {path.parent.name: path.read_text() for path in tmp_path.glob("*/main.py")} == {
        "code": "old",
        "code_after_epoch_3": "new",
    }
    resumed = resume.resumptions(json.loads((tmp_path / "config.json").read_text()))
    assert [{**entry, "time": ""} for entry in resumed] == [
        {"time": "", "after_epoch": 2},
        {"time": "", "after_epoch": 3, "environment": {"threads": 4}},
    ]


def test_a_run_goes_on_as_its_latest_seed_did(tmp_path: Path) -> None:
    def write(seed: int, path: str, *resumed: tuple[str, str], **began: str) -> None:
        folder = tmp_path / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        entries = [{"time": time, "run": {"data_path": other}} for time, other in resumed]
        (folder / "config.json").write_text(json.dumps({"run": {"data_path": path}, "resumed": entries} | began))

    def data_path() -> str:
        _, config = resume.latest_config(tmp_path)
        return config["run"]["data_path"]

    assert resume.latest_config(tmp_path) is None
    write(9, "old")
    write(10, "new")
    assert data_path() == "new"
    write(9, "old", ("2026-01-01 10:00:00", "moved"))  # the first seed was told to train longer
    assert data_path() == "moved"
    write(10, "new", ("2026-01-01 11:00:00", "moved again"))
    assert data_path() == "moved again"
    write(11, "later", time="2026-01-01 12:00:00")  # the first time that this seed runs
    assert data_path() == "later"


@pytest.mark.parametrize(
    ("selection", "best"),
    [([0.5, 0.7, 0.7], 2), ([0.7, 0.5, 0.7], 1), ([0.1, 0.2, 0.3], 3), ([-1.0, -1.0, -1.0], 3)],  # -1: none is chosen
)
def test_of_equally_good_epochs_the_first_is_the_best(selection: list[float], best: int) -> None:
    assert resume.best_epoch([{"val_selection_f1": f1} for f1 in selection]) == best


def test_a_run_of_an_earlier_version_that_weighs_no_class_higher_goes_on(supervised: TrainingConfig) -> None:
    now = dataclasses.asdict(supervised)
    assert resume.changed_settings(now | {"hard_class_weight": 1.0}, now) == []
    now = dataclasses.asdict(hparams.notes())
    assert resume.changed_settings(now | {"hard_class_weight": 1.0}, now) == ["hard_class_weight"]
