"""The page: its tiles, tables, notes and rounded figures."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_reports import load, report_of, report_on, write_rhythm
from made_rhythms import DEFAULTS, analysed

from report import render
from report.__main__ import run
from report.burden import hours
from report.definitions import Definitions, Quality
from report.diary import Entry, diary_figures
from report.render import title_of
from report.rhythm import Rhythm
from report.strips import ANNOTATED_FLUTTER, NAMES
from report.summary import beats_from, excessive_by, summary
from report.tiles import tiles
from report.wording import lasting, number, percent, warnings
from support.errors import run_command

# ----------------------------------------------------------------------------------------------------- figures in words


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (percent(9.96, DEFAULTS.burdens), "9.96 %"),  # below 10 %, from which on a burden is marked
        (percent(10.0, DEFAULTS.burdens), "10.0 %"),
        (percent(9.96), "10.0 %"),
        (percent(0.003), "0.003 %"),
        (percent(0.0), "0.0 %"),
        (percent(99.97), "99.97 %"),
        (percent(100.0), "100.0 %"),
        (percent(math.nan), "nan %"),
        (number(100.3, 0, DEFAULTS.rates), "100.3"),  # a tachycardia is faster than 100/min
        (number(100.0, 0, DEFAULTS.rates), "100"),
        (number(60 * 25 * 128.2 / 3846, 0, DEFAULTS.rates), "50"),  # 25 R-R intervals at 128.2 Hz: 49.99999999999999
        (number(721 / 360, 2, DEFAULTS.lengths), "2.003"),  # a pause is longer than 2 s
        (number(29.97, 1, DEFAULTS.lengths), "29.97"),
        (number(1234.5, 1, DEFAULTS.lengths), "1,234.5"),
        (lasting(59.96), "1 min 0 s"),
    ],
)
def test_no_figure_is_rounded_across_the_threshold_that_it_is_judged_by(shown: str, text: str) -> None:
    assert shown == text


def test_a_burden_just_below_a_threshold_is_shown_below_it(tmp_path: Path) -> None:
    near = write_rhythm(tmp_path, "near", "NNNNNNNNNV" * 23 + "N", 0.8)  # 9.957 %
    slow = write_rhythm(tmp_path, "slow", "NNNNNNNNNN", 1.4)
    assert run_command(lambda: run([str(near), str(slow), "--annotations", "atr", "--out", str(tmp_path / "r")])) == 0
    page = (tmp_path / "r" / "near" / "report.html").read_text()
    assert '<div class="v">9.96 %</div>' in page  # and no mark
    assert "<td>9.96 %</td>" in (tmp_path / "r" / "index.html").read_text()


def test_a_number_and_its_unit_stay_on_one_line(tmp_path: Path) -> None:
    assert render.unbroken("99.3 % of the recording; flat 3 min 52 s, 8 R-R intervals, 5 sure") == (
        "99.3\xa0% of the recording; flat 3\xa0min 52\xa0s, 8 R\u2011R intervals, 5 sure"
    )
    paused = write_rhythm(tmp_path, "paused", "N" * 20, np.repeat([1.0, 2.2, 1.0, 2.1, 1.0], [5, 1, 6, 1, 6]))
    assert report_of(paused, tmp_path / "r", "--annotations", "atr") == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert '<div class="d">100.0\xa0% of the recording</div>' in page
    for text in ("<p>Only 23.3\xa0s can", "<li>2 pauses longer than 2\xa0s", "<b>longest and first pause, 2.20\xa0s"):
        assert text in page, text


@pytest.mark.parametrize(
    ("hours", "is_day", "title"),
    [
        (17.9, False, "ECG report"),
        (18, True, "18-hour ECG report"),
        (24, True, "24-hour ECG report"),
        (36, True, "36-hour ECG report"),
        (49, True, "48-hour ECG report"),
        (168, True, "7-day ECG report"),
        (2, True, "2-hour ECG report"),  # with --day_readable 1, not 0-hour
    ],
)
def test_a_report_is_called_by_its_length(hours: float, is_day: bool, title: str) -> None:
    assert title_of(3600 * hours, is_day) == title


# ------------------------------------------------------------------------------------------------------- the whole page


def test_the_page_says_what_it_must(annotated: Path) -> None:
    page = (annotated / "report.html").read_text()
    short = "too short for figures of 24 hours"
    for text in ("not for clinical use", "synthetic data", "as annotated (atr)", short, "MLII"):
        assert text in page, text
    assert "24-hour" not in page
    spread = load(annotated)[0]["hrv"]
    assert spread["sdann_ms"] is None and "cannot be compared with that of 24 h; SDANN is given from 18 h on" in page
    assert f"The N-N intervals are {lasting(spread['nn_s'])} in all" in page
    assert re.search(r"<small>\d+<br>0\.3 min</small>", page)  # before the diary's first entry there are 20 s
    assert '<td class="l">08:00</td><td class="l">activity</td>' in page  # from 08:00:20 to 08:00:40
    for definition in Definitions().listed():
        assert f"--{definition.name}" in page
        assert definition.source in page
    assert f'@bottom-left {{ content: "{render.in_css(f"Record {annotated.name} ")}' in page  # of every sheet of paper
    assert '<td class="w" dir="auto">=dizzy &lt;b&gt;</td>' in page  # a note is text, not markup
    assert "25 mm/s &#160; 10 mm/mV" in page
    assert "93.6 % of the time that is marked as atrial fibrillation is found, and 85.2 %" in page
    numbers = page.split("<h2>Ectopy and rhythm in numbers</h2>")[1].split("</section>")[0]
    none = re.search(r"<p>None found: (.+?)\.</p>", numbers)[1].split(", ")
    counts = {
        ANNOTATED_FLUTTER[kind]: count for kind, count in load(annotated)[0]["episodes"].items() if kind != "unreadable"
    }
    assert none == [name for name, count in counts.items() if not count]
    assert [
        name for name, count in counts.items() if f'<th class="w" scope="row">{name}</th><td>{count:,}' in numbers
    ] == [name for name, count in counts.items() if count]
    assert not re.search("https?:", page.replace("http://www.w3.org/2000/svg", ""))
    with (annotated / "diary.csv").open() as stream:
        assert "'=dizzy <b>" in [row["note"] for row in csv.DictReader(stream)]  # nor a spreadsheet's formula


def test_every_sheet_of_paper_says_of_which_record_it_is() -> None:
    name = 'a "b" }</style>\\, 記録'
    shown = render.in_css(name)
    assert not re.search(r'["<}]', shown)
    assert "".join(chr(int(code, 16)) for code in shown.split("\\")[1:]) == name


class Outline(HTMLParser):
    """The levels of the headings of a page, the texts of the heads of its tables, and what is open at its end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.levels: list[int] = []
        self.heads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "th":
            self.heads.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["th"]:
            self.heads[-1] += data


