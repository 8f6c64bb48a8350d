from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MITDB, RAW, RELEASED, needs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from made_records import annotate, store
from scipy.spatial import KDTree

from preprocess import kachuee
from preprocess.__main__ import main
from preprocess.beats import LENGTH, WINDOWS, BeatSet, ReadingOptions, RecordBeats, Truth, read_beats

fewer_examples = settings(max_examples=50)

SEGMENT = 625  # samples at 125 Hz: 5 s
HALF = 25  # samples from the foot of a peak to its top: a whole number of samples at 360 and 1000 Hz too
PEAKS = {50: 1.0, 150: 0.95, 275: 1.0, 375: 0.92, 425: 0.85, 500: 1.0}  # R-R 100, 125, 100, 125; 0.85: no candidate


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


def cut(window: str, signal: np.ndarray, fs: float, truth: Truth) -> RecordBeats:
    return WINDOWS[window].cut(signal, fs, truth)


def write_record(folder: Path, name: str, signal: np.ndarray, fs: float, **beats: str) -> None:
    """Write one lead; `beats`: annotations, a symbol at each "at_<sample>"."""
    record = store(folder / name, signal[:, None], fs, gain=20_000.0)
    annotate(record, [int(key.removeprefix("at_")) for key in beats], [*beats.values()], fs=fs)


# ----------------------------------------------------------------------------------------------------- beats


every_rate = pytest.mark.parametrize("fs", [125, 250, 360, 1000])
every_unit = pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.3, -2.0)])


@every_rate
@every_unit
@pytest.mark.parametrize("beyond", [2.0, -1.0])
def test_text_computed_by_hand(fs: float, gain: float, offset: float, beyond: float) -> None:
    peaks = twice(PEAKS) | {2 * SEGMENT + HALF: beyond}  # 10 s, and then higher or lower than in them
    signal = peaked(peaks, 125, 15)
    beats = cut("kachuee", offset + gain * peaked(peaks, fs, 15), fs, 1)
    first = [50, 150, 275, 375, 500]
    places = [*first, *(place + SEGMENT for place in first)]
    assert beats.positions.tolist() == [round(place * fs / 125) for place in places]
    assert beats.account.dropped == {"leave the record": 0, "hold missing samples": 0}
    assert beats.labels.tolist() == [1] * 10
    span = 150  # 1.2 times 125, the median of 100, 125, 100, 125, 175, 100, 125, 100, 125
    for sample, place in zip(beats.samples, places, strict=True):
        np.testing.assert_allclose(sample[:span], signal[place : place + span].clip(0, 1), atol=1e-6)
        assert (sample[span:] == 0).all()
    assert beats.samples.dtype == np.float32 and beats.samples.shape == (10, LENGTH)
    assert beats.samples[3, :span].max() == pytest.approx(1) and beats.samples[3, 0] == pytest.approx(0.92)
    assert (beats.samples[-1, 140:150] == (beyond > 0)).all()  # clipped: 15 samples or more after the end
    alone = cut("kachuee", peaked({50: 1.0, 150: 0.95, 250: 0.95, 350: 0.95}, seconds=10), 125, 0)
    assert alone.samples[1].max() == pytest.approx(0.95)  # no beat is scaled by itself


