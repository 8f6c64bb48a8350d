from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from conftest import MITDB, RAW, ROOT, needs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_records import annotate, read_splits, run, store

import main as training
from dataloader import load_splits
from preprocess import labels as meanings
from preprocess import splits
from preprocess.__main__ import prepare
from preprocess.beats import FS, LENGTH, BeatSet, ReadingOptions, cut, only_classes, read_beats, standardise
from preprocess.config import PreparationConfig
from preprocess.synthetic import write_synthetic_mit, write_synthetic_ptb
from run_folder.network import load_network
from support.errors import InputError
from support.files import read_json
from trainer import stream_logits
from utils import PRETRAINED

fewer_examples = settings(max_examples=50)

SPACE = 300  # samples between the beats of a written record


def write_record(
    folder: Path,
    name: str,
    symbols: str = "NNNN",
    fs: float = 360,
    leads: tuple[str, ...] = ("MLII", "V1"),
    comments: tuple[str, ...] = (),
    missing: slice | None = None,
) -> np.ndarray:
    """Write a record with a narrow peak every SPACE samples, one a symbol -> signals (samples, leads) in mV."""
    rng = np.random.default_rng(len(symbols))
    samples = SPACE * (len(symbols) + 1)
    positions = SPACE * np.arange(1, len(symbols) + 1)
    signal = 0.02 * rng.standard_normal((samples, len(leads)))
    for channel in range(len(leads)):
        bumps = np.exp(-0.5 * ((np.arange(samples)[:, None] - positions) / 4) ** 2)  # (samples, beats)
        signal[:, channel] += (channel + 1) * bumps.sum(axis=1)
    units = np.round(1000 * signal).astype(np.int64)
    if missing is not None:
        units[missing] = -32768  # what format 16 keeps for a missing sample
    annotate(store(folder / name, units, fs, 1000.0, leads, comments), positions, symbols, fs=fs)
    return units / 1000


def beat_set(labels: np.ndarray, records: np.ndarray, patients: tuple[str, ...], classes: int = 3) -> BeatSet:
    """Beats without a shape, to be dealt."""
    return BeatSet(
        samples=np.zeros((len(labels), 1, LENGTH), dtype=np.float32),
        labels=labels,
        classes=tuple("abcde"[:classes]),
        fs=FS,
        source="records",
        window="none",
        records=records,
        positions=np.arange(len(labels)),
        record_fs=(FS,) * len(patients),
        record_names=tuple(f"r{number}" for number in range(len(patients))),
        leads=("MLII",) * len(patients),
        patients=patients,
    )


# -------------------------------------------------------------------------------------------------- labels


def test_aami_groups_are_those_of_ec57() -> None:
    groups = {"N": "NLRBejn", "S": "AaJS", "V": "VEr", "F": "F", "Q": "/fQ?"}
    for label, (group, symbols) in enumerate(groups.items()):
        assert meanings.AAMI_CLASSES[label] == group
        assert meanings.aami_labels(symbols).tolist() == [label] * len(symbols)
    beats = set("".join(groups.values()))
    others = [symbol for symbol in wfdb.io.annotation.ann_label_table["symbol"] if symbol not in beats]
    assert set('+~|"x[!]') <= set(others)
    assert (meanings.aami_labels(others) == meanings.NO_BEAT).all()


@pytest.mark.parametrize(
    ("comments", "reason", "label"),
    [
        (["age: 81", "Reason for admission: Healthy control"], "Healthy control", 0),
        (["Reason for admission: Myocardial infarction"], "Myocardial infarction", 1),
        (["Reason for admission: Stable angina"], "Stable angina", None),
        (["Reason for admission:"], None, None),
        (["Diagnose:", "age: 81"], None, None),
        ([], None, None),
    ],
)
def test_diagnosis_comes_from_the_reason_for_admission(
    comments: list[str], reason: str | None, label: int | None
) -> None:
    assert meanings.reason_for_admission(comments) == reason
    assert meanings.ptb_label(reason) == label


# --------------------------------------------------------------------------------------------------- beats


@fewer_examples
@given(st.integers(0, 500), st.lists(st.integers(-300, 800), max_size=20))
@example(length=186, centres=[92, 93, 94])
def test_windows_are_slices_and_those_that_leave_the_record_are_not_cut(length: int, centres: list[int]) -> None:
    signal = np.arange(length, dtype=float)
    windows, inside = cut(signal, np.array(centres, dtype=np.int64))
    expected = [range(c - 93, c + 93) for c in centres if c - 93 >= 0 and c + 93 <= length]
    assert windows.tolist() == [list(window) for window in expected]
    assert inside.sum() == len(expected)


@fewer_examples
@given(st.integers(1, 30), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 2**32 - 1))
def test_standardised_beats_have_zero_mean_and_unit_variance(n: int, scale: float, offset: float, seed: int) -> None:
    windows = offset + scale * np.random.default_rng(seed).standard_normal((n, LENGTH))
    scaled, flat = standardise(windows)
    assert scaled.dtype == np.float32 and flat == 0
    np.testing.assert_allclose(scaled.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.1, -1e6 / 3])
