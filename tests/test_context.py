from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from conftest import MITDB, needs
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import read_splits, run

from preprocess import labels as meanings
from preprocess.beats import cut_centred
from preprocess.context import (
    CONTEXT_NAMES,
    CYCLE,
    MORPHOLOGY_FEATURES,
    RHYTHM_FEATURES,
    Beats,
    Context,
    align,
    broken_intervals,
    dominant_beat,
    local_mean,
    local_rhythm,
    local_rmssd,
    record_context,
    record_rhythm,
    remove_baseline,
    rr_intervals,
    shape,
    stretch_context,
    stretches,
    without_line,
)
from preprocess.signals import FS
from preprocess.synthetic import write_synthetic_mit

fewer_examples = settings(max_examples=40)

RR = 300  # samples between the beats of the record made by hand
EARLY = 15  # its beat that comes 100 samples early and has no P wave
QRS_WAVE, P_WAVE = (-8, 9), (-60, -40)  # samples from the R-peak


def peaks_by_hand() -> np.ndarray:
    peaks = RR * np.arange(1, 31)
    peaks[EARLY] -= 100
    return peaks


def signal_by_hand(peaks: np.ndarray, early_height: float = 1.0) -> np.ndarray:
    """Rectangles for waves: QRS of 17 samples and 1 mV, P of 20 samples and 0.1 mV; the early beat without P."""
    signal = np.zeros(peaks[-1] + RR)
    for beat, peak in enumerate(peaks):
        signal[peak + QRS_WAVE[0] : peak + QRS_WAVE[1]] = early_height if beat == EARLY else 1.0
        if beat != EARLY:
            signal[peak + P_WAVE[0] : peak + P_WAVE[1]] = 0.1
    return signal


@pytest.fixture(scope="module")
def by_hand() -> dict[str, np.ndarray]:
    peaks = peaks_by_hand()
    return columns(record_context(signal_by_hand(peaks), peaks))


def columns(context: Context) -> dict[str, np.ndarray]:
    return dict(zip(CONTEXT_NAMES, context.features.T, strict=True))


