from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from preprocess import kachuee
from preprocess.__main__ import main
from preprocess.beats import LENGTH, cut_kachuee, read_beats

RAW = Path(__file__).resolve().parent.parent / os.environ.get("ECG_RAW", "data/raw")
MITDB, PTBDB = RAW / "mitdb", RAW / "ptbdb"
RELEASED = RAW / "ptb_released_val.pt"
needs_mitdb = pytest.mark.skipif(not MITDB.is_dir(), reason=f"{MITDB}: the MIT-BIH records are not there")
needs_ptbdb = pytest.mark.skipif(not PTBDB.is_dir(), reason=f"{PTBDB}: the PTB records are not there")
needs_released = pytest.mark.skipif(not RELEASED.is_file(), reason=f"{RELEASED}: the released file is not there")

relaxed = settings(deadline=None, max_examples=50)  # a machine may be busy

SEGMENT = 625  # samples at 125 Hz
HALF = 25  # samples from the foot of a peak to its top: a whole number of samples at 360 and 1000 Hz too
PEAKS = {50: 1.0, 150: 0.95, 275: 1.0, 375: 0.92, 425: 0.85, 500: 1.0}  # R-R 100, 125, 100, 125; 0.85 is no candidate


def peaked(peaks: dict[int, float], fs: float = 125, seconds: float = 5) -> np.ndarray:
    """Triangles of these heights at these places, counted at 125 Hz, on a line at zero -> (fs * seconds,) in mV."""
    knots = {0: 0.0, 10**6: 0.0}
    for place, height in peaks.items():
        knots |= {place - HALF: knots.get(place - HALF, 0.0), place: height, place + HALF: 0.0}
    places = sorted(knots)
    return np.interp(np.arange(round(fs * seconds)) * 125 / fs, places, [knots[place] for place in places])


def twice(peaks: dict[int, float]) -> dict[int, float]:
    """The same peaks in the next segment too."""
    return peaks | {place + SEGMENT: height for place, height in peaks.items()}


def write_record(folder: Path, name: str, signal: np.ndarray, fs: float, **beats: str) -> None:
    """Write one lead; `beats`: annotations, a symbol at each "at_<sample>"."""
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=["mV"],
        sig_name=["MLII"],
        d_signal=np.where(np.isnan(signal), -32768, np.round(20_000 * np.nan_to_num(signal))).astype(np.int64)[:, None],
        fmt=["16"],
        adc_gain=[20_000.0],
        baseline=[0],
        write_dir=str(folder),
    )
    places = np.array([int(key.removeprefix("at_")) for key in beats])
    wfdb.wrann(name, "atr", places, symbol=[*beats.values()], fs=fs, write_dir=str(folder))


# ----------------------------------------------------------------------------------------------------- beats


@pytest.mark.parametrize("fs", [125, 250, 360, 1000])
@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.3, -2.0)])
def test_beats_computed_by_hand(fs: float, gain: float, offset: float) -> None:
    beats = cut_kachuee(offset + gain * peaked(twice(PEAKS), fs, 10), fs, 1)
    first = [50, 150, 275, 375, 500]
    places = [*first, *(place + SEGMENT for place in first)]
    assert beats.positions.tolist() == [round(place * fs / 125) for place in places[:-1]]  # the last leaves the record
    assert beats.account.dropped == {"leave the record": 1, "hold missing samples": 0}
    assert beats.labels.tolist() == [1] * 9
    span = 135  # 1.2 times 112.5, the median of 100, 125, 100, 125
    signal = peaked(twice(PEAKS), 125, 10)
    for sample, place in zip(beats.samples, places, strict=False):
        body = signal[place : place + span]
        np.testing.assert_allclose(sample[:span], body / body.max(), atol=1e-6)
        assert (sample[span:] == 0).all()
    assert beats.samples.dtype == np.float32 and beats.samples.shape == (9, LENGTH)
    assert beats.samples[0, 0] == 1 and beats.samples[0, :span].max() == 1
    assert beats.samples[1, 0] == pytest.approx(0.95) and beats.samples[1, 125] == 1  # the next R is the higher one
    assert beats.samples[4, 0] == 1 and beats.samples[4, 130] == 0  # goes on beyond 5 s


