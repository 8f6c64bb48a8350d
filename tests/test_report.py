"""`python -m report` on small recordings: its files agree with one another, and bad input is one line."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import wfdb
from conftest import MITDB, ROOT, needs
from hypothesis import given
from hypothesis import strategies as st
from joblib.externals.loky.process_executor import TerminatedWorkerError
from test_quality import fibrillating

import data_configs
import ec57
import hparams
import report
from ec57.__main__ import run as score
from models import ecgTransForm
from preprocess.beats import WINDOWS
from preprocess.context import record_context, record_rhythm, stretch_context, stretches
from preprocess.readers import open_recording
from preprocess.signals import bridging_reader, resample, resampling_reader, spans
from preprocess.synthetic import write_synthetic_mit
from report import drawings, outputs, render
from report.__main__ import build_parser, line_of, run
from report.analysis import Analysis, analyse, interruptions
from report.browser import print_pdf
from report.burden import burden, hours
from report.classify import DEFAULT, in_classes, load_classifier
from report.definitions import Definitions, Quality
from report.diary import Entry, diary_figures, read_diary
from report.episodes import find_episodes
from report.given import read_given_beats
from report.hrv import variability
from report.options import ReportOptions
from report.quality import Unreadable
from report.rates import heart_rate
from report.render import minutes_cell, period_cell, title_of
from report.rhythm import Rhythm
from report.rounding import rounded
from report.strips import ANNOTATED_FLUTTER, NAMES, Strip, choose_strips
from report.summary import beats_from, excessive_by, summary
from report.tiles import tiles
from report.trends import trends
from report.wording import lasting, number, percent, warnings
from support.errors import InputError, run_command
from utils import PRETRAINED, Checkpoint, load_checkpoint, save_checkpoint

WINDOW = WINDOWS["centred"].sentence.format(length=186, peak="annotated R-peak")
DEFAULTS = Definitions()
FILES = {"report.html", "summary.json", "beats.csv", "episodes.csv", "hours.csv"}


def write_checkpoint(path: Path, dataset: str = "mit", window: str | None = WINDOW, **changes: object) -> Path:
    """A small network that has learnt nothing, of a dataset's configuration with `changes`."""
    configs = dataclasses.replace(data_configs.get_dataset_class(dataset)(), feedforward_dim=32, **changes)
    recipe = hparams.supervised()
    torch.manual_seed(0)
    model = ecgTransForm(configs, recipe)
    data = {"source": "synthetic", "protocol": "beat", "fs": 360.0} | ({"window": window} if window else {})
    save_checkpoint(path, Checkpoint(configs.name, configs, recipe, model.state_dict(), metrics={"data": data}))
    return path


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic records of a minute and a half, m001 and m002, with beats annotated."""
    folder = tmp_path_factory.mktemp("raw") / "records"
    write_synthetic_mit(folder, 2, 1.5, 0, progress=False)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoint_best.pt")


@pytest.fixture(scope="module")
def annotated(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of m001 by its annotations, with a diary."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "diary.csv").write_text(
        "time,kind,note,end\n00:00:20,activity,stairs,00:00:40\n50,symptom,=dizzy <b>,\n2026-01-31 08:01:10,other,,\n"
    )
    options = ["--annotations", "atr", "--diary", folder / "diary.csv", "--start_time", "2026-01-31T08:00"]
    assert report_of(records / "m001", folder / "m001", *options) == 0
    return folder / "m001"


def report_of(record: Path, out: Path, *options: str | Path) -> int:
    return run_command(lambda: run([str(record), "--out", str(out), *map(str, options)]))


def load(folder: Path) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    return (
        json.loads((folder / "summary.json").read_text()),
        pd.read_csv(folder / "beats.csv", keep_default_na=False, na_values=[""]),
        pd.read_csv(folder / "episodes.csv"),
    )


def write_rhythm(folder: Path, name: str, symbols: str, period: float | np.ndarray, pause: int | None = None) -> Path:
    """A record of narrow spikes at 250 Hz, annotated with the `symbols`, `period` seconds from each beat to the next.

    From the second of two A on it is half of that. After beat number `pause` it is 8 s.
    """
    pairs, periods = map("".join, itertools.pairwise(symbols)), np.broadcast_to(period, len(symbols) - 1)
    steps = [each / 2 if pair == "AA" else each for pair, each in zip(pairs, periods.tolist(), strict=True)]
    if pause is not None:
        steps[pause] = 8
    peaks = (250 * (1 + np.cumsum([0, *steps]))).astype(int)
    signal = np.zeros((peaks[-1] + 250, 1))
    for at, height in enumerate((0.3, 1.0, 0.3), start=-1):
        signal[peaks + at] = height
    signal += 0.01 * np.random.default_rng(0).normal(size=signal.shape)
    header = {"fs": 250, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"], "adc_gain": [200], "baseline": [0]}
    wfdb.wrsamp(name, p_signal=signal, write_dir=str(folder), **header)
    wfdb.wrann(name, "atr", peaks, symbol=[*symbols], write_dir=str(folder), fs=250)
    return folder / name


# ------------------------------------------------------------------------------------------------ what is written


def test_frequent_supraventricular_beats_stand_out(tmp_path: Path) -> None:
    for name, symbols, expected in (
        (
            "often",
            "NA" * 20 + "N" * 360,
            ["1 episode of supraventricular bigeminy", "S 5.0 % of beats, 180 per hour"],
        ),
        ("seldom", "NNA" * 9 + "N" * 373, []),  # nine: 81 in an hour, but few
        ("none", "N" * 400, []),
        ("run", "N" * 100 + "A" * 25 + "N" * 275, ["excessive supraventricular ectopy: a run of 25 S"]),
    ):
        record = write_rhythm(tmp_path, name, symbols, 1.0)
        assert report_of(record, tmp_path / "r" / name, "--annotations", ".atr") == 0  # with its dot or without
        page = (tmp_path / "r" / name / "report.html").read_text()
        stands_out = page.split("What stands out")[1].split("Methods and limitations")[0]
        assert "some of it is called V or S" not in page  # these are annotated beats
        for text in expected:
            assert text in stands_out
        assert ("Nothing, by the definitions" in stands_out) == (name == "none")
        assert ("the recording is too short to tell" in stands_out) == (name == "often")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (percent(9.96, DEFAULTS.burdens), "9.96 %"),  # below 10 %, from which on a burden is marked
        (percent(10.0, DEFAULTS.burdens), "10.0 %"),
        (percent(9.96), "10.0 %"),
        (percent(0.003), "0.003 %"),
        (percent(0.0), "0.0 %"),
        (percent(99.97), "99.97 %"),
        (percent(100.0), "100.0 %"),
        (percent(math.nan), "nan %"),
        (number(100.3, 0, DEFAULTS.rates), "100.3"),  # a tachycardia is faster than 100/min
        (number(100.0, 0, DEFAULTS.rates), "100"),
        (number(60 * 25 * 128.2 / 3846, 0, DEFAULTS.rates), "50"),  # 25 R-R intervals at 128.2 Hz: 49.99999999999999
        (number(721 / 360, 2, DEFAULTS.lengths), "2.003"),  # a pause is longer than 2 s
        (number(29.97, 1, DEFAULTS.lengths), "29.97"),
        (number(1234.5, 1, DEFAULTS.lengths), "1,234.5"),
        (lasting(59.96), "1 min 0 s"),
    ],
)
def test_no_figure_is_rounded_across_the_threshold_that_it_is_judged_by(shown: str, text: str) -> None:
    assert shown == text


def test_a_burden_just_below_a_threshold_is_shown_below_it(tmp_path: Path) -> None:
    near = write_rhythm(tmp_path, "near", "NNNNNNNNNV" * 23 + "N", 0.8)  # 9.957 %
    slow = write_rhythm(tmp_path, "slow", "NNNNNNNNNN", 1.4)
    assert run_command(lambda: run([str(near), str(slow), "--annotations", "atr", "--out", str(tmp_path / "r")])) == 0
    page = (tmp_path / "r" / "near" / "report.html").read_text()
    assert '<div class="v">9.96 %</div>' in page  # and no mark
    assert "<td>9.96 %</td>" in (tmp_path / "r" / "index.html").read_text()


def test_the_terminal_says_what_limits_every_figure(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat.csv").write_text("MLII\n" + "0\n" * 3600)
    assert (
        report_of(tmp_path / "flat.csv", tmp_path / "r", "--fs", "360", "--unit", "mV", "--checkpoint", checkpoint) == 0
    )
    assert "note: no beat was found that could be read\n" in capsys.readouterr().err


def test_the_figures_of_the_summary_are_those_of_the_tables(annotated: Path, records: Path) -> None:
    summary, beats, episodes = load(annotated)
    truth = wfdb.rdann(str(records / "m001"), "atr")
    assert {path.name for path in annotated.iterdir()} == FILES | {"diary.csv", "m001.ect"}
    assert FILES | {"diary.csv", "report.pdf"} == outputs.FILES  # a report with all of it is replaced
    assert (summary["record"], summary["lead"], summary["fs"], summary["synthetic"]) == ("m001", "MLII", 360, True)
    assert summary["duration_s"] == pytest.approx(90)
    assert summary["beats"]["all"] == len(beats) == sum(symbol in "NLRAVFQ/Sejanr" for symbol in truth.symbol)
    for name in "NSVFQ":
        assert summary["beats"][name] == (beats["class"] == name).sum()
    percent = 100 * beats["class"].isin([*"SVF"]).mean()
    assert summary["burden_percent"]["abnormal"] == round(percent, 2)
    assert summary["burden_percent"]["V"] == round(100 * (beats["class"] == "V").mean(), 2)
    for kind, count in summary["episodes"].items():
        assert count == (episodes["kind"] == kind).sum(), kind
    valid = beats["rr_s"][beats["rr_valid"].astype(bool)]
    assert summary["heart_rate"]["mean"]["bpm"] == pytest.approx(60 / valid.mean(), abs=0.051)
    assert summary["pauses"]["gt_2_0"] == (valid > 2.0).sum()
    assert beats["clock"].iloc[0].startswith("2026-01-31 08:00:0")
    assert summary["definitions"]["pause"] == 2.0
    assert summary["model"] is None
    hours = pd.read_csv(annotated / "hours.csv")
    assert hours["beats_all"].sum() == len(beats)


def names_in(value: object) -> set[str]:
    """All keys in what JSON holds, but for those of definitions."""
    if isinstance(value, list):
        return {name for one in value for name in names_in(one)}
    if not isinstance(value, dict):
        return set()
    return {*value} | {name for key, one in value.items() if key != "definitions" for name in names_in(one)}


def test_what_is_written_is_rounded_and_described(
    annotated: Path, records: Path, checkpoint: Path, tmp_path: Path
) -> None:
    assert report_of(records / "m001", tmp_path / "r", "--checkpoint", checkpoint) == 0
    described = (ROOT / "report" / "README.md").read_text()
    longest = 0
    for folder in (annotated, tmp_path / "r"):
        summary = load(folder)[0]
        names = names_in(summary)
        fractions = re.findall(r"\.(\d+)", json.dumps(summary | {"version": "", "start": ""}))
        for path in folder.glob("*.csv"):
            with path.open() as stream:
                rows = list(csv.DictReader(stream))
            names |= {*rows[0]} if rows else set()
            fractions += [part for row in rows for cell in row.values() for part in re.findall(r"^-?\d+\.(\d+)$", cell)]
        longest = max(longest, *map(len, fractions))
        missing = {
            name
            for name in names
            if f"`{re.sub('^(before|during|after)_(?!ectopic)', '<period>_', name)}`" not in described
        }
        assert not missing, missing
    assert longest == 4  # probabilities
    diary = pd.read_csv(annotated / "diary.csv", dtype=str)
    assert diary["during_beats"][0].isdigit()
    assert diary["clock"][0] == "2026-01-31 08:00:20.000"


def test_a_figure_is_rounded_as_its_name_says() -> None:
    third = 1 / 3
    made = rounded(
        {"time_s": third, "run_s": 3, "burden_percent": {"S": third}, "longest": {"run_s": {"rate_bpm": third}}}
    )
    assert made == {"time_s": 0.333, "run_s": 3, "burden_percent": {"S": 0.33}, "longest": {"run_s": {"rate_bpm": 0.3}}}
    assert rounded({"fs": 512.5083, "p_N": third, "none_s": None}) == {"fs": 512.5083, "p_N": 0.3333, "none_s": None}


def test_the_annotations_are_those_of_the_beats(annotated: Path) -> None:
    _, beats, episodes = load(annotated)
    written = wfdb.rdann(str(annotated / "m001"), "ect")
    marked = np.isin(written.symbol, [*"NSVFQ"])
    assert written.fs == 360
    assert written.sample[marked].tolist() == beats["sample"].tolist()
    assert np.array(written.symbol)[marked].tolist() == beats["class"].tolist()
    assert written.symbol[0] == "+"
    assert written.aux_note[0].rstrip("\0") == "(N"
    notes = {note.rstrip("\0") for note in written.aux_note} - {""}
    assert ("(B" in notes) == (episodes["kind"] == "bigeminy_v").any()


@pytest.mark.parametrize(
    ("hours", "title"),
    [
        (17.9, "ECG report"),
        (18, "18-hour ECG report"),
        (24, "24-hour ECG report"),
        (36, "36-hour ECG report"),
        (49, "48-hour ECG report"),
        (168, "7-day ECG report"),
    ],
)
def test_a_report_is_called_by_its_length(hours: float, title: str) -> None:
    assert title_of(3600 * hours, hours >= Definitions().day_readable) == title


def test_the_rates_of_the_page_are_in_the_summary(tmp_path: Path) -> None:
    symbols = "N" * 20 + "NV" * 10 + "NNV" * 10 + "NVV" + "N" * 20
    record = write_rhythm(tmp_path, "r", symbols, np.repeat([0.7, 1.5], [len(symbols) - 21, 20]))
    assert report_of(record, tmp_path / "out", "--annotations", "atr") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    rows = re.findall(r'<td class="w">([^<]+)</td>(?:<td>[^<]*</td>){3}<td>(\d*)</td>', page)
    said = load(tmp_path / "out")[0]
    assert {name: rate for name, rate in rows if rate} == {
        NAMES[kind]: f"{fastest['rate_bpm']:.0f}" for kind, fastest in said["fastest"].items()
    }
    assert {*said["fastest"]} == {"couplet_v", "bigeminy_v", "trigeminy_v"} and "bradycardia" in said["longest"]


def test_two_hours_that_count_as_a_day_are_called_two_hours() -> None:
    assert title_of(7200, is_day=True) == "2-hour ECG report"  # with --day_readable 1, not 0-hour


def test_the_page_says_what_it_must(annotated: Path) -> None:
    page = (annotated / "report.html").read_text()
    short = "too short for figures of 24 hours"
    for text in ("not for clinical use", "synthetic data", "as annotated (atr)", short, "MLII"):
        assert text in page, text
    assert "24-hour" not in page
    spread = load(annotated)[0]["hrv"]
    assert spread["sdann_ms"] is None and "cannot be compared with that of 24 h; SDANN is given from 18 h on" in page
    assert f"The N-N intervals are {lasting(spread['nn_s'])} in all" in page
    assert re.search(r"<small>\d+<br>0\.3 min</small>", page)  # before the diary's first entry there are 20 s
    for definition in Definitions().listed():
        assert f"--{definition.name}" in page
        assert definition.source in page
    assert "=dizzy &lt;b&gt;" in page  # a note is text, not markup
    assert "25 mm/s &#160; 10 mm/mV" in page
    assert "93.6 % of the time that is marked as atrial fibrillation is found, and 85.2 %" in page
    numbers = page.split("<h2>Ectopy and rhythm in numbers</h2>")[1].split("</section>")[0]
    none = re.search(r"<p>None found: (.+?)\.</p>", numbers)[1].split(", ")
    counts = {
        ANNOTATED_FLUTTER[kind]: count for kind, count in load(annotated)[0]["episodes"].items() if kind != "unreadable"
    }
    assert none == [name for name, count in counts.items() if not count]
    assert [name for name, count in counts.items() if f'<td class="w">{name}</td><td>{count:,}' in numbers] == [
        name for name, count in counts.items() if count
    ]
    assert not re.search("https?:", page.replace("http://www.w3.org/2000/svg", ""))
    with (annotated / "diary.csv").open() as stream:
        assert "'=dizzy <b>" in [row["note"] for row in csv.DictReader(stream)]  # nor a spreadsheet's formula


class Outline(HTMLParser):
    """The levels of the headings of a page, the texts of the heads of its tables, and what is open at its end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.levels: list[int] = []
        self.heads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "th":
            self.heads.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["th"]:
            self.heads[-1] += data


