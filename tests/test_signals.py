"""Signals: gaps that a line bridges, and another sampling rate, read in parts as in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.signals import bridge, bridging_reader, resample, resampling_reader, spans


def test_spans() -> None:
    assert spans(np.array([1, 1, 0, 1, 0, 0, 1], dtype=bool)).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert spans(np.zeros(0, dtype=bool)).tolist() == []


def test_missing_samples_are_bridged() -> None:
    nan = np.nan
    assert bridge(np.array([nan, 1, nan, 3, nan])).tolist() == [1, 1, 2, 3, 3]
    assert bridge(np.array([nan, nan])).tolist() == [0, 0]


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


def test_resampling_keeps_time_and_missing_samples() -> None:
    def wave(fs: float) -> np.ndarray:
        return 5 + np.sin(2 * np.pi * 3 * np.arange(round(2 * fs)) / fs)

    np.testing.assert_allclose(resample(wave(1000), 1000), wave(360), atol=2e-2)
    np.testing.assert_allclose(resample(wave(1000), 1000)[20:-20], wave(360)[20:-20], atol=1e-3)
    assert resample(wave(360), 360) is not None and (resample(wave(360), 360) == wave(360)).all()
    signal = wave(1000)
    signal[500:1000] = np.nan  # 0.5 s to 1 s
    assert np.flatnonzero(np.isnan(resample(signal, 1000))).tolist() == list(range(180, 360))


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
