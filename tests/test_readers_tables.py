"""Tables: their delimiters, numbers, columns, titles and missing values."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import START, after, apple, check, fault, put, wave

from preprocess.readers import open_recording, tables

fewer_examples = settings(max_examples=40)


# ---------------------------------------------------------------------------------------------------------------- cells


def test_a_wide_table_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of short rows below a long one, pandas makes a long row of each: a megabyte would take gigabytes."""
    monkeypatch.setattr(tables, "CELLS", 300, raising=False)
    read: list[int] = []
    whole = tables.TableSource._of_one_width
    monkeypatch.setattr(
        tables.TableSource,
        "_of_one_width",
        lambda self, chunks: whole(self, (read.append(chunk.size) or chunk for chunk in chunks)),
    )
    values = wave(1000)
    rows = [f"{value}{',1' * 2 if n < 30 else ''}" for n, value in enumerate(values)]
    with open_recording(put(tmp_path, ["II,a,b", *rows]), fs=250, unit="mV") as recording:
        check(recording, values)
    assert max(read) == 300


def test_a_sample_of_which_sums_would_overflow_is_missing(tmp_path: Path) -> None:
    values = wave(500).astype(float)
    rows = ["II_mV", "1e306", "-1e306", *map(repr, values[2:].tolist())]
    values[:2] = np.nan
    with open_recording(put(tmp_path, rows), fs=250) as recording:
        check(recording, values)


@pytest.mark.parametrize("german", [False, True])
def test_apple_watch(tmp_path: Path, german: bool) -> None:
    texts = [f"{value:.3f}" for value in wave(2000) + 0.123] + ["12"]
    path = put(tmp_path, apple(texts, german), "ecg_2026-01-31.csv")
    assert "has no lead II; it has I: name the one to be read, such as --lead I" in fault(path)
    with open_recording(path, lead="I") as recording:
        assert (recording.format, recording.start, recording.leads) == ("Apple Watch", START, ("I",))
        assert recording.fs == (511.562 if german else 512.508)
        check(recording, np.array([float(text) for text in texts]) * 1e-3)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_of_any_delimiter_and_encoding(tmp_path: Path, delimiter: str, encoding: str) -> None:
    texts = [f"{value / 7!r}" for value in wave(300).tolist()]
    unit = "mV" if delimiter == " " else " (µV)"
    title = delimiter.join(["time", unit if delimiter == " " else f"MLII{unit}", "Höhe"])
    rows = [delimiter.join([f"{n / 250:.3f}", text, "3.5"]) for n, text in enumerate(texts)]
    content = "\r\n".join([title, *rows, ""])
    if delimiter in ";\t":
        content = content.replace(".", ",")
    with open_recording(put(tmp_path, content.encode(encoding)), any_lead=True, column="2") as recording:
        assert (recording.format, recording.fs) == ("CSV", 250)
        scale = 1 if delimiter == " " else 1e-3
        check(recording, np.array([float(text) for text in texts]) * scale)