def test_headings_are_nested_and_no_head_of_a_table_is_empty(annotated: Path) -> None:
    """What a screen reader moves about by, and reads out before a figure."""
    outline = Outline((annotated / "report.html").read_text())
    assert not outline.open
    assert outline.levels[0] == 1 and all(level <= last + 1 for last, level in itertools.pairwise(outline.levels))
    assert "no." in outline.heads and all(outline.heads)


def test_a_network_gives_classes_and_probabilities(records: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert report_of(records / "m001", tmp_path / "r", "--checkpoint", checkpoint, "--annotations", "atr") == 0
    summary, beats, _ = load(tmp_path / "r")
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
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"Q\N{NO-BREAK SPACE}{summary['beats']['Q']:,}, unclassified {unclassified}" in page
    hours = pd.read_csv(tmp_path / "r" / "hours.csv")
    assert hours["beats_unclassified"].sum() == unclassified
    assert summary["model"]["trained_on"] == "synthetic data of --dataset mit, beat split"

    signals = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    table = report.classify_signal(signals, 360, checkpoint, beats["sample"].to_numpy())
    assert table["p_V"][known].to_numpy() == pytest.approx(columns["p_V"][known].to_numpy(), abs=6e-5)
    windows = np.stack([signals[at - 93 : at + 93] for at in beats["sample"][known]])
    again = report.classify_beats(windows, checkpoint)[:, 2]
    assert again == pytest.approx(columns["p_V"][known].to_numpy(), abs=6e-5)


def test_a_few_missing_samples_cost_no_beat(records: Path, checkpoint: Path) -> None:
    signal = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    peaks = wfdb.rdann(str(records / "m001"), "atr").sample
    peaks = peaks[(peaks > 360) & (peaks < len(signal) - 360)]
    for gap, lost in ((1, 0), (36, 0), (37, len(peaks))):  # 0.1 s are bridged
        broken = signal.copy()
        for at in peaks:
            broken[at + 20 : at + 20 + gap] = np.nan
        table = report.classify_signal(broken, 360, checkpoint, peaks)
        assert (table["class"] == "unclassified").sum() == lost


@given(st.integers(0, 2**31), st.integers(0, 6))
def test_a_signal_bridged_in_parts_is_that_of_the_whole(seed: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    signal = np.cumsum(rng.normal(size=80))
    signal[rng.random(80) < rng.random()] = np.nan
    read = bridging_reader(lambda start, stop: signal[start:stop], 80, longest)
    whole = read(0, 80)
    for gap, end in spans(np.isnan(signal)):
        bridges = end - gap <= longest and gap > 0 and end < 80
        line = np.linspace(signal[gap - 1], signal[end], end - gap + 2)[1:-1] if bridges else np.full(end - gap, np.nan)
        np.testing.assert_allclose(whole[gap:end], line)
    there = ~np.isnan(signal)
    assert np.array_equal(whole[there], signal[there])
    start, stop = np.sort(rng.integers(0, 81, 2))
    np.testing.assert_allclose(read(start, stop), whole[start:stop])


def test_a_short_gap_interrupts_no_rhythm() -> None:
    signal = np.zeros(1000)
    for gap, border in ((3, 103), (10, 210), (11, 311), (0, 400), (10, 610), (11, 711), (5, 1000)):
        signal[border - gap : border] = np.nan
    # Of a segment that is a gap both ends are borders.
    borders = np.array([103, 210, 300, 311, 400, 600, 610, 700, 711, 995, 1000])
    recording = SimpleNamespace(read=lambda start, stop: signal[start:stop], length=1000, borders=borders)
    assert interruptions(recording, 10).tolist() == [300, 311, 400, 700, 711, 995, 1000]  # how long 400 is nobody knows


def test_an_analysis_without_a_classifier_and_without_annotations_is_refused(records: Path) -> None:
    nothing = analyse(records / "m001", ReportOptions(), DEFAULTS, Quality(), classifier=None)
    with pytest.raises(InputError, match=r"from a classifier or from options\.annotations: give one of them"), nothing:
        pass


def test_annotations_stay_at_their_beats_where_fs_is_given(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "unrated", "NNNNN", 1.0)
    wfdb.wrann("unrated", "atr", 250 * np.arange(1, 6), symbol=[*"NNNNN"], write_dir=str(tmp_path))
    header = tmp_path / "unrated.hea"
    header.write_text(header.read_text().replace("unrated 1 250 1500", "unrated 1", 1))
    for fs in (None, 360):
        with open_recording(record, fs=fs) as recording:
            assert recording.fs == (fs or 250)
            assert read_given_beats(recording, "atr", fs).peaks.tolist() == [250, 500, 750, 1000, 1250]


def test_the_reason_of_unreadable_time_is_told(tmp_path: Path) -> None:
    assert report_of(write_quiet(tmp_path, 0.0), tmp_path / "r", "--annotations", "atr") == 0
    episodes = load(tmp_path / "r")[2]
    assert set(episodes["reason"][episodes["kind"] == "unreadable"]) == {"flat"}
    assert episodes["reason"][episodes["kind"] != "unreadable"].isna().all()
    page = (tmp_path / "r" / "report.html").read_text()
    assert re.search(r"% of the recording; flat \d\.\d\xa0s<", page)
    assert page.count('unreadable time <span class="note">flat</span>') == 2


@pytest.mark.parametrize(
    ("lead", "training_record", "other"),
    [("MLII", None, False), ("ECG1", None, True), ("ECG1", "801 of svdb", False)],
)
def test_the_lead_of_a_training_record_is_no_other_one(lead: str, training_record: str | None, other: bool) -> None:
    analysis = SimpleNamespace(recording=SimpleNamespace(lead=lead), training_record=training_record)
    assert Analysis.other_lead.fget(analysis) == other


def test_another_lead_is_in_the_notes(records: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert report_of(records / "m001", tmp_path / "r", "--checkpoint", str(checkpoint), "--lead", "V1") == 0
    assert (
        "Lead V1 was read; the networks here are trained on lead II (of svdb on ECG1)."
        in load(tmp_path / "r")[0]["notes"]
    )


def test_escape_beats_are_counted_as_n_and_told(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "escape", "NNjNNeNNNA", 1.0)
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    summary = load(tmp_path / "r")[0]
    assert (summary["grouping"], summary["escape_beats"]) == ("de_chazal", 2)
    assert (summary["beats"]["N"], summary["beats"]["S"]) == (9, 1)
    page = (tmp_path / "r" / "report.html").read_text()
    assert "2 escape beats (e, j, n) are counted as N, as de Chazal et al. 2004 have them" in page


def test_a_beat_annotated_with_two_classes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = write_rhythm(tmp_path, "two", "NNNN", 1.0)
    peaks = wfdb.rdann(str(record), "atr").sample
    wfdb.wrann("two", "atr", np.sort([*peaks, peaks[2]]), symbol=[*"NNNVN"], write_dir=str(tmp_path), fs=250)
    line = complaint(capsys, record, "--annotations", "atr", "--out", tmp_path / "r")
    assert "two.atr has a beat of two classes, N and V, at sample 750 (3.000 s)" in line


def test_the_summary_tells_doubtful_pauses_apart(tmp_path: Path) -> None:
    """One pause of 3 s, one of 2.5 s, and one of 2.4 s in which the signal moves as by a beat."""
    pauses, peaks = {10: 3.0, 20: 2.5, 30: 2.4}, [250]
    for beat in range(1, 40):
        peaks.append(peaks[-1] + round(250 * pauses.get(beat, 0.8)))
    signal = 0.01 * np.random.default_rng(0).normal(size=(peaks[-1] + 250, 1))
    for at, height in itertools.product(peaks, ((-1, 0.3), (0, 1.0), (1, 0.3))):
        signal[at + height[0]] += height[1]
    signal[peaks[30] - 300 : peaks[30] - 290] += 0.9
    header = {"fs": 250, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"], "adc_gain": [200], "baseline": [0]}
    wfdb.wrsamp("pauses", p_signal=signal, write_dir=str(tmp_path), **header)
    wfdb.wrann("pauses", "atr", np.array(peaks), symbol=["N"] * len(peaks), write_dir=str(tmp_path), fs=250)
    assert report_of(tmp_path / "pauses", tmp_path / "r", "--annotations", "atr") == 0
    pauses = load(tmp_path / "r")[0]["pauses"]
    assert {name: pauses[name] for name in ("gt_2_0", "gt_2_5", "ge_3_0")} == {"gt_2_0": 3, "gt_2_5": 1, "ge_3_0": 1}
    assert pauses["doubtful"]["gt_2_0"] == 1 and pauses["doubtful"]["ge_3_0"] == 0
    page = (tmp_path / "r" / "report.html").read_text()
    found = re.search(r"<li>(\d pause[^<]*)</li>", page)[1]
    assert "1 pause of 3 s and more: 3.00 s, from 0:00:08" in found and "doubtful" not in found


def write_quiet(folder: Path, quiet: float) -> Path:
    """A record of 60 beats with a pause of 4 s, in which the signal stays within `quiet` mV, 3 s before it ends."""
    peaks = np.cumsum([250, *[200] * 29, 1000, *[200] * 29])
    rng = np.random.default_rng(1)
    signal = 0.02 * rng.normal(size=(peaks[-1] + 750, 1))
    for start, end in ((peaks[29], peaks[30]), (peaks[-1], len(signal))):
        signal[start + 20 : end - 20] = quiet * rng.uniform(-0.5, 0.5, (end - start - 40, 1))
    for at, height in itertools.product(peaks, ((-1, 0.3), (0, 1.0), (1, 0.3))):
        signal[at + height[0]] += height[1]
    header = {"fs": 250, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"], "adc_gain": [1000], "baseline": [0]}
    wfdb.wrsamp("quiet", p_signal=signal, write_dir=str(folder), **header)
    wfdb.wrann("quiet", "atr", peaks, symbol=["N"] * len(peaks), write_dir=str(folder), fs=250)
    return folder / "quiet"


@pytest.mark.parametrize(("quiet", "doubtful"), [(0.04, 0), (0.006, 1), (0.0, None)])
def test_a_quiet_pause_is_doubtful_and_a_line_without_noise_unreadable(
    tmp_path: Path, quiet: float, doubtful: int | None
) -> None:
    assert report_of(write_quiet(tmp_path, quiet), tmp_path / "r", "--annotations", "atr") == 0
    summary, beats, _ = load(tmp_path / "r")
    pauses, page = summary["pauses"], (tmp_path / "r" / "report.html").read_text()
    assert pauses["ge_3_0"] == (0 if doubtful is None else 1)
    assert pauses["doubtful"]["ge_3_0"] == (doubtful or 0)
    assert len(beats) == 60
    flat = summary["unreadable_s"].get("flat", 0.0)
    assert (flat > 5) == (quiet == 0.0)
    told = "There are 3.0 s from 0:00:51 without a beat beside lost time or an end of the recording: a pause" in page
    assert told == (quiet == 0.04) and pauses["beatless"] == int(told)


def test_no_quiet_pause_goes_on_from_one_segment_to_the_next(tmp_path: Path) -> None:
    whole, border = write_quiet(tmp_path, 0.006), 6550  # in the pause, from sample 6050 to 7050
    signal = wfdb.rdrecord(str(whole)).p_signal
    header = {"fs": 250, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"], "adc_gain": [1000], "baseline": [0]}
    for name, part in (("one", signal[:border]), ("two", signal[border:])):
        wfdb.wrsamp(name, p_signal=part, write_dir=str(tmp_path), **header)
    segments = f"one {border}\ntwo {len(signal) - border}\n"
    whole.with_suffix(".hea").write_text(f"quiet/2 1 250 {len(signal)}\n{segments}")
    assert report_of(whole, tmp_path / "r", "--annotations", "atr") == 0
    summary = load(tmp_path / "r")[0]
    assert summary["pauses"]["gt_2_0"] == 0 and summary["episodes"]["pause"] == 0
    assert summary["unreadable_s"]["flat"] > 3


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
def test_wrong_arguments_of_classify_signal(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        report.classify_signal(**{"signal": np.zeros(3600), "fs": 360} | arguments)


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


def test_beats_and_annotations_are_written_in_parts(
    records: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for name, rows in (("whole", 10**6), ("parts", 7)):
        monkeypatch.setattr(outputs, "ROWS", rows)
        assert report_of(records / "m001", tmp_path / name, "--checkpoint", checkpoint) == 0
        assert {path.name for path in (tmp_path / name).iterdir()} == FILES | {"m001.ect"}
        written.append([(tmp_path / name / file).read_bytes() for file in ("beats.csv", "m001.ect")])
    assert written[0] == written[1] and written[0][0].count(b"\n") > 15


@pytest.mark.parametrize("several", [False, True])
def test_annotations_are_called_as_the_record_is(
    records: Path, tmp_path: Path, several: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that `python -m ec57 --test_dir` finds them, whatever the name."""
    for name in ("m001.v2", "m 1"):
        header = (records / "m001.hea").read_text()
        # A name with a space is legal in a path, though not in the record line.
        (tmp_path / f"{name}.hea").write_text(header.replace("m001", name.replace(" ", "_"), 1))
        shutil.copy(records / "m001.atr", tmp_path / f"{name}.atr")
    shutil.copy(records / "m001.dat", tmp_path)
    named = [str(tmp_path / name) for name in ("m001.v2", "m 1")]
    for chosen, out in [(named, "r")] if several else [(named[:1], "r/m001.v2"), (named[1:], "r/m 1")]:
        run([*chosen, "--annotations", "atr", "--out", str(tmp_path / out)])
    assert (tmp_path / "r/m001.v2/m001.v2.ect").is_file() and (tmp_path / "r/m 1/m 1.ect").is_file()
    options = ["--reference", "atr", "--test", "ect", "--test_dir", str(tmp_path / "r"), "--start", "0"]
    capsys.readouterr()
    score([*named, *options])
    assert re.search(r"Gross +100\.00 100\.00", capsys.readouterr().out)


def test_the_index_marks_what_its_reports_mark(tmp_path: Path) -> None:
    write_rhythm(tmp_path, "much", "N" * 100 + "A" * 25 + "NV" * 40 + "N" * 195, 1.0)
    write_rhythm(tmp_path, "little", "N" * 60, 1.0)
    out = tmp_path / "r"
    arguments = [tmp_path / name for name in ("much", "little", "none")]
    assert run_command(lambda: run([*map(str, arguments), "--annotations", "atr", "--out", str(out)])) == 1
    head, *rows = re.findall("<tr>.*?</tr>", (out / "index.html").read_text(), re.DOTALL)
    titles = re.findall("<th[^>]*>(.*?)</th>", head)
    cells = [dict(zip(titles, re.findall("<td[^>]*>(.*?)</td>", row), strict=False)) for row in rows]
    assert "SVT" in titles and f'colspan="{len(titles) - 1}"' in rows[2]
    assert cells[0]["V"] == "10.0 % <small>marked</small>" and cells[0]["S"] == "6.2 % <small>excessive</small>"
    assert cells[1]["V"] == cells[1]["S"] == "0.0 %"
    assert "per readable hour" in (out / "much" / "report.html").read_text().split("What stands out")[0]
    assert "per readable hour" not in (out / "little" / "report.html").read_text().split("What stands out")[0]


def test_the_index_leads_to_a_report_of_any_name(annotated: Path) -> None:
    name = "caf\udce9 #1?"  # of a file whose name is Latin-1
    index = render.index_page([render.IndexRow(name, name, load(annotated)[0])])
    assert '<a href="caf%E9%20%231%3F/report.html">' in index


HOSTILE = "<script>alert(1)</script> \x1b]0;title\x07\nnote: forged\u202e"


def test_what_a_file_holds_is_text_to_the_page_and_to_the_terminal(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No markup, no escape sequence, no line of its own; and the page forbids itself scripts and requests."""
    name = HOSTILE.replace("/", "")
    header = f"a 1 360 1800\n~ 0 200/mV 12 0 0 0 0 {HOSTILE.partition(chr(10))[0]}"
    (tmp_path / f"{name}.hea").write_text(header, encoding="utf-8")
    (tmp_path / "b.hea").write_text(header.replace("~ 0", "none.dat 16"), encoding="utf-8")
    (tmp_path / "diary.csv").write_text(f'time,kind,note\n1,other,"{HOSTILE}"\n', encoding="utf-8")
    out, options = tmp_path / "r", ["--lead", "1", "--checkpoint", str(checkpoint), "--diary", tmp_path / "diary.csv"]
    assert report_of(tmp_path / f"{name}.hea", out / "one", *options) == 0
    assert run_command(lambda: run([*map(str, [*tmp_path.glob("*.hea"), "--out", out, *options[:-2]])])) == 1
    said = capsys.readouterr()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]|^note: forged", said.out + said.err, re.MULTILINE)
    for page in (out / "one/report.html", out / "index.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text and "&lt;script&gt;alert(1)&lt;" in text
        assert re.search("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ", text)


def test_labels_at_the_edges_of_a_strip_are_whole() -> None:
    last = round(250 * drawings.SECONDS) - 1
    rhythm = Rhythm(np.array([1, 300, last]), np.array([*"VNV"]), fs=250, length=last + 1)
    svg = "".join(drawings._labels(SimpleNamespace(rhythm=rhythm, diagnosis=None, classifier=None), 0.0))
    boxes = re.findall(r'<rect x="([-.\d]+)" y="[-.\d]+" width="([.\d]+)"', svg)
    assert [float(x) for x, _ in boxes] == [0.0, pytest.approx(drawings.WIDTH - float(boxes[1][1]))]


@pytest.mark.parametrize(("height", "gain", "cut"), [(1.0, 10, False), (5.0, 5, False), (12.0, 5, True)])
def test_a_strip_is_drawn_to_scale(height: float, gain: int, cut: bool) -> None:
    fs, size = 250, round(250 * drawings.SECONDS)
    signal = np.zeros(3 * size)
    signal[size + 500] = height  # 2 s into the strip, which is the second of three
    recording = SimpleNamespace(fs=fs, length=signal.size, lead="II", read=lambda start, stop: signal[start:stop])
    peaks = size + np.array([500, 700, 900, 1150])
    rhythm = Rhythm(peaks, np.array([*"NNNN"]), fs=fs, length=signal.size, unreadable=[(size + 750, size + 800)])
    analysis = SimpleNamespace(
        recording=recording, rhythm=rhythm, diagnosis=None, classifier=None, clock=lambda seconds: None
    )
    drawn = drawings.draw_strip(analysis, Strip(drawings.SECONDS, 1, ("title",), (drawings.SECONDS + 3, 99)))
    assert (drawn.gain, drawn.cut) == (gain, cut)
    x, y, steps = re.search(r'd="M(\d+) (\d+)l([-\d ]+)" class="e"', drawn.rows[0]).groups()
    places = np.cumsum([[int(x), int(y)], *np.array(steps.split(), dtype=int).reshape(-1, 2)], axis=0) / 100  # mm
    np.testing.assert_allclose(places[:, 0], 25 * np.arange(size) / fs, atol=0.01)
    if cut:
        assert places[500, 1] == 0.0  # at the upper edge of the paper
    else:
        np.testing.assert_allclose(places[0, 1] - places[:, 1], gain * signal[size : 2 * size], atol=0.01)  # upwards
    assert re.findall(r'class="r">(\d+)<', drawn.rows[0]) == ["800", "1000"]  # ms; none across unreadable time
    marked, lost = (
        re.search(rf'<rect x="([.\d]+)" y="[.\d]+" width="([.\d]+)"[^>]*fill="{fill}"', drawn.rows[0])
        for fill in (drawings.INK, r"url\(#hatch-mm\)")
    )
    assert [*map(float, marked.groups())] == [75.0, 100.0]  # from 3 s on, to the end of the paper
    assert [*map(float, lost.groups())] == [75.0, 5.0]


def test_the_bar_of_a_strip_marks_an_isolated_beat_too() -> None:
    rhythm = Rhythm(250 * np.array([1, 2, 3, 5]), np.array([*"NVNV"]), fs=250, length=2000)
    recording = SimpleNamespace(fs=250, length=2000, lead="II", read=lambda start, stop: np.zeros(stop - start))
    analysis = SimpleNamespace(
        recording=recording, rhythm=rhythm, diagnosis=None, classifier=None, clock=lambda seconds: None
    )
    (row,) = drawings.draw_strip(analysis, Strip(0.0, 1, ("first isolated V",), (2.0, 2.0))).rows
    (bar,) = re.findall(rf'<rect x="([.\d]+)" y="[.\d]+" width="([.\d]+)"[^>]*fill="{drawings.INK}"', row)
    assert [*map(float, bar)] == [48.5, 3.0]  # mm, the beat is at 50


def test_trends_are_drawn_at_their_levels() -> None:
    rate, share = np.array([60.0, 120.0]), np.array([5.0, 0.0])
    values = SimpleNamespace(mean_bpm=rate, low_bpm=rate, high_bpm=rate, start_s=np.array([0.0, 60.0]), width_s=60.0)
    start = datetime(2026, 1, 31, 10, 7, 3)
    analysis = SimpleNamespace(trends=values, duration_s=120.0, recording=SimpleNamespace(start=start))
    axis = drawings._Axis(100.0, 220.0, 120.0)
    panel = "".join(drawings._rate_panel(analysis, axis, 10.0))
    levels = {
        int(text): float(y) - 3.5 for y, text in re.findall(r'y="([.\d]+)" class="f" text-anchor="end">(\d+)', panel)
    }
    assert re.search(r'<polyline points="([^"]+)"', panel)[1] == f"130.0,{levels[60]:.1f} 190.0,{levels[120]:.1f}"
    assert levels[120] < levels[60] == 10.0 + drawings.RATE_HEIGHT
    bar = [*drawings._share_panel("V", share, analysis, axis, 10.0)][-1]
    height = drawings.SHARE_HEIGHT
    assert f'<rect x="100.0" y="10.0" width="59.7" height="{height:.1f}"' in bar  # 5 % of a panel of 5 %
    ticks = "".join(drawings._time_axis(analysis, axis, 90.0, 10.0, wide=True))
    assert re.findall(r'<text x="([.\d]+)" y="106.0"[^>]*>([:\d]+)<', ticks)[:2] == [
        ("107.0", "10:07:10"),
        ("117.0", "10:07:20"),
    ]


def test_the_colour_of_fusion_beats_stands_for_nothing_else() -> None:
    assert drawings.COLOURS["F"] not in {lane.colour for lane in drawings.LANES}


def test_infarction_has_no_episodes(records: Path, tmp_path: Path) -> None:
    ptb = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb")
    assert report_of(records / "m001", tmp_path / "r", "--checkpoint", ptb) == 0
    summary, beats, episodes = load(tmp_path / "r")
    share = 100 * (beats["class"] == "infarction").sum() / beats["class"].isin(["normal", "infarction"]).sum()
    assert summary["burden_percent"]["infarction"] == round(share, 2)
    assert set(episodes["kind"]) <= {"unreadable"}
    page = (tmp_path / "r" / "report.html").read_text()
    assert "there are no episodes but unreadable time and ventricular flutter" in page
    assert "No ventricular flutter or fibrillation; with this network no other episode is looked for." in page
    # What the network does not tell is unknown, not zero.
    assert summary["episodes"]["pause"] is summary["episodes"]["svt"] is summary["pauses"] is None
    assert summary["irregular_percent"] is summary["withheld_beats"] is summary["burden_per_hour"] is None
    assert summary["episodes"]["ventricular_flutter"] == 0
    hours = pd.read_csv(tmp_path / "r" / "hours.csv")
    known = set(hours.columns[hours.notna().any()])
    assert "beats_all" in known and not known & {"beats_Q", "v_percent", "irregular_s", "run_v"}


def test_the_page_of_infarction_says_nothing_of_ectopy(tmp_path: Path) -> None:
    ptb, path = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb"), tmp_path / "vf.csv"
    path.write_text("MLII_mV\n" + "\n".join(f"{value:.4f}" for value in fibrillating()))
    given = ("--lead", "MLII", "--checkpoint", ptb, "--fs", "250")
    assert report_of(path, tmp_path / "r", *given, "--doubtful_pause", "14") == 0
    page = (tmp_path / "r" / "report.html").read_text()
    stands_out = page.split("What stands out")[1].split("Methods and limitations")[0]
    assert "<li>1 episode of possible ventricular flutter or fibrillation" in stands_out
    for text in ("Isolated beats", "called V", "--vt_rate", "--nn_segment", "--burden_high", "of class S"):
        assert text not in page, text
    for text in ("--heart_rate_intervals", "--flat_range", '<td class="l b">--doubtful_pause'):
        assert text in page, text


def test_above_a_beat_of_infarction_stands_what_is_no_tick(records: Path, tmp_path: Path) -> None:
    ptb = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb")
    assert report_of(records / "m001", tmp_path / "r", "--annotations", "atr", "--checkpoint", ptb) == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert set(re.findall(r'class="n">(\w+)', page)) <= {"N", "MI"} and "<span>MI infarction</span>" in page


def test_a_network_of_other_classes_is_told_by_its_own(records: Path, tmp_path: Path) -> None:
    network = write_checkpoint(tmp_path / "checkpoint_best.pt", name="mine", classes=("usual", "early", "late"))
    assert report_of(records / "m001", tmp_path / "r", "--checkpoint", network) == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert "This network tells usual, early and late apart, beat by beat." in page
    assert "<span>U usual</span><span>E early</span><span>L late</span>" in page
    assert "nfarction" not in page


def test_the_index_of_infarction_has_its_classes(records: Path, tmp_path: Path) -> None:
    ptb = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb")
    run([str(records / "m001"), str(records / "m002"), "--out", str(tmp_path / "r"), "--checkpoint", str(ptb)])
    index = (tmp_path / "r" / "index.html").read_text()
    assert "<th>infarction</th>" in index and "<th>pauses</th>" not in index


def test_a_recording_of_noise_is_a_report_that_says_so(checkpoint: Path, tmp_path: Path) -> None:
    flat = np.zeros((360 * 60, 1))
    wfdb.wrsamp("flat", 360, ["mV"], ["MLII"], flat, fmt=["16"], adc_gain=[200], baseline=[0], write_dir=str(tmp_path))
    assert report_of(tmp_path / "flat", tmp_path / "r", "--checkpoint", checkpoint) == 0
    summary, beats, episodes = load(tmp_path / "r")
    assert len(beats) == 0
    assert summary["readable_s"] == 0
    assert summary["heart_rate"] == {"min": None, "mean": None, "max": None}
    assert episodes["kind"].tolist() == ["unreadable"]
    assert "No beat was found" in (tmp_path / "r" / "report.html").read_text()


def test_noise_is_a_caution_about_the_beats_beside_it(records: Path, checkpoint: Path, tmp_path: Path) -> None:
    values = wfdb.rdrecord(str(records / "m001"), sampto=360 * 60).p_signal[:, 0]
    noise = np.random.default_rng(0).normal(0, 3, 360 * 12)
    for seconds in (0, 12):
        values[360 * 20 : 360 * (20 + seconds)] = noise[: 360 * seconds]
        path = tmp_path / f"{seconds}.csv"
        path.write_text("II_mV\n" + "\n".join(f"{value:.4f}" for value in values))
        assert report_of(path, tmp_path / str(seconds), "--fs", "360", "--checkpoint", checkpoint) == 0
        page = (tmp_path / str(seconds) / "report.html").read_text()
        assert ("the network calls V and S too often" in page) == (seconds > 0)
        assert "some of it is called V or S" in page  # whether some is found or not


def test_what_limits_a_report_is_said_once(
    records: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = wfdb.rdrecord(str(records / "m001"), sampto=360 * 60).p_signal[:, 0]
    for lead, known in (("ecg", False), ("V1", True)):
        path = tmp_path / f"{lead}.csv"
        path.write_text(f"{lead}_mV\n" + "\n".join(f"{value:.4f}" for value in values))
        given = ("--fs", "360", "--checkpoint", checkpoint, *(("--lead", "V1") if known else ()))
        assert report_of(path, tmp_path / lead, *given) == 0
        page = (tmp_path / lead / "report.html").read_text()
        said = page.split('<div class="warn">')[1].split("</div>")[0]
        assert ".." not in said
        assert said.count("lead II") == 1
        assert ("The file does not say which lead ecg is." in said) == ("and this may be another lead" in said) != known
        assert "confirms" not in said
    assert report_of(path, tmp_path / "fast", "--fs", "1000", *given[2:]) == 0
    assert "rests on --fs 1000, which nothing in the file confirms" in (tmp_path / "fast" / "report.html").read_text()


def test_a_rate_that_the_file_states_is_confirmed(checkpoint: Path, tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "fast", "N" * 100, 0.4)  # 150/min
    values = [f"{value:.3f}" for value in wfdb.rdrecord(str(record)).p_signal[:, 0]]
    tables = {
        "times": ["time_s,MLII_mV", *(f"{at / 250:.3f},{value}" for at, value in enumerate(values))],
        "head": ["Sample Rate,250 hertz", "Unit,mV", "", *values],
        "none": ["MLII_mV", *values],
    }
    for name, lines in tables.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    for path in (record, *(tmp_path / f"{name}.csv" for name in tables)):
        out = tmp_path / f"{path.stem}_report"
        given = ("--fs", "250", "--lead", "MLII", "--checkpoint", checkpoint)
        assert report_of(path, out, *given) == 0
        assert load(out)[0]["heart_rate"]["mean"]["bpm"] == pytest.approx(150, abs=1)
        unsaid = "nothing in the file confirms" in (out / "report.html").read_text()
        assert unsaid == (path.stem == "none"), path


def test_the_page_says_that_the_mean_is_below_the_lowest_rate(tmp_path: Path) -> None:
    for name, pause, below in (("steady", None, False), ("paused", 50, True)):
        record, out = write_rhythm(tmp_path, name, "N" * 100, 0.8, pause), tmp_path / f"{name}_report"
        assert report_of(record, out, "--annotations", "atr") == 0
        rate = load(out)[0]["heart_rate"]
        assert (rate["mean"]["bpm"] < rate["min"]["bpm"] - 1) == below
        page = (out / "report.html").read_text()
        assert "each the median of 8 R\u2011R intervals taken two by two: a single pause counts in the mean" in page
        assert ("not here; the mean, of all intervals, is below the lowest" in page) == below


def test_a_number_and_its_unit_stay_on_one_line(tmp_path: Path) -> None:
    assert render.unbroken("99.3 % of the recording; flat 3 min 52 s, 8 R-R intervals, 5 sure") == (
        "99.3\xa0% of the recording; flat 3\xa0min 52\xa0s, 8 R\u2011R intervals, 5 sure"
    )
    assert report_of(write_rhythm(tmp_path, "short", "N" * 20, 1.0), tmp_path / "r", "--annotations", "atr") == 0
    assert '<div class="d">100.0\xa0% of the recording</div>' in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize(("symbols", "section"), [("N" * 20, "<section>"), ("NNVVVNN", '<section class="break">')])
def test_a_list_without_an_episode_gets_no_sheet_of_paper(tmp_path: Path, symbols: str, section: str) -> None:
    assert report_of(write_rhythm(tmp_path, "short", symbols, 0.7), tmp_path / "r", "--annotations", "atr") == 0
    assert f"{section}\n<h2>Episodes</h2>" in (tmp_path / "r" / "report.html").read_text()


def test_excessive_ectopy_names_its_criterion() -> None:
    for reached, per_day, expected in (
        ({"sve_run": 23}, None, {"run ≥ 20": "a run of 23 S, at or above 20 beats"}),
        ({"sve_per_day": 812.4}, {"S": 812.4}, {"≥ 720 a day": "812 S in 24 h, at or above 720"}),
        ({"sve_per_day": 1268}, None, {"≥ 720 a day": "1,268 S in less than a day, at or above 720"}),
        ({}, None, {}),
        (None, None, {}),
    ):
        made = SimpleNamespace(definitions=Definitions(), burden=SimpleNamespace(excessive_s=reached, per_day=per_day))
        assert excessive_by(made) == expected


def analysed(rhythm: Rhythm, **options: object) -> Analysis:
    """What a report says of these beats of a recording at noon, without its signal."""
    definitions = Definitions(**options)
    episodes = find_episodes(rhythm, definitions)
    rates = heart_rate(rhythm, definitions, episodes.unlike)
    recording = SimpleNamespace(
        name="made",
        format="made",
        fs=rhythm.fs,
        length=rhythm.length,
        lead="II",
        notes=(),
        start=datetime(2026, 1, 31, 12),
    )
    return Analysis(
        recording=recording,
        synthetic=False,
        definitions=definitions,
        quality=Quality(),
        fs_unconfirmed=False,
        classifier=None,
        annotator="atr",
        rhythm=rhythm,
        diagnosis=None,
        first_minute="",
        training_record=None,
        escape_beats=0,
        left_out=0,
        unclassified=int(rhythm.unclassified.sum()),
        unreadable=tuple(Unreadable(int(start), int(end), "noise") for start, end in rhythm.unreadable),
        episodes=episodes,
        burden=burden(rhythm, episodes, definitions),
        heart_rate=rates,
        variability=variability(rhythm, episodes.irregular, definitions),
        hours=(),
        trends=trends(rhythm, episodes, definitions),
        diary=None,
        flutter_is_annotated=False,
        strips=choose_strips(rhythm, episodes, rates, (), definitions),
    )


@pytest.mark.parametrize(
    ("group", "rates", "mean", "said"),
    [
        ((1000, 600, 1100), "71 \u2013 71", "67", "; the mean, of all intervals, is below the lowest"),
        ((860, 820, 1450), "53 \u2013 53", "58", "; the mean, of all intervals, is above the highest"),
        ((1000, 500, 1500), "60 \u2013 60", "60", ""),
    ],
)
def test_the_mean_rate_of_groups_of_three_beats(group: tuple[int, ...], rates: str, mean: str, said: str) -> None:
    samples = 100 + np.cumsum([0, *group * 20])
    rhythm = Rhythm(samples, ["N"] * samples.size, 1000, int(samples[-1]) + 100)
    shown = {tile.name: tile for tile in tiles(analysed(rhythm))}
    tile = shown["Heart rate, lowest \u2013 highest"]
    assert (tile.value, shown["Heart rate, mean"].value) == (rates, mean)
    assert tile.detail.endswith(f"counts in the mean, not here{said}")


@pytest.mark.parametrize(("lost", "said"), [(8_500, "85 %"), (9_960, "99.6 %"), (10_000, "100 %")])
def test_a_recording_of_which_some_can_be_read_is_not_lost_whole(lost: int, said: str) -> None:
    rhythm = Rhythm([], [], 100, 10_000, [(0, lost)])
    assert any(text.startswith(f"{said} of the recording cannot be read") for text in warnings(analysed(rhythm)))


def test_the_tiles_and_the_summary_say_what_the_beats_are() -> None:
    """Runs of 5 V at 150/min and of 3 V at 200/min, two S, pauses of 2.2, 3.0, 2.6 s, and one of 2.3 s in doubt."""
    steps = [800] * 30 + [400] * 4 + [2200] + [800] * 30 + [300] * 2 + [800] * 30
    steps += [3000, 800, 2600, 800, 2300] + [800] * 40
    names = ["N"] * (len(steps) + 1)
    names[30:35], names[65:68], names[80], names[90], names[110] = "VVVVV", "VVV", "S", "S", "F"
    samples = 100 + np.cumsum([0, *steps])
    probabilities = np.tile([0.9, 0.1, 0, 0, 0], (len(names), 1))
    probabilities[[31, 33, 90, 100]] = [0.4, 0.2, 0.4, 0, 0]  # two V, an S and an N of doubtful class
    unreadable = [[200_000, 250_000], [300_000, 310_000]]
    rhythm = Rhythm(samples, names, 1000, 660_000, unreadable, hidden=samples[[101]], probabilities=probabilities)
    analysis = analysed(rhythm)
    shown = {tile.name: (tile.value, tile.unit, tile.detail, tile.mark) for tile in tiles(analysis)}
    rates = shown.pop("Heart rate, lowest \u2013 highest")
    beats, of = len(names), f"{len(names)} classified beats"
    assert shown == {
        "Readable time": ("10 min 0 s", "", "90.9 % of the recording; noise 1 min 0 s", ""),
        "Beats": (
            f"{beats}",
            "",
            f"N\xa0{beats - 11}, S\xa02, V\xa08, F\xa01, Q\xa00; abnormal (S, V, F) {percent(1100 / beats)}",
            "",
        ),
        "V burden": (
            percent(800 / beats),
            "",
            f"8 of {of}, 48.0 per readable hour; 2 of them with a probability below 60 %",
            "",
        ),
        "S burden": (
            percent(200 / beats),
            "",
            f"2 of {of}, 12.0 per readable hour; 1 of them with a probability below 60 %",
            "",
        ),
        "Heart rate, mean": (
            f"{60_000 * (len(steps) - 1) / (sum(steps) - 2300):.0f}",
            "/min",
            "60 / mean of the valid R-R intervals, pauses too",
            "",
        ),
        "Longest V run": ("5", "beats", "1.6 s at 150/min; fastest 200/min", ""),
        "Pauses > 2 s": ("3", "", "2 > 2.5 s, 1 ≥ 3 s; 1 after an ectopic beat; and 1 doubtful", ""),
    }
    unsure = "highest doubtful: some of these may not be beats"  # two V of doubtful class
    assert rates[:2] == ("35 \u2013 100", "/min") and rates[2].startswith(f"at 12:01:16 and 12:00:24; {unsure}; each")
    assert beats_from(analysis) == "annotations atr"
    network = dataclasses.replace(analysis, classifier=SimpleNamespace(classes=("normal", "infarction")))
    assert beats_from(network) == "R-peaks of annotations atr, classes by the network"
    assert beats_from(dataclasses.replace(network, annotator=None)) == "R-peaks detected, classes by the network"
    diagnosis = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    shares = {tile.name: (tile.value, tile.detail) for tile in tiles(dataclasses.replace(network, diagnosis=diagnosis))}
    assert shares["Beats called infarction"] == ("75.0 %", "3 beats")
    said = summary(analysis)
    long, fast = (
        {"start_s": 24.1, "duration_s": 1.6, "beats": 5, "rate_bpm": 150.0},
        {"start_s": 51.9, "duration_s": 0.6, "beats": 3, "rate_bpm": 200.0},
    )
    pause = {"start_s": 76.5, "duration_s": 3.0, "beats": 2, "rate_bpm": None}
    lost = {"start_s": 200.0, "duration_s": 50.0, "beats": 0, "rate_bpm": None}
    assert said["longest"] == {"run_v": long, "nsvt": long, "pause": pause, "unreadable": lost}
    assert said["fastest"] == {"run_v": fast, "nsvt": fast}
    thresholds = ("gt_2_0", "gt_2_5", "ge_3_0")
    every, after, doubtful, none = (
        dict(zip(thresholds, of, strict=True)) for of in ((4, 2, 1), (1, 0, 0), (1, 0, 0), (0, 0, 0))
    )
    assert said["pauses"] == {
        **every,
        "after_ectopic": after,
        "doubtful": doubtful | {"after_ectopic": none},
        "beatless": 3,
    }
    assert said["heart_rate"]["min"] == {"bpm": 60_000 / 1700, "time_s": 76.5, "doubtful": False}
    assert said["heart_rate"]["max"] == {"bpm": 100.0, "time_s": 24.1, "doubtful": True}
    assert (said["unsure_beats"], said["unreadable_s"]) == ({"V": 2, "S": 1}, {"noise": 60.0})
    assert said["burden_per_hour"] == {"S": 12.0, "V": 48.0} and said["irregular_percent"] == 0.0


def test_what_a_half_irregular_recording_says_of_s_leaves_irregular_rhythm_out() -> None:
    irregular = np.random.default_rng(0).integers(450, 1100, 120)
    steps = [*irregular, 30_000, *[800] * 200]
    names = [*"NNS" * 40, *"N" * 202]
    names[140], names[150:170] = "S", "VN" * 10
    samples = 100 + np.cumsum([0, *steps])
    probabilities = np.tile([0.9, 0.1, 0, 0, 0], (len(names), 1))
    probabilities[[2, 5, 140]] = [0.4, 0.2, 0.4, 0, 0]  # three S of doubtful class, one outside irregular rhythm
    lost = [[samples[120] + 1, samples[121]]]
    rhythm = Rhythm(samples, names, 1000, samples[-1] + 100, lost, probabilities=probabilities)
    analysis = analysed(rhythm)
    readable = rhythm.length / 1000 - (samples[121] - samples[120] - 1) / 1000
    assert analysis.burden.s_withheld == 40
    whole = [Entry(0.0, rhythm.length / 1000, "other", ""), Entry(50.0, 60.0, "other", "")]
    during = diary_figures(whole, rhythm, analysis.episodes).by_kind["other"].during
    assert (during.readable_s, during.s_percent) == pytest.approx((readable, 100 / 201))
    assert during.rate_bpm == pytest.approx(60_000 * 320 / (sum(steps) - 30_000))  # without the interval that is lost
    first, second = hours(rhythm, analysis.episodes, DEFAULTS, into_hour_s=3600 - 130)
    assert (first.irregular_s, second.irregular_s) == (irregular.sum() / 1000, 0)
    assert summary(analysis)["unsure_beats"] == {"V": 0, "S": 1}
    assert summary(analysis)["irregular_percent"] == pytest.approx(irregular.sum() / 10 / readable)
    shown = {tile.name: tile for tile in tiles(analysis)}
    assert f"abnormal (S, V, F, S in irregular rhythm too) {percent(100 * 51 / 322)}" in shown["Beats"].detail
    unsure = "; 1 of them with a probability below 60 %"
    assert shown["S burden"].detail == f"1 of 201 classified beats, outside irregular rhythm{unsure}"
    assert shown["S burden"].value == percent(100 / 201)
    assert shown["Longest V run"].detail == "no three V in a row; F are not counted"
    assert [tile.mark for tile in (shown["V burden"], shown["S burden"])] == ["", ""]
    marked = {tile.name: tile for tile in tiles(analysed(rhythm, burden_marked=3.0, sve_per_day=1.0))}
    assert (marked["V burden"].mark, marked["S burden"].mark) == ("≥ 3 %", "≥ 1 a day")


@pytest.mark.parametrize(("number", "shown"), [(200, 150 // 2), (149, 149)])
def test_the_list_of_episodes_keeps_the_longest_of_each_kind(number: int, shown: int) -> None:
    pauses = np.random.default_rng(0).permutation(np.arange(2100, 2100 + number))
    steps = [*np.stack([pauses, np.full(number, 800)], axis=1).ravel(), *[300] * 4, 800]
    names = [*"N" * (2 * number + 1), *"VVV", *"NN"]
    rhythm = Rhythm(100 + np.cumsum([0, *steps]), names, 1000, 700_000)
    listed, left_out = render._listed(analysed(rhythm, bradycardia=20))
    assert [episode.start for episode in listed] == sorted(episode.start for episode in listed)
    kept = [episode.end - episode.start for episode in listed if episode.kind == "pause"]
    assert left_out == number - shown and sorted(kept) == [*range(2100 + number - shown, 2100 + number)]
    assert [episode.kind for episode in listed if episode.kind != "pause"] == ["nsvt"]


def test_the_page_marks_thresholds_that_are_not_the_defaults() -> None:
    rhythm = Rhythm(np.array([100, 900]), ["N", "N"], 1000, 1000)
    assert render._changed(analysed(rhythm)) == frozenset()
    analysis = dataclasses.replace(analysed(rhythm, pause=2.2), quality=Quality(noise_index=0.2))
    assert render._changed(analysis) == {"pause", "noise_index"}


# -------------------------------------------------------------------------------------------------- several records


def test_several_recordings_have_an_index_and_one_that_fails_is_told(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        records / "m001",
        records / "m009",
        records / "m002",
        "--annotations",
        "atr",
        "--out",
        tmp_path / "all",
    ]
    assert run_command(lambda: run([*map(str, arguments)])) == 1
    index = (tmp_path / "all" / "index.html").read_text()
    assert 'href="m001/report.html"' in index
    assert 'href="m002/report.html"' in index
    assert "m009" in index
    assert "<p>3 recordings; no report was made of 1.</p>" in index  # it may be for want of a file, or of a folder
    assert "Pauses: R-R intervals longer than 2 s" in index
    assert not (tmp_path / "all" / "m009").exists()
    told = capsys.readouterr().err
    assert "1 of 3 recordings failed" in told
    assert f"\n{records / 'm009'} is not there" in f"\n{told}"  # named once, by the message itself


# --------------------------------------------------------------------------------------------------------- bad input


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that a command of bad input says."""
    capsys.readouterr()
    assert run_command(lambda: run([*map(str, arguments)])) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_bad_input_is_one_line_and_nothing_is_written(
    records: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    atr = (records / "m001", "--annotations", "atr", "--out", out)
    assert "MLII" in complaint(capsys, records / "m001", "--lead", "aVF", "--annotations", "atr", "--out", out)
    assert "no annotation file" in complaint(capsys, records / "m001", "--annotations", "xyz", "--out", out)
    assert "no such file" in complaint(capsys, records / "m001", "--checkpoint", tmp_path / "no.pt", "--out", out)
    twice = complaint(capsys, *2 * [records / "m001"], "--annotations", "atr", "--out", out)
    assert f"{records / 'm001'} is given twice; name it once" in twice
    assert "--pause must be a number, got 'long'" in complaint(capsys, *atr, "--pause", "long")
    assert "--jobs must be at least 1" in complaint(capsys, *atr, "--jobs", "0")
    assert "--pause must be a number above 0" in complaint(capsys, *atr, "--pause", "0")
    assert "--start_time yesterday: cannot be read" in complaint(capsys, *atr, "--start_time", "yesterday")
    line = complaint(capsys, *atr, "--start_time", "2026-01-31")
    assert "--start_time 2026-01-31: is a date without a time of day; write it as 2026-01-31T08:00:00" in line
    line = complaint(capsys, *atr, "--start_time", "2300-01-01T08:00")
    assert "--start_time 2300-01-01T08:00: its year must be 1900 to 2200" in line
    both = (records / "m001", records / "m002", *atr[1:])
    for option, value in (("--diary", tmp_path / "diary.csv"), ("--start_time", "2026-01-31T08:00")):
        line = complaint(capsys, *both, option, value)
        assert f"{option} {value}: is that of one recording, and 2 are given" in line
    assert "no such file" in complaint(capsys, *atr, "--diary", tmp_path / "none.csv")
    table = tmp_path / "a.csv"
    table.write_text("II (mV)\n" + "0.1\n0.2\n" * 1000)
    line = complaint(capsys, table, "--fs", "250", *atr[1:])
    assert f"{table} is of the format CSV; only WFDB records have annotations beside them" in line
    other = write_checkpoint(tmp_path / "other.pt", window="125 Hz, from the R-peak on")
    assert "cut in another way" in complaint(capsys, records / "m001", "--checkpoint", other, "--out", out)
    unknown = write_checkpoint(tmp_path / "unknown.pt", window=None)
    assert "not described" in complaint(capsys, records / "m001", "--checkpoint", unknown, "--out", out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    assert "holds no summary.json" in complaint(capsys, *atr[:-1], tmp_path / "full")
    (tmp_path / "file").write_text("")
    assert "is a file" in complaint(capsys, *atr[:-1], tmp_path / "file" / "r")
    assert not out.exists()
    assert not [*tmp_path.glob(".*")]
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"


def test_damaged_and_foreign_files_are_one_line(
    records: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = ("--checkpoint", checkpoint, "--out", tmp_path / "r")
    for suffix in ("hea", "dat", "atr"):
        content = (records / f"m001.{suffix}").read_bytes()
        (tmp_path / f"m001.{suffix}").write_bytes(content[: len(content) // 2] if suffix == "dat" else content)
    assert "m001.dat" in complaint(capsys, tmp_path / "m001", *end)
    (tmp_path / "values.csv").write_text("MLII\n" + "0.1\n" * 5000)
    assert "--fs" in complaint(capsys, tmp_path / "values.csv", "--unit", "mV", *end)
    line = complaint(capsys, tmp_path / "values.csv", "--unit", "mV", "--fs", "50", *end)
    assert "50" in line
    wfdb.wrann("m002", "far", np.array([100, 10**6]), symbol=["N", "N"], write_dir=str(tmp_path), fs=360)
    for suffix in ("hea", "dat"):
        (tmp_path / f"m002.{suffix}").write_bytes((records / f"m002.{suffix}").read_bytes())
    line = complaint(capsys, tmp_path / "m002", "--annotations", "far", "--out", tmp_path / "r")
    assert "1 beats outside the recording" in line
    assert not (tmp_path / "r").exists()


def test_the_report_of_another_recording_is_not_replaced(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, given = tmp_path / "r", ("--annotations", "atr", "--out", tmp_path / "r")
    assert report_of(records / "m001", out, *given[:2]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    line = complaint(capsys, records / "m002", *given)
    assert f"{out} holds the report of another recording (record m001) than this one (record m002)" in line
    assert "name another folder with --out" in line
    namesake = tmp_path / "m001.csv"
    namesake.write_text("MLII_mV\n" + "0.1\n0.2\n" * 5000)
    line = complaint(capsys, namesake, "--fs", "250", "--checkpoint", write_checkpoint(tmp_path / "c.pt"), *given[2:])
    assert "(record m001, 360 Hz, 90 s long) than this one (record m001, 250 Hz, 40 s long)" in line
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "summary.json").write_text(json.dumps(json.loads(before["summary.json"]) | {"fs": "fast"}))
    assert "summary.json: is damaged: its fs is 'fast'; move" in complaint(capsys, records / "m001", *given)
    (out / "summary.json").write_bytes(before["summary.json"])
    assert report_of(records / "m001", out, *given[:2], "--start_time", "2026-01-31T08:00", "--pause", "1.9") == 0
    assert report_of(records / "m001", out, *given[:2]) == 0
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    wfdb.wrsamp(
        "m001",
        360,
        ["mV"],
        ["MLII"],
        -values[:, None],
        fmt=["16"],
        adc_gain=[200],
        baseline=[0],
        write_dir=str(tmp_path),
    )  # as long, at the same rate, by the same name
    ann = (records / "m001.atr").read_bytes()
    (tmp_path / "m001.atr").write_bytes(ann)
    (tmp_path / "m001.csv").unlink()
    line = complaint(capsys, tmp_path / "m001", *given)
    assert (
        "holds the report of another recording (record m001, with another first minute) than this one (record m001)"
        in line
    )
    (out / "remarks.txt").write_text("mine")
    assert "and beside it remarks.txt, which would be lost" in complaint(capsys, records / "m001", *given)
    assert f"{out} holds the report of one recording" in complaint(capsys, records / "m001", records / "m002", *given)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "index.html").write_text("mine")
    line = complaint(capsys, records / "m001", records / "m002", *given[:2], "--out", tmp_path / "s")
    assert "is a page of something else and would be lost" in line


def test_neither_a_unit_nor_a_lead_that_the_user_states_lets_a_report_of_another_recording_be_replaced(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of one name, length and rate that name no lead: the first minute alone tells them apart."""
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    for patient, sign in (("a", 1), ("b", -1)):
        (tmp_path / patient).mkdir()
        np.savetxt(tmp_path / patient / "ecg.csv", sign * values, fmt="%.3f")
    out, network = tmp_path / "r", ("--checkpoint", write_checkpoint(tmp_path / "c.pt"))
    read = ("--fs", "360", "--unit", "mV", *network)
    assert report_of(tmp_path / "a" / "ecg.csv", out, *read) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = "than this one (record ecg), or of the same file read with another --fs, --unit, --gain, --lead, --column"
    for stated in ((), ("--lead", "II"), ("--lead", "V1"), ("--gain", "200")):
        unit = ("--unit", "adu") if "--gain" in stated else ("--unit", "mV")
        line = complaint(capsys, tmp_path / "b" / "ecg.csv", "--fs", "360", *unit, *stated, *network, "--out", out)
        assert "holds the report of another recording (record ecg, with another first minute)" in line
        assert again in line
    for other in (("--fs", "360", "--unit", "uV"), ("--fs", "250", "--unit", "mV")):  # the same file, corrected
        line = complaint(capsys, tmp_path / "a" / "ecg.csv", *other, *network, "--out", out)
        assert "or of the same file read with another --fs, --unit," in line and "or remove that one first" in line
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    assert report_of(tmp_path / "a" / "ecg.csv", out, *read, "--lead", "II") == 0  # the same samples


def test_another_lead_that_the_file_names_replaces_the_report(records: Path, tmp_path: Path) -> None:
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, 0]
    np.savetxt(
        tmp_path / "ecg.csv", np.c_[values, -values], fmt="%.3f", delimiter=",", header="II_mV,V1_mV", comments=""
    )
    network = ("--checkpoint", write_checkpoint(tmp_path / "c.pt"))
    for lead in ("II", "V1"):
        assert report_of(tmp_path / "ecg.csv", tmp_path / "r", "--fs", "360", "--lead", lead, *network) == 0
        assert load(tmp_path / "r")[0]["lead"] == lead


def test_what_a_file_browser_left_keeps_no_report_from_being_replaced(records: Path, tmp_path: Path) -> None:
    """In the folder of a report, and in one that is otherwise empty."""
    out = tmp_path / "r"
    out.mkdir()
    for pause in ("2.0", "1.9"):
        (out / ".DS_Store").write_bytes(b"\0")
        assert report_of(records / "m001", out, "--annotations", "atr", "--pause", pause) == 0
        assert not (out / ".DS_Store").exists()


def test_a_report_is_written_through_a_link_and_not_to_the_root(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for _ in range(2):
        assert report_of(records / "m001", tmp_path / "link", "--annotations", "atr") == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "summary.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}
    assert "/ is no folder that can be replaced" in complaint(
        capsys, records / "m001", "--annotations", "atr", "--out", "/"
    )


def test_annotated_beats_in_missing_samples_are_told(records: Path, tmp_path: Path) -> None:
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, :1]
    values[360 * 30 : 360 * 36] = np.nan
    wfdb.wrsamp(
        "m001", 360, ["mV"], ["MLII"], values, fmt=["16"], adc_gain=[200], baseline=[0], write_dir=str(tmp_path)
    )
    (tmp_path / "m001.atr").write_bytes((records / "m001.atr").read_bytes())
    assert report_of(tmp_path / "m001", tmp_path / "r", "--annotations", "atr") == 0
    summary, beats, _ = load(tmp_path / "r")
    marks = wfdb.rdann(str(records / "m001"), "atr")
    there = [symbol not in "+~|" for symbol in marks.symbol]
    lost = sum(360 * 30 <= sample < 360 * 36 for sample in marks.sample[there])
    assert summary["beats_left_out"] == lost > 3
    assert len(beats) == sum(there) - lost
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"{lost} annotated beats in unreadable time or ventricular flutter are left out" in page
    unlabelled = "Beats in unreadable time (hatched) and in ventricular flutter are not counted and have no label."
    assert unlabelled in page
    assert report_of(records / "m001", tmp_path / "whole", "--annotations", "atr") == 0
    assert unlabelled not in (tmp_path / "whole" / "report.html").read_text()


def test_what_the_browser_says_may_be_in_any_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another language's words in another code page; of bytes that are no text the rest is still told."""
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\nprintf 'kein Speicher verf\\374gbar\\n' >&2\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InputError, match=r"--pdf: \S+/chromium wrote none \(kein Speicher verf.gbar\), and no report"):
        print_pdf(tmp_path / "report.html", tmp_path / "report.pdf")


def test_a_kill_leaves_no_half_report(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert report_of(records / "m001", out, "--annotations", "atr") == 0
    before = (out / "summary.json").read_bytes()
    code = (
        "import time, report.outputs as o\n"
        "def slow(*a): print('writing', flush=True); time.sleep(60)\n"
        "o.write_annotations = slow\n"
        "from report.__main__ import run\n"
        f"run([{str(records / 'm001')!r}, '--annotations', 'atr', '--pause', '1.9', '--out', {str(out)!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline().strip() == b"writing"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (out / "summary.json").read_bytes() == before
    assert len([*tmp_path.glob(".r.*.part")]) == 1
    assert report_of(records / "m001", out, "--annotations", "atr", "--pause", "1.9") == 0  # clears what is left
    assert json.loads((out / "summary.json").read_text())["definitions"]["pause"] == 1.9
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_every_threshold_is_an_option() -> None:
    helped = build_parser().format_help()
    for definition in Definitions().listed():
        assert f"--{definition.name}" in helped


# -------------------------------------------------------------------------------------------------------- the diary


def made_rhythm() -> Rhythm:
    """Three hours of 100 samples a second: 60 beats a minute, then 100, in the third hour every tenth of them V."""
    slow, fast = np.arange(50, 360_000, 100), np.arange(360_000, 1_080_000, 60)
    samples = np.concatenate([slow, fast])
    classes = np.full(samples.size, "N")
    third = np.flatnonzero(samples >= 720_000)
    classes[third[::10]] = "V"
    return Rhythm(samples, classes, 100, 1_080_000)


def test_before_during_and_after_an_entry(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("time;kind;end\n01:00:00;activity;02:00:00\n7200;symptom;\n")
    entries = read_diary(tmp_path / "d.csv", 10_800, None)
    rhythm = made_rhythm()
    diary = diary_figures(entries, rhythm, find_episodes(rhythm, Definitions()))
    activity = diary.figures[0]
    assert (activity.before.beats, activity.during.beats, activity.after.beats) == (3600, 6000, 6000)
    assert activity.before.rate_bpm == pytest.approx(60)
    assert activity.during.rate_bpm == pytest.approx(100)
    assert (activity.before.v_percent, activity.after.v_percent) == (0, pytest.approx(10))
    symptom = diary.by_kind["symptom"]
    assert symptom.during is None
    assert symptom.before.beats == 6000


def test_entries_in_quick_succession_count_no_beat_twice(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("time,kind\n3600,symptom\n3660,symptom\n")
    entries = read_diary(tmp_path / "d.csv", 10_800, None)
    rhythm = made_rhythm()
    diary = diary_figures(entries, rhythm, find_episodes(rhythm, Definitions()))
    assert diary.by_kind["symptom"].after.beats == 6100  # an hour and a minute at 100 a minute


def test_of_a_kind_what_is_during_an_entry_is_before_none(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("time,kind,end\n600,activity,1200\n1500,activity,2100\n2400,symptom,\n")
    rhythm = made_rhythm()
    entries = read_diary(tmp_path / "d.csv", 10_800, None)
    diary = diary_figures(entries, rhythm, find_episodes(rhythm, Definitions()))
    activity = diary.by_kind["activity"]
    assert [period.readable_s for period in (activity.before, activity.during, activity.after)] == [900, 1200, 3900]
    assert diary.figures[1].before.readable_s == 1500  # of one entry it is the hour before, whatever was in it
    assert minutes_cell(activity.before) == "15 min" and minutes_cell(activity.after) == ""


def test_an_hour_that_lacks_seconds_does_not_count_as_less_than_an_hour() -> None:
    lost = np.array([[1_000, 2_000], [400_000, 406_000]])  # 10 s, 60 s
    rhythm = dataclasses.replace(made_rhythm(), unreadable=lost)
    diary = diary_figures([Entry(3600.0, None, "symptom", "")], rhythm, find_episodes(rhythm, Definitions()))
    around = diary.figures[0]
    assert (around.before.readable_s, minutes_cell(around.before)) == (3590, "")
    assert (around.after.readable_s, minutes_cell(around.after)) == (3540, "59 min")


def test_a_period_of_which_nothing_can_be_read_has_no_figure_at_all() -> None:
    """Of 360 Hz, 110.7 s - 100.1 s less 38,172 samples - 36,036 samples would be a little more than 0."""
    rhythm = Rhythm(np.array([100, 400]), np.array(["N", "N"]), 360, 360 * 7300, np.array([[25_200, 360 * 7300]]))
    entries = [Entry(100.1, 110.7, "other", ""), Entry(3800.1, 4000.3, "other", "")]
    diary = diary_figures(entries, rhythm, find_episodes(rhythm, Definitions()))
    assert [period_cell(around.during, "rate_bpm") for around in diary.figures] == ["", ""]
    lost = [around.after.readable_s for around in (*diary.figures, *diary.by_kind.values())]
    assert [str(seconds) for seconds in lost] == ["0.0"] * 3  # and not -0.0


def test_a_diary_marks_shares_that_doubtful_runs_have_a_part_in() -> None:
    """An isolated V, a run of V slower than 100/min and a faster one; what is faster is doubtful."""
    samples = 100 * np.cumsum([1, *[1] * 12, *[0.5] * 2, *[1] * 12])
    classes = [*"NNNNVNNVVVNNVVVNNNNNNNNNNNN"]
    rhythm = Rhythm(samples.astype(np.int64), classes, 100, 2800)
    episodes = find_episodes(rhythm, Definitions(doubtful_rate=100))
    assert [run.doubtful != "" for run in episodes.of("run_v")] == [False, True]
    entries = [Entry(start, end, "other", "") for start, end in ((0.0, 11.5), (0.0, 14.2), (20.0, 24.0))]
    diary = diary_figures(entries, rhythm, episodes)
    during = [around.during for around in diary.figures]
    assert [period.v_doubtful for period in during] == [0, 3, 0]
    assert [period_cell(period, "v_percent") for period in during] == ["36.4", "46.7 ?", "0.0"]
    assert [period_cell(period, "s_percent") for period in during] == ["0.0"] * 3
    assert [period_cell(period, "rate_bpm") for period in during] == ["60", "65", "60"]
    assert diary.table()["during_v_doubtful"].tolist()[:3] == [0, 3, 0]
    assert diary.has_doubtful
    assert not diary_figures(entries[:1], rhythm, find_episodes(rhythm, Definitions())).has_doubtful


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("10:15,symptom,", "row 3.*may be a clock time or an offset"),
        ("noon,symptom,", "row 3.*cannot be read"),
        (
            "04:00:00,symptom,",
            "row 3: the time '04:00:00', counted from the start, is outside the recording, which lasts 3:00:00; "
            "correct it or leave the row out; a time of day needs its date, as 2026-01-31 14:05$",
        ),
        ("-5,symptom,", "row 3: the time '-5' is outside the recording, .* or leave the row out$"),
        (
            "2026-01-31 09:00+01:00,symptom,",
            r"row 3: the time '2026-01-31 09:00\+01:00' has a time zone; give the clock",
        ),
        ("nan,symptom,", "row 3.*cannot be read"),
        ("2026-01-31,symptom,", "row 3: the time '2026-01-31' is a date without a time of day"),
        ("2026-01-31 09:00,symptom,", "row 3.*--start_time"),
        ("60,dance,", "row 3.*kind 'dance': unknown; known are activity,"),
        ("60,activity,30", "row 3.*its end 30 is before"),
        (
            "60,activity,,dizzy",
            "row 3.*has 4 cells and the first line names 3.*put a note that holds ',' between",
        ),
        ('60,activity,\n"60,symptom,\n70,symptom,', "row 4: its double quotes do not match"),
    ],
)
def test_a_diary_that_cannot_be_read_names_the_row(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(f"time,kind,end\n60,other,\n{row}\n")
    with pytest.raises(InputError, match=message):
        read_diary(tmp_path / "d.csv", 10_800, None)


def test_a_diary_of_any_spreadsheet(tmp_path: Path) -> None:
    note = "müde, früh"
    for encoding, end in (("cp1252", ""), ("utf-8-sig", "\n"), ("utf-16", "\n"), ("cp1252", ",,\n,,,,\n")):
        (tmp_path / "d.csv").write_bytes(f'time,kind,note\n60,symptom,"{note}"{end}'.encode(encoding))
        assert [entry.note for entry in read_diary(tmp_path / "d.csv", 100, None)] == [note]
        (tmp_path / "d.csv").write_bytes(f"time;kind;note\n60;symptom;{note}{end.replace(',', ';')}".encode(encoding))
        assert [entry.note for entry in read_diary(tmp_path / "d.csv", 100, None)] == [note]


def test_an_entry_that_overlaps_an_edge_is_cut_to_the_recording(tmp_path: Path) -> None:
    rows = [  # recording from 8:00:20, 3 h
        "2026-03-02 08:00,,symptom",  # written to the minute
        "2026-03-02 08:00,2026-03-02 08:00,other",
        "2026-03-02 07:30,2026-03-02 08:30:20,activity",
        "2026-03-02 10:30:20,2026-03-02 12:00,activity",
        "2026-03-02 09:00:20,2026-03-02 09:30:20,activity",
        "2026-03-02 10:50:20,2026-03-02 11:00:20,activity",
    ]
    (tmp_path / "d.csv").write_text("\n".join(["time,end,kind", *rows]))
    entries = read_diary(tmp_path / "d.csv", 10_800, datetime(2026, 3, 2, 8, 0, 20))
    assert [(one.time_s, one.end_s, one.is_cut) for one in entries] == [
        (0, None, False),
        (0, 0, False),
        (0, 1800, True),
        (3600, 5400, False),
        (9000, 10_800, True),
        (10_200, 10_800, False),
    ]
    for row in ("2026-03-02 07:59:20,,other", "2026-03-02 07:00,2026-03-02 08:00,other", "2026-03-02 11:01,,other"):
        (tmp_path / "d.csv").write_text(f"time,end,kind\n{row}\n")
        with pytest.raises(InputError, match=r"row 2: the time '2026-03-02 .* is outside the recording, which lasts"):
            read_diary(tmp_path / "d.csv", 10_800, datetime(2026, 3, 2, 8, 0, 20))


def test_the_report_tells_of_entries_that_are_cut(records: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("time,kind,end\n60,activity,3600\n")
    options = ("--annotations", "atr", "--diary", tmp_path / "d.csv")
    assert report_of(records / "m001", tmp_path / "r", *options) == 0
    (entry,) = load(tmp_path / "r")[0]["diary"]
    assert (entry["time_s"], entry["end_s"]) == (60, 90)
    said = (tmp_path / "r" / "report.html").read_text().split('<div class="warn">')[1].split("</div>")[0]
    assert "One entry of the diary begins before the recording or ends after it, from" in said


def test_a_comma_is_a_decimal_one_beside_semicolons(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('time;end;kind\n"600,5";00:10:01,25;activity\n')
    (entry,) = read_diary(tmp_path / "d.csv", 10_800, None)
    assert (entry.time_s, entry.end_s) == (600.5, 601.25)
    (tmp_path / "d.csv").write_text('time,kind\n"1,200",symptom\n')
    with pytest.raises(InputError, match="row 2: the time '1,200' cannot be read"):
        read_diary(tmp_path / "d.csv", 10_800, None)


def test_a_diary_without_entries_is_refused(tmp_path: Path) -> None:
    for content in ("time,kind,note\n", "time,kind\n,,\n\n"):
        (tmp_path / "d.csv").write_text(content)
        with pytest.raises(InputError, match="has no entry below its first line; write some, or leave --diary out"):
            read_diary(tmp_path / "d.csv", 100, None)


@pytest.mark.parametrize(("head", "quoted"), [("", "''"), ("when,kind", "'when,kind'"), (" Time;what", "'Time;what'")])
def test_a_diary_without_its_columns_is_refused(tmp_path: Path, head: str, quoted: str) -> None:
    (tmp_path / "d.csv").write_text(f"{head}\n60,symptom\n")
    message = "d.csv: its first line must name the columns time and kind, and may name note and end; it is " + quoted
    with pytest.raises(InputError, match=re.escape(message)):
        read_diary(tmp_path / "d.csv", 100, None)


def test_clock_times_of_a_diary(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("kind,time\nother,2026-01-31 09:00\n")
    (entry,) = read_diary(tmp_path / "d.csv", 10_800, datetime(2026, 1, 31, 8))
    assert entry.time_s == 3600
    (tmp_path / "e.csv").write_text("kind,time\nother,31.01.2026 09:00\n")
    assert read_diary(tmp_path / "e.csv", 10_800, datetime(2026, 1, 31, 8)) == [entry]
    with pytest.raises(InputError, match=r"row 2.*outside.*from 2026-01-31 10:00:00"):
        read_diary(tmp_path / "d.csv", 10_800, datetime(2026, 1, 31, 10))


# -------------------------------------------------------------------------------------------- long recordings


def test_a_signal_resampled_in_stretches_is_that_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    signal = np.cumsum(rng.standard_normal(250 * 60)) / 10
    signal[5000:5100] = np.nan
    read, length = resampling_reader(lambda start, stop: signal[start:stop], len(signal), 250.0)
    whole = resample(signal, 250.0)
    assert length == len(whole) == 360 * 60
    for start, stop in ((0, 1000), (777, 9001), (15_000, length), (length - 5, length)):
        part, inside = read(start, stop), np.arange(start, stop)
        far = (inside > 30) & (inside < length - 30)  # from the ends, beyond which the filter has to guess
        np.testing.assert_allclose(part[far], whole[start:stop][far], atol=1e-6)
        assert len(part) == stop - start


def test_a_rate_of_no_small_ratio_keeps_to_the_clock() -> None:
    fs = 512.508
    read, length = resampling_reader(lambda start, stop: np.sin(np.arange(start, stop) / fs), int(fs * 86_400), fs)
    for start in (100, 1_000_000, length - 400):  # off by 0.1 s the sine would be off by 0.1
        assert read(start, start + 100) == pytest.approx(np.sin(np.arange(start, start + 100) / 360), abs=0.003)


def test_the_context_of_a_long_record_comes_in_stretches() -> None:
    """As the whole record's, from reads of less than an hour."""
    rng = np.random.default_rng(1)
    peaks = np.cumsum(rng.integers(250, 400, 7_000))
    length = int(peaks[-1]) + 500
    signal = 0.02 * rng.standard_normal(length)
    for offset in range(-8, 9):
        signal[peaks + offset] += 1 - abs(offset) / 9
    whole = record_context(signal, peaks)
    rhythm, longest = record_rhythm(peaks), 0
    for stretch in stretches(peaks, length):
        longest = max(longest, stretch.stop - stretch.start)
        its_rhythm = {name: values[stretch.beats] for name, values in rhythm.items()}
        part = stretch_context(signal[stretch.start : stretch.stop], peaks[stretch.beats] - stretch.start, its_rhythm)
        np.testing.assert_array_equal(part.features, whole.features[stretch.beats])
        np.testing.assert_array_equal(part.difference, whole.difference[stretch.beats])
    assert longest < 3600 * 360


# ---------------------------------------------------------------------------------------------------- small pieces


def test_classes_that_a_network_lacks_and_beats_that_it_cannot_see() -> None:
    five, names = in_classes(np.array([[0.2, 0.8], [np.nan, np.nan]]), ("N", "V"))
    assert names.tolist() == ["V", "Q"]
    assert five[0].tolist() == pytest.approx([0.2, 0, 0.8, 0, 0])
    assert np.isnan(five[1]).all()


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
        with pytest.raises(InputError, match=r"test_best\.json: is damaged: these are no figures of a test"):
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
    assert report_of(records / "m001", tmp_path / "r", "--checkpoint", tmp_path / "tuned.pt") == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"fine-tuned from {init}; whether this recording is part of it is not known. Tested on" in page


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


@needs("mitdb")
def test_gaps_make_no_s_beats() -> None:
    """Of record 103, which has two S beats: missing samples of 3 s, twice a minute."""
    signal = wfdb.rdrecord(str(MITDB / "103"), sampto=360 * 600).p_signal[:, 0]
    whole = report.classify_signal(signal, 360)
    for second in range(12, 600, 30):
        signal[360 * second : 360 * (second + 3)] = np.nan
    gaps = report.classify_signal(signal, 360)
    assert (gaps["class"] == "S").sum() <= (whole["class"] == "S").sum() + 1


@needs("mitdb")
def test_a_training_record_is_known_under_another_name_and_format(tmp_path: Path) -> None:
    for record, known in (("208", "208 of mitdb"), ("100", None)):  # DS1, DS2
        values = wfdb.rdrecord(str(MITDB / record), sampto=360 * 75).p_signal[:, 0]
        path = tmp_path / f"patient_{record}.csv"
        path.write_text("MLII_mV\n" + "\n".join(f"{value:.3f}" for value in values))
        assert report_of(path, tmp_path / record, "--fs", "360") == 0
        page = (tmp_path / record / "report.html").read_text()
        assert ("By its first minute this is record 208 of mitdb, which the network was trained on" in page) == bool(
            known
        )
        assert load(tmp_path / record)[0]["model"]["this_record_in_training"] == known


@needs("mitdb")
def test_flutter_of_a_real_record_is_no_noise_and_its_beats_are_all_there(tmp_path: Path) -> None:
    assert report_of(MITDB / "207", tmp_path / "r", "--annotations", "atr") == 0
    summary, beats, episodes = load(tmp_path / "r")
    assert summary["beats"] == {"N": 1543, "S": 107, "V": 210, "F": 0, "Q": 0, "unclassified": 0, "all": 1860}
    assert len(beats) == 1860
    page = (tmp_path / "r" / "report.html").read_text()
    annotations = wfdb.rdann(str(MITDB / "207"), "atr")
    begin, end = (annotations.sample[np.array(annotations.symbol) == symbol] / 360 for symbol in "[]")
    for lost in episodes[episodes["kind"] == "unreadable"].itertuples():
        assert not ((begin < lost.end_s) & (end > lost.start_s)).any()
    strips = page.count("<figcaption>")
    assert 8 < strips <= 48
    assert page.count("annotated ventricular flutter") > 5 and "possible ventricular flutter" not in page


@needs("mitdb")
def test_flutter_beside_annotated_r_peaks_is_possible_flutter(checkpoint: Path, tmp_path: Path) -> None:
    for suffix in ("hea", "dat"):
        (tmp_path / f"207.{suffix}").write_bytes((MITDB / f"207.{suffix}").read_bytes())
    annotations = wfdb.rdann(str(MITDB / "207"), "atr")
    beats = np.isin(annotations.symbol, [*"NLRAaJSVFejE/fQ"])
    wfdb.wrann("207", "pk", annotations.sample[beats], symbol=["N"] * int(beats.sum()), write_dir=str(tmp_path))
    assert report_of(tmp_path / "207", tmp_path / "r", "--annotations", "pk", "--checkpoint", checkpoint) == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert "possible ventricular flutter" in page and "annotated ventricular flutter" not in page
    summary = load(tmp_path / "r")[0]
    assert summary["escape_beats"] is None


def test_ec57_counts_unreadable_time_from_the_first_sample_on(tmp_path: Path) -> None:
    """The ~ that ends it has to be the very next annotation, or EC57 takes shutdown for none and beats for missed."""
    record = write_rhythm(tmp_path, "flat", "N" * 120, 1.0)
    signal = wfdb.rdrecord(str(record)).p_signal
    signal[: 250 * 60] = 0.0
    header = {"fs": 250, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"], "adc_gain": [200], "baseline": [0]}
    wfdb.wrsamp("flat", p_signal=signal, write_dir=str(tmp_path), **header)
    reference = ec57.read_annotations(tmp_path / "flat.atr", 250)
    late = [at for at in reference.times if at > 250 * 60]
    wfdb.wrann("flat", "pk", np.array(late), symbol=["N"] * len(late), write_dir=str(tmp_path))
    assert report_of(record, tmp_path / "r", "--annotations", "pk") == 0
    test = ec57.read_annotations(tmp_path / "r" / "flat.ect", 250)
    assert (test.times[:2], test.symbols[:3], test.notes[0]) == ([0, 0], ["+", "~", "~"], "(N")
    found = ec57.compare_beats(reference, test, 250, len(signal), ec57.Protocol(start=0))
    assert found.shutdown_seconds == 60
    assert found.matrix.loc["N", ["o", "x"]].tolist() == [0, 60]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_recording_that_memory_is_short_for_leaves_the_others_their_reports(
    records: Path, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(record: Path, *given: object) -> dict:
        if record.name == "m002":
            raise MemoryError
        if record.name == "m003":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return written(record, *given)

    written = report.__main__.report_one
    monkeypatch.setattr(report.__main__, "report_one", attempt)
    # In this process whatever --jobs says: another would not know of the `attempt` above.
    monkeypatch.setattr(joblib, "Parallel", lambda **_: lambda calls: (call(*a, **k) for call, a, k in calls))
    paths = [str(records / name) for name in ("m003", "m002", "m001")]
    arguments = [*paths, "--annotations", "atr", "--jobs", str(jobs), "--out", str(tmp_path / "r")]
    assert run_command(lambda: run(arguments)) == 1
    assert (tmp_path / "r" / "m001" / "report.html").is_file() and not (tmp_path / "r" / "m002").exists()
    told = capsys.readouterr().err
    remedy = "free some, as by closing other programs" if jobs == 1 else "give fewer --jobs, or free some"
    for path in paths[:2]:
        assert f"{path}: not enough memory; {remedy}" in told
    assert "2 of 3 recordings failed" in told


def test_a_process_that_is_killed_costs_no_report_that_is_done(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def done_but_killed(calls: Iterable[tuple]) -> Iterator[tuple[Path, object]]:
        call, arguments, named = next(iter(calls))
        yield call(*arguments, **named)
        raise TerminatedWorkerError

    def parallel(*, idle_worker_timeout: float, **_: object) -> Callable[..., Iterator]:
        assert idle_worker_timeout < 60  # s, that processes outlive a killed command
        return done_but_killed

    monkeypatch.setattr(joblib, "Parallel", parallel)
    paths = [str(records / name) for name in ("m001", "m002")]
    arguments = [*paths, "--annotations", "atr", "--jobs", "2", "--out", str(tmp_path / "r")]
    assert run_command(lambda: run(arguments)) == 1
    told = capsys.readouterr().err
    assert f"{paths[1]}: the process that worked on it was killed, as where memory runs out; give fewer --jobs" in told
    assert "1 of 2 recordings failed" in told
    index = (tmp_path / "r" / "index.html").read_text()
    assert "m001/report.html" in index and "was killed" in index


@pytest.mark.parametrize("name", [".", ".."])
def test_no_report_takes_the_place_of_the_folder_that_it_lies_in(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for suffix in ("hea", "atr"):
        (tmp_path / f"{name}.{suffix}").write_bytes((records / f"m001.{suffix}").read_bytes())
    (tmp_path / "m001.dat").write_bytes((records / "m001.dat").read_bytes())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    line = complaint(capsys, f"../{name}.hea", "--annotations", "atr")
    assert line == f"error: ../{name}.hea: a report cannot be called {name}; rename the recording"


@pytest.mark.parametrize("folder", [".", "/", "..", "./"])
def test_a_folder_without_a_name_is_no_recording(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    says = f"error: {Path(folder)} is a folder: name a file, or a record in it"
    assert complaint(capsys, folder) == complaint(capsys, folder, "/") == says
    with pytest.raises(InputError, match="is a folder: name a file"):
        open_recording(folder)


def test_a_time_from_the_start_is_told_in_one_way(tmp_path: Path) -> None:
    """The page says 0:01:39 of 99.6 s, and so does what is said of an entry behind its end."""
    (tmp_path / "d.csv").write_text("time,kind\n200,other\n")
    with pytest.raises(InputError, match=r"outside the recording, which lasts 0:01:39;"):
        read_diary(tmp_path / "d.csv", 99.6, None)
    no_clock = SimpleNamespace(clock=lambda seconds: None)
    assert [drawings.moment(no_clock, seconds) for seconds in (99.6, 3723 - 1e-12)] == ["0:01:39", "1:02:03"]


def test_ec57_counts_unreadable_time_that_begins_where_flutter_ends() -> None:
    """A ~ before the ] of its sample would be passed over with the flutter."""
    lost = np.array([[20_000, 30_000]])
    rhythm = Rhythm(
        np.array([9_000]), np.array(["N"]), 100, 60_000, lost, np.array([[10_000, 20_000], [30_000, 31_000]])
    )
    table = outputs.annotations_of(SimpleNamespace(rhythm=rhythm, episodes=find_episodes(rhythm, Definitions())))
    test = ec57.Annotations(*(table[name].tolist() for name in ("sample", "symbol", "subtype", "note")))
    assert "".join(test.symbols) == "+N[]~~[]"
    assert ec57.compare_beats(test, test, 100, 60_000).shutdown_seconds == 100


@pytest.mark.parametrize(("beats", "missing"), [(8, True), (45, False)])
def test_what_a_recording_is_too_short_for_is_said(tmp_path: Path, beats: int, missing: bool) -> None:
    record = write_rhythm(tmp_path, "short", "N" * beats, 1.0)
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    summary, page = load(tmp_path / "r")[0], (tmp_path / "r" / "report.html").read_text()
    kinds = "bradycardia, tachycardia, irregular rhythm (AF possible)"
    assert (f"too few beats in a row for one: {kinds}." in page) == missing
    assert (summary["irregular_percent"] is None) == missing
    assert pd.read_csv(tmp_path / "r" / "hours.csv")["irregular_s"].isna().all() == missing
    assert (summary["episodes"]["tachycardia"] is None) == missing
    assert ("irregular rhythm" in re.search(r"None found: (.+?)\.</p>", page)[1]) != missing


@pytest.mark.parametrize(
    ("irregular", "regular", "is_mostly", "is_missing"),
    [(120, 60, True, False), (60, 120, False, False), (8, 0, False, True)],
)
def test_heart_rate_variability_beside_irregular_rhythm_says_what_it_is_of(
    tmp_path: Path, irregular: int, regular: int, is_mostly: bool, is_missing: bool
) -> None:
    periods = np.append(np.random.default_rng(0).uniform(0.45, 1.1, irregular), np.full(regular, 0.8))
    record = write_rhythm(tmp_path, "some", "N" * (1 + len(periods)), periods)
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    variability = (tmp_path / "r" / "report.html").read_text().split("<h3>Heart rate variability</h3>")[1]
    note = variability.split("</section>")[0]
    assert ("Most R-R intervals are in irregular rhythm: these figures are of the rest alone" in note) == is_mostly
    assert ("intervals in irregular rhythm are left out" in note) != is_missing
    assert (
        "Irregular rhythm was not looked for: these figures may be those of atrial fibrillation" in note
    ) == is_missing
    assert ("was not found as irregular rhythm counts here as variability" in note) != is_missing


def test_no_tile_and_no_list_speaks_of_runs_where_no_beat_could_be_read(tmp_path: Path) -> None:
    header = {"fs": 250, "units": ["mV"], "sig_name": ["MLII"], "fmt": ["16"], "adc_gain": [1000], "baseline": [0]}
    wfdb.wrsamp("still", p_signal=np.zeros((2500, 1)), write_dir=str(tmp_path), **header)
    assert report_of(tmp_path / "still", tmp_path / "r") == 0
    summary, page = load(tmp_path / "r")[0], (tmp_path / "r" / "report.html").read_text()
    assert summary["episodes"]["run_v"] is None and summary["episodes"]["unreadable"] == 1
    assert "Longest V run" not in page and "Pauses" not in page.split("<h2>")[0]
    assert "Not looked for, since no beat could be read: isolated V" in page


def test_the_files_of_one_record_are_told_from_two_recordings(records: Path, tmp_path: Path) -> None:
    for others, remedy in (
        ((records / "m001.dat", records / "m001.hea"), "of a WFDB record give the header alone"),
        ((tmp_path / "a.csv", tmp_path / "a.edf"), "report on them one at a time, with --out"),
        ((records / "m001.hea", tmp_path / "m001.hea"), "report on them one at a time, with --out"),
    ):
        for path in others:
            path.touch()
        with pytest.raises(InputError, match=f"would both become {others[0].stem}/; {remedy}"):
            run([*map(str, others), "--annotations", "atr", "--out", str(tmp_path / "r")])


def test_beats_in_doubtful_runs_are_told_beside_the_burden(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "runs", "N" * 20 + "AAAA" + "N" * 20, 0.36)
    assert report_of(record, tmp_path / "r", "--annotations", "atr", "--doubtful_rate", "120") == 0
    summary, page = load(tmp_path / "r")[0], (tmp_path / "r" / "report.html").read_text()
    assert summary["doubtful_beats"] == {"V": 0, "S": 4}
    assert "4 of 44 classified beats" in page and "; 4 of them in doubtful runs" in page


def test_lead_ii_may_be_asked_for_by_its_name(records: Path, tmp_path: Path) -> None:
    assert report_of(records / "m001", tmp_path / "r", "--annotations", "atr", "--lead", "II") == 0
    assert load(tmp_path / "r")[0]["lead"] == "MLII"


@pytest.mark.parametrize(("beats", "labels"), [(8, ["0:00:00", "0:00:05"]), (1500, ["0:00", "0:02", "0:18"])])
def test_the_trends_of_a_short_recording_have_times_below_them(tmp_path: Path, beats: int, labels: list[str]) -> None:
    record = write_rhythm(tmp_path, "short", "N" * beats, 0.8)
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    drawn = re.search(r'<svg class="trends".*?</svg>', (tmp_path / "r" / "report.html").read_text(), re.DOTALL)[0]
    shown = re.findall(r">(\d+:\d\d(?::\d\d)?)<", drawn)
    assert [label for label in labels if label in shown] == labels
    assert f"time from the start, {'h:mm:ss' if beats < 100 else 'h:mm'}<" in drawn
    assert f"over {'0:00:07' if beats < 100 else '0:20:01'}<" in drawn  # not 0.0 h


def test_the_grid_of_the_trends_lies_below_what_they_show(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "fast", "N" * 150, 0.4)  # a tachycardia of 60 s, across lines of the grid
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    drawn = re.search(r'<svg class="trends".*?</svg>', (tmp_path / "r" / "report.html").read_text(), re.DOTALL)[0]
    assert re.search(r'<path d="M[\d.]+ [\d.]+V', drawn)
    assert not re.search(r'<(rect|polyline).*<path d="M[\d.]+ [\d.]+V', drawn)
