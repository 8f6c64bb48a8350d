"""Every threshold of episodes at its boundary on beats made by hand, and what must hold of any recording."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rhythms import DEFAULTS, found, made, only, slow_and_fast, variability_of

from report.burden import burden, hours, hours_table
from report.definitions import Definitions
from report.drawings import LANES
from report.episodes import KINDS, TWICE, Episode, Episodes, find_episodes, prematurity
from report.pauses import hidden_beats
from report.rhythm import CLASSES, Rhythm
from report.strips import BY_WEIGHT, NAMES
from support.errors import InputError

fewer_examples = settings(max_examples=60)


# ------------------------------------------------------------------------------------------------------ isolated to run


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
        ("NVFVN", {"isolated_v": 2}),  # F count in no run but where --fusion_in_runs is given
        ("NFFFN", {}),
        ("V" * 61, {"run_v": 1, "idioventricular": 1}),  # a slow run, however long
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


# --------------------------------------------------------------------------------------------------------- tachycardias


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


def test_a_tachycardia_has_at_least_so_many_beats() -> None:
    assert found(made("N" + "V" * 4 + "N", 400), vt_min_beats=5) == {"run_v": 1}
    assert found(made("N" + "V" * 5 + "N", 400), vt_min_beats=5) == {"run_v": 1, "nsvt": 1}
    assert found(made("N" + "V" * 4 + "N", 800), vt_min_beats=5) == {"run_v": 1}  # nor idioventricular


def test_longest_and_fastest() -> None:
    rhythm = made("NVVVNVVVVN", [800, 300, 300, 800, 800, 500, 500, 500, 800])
    episodes = find_episodes(rhythm, DEFAULTS)
    longest, fastest = episodes.longest("run_v"), episodes.fastest("run_v")
    assert longest is not None and (longest.beats, longest.rate_bpm) == (4, 120.0)
    assert fastest is not None and (fastest.beats, fastest.rate_bpm) == (3, 200.0)
    assert episodes.longest("run_s") is None and episodes.fastest("isolated_v") is None
    slow_and_fast = find_episodes(made("NVVVNVVVVN", [800, 900, 900, 800, 800, 300, 300, 300, 800]), DEFAULTS)
    longest = slow_and_fast.longest("run_v")
    assert longest is not None and longest.beats == 4  # of fewer seconds than the three


# -------------------------------------------------------------------------------------------------------- doubtful runs


@pytest.mark.parametrize(("interval", "doubtful"), [(425, False), (426, True)])  # 0.85 of 500
def test_a_run_of_s_in_a_sinus_rhythm_as_fast_is_doubtful(interval: int, doubtful: bool) -> None:
    intervals = [500] * 5 + [interval] * 3 + [500] * 5
    run = only(made("N" * 5 + "SSSS" + "N" * 5, intervals), "svt")
    assert bool(run.doubtful) == doubtful
    alone = only(made("SSSS", [interval] * 3), "svt")
    assert not alone.doubtful  # nothing to compare with


def test_a_run_is_early_by_the_beats_on_both_of_its_sides() -> None:
    for before, after, expected in ((3, 7, 500 / 600), (7, 3, 500 / 1000), (0, 5, 500 / 600), (5, 0, 500 / 1000)):
        steps = [*[1000] * before, *[500] * 4, *[600] * after]
        rhythm = made("N" * (before + 1) + "SSS" + "N" * (after + 1), steps)
        assert prematurity(rhythm, only(rhythm, "run_s")) == pytest.approx(expected)
    for text, known in (("NNNSSSNN", True), ("NNSSSNNN", True), ("NNSSSNN", False)):  # three intervals are needed
        rhythm = made(text)
        assert math.isfinite(prematurity(rhythm, only(rhythm, "run_s"))) == known


@pytest.mark.parametrize(("likely", "doubtful"), [([0.6, 0.6, 0.6], False), ([0.6, 0.59, 0.6], True)])
def test_a_run_with_fewer_than_three_sure_beats_is_doubtful(likely: list[float], doubtful: bool) -> None:
    """The fourth beat of the run is not sure either way."""
    probabilities = np.zeros((8, 5))
    probabilities[:, 0] = 1.0
    for beat, p in enumerate([*likely, 0.5], start=2):
        probabilities[beat] = [1 - p, 0, p, 0, 0]
    rhythm = made("NNVVVVNN", 500, probabilities=probabilities)
    (run,) = find_episodes(rhythm, DEFAULTS).of("nsvt")
    assert run.doubtful == ("fewer than three of its beats have a class of 60 % or more" if doubtful else "")
    assert not find_episodes(rhythm, Definitions(doubtful_probability=50)).of("nsvt")[0].doubtful


def test_a_run_is_judged_by_its_own_beats_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at all beats for each run, a day with 5,000 runs took more than a minute."""
    looked_at, unsure = [], Rhythm.unsure

    def counted(*arguments: Any) -> np.ndarray:
        looked_at.append(unsure(*arguments))
        return looked_at[-1]

    monkeypatch.setattr(Rhythm, "unsure", counted)
    find_episodes(made("N" * 50 + "VVV" + "N" * 50 + "SSSS" + "N" * 50, 500), DEFAULTS)
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
    fast = find_episodes(made("NVVVVN", [800, 190, 190, 190, 800]), DEFAULTS).of("nsvt")
    assert [run.doubtful for run in fast] == ["faster than 300/min"]


