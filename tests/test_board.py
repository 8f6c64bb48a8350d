"""--tensorboard: the event files of a run, read back by TensorBoard's own reader, against history.csv."""

from __future__ import annotations

import importlib.util
import io
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import Killed
from matplotlib import rcParams
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import main
import trainer
from hparams import RunConfig
from run_folder import board
from support import distributed
from support.errors import InputError
from trainer import Trainer
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_runs")
CLASSES = ("N", "S", "V", "F", "Q")


def run_config(data: Path, out: Path, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {"data_path": str(data), "save_dir": str(out), "run_description": "run"}
    settings |= {"num_epochs": 3, "batch_size": 16, "limit_train": 30, "tensorboard": True}
    return RunConfig(**settings | changes)


def seed_folder(out: Path) -> Path:
    return out / "mit" / "run" / "seed_0"


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})  # 0: all of them
    events.Reload()
    return events


def points(events: EventAccumulator, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in events.Scalars(name)]


def assert_as_in_the_history(folder: Path) -> EventAccumulator:
    """Every curve of history.csv has one point an epoch, of the same value."""
    events, history = read(folder), pd.read_csv(folder / "history.csv")
    curves = {f"{name}/{split}": f"{split}_{name}" for split in ("train", "val") for name in ("loss", "accuracy")}
    curves |= {"macro_f1/train": "train_macro_f1", "macro_f1/val": "val_macro_f1"}
    curves |= {f"f1_val/{name}": f"val_f1_{name}" for name in CLASSES}
    for curve, column in curves.items():
        steps, values = zip(*points(events, curve), strict=True)
        assert steps == tuple(history["epoch"]), curve
        assert values == pytest.approx(history[column].tolist(), abs=1e-6), curve
    return events


def test_a_selection_that_is_none_has_no_curve() -> None:
    """As with --recipe new_patients: -1 stands for it in history.csv."""
    added: list[str] = []
    writer: Any = SimpleNamespace(add_scalar=lambda name, *_: added.append(name))
    board._add_row(writer, {"epoch": 1, "val_loss": 0.5, "val_selection_f1": -1.0})
    assert added == ["loss/val"]


def set_back(folder: Path) -> None:
    """Make the event files a minute older: their names hold the second, and the reader goes by it."""
    for path in folder.glob("events.out.tfevents.*"):
        begin, second, rest = path.name.partition("tfevents.")[0], *path.name.split("tfevents.")[1].split(".", 1)
        path.rename(folder / f"{begin}tfevents.{int(second) - 60:010d}.{rest}")


