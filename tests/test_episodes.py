"""Every threshold at its boundary on beats made by hand, what must hold of any recording, and mitdb's annotations.

Recordings here have 1000 samples a second, so that a sample is a millisecond, or 100 where that is said.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from conftest import MITDB, ROOT, needs
from hypothesis import given, settings
from hypothesis import strategies as st

from ec57 import GROUPINGS, Annotations, Protocol, compare_runs, read_annotations, read_header
from report.burden import Burden, burden, hours, hours_table
from report.definitions import _ANY_SIGN, _FEWEST, CLASSLESS_THRESHOLDS, Definitions, Quality
from report.diary import Entry, diary_figures
from report.drawings import LANES
from report.episodes import KINDS, SUPRAVENTRICULAR, TWICE, Episode, Episodes, find_episodes, prematurity
from report.hrv import Variability, variability
from report.irregular import FOUND, RIGHT, cosen, irregular_rhythm, turning_points
from report.pauses import hidden_beats
from report.rates import Rate, heart_rate
from report.rhythm import CLASSES, Rhythm
from report.strips import BY_WEIGHT, MOST, NAMES, choose_strips
from report.trends import bin_width, trends
from support.cli import add_options
from support.errors import InputError

fewer_examples = settings(max_examples=60)

DEFAULT = Definitions()


def made(text: str, rr: int | Iterable[int] = 800, fs: float = 1000, **fields: object) -> Rhythm:
    """A recording of beats: "NV|VN" has unreadable time between the two V.

    Args:
        rr: samples from beat to beat, the first beat being at sample 100.
    """
    classes = list(text.replace("|", ""))
    steps = [rr] * (len(classes) - 1) if isinstance(rr, int) else list(rr)
    samples = 100 + np.cumsum([0, *steps])[: len(classes)]
    cuts = [at - number for number, at in enumerate(match.start() for match in re.finditer(r"\|", text))]
    unreadable = [(int(samples[cut - 1]) + 1, int(samples[cut])) for cut in cuts]
    last = int(samples[-1]) if classes else 0
    given = {"samples": samples, "classes": classes, "fs": fs, "length": last + 100, "unreadable": unreadable}
    return Rhythm(**(given | fields))


def found(rhythm: Rhythm, **options: object) -> dict[str, int]:
    """The counts of the kinds that are there, but for slow and fast rhythm and unreadable time."""
    counts = find_episodes(rhythm, Definitions(**options)).counts()
    return {
        kind: count
        for kind, count in counts.items()
        if count and kind not in ("bradycardia", "tachycardia", "unreadable")
    }


def only(rhythm: Rhythm, kind: str, **options: object) -> Episode:
    """The one episode of a kind."""
    (episode,) = find_episodes(rhythm, Definitions(**options)).of(kind)
    return episode


# ------------------------------------------------------------------------------------------------ isolated to run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NVN", {"isolated_v": 1}),
        ("NVVN", {"couplet_v": 1}),
        ("NVVVN", {"run_v": 1, "idioventricular": 1}),
        ("VNVVNVVVV", {"isolated_v": 1, "couplet_v": 1, "run_v": 1, "idioventricular": 1}),
        ("NSNSSNSSSN", {"isolated_s": 1, "couplet_s": 1, "run_s": 1}),
        ("NSVSN", {"isolated_s": 2, "isolated_v": 1}),
        ("NV|VN", {"isolated_v": 2}),
        ("NVVV|VVN", {"run_v": 1, "couplet_v": 1, "idioventricular": 1}),
        ("NVQVN", {"isolated_v": 2}),
        ("NQN", {}),
        ("V", {"isolated_v": 1}),
        ("", {}),
    ],
)
def test_ectopic_beats_are_isolated_couplets_or_runs(text: str, expected: dict[str, int]) -> None:
    assert found(made(text)) == expected


def test_flutter_and_borders_of_segments_part_beats_as_unreadable_time_does() -> None:
    # Beats at 100, 900, 1700, 2500.
    assert found(made("NVVN")) == {"couplet_v": 1}
    assert found(made("NVVN", flutter=[(1000, 1100)])) == {"isolated_v": 2, "ventricular_flutter": 1}
    assert found(made("NVVN", borders=[1000])) == {"isolated_v": 2}
    assert found(made("NVVN", borders=[1700])) == {"isolated_v": 2}  # the second V is the first sample of its segment
    assert found(made("NVVN", borders=[900])) == {"couplet_v": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NVFVN", {"run_v": 1, "idioventricular": 1}),
        ("NVFN", {"couplet_v": 1}),
        ("NFFN", {"couplet_v": 1}),
        ("NFN", {}),
        ("NVN", {"isolated_v": 1}),
    ],
)
def test_fusion_beats_count_in_runs_where_that_is_asked_for(text: str, expected: dict[str, int]) -> None:
    assert found(made(text), fusion_in_runs=True) == expected


def test_fusion_beats_count_in_no_run_otherwise() -> None:
    assert found(made("NVFVN")) == {"isolated_v": 2}
    assert found(made("NFFFN")) == {}


# -------------------------------------------------------------------------------------------------- tachycardias


def test_the_rate_of_a_run_is_that_of_its_own_intervals() -> None:
    run = only(made("NVVVN", [300, 400, 600, 2000]), "run_v")  # 2 intervals in 1 s; the early and the late one apart
    assert (run.start, run.end, run.beats, run.rate_bpm) == (400, 1400, 3, 120.0)
    couplet = only(made("NVVN", [300, 400, 900]), "couplet_v")
    assert (couplet.beats, couplet.rate_bpm) == (2, 150.0)
    assert only(made("NVN"), "isolated_v").rate_bpm is None


def test_a_cycle_of_600_ms_is_no_tachycardia() -> None:
    assert found(made("NVVVN", 600)) == {"run_v": 1, "idioventricular": 1}
    assert found(made("NVVVN", 599)) == {"run_v": 1, "nsvt": 1}
    assert found(made("NSSSN", 600)) == {"run_s": 1}
    assert found(made("NSSSN", 599)) == {"run_s": 1, "svt": 1}


def test_a_tachycardia_of_30_s_is_sustained() -> None:
    intervals = [50] * 60  # of 10 ms: 30 s from the first V to the last
    assert found(made("V" * 61, intervals, fs=100)) == {"run_v": 1, "vt_sustained": 1}
    intervals[30] = 49  # 29.99 s
    assert found(made("V" * 61, intervals, fs=100)) == {"run_v": 1, "nsvt": 1}


def test_a_slow_run_is_idioventricular_however_long() -> None:
    assert found(made("V" * 61, 800)) == {"run_v": 1, "idioventricular": 1}


def test_a_tachycardia_has_at_least_so_many_beats() -> None:
    assert found(made("N" + "V" * 4 + "N", 400), vt_min_beats=5) == {"run_v": 1}
    assert found(made("N" + "V" * 5 + "N", 400), vt_min_beats=5) == {"run_v": 1, "nsvt": 1}
    assert found(made("N" + "V" * 4 + "N", 800), vt_min_beats=5) == {"run_v": 1}  # nor idioventricular


def test_longest_and_fastest() -> None:
    rhythm = made("NVVVNVVVVN", [800, 300, 300, 800, 800, 500, 500, 500, 800])
    episodes = find_episodes(rhythm, DEFAULT)
    longest, fastest = episodes.longest("run_v"), episodes.fastest("run_v")
    assert longest is not None and (longest.beats, longest.rate_bpm) == (4, 120.0)
    assert fastest is not None and (fastest.beats, fastest.rate_bpm) == (3, 200.0)
    assert episodes.longest("run_s") is None and episodes.fastest("isolated_v") is None
    slow_and_fast = find_episodes(made("NVVVNVVVVN", [800, 900, 900, 800, 800, 300, 300, 300, 800]), DEFAULT)
    longest = slow_and_fast.longest("run_v")
    assert longest is not None and longest.beats == 4  # of fewer seconds than the three


# ------------------------------------------------------------------------------------------ bigeminy and trigeminy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NVNVN", {}),
        ("NVNVNV", {"bigeminy_v": 1}),
        ("NVNVNVNVNV", {"bigeminy_v": 1}),
        ("VNVNVN", {}),  # no beat before the first V: two pairs
        ("SVNVSV", {"bigeminy_v": 1}),
        ("NVNVNVV", {}),  # the third V is of a couplet
        ("NVNVNVVNVNVNVN", {"bigeminy_v": 1}),
        ("NVNV|NVNV", {}),
        ("NVNVFVNV", {}),
        ("NVNVQVNV", {}),
        ("NSNSNS", {"bigeminy_s": 1}),
        ("VSNSNS", {"bigeminy_s": 1}),
        ("NNVNNV", {}),
        ("NNVNNVNNV", {"trigeminy_v": 1}),
        ("NSVNNVNNV", {"trigeminy_v": 1}),
        ("NNVNNVNNVV", {}),
        ("NNVFNVNNV", {}),
        ("NNSNNSNNS", {"trigeminy_s": 1}),
        ("NNVNNVNNVNVNVN", {"trigeminy_v": 1, "bigeminy_v": 1}),
        ("NNNVNNNVNNNV", {}),
    ],
)
def test_bigeminy_and_trigeminy_begin_with_the_third_repeat(text: str, expected: dict[str, int]) -> None:
    patterns = {kind: count for kind, count in found(made(text)).items() if "gemin" in kind}
    assert patterns == expected


def test_bigeminy_lasts_from_its_first_other_beat_to_its_last_ectopic_one() -> None:
    episode = only(made("NNVNVNVNN", 500), "bigeminy_v")
    assert (episode.start, episode.end, episode.beats, episode.rate_bpm) == (600, 3100, 6, 120.0)
    episode = only(made("NNNVNNVNNVNN", 500), "trigeminy_v")
    assert (episode.start, episode.end, episode.beats) == (600, 4600, 9)


def test_the_repeats_that_bigeminy_needs_are_an_option() -> None:
    assert found(made("NVNVN"), bigeminy_min=2) == {"isolated_v": 2, "bigeminy_v": 1}
    assert found(made("NNVNNVN"), trigeminy_min=2) == {"isolated_v": 2, "trigeminy_v": 1}


# ------------------------------------------------------------------------------------------------------- pauses


def test_a_pause_is_longer_than_2_s() -> None:
    assert found(made("NN", [2000])) == {}
    pause = only(made("NN", [2001]), "pause")
    assert (pause.start, pause.end, pause.beats, pause.rate_bpm) == (100, 2101, 2, None)
    assert found(made("NN", [2001]), pause=2.25) == {}


def test_pauses_are_counted_above_each_threshold() -> None:
    lengths = [2000, 2001, 2500, 2501, 2999, 3000, 3001]
    episodes = find_episodes(made("N" * 8, lengths), DEFAULT)
    assert episodes.pause_counts(DEFAULT) == {"gt_2_0": 6, "gt_2_5": 4, "ge_3_0": 2}
    assert find_episodes(made("NN"), DEFAULT).pause_counts(DEFAULT) == {"gt_2_0": 0, "gt_2_5": 0, "ge_3_0": 0}


def test_pauses_after_an_ectopic_beat_are_counted_apart() -> None:
    episodes = find_episodes(made("NSVFQN", 2200), DEFAULT)
    assert [pause.after_ectopic for pause in episodes.of("pause")] == [False, True, True, True, False]
    assert episodes.pause_counts(DEFAULT, after_ectopic=True) == {"gt_2_0": 3, "gt_2_5": 0, "ge_3_0": 0}


@pytest.mark.parametrize("fields", [{"unreadable": [(500, 600)]}, {"flutter": [(500, 600)]}, {"borders": [500]}])
def test_no_pause_is_made_of_what_cannot_be_read(fields: dict[str, object]) -> None:
    assert "pause" not in found(made("NN", [4000], **fields))


def test_a_very_long_pause_may_be_a_lead_that_is_off() -> None:
    for length, doubtful in ((15_000, False), (15_001, True)):
        rhythm = made("NNN", [length, 800])
        hidden = hidden_beats(rhythm, DEFAULT, lambda start, end: False)
        rhythm = made("NNN", [length, 800], hidden=hidden)
        (pause,) = find_episodes(rhythm, DEFAULT).of("pause")
        assert bool(pause.doubtful) == doubtful
        assert rhythm.valid.tolist() == [not doubtful, True]  # it is no heart rate of 4/min


def test_a_deflection_in_a_pause_may_be_a_missed_beat() -> None:
    asked = []

    def has_deflection(start: int, end: int) -> bool:
        asked.append((start, end))
        return start == 100

    rhythm = made("NNNN", [2200, 800, 2300])
    hidden = hidden_beats(rhythm, DEFAULT, has_deflection)
    episodes = find_episodes(made("NNNN", [2200, 800, 2300], hidden=hidden), DEFAULT)
    assert asked == [(100, 2300), (3100, 5400)]
    assert [bool(pause.doubtful) for pause in episodes.of("pause")] == [True, False]
    assert episodes.pause_counts(DEFAULT)["gt_2_0"] == 2
    assert episodes.pause_counts(DEFAULT, doubtful=False)["gt_2_0"] == 1
    assert episodes.longest("pause").start == 3100


def test_an_interval_that_may_hide_a_beat_breaks_every_sequence_and_is_still_told() -> None:
    rhythm = made("NVVVN", [800, 400, 2500, 800], hidden=[1300])
    assert hidden_beats(made("NVVVN", [800, 400, 2500, 800]), DEFAULT, lambda start, end: True).tolist() == [1300]
    assert rhythm.valid.tolist() == [True, True, False, True]
    assert found(rhythm) == {"couplet_v": 1, "isolated_v": 1, "pause": 1}
    (pause,) = find_episodes(rhythm, DEFAULT).of("pause")
    assert pause.doubtful


@pytest.mark.parametrize("length", [2000, 2001])
def test_time_without_a_beat_at_an_end_or_beside_lost_time_is_told(length: int) -> None:
    """It is no R-R interval, so no pause either."""
    beats, past = np.arange(10_000, 20_000, 1000), 19_000  # the last beat
    rhythm = Rhythm(
        samples=beats,
        classes=["N"] * len(beats),
        fs=1000,
        length=past + length + 5000,
        unreadable=[(0, 10_000 - length), (past + length, past + length + 3000)],
        borders=[past + length + 4000],
    )
    found_there = find_episodes(rhythm, DEFAULT)
    spans = [[10_000 - length, 10_000], [past, past + length]]
    assert found_there.beatless.tolist() == (spans if length > 2000 else [])
    assert found_there.of("pause") == []
    (whole,) = find_episodes(Rhythm(np.zeros(0), np.zeros(0, str), 1000, 2001), DEFAULT).beatless.tolist()
    assert whole == [0, 2001]


# ---------------------------------------------------------------------------------------------- slow and fast rhythm


def slow_and_fast(rhythm: Rhythm, **options: object) -> list[Episode]:
    episodes = find_episodes(rhythm, Definitions(**options)).found
    return [episode for episode in episodes if episode.kind in ("bradycardia", "tachycardia")]


def test_a_rate_of_50_is_no_bradycardia_and_one_of_100_no_tachycardia() -> None:
    assert slow_and_fast(made("N" * 30, 1200)) == slow_and_fast(made("N" * 60, 600)) == []
    (slow,) = slow_and_fast(made("N" * 30, 1201))
    (fast,) = slow_and_fast(made("N" * 60, 599))
    assert (slow.kind, slow.start, slow.end, slow.beats) == ("bradycardia", 100, 100 + 29 * 1201, 30)
    assert slow.rate_bpm == pytest.approx(60 / 1.201)
    assert (fast.kind, fast.beats) == ("tachycardia", 60)


def test_slow_and_fast_rhythm_lasts_15_s() -> None:
    assert len(slow_and_fast(made("N" * 13, 1250))) == 1  # 12 intervals, 15 s
    assert slow_and_fast(made("N" * 13, [1250] * 11 + [1249])) == []
    assert slow_and_fast(made("N" * 8, 2500)) == []  # 7 intervals: no rate of 8
    assert len(slow_and_fast(made("N" * 9, 2000))) == 1
    short = made("N" * 20 + "|NNN", [700] * 19 + [6000] + [8000] * 2)  # 13.3 s of 19 intervals, and 16 s of two
    assert find_episodes(short, DEFAULT).counts()["bradycardia"] is None  # neither is long enough to tell


def test_interruptions_of_5_s_are_bridged() -> None:
    text, slow = "N" * 13 + "|" + "N" * 13, [1250] * 12
    (bridged,) = slow_and_fast(made(text, [*slow, 5000, *slow]))
    assert (bridged.start, bridged.end, bridged.beats) == (100, 35100, 26)
    assert bridged.rate_bpm == 48.0  # of the valid intervals
    assert len(slow_and_fast(made(text, [*slow, 5001, *slow]))) == 2


def test_the_rate_at_a_beat_is_that_of_4_intervals_before_and_4_after_it() -> None:
    # 20 intervals of 800 ms, 20 of 1400 ms: a window of 8 with k slow ones has 8 / (6.4 + 0.6 k) beats a second,
    # below 50/min from k = 6 on (10.0 s); its middle is the beat 2 slow intervals into the slow part.
    (slow,) = slow_and_fast(made("N" * 41, [800] * 20 + [1400] * 20))
    assert slow.start == 100 + 20 * 800 + 2 * 1400
    assert slow.end == 100 + 20 * 800 + 20 * 1400


def test_a_single_pause_is_no_bradycardia() -> None:
    assert slow_and_fast(made("N" * 41, [800] * 20 + [6000] + [800] * 19)) == []


def test_a_pause_within_a_bradycardia_does_not_end_it() -> None:
    (slow,) = slow_and_fast(made("N" * 41, [1300] * 20 + [6000] + [1300] * 19))
    assert slow.beats == 41


# ---------------------------------------------------------------------------------------------------- heart rate


def test_heart_rate_of_a_steady_rhythm() -> None:
    rate = heart_rate(made("N" * 9, 800), DEFAULT)
    assert rate.min is not None and rate.max is not None
    assert (rate.min.bpm, rate.mean, rate.max.bpm) == (75.0, 75.0, 75.0)
    assert rate.min.time_s == pytest.approx(0.1 + 4 * 0.8)


@pytest.mark.parametrize("part", [50, 250, 400])
def test_one_false_beat_makes_no_extreme(part: int) -> None:
    rate = heart_rate(made("N" * 42, [800] * 20 + [part, 800 - part] + [800] * 19), DEFAULT)
    assert rate.min is not None and rate.max is not None
    assert (rate.min.bpm, rate.max.bpm) == (75.0, 75.0)


def test_one_missed_beat_makes_no_extreme() -> None:
    rate = heart_rate(made("N" * 40, [800] * 20 + [1600] + [800] * 18), DEFAULT)
    assert rate.min is not None and (rate.min.bpm, rate.mean) == (75.0, 75 * 39 / 40)


def test_bigeminy_makes_no_extreme() -> None:
    rate = heart_rate(made("NV" * 20, [500, 1100] * 19 + [500]), DEFAULT)  # medians of 5 would be 55 and 120/min
    assert rate.min is not None and rate.max is not None
    assert (rate.min.bpm, rate.max.bpm) == (75.0, 75.0)


def test_beats_that_may_be_none_make_no_extreme() -> None:
    """A run at 200/min whose beats look like nothing else; where they look like beats it is the highest rate."""
    rhythm = made("N" * 20 + "V" * 8 + "N" * 20, [800] * 19 + [300] * 8 + [800] * 20)
    for likeness, highest in ((0.1, 75.0), (0.9, 200.0)):
        episodes = find_episodes(rhythm, DEFAULT, likeness=lambda first, last, alike=likeness: alike)
        assert len(episodes.unlike) == (likeness < 0.5)  # run_v and nsvt are one run
        rate = heart_rate(rhythm, DEFAULT, episodes.unlike)
        assert rate.max is not None and rate.max.bpm == pytest.approx(highest)
        assert hours(rhythm, episodes, DEFAULT)[0].max == rate.max
        assert np.nanmax(trends(rhythm, episodes, DEFAULT).high_bpm) == pytest.approx(highest)


def test_no_figure_stands_for_an_hour_that_has_less_than_five_minutes() -> None:
    for beats, known in ((299, False), (301, True)):
        result = burden(rhythm := made("N" * (beats - 1) + "V", 1000), find_episodes(rhythm, DEFAULT), DEFAULT)
        assert (result.v.per_hour is not None) == known and result.v.percent is not None


def test_heart_rate_needs_valid_intervals() -> None:
    rate = heart_rate(made("NNNN|NNNN|N", 800), DEFAULT)
    assert (rate.min, rate.mean, rate.max) == (None, 75.0, None)
    rate = heart_rate(made("N|N"), DEFAULT)
    assert (rate.min, rate.mean, rate.max) == (None, None, None)
    assert heart_rate(made(""), DEFAULT).mean is None


# -------------------------------------------------------------------------------------------------------- burden


def burden_of(rhythm: Rhythm, **options: object) -> Burden:
    definitions = Definitions(**options)
    return burden(rhythm, find_episodes(rhythm, definitions), definitions)


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


def unclassified_where(text: str) -> np.ndarray:
    """Probabilities of the beats, none of those that are written Q."""
    return np.where(np.array([*text])[:, None] == "Q", np.nan, np.eye(5)[["NSVFQ".index(one) for one in text]])


def test_a_beat_that_no_network_could_classify_is_in_no_denominator() -> None:
    text = "NNNNVSQQQQNNNNVSQQQQ"
    rhythm = made(text, 90_000, length=1_800_000, probabilities=unclassified_where(text))
    episodes = find_episodes(rhythm, DEFAULT)
    result = burden(rhythm, episodes, DEFAULT)
    assert (result.beats["unclassified"], result.beats["all"]) == (8, 20)
    assert (result.v.of, result.s.of) == (12, 12)
    assert result.abnormal_percent == pytest.approx(100 * 4 / 12)
    (hour,) = hours(rhythm, episodes, DEFAULT)
    (start, end) = (0.0, rhythm.length / rhythm.fs)
    diary = diary_figures([Entry(start, end, "other", "")], rhythm, episodes)
    during = diary.figures[0].during
    assert during is not None and during.beats == 20
    for percent in (result.v.percent, result.s.percent, hour.v.percent, hour.s.percent):
        assert percent == pytest.approx(100 * 2 / 12)
    assert (during.v_percent, during.s_percent) == pytest.approx((100 * 2 / 12, 100 * 2 / 12))


@pytest.mark.parametrize(("text", "v_percent"), [("NNNNVSQQQQ", 100 / 6), ("NVN", 100 / 3), ("NVQ", None), ("V", None)])
def test_a_bin_of_the_trends_tells_a_share_of_three_classified_beats_and_more(text: str, v_percent: float) -> None:
    rhythm = made(text, 800, length=20_000, probabilities=unclassified_where(text))
    first, second = trends(rhythm, find_episodes(rhythm, DEFAULT), DEFAULT).v_percent
    assert first == pytest.approx(v_percent) if v_percent else np.isnan(first)
    assert np.isnan(second)


def test_a_bin_of_the_trends_tells_its_own_figures() -> None:
    """Ten beats at 60/min, V among them, and twenty at 120/min, two V and four S; half of the time has none."""
    names = ["N"] * 31
    names[3], names[12:26:8], names[14:30:4] = "V", "VV", "SSSS"
    rhythm = made("".join(names), [1000] * 10 + [500] * 20, length=34_500)
    told = trends(rhythm, find_episodes(rhythm, DEFAULT), DEFAULT)
    nothing = [np.nan, np.nan]
    assert (told.width_s, told.start_s.tolist()) == (10, [0, 10, 20, 30])
    np.testing.assert_allclose(told.mean_bpm, [60, 120, *nothing])
    np.testing.assert_allclose(told.low_bpm, [60, 80, *nothing])  # a window of both rates has its middle in the second
    np.testing.assert_allclose(told.high_bpm, [60, 120, *nothing])
    np.testing.assert_allclose(told.v_percent, [10, 10, *nothing])
    np.testing.assert_allclose(told.s_percent, [0, 20, *nothing])
    # As in svdb, with a beat at its end.
    ends = made("NNNV", 1000, samples=[17_000, 18_000, 19_000, 20_000], length=20_000)
    told = trends(ends, find_episodes(ends, DEFAULT), DEFAULT)
    np.testing.assert_allclose(told.mean_bpm, [np.nan, 60])
    np.testing.assert_allclose(told.v_percent, [np.nan, 25])
    assert trends(made("N"), find_episodes(made("N"), DEFAULT), DEFAULT).start_s.tolist() == [0]


@pytest.mark.parametrize(
    ("hours", "width"),
    [(5 / 6, 10), (0.84, 15), (1.25, 15), (24, 300), (48, 600), (168, 3600), (300, 3600), (336, 7200)],
)
def test_the_bins_of_the_trends_are_at_most_300_and_divide_the_hour(hours: float, width: float) -> None:
    assert bin_width(3600 * hours) == width


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
    rate = heart_rate(rhythm, DEFAULT)
    assert rate.max == Rate(120.0, rhythm.samples[7] / 1000, doubtful)  # 4 of 7 means of two are fast by then


def titles(rhythm: Rhythm) -> list[tuple[str, ...]]:
    """Of the strips of a recording without a diary."""
    episodes = find_episodes(rhythm, DEFAULT)
    return [strip.titles for strip in choose_strips(rhythm, episodes, heart_rate(rhythm, DEFAULT), (), DEFAULT).strips]


def test_a_strip_of_the_usual_rhythm_has_no_doubtful_beats_where_that_can_be() -> None:
    for unsure, start in ((slice(0), 0.0), (slice(0, 15), 15 * 0.8 - 0.3), (slice(0, 40), 0.0)):
        probabilities = np.tile([0.9, 0.1, 0, 0, 0], (40, 1))
        probabilities[unsure] = [0.5, 0.5, 0, 0, 0]
        rhythm = made("N" * 40, probabilities=probabilities)
        strips = choose_strips(rhythm, find_episodes(rhythm, DEFAULT), heart_rate(rhythm, DEFAULT), [], DEFAULT)
        assert strips.strips[0].titles == ("usual rhythm",)
        assert strips.strips[0].start_s == pytest.approx(start)


def test_where_n_are_the_fewer_beats_the_predominant_rhythm_is_shown() -> None:
    assert titles(made("SN" * 15 + "S" * 10))[0] == ("predominant rhythm",)


def test_a_strip_of_the_usual_rhythm_has_nearly_the_usual_rate() -> None:
    mixed, slow = "NNNS" * 20, "N" * 12
    assert titles(made(mixed + slow, [800] * 80 + [960] * 11))[0] == ("usual rhythm",)
    assert ("usual rhythm",) not in titles(made(mixed + slow, [800] * 80 + [961] * 11))


def test_a_strip_of_the_usual_rhythm_is_whole() -> None:
    assert titles(made("N" * 9, length=7_100)) == [("usual rhythm",)]  # of 7 s; the first beat is at 0.1 s
    assert titles(made("N" * 9, length=7_099)) == []
    assert titles(made("NNNNN|NNNNN")) == []


def test_the_slowest_bradycardia_has_a_strip() -> None:
    rhythm = made("N" * 91, [800] * 20 + [1500] * 20 + [800] * 20 + [1300] * 30)
    found = [title for strip in titles(rhythm) for title in strip]
    assert any(re.fullmatch(r"longest bradycardia, \d+ beats, .* 46/min", title) for title in found)
    assert any(re.fullmatch(r"slowest and first bradycardia, \d+ beats, .* 40/min", title) for title in found)


def test_a_strip_lies_around_what_its_title_says() -> None:
    """What it shows is in its middle; what is longer than its two rows begins 1.4 s after it."""
    steps = [800] * 20 + [400] * 39 + [800] * 20 + [300] * 2 + [800] * 20 + [700] * 8 + [800] * 20 + [3000]
    steps += [800] * 20 + [500] * 3 + [800] * 20
    names = ["N"] * (len(steps) + 1)
    names[20:60], names[79:82], names[101:110], names[150:154] = "V" * 40, "VVV", "V" * 9, "VVVV"
    rhythm = made("".join(names), steps)
    entries = [Entry(40.0, None, "activity", "walk"), Entry(60.0, None, "symptom", "dizzy")]
    chosen = choose_strips(rhythm, find_episodes(rhythm, DEFAULT), heart_rate(rhythm, DEFAULT), entries, DEFAULT)
    assert [(*strip.titles, pytest.approx(strip.start_s), strip.rows, strip.marked) for strip in chosen.strips] == [
        ("usual rhythm", "lowest heart rate, 75/min", 0.0, 1, None),
        ("longest and first non-sustained VT, 40 beats, 15.6 s, 150/min", 16.1 - 1.4, 2, (16.1, 31.7)),
        ("fastest non-sustained VT, 3 beats, 0.6 s, 200/min", 48.0 - 3.5, 1, (47.7, 48.3)),
        ("the only pause, 3.00 s", 87.4 - 3.5, 1, (85.9, 88.9)),
        ("the only slow V run (idioventricular or AIVR), 9 beats, 5.6 s, 86/min", 67.1 - 7, 2, (64.3, 69.9)),
        ("diary, symptom: dizzy", 60.0 - 3.5, 1, None),
        ("highest heart rate, 150/min", 16.5 - 3.5, 1, None),
        ("diary, activity: walk", 40.0 - 3.5, 1, None),
    ]


def test_strips_that_a_report_has_no_room_for_are_counted() -> None:
    rhythm, entries = made("N" * 1000), [Entry(12.0 * place + 6, None, "symptom", "") for place in range(60)]
    chosen = choose_strips(rhythm, find_episodes(rhythm, DEFAULT), heart_rate(rhythm, DEFAULT), entries, DEFAULT)
    assert len(chosen.strips) == MOST == 48
    assert chosen.left_out == 1 + 60 - 48  # beside one of the usual rhythm


def test_a_stretch_that_is_lowest_and_highest_is_shown_once() -> None:
    assert titles(made("N" * 40)) == [("usual rhythm",)]  # lowest and highest are the same 75/min
    faster = made("N" * 11, [600] * 5 + [500] * 5, length=6_900)
    assert titles(faster) == [("lowest heart rate, 100/min", "highest heart rate, 120/min")]


def test_where_no_beat_is_classified_no_share_is_known() -> None:
    rhythm = made("QQQQ", 400_000, probabilities=unclassified_where("QQQQ"))
    result = burden_of(rhythm)
    assert (result.v.percent, result.v.per_hour, result.s.percent, result.abnormal_percent) == (None,) * 4
    (hour,) = hours(rhythm, find_episodes(rhythm, DEFAULT), DEFAULT)
    assert (hour.v.percent, hour.v.per_hour, hour.s.percent) == (None,) * 3


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
def test_as_many_s_as_a_day_may_have_are_excessive_in_a_part_of_it(limit: float, excessive: dict | None) -> None:
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


# ------------------------------------------------------------------------------------------ heart rate variability


def variability_of(rhythm: Rhythm, **options: object) -> Variability:
    definitions = Definitions(**options)
    return variability(rhythm, find_episodes(rhythm, definitions).irregular, definitions)


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


# ---------------------------------------------------------------------------------------------- irregular rhythm


def entropy_of(intervals: list[int], **options: object) -> float:
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
    entropy = cosen(rhythm, np.ones(12, dtype=bool), np.array([0, 8, 4]), np.array([8, 4, 2]), DEFAULT)
    assert entropy[0] == pytest.approx(math.log(7 / 80))
    assert entropy[1] == entropy[2] == math.inf  # of 3 pairs and of none: too few


def test_sample_entropy_takes_no_part_of_an_interval_that_is_not_usable() -> None:
    rhythm = made("N" * 11, [80] * 4 + [40, 120] + [80] * 4, fs=100)
    usable = np.array([True] * 4 + [False] * 2 + [True] * 4)
    # Followed by a usable one are 3 before and 3 after: 15 pairs.
    entropy = cosen(rhythm, usable, np.array([0]), 10, DEFAULT)
    assert entropy == pytest.approx(math.log(15 / 15) + math.log(7 / 80))


def fibrillation(count: int, seed: int = 0) -> list[int]:
    """Intervals of 400 to 1100 ms that have nothing to do with one another."""
    return np.random.default_rng(seed).integers(400, 1101, count).tolist()


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
    assert cosen(rhythm, everything, start, 100, DEFAULT)[0] > DEFAULT.irregular_entropy
    assert turning_points(rhythm, everything, start, np.array([100]))[0] == pytest.approx(32 / 98)
    assert find_episodes(rhythm, DEFAULT).of("irregular_rhythm") == []
    assert found(rhythm, irregular_turning=30) == {"irregular_rhythm": 1}


def test_turning_points_are_those_of_usable_intervals() -> None:
    rhythm = made("N" * 7, [500, 700, 600, 800, 900, 900])
    usable = np.ones(6, dtype=bool)
    assert turning_points(rhythm, usable, np.array([0, 0, 3]), np.array([6, 4, 2])).tolist() == [0.5, 1, 1]
    usable[1] = False
    assert turning_points(rhythm, usable, np.array([0]), np.array([6])).tolist() == [0]


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
    rate = heart_rate(dropping([800] * 209), DEFAULT)
    if lost == 5000:
        assert found_there == [1, 1, 1]
        assert rate.min is not None and rate.min.bpm == 75
    else:
        assert found_there == [None, 0, 0]
        assert rate.min is rate.max is None


def test_an_interruption_is_all_that_is_not_valid_in_a_row() -> None:
    (whole,) = slow_and_fast(made("N" * 6 + "|N|" + "N" * 6, [*[1250] * 5, 2500, 2500, *[1250] * 5]))
    assert whole.beats == 13
    assert slow_and_fast(made("N" * 6 + "|N|" + "N" * 6, [*[1250] * 5, 2500, 2501, *[1250] * 5])) == []


@pytest.mark.parametrize(("lost_before", "lost_after"), [(0, 0), (40, 0), (0, 40), (100, 100)])
def test_irregular_rhythm_lasts_30_s_with_the_readable_time_to_the_ends(lost_before: int, lost_after: int) -> None:
    intervals = fibrillation(40)
    intervals[-1] += 29_800 + lost_before + lost_after - sum(intervals)  # 100 samples before the first beat, and after
    assert 400 <= intervals[-1] <= 1300

    def sought_and_found(intervals: list[int]) -> tuple[bool, int | None]:
        length = sum(intervals) + 200
        unreadable = [(0, lost_before), (length - lost_after, length)]
        episodes = find_episodes(made("N" * 41, intervals, unreadable=unreadable), DEFAULT)
        return "irregular_rhythm" in episodes.sought, episodes.counts()["irregular_rhythm"]

    assert sought_and_found(intervals) == (True, 1)
    intervals[-1] -= 1
    assert sought_and_found(intervals) == (False, None)


@pytest.mark.parametrize(
    ("beats", "missing"),
    [
        (0, {*KINDS} - {"ventricular_flutter", "unreadable"}),
        (1, {"bradycardia", "tachycardia", "irregular_rhythm"}),
        (15, {"bradycardia", "tachycardia", "irregular_rhythm"}),
        (16, {"irregular_rhythm"}),
        (30, {"irregular_rhythm"}),
        (31, set()),
    ],
)
def test_what_a_recording_is_too_short_for_is_not_looked_for(beats: int, missing: set[str]) -> None:
    episodes = find_episodes(made("N" * beats, 1000, length=max(1000 * beats - 800, 1)), DEFAULT)
    assert {*KINDS} - {*episodes.sought} == missing
    assert {kind for kind, count in episodes.counts().items() if count is None} == missing


def test_irregular_time_leaves_out_what_is_lost_in_it() -> None:
    rhythm = made("|".join(["N" * 25] * 8), fibrillation(199))
    episodes = find_episodes(rhythm, DEFAULT)
    assert len(episodes.irregular) == 1
    lost = np.diff(rhythm.unreadable).sum()
    assert lost > 3000
    assert np.diff(episodes.irregular_time).sum() == np.diff(episodes.irregular).sum() - lost
    whole = burden(rhythm, episodes, DEFAULT)
    assert 0 < whole.s.hours * 3600 < 1
    assert sum(hour.s.hours for hour in hours(rhythm, episodes, DEFAULT)) == pytest.approx(whole.s.hours)


def test_ventricular_ectopy_explains_irregular_intervals_but_s_does_not() -> None:
    intervals = fibrillation(120)
    assert "irregular_rhythm" not in found(made("NNV" * 40 + "N", intervals))
    assert "irregular_rhythm" in found(made("NNS" * 40 + "N", intervals))
    assert "irregular_rhythm" in found(made("NNNNNV" * 20 + "N", intervals))  # enough is left to tell


def test_in_irregular_rhythm_s_and_variability_are_withheld() -> None:
    steady = "N" * 30 + "NSNNSS" + "N" * 30
    fibrillating = "NNS" * 20 + "SSSSNV" + "NNS" * 20
    rhythm = made(
        steady + "|" + fibrillating + "|" + steady,
        [*[800] * 65, 6000, *fibrillation(125), 6000, *[800] * 65],
    )
    episodes = find_episodes(rhythm, DEFAULT)
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
    result = burden(rhythm, episodes, DEFAULT)
    assert result.s_withheld == 44 and result.s.beats == 6
    assert result.s.percent == 100 * 6 / 132
    assert result.beats["S"] == 50 and result.v.percent == 100 / 258
    spread = variability(rhythm, episodes.irregular, DEFAULT)
    assert (spread.withheld, spread.rr, spread.sdnn_ms) == (125, 130, 0.0)


def test_s_beats_at_the_ends_of_irregular_rhythm_are_withheld_too() -> None:
    rhythm = made("SNN" * 40 + "S", fibrillation(120))
    episodes = find_episodes(rhythm, DEFAULT)
    assert episodes.irregular.tolist() == [[rhythm.samples[0], rhythm.samples[-1]]]
    assert episodes.withheld["isolated_s"] == burden(rhythm, episodes, DEFAULT).s_withheld == 41
    assert not episodes.of("isolated_s")


def test_the_burden_of_s_is_of_time_and_beats_outside_irregular_rhythm() -> None:
    """Ten minutes at 30/min with every fifth beat an S, then fibrillation with every third."""
    rhythm = made("NNNNS" * 60 + "NNS" * 40, [*[2000] * 300, *fibrillation(119)], length=710_000)
    episodes = find_episodes(rhythm, DEFAULT)
    ((start, end),) = episodes.irregular.tolist()
    assert (start, end) == (594_100, 690_343)  # from beat 297 of 420 on
    result = burden(rhythm, episodes, DEFAULT)
    assert (result.s.beats, result.s.of, result.s_withheld) == (59, 297, 41)
    regular_s = 710 - (end - start) / 1000
    assert result.s.hours == pytest.approx(regular_s / 3600)
    assert result.s.per_hour == pytest.approx(59 * 3600 / regular_s)
    (hour,) = hours(rhythm, episodes, DEFAULT)
    assert (hour.s.beats, hour.s.of) == (59, 297)
    assert hour.s.hours == pytest.approx(regular_s / 3600)
    curves = trends(rhythm, episodes, DEFAULT)
    assert curves.width_s == 10
    assert curves.s_percent[:59] == pytest.approx(np.full(59, 20.0))
    assert np.isnan(curves.s_percent[59:]).all()  # two N, and the fibrillation


def only_rate(rhythm: Rhythm, first: int, last: int) -> float:
    """The rate from one beat to another."""
    return 60_000 * (last - first) / float(rhythm.samples[last] - rhythm.samples[first])


# ----------------------------------------------------------------------------------------------- hour by hour


def test_hours_follow_the_recording_or_the_clock() -> None:
    rhythm = made("N" * 80 + "VV" + "N" * 18, 60_000, length=6_000_000, unreadable=[(3_500_000, 3_900_000)])
    episodes = find_episodes(rhythm, DEFAULT)
    first, second = hours(rhythm, episodes, DEFAULT)
    assert (first.start_s, first.end_s, second.end_s) == (0.0, 3600.0, 6000.0)
    assert (first.readable_s, second.readable_s) == (3500.0, 2100.0)
    # Beats at 0.1 s and every minute after it; those from 59 to 64 min are in unreadable time.
    counts = {"N": 33, "S": 0, "V": 2, "F": 0, "Q": 0, "unclassified": 0, "all": 35}
    assert (first.beats["all"], second.beats) == (59, counts)
    assert second.episodes["couplet_v"] == 1 and second.v.percent == 100 * 2 / 35
    clock = hours(rhythm, episodes, DEFAULT, into_hour_s=600)
    assert [hour.start_s for hour in clock] == [0.0, 3000.0]
    assert [hour.start_s for hour in hours(rhythm, episodes, DEFAULT, into_hour_s=7200)] == [0.0, 3600.0]


def test_the_beats_at_the_edges_of_an_hour_are_in_one_each() -> None:
    """The hour begins at sample 1,295,999.64; as in svdb the last beat is at the end of the recording."""
    rhythm = made("NSVN", fs=360, samples=[1, 1_295_999, 1_296_000, 1_300_000], length=1_300_000)
    first, second = hours(rhythm, find_episodes(rhythm, DEFAULT), DEFAULT, into_hour_s=0.001)
    assert (first.beats["S"], first.beats["all"], second.beats["V"], second.beats["all"]) == (1, 2, 1, 2)
    assert (first.episodes["isolated_s"], second.episodes["isolated_v"]) == (1, 1)


def test_a_recording_that_ends_on_the_hour_has_no_hour_after_it() -> None:
    """Begun at 9:59:00.010: 3600 - 3540.01 is a little less than 59.99."""
    rhythm = made("N" * 74, 80, fs=100, length=5999)
    (hour,) = hours(rhythm, find_episodes(rhythm, DEFAULT), DEFAULT, into_hour_s=3540.01)
    assert (hour.start_s, hour.end_s, hour.beats["all"]) == (0.0, 59.99, 74)


def test_heart_rate_of_an_hour() -> None:
    rhythm = made("N" * 9000, [1000] * 3600 + [500] * 5399, length=7_200_000)
    first, second = hours(rhythm, find_episodes(rhythm, DEFAULT), DEFAULT)
    assert first.min is not None and second.max is not None
    assert (first.min.bpm, second.max.bpm) == (60.0, 120.0)
    assert (first.mean, second.mean) == (60.0, 120.0)
    assert hours_table([first, second])["rate_min_bpm"].tolist() == [60.0, second.min.bpm]


# ---------------------------------------------------------------------------------- what must hold of any recording


@st.composite
def rhythms(draw: st.DrawFn, beats: int = 60) -> Rhythm:
    text = draw(st.text("NNNNSSVVVFQ", min_size=1, max_size=beats))
    steps = draw(st.lists(st.integers(200, 2600), min_size=len(text) - 1, max_size=len(text) - 1))
    cuts = draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4)) if len(text) > 1 else set()
    cut = "".join(("|" if at in cuts else "") + letter for at, letter in enumerate(text))
    return made(cut, steps)


def beats_in(episodes: Episodes, suffix: str) -> int:
    return sum(episode.beats for kind in ("isolated", "couplet", "run") for episode in episodes.of(f"{kind}_{suffix}"))


@fewer_examples
@given(rhythms())
def test_every_ectopic_beat_is_isolated_or_in_one_couplet_or_run(rhythm: Rhythm) -> None:
    episodes = find_episodes(rhythm, DEFAULT)
    assert beats_in(episodes, "v") == (rhythm.classes == "V").sum()
    result = burden(rhythm, episodes, DEFAULT)
    if not any(episodes.withheld.values()):
        assert beats_in(episodes, "s") == result.beats["S"]
    counts = {kind: count or 0 for kind, count in episodes.counts().items()}
    assert counts["run_v"] == counts["nsvt"] + counts["vt_sustained"] + counts["idioventricular"]
    assert sum(counts.values()) == len(episodes.found) == len(episodes.table())


@fewer_examples
@given(rhythms())
def test_fusion_in_runs_never_loses_a_v(rhythm: Rhythm) -> None:
    episodes = find_episodes(rhythm, Definitions(fusion_in_runs=True))
    assert (rhythm.classes == "V").sum() <= beats_in(episodes, "v") <= np.isin(rhythm.classes, ("V", "F")).sum()


@fewer_examples
@given(rhythms(), st.integers(1, 10**9))
def test_time_of_day_changes_nothing(rhythm: Rhythm, shift: int) -> None:
    later = Rhythm(
        rhythm.samples + shift,
        rhythm.classes,
        rhythm.fs,
        rhythm.length + shift,
        unreadable=rhythm.unreadable + shift,
    )
    moved = [
        dataclasses.replace(episode, start=episode.start + shift, end=episode.end + shift)
        for episode in find_episodes(rhythm, DEFAULT).found
    ]
    assert list(find_episodes(later, DEFAULT).found) == moved
    before, after = variability_of(rhythm), variability_of(later)
    assert (before.sdnn_ms, before.rmssd_ms, before.pnn50_percent) == (
        after.sdnn_ms,
        after.rmssd_ms,
        after.pnn50_percent,
    )


@fewer_examples
@given(rhythms(30), rhythms(30))
def test_a_recording_is_what_its_parts_are_on_either_side_of_unreadable_time(one: Rhythm, other: Rhythm) -> None:
    """But for the doubt in runs of S, which is by the sinus rhythm on either side, across lost time too."""

    def found(rhythm: Rhythm, start: int = 0) -> list[Episode]:
        return [
            dataclasses.replace(episode, start=episode.start + start, end=episode.end + start, doubtful="")
            for episode in find_episodes(rhythm, DEFAULT).found
        ]

    gap = 10_000  # too long to be bridged
    begin = one.length + gap
    whole = Rhythm(
        np.concatenate([one.samples, other.samples + begin]),
        np.concatenate([one.classes, other.classes]),
        one.fs,
        begin + other.length,
        unreadable=[*one.unreadable, (one.length, begin), *(other.unreadable + begin)],
    )
    gap_itself = Episode("unreadable", one.length, begin, 0, None)
    assert Counter(found(whole)) == Counter([*found(one), gap_itself, *found(other, begin)])


def test_a_beat_with_no_valid_interval_at_an_end_begins_no_bradycardia() -> None:
    """Its rate is that of the beats beyond the interruption; behind a longer gap it would not be taken in either."""
    samples = [100, 300, 500, 700, 900, 1100, 2101, 4701, 7301, 9901, 10101, 10301, 12500, 15100]
    alone = Rhythm(samples, ["N"] * 14, 1000, 15200, unreadable=[(101, 300)])
    begin = 10_200
    behind = Rhythm(
        [100, *(sample + begin for sample in samples)],
        ["N"] * 15,
        1000,
        begin + 15200,
        unreadable=[(200, begin), (begin + 101, begin + 300)],
    )
    for rhythm in (alone, behind):  # without the first beat 14.8 s
        assert not find_episodes(rhythm, DEFAULT).of("bradycardia")


@fewer_examples
@given(rhythms(), st.floats(0, 3600))
def test_the_hours_add_up_to_the_whole(rhythm: Rhythm, into_hour: float) -> None:
    slow = Rhythm(  # 100 times as long: some hours
        rhythm.samples * 100, rhythm.classes, rhythm.fs, rhythm.length * 100, unreadable=rhythm.unreadable * 100
    )
    episodes = find_episodes(slow, DEFAULT)
    whole = burden(slow, episodes, DEFAULT)
    rows = hours(slow, episodes, DEFAULT, into_hour)
    for name in (*CLASSES, "all"):
        assert sum(row.beats[name] for row in rows) == whole.beats[name]
    for kind, count in episodes.counts().items():
        assert {row.episodes[kind] is None for row in rows} == {count is None}
        assert sum(row.episodes[kind] or 0 for row in rows) == (count or 0)
    assert sum(row.readable_s for row in rows) == pytest.approx(slow.readable_s)
    assert len(hours_table(rows)) == len(rows)


# ---------------------------------------------------------------------------------------------------- the beats


def test_intervals_are_merged_and_cut_to_the_recording() -> None:
    rhythm = made("NNN", unreadable=[(1000, 1200), (-50, 20), (1100, 1300), (1300, 1400), (1750, 10**6), (5, 5)])
    assert rhythm.unreadable.tolist() == [[0, 20], [1000, 1400], [1750, 1800]]
    assert rhythm.readable_s == (1800 - 20 - 400 - 50) / 1000


def test_flutter_is_readable_but_its_beats_are_left_out() -> None:
    rhythm = made("NVVVN", flutter=[(900, 2500)])  # beats at 100, 900, 1700, 2500, 3300
    assert (rhythm.readable_s, "".join(rhythm.classes)) == (3.4, "NVN")
    assert rhythm.valid.tolist() == [False, True]


def test_the_table_of_beats() -> None:
    probabilities = np.eye(5)[[0, 2, 2, 0]]
    table = made("NV|VN", probabilities=probabilities).table()
    assert list(table) == ["sample", "time_s", "class", "p_N", "p_S", "p_V", "p_F", "p_Q", "rr_s", "rr_valid"]
    assert table["rr_s"].tolist()[1:] == [0.8, 0.8, 0.8] and np.isnan(table["rr_s"][0])
    assert table["rr_valid"].tolist() == [False, True, False, True]
    assert table["p_V"].tolist() == [0, 1, 1, 0]
    assert len(made("").table()) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"samples": [1, 2]}, "2 beats but 3 classes"),
        ({"samples": [1, 5, 5]}, "beat at sample 5 does not come after that at 5"),
        ({"samples": [1, 5, 5000]}, "sample 5000 is outside the recording of 1800 samples"),
        ({"samples": [-1, 5, 50]}, "sample -1 is outside"),
        ({"classes": ["N", "X", "N"]}, "class of a beat X: unknown; known are N, S, V, F, Q"),
        ({"unreadable": [(5, 3)]}, "unreadable interval from sample 5 ends before it begins, at 3"),
        ({"fs": 0}, "both must be above 0"),
        ({"probabilities": np.ones((2, 5))}, "3 beats of 5 classes are needed"),
    ],
)
def test_beats_that_cannot_be_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made("NNN", **fields)


# ----------------------------------------------------------------------------------------------- the definitions


def test_every_definition_is_an_option_that_is_read_and_listed() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Definitions)
    assert Definitions(**vars(parser.parse_args([]))) == DEFAULT
    given = parser.parse_args(["--fusion_in_runs", "--vt_min_beats", "5", "--pause", "2.2"])
    assert Definitions(**vars(given)) == Definitions(fusion_in_runs=True, vt_min_beats=5, pause=2.2)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "report").glob("*.py"))
    for definition in DEFAULT.listed():
        assert definition.value == getattr(DEFAULT, definition.name)
        assert definition.text and definition.source
        assert re.search(rf"definitions\.{definition.name}\b", code), f"--{definition.name} is not read"


def test_every_threshold_is_explained_by_itself_as_the_help_shows_it() -> None:
    for definition in (*DEFAULT.listed(), *Quality().listed()):
        assert definition.text.split()[0] not in ("and", "but", "or", "nor", "for", "its"), definition.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vt_min_beats": 2}, "--vt_min_beats must be at least 3, got 2"),
        ({"pause": 0}, "--pause must be a number above 0, got 0"),
        ({"pause": math.nan}, "--pause must be a number above 0, got nan"),
        ({"irregular_entropy": math.inf}, "--irregular_entropy must be a number, such as -1, got inf"),
        ({"pause": 2.5}, "--pause 2.5 must be below --pause_long, 2.5: give --pause_long too"),
        ({"bradycardia": 120}, "--bradycardia 120 must be below --tachycardia, 100: give --tachycardia too"),
        ({"burden_high": 101}, "--burden_high must be at most 100 %, got 101"),
        ({"bigeminy_min": 5 * 10**9}, "--bigeminy_min must be at most 1,000,000, got 5000000000"),
    ],
)
def test_definitions_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Definitions(**options)


# ------------------------------------------------------------------------------------- the annotations of mitdb


@dataclasses.dataclass(frozen=True)
class Annotated:
    """A record of mitdb as its annotators saw it."""

    annotations: Annotations
    rhythm: Rhythm
    labels: list[tuple[int, int, str]]
    """From where to where which rhythm was marked."""

    def marked(self, name: str) -> list[tuple[int, int]]:
        return [(start, end) for start, end, label in self.labels if label == name]


@cache
def mitdb() -> dict[str, Annotated]:
    classes = {symbol: name for name, symbols in GROUPINGS["de_chazal"].items() for symbol in symbols}
    records = {}
    for path in sorted(MITDB.glob("*.atr")):
        fs, length = read_header(path.with_suffix(""))
        assert length is not None
        annotations = read_annotations(path, fs)
        times, symbols = np.array(annotations.times), np.array(annotations.symbols)
        beat = np.isin(symbols, list(classes))
        marks = [
            (time, note)
            for time, symbol, note in zip(annotations.times, annotations.symbols, annotations.notes, strict=True)
            if symbol == "+" and note.startswith("(")
        ]
        ends = [time for time, _ in marks[1:]] + [length]
        rhythm = Rhythm(
            times[beat],
            [classes[symbol] for symbol in symbols[beat]],
            fs,
            length,
            flutter=list(zip(times[symbols == "["], times[symbols == "]"], strict=True)),
        )
        labels = [(start, end, note) for (start, note), end in zip(marks, ends, strict=True)]
        records[path.stem] = Annotated(annotations, rhythm, labels)
    return records


@cache
def mitdb_episodes(fusion_in_runs: bool = False) -> dict[str, Episodes]:
    definitions = Definitions(fusion_in_runs=fusion_in_runs)
    return {name: find_episodes(record.rhythm, definitions) for name, record in mitdb().items()}


def mitdb_counts(fusion_in_runs: bool = False) -> Counter[str]:
    return sum((Counter(episodes.counts()) for episodes in mitdb_episodes(fusion_in_runs).values()), Counter())


def against_marks(kinds: tuple[str, ...], mark: str) -> tuple[int, int, int, int]:
    """Episodes, those of them at a mark, marks, those of them at an episode."""
    episodes = inside = marks = hit = 0
    for name, record in mitdb().items():
        ours = [episode for kind in kinds for episode in mitdb_episodes()[name].of(kind)]
        theirs = record.marked(mark)
        episodes, marks = episodes + len(ours), marks + len(theirs)
        inside += sum(any(start <= one.end and one.start <= end for start, end in theirs) for one in ours)
        hit += sum(any(start <= one.end and one.start <= end for one in ours) for start, end in theirs)
    return episodes, inside, marks, hit


@needs("mitdb")
def test_v_in_mitdb() -> None:
    counts = mitdb_counts()
    assert (counts["isolated_v"], counts["couplet_v"], counts["run_v"]) == (5655, 526, 64)
    runs = [run for episodes in mitdb_episodes().values() for run in episodes.of("run_v")]
    assert sum(run.beats >= 5 for run in runs) == 15
    assert sum(run.end - run.start >= 30 * 360 for run in runs) == 3
    # The third of those is of 105 beats at 58/min.
    assert (counts["nsvt"], counts["vt_sustained"], counts["idioventricular"]) == (51, 2, 11)
    tachycardias, inside, marks, _ = against_marks(("nsvt", "vt_sustained"), "(VT")
    assert (tachycardias, inside, marks) == (53, 53, 61)


@needs("mitdb")
def test_v_and_f_in_mitdb_are_the_couplets_of_the_run_by_run_comparison() -> None:
    # 812 of the couplets have a V; two F beside one another are one as well to EC57.
    counts = mitdb_counts(fusion_in_runs=True)
    assert (counts["isolated_v"], counts["couplet_v"]) == (5355, 816)
    for name, record in mitdb().items():
        runs = compare_runs(
            record.annotations, record.annotations, 360, record.rhythm.length, Protocol(start=0, grouping="de_chazal")
        ).ventricular.sensitivity.to_numpy()
        lengths = Counter(min(run.beats, 6) for run in mitdb_episodes(True)[name].of("run_v"))
        assert runs[2].sum() == mitdb_episodes(True)[name].counts()["couplet_v"], name
        assert [runs[length].sum() for length in (3, 4, 5)] == [lengths[length] for length in (3, 4, 5)], name
        # Flutter is a long run to EC57: there are 6 in record 207, and the last goes on as its run of 105 V.
        assert runs[6].sum() == (6 if name == "207" else lengths[6]), name


@needs("mitdb")
def test_bigeminy_and_trigeminy_in_mitdb() -> None:
    """Beats of Q hide 9 of the 221 marks of bigeminy, all of the paced record 217, and F one, of 223."""
    assert against_marks(("bigeminy_v",), "(B") == (225, 224, 221, 211)
    assert against_marks(("trigeminy_v",), "(T") == (90, 79, 83, 75)


@needs("mitdb")
def test_pauses_in_mitdb() -> None:
    counts = sum((Counter(one.pause_counts(DEFAULT)) for one in mitdb_episodes().values()), Counter())
    # Of 141, 90 and 42 intervals as long, 6 hold the flutter of record 207; one is of 3.000 s to the sample.
    assert counts == {"gt_2_0": 135, "gt_2_5": 84, "ge_3_0": 36}


@needs("mitdb")
def test_irregular_rhythm_in_pieces_of_30_s() -> None:
    """The figures that `report.irregular` states of recordings as short as those of a watch."""
    size, pieces = 30 * 360, Counter[tuple[bool, bool]]()
    for record in mitdb().values():
        beats, length = record.rhythm, record.rhythm.length
        share = np.zeros((2, length // size))  # of each piece, in fibrillation and in flutter
        for row, mark in zip(share, ("(AFIB", "(AFL"), strict=True):
            for start, end in record.marked(mark):
                edges = np.clip(np.arange(len(row) + 1) * size, start, end)
                row += np.diff(edges) / size
        for number, (fibrillation, flutter) in enumerate(share.T):
            first, past = np.searchsorted(beats.samples, [number * size, (number + 1) * size])
            if past - first < 2 or flutter > 0 or 0 < fibrillation < 0.999_999:
                continue
            piece = Rhythm(beats.samples[first:past] - number * size, beats.classes[first:past], 360, size)
            pieces[bool(fibrillation), len(irregular_rhythm(piece, DEFAULT)) > 0] += 1
    assert (pieces[True, True], pieces[True, False]) == (110, 95)
    assert (pieces[False, True], pieces[False, False]) == (8, 2534)


@needs("mitdb")
def test_irregular_rhythm_in_mitdb_is_fibrillation_for_the_most_part() -> None:
    """The figures that `report.irregular` states, by time of R-R intervals."""
    time: Counter[tuple[str, bool]] = Counter()
    for name, record in mitdb().items():
        rhythm = record.rhythm
        middle = (rhythm.samples[:-1] + rhythm.samples[1:]) / 2
        flagged = np.zeros(middle.size, dtype=bool)
        for start, end in mitdb_episodes()[name].irregular:
            flagged |= (start < middle) & (middle < end)
        truth = np.full(middle.size, "other", dtype=object)
        for mark in ("(AFIB", "(AFL"):
            for start, end in record.marked(mark):
                truth[(rhythm.samples[:-1] >= start) & (rhythm.samples[:-1] < end)] = mark
        for label in ("(AFIB", "(AFL", "other"):
            for flag in (True, False):
                time[label, flag] += float(rhythm.rr[(truth == label) & (flagged == flag)].sum() / 360)
    sensitivity = time["(AFIB", True] / (time["(AFIB", True] + time["(AFIB", False])
    predictivity = time["(AFIB", True] / (time["(AFIB", True] + time["other", True])
    specificity = time["other", False] / (time["other", True] + time["other", False])
    flutter = time["(AFL", True] / (time["(AFL", True] + time["(AFL", False])
    figures = [round(100 * figure, 1) for figure in (sensitivity, predictivity, specificity, flutter)]
    assert figures == [FOUND, RIGHT, 98.3, 94.8]


@needs("mitdb")
def test_bigeminy_is_no_extreme_of_heart_rate_in_mitdb() -> None:
    """In record 106 medians of 5 intervals go from 47 to 132/min; no stretch of it is faster than 89."""
    rate = heart_rate(mitdb()["106"].rhythm, DEFAULT)
    assert rate.min is not None and rate.max is not None
    assert (round(rate.min.bpm), round(rate.mean or 0), round(rate.max.bpm)) == (51, 67, 89)


def test_the_kinds_are_those_of_the_contract() -> None:
    assert (
        *("isolated_v", "couplet_v", "run_v", "nsvt", "vt_sustained", "idioventricular", "bigeminy_v", "trigeminy_v"),
        *("isolated_s", "couplet_s", "run_s", "svt", "bigeminy_s", "trigeminy_s"),
        *("pause", "bradycardia", "tachycardia", "irregular_rhythm", "ventricular_flutter", "unreadable"),
    ) == KINDS


def test_what_is_said_of_a_threshold_by_its_name_is_of_one_that_is_there() -> None:
    names = {field.name for field in dataclasses.fields(Definitions)}
    assert {*_FEWEST, *_ANY_SIGN, *CLASSLESS_THRESHOLDS} <= names


def test_every_kind_has_a_name_strips_and_a_lane_but_where_it_needs_none() -> None:
    assert {*NAMES} == {*KINDS}
    assert {*BY_WEIGHT} == {*KINDS} - {"unreadable"}
    in_lanes = {kind for lane in LANES for kind in lane.kinds}
    in_another = {kind for others in TWICE.values() for kind in others}  # that of all runs
    assert in_lanes | in_another == {*KINDS} - {"isolated_v", "isolated_s", "unreadable"}


def test_a_withheld_run_counts_once_whatever_more_telling_names_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TWICE, "run_s", ("svt", "long"))
    withheld = {"isolated_s": 3, "run_s": 2, "svt": 1, "long": 1}
    assert dataclasses.replace(find_episodes(made("N" * 5), DEFAULT), withheld=withheld).withheld_total == 5


@pytest.mark.parametrize(("interval", "doubtful"), [(425, False), (426, True)])  # 0.85 of 500
def test_a_run_of_s_in_a_sinus_rhythm_as_fast_is_doubtful(interval: int, doubtful: bool) -> None:
    intervals = [500] * 5 + [interval] * 3 + [500] * 5
    run = only(made("N" * 5 + "SSSS" + "N" * 5, intervals), "svt")
    assert bool(run.doubtful) == doubtful
    alone = only(made("SSSS", [interval] * 3), "svt")
    assert not alone.doubtful  # nothing to compare with


@pytest.mark.parametrize(("likely", "doubtful"), [([0.6, 0.6, 0.6], False), ([0.6, 0.59, 0.6], True)])
def test_a_run_with_fewer_than_three_sure_beats_is_doubtful(likely: list[float], doubtful: bool) -> None:
    """The fourth beat of the run is not sure either way."""
    probabilities = np.zeros((8, 5))
    probabilities[:, 0] = 1.0
    for beat, p in enumerate([*likely, 0.5], start=2):
        probabilities[beat] = [1 - p, 0, p, 0, 0]
    rhythm = made("NNVVVVNN", 500, probabilities=probabilities)
    (run,) = find_episodes(rhythm, DEFAULT).of("nsvt")
    assert run.doubtful == ("fewer than three of its beats have a class of 60 % or more" if doubtful else "")
    assert not find_episodes(rhythm, Definitions(doubtful_probability=50)).of("nsvt")[0].doubtful


def test_a_run_is_judged_by_its_own_beats_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at all beats for each run, a day with 5,000 runs took more than a minute."""
    looked_at, unsure = [], Rhythm.unsure

    def counted(*arguments: object) -> np.ndarray:
        looked_at.append(unsure(*arguments))
        return looked_at[-1]

    monkeypatch.setattr(Rhythm, "unsure", counted)
    find_episodes(made("N" * 50 + "VVV" + "N" * 50 + "SSSS" + "N" * 50, 500), DEFAULT)
    assert [beats.size for beats in looked_at] == [3, 3, 4, 4]  # each has a second name