# ----------------------------------------------------------------------------------------------- bigeminy and trigeminy


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


# --------------------------------------------------------------------------------------------------------------- pauses


def test_a_pause_is_longer_than_2_s() -> None:
    assert found(made("NN", [2000])) == {}
    pause = only(made("NN", [2001]), "pause")
    assert (pause.start, pause.end, pause.beats, pause.rate_bpm) == (100, 2101, 2, None)
    assert found(made("NN", [2001]), pause=2.25) == {}


def test_pauses_are_counted_above_each_threshold() -> None:
    lengths = [2000, 2001, 2500, 2501, 2999, 3000, 3001]
    episodes = find_episodes(made("N" * 8, lengths), DEFAULTS)
    assert episodes.pause_counts(DEFAULTS) == {"gt_2_0": 6, "gt_2_5": 4, "ge_3_0": 2}
    assert find_episodes(made("NN"), DEFAULTS).pause_counts(DEFAULTS) == {"gt_2_0": 0, "gt_2_5": 0, "ge_3_0": 0}


def test_pauses_after_an_ectopic_beat_are_counted_apart() -> None:
    episodes = find_episodes(made("NSVFQN", 2200), DEFAULTS)
    assert [pause.after_ectopic for pause in episodes.of("pause")] == [False, True, True, True, False]
    assert episodes.pause_counts(DEFAULTS, after_ectopic=True) == {"gt_2_0": 3, "gt_2_5": 0, "ge_3_0": 0}


@pytest.mark.parametrize("fields", [{"unreadable": [(500, 600)]}, {"flutter": [(500, 600)]}, {"borders": [500]}])
def test_no_pause_is_made_of_what_cannot_be_read(fields: dict[str, object]) -> None:
    assert "pause" not in found(made("NN", [4000], **fields))


def test_a_very_long_pause_may_be_a_lead_that_is_off() -> None:
    for length, doubtful in ((15_000, False), (15_001, True)):
        rhythm = made("NNN", [length, 800])
        hidden = hidden_beats(rhythm, DEFAULTS, lambda start, end: False)
        assert hidden.dtype == np.int64  # samples; of none too
        rhythm = made("NNN", [length, 800], hidden=hidden)
        (pause,) = find_episodes(rhythm, DEFAULTS).of("pause")
        assert bool(pause.doubtful) == doubtful
        assert rhythm.valid.tolist() == [not doubtful, True]  # it is not a heart rate of 4/min


def test_a_deflection_in_a_pause_may_be_a_missed_beat() -> None:
    asked = []

    def has_deflection(start: int, end: int) -> bool:
        asked.append((start, end))
        return start == 100

    rhythm = made("NNNN", [2200, 800, 2300])
    hidden = hidden_beats(rhythm, DEFAULTS, has_deflection)
    episodes = find_episodes(made("NNNN", [2200, 800, 2300], hidden=hidden), DEFAULTS)
    assert asked == [(100, 2300), (3100, 5400)]
    assert [bool(pause.doubtful) for pause in episodes.of("pause")] == [True, False]
    assert episodes.pause_counts(DEFAULTS)["gt_2_0"] == 2
    assert episodes.pause_counts(DEFAULTS, doubtful=False)["gt_2_0"] == 1
    assert episodes.longest("pause").start == 3100