def test_headings_are_nested_and_no_head_of_a_table_is_empty(annotated: Path) -> None:
    """What a screen reader moves about by, and reads out before a figure."""
    outline = Outline((annotated / "report.html").read_text())
    assert not outline.open
    assert outline.levels[0] == 1 and all(level <= last + 1 for last, level in itertools.pairwise(outline.levels))
    assert {"no.", "08:00", "isolated V"} <= {*outline.heads} and all(outline.heads)


def test_the_rates_of_the_page_are_in_the_summary(tmp_path: Path) -> None:
    symbols = "N" * 20 + "NV" * 10 + "NNV" * 10 + "NVV" + "N" * 20
    record = write_rhythm(tmp_path, "r", symbols, np.repeat([0.7, 1.5], [len(symbols) - 21, 20]))
    said, _, _, page = report_on(record, tmp_path / "out", "--annotations", "atr")
    rows = re.findall(r'<th class="w" scope="row">([^<]+)</th>(?:<td>[^<]*</td>){3}<td>(\d*)</td>', page)
    assert {name: rate for name, rate in rows if rate} == {
        NAMES[kind]: f"{fastest['rate_bpm']:.0f}" for kind, fastest in said["fastest"].items()
    }
    assert {*said["fastest"]} == {"couplet_v", "bigeminy_v", "trigeminy_v"} and "bradycardia" in said["longest"]


