"""Checkpoints: ours, and those of the paper's released code. Reading one never runs code from the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor

# As modules, since they import utils themselves: their names are looked up when a function runs.
import data_configs
import hparams as recipes
from utils.errors import InputError
from utils.files import read_torch, write_torch

# Names in a released checkpoint -> names here. Its `encoder_layer.*` is a copy that the released network never uses.
RELEASED_PREFIXES = {
    "conv1.": "msc.convs.0.",
    "conv2.": "msc.convs.1.",
    "conv3.": "msc.convs.2.",
    "bn.": "msc.bn.",
    "transformer_encoder.": "bitrans.encoder.",
}
RELEASED_DEAD_PREFIX = "encoder_layer."


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and what is needed to use them, or to go on training them."""

    dataset: str
    configs: data_configs.DatasetConfig
    hparams: recipes.TrainingConfig
    model: dict[str, Tensor]
    """State dict of `models.ecgTransForm(configs, hparams)`."""
    optimizer: dict[str, Any] = field(default_factory=dict)
    """State dict of Adam; empty in released checkpoints."""
    epoch: int = 0
    """Epochs done."""
    rng: dict[str, Any] = field(default_factory=dict)
    """Generator states after that epoch (`utils.seeds.rng_state`)."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """`history`: a row an epoch; `class_weights`: those of the loss; `data`: source and protocol of the splits."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, whole or not at all."""
    contents = {entry.name: getattr(checkpoint, entry.name) for entry in fields(Checkpoint)}
    write_torch(path, contents | {"configs": asdict(checkpoint.configs), "hparams": asdict(checkpoint.hparams)})


def load_checkpoint(path: Path, dataset: str | None = None) -> Checkpoint:
    """Read a checkpoint of ours or of the released code; with `dataset`, insist that it is of that dataset.

    The weights of a released checkpoint come back under our names, without its unused encoder layer. A released
    checkpoint tells no recipe; it gets `supervised`.

    Raises:
        InputError: absent, damaged, holding code, no checkpoint, or one of another dataset.
    """
    path = Path(path)
    contents = read_torch(path, "checkpoint", "a whole checkpoint_best.pt or checkpoint_last.pt is needed")
    if not {"dataset", "model"} <= contents.keys():
        raise InputError(f"{path}: is no checkpoint; one holds at least 'dataset' and 'model'")
    name = str(contents["dataset"])
    if dataset is not None and name != dataset:
        raise InputError(f"{path}: is a checkpoint of dataset {name}, not of {dataset}; give --dataset {name}")
    weights = contents["model"]
    if not (
        isinstance(weights, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in weights.items())
    ):
        raise InputError(f"{path}: its 'model' is no state dict of tensors")
    if any(key.startswith("transformer_encoder.") for key in weights):
        configs = data_configs.get_dataset_class(name)()
        checkpoint = Checkpoint(name, configs, recipes.supervised(), released_to_ours(weights))
    else:
        checkpoint = _from_ours(contents, path)
    head = checkpoint.model.get("clf.weight")
    classes = 0 if head is None or head.dim() == 0 else len(head)
    if checkpoint.configs.name != name or checkpoint.configs.num_classes != classes:
        raise InputError(
            f"{path}: says dataset {name}, but its configuration is of {checkpoint.configs.name} and its classifier "
            f"has {classes} classes; is it the checkpoint of another dataset?"
        )
    return checkpoint


def released_to_ours(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a released checkpoint to the names of `models.ecgTransForm`."""
    renamed = {}
    for key, value in weights.items():
        if key.startswith(RELEASED_DEAD_PREFIX):
            continue
        prefix = next((old for old in RELEASED_PREFIXES if key.startswith(old)), "")
        renamed[RELEASED_PREFIXES.get(prefix, "") + key.removeprefix(prefix)] = value
    return renamed


def _from_ours(contents: dict[str, Any], path: Path) -> Checkpoint:
    try:
        configs = data_configs.DatasetConfig(**contents["configs"])
        hparams = recipes.TrainingConfig(**contents["hparams"])
        known = {entry.name for entry in fields(Checkpoint)}
        rest = {key: value for key, value in contents.items() if key in known - {"configs", "hparams"}}
        return Checkpoint(configs=configs, hparams=hparams, **rest)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: was written by another version of this package ({error})") from error