def test_a_flat_beat_becomes_zeros_and_is_counted(level: float) -> None:
    windows = np.stack([np.full(LENGTH, level), np.arange(LENGTH, dtype=float)])
    scaled, flat = standardise(windows)
    assert flat == 1
    assert (scaled[0] == 0).all() and scaled[1].std() == pytest.approx(1)


# ------------------------------------------------------------------------------------------------- records


def test_beats_of_a_folder(tmp_path: Path) -> None:
    first = write_record(tmp_path, "a", "N+A/", leads=("V1", "MLII"))
    write_record(tmp_path, "b", "NN", leads=("V5", "V1"))
    third = write_record(tmp_path, "c", "VF~Q")
    beats = read_beats("mit", tmp_path)
    assert beats.samples.shape == (6, 1, LENGTH) and beats.samples.dtype == np.float32
    assert beats.record_names == ("a", "c") and beats.patients == ("a", "c") and beats.leads == ("MLII", "MLII")
    assert beats.records.tolist() == [0, 0, 0, 1, 1, 1]
    assert "".join(beats.classes[label] for label in beats.labels) == "NSQVFQ"
    assert beats.positions.tolist() == [300, 900, 1200, 300, 600, 1200]
    assert beats.source == "records" and beats.fs == 360 and set(beats.record_fs) == {360}
    assert beats.account.left_out == {"no lead II": ["b"]}
    for number, signal, position in ((1, first[:, 1], 900), (4, third[:, 0], 600)):
        window = signal[position - 93 : position + 93]
        expected = (window - window.mean()) / window.std()
        np.testing.assert_allclose(beats.samples[number, 0], expected, atol=1e-5)

    everything = read_beats("mit", tmp_path, ReadingOptions(any_lead=True))
    assert everything.leads == ("MLII", "V5", "MLII") and len(everything.labels) == 8


def test_records_lists_what_is_read_and_in_which_order(tmp_path: Path) -> None:
    for name in "abc":
        write_record(tmp_path, name)
    (tmp_path / "RECORDS").write_text("c\na\n")
    assert read_beats("mit", tmp_path).record_names == ("c", "a")


def test_beats_at_another_rate_span_the_same_time(tmp_path: Path) -> None:
    write_record(tmp_path, "a", "NNNN", fs=250)
    beats = read_beats("mit", tmp_path)
    assert beats.record_fs == (250.0,) and beats.fs == 360
    assert beats.positions.tolist() == [300, 600, 900, 1200]  # at 250 Hz
    assert "186 samples at 360 Hz" in beats.window  # and not where from: beats of other rates are cut alike
    assert np.abs(beats.samples[:, 0].argmax(axis=1) - 93).max() <= 2  # noise may move the top of a bump


def test_windows_with_missing_samples_are_dropped_and_counted(tmp_path: Path) -> None:
    write_record(tmp_path, "a", "NNNN", missing=slice(650, 660))
    write_record(tmp_path, "b", "NN", missing=slice(0, None))
    beats = read_beats("mit", tmp_path)
    assert beats.positions.tolist() == [300, 900, 1200]
    assert beats.account.dropped == {"leave the record": 0, "hold missing samples": 3}
    assert beats.account.left_out == {"no beats found": ["b"]}


@pytest.fixture(scope="module")
def synthetic_mit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mit") / "records"
    write_synthetic_mit(folder, patients=8, minutes=1.5, seed=3)
    return folder


@pytest.fixture(scope="module")
def synthetic_ptb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ptb") / "records"
    write_synthetic_ptb(folder, patients=7, minutes=0.5, seed=3)
    return folder


def test_synthetic_records_stay_synthetic_whoever_reads_them(synthetic_mit: Path, synthetic_ptb: Path) -> None:
    assert read_beats("mit", synthetic_mit).source == "synthetic"
    beats = read_beats("ptb", synthetic_ptb)
    assert beats.source == "synthetic"
    assert set(beats.record_fs) == {1000} and beats.fs == 360 and set(beats.leads) == {"ii"}
    assert len(set(beats.patients)) == 7 < len(beats.patients)  # some patients have two records
    for name, patient in zip(beats.record_names, beats.patients, strict=True):
        assert name.startswith(f"patient{int(patient):03}/")
    assert set(beats.labels.tolist()) == {0, 1}


# -------------------------------------------------------------------------------------------------- splits