@given(st.lists(st.none() | st.floats(-1e4, 1e4), min_size=2, max_size=200).filter(lambda row: row[-1] is not None))
@fewer_examples
def test_every_value_of_a_table_comes_back(values: list[float | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = ["" if value is None else repr(value) for value in values]
        rows[0] = rows[0] or "0.0"
        expected = np.array([float(row) if row else np.nan for row in rows])
        one = put(Path(folder), ["II", *rows], "one.csv")
        two = put(Path(folder), ["II,V1", *(f"{row},1" for row in rows)], "two.csv")
        for path in (one, two):
            with open_recording(path, fs=500, unit="mV") as recording:
                np.testing.assert_array_equal(recording.read(), expected)


@pytest.mark.parametrize(
    ("title", "row", "options"),
    [
        ("II (mV)", '"{comma}"', {"fs": 250}),
        ("time_s,II (mV)", '"{time_comma}","{comma}"', {}),
        ('time_s,II (mV),"marker, in words"', '{time},{dot},"walk, fast"', {}),
        ("time_s,marker,II (mV)", '{time}, "walk, ""fast""; slow", {dot}', {}),
        ("time_s;marker;II (mV)", '{time_comma};"; ""1,5""";{comma}', {}),
        ('time_s\tmarker\t"II (mV)"', '{time}\t"to\tgo"\t"{dot}"', {}),
        ('time_s marker "II (mV)"', '{time} "walk fast" {dot}', {}),
    ],
)
def test_a_delimiter_in_quotes_is_part_of_a_cell(tmp_path: Path, title: str, row: str, options: dict[str, Any]) -> None:
    lines = [title]
    for number, value in enumerate(wave(400)):
        time, dot = f"{number / 250:.3f}", f"{value / 1000:.3f}"
        written = {"time": time, "dot": dot, "time_comma": time.replace(".", ","), "comma": dot.replace(".", ",")}
        lines.append(row.format(**written))
    with open_recording(put(tmp_path, lines), **options) as recording:
        assert (recording.fs, recording.lead, recording.notes) == (250, "II", ())
        check(recording, np.array([float(f"{value / 1000:.3f}") for value in wave(400)]))


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("time_s II_mV", "{time} {value}"),
        ("t_ms II_mV n", "{ms}  {value} 3"),
        ("time_s II_mV", "{time} {whole},0e-3"),
        ("time II_mV", "{clock} {value}"),
        ("date time II_mV", "31.01.2026 {clock},000 {value}"),
        ("II_mV V5", "{value} 512"),
        ("II_mV RR note mark", '{value} 512 "walk, fast" N'),
        ("time_s,II_mV,RR", "{point},{whole}e-3,800 812"),  # a list in a cell
    ],
)
def test_a_comma_in_a_number_is_no_delimiter(tmp_path: Path, title: str, row: str) -> None:
    lines = [title]
    for number, value in enumerate(wave(400)):
        texts = {"time": f"{number / 250:.3f}".replace(".", ","), "clock": f"14:05:{number // 250:02}"}
        texts |= {"point": f"{number / 250:.3f}", "value": f"{value / 1000:.3f}".replace(".", ",")}
        lines.append(row.format(ms=4 * number, whole=value, **texts))
    with open_recording(put(tmp_path, lines, "a.txt"), fs=250, lead="II") as recording:
        check(recording, np.array([float(f"{value / 1000:.3f}") for value in wave(400)]))


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("index,ecg,pressure", "{n},{value},120 80"),
        ("index,ecg,note", "{n},{value},{value} 1"),
        ("", "{n},{value},{value} 1"),
        ("clock,ecg,note", "14:05:{second:02},{value},120 80"),
        ("time,ecg", "20260131 100000,{value}"),
    ],
)
def test_two_numbers_in_a_cell_do_not_make_its_comma_a_decimal_one(tmp_path: Path, title: str, row: str) -> None:
    rows = [row.format(n=n, second=n // 250, value=value) for n, value in enumerate(wave(400))]
    path = put(tmp_path, [title, *rows])
    with open_recording(path, fs=250, unit="uV", column=None if title else "2") as recording:
        check(recording, wave(400) * 1e-3)


def test_numbers_of_two_decimal_marks_are_refused(tmp_path: Path) -> None:
    rows = [f'{n / 250:.3f},{n},"{n / 10:.1f}"' for n in range(100)] + [
        f'{n / 250:.3f},{n},"1,{n}"' for n in (100, 101)
    ]
    said = "'1,100' in row 101 of the data is not a number"
    assert said in fault(put(tmp_path, ["time_s,other,II_uV", *rows]))


def test_quotes_that_come_late_are_seen(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value}," for n, value in enumerate(wave(400))]
    rows[100] += '"walk, fast"'
    with open_recording(put(tmp_path, ["time_s,II_uV,marker", *rows])) as recording:
        check(recording, wave(400) * 1e-3)
    rows = [f'{n / 250:.3f} "a"b {value}' for n, value in enumerate(wave(400))]
    said = "its rows have 4 cells or 3, by how its quotes are taken; put quotes around whole cells alone"
    assert said in fault(put(tmp_path, rows, "b.csv"), unit="uV", any_lead=True)


# --------------------------------------------------------------------------------------------------- columns and titles


def test_what_a_table_does_not_say_is_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path, (str(value) for value in wave(900).tolist()))
    unit = "give --unit mV, uV or V, or --unit adu --gain ADU_PER_MV"
    assert fault(path, fs=250) == f"{path} does not say the unit of its values: {unit}"
    rate = f"{path} does not say its sampling frequency (it has no time column)"
    assert fault(path, unit="mV") == f"{rate}: give --fs HZ"
    both = unit.replace("give ", "give --fs HZ, and ")
    assert fault(path) == f"{rate} and the unit of its values: {both}"
    assert fault(path, fs=250, unit="adu") == "--unit adu needs --gain, the ADC units per mV, such as --gain 200"
    assert "--unit kg: unknown; choose from mV, uV, V," in fault(path, fs=250, unit="kg")
    assert "--fs must be a number above 0, got -1" in fault(path, fs=-1)
    assert "an ECG needs at least 100" in fault(path, fs=99.5, unit="mV")
    assert "has 1e+09 samples a second; no ECG has more than 50000: correct --fs, in Hz" in fault(
        path, fs=1e9, unit="mV"
    )
    assert "--start_time noon: cannot be read; write it as 2026-01-31T08:00:00" in fault(
        path, fs=250, unit="mV", start_time="noon"
    )
    for options, scale in (({"unit": "adu", "gain": 200}, 0.005), ({"gain": 200}, 0.005), ({"unit": "µV"}, 0.001)):
        with open_recording(path, fs=250, **options) as recording:
            assert recording.notes[0] == "The file does not say which lead it has."
            check(recording, wave(900) * scale)
    with open_recording(path, fs=250, gain=200, lead="V5") as recording:
        assert (recording.lead, recording.leads) == ("V5", ("channel 1",))
        assert recording.notes[0] == "The file does not name the lead; it is V5, as --lead says."


def test_columns_of_a_table(tmp_path: Path) -> None:
    rows = [f"{n},{a},{b},x,{c}" for n, (a, b, c) in enumerate(zip(wave(300), wave(300, 1), wave(300, 2), strict=True))]
    path = put(tmp_path, ["sample,left,right,label,resp (mV)", *rows])
    options: dict[str, Any] = {"fs": 250, "unit": "uV"}
    assert "has no lead II; it has left, right, resp: name the one to be read, such as --lead left" in fault(
        path, **options
    )
    assert "--column 9: unknown; choose from 1 sample, 2 left, 3 right, 4 label, 5 resp (mV)" in fault(
        path, column="9", **options
    )
    assert "column label holds no numbers" in fault(path, column="label", **options)
    timed = put(tmp_path, ["time_s,left", *(f"{n / 250:.3f},0.1" for n in range(300))], "timed.csv")
    assert "column 1 holds times; there are 1 time_s, 2 left" in fault(timed, column="1", **options)
    for chosen in ({"column": "3"}, {"column": "RIGHT"}, {"lead": "right"}, {"column": "3", "lead": "II"}):
        with open_recording(path, **options | chosen) as recording:
            assert recording.lead == ("II" if len(chosen) == 2 else "right")
            check(recording, wave(300, 1) * 1e-3)
    with open_recording(path, column="resp (mV)", **options) as recording:
        assert "Values are taken as uV, as --unit says; the file says mV." in recording.notes
    with open_recording(path, column="5", fs=250, gain=200) as recording:
        assert "Values are taken as 200 ADC units a mV, as --gain says; the file says mV." in recording.notes
    titled = put(tmp_path, ["II,V5,ecg", *(row.replace(",x,", ",")[row.index(",") + 1 :] for row in rows)], "b.csv")
    assert "what --column names is lead V5, not II" in fault(titled, column="2", lead="II", **options)
    assert "--lead III: unknown; choose from II, V5, ecg" in fault(titled, lead="III", **options)
    with open_recording(titled, lead="Ecg", **options) as recording:
        assert recording.lead == "ecg"
        assert recording.notes == ("The file does not say which lead ecg is.",)
    rows[270] = "270,oops,1,x,1"
    path = put(tmp_path, ["sample,left,right,label,resp (mV)", *rows])
    assert "'oops' in row 271 of the data is not a number" in fault(path, column="2", **options)
    rows[270] = "270,1,1,x,1,5"
    assert "as a table: line 272 has 6 cells, the lines above it have 5; correct the line" in fault(
        put(tmp_path, ["sample,left,right,label,resp (mV)", *rows]), column="2", **options
    )


def test_a_table_with_a_row_for_each_lead_is_not_listed_whole(tmp_path: Path) -> None:
    row = ",".join(f"{value:.3f}" for value in wave(500))
    path = put(tmp_path, f"{row}\n{row}\n".encode())
    message = fault(path, fs=360, unit="mV")
    assert "column 49, column 50 and 450 more: name the one to be read, such as --lead 'column 1'" in message


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("time_s,Resp (mV),II (mV)", "{time},0,{value},"),  # a delimiter ends the rows alone
        ("time_s,Resp (mV),II (mV),", "{time},0,{value}"),  # or the titles alone
        ("time_s;Resp;II;;|s;mV;mV", "{time};0;{value};"),
        ('"time_s" "Resp_mV" "II_mV"', '"{count}" {time} 0 {value}'),  # R's write.table
        ("Time,Resp,II|(s),(V),(mV)|", "{time},0,{value}"),
        ("time;Resp;ECG II|[sec];[V];[mV]", "{time};0;{value}"),
        ("Sample Rate,250,|Unit,mV,|time_s,Resp,II", "{time},0,{value}"),  # a table of Excel
        ("MATLAB R2024b|time_s,Resp,II_mV", "{time},0,{value}"),  # its tables are not its .mat files
        ("Sample Rate 250|time_s Resp II_mV", "{time} 0 {value}"),
        ("Lead I;Lead II|mV;mV", "0;{value}"),
        ("Channel 1,Lead II|mV,mV", "0,{value}"),
        (" Elapsed time    V1      II|    (seconds)  (mV)    (mV)", "  {time}   0  {value}"),  # rdsamp -v -p
        (" sample #    V1   II|(count)   (mV)   (mV)", "  {count}   0  {value}"),
    ],
)
def test_the_titles_belong_to_the_columns_below_them(tmp_path: Path, head: str, row: str) -> None:
    values = wave(400) / 1000
    rows = [row.format(count=n + 1, time=f"{n / 250:.3f}", value=value) for n, value in enumerate(values)]
    fs = None if "time" in row else 250
    with open_recording(put(tmp_path, [*head.split("|"), *rows], "a.txt"), fs=fs, lead="II") as recording:
        assert (recording.fs, len(recording.leads)) == (250, 2)
        check(recording, values)


