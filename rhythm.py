"""Train the two ensembles of a network for new patients: small networks that see the context of a beat alone.

They are trained before the network and by themselves. The loss of the product p(S) = p(NS) s is the sum of the losses
of its factors, so the rhythm head and the network have nothing to learn from one another; the ensemble on the shape is
there because its errors differ from the network's. Each member learns from the beats of one database, and from those of
the others whose class its own database does not name. A head trained on two databases at once loses ground in the
atrial fibrillation that one of them lacks; the average of heads trained on each does not (results/new_patients.md).
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from data_configs import DatasetConfig
from dataloader import THINNING, inverse_power_weights, largest_class, shape_weights, thinned_to
from hparams import SHORTEST_CYCLE, ContextConfig, TrainingConfig
from models import Ensemble, JointClassifier, MorphologyHead, RhythmHead, ShapeEnsemble, ecgTransForm
from split_file import Split
from support.errors import InputError

UNNAMED = 0.1
"""A database does not name a class whose share of its beats is below this part of the class's share of all beats."""


def fit_context(
    model: ecgTransForm, split: Split, configs: DatasetConfig, hparams: TrainingConfig, seed: int
) -> dict[str, int]:
    """Standardise the features of `model` by the training beats `split`, on the CPU, and train its ensembles.

    A network without context is left alone. The state of torch's generators is afterwards as it was before.

    Returns:
        Database -> number of its training beats, without those of others that `with_unnamed_classes` adds for its
        members; empty without ensembles.

    Raises:
        InputError: as `require_fit`.
    """
    require_fit(split, configs, hparams)
    if isinstance(model.clf, JointClassifier):
        model.clf.fit(_context_of(split))
    if not configs.has_ensembles:
        return {}
    groups, config = beats_by_database(split), hparams.heads
    for number, beats in enumerate(groups.values()):
        own = torch.arange(number, config.members, len(groups))
        part = dataclasses.replace(config, members=len(own))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed those of GPUs too
            if isinstance(model.clf, MorphologyHead):
                _take(model.clf.ensemble, own, fitted_shape_ensemble(split, beats, configs, part))
            if configs.has_rhythm_head:
                _take(model.rhythm, own, fitted_rhythm_head(split, beats, configs, part))
    return {database: len(beats) for database, beats in groups.items()}


def fitted_shape_ensemble(split: Split, beats: Tensor, configs: DatasetConfig, config: ContextConfig) -> ShapeEnsemble:
    """An ensemble on the shape, trained on the `beats` (m,) of a database and those of `with_unnamed_classes`."""
    seen = with_unnamed_classes(beats, split.labels, configs.num_classes)
    labels = split.labels[seen]
    weight = shape_weights(labels, configs, config.shape_weight_power)[labels]
    thinned = labels == largest_class(labels)
    ensemble = ShapeEnsemble(configs, config)
    target = shape_labels(labels, configs)
    fit_ensemble(ensemble, _context_of(split)[seen], target, weight, thinned, config, config.shape_epochs)
    return ensemble


def fitted_rhythm_head(split: Split, beats: Tensor, configs: DatasetConfig, config: ContextConfig) -> RhythmHead:
    """A rhythm head, trained on those of the `beats` (m,) of a database that are of its two classes."""
    context, labels = pair_beats(split, beats, configs)
    weight = inverse_power_weights(torch.bincount(labels, minlength=2), config.rhythm_weight_power)[labels]
    thinned = labels == largest_class(labels)
    head = RhythmHead(configs, config)
    fit_ensemble(head, context, labels, weight, thinned, config, config.rhythm_epochs)
    return head


def _take(ensemble: Ensemble, members: Tensor, fitted: Ensemble) -> None:
    """Give some members of `ensemble` the state of the members of `fitted`; in every tensor a member is a row."""
    for ours, theirs in zip(ensemble.state_dict().values(), fitted.state_dict().values(), strict=True):
        ours[members.to(ours.device)] = theirs.to(ours.device)


def require_fit(split: Split, configs: DatasetConfig, hparams: TrainingConfig) -> None:
    """Raise an `InputError` where the ensembles cannot be trained on the training beats `split`.

    A database lacks one of the rhythm head's two classes, or there are more databases than members.
    """
    groups = beats_by_database(split) if configs.has_ensembles else {}
    if len(groups) > hparams.heads.members:
        raise InputError(f"the ensembles have {hparams.heads.members} members, too few for {len(groups)} databases")
    for database, beats in groups.items() if configs.has_rhythm_head else ():
        counts = torch.bincount(pair_beats(split, beats, configs)[1], minlength=2).tolist()
        if 0 in counts:
            absent, other = (configs.rhythm_classes[label] for label in (counts.index(0), 1 - counts.index(0)))
            raise InputError(
                f"the training beats of {database or 'this split'} have none of class {absent}, which the rhythm head "
                f"tells apart from {other}: leave the class out with --classes, or use --context none"
            )