def random_record(beats: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A record like a patient's: uneven intervals, three shapes of beats, drift and noise; mV."""
    rng = np.random.default_rng(seed)
    peaks = 100 + np.cumsum(rng.integers(150, 400, beats))
    time = np.arange(peaks[-1] + 200)
    signal = 0.3 * np.sin(2 * np.pi * time / 3000) + 0.01 * rng.standard_normal(len(time))
    for peak in peaks:
        height, width = [(1.0, 5.0), (1.0, 5.0), (-1.5, 14.0)][rng.integers(3)]
        signal += height * np.exp(-0.5 * ((time - peak) / width) ** 2)
        signal += 0.1 * np.exp(-0.5 * ((time - peak + 55) / 10) ** 2)
    return signal, peaks


# ----------------------------------------------------------------------------------------------- the columns


def test_the_columns_are_those_of_both_heads_each_once() -> None:
    assert (len(RHYTHM_FEATURES), len(MORPHOLOGY_FEATURES), len(CONTEXT_NAMES)) == (19, 20, 35)
    assert {*CONTEXT_NAMES} == {*RHYTHM_FEATURES} | {*MORPHOLOGY_FEATURES}
    assert len({*CONTEXT_NAMES}) == len(CONTEXT_NAMES)


# ------------------------------------------------------------------------------------------------ the rhythm


def test_intervals_are_in_seconds_clipped_and_at_the_ends_the_median() -> None:
    pre, post = rr_intervals(np.array([0, 36, 396, 756, 4356]))  # 0.1, 1, 1 and 10 s apart
    assert pre == pytest.approx([1.0, 0.2, 1.0, 1.0, 4.0])
    assert post == pytest.approx([0.2, 1.0, 1.0, 4.0, 1.0])


def test_the_interval_across_lost_time_is_not_known_and_as_those_around() -> None:
    seconds = np.cumsum([0, 1, 1, 1, 1, 1, 9, 0.5, 0.5, 0.5, 0.5, 0.5])
    broken = np.diff(seconds) == 9
    pre, post = rr_intervals(np.round(FS * seconds).astype(int), broken)
    assert pre[5:8] == pytest.approx([1, 0.75, 0.5])  # the median of five of 1 s and five of 0.5 s
    assert post[5] == pytest.approx(0.75)
    assert (pre[0], post[-1]) == (0.75, 0.75)
    two, _ = rr_intervals(np.array([0, 3600, 7200]), np.array([True, True]))  # nothing is known
    assert two.tolist() == [1, 1, 1]
    assert rr_intervals(np.array([0, 36]), np.array([False]))[0] == pytest.approx([0.2, 0.2])


def test_where_time_is_lost() -> None:
    signal = np.zeros(1000)
    signal[100:110] = signal[300:311] = signal[500:700] = np.nan
    peaks = np.array([50, 200, 400, 600, 800, 999])
    assert broken_intervals(signal, peaks, 10).tolist() == [False, True, True, True, False]
    assert broken_intervals(signal, peaks[:0], 10).tolist() == broken_intervals(signal, peaks[:1], 10).tolist() == []


def test_a_gap_makes_no_beat_early_or_late() -> None:
    """Else the beat before it, followed by so long an interval, would look like one that comes early."""
    peaks = RR * np.arange(1, 31)
    signal = signal_by_hand(peaks)
    signal[peaks[14] - 150 : peaks[16] + 150] = np.nan
    found = columns(record_context(signal, np.delete(peaks, [14, 15, 16])))
    for name in (*local_rhythm(*rr_intervals(peaks)), "log_pre_mean_record"):
        assert found[name] == pytest.approx(np.zeros(27), abs=1e-6), name


def test_a_local_mean_is_cut_at_the_ends() -> None:
    assert local_mean(np.array([1.0, 2.0, 6.0, 3.0]), 1) == pytest.approx([1.5, 3.0, 11 / 3, 4.5])
    assert local_mean(np.array([[1.0, 0.0], [3.0, 4.0]]), 5) == pytest.approx(np.array([[2.0, 2.0], [2.0, 2.0]]))


def test_rmssd_is_the_root_of_the_mean_square_of_successive_differences() -> None:
    # differences 0 (none), 1, -2, 2: over i +- 1
    expected = np.sqrt([1 / 2, 5 / 3, 9 / 3, 8 / 2])
    assert local_rmssd(np.array([1.0, 2.0, 0.0, 2.0]), 1) == pytest.approx(expected)


def test_an_interval_is_compared_with_the_mean_of_the_record() -> None:
    """Its median is another where many beats come early: 300 here, where the mean is 275 samples."""
    pre = np.array([300, *[300, 300, 200] * 3, 300, 200])  # of the first beat the median
    found = record_rhythm(np.cumsum(pre))["log_pre_mean_record"]
    assert found == pytest.approx(np.log(pre / pre.mean()), abs=1e-6)


def test_rhythm_of_an_early_beat(by_hand: dict[str, np.ndarray]) -> None:
    pre, post, usual = 200 / FS, 400 / FS, 300 / FS  # the next beat comes on time
    # All windows of +-10 hold the early interval of 200 and the next of 400 samples: their mean is 300.
    assert by_hand["log_pre_mean10"][EARLY] == pytest.approx(np.log(pre / usual))
    assert by_hand["log_post_mean10"][EARLY] == pytest.approx(np.log(post / usual))
    assert by_hand["log_pair_mean10"][EARLY] == pytest.approx(0, abs=1e-6)
    assert by_hand["log_pre_previous"][EARLY] == pytest.approx(np.log(200 / 300))
    assert by_hand["log_pre_post"][EARLY] == pytest.approx(np.log(200 / 400))
    assert by_hand["log_pre_mean50"][EARLY] == pytest.approx(np.log(pre / usual))
    assert by_hand["log_pre_mean_record"][EARLY] == pytest.approx(np.log(pre / usual))
    # successive differences -100, 200, -100 samples among 21 beats and among 30
    for name, beats in (("prematurity10", 21), ("prematurity30", 30)):
        rmssd = np.sqrt((100**2 + 200**2 + 100**2) / beats) / FS
        assert by_hand[name][EARLY] == pytest.approx((usual - pre) / (0.03 * usual + rmssd))


def test_a_beat_on_time_is_neither_early_nor_late(by_hand: dict[str, np.ndarray]) -> None:
    for name in local_rhythm(*rr_intervals(peaks_by_hand())):
        assert by_hand[name][[0, 2, 29]] == pytest.approx(0, abs=1e-6)  # its windows of +-10 do not see the early beat


def test_an_equally_early_beat_is_less_premature_in_an_irregular_rhythm() -> None:
    regular = np.full(41, 1.0)
    irregular = 1.0 + 0.2 * np.where(np.arange(41) % 2, 1, -1)
    regular[20] = irregular[20] = 0.7
    features = [local_rhythm(pre, np.append(pre[1:], 1.0)) for pre in (regular, irregular)]
    assert features[0]["log_pre_mean10"][20] == pytest.approx(features[1]["log_pre_mean10"][20], abs=0.02)
    assert features[0]["prematurity10"][20] > 2 * features[1]["prematurity10"][20] > 0


# ------------------------------------------------------------------------------------------------ the P wave


def test_a_p_wave_is_measured_from_the_line_through_its_ends() -> None:
    line, wave = np.linspace(-3, 5, 72), np.pad(np.ones(72 - 2 * 8), 8)
    np.testing.assert_allclose(without_line(np.stack([line, line + wave])), [np.zeros(72), wave], atol=1e-12)


def test_p_wave_of_an_ordinary_beat(by_hand: dict[str, np.ndarray]) -> None:
    assert by_hand["p_correlation"][3] == pytest.approx(1)
    assert by_hand["p_projection"][3] == pytest.approx(1)
    assert by_hand["log_p_amplitude"][3] == pytest.approx(np.log(0.02 + 0.1))
    assert by_hand["log_p_amplitude_dominant"][3] == pytest.approx(np.log(0.02 + 0.1))
    assert by_hand["log_p_difference"][3] == pytest.approx(np.log(0.02))
    assert by_hand["p_slope"][3] == pytest.approx(0)
    assert by_hand["p_coherence10"][3] == pytest.approx(1)


def test_p_wave_of_a_beat_without_one(by_hand: dict[str, np.ndarray]) -> None:
    assert by_hand["p_correlation"][EARLY] == pytest.approx(0)
    assert by_hand["p_projection"][EARLY] == pytest.approx(0)
    assert by_hand["log_p_amplitude"][EARLY] == pytest.approx(np.log(0.02))
    assert by_hand["log_p_amplitude_dominant"][EARLY] == pytest.approx(np.log(0.02 + 0.1))
    # The mean of 5 samples makes ramps of the edges of the rectangle: 16 samples of 0.1, twice 0.08, 0.06, 0.04, 0.02.
    squares = 16 * 0.1**2 + 2 * (0.08**2 + 0.06**2 + 0.04**2 + 0.02**2)
    assert by_hand["log_p_difference"][EARLY] == pytest.approx(np.log(0.02 + np.sqrt(squares / 72)))
    # Half of the area of the P wave, 20 x 0.1, lies in the 20 samples of [-70, -50).
    assert by_hand["p_slope"][EARLY] == pytest.approx(0.05)


def test_p_waves_around_a_beat_and_in_the_record(by_hand: dict[str, np.ndarray]) -> None:
    # One of 21 beats lacks it: the mean unit vector is 20 / 21 long.
    assert by_hand["p_correlation_mean10"][EARLY] == pytest.approx(20 / 21)
    assert by_hand["p_coherence10"][EARLY] == pytest.approx((20 / 21) ** 2)
    assert by_hand["p_coherence30"][EARLY] == pytest.approx((29 / 30) ** 2)
    assert by_hand["p_correlation_record"] == pytest.approx(np.ones(30))
    assert by_hand["p_correlation_change"][[3, EARLY]] == pytest.approx([0, -1])


def test_p_waves_of_any_shape_have_little_coherence() -> None:
    rng = np.random.default_rng(0)
    peaks = RR * np.arange(1, 102)
    signal = signal_by_hand(peaks) + 0.2 * np.cumsum(rng.standard_normal(peaks[-1] + RR)) / 10
    for peak in peaks:
        signal[peak - 90 : peak - 18] = rng.standard_normal(72)
    assert columns(record_context(signal, peaks))["p_coherence30"][50] < 0.1  # 61 random vectors: about 1 / 61


# ------------------------------------------------------------------------------------------------- the shape


def test_shape_of_a_beat_twice_as_high() -> None:
    peaks = peaks_by_hand()
    twice = columns(record_context(signal_by_hand(peaks, early_height=2.0), peaks))
    assert twice["qrs_correlation"][EARLY] == pytest.approx(1)
    assert twice["log_amplitude_ratio"][EARLY] == pytest.approx(np.log(2))
    assert twice["max_difference"][EARLY] == pytest.approx(1)
    assert twice["min_difference"][EARLY] == pytest.approx(0)
    assert twice["log_width_ratio"][EARLY] == pytest.approx(0)
    assert twice["log_slope_width_ratio"][EARLY] == pytest.approx(0)
    assert twice["log_slope_ratio"][EARLY] == pytest.approx(np.log(2))
    # QRS: 17 samples of 1, the edges averaged over 5: 13 of 1 and twice 0.8, 0.6, 0.4, 0.2.
    squares = 13 + 2 * (0.8**2 + 0.6**2 + 0.4**2 + 0.2**2)
    assert twice["log_qrs_difference"][EARLY] == pytest.approx(np.log(0.02 + np.sqrt(squares / 61)))
    # [-40, 55) holds the last two ramp samples of the P wave too, 0.04 and 0.02, which the early beat lacks.
    assert twice["log_area_ratio"][EARLY] == pytest.approx(np.log(2 * 17 / (17 + 0.06)))
    assert twice["pr_correlation"][EARLY] == pytest.approx(0)
    assert twice["st_t_correlation"][EARLY] == 0  # both flat
    assert twice["log_st_t_difference"][EARLY] == pytest.approx(np.log(0.02))
    for name in MORPHOLOGY_FEATURES[:15]:
        expected = {"log": np.log(0.02) if name.endswith("difference") else 0.0}.get(name[:3], 0.0)
        if name.endswith("_correlation"):
            expected = 0.0 if name.startswith("st_t") else 1.0
        assert twice[name][3] == pytest.approx(expected, abs=1e-6), name


def test_width_counts_samples_above_a_share_of_the_largest_deflection() -> None:
    cycles = np.zeros((2, CYCLE[1] - CYCLE[0]))
    r_peak = -CYCLE[0]
    cycles[0, r_peak - 5 : r_peak + 5] = 1.0  # the dominant beat: 10 samples
    cycles[1, r_peak - 20 : r_peak + 20] = -0.5  # 40 samples, downwards
    cycles[1, r_peak + 20 : r_peak + 30] = -0.19  # below 0.4 x 0.5
    features = shape(Beats(cycles, cycles[0], np.zeros(2, dtype=np.int64), np.array([True, False])))
    assert features["log_width_ratio"] == pytest.approx([0, np.log((40 + 3) / (10 + 3))])
    assert features["log_slope_width_ratio"] == pytest.approx([0, np.log((3 + 3) / (2 + 3))])  # 0.5, 0.31, 0.19 steep
    assert features["log_slope_ratio"] == pytest.approx([0, np.log(0.5)])
    assert features["log_area_ratio"] == pytest.approx([0, np.log((40 * 0.5 + 10 * 0.19) / 10)])
    assert features["max_difference"] == pytest.approx([0, -1])
    assert features["min_difference"] == pytest.approx([0, -0.5])


def test_beats_are_moved_onto_the_dominant_one() -> None:
    peaks = RR * np.arange(1, 31)
    signal = signal_by_hand(peaks)
    exact = columns(record_context(signal, np.delete(peaks, EARLY)))
    off = np.delete(peaks, EARLY)
    off[3] += 6
    moved = columns(record_context(signal, off))
    for name in MORPHOLOGY_FEATURES[:15]:
        assert moved[name][3] == pytest.approx(exact[name][3], abs=1e-5), name
    assert moved["log_pre_mean10"][3] != exact["log_pre_mean10"][3]  # the interval is what the peaks say


def test_a_beat_without_a_qrs_stays_where_it_is() -> None:
    peaks = RR * np.arange(1, 31)
    signal = signal_by_hand(peaks)
    signal[peaks[3] - 90 : peaks[3] + 90] = 0.0
    beats = align(signal, peaks, *dominant_beat(signal, peaks))
    assert beats.centres.tolist() == peaks.tolist()
    assert beats.members.tolist() == [beat != 3 for beat in range(30)]


@pytest.mark.parametrize(("height", "similar"), [(1.6, True), (1.7, False), (1 / 1.6, True), (1 / 1.7, False)])
def test_similar_beats_differ_in_size_by_a_factor_of_1_65_at_most(height: float, similar: bool) -> None:
    peaks = peaks_by_hand()
    members = dominant_beat(signal_by_hand(peaks, early_height=height), peaks)[1]
    assert members[EARLY] == similar and members.sum() == 29 + similar


def test_the_dominant_beat_is_that_of_the_most_beats_not_of_the_first_or_largest() -> None:
    peaks = RR * np.arange(1, 701)  # more than the candidates
    signal = np.zeros(peaks[-1] + RR)
    usual = np.arange(700) % 5 > 1  # three of five
    for offset in range(*QRS_WAVE):
        signal[peaks + offset] = np.where(usual, 0.5, -4.0)
    found = columns(record_context(signal, peaks))
    assert found["qrs_correlation"][usual] == pytest.approx(np.ones(420))
    assert found["qrs_correlation"][~usual].max() < 0
    assert found["log_amplitude_ratio"] == pytest.approx(np.where(usual, 0, np.log(8)))


# ------------------------------------------------------------------------- the difference from the dominant beat


def test_difference_of_a_beat_without_p_wave() -> None:
    peaks = peaks_by_hand()
    difference = record_context(signal_by_hand(peaks), peaks).difference
    assert difference.shape == (30, 186)
    assert difference[3] == pytest.approx(np.zeros(186), abs=1e-6)
    mean, square = (17 + 20 * 0.1) / 186, (17 + 20 * 0.1**2) / 186  # of the dominant beat
    expected = np.full(186, 20 * 0.1 / 186)  # mean t - mean x
    expected[93 - 60 : 93 - 40] -= 0.1
    assert difference[EARLY] == pytest.approx(expected / np.sqrt(square - mean**2), abs=1e-5)


def test_the_difference_is_from_the_beats_that_the_dominant_one_is_made_of() -> None:
    peaks = RR * np.arange(1, 31)
    signal = signal_by_hand(peaks)
    for beat in range(0, 28, 2):  # nearly half of them are of another shape: they take no part
        signal[peaks[beat] - 40 : peaks[beat] + 50] += np.linspace(-2.0, -1.0, 90)
    alone = record_context(signal_by_hand(peaks), peaks).difference
    assert record_context(signal, peaks).difference[3] == pytest.approx(alone[3], abs=1e-5)


def test_the_rhythm_is_that_of_all_beats_also_of_those_that_are_not_cut() -> None:
    signal, peaks = random_record()
    signal[peaks[20] + 40 : peaks[20] + 50] = np.nan  # too few to lose time
    beats = cut_centred(signal, FS, (peaks, np.zeros(len(peaks), dtype=np.int64)))
    kept = np.isin(peaks, beats.positions)
    assert not kept[20] and beats.account.dropped["hold missing samples"] == 1
    assert beats.context.features.tolist() == record_context(signal, peaks).features[kept].tolist()


def test_difference_is_clipped() -> None:
    peaks = peaks_by_hand()
    signal = signal_by_hand(peaks, early_height=50.0)
    assert record_context(signal, peaks).difference[EARLY].max() == 8


# -------------------------------------------------------------------------------------------------- baseline


def test_the_baseline_is_what_is_slower_than_a_beat() -> None:
    time = np.arange(7200) / FS
    wander = 3 + 0.5 * np.sin(2 * np.pi * 0.1 * time)  # 10 s
    assert np.abs(remove_baseline(wander))[360:-360].max() < 0.02
    peaks = np.arange(300, 7000, 300)
    pulses = signal_by_hand(peaks)[:7200]
    kept = remove_baseline(pulses)
    assert kept[peaks] == pytest.approx(np.ones(len(peaks)))
    assert kept[peaks - 50] == pytest.approx(np.where(peaks == peaks[EARLY], 0, 0.1))


# ---------------------------------------------------------------------------- what must not change a feature


@fewer_examples
@given(st.integers(0, 1000), st.integers(-12, 12))
def test_the_gain_of_a_record_changes_nothing(seed: int, exponent: int) -> None:
    signal, peaks = random_record(seed=seed)
    context, scaled = record_context(signal, peaks), record_context(2.0**exponent * signal, peaks)
    np.testing.assert_array_equal(context.features, scaled.features)  # a power of 2 rounds nothing
    np.testing.assert_array_equal(context.difference, scaled.difference)


@pytest.mark.parametrize(("gain", "offset"), [(1000.0, 0.0), (0.003, 0.0), (1.0, 5.0), (200.0, 1024.0)])
def test_unit_and_offset_change_nothing(gain: float, offset: float) -> None:
    signal, peaks = random_record()
    context, other = record_context(signal, peaks), record_context(gain * signal + offset, peaks)
    np.testing.assert_allclose(other.features, context.features, atol=1e-4)
    np.testing.assert_allclose(other.difference, context.difference, atol=1e-4)


def test_another_record_changes_nothing_and_the_input_stays_as_it_is() -> None:
    signal, peaks = random_record(seed=1)
    signal[500:600] = np.nan
    given_signal, given_peaks = signal.copy(), peaks.copy()
    first = record_context(signal, peaks)
    record_context(*random_record(seed=2))
    again = record_context(signal, peaks)
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.difference, again.difference)
    np.testing.assert_array_equal(signal, given_signal)
    np.testing.assert_array_equal(peaks, given_peaks)