@fewer_examples
@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=6).filter(any), st.floats(0.05, 0.6), st.integers(0, 2**32 - 1)
)
def test_held_out_beats_are_stratified(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    rest, held = splits.hold_out(labels, share, seed)
    assert sorted([*rest, *held]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        here = int((labels[held] == label).sum())
        if count * min(share, 1 - share) < 1:
            assert here == (count > 1)
        else:
            assert 1 <= here < count
            assert abs(here - count * share) < 1.01 + len(counts) * share
    again = splits.hold_out(labels, share, seed)
    assert (again[0] == rest).all() and (again[1] == held).all()


@fewer_examples
@given(
    st.lists(st.integers(3, 200), min_size=1, max_size=5), st.tuples(*[st.integers(1, 100)] * 3), st.integers(0, 100)
)
@example([6], (10, 41, 10), 0)  # validation is the larger part of what test leaves
@example([3, 25, 100], (1, 1, 98), 0)
def test_no_beat_is_lost_or_doubled_by_beat(counts: list[int], fractions: tuple[int, ...], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    shares = tuple(fraction / sum(fractions) for fraction in fractions)
    split = splits.split_by_beat(labels, shares, seed)
    assert sorted(np.concatenate([*split.values()])) == list(range(len(labels)))
    for name, share in zip(splits.SPLITS, shares, strict=True):
        assert (np.diff(split[name]) > 0).all()
        assert set(labels[split[name]]) == set(labels)  # as small as a class and a share may be
        assert abs(len(split[name]) - share * len(labels)) <= 2 + 2 * len(counts)


def test_the_papers_fractions_are_the_default() -> None:
    labels = np.repeat(np.arange(5), [90589, 2779, 7236, 803, 8039])  # Table 1, train and test together
    split = splits.split_beats(beat_set(labels, np.zeros_like(labels), ("p",), 5), "beat", None, 0)
    test = np.bincount(labels[split["test"]])
    assert np.abs(test - [18118, 556, 1448, 162, 1608]).max() <= 2
    assert len(split["val"]) == pytest.approx(0.2 * (len(labels) - len(split["test"])), abs=1)


@st.composite
def patients_with_beats(draw: st.DrawFn) -> np.ndarray:
    """Beats (patients, classes)."""
    patients, classes = draw(st.integers(3, 25)), draw(st.integers(1, 4))
    cell = st.one_of(st.just(0), st.integers(0, 300))
    counts = draw(st.lists(st.lists(cell, min_size=classes, max_size=classes), min_size=patients, max_size=patients))
    own = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=patients, max_size=patients)))
    return np.array(counts) + (np.arange(classes) == own[:, None])  # all have a beat, of any class


@fewer_examples
@given(patients_with_beats(), st.integers(0, 1000))
@example(np.array([[10, 1, 0], [10, 0, 1], [0, 100, 100]]), 0)  # the best draw of the test would leave one patient
def test_no_patient_is_in_two_splits(counts: np.ndarray, seed: int) -> None:
    patients, classes = counts.shape
    labels = np.repeat(np.tile(np.arange(classes), patients), counts.ravel())
    records = np.repeat(np.arange(patients), counts.sum(axis=1))
    shared = 2 if patients > 5 else 1  # records a patient
    names = tuple(f"p{number // shared}" for number in range(patients))
    beats = beat_set(labels, records, names, classes)
    split = splits.split_beats(beats, "inter_patient", None, seed)
    owners = [{names[record] for record in np.unique(records[index])} for index in split.values()]
    assert all(owners) and sum(map(len, owners)) == len(set(names))
    assert sorted(np.concatenate([*split.values()])) == list(range(len(labels)))
    held = {label: {names[record] for record in np.unique(records[labels == label])} for label in range(classes)}
    for label in (label for label in range(classes) if held[label] == {*names}):  # a class that all patients have
        assert all((labels[index] == label).any() for index in split.values())
    again = splits.split_beats(beats, "inter_patient", None, seed)
    assert all((again[name] == split[name]).all() for name in split)


@fewer_examples
@given(patients_with_beats(), st.integers(2, 5), st.integers(0, 1000))
def test_every_patient_is_the_test_of_one_fold(counts: np.ndarray, folds: int, seed: int) -> None:
    patients, classes = counts.shape
    labels = np.repeat(np.tile(np.arange(classes), patients), counts.ravel())
    records = np.repeat(np.arange(patients), counts.sum(axis=1))
    beats = beat_set(labels, records, tuple(f"p{number}" for number in range(patients)), classes)
    if patients < (least := max(folds, 4 if folds == 2 else 3)):
        with pytest.raises(InputError, match=f"needs at least {least} patients in this folder, found {patients}"):
            splits.fold_splits(beats, folds, seed)
        return
    tested: list[int] = []
    for split in splits.fold_splits(beats, folds, seed):
        owners = {name: {*np.unique(records[index])} for name, index in split.items()}
        assert all(owners.values())
        assert sum(map(len, owners.values())) == len(set.union(*owners.values())) == patients
        tested += owners["test"]
    assert sorted(tested) == list(range(patients))