def test_the_page_says_that_the_mean_is_below_the_lowest_rate(tmp_path: Path) -> None:
    for name, pause, below in (("steady", None, False), ("paused", 50, True)):
        record, out = write_rhythm(tmp_path, name, "N" * 100, 0.8, pause), tmp_path / f"{name}_report"
        page = report_on(record, out, "--annotations", "atr").page
        rate = load(out)[0]["heart_rate"]
        assert (rate["mean"]["bpm"] < rate["min"]["bpm"] - 1) == below
        assert "each from 8 R\u2011R intervals, as the median of the means of two successive ones" in page
        assert ("does not count; the mean, of all intervals, is below the lowest" in page) == below


@pytest.mark.parametrize(("symbols", "section"), [("N" * 20, "<section>"), ("NNVVVNN", '<section class="break">')])
def test_a_list_without_an_episode_gets_no_sheet_of_paper(tmp_path: Path, symbols: str, section: str) -> None:
    assert report_of(write_rhythm(tmp_path, "short", symbols, 0.7), tmp_path / "r", "--annotations", "atr") == 0
    assert f"{section}\n<h2>Episodes</h2>" in (tmp_path / "r" / "report.html").read_text()


# ---------------------------------------------------------------------- tiles, warnings and lists of beats made by hand


def test_excessive_ectopy_names_its_criterion() -> None:
    for reached, per_day, expected in (
        ({"sve_run": 23}, None, {"run ≥ 20": "a run of 23 S, at or above 20 beats"}),
        ({"sve_per_day": 812.4}, {"S": 812.4}, {"≥ 720 a day": "812 S in 24 h, at or above 720"}),
        ({"sve_per_day": 1268}, None, {"≥ 720 a day": "1,268 S in less than a day, at or above 720"}),
        ({}, None, {}),
        (None, None, {}),
    ):
        burden = SimpleNamespace(excessive_s=reached, per_day=per_day)
        made: Any = SimpleNamespace(definitions=Definitions(), burden=burden)
        assert excessive_by(made) == expected


@pytest.mark.parametrize(
    ("group", "rates", "mean", "said"),
    [
        ((1000, 600, 1100), "71 \u2013 71", "67", "; the mean, of all intervals, is below the lowest"),
        ((860, 820, 1450), "53 \u2013 53", "58", "; the mean, of all intervals, is above the highest"),
        ((1000, 500, 1500), "60 \u2013 60", "60", ""),
    ],
)
def test_the_mean_rate_of_groups_of_three_beats(group: tuple[int, ...], rates: str, mean: str, said: str) -> None:
    samples = 100 + np.cumsum([0, *group * 20])
    rhythm = Rhythm(samples, np.array(["N"] * samples.size), 1000, int(samples[-1]) + 100)
    shown = {tile.name: tile for tile in tiles(analysed(rhythm))}
    tile = shown["Heart rate, lowest \u2013 highest"]
    assert (tile.value, shown["Heart rate, mean"].value) == (rates, mean)
    assert tile.detail.endswith(f"a single pause does not count{said}")


@pytest.mark.parametrize(("lost", "said"), [(8_500, "85 %"), (9_960, "99.6 %"), (10_000, "100 %")])
def test_a_recording_of_which_some_can_be_read_is_not_lost_whole(lost: int, said: str) -> None:
    rhythm = Rhythm(np.array([]), np.array([]), 100, 10_000, np.array([(0, lost)]))
    assert any(text.startswith(f"{said} of the recording cannot be read") for text in warnings(analysed(rhythm)))


