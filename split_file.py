"""A split file, read and checked: `load_split` gives the beats of one as a `Split`.

A split file is a `torch.save`d dict: `samples` (n, 1, L), `labels` (n,), and where known `records`, `positions`,
`record_names`, `source`, `protocol`, `window` and more (data/README.md). The files of the paper's authors and of their
copies hold samples and labels alone, as tensors or numpy arrays, as (n, L), (n, L, 1) or (n, 1, L). Reading one runs no
code from it.
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_configs import DATASETS, PREPARED, DatasetConfig, every_class
from support.errors import InputError, listed, one_line
from support.fields import fits
from support.files import read_torch

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The beats of one split, in memory."""

    samples: Tensor
    """(n, 1, L) float32: the beats, or for a morphology head their differences from the dominant beat."""
    labels: Tensor
    """(n,) int64 in 0..C-1."""
    context: Tensor | None = None
    """(n, K) float32, the columns `DatasetConfig.context_features`; None where the network sees none."""
    records: Tensor | None = None
    """(n,) int64 index into `record_names`."""
    positions: Tensor | None = None
    """(n,) int64 sample index of the R-peak in its record."""
    record_names: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    """One per record, such as "mitdb"; empty where the file does not say."""
    fs: float | None = None
    """Hz, the rate of `samples`; None where the file does not say."""
    source: str = "unknown"
    """Where the beats come from: physionet, kaggle, synthetic, ..."""
    protocol: str = "unknown"
    """How they were split: beat, inter_patient, ..."""
    window: str = "unknown"
    """How a beat was cut and scaled."""
    seed: int | None = None
    """Seed of the draw that split them; None where the file does not say."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Class that the network does not have -> its beats in the file."""

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor | np.ndarray) -> Split:
        """The beats at `indices` (m,) int64, in that order; a tensor of them is on the CPU."""
        indices = torch.as_tensor(indices)
        return replace(
            self,
            samples=self.samples[indices],
            labels=self.labels[indices],
            context=None if self.context is None else self.context[indices],
            records=None if self.records is None else self.records[indices],
            positions=None if self.positions is None else self.positions[indices],
        )

    def to(self, device: torch.device) -> Split:
        """The same split with all that the network sees, and the labels, on `device`."""
        context = None if self.context is None else self.context.to(device)
        return replace(self, samples=self.samples.to(device), labels=self.labels.to(device), context=context)

    def inputs(self, indices: Tensor | slice = slice(None)) -> tuple[Tensor, ...]:
        """What the network sees of the beats at `indices`: samples (m, 1, L), with context also that (m, K)."""
        whole = (self.samples,) if self.context is None else (self.samples, self.context)
        return tuple(part[indices] for part in whole)

    def provenance(self) -> dict[str, Any]:
        """Where the beats come from and how they were cut and split: what files of one folder must agree on."""
        return {"source": self.source, "protocol": self.protocol, "window": self.window, "fs": self.fs}

    @property
    def its_records(self) -> list[tuple[str, str]]:
        """Database ("": not known) and name of each record that its beats are of; empty where they are not known."""
        if self.records is None or not self.record_names:
            return []
        databases = self.databases or [""] * len(self.record_names)
        numbers = self.records.unique().tolist()
        return [(databases[at], self.record_names[at].removeprefix(f"{databases[at]}/")) for at in numbers]

    @property
    def its_databases(self) -> list[str]:
        """The databases that its beats are of, as far as they are known."""
        return [name for name in dict.fromkeys(database for database, _ in self.its_records) if name]

    @property
    def origin(self) -> str:
        """Source, databases and protocol in words, for every line and title of a result."""
        if self.source == self.protocol == "unknown":
            return "split files that name no source"
        databases = one_line(", ".join(self.its_databases))
        return f"{self.source} data{f' ({databases})' if databases else ''}, {self.protocol} split"

    def fingerprint(self) -> str:
        """A hash of samples, context and labels: equal for the same beats in the same order."""
        digest = hashlib.blake2b(digest_size=16)
        for values in (*self.inputs(), self.labels):
            digest.update(values.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def places(self) -> set[tuple[int, int]]:
        """Record and position of each beat; empty where they are not known."""
        if self.records is None or self.positions is None:
            return set()
        return {*zip(self.records.tolist(), self.positions.tolist(), strict=True)}

    def place_fingerprint(self) -> str:
        """A hash of where each beat is from, its record and position, beside that of the beats themselves."""
        digest = hashlib.blake2b(repr((self.record_names, self.databases)).encode(), digest_size=16)
        for values in (self.records, self.positions):
            digest.update(b"unknown" if values is None else values.contiguous().numpy().data)
        return digest.hexdigest()

    def class_counts(self, classes: Sequence[str]) -> dict[str, int]:
        """Name of each class -> its beats."""
        counts = torch.bincount(self.labels.cpu(), minlength=len(classes)).tolist()
        return dict(zip(classes, counts, strict=True))


def load_split(
    path: str | Path,
    configs: DatasetConfig,
    any_length: bool = False,
    remedy: str = "make it again with python -m preprocess, or as data/README.md, A dataset of your own, says",
) -> Split:
    """Read one split file and check all of it against `configs`; with `any_length` all but the length of a beat.

    `remedy` is what a message about a damaged file advises.

    Raises:
        InputError: the file is absent, cut short, not a split file, holds code, or an entry of it is damaged or does
            not fit `configs`.
    """
    path = Path(path)
    contents = read_torch(path, "split file", remedy)
    _require_own_name(contents, path)
    samples, context = _samples_and_context(contents, configs, any_length, path)
    numbers = _labels(contents, len(samples), path)
    _require_finite(samples, path)
    stored_classes = _stored_classes(contents, configs, path)
    labels = _in_classes(numbers, stored_classes, configs, path)
    records, record_names, databases = _records(contents, len(labels), path)
    split = Split(
        samples,
        labels,
        records=records,
        positions=_per_beat(contents, "positions", len(labels), path),
        record_names=record_names,
        databases=databases,
        fs=_rate(contents, path),
        source=_text(contents, "source", path),
        protocol=_text(contents, "protocol", path),
        window=_text(contents, "window", path),
        seed=_seed(contents, path),
        context=context,
    )
    return split if stored_classes == configs.classes else _only_classes(split, stored_classes, configs, path)


def _require_own_name(contents: dict[str, Any], path: Path) -> None:
    """Raise an `InputError` where a file is named for one split and says that it is another."""
    says = _text(contents, "split", path)
    if {says, path.stem} <= {*SPLITS} and says != path.stem:
        raise InputError(f"{path}: its entry 'split' says {says}; give each file the name of its split")


def _samples_and_context(
    contents: dict[str, Any], configs: DatasetConfig, any_length: bool, path: Path
) -> tuple[Tensor, Tensor | None]:
    """What the network sees: the beats or their differences (n, 1, L), and the context (n, K) where it sees one."""
    samples = _beats_first(_numbers(contents, "samples", path), path, configs, any_length)
    if configs.context == "none":
        return samples, None
    difference, context = _difference_and_context(contents, configs, samples.shape, path)
    return (difference if configs.has_morphology_head else samples), context


def _labels(contents: dict[str, Any], beats: int, path: Path) -> Tensor:
    """The labels (n,) as the file has them, one for each of the `beats`, of which there is one at least."""
    labels = _numbers(contents, "labels", path)
    if labels.dim() != 1 or len(labels) != beats:
        raise InputError(f"{path}: labels of shape {tuple(labels.shape)} beside {beats} beats; give one per beat")
    if beats == 0:
        raise InputError(f"{path}: holds no beats; at least one is needed")
    return labels


def _require_finite(samples: Tensor, path: Path) -> None:
    bad = ~torch.isfinite(samples).all(dim=2).all(dim=1)
    if bad.any():
        raise InputError(
            f"{path}: {int(bad.sum())} beats hold NaN or infinite samples, the first is beat {int(bad.nonzero()[0])}; "
            "every sample must be finite"
        )


def _in_classes(labels: Tensor, stored_classes: tuple[str, ...], configs: DatasetConfig, path: Path) -> Tensor:
    """The labels (n,) as int64, each a number of one of the classes of the file."""
    classes = labels.long()
    outside = (classes != labels) | (classes < 0) | (classes >= len(stored_classes))
    if outside.any():
        first = int(outside.nonzero()[0])
        raise InputError(
            f"{path}: label {labels[first].item():g} of beat {first} is not a class of {configs.name}; "
            f"0 to {len(stored_classes) - 1} are ({', '.join(stored_classes)})"
        )
    return classes


def _records(
    contents: dict[str, Any], beats: int, path: Path
) -> tuple[Tensor | None, tuple[str, ...], tuple[str, ...]]:
    """The record of each beat (n,), and the name and the database of each record; None and empty where not known."""
    records = _per_beat(contents, "records", beats, path)
    record_names = _names(contents, "record_names", path) or ()
    if records is not None and not 0 <= int(records.min()) <= int(records.max()) < max(len(record_names), 1):
        raise InputError(
            f"{path}: 'records' counts from {int(records.min())} to {int(records.max())}, beside "
            f"{len(record_names)} 'record_names'; it is an index into them"
        )
    databases = _names(contents, "databases", path) or ()
    if databases and len(databases) != len(record_names):
        raise InputError(
            f"{path}: {len(databases)} 'databases' beside {len(record_names)} 'record_names'; give one per record"
        )
    return records, record_names, databases


def _stored_classes(contents: dict[str, Any], configs: DatasetConfig, path: Path) -> tuple[str, ...]:
    """The classes that the labels of a file index; all those of the dataset where the file does not say."""
    stored = _names(contents, "classes", path)
    stored = every_class(configs) if stored is None else stored
    known = every_class(configs) if configs.name in DATASETS else stored  # of any other the file alone can know more
    if not stored or len(set(stored)) < len(stored) or not set(stored) <= set(known):
        raise InputError(
            f"{path}: its classes are {listed(stored)}, those of {configs.name} are {listed(known)}; is it the "
            "file of another dataset?"
        )
    if not {*configs.classes} <= {*stored}:
        raise InputError(
            f"{path}: its classes are {', '.join(stored)}, the network expects {', '.join(configs.classes)}; make the "
            f"split files with these, or train a network with --classes {' '.join(stored)}"
        )
    return stored


def _only_classes(split: Split, stored: tuple[str, ...], configs: DatasetConfig, path: Path) -> Split:
    """The beats of the network's classes, labelled by its numbers; how many of the others there were is kept."""
    new_label = torch.tensor([configs.classes.index(name) if name in configs.classes else -1 for name in stored])
    labels = new_label[split.labels]
    kept = (labels >= 0).nonzero().flatten()
    if not len(kept):
        raise InputError(f"{path}: holds no beats of class {', '.join(configs.classes)}; at least one is needed")
    counts = split.class_counts(stored)
    left_out = {name: beats for name, beats in counts.items() if name not in configs.classes and beats}
    return replace(split, labels=labels, left_out=left_out).subset(kept)


def _numbers(contents: dict[str, Any], key: str, path: Path) -> Tensor:
    """The entry `key` as a tensor of real numbers, of any shape."""
    if key not in contents:
        raise InputError(f"{path}: has no '{key}'; a split file is a dict of samples and labels")
    value = contents[key]
    if not isinstance(value, (Tensor, np.ndarray)):
        raise InputError(f"{path}: '{key}' is a {type(value).__name__}; a tensor or a numpy array of numbers is needed")
    if isinstance(value, np.ndarray) and value.dtype in (np.uint16, np.uint32, np.uint64):
        value = value.astype(np.float64)  # torch has these types too, but cannot compare their numbers
    tensor = torch.as_tensor(value).detach()
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise InputError(f"{path}: '{key}' is of type {tensor.dtype}; real numbers are needed")
    return tensor


def _beats_first(samples: Tensor, path: Path, configs: DatasetConfig, any_length: bool) -> Tensor:
    """(n, L), (n, L, 1) or (n, 1, L) -> (n, 1, L) float32."""
    length = configs.sequence_len
    if samples.dim() == 2:
        samples = samples.unsqueeze(1)
    elif samples.dim() == 3 and samples.shape[2] == 1:
        samples = samples.transpose(1, 2)
    if samples.dim() != 3 or samples.shape[1] != 1:
        raise InputError(
            f"{path}: samples of shape {tuple(samples.shape)}; (n, 1, {length}), (n, {length}) or (n, {length}, 1) "
            "is needed"
        )
    if samples.shape[2] != length and not any_length:
        raise InputError(
            f"{path}: beats of {samples.shape[2]} samples, the network takes {length}; --sequence_len "
            f"{samples.shape[2]} trains a network for these beats, or tests a released checkpoint on them"
        )
    return samples.to(torch.float32).contiguous()


def _difference_and_context(
    contents: dict[str, Any], configs: DatasetConfig, shape: torch.Size, path: Path
) -> tuple[Tensor, Tensor]:
    """Of beats of `shape` (n, 1, L) the differences from the dominant beat (n, 1, L), and the context (n, K)."""
    names = _names(contents, "context_names", path) or ()
    lacking = [name for name in configs.context_features if name not in names]
    if lacking or not {"context", "difference"} <= contents.keys():
        cut_by_others = contents.get("records") is None
        others = ", which beats that others have cut cannot have" if cut_by_others else ""
        remedy = (
            f"make the split files from recordings: python -m preprocess --dataset {configs.name} --window centred "
            "--out DIR"
            if configs.name in PREPARED
            else "--context none goes without"
        )
        raise InputError(
            f"{path}: has no context of the beats{f' ({lacking[0]})' if names and lacking else ''}{others}: --context "
            f"{configs.context} needs it; {remedy}"
        )
    columns = [names.index(name) for name in configs.context_features]
    beats, _, length = shape
    difference, context = _numbers(contents, "difference", path).float(), _numbers(contents, "context", path).float()
    if difference.shape != (beats, length) or context.shape != (beats, len(names)):
        raise InputError(
            f"{path}: 'difference' of shape {tuple(difference.shape)} and 'context' of shape {tuple(context.shape)} "
            f"beside {beats} beats; {(beats, length)} and {(beats, len(names))} are needed"
        )
    for key, values in (("difference", difference), ("context", context)):
        if not torch.isfinite(values).all():
            raise InputError(f"{path}: '{key}' holds NaN or infinite values; every one must be finite")
    return difference.unsqueeze(1), context[:, columns]  # (n, L) -> (n, 1, L)


def _rate(contents: dict[str, Any], path: Path) -> float | None:
    fs = contents.get("fs")
    if fs is None:
        return None
    if not fits(fs, float) or fs <= 0:
        raise InputError(f"{path}: 'fs' is {reprlib.repr(fs)}; a rate in Hz is needed")
    return float(fs)


def _seed(contents: dict[str, Any], path: Path) -> int | None:
    seed = contents.get("seed")
    if seed is not None and not fits(seed, int):
        raise InputError(f"{path}: 'seed' is {reprlib.repr(seed)}; a whole number is needed")
    return seed


def _text(contents: dict[str, Any], key: str, path: Path) -> str:
    value = contents.get(key)
    if value is None:
        return "unknown"
    if not isinstance(value, str):
        raise InputError(f"{path}: '{key}' is {reprlib.repr(value)}; a string is needed")
    return one_line(value)


def _names(contents: dict[str, Any], key: str, path: Path) -> tuple[str, ...] | None:
    names = contents.get(key)
    if names is None:
        return None
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: '{key}' is {reprlib.repr(names)}; a list of names is needed")
    return tuple(names)


def _per_beat(contents: dict[str, Any], key: str, beats: int, path: Path) -> Tensor | None:
    if contents.get(key) is None:
        return None
    values = _numbers(contents, key, path)
    if values.shape != (beats,):
        raise InputError(f"{path}: '{key}' of shape {tuple(values.shape)} beside {beats} beats; give one per beat")
    whole = values.long()
    fractions = (whole != values).nonzero()
    if len(fractions):
        first = int(fractions[0])
        raise InputError(f"{path}: '{key}' holds {values[first].item():g} for beat {first}; whole numbers are needed")
    return whole


def splits_by_patient(protocol: str) -> bool | None:
    """Whether the `protocol` of a split file keeps the patients of the test out of training; None: it does not say.

    DS1 and DS2 of mitdb count as kept apart, though one patient is in both, as in the published protocol: record 202
    (DS2) is of the patient of 201 (DS1). The protocol of a fold is "inter_patient, fold 1 of 5".
    """
    return {"inter_patient": True, "beat": False}.get(protocol.partition(",")[0])