def beats_by_database(split: Split) -> dict[str, Tensor]:
    """The indices of the beats of each database in `split`, int64; all of them under "" where none is known."""
    if not split.databases or split.records is None:
        return {"": torch.arange(len(split))}
    named = list(dict.fromkeys(split.databases))
    of_beat = torch.tensor([named.index(name) for name in split.databases])[split.records]
    groups = {name: (of_beat == number).nonzero().flatten() for number, name in enumerate(named)}
    return {name: beats for name, beats in groups.items() if len(beats)}


def with_unnamed_classes(beats: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The `beats` (m,) of a database, and those of others of the classes that it does not name; indices, int64.

    The annotators of svdb called 3 of 102,069 beats fusion beats, those of DS1 414 of 51,010: svdb's are among its N
    and V. Members that learnt from it alone would find none, and vote against those that can.

    Args:
        labels: int64 (n,), of all training beats.
    """
    everywhere, here = (torch.bincount(of, minlength=num_classes) / len(of) for of in (labels, labels[beats]))
    borrowed = (here < UNNAMED * everywhere)[labels]
    borrowed[beats] = False
    return torch.cat([beats, borrowed.nonzero().flatten()])


def _context_of(split: Split) -> Tensor:
    if split.context is None:
        raise InputError("these beats have no context: load them with the configuration of a network that sees it")
    return split.context


def pair_beats(split: Split, beats: Tensor, configs: DatasetConfig) -> tuple[Tensor, Tensor]:
    """Context (m, K) of those of the `beats` that are of the rhythm head's two classes, and which of the two, (m,)."""
    first, second = (configs.classes.index(name) for name in configs.rhythm_classes)
    labels = split.labels[beats]
    kept = (labels == first) | (labels == second)
    return _context_of(split)[beats[kept]], (labels[kept] == second).long()


def shape_labels(labels: Tensor, configs: DatasetConfig) -> Tensor:
    """Labels (n,) -> those of the morphology head: 0 for both classes of the rhythm head, 1 and up for the others."""
    if not configs.has_rhythm_head:
        return labels
    others = [name for name in configs.classes if name not in configs.rhythm_classes]
    new = [others.index(name) + 1 if name in others else 0 for name in configs.classes]
    return torch.tensor(new, device=labels.device)[labels]


def fit_ensemble(
    ensemble: Ensemble,
    context: Tensor,
    labels: Tensor,
    weight: Tensor,
    thinned: Tensor,
    config: ContextConfig,
    num_epochs: int,
) -> None:
    """Train all members of `ensemble`, on the CPU, each with an order, a noise and a dropout of its own.

    The draws come from torch's global generator.

    Args:
        ensemble: changed in place; its first weights are those it comes with.
        context: (n, K).
        labels: int64 (n,), of the ensemble's classes.
        weight: (n,), of each beat in the loss, which is a weighted cross-entropy.
        thinned: bool (n,), beats of which an epoch takes a random quarter, weighing four times; of the others all.
        config: learning rate and the rest.
        num_epochs: passes.
    """
    ensemble.standardise.fit(context[:, ensemble.columns])
    x = ensemble.standardise(context[:, ensemble.columns])  # (M, n, k)
    weight = torch.where(thinned, THINNING * weight, weight)
    kept, common = (~thinned).nonzero().flatten(), thinned.nonzero().flatten()
    drawn = thinned_to(len(common))
    steps = num_epochs * -(-(len(kept) + drawn) // config.batch_size)
    ensemble.requires_grad_(True)
    optimizer = torch.optim.AdamW(ensemble.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = OneCycleLR(optimizer, config.learning_rate, total_steps=max(steps, SHORTEST_CYCLE))
    each = torch.arange(len(x))[:, None]  # (M, 1)
    for _ in range(num_epochs):
        orders = []
        for _ in each:
            beats = torch.cat([kept, common[torch.randperm(len(common))[:drawn]]])
            orders.append(beats[torch.randperm(len(beats))])
        for batch in torch.stack(orders).split(config.batch_size, dim=1):  # (M, b)
            seen = x[each, batch]  # (M, b, k)
            logits = ensemble.logits(seen + config.noise * torch.randn_like(seen), drop=True)  # (M, b, outputs)
            by_class = logits.transpose(1, 2)  # (M, outputs, b), as cross-entropy wants them
            terms = weight[batch] * F.cross_entropy(by_class, labels[batch], reduction="none")  # (M, b)
            optimizer.zero_grad(set_to_none=True)
            (terms.sum(dim=1) / weight[batch].sum(dim=1)).sum().backward()  # the members share no weights
            optimizer.step()
            schedule.step()
    ensemble.requires_grad_(False)
