"""Heart rate, and the trends over the whole recording."""

from __future__ import annotations

import numpy as np
import pytest
from made_rhythms import DEFAULTS, made, unclassified_where

from report.burden import hours
from report.episodes import find_episodes
from report.rates import Rate, heart_rate
from report.trends import bin_width, trends

# ----------------------------------------------------------------------------------------------------------- heart rate


def test_heart_rate_of_a_steady_rhythm() -> None:
    rate = heart_rate(made("N" * 9, 800), DEFAULTS)
    assert rate.min is not None and rate.max is not None
    assert (rate.min.bpm, rate.mean, rate.max.bpm) == (75.0, 75.0, 75.0)
    assert rate.min.time_s == pytest.approx(0.1 + 4 * 0.8)


@pytest.mark.parametrize(
    ("text", "steps", "mean"),
    [
        *(("N" * 42, [800] * 20 + [part, 800 - part] + [800] * 19, 75 * 41 / 40) for part in (50, 250, 400)),
        ("N" * 40, [800] * 20 + [1600] + [800] * 18, 75 * 39 / 40),
        ("NV" * 20, [500, 1100] * 19 + [500], 60_000 * 39 / 30_900),  # medians of 5 would be 55 and 120/min
    ],
    ids=["false beat, 50 ms", "false beat, 250 ms", "false beat, 400 ms", "missed beat", "bigeminy"],
)
def test_neither_a_false_nor_a_missed_beat_nor_bigeminy_makes_an_extreme(
    text: str, steps: list[int], mean: float
) -> None:
    rate = heart_rate(made(text, steps), DEFAULTS)
    assert rate.min is not None and rate.max is not None
    assert (rate.min.bpm, rate.max.bpm) == (75.0, 75.0)
    assert rate.mean == pytest.approx(mean)


def test_beats_that_may_be_none_make_no_extreme() -> None:
    """A run at 200/min whose beats look like nothing else; where they look like beats it is the highest rate."""
    rhythm = made("N" * 20 + "V" * 8 + "N" * 20, [800] * 19 + [300] * 8 + [800] * 20)
    for likeness, highest in ((0.1, 75.0), (0.9, 200.0)):
        episodes = find_episodes(rhythm, DEFAULTS, likeness=lambda *_, alike=likeness: alike)
        assert len(episodes.unlike) == (likeness < 0.5)  # run_v and nsvt are one run
        rate = heart_rate(rhythm, DEFAULTS, episodes.unlike)
        assert rate.max is not None and rate.max.bpm == pytest.approx(highest)
        assert hours(rhythm, episodes, DEFAULTS)[0].max == rate.max
        assert np.nanmax(trends(rhythm, episodes, DEFAULTS).high_bpm) == pytest.approx(highest)


@pytest.mark.parametrize(
    ("unsure", "name", "doubtful"),
    [([], "V", False), ([9], "V", False), ([9, 10], "V", True), ([9, 10], "N", False), ([2, 3], "V", False)],
)
def test_two_beats_of_a_doubtful_class_make_an_extreme_of_the_heart_rate_doubtful(
    unsure: list[int], name: str, doubtful: bool
) -> None:
    """A beat may have a doubtful class and be one: what is none is hardly ever called N."""
    probabilities = np.tile([0.9, 0.1, 0, 0, 0], (21, 1))
    probabilities[unsure] = [0.5, 0, 0.5, 0, 0]
    text = "".join(name if beat in unsure else "N" for beat in range(21))
    rhythm = made(text, [800] * 6 + [500] * 8 + [800] * 6, probabilities=probabilities)  # fast from beat 6 to 14
    rate = heart_rate(rhythm, DEFAULTS)
    assert rate.max == Rate(120.0, rhythm.samples[7] / 1000, doubtful)  # 4 of 7 means of two are fast by then


def test_heart_rate_needs_valid_intervals() -> None:
    rate = heart_rate(made("NNNN|NNNN|N", 800), DEFAULTS)
    assert (rate.min, rate.mean, rate.max) == (None, 75.0, None)
    rate = heart_rate(made("N|N"), DEFAULTS)
    assert (rate.min, rate.mean, rate.max) == (None, None, None)
    assert heart_rate(made(""), DEFAULTS).mean is None


# --------------------------------------------------------------------------------------------------------------- trends


@pytest.mark.parametrize(("text", "v_percent"), [("NNNNVSQQQQ", 100 / 6), ("NVN", 100 / 3), ("NVQ", None), ("V", None)])
def test_a_bin_of_the_trends_tells_a_share_of_three_classified_beats_and_more(text: str, v_percent: float) -> None:
    rhythm = made(text, 800, length=20_000, probabilities=unclassified_where(text))
    first, second = trends(rhythm, find_episodes(rhythm, DEFAULTS), DEFAULTS).v_percent
    assert first == pytest.approx(v_percent) if v_percent else np.isnan(first)
    assert np.isnan(second)


def test_a_bin_of_the_trends_tells_its_own_figures() -> None:
    """Ten beats at 60/min, V among them, and twenty at 120/min, two V and four S; half of the time has none."""
    names = ["N"] * 31
    names[3], names[12:26:8], names[14:30:4] = "V", "VV", "SSSS"
    rhythm = made("".join(names), [1000] * 10 + [500] * 20, length=34_500)
    told = trends(rhythm, find_episodes(rhythm, DEFAULTS), DEFAULTS)
    nothing = [np.nan, np.nan]
    assert (told.width_s, told.start_s.tolist()) == (10, [0, 10, 20, 30])
    np.testing.assert_allclose(told.mean_bpm, [60, 120, *nothing])
    np.testing.assert_allclose(told.low_bpm, [60, 80, *nothing])  # a window of both rates has its middle in the second
    np.testing.assert_allclose(told.high_bpm, [60, 120, *nothing])
    np.testing.assert_allclose(told.v_percent, [10, 10, *nothing])
    np.testing.assert_allclose(told.s_percent, [0, 20, *nothing])
    # As in svdb, with a beat at its end.
    ends = made("NNNV", 1000, samples=[17_000, 18_000, 19_000, 20_000], length=20_000)
    told = trends(ends, find_episodes(ends, DEFAULTS), DEFAULTS)
    np.testing.assert_allclose(told.mean_bpm, [np.nan, 60])
    np.testing.assert_allclose(told.v_percent, [np.nan, 25])
    assert trends(made("N"), find_episodes(made("N"), DEFAULTS), DEFAULTS).start_s.tolist() == [0]


@pytest.mark.parametrize(
    ("hours", "width"),
    [(5 / 6, 10), (0.84, 15), (1.25, 15), (24, 300), (48, 600), (168, 3600), (300, 3600), (336, 7200)],
)
def test_the_bins_of_the_trends_are_at_most_300_and_divide_the_hour(hours: float, width: float) -> None:
    assert bin_width(3600 * hours) == width