@pytest.fixture(scope="module")
def finished(small_runs: None, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seed folder of a run that was never stopped; tests only read it."""
    out = tmp_path_factory.mktemp("finished")
    Trainer(run_config(toy_data, out, schedule="one_cycle")).train()
    return seed_folder(out)


def test_the_curves_are_those_of_the_history(finished: Path) -> None:
    events = assert_as_in_the_history(finished)
    steps, rates = zip(*points(events, "learning_rate"), strict=True)
    assert steps == (1, 2, 3)
    highest = load_checkpoint(finished / "checkpoint_last.pt").hparams.learning_rate
    # One cycle of 6 steps, 2 an epoch: up from 1/25 to the highest rate within 0.8 steps, then down by a cosine to
    # nearly nothing at step 5; the epochs begin at the steps 0, 2 and 4.
    down = [(1 + math.cos(math.pi * (step - 0.8) / (5 - 0.8))) / 2 for step in (2, 4)]
    assert rates == pytest.approx([highest / 25, *(highest * share for share in down)], rel=1e-4)


def test_a_picture_of_the_confusion_matrix_an_epoch(finished: Path) -> None:
    pictures = read(finished).Images("confusion_matrix/val")
    assert [picture.step for picture in pictures] == [1, 2, 3]
    for picture in pictures:
        pixels = imread(io.BytesIO(picture.encoded_image_string), format="png")
        assert pixels.shape[:2] == (picture.height, picture.width)
        assert pixels[..., :3].std() > 0.05  # not blank


def test_the_picture_names_any_source(toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rcParams, "text.usetex", True)  # a user's style
    splits = {"val": SimpleNamespace(origin="$_$ data")}  # no formula
    run: Any = SimpleNamespace(run_config=run_config(toy_data, tmp_path), seed=0, splits=splits)
    validation = {"confusion_matrix": [[1, 0], [0, 1]], "per_class": {"N": {}, "S": {}}}
    with board.curves(tmp_path, run, [], torch.optim.SGD([torch.zeros(1)])) as write_epoch:
        write_epoch({"epoch": 1, "val_loss": 1.0}, validation)
    assert len(read(tmp_path).Images("confusion_matrix/val")) == 1


def test_the_curves_change_nothing_in_the_training(finished: Path, toy_data: Path, tmp_path: Path) -> None:
    Trainer(run_config(toy_data, tmp_path, schedule="one_cycle", tensorboard=False)).train()
    folder = seed_folder(tmp_path)
    one, other = (load_checkpoint(f / "checkpoint_last.pt").model for f in (finished, folder))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not [*folder.glob("events*")]


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_that_was_killed_resumes_into_the_same_curves(
    finished: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    """Killed between the points of an epoch and its checkpoint, so the epoch is trained twice."""

    def dying_keep(folder: Path, run: Any, model: Any, optimizer: Any, history: list[Any]) -> None:
        if len(history) == epoch:
            raise Killed
        whole_keep(folder, run, model, optimizer, history)

    whole_keep = trainer.keep
    monkeypatch.setattr(trainer, "keep", dying_keep)
    with pytest.raises(Killed):
        Trainer(run_config(toy_data, tmp_path, schedule="one_cycle")).train()
    monkeypatch.setattr(trainer, "keep", whole_keep)
    folder = seed_folder(tmp_path)
    assert [step for step, _ in points(read(folder), "loss/val")] == [*range(1, epoch + 1)]
    set_back(folder)
    Trainer(run_config(toy_data, tmp_path, schedule="one_cycle"), folder.parent).train()
    assert len([*folder.glob("events*")]) == 2
    events = assert_as_in_the_history(folder)
    assert points(events, "learning_rate") == points(read(finished), "learning_rate")
    assert [picture.step for picture in events.Images("confusion_matrix/val")] == [1, 2, 3]


def test_a_run_that_began_without_gets_all_its_curves(toy_data: Path, tmp_path: Path) -> None:
    Trainer(run_config(toy_data, tmp_path, num_epochs=2, tensorboard=False)).train()
    run_folder = seed_folder(tmp_path).parent
    as_before = shutil.copytree(run_folder, tmp_path / "finished")
    main.run(["--resume", str(run_folder), "--num_epochs", "3", "--tensorboard"])
    events = assert_as_in_the_history(run_folder / "seed_0")
    assert [step for step, _ in points(events, "learning_rate")] == [3]
    main.run(["--resume", str(as_before), "--tensorboard"])  # finished, and yet without its curves
    assert_as_in_the_history(as_before / "seed_0")


def test_the_first_of_several_processes_writes(toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from run_folder.board import curves

    run: Any = SimpleNamespace(run_config=run_config(toy_data, tmp_path))
    monkeypatch.setattr(distributed, "is_first", lambda: False)
    with curves(tmp_path, run, [], torch.optim.SGD([torch.zeros(1)])) as write_epoch:
        write_epoch({"epoch": 1, "val_loss": 1.0}, {})
    assert not [*tmp_path.iterdir()]


def test_without_tensorboard_nothing_starts(toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else found(name))
    with pytest.raises(InputError, match=r"^--tensorboard needs tensorboard: pip install -r requirements\.txt$"):
        Trainer(run_config(toy_data, tmp_path))
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_is_named(toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: SummaryWriter) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "flush", full)
    with pytest.raises(InputError, match="its event file cannot be written: No space left on device"):
        Trainer(run_config(toy_data, tmp_path)).train()