@every_rate
@every_unit
def test_rows_computed_by_hand(fs: float, gain: float, offset: float) -> None:
    signal = peaked(twice(PEAKS), 125, 10)
    beats = cut("kaggle", offset + gain * peaked(twice(PEAKS), fs, 10), fs, 1)
    places = [50, 150, 275, 375, 500, *(place + SEGMENT for place in (50, 150, 275, 375, 500))]
    assert beats.positions.tolist() == [round(place * fs / 125) for place in places]
    assert beats.account.dropped == {"leave the segment within 1 median R-R interval": 0, "hold missing samples": 0}
    assert beats.labels.tolist() == [1] * 10
    span = 135  # 1.2 times 112.5, the median of 100, 125, 100, 125
    for sample, place in zip(beats.samples, places, strict=True):
        body = signal[place : min(place + span, (place // SEGMENT + 1) * SEGMENT)]  # 500: 125 samples to the end of 5 s
        np.testing.assert_allclose(sample[: len(body)], body / body.max(), atol=1e-6)
        assert (sample[len(body) :] == 0).all()
    assert beats.samples.dtype == np.float32 and beats.samples.shape == (10, LENGTH)
    assert beats.samples[0, 0] == 1 and beats.samples[0, :span].max() == 1
    assert beats.samples[1, 0] == pytest.approx(0.95) and beats.samples[1, 125] == 1  # the next R is the higher one


def test_rows_with_less_than_an_interval_in_their_segment_are_dropped() -> None:
    beats = cut("kaggle", peaked({25: 1.0, 225: 1.0, 425: 1.0, 850: 1.0, 1050: 1.0}, seconds=10), 125, 0)
    assert beats.positions.tolist() == [25, 225, 425, 850, 1050]  # 200 samples are left of 425, 200 of 1050: just T
    beats = cut("kaggle", peaked({26: 1.0, 226: 1.0, 426: 1.0, 850: 1.0, 1055: 1.0}, seconds=10), 125, 0)
    assert beats.positions.tolist() == [26, 226, 426, 850, 1055]  # 199 and 195 are left, all that a row can hold
    beats = cut("kaggle", peaked({26: 1.0, 126: 1.0, 226: 1.0, 526: 1.0}), 125, 0)
    assert beats.positions.tolist() == [26, 126, 226]  # 99 samples are left of 526, and T is 100
    assert beats.account.dropped["leave the segment within 1 median R-R interval"] == 1


def test_annotated_rows_computed_by_hand() -> None:
    signal = np.random.default_rng(0).random(2 * SEGMENT)  # where the maxima are does not matter
    places, labels = np.array([10, 110, 220, 340, 600, 700, 1240, 1245]), np.array([0, 1, 2, 3, 4, 0, 1, 2])
    beats = cut("kaggle", signal, 125, (places, labels))
    assert beats.positions.tolist() == places[:-1].tolist() and beats.labels.tolist() == labels[:-1].tolist()
    first = 138  # 1.2 times 115, the median of 100, 110, 120, 260
    second = 187  # the median of 540 and 5 is 272.5
    for sample, place, span in zip(beats.samples, places, [*[first] * 5, second, second], strict=False):
        body = signal[place : place + span]  # goes on beyond 5 s, to the end of the record
        expected = np.zeros(187)
        expected[: len(body)] = (body - body.min()) / np.ptp(body)
        np.testing.assert_allclose(sample, expected[:LENGTH], atol=1e-6)
    assert (beats.samples[-1, 10:] == 0).all()
    assert beats.account.dropped == {
        "begin at the last beat of their record": 1,
        "leave the record": 0,
        "hold missing samples": 0,
    }
    assert beats.account.missed == {"N": 0, "S": 0, "V": 1, "F": 0, "Q": 0} and not beats.account.segments


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([7], []),
        ([7, 700], [693]),  # alone in its segment: the interval to the next beat
        ([7, 107, 700, 1400], [100, 100, 700]),
        ([0, 100, 300, 600, 624], [150, 150, 150, 150]),  # the median of 100, 200, 300, 24
        ([600, 630, 730], [30, 100]),
    ],
)
def test_intervals_of_annotated_beats(places: list[int], expected: list[float]) -> None:
    intervals = kachuee.annotated_intervals(np.array(places, dtype=np.int64), kachuee.KAGGLE)
    assert intervals.tolist() == expected


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
    peaks, intervals, without = kachuee.find_beats(signal, kachuee.KAGGLE)
    assert peaks.tolist() == [2 * SEGMENT + place for place in (50, 150, 275, 375, 500)]
    assert intervals.tolist() == [112.5] * 5
    assert without == {
        "of 5 s that are flat or missing": 2,
        "of 5 s with fewer than two candidates": 1,
        "of 5 s cut short by the record's end": 1,
    }
    for window in ("kachuee", "kaggle"):
        for nothing in (silent, lone, short, np.zeros(0)):
            beats = cut(window, nothing, 125, 0)
            assert beats.samples.shape == (0, LENGTH) and not len(beats.positions)


def test_a_slow_rhythm_is_cut() -> None:
    beats = cut("kachuee", peaked({50: 1.0, 300: 1.0, 550: 1.0}, seconds=10), 125, 0)
    assert beats.positions.tolist() == [50, 300, 550]
    assert (beats.samples[0, -10:] == 0).all()  # 300 samples would reach the next R
    np.testing.assert_array_equal(beats.samples[0], (peaked({50: 1.0})[50 : 50 + LENGTH]).astype(np.float32))


def test_missing_samples_cost_the_beats_that_hold_them() -> None:
    signal = peaked(twice(PEAKS), 1000, 10)
    signal[8 * 290 : 8 * 300] = np.nan
    beats = cut("kaggle", signal, 1000, 0)
    assert beats.account.dropped["hold missing samples"] == 1
    assert (beats.positions[:4] / 8).tolist() == [50, 150, 375, 500]  # 150 and 135 samples end before it, 275 does not
    assert np.isfinite(beats.samples).all()
    beats = cut("kachuee", signal, 1000, 0)
    assert beats.account.dropped["hold missing samples"] == 2  # here 150 samples reach it
    assert (beats.positions[:3] / 8).tolist() == [50, 375, 500] and np.isfinite(beats.samples).all()


def test_a_saturated_beat_is_zeros_and_counted() -> None:
    signal = np.zeros(2 * SEGMENT)
    signal[100] = 1.0
    signal[300:420] = 1.0  # its middle is 359, and 48 samples from there on are as high
    for reading, level in ((kachuee.KAGGLE, 0), (kachuee.KACHUEE, 1)):
        found = np.array([100, 359]), np.array([40.0, 40.0])
        windows, _, _, flat = kachuee.cut(signal, *found, LENGTH, reading, reading.candidates)
        assert flat == 1 - level and (windows[1, :48] == level).all() and windows[0].max() == 1


@fewer_examples
@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-5, 5, width=32)),
    st.integers(1, 40),
    st.integers(0, 25),
    st.integers(0, 3),
    st.sampled_from([125.0, 128.0, 250.0, 360.0, 1000.0]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from(["kachuee", "kaggle"]),
)
def test_beats_of_any_signal(
    pattern: np.ndarray, stretch: int, seconds: int, missing: int, fs: float, seed: int, annotated: bool, window: str
) -> None:
    signal = np.resize(np.repeat(pattern, stretch), int(seconds * fs))  # again and again
    rng = np.random.default_rng(seed)
    for start in rng.integers(0, len(signal) + 1, missing):
        signal[start : start + rng.integers(1, 500)] = np.nan
    truth: Any = 1
    if annotated:
        count = rng.integers(0, 100)
        truth = np.sort(rng.integers(0, len(signal) + 1, count)), rng.integers(0, 5, count)
    beats = cut(window, signal, fs, truth)
    n = len(beats.labels)
    assert beats.samples.shape == (n, LENGTH) and beats.samples.dtype == np.float32
    assert beats.labels.shape == beats.positions.shape == (n,)
    assert ((beats.samples >= 0) & (beats.samples <= 1)).all()  # and so no NaN
    assert (np.diff(beats.positions) >= 0).all()
    if n:
        assert beats.positions.min() >= 0 and beats.positions.max() < len(signal) + annotated
    again = cut(window, signal, fs, truth)
    assert (again.samples == beats.samples).all()
    if annotated:
        assert n + sum(beats.account.missed.values()) == len(truth[0])


