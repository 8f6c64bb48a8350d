"""The networks that come with the package do what their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import MITDB, RAW, needs

import data_configs
from ec57.annotation_files import StoredAnnotations
from ec57.figures import ec57_figures
from preprocess import databases, records
from preprocess.beats import cut_centred, select_beats
from preprocess.leads import LEAD_II, find_lead
from preprocess.physionet import first_minute
from preprocess.readers import open_recording
from preprocess.splits import DS1
from report.classify import classify_peaks, classify_signal, load_classifier
from reproduce.pages import GROUP_FIGURES
from reproduce.pretrained import keep_weights, same_patients, training_records
from reproduce.tables import FEWEST, groups_table
from run_folder.network import learnt_records
from support.errors import InputError
from support.files import read_json
from utils import PRETRAINED, Checkpoint, find_checkpoint, load_checkpoint, pretrained_names, save_checkpoint


def percent(share: float) -> float | None:
    """As a card has it: None where nothing is counted."""
    return None if np.isnan(share) else round(100 * share, 2)


@pytest.mark.parametrize("name", pretrained_names())
def test_every_network_is_small_and_has_a_card(name: str) -> None:
    path = find_checkpoint(name)
    assert path.stat().st_size <= 2.6e6
    assert "not for" in path.with_suffix(".md").read_text(encoding="utf-8")
    checkpoint = load_checkpoint(path)
    assert not checkpoint.optimizer
    assert "history" not in checkpoint.metrics
    card = read_json(path.with_suffix(".json"))
    assert {"trained_on", "tested_on", "per_class", "cautions"} <= card.keys()
    assert {"dataset", "window", "command", "machine"} <= card.keys()
    assert learnt_records(path, checkpoint) >= {name for names in card["training_records"].values() for name in names}
    matrix = np.asarray(card["confusion_matrix"])  # rows true, columns called
    if card["per_record"]:  # of beats of no record there is none
        assert np.sum([*card["per_record"].values()], axis=0).tolist() == matrix.tolist()
    assert card["accuracy"] == round(100 * np.trace(matrix) / matrix.sum(), 2)
    called = matrix.sum(axis=0)
    for at, (name, figures) in enumerate(card["per_class"].items()):
        assert figures["beats"] == matrix[at].sum()
        assert figures["sensitivity"] == percent(matrix[at, at] / matrix[at].sum() if matrix[at].sum() else np.nan)
        assert figures["precision"] == percent(matrix[at, at] / called[at] if called[at] else np.nan), name
    standard = ec57_figures(matrix, card["classes"]) if "ec57" in card else {}
    for name, figures in card.get("ec57", {}).items():
        assert figures["sensitivity"] == percent(standard[name]["se"])
        assert figures["predictivity"] == percent(standard[name]["ppv"])


@pytest.mark.parametrize("name", pretrained_names())
def test_a_card_names_the_test_records_of_training_patients(name: str) -> None:
    card = read_json(PRETRAINED / f"{name}.json")
    page = (PRETRAINED / f"{name}.md").read_text(encoding="utf-8")
    (tested_on,) = [line for line in page.splitlines() if line.startswith("| tested on |")]
    tested = {record.removeprefix("mitdb/") for record in card["per_record"]} if card["new_patients"] else set()
    learnt = card["training_records"].get("mitdb", {})
    pairs = [
        (record, other) for record, other in databases.SAME_SUBJECT.items() if record in tested and other in learnt
    ]
    assert pairs or not name.startswith("mit_new_patients")
    for pair in pairs:
        assert all(number in line for number in pair for line in (card["tested_on"], tested_on))


def test_a_new_card_names_the_test_records_of_training_patients() -> None:
    """Of records of several databases and of one, whose names have no folder."""
    said = ", of which 202 is from the same patient as training record 201"
    for folder in ("mitdb/", ""):
        tested = [f"{folder}202", f"{folder}213"]
        assert same_patients(tested, {"training_records": [f"{folder}201"]}) == said
        assert same_patients(tested, {"training_records": ["x"], "init_records": ["201"]}) == said
        assert same_patients(tested, {"training_records": [f"{folder}207"]}) == ""
        assert same_patients([f"{folder}213"], {"training_records": [f"{folder}201"]}) == ""


@needs("mitdb")
def test_the_card_knows_the_training_records_of_mitdb() -> None:
    kept = read_json(PRETRAINED / "mit_new_patients.json")["training_records"]
    assert {*kept["mitdb"]} == DS1
    assert len(kept["svdb"]) == 41
    known = load_classifier("mit_new_patients").training_records
    for name, expected in (("101", "101 of mitdb"), ("230", "230 of mitdb"), ("213", None)):
        header = records.read_header(MITDB, name)
        for channel in (0, 1):
            signal = records.read_signal(MITDB, name, header, channel, 0, 360 * 60)
            assert known.get(first_minute(lambda *part, all=signal: all[slice(*part)], 360.0)) == expected


@needs("nstdb")
def test_a_training_record_is_known_by_its_copy_in_nstdb_which_has_another_baseline() -> None:
    known = load_classifier("mit_new_patients").training_records
    with open_recording(RAW / "nstdb" / "118e06") as recording:
        assert known.get(first_minute(recording.read, recording.fs)) == "118 of mitdb"


def test_a_flat_lead_is_no_training_record() -> None:
    known = load_classifier("mit_new_patients").training_records
    for level in (0.0, 1.5, np.nan):
        flat = np.full(360 * 60, level)
        assert first_minute(lambda *part, all=flat: all[slice(*part)], 360.0) not in known


@needs("mitdb")
@pytest.mark.parametrize("network", ["mit_new_patients", "mit_new_patients_fast"])
def test_a_record_of_ds2_comes_out_as_on_the_card(network: str) -> None:
    """Record 213 has N, S, V and F beats; the card was made from the run's predictions, not by this path."""
    header = records.read_header(MITDB, "213")
    channel = find_lead(header.signals, LEAD_II)
    signal = records.read_signal(MITDB, "213", header, channel)
    annotations: StoredAnnotations = records.read_annotations(MITDB, "213", header)
    truth, _ = select_beats("213", annotations, len(signal), 360.0, 360.0)
    kept = cut_centred(signal, 360.0, truth)  # those whose window lies in the record
    classifier = load_classifier(network)
    probabilities = classify_peaks(lambda start, stop: signal[start:stop], len(signal), 360.0, truth[0], classifier)
    called = probabilities[np.isin(truth[0], kept.positions)].argmax(axis=1)
    matrix = np.zeros((5, 5), dtype=int)
    np.add.at(matrix, (kept.labels, called), 1)
    assert classifier.classes == data_configs.MIT_CLASSES
    assert matrix.tolist() == read_json(PRETRAINED / f"{network}.json")["per_record"]["mitdb/213"]