@pytest.mark.usefixtures("small_runs")
def test_folds_of_mitdb_are_of_ds1_and_have_the_figures_of_ec57(tmp_path: Path) -> None:
    for name in ("101", "106", "108", "109", "112", "100", "102"):  # five of DS1, one of DS2, one paced
        write_record(tmp_path / "raw", name, "NVNA" * 5)
    command = ("--dataset", "mit", "--database", "mitdb", "--raw_path", tmp_path / "raw", "--out", tmp_path)
    assert run(*command, "--split", "inter_patient", "--folds", "2", "--classes", "N", "S", "V") == 0
    tested = set()
    for fold in (1, 2):
        data = tmp_path / f"fold_{fold}"
        contents = read_splits(data / "mit")
        records = {
            split: {content["record_names"][at] for at in content["records"].unique().tolist()}
            for split, content in contents.items()
        }
        assert set.union(*records.values()) == {"101", "106", "108", "109", "112"}
        assert {content["protocol"] for content in contents.values()} == {f"inter_patient, fold {fold} of 2"}
        tested |= records["test"]
    assert tested == {"101", "106", "108", "109", "112"}
    logs = ("--save_dir", str(tmp_path / "logs"), "--run_description", "fold", "--num_epochs", "1")
    training.run(["--data_path", str(data), *logs, "--classes", "N", "S", "V"])
    seed = tmp_path / "logs" / "mit" / "fold" / "seed_0"
    assert "ANSI/AAMI EC57: S Se " in (seed / "train.log").read_text()
    assert all({*read_json(seed / f"test_{kept}.json")["ec57"]} == {"S", "V"} for kept in ("best", "last"))


def test_records_of_mitdb_that_no_protocol_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("101", "106", "100", "102", "999"):
        write_record(tmp_path / "raw", name, "NV" * 10)
    command = ("--dataset", "mit", "--database", "mitdb", "--raw_path", tmp_path / "raw", "--out", tmp_path)
    assert run(*command, "--split", "inter_patient") == 0
    printed = capsys.readouterr().out
    assert "left out     paced records, as in the protocol: 102\n" in printed
    assert "left out     records of neither DS1 nor DS2: 999\n" in printed


def test_a_class_of_few_patients_is_in_every_split_where_that_is_possible() -> None:
    counts = np.full((12, 4), 100)
    counts[3:, 1] = 0  # three patients: one in each split
    counts[2:, 2] = 0  # two: train and test
    counts[1:, 3] = 0  # one: train
    test = splits.draw_patients(counts, 0.2, seed=0, leave=2)
    val = splits.draw_patients(counts[~test], 0.2, seed=0)
    present = [counts[test] > 0, counts[~test][val] > 0, counts[~test][~val] > 0]
    assert [part.any(axis=0).tolist() for part in present] == [
        [True, True, True, False],
        [True, True, False, False],
        [True, True, True, True],
    ]


def test_drawn_patients_hold_the_share_that_was_asked_for() -> None:
    counts = np.random.default_rng(0).integers(20, 200, (40, 3))
    for share in (0.1, 0.2, 0.5):
        chosen = splits.draw_patients(counts, share, seed=1)
        np.testing.assert_allclose(counts[chosen].sum(axis=0) / counts.sum(axis=0), share, atol=0.03)
    labels = np.repeat(np.tile(np.arange(3), 40), counts.ravel())
    beats = beat_set(labels, np.repeat(np.arange(40), counts.sum(axis=1)), tuple(map(str, range(40))), 3)
    split = splits.split_beats(beats, "inter_patient", (0.5, 0.3, 0.2), 0)
    for name, share in zip(splits.SPLITS, (0.5, 0.3, 0.2), strict=True):
        np.testing.assert_allclose(np.bincount(labels[split[name]]) / counts.sum(axis=0), share, atol=0.03)


def test_a_database_without_a_beat_of_the_classes_takes_no_part() -> None:
    """Of afdb all beats are N: with --classes S V nothing is left of it."""
    beats = beat_set(np.arange(400) % 2, np.arange(400) % 8, tuple(f"p{number}" for number in range(12)))
    beats = replace(beats, databases=("svdb",) * 8 + ("afdb",) * 4)
    for split in (splits.split_beats(beats, "inter_patient", None, 0), *splits.fold_splits(beats, 3, 0)):
        assert sorted(np.concatenate([*split.values()])) == list(range(400))
    with pytest.raises(InputError, match=r"^--classes b c: none of the 9 beats is of these classes"):
        only_classes(beat_set(np.zeros(9, dtype=np.int64), np.arange(9), tuple("abcdefghi")), ("b", "c"))


@pytest.mark.parametrize("patients", [1, 2])
def test_too_few_patients_are_an_error(patients: int) -> None:
    names = tuple(f"p{number}" for number in range(patients))
    beats = beat_set(np.zeros(60, dtype=int), np.arange(60) % patients, names)
    with pytest.raises(InputError, match=f"at least 3 patients in this folder, found {patients}"):
        splits.split_beats(beats, "inter_patient", None, 0)


