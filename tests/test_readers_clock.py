"""The times and counts in a table: its rate, its gaps and its start."""

from __future__ import annotations

import datetime as dt
import random
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import START, after, check, fault, put, wave

from preprocess.readers import open_recording, tables

fewer_examples = settings(max_examples=40)


# -------------------------------------------------------------------------------------------------- times of every kind


EVENING = START.replace(hour=23, minute=59, second=59)


def elapsed(seconds: float, from_hours: float) -> str:
    """Time since a start `from_hours` before, in hours that are not those of a day."""
    minutes, seconds = divmod(round(3600 * from_hours + seconds, 6), 60)
    return f"{int(minutes) // 60:02}:{int(minutes) % 60:02}:{seconds:09.6f}"


STEPS: dict[str, tuple[str, Callable[[int, int], str]]] = {
    "seconds": ("time", lambda n, fs: f"{n / fs:.6f}"),
    "ms in whole numbers": ("t [ms]", lambda n, fs: f"{n * 1000 // fs}"),
    "ns since 1970": ("time_ns", lambda n, fs: f"{1_769_868_307 * 10**9 + n * 10**9 // fs}"),
    "a name in camel case": ("unixTimeMs", lambda n, fs: f"{1_769_868_307_000 + n * 1000 // fs}"),
    "a unit in camel case": ("timestampMs", lambda n, fs: f"{n * 1000 / fs:.3f}"),
    "a unit since when": ("Time (ms since start)", lambda n, fs: f"{n * 1000 / fs:.3f}"),
    "since when": ("seconds_since_start", lambda n, fs: f"{n / fs:.6f}"),
    "unnamed": ("", lambda n, fs: f"{n / fs:.4f}"),
    "stamps": ("timestamp", lambda n, fs: after(fs, n).isoformat()),
    "stamps with dots": ("Datum/Zeit", lambda n, fs: after(fs, n).strftime("%d.%m.%Y %H:%M:%S.%f")),
    "stamps with slashes": ("Timestamp", lambda n, fs: after(fs, n).strftime("%Y/%m/%d %H:%M:%S.%f")),
    "stamps of PhysioNet": ("'Time and date'", lambda n, fs: after(fs, n).strftime("'[%H:%M:%S.%f %d/%m/%Y]'")),
    "stamps with a zone": ("Date", lambda n, fs: f"{after(fs, n)}+01:00"),
    "epoch": ("epoch", lambda n, fs: f"{1_769_868_307_000 + n * 1000 // fs}"),
    "a clock past midnight": ("clock", lambda n, fs: after(fs, n, EVENING).strftime("%H:%M:%S.%f")),
    "elapsed time beyond a day": ("elapsed time", lambda n, fs: elapsed(n / fs, 24 - 1 / 3600)),
    "elapsed time of a second day": ("elapsed time", lambda n, fs: elapsed(n / fs, 48 - 1 / 3600)),
    "PhysioNet beyond a day": ("'Elapsed time'", lambda n, fs: f"'{1441 + n // fs // 60}:{n % (60 * fs) / fs:06.3f}'"),
    "PhysioNet": ("'Elapsed time'", lambda n, fs: f"'{n // fs // 60}:{n % (60 * fs) / fs:06.3f}'"),
}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("fs", [100, 250, 360])
def test_the_time_column(tmp_path: Path, kind: str, fs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 400)  # read in parts, as a long table is
    title, stamp = STEPS[kind]
    kept = [n for n in range(1500) if not 700 <= n < 950]  # the recorder was off, once
    rows = [f"{stamp(n, fs)},{wave(1500)[n]}" for n in kept]
    with open_recording(put(tmp_path, [f"{title},MLII (uV)", *rows])) as recording:
        assert recording.fs == fs
        assert recording.borders.tolist() == [950]
        assert recording.start == (START if kind.startswith("stamps") else None)
        assert f"Its times leave out 250 samples ({250 / fs:.1f} s); those are missing." in recording.notes
        expected = np.full(1500, np.nan)
        expected[kept] = wave(1500)[kept] * 1e-3
        check(recording, expected)
    with open_recording(tmp_path / "a.csv", fs=fs) as recording:  # said twice; the gap is one still
        assert (recording.fs, recording.length) == (fs, 1500)
    said = f"--fs 200 is not the sampling frequency in {tmp_path / 'a.csv'}, {fs} Hz by its column"
    assert said in fault(tmp_path / "a.csv", fs=200)