@pytest.mark.parametrize(
    "head",
    [
        "Sample Rate (Hz),250|Unit,mV",
        "Unit,mV|Sample Rate,250",
        "Patient ID,1234|Lead,Lead II|Unit,mV",
        "Unit,mV|Patient ID,1234|Sample Rate,250 hertz",
        "Unit,mV|Recording start,2026-01-31 14:05:07",
    ],
)
def test_lines_of_a_head_that_are_as_wide_as_the_table_name_no_columns(tmp_path: Path, head: str) -> None:
    rows = [f"{n / 250:.3f},{value}" for n, value in enumerate(wave(400))]
    with open_recording(put(tmp_path, [*head.split("|"), *rows]), lead="II") as recording:
        assert (recording.fs, recording.leads) == (250, ("channel 1",))
        check(recording, wave(400))
    path = put(tmp_path, [*head.split("|"), "II,V5", "off,0", *rows], "b.csv")
    assert "column II holds no numbers" in fault(path, fs=250, column="II")  # "off" is a sample that is none


def test_titles_of_another_width_are_told(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value},{value}" for n, value in enumerate(wave(400))]
    said = "; or name its columns in as many cells: the line 't_s,II (mV)' above its rows has 2 cells, and they have 3"
    assert fault(put(tmp_path, ["t_s,II (mV)", *rows])).endswith(said)
    for line in ("Recorder", "Start,2026-01-31 14:05", "Lead,Lead II", "1,2"):
        assert fault(put(tmp_path, [line, *rows], "b.csv")).endswith("or --unit adu --gain ADU_PER_MV")


