"""A trained network, found by name, file or run folder, ready to classify."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from data_configs import DatasetConfig
from hparams import TrainingConfig
from kernels.precision import Layer, set_arithmetic
from models import ecgTransForm
from support.files import read_json
from utils import PRETRAINED, Checkpoint, find_checkpoint, get_device, load_checkpoint, load_weights


def load_network(
    name_or_path: str | Path,
    device: str | torch.device = "cpu",
    kernel: str = "auto",
    precision: str = "fp32",
) -> tuple[ecgTransForm, Checkpoint]:
    """Load a trained network, ours or of the released code, in evaluation mode, and the checkpoint that it is from.

    Its weights are float32, and the state of torch's generators stays as it was.

    Args:
        name_or_path: of a network in pretrained/; or a checkpoint, the folder of a run or of one of its seeds.
        device: that the network is put on.
        kernel: how the encoder layers are computed; not as where it was trained (`TrainingConfig.kernel`).
        precision: of the matrix products, likewise (`TrainingConfig.precision`); on CUDA fp32 and tf32 are one switch
            for the whole process, so that what was loaded last decides for all networks there.

    Returns:
        The network, (B, 1, L) float32 -> logits (B, C), with context (B, 1, L), (B, K) -> log-probabilities (B, C), of
        `joint` logits; and its checkpoint, whose `configs` have L, C and the columns of K.

    Raises:
        InputError: there is no such checkpoint or device, or it is damaged; or the device has no such precision or
            kernel.
    """
    path = find_checkpoint(name_or_path)
    checkpoint = load_checkpoint(path)
    return network_of(checkpoint, path, device, kernel, precision), checkpoint


def network_of(
    checkpoint: Checkpoint, path: Path, device: str | torch.device, kernel: str, precision: str
) -> ecgTransForm:
    """The network of a checkpoint that was read from `path`, in evaluation mode; the rest as `load_network` has it."""
    hparams = dataclasses.replace(checkpoint.hparams, kernel=kernel, precision=precision)
    on = get_device(device)
    set_arithmetic(precision, on, kernel, encoder_layer(checkpoint.configs, hparams))
    with torch.random.fork_rng(devices=[]):  # the initial weights, which are replaced, cost the caller no numbers
        model = ecgTransForm(checkpoint.configs, hparams)
    load_weights(model, checkpoint, path)
    return model.float().to(on).eval()  # float32 whatever torch.set_default_dtype says


def encoder_layer(configs: DatasetConfig, hparams: TrainingConfig) -> Layer | None:
    """The encoder layer of a network; None where it has none."""
    return Layer(configs.trans_dim, configs.num_heads, configs.feedforward_dim) if hparams.has_encoder else None


def read_card(path: Path) -> dict[str, Any]:
    """The card beside a packaged network (`reproduce.pretrained`); empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    card = path.with_suffix(".json")
    with suppress(OSError, ValueError):  # what a checkpoint names need not be a path at all
        if path.parent.resolve() == PRETRAINED and card.is_file():
            return read_json(card, "fetch it again, it comes with the package")
    return {}


def base_of(data: dict[str, Any]) -> str | None:
    """The network at the root of a chain of fine-tunings; None: it began with random weights.

    Args:
        data: what its run says of its beats (`SeedRun.data`).
    """
    return data.get("init_base") or data.get("init")


def base_card(data: dict[str, Any]) -> dict[str, Any]:
    """The card of the packaged network that is `base_of` a run; empty where that is another."""
    base = base_of(data)
    return {} if base is None else read_card(PRETRAINED / f"{base}.pt") or read_card(Path(base))


def learnt_records(path: Path, checkpoint: Checkpoint) -> set[str]:
    """The names of the records that a network was trained on, without their database; empty where they are not known.

    Args:
        path: of the checkpoint, whose card may say it.
    """
    by_database = read_card(path).get("training_records", {})
    stated = checkpoint.data.get("training_records", ())
    return {name for records in by_database.values() for name in records} | {*stated}
