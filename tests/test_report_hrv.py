"""Heart rate variability, worked out by hand and at its boundaries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_rhythms import burden_of, made, variability_of

from report.rhythm import Rhythm


def test_variability_worked_out_by_hand() -> None:
    # Intervals 800 850 801 799 ms: mean 812.5, squares of deviations 156.25 + 1406.25 + 132.25 + 182.25 = 1877;
    # differences 50, -49, -2: squares 2500 + 2401 + 4 = 4905, none above 50 ms.
    result = variability_of(made("NNNNN", [800, 850, 801, 799]))
    assert (result.nn, result.nn_s, result.rr, result.nn_share, result.withheld) == (4, 3.25, 4, 1.0, 0)
    assert not result.few_nn
    assert result.sdnn_ms == pytest.approx(math.sqrt(1877 / 3))
    assert result.rmssd_ms == pytest.approx(math.sqrt(4905 / 3))
    assert (result.pnn50_percent, result.sdann_ms, result.sdnn_index_ms) == (0.0, None, None)
    assert variability_of(made("NNNNN", [800, 851, 800, 800])).pnn50_percent == pytest.approx(100 * 2 / 3)


def test_only_intervals_between_two_n_count_and_differences_of_adjacent_ones() -> None:
    # N-N: 800, 810 | V | 900 | unreadable | 820, 810. Adjacent: 800-810, 820-810.
    result = variability_of(made("NNNVNN|NNN", [800, 810, 500, 1100, 900, 800, 820, 810]))
    assert (result.nn, result.rr, result.few_nn) == (5, 7, True)
    assert not variability_of(made("NNNVNN|NNN", [800, 810, 500, 1100, 900, 800, 820, 810]), nn_share=70).few_nn
    assert result.rmssd_ms == pytest.approx(10.0)
    assert variability_of(made("NSNQNFN")).nn == 0
    assert variability_of(made("NNSNN")).rmssd_ms is None


@pytest.mark.parametrize(("interval", "kept"), [(399, False), (400, True), (2000, True), (2001, False)])
def test_n_n_intervals_are_from_400_to_2000_ms(interval: int, kept: bool) -> None:
    assert variability_of(made("NN", [interval])).nn == int(kept)


@pytest.mark.parametrize(("interval", "kept"), [(639, False), (640, True), (960, True), (961, False)])
def test_n_n_intervals_more_than_20_percent_off_their_neighbours_are_left_out(interval: int, kept: bool) -> None:
    result = variability_of(made("N" * 42, [800] * 20 + [interval] + [800] * 20))
    assert result.nn == 40 + kept


def test_only_20_neighbours_on_either_side_are_looked_at() -> None:
    # 41 of 1000 ms among those of 500 ms. With j of its 40 neighbours at 1000 ms the mean is 500 + 12.5 j: one of
    # 1000 ms is too far off it below j = 26.7, so 7 at either end; one of 500 ms above j = 10, so 10 at either side.
    result = variability_of(made("N" * 242, [500] * 100 + [1000] * 41 + [500] * 100))
    assert result.nn == 241 - 2 * 7 - 2 * 10


@pytest.mark.parametrize(("segments", "sdann"), [(216, 25 * math.sqrt(216 / 215)), (215, None)])
def test_sdann_is_that_of_5_min_means_from_18_h_on(segments: int, sdann: float | None) -> None:
    # Segments of 400 intervals of 750 ms and of 375 of 800 ms in turn; 216 of them are 18 h. One of them varies by
    # nothing, so the index is 0.
    steps = np.concatenate([np.full(400, 75) if at % 2 == 0 else np.full(375, 80) for at in range(segments)])
    samples = np.concatenate([[0], np.cumsum(steps)])[:-1]
    rhythm = Rhythm(samples, np.full(samples.size, "N"), 100, segments * 30_000)
    result = variability_of(rhythm)
    assert result.sdann_ms == (None if sdann is None else pytest.approx(sdann))
    assert result.sdnn_index_ms == pytest.approx(0, abs=1e-9)
    assert result.sdnn_ms == pytest.approx(25, abs=0.1)


def test_a_day_of_fibrillation_has_no_sdann() -> None:
    """An hour of sinus rhythm in 24 h that can be read: less than a day, as far as variability goes."""
    sinus = np.arange(50, 360_000, 80)
    steps = np.random.default_rng(0).integers(40, 111, 120_000)
    fibrillating = 360_000 + np.cumsum(steps)
    samples = np.concatenate([sinus, fibrillating[fibrillating < 24 * 360_000]])
    rhythm = Rhythm(samples, np.full(samples.size, "N"), 100, 24 * 360_000)
    result = variability_of(rhythm)
    assert burden_of(rhythm).is_day and result.nn_s < 3700
    assert result.sdnn_ms is not None and result.sdann_ms is None


def test_a_segment_counts_where_half_of_it_is_n_n() -> None:
    assert variability_of(made("N" * 151, 1000, length=300_000)).sdnn_index_ms == 0.0
    assert variability_of(made("N" * 150, 1000, length=300_000)).sdnn_index_ms is None


def test_the_sdnn_index_is_the_mean_of_the_deviations_of_5_min_segments() -> None:
    # 300 s of 400 intervals that are so many ms shorter and longer than 750 ms in turn.
    steps = np.concatenate([np.tile([750 - off, 750 + off], 200) for off in (0, 10, 50)])
    result = variability_of(made("N" * 1201, steps))
    assert result.sdnn_index_ms == pytest.approx(20 * math.sqrt(400 / 399))
    assert result.sdnn_ms == pytest.approx(math.sqrt((10**2 + 50**2) / 3 * 1200 / 1199))