def test_a_delimiter_at_the_end_of_every_row_makes_no_signal(tmp_path: Path) -> None:
    for head, rows in (
        ("t_s,val (uV),", [f"{n / 250},{value}," for n, value in enumerate(wave(400))]),
        ("val (uV),", [f"{value}," for value in wave(400)]),
    ):
        with open_recording(put(tmp_path, [head, *rows]), fs=250, any_lead=True) as recording:
            check(recording, wave(400) * 1e-3)


@pytest.mark.parametrize("columns", [1, 2])
def test_the_numbers_that_pandas_gives_columns_without_names_are_no_sample(tmp_path: Path, columns: int) -> None:
    values = wave(400) / 1000
    pd.DataFrame(np.stack([values] * columns, axis=1)).to_csv(tmp_path / "a.csv")  # its first line: ,0 or ,0,1
    with open_recording(tmp_path / "a.csv", fs=250, unit="mV", column="2") as recording:
        check(recording, values)
        assert not recording.notes[1:]  # but that the lead is not known
    pd.DataFrame(np.stack([values] * columns, axis=1)).to_csv(tmp_path / "b.csv", index=False)  # 0 or 0,1
    with open_recording(tmp_path / "b.csv", fs=250, unit="mV", column="1") as recording:
        check(recording, np.append(0, values))
        assert f"Its first row, {'0,1'[: 2 * columns - 1]}, is taken for samples; if it numbers" in recording.notes[1]
    for rows in ([0, *wave(400)], [0.0, *values], [1, *values], ["II", 0, *values]):
        with open_recording(put(tmp_path, "\n".join(map(str, rows)), "c.csv"), fs=250, unit="mV") as recording:
            assert "first row" not in str(recording.notes)