@fewer_examples
@given(st.lists(st.floats(25, 200), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_tails_are_zeros(intervals: list[float], seed: int) -> None:
    signal = np.random.default_rng(seed).random(1000) + 5
    peaks = np.arange(len(intervals)) * 150
    found = peaks, np.array(intervals)
    windows, enough, whole, flat = kachuee.cut(signal, *found, LENGTH, kachuee.KAGGLE, kachuee.KAGGLE.annotated)
    assert enough.all() and whole.all() and flat == 0
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


@fewer_examples
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fs: float
) -> None:
    near = {50: ("N", 3), 150: ("V", -3), 275: ("A", 0), 500: ("+", 0), 425: ("F", 0)}
    marks = {round((place + SEGMENT * k) * fs / 125) + off: sym for k in range(8) for place, (sym, off) in near.items()}
    every = {place + SEGMENT * k: height for k in range(8) for place, height in PEAKS.items()}
    beats = {f"at_{place}": marks[place] for place in sorted(marks)}
    write_record(tmp_path / "raw", "a", peaked(every, fs, 40), fs, **beats)
    expected = [round(50 * fs / 125) + 3, round(150 * fs / 125) - 3, round(275 * fs / 125)]

    def prepared(window: str) -> tuple[BeatSet, str]:
        read = read_beats("mit", tmp_path / "raw", ReadingOptions(window=window))
        assert read.positions[:3].tolist() == expected and read.fs == 125 and read.record_fs == (fs,)
        command = ["--dataset", "mit", "--window", window, "--raw_path", str(tmp_path / "raw"), "--out", str(tmp_path)]
        assert main(command) == 0
        train = torch.load(tmp_path / "mit/train.pt", weights_only=True)
        assert train["samples"].shape[1:] == (1, 186) and train["fs"] == 125 and train["window"] == read.window
        assert set(train) >= {"records", "positions", "record_names", "patients"}
        return read, capsys.readouterr().out

    read, printed = prepared("kachuee")
    assert "".join(read.classes[label] for label in read.labels) == "NVS" * 8
    assert read.samples[0, 0, 0] == 1  # the window begins at the maximum, 3 samples before
    assert read.account.dropped["begin at no annotated beat"] == 16
    assert read.account.missed == {"N": 0, "S": 0, "V": 0, "F": 8, "Q": 0}
    assert "windows that begin at no annotated beat: 16" in printed
    assert "8 annotated beats that could not be cut: N 0, S 0, V 0, F 8, Q 0" in printed

    read, printed = prepared("kaggle")
    assert "".join(read.classes[label] for label in read.labels) == "NVSF" * 7 + "NVS"
    assert "windows that begin at the last beat of their record: 1" in printed
    assert "1 annotated beats that could not be cut: N 0, S 0, V 0, F 1, Q 0" in printed


def test_the_sentence_says_how_a_beat_was_cut() -> None:
    def sentence(window: str, dataset: str) -> str:
        kind = WINDOWS[window]
        return kind.sentence.format(length=186, peak=kind.peaks[dataset])

    start = "the first 186 of 187 samples at 125 Hz of the lead in `leads`: 1.2 median R-R intervals of its"
    maximum = "from a local maximum above 0.9 of their range on"
    scaled = "scaled to [0, 1] as its 10 s are and clipped beyond their end, padded with zeros"
    assert sentence("kachuee", "ptb") == f"{start} 10 s {maximum}, {scaled}"
    assert sentence("kachuee", "mit") == f"{start} 10 s {maximum}, within 150 ms of the annotated R-peak, {scaled}"
    scaled = "each beat scaled to [0, 1], padded with zeros"
    assert sentence("kaggle", "ptb") == f"{start} 5 s {maximum}, at most to the segment's end, {scaled}"
    assert sentence("kaggle", "mit") == (
        f"{start} 5 s from the annotated R-peak on, at most to the record's end, {scaled}"
    )


def test_without_candidates_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "raw", "a", np.zeros(5000), 360, at_100="N")
    command = ["--dataset", "mit", "--window", "kachuee", "--raw_path", str(tmp_path / "raw"), "--out", str(tmp_path)]
    assert main(command) == 2
    assert "no beats in 1 record (" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------- real records


