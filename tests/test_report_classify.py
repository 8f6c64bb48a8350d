"""Networks that classify beats: in Python, by the command, and which records they were trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from conftest import MITDB, needs
from made_reports import load, report_of, report_on

import report
from preprocess.context import record_context
from report.__main__ import line_of
from report.analysis import Analysis
from report.classify import DEFAULT, in_classes, load_classifier
from support.errors import InputError
from utils import PRETRAINED, load_checkpoint, save_checkpoint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signal": np.zeros((9, 1))}, r"signal of shape \(9, 1\): \(n,\) samples of one lead .* signal\[:, 0\]"),
        ({"signal": 360, "fs": np.zeros(9)}, r"signal of shape \(\): "),
        ({"signal": "100.dat"}, "signal must be an array of numbers, got '100.dat'"),
        ({"fs": "360"}, "fs must be the sampling frequency in Hz, a number from 100 to 50000, got '360'"),
        ({"fs": 1e9}, "a number from 100 to 50000, got 1000000000.0"),
        ({"fs": 50}, "a number from 100 to 50000, got 50"),
        ({"fs": np.zeros(9)}, "a number from 100 to 50000, got ndarray"),
        ({"peaks": [0.3, 1.1]}, r"peaks must be whole sample numbers, got 0\.3; of seconds np\.rint\(seconds \* fs\)"),
        ({"peaks": [300, 100]}, "peaks must ascend"),
        ({"peaks": [100, 100]}, "peaks must ascend"),
        ({"peaks": [100, 3600]}, "peaks must be samples of the signal, 0 to 3599, got 3600"),
        ({"peaks": [-1]}, "0 to 3599, got -1"),
        ({"fs": 99.95, "peaks": [-1]}, "0 to 3599, got -1"),  # 100 Hz by a clock that drifts
        ({"peaks": np.zeros(3600, dtype=bool)}, r"peaks of shape \(3600,\): the sample numbers"),
        ({"peaks": np.zeros((2, 2))}, r"peaks of shape \(2, 2\): the sample numbers"),
        ({"classifier": np.zeros(9)}, f"the network must be a path or a name, such as {DEFAULT!r}, got ndarray"),
    ],
)
def test_wrong_arguments_of_classify_signal(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        report.classify_signal(**dict[str, Any](signal=np.zeros(3600), fs=360) | arguments)


def test_the_arguments_of_classify_beats() -> None:
    windows = np.random.default_rng(0).normal(size=(3, 186))
    probabilities = report.classify_beats(windows, "mit_beat")
    assert probabilities.shape == (3, 5) and probabilities.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.array_equal(report.classify_beats(windows), probabilities)
    context = record_context(np.zeros(3600), np.array([900, 1800]))
    for arguments, message in (
        ((windows, DEFAULT), "single beats are not enough: give a network of single beats, such as 'mit_beat', or"),
        ((windows, None, context), "the context is that of 2 beats, the windows are 3"),
        ((windows[:, :, None], "mit_beat"), r"windows of shape \(3, 186, 1\): \(n, 186\) finite samples at 360 Hz"),
        (("mit_beat", windows), "windows must be an array of numbers, got 'mit_beat'"),
        ((windows, windows), "the network must be a path or a name, .* got ndarray"),
    ):
        with pytest.raises(InputError, match=message):
            report.classify_beats(*arguments)


def test_a_network_gives_classes_and_probabilities(records: Path, checkpoint: Path, tmp_path: Path) -> None:
    summary, beats, _, page = report_on(
        records / "m001", tmp_path / "r", "--checkpoint", checkpoint, "--annotations", "atr"
    )
    columns = beats[[f"p_{name}" for name in "NSVFQ"]]
    known = columns.notna().all(axis=1)
    assert columns[known].sum(axis=1).to_numpy() == pytest.approx(np.ones(known.sum()), abs=3e-4)
    assert columns[known].idxmax(axis=1).str[2].tolist() == beats["class"][known].tolist()
    assert (beats["class"][~known] == "unclassified").all()
    unclassified = summary["beats"]["unclassified"]
    assert unclassified == (~known).sum() > 0
    for name in "NSVFQ":
        assert summary["beats"][name] == (beats["class"] == name).sum()
    assert sum(count for name, count in summary["beats"].items() if name != "all") == summary["beats"]["all"]
    assert f"unclassified {unclassified})" in line_of(summary)
    assert f"Q\N{NO-BREAK SPACE}{summary['beats']['Q']:,}, unclassified {unclassified}" in page
    hours = pd.read_csv(tmp_path / "r" / "hours.csv")
    assert hours["beats_unclassified"].sum() == unclassified
    assert summary["model"]["trained_on"] == "synthetic data of --dataset mit, beat split"

    signals = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    peaks: list[int] = beats["sample"].tolist()
    table = report.classify_signal(signals, 360, checkpoint, peaks)
    assert table["p_V"][known].to_numpy() == pytest.approx(columns["p_V"][known].to_numpy(), abs=6e-5)
    windows = np.stack([signals[at - 93 : at + 93] for at in beats["sample"][known]])
    again = report.classify_beats(windows, checkpoint)[:, 2]
    assert again == pytest.approx(columns["p_V"][known].to_numpy(), abs=6e-5)


def test_the_network_sees_batches_of_few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch keeps what it prepares for each size; how many beats there are changes no beat's probabilities."""
    classifier = load_classifier("mit_beat")
    windows = np.random.default_rng(0).normal(size=(150, 186))
    expected = report.classify_beats(windows, classifier)
    sizes = []
    forward = type(classifier.model).forward
    monkeypatch.setattr(
        type(classifier.model),
        "forward",
        lambda model, *inputs: sizes.append(len(inputs[0])) or forward(model, *inputs),
    )
    for count in (1, 5, 32, 33, 150):
        found = report.classify_beats(windows[:count], classifier)
        assert found == pytest.approx(expected[:count], abs=1e-5)
    assert sizes == [32, 32, 32, 64, 128, 32]
    assert report.classify_beats(windows[:0], classifier).shape == (0, 5)


