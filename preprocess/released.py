"""One .pt file as the paper's authors released it: a dict of samples and labels, split again into three.

The rows are those of the Kaggle set (see `preprocess.kaggle`). Records and positions are not known, and neither is
which file a beat belonged to: with one of the three at hand, training and test come from it.
"""

from __future__ import annotations

from pathlib import Path

from data_configs import get_dataset_class
from preprocess.beats import BeatSet
from preprocess.kachuee import FS
from preprocess.labels import CLASSES
from support.errors import InputError

WINDOW = (
    "{length} samples as in the file: rows of the Kaggle heartbeat set, at {fs:g} Hz from an R-peak on for 1.2 median "
    "R-R intervals, each beat scaled to [0, 1], padded with zeros"
)


def read_released(dataset: str, path: Path) -> BeatSet:
    """Read all beats of one file, unchanged: as (n, L), (n, L, 1) or (n, 1, L), of any length, tensors or numpy arrays.

    Raises:
        InputError: there is no such file, it does not hold samples and labels of `dataset`, or it says where its
            beats come from, which would be lost.
    """
    from split_file import load_split  # torch is heavy

    path = Path(path)
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "is not there"
        raise InputError(
            f"{path} {reason}: --source released reads one .pt file of samples and labels, --raw_path FILE.pt"
        )
    config = get_dataset_class(dataset)()
    split = load_split(path, config, any_length=True, remedy="fetch it again")
    if split.source != "unknown":
        raise InputError(
            f"{path} is not a released file but a split file of source {split.source}, {split.protocol} split: main.py "
            "reads it as it is; make other splits from its source"
        )
    absent = [name for name, count in split.class_counts(config.classes).items() if not count]
    if absent:
        others = ", ".join(name for name in CLASSES if name != dataset)
        raise InputError(
            f"{path}: has no beat of class {', '.join(absent)}, which a released file of {dataset} has; is it one of "
            f"--dataset {others}?"
        )
    return BeatSet(
        samples=split.samples.numpy(),
        labels=split.labels.numpy(),
        classes=config.classes,
        fs=FS,
        source="released",
        window=WINDOW.format(length=split.samples.shape[2], fs=FS),
    )
