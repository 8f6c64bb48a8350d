"""The burdens of V and S, of the whole recording and hour by hour."""

from __future__ import annotations

import pytest
from made_rhythms import DEFAULTS, burden_of, made, unclassified_where

from report.burden import burden, hours, hours_table
from report.definitions import Definitions
from report.diary import Entry, diary_figures
from report.episodes import find_episodes
from report.rhythm import Rhythm

# --------------------------------------------------------------------------------------------------------------- burden


def test_burden_is_a_share_of_all_beats_and_per_readable_hour() -> None:
    # 20 beats, one a minute; readable are 15 of the 20 minutes.
    rhythm = made("NNNNNNNNNNNNSSSVVFQQ", 60_000, length=20 * 60_000, unreadable=[(101, 300_100)])
    result = burden_of(rhythm)
    # Four N lie in unreadable time.
    assert result.beats == {"N": 8, "S": 3, "V": 2, "F": 1, "Q": 2, "unclassified": 0, "all": 16}
    assert result.v.percent == 100 * 2 / 16 and result.s.percent == 100 * 3 / 16
    assert result.abnormal_percent == 100 * 6 / 16
    hours = (20 * 60_000 - 299_999) / 3_600_000
    assert result.v.per_hour == pytest.approx(2 / hours) and result.s.per_hour == pytest.approx(3 / hours)


def test_without_a_beat_there_is_no_share() -> None:
    result = burden_of(made(""))
    assert (result.abnormal_percent, result.v.percent, result.v.per_hour, result.s.percent) == (None,) * 4
    assert (result.v_mark, result.excessive_s, result.per_day) == ("", None, None)
    assert burden_of(made("", length=20 * 3_600_000)).per_day is None


def test_where_no_beat_is_classified_no_share_is_known() -> None:
    rhythm = made("QQQQ", 400_000, probabilities=unclassified_where("QQQQ"))
    result = burden_of(rhythm)
    assert (result.v.percent, result.v.per_hour, result.s.percent, result.abnormal_percent) == (None,) * 4
    (hour,) = hours(rhythm, find_episodes(rhythm, DEFAULTS), DEFAULTS)
    assert (hour.v.percent, hour.v.per_hour, hour.s.percent) == (None,) * 3


def test_no_figure_stands_for_an_hour_that_has_less_than_five_minutes() -> None:
    for beats, known in ((299, False), (301, True)):
        result = burden(rhythm := made("N" * (beats - 1) + "V", 1000), find_episodes(rhythm, DEFAULTS), DEFAULTS)
        assert (result.v.per_hour is not None) == known and result.v.percent is not None


def test_a_beat_that_no_network_could_classify_is_in_no_denominator() -> None:
    text = "NNNNVSQQQQNNNNVSQQQQ"
    rhythm = made(text, 90_000, length=1_800_000, probabilities=unclassified_where(text))
    episodes = find_episodes(rhythm, DEFAULTS)
    result = burden(rhythm, episodes, DEFAULTS)
    assert (result.beats["unclassified"], result.beats["all"]) == (8, 20)
    assert (result.v.of, result.s.of) == (12, 12)
    assert result.abnormal_percent == pytest.approx(100 * 4 / 12)
    (hour,) = hours(rhythm, episodes, DEFAULTS)
    (start, end) = (0.0, rhythm.length / rhythm.fs)
    diary = diary_figures([Entry(start, end, "other", "")], rhythm, episodes)
    during = diary.figures[0].during
    assert during is not None and during.beats == 20
    for percent in (result.v.percent, result.s.percent, hour.v.percent, hour.s.percent):
        assert percent == pytest.approx(100 * 2 / 12)
    assert (during.v_percent, during.s_percent) == pytest.approx((100 * 2 / 12, 100 * 2 / 12))


@pytest.mark.parametrize(
    ("beats", "mark"), [(0, ""), (999, ""), (1000, "marked"), (1999, "marked"), (2000, "high"), (10_000, "high")]
)
def test_a_burden_of_v_is_marked_from_10_and_from_20_percent_on(beats: int, mark: str) -> None:
    assert burden_of(made("V" * beats + "N" * (10_000 - beats))).v_mark == mark


@pytest.mark.parametrize(("beats", "excessive"), [(19, None), (20, {"sve_run": 20})])
def test_a_run_of_20_s_is_excessive(beats: int, excessive: dict[str, float] | None) -> None:
    rhythm = made("N" + "S" * beats + "N")
    assert burden_of(rhythm).excessive_s == excessive
    doubtful = find_episodes(rhythm, Definitions(doubtful_rate=1))
    assert doubtful.of("run_s")[0].doubtful
    assert burden(rhythm, doubtful, Definitions()).excessive_s is None