def test_a_gap_shortly_before_the_end_is_one(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{n % 7}" for n in (*range(980), *range(1480, 1500))]
    with open_recording(put(tmp_path, ["time,MLII (uV)", *rows])) as recording:
        assert (recording.length, recording.borders.tolist()) == (1500, [1480])


def test_another_rate_than_that_of_the_head_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, ["Sampling rate: 250 Hz", "MLII (uV)", *map(str, wave(1500))])
    assert f"--fs 200 is not the sampling frequency in {path}, 250 Hz: leave --fs out" in fault(path, fs=200)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("a clock past midnight", "The times in column clock have no date"),
        ("epoch", "The times in column epoch count from 1970, in no time zone that is stated"),
        ("seconds", None),
        ("PhysioNet", None),  # from 0 on
    ],
)
def test_times_without_a_date_say_no_start(tmp_path: Path, kind: str, why: str | None) -> None:
    title, stamp = STEPS[kind]
    rows = [f"{stamp(n, 250)},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, [f"{title},MLII (uV)", *rows])
    with open_recording(path) as recording:
        assert recording.start is None
        said = [note for note in recording.notes if "--start_time" in note]
        assert said == ([f"{why}; it is not known when the recording began, --start_time says it."] if why else [])
    with open_recording(path, start_time=START) as recording:
        assert not any("--start_time" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("first", "step", "rate"),  # the rate: the only one that the numbers can mean, or in which units they may be
    [
        (0, 0.004, 250),
        (0, 8, 125),
        (5000, 7.8125, 128),
        (0, 4, 250),
        (0, 2, 500),
        (0, 0.5, "seconds or milliseconds"),
        (0, 125, "milliseconds or microseconds"),  # packets, or a rate no recorder has
        (0, 1000, "milliseconds or microseconds"),  # a heart rate
        (599_616_000_000_000_000, 7_692_308, 130),  # since 2000, as Polar counts
        (436_325_120_256, 1, "samples or milliseconds"),  # Hexoskin's 1/256 s: 1983, if they were ms since 1970
        (436_325_120_256, 2, "seconds or milliseconds"),
        (1_769_868_307_000, 1, 1000),
        (1_769_868_307_000, 4, 250),
    ],
)
def test_the_unit_of_times_is_what_it_can_only_be(tmp_path: Path, first: float, step: float, rate: int | str) -> None:
    rows = [f"{first + n * step},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, ["time,II (uV)", *rows])
    if isinstance(rate, int):
        with open_recording(path) as recording:
            assert recording.fs == rate
            is_told = any("The column time is taken as" in note for note in recording.notes)
            assert is_told == (step >= 1 or first > 1e9), recording.notes
            assert any("count from 1970" in note for note in recording.notes) == (first > 1e9 and step < 5)
            assert any("from when the times in column time count" in note for note in recording.notes) == (step > 1e6)
        return
    assert f"column time counts {step:g} a row, which may be {rate}: give --fs, in Hz" in fault(path)
    with open_recording(path, fs=250) as recording:
        assert (recording.fs, recording.length) == (250, 400)


@pytest.mark.parametrize(
    ("title", "form"),
    [
        ("date,time,II (mV)", "%Y-%m-%d,%H:%M:%S.%f"),
        ("Datum;Uhrzeit;II (mV)", "%d.%m.%Y;%H:%M:%S,%f"),
        ("clock,Fecha,II (mV)", "%H:%M:%S.%f,%Y%m%d"),
    ],
)
@pytest.mark.parametrize("hour", [9, 23])
def test_dates_in_a_column_of_their_own(
    tmp_path: Path, title: str, form: str, hour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS", 400)
    start = START.replace(hour=hour, minute=59, second=59)
    stamps = [after(100, n, start) + dt.timedelta(days=n >= 700) for n in range(1500)]  # off for a day
    delimiter = ";" if ";" in form else ","
    rows = [f"{stamp.strftime(form).replace('09:', '9:')}{delimiter}{n % 7}" for n, stamp in enumerate(stamps)]
    with open_recording(put(tmp_path, [title, *rows])) as recording:
        assert (recording.fs, recording.start, recording.borders.tolist()) == (100, start, [700 + 8_640_000])
        assert recording.length == 1500 + 8_640_000
        assert recording.notes == ("Its times leave out 8640000 samples (86400.0 s); those are missing.",)
        np.testing.assert_array_equal(recording.read(-800), np.arange(700, 1500) % 7)


def test_a_second_column_of_times_is_read_where_the_first_is_irregular(tmp_path: Path) -> None:
    """The first says when the packets came, as that of the phone does in what Polar's sensors send."""
    kept = [n for n in range(1000) if not 500 <= n < 573]
    rows = [f"{after(250, n // 73 * 73).isoformat()};{4 * n};{wave(1000)[n]}" for n in kept]
    path = put(tmp_path, ["Phone timestamp;timestamp [ms];II [uV]", *rows], "a.txt")
    for fs in (None, 250):
        with open_recording(path, fs=fs) as recording:
            assert (recording.fs, recording.length, recording.start) == (250, 1000, START)
            assert recording.notes[:2] == (
                "The times in column Phone timestamp are not regular; those in column timestamp [ms] are used.",
                "Its times leave out 73 samples (0.3 s); those are missing.",
            )


# ------------------------------------------------------------------------------------------ gaps, late stamps and drift


def timed(times: Iterable[float], values: np.ndarray) -> str:
    """A table of times, s, which are written in ms with one decimal."""
    return "\n".join(["t (ms),II (uV)", *(f"{1000 * t:.1f},{value}" for t, value in zip(times, values, strict=True))])


@pytest.mark.parametrize("every", [100, 101, 200, 250, 256])
@pytest.mark.parametrize("count", [1100, 5000])
def test_stamps_that_are_late_now_and_then_make_no_gap(
    tmp_path: Path, every: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS", 1000)
    times = np.arange(count) / 250
    times[every // 3 :: every] += 0.003
    if every <= 101:  # more than 1 in 100
        said = "are not regular enough to tell the sampling frequency; give --fs, in Hz, to take the rows for regular"
        assert said in fault(put(tmp_path, timed(times, wave(count))))
        return
    with open_recording(put(tmp_path, timed(times, wave(count)))) as recording:
        assert (recording.fs, recording.borders.tolist(), recording.notes) == (250, [], ())
        check(recording, wave(count) * 1e-3)


@given(
    st.sampled_from([100, 128, 250, 360, 512]),
    st.lists(st.tuples(st.integers(30, 3600), st.integers(1, 300)), max_size=5),
    st.lists(st.tuples(st.integers(2, 3600), st.floats(0, 0.95)), max_size=5),
    st.floats(-5e-5, 5e-5),
    st.booleans(),
)
@fewer_examples
def test_gaps_are_told_from_late_stamps(
    fs: int, gaps: list[tuple[int, int]], late: list[tuple[int, float]], drift: float, in_whole_ms: bool
) -> None:
    kept = np.ones(4000, dtype=bool)
    for begin, length in gaps:
        kept[begin : begin + length] = False
    kept[3900:] = True
    samples = np.flatnonzero(kept)
    times = samples / fs * (1 + drift)
    for sample, by in late:
        row = int(np.searchsorted(samples, sample))
        if samples[row + 1] == samples[row] + 1:  # where a gap follows, the late stamp may be taken for its end
            times[row] = (sample + by) / fs * (1 + drift) if samples[row] == sample else times[row]
    if in_whole_ms and fs < 500:  # else a lost sample may be as short as rounding is
        times = np.floor(times * 1000 + 1e-6) / 1000
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS", 2000)
        with open_recording(put(Path(folder), timed(times, wave(4000)[kept]))) as recording:
            assert recording.fs == pytest.approx(fs, rel=2e-3)
            np.testing.assert_array_equal(recording.read(), np.where(kept, wave(4000) * 1e-3, np.nan))
            begins = samples[1:][np.diff(samples) > 1]
            assert recording.borders.tolist() == begins.tolist()


def test_stamps_that_jitter_are_times_all_the_same(tmp_path: Path) -> None:
    """So much that some go back: they tell no rate, and where the user does, that they are not used."""
    jitter = np.random.default_rng(0).normal(0, 3, 1000).round()
    stamps = 1_700_000_000_000 + 4 * np.arange(1000) + jitter.astype(int)
    rows = [f"{stamp},{value}" for stamp, value in zip(stamps, wave(1000), strict=True)]
    path = put(tmp_path, ["unixTimeMs,II (uV)", *rows])
    assert "the times in column unixTimeMs are not regular enough to tell the sampling frequency" in fault(path)
    with open_recording(path, fs=250) as recording:
        assert "column unixTimeMs is not used" in recording.notes[0] and recording.length == 1000


@pytest.mark.parametrize(("drift", "is_read"), [(2e-4, True), (9e-4, True), (2e-3, False)])
def test_a_clock_that_drifts_makes_100_hz_no_lower_rate(tmp_path: Path, drift: float, is_read: bool) -> None:
    rows = [f"{n / 100 * (1 + drift):.4f},{value}" for n, value in enumerate(wave(6000))]
    path = put(tmp_path, ["time (s),II (uV)", *rows])
    if not is_read:
        assert "has 99.8004 samples a second; an ECG needs at least 100" in fault(path)
        return
    with open_recording(path) as recording:
        assert recording.fs == pytest.approx(100 / (1 + drift), rel=1e-5)
        check(recording, wave(6000) * 1e-3)


# ------------------------------------------------------------------------------------------- summer time and time zones


def test_a_change_of_the_offset_from_utc_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The night that summer time ends in: the clock goes from 2:59 back to 2:00, the recording goes on."""
    monkeypatch.setattr(tables, "ROWS", 400)
    start = dt.datetime(2026, 10, 25, 2, 59, 55)

    def stamp(n: int, before: str, after_it: str) -> str:
        late = n >= 500 and before != after_it
        return f"{after(100, n, start) - dt.timedelta(hours=late):%Y-%m-%dT%H:%M:%S.%f}{after_it if late else before}"

    for (before, after_it), said in (
        (("+02:00", "+01:00"), "UTC+01:00, before it of UTC+02:00; all clock times given here are of UTC+02:00"),
        (("+0100", "Z"), "UTC+00:00, before it of UTC+01:00; all clock times given here are of UTC+01:00"),
        ((" -03:00", " -0400"), "UTC-04:00, before it of UTC-03:00; all clock times given here are of UTC-03:00"),
        (("+01:00", "+01:00"), None),
        (("", ""), None),
    ):
        rows = [f"{stamp(n, before, after_it)},{value}" for n, value in enumerate(wave(1000))]
        with open_recording(put(tmp_path, ["time,II (uV)", *rows])) as recording:
            assert (recording.fs, recording.length, recording.borders.tolist()) == (100, 1000, [])
            row = f"From row 501 of the data on, 2026-10-25T02:00:00.000000{after_it}, its times are those of {said}."
            assert recording.notes == ((row,) if said else ())


def test_one_offset_from_utc_in_two_spellings_is_no_change(tmp_path: Path) -> None:
    rows = [f"{after(100, n)}{('+01:00', '+0100')[n > 500]},{value}" for n, value in enumerate(wave(1000))]
    with open_recording(put(tmp_path, ["time,II (uV)", *rows])) as recording:
        assert (recording.start, recording.notes) == (START, ())


@pytest.mark.parametrize(
    ("title", "form", "lost", "is_told"),
    [
        ("time", "%Y-%m-%d %H:%M:%S.%f", 3600, True),
        ("time", "%H:%M:%S.%f", 3600, True),
        ("date,time", "%d.%m.%Y,%H:%M:%S.%f", 3600, True),
        ("time", "%Y-%m-%d %H:%M:%S.%f+01:00", 3600, False),
        ("elapsed time", "%H:%M:%S.%f", 3600, False),
        ("time", "%Y-%m-%d %H:%M:%S.%f", 3600.03, False),
    ],
)
def test_the_beginning_of_summer_time_may_be_no_gap(
    tmp_path: Path, title: str, form: str, lost: float, is_told: bool
) -> None:
    start = dt.datetime(2026, 3, 29, 1, 59, 55)
    stamps = [after(100, n, start) + dt.timedelta(seconds=lost * (n >= 500)) for n in range(1000)]
    rows = [f"{stamp.strftime(form)},{n % 7}" for n, stamp in enumerate(stamps) if not 700 <= n < 750]
    path = put(tmp_path, [f"{title},II (mV)", *rows])
    gap = round(100 * lost)
    said = "Its clock goes forward by an hour at row 501 of the data, "
    for fs in (None, 100):
        missing = 50 + gap * (not is_told or fs is None)
        with open_recording(path, fs=fs) as recording:
            assert recording.length == 950 + missing
            assert f"leave out {missing} samples" in str(recording.notes)
            assert (said in str(recording.notes)) == is_told
            assert ("which --fs takes for" in str(recording.notes)) == (is_told and fs is not None)
            np.testing.assert_array_equal(recording.read(-200), np.arange(800, 1000) % 7)


# --------------------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("title", ["index", "sample #", ""])
def test_counts_tell_what_is_missing(tmp_path: Path, title: str) -> None:
    kept = np.flatnonzero(np.arange(4000) // 1000 != 2)
    rows = [f"{100 + n},{wave(4000)[n]}" for n in kept]
    path = put(tmp_path, [f"{title},II (uV)", *rows])
    with open_recording(path, fs=512.5) as recording:
        assert (recording.fs, recording.length, recording.borders.tolist()) == (512.5, 4000, [3000])
        assert recording.notes == ("Its counts leave out 1000 samples (2.0 s); those are missing.",)
        assert not recording.is_rated
        expected = np.full(4000, np.nan)
        expected[kept] = wave(4000)[kept] * 1e-3
        check(recording, expected)
    assert "does not say its sampling frequency (it has no time column): give --fs HZ" in fault(path)


@pytest.mark.parametrize("count", [lambda n: n % 256, lambda n: 2 * n, lambda n: n - 700 * (n > 700)])
def test_counts_that_are_not_used_are_told(tmp_path: Path, count: Callable[[int], int]) -> None:
    rows = [f"{count(n)},{value}" for n, value in enumerate(wave(1000))]
    with open_recording(put(tmp_path, ["index,II (uV)", *rows]), fs=250) as recording:
        said = "The rows are taken for 250 Hz without a gap, as --fs says; column index is not used."
        assert (recording.length, recording.notes) == (1000, (said,))


# ---------------------------------------------------------------------------------------------- times that are not used


def test_times_that_tell_no_rate(tmp_path: Path) -> None:
    generator = random.Random(1)
    for times, said in (
        ([*range(300)], "counts 1 a row, which may be samples or milliseconds: give --fs"),
        (np.cumsum([generator.choice([0.001, 0.009, 0.02]) for _ in range(300)]).tolist(), "are not regular enough"),
        ([n / 100 + 1e9 * (n > 200) for n in range(300)], "jump by 11574 days after row 201 of the data"),
        ([n // 100 for n in range(300)], "may be samples or milliseconds: give --fs"),
        (
            [n / 100 - (n > 200) for n in range(300)],
            "the time in row 202 of the data, column time, is not a time or goes back",
        ),
    ):
        path = put(tmp_path, ["time,MLII (mV)", *(f"{time},{time % 1}" for time in times)])
        assert said in fault(path)
        with open_recording(path, fs=100) as recording:
            assert (recording.fs, recording.length) == (100, 300)
            said = "The rows are taken for 100 Hz without a gap, as --fs says; column time is not used."
            assert said in recording.notes


def test_times_that_go_back_and_cells_that_are_no_number(tmp_path: Path) -> None:
    rows = [f"{n / 360:.5f},{value:.3f}" for n, value in enumerate(wave(2000))]
    title = "time_s,MLII (mV)\n"
    path = put(tmp_path, title + "\n".join(rows[::-1]), "back.csv")
    for options in ({}, {"fs": 360}):
        assert "the times in column time_s go back; put its rows in order of time" in fault(path, **options)
    for cell, rest in (("x", rows[5:]), ("x", [])):
        odd = [f"{row.partition(',')[0]},{cell}" for row in rows[:5]]
        message = fault(put(tmp_path, title + "\n".join([*odd, *rest]), "odd.csv"))
        assert "has no column of a signal, only 1 time_s, 2 MLII (mV); 'x' is not a number" in message
    infinite = [f"{row.partition(',')[0]},inf" for row in rows[:5]]
    with open_recording(put(tmp_path, title + "\n".join([*infinite, *rows[5:]]), "inf.csv")) as recording:
        assert np.isnan(recording.read(0, 5)).all() and recording.fs == 360


def test_times_that_are_not_understood_are_told(tmp_path: Path) -> None:
    stamps = [after(250, n).strftime("%m/%d/%Y %I:%M:%S.%f %p") for n in range(400)]
    path = put(tmp_path, ["when,II (uV)", *(f"{stamp},{n}" for n, stamp in enumerate(stamps))])
    why = "the times in column when, such as '01/31/2026 02:05:07.000000 PM', are not understood, "
    assert f"sampling frequency ({why}2026-01-31 14:05:07.004 would be): give --fs HZ" in fault(path)
    with open_recording(path, fs=250) as recording:
        assert recording.length == 400
        assert recording.notes == (
            f"The rows are taken for 250 Hz without a gap, as --fs says; {why}2026-01-31 14:05:07.004 would be.",
            "Its times are not understood; it is not known when the recording began, --start_time says it.",
        )
    assert "column when holds no numbers" in fault(path, fs=250, column="when")
    path = put(tmp_path, ["time,II (uV)", *(f"n{n},{n}" for n in range(400))])
    assert "the times in column time, such as 'n0', are not understood" in fault(path)


@pytest.mark.parametrize("title", ["Time (min)", "timer_ticks", "Zeitstempel", "Messzeit [x]"])
def test_times_in_an_unknown_unit_are_told_and_are_no_signal(tmp_path: Path, title: str) -> None:
    rows = [f"{n / 15000:.6f},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, [f"{title},value", *rows])
    why = f"column {title} is called times, but in no unit that is known: name it such as time_ms"
    assert f"sampling frequency ({why}): give --fs HZ" in fault(path, unit="uV")
    with open_recording(path, fs=250, unit="uV", any_lead=True) as recording:
        assert f"The rows are taken for 250 Hz without a gap, as --fs says; {why}." in recording.notes
        check(recording, wave(400) * 1e-3)


@pytest.mark.parametrize(("title", "form"), [("Date", "%m/%d/%Y"), ("Datum", "%d.%m.%y")])
def test_dates_that_are_not_understood_are_told(tmp_path: Path, title: str, form: str) -> None:
    stamps = [after(250, n) for n in range(400)]
    rows = [f"{stamp.strftime(form)};{stamp.strftime('%H:%M:%S.%f')};{n}" for n, stamp in enumerate(stamps)]
    why = f"the dates in column {title}, such as '{START.strftime(form)}', are not understood, 2026-01-31 would be"
    path = put(tmp_path, [f"{title};time;II (uV)", *rows])
    with open_recording(path) as recording:
        assert (recording.fs, recording.start) == (250, None)
        assert recording.notes == (
            f"Days without a row would not be seen: {why}.",
            f"T{why[1:]}; it is not known when the recording began, --start_time says it.",
        )
    with open_recording(path, start_time=START) as recording:
        assert recording.notes == (f"Days without a row would not be seen: {why}.",)
