"""Which beat goes where, and the split files: the contract that `split_file` reads.

Two protocols. `beat` splits single beats, as the paper does (section 4.1): the patients of a test beat were seen in
training. `inter_patient` splits by patient: DS1 and DS2 for mitdb (de Chazal, O'Dwyer & Reilly 2004, doi
10.1109/TBME.2004.827359), drawn ones otherwise; of several databases each by itself. All draws are seeded and the same
everywhere.
"""

from __future__ import annotations

import posixpath
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from preprocess.beats import BeatSet
from preprocess.context import CONTEXT_NAMES
from support.errors import InputError
from support.files import require_writable, save_torch, written_whole

Split = dict[str, np.ndarray]
"""Name of each split -> int64 indices of its beats, ascending; a beat is in one split at most."""

SPLITS = ("train", "val", "test")
PROTOCOLS = ("beat", "inter_patient")

FRACTIONS = (0.64, 0.16, 0.20)
"""The paper's: 80 / 20 train / test, then 20 % of train for validation."""

VALIDATION = 0.2
"""The part of a training split that becomes validation where the test split is given by others."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


DS1 = _names("101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230")
DS2 = _names("100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234")
PACED = _names("102 104 107 217")

DRAWS = 4000
"""Orders of patients that `draw_patients` looks at; fewer for many patients, who average out by themselves."""

ENOUGH = 50
"""Beats of a class, below which its share is left to chance when patients are drawn."""


def split_beats(beats: BeatSet, protocol: str, fractions: tuple[float, ...] | None, seed: int) -> Split:
    """Split beats into train, val and test by `protocol`; `fractions` None: those of the paper.

    Raises:
        InputError: the protocol does not fit the data, or a split would be empty.
    """
    split = (_by_beat if protocol == "beat" else _by_patient)(beats, fractions, seed)
    for name in SPLITS:
        if not len(split[name]):
            raise InputError(f"the {name} split would be empty: {len(beats.labels)} beats are too few")
    return split


# ------------------------------------------------------------------------------------------------- by beat


def _by_beat(beats: BeatSet, fractions: tuple[float, ...] | None, seed: int) -> Split:
    if beats.given_test is None:
        return split_by_beat(beats.labels, fractions or FRACTIONS, seed)
    if fractions is not None:
        raise InputError("--fractions does not apply: this test split is given, and 20 % of train is validation")
    rest = np.flatnonzero(~beats.given_test)
    train, val = hold_out(beats.labels[rest], VALIDATION, seed)
    return {"train": rest[train], "val": rest[val], "test": np.flatnonzero(beats.given_test)}


def split_by_beat(labels: np.ndarray, fractions: tuple[float, ...], seed: int) -> Split:
    """Split beats with `labels` (n,), stratified by class: first the test split, then validation out of the rest."""
    train_share, val_share, test_share = fractions
    rest, test = hold_out(labels, test_share, seed, leave=2)
    train, val = hold_out(labels[rest], val_share / (train_share + val_share), seed)
    return {"train": rest[train], "val": rest[val], "test": test}


def hold_out(labels: np.ndarray, share: float, seed: int, leave: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a `share`, 0 to 1, of the beats with `labels` (n,), stratified by class.

    A class too small to have a whole beat held out and `leave` in the rest at that share still has them, as far as its
    beats go: of two beats one is on each side, a single beat is in the rest.

    Returns:
        int64 indices of the rest and of those held out, ascending.
    """
    from sklearn.model_selection import train_test_split

    counts = np.bincount(labels)
    # + 1: stratification rounds, by less than a beat of each class
    small = (counts * share < 1) | (counts * (1 - share) < leave + 1)
    common = np.flatnonzero(~small[labels])
    held = [np.empty(0, dtype=np.int64)]
    if len(common):
        held.append(train_test_split(common, test_size=share, stratify=labels[common], random_state=seed)[1])
    rng = np.random.default_rng(seed)
    for label in np.flatnonzero(small & (counts > 1)):
        taken = max(min(round(counts[label] * share), counts[label] - leave), 1)
        held.append(rng.choice(np.flatnonzero(labels == label), taken, replace=False))
    test = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), test), test


# ---------------------------------------------------------------------------------------------- by patient