def test_candidates_are_local_maxima_above_the_threshold() -> None:
    assert kachuee.find_candidates(peaked(PEAKS)).tolist() == [50, 150, 275, 375, 500]
    assert kachuee.find_candidates(peaked({50: 1.0, 150: 0.9, 275: 0.901})).tolist() == [50, 275]  # 0.9 is not above
    edges = np.zeros(SEGMENT)
    edges[[0, -1, 300]] = 1
    assert kachuee.find_candidates(edges).tolist() == [300]


def test_a_plateau_is_one_candidate_in_its_middle() -> None:
    signal = np.zeros(SEGMENT)
    signal[100:105] = 1.0
    signal[200:240] = np.linspace(0, 0.95, 40)
    signal[240:250] = 0.95
    signal[250:260] = 1.0  # a step on the way up is none
    assert kachuee.find_candidates(signal).tolist() == [102, 254]


def test_of_close_candidates_the_highest_stays() -> None:
    signal = np.zeros(SEGMENT)
    signal[[100, 110, 120, 200, 224, 300, 325]] = [0.95, 1.0, 0.96, 0.92, 0.91, 0.93, 0.94]
    assert kachuee.find_candidates(signal).tolist() == [110, 200, 300, 325]  # 25 samples are 200 ms


def test_segments_without_two_candidates_give_no_beat() -> None:
    silent, lone, short = np.zeros(SEGMENT), peaked({100: 1.0}), peaked(PEAKS)[:-1]
    missing = np.full(SEGMENT, np.nan)
    signal = np.concatenate([silent, lone, peaked(PEAKS), missing, short])
    peaks, intervals, without = kachuee.find_beats(signal)
    assert peaks.tolist() == [2 * SEGMENT + place for place in (50, 150, 275, 375, 500)]
    assert intervals.tolist() == [112.5] * 5
    assert [*without.values()] == [2, 1, 1]
    for nothing in (silent, lone, short, np.zeros(0)):
        beats = cut_kachuee(nothing, 125, 0)
        assert beats.samples.shape == (0, LENGTH) and not len(beats.positions)


def test_a_slow_rhythm_is_cut() -> None:
    beats = cut_kachuee(peaked({50: 1.0, 300: 1.0, 550: 1.0}, seconds=10), 125, 0)
    assert beats.positions.tolist() == [50, 300, 550]
    assert (beats.samples[0, -10:] == 0).all()  # 300 samples would reach the next R
    np.testing.assert_array_equal(beats.samples[0], (peaked({50: 1.0})[50 : 50 + LENGTH]).astype(np.float32))


def test_missing_samples_cost_the_beats_that_hold_them() -> None:
    signal = peaked(twice(PEAKS), 1000, 10)
    signal[8 * 290 : 8 * 300] = np.nan
    beats = cut_kachuee(signal, 1000, 0)
    assert beats.account.dropped["hold missing samples"] == 1
    assert (beats.positions[:4] / 8).tolist() == [50, 150, 375, 500]  # 150 and 135 samples end before it, 275 does not
    assert np.isfinite(beats.samples).all()


def test_a_saturated_beat_is_zeros_and_counted() -> None:
    signal = np.zeros(2 * SEGMENT)
    signal[100] = 1.0
    signal[300:420] = 1.0  # its middle is 359, and 48 samples from there on are as high
    windows, _, _, flat = kachuee.cut(signal, np.array([100, 359]), np.array([40.0, 40.0]), LENGTH)
    assert flat == 1 and (windows[1] == 0).all() and windows[0].max() == 1


