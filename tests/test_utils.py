from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hparams
import utils
from benchmarks.plain import PlainECGTransForm
from data_configs import DatasetConfig
from hparams import TrainingConfig
from models import ecgTransForm
from run_folder import network
from run_folder.layout import new_run_folder
from run_folder.network import load_network
from run_folder.reports import metrics_table, never_called_note, selection_note, summary_table
from split_file import Split
from support.errors import InputError
from support.figures import CLASS_COLOURS, class_colours
from utils import Checkpoint, classification_metrics, get_device, load_checkpoint, save_checkpoint


def test_metrics_of_a_worked_example() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    predictions = np.array([0, 0, 0, 1, 1, 0])
    metrics = classification_metrics(labels, predictions, ("a", "b"))
    assert metrics["confusion_matrix"] == [[3, 1], [1, 1]]
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["per_class"]["a"] == {"precision": 0.75, "recall": 0.75, "f1": 0.75, "support": 4}
    assert metrics["per_class"]["b"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert metrics["macro_f1"] == pytest.approx(0.625)
    assert json.loads(json.dumps(metrics)) == metrics


def test_a_class_that_does_not_occur_is_left_out_of_the_macro_figures() -> None:
    metrics = classification_metrics(np.array([0, 1]), np.array([0, 1]), ("a", "b", "absent"))
    assert metrics["macro_f1"] == 1
    assert metrics["per_class"]["absent"]["support"] == 0
    # predicted though absent: counts once, against the class that lost the beat, and not as a class of F1 0 as well
    metrics = classification_metrics(np.array([0, 1]), np.array([0, 2]), ("a", "b", "absent"))
    assert metrics["macro_f1"] == pytest.approx(1 / 2)
    assert metrics["confusion_matrix"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_one_beat_called_by_an_absent_class_hardly_moves_the_macro_f1() -> None:
    labels = np.repeat([0, 1, 2, 3], 100)
    predictions = labels.copy()
    predictions[0] = 4
    metrics = classification_metrics(labels, predictions, ("N", "S", "V", "F", "Q"))
    assert metrics["macro_f1"] == pytest.approx((3 + 2 * 99 / 199) / 4)


def test_classes_of_few_validation_beats_do_not_choose_the_epoch() -> None:
    counts = {"N": 900, "S": 40, "V": 80, "F": 10, "Q": 2}
    assert utils.selection_classes(counts) == ["N", "S", "V", "F"]
    assert utils.selection_classes({"N": 900, "S": 9, "V": 3, "F": 0}) == ["N", "S", "V"]  # one alone cannot choose
    labels = np.repeat(np.arange(5), list(counts.values()))
    whole = classification_metrics(labels, labels, tuple(counts))
    wrong = classification_metrics(labels, np.minimum(labels, 3), tuple(counts))  # both beats of Q called F
    assert whole["macro_f1"] - wrong["macro_f1"] > 0.2
    assert utils.selection_f1(whole) - utils.selection_f1(wrong) == pytest.approx((1 - 20 / 22) / 4)


def test_what_is_said_of_classes_of_few_and_of_no_validation_beats() -> None:
    labels = torch.repeat_interleave(torch.arange(5), torch.tensor([20, 3, 12, 0, 10]))
    split = Split(torch.zeros(len(labels), 1, 186), labels)
    note = selection_note(split, "NSVFQ", "best") or ""
    assert note.startswith(
        "note: class F has no validation beat and no part in any macro figure of validation; the best "
    )
    assert "is chosen without class S (3) (validation beats): so few" in note
    without = selection_note(split.subset((labels != 1).nonzero().flatten()), "NSVFQ", "best") or ""
    assert without == "note: class S, F have no validation beat and no part in any macro figure of validation"


def test_tables_have_the_shape_of_the_papers() -> None:
    labels = np.array([0, 0, 1, 1])
    runs = [classification_metrics(labels, np.array(p), ("a", "b")) for p in ([0, 0, 1, 1], [0, 1, 1, 1])]
    table = metrics_table(runs[0])
    assert list(table.columns) == ["a", "b", "macro"]
    assert list(table.index) == ["precision", "recall", "f1", "support"]
    summary = summary_table(runs)
    assert list(summary.columns) == ["a", "a_sd", "b", "b_sd", "macro", "macro_sd"]
    assert summary.loc["recall", "a"] == pytest.approx(75)
    assert summary.loc["recall", "a_sd"] == pytest.approx(np.std([100, 50], ddof=1))
    assert summary.loc["accuracy", "macro"] == pytest.approx(87.5)
    assert summary_table(runs[:1])["a_sd"].isna().all()


def test_released_checkpoint_gives_the_same_logits(
    tmp_path: Path, mit: DatasetConfig, supervised: TrainingConfig
) -> None:
    torch.manual_seed(3)
    plain = PlainECGTransForm(mit, supervised).eval()
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path / "released.pt"
    torch.save({"dataset": "mit", "configs": {"any": 1}, "hparams": {"lr": 1}, "model": plain.state_dict()}, path)
    checkpoint = load_checkpoint(path)
    model = ecgTransForm(checkpoint.configs, checkpoint.hparams).eval()
    model.load_state_dict(checkpoint.model)
    x = torch.randn(6, 1, 186)
    assert plain(x).std() > 0.01
    torch.testing.assert_close(model(x), plain(x), rtol=0, atol=1e-5)


def test_a_released_checkpoint_of_beats_of_another_length(
    tmp_path: Path, mit: DatasetConfig, supervised: TrainingConfig
) -> None:
    plain = PlainECGTransForm(mit, supervised).eval()
    torch.save({"dataset": "mit", "model": plain.state_dict()}, tmp_path / "released.pt")
    checkpoint = load_checkpoint(tmp_path / "released.pt", "mit", sequence_len=187)
    model = ecgTransForm(checkpoint.configs, checkpoint.hparams).eval()
    utils.load_weights(model, checkpoint, tmp_path / "released.pt")
    x = torch.randn(3, 1, 187)
    torch.testing.assert_close(model(x), plain(x), rtol=0, atol=1e-5)
    save_checkpoint(tmp_path / "ours.pt", checkpoint)
    assert load_checkpoint(tmp_path / "ours.pt", "mit", sequence_len=187).configs.sequence_len == 187
    with pytest.raises(InputError, match=r"--sequence_len 186: the network .*ours.pt takes 187 samples a beat"):
        load_checkpoint(tmp_path / "ours.pt", "mit", sequence_len=186)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, mit: DatasetConfig) -> None:
    model = ecgTransForm(mit, hparams.supervised())
    weights = model.state_dict() | {"clf.bias": torch.tensor([0.0, 0.0, torch.nan, 0.0, 0.0])}
    with pytest.raises(InputError, match=r"c.pt: its weights clf.bias are not all finite"):
        utils.load_weights(model, Checkpoint("mit", mit, hparams.supervised(), weights), tmp_path / "c.pt")


def test_checkpoint_comes_back_as_it_was(tmp_path: Path, mit: DatasetConfig) -> None:
    model = ecgTransForm(mit, hparams.notes())
    kept = Checkpoint("mit", mit, hparams.notes(), model.state_dict(), epoch=1, metrics={"history": [{"epoch": 1}]})
    save_checkpoint(tmp_path / "c.pt", kept)
    back = utils.load_checkpoint(tmp_path / "c.pt", "mit")
    assert (back.configs, back.hparams, back.epoch, back.metrics) == (kept.configs, kept.hparams, 1, kept.metrics)
    assert all(torch.equal(back.model[name], value) for name, value in model.state_dict().items())


def test_folders_of_seeds_come_by_number_and_without_copies(tmp_path: Path, mit: DatasetConfig) -> None:
    model = ecgTransForm(mit, hparams.supervised())
    for name in ("seed_10", "seed_9", "seed_0.bak", "seed_x"):
        (tmp_path / name).mkdir()
    (tmp_path / "seed_3").touch()
    assert [path.name for path in utils.seed_folders(tmp_path)] == ["seed_9", "seed_10"]
    for name in ("seed_9", "seed_0.bak"):
        save_checkpoint(
            tmp_path / name / "checkpoint_best.pt", Checkpoint("mit", mit, hparams.supervised(), model.state_dict())
        )
    assert utils.find_checkpoint(tmp_path) == tmp_path / "seed_9" / "checkpoint_best.pt"


def test_a_network_is_loaded_ready_to_classify(tmp_path: Path, mit: DatasetConfig) -> None:
    """By name or by path as text, with this machine's kernel."""
    recipe = dataclasses.replace(hparams.supervised(), kernel="stock")
    save_checkpoint(
        tmp_path / "checkpoint_best.pt", Checkpoint("mit", mit, recipe, ecgTransForm(mit, recipe).state_dict())
    )
    for given in (str(tmp_path), tmp_path / "checkpoint_best.pt"):
        model, checkpoint = load_network(given)
        assert not model.training
        assert model.bitrans.kernel_on(torch.device("cpu")) != "stock"
        assert checkpoint.hparams == recipe
        assert torch.equal(model.state_dict()["clf.weight"], checkpoint.model["clf.weight"])
    with pytest.raises(InputError, match="is a checkpoint of dataset mit, not of ptb"):
        load_network(tmp_path, dataset="ptb")
    assert load_network("mit_new_patients")[0].has_rhythm_head


def test_a_network_is_loaded_in_the_arithmetic_that_a_run_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """What main.py refuses is refused; and on CUDA fp32 and tf32 are what they say."""
    for settings, said in (
        ({"precision": "tf32"}, "--precision tf32 needs a CUDA GPU; on cpu use fp32 or bf16"),
        ({"precision": "bf16", "kernel": "stock"}, "--precision bf16: not with --kernel stock"),
    ):
        with pytest.raises(InputError, match=said):
            load_network("mit_beat", **settings)
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    monkeypatch.setattr(network, "get_device", torch.device)
    monkeypatch.setattr(ecgTransForm, "to", lambda model, device: model)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for precision in ("tf32", "fp32"):
            load_network("mit_beat", "cuda", precision=precision)
            assert [switch.allow_tf32 for switch in switches] == [precision == "tf32"] * 2
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value
    with pytest.raises(InputError, match="--kernel torch cannot be had: it works on the CPU, not on cuda"):
        load_network("mit_beat", "cuda", kernel="torch")


def test_bad_checkpoints(tmp_path: Path, mit: DatasetConfig) -> None:
    model = ecgTransForm(mit, hparams.supervised())
    good = tmp_path / "good.pt"
    save_checkpoint(good, Checkpoint("mit", mit, hparams.supervised(), model.state_dict()))
    with pytest.raises(InputError, match="is a checkpoint of dataset mit, not of ptb"):
        load_checkpoint(good, "ptb")
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(good.read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(cut)
    torch.save({"weights": 1}, cut)
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_checkpoint(cut)
    contents = torch.load(good, weights_only=True)
    torch.save(contents | {"dataset": "ptb"}, cut)
    with pytest.raises(InputError, match=r"ptb|classes"):
        load_checkpoint(cut, "ptb")
    for model_entry in (None, 3, {1: 2}):
        torch.save(contents | {"model": model_entry}, cut)
        with pytest.raises(InputError, match="no state dict"):
            load_checkpoint(cut)
    torch.save(contents | {"hparams": {"unknown": 1}}, cut)
    with pytest.raises(InputError, match="another version"):
        load_checkpoint(cut)


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--save_dir"):
        new_run_folder(tmp_path / "file", "e", "r")


def test_runs_of_one_name_do_not_overwrite_one_another(tmp_path: Path) -> None:
    names = [new_run_folder(tmp_path, "e", "r").name for _ in range(3)]
    assert names == ["r", "r-2", "r-3"]
    assert new_run_folder(tmp_path, "e", None) != new_run_folder(tmp_path, "e", None)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(InputError, match="it has cpu"):
        get_device("cuda:99")
    with pytest.raises(InputError, match="it has cpu"):
        get_device("toaster")


def test_pictures_are_drawn(tmp_path: Path) -> None:
    from run_folder import pictures

    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            **{f"{s}_{m}": [0.1, 0.2] for s in ("train", "val") for m in ("loss", "accuracy", "macro_f1")},
        }
    )
    pictures.plot_curves(history, 2, "synthetic", tmp_path / "curves.png")
    pictures.plot_confusion_matrix([[3, 1], [0, 0]], ("a", "b"), "synthetic", tmp_path / "confusion_matrix.png")
    points = np.random.default_rng(0).normal(size=(9, 2))
    utils.plot_umap(points, np.arange(9) % 2, ("a", "b"), "synthetic", tmp_path / "umap.png")
    for name in ("curves", "confusion_matrix", "umap"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 7, 8, 12])
