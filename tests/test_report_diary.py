"""The diary: how it is read, and the figures before, during and after its entries."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_reports import load, report_of
from made_rhythms import made

from report import drawings
from report.definitions import Definitions
from report.diary import Diary, Entry, diary_figures, read_diary
from report.episodes import find_episodes
from report.render import minutes_cell, period_cell
from report.rhythm import Rhythm
from support.errors import InputError

# -------------------------------------------------------------------------------------------------------------- figures


def made_rhythm() -> Rhythm:
    """Three hours of 100 samples a second: 60 beats a minute, then 100, in the third hour every tenth of them V."""
    slow, fast = np.arange(50, 360_000, 100), np.arange(360_000, 1_080_000, 60)
    samples = np.concatenate([slow, fast])
    classes = np.full(samples.size, "N")
    third = np.flatnonzero(samples >= 720_000)
    classes[third[::10]] = "V"
    return Rhythm(samples, classes, 100, 1_080_000)


def read(folder: Path, text: str, duration_s: float = 10_800, start: datetime | None = None) -> list[Entry]:
    """The entries of a diary of this text; of a recording of 3 h where nothing else is said."""
    (folder / "d.csv").write_text(text)
    return read_diary(folder / "d.csv", duration_s, start)


def figures_of(entries: Sequence[Entry], rhythm: Rhythm) -> Diary:
    return diary_figures(entries, rhythm, find_episodes(rhythm, Definitions()))


def test_before_during_and_after_an_entry(tmp_path: Path) -> None:
    diary = figures_of(read(tmp_path, "time;kind;end\n01:00:00;activity;02:00:00\n7200;symptom;\n"), made_rhythm())
    activity = diary.figures[0]
    assert (activity.before.beats, activity.during.beats, activity.after.beats) == (3600, 6000, 6000)
    assert activity.before.rate_bpm == pytest.approx(60)
    assert activity.during.rate_bpm == pytest.approx(100)
    assert (activity.before.v_percent, activity.after.v_percent) == pytest.approx((0, 10))
    symptom = diary.by_kind["symptom"]
    assert symptom.during is None
    assert symptom.before.beats == 6000


def test_entries_in_quick_succession_count_no_beat_twice(tmp_path: Path) -> None:
    diary = figures_of(read(tmp_path, "time,kind\n3600,symptom\n3660,symptom\n"), made_rhythm())
    assert diary.by_kind["symptom"].after.beats == 6100  # an hour and a minute at 100 a minute


def test_of_a_kind_what_is_during_an_entry_is_before_none(tmp_path: Path) -> None:
    diary = figures_of(
        read(tmp_path, "time,kind,end\n600,activity,1200\n1500,activity,2100\n2400,symptom,\n"), made_rhythm()
    )
    activity = diary.by_kind["activity"]
    assert [period.readable_s for period in (activity.before, activity.during, activity.after)] == [900, 1200, 3900]
    assert diary.figures[1].before.readable_s == 1500  # of one entry it is the hour before, whatever was in it
    assert minutes_cell(activity.before) == "15 min" and minutes_cell(activity.after) == ""


def test_an_hour_that_lacks_seconds_does_not_count_as_less_than_an_hour() -> None:
    lost = np.array([[1_000, 2_000], [400_000, 406_000]])  # 10 s, 60 s
    rhythm = dataclasses.replace(made_rhythm(), unreadable=lost)
    diary = diary_figures([Entry(3600.0, None, "symptom", "")], rhythm, find_episodes(rhythm, Definitions()))
    around = diary.figures[0]
    assert (around.before.readable_s, minutes_cell(around.before)) == (3590, "")
    assert (around.after.readable_s, minutes_cell(around.after)) == (3540, "59 min")


def test_an_interval_across_an_end_of_a_period_of_the_diary_is_none_of_it() -> None:
    """Beats of 60/min from 5.1 s to 10.1 s, and 2 s to the beats before and after them."""
    rhythm = made("N" * 9, [5000 - 2000, 2000, *[1000] * 5, 2000])
    figures = figures_of([Entry(5.0, 11.0, "other", "")], rhythm).figures[0]
    assert figures.during is not None
    assert (figures.during.beats, figures.during.rate_bpm) == (6, 60.0)


def test_a_period_of_which_nothing_can_be_read_has_no_figure_at_all() -> None:
    """Of 360 Hz, 110.7 s - 100.1 s less 38,172 samples - 36,036 samples would be a little more than 0."""
    rhythm = Rhythm(np.array([100, 400]), np.array(["N", "N"]), 360, 360 * 7300, np.array([[25_200, 360 * 7300]]))
    entries = [Entry(100.1, 110.7, "other", ""), Entry(3800.1, 4000.3, "other", "")]
    diary = figures_of(entries, rhythm)
    assert [period_cell(around.during, "rate_bpm") for around in diary.figures] == ["", ""]
    lost = [around.after.readable_s for around in (*diary.figures, *diary.by_kind.values())]
    assert [str(seconds) for seconds in lost] == ["0.0"] * 3  # and not -0.0


@pytest.mark.parametrize(("name", "other"), ["VS", "SV"])
def test_a_diary_marks_shares_that_doubtful_runs_have_a_part_in(name: str, other: str) -> None:
    """An isolated V (or S), a run of them slower than 100/min and a faster one; what is faster is doubtful."""
    samples = 100 * np.cumsum([1, *[1] * 12, *[0.5] * 2, *[1] * 12])
    classes = np.array([*"NNNNVNNVVVNNVVVNNNNNNNNNNNN".replace("V", name)])
    rhythm = Rhythm(samples.astype(np.int64), classes, 100, 2800)
    sure = Definitions(doubtful_prematurity=2)
    episodes = find_episodes(rhythm, dataclasses.replace(sure, doubtful_rate=100))
    assert [run.doubtful != "" for run in episodes.of(f"run_{name.lower()}")] == [False, True]
    entries = [Entry(start, end, "other", "") for start, end in ((0.0, 11.5), (0.0, 14.2), (20.0, 24.0))]
    diary = diary_figures(entries, rhythm, episodes)
    during = [around.during for around in diary.figures]
    doubtful, share, other_share = f"{name.lower()}_doubtful", f"{name.lower()}_percent", f"{other.lower()}_percent"
    assert [getattr(period, doubtful) for period in during] == [0, 3, 0]
    assert [period_cell(period, share) for period in during] == ["36.4", "46.7 ?", "0.0"]
    assert [period_cell(period, other_share) for period in during] == ["0.0"] * 3
    assert [period_cell(period, "rate_bpm") for period in during] == ["60", "65", "60"]
    assert diary.table()[f"during_{doubtful}"].tolist()[:3] == [0, 3, 0]
    assert diary.has_doubtful
    assert not diary_figures(entries[:1], rhythm, find_episodes(rhythm, sure)).has_doubtful


# -------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("10:15,symptom,", "row 3.*may be a clock time or an offset"),
        ("noon,symptom,", "row 3.*cannot be read"),
        (
            "04:00:00,symptom,",
            "row 3: the time '04:00:00', counted from the start, is outside the recording, which lasts 3:00:00; "
            "correct it or leave the row out; a time of day needs its date, as 2026-01-31 14:05$",
        ),
        ("-5,symptom,", "row 3: the time '-5' is outside the recording, .* or leave the row out$"),
        (
            "2026-01-31 09:00+01:00,symptom,",
            r"row 3: the time '2026-01-31 09:00\+01:00' has a time zone; give the clock",
        ),
        ("nan,symptom,", "row 3.*cannot be read"),
        ("2026-01-31,symptom,", "row 3: the time '2026-01-31' is a date without a time of day"),
        ("2026-01-31 09:00,symptom,", "row 3.*--start_time"),
        ("60,dance,", "row 3.*kind 'dance': unknown; choose from activity,"),
        ("60,activity,30", "row 3.*its end 30 is before"),
        ("60,activity,,dizzy", "row 3.*has 4 cells and the first line names 3.*put a note that holds ',' between"),
        ('60,activity,\n"60,symptom,\n70,symptom,', "row 4: its double quotes do not match"),
    ],
)
def test_a_diary_that_cannot_be_read_names_the_row(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, f"time,kind,end\n60,other,\n{row}\n")


def test_a_diary_of_any_spreadsheet(tmp_path: Path) -> None:
    note = "müde, früh"
    for encoding, end in (("cp1252", ""), ("utf-8-sig", "\n"), ("utf-16", "\n"), ("cp1252", ",,\n,,,,\n")):
        (tmp_path / "d.csv").write_bytes(f'time,kind,note\n60,symptom,"{note}"{end}'.encode(encoding))
        assert [entry.note for entry in read_diary(tmp_path / "d.csv", 100, None)] == [note]
        (tmp_path / "d.csv").write_bytes(f"time;kind;note\n60;symptom;{note}{end.replace(',', ';')}".encode(encoding))
        assert [entry.note for entry in read_diary(tmp_path / "d.csv", 100, None)] == [note]


def test_a_comma_is_a_decimal_one_beside_semicolons(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, 'time;end;kind\n"600,5";00:10:01,25;activity\n')
    assert (entry.time_s, entry.end_s) == (600.5, 601.25)
    with pytest.raises(InputError, match="row 2: the time '1,200' cannot be read"):
        read(tmp_path, 'time,kind\n"1,200",symptom\n')


def test_a_diary_without_entries_is_refused(tmp_path: Path) -> None:
    for content in ("time,kind,note\n", "time,kind\n,,\n\n"):
        with pytest.raises(InputError, match="has no entry below its first line; write some, or leave --diary out"):
            read(tmp_path, content, 100)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", "''"),
        ("\n60,symptom\n", "''"),
        ("when,kind\n60,symptom\n", "'when,kind'"),
        (" Time;what\n60,symptom\n", "'Time;what'"),
    ],
)
def test_a_diary_without_its_columns_is_refused(tmp_path: Path, text: str, quoted: str) -> None:
    message = "d.csv: its first line must name the columns time and kind, and may name note and end; it is " + quoted
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, text)


# ---------------------------------------------------------------------------------------------------------------- times


def test_clock_times_of_a_diary(tmp_path: Path) -> None:
    for time in ("2026-01-31 09:00", "31.01.2026 09:00"):
        (entry,) = read(tmp_path, f"kind,time\nother,{time}\n", start=datetime(2026, 1, 31, 8))
        assert entry.time_s == 3600
    with pytest.raises(InputError, match=r"row 2.*outside.*from 2026-01-31 10:00:00"):
        read(tmp_path, "kind,time\nother,2026-01-31 09:00\n", start=datetime(2026, 1, 31, 10))


def test_a_time_from_the_start_is_told_in_one_way(tmp_path: Path) -> None:
    """The page says 0:01:39 of 99.6 s, and so does what is said of an entry behind its end."""
    with pytest.raises(InputError, match=r"outside the recording, which lasts 0:01:39;"):
        read(tmp_path, "time,kind\n200,other\n", 99.6)
    no_clock: Any = SimpleNamespace(clock=lambda seconds: None)
    assert [drawings.moment(no_clock, seconds) for seconds in (99.6, 3723 - 1e-12)] == ["0:01:39", "1:02:03"]


def test_an_entry_that_overlaps_an_edge_is_cut_to_the_recording(tmp_path: Path) -> None:
    rows = [  # recording from 8:00:20, 3 h
        "2026-03-02 08:00,,symptom",  # written to the minute
        "2026-03-02 08:00,2026-03-02 08:00,other",
        "2026-03-02 07:30,2026-03-02 08:30:20,activity",
        "2026-03-02 10:30:20,2026-03-02 12:00,activity",
        "2026-03-02 09:00:20,2026-03-02 09:30:20,activity",
        "2026-03-02 10:50:20,2026-03-02 11:00:20,activity",
    ]
    start = datetime(2026, 3, 2, 8, 0, 20)
    entries = read(tmp_path, "\n".join(["time,end,kind", *rows]), start=start)
    assert [(one.time_s, one.end_s, one.is_cut) for one in entries] == [
        (0, None, False),
        (0, 0, False),
        (0, 1800, True),
        (3600, 5400, False),
        (9000, 10_800, True),
        (10_200, 10_800, False),
    ]
    for row in ("2026-03-02 07:59:20,,other", "2026-03-02 07:00,2026-03-02 08:00,other", "2026-03-02 11:01,,other"):
        with pytest.raises(InputError, match=r"row 2: the time '2026-03-02 .* is outside the recording, which lasts"):
            read(tmp_path, f"time,end,kind\n{row}\n", start=start)


def test_the_report_tells_of_entries_that_are_cut(records: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("time,kind,end\n60,activity,3600\n")
    options = ("--annotations", "atr", "--diary", tmp_path / "d.csv")
    assert report_of(records / "m001", tmp_path / "r", *options) == 0
    (entry,) = load(tmp_path / "r")[0]["diary"]
    assert (entry["time_s"], entry["end_s"]) == (60, 90)
    said = (tmp_path / "r" / "report.html").read_text().split('<div class="warn">')[1].split("</div>")[0]
    assert "One entry of the diary begins before the recording or ends after it, from" in said