def test_a_long_record_is_taken_in_stretches_of_half_an_hour() -> None:
    slow, fast = np.full(1800, 360), np.full(3600, 180)  # 30 min at 60 and 30 min at 120 beats a minute
    peaks = np.cumsum(np.concatenate([slow, fast]))
    signal = np.zeros(peaks[-1] + 360)
    for offset in range(*QRS_WAVE):
        signal[peaks + offset] = np.where(np.arange(len(peaks)) < 1800, 1.0, -3.0)  # electrodes changed
    both = columns(record_context(signal, peaks))
    assert both["log_pre_mean_record"][[900, 3600]] == pytest.approx([0, 0], abs=1e-3)
    assert both["qrs_correlation"][[900, 3600]] == pytest.approx([1, 1])
    assert both["log_amplitude_ratio"][[900, 3600]] == pytest.approx([0, 0])


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


# -------------------------------------------------------------------------------------------------- any record


@fewer_examples
@given(
    beats=st.sampled_from([0, 1, 2, 10, 80]),
    gaps=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5)), max_size=3),
    kind=st.sampled_from(["record", "flat", "ramp", "missing", "spike", "short"]),
    gain=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 100),
)
def test_every_beat_of_any_record_has_a_context(
    beats: int, gaps: list[tuple[float, float]], kind: str, gain: float, seed: int
) -> None:
    signal, peaks = random_record(max(beats, 1), seed)
    peaks = peaks[:beats]
    if kind == "flat":
        signal = np.full(len(signal), 0.7)
    elif kind == "ramp":
        signal = np.linspace(-1, 2, len(signal))
    elif kind == "missing":
        signal = np.full(len(signal), np.nan)
    elif kind == "spike":
        signal = np.zeros(len(signal))
        signal[-1] = 1
    elif kind == "short":
        signal = signal[: len(signal) // 2]  # beats annotated beyond the end
    for start, length in gaps:
        begin = int(start * len(signal))
        signal[begin : begin + int(length * len(signal))] = np.nan
    context = record_context(gain * signal, peaks)
    assert context.features.shape == (beats, 35)
    assert context.difference.shape == (beats, 186)
    assert context.features.dtype == context.difference.dtype == np.float32
    assert np.isfinite(context.features).all()
    assert np.isfinite(context.difference).all()
    assert np.abs(context.difference).max(initial=0) <= 8


def test_without_signal_the_rhythm_is_still_there() -> None:
    peaks = peaks_by_hand()
    missing = columns(record_context(np.full(peaks[-1] + RR, np.nan), peaks))
    assert missing["log_pre_mean10"][EARLY] == pytest.approx(np.log(200 / 300))
    assert missing["p_correlation"] == pytest.approx(np.zeros(30))
    assert missing["log_amplitude_ratio"] == pytest.approx(np.zeros(30))


def test_a_single_beat_is_its_own_dominant_beat() -> None:
    context = record_context(signal_by_hand(np.array([RR])), np.array([RR]))
    single = columns(context)
    assert single["qrs_correlation"] == pytest.approx([1])
    for name in local_rhythm(*rr_intervals(np.array([RR]))):
        assert single[name] == pytest.approx([0]), name
    assert context.difference == pytest.approx(np.zeros((1, 186)), abs=1e-9)


# -------------------------------------------------------------------------------------------- a real patient


@needs("mitdb")
def test_what_a_cardiologist_sees_in_record_220() -> None:
    """94 premature atrial beats of normal shape in a regular sinus rhythm."""
    signal = wfdb.rdrecord(str(MITDB / "220"), channels=[0]).p_signal[:, 0]
    annotation = wfdb.rdann(str(MITDB / "220"), "atr")
    labels = meanings.aami_labels(annotation.symbol)
    found = columns(record_context(signal, annotation.sample[labels >= 0]))
    normal, early = (labels[labels >= 0] == meanings.AAMI_CLASSES.index(name) for name in "NS")
    assert (normal.sum(), early.sum()) == (1954, 94)
    assert (found["prematurity10"][early] > np.quantile(found["prematurity10"][normal], 0.99)).mean() > 0.8
    assert found["qrs_correlation"][early].min() > 0.9
    assert np.median(found["p_correlation"][normal]) > 0.9
    assert np.median(found["p_correlation"][early]) < 0.5
    assert np.median(found["p_coherence30"]) > 0.7


def split_contents(raw: Path, out: Path, *options: str) -> dict[str, dict[str, Any]]:
    """The split files that the command line makes of the records in `raw`."""
    assert run("--dataset", "mit", "--raw_path", raw, "--out", out, *options) == 0
    return read_splits(out / "mit")


def by_beat(contents: dict[str, dict[str, Any]], key: str) -> dict[tuple[str, int], torch.Tensor]:
    """An entry of all three files, by record and position."""
    return {
        (content["record_names"][record], position): value
        for content in contents.values()
        for record, position, value in zip(
            content["records"].tolist(), content["positions"].tolist(), content[key], strict=True
        )
    }


def test_split_files_hold_the_context_of_their_beats(tmp_path: Path) -> None:
    """Row by row; the same whatever else is in the folder, and whatever the beats are called."""
    write_synthetic_mit(tmp_path / "raw", 3, 0.5, 0)
    contents = split_contents(tmp_path / "raw", tmp_path / "three")
    for content in contents.values():
        assert content["context_names"] == list(CONTEXT_NAMES)
        assert content["context"].shape == (len(content["labels"]), len(CONTEXT_NAMES))
        assert content["context"].dtype == torch.float32
        assert content["difference"].shape == (len(content["labels"]), 186)
    features, differences = by_beat(contents, "context"), by_beat(contents, "difference")

    record, annotation = wfdb.rdrecord(str(tmp_path / "raw/m002")), wfdb.rdann(str(tmp_path / "raw/m002"), "atr")
    beats = meanings.aami_labels(annotation.symbol) != meanings.NO_BEAT
    expected = record_context(record.p_signal[:, 0], annotation.sample[beats])
    chosen = [
        (row, position) for row, position in enumerate(annotation.sample[beats]) if ("m002", position) in features
    ]
    assert len(chosen) > 20
    for row, position in chosen:
        np.testing.assert_array_equal(features["m002", position].numpy(), expected.features[row])
        np.testing.assert_allclose(differences["m002", position].float().numpy(), expected.difference[row], atol=0.004)

    for suffix in (".dat", ".hea"):  # the second patient by itself, and all beats called N but a few
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / f"m002{suffix}").write_bytes((tmp_path / f"raw/m002{suffix}").read_bytes())
    symbols = ["NAV"[number % 3] if number < 15 else "N" for number in range(int(beats.sum()))]
    wfdb.wrann("m002", "atr", annotation.sample[beats], symbols, fs=360, write_dir=str(tmp_path / "one"))
    alone = by_beat(split_contents(tmp_path / "one", tmp_path / "alone"), "context")
    assert len(alone) > 20
    assert all(torch.equal(value, features[place]) for place, value in alone.items())


def test_the_kaggle_window_has_no_context(tmp_path: Path) -> None:
    write_synthetic_mit(tmp_path / "raw", 3, 0.5, 0)
    contents = split_contents(tmp_path / "raw", tmp_path, "--window", "kaggle")
    assert all("context" not in content and "difference" not in content for content in contents.values())


def test_the_context_of_classes_that_are_kept(tmp_path: Path) -> None:
    write_synthetic_mit(tmp_path / "raw", 4, 0.5, 0)
    whole = by_beat(split_contents(tmp_path / "raw", tmp_path / "all"), "context")
    some = by_beat(split_contents(tmp_path / "raw", tmp_path / "some", "--classes", "N", "V"), "context")
    assert 0 < len(some) < len(whole)
    assert all(torch.equal(value, whole[place]) for place, value in some.items())