def test_an_interval_that_may_hide_a_beat_breaks_every_sequence_and_is_still_told() -> None:
    rhythm = made("NVVVN", [800, 400, 2500, 800], hidden=[1300])
    assert hidden_beats(made("NVVVN", [800, 400, 2500, 800]), DEFAULTS, lambda start, end: True).tolist() == [1300]
    assert rhythm.valid.tolist() == [True, True, False, True]
    assert found(rhythm) == {"couplet_v": 1, "isolated_v": 1, "pause": 1}
    (pause,) = find_episodes(rhythm, DEFAULTS).of("pause")
    assert pause.doubtful


@pytest.mark.parametrize("length", [2000, 2001])
def test_time_without_a_beat_at_an_end_or_beside_lost_time_is_told(length: int) -> None:
    """It is not an R-R interval, so no pause either."""
    beats, past = np.arange(10_000, 20_000, 1000), 19_000  # the last beat
    rhythm = Rhythm(
        samples=beats,
        classes=np.array(["N"] * len(beats)),
        fs=1000,
        length=past + length + 5000,
        unreadable=np.array([(0, 10_000 - length), (past + length, past + length + 3000)]),
        borders=np.array([past + length + 4000]),
    )
    found_there = find_episodes(rhythm, DEFAULTS)
    spans = [[10_000 - length, 10_000], [past, past + length]]
    assert found_there.beatless.tolist() == (spans if length > 2000 else [])
    assert found_there.of("pause") == []
    (whole,) = find_episodes(Rhythm(np.zeros(0), np.zeros(0, str), 1000, 2001), DEFAULTS).beatless.tolist()
    assert whole == [0, 2001]


# ------------------------------------------------------------------------------------------------- slow and fast rhythm


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
    assert find_episodes(short, DEFAULTS).counts()["bradycardia"] is None  # neither is long enough to tell


def test_interruptions_of_5_s_are_bridged() -> None:
    text, slow = "N" * 13 + "|" + "N" * 13, [1250] * 12
    (bridged,) = slow_and_fast(made(text, [*slow, 5000, *slow]))
    assert (bridged.start, bridged.end, bridged.beats) == (100, 35100, 26)
    assert bridged.rate_bpm == 48.0  # of the valid intervals
    assert len(slow_and_fast(made(text, [*slow, 5001, *slow]))) == 2


def test_an_interruption_is_all_that_is_not_valid_in_a_row() -> None:
    text, slow = "N" * 6 + "|N|" + "N" * 6, [1250] * 5
    bridged = made(text, [*slow, 2500, 2500, *slow])
    assert (only(bridged, "bradycardia").beats, find_episodes(bridged, DEFAULTS).counts()["bradycardia"]) == (13, 1)
    apart = find_episodes(made(text, [*slow, 2500, 2501, *slow]), DEFAULTS)
    assert (apart.of("bradycardia"), apart.counts()["bradycardia"]) == ([], None)  # either side is too short to tell


def test_the_rate_at_a_beat_is_that_of_4_intervals_before_and_4_after_it() -> None:
    # 20 intervals of 800 ms, 20 of 1400 ms: a window of 8 with k slow ones has 8 / (6.4 + 0.6 k) beats a second,
    # below 50/min from k = 6 on (10.0 s); its middle is the beat 2 slow intervals into the slow part.
    (slow,) = slow_and_fast(made("N" * 41, [800] * 20 + [1400] * 20))
    assert slow.start == 100 + 20 * 800 + 2 * 1400
    assert slow.end == 100 + 20 * 800 + 20 * 1400


def test_a_single_pause_neither_makes_a_bradycardia_nor_ends_one() -> None:
    assert slow_and_fast(made("N" * 41, [800] * 20 + [6000] + [800] * 19)) == []
    (slow,) = slow_and_fast(made("N" * 41, [1300] * 20 + [6000] + [1300] * 19))
    assert slow.beats == 41


def test_a_beat_with_no_valid_interval_at_an_end_begins_no_bradycardia() -> None:
    """Its rate is that of the beats beyond the interruption; behind a longer gap it would not be taken in either."""
    samples = np.array([100, 300, 500, 700, 900, 1100, 2101, 4701, 7301, 9901, 10101, 10301, 12500, 15100])
    alone = Rhythm(samples, np.array(["N"] * 14), 1000, 15200, unreadable=np.array([(101, 300)]))
    begin = 10_200
    behind = Rhythm(
        np.array([100, *(samples + begin)]),
        np.array(["N"] * 15),
        1000,
        begin + 15200,
        unreadable=np.array([(200, begin), (begin + 101, begin + 300)]),
    )
    for rhythm in (alone, behind):  # without the first beat 14.8 s
        assert not find_episodes(rhythm, DEFAULTS).of("bradycardia")