def test_a_run_is_doubtful_by_its_shapes_or_its_rate_and_heads_no_list() -> None:
    rhythm = made("N" * 5 + "VVV" + "N" * 5 + "VVVVV" + "N" * 5 + "SSS" + "N" * 5)
    long = rhythm.samples[13]
    episodes = find_episodes(rhythm, Definitions(vt_rate=60.0), likeness=lambda first, last: 0.7 + 0.2 * (first < long))
    assert [bool(run.doubtful) for run in episodes.of("nsvt")] == [False, True]
    assert episodes.doubtful_counts() == {"run_v": 1, "nsvt": 1, "run_s": 1}
    assert episodes.counts()["nsvt"] == 2
    first = episodes.longest("nsvt")
    assert first is not None and first.beats == 3 and episodes.fastest("nsvt") == first
    assert episodes.table().query("kind == 'nsvt'")["doubtful"].str.len().gt(0).tolist() == [False, True]
    fast = find_episodes(made("NVVVVN", [800, 190, 190, 190, 800]), DEFAULT).of("nsvt")
    assert [run.doubtful for run in fast] == ["faster than 300/min"]


def test_one_strip_has_one_title_for_what_it_is_the_most_of() -> None:
    normal = [800] * 20
    rhythm = made(
        "N" * 20 + "VVV" + "N" * 20 + "VVVV" + "N" * 20, [*normal, 550, 550, *normal, 800, *[450] * 3, *normal]
    )
    strips = choose_strips(rhythm, find_episodes(rhythm, DEFAULT), heart_rate(rhythm, DEFAULT), [], DEFAULT).strips
    titles = [title for strip in strips for title in strip.titles]
    assert "longest and fastest non-sustained VT, 4 beats, 1.4 s, 133/min" in titles
    assert "first non-sustained VT, 3 beats, 1.1 s, 109/min" in titles
    assert not any(title.startswith("longest non") for title in titles)


