"""Irregular rhythm: where it is found, where not, and what is withheld within it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from made_rhythms import DEFAULTS, fibrillation, found, made, only, slow_and_fast

from report.burden import burden, hours, hours_table
from report.definitions import Definitions
from report.episodes import SUPRAVENTRICULAR, find_episodes
from report.hrv import variability
from report.irregular import cosen, turning_points
from report.rates import heart_rate
from report.rhythm import Rhythm
from report.trends import trends

# ------------------------------------------------------------------------------------------- entropy and turning points


def entropy_of(intervals: list[int], **options: Any) -> float:
    """COSEn of intervals in samples of 10 ms, a tolerance of 30 ms being 3 of them."""
    rhythm = made("N" * (len(intervals) + 1), intervals, fs=100)
    definitions = Definitions(**options)
    everything = np.ones(len(intervals), dtype=bool)
    return float(cosen(rhythm, everything, np.array([0]), len(intervals), definitions)[0])


def test_sample_entropy_worked_out_by_hand() -> None:
    # All 21 pairs of the first 7 are alike, and so are all that follow; 7 values lie within 3 of one.
    assert entropy_of([80] * 8) == pytest.approx(math.log(21 / 21) + math.log(7 / 80))
    assert entropy_of([80, 83, 80, 80] * 2) == pytest.approx(math.log(21 / 21) + math.log(7 / 80.75))
    # 84 does not. Bigeminy: the 4 of 80 make 6 pairs, the 3 of 84 make 3; all of them go on alike.
    assert entropy_of([80, 84] * 4) == pytest.approx(math.log(9 / 9) + math.log(7 / 82))
    # 5 of 80 make 10 pairs; they are followed by 80, 100, 120, 80, 90, of which one pair is alike. Mean 88.75.
    mixed = [80, 80, 100, 80, 120, 80, 80, 90]
    assert entropy_of(mixed, irregular_matches=1) == pytest.approx(math.log(10) + math.log(7 / 88.75))
    # Within 6 there is none more, within 12 there are 4 of the 10: at 25 values.
    assert entropy_of(mixed, irregular_matches=4) == pytest.approx(math.log(10 / 4) + math.log(25 / 88.75))
    assert entropy_of(mixed) == math.inf


def test_sample_entropy_of_a_window_knows_nothing_of_what_follows() -> None:
    rhythm = made("N" * 13, [80] * 8 + [200] * 4, fs=100)
    entropy = cosen(rhythm, np.ones(12, dtype=bool), np.array([0, 8, 4]), np.array([8, 4, 2]), DEFAULTS)
    assert entropy[0] == pytest.approx(math.log(7 / 80))
    assert entropy[1] == entropy[2] == math.inf  # of 3 pairs and of none: too few


def test_sample_entropy_takes_no_part_of_an_interval_that_is_not_usable() -> None:
    rhythm = made("N" * 11, [80] * 4 + [40, 120] + [80] * 4, fs=100)
    usable = np.array([True] * 4 + [False] * 2 + [True] * 4)
    # Followed by a usable one are 3 before and 3 after: 15 pairs.
    entropy = cosen(rhythm, usable, np.array([0]), 10, DEFAULTS)
    assert entropy == pytest.approx(math.log(15 / 15) + math.log(7 / 80))


def test_turning_points_are_those_of_usable_intervals() -> None:
    rhythm = made("N" * 7, [500, 700, 600, 800, 900, 900])
    usable = np.ones(6, dtype=bool)
    assert turning_points(rhythm, usable, np.array([0, 0, 3]), np.array([6, 4, 2])).tolist() == [0.5, 1, 1]
    usable[1] = False
    assert turning_points(rhythm, usable, np.array([0]), np.array([6])).tolist() == [0]


# ---------------------------------------------------------------------------------------------------- where it is found


def test_irregular_rhythm_is_found_where_it_is() -> None:
    regular = [800] * 100
    rhythm = made("N" * 281, [*regular, *fibrillation(80), *regular])
    episode = only(rhythm, "irregular_rhythm")
    begin, end = rhythm.samples[[100, 180]]
    # At most half a window of 20 is regular.
    assert abs(episode.start - begin) < 8000 and abs(episode.end - end) < 8000
    assert episode.rate_bpm == pytest.approx(80, abs=3)


def breathing(count: int) -> list[int]:
    """Respiratory arrhythmia: 900 ms and 100 ms to either side, 4 beats a breath."""
    return [round(900 + 100 * math.sin(math.pi / 2 * beat)) for beat in range(count)]


@pytest.mark.parametrize(
    "intervals",
    [[800] * 200, breathing(200), [500, 1100] * 100, [500, 1100, 800] * 67],
    ids=["steady", "breathing", "bigeminy", "trigeminy"],
)
def test_a_rhythm_that_repeats_is_not_irregular(intervals: list[int]) -> None:
    assert "irregular_rhythm" not in found(made("N" * (len(intervals) + 1), intervals))
    assert "irregular_rhythm" not in found(made("NS" * 100, intervals[:199]))


def test_breath_that_varies_is_not_irregular_rhythm() -> None:
    rng = np.random.default_rng(0)
    phase = np.cumsum(2 * np.pi / rng.uniform(4.5, 9, 100))  # 4.5 to 9 beats a breath
    deep = 200 * rng.uniform(0.7, 1.3, 100) * np.sin(phase) + rng.normal(0, 15, 100)
    rhythm = made("N" * 101, np.round(900 + deep).astype(int).tolist())
    everything, start = np.ones(100, dtype=bool), np.array([0])
    assert cosen(rhythm, everything, start, 100, DEFAULTS)[0] > DEFAULTS.irregular_entropy
    assert turning_points(rhythm, everything, start, np.array([100]))[0] == pytest.approx(32 / 98)
    assert find_episodes(rhythm, DEFAULTS).of("irregular_rhythm") == []
    assert found(rhythm, irregular_turning=30) == {"irregular_rhythm": 1}


def test_an_episode_of_irregular_rhythm_that_is_short_is_more_irregular() -> None:
    intervals = fibrillation(80)
    short, long = (made("N" * (count + 1), intervals[:count]) for count in (60, 80))
    assert found(short, irregular_short_entropy=0.5) == {}
    assert found(long, irregular_short_entropy=0.5) == found(short) == {"irregular_rhythm": 1}


@pytest.mark.parametrize("lost", [5000, 5001])
def test_windows_go_on_across_lost_time_of_5_s(lost: int) -> None:
    """In a recording that loses some samples every ten beats no 20 intervals in a row are valid."""
    text = "|".join(["N" * 7] * 30)

    def dropping(intervals: list[int]) -> Rhythm:
        return made(text, [lost if at % 7 == 6 else interval for at, interval in enumerate(intervals)])

    found_there = [
        found(dropping(fibrillation(209))).get("irregular_rhythm"),
        *(len(slow_and_fast(dropping([interval] * 209))) for interval in (1300, 500)),
    ]
    rate = heart_rate(dropping([800] * 209), DEFAULTS)
    if lost == 5000:
        assert found_there == [1, 1, 1]
        assert rate.min is not None and rate.min.bpm == 75
    else:
        assert found_there == [None, 0, 0]
        assert rate.min is rate.max is None


@pytest.mark.parametrize(("lost_before", "lost_after"), [(0, 0), (40, 0), (0, 40), (100, 100)])
def test_irregular_rhythm_lasts_30_s_with_the_readable_time_to_the_ends(lost_before: int, lost_after: int) -> None:
    intervals = fibrillation(40)
    intervals[-1] += 29_800 + lost_before + lost_after - sum(intervals)  # 100 samples before the first beat, and after
    assert 400 <= intervals[-1] <= 1300

    def sought_and_found(intervals: list[int]) -> tuple[bool, int | None]:
        length = sum(intervals) + 200
        unreadable = [(0, lost_before), (length - lost_after, length)]
        episodes = find_episodes(made("N" * 41, intervals, unreadable=unreadable), DEFAULTS)
        return "irregular_rhythm" in episodes.sought, episodes.counts()["irregular_rhythm"]

    assert sought_and_found(intervals) == (True, 1)
    intervals[-1] -= 1
    assert sought_and_found(intervals) == (False, None)


def test_irregular_time_leaves_out_what_is_lost_in_it() -> None:
    rhythm = made("|".join(["N" * 25] * 8), fibrillation(199))
    episodes = find_episodes(rhythm, DEFAULTS)
    assert len(episodes.irregular) == 1
    lost = np.diff(rhythm.unreadable).sum()
    assert lost > 3000
    assert np.diff(episodes.irregular_time).sum() == np.diff(episodes.irregular).sum() - lost
    whole = burden(rhythm, episodes, DEFAULTS)
    assert 0 < whole.s.hours * 3600 < 1
    assert sum(hour.s.hours for hour in hours(rhythm, episodes, DEFAULTS)) == pytest.approx(whole.s.hours)


def test_ventricular_ectopy_explains_irregular_intervals_but_s_does_not() -> None:
    intervals = fibrillation(120)
    assert "irregular_rhythm" not in found(made("NNV" * 40 + "N", intervals))
    assert "irregular_rhythm" in found(made("NNS" * 40 + "N", intervals))
    assert "irregular_rhythm" in found(made("NNNNNV" * 20 + "N", intervals))  # enough is left to tell


# ----------------------------------------------------------------------------------------------------- what is withheld


def only_rate(rhythm: Rhythm, first: int, last: int) -> float:
    """The rate from one beat to another."""
    return 60_000 * (last - first) / float(rhythm.samples[last] - rhythm.samples[first])


def test_in_irregular_rhythm_s_and_variability_are_withheld() -> None:
    steady = "N" * 30 + "NSNNSS" + "N" * 30
    fibrillating = "NNS" * 20 + "SSSSNV" + "NNS" * 20
    rhythm = made(
        steady + "|" + fibrillating + "|" + steady, [*[800] * 65, 6000, *fibrillation(125), 6000, *[800] * 65]
    )
    episodes = find_episodes(rhythm, DEFAULTS)
    assert episodes.counts()["irregular_rhythm"] == 1
    assert {kind: count for kind, count in episodes.counts().items() if count and kind in SUPRAVENTRICULAR} == {
        "isolated_s": 2,
        "couplet_s": 2,
    }
    assert episodes.withheld == {
        "isolated_s": 39,
        "couplet_s": 0,
        "run_s": 1,
        "svt": int(only_rate(rhythm, 85, 90) > 100),
        "bigeminy_s": 0,
        "trigeminy_s": 2,
    }
    assert episodes.withheld_total == 39 + 1 + 2  # the run is no second one where it is an SVT
    assert episodes.counts()["isolated_v"] == 1
    result = burden(rhythm, episodes, DEFAULTS)
    assert result.s_withheld == 44 and result.s.beats == 6
    assert result.s.percent == 100 * 6 / 132
    assert result.beats["S"] == 50 and result.v.percent == 100 / 258
    spread = variability(rhythm, episodes.irregular, DEFAULTS)
    assert (spread.withheld, spread.rr, spread.sdnn_ms) == (125, 130, 0.0)


def test_s_beats_at_the_ends_of_irregular_rhythm_are_withheld_too() -> None:
    rhythm = made("SNN" * 40 + "S", fibrillation(120))
    episodes = find_episodes(rhythm, DEFAULTS)
    assert episodes.irregular.tolist() == [[rhythm.samples[0], rhythm.samples[-1]]]
    assert episodes.withheld["isolated_s"] == burden(rhythm, episodes, DEFAULTS).s_withheld == 41
    assert not episodes.of("isolated_s")


def test_the_burden_of_s_is_of_time_and_beats_outside_irregular_rhythm() -> None:
    """Ten minutes at 30/min with every fifth beat an S, then fibrillation with every third."""
    rhythm = made("NNNNS" * 60 + "NNS" * 40, [*[2000] * 300, *fibrillation(119)], length=710_000)
    episodes = find_episodes(rhythm, DEFAULTS)
    ((start, end),) = episodes.irregular.tolist()
    assert (start, end) == (594_100, 690_343)  # from beat 297 of 420 on
    result = burden(rhythm, episodes, DEFAULTS)
    assert (result.s.beats, result.s.of, result.s_withheld) == (59, 297, 41)
    regular_s = 710 - (end - start) / 1000
    assert result.s.hours == pytest.approx(regular_s / 3600)
    assert result.s.per_hour == pytest.approx(59 * 3600 / regular_s)
    (hour,) = hours(rhythm, episodes, DEFAULTS)
    assert (hour.s.beats, hour.s.of) == (59, 297)
    assert hours_table([hour])["s_per_hour"].tolist() == pytest.approx([59 * 3600 / regular_s])
    curves = trends(rhythm, episodes, DEFAULTS)
    assert curves.width_s == 10
    assert curves.s_percent[:59] == pytest.approx(np.full(59, 20.0))
    assert np.isnan(curves.s_percent[59:]).all()  # two N, and the fibrillation
