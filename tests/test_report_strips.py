"""Which strips a report shows, where they begin, and what their titles say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from made_rhythms import DEFAULTS, made

from report.diary import Entry
from report.episodes import find_episodes
from report.rates import heart_rate
from report.rhythm import Rhythm
from report.strips import MOST, choose_strips


def titles(rhythm: Rhythm) -> list[tuple[str, ...]]:
    """Of the strips of a recording without a diary."""
    episodes = find_episodes(rhythm, DEFAULTS)
    chosen = choose_strips(rhythm, episodes, heart_rate(rhythm, DEFAULTS), (), DEFAULTS)
    return [strip.titles for strip in chosen.strips]


def test_a_strip_of_the_usual_rhythm_has_no_doubtful_beats_where_that_can_be() -> None:
    for unsure, start in ((slice(0), 0.0), (slice(0, 15), 15 * 0.8 - 0.3), (slice(0, 40), 0.0)):
        probabilities = np.tile([0.9, 0.1, 0, 0, 0], (40, 1))
        probabilities[unsure] = [0.5, 0.5, 0, 0, 0]
        rhythm = made("N" * 40, probabilities=probabilities)
        strips = choose_strips(rhythm, find_episodes(rhythm, DEFAULTS), heart_rate(rhythm, DEFAULTS), [], DEFAULTS)
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
    chosen = choose_strips(rhythm, find_episodes(rhythm, DEFAULTS), heart_rate(rhythm, DEFAULTS), entries, DEFAULTS)
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
    chosen = choose_strips(rhythm, find_episodes(rhythm, DEFAULTS), heart_rate(rhythm, DEFAULTS), entries, DEFAULTS)
    assert len(chosen.strips) == MOST == 48
    assert chosen.left_out == 1 + 60 - 48  # beside one of the usual rhythm


def test_a_stretch_that_is_lowest_and_highest_is_shown_once() -> None:
    assert titles(made("N" * 40)) == [("usual rhythm",)]  # lowest and highest are the same 75/min
    faster = made("N" * 11, [600] * 5 + [500] * 5, length=6_900)
    assert titles(faster) == [("lowest heart rate, 100/min", "highest heart rate, 120/min")]


def test_one_strip_has_one_title_for_what_it_is_the_most_of() -> None:
    normal = [800] * 20
    rhythm = made(
        "N" * 20 + "VVV" + "N" * 20 + "VVVV" + "N" * 20, [*normal, 550, 550, *normal, 800, *[450] * 3, *normal]
    )
    strips = choose_strips(rhythm, find_episodes(rhythm, DEFAULTS), heart_rate(rhythm, DEFAULTS), [], DEFAULTS).strips
    titles = [title for strip in strips for title in strip.titles]
    assert "longest and fastest non-sustained VT, 4 beats, 1.4 s, 133/min" in titles
    assert "first non-sustained VT, 3 beats, 1.1 s, 109/min" in titles
    assert not any(title.startswith("longest non") for title in titles)