def test_an_interval_across_an_end_of_a_period_of_the_diary_is_none_of_it() -> None:
    """Beats of 60/min from 5.1 s to 10.1 s, and 2 s to the beats before and after them."""
    rhythm = made("N" * 9, [5000 - 2000, 2000, *[1000] * 5, 2000])
    figures = diary_figures([Entry(5.0, 11.0, "other", "")], rhythm, find_episodes(rhythm, DEFAULT)).figures[0]
    assert figures.during is not None
    assert (figures.during.beats, figures.during.rate_bpm) == (6, 60.0)


def test_a_run_is_early_by_the_beats_on_both_of_its_sides() -> None:
    for before, after, expected in ((3, 7, 500 / 600), (7, 3, 500 / 1000), (0, 5, 500 / 600), (5, 0, 500 / 1000)):
        steps = [*[1000] * before, *[500] * 4, *[600] * after]
        rhythm = made("N" * (before + 1) + "SSS" + "N" * (after + 1), steps)
        assert prematurity(rhythm, only(rhythm, "run_s")) == pytest.approx(expected)
    for text, known in (("NNNSSSNN", True), ("NNSSSNNN", True), ("NNSSSNN", False)):  # three intervals are needed
        rhythm = made(text)
        assert math.isfinite(prematurity(rhythm, only(rhythm, "run_s"))) == known