# ------------------------------------------------------------------------------------------------------------- any kind


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
    episodes = find_episodes(made("N" * beats, 1000, length=max(1000 * beats - 800, 1)), DEFAULTS)
    assert {*KINDS} - {*episodes.sought} == missing
    assert {kind for kind, count in episodes.counts().items() if count is None} == missing


def test_the_kinds_are_those_of_the_contract() -> None:
    assert (
        *("isolated_v", "couplet_v", "run_v", "nsvt", "vt_sustained", "idioventricular", "bigeminy_v", "trigeminy_v"),
        *("isolated_s", "couplet_s", "run_s", "svt", "bigeminy_s", "trigeminy_s"),
        *("pause", "bradycardia", "tachycardia", "irregular_rhythm", "ventricular_flutter", "unreadable"),
    ) == KINDS


def test_every_kind_has_a_name_strips_and_a_lane_but_where_it_needs_none() -> None:
    assert {*NAMES} == {*KINDS}
    assert {*BY_WEIGHT} == {*KINDS} - {"unreadable"}
    in_lanes = {kind for lane in LANES for kind in lane.kinds}
    in_another = {kind for others in TWICE.values() for kind in others}  # that of all runs
    assert in_lanes | in_another == {*KINDS} - {"isolated_v", "isolated_s", "unreadable"}


def test_a_withheld_run_counts_once_whatever_more_telling_names_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TWICE, "run_s", ("svt", "long"))
    withheld = {"isolated_s": 3, "run_s": 2, "svt": 1, "long": 1}
    assert dataclasses.replace(find_episodes(made("N" * 5), DEFAULTS), withheld=withheld).withheld_total == 5


# ------------------------------------------------------------------------------------------------------------ the beats


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
        ({"classes": ["N", "X", "N"]}, "class of a beat X: unknown; choose from N, S, V, F, Q"),
        ({"unreadable": [(5, 3)]}, "unreadable interval from sample 5 ends before it begins, at 3"),
        ({"fs": 0}, "both must be above 0"),
        ({"probabilities": np.ones((2, 5))}, "3 beats of 5 classes are needed"),
    ],
)
def test_beats_that_cannot_be_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made("NNN", **fields)


# -------------------------------------------------------------------------------------- what must hold of any recording


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
    episodes = find_episodes(rhythm, DEFAULTS)
    assert beats_in(episodes, "v") == (rhythm.classes == "V").sum()
    result = burden(rhythm, episodes, DEFAULTS)
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
        rhythm.samples + shift, rhythm.classes, rhythm.fs, rhythm.length + shift, unreadable=rhythm.unreadable + shift
    )
    moved = [
        dataclasses.replace(episode, start=episode.start + shift, end=episode.end + shift)
        for episode in find_episodes(rhythm, DEFAULTS).found
    ]
    assert list(find_episodes(later, DEFAULTS).found) == moved
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
            for episode in find_episodes(rhythm, DEFAULTS).found
        ]

    gap = 10_000  # too long to be bridged
    begin = one.length + gap
    whole = Rhythm(
        np.concatenate([one.samples, other.samples + begin]),
        np.concatenate([one.classes, other.classes]),
        one.fs,
        begin + other.length,
        unreadable=np.array([*one.unreadable, (one.length, begin), *(other.unreadable + begin)]),
    )
    gap_itself = Episode("unreadable", one.length, begin, 0, None)
    assert Counter(found(whole)) == Counter([*found(one), gap_itself, *found(other, begin)])


@fewer_examples
@given(rhythms(), st.floats(0, 3600))
def test_the_hours_add_up_to_the_whole(rhythm: Rhythm, into_hour: float) -> None:
    slow = Rhythm(  # 100 times as long: some hours
        rhythm.samples * 100, rhythm.classes, rhythm.fs, rhythm.length * 100, unreadable=rhythm.unreadable * 100
    )
    episodes = find_episodes(slow, DEFAULTS)
    whole = burden(slow, episodes, DEFAULTS)
    rows = hours(slow, episodes, DEFAULTS, into_hour)
    for name in (*CLASSES, "all"):
        assert sum(row.beats[name] for row in rows) == whole.beats[name]
    for kind, count in episodes.counts().items():
        assert {row.episodes[kind] is None for row in rows} == {count is None}
        assert sum(row.episodes[kind] or 0 for row in rows) == (count or 0)
    assert sum(row.readable_s for row in rows) == pytest.approx(slow.readable_s)
    assert len(hours_table(rows)) == len(rows)
