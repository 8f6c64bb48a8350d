"""The curves of a run for TensorBoard: an event file in the seed's folder, one step per epoch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hparams import RunConfig
from run_folder.layout import NO_SELECTION, SeedRun
from run_folder.pictures import confusion_figure
from support import distributed
from support.errors import InputError
from support.figures import default_style, with_plain_texts

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

WriteEpoch = Callable[[dict[str, Any], dict[str, Any]], None]
"""(row of the history, validation metrics) -> a point on every curve."""

CURVES = {
    **{f"{split}_{name}": f"{name}/{split}" for split in ("train", "val") for name in ("loss", "accuracy", "macro_f1")},
    "val_selection_f1": "macro_f1/val_selection",
    "seconds": "speed/seconds",
    "train_beats_per_second": "speed/train_beats_per_second",
}
"""Column of history.csv -> name of its curve; what is before the slash is a group of its own in TensorBoard."""


def require_tensorboard(run: RunConfig) -> None:
    """Raise an `InputError` where `run` is to write curves and tensorboard is not installed."""
    if run.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise InputError("--tensorboard needs tensorboard: pip install -r requirements.txt")


def has_curves(folder: Path) -> bool:
    """Whether a seed's folder holds an event file."""
    return any(folder.glob("events.out.tfevents.*"))


@contextmanager
def curves(
    folder: Path, run: SeedRun, history: list[dict[str, Any]], optimizer: torch.optim.Optimizer
) -> Iterator[WriteEpoch]:
    """Yield what writes an epoch into an event file in `folder`; without --tensorboard it writes nothing.

    The curves go on after `history`: the points of later epochs, left by a command that was killed before it kept their
    checkpoint, are taken back. Where a run began without --tensorboard, the epochs of its history get their points
    now, but for what the history does not hold: learning rate and confusion matrix. Of several processes the first
    one writes.

    Args:
        optimizer: as the next epoch begins; the learning rate of an epoch is that of its first step.

    Raises:
        InputError: the event file cannot be written.
    """
    if not run.run_config.tensorboard or not distributed.is_first():
        yield lambda row, validation: None
        return
    from torch.utils.tensorboard import SummaryWriter  # needed for this option only

    missing = [] if has_curves(folder) else [*history]
    with _errors_named(folder):
        writer = SummaryWriter(str(folder), purge_step=len(history) + 1)
        for row in missing:
            _add_row(writer, row)

    rate = optimizer.param_groups[0]["lr"]

    @default_style()
    def write_epoch(row: dict[str, Any], validation: dict[str, Any]) -> None:
        nonlocal rate
        epoch = row["epoch"]
        title = f"{run.run_config.dataset} validation, seed {run.seed}, epoch {epoch}\n{run.splits['val'].origin}"
        figure = confusion_figure(validation["confusion_matrix"], list(validation["per_class"]), title)
        with _errors_named(folder):
            _add_row(writer, row)
            writer.add_scalar("learning_rate", rate, epoch)
            writer.add_figure("confusion_matrix/val", with_plain_texts(figure), epoch)
            writer.flush()  # before the checkpoint of the epoch: an epoch that is kept has its points
        rate = optimizer.param_groups[0]["lr"]  # of the next one

    try:
        yield write_epoch
    finally:
        with _errors_named(folder):
            writer.close()


@contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder}: its event file cannot be written: {error.strerror or error}") from error


def _add_row(writer: SummaryWriter, row: dict[str, Any]) -> None:
    """Add the figures of an epoch, those of history.csv; none of the selection where validation chooses no epoch."""
    for column, value in row.items():
        if column == "val_selection_f1" and value == NO_SELECTION:
            continue
        name = CURVES.get(column) or (f"f1_val/{column.removeprefix('val_f1_')}" if "val_f1_" in column else None)
        if name is not None:
            writer.add_scalar(name, value, row["epoch"])