@pytest.mark.parametrize(("limit", "excessive"), [(18, {"sve_per_day": 18}), (19, None)])
def test_as_many_s_as_a_day_may_have_are_excessive_in_a_part_of_it(limit: int, excessive: object) -> None:
    rhythm = made("NS" * 18 + "N")
    definitions = Definitions(sve_per_day=limit)
    assert burden(rhythm, find_episodes(rhythm, definitions), definitions).excessive_s == excessive


def long_recording(hours: float, s: int, v: int = 0) -> Rhythm:
    """One beat in 2 s; the first of them N and S, or N and V, in turn."""
    text = "NS" * s + "NV" * v
    beats = int(hours * 1800) - 5  # the first one at 10 s
    return made(text + "N" * (beats - len(text)), 20, fs=10, length=int(hours * 36_000))


@pytest.mark.parametrize(
    ("hours", "s", "excessive", "per_day"),
    [
        (20, 600, {"sve_per_day": 720.0}, {"V": 12.0, "S": 720.0}),
        (20, 599, {}, {"V": 12.0, "S": 718.8}),
        (19.99, 600, None, None),
    ],
)
def test_a_day_with_720_s_is_excessive_but_short_of_20_h_there_is_none(
    hours: float, s: int, excessive: dict[str, float] | None, per_day: dict[str, float] | None
) -> None:
    result = burden_of(long_recording(hours, s, v=10))
    assert (result.excessive_s, result.per_day) == (pytest.approx(excessive), pytest.approx(per_day))


@pytest.mark.parametrize(("hours", "is_day"), [(17.99, False), (18, True)])
def test_a_day_has_18_readable_hours(hours: float, is_day: bool) -> None:
    assert burden_of(long_recording(hours, 0)).is_day is is_day


# --------------------------------------------------------------------------------------------------------- hour by hour


def test_hours_follow_the_recording_or_the_clock() -> None:
    rhythm = made("N" * 80 + "VV" + "N" * 18, 60_000, length=6_000_000, unreadable=[(3_500_000, 3_900_000)])
    episodes = find_episodes(rhythm, DEFAULTS)
    first, second = hours(rhythm, episodes, DEFAULTS)
    assert (first.start_s, first.end_s, second.end_s) == (0.0, 3600.0, 6000.0)
    assert (first.readable_s, second.readable_s) == (3500.0, 2100.0)
    # Beats at 0.1 s and every minute after it; those from 59 to 64 min are in unreadable time.
    counts = {"N": 33, "S": 0, "V": 2, "F": 0, "Q": 0, "unclassified": 0, "all": 35}
    assert (first.beats["all"], second.beats) == (59, counts)
    assert second.episodes["couplet_v"] == 1 and second.v.percent == 100 * 2 / 35
    assert hours_table([first, second])["v_per_hour"].tolist() == pytest.approx([0, 2 * 3600 / 2100])
    clock = hours(rhythm, episodes, DEFAULTS, into_hour_s=600)
    assert [hour.start_s for hour in clock] == [0.0, 3000.0]
    assert [hour.start_s for hour in hours(rhythm, episodes, DEFAULTS, into_hour_s=7200)] == [0.0, 3600.0]


def test_the_beats_at_the_edges_of_an_hour_are_in_one_each() -> None:
    """The hour begins at sample 1,295,999.64; as in svdb the last beat is at the end of the recording."""
    rhythm = made("NSVN", fs=360, samples=[1, 1_295_999, 1_296_000, 1_300_000], length=1_300_000)
    first, second = hours(rhythm, find_episodes(rhythm, DEFAULTS), DEFAULTS, into_hour_s=0.001)
    assert (first.beats["S"], first.beats["all"], second.beats["V"], second.beats["all"]) == (1, 2, 1, 2)
    assert (first.episodes["isolated_s"], second.episodes["isolated_v"]) == (1, 1)


def test_a_recording_that_ends_on_the_hour_has_no_hour_after_it() -> None:
    """Begun at 9:59:00.010: 3600 - 3540.01 is a little less than 59.99."""
    rhythm = made("N" * 74, 80, fs=100, length=5999)
    (hour,) = hours(rhythm, find_episodes(rhythm, DEFAULTS), DEFAULTS, into_hour_s=3540.01)
    assert (hour.start_s, hour.end_s, hour.beats["all"]) == (0.0, 59.99, 74)


def test_heart_rate_of_an_hour() -> None:
    rhythm = made("N" * 9000, [1000] * 3600 + [500] * 5399, length=7_200_000)
    first, second = hours(rhythm, find_episodes(rhythm, DEFAULTS), DEFAULTS)
    assert first.min is not None and second.max is not None
    assert (first.min.bpm, second.max.bpm) == (60.0, 120.0)
    assert (first.mean, second.mean) == (60.0, 120.0)
    table = hours_table([first, second])
    assert table["rate_min_bpm"].tolist() == [60.0, second.min.bpm]
    assert table["rate_max_bpm"].tolist() == [first.max.bpm, 120.0]