def test_a_split_by_patient_of_beats_of_no_known_patient_is_an_error() -> None:
    beats = replace(beat_set(np.zeros(9, dtype=np.int64), np.arange(9), ()), records=None)
    with pytest.raises(InputError, match="--split inter_patient needs to know the patients, which source records"):
        splits.split_beats(beats, "inter_patient", None, 0)


def test_ds1_and_ds2_are_disjoint_and_whole() -> None:
    assert len(splits.DS1) == len(splits.DS2) == 22 and len(splits.PACED) == 4
    assert len(splits.DS1 | splits.DS2 | splits.PACED) == 48


# -------------------------------------------------------------------------------------- the command line


def test_split_files_keep_their_contract(synthetic_mit: Path, tmp_path: Path) -> None:
    command = ("--dataset", "mit", "--raw_path", synthetic_mit, "--seed_id", 4, "--fractions", 70, 15, 15)
    assert run(*command, "--out", tmp_path) == 0
    files, beats = read_splits(tmp_path / "mit"), read_beats("mit", synthetic_mit)
    assert sum(len(content["labels"]) for content in files.values()) == len(beats.labels)
    seen = set()
    for name, content in files.items():
        n = len(content["labels"])
        assert content["samples"].shape == (n, 1, 186) and content["samples"].dtype == torch.float32
        for key in ("labels", "records", "positions"):
            assert content[key].shape == (n,) and content[key].dtype == torch.int64
        assert content["record_names"] == list(beats.record_names) and content["leads"] == ["MLII"] * 8
        assert content["patients"] == list(beats.patients) and content["classes"] == list("NSVFQ")
        assert content["fs"] == 360.0 and content["record_fs"] == [360.0] * 8
        assert content["split"] == name and content["seed"] == 4
        assert content["source"] == "synthetic" and content["protocol"] == "beat"
        assert content["fractions"] == pytest.approx([0.7, 0.15, 0.15], abs=0.01)
        assert "186 samples at 360 Hz" in content["window"]
        keys = list(zip(content["records"].tolist(), content["positions"].tolist(), strict=True))
        assert keys == sorted(keys)
        seen |= set(keys)
    assert len(seen) == len(beats.labels)

    assert run(*command, "--out", tmp_path / "again") == 0
    again = read_splits(tmp_path / "again/mit")
    assert all(torch.equal(files[name]["samples"], again[name]["samples"]) for name in files)