def _by_patient(beats: BeatSet, fractions: tuple[float, ...] | None, seed: int) -> Split:
    """Split by patient, each database by itself."""
    parts: list[Split] = []
    for slug, chosen in _by_database(beats, "--split inter_patient").items():
        if slug == "mitdb":
            parts.append(_ds1_ds2(beats, chosen, fractions, seed))
        else:
            parts.append(_drawn(beats, chosen, fractions or FRACTIONS, seed, slug or "this folder"))
    return {name: np.sort(np.concatenate([part[name] for part in parts])) for name in SPLITS}


def _by_database(beats: BeatSet, option: str) -> dict[str, np.ndarray]:
    """Slug of each database ("": not known) that has beats -> their indices, int64.

    Raises:
        InputError: as `_records`, or two databases have records of one patient.
    """
    records = _records(beats, option)
    databases = beats.databases or ("",) * len(beats.record_names)
    owner: dict[str, str] = {}
    for patient, database in zip(beats.patients, databases, strict=True):
        if owner.setdefault(patient, database) != database:
            raise InputError(
                f"--split inter_patient: {owner[patient]} and {database} have records of one patient, {patient}; read "
                "one of the two, or use --split beat"
            )
    of_beat = np.array(databases)[records]
    chosen = {slug: np.flatnonzero(of_beat == slug) for slug in dict.fromkeys(databases)}
    return {slug: index for slug, index in chosen.items() if len(index)}


def _records(beats: BeatSet, option: str = "--split inter_patient") -> np.ndarray:
    """The record of each beat, which tells its patient.

    Raises:
        InputError: it is not known, and `option` needs it.
    """
    if beats.records is None or not beats.patients:
        raise InputError(f"{option} needs to know the patients, which source {beats.source} does not")
    return beats.records


def _ds1_ds2(beats: BeatSet, chosen: np.ndarray, fractions: tuple[float, ...] | None, seed: int) -> Split:
    """DS2 is test; validation is drawn from the patients of DS1; the paced records are in neither."""
    if fractions is not None:
        raise InputError(
            "--fractions does not apply to --split inter_patient of mitdb: DS1 and DS2 are fixed, and about "
            "20 % of DS1 is validation"
        )
    ds1, ds2 = (_of_records(beats, chosen, part) for part in (DS1, DS2))
    absent = [name for name, part in (("DS1", ds1), ("DS2", ds2)) if not len(part)]
    if absent:
        raise InputError(
            f"--split inter_patient of mitdb needs records of DS1 and of DS2, and there are none of "
            f"{' and '.join(absent)}; give the folder of all 48, or leave --database out"
        )
    train, val = _hold_out_patients(beats, ds1, VALIDATION, seed, "DS1")
    return {"train": train, "val": val, "test": ds2}


def _of_records(beats: BeatSet, chosen: np.ndarray, names: frozenset[str]) -> np.ndarray:
    """Those of the chosen beats (n,) whose records have these names, in whatever folder."""
    is_named = np.isin([posixpath.basename(name) for name in beats.record_names], [*names])
    return chosen[is_named[_records(beats)[chosen]]]


def _drawn(beats: BeatSet, chosen: np.ndarray, fractions: tuple[float, ...], seed: int, where: str) -> Split:
    """The patients of the test split are drawn first, then those of validation out of the rest."""
    train_share, val_share, test_share = fractions
    rest, test = _hold_out_patients(beats, chosen, test_share, seed, where, leave=2)
    train, val = _hold_out_patients(beats, rest, val_share / (train_share + val_share), seed, where)
    return {"train": train, "val": val, "test": test}


def fold_splits(beats: BeatSet, folds: int, seed: int) -> list[Split]:
    """Split by patient for cross-validation: the patients of fold k are the test split of the k-th of the splits.

    Each database is folded by itself. Of mitdb the patients of DS1 are; DS2 and the paced records are in no split, so
    that whatever is chosen by the folds has not seen DS2. Validation is drawn from the other patients.

    Raises:
        InputError: the patients are not known, or too few, or two databases have records of one.
    """
    parts: list[list[Split]] = [[] for _ in range(folds)]
    for slug, chosen in _by_database(beats, "--folds").items():
        where = slug or "this folder"
        if slug == "mitdb":
            chosen, where = _of_records(beats, chosen, DS1), "DS1"
        if not len(chosen):
            raise InputError(f"--folds of mitdb are made of DS1, of which no record is here: {', '.join(sorted(DS1))}")
        patients, counts = _beats_per_patient(beats, chosen)
        _need(counts, max(folds, 4 if folds == 2 else 3), where)  # beside a fold two: training and validation
        fold_of_beat = deal_patients(counts, folds, seed)[patients]
        for fold in range(folds):
            train, val = _hold_out_patients(beats, chosen[fold_of_beat != fold], VALIDATION, seed, where)
            parts[fold].append({"train": train, "val": val, "test": chosen[fold_of_beat == fold]})
    return [{name: np.sort(np.concatenate([part[name] for part in fold])) for name in SPLITS} for fold in parts]