# ------------------------------------------------------------------------------------------------ what is not a signal


def test_a_signal_is_not_taken_for_times_by_its_name(tmp_path: Path) -> None:
    rows = [f"{n},{n - 200}" for n in range(400)]  # a signal that rises
    for title in ("ecg_time_domain", "timed (mV)", "V5"):
        path = put(tmp_path, [f"n,{title}", *rows])
        with open_recording(path, fs=250, unit="uV", any_lead=True) as recording:
            check(recording, np.arange(-200, 200) * 1e-3)


@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("X_Value", lambda n: n / 250),
        ("Sample Index", lambda n: n % 256),
        ("nSeq", lambda n: n % 16),
        ("", lambda n: n % 16),
        ("packet_no", lambda n: n % 8),
        ("index", lambda n: n + 100 * (n > 300)),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_counters_and_ramps_are_no_signal(
    tmp_path: Path, title: str, value: Callable[[int], float], is_first: bool
) -> None:
    pairs = [(title, "left"), *((f"{value(n):g}", str(one)) for n, one in enumerate(wave(1000)))]
    path = put(tmp_path, (",".join(pair if is_first else pair[::-1]) for pair in pairs))
    with open_recording(path, fs=250, unit="uV", any_lead=True) as recording:
        assert recording.leads == ("left",)
        assert recording.read(0, 300).tolist() == (wave(300) * 1e-3).tolist()
    ramp = f"column {title} rises evenly, but is not called times: if it is, name it such as time_ms"
    said = ramp if title == "X_Value" else "it has no time column"
    assert f"its sampling frequency ({said}): give --fs HZ" in fault(path, unit="uV")