def test_the_account_names_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    write_record(raw, "a", "N" * 20 + "A" * 8 + "V")
    write_record(raw, "b", "N" * 3, leads=("V5",))
    (raw / "b.hea").rename(raw / "b\x1b[31m\n.hea")
    assert run("--dataset", "mit", "--raw_path", raw, "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "29 beats of 1 record of 1 patient\n" in printed
    assert "1 record, no lead II: b\\x1b[31m\\n\n" in printed and "--any_lead" in printed
    assert "val has no beat of class V" in printed and "test has no beat of class V" in printed
    assert re.search(r"train +1[23] +[56] +1 +0 +0 +(18|19) +1\n", printed)
    assert str(tmp_path / "mit/train.pt") in printed


@pytest.mark.usefixtures("small_runs")
def test_classes_that_are_not_there_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From preprocess to the test of the network: a class without beats is no dead end, and is named at once."""
    raw = tmp_path / "raw"
    write_record(raw, "a", "NA" * 15 + "NV" * 10 + "F")
    command = ("--dataset", "mit", "--raw_path", raw, "--out", tmp_path)
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "train has no beat of class Q\n             The paper's loss weighs a class by its training beats" in printed
    assert "leave Q out with --classes N S V F, or train with --loss cross_entropy" in printed
    arguments = ["--data_path", str(tmp_path), "--save_dir", str(tmp_path / "logs"), "--num_epochs", "1"]
    with pytest.raises(InputError, match=r"no beat of class Q, whose weight .* --classes N S V F \(not with"):
        training.run(arguments)
    assert not (tmp_path / "logs").exists()
    training.run([*arguments, "--loss", "cross_entropy", "--run_description", "five"])

    assert run(*command, "--classes", "V", "S", "N") == 0  # in any order
    printed = capsys.readouterr().out
    assert "dropped      windows that are of class F (not in --classes): 1" in printed
    assert "no beat of class" not in printed
    for content in read_splits(tmp_path / "mit").values():
        assert content["classes"] == ["N", "S", "V"]
        assert set(content["labels"].tolist()) == {0, 1, 2}
    with pytest.raises(InputError, match=r"its classes are N, S, V, .*--classes N S V"):
        training.run(arguments)
    training.run([*arguments, "--classes", "N", "S", "V", "--run_description", "three"])
    checkpoint = tmp_path / "logs/mit/three/seed_0/checkpoint_best.pt"
    training.run(["--test", str(checkpoint), "--data_path", str(tmp_path), "--save_dir", str(tmp_path / "logs")])
    assert run(*command, "--classes", "N", "X") == 2
    assert "--classes X: unknown; choose from N, S, V, F, Q; separate several with spaces" in capsys.readouterr().err
    synthetic = ("--dataset", "mit", "--source", "synthetic", "--raw_path", tmp_path / "new", "--out", tmp_path)
    assert run(*synthetic, "--classes", "N", "X") == 2
    assert "--classes X: unknown" in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert run(*command, "--classes", "N", "S", "N") == 2
    assert "--classes N S N: N is given twice; name each class once" in capsys.readouterr().err


@pytest.mark.usefixtures("small_runs")
def test_five_classes_in_the_file_and_four_in_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    write_record(raw, "a", "NAVF/" * 8)
    assert run("--dataset", "mit", "--raw_path", raw, "--out", tmp_path) == 0
    arguments = ["--data_path", str(tmp_path), "--save_dir", str(tmp_path / "logs"), "--num_epochs", "1"]
    training.run([*arguments, "--classes", "N", "S", "V", "F", "--run_description", "four"])
    config = json.loads((tmp_path / "logs/mit/four/seed_0/config.json").read_text())
    assert config["dataset"]["classes"] == ["N", "S", "V", "F"]
    assert set(config["counts"]["train"]) == {"N", "S", "V", "F", "all"}
    assert "left out, beats of classes that the network was not trained on: " in capsys.readouterr().out


def test_synthetic_patients_go_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the defaults are relative
    for dataset, patients, minutes in (("mit", 4, 1), ("ptb", 6, 0.5)):
        command = ("--dataset", dataset, "--source", "synthetic", "--patients", patients, "--minutes", minutes)
        assert run(*command, "--split", "inter_patient", "--seed_id", 5) == 0
        assert "source synthetic" in capsys.readouterr().out
        files = read_splits(tmp_path / "data" / dataset)
        owners = [{content["patients"][record] for record in content["records"]} for content in files.values()]
        assert all(owners) and len(set.union(*owners)) == sum(map(len, owners)) == patients
        assert {content["source"] for content in files.values()} == {"synthetic"}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


BAD_RECORDS = {
    "no .dat": (lambda raw: (raw / "b.dat").unlink(), "record b has no signal file"),
    "no .atr": (lambda raw: (raw / "b.atr").unlink(), "record b has no annotation file"),
    "no .hea": (lambda raw: (raw / "b.hea").unlink(), "b.hea is not there; fetch it, or take it out of RECORDS"),
    "truncated .dat": (lambda raw: _truncate(raw / "b.dat"), "b.dat cannot be read"),
    "truncated .atr": (lambda raw: _truncate(raw / "b.atr"), "b.atr cannot be read: it has no end mark"),
    "empty .atr": (lambda raw: (raw / "b.atr").write_bytes(b""), "b.atr cannot be read: it has no end mark"),
    "empty .hea": (lambda raw: (raw / "b.hea").write_text(""), "b.hea cannot be read: it has no record line"),
    "binary .hea": (lambda raw: (raw / "b.hea").write_bytes(bytes(range(256))), "which is not a record name"),
    "short .hea": (lambda raw: (raw / "b.hea").write_text("b 2 360 1500\n"), "it describes 0 of its 2 signals"),
    "segments": (lambda raw: (raw / "b.hea").write_text("b/1 1 360 900\nc 900\n"), "c.hea is not there"),
    "rates": (lambda raw: write_record(raw, "b", fs=250), "(b at 250 Hz, a at 360 Hz); --raw_path DIR names"),
    "outside": (lambda raw: (raw / "RECORDS").write_text("../raw/a\n"), "names '../raw/a', which is not a record"),
    "file outside": (
        lambda raw: (raw / "b.hea").write_text((raw / "b.hea").read_text().replace("b.dat", "../raw/b.dat")),
        "the file of signal 0 is '../raw/b.dat'; a name is wanted",
    ),
    "nothing": (lambda raw: (raw / "RECORDS").write_text(""), "holds no WFDB record"),
}


@pytest.mark.parametrize("fault", BAD_RECORDS)
def test_bad_records_are_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    raw, (spoil, message) = tmp_path / "raw", BAD_RECORDS[fault]
    write_record(raw, "a")
    write_record(raw, "b")
    (raw / "RECORDS").write_text("a\nb\n")
    spoil(raw)
    assert run("--dataset", "mit", "--raw_path", raw, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out").exists()


BAD_ARGUMENTS = {
    "--dataset eeg": "--dataset eeg: unknown; choose from mit, ptb",
    "": "--dataset",
    "--dataset mit --source nowhere": "--source nowhere: unknown; choose from records,",
    "--dataset mit --raw_path TMP/absent": "--source physionet` downloads the dataset's own",
    "--dataset mit --raw_path TMP/empty": "holds no WFDB record: neither names in a RECORDS file nor a .hea file; wfdb",
    "--dataset mit --raw_path TMP/raw --out TMP/file": "file is a file; name another folder",
    "--dataset mit --raw_path TMP/raw --out TMP/taken": "val.pt is a folder and in the way",
    "--dataset mit --raw_path TMP/raw --fractions 1 0 1": "three positive numbers",
    "--dataset mit --raw_path TMP/raw --fractions 1 nan 1": "three positive numbers",
    "--dataset mit --raw_path TMP/raw --fractions 1 1": "three positive numbers",
    "--dataset mit --raw_path TMP/raw --seed_id -1": "--seed_id -1",
    "--dataset mit --raw_path TMP/raw --patients 3": "go with --source synthetic only",
    "--dataset mit --raw_path TMP/raw --split inter_patient": "at least 3 patients",
    "--dataset mit --raw_path TMP/v5": "lead MLII or II: unknown; choose from V5",
    "--dataset ptb --raw_path TMP/raw": "no record to read (diagnosis not given: 1 record)",
    "--dataset mit --source synthetic --patients 0": "0 synthetic patients",
    "--dataset mit --source synthetic --raw_path TMP/raw": "name another folder",
}


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS)
def test_bad_arguments_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the defaults are relative
    write_record(tmp_path / "raw", "a", "N" * 20)
    write_record(tmp_path / "v5", "a", "N" * 20, leads=("V5",))
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken/mit/val.pt").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    words = arguments.replace("TMP", str(tmp_path)).split()
    assert run(*words, *([] if "--out" in words else ["--out", tmp_path / "out"])) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("error: ") and BAD_ARGUMENTS[arguments] in errors[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_too_few_beats_for_three_splits_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "raw", "a", "NN")
    assert run("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path / "out") == 2
    assert "the val split would be empty: 2 beats are too few" in capsys.readouterr().err


def test_paths_of_python_callers_may_be_texts(tmp_path: Path) -> None:
    write_record(tmp_path / "raw", "a", "N" * 30)
    (tmp_path / "patients.csv").write_text("record,patient\na,p1\n")
    paths: Any = {"raw_path": f"{tmp_path}/raw", "out": f"{tmp_path}/out", "patients_file": f"{tmp_path}/patients.csv"}
    prepare(PreparationConfig(dataset="mit", **paths))
    assert read_splits(tmp_path / "out" / "mit")["test"]["patients"] == ["p1"]


def test_a_full_disk_leaves_the_old_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "raw", "a", "N" * 30)
    command = ("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path)
    assert run(*command) == 0
    old = {path: path.read_bytes() for path in (tmp_path / "mit").iterdir()}
    assert len(old) == 3
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))  # bytes: val fits, train does not
    try:
        assert run(*command, "--seed_id", 1) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "train.pt cannot be written: File too large" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "mit").iterdir()} == old


def test_what_needs_no_network_is_cheap_to_import() -> None:
    script = (
        "import preprocess, sys; assert not {'torch', 'wfdb', 'scipy', 'pandas'} & {*sys.modules}\n"
        "import preprocess.__main__, ec57.__main__; assert not {'torch', 'wfdb', 'scipy', 'sklearn'} & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


# ------------------------------------------------------------------------------------------ real records


@pytest.fixture(scope="module")
def mitdb_prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The default split files of the real mitdb, in a --data_path that tests only read, and the command that ran."""
    out = tmp_path_factory.mktemp("mitdb")
    command = [sys.executable, "-m", "preprocess", "--dataset", "mit", "--raw_path", str(MITDB), "--out", str(out)]
    return out, subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def mitdb(mitdb_prepared: tuple[Path, subprocess.CompletedProcess[str]]) -> BeatSet:
    """The beats of those files in the order in which they were read."""
    files = [*read_splits(mitdb_prepared[0] / "mit").values()]
    beats: dict[str, Any] = {
        name: torch.cat([content[name] for content in files]).numpy()
        for name in ("samples", "labels", "records", "positions")
    }
    order = np.lexsort((beats["positions"], beats["records"]))
    of_records = ("classes", "record_fs", "record_names", "leads", "patients", "databases")
    beats = {name: values[order] for name, values in beats.items()}
    beats |= {name: tuple(files[0][name]) for name in of_records}
    beats |= {name: files[0][name] for name in ("fs", "source", "window")}
    return BeatSet(**beats)


@needs("mitdb")
def test_mitdb_from_the_command_line(mitdb_prepared: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = mitdb_prepared
    assert done.returncode == 0, done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024) < 2e9
    assert "2 records, no lead II: 102, 104" in done.stdout
    counts = [torch.bincount(content["labels"]).numpy() for content in read_splits(folder / "mit").values()]
    assert np.sum(counts, axis=0).tolist() == [90346, 2781, 7229, 802, 3895]
    for part, share in zip(counts, splits.FRACTIONS, strict=True):
        np.testing.assert_allclose(part / sum(counts), share, atol=0.002)
    assert done.stdout.count("\n") < 20 and "Traceback" not in done.stderr


@needs("mitdb")
def test_its_row_of_table_2_comes_out_again(mitdb_prepared: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The packaged network on five records, with beats of every class; the card was made of the run's predictions."""
    card, (model, checkpoint) = read_json(PRETRAINED / "mit_beat.json"), load_network("mit_beat")
    test = load_splits(mitdb_prepared[0], checkpoint.configs, ["test"])["test"]
    assert test.fingerprint() == card["test_fingerprint"]
    for name in ("107", "208", "209", "222", "233"):
        own = test.subset((test.records == test.record_names.index(name)).nonzero().flatten())
        (logits,) = stream_logits(model, [own.inputs()])
        matrix = np.zeros((5, 5), dtype=int)
        np.add.at(matrix, (own.labels.numpy(), logits.argmax(dim=1).numpy()), 1)
        assert matrix.tolist() == card["per_record"][name], name


@needs("mitdb")
def test_every_record_of_mitdb_with_any_lead(mitdb: BeatSet, tmp_path: Path) -> None:
    for path in (path for name in ("102", "104", "114") for path in MITDB.glob(f"{name}.*")):
        (tmp_path / path.name).symlink_to(path.resolve())
    beats = read_beats("mit", tmp_path, ReadingOptions(any_lead=True))
    assert beats.leads == ("V5", "V5", "MLII")  # 102 and 104 have no lead II, 114 has it second
    own, others = beats.labels[beats.records != 2], mitdb.labels
    counts = np.bincount(own, minlength=5) + np.bincount(others, minlength=5)
    assert counts.tolist() == [90608, 2781, 7235, 802, 8042]
    assert len(mitdb.record_names) == 46 and len(set(mitdb.patients)) == 45


@needs("mitdb")
def test_ds1_and_ds2_of_mitdb(mitdb: BeatSet) -> None:
    split = splits.split_beats(mitdb, "inter_patient", None, 0)
    counts = {name: np.bincount(mitdb.labels[index]) for name, index in split.items()}
    assert (counts["train"] + counts["val"]).tolist() == [45856, 944, 3788, 414, 8]
    assert counts["test"].tolist() == [44246, 1837, 3220, 388, 7]
    assert (counts["train"] > 0).all() and (counts["val"] > 0).all()
    share = counts["val"] / (counts["train"] + counts["val"])
    assert np.abs(share[:3] - 0.2).max() < 0.05 and counts["val"][3] >= 15
    owners = {name: set(mitdb.records[index]) for name, index in split.items()}
    assert not owners["train"] & owners["val"]
    assert {mitdb.record_names[record] for record in owners["test"]} == splits.DS2
    with pytest.raises(InputError, match="DS1 and DS2 are fixed"):
        splits.split_beats(mitdb, "inter_patient", (0.7, 0.15, 0.15), 0)


@needs("mitdb")
def test_a_beat_of_mitdb_is_the_signal_around_its_annotation(mitdb: BeatSet) -> None:
    for number in (0, 50_000, len(mitdb.labels) - 1):
        name, position = mitdb.record_names[mitdb.records[number]], int(mitdb.positions[number])
        record = wfdb.rdrecord(str(MITDB / name), channel_names=["MLII"], sampfrom=position - 93, sampto=position + 93)
        window = record.p_signal[:, 0]
        np.testing.assert_allclose(mitdb.samples[number, 0], (window - window.mean()) / window.std(), atol=1e-5)


@needs("ptbdb")
def test_ptbdb_from_some_records(tmp_path: Path) -> None:
    names = [
        "patient001/s0010_re",  # infarction, lead ii alone
        "patient001/s0014lre",  # infarction, 15 leads
        "patient104/s0306lre",  # control, 15 leads
        "patient117/s0291lre",  # control
        "patient191/s0340lre",  # stable angina
    ]
    for name in names:
        shutil.copytree(RAW / "ptbdb" / Path(name).parent, tmp_path / Path(name).parent, dirs_exist_ok=True)
    (tmp_path / "RECORDS").write_text("\n".join(names))
    beats = read_beats("ptb", tmp_path)
    assert beats.source == "physionet" and set(beats.leads) == {"ii"} and set(beats.record_fs) == {1000}
    assert beats.account.left_out == {
        "diagnosis Stable angina": ["patient191/s0340lre"],
        "not in the RECORDS file": ["patient001/s0016lre", "patient117/s0292lre"],
    }
    assert beats.patients == ("patient001", "patient001", "patient104", "patient117")
    labels = [set(beats.labels[beats.records == record]) for record in range(4)]
    assert labels == [{1}, {1}, {0}, {0}]
    rates = np.bincount(beats.records) / np.array([38.4, 115.2, 115.2, 115.2]) * 60  # beats a minute
    assert ((rates > 55) & (rates < 95)).all()
    largest = np.abs(beats.samples[:, 0, 66:120]).argmax(axis=1) + 66
    assert (np.abs(largest - 93) <= 3).mean() > 0.9
