"""The loss functions, each a weighted mean over beats of a term that depends on the logits of that beat alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_configs import DatasetConfig, require_hard_class
from dataloader import get_class_weights, require_every_class, shape_weights
from hparams import TrainingConfig
from support import distributed
from support.errors import InputError, TrainingError
from utils import DIVERGED


class ClassWeightedLoss(nn.Module):
    """Cross-entropy in which a beat of class i weighs w_i; with CAL's weights the paper's context-aware loss.

    The mean is sum(w_i * cross-entropy) / sum(w_i), as in `nn.CrossEntropyLoss(weight=w)`. The two sums are
    also there one by one, since several processes that share a batch must divide by the sum over all of it.

    A loss of your own is a subclass that overrides `total`, and `total_weight` where its beats do not weigh as their
    classes do. Training calls these two and never `forward`, so that stays as it is.
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


class FocalLoss(ClassWeightedLoss):
    """Focal loss (Lin et al. 2017, eq. 4): cross-entropy times (1 - p)^gamma, p the true class's probability."""

    def __init__(self, weight: Tensor, gamma: float) -> None:
        super().__init__(weight)
        self.gamma = gamma

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the weighted terms of all beats: (B, C), (B,) -> scalar."""
        log_p = logits.log_softmax(dim=1).gather(1, labels[:, None]).squeeze(1)  # (B,)
        # Not quite 0 where p is 1: there the slope of a power below 1 is infinite, and infinity times 0 is NaN.
        others = (1 - log_p.exp()).clamp(min=torch.finfo(log_p.dtype).tiny)
        return -(self.weight[labels] * others**self.gamma * log_p).sum()


def loss_weights(configs: DatasetConfig, hparams: TrainingConfig, train_labels: Tensor) -> Tensor:
    """The class weights (C,) of the recipe's loss; they come from the training split only.

    Validation and test use them as they are; training uses `dataloader.Batches.training_weights` of them.

    Raises:
        InputError: the loss is `cal` or `weighted_ce` and a class has no training beat, or the hard class that the loss
            needs is not among the classes.
    """
    weight = torch.ones(configs.num_classes)
    if hparams.loss == "cal":
        weight = get_class_weights(train_labels, configs.classes)
    elif hparams.loss == "weighted_ce":
        counts = torch.bincount(train_labels.cpu(), minlength=configs.num_classes)
        require_every_class(counts, configs.classes)
        weight = len(train_labels) / (configs.num_classes * counts.float())
    elif hparams.loss == "sqrt_ce":
        weight = shape_weights(train_labels, configs, power=0.5)
    elif hparams.loss == "hard_class":
        require_hard_class(configs)
        if configs.hard_class not in configs.classes:
            raise InputError(
                f"--loss hard_class: weighs class {configs.hard_class} higher, which --classes leaves out; "
                "take another --loss"
            )
        weight[configs.classes.index(configs.hard_class)] = hparams.hard_class_weight
    return weight


def make_loss(hparams: TrainingConfig, weight: Tensor) -> ClassWeightedLoss:
    """The recipe's loss with class weights (C,)."""
    return FocalLoss(weight, hparams.focal_gamma) if hparams.loss == "focal" else ClassWeightedLoss(weight)


def require_sums(loss_function: object) -> None:
    """Raise a `TypeError` where `loss_function` is not a `ClassWeightedLoss`, or one that overrides `forward`."""
    name = type(loss_function).__name__
    if not isinstance(loss_function, ClassWeightedLoss):
        raise TypeError(f"loss_function: {name} is not a losses.ClassWeightedLoss; give a subclass of it")
    if type(loss_function).forward is not ClassWeightedLoss.forward:
        raise TypeError(
            f"loss_function: {name} overrides forward, which training does not call; override total, the sum over beats"
        )


def batch_loss(loss_function: ClassWeightedLoss, logits: Tensor, labels: Tensor, batch_labels: Tensor) -> Tensor:
    """The loss of a batch, of which this process has the beats `logits` (b, C), `labels` (b,), and all of them
    together `batch_labels` (B,); for a single process simply the loss of its beats.

    DistributedDataParallel takes the mean of the processes' gradients. So the terms of each share are divided by the
    weight of the whole batch, not of the share, and multiplied by the number of processes: the mean is then the
    gradient of the whole batch's loss. A process without a beat in the batch has b = 0 and a loss of 0.
    """
    total = loss_function.total(logits, labels) / loss_function.total_weight(batch_labels)
    return total * distributed.world_size()


def require_finite(losses: Tensor, weights: Sequence[Tensor], epoch: int | None, first_step: int) -> None:
    """Raise an error for the first batch, from `first_step` on, whose loss is not finite.

    Args:
        losses: (steps,).
        weights: scalars, the total weight of each of these batches.
        epoch: its number, for the message.

    Raises:
        ValueError: it has no beat, or none that weighs anything.
        TrainingError: its loss is infinite or NaN though it has.
    """
    bad = (~torch.isfinite(losses)).nonzero().flatten()
    if not len(bad):
        return
    where = f"{'' if epoch is None else f'epoch {epoch}, '}batch {first_step + int(bad[0])}"
    if weights[int(bad[0])] == 0:
        raise ValueError(
            f"{where}: no beat in it weighs anything in the loss; leave it out, or weigh its classes above 0"
        )
    raise TrainingError(f"the loss is {float(losses[bad[0]])} in {where}; {DIVERGED}")
