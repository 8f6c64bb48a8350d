"""The loss functions. All are a weighted mean over beats, of a term that depends on the logits of one beat."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_configs import DatasetConfig
from dataloader import get_class_weights
from hparams import TrainingConfig


class ClassWeightedLoss(nn.Module):
    """Cross-entropy in which a beat of class i weighs w_i; with CAL's weights the paper's context-aware loss.

    The mean is sum(w_i * cross-entropy) / sum(w_i), as in `nn.CrossEntropyLoss(weight=w)`. The two sums are
    also there one by one, since several processes that share a batch must divide by the sum over all of it.
    """

    weight: Tensor  # (C,)

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the weighted terms of all beats: (B, C), (B,) -> scalar."""
        return F.cross_entropy(logits, labels, weight=self.weight, reduction="sum")

    def total_weight(self, labels: Tensor) -> Tensor:
        """Sum of the weights of all beats: (B,) -> scalar."""
        return self.weight[labels].sum()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The weighted mean: (B, C), (B,) -> scalar."""
        return self.total(logits, labels) / self.total_weight(labels)


def make_loss(configs: DatasetConfig, hparams: TrainingConfig, train_labels: Tensor) -> ClassWeightedLoss:
    """The recipe's loss; its class weights come from the training split alone.

    Raises:
        InputError: a class has no training beat.
    """
    weight = get_class_weights(train_labels, configs.num_classes, configs.classes)
    if hparams.loss == "hard_class":
        weight = torch.ones(configs.num_classes)
        weight[configs.classes.index(configs.hard_class)] = hparams.hard_class_weight
    return ClassWeightedLoss(weight)
