"""`python -m report` on small recordings: what it says of them, and bad input is one line."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from conftest import MITDB, ROOT, needs
from made_records import annotate, store
from made_reports import FILES, complaint, load, report_of, report_on, write_checkpoint, write_quiet, write_rhythm
from made_rhythms import DEFAULTS
from made_signals import fibrillating

import ec57
from ec57.__main__ import run as score
from preprocess.readers import open_recording
from report import outputs
from report.__main__ import run
from report.analysis import analyse, interruptions
from report.definitions import Definitions, Quality
from report.episodes import find_episodes
from report.given import read_given_beats
from report.options import ReportOptions, Work
from report.rhythm import Rhythm
from report.rounding import rounded
from support.errors import InputError

# ------------------------------------------------------------------------------------------------------ what is written


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
    assert all(hours[f"beats_{name}"].sum() == count for name, count in summary["beats"].items())


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


def test_ec57_counts_unreadable_time_from_the_first_sample_on(tmp_path: Path) -> None:
    """The ~ that ends it has to be the very next annotation, or EC57 takes shutdown for none and beats for missed."""
    record = write_rhythm(tmp_path, "flat", "N" * 120, 1.0)
    signal = wfdb.rdrecord(str(record)).p_signal
    signal[: 250 * 60] = 0.0
    store(record, signal, 250)
    reference = ec57.read_annotations(tmp_path / "flat.atr", 250)
    late = [at for at in reference.times if at > 250 * 60]
    annotate(record, late, "N" * len(late), "pk")
    assert report_of(record, tmp_path / "r", "--annotations", "pk") == 0
    test = ec57.read_annotations(tmp_path / "r" / "flat.ect", 250)
    assert (test.times[:2], test.symbols[:3], test.notes[0]) == ([0, 0], ["+", "~", "~"], "(N")
    found = ec57.compare_beats(reference, test, 250, len(signal), ec57.Protocol(start=0))
    assert found.shutdown_seconds == 60
    assert found.matrix.loc["N", ["o", "x"]].tolist() == [0, 60]


def test_ec57_counts_unreadable_time_that_begins_where_flutter_ends() -> None:
    """A ~ before the ] of its sample would be passed over with the flutter."""
    lost = np.array([[20_000, 30_000]])
    rhythm = Rhythm(
        np.array([9_000]), np.array(["N"]), 100, 60_000, lost, np.array([[10_000, 20_000], [30_000, 31_000]])
    )
    analysis: Any = SimpleNamespace(rhythm=rhythm, episodes=find_episodes(rhythm, Definitions()))
    table = outputs.annotations_of(analysis)
    test = ec57.Annotations(*(table[name].tolist() for name in ("sample", "symbol", "subtype", "note")))
    assert "".join(test.symbols) == "+N[]~~[]"
    assert ec57.compare_beats(test, test, 100, 60_000).shutdown_seconds == 100


# ------------------------------------------------------------------------------------------ what is said of a recording


def test_frequent_supraventricular_beats_stand_out(tmp_path: Path) -> None:
    often = ["1 episode of supraventricular bigeminy, 39.0\xa0s</li>", "S 5.0\xa0% of beats, 180 per h"]
    for name, symbols, expected in (
        ("often", "NA" * 20 + "N" * 360, often),
        ("seldom", "NNA" * 9 + "N" * 373, []),  # nine: 81 in an hour, but few
        ("none", "N" * 400, []),
        ("run", "N" * 100 + "A" * 25 + "N" * 275, ["excessive supraventricular ectopy: a run of 25 S"]),
    ):
        record = write_rhythm(tmp_path, name, symbols, 1.0)
        page = report_on(record, tmp_path / "r" / name, "--annotations", ".atr").page  # with its dot or without
        stands_out = page.split("What stands out")[1].split("Methods and limitations")[0]
        assert "some of it is called V or S" not in page  # these are annotated beats
        for text in expected:
            assert text in stands_out
        assert ("Nothing, by the definitions" in stands_out) == (name == "none")
        assert ("the recording is too short to tell" in stands_out) == (name == "often")


def test_the_reason_of_unreadable_time_is_told(tmp_path: Path) -> None:
    _, _, episodes, page = report_on(write_quiet(tmp_path, 0.0), tmp_path / "r", "--annotations", "atr")
    assert set(episodes["reason"][episodes["kind"] == "unreadable"]) == {"flat"}
    assert episodes["reason"][episodes["kind"] != "unreadable"].isna().all()
    assert re.search(r"% of the recording; flat \d\.\d\xa0s<", page)
    assert page.count('unreadable time <span class="note">flat</span>') == 2


def test_escape_beats_are_counted_as_n_and_told(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "escape", "NNjNNeNNNA", 1.0)
    summary, _, _, page = report_on(record, tmp_path / "r", "--annotations", "atr")
    assert (summary["grouping"], summary["escape_beats"]) == ("de_chazal", 2)
    assert (summary["beats"]["N"], summary["beats"]["S"]) == (9, 1)
    assert "2 escape beats (e, j, n) are counted as N, as de Chazal et al. 2004 have them" in page


def test_the_summary_tells_doubtful_pauses_apart(tmp_path: Path) -> None:
    """One pause of 3 s, one of 2.5 s, and one of 2.4 s in which the signal moves as by a beat."""
    pauses, peaks = {10: 3.0, 20: 2.5, 30: 2.4}, [250]
    for beat in range(1, 40):
        peaks.append(peaks[-1] + round(250 * pauses.get(beat, 0.8)))
    signal = 0.01 * np.random.default_rng(0).normal(size=(peaks[-1] + 250, 1))
    for at, height in itertools.product(peaks, ((-1, 0.3), (0, 1.0), (1, 0.3))):
        signal[at + height[0]] += height[1]
    signal[peaks[30] - 300 : peaks[30] - 290] += 0.9
    annotate(record := store(tmp_path / "pauses", signal, 250), peaks, "N" * len(peaks), fs=250)
    page = report_on(record, tmp_path / "r", "--annotations", "atr").page
    pauses = load(tmp_path / "r")[0]["pauses"]
    assert {name: pauses[name] for name in ("gt_2_0", "gt_2_5", "ge_3_0")} == {"gt_2_0": 3, "gt_2_5": 1, "ge_3_0": 1}
    assert pauses["doubtful"]["gt_2_0"] == 1 and pauses["doubtful"]["ge_3_0"] == 0
    found = re.search(r"<li>(\d pause[^<]*)</li>", page)[1]
    assert "1 pause of 3\xa0s or more: 3.00\xa0s, from 0:00:08" in found and "doubtful" not in found


@pytest.mark.parametrize(("quiet", "doubtful"), [(0.04, 0), (0.006, 1), (0.0, None)])
def test_a_quiet_pause_is_doubtful_and_a_line_without_noise_unreadable(
    tmp_path: Path, quiet: float, doubtful: int | None
) -> None:
    summary, beats, _, _ = report_on(write_quiet(tmp_path, quiet), tmp_path / "r", "--annotations", "atr")
    pauses, page = summary["pauses"], (tmp_path / "r" / "report.html").read_text()
    assert pauses["ge_3_0"] == (0 if doubtful is None else 1)
    assert pauses["doubtful"]["ge_3_0"] == (doubtful or 0)
    assert len(beats) == 60
    flat = summary["unreadable_s"].get("flat", 0.0)
    assert (flat > 5) == (quiet == 0.0)
    beatless = "there is a stretch of readable time without a beat, 3.0\xa0s from 0:00:51: a pause there is not counted"
    told = beatless in page
    assert told == (quiet == 0.04) and pauses["beatless"] == int(told)


def test_no_quiet_pause_goes_on_from_one_segment_to_the_next(tmp_path: Path) -> None:
    whole, border = write_quiet(tmp_path, 0.006), 6550  # in the pause, from sample 6050 to 7050
    signal = wfdb.rdrecord(str(whole)).p_signal
    for name, part in (("one", signal[:border]), ("two", signal[border:])):
        store(tmp_path / name, part, 250, gain=1000)
    segments = f"one {border}\ntwo {len(signal) - border}\n"
    whole.with_suffix(".hea").write_text(f"quiet/2 1 250 {len(signal)}\n{segments}")
    summary = report_on(whole, tmp_path / "r", "--annotations", "atr").summary
    assert summary["pauses"]["gt_2_0"] == 0 and summary["episodes"]["pause"] == 0
    assert summary["unreadable_s"]["flat"] > 3


def test_a_short_gap_interrupts_no_rhythm() -> None:
    signal = np.zeros(1000)
    for gap, border in ((3, 103), (10, 210), (11, 311), (0, 400), (10, 610), (11, 711), (5, 1000)):
        signal[border - gap : border] = np.nan
    # Of a segment that is a gap both ends are borders.
    borders = np.array([103, 210, 300, 311, 400, 600, 610, 700, 711, 995, 1000])
    recording: Any = SimpleNamespace(read=lambda start, stop: signal[start:stop], length=1000, borders=borders)
    assert interruptions(recording, 10).tolist() == [300, 311, 400, 700, 711, 995, 1000]  # how long 400 is nobody knows


def test_a_recording_of_which_nothing_can_be_read_is_a_report_that_says_so(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = store(tmp_path / "flat", np.zeros((360 * 60, 1)), 360)
    summary, beats, episodes, page = report_on(flat, tmp_path / "r", "--checkpoint", checkpoint)
    assert "note: no readable beat was found\n" in capsys.readouterr().err
    assert len(beats) == 0
    assert summary["readable_s"] == 0
    assert summary["heart_rate"] == {"min": None, "mean": None, "max": None}
    assert summary["episodes"]["run_v"] is None and summary["episodes"]["unreadable"] == 1
    assert episodes["kind"].tolist() == ["unreadable"]
    assert "No readable beat was found" in page
    assert "Longest V run" not in page and "Pauses" not in page.split("<h2>")[0]
    assert "Not looked for, since no beat could be read: isolated V" in page


def test_noise_is_a_caution_about_the_beats_beside_it(records: Path, checkpoint: Path, tmp_path: Path) -> None:
    values = wfdb.rdrecord(str(records / "m001"), sampto=360 * 60).p_signal[:, 0]
    noise = np.random.default_rng(0).normal(0, 3, 360 * 12)
    for seconds in (0, 12):
        values[360 * 20 : 360 * (20 + seconds)] = noise[: 360 * seconds]
        path = tmp_path / f"{seconds}.csv"
        path.write_text("II_mV\n" + "\n".join(f"{value:.4f}" for value in values))
        page = report_on(path, tmp_path / str(seconds), "--fs", "360", "--checkpoint", checkpoint).page
        assert ("the network calls V and S too often" in page) == (seconds > 0)
        assert "some of it is called V or S" in page  # whether some is found or not


def test_annotated_beats_in_missing_samples_are_told(records: Path, tmp_path: Path) -> None:
    values = wfdb.rdrecord(str(records / "m001")).p_signal[:, :1]
    values[360 * 30 : 360 * 36] = np.nan
    store(tmp_path / "m001", values, 360)
    (tmp_path / "m001.atr").write_bytes((records / "m001.atr").read_bytes())
    summary, beats, _, page = report_on(tmp_path / "m001", tmp_path / "r", "--annotations", "atr")
    marks = wfdb.rdann(str(records / "m001"), "atr")
    there = [symbol not in "+~|" for symbol in marks.symbol]
    lost = sum(360 * 30 <= sample < 360 * 36 for sample in marks.sample[there])
    assert summary["beats_left_out"] == lost > 3
    assert len(beats) == sum(there) - lost
    assert f"{lost} annotated beats in unreadable time or ventricular flutter are left out" in page
    unlabelled = "Beats in unreadable time (hatched) and in ventricular flutter are not counted and have no label."
    assert unlabelled in page
    assert report_of(records / "m001", tmp_path / "whole", "--annotations", "atr") == 0
    assert unlabelled not in (tmp_path / "whole" / "report.html").read_text()


def test_beats_in_doubtful_runs_are_told_beside_the_burden(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "runs", "N" * 20 + "AAAA" + "N" * 20, 0.36)
    summary, _, _, page = report_on(record, tmp_path / "r", "--annotations", "atr", "--doubtful_rate", "120")
    assert summary["doubtful_beats"] == {"V": 0, "S": 4}
    assert "4 of 44 classified beats" in page and "; 4 of them in doubtful runs" in page


@pytest.mark.parametrize(("beats", "missing"), [(8, True), (45, False)])
def test_what_a_recording_is_too_short_for_is_said(tmp_path: Path, beats: int, missing: bool) -> None:
    record = write_rhythm(tmp_path, "short", "N" * beats, 1.0)
    summary, _, _, page = report_on(record, tmp_path / "r", "--annotations", "atr")
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


@needs("mitdb")
def test_flutter_of_a_real_record_is_no_noise_and_its_beats_are_all_there(tmp_path: Path) -> None:
    summary, beats, episodes, page = report_on(MITDB / "207", tmp_path / "r", "--annotations", "atr")
    assert summary["beats"] == {"N": 1543, "S": 107, "V": 210, "F": 0, "Q": 0, "unclassified": 0, "all": 1860}
    assert len(beats) == 1860
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
    summary, _, _, page = report_on(tmp_path / "207", tmp_path / "r", "--annotations", "pk", "--checkpoint", checkpoint)
    assert "possible ventricular flutter" in page and "annotated ventricular flutter" not in page
    assert summary["escape_beats"] is None


# ------------------------------------------------------------------------------------------------ the lead and the rate


def test_another_lead_is_in_the_notes(records: Path, checkpoint: Path, tmp_path: Path) -> None:
    notes = report_on(records / "m001", tmp_path / "r", "--checkpoint", checkpoint, "--lead", "V1").summary["notes"]
    assert "Lead V1 was read; the networks here are trained on lead II (in svdb, ECG1)." in notes


def test_what_limits_a_report_is_said_once(
    records: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = wfdb.rdrecord(str(records / "m001"), sampto=360 * 60).p_signal[:, 0]
    for lead, known in (("ecg", False), ("V1", True)):
        path = tmp_path / f"{lead}.csv"
        path.write_text(f"{lead}_mV\n" + "\n".join(f"{value:.4f}" for value in values))
        given = ("--fs", "360", "--checkpoint", checkpoint, *(("--lead", "V1") if known else ()))
        page = report_on(path, tmp_path / lead, *given).page
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


def test_annotations_stay_at_their_beats_where_fs_is_given(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "unrated", "NNNNN", 1.0)
    wfdb.wrann("unrated", "atr", 250 * np.arange(1, 6), symbol=[*"NNNNN"], write_dir=str(tmp_path))
    header = tmp_path / "unrated.hea"
    header.write_text(header.read_text().replace("unrated 1 250 1500", "unrated 1", 1))
    for fs in (None, 360):
        with open_recording(record, fs=fs) as recording:
            assert recording.fs == (fs or 250)
            assert read_given_beats(recording, "atr", fs).peaks.tolist() == [250, 500, 750, 1000, 1250]


# -------------------------------------------------------------------------------------------- networks of other classes


def test_infarction_has_no_episodes(records: Path, tmp_path: Path) -> None:
    ptb = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb")
    summary, beats, episodes, page = report_on(records / "m001", tmp_path / "r", "--checkpoint", ptb)
    called = beats["class"].value_counts().reindex(["normal", "infarction"], fill_value=0)
    assert summary["burden_percent"] == (100 * called / called.sum()).round(2).to_dict()
    assert summary["beats"] == called.to_dict() | {"unclassified": len(beats) - called.sum(), "all": len(beats)}
    assert set(episodes["kind"]) <= {"unreadable"}
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
    page = report_on(path, tmp_path / "r", *given, "--doubtful_pause", "14").page
    stands_out = page.split("What stands out")[1].split("Methods and limitations")[0]
    assert "<li>1 episode of possible ventricular flutter or fibrillation" in stands_out
    for text in ("Isolated beats", "called V", "--vt_rate", "--nn_segment", "--burden_high", "of class S"):
        assert text not in page, text
    for text in ("--heart_rate_intervals", "--flat_range", '<td class="l b">--doubtful_pause'):
        assert text in page, text


def test_above_a_beat_of_infarction_stands_what_is_no_tick(records: Path, tmp_path: Path) -> None:
    ptb = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb")
    page = report_on(records / "m001", tmp_path / "r", "--annotations", "atr", "--checkpoint", ptb).page
    assert set(re.findall(r'class="n">(\w+)', page)) <= {"N", "MI"} and "<span>MI infarction</span>" in page


def test_a_network_of_other_classes_is_told_by_its_own(records: Path, tmp_path: Path) -> None:
    network = write_checkpoint(tmp_path / "checkpoint_best.pt", name="mine", classes=("usual", "early", "late"))
    page = report_on(records / "m001", tmp_path / "r", "--checkpoint", network).page
    assert "This network tells usual, early and late apart, beat by beat." in page
    assert "<span>U usual</span><span>E early</span><span>L late</span>" in page
    assert "nfarction" not in page


def test_the_index_of_infarction_has_its_classes(records: Path, tmp_path: Path) -> None:
    ptb = write_checkpoint(tmp_path / "checkpoint_best.pt", "ptb")
    run([str(records / "m001"), str(records / "m002"), "--out", str(tmp_path / "r"), "--checkpoint", str(ptb)])
    index = (tmp_path / "r" / "index.html").read_text()
    assert "<th>infarction</th>" in index and "<th>pauses</th>" not in index
    table = pd.read_csv(tmp_path / "r" / "index.csv")
    assert np.allclose(table[["burden_percent.normal", "burden_percent.infarction"]].sum(axis=1), 100, atol=0.01)


# ------------------------------------------------------------------------------------------------------------ bad input


def test_bad_input_is_one_line_and_nothing_is_written(
    records: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    atr = (records / "m001", "--annotations", "atr", "--out", out)
    assert "MLII" in complaint(capsys, records / "m001", "--lead", "aVF", "--annotations", "atr", "--out", out)
    assert "--lead needs a value; write --lead=-X where" in complaint(capsys, records / "m001", "--lead", "-aVR")
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


def test_a_beat_annotated_with_two_classes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = write_rhythm(tmp_path, "two", "NNNN", 1.0)
    peaks = wfdb.rdann(str(record), "atr").sample
    wfdb.wrann("two", "atr", np.sort([*peaks, peaks[2]]), symbol=[*"NNNVN"], write_dir=str(tmp_path), fs=250)
    line = complaint(capsys, record, "--annotations", "atr", "--out", tmp_path / "r")
    assert "two.atr has a beat of two classes, N and V, at sample 750 (3.000 s)" in line


def test_an_analysis_without_a_classifier_and_without_annotations_is_refused(records: Path) -> None:
    work = Work(ReportOptions(), DEFAULTS, Quality())
    why = r"from a classifier or from options\.annotations: give one of them"
    with work.options.open(records / "m001") as recording, pytest.raises(InputError, match=why):
        analyse(recording, work, classifier=None)


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


def test_the_files_of_one_record_are_told_from_two_recordings(records: Path, tmp_path: Path) -> None:
    for others, remedy in (
        ((records / "m001.dat", records / "m001.hea"), "of a WFDB record give the header alone"),
        ((tmp_path / "a.csv", tmp_path / "a.edf"), "report on them one at a time, with --out"),
    ):
        for path in others:
            path.touch()
        with pytest.raises(InputError, match=f"would both become {others[0].stem}/; {remedy}"):
            run([*map(str, others), "--annotations", "atr", "--out", str(tmp_path / "r")])