def test_classes_that_a_network_lacks_and_beats_that_it_cannot_see() -> None:
    five, names = in_classes(np.array([[0.2, 0.8], [np.nan, np.nan]]), ("N", "V"))
    assert names.tolist() == ["V", "Q"]
    assert five[0].tolist() == pytest.approx([0.2, 0, 0.8, 0, 0])
    assert np.isnan(five[1]).all()


def test_a_few_missing_samples_cost_no_beat(records: Path, checkpoint: Path) -> None:
    signal = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    peaks = wfdb.rdann(str(records / "m001"), "atr").sample
    peaks = peaks[(peaks > 360) & (peaks < len(signal) - 360)]
    classifier = report.load_classifier(checkpoint)
    for gap, lost in ((1, 0), (36, 0), (37, len(peaks))):  # 0.1 s are bridged
        broken = np.ma.array(signal)
        for at in peaks:
            broken[at + 20 : at + 20 + gap] = np.ma.masked
        for missing in (broken, broken.filled(np.nan)):
            table = report.classify_signal(missing, 360, classifier, peaks)
            assert (table["class"] == "unclassified").sum() == lost


@needs("mitdb")
def test_gaps_make_no_s_beats() -> None:
    """Of record 103, which has two S beats: missing samples of 3 s, twice a minute."""
    signal = wfdb.rdrecord(str(MITDB / "103"), sampto=360 * 600).p_signal[:, 0]
    whole = report.classify_signal(signal, 360)
    for second in range(12, 600, 30):
        signal[360 * second : 360 * (second + 3)] = np.nan
    gaps = report.classify_signal(signal, 360)
    assert (gaps["class"] == "S").sum() <= (whole["class"] == "S").sum() + 1


# ----------------------------------------------------------------------------- what a network was trained and tested on


def test_a_run_folder_is_a_checkpoint_with_its_figures(checkpoint: Path, tmp_path: Path) -> None:
    seed = tmp_path / "run" / "seed_0"
    seed.mkdir(parents=True)
    (seed / "checkpoint_best.pt").write_bytes(checkpoint.read_bytes())
    assert load_classifier(tmp_path / "run").figures.tested_on == "not stated"
    figures = {"recall": 0.5, "precision": 0.25, "f1": 0.33, "support": 8}
    test = {"per_class": {"V": figures}, "data": {"source": "physionet", "protocol": "inter_patient"}}
    (seed / "test_best.json").write_text(json.dumps(test))
    known = load_classifier(tmp_path / "run").figures
    assert known.per_class == {"V": {"sensitivity": 50, "precision": 25, "beats": 8}}
    assert known.new_patients is True
    for broken in ({"per_class": [1]}, {"per_class": {"V": {"recall": 0.5}}}, {"data": [1]}, {"data": {"protocol": 5}}):
        (seed / "test_best.json").write_text(json.dumps(test | broken))
        with pytest.raises(InputError, match=r"test_best\.json: is damaged: these are not figures of a test"):
            load_classifier(tmp_path / "run")
    (seed / "test_best.json").write_text(json.dumps(test))
    kept = load_checkpoint(checkpoint)
    for init, expected in (
        ({"init_records": ["100"], "init_tested": ["100"]}, False),
        ({"init_records": ["101"], "init_tested": []}, True),
        ({}, None),  # a run of an earlier version; or nobody knows what that network learnt from
    ):
        data = kept.metrics["data"] | {"init": "other.pt"} | init
        save_checkpoint(seed / "checkpoint_best.pt", dataclasses.replace(kept, metrics=kept.metrics | {"data": data}))
        assert load_classifier(tmp_path / "run").figures.new_patients is expected