def test_stamps_of_an_ecg_are_times(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, ["EcgTimestamps,EcgWaveform (uV)", *rows])
    with open_recording(path) as recording:
        assert (recording.fs, recording.lead) == (250, "EcgWaveform")


def test_a_signal_that_rises_evenly_at_first_is_no_time(tmp_path: Path) -> None:
    values = np.concatenate([np.arange(25), 25 + wave(975)])
    path = put(tmp_path, (f"{value}" for value in values))
    with open_recording(path, fs=250, unit="uV") as recording:
        check(recording, values * 1e-3)
    path = put(tmp_path, (f"{value},0" for value in values), "b.csv")
    with open_recording(path, fs=250, unit="uV", lead="1") as recording:
        check(recording, values * 1e-3)


# ------------------------------------------------------------------------------------------------------- missing values


def test_dashes_are_missing_samples(tmp_path: Path) -> None:
    values = [*map(str, wave(500))]
    values[100:110], values[200] = ["--"] * 10, "-"
    with open_recording(put(tmp_path, ["II (uV)", *values]), fs=250) as recording:
        assert np.isnan(recording.read(0, 500)).nonzero()[0].tolist() == [*range(100, 110), 200]


@pytest.mark.parametrize("lost", [1, 30, 600])  # of the lines that are looked at, the first, more than 20, and all
@pytest.mark.parametrize(("head", "row"), [("time,II_uV", "{time},"), ("II_uV", "nan"), ("II_uV V1_uV", "nan nan")])
def test_missing_values_at_the_beginning_are_samples(tmp_path: Path, head: str, row: str, lost: int) -> None:
    """Times may stand before nothing, and numpy writes nan: such a line is neither of the head nor passed over."""
    whole = {"{time},": "{time},{value}", "nan": "{value}", "nan nan": "{value} 5"}[row]
    values = wave(lost + 400)
    rows = [
        (row if n < lost else whole).format(time=after(100, n), value=value) for n, value in enumerate(values.tolist())
    ]
    with open_recording(put(tmp_path, [head, *rows]), fs=100) as recording:
        check(recording, np.append(np.full(lost, np.nan), values[lost:] * 1e-3))


def test_missing_values_at_the_end_are_samples_and_blank_lines_are_not(tmp_path: Path) -> None:
    rows = [*map(str, wave(400)), *["nan"] * 50]
    with open_recording(put(tmp_path, ["II_uV", *rows, "", ""]), fs=250) as recording:
        check(recording, np.append(wave(400) * 1e-3, np.full(50, np.nan)))


@given(st.lists(st.integers(-900, 900) | st.none(), min_size=30, max_size=90), st.booleans())
@pytest.mark.parametrize("end", ["\r\r\n", "\n\n", "\r\n\r\n"])
@fewer_examples
def test_blank_lines_between_all_lines_are_no_samples(end: str, values: list[int | None], titled: bool) -> None:
    rows = ["7", *("" if value is None or number % 4 == 3 else str(value) for number, value in enumerate(values)), "8"]
    rows[1::4] = ["9"] * len(rows[1::4])  # most have a value
    rows[2::4] = ["9"] * len(rows[2::4])
    expected = np.array([float(row or "nan") for row in rows])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS", 25)  # read in parts that begin with a blank line, too
        path = put(Path(folder), end.join(["II"] * titled + rows) + end)
        with open_recording(path, fs=250, unit="mV", any_lead=True) as recording:
            np.testing.assert_array_equal(recording.read(), expected)
            lost = int(np.isnan(expected).sum())
            said = f"Samples without a value, which are missing: {lost} ({lost / 250:g} s)."
            assert (said in recording.notes) == bool(lost)


def test_a_value_where_all_other_such_lines_are_blank_is_told(tmp_path: Path) -> None:
    spaced = [f"{value}\n" for value in wave(20_000)]  # more than is looked at to see how a table is made
    rows = [*spaced, "5", *spaced]
    said = "every second line of its data is blank, but line 40002 is not: leave the blank lines out, except where"
    assert said in fault(put(tmp_path, ["II", "", *rows]), fs=250, unit="uV")
