"""Split files -> batches: the three splits of a dataset, the samplers of Fig. 6 and the class weights of CAL.

What one split file holds, `split_file` reads and checks.
"""

from __future__ import annotations

import importlib.util
import itertools
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_configs import PREPARED, DatasetConfig, require_hard_class
from hparams import TrainingConfig
from split_file import SPLITS, Split, load_split
from support.errors import InputError, unknown

SMOTE_NEIGHBOURS = 5  # as in Chawla et al. 2002
THINNING = 4  # an epoch of the sampler `thinned` takes one in so many beats of the largest class


def data_generator(
    data_path: str | Path, configs: DatasetConfig, limit_train: int | None, seed: int
) -> dict[str, Split]:
    """Read `data_path/<dataset>/{train,val,test}.pt`; `limit_train` keeps a class-stratified part of train.

    Raises:
        InputError: a split file is absent or unfit, or they do not belong together; the message for absent files says
            how to make them. Or as `stratified_subset`.
    """
    splits = load_splits(data_path, configs)
    return splits | {"train": limited(splits["train"], configs, limit_train, seed)}


def limited(split: Split, configs: DatasetConfig, limit_train: int | None, seed: int) -> Split:
    """A class-stratified part of `split`, of `limit_train` beats; None: all of it.

    Raises:
        InputError: as `stratified_subset`.
    """
    if limit_train is None:
        return split
    return split.subset(stratified_subset(split.labels, limit_train, configs.num_classes, seed))


def load_splits(data_path: str | Path, configs: DatasetConfig, names: Sequence[str] = SPLITS) -> dict[str, Split]:
    """Read the split files of these names in `data_path/<dataset>`.

    Raises:
        InputError: a name is unknown, a file is absent (the message says how to make it) or unfit, or the files do not
            belong together.
    """
    for name in names:
        if name not in SPLITS:
            raise unknown("split", name, SPLITS, 'give a list of them, such as ["test"]')
    folder = Path(data_path) / configs.name
    missing = [name for name in names if not (folder / f"{name}.pt").is_file()]
    if missing:
        raise InputError(missing_splits_message(folder, missing, configs))
    splits = {name: load_split(folder / f"{name}.pt", configs) for name in names}
    require_same_origin(folder, splits)
    return splits


def require_same_origin(folder: Path, splits: dict[str, Split]) -> None:
    """Raise an `InputError` where split files of `folder` do not belong together, naming two and what differs.

    They must have been cut and split alike, their `records` must count in the same list, and no beat may be in two.
    """
    again = "make all three with one command of python -m preprocess"
    first, *others = splits
    for other in others:
        one, two = splits[first], splits[other]
        for name, value in (one.provenance() | {"seed": one.seed}).items():
            if (differs := getattr(two, name)) != value:
                raise InputError(f"{folder}: {first}.pt has {name} '{value}', {other}.pt has '{differs}'; {again}")
        for name in ("record_names", "databases"):
            if getattr(one, name) and getattr(two, name) and getattr(one, name) != getattr(two, name):
                raise InputError(
                    f"{folder}: {first}.pt and {other}.pt have different '{name}', into which 'records' counts; {again}"
                )
    places = {name: split.places() for name, split in splits.items()}
    for first, other in itertools.combinations(splits, 2):
        if shared := len(places[first] & places[other]):
            raise InputError(
                f"{folder}: {shared} beats are in both {first}.pt and {other}.pt, by record and position; {again}"
            )


def training_beats(
    splits: dict[str, Split], configs: DatasetConfig, hparams: TrainingConfig, limit_train: int | None, seed: int
) -> Split:
    """The beats that a network learns from, of `splits` as `data_generator` reads them.

    They are those of the training split. Where validation chooses no epoch, they are `limit_train` beats of training
    and validation together; and with the sampler `smote` those that it makes are added.

    Raises:
        InputError: as `stratified_subset` and `oversample`.
    """
    beats = splits["train"]
    if "val" in hparams.learnt_splits:
        beats = limited(join_splits(beats, splits["val"]), configs, limit_train, seed)
    return oversample(beats, configs, seed) if hparams.sampler == "smote" else beats