@pytest.mark.parametrize(
    ("init", "base"),
    [("mit_beat", {}), (str(PRETRAINED / "mit_beat.pt"), {}), ("tuned_before.pt", {"init_base": "mit_beat"})],
)
def test_a_fine_tuned_network_knows_the_training_records_of_its_base(
    init: str, base: dict[str, str], checkpoint: Path, records: Path, tmp_path: Path
) -> None:
    kept = load_checkpoint(checkpoint)
    data = {"source": "records", "protocol": "beat", "training_records": ["a", "100"], "init": init} | base
    for more, said in (({"init_records": ["100"]}, ", whose records are counted too"), ({}, "")):
        metrics = kept.metrics | {"data": kept.metrics["data"] | data | more}
        save_checkpoint(tmp_path / "tuned.pt", dataclasses.replace(kept, metrics=metrics))
        tuned = load_classifier(tmp_path / "tuned.pt")
        assert tuned.training_records == load_classifier("mit_beat").training_records != {}
        assert tuned.trained_on == f"records data of --dataset mit, 2 records, beat split; fine-tuned from {init}{said}"
    page = report_on(records / "m001", tmp_path / "r", "--checkpoint", tmp_path / "tuned.pt").page
    assert f"fine-tuned from {init}; whether this recording is part of it is not known. Tested on" in page


@pytest.mark.parametrize("init", ["a\0/b", "a" * 300, "../pretrained/nothing"])
def test_what_a_network_began_with_need_not_be_a_path(init: str, checkpoint: Path, tmp_path: Path) -> None:
    kept = load_checkpoint(checkpoint)
    metrics = kept.metrics | {"data": kept.metrics["data"] | {"init": init}}
    save_checkpoint(tmp_path / "tuned.pt", dataclasses.replace(kept, metrics=metrics))
    assert load_classifier(tmp_path / "tuned.pt").training_records == {}


def test_a_packaged_network_given_by_a_relative_path_has_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PRETRAINED.parent)
    assert load_classifier("pretrained/mit_beat.pt").cautions == load_classifier("mit_beat").cautions != ()


def test_the_page_calls_no_patient_unseen_whom_the_card_names_as_seen(records: Path, tmp_path: Path) -> None:
    """Of DS2 and DS1, 202 and 201 are of one patient."""
    assert report_of(records / "m001", tmp_path / "r", "--annotations", "atr", "--checkpoint", DEFAULT) == 0
    _, _, said = (tmp_path / "r" / "report.html").read_text().partition("Tested on: ")
    tested_on = load_classifier(DEFAULT).figures.tested_on
    assert "202 is from the same patient as training record 201" in tested_on
    assert said.startswith(f"{tested_on}, split from training by patient.")


@pytest.mark.parametrize(
    ("lead", "training_record", "other"), [("MLII", None, False), ("ECG1", None, True), ("ECG1", "801 of svdb", False)]
)
def test_the_lead_of_a_training_record_is_no_other_one(lead: str, training_record: str | None, other: bool) -> None:
    analysis = SimpleNamespace(recording=SimpleNamespace(lead=lead), training_record=training_record)
    assert vars(Analysis)["other_lead"].fget(analysis) == other


@needs("mitdb")
def test_a_training_record_is_known_under_another_name_and_format(tmp_path: Path) -> None:
    for record, known in (("208", "208 of mitdb"), ("100", None)):  # DS1, DS2
        values = wfdb.rdrecord(str(MITDB / record), sampto=360 * 75).p_signal[:, 0]
        path = tmp_path / f"patient_{record}.csv"
        path.write_text("MLII_mV\n" + "\n".join(f"{value:.3f}" for value in values))
        page = report_on(path, tmp_path / record, "--fs", "360").page
        said = "By its first minute this is record 208 of mitdb, on which the network was trained"
        assert (said in page) == bool(known)
        assert load(tmp_path / record)[0]["model"]["this_record_in_training"] == known