def test_the_tiles_and_the_summary_say_what_the_beats_are() -> None:
    """Runs of 5 V at 150/min and of 3 V at 200/min, two S, pauses of 2.2, 3.0, 2.6 s, and one of 2.3 s in doubt."""
    steps = [800] * 30 + [400] * 4 + [2200] + [800] * 30 + [300] * 2 + [800] * 30
    steps += [3000, 800, 2600, 800, 2300] + [800] * 40
    names = ["N"] * (len(steps) + 1)
    names[30:35], names[65:68], names[80], names[90], names[110] = "VVVVV", "VVV", "S", "S", "F"
    samples = 100 + np.cumsum([0, *steps])
    probabilities = np.tile([0.9, 0.1, 0, 0, 0], (len(names), 1))
    probabilities[[31, 33, 90, 100]] = [0.4, 0.2, 0.4, 0, 0]  # two V, an S and an N of doubtful class
    unreadable = np.array([[200_000, 250_000], [300_000, 310_000]])
    classes, hidden = np.array(names), samples[[101]]
    rhythm = Rhythm(samples, classes, 1000, 660_000, unreadable, hidden=hidden, probabilities=probabilities)
    analysis = analysed(rhythm)
    shown = {tile.name: (tile.value, tile.unit, tile.detail, tile.mark) for tile in tiles(analysis)}
    rates = shown.pop("Heart rate, lowest \u2013 highest")
    beats, of = len(names), f"{len(names)} classified beats"
    assert shown == {
        "Readable time": ("10 min 0 s", "", "90.9 % of the recording; noise 1 min 0 s", ""),
        "Beats": (
            f"{beats}",
            "",
            f"N\xa0{beats - 11}, S\xa02, V\xa08, F\xa01, Q\xa00; abnormal (S, V, F) {percent(1100 / beats)}",
            "",
        ),
        "V burden": (
            percent(800 / beats),
            "",
            f"8 of {of}, 48.0 per readable hour; 2 of them with a probability below 60 %",
            "",
        ),
        "S burden": (
            percent(200 / beats),
            "",
            f"2 of {of}, 12.0 per readable hour; 1 of them with a probability below 60 %",
            "",
        ),
        "Heart rate, mean": (
            f"{60_000 * (len(steps) - 1) / (sum(steps) - 2300):.0f}",
            "/min",
            "60 / mean of the valid R-R intervals, pauses too",
            "",
        ),
        "Longest V run": ("5", "beats", "1.6 s at 150/min; fastest 200/min", ""),
        "Pauses > 2 s": ("3", "", "> 2.5 s: 2, ≥ 3 s: 1; 1 after an ectopic beat; and 1 doubtful", ""),
    }
    unsure = "highest doubtful: some of these may not be beats"  # two V of doubtful class
    assert rates[:2] == ("35 \u2013 100", "/min") and rates[2].startswith(f"at 12:01:16 and 12:00:24; {unsure}; each")
    assert beats_from("atr", classified=False) == "annotations atr"
    assert beats_from("atr", classified=True) == "R-peaks of annotations atr, classes by the network"
    assert beats_from(None, classified=True) == "R-peaks detected, classes by the network"
    diagnosis = pd.DataFrame({"normal": [0.9, 0.2, 0.3, 0.4], "infarction": [0.1, 0.8, 0.7, 0.6]})
    of_infarction = dataclasses.replace(analysis, diagnosis=diagnosis)
    shares = {tile.name: (tile.value, tile.detail) for tile in tiles(of_infarction)}
    assert shares["Beats called infarction"] == ("75.0 %", "3 beats")
    said = summary(analysis)
    long, fast = (
        {"start_s": 24.1, "duration_s": 1.6, "beats": 5, "rate_bpm": 150.0},
        {"start_s": 51.9, "duration_s": 0.6, "beats": 3, "rate_bpm": 200.0},
    )
    pause = {"start_s": 76.5, "duration_s": 3.0, "beats": 2, "rate_bpm": None}
    lost = {"start_s": 200.0, "duration_s": 50.0, "beats": 0, "rate_bpm": None}
    assert said["longest"] == {"run_v": long, "nsvt": long, "pause": pause, "unreadable": lost}
    assert said["fastest"] == {"run_v": fast, "nsvt": fast}
    thresholds = ("gt_2_0", "gt_2_5", "ge_3_0")
    every, after, doubtful, none = (
        dict(zip(thresholds, of, strict=True)) for of in ((4, 2, 1), (1, 0, 0), (1, 0, 0), (0, 0, 0))
    )
    assert said["pauses"] == {
        **every,
        "after_ectopic": after,
        "doubtful": doubtful | {"after_ectopic": none},
        "beatless": 3,
    }
    told = "there are 3 stretches of readable time without a beat, the longest 350.0 s at 12:05:10: a pause there"
    assert any(told in text for text in warnings(analysis))
    assert said["heart_rate"]["min"] == {"bpm": 60_000 / 1700, "time_s": 76.5, "doubtful": False}
    assert said["heart_rate"]["max"] == {"bpm": 100.0, "time_s": 24.1, "doubtful": True}
    assert (said["unsure_beats"], said["unreadable_s"]) == ({"V": 2, "S": 1}, {"noise": 60.0})
    assert said["burden_per_hour"] == {"S": 12.0, "V": 48.0} and said["irregular_percent"] == 0.0


