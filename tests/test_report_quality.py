"""Unreadable time: made signals, and noise and flutter of real records where they are present."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import MITDB, RAW, ROOT, needs
from made_signals import FS, clean, ecg_of, fibrillating

from benchmarks.detector import read_records
from benchmarks.quality import WITHOUT_SPARING, Examined
from preprocess.detect import MARGIN, PART, band_pass, detect_beats
from report.definitions import Quality
from report.flutter import Waves, marked_flutter, possible_flutter, vf_filter, vf_filtered
from report.given import GivenBeats, between_given_beats
from report.quality import Unreadable, quiet_pauses, unreadable
from report.shapes import likeness, unit_shapes
from support.errors import InputError


def judged(signal: np.ndarray, fs: float = FS, **thresholds: Any) -> list[Unreadable]:
    beats = detect_beats(signal, fs)
    return unreadable(lambda start, stop: signal[start:stop], len(signal), fs, beats, Quality(**thresholds))


def assert_one(found: list[Unreadable], reason: str, start: float, end: float, within: float, fs: float = FS) -> None:
    assert [one.reason for one in found] == [reason]
    assert found[0].start / fs == pytest.approx(start, abs=within)
    assert found[0].end / fs == pytest.approx(end, abs=within)


@pytest.mark.parametrize("fs", [100, 250, 1000])
def test_all_of_a_clean_signal_is_readable(fs: float) -> None:
    assert judged(clean(60, fs), fs) == []
    assert judged(-clean(60, fs), fs) == []


@pytest.mark.parametrize("seconds", [0, 0.004, 1, 3])
def test_short_signals(seconds: float) -> None:
    assert judged(clean(120)[: round(seconds * FS)]) == []


def test_missing_samples() -> None:
    signal = clean()
    signal[10_000:15_000] = np.nan
    signal[5_000:5_010] = np.nan  # 40 ms, which a line bridges
    assert judged(signal) == [(10_000, 15_000, "missing")]
    both = [(5_000, 5_010, "missing"), (10_000, 15_000, "missing")]
    assert judged(signal, missing_longest=0.03) == both
    assert judged(np.full(3000, np.nan)) == [(0, 3000, "missing")]


def test_a_lead_that_is_off() -> None:
    signal = clean()
    signal[10_000:15_000] = 0.1 + 0.002 * np.random.default_rng(1).standard_normal(5_000).clip(-2, 2)
    assert_one(judged(signal), "flat", 40, 60, within=0.02)
    assert judged(np.full(30_000, -5.0)) == [(0, 30_000, "flat")]


@pytest.mark.parametrize("offset", [-0.5, 0.0, 0.5, 2.5])
def test_a_lead_that_is_off_may_move_by_two_steps_of_5_uv_at_any_offset(offset: float) -> None:
    """They are 0.01 mV, and in float64 at some offsets a hair more."""
    steps = np.round(200 * (clean() + offset))
    steps[10_000:15_000] = 200 * offset + np.random.default_rng(1).integers(-1, 2, 5_000)
    assert_one(judged(steps / 200), "flat", 40, 60, within=0.02)


@pytest.mark.parametrize(
    ("value", "apart", "is_quiet"),
    [
        ("quiet", 4.0, True),
        ("still", 4.0, False),  # a lead that is off, or lost data that a recorder filled
        ("quiet", 15.0, True),
        ("quiet", 15.1, False),
    ],
)
def test_a_flat_line_that_moves_between_two_beats_may_be_a_pause(value: str, apart: float, is_quiet: bool) -> None:
    signal = clean(120, noise=0.002)
    beats = detect_beats(signal, FS)
    first = int(beats[40])
    past = first + round(apart * FS)  # the next beat
    rest = signal[beats[41] - FS // 5 :]
    noise = np.random.default_rng(3).normal(0, 0.001, len(signal)).clip(-0.003, 0.003)
    quiet = noise if value == "quiet" else np.zeros(len(signal))
    begin, end = first + FS // 2, past - FS // 5
    signal = np.concatenate([signal[:begin], signal[begin] + quiet[: end - begin], rest])
    beats = np.concatenate([beats[:41], beats[41:] + past - beats[41]])
    lost = judged(signal)
    assert [part.reason for part in lost] == ["flat"]

    def found(lost: list[Unreadable], *begins: int) -> dict[int, Unreadable]:
        return quiet_pauses(lambda a, b: signal[a:b], FS, lost, beats, (2.0 * FS, 15.0 * FS), np.array(begins))

    expected = {first: lost[0]} if is_quiet else {}
    assert found(lost) == found(lost, first, past + 1) == expected
    for begin in (first + 1, past):  # of flutter, or of another segment: how far the beats are apart is not known
        assert found(lost, begin) == {}
    for begin in (past - 10, past):  # in lost time a beat does not count
        assert found([*lost, Unreadable(begin, begin + 5, "missing")]) == {}
    assert found([*lost, Unreadable(past + 1, past + 5, "missing")]) == expected


def test_samples_lost_now_and_then_do_not_hide_a_lead_that_is_off() -> None:
    signal = clean()
    signal[10_000:15_000] = -0.2
    signal[20_000:20_250] = signal.max() + 1.0  # at the limit, longer than a clipped QRS complex
    whole = judged(signal)
    assert [part.reason for part in whole] == ["flat", "saturation"]
    signal[17::FS] = np.nan
    assert judged(signal) == whole


def test_beats_are_not_read_between_noise_and_a_lead_that_is_off() -> None:
    signal, rng = clean(), np.random.default_rng(2)
    signal[10_000:14_000] = 0.1
    for start in (9_000, 14_125):  # half a second after the lead is on again
        signal[start : start + 1_000] += 2 * rng.standard_normal(1_000)
    found = judged(signal)
    assert [one.reason for one in found] == ["noise", "flat", "noise"]
    assert found[0].end == found[1].start and found[1].end == found[2].start
    between = judged(signal, noise_bridge=0.01)
    assert any(one.end < other.start for one, other in pairwise(between))


def test_a_pause_is_no_lead_that_is_off() -> None:
    times = np.concatenate([np.arange(1, 30, 0.8), np.arange(36, 80, 0.8)])
    assert judged(ecg_of(times, FS, 80, noise=0.01)) == []


def test_a_flat_stretch_across_the_border_of_two_parts_is_one() -> None:
    signal = clean(700, 100)
    signal[59_000:61_000] = -0.7
    assert judged(signal, 100) == [(59_000, 61_000, "flat")]
    signal[59_910:60_080] = 4.0  # the highest value, a rail; too short for a lead that is off
    signal[59_000:59_910] = signal[20_000:20_910]
    signal[60_080:61_000] = signal[20_910:21_830]
    assert judged(signal, 100) == [(59_910, 60_080, "saturation")]


def test_saturation() -> None:
    signal = clean()
    signal[10_000:10_300] += 20
    signal[12_000:12_400] -= 20
    signal = signal.clip(-5, 5)
    found = judged(signal)
    assert [(one.start, one.end) for one in found if one.reason == "saturation"] == [(10_000, 10_300), (12_000, 12_400)]


@pytest.mark.parametrize("glitch", [5.005, 5.09, 30.0])  # mV
def test_a_glitch_hides_no_saturation(glitch: float) -> None:
    signal = clean()
    signal[10_000:10_300] += 20
    signal[12_000:12_400] -= 20
    signal = signal.clip(-5, 5)
    signal[20_000:20_003], signal[25_000] = glitch, -glitch
    found = [(one.start, one.end) for one in judged(signal) if one.reason == "saturation"]
    assert found == [(10_000, 10_300), (12_000, 12_400)]


def test_a_level_baseline_that_is_the_lowest_value_is_not_saturation() -> None:
    signal = np.zeros(60 * 250)
    signal[100:-100:200] = 1.0  # upright waves on nothing, as a simulator or an export without noise has them
    signal[130:-100:200] = 0.2
    assert not judged(signal + 0.5)


def test_clipped_beats_are_readable() -> None:
    assert judged(clean().clip(-0.2, 0.5)) == []


@pytest.mark.parametrize("size", [0.3, 1.0])  # mV; QRS complexes have 1
@pytest.mark.parametrize("slow", [3, 10, 20])  # samples: the last is as slow as QRS complexes
def test_noise(size: float, slow: int) -> None:
    signal, rng = clean(300), np.random.default_rng(2)
    motion = np.convolve(rng.standard_normal(100 * FS), np.hanning(slow), mode="same")
    signal[100 * FS : 200 * FS] += size * motion / motion.std()
    assert_one(judged(signal), "noise", 100, 200, within=6)


def test_a_recording_of_noise_alone() -> None:
    noise = np.random.default_rng(3).standard_normal(120 * FS)
    assert sum(one.end - one.start for one in judged(noise)) > 0.9 * len(noise)


def mains(seconds: float, fs: float, frequency: float = 50.0, size: float = 0.5, noise: float = 0.01) -> np.ndarray:
    """The hum of a lead that is off, in mV; its size drifts by a tenth."""
    time = np.arange(round(seconds * fs)) / fs
    drift = 1 + 0.1 * np.sin(2 * np.pi * 0.05 * time)
    hum = size * drift * np.sin(2 * np.pi * frequency * time + 0.3)
    return hum + noise * np.random.default_rng(7).standard_normal(len(time))


@pytest.mark.parametrize("fs", [100, 128, 250, 360, 1000])
@pytest.mark.parametrize("frequency", [49.9, 60.0])  # Hz; of 100 samples a second 60 Hz make 40
@pytest.mark.parametrize("size", [0.5, 2.0])
def test_hum_alone_is_noise(fs: float, frequency: float, size: float) -> None:
    signal = mains(120, fs, frequency, size)
    assert judged(signal, fs) == [(0, len(signal), "noise")]
    assert judged(mains(120, fs, frequency, size, noise=0.0), fs) == [(0, len(signal), "noise")]
    signal = clean(120, fs)
    signal[round(40 * fs) : round(80 * fs)] = mains(40, fs, frequency, size)
    assert_one(judged(signal, fs), "noise", 40, 80, within=2.6, fs=fs)


def test_hum_beside_an_ecg_is_readable_and_so_is_a_pause_in_it() -> None:
    for size in (0.05, 0.3):
        assert judged(clean() + mains(120, FS, size=size)) == []
        times = np.concatenate([np.arange(1, 40, 0.8), np.arange(52, 120, 0.8)])
        assert judged(ecg_of(times, FS, 120, noise=0.01) + mains(120, FS, size=size)) == []
    assert judged(ecg_of(times, FS, 120, noise=0.01) + mains(120, FS, size=size), hum_rise=0.5) != []


@needs("mitdb")
def test_hum_in_a_real_record_is_noise() -> None:
    record = next(one for one in read_records(MITDB) if one.name == "100")
    fs, signal = record.fs, record.signal[: round(120 * record.fs)].copy()
    assert judged(signal, fs) == []
    for hum in (mains(40, fs, 50.0, 1.5, 0.02) + mains(40, fs, 100.0, 0.3, 0.0), mains(40, fs)):
        signal[round(40 * fs) : round(80 * fs)] = hum
        assert_one(judged(signal, fs), "noise", 40, 80, within=2.6, fs=fs)


OFF = {name: getattr(WITHOUT_SPARING, name) for name in ("noise_quiet", "noise_between", "noise_run_beats")}
"""Thresholds with which unlike beats, and tachycardias, are noise."""


def test_a_run_of_large_fast_beats_is_no_noise_but_noise_in_a_tachycardia_is() -> None:
    rng = np.random.default_rng(7)
    signal, time = clean(), np.arange(3 * FS) / FS
    angle = 2 * np.pi * 2.7 * time  # 160 a minute
    signal[60 * FS : 63 * FS] = 2 * np.sin(angle) + 1.2 * np.sin(2 * angle + 1) + 0.8 * np.sin(3 * angle + 2)
    assert [part.reason for part in judged(signal, **OFF)] == ["noise"]
    assert judged(signal) == []
    fast = ecg_of(np.cumsum(60 / 140 * (1 + 0.03 * rng.standard_normal(270))), FS, 120)
    fast[40 * FS : 80 * FS] += 0.4 * rng.standard_normal(40 * FS)
    assert_one(judged(fast), "noise", 40, 80, within=3)
    assert judged(fast) == judged(fast, **OFF)


def test_ventricular_fibrillation_is_no_noise() -> None:
    assert judged(fibrillating()) == []


def flutter_in(signal: np.ndarray, fs: float = FS) -> list[list[int]]:
    """Seconds, [start, end)."""
    waves = vf_filtered(lambda start, stop: signal[start:stop].copy(), len(signal), fs)
    found = possible_flutter(waves, len(signal), fs)
    return np.round(found / fs).astype(int).tolist()


def test_ventricular_fibrillation_is_found() -> None:
    ((start, end),) = flutter_in(fibrillating())
    assert abs(start - 40) <= 3 and abs(end - 80) <= 3
    assert flutter_in(fibrillating()[: 20 * FS]) == []  # beats alone


@pytest.mark.parametrize(
    ("symbols", "found"),
    [
        ("N[!]N", [[1, 3]]),
        ("]N[!N", [[2, 9]]),
        ("[[]N[", [[0, 2], [4, 9]]),
        ("NN", []),
        ("NNNNNNNNN[", []),  # the first sample after the recording
    ],
)
def test_marked_flutter_ends_at_its_mark_or_with_the_recording(symbols: str, found: list[list[int]]) -> None:
    assert marked_flutter(range(len(symbols)), symbols, 9).tolist() == found


@pytest.mark.parametrize(
    "rate", [1.8, 2.6, 50.0]
)  # Hz: steps of somebody who walks, a tachycardia of 156/min, the mains
def test_a_wave_too_slow_or_too_fast_is_no_flutter(rate: float) -> None:
    signal, time = clean(120), np.arange(40 * FS) / FS
    signal[40 * FS : 80 * FS] = np.sin(2 * np.pi * rate * time)
    assert flutter_in(signal) == []


@pytest.mark.parametrize(("seconds", "found"), [(2, []), (3, [[2125, 3375]])])
def test_flutter_has_low_leakage_for_3_s(seconds: int, found: list[list[int]]) -> None:
    """Nearly sinusoidal from 8.5 to 13.5 s, some seconds of it nearer."""
    leakage = np.ones(20)
    leakage[9:14], leakage[10 : 10 + seconds] = 0.5, 0.4
    assert possible_flutter(Waves(leakage, np.full(20, 300.0)), 20 * FS, FS).tolist() == found


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("missing", [(100, 9000)]),
        ("noise", [(2200, 9000)]),  # longer than 4000 without a beat or flutter
        ("flat", [(101, 1000), (1201, 2000), (2200, 9000)]),  # longer than 500
        ("saturation", [(101, 1000), (1201, 2000), (2200, 9000)]),
    ],
)
def test_what_is_annotated_could_be_read(reason: str, left: list[tuple[int, int]]) -> None:
    """No beat is in what is left, not even one at its first sample."""
    peaks = np.array([100, 1000, 1200])
    given = GivenBeats(peaks, np.full(3, "N"), np.zeros(3, dtype=bool), np.array([[2000, 2200]]))
    found = between_given_beats([Unreadable(100, 9000, reason)], given, longest_noise=4000, longest_level=500)
    assert found == [Unreadable(*span, reason) for span in left]


def test_where_much_is_missing_flutter_is_not_known() -> None:
    signal, whole = fibrillating(), flutter_in(fibrillating())
    signal[41 * FS : 80 * FS : FS] = np.nan  # a sample a second, which a line bridges
    assert flutter_in(signal) == whole
    for start in range(41 * FS, 80 * FS, 2 * FS):
        signal[start : start + FS // 8] = np.nan
    assert flutter_in(signal) == []


def test_noise_of_the_band_of_flutter_is_noise() -> None:
    """Its leakage goes below 0.57, but never stays near that of a sine."""
    signal, rng = clean(300), np.random.default_rng(6)
    motion = band_pass(rng.standard_normal(100 * FS), FS, (0.5, 12.0))
    signal[100 * FS : 200 * FS] += 1.2 * motion / motion.std()
    assert_one(judged(signal), "noise", 100, 200, within=6)
    assert flutter_in(signal) == []


def test_the_first_reason_is_given_once() -> None:
    signal = clean()
    signal[10_000:15_000] = np.nan
    signal[15_000:20_000] = 9.0  # flat and at its highest value
    assert judged(signal) == [(10_000, 15_000, "missing"), (15_000, 20_000, "flat")]


def test_flutter_waves_between_beats_are_no_noise() -> None:
    time = np.arange(60 * FS) / FS
    waves = 0.15 * ((4.8 * time) % 1 - 0.5)  # a saw-tooth of 288 waves a minute, four to a beat
    assert judged(ecg_of(np.arange(1, 59, 4 / 4.8), FS, 60) + waves) == []


def test_the_scale_matters_to_flat_leads_alone() -> None:
    signal = clean(60)
    signal[20 * FS : 40 * FS] += np.convolve(np.random.default_rng(5).standard_normal(20 * FS), np.ones(30) / 8, "same")
    assert judged(signal) == judged(1000 * signal + 3) != []


def test_memory_is_that_of_a_part() -> None:
    longest = 0

    def read(start: int, stop: int) -> np.ndarray:
        nonlocal longest
        longest = max(longest, stop - start)
        return np.full(stop - start, np.nan)

    length = 3 * 3600 * 100
    assert unreadable(read, length, 100, np.zeros(0, dtype=np.int64)) == [(0, length, "missing")]
    assert longest <= (PART + 2 * (MARGIN + 5)) * 100


def test_leakage_of_the_vf_filter() -> None:
    time = np.arange(1250) / 250
    assert vf_filter(np.sin(2 * np.pi * 4 * time)).leakage < 0.1
    assert vf_filter(np.sin(2 * np.pi * 4 * time)).half_period == 31
    assert vf_filter(np.random.default_rng(0).standard_normal(1250)).leakage > 0.65
    assert vf_filter(np.zeros(100)) == (1.0, 0)


@pytest.mark.parametrize(("name", "value"), [("noise_index", 0), ("flat_range", -1), ("rail_shortest", float("nan"))])
def test_thresholds_out_of_range(name: str, value: float) -> None:
    threshold: Any = {name: value}
    with pytest.raises(InputError, match=f"--{name} must be a number above 0"):
        Quality(**threshold)


def test_every_threshold_is_listed_with_its_unit_and_source() -> None:
    listed = {one.name: one for one in Quality(noise_window=4.0).listed()}
    assert listed["noise_window"].value == 4.0 and listed["noise_window"].unit == "s"
    assert listed["flutter_leakage"].source == "Kuo & Dillman 1978"
    files = ("quality", "noise", "flutter", "analysis")
    code = "".join((ROOT / "report" / f"{name}.py").read_text(encoding="utf-8") for name in files)
    for name in listed:
        assert re.search(rf"quality\.{name}\b", code), f"--{name} is not read"


@needs("mitdb")
def test_flutter_of_record_207_is_readable() -> None:
    record = next(one for one in read_records(MITDB) if one.name == "207")
    found = judged(record.signal, record.fs)
    for start, end in marked_flutter(record.reference.times, record.reference.symbols, len(record.signal)):
        assert not any(one.start < end and one.end > start for one in found)


@needs("mitdb")
def test_flutter_of_record_207_is_found() -> None:
    """The figures that `report.flutter` states."""
    record = next(one for one in read_records(MITDB) if one.name == "207")
    found, true = np.zeros((2, len(record.signal)), dtype=bool)
    for start, end in flutter_in(record.signal, record.fs):
        found[round(start * record.fs) : round(end * record.fs)] = True
    for start, end in marked_flutter(record.reference.times, record.reference.symbols, len(record.signal)):
        true[start:end] = True
    assert (found & true).sum() > 0.9 * true.sum()
    assert (found & ~true).sum() < 10 * record.fs


@needs("mitdb")
@pytest.mark.parametrize(
    ("name", "start", "end", "is_noise"),
    [
        ("203", 303.8, 306.8, False),  # 9 beats of ventricular tachycardia
        ("203", 1605.5, 1607.6, False),  # 7
        ("203", 45.0, 49.0, True),  # with noise
        ("207", 1638.5, 1645.5, False),  # the idioventricular beats after flutter
        ("108", 1693.0, 1756.0, True),
    ],
)
def test_clean_tachycardia_and_what_follows_flutter_are_readable(
    name: str, start: float, end: float, is_noise: bool
) -> None:
    record = next(one for one in read_records(MITDB) if one.name == name)
    found = [part for part in judged(record.signal, record.fs) if part.start < end * 360 and part.end > start * 360]
    assert bool(found) == is_noise


@needs("mitdb")
def test_saturation_of_record_116() -> None:
    record = next(one for one in read_records(MITDB) if one.name == "116")
    found = [one for one in judged(record.signal, record.fs) if one.reason == "saturation"]
    assert found and all(abs(record.signal[one.start]) > 5.1 for one in found)  # mV, the limits of 11 bits


@needs("nstdb")
@pytest.mark.parametrize(("name", "share"), [("118e00", 0.9), ("119e06", 0.7), ("118e24", 0.0)])
def test_electrode_motion(name: str, share: float) -> None:
    record = next(one for one in read_records(RAW / "nstdb") if one.name == name)
    seconds = 600  # minutes 5 and 6 are noisy, 7 and 8 clean, 9 is noisy
    signal = record.signal[: seconds * 360]
    lost = np.zeros(len(signal), dtype=bool)
    for one in judged(signal, 360):
        lost[one.start : one.end] = True
    noisy = np.isin(np.arange(len(signal)) // (60 * 360), (5, 6, 9))
    assert (lost[noisy].mean() >= share) if share else not lost.any()
    assert lost[~noisy].mean() < 0.01
    false = Examined(record._replace(signal=signal)).false
    assert lost[false].mean() > 0.8 if share else len(false) < 3


def at_its_limits(level: float, glitch: float | None = None) -> np.ndarray:
    """A signal that touches 3 and -3 mV for 0.1 s, too short for a rail, and stays at `level` from 60 s to 60.4 s.

    `glitch` seconds after that one sample is at 5 mV.
    """
    signal = clean()
    for limit, second in ((3.0, 30), (-3.0, 90)):
        signal[second * FS : second * FS + FS // 10] = limit
    signal[60 * FS : 60 * FS + 100] = level
    if glitch is not None:
        signal[60 * FS + 100 + round(glitch * FS)] = 5.0
    return signal


@pytest.mark.parametrize("side", [1, -1])
def test_a_plateau_is_a_rail_within_a_hundredth_of_the_range_from_the_limit(side: int) -> None:
    assert_one(judged(side * at_its_limits(3 - 0.05)), "saturation", 60, 60.4, 0.01)  # of 6 mV
    for below in (0.07, 0.3, 1.0):
        assert judged(side * at_its_limits(3 - below)) == []


def test_a_plateau_with_something_higher_within_half_a_second_is_no_rail() -> None:
    assert judged(at_its_limits(3, glitch=0.05)) == []
    assert_one(judged(at_its_limits(3, glitch=0.55)), "saturation", 60, 60.4, 0.01)


def test_beats_of_one_shape_are_alike_where_the_smaller_has_seven_tenths_of_the_size() -> None:
    peaks = FS * np.arange(1, 5)
    for share, expected in ((0.72, 1.0), (0.68, 0.68 / 0.7), (0.35, 0.5)):
        signal = np.zeros(5 * FS)
        for peak, size in zip(peaks, (1.0, share, share, share), strict=True):
            signal[peak - 4 : peak + 5] = size * np.hanning(9)
        assert likeness(*unit_shapes(signal, FS, peaks))[0] == pytest.approx(expected, abs=0.01)
