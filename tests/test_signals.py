"""Signals: gaps that a line bridges, and another sampling rate, read in parts as in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.context import record_context, record_rhythm, stretch_context, stretches
from preprocess.signals import bridging_reader, resample, resampling_reader, spans


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