def join_splits(one: Split, other: Split) -> Split:
    """The beats of two splits of one folder (`require_same_origin`), the second after the first."""
    joined: dict[str, Any] = {}
    for name in ("samples", "labels", "context", "records", "positions"):
        parts = [getattr(split, name) for split in (one, other)]
        joined[name] = None if any(part is None for part in parts) else torch.cat(parts)
    left_out = {name: one.left_out.get(name, 0) + other.left_out.get(name, 0) for name in one.left_out | other.left_out}
    return replace(one, **joined, left_out=left_out)


def missing_splits_message(folder: Path, missing: list[str], configs: DatasetConfig) -> str:
    """Name the absent split files and the command that would make them."""
    above, dataset = folder.parent, configs.name  # above: --data_path
    if above.is_file():
        return f"--data_path {above}: is a file; give the folder that holds {dataset}/train.pt, val.pt and test.pt"
    if all((above / f"{name}.pt").is_file() for name in missing):
        upper = shlex.quote(str(above.parent))
        remedy = f"give --data_path {upper}" if above.name == dataset else f"move them into {folder}"
        return f"{folder}: not there, but {above} holds the split files itself; {remedy}"
    files = ", ".join(f"{name}.pt" for name in missing)
    absent = f"{folder}: no {files}; give --data_path the folder that holds {dataset}/{missing[0]}.pt"
    if dataset not in PREPARED:
        return f"{absent}; what these files hold is in data/README.md, A dataset of your own"
    split, other = "", "; --split inter_patient for new patients"
    if configs.has_ensembles:
        split, other = " --split inter_patient", ""
    return (
        f"{absent}, or make them with `python -m preprocess --dataset {dataset}{split} --out {shlex.quote(str(above))} "
        f"--source physionet` (or: --source synthetic, --raw_path DIR{other})"
    )


def stratified_subset(labels: Tensor, size: int, num_classes: int, seed: int) -> Tensor:
    """Choose `size` of the beats with `labels` (n,), so that each class keeps its share, and at least one beat.

    Returns:
        int64 (size,) indices, ascending.

    Raises:
        InputError: `size` is smaller than the number of classes present or larger than that of the beats.
    """
    counts = torch.bincount(labels, minlength=num_classes)
    present = int((counts > 0).sum())
    if not present <= size <= len(labels):
        raise InputError(f"--limit_train must be {present} to {len(labels)}, got {size}")
    quota = (counts * size) // len(labels)
    quota = torch.where((counts > 0) & (quota == 0), 1, quota)
    while int(quota.sum()) > size:  # beats given to rare classes come from the largest
        quota[quota.argmax()] -= 1
    while int(quota.sum()) < size:  # beats lost to rounding go where most are left out
        quota[(counts * size / len(labels) - quota).masked_fill(quota >= counts, -torch.inf).argmax()] += 1
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in range(num_classes):
        members = (labels == label).nonzero().squeeze(1)
        chosen.append(members[torch.randperm(len(members), generator=generator)[: int(quota[label])]])
    return torch.cat(chosen).sort().values


def get_class_weights(labels: Tensor, classes: Sequence[str]) -> Tensor:
    """CAL's class weights w_i = max(1, ln(mu N / n_i)), mu = n_max / N: (n,) -> (C,) float32.

    Raises:
        InputError: a class has no beat in `labels`; its weight would be infinite.
    """
    counts = torch.bincount(labels.cpu(), minlength=len(classes)).double()
    require_every_class(counts, classes)
    return torch.log(counts.max() / counts).clamp(min=1).float()


def inverse_power_weights(counts: Tensor, power: float) -> Tensor:
    """Beats n_c of each class (C,) -> weights (n / n_c)^power (C,); a class without beats counts as having one."""
    return (counts.sum() / counts.float().clamp(min=1)) ** power


