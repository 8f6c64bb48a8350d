from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

import hparams
import losses
from data_configs import DatasetConfig
from hparams import TrainingConfig
from losses import ClassWeightedLoss, FocalLoss, batch_loss, loss_weights, make_loss, require_finite
from support.errors import InputError, TrainingError

COUNTS = torch.tensor([100, 10, 5, 2, 1])
LABELS = torch.repeat_interleave(torch.arange(5), COUNTS)


def loss_named(name: str, configs: DatasetConfig, supervised: TrainingConfig) -> torch.nn.Module:
    recipe = dataclasses.replace(supervised, loss=name)
    return make_loss(recipe, loss_weights(configs, recipe, LABELS))


WEIGHTS = {  # of every loss
    "cal": torch.log(100 / COUNTS).clamp(min=1),
    "cross_entropy": torch.ones(5),
    "weighted_ce": 118 / (5 * COUNTS),
    "sqrt_ce": (118 / torch.tensor([100, 10, 5, 2, 10])).sqrt(),  # Q, which is rarer, weighs no more than S
    "focal": torch.ones(5),
    "hard_class": torch.tensor([1, 1.5, 1, 1, 1]),
}


@pytest.mark.parametrize("name", hparams.LOSSES)
def test_each_loss_against_its_formula(name: str, mit: DatasetConfig, supervised: TrainingConfig) -> None:
    loss, weights = loss_named(name, mit, supervised), WEIGHTS[name]
    torch.testing.assert_close(loss.weight, weights)
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(20, 5, generator=generator), torch.arange(20) % 5
    terms, total = 0.0, 0.0
    for row, label in zip(logits, labels, strict=True):
        p = float(torch.exp(row[label]) / torch.exp(row).sum())
        factor = (1 - p) ** 2 if name == "focal" else 1
        terms -= float(weights[label]) * factor * torch.log(torch.tensor(p)).item()
        total += float(weights[label])
    assert float(loss(logits, labels)) == pytest.approx(terms / total, rel=1e-5)


def test_focal_loss_of_gamma_zero_is_cross_entropy() -> None:
    logits, labels, weight = torch.randn(9, 5), torch.arange(9) % 5, torch.arange(1.0, 6)
    expected = torch.nn.functional.cross_entropy(logits, labels, weight)
    torch.testing.assert_close(FocalLoss(weight, gamma=0.0)(logits, labels), expected)


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0, 2.0])
def test_focal_loss_of_a_beat_that_is_certain_moves_nothing(gamma: float) -> None:
    """p is 1 to the last bit: its loss and its gradient are 0, and those of the beat beside it are as they were."""
    logits = torch.tensor([[200.0, 0.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.zeros(2, dtype=torch.int64)
    FocalLoss(torch.ones(2), gamma)(logits, labels).backward()
    p = 1 / (1 + math.exp(-1))  # of the second beat; d/dz of -(1 - p)^gamma log p, of two beats the mean
    slope = gamma * (1 - p) ** gamma * p * math.log(p) - (1 - p) ** (gamma + 1)
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, 0.0], [slope / 2, -slope / 2]]))


def test_the_mean_over_processes_of_their_shares_is_the_loss_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two beats of weights 1 and 3, each with one of five equal logits; a third process has none of them."""
    monkeypatch.setattr(losses.distributed, "world_size", lambda: 3)
    loss, batch = ClassWeightedLoss(torch.tensor([1.0, 3, 1, 1, 1])), torch.tensor([0, 1])
    shares = [float(batch_loss(loss, torch.zeros(len(own), 5), own, batch)) for own in batch.tensor_split(3)]
    assert shares == pytest.approx([3 * math.log(5) / 4, 3 * 3 * math.log(5) / 4, 0])
    assert sum(shares) / 3 == pytest.approx(math.log(5))


@pytest.mark.parametrize(("weights", "error"), [((0, 1, 0), TrainingError), ((1, 0, 1), ValueError)])
def test_the_first_batch_of_an_epoch_whose_loss_is_not_finite_is_named(
    weights: tuple[float, ...], error: type[Exception]
) -> None:
    """As on a GPU, where the losses are read at the end of an epoch."""
    said = "the loss is nan in epoch 4, batch 2; " if error is TrainingError else "epoch 4, batch 2: no beat in it"
    with pytest.raises(error, match=f"^{said}"):
        require_finite(torch.tensor([1.0, torch.nan, torch.inf]), [*torch.tensor(weights)], 4, first_step=1)


def test_unknown_names() -> None:
    for name in ("loss", "variant", "sampler"):
        other: Any = {name: "other"}
        with pytest.raises(InputError, match=f"--{name} other: unknown"):
            dataclasses.replace(hparams.supervised(), **other)
