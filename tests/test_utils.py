from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import rcParams
from matplotlib.image import imread
from torch import Tensor

import hparams
import utils
from benchmarks.plain import PlainECGTransForm
from data_configs import DatasetConfig
from hparams import TrainingConfig
from models import ecgTransForm
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
    assert [metrics[f"macro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx([1 / 2] * 3)
    assert metrics["confusion_matrix"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("wrong", [[0, 1, 2], [0, 1, -1], ["a", "b", "a"]])
def test_a_label_of_no_class_is_refused(wrong: list[object]) -> None:
    """It would count in no figure: of a network with more outputs than classes, the accuracy would be too high."""
    right = np.array([0, 1, 1])
    with pytest.raises(ValueError, match=r"^labels: every one must be the number of a class, 0 to 1$"):
        classification_metrics(np.array(wrong), right, ("a", "b"))
    with pytest.raises(ValueError, match=r"^predictions: every one"):
        classification_metrics(right, np.array(wrong), ("a", "b"))


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


def test_a_seed_is_that_of_every_generator() -> None:
    drawn = []
    for seed in (0, 0, 1):
        utils.seed_everything(seed)
        drawn.append([random.random(), np.random.random(), float(torch.rand(()))])
    assert drawn[0] == drawn[1]
    assert all(one != other for one, other in zip(drawn[0], drawn[2], strict=True))


def test_a_log_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts of a split file, which may come from others, stand in it."""
    with utils.run_log(tmp_path / "train.log") as log:
        log.info("one \x1b[31m\ntwo")
    shown = "one \\x1b[31m\ntwo\n"
    assert (tmp_path / "train.log").read_text().endswith(shown)
    assert capsys.readouterr().out == shown


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
    with pytest.raises(InputError, match=r"^\S+ours.pt: takes beats of 187 samples, not of 186; take"):
        load_checkpoint(tmp_path / "ours.pt", "mit", sequence_len=186)


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        (torch.tensor([0.0, 0.0, torch.nan, 0.0, 0.0]), "its weights clf.bias are not all finite"),
        (torch.zeros(5, dtype=torch.int64), r"clf.bias is int64 \(5,\), float32 \(5,\) is needed"),
    ],
    ids=["nan", "int64"],
)
def test_weights_that_are_no_weights_are_refused(tmp_path: Path, mit: DatasetConfig, bias: Tensor, said: str) -> None:
    model = ecgTransForm(mit, hparams.supervised())
    checkpoint = Checkpoint("mit", mit, hparams.supervised(), model.state_dict() | {"clf.bias": bias})
    with pytest.raises(InputError, match=rf"c.pt: .*{said}"):
        utils.load_weights(model, checkpoint, tmp_path / "c.pt")


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
        with pytest.raises(InputError, match="not a state dict"):
            load_checkpoint(cut)
    torch.save(contents | {"hparams": {"unknown": 1}}, cut)
    with pytest.raises(InputError, match="another version"):
        load_checkpoint(cut)


def test_a_device_by_its_name_or_as_an_object_of_torch() -> None:
    assert get_device("cpu") == get_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(InputError, match=r"--device cuda:99: .*; it has cpu"):
        get_device(torch.device("cuda:99"))


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    build = re.escape(torch.__version__)  # +cpu: why a GPU that is there is not found
    with pytest.raises(InputError, match=rf"this machine has no GPU that its PyTorch \({build}\) can use; it has cpu"):
        get_device("cuda:99")
    with pytest.raises(InputError, match="it has cpu"):
        get_device("toaster")


def test_pictures_are_drawn_in_one_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from run_folder import pictures

    monkeypatch.setitem(rcParams, "text.usetex", True)  # of a notebook
    figures, save = [], pictures.save_figure
    monkeypatch.setattr(pictures, "save_figure", lambda figure, path: (figures.append(figure), save(figure, path)))
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            **{f"train_{name}": [0.1, 0.2] for name in ("loss", "accuracy", "macro_f1")},
            **{f"val_{name}": [0.3, 0.4] for name in ("loss", "accuracy", "macro_f1")},
        }
    )
    pictures.plot_curves(history, 2, "synthetic", tmp_path / "curves.png")
    train, val, best = figures[0].axes[0].lines
    assert len({line.get_linestyle() for line in (train, val, best)}) == 3  # told apart without their colours, too
    for axes, scale in zip(figures[0].axes, (1, 100, 100), strict=True):
        drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert (*drawn["train"], *drawn["val"]) == pytest.approx([scale * value for value in (0.1, 0.2, 0.3, 0.4)])
    title = "synthetic data, beat split; 60 epochs, constant learning rate"
    pictures.plot_confusion_matrix([[3, 1], [0, 0]], ("a", "b"), title, tmp_path / "confusion_matrix.png")
    says = {text.get_position(): text.get_text() for text in figures[1].axes[0].texts}  # (predicted, true)
    assert says == {(0, 0): "3\n75.0 %", (1, 0): "1\n25.0 %", (0, 1): "0\n0.0 %", (1, 1): "0\n0.0 %"}
    pixels = imread(tmp_path / "confusion_matrix.png")
    assert (pixels[:, [0, -1], :3] == 1).all()  # the title is not cut at an edge
    points = np.random.default_rng(0).normal(size=(9, 2))
    utils.plot_umap(points, np.arange(9) % 2, ("a", "b"), "synthetic", tmp_path / "umap.png")
    for name in ("curves", "confusion_matrix", "umap"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert rcParams["text.usetex"]  # it is given back


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