def test_what_a_half_irregular_recording_says_of_s_leaves_irregular_rhythm_out() -> None:
    irregular = np.random.default_rng(0).integers(450, 1100, 120)
    steps = [*irregular, 30_000, *[800] * 200]
    names = [*"NNS" * 40, *"N" * 202]
    names[140], names[150:170] = "S", "VN" * 10
    samples = 100 + np.cumsum([0, *steps])
    probabilities = np.tile([0.9, 0.1, 0, 0, 0], (len(names), 1))
    probabilities[[2, 5, 140]] = [0.4, 0.2, 0.4, 0, 0]  # three S of doubtful class, one outside irregular rhythm
    lost = np.array([[samples[120] + 1, samples[121]]])
    rhythm = Rhythm(samples, np.array(names), 1000, samples[-1] + 100, lost, probabilities=probabilities)
    analysis = analysed(rhythm)
    readable = rhythm.length / 1000 - (samples[121] - samples[120] - 1) / 1000
    assert analysis.burden.s_withheld == 40
    whole = [Entry(0.0, rhythm.length / 1000, "other", ""), Entry(50.0, 60.0, "other", "")]
    during = diary_figures(whole, rhythm, analysis.episodes).by_kind["other"].during
    assert (during.readable_s, during.s_percent) == pytest.approx((readable, 100 / 201))
    assert during.rate_bpm == pytest.approx(60_000 * 320 / (sum(steps) - 30_000))  # without the interval that is lost
    first, second = hours(rhythm, analysis.episodes, DEFAULTS, into_hour_s=3600 - 130)
    assert (first.irregular_s, second.irregular_s) == (irregular.sum() / 1000, 0)
    said = summary(analysis)
    assert (said["unsure_beats"], said["withheld_beats"]) == ({"V": 0, "S": 1}, {"S": 40})
    assert said["irregular_percent"] == pytest.approx(irregular.sum() / 10 / readable)
    shown = {tile.name: tile for tile in tiles(analysis)}
    assert f"abnormal (S, V, F, S in irregular rhythm too) {percent(100 * 51 / 322)}" in shown["Beats"].detail
    unsure = "; 1 of them with a probability below 60 %"
    assert shown["S burden"].detail == f"1 of 201 classified beats, outside irregular rhythm{unsure}"
    assert shown["S burden"].value == percent(100 / 201)
    assert shown["Longest V run"].detail == "no three V in a row; F are not counted"
    assert [tile.mark for tile in (shown["V burden"], shown["S burden"])] == ["", ""]
    marked = {tile.name: tile for tile in tiles(analysed(rhythm, burden_marked=3.0, sve_per_day=1.0))}
    assert (marked["V burden"].mark, marked["S burden"].mark) == ("≥ 3 %", "≥ 1 a day")


@pytest.mark.parametrize(("number", "shown"), [(200, 150 // 2), (149, 149)])
def test_the_list_of_episodes_keeps_the_longest_of_each_kind(number: int, shown: int) -> None:
    pauses = np.random.default_rng(0).permutation(np.arange(2100, 2100 + number))
    steps = [*np.stack([pauses, np.full(number, 800)], axis=1).ravel(), *[300] * 4, 800]
    names = [*"N" * (2 * number + 1), *"VVV", *"NN"]
    rhythm = Rhythm(100 + np.cumsum([0, *steps]), np.array(names), 1000, 700_000)
    listed, left_out = render._listed(analysed(rhythm, bradycardia=20))
    assert [episode.start for episode in listed] == sorted(episode.start for episode in listed)
    kept = [episode.end - episode.start for episode in listed if episode.kind == "pause"]
    assert left_out == number - shown and sorted(kept) == [*range(2100 + number - shown, 2100 + number)]
    assert [episode.kind for episode in listed if episode.kind != "pause"] == ["nsvt"]


def test_the_page_marks_thresholds_that_are_not_the_defaults() -> None:
    rhythm = Rhythm(np.array([100, 900]), np.array(["N", "N"]), 1000, 1000)
    assert render._changed(analysed(rhythm)) == frozenset()
    analysis = dataclasses.replace(analysed(rhythm, pause=2.2), quality=Quality(noise_index=0.2))
    assert render._changed(analysis) == {"pause", "noise_index"}