@pytest.mark.parametrize("network", ["mit_new_patients", "mit_new_patients_fast"])
def test_a_card_says_what_its_groups_of_records_are(network: str) -> None:
    card = read_json(PRETRAINED / f"{network}.json")
    pairs = [
        (name, *pair) for name, matrix in card["per_record"].items() for pair in zip(*np.nonzero(matrix), strict=True)
    ]
    beats = [card["per_record"][name][label][called] for name, label, called in pairs]
    named = [(name, card["classes"][label], card["classes"][called]) for name, label, called in pairs]
    table = pd.DataFrame(named, columns=["record", "label", "prediction"])
    groups = groups_table([table.loc[table.index.repeat(beats)]], card["classes"]).set_index("group")
    page = (PRETRAINED / f"{network}.md").read_text(encoding="utf-8")
    for group in ("all", "mitdb", "mitdb without record 232", "svdb", "mean over records"):
        figures = [f"{groups.loc[group, name]:.2f}" for name in GROUP_FIGURES]
        assert f"| {group} | {' | '.join([str(groups.loc[group, 'records']), *figures])} |" in page
    assert f"that of records with {FEWEST} beats of the class or more" in " ".join(page.split())


@needs("mitdb")
@pytest.mark.parametrize("network", ["mit_new_patients", "mit_new_patients_fast"])
def test_v_that_are_the_usual_beat_of_a_recording_are_called_n_as_the_card_says(network: str) -> None:
    header = records.read_header(MITDB, "207")
    annotations: StoredAnnotations = records.read_annotations(MITDB, "207", header)
    escape = annotations.positions[np.isin(annotations.symbols, ["E"])]
    start, stop = escape[0] - 93, escape[-1] + 93
    signal = records.read_signal(MITDB, "207", header, find_lead(header.signals, LEAD_II))[start:stop]
    called = classify_signal(signal, 360.0, network, peaks=escape - start)["class"]
    card = " ".join((PRETRAINED / f"{network}.md").read_text(encoding="utf-8").split())
    assert f"of the {len(escape)} V of the escape rhythm in 207, cut out by themselves, {(called == 'N').sum()}" in card


def test_weights_alone_are_kept(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(find_checkpoint("mit_new_patients"))
    metrics = checkpoint.metrics | {"history": [{"epoch": 1.0}]}
    whole = Checkpoint(
        **{**vars(checkpoint), "optimizer": {"state": torch.zeros(10**6)}, "epoch": 1, "metrics": metrics}
    )
    save_checkpoint(tmp_path / "whole.pt", whole)
    path = tmp_path / "small.pt"
    keep_weights(tmp_path / "whole.pt", path)
    assert path.stat().st_size < (tmp_path / "whole.pt").stat().st_size - 3e6
    again = load_checkpoint(path)
    assert all(torch.equal(again.model[name], value) for name, value in checkpoint.model.items())


def test_a_card_has_the_training_records_of_the_network_that_a_run_started_from(toy_data: Path, tmp_path: Path) -> None:
    config = {"hparams": {"selection": "best"}, "run": {"data_path": str(toy_data)}, "data": {"init": "mit_beat"}}
    found = training_records(config, data_configs.mit(), tmp_path)  # toy beats are of no database
    assert found == read_json(PRETRAINED / "mit_beat.json")["training_records"] != {}


def test_what_is_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^--test mit_old: unknown; choose from mit_beat, .*; or give a checkpoint_best\.pt or"
    ):
        find_checkpoint("mit_old", "--test")
    with pytest.raises(InputError, match=r"^network runs/a\.pt: no such file; give a checkpoint_best\.pt, the folder"):
        find_checkpoint("runs/a.pt")
    (tmp_path / "run" / "seed_0").mkdir(parents=True)
    (tmp_path / "run" / "seed_0" / "checkpoint_best.pt").touch()
    with pytest.raises(InputError, match=r"holds no seed_<k>/checkpoint_best\.pt; give the folder of a run, such as"):
        find_checkpoint(tmp_path)  # the folder of the experiment, which holds that of the run
    (tmp_path / "test.json").write_text("{}")
    with pytest.raises(InputError, match="is the folder of a test, which has no checkpoint; give that of a training"):
        find_checkpoint(tmp_path)
