"""The detector: beats made by hand at many rates, and real records where they are present."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import MITDB, needs
from made_signals import beat_times, ecg_of

import ec57
from benchmarks.detector import read_records, score
from preprocess.detect import MARGIN, PART, deflection_sizes, detect_beats, detect_in_parts
from report import pauses
from report.pauses import deflection_between, deflection_test
from support.errors import InputError


def assert_found(found: np.ndarray, times: np.ndarray, fs: float, within: float = 0.01) -> None:
    assert found.dtype == np.int64
    assert len(found) == len(times)
    assert np.abs(found / fs - times).max() <= within + 1 / fs


@pytest.mark.parametrize("fs", [100, 125, 128, 250, 257.3, 360, 500, 1000])
def test_beats_are_found_where_they_are_at_any_rate(fs: float) -> None:
    times = beat_times(40)
    assert_found(detect_beats(ecg_of(times, fs, 40), fs), times, fs)


@pytest.mark.parametrize("change", [lambda x: -x, lambda x: 1000 * x, lambda x: 1e-6 * x, lambda x: x + 500])
def test_polarity_unit_and_offset_do_not_matter(change: Callable[[np.ndarray], np.ndarray]) -> None:
    times = beat_times(40, seed=1)
    signal = ecg_of(times, 250, 40)
    assert detect_beats(change(signal), 250).tolist() == detect_beats(signal, 250).tolist()


@pytest.mark.parametrize("size, is_beat", [(0.35, False), (0.5, True)])
@pytest.mark.parametrize("interpolated", [[9.95], [9.95, 10.85], [0.95, 38.75]])
def test_a_low_deflection_is_no_beat_where_the_usual_interval_leaves_no_room(
    size: float, is_beat: bool, interpolated: list[float]
) -> None:
    times, others = np.arange(0.5, 39.9, 0.9), np.array(interpolated)
    signal = ecg_of(times, 360, 40) + size * ecg_of(others, 360, 40, noise=0)
    assert_found(detect_beats(signal, 360), np.sort(np.append(times, others)) if is_beat else times, 360)


def test_low_beats_where_there_is_room_or_in_a_run_are_found() -> None:
    usual, low = np.arange(0.5, 39.9, 0.9), np.arange(10.1, 13, 0.55)
    low = np.append(low, usual[30])
    usual = usual[((usual < 9.8) | (usual > 13.2)) & (usual != usual[30])]
    signal = ecg_of(usual, 360, 40) + 0.35 * ecg_of(low, 360, 40)
    assert_found(detect_beats(signal, 360), np.sort(np.concatenate([usual, low])), 360)


def test_a_beat_between_two_high_ones_that_is_not_low_itself_is_found() -> None:
    usual = np.arange(0.5, 39.9, 0.76)
    begin, usual = usual[20], np.delete(usual, [21, 22])
    high, between = begin + np.array([0.41, 1.36]), begin + np.array([0.91])  # V N V; between these no beat is due
    signal = ecg_of(usual, 360, 40) + 2 * ecg_of(high, 360, 40, noise=0) + 0.65 * ecg_of(between, 360, 40, noise=0)
    assert_found(detect_beats(signal, 360), np.sort(np.concatenate([usual, high, between])), 360)


def test_baseline_wander_and_mains_hum_do_not_matter() -> None:
    times, time = beat_times(40, seed=2), np.arange(40 * 360) / 360
    signal = ecg_of(times, 360, 40) + 3 * np.sin(2 * np.pi * 0.3 * time) + 0.1 * np.sin(2 * np.pi * 50 * time)
    assert_found(detect_beats(signal, 360), times, 360)


@pytest.mark.parametrize("rate", [30, 180, 240, 280])
def test_slow_and_fast_rhythms(rate: float) -> None:
    times = np.arange(1.0, 39, 60 / rate)
    wide = np.zeros(40 * 250)
    for beat in times:  # no P or T wave has room between beats as fast as these
        wide += np.exp(-0.5 * ((np.arange(len(wide)) / 250 - beat) / 0.02) ** 2)
    assert_found(detect_beats(wide, 250), times, 250)


def test_a_low_beat_among_high_ones_is_found_and_a_high_t_wave_is_none() -> None:
    times = np.arange(1.0, 29, 0.9)
    signal = ecg_of(times, 360, 30)
    low = round(times[15] * 360)
    signal[low - 30 : low + 31] *= 0.35
    assert_found(detect_beats(signal, 360), times, 360)
    time = np.arange(len(signal)) / 360
    for beat in times:
        signal += 0.7 * np.exp(-0.5 * ((time - beat - 0.28) / 0.045) ** 2)  # T waves of 1 mV in all
    assert_found(detect_beats(signal, 360), times, 360)


def test_a_gap_is_left_out_and_disturbs_nothing_around_it() -> None:
    times = beat_times(60, seed=3)
    signal = ecg_of(times, 250, 60)
    whole = detect_beats(signal, 250)
    signal[20 * 250 : 35 * 250] = np.nan
    signal[7] = np.inf
    found = detect_beats(signal, 250)
    outside = (whole < 19.5 * 250) | (whole > 35.5 * 250)
    assert whole[outside].tolist() == found[(found < 19.5 * 250) | (found > 35.5 * 250)].tolist()
    assert not ((found >= 20 * 250) & (found < 35 * 250)).any()


def test_an_r_peak_is_a_sample_that_is_there() -> None:
    times = beat_times(40)
    signal = ecg_of(times, 250, 40)
    for beat in times[::3]:
        at = round(beat * 250)
        signal[at - 2 : at + 3] = np.nan  # the top of its R wave
    found = detect_beats(signal, 250)
    assert len(found) == len(times) and np.isfinite(signal[found]).all()


def test_no_wave_is_a_beat_in_a_few_seconds_between_long_gaps() -> None:
    times, gap = np.arange(1.0, 29, 0.9), np.full(100 * 250, np.nan)
    signal = ecg_of(times, 250, 30)
    found = detect_beats(np.concatenate([signal, gap, signal[: round(4.4 * 250)], gap, signal]), 250)
    assert_found(found, np.concatenate([times, 130 + times[times < 4.4], 234.4 + times]), 250)


def test_a_pause_is_not_filled() -> None:
    times = np.concatenate([np.arange(1, 30, 0.8), np.arange(49, 80, 0.8)])  # 19 s without a beat, noise goes on
    assert_found(detect_beats(ecg_of(times, 250, 80), 250), times, 250)


@pytest.mark.parametrize(
    "signal", [np.zeros(3600), np.zeros(0), np.ones(100), np.full(3600, np.nan), np.full(3600, 0.3)]
)
def test_no_beats_in_nothing(signal: np.ndarray) -> None:
    assert detect_beats(signal, 360).tolist() == []


def test_a_second_and_noise_alone_are_no_error() -> None:
    assert_found(detect_beats(ecg_of(np.array([0.5]), 360, 1), 360), np.array([0.5]), 360)
    noise = np.random.default_rng(0).standard_normal(20 * 360)
    found = detect_beats(noise, 360)  # what is not a beat at all is for report.quality to say
    assert (np.diff(found) > 0).all() and len(found) < 20 * 6


@pytest.mark.parametrize("shape", [(2, 3600), (3600, 2), ()])
def test_a_signal_that_is_not_one_lead_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"signal of shape \(.*\): \(n,\) samples of one lead are needed"):
        detect_beats(np.zeros(shape), 360)


@pytest.mark.parametrize("fs", [0, 40, -360, np.nan])
def test_a_rate_that_is_too_low_is_refused(fs: float) -> None:
    with pytest.raises(InputError, match="at least 50 Hz are needed"):
        detect_beats(np.zeros(1000), fs)


@pytest.mark.parametrize("part", [10, 37.5, 100])
def test_the_borders_of_parts_change_nothing(part: float) -> None:
    times = beat_times(400, seed=4)
    signal = ecg_of(times, 125, 400, noise=0.15)  # so noisy that candidates are near their thresholds
    signal[10_000:12_000] = np.nan
    signal[30_000:30_100] += 20
    signal[40_000:] *= 3
    asked = []

    def read(start: int, stop: int) -> np.ndarray:
        asked.append(stop - start)
        return signal[start:stop]

    whole = detect_in_parts(lambda start, stop: signal[start:stop], len(signal), 125, part=len(signal) / 125 + 1)
    assert detect_in_parts(read, len(signal), 125, part=part).tolist() == whole.tolist()
    assert max(asked) <= (part + 1 + 2 * (MARGIN + 5)) * 125  # a part and its margins are all that is in memory


def test_a_long_signal_is_read_in_parts() -> None:
    longest = 0

    def read(start: int, stop: int) -> np.ndarray:
        nonlocal longest
        longest = max(longest, stop - start)
        return np.zeros(stop - start)

    assert len(detect_in_parts(read, 100 * 3600 * 4, 100)) == 0
    assert longest <= (PART + 2 * (MARGIN + 5)) * 100


@pytest.mark.parametrize("size", [1.0, 0.3])
def test_a_deflection_in_a_pause(size: float) -> None:
    times = np.array([1, 1.8, 2.6, 3.4, 6.4, 7.2, 8.0])
    fs = 250.0
    signal = ecg_of(times, fs, 9) + size * ecg_of(np.array([4.9]), fs, 9, noise=0)
    sizes = deflection_sizes(signal, fs)
    typical = float(np.median(sizes[(times * fs).astype(int)]))
    assert deflection_between(sizes, fs, round(3.4 * fs), round(6.4 * fs), typical) == (size == 1.0)
    assert not deflection_between(sizes, fs, round(1 * fs), round(1.8 * fs), typical)  # T and P waves are none
    assert not deflection_between(sizes, fs, 250, 300, typical)  # no room


def test_a_pause_is_filtered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times, fs, filtered = np.array([1, 1.8, 2.6, 3.4, 6.4, 7.2, 8.0]), 250.0, []
    signal, peaks = ecg_of(times, fs, 9), (times * fs).astype(int)
    monkeypatch.setattr(pauses, "deflection_sizes", lambda *given: filtered.append(given) or deflection_sizes(*given))
    assert not deflection_test(lambda start, stop: signal[start:stop], len(signal), fs, peaks)(peaks[3], peaks[4])
    assert len(filtered) == 1


@pytest.mark.parametrize("swing", [0.0, 0.5, 0.65, 1.5])
def test_a_slow_swing_in_a_pause_may_hide_a_beat(swing: float) -> None:
    times = np.array([1, 1.8, 2.6, 3.4, 6.4, 7.2, 8.0])
    fs = 250.0
    signal = ecg_of(times, fs, 9)
    peaks = (times * fs).astype(int)
    height = np.ptp(signal[peaks[1] - 12 : peaks[1] + 20])
    signal += swing * height * np.exp(-((np.arange(len(signal)) / fs - 4.9) ** 2) / 0.5)  # nothing above 2 Hz
    may_hide = deflection_test(lambda start, stop: signal[start:stop], len(signal), fs, peaks)
    assert may_hide(peaks[3], peaks[4]) == (swing > 0.6)
    assert not may_hide(peaks[0], peaks[1])


def test_a_t_wave_as_high_as_its_qrs_hides_no_beat() -> None:
    times, fs = np.array([1, 1.8, 2.6, 3.4, 6.4, 7.2, 8.0]), 250.0
    signal, peaks = ecg_of(times, fs, 9), (times * fs).astype(int)
    for peak in peaks:
        signal += 0.9 * np.exp(-0.5 * (((np.arange(len(signal)) - peak) / fs - 0.28) / 0.045) ** 2)
    assert not deflection_test(lambda start, stop: signal[start:stop], len(signal), fs, peaks)(peaks[3], peaks[4])


@needs("mitdb")
@pytest.mark.parametrize(
    ("name", "missed", "false"),
    [("100", 0, 1), ("108", 8, 80), ("207", 5, 15)],  # clean; inverted with high P waves; blocks and flutter
)
def test_real_records(name: str, missed: int, false: int) -> None:
    record = next(one for one in read_records(MITDB) if one.name == name)
    figures = score(record)
    assert figures.found.whole - figures.found.part <= missed
    assert figures.right.whole - figures.right.part <= false
    assert abs(np.median(figures.offsets)) <= 3  # ms
    assert np.mean(np.abs(figures.offsets) <= 8.4) > 0.8  # 3 samples at 360 Hz


@needs("mitdb")
def test_units_of_a_real_record_do_not_matter() -> None:
    record = next(one for one in read_records(MITDB) if one.name == "119")
    part = record.signal[: 60 * 360]
    whole = detect_beats(part, 360)
    assert detect_beats(-200 * part + 1024, 360).tolist() == whole.tolist()
    annotated = [at for at, symbol in zip(record.reference.times, record.reference.symbols, strict=True)
                 if symbol in ec57.Protocol().classes and at < len(part)]  # fmt: skip
    assert len(whole) == len(annotated)