def largest_class(labels: Tensor) -> int:
    """The most frequent of the labels (n,), the first of several: the class that `thinned` thins."""
    return int(torch.bincount(labels.cpu()).argmax())


def thinned_to(beats: int) -> int:
    """How many of the `beats` of a thinned class an epoch takes: one in `THINNING`, rounded up, so that one is left."""
    return -(-beats // THINNING)


def shape_weights(labels: Tensor, configs: DatasetConfig, power: float) -> Tensor:
    """Weights (C,) inverse to a power of the frequencies; the two classes of a rhythm head weigh as one.

    However rare class Q is, it weighs no more than the hard class (S) does by its own count: it is a mere remainder.

    Raises:
        InputError: there is a Q, and the hard class is none of the dataset.
    """
    counts = torch.bincount(labels.cpu(), minlength=configs.num_classes)
    weight = inverse_power_weights(counts, power)
    if "Q" in configs.classes:
        require_hard_class(configs)
    if {"Q", configs.hard_class} <= {*configs.classes}:
        q, hard = (configs.classes.index(name) for name in ("Q", configs.hard_class))
        weight[q] = torch.minimum(weight[q], weight[hard])
    if configs.has_rhythm_head:
        pair = [configs.classes.index(name) for name in configs.rhythm_classes]
        weight[pair] = (counts.sum() / counts[pair].sum()) ** power
    return weight


def require_every_class(counts: Tensor, classes: Sequence[str]) -> None:
    """Raise an `InputError` where one of the classes, whose training beats are `counts` (C,), has none.

    A loss that weighs a class by the inverse of its frequency would weigh it infinitely.
    """
    absent = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if absent:
        others = " ".join(name for name in classes if name not in absent)
        raise InputError(
            f"the training split has no beat of class {', '.join(absent)}, whose weight in this loss would be "
            "infinite: take --loss cross_entropy or focal, or leave the class out with "
            f"--classes {others} (not with an --init that has it)"
        )


def oversample(split: Split, configs: DatasetConfig, seed: int) -> Split:
    """Fill every class up with SMOTE (Chawla et al. 2002) to as many beats as the largest has.

    A new beat is a random point between a beat and one of its `SMOTE_NEIGHBOURS` nearest of the same class; a class
    of fewer beats takes all of them for neighbours. The same seed gives the same beats.

    Returns:
        The beats of `split` (n, 1, L), unchanged and in their order, then the new ones; those are of no record.

    Raises:
        InputError: imbalanced-learn is not installed, a class has a single beat, or the beats have a context.
    """
    if split.context is not None:
        raise InputError("--sampler smote: interpolates beats, but not their context; use --context none")
    if importlib.util.find_spec("imblearn") is None:
        raise InputError("--sampler smote needs imbalanced-learn: pip install -r requirements.txt")
    from imblearn.over_sampling import SMOTE  # takes a second, and is needed for this sampler only

    counts = split.class_counts(configs.classes)
    if single := [name for name, count in counts.items() if count == 1]:
        raise InputError(
            f"--sampler smote: class {single[0]} has a single training beat, and a new one lies between two; take more "
            "beats, or another sampler"
        )
    beats, labels = split.samples.squeeze(1).numpy(), split.labels.numpy()  # (n, 1, L) -> (n, L)
    random = np.random.RandomState(seed)
    new_beats, new_labels = [split.samples], [split.labels]
    most = max(counts.values())
    for label, count in enumerate(counts.values()):
        if 0 < count < most:
            # One class at a time, since the number of neighbours is one for all classes of a call.
            neighbours = min(SMOTE_NEIGHBOURS, count - 1)
            smote = SMOTE(sampling_strategy={label: most}, k_neighbors=neighbours, random_state=random)
            made = torch.from_numpy(smote.fit_resample(beats, labels)[0][len(beats) :])  # (most - count, L)
            new_beats.append(made.to(torch.float32).unsqueeze(1))  # (most - count, 1, L)
            new_labels.append(torch.full((len(made),), label))
    return replace(split, samples=torch.cat(new_beats), labels=torch.cat(new_labels), records=None, positions=None)


class Batches:
    """The order in which an epoch visits the training beats: each once, or for `balanced` as many, drawn at random.

    `thinned` visits all beats of the smaller classes and, drawn for each epoch, one in `THINNING` of the largest. In
    the training loss, and only there, those of the largest weigh `THINNING` times as much (`training_weights`).

    `order(epoch)` gives index tensors. The order depends only on the seed and the epoch, so that a resumed
    run continues with the batches that it would have seen.

    Raises:
        InputError: with `sequence_beats`, as `consecutive_sequences`.
    """

    def __init__(self, split: Split, hparams: TrainingConfig, seed: int) -> None:
        self.size = hparams.batch_size
        self.seed = seed
        self.beats = len(split)  # that an epoch visits
        self.units = None if hparams.sequence_beats is None else consecutive_sequences(split, hparams.sequence_beats)
        self.chances: Tensor | None = None  # (n,): a beat's chance to be drawn, up to a factor
        self.thinned: int | None = None  # the class that is thinned
        if hparams.sampler == "thinned":
            self.thinned = largest_class(split.labels)
            common = split.labels.cpu() == self.thinned
            self.common, self.rest = common.nonzero().flatten(), (~common).nonzero().flatten()
            self.beats = len(self.rest) + thinned_to(len(self.common))
        if hparams.sampler == "balanced":
            labels = split.labels.cpu()
            self.chances = 1 / torch.bincount(labels).double()[labels]

    def __len__(self) -> int:
        """Steps of one epoch."""
        return -(-(self.beats if self.units is None else len(self.units)) // self.size)

    def training_weights(self, weight: Tensor) -> Tensor:
        """The class weights (C,) of a loss as training takes them: they make up for the class that is thinned."""
        if self.thinned is None:
            return weight
        weight = weight.clone()
        weight[self.thinned] *= THINNING
        return weight

    def order(self, epoch: int, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """The beat indices (b,) int64 of each step of `epoch`, on `device`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        if self.units is None:
            return self._beats_of_epoch(generator).to(device).split(self.size)
        units = [self.units[unit] for unit in torch.randperm(len(self.units), generator=generator).tolist()]
        sizes = [sum(map(len, units[first : first + self.size])) for first in range(0, len(units), self.size)]
        return torch.cat(units).to(device).split(sizes)

    def _beats_of_epoch(self, generator: torch.Generator) -> Tensor:
        if self.chances is not None:
            return torch.multinomial(self.chances, self.beats, replacement=True, generator=generator)
        if self.thinned is not None:
            drawn = torch.randperm(len(self.common), generator=generator)[: thinned_to(len(self.common))]
            both = torch.cat([self.rest, self.common[drawn]])
            return both[torch.randperm(len(both), generator=generator)]
        return torch.randperm(self.beats, generator=generator)


def consecutive_sequences(split: Split, length: int) -> list[Tensor]:
    """Cut the split into sequences of `length` beats that follow one another in one record; the last are shorter.

    Returns:
        Of each sequence the indices of its beats, int64 (`length`,) at most.

    Raises:
        InputError: the split file does not say from which record and position its beats come.
    """
    if split.records is None or split.positions is None:
        raise InputError(
            f"--recipe notes needs sequences of consecutive beats, but the split file ({split.source}) has no "
            "'records' and 'positions'; make those of mit and ptb from WFDB records with python -m preprocess, to "
            "others add 'records' and 'positions' (data/README.md, A dataset of your own)"
        )
    by_time = np.lexsort((split.positions.numpy(), split.records.numpy()))
    order = torch.from_numpy(by_time)
    beats_per_record = torch.bincount(split.records)
    return [
        sequence
        for record in order.split(beats_per_record.tolist())
        if len(record)
        for sequence in record.split(length)
    ]