def counts(beats: BeatSet, *without: str) -> list[int]:
    """Beats a class, without those of some records."""
    rest = ~np.isin(np.array(beats.record_names)[beats.records], without)
    return np.bincount(beats.labels[rest]).tolist()


@needs("mitdb")
def test_mitdb_by_the_text_loses_nearly_half_of_its_beats() -> None:
    beats = read_beats("mit", MITDB, ReadingOptions(any_lead=True, window="kachuee"))
    assert counts(beats) == [53402, 1233, 1949, 597, 3837]
    assert counts(beats, "102", "104") == [53287, 1233, 1948, 597, 2535]  # those without lead II
    missed = [*beats.account.missed.values()]
    assert np.add(counts(beats), missed).tolist() == [90631, 2781, 7236, 803, 8043]  # all that are annotated
    assert beats.account.dropped == {
        "begin at no annotated beat": 2134,
        "leave the record": 0,
        "hold missing samples": 0,
    }
    keys = beats.records * 10**7 + beats.positions
    assert (np.diff(keys) > 0).all()  # in order, each beat once
    assert ((beats.samples >= 0) & (beats.samples <= 1)).all()


@needs("mitdb")
def test_mitdb_like_the_rows_has_the_counts_of_the_kaggle_set() -> None:
    beats = read_beats("mit", MITDB, ReadingOptions(any_lead=True, window="kaggle"))
    assert counts(beats) == [72471 + 18118, 2223 + 556, 5788 + 1448, 641 + 162, 6431 + 1608]
    assert counts(beats, "102", "104") == [90327, 2779, 7230, 803, 3893]
    assert beats.account.dropped["begin at the last beat of their record"] == 48 and not beats.account.flat
    assert ((beats.samples >= 0) & (beats.samples <= 1)).all()


@needs("ptbdb")
@pytest.mark.parametrize(("window", "expected", "same"), [("kachuee", [2027, 817], 1), ("kaggle", [2136, 1053], 287)])
def test_ptbdb_from_some_of_its_records(window: str, expected: list[int], same: int) -> None:
    beats = read_beats("ptb", RAW / "ptbdb", ReadingOptions(window=window))
    assert ((beats.samples >= 0) & (beats.samples <= 1)).all() and set(beats.record_fs) == {1000}
    if len(beats.record_names) != 45:  # the records that were at hand; the database has more
        return
    assert counts(beats) == expected
    if RELEASED.is_file():  # 325 of its rows are of these records
        rows = torch.load(RELEASED, weights_only=True)["samples"][:, 0].numpy()
        near, _ = KDTree(beats.samples[:, 0]).query(rows, p=np.inf, distance_upper_bound=2e-6)
        assert (near <= 1e-6).sum() == same