@relaxed
@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-5, 5, width=32)),
    st.integers(1, 40),
    st.integers(0, 16),
    st.integers(0, 3),
    st.sampled_from([125.0, 128.0, 250.0, 360.0, 1000.0]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_beats_of_any_signal(
    pattern: np.ndarray, stretch: int, seconds: int, missing: int, fs: float, seed: int, annotated: bool
) -> None:
    signal = np.resize(np.repeat(pattern, stretch), int(seconds * fs))  # again and again
    rng = np.random.default_rng(seed)
    for start in rng.integers(0, len(signal) + 1, missing):
        signal[start : start + rng.integers(1, 500)] = np.nan
    truth = 1
    if annotated:
        count = rng.integers(0, 100)
        truth = np.sort(rng.integers(0, len(signal) + 1, count)), rng.integers(0, 5, count)
    beats = cut_kachuee(signal, fs, truth)
    n = len(beats.labels)
    assert beats.samples.shape == (n, LENGTH) and beats.samples.dtype == np.float32
    assert beats.labels.shape == beats.positions.shape == (n,)
    assert ((beats.samples >= 0) & (beats.samples <= 1)).all()  # and so no NaN
    assert (np.diff(beats.positions) >= 0).all()
    if n:
        assert beats.positions.min() >= 0 and beats.positions.max() < len(signal) + annotated
    again = cut_kachuee(signal, fs, truth)
    assert (again.samples == beats.samples).all()
    if annotated:
        assert n + sum(beats.account.missed.values()) == len(truth[0])


@relaxed
@given(st.lists(st.floats(25, 200), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_tails_are_zeros(intervals: list[float], seed: int) -> None:
    signal = np.random.default_rng(seed).random(1000) + 5
    peaks = np.arange(len(intervals)) * 150
    windows, inside, whole, flat = kachuee.cut(signal, peaks, np.array(intervals), LENGTH)
    assert inside.all() and whole.all() and flat == 0
    for window, interval in zip(windows, intervals, strict=True):
        span = min(int(1.2 * interval), 187)
        assert (window[span:] == 0).all() and (window[:span] == 0).sum() <= 1
        assert window.max() == 1 or span == 187


# ------------------------------------------------------------------------------------------------- matching


@pytest.mark.parametrize(
    ("candidates", "annotated", "expected"),
    [
        ([100, 200], [103, 190], {0: 0, 1: 1}),
        ([100], [116], {}),
        ([100], [115], {0: 0}),
        ([100, 112], [110], {1: 0}),  # a beat is matched once, with the nearest
        ([100, 120], [110], {0: 0}),
        ([100], [95, 107], {0: 0}),
        ([], [5], {}),
        ([5], [], {}),
        ([50], [50, 50], {0: 0}),
    ],
)
def test_matching(candidates: list[int], annotated: list[int], expected: dict[int, int]) -> None:
    found, beats = kachuee.match(np.array(candidates, dtype=int), np.array(annotated, dtype=int), 15)
    assert dict(zip(found.tolist(), beats.tolist(), strict=True)) == expected


@relaxed
@given(st.lists(st.integers(0, 300), max_size=20), st.lists(st.integers(0, 300), max_size=20), st.integers(0, 40))
def test_matches_are_near_and_unique(candidates: list[int], annotated: list[int], tolerance: int) -> None:
    here, there = np.array(sorted(candidates), dtype=int), np.array(sorted(annotated), dtype=int)
    found, beats = kachuee.match(here, there, tolerance)
    assert (np.diff(found) > 0).all() and (np.diff(beats) > 0).all()
    assert (np.abs(here[found] - there[beats]) <= tolerance).all()
    for candidate in here:
        distance = np.abs(there - candidate).min(initial=1000)
        if distance <= tolerance:  # its nearest beat is matched, with this candidate or with another
            nearest = there[np.abs(there - candidate).argmin()]
            assert nearest in there[beats] or np.abs(there - candidate).tolist().count(distance) > 1


@pytest.mark.parametrize("fs", [360, 1000])
def test_a_beat_has_the_class_and_position_of_its_annotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fs: int
) -> None:
    near = {50: ("N", 3), 150: ("V", -3), 275: ("A", 0), 500: ("+", 0), 425: ("F", 0)}
    marks = {round((place + SEGMENT * k) * fs / 125) + off: sym for k in range(8) for place, (sym, off) in near.items()}
    every = {place + SEGMENT * k: height for k in range(8) for place, height in PEAKS.items()}
    beats = {f"at_{place}": marks[place] for place in sorted(marks)}
    write_record(tmp_path / "raw", "a", peaked(every, fs, 40), fs, **beats)
    read = read_beats("mit", tmp_path / "raw", window="kachuee")
    assert "".join(read.classes[label] for label in read.labels) == "NVS" * 8
    expected = [round(50 * fs / 125) + 3, round(150 * fs / 125) - 3, round(275 * fs / 125)]
    assert read.positions[:3].tolist() == expected  # of the annotation; the window begins at the maximum
    assert read.samples[0, 0, 0] == 1 and read.fs == 125 and read.record_fs == fs
    assert f"resampled from {fs} Hz" in read.window and "within 150 ms of the annotated R-peak" in read.window
    assert read.account.dropped["begin at no annotated beat"] == 16
    assert read.account.missed == {"N": 0, "S": 0, "V": 0, "F": 8, "Q": 0}

    command = ["--dataset", "mit", "--window", "kachuee", "--raw_path", str(tmp_path / "raw"), "--out", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "16 windows that begin at no annotated beat" in printed
    assert "8 annotated beats, no beat cut: N 0, S 0, V 0, F 8, Q 0" in printed
    train = torch.load(tmp_path / "mit/train.pt", weights_only=True)
    assert train["samples"].shape[1:] == (1, 186) and train["fs"] == 125 and train["window"] == read.window
    assert set(train) >= {"records", "positions", "record_names", "patients"}


def test_without_candidates_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "raw", "a", np.zeros(5000), 360, at_100="N")
    command = ["--dataset", "mit", "--window", "kachuee", "--raw_path", str(tmp_path / "raw"), "--out", str(tmp_path)]
    assert main(command) == 2
    assert "no beats in 1 records" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------- real records


@needs_mitdb
def test_mitdb_loses_a_third_of_its_beats() -> None:
    beats = read_beats("mit", MITDB, window="kachuee")
    counts = np.bincount(beats.labels)
    assert counts.tolist() == [62436, 1549, 2040, 587, 3093]
    missed = np.array([*beats.account.missed.values()])
    assert (counts + missed).tolist() == [90369, 2781, 7230, 803, 3895]  # all that are annotated
    assert beats.account.dropped == {
        "begin at no annotated beat": 2808,
        "leave the record": 14,
        "hold missing samples": 0,
    }
    keys = beats.records * 10**7 + beats.positions
    assert (np.diff(keys) > 0).all()  # in order, each beat once


@needs_ptbdb
def test_ptbdb_from_some_of_its_records() -> None:
    beats = read_beats("ptb", PTBDB, window="kachuee")
    if len(beats.record_names) == 45:  # the records that were at hand; the database has more
        assert np.bincount(beats.labels).tolist() == [2618, 1225]
    assert ((beats.samples >= 0) & (beats.samples <= 1)).all() and beats.record_fs == 1000


@needs_ptbdb
@needs_released
def test_released_rows_are_reproduced() -> None:
    beats = read_beats("ptb", PTBDB, window="kachuee")
    rows = torch.load(RELEASED, weights_only=True)["samples"][:, 0].numpy()
    ours = {row.tobytes() for row in np.round(beats.samples[:, 0], 5) + np.float32(0)}
    same = sum(row.tobytes() in ours for row in np.round(rows, 5) + np.float32(0))
    assert same > 250  # of the 325 that are of these records