def test_every_class_has_a_colour_however_many_there_are(tmp_path: Path, count: int) -> None:
    from reproduce.figures import plot_class_curves

    colours = class_colours(count)
    assert len({*colours}) == count
    assert colours[:7] == [*CLASS_COLOURS[:count]]
    classes = [f"class {label}" for label in range(count)]
    history = pd.DataFrame({"epoch": [1, 2]} | {f"val_f1_{name}": [0.1, 0.2] for name in classes})
    plot_class_curves([history.assign(val_macro_f1=0.1)], classes, "synthetic", tmp_path / "classes.png")
    points = np.random.default_rng(0).normal(size=(24, 2))
    utils.plot_umap(points, np.arange(24) % count, classes, "synthetic", tmp_path / "umap.png")


def test_classes_that_are_never_called_are_told() -> None:
    labels = np.array([0, 0, 1, 2])
    assert never_called_note(classification_metrics(labels, labels, "NSVF")) is None  # no beat is F
    note = never_called_note(classification_metrics(labels, np.array([0, 1, 1, 0]), "NSVF"))
    assert note == "note: no beat was called V; a precision of 0.00 stands for one that is not defined"
    note = never_called_note(classification_metrics(labels, np.zeros(4, int), "NSVF"))
    assert note is not None and note.startswith("note: every beat was called N: this network tells no classes apart")
