"""The synthetic recording of hours: its signal, annotations, diary and list of true episodes fit one another."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from preprocess.__main__ import main
from preprocess.detect import detect_beats
from preprocess.synthetic import write_synthetic_holter, write_synthetic_mit
from preprocess.synthetic.day import DAY, HOUR, draw_ambulatory_patient, plan_recording, sinus_node
from preprocess.synthetic.holter import envelope, faded_parts
from preprocess.synthetic.patients import draw_mit_patient
from preprocess.synthetic.rhythm import MIXED, heart_beats
from preprocess.synthetic.waves import draw_beats, draw_beats_in_parts
from report.definitions import Definitions
from report.episodes import SUPRAVENTRICULAR, find_episodes
from report.rhythm import Rhythm
from support.errors import InputError

GROUPS = {"N": "N", "A": "S", "V": "V", "F": "F"}
FS = 250
START = pd.Timestamp("2026-03-02 08:00:00")
NOT_IN_THE_TRUTH = {"bradycardia", "tachycardia"}  # they hang on the window over which a rate is averaged


@dataclass(frozen=True)
class Recording:
    """What the files of a recording say."""

    folder: Path
    signal: np.ndarray  # (samples, 2) mV
    beats: np.ndarray  # (n,) sample
    symbols: np.ndarray  # (n,)
    rhythms: list[tuple[int, str]]
    quality: list[tuple[int, int]]  # sample and subtype of every "~"
    true: pd.DataFrame
    diary: pd.DataFrame  # times in s

    def of(self, kind: str) -> pd.DataFrame:
        return self.true[self.true["kind"] == kind]

    def rhythm(self) -> Rhythm:
        unreadable = np.reshape([sample for sample, _ in self.quality], (-1, 2))
        return Rhythm(self.beats, np.array([GROUPS[s] for s in self.symbols]), FS, len(self.signal), unreadable)

    def between(self, start: float, end: float) -> slice:
        """The beats of some seconds."""
        return slice(*np.searchsorted(self.beats, [start * FS, end * FS]))

    def mean_beat(self, places: np.ndarray) -> np.ndarray:
        """Lead MLII from 0.3 s before R on, without the level ahead of it -> (150,) mV."""
        beats = np.stack([self.signal[place - 75 : place + 75, 0] for place in places])
        return np.median(beats - np.median(beats[:, :12], axis=1, keepdims=True), axis=0)


def read(folder: Path) -> Recording:
    notes = wfdb.rdann(str(folder / "holter"), "atr")
    symbols = np.array(notes.symbol)
    beats = np.isin(symbols, list(GROUPS))
    diary = pd.read_csv(folder / "diary.csv", parse_dates=["time", "end"])
    for column in ("time", "end"):
        diary[column] = (diary[column] - START).dt.total_seconds()
    return Recording(
        folder,
        wfdb.rdrecord(str(folder / "holter")).p_signal,
        notes.sample[beats],
        symbols[beats],
        [(s, note.rstrip("\0")) for s, note in zip(notes.sample, notes.aux_note, strict=True) if note],
        [(int(notes.sample[k]), int(notes.subtype[k])) for k in np.flatnonzero(symbols == "~")],
        pd.read_csv(folder / "episodes_true.csv"),
        diary,
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("holter") / "raw"
    write_synthetic_holter(folder, hours=0.5, seed=0)
    return read(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------------------------------------------- files


def test_the_record_reads_back(recording: Recording) -> None:
    assert set(contents(recording.folder)) == {
        "RECORDS",
        "diary.csv",
        "episodes_true.csv",
        "holter.atr",
        "holter.dat",
        "holter.hea",
    }
    record = wfdb.rdrecord(str(recording.folder / "holter"), physical=False)
    assert (record.fs, record.sig_len, record.sig_name) == (FS, 1800 * FS, ["MLII", "V1"])
    assert (record.base_datetime, record.units) == (START.to_pydatetime(), ["mV", "mV"])
    assert record.calc_checksum() == record.checksum
    assert record.d_signal[0].tolist() == record.init_value
    assert record.comments == ["synthetic record, seed 0, patient 1 of 1"]
    assert (recording.signal.std(axis=0) > 0.1).all()


def test_same_seed_same_bytes_and_another_seed_others(recording: Recording, tmp_path: Path) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        write_synthetic_holter(tmp_path / name, hours=0.5, seed=seed)
    assert contents(tmp_path / "again") == contents(recording.folder)
    other = contents(tmp_path / "other")
    assert other["holter.dat"] != contents(recording.folder)["holter.dat"]


def test_a_recording_is_replaced_and_a_foreign_table_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    write_synthetic_holter(folder, hours=0.5, seed=1)
    write_synthetic_mit(folder, patients=1, minutes=0.3, seed=0)
    assert set(contents(folder)) == {"RECORDS", "m001.dat", "m001.hea", "m001.atr"}
    (folder / "diary.csv").write_text("mine")
    before = contents(folder)
    with pytest.raises(InputError, match=r"diary\.csv, which is not part of a synthetic record"):
        write_synthetic_holter(folder, hours=0.5, seed=1)
    assert contents(folder) == before


def test_the_rhythms_have_their_names(recording: Recording) -> None:
    names = Counter(name for _, name in recording.rhythms)
    assert set(names) == {"(N", "(VT", "(IVR", "(B", "(T", "(SVTA", "(AFIB"}
    assert names["(AFIB"] == 1


# ------------------------------------------------------------------------------------------------ the truth is true


@pytest.mark.parametrize("seed", range(4))
def test_the_report_finds_the_true_episodes_in_the_true_beats(seed: int, tmp_path: Path) -> None:
    write_synthetic_holter(tmp_path / "raw", hours=0.5, seed=seed)
    recording = read(tmp_path / "raw")
    episodes = find_episodes(recording.rhythm(), Definitions())
    assert episodes.withheld.keys() == SUPRAVENTRICULAR
    found = episodes.table()
    for kind in {*found["kind"], *recording.true["kind"]} - NOT_IN_THE_TRUTH - {"irregular_rhythm"}:
        true, ours = recording.of(kind), found[found["kind"] == kind]
        if episodes.withheld.get(kind):  # some S beats lie where the rhythm looks irregular to the report
            assert len(true) == len(ours) + episodes.withheld[kind], kind
            continue
        assert len(true) == len(ours), kind
        for column in ("start_s", "end_s", "beats"):
            np.testing.assert_allclose(true[column], ours[column], atol=0.001, err_msg=f"{kind} {column}")
        np.testing.assert_allclose(true["rate_bpm"], ours["rate_bpm"], rtol=1e-4, err_msg=kind)
    true = recording.of("irregular_rhythm").iloc[0]
    overlaps = [
        min(ours.end_s, true.end_s) - max(ours.start_s, true.start_s)
        for ours in found[found["kind"] == "irregular_rhythm"].itertuples()
    ]
    assert max(overlaps) > 0.9 * true.duration_s


def test_a_day_holds_every_kind_of_event(recording: Recording) -> None:
    counts = recording.true["kind"].value_counts()
    assert set(counts.index) == {
        "isolated_v",
        "couplet_v",
        "run_v",
        "nsvt",
        "vt_sustained",
        "idioventricular",
        "bigeminy_v",
        "trigeminy_v",
        "isolated_s",
        "couplet_s",
        "run_s",
        "svt",
        "pause",
        "irregular_rhythm",
        "unreadable",
    }
    assert recording.of("vt_sustained")["duration_s"].between(30, 50).all()
    assert (recording.of("pause")["duration_s"] > 3.0).any()
    runs = counts["nsvt"] + counts["vt_sustained"] + counts["idioventricular"]
    assert counts["run_v"] == runs


def test_no_beat_is_annotated_in_unreadable_time(recording: Recording) -> None:
    assert [subtype for _, subtype in recording.quality] == [48, 0] * 4
    assert len(recording.rhythm().samples) == len(recording.beats)
    spans = [tuple(row) for row in recording.of("unreadable")[["start_s", "end_s"]].to_numpy()]
    assert [s / FS for s, _ in recording.quality] == [edge for span in spans for edge in span]
    flat = [
        (start, end)
        for start, end in spans
        if np.ptp(recording.signal[int((start + 4) * FS) : int((end - 4) * FS)]) == 0
    ]
    assert len(flat) == 1  # the leads are off
    for start, end in {*spans} - {*flat}:
        assert (recording.signal[int((start + 1) * FS) : int((end - 1) * FS)].std(axis=0) > 0.7).all()


def test_the_diary_fits_the_signal(recording: Recording) -> None:
    diary = recording.diary
    assert diary["time"].is_monotonic_increasing
    assert set(diary["kind"]) == {"activity", "medication", "symptom", "other"}
    tachycardia = recording.of("vt_sustained").iloc[0]
    felt = diary[diary["note"] == "palpitations, light-headed"].iloc[0]
    assert tachycardia.start_s < felt["time"] < tachycardia.end_s
    fluttering = diary[diary["note"] == "fluttering heart"].iloc[0]
    true = recording.of("irregular_rhythm").iloc[0]
    assert true.start_s < fluttering["time"] < true.end_s
    off = diary[diary["note"] == "shower, electrodes off"].iloc[0]
    assert (recording.of("unreadable")["start_s"] == off["time"]).any()

    def rate(start: float, end: float) -> float:
        beats = recording.beats[recording.between(start, end)]
        return 60 * FS / np.median(np.diff(beats))

    for activity in diary[diary["kind"] == "activity"].itertuples():
        assert rate(activity.time + 40, activity.end) > rate(activity.time - 40, activity.time) + 15


def test_ventricular_beats_get_rare_after_the_tablet(recording: Recording) -> None:
    plan = plan_recording(DAY)
    dose = plan.medication[0]
    assert plan.ventricular_chance(dose + HOUR) < 0.4 * plan.ventricular_chance(dose - 60)
    dose = float(recording.diary.loc[recording.diary["kind"] == "medication", "time"].iloc[0])
    patterns = recording.true[recording.true["kind"].isin(["bigeminy_v", "trigeminy_v"])]
    alone = [
        v
        for v in recording.of("isolated_v")["start_s"]
        if not ((patterns["start_s"] <= v) & (v <= patterns["end_s"])).any()
    ]
    before = sum(v < dose for v in alone) / len(recording.beats[recording.between(0, dose)])
    after = sum(v > dose + 200 for v in alone) / len(recording.beats[recording.between(dose + 200, 1800)])
    assert after < 0.5 * before


def test_the_heart_is_slow_at_night() -> None:
    rng = np.random.default_rng(0)
    plan = plan_recording(DAY)
    node = sinus_node(plan, draw_ambulatory_patient(rng), rng)

    def rate(clock: float) -> float:
        start = (clock - 8) * HOUR
        return 60 / float(np.mean([node(start + second) for second in range(1800)]))

    afternoon, walk, night = rate(14.5), rate(10.1), rate(27.0)
    assert walk > afternoon + 20
    assert night < afternoon - 15
    assert any(stretch.what == "asleep" and stretch.end - stretch.start == 8 * HOUR for stretch in plan.activities)


def test_sinus_rhythm_evens_out_in_exertion() -> None:
    rng = np.random.default_rng(0)
    plan = plan_recording(DAY)
    node = sinus_node(plan, draw_ambulatory_patient(rng), rng)
    walk = next(stretch for stretch in plan.activities if stretch.what == "walking")

    def variation(start: float) -> float:
        rr = np.array([node(start + beat) for beat in np.arange(0.0, 600.0)])
        return float(np.sqrt((np.diff(rr) ** 2).mean()) / rr.mean())

    rest, exertion = variation(walk.start - 1500), variation(walk.start + 300)
    assert exertion < 0.75 * rest


def test_every_day_has_its_programme() -> None:
    events = {hours: len(plan_recording(hours * HOUR).events) for hours in (24, 24.4, 25, 48)}
    assert events[24] == events[24.4]  # 24 minutes are too short for one
    assert events[25] == events[48] == 2 * events[24]
    for hours in (20, 44):  # which end while the patient is asleep
        assert max(entry.end or 0.0 for entry in plan_recording(hours * HOUR).diary) == hours * HOUR


# --------------------------------------------------------------------------------------------------------- signal


def test_p_waves_come_before_sinus_beats_and_not_in_fibrillation(recording: Recording) -> None:
    ahead = slice(75 - 55, 75 - 20)  # 220 to 80 ms before R
    true = recording.of("irregular_rhythm").iloc[0]
    fibrillating = recording.beats[recording.between(true.start_s, true.end_s)]
    resting = recording.beats[recording.between(5, 150)][recording.symbols[recording.between(5, 150)] == "N"]
    assert recording.mean_beat(resting)[ahead].max() > 0.07
    assert np.abs(recording.mean_beat(fibrillating)[ahead]).max() < 0.05
    intervals = np.diff(fibrillating) / FS
    assert intervals.std() > 0.15 * intervals.mean()


def test_ventricular_beats_have_a_full_compensatory_pause(recording: Recording) -> None:
    symbols = "".join(recording.symbols)
    sums = []
    for at in range(2, len(symbols) - 2):
        if symbols[at - 2 : at + 3] == "NNVNN":
            rr = np.diff(recording.beats[at - 2 : at + 2]) / FS
            sums.append((rr[1] + rr[2]) / rr[0])
    assert len(sums) > 20
    assert np.median(sums) == pytest.approx(2.0, abs=0.05)


def test_the_detector_finds_the_beats_as_it_finds_those_of_patients(recording: Recording) -> None:
    found = detect_beats(recording.signal[:, 0], FS)
    off = np.abs(found - recording.beats[:, None]).min(axis=1)
    for symbol in "NVA":
        assert (off[recording.symbols == symbol] <= 0.15 * FS).mean() > 0.99, symbol


@pytest.mark.parametrize("part", [97, 1000, 3599])
def test_beats_drawn_in_parts_are_those_drawn_at_once(part: int) -> None:
    patient = draw_mit_patient(MIXED, np.random.default_rng(2))
    beats = heart_beats(MIXED, lambda _: 0.8, 10.0, np.random.default_rng(3))
    whole = draw_beats(beats, patient.shapes, 3600, 360, np.random.default_rng(4))
    parts = [*draw_beats_in_parts(iter(beats), patient.shapes, 3600, 360, np.random.default_rng(4), part)]
    assert [len(p) for p in parts] == [part] * (3600 // part) + [3600 % part] * (3600 % part > 0)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)


def test_noise_fades_from_part_to_part_at_one_power() -> None:
    rng = np.random.default_rng(0)
    drawn = []

    def draw(start: int, length: int) -> np.ndarray:
        drawn.append((start, length))
        return rng.normal(size=(length, 3)) * [1, 1, 2]

    noise = np.concatenate([*faded_parts(draw, 50_000, 4000, 2000)])
    assert noise.shape == (50_000, 3)
    assert drawn[-1] == (48_000, 4000)
    faded = np.concatenate([noise[start : start + 2000] for start in range(4000, 48_001, 4000)])
    np.testing.assert_allclose(faded.std(axis=0), [1, 1, 2], rtol=0.03)
    ones = np.concatenate([*faded_parts(lambda _, length: np.ones((length, 1)), 10_000, 3000, 500)])
    assert ones[2999] == pytest.approx(1)
    assert np.abs(np.diff(ones[:, 0])).max() < 0.05  # no jump
    assert ones[3250] == pytest.approx(math.sqrt(2), abs=0.01)  # half of the power of either part, here in phase


def test_an_envelope_rises_within_its_stretch() -> None:
    stretch = plan_recording(DAY).unreadable[0]
    start = int(stretch.start) - 1
    height = envelope([stretch], start * 10, 200, 10, ramp=0.5)[:, 0]
    seconds = start + np.arange(200) / 10
    assert (height[seconds <= stretch.start] == 0).all()
    assert (height[seconds > stretch.start + 0.6] == 1).all()


# --------------------------------------------------------------------------------------------------- command line


def test_the_command_says_what_to_type_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a raw"
    assert main(["--source", "synthetic", "--hours", "0.5", "--raw_path", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"python -m report '{folder}/holter' --diary '{folder}/diary.csv'\n" in printed
    assert "MLII and V1 at 250 Hz" in printed
    assert "vt_sustained 1" in printed
    for symbol, count in Counter(read(folder).symbols).items():
        assert f" {symbol} {count}" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--hours 1", "--hours goes with --source synthetic only, not with records"),
        ("--source synthetic --hours 1 --dataset mit", "--dataset does not go with --hours"),
        ("--source synthetic --hours 1 --out TMP", "--out does not go with --hours"),
        ("--source synthetic --hours 1 --patients 3", "--patients does not go with --hours"),
        ("--source synthetic --hours 1 --seed_id -1", "a seed is 0 to"),
        ("--source synthetic --hours 0.4 --raw_path TMP/x", "0.4 hours"),
        ("--source synthetic --hours nan --raw_path TMP/x", "nan hours"),
        ("--source synthetic", "--dataset is missing"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.replace("TMP", str(tmp_path)).split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not [*tmp_path.iterdir()]