def _hold_out_patients(
    beats: BeatSet, chosen: np.ndarray, share: float, seed: int, where: str, leave: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out patients with about a `share` of the chosen beats (n,), as `draw_patients` draws them.

    Returns:
        int64 indices of the beats of the other patients, of whom there are at least `leave`, and of those held out.
    """
    patients, counts = _beats_per_patient(beats, chosen)
    _need(counts, leave + 1, where)
    held = draw_patients(counts, share, seed, leave)[patients]
    return chosen[~held], chosen[held]


def deal_patients(counts: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal patients to folds so that each fold has about its share of every class but the commonest.

    Patients are dealt in the order of their share of the rare classes, the largest first (a seeded factor varies that
    order between deals); each goes to the fold that it loads least, of those that are not full.

    Args:
        counts: (patients, classes), beats; at least as many patients as folds.
        folds: how many.
        seed: of the deal.

    Returns:
        int64 (patients,): the fold of each. No fold has more than its share of the patients, rounded up.
    """
    total = counts.sum(axis=0)
    rare = (total >= min(ENOUGH, total.max())) & (np.arange(len(total)) != total.argmax())
    shares = counts[:, rare] / total[rare]  # (patients, rare classes)
    rng = np.random.default_rng(seed)
    wealth = (shares.sum(axis=1) + 1e-3 * rng.random(len(counts))) * np.exp(0.5 * rng.standard_normal(len(counts)))
    order = np.argsort(-wealth)
    fold_of = np.zeros(len(counts), dtype=np.int64)
    load, size = np.zeros((folds, shares.shape[1])), np.zeros(folds, dtype=np.int64)
    for patient in order:
        full = size >= -(-len(counts) // folds)
        # The class that a fold has most of decides; among equals its load of all classes, then its patients.
        cost = (load + shares[patient]).max(axis=1, initial=0) + 1e-3 * load.sum(axis=1) + 1e-6 * size
        fold = int(np.where(full, np.inf, cost).argmin())
        fold_of[patient] = fold
        load[fold] += shares[patient]
        size[fold] += 1
    return fold_of


def _beats_per_patient(beats: BeatSet, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For the chosen beats (n,): the patient of each (n,) as an index, and beats (patients, classes)."""
    _, patient_of_record = np.unique(np.array(beats.patients), return_inverse=True)
    _, patients = np.unique(patient_of_record[_records(beats)[chosen]], return_inverse=True)
    counts = np.zeros((patients.max() + 1, len(beats.classes)), dtype=np.int64)
    np.add.at(counts, (patients, beats.labels[chosen]), 1)
    return patients, counts


def _need(counts: np.ndarray, least: int, where: str) -> None:
    if len(counts) < least:
        raise InputError(
            f"--split inter_patient needs at least {least} patients in {where}, found {len(counts)}; "
            "add records, say whose they are with --patients_file FILE, or use --split beat"
        )


def draw_patients(counts: np.ndarray, share: float, seed: int, leave: int = 1) -> np.ndarray:
    """Draw patients who together hold about `share` of the beats of every class.

    Of the beginnings of `DRAWS` random orders of the patients the best is taken, of those that leave `leave` patients:
    first, every class that enough patients have is on both sides, with `leave` patients on the side not drawn (a class
    of one patient stays there); then the mean distance of the classes' shares from `share` is least, over classes of
    `ENOUGH` beats.
    On DS1 (twenty seeds: mean distance 4 %, 16 to 31 F beats drawn) this comes closer than the best fold of twenty
    StratifiedGroupKFolds (6 %, one F beat), which assigns the rare classes last.

    Args:
        counts: (patients, classes), beats; of more patients than `leave`.
        share: of the beats, 0 to 1.
        seed: of the draw.
        leave: patients on the side not drawn, at least; and those that each class keeps there, where it has more.

    Returns:
        bool (patients,): those drawn, at least one.
    """
    rng = np.random.default_rng(seed)
    draws = min(DRAWS, 10**6 // len(counts) + 1)
    order = rng.permuted(np.tile(np.arange(len(counts)), (draws, 1)), axis=1)  # (draws, patients)
    drawn = counts[order].cumsum(axis=1)[:, :-1]  # (draws, beginnings, classes), beats
    holders = (counts > 0)[order].cumsum(axis=1)[:, :-1]  # the same in patients
    total, patients = counts.sum(axis=0), (counts > 0).sum(axis=0)

    lacks_here = (holders == 0) & (patients > 1)
    lacks_there = patients - holders < np.minimum(leave, np.maximum(patients - 1, 1)) * (patients > 0)
    weighed = total >= min(ENOUGH, total.max())
    distance = np.abs(drawn / np.maximum(total, 1) - share)[..., weighed].mean(axis=-1)
    badness = (lacks_here | lacks_there).sum(axis=-1) + distance  # distance < 1: presence comes first
    badness[:, len(counts) - leave :] = np.inf  # the last beginning has all patients but one

    best, length = np.unravel_index(badness.argmin(), badness.shape)
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[order[best, : length + 1]] = True
    return chosen


# ----------------------------------------------------------------------------------------- the split files


def split_contents(beats: BeatSet, split: Split, name: str, protocol: str, seed: int) -> dict[str, Any]:
    """Return what the file of one split holds; data/README.md describes each entry."""
    import torch

    index = split[name]
    total = sum(len(part) for part in split.values())
    content: dict[str, Any] = {
        "samples": torch.from_numpy(beats.samples[index]),
        "labels": torch.from_numpy(beats.labels[index]),
        "classes": list(beats.classes),
        "fs": beats.fs,
        "window": beats.window,
        "source": beats.source,
        "source_from": beats.source_from,
        "protocol": protocol,
        "split": name,
        "seed": seed,
        "fractions": [len(split[other]) / total for other in SPLITS],
    }
    if beats.records is not None and beats.positions is not None:  # both are known, or none
        content |= {
            "records": torch.from_numpy(beats.records[index]),
            "positions": torch.from_numpy(beats.positions[index]),
            "record_names": list(beats.record_names),
            "record_fs": list(beats.record_fs),
            "leads": list(beats.leads),
            "patients": list(beats.patients),
            "databases": list(beats.databases),
            "patients_from": beats.patients_from,
        }
    if beats.context is not None:
        context = beats.context.of_beats(index)
        content |= {
            "context": torch.from_numpy(context.features),
            "context_names": list(CONTEXT_NAMES),
            "difference": torch.from_numpy(context.difference).half(),  # within +-8: good to 0.004
        }
    return content


def require_no_other_folds(out: Path, dataset: str, folds: int) -> None:
    """Raise an `InputError` where `out` has folds beyond `folds`, of another deal: nobody could tell them apart."""
    numbers = [path.parent.name.removeprefix("fold_") for path in out.glob(f"fold_*/{dataset}")]
    others = sorted(int(number) for number in numbers if number.isdecimal() and int(number) > folds)
    if others:
        names = ", ".join(f"fold_{number}" for number in others)
        raise InputError(f"{out}: has {names} of another deal; move it away, or name another folder with --out")


def check_writable(folder: Path) -> None:
    """Raise an `InputError` when the split files of `folder` cannot be written: sooner than after minutes of work."""
    require_writable(folder, "--out")
    for name in SPLITS:
        if (folder / f"{name}.pt").is_dir():
            raise InputError(f"{folder / name}.pt is a folder and in the way of a file; name another one with --out")


def write_split_files(folder: Path, beats: BeatSet, split: Split, protocol: str, seed: int) -> list[Path]:
    """Write train.pt, val.pt and test.pt into `folder`: all parts first, then all three renamed.

    Returns:
        The three paths.

    Raises:
        InputError: the folder cannot be written; what was there is then unchanged.
    """
    paths = [Path(folder, f"{name}.pt") for name in SPLITS]
    with ExitStack() as stack:
        for name, path in zip(SPLITS, paths, strict=True):
            stream = stack.enter_context(stack.enter_context(written_whole(path)).open("wb"))
            save_torch(split_contents(beats, split, name, protocol, seed), stream)
    return paths
