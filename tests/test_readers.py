"""Recordings in every format, each written here and read back to its last digit; WFDB records; what is none."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import re
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MITDB, needs
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import START, after, apple, check, edf, fault, interrupted, ishne, kardia, put, wave, write_wfdb

from preprocess.readers import open_recording
from preprocess.readers.opening import MAGIC
from preprocess.readers.recording import Runs
from support.errors import InputError

fewer_examples = settings(max_examples=40)


# ----------------------------------------------------------------------------------------------------------------- WFDB


def test_a_wfdb_record(tmp_path: Path) -> None:
    values = wave(1000)
    path = write_wfdb(tmp_path, {"V1": values + 3, "ECG lead II": values}, when="14:05:07 31/01/2026")
    for name in (path, f"{path}.hea", f"{path}.dat", f"{path}.atr"):
        with open_recording(name) as recording:
            assert (recording.name, recording.path, recording.format) == ("r", tmp_path / "r.hea", "WFDB")
            assert (recording.fs, recording.lead, recording.leads) == (250, "ECG lead II", ("V1", "ECG lead II"))
            assert (recording.start, recording.borders.tolist(), recording.notes) == (START, [], ())
            check(recording, values / 200)
    assert "give the clock of the recording, without a time zone" in fault(path, start_time="2025-12-24T23:59:00+01:00")
    with open_recording(write_wfdb(tmp_path, {"V1": values, "MLII": values}, name="m"), lead="II") as recording:
        assert recording.lead == "MLII"
    with open_recording(path, lead="v1", start_time="2025-12-24T23:59:00") as recording:
        assert recording.start == dt.datetime(2025, 12, 24, 23, 59)
        assert recording.notes == (
            "It begins at 2025-12-24 23:59:00, as --start_time says; the file says 2026-01-31 14:05:07.",
        )
        check(recording, (values + 3) / 200)


@pytest.mark.parametrize(
    ("when", "undated"),
    [
        ("", ""),
        ("14:45:00", "has no valid date"),
        ("14:45:00 0/0/0", "has no valid date"),
        ("14:45:00 31/02/2026", "has no valid date"),
        ("0:0:0 0/0/0", ""),
        ("14:45:00 31/01/2026", ""),
        ("25:45:00 31/01/2026", "is not a time of day"),
        ("14:61:00 31/01/2026", "is not a time of day"),
        ("14:45:60", "is not a time of day"),
    ],
)
def test_a_record_with_a_time_but_no_date(tmp_path: Path, when: str, undated: str) -> None:
    path = write_wfdb(tmp_path, {"II": wave(700)}, when=when)
    note = f"The time in its header, {when[:8]}, {undated}; it is not known when the recording began, "
    with open_recording(path) as recording:
        assert (recording.start is None) == (when != "14:45:00 31/01/2026")
        assert recording.notes == ((f"{note}--start_time says it.",) if undated else ())
    with open_recording(path, start_time=START) as recording:
        assert (recording.start, "in its header" in str(recording.notes)) == (START, False)


def test_a_record_in_no_voltage_has_a_remedy(tmp_path: Path) -> None:
    said = "II is in NU, which is not a unit of voltage; "
    path = write_wfdb(tmp_path, {"II": wave(700)}, gain="200/NU")
    assert fault(path).endswith(f"{said}correct the units in its header")
    write_wfdb(tmp_path, {"II": wave(700), "V1": wave(700)}, gain="200/NU")
    (tmp_path / "r.hea").write_text(
        (tmp_path / "r.hea").read_text().replace("200/NU", "200/mV").replace("200/mV", "200/NU", 1)
    )
    assert fault(path).endswith(f"{said}--lead NAME takes another one")


def test_a_record_of_annotations_alone(tmp_path: Path) -> None:
    path = put(tmp_path, "a 0 360 650000\n", "a.hea")
    assert fault(path) == f"{path} holds no signal, only annotations go with it; name a record with an ECG"


@pytest.mark.parametrize("fs", ["50001", "1e12", "1e300"])
def test_rates_that_no_recorder_has_are_refused(tmp_path: Path, fs: str) -> None:
    said = f"has {float(fs):g} samples a second; no ECG has more than 50000: correct its sampling frequency"
    assert said in fault(write_wfdb(tmp_path, {"II": wave(700)}, fs=fs))
    with open_recording(write_wfdb(tmp_path, {"II": wave(700)}, fs="50000")) as recording:
        assert recording.fs == 50_000


def test_a_header_without_a_rate_is_told_and_takes_one(tmp_path: Path) -> None:
    write_wfdb(tmp_path, {"II": wave(700)}, name="a")
    (tmp_path / "a.hea").write_text("a 1\na.dat 16 200 16 0 0 0 0 II\n")
    (tmp_path / "m.hea").write_text("m/2 1\nb 700\nb 700\n")
    (tmp_path / "b.hea").write_text("b 1 360 700\na.dat 16 200 16 0 0 0 0 II\n")
    with open_recording(tmp_path / "a") as recording:
        assert recording.fs == 250
        assert recording.notes == ("The header gives no sampling frequency, 250 Hz assumed; --fs says another.",)
    for name, length in (("a", 700), ("m", 1400)):
        with open_recording(tmp_path / name, fs=360) as recording:
            assert (recording.fs, recording.length, recording.notes) == (360, length, ())
    assert "segment b has 700 samples at 250 Hz; its own header says 700 at 360 Hz" in fault(tmp_path / "m")


def test_a_record_in_segments(tmp_path: Path) -> None:
    values = wave(500)
    write_wfdb(tmp_path, {"II": values}, name="a")
    write_wfdb(tmp_path, {"V1": values, "II": values[::-1]}, name="b")
    (tmp_path / "layout.hea").write_text("layout 2 250 0\n~ 0 200/mV 16 0 0 0 0 II\n~ 0 200/mV 16 0 0 0 0 V1\n")
    (tmp_path / "m.hea").write_text("m/4 2 250 1300\nlayout 0\na 500\n~ 300\nb 500\n")
    with open_recording(tmp_path / "m") as recording:
        assert recording.borders.tolist() == [500, 800] and recording.borders.dtype == np.int64
        assert recording.notes == ("Samples without a value, which are missing: 300 (1.2 s).",)
        check(recording, np.concatenate([values, np.full(300, np.nan), values[::-1]]) / 200)
    (tmp_path / "b.dat").write_bytes((tmp_path / "b.dat").read_bytes()[:-1])
    assert "b.dat cannot be read as b.hea describes it: it holds 499 samples a signal, not 500" in fault(tmp_path / "m")


def test_faults_of_a_record_are_notes(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, {"II": wave(1000)}, gain="0")
    content = bytearray((tmp_path / "r.dat").read_bytes())
    content[8] ^= 1
    (tmp_path / "r.dat").write_bytes(content)
    with open_recording(path) as recording:
        assert recording.notes == (
            "Not calibrated (no ADC gain in the header, 200 units a mV assumed).",
            "Samples do not match the checksum in the header.",
        )


def test_values_that_no_ecg_has_are_said(tmp_path: Path) -> None:
    for gain, said in (("0.2", "more than 50"), ("200000", "less than 0.01")):
        with open_recording(write_wfdb(tmp_path, {"II": wave(5000)}, gain=gain)) as recording:
            (note,) = recording.notes
            assert said in note and "its unit may be wrong" in note
    quiet = np.where(np.arange(5000) < 4000, 0, wave(5000))  # the leads are off most of the time
    with open_recording(write_wfdb(tmp_path, {"II": quiet})) as recording:
        assert recording.notes == ()


@needs("mitdb")
def test_mitdb_is_read_by_lead_ii() -> None:
    with open_recording(MITDB / "100") as recording:
        assert (recording.fs, recording.length, recording.lead, recording.notes) == (360, 650_000, "MLII", ())
        assert recording.read(0, 3).tolist() == [-0.145, -0.145, -0.145]
    message = fault(MITDB / "102")
    assert re.search(
        r"has no lead II; it has V5, V2: .* such as --lead V5, .* or --any_lead for the first ECG", message
    )


# ----------------------------------------------------------------------------------------------------------- any format


@pytest.mark.parametrize(("year", "known"), [(26, False), (1899, False), (1900, True), (2200, True), (2201, False)])
def test_a_date_that_no_recording_has_is_told(tmp_path: Path, year: int, known: bool) -> None:
    start = START.replace(year=year)
    rows = [f"{after(250, n, start).isoformat()},{value}" for n, value in enumerate(wave(400))]
    for path in (
        put(tmp_path, ishne(np.stack([wave(600), wave(600)], axis=1), start=start), "a.ecg"),
        put(tmp_path, kardia({"ecg2": wave(600)}, date=start.isoformat(timespec="milliseconds")), "a.atc"),
        put(tmp_path, ["when,MLII (uV)", *rows]),
        write_wfdb(tmp_path, {"II": wave(600)}, when=f"14:05:07 31/01/{year:02}"),
    ):
        with open_recording(path) as recording:
            assert recording.start == (start if known else None)
            said = f"The date in the file, {year:04}-01-31, is not between the years 1900 and 2200"
            unknown = "it is not known when the recording began, --start_time says it."
            assert recording.notes == (() if known else (f"{said}; {unknown}",))
        with open_recording(path, start_time=START) as recording:
            assert recording.start == START
            assert len(recording.notes) == known  # that --start_time says another


UTC = "It states its times in UTC, and so are those given here; --start_time gives the local time."


def test_times_in_utc_are_told(tmp_path: Path) -> None:
    stamps = [after(250, n).isoformat(timespec="milliseconds") + "Z" for n in range(500)]
    rows = [f"{stamp},{value}" for stamp, value in zip(stamps, wave(500), strict=True)]
    files = {
        "a.csv": "\n".join(["time,MLII (uV)", *rows]),
        "b.csv": "\n".join(["Start,2026-01-31T14:05:07+00:00", "Rate,250 Hz", "Unit,uV", "II", *map(str, wave(500))]),
        "c.atc": kardia({"ecg2": wave(900)}, date="2026-01-31T14:05:07.000Z"),
    }
    for name, content in files.items():
        path = put(tmp_path, content, name)
        with open_recording(path) as recording:
            assert (recording.start, recording.notes[-1]) == (START, UTC), name
        with open_recording(path, start_time=START + dt.timedelta(hours=1)) as recording:
            assert UTC not in recording.notes
    with open_recording(put(tmp_path, files["a.csv"].replace("Z", "+01:00"), "d.csv")) as recording:
        assert (recording.start, recording.notes) == (START, ())


def test_which_lead_a_signal_without_a_name_is(tmp_path: Path) -> None:
    generic = ishne(np.stack([wave(700), wave(700, 1)], axis=1), codes=(1, 1))
    files = {"a.ecg": (generic, 0.001, "2"), "a.edf": (edf({"ECG1": wave(2560), "ECG2": wave(2560, 1)}), 1e-4, "ecg2")}
    for name, (content, scale, column) in files.items():
        path = put(tmp_path, content, name)
        with open_recording(path, column=column, lead="II") as recording:
            assert recording.lead == "II"
            assert recording.notes == ("The file does not name the lead; it is II, as --lead says.",)
            expected = wave(recording.length, 1) * scale
            np.testing.assert_allclose(recording.read(), expected, rtol=1e-12, atol=1e-12)
    path = put(tmp_path, edf({"V5": wave(2560), "II": wave(2560, 1)}), "b.edf")
    assert "what --column names is lead V5, not II" in fault(path, column="1", lead="II")
    for lead in ("ECG2", "2"):  # another signal, but no lead
        said = f"--column takes ECG1, and --lead {lead} is not a lead"
        assert said in fault(tmp_path / "a.edf", column="1", lead=lead)
    with open_recording(path, column="1") as recording:
        assert recording.lead == "V5"


def test_samples_without_a_value_are_counted(tmp_path: Path) -> None:
    def note(count: int, fs: int) -> str:
        return f"Samples without a value, which are missing: {count} ({count / fs:g} s)."

    rows = [f"{value},{number}" for number, value in enumerate(wave(1000))]
    rows[500], rows[700] = ",500", "nan,700"
    with open_recording(put(tmp_path, ["II (uV),n", *rows]), fs=250) as recording:
        assert recording.notes == (note(2, 250),)
    values = np.stack([wave(900), wave(900)], axis=1)
    values[400:650, 1] = -32768
    with open_recording(put(tmp_path, ishne(values, codes=(5, 6)), "a.ecg")) as recording:
        assert recording.notes == (note(250, 200),)
    with open_recording(tmp_path / "a.ecg", lead="I") as recording:
        assert recording.notes == ()
    with open_recording(write_wfdb(tmp_path, {"V1": values[:, 0], "II": values[:, 1]})) as recording:
        assert recording.notes == (note(250, 250),)


digital_values = st.lists(st.integers(-3000, 3000), min_size=1, max_size=600)


@given(digital_values, st.sampled_from([100, 128, 250, 500]))
@fewer_examples
def test_every_sample_of_the_binary_formats_comes_back(values: list[int], fs: int) -> None:
    array = np.array(values)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_wfdb(folder, {"II": array}, fs=str(fs))
        put(folder, ishne(array[:, None], codes=(6,), resolutions=(5000,), fs=fs), "a.ecg")
        put(folder, kardia({"ecg2": array}, fs=fs, resolution=5000), "a.atc")
        for path in (folder / "r", folder / "a.ecg", folder / "a.atc"):
            with open_recording(path) as recording:
                assert recording.fs == fs
                np.testing.assert_array_equal(np.round(recording.read() * 200).astype(int), array)
                np.testing.assert_allclose(recording.read(), array / 200, rtol=1e-15)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=12), st.data())
@fewer_examples
def test_runs_are_put_where_they_are_in_time(pieces: list[tuple[int, int]], data: st.DataObject) -> None:
    """Each piece: missing samples before it, and how many it has."""
    pieces[0] = (0, pieces[0][1])
    whole, starts, stored, count = np.empty(0), [], [], 0
    for missing, size in pieces:
        starts.append(len(whole) + missing)
        stored.append(count)
        whole = np.concatenate([whole, np.full(missing, np.nan), np.arange(count, count + size)])
        count += size
    runs = Runs(np.array(starts), np.array(stored), count)
    assert runs.length == len(whole)
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, len(whole)))
    read = runs.read(first, last, lambda begin, end: np.arange(begin, end, dtype=float))
    np.testing.assert_array_equal(read, whole[first:last])


# --------------------------------------------------------------------------------------------- what is not a recording


def test_what_is_no_recording_is_told_with_every_format_that_is_read(tmp_path: Path) -> None:
    _, _, formats = fault(put(tmp_path, bytes(1000), "a.dat")).lower().partition("not in the formats")
    assert all(source.__name__.removesuffix("Source").lower() in formats for source in MAGIC.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: it holds no samples"),
        (b"time,II\n", "has no rows, only the line 'time,II'"),
        (b"Dear reader,\nthis is not a recording.\n", "holds no samples that can be read"),
        (b"Dear reader,\nthese are beats, not a signal.\nIn all, 5\n", "holds no samples that can be read"),
        (b"0.1,0.2,0.3\n", "a row for each sample is missing below it"),
        (bytes(1000), "the signals of a WFDB record need its header, a.hea, beside them"),
        (b"PK\3\4rest", "is a ZIP archive or an office document"),
        (b"\xd0\xcf\x11\xe0rest", "is a ZIP archive or an office document"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\x1f\x8b\x08", "is a compressed file: unpack it first"),
        (b'{"fs": 250, "ecg": [1, 2, 3]}', "is JSON: save the signal as CSV"),
        (b'\xef\xbb\xbf\n{"fs": 250}', "is JSON: save the signal as CSV"),
        (b"[\n0.1,\n0.2,\n0.3\n]\n", "is JSON: save the signal as CSV"),
        (b"\x93NUMPY\1\0", "is a NumPy array: save it as CSV"),
        (b"MATLAB 5.0 MAT-file", "is a MATLAB file: save the signal as CSV"),
        (struct.pack("<5i4s", 30, 12, 5000, 0, 4, b"val"), "of the PhysioNet Challenges are, copy its header (.hea)"),
        (struct.pack("<5i4s", 0, 1, 5000, 0, 4, b"ecg"), "is a MATLAB file"),
        (bytes(128) + b"DICM\2\0\0\0UL", "is a DICOM file: export the recording as EDF or CSV"),
        (b"\n\x31\xd0\7\0\0\0\0\0\0\x88\0\0\0\x14\x14SCPECG", "is an SCP-ECG file: export"),
        ('\ufeff<?xml version="1.0"?><RestingECG>'.encode(), "is XML: export"),
        ('<?xml version="1.0" encoding="UTF-16"?>'.encode("utf-16"), "is XML: export"),
        (b"\n<!doctype HTML>\n<p>404 0 1", "is a web page: fetch the recording again"),
    ],
)
def test_files_that_are_no_recordings(tmp_path: Path, content: bytes, said: str) -> None:
    message = fault(put(tmp_path, content))
    assert said in message and message.startswith(str(tmp_path / "a.csv"))


def test_paths_that_are_no_recordings(tmp_path: Path) -> None:
    assert "nor is the header of a WFDB record" in fault(tmp_path / "b")
    assert "is a folder: name a file, or a record in it" in fault(tmp_path)
    path = write_wfdb(tmp_path, {"HR": wave(900), "EEG Fpz-Cz": wave(900)})
    for any_lead in (False, True):
        assert fault(path, any_lead=any_lead).endswith(
            "has no ECG by the names of its signals, HR, EEG Fpz-Cz: if one of them is an ECG, --lead NAME reads it"
        )
    path = write_wfdb(tmp_path, {"II": wave(900)}, fs="99")
    assert "has 99 samples a second" in fault(path)
    path = write_wfdb(tmp_path, {"II": wave(900)})
    assert "--fs 500 is not the sampling frequency in" in fault(path, fs=500)
    assert "--unit does not go with" in fault(path, unit="uV")
    assert "--column 2: unknown; choose from II" in fault(path, column="2")
    assert "--lead V9: unknown; choose from II" in fault(path, lead="V9")
    (tmp_path / "r.hea").write_text("r/2 1 250 0\nlayout 0\n~ 99999999999\n")
    (tmp_path / "layout.hea").write_text("layout 1 250 0\n~ 0 200/mV 16 0 0 0 0 II\n")
    assert "says that it is 4630 days long" in fault(path)


def test_a_table_beside_a_record_is_a_table(tmp_path: Path) -> None:
    write_wfdb(tmp_path, {"II": wave(900)})
    path = put(tmp_path, ["II (mV)", *map(str, (wave(50) / 100).tolist())], "r.csv")
    with open_recording(path, fs=250) as recording:
        assert (recording.format, recording.length) == ("CSV", 50)


# -------------------------------------------------------------------------------------------------------- damaged files


def samples_of_all_formats() -> dict[str, tuple[bytes, dict[str, object]]]:
    values, two = wave(768), np.stack([wave(400), wave(400, 1)], axis=1)
    timed = "\n".join(["time,MLII,V5", *(f"{n / 250:.3f},{a},{b}" for n, (a, b) in enumerate(two.tolist()))])
    stamped = "\n".join(
        [
            "time;II (mV)",
            *(f"{(START + dt.timedelta(milliseconds=4 * n)).isoformat()};{a}" for n, a in enumerate(values)),
        ]
    )
    return {
        "a.edf": (edf({"ECG II": values, "V1": values}), {}),
        "plus.edf": (edf({"ECG II": values}, annotated=True), {}),
        "gaps.edf": (interrupted(edf({"II": values}, annotated=True), [0, 1, 5]), {}),
        "a.bdf": (edf({"ECG II": values}, bdf=True), {}),
        "a.ecg": (ishne(two), {}),
        "a.atc": (kardia({"ecg ": values, "ecg2": values}), {}),
        "timed.csv": (timed.encode(), {"unit": "uV"}),
        "stamped.csv": (stamped.encode(), {}),
        "apple.csv": (apple([f"{value:.3f}" for value in values / 3]).encode(), {"lead": "I"}),
        "german.csv": (apple([f"{value:.3f}" for value in values / 3], german=True).encode(), {"lead": "I"}),
        "plain.csv": ("\n".join(map(str, values.tolist())).encode(), {"fs": 250, "gain": 200}),
    }


def damage(content: bytes, generator: random.Random) -> bytes:
    """Cut a file, or change, take away, double or insert some of its bytes, mostly in its header."""
    changed = bytearray(content)
    for _ in range(generator.choice([1, 1, 1, 2, 5])):
        place = int(len(changed) * generator.random() ** generator.choice([1, 4])) if changed else 0
        kind = generator.randrange(6)
        if kind == 0:
            del changed[place:]
        elif kind == 1 and changed:
            changed[place % len(changed)] = generator.randrange(256)
        elif kind == 2 and changed:
            changed[place % len(changed)] = generator.choice(b"0123456789-+.,; \n\"'")
        elif kind == 3:
            del changed[place : place + generator.randrange(1, 40)]
        elif kind == 4:
            changed[place:place] = generator.randbytes(generator.randrange(1, 40))
        else:
            changed[place:place] = changed[place : place + generator.randrange(1, 300)]
    return bytes(changed)


def try_to_read(path: Path, options: dict[str, Any]) -> bool:
    """Read a recording in parts -> whether it can be read; what is raised must be an `InputError`."""
    try:
        with open_recording(path, **options) as recording:
            assert recording.length > 0 and recording.fs >= 100 and math.isfinite(recording.fs)
            step = max(1, round(600 * recording.fs))
            for first in range(0, min(recording.length, 10_000_000), step):  # a damaged header may say hours in a gap
                part = recording.read(first, first + step)
                assert len(part) == min(step, recording.length - first)
                assert part.dtype == np.float64 and not np.isinf(part).any()
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2100
        return False
    return True


MUTATIONS = int(os.environ.get("ECG_MUTATIONS", "60"))


@pytest.mark.parametrize("name", samples_of_all_formats())
def test_damaged_files_end_in_one_line(tmp_path: Path, name: str) -> None:
    content, options = samples_of_all_formats()[name]
    assert try_to_read(put(tmp_path, content, name), options)
    generator = random.Random(name)
    before = {*Path(tempfile.gettempdir()).glob("ecg*")}
    tracemalloc.start()
    for _ in range(MUTATIONS):
        try_to_read(put(tmp_path, damage(content, generator), name), options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
    assert not {*Path(tempfile.gettempdir()).glob("ecg*")} - before


@pytest.mark.parametrize("name", ["a.edf", "gaps.edf", "a.bdf", "a.ecg", "a.atc"])
def test_files_cut_anywhere_end_in_one_line(tmp_path: Path, name: str) -> None:
    content, options = samples_of_all_formats()[name]
    ends = {*range(0, len(content), max(1, len(content) // 60)), *range(40), len(content) - 1}
    for end in sorted(ends):
        assert not try_to_read(put(tmp_path, content[:end], name), options), end


def test_damaged_records_end_in_one_line(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, {"II": wave(700), "V1": wave(700, 1)}, when="14:05:07 31/01/2026")
    header, samples = ((tmp_path / f"r.{suffix}").read_bytes() for suffix in ("hea", "dat"))
    generator = random.Random(7)
    for _ in range(MUTATIONS):
        (tmp_path / "r.hea").write_bytes(damage(header, generator))
        (tmp_path / "r.dat").write_bytes(damage(samples, generator) if generator.random() < 0.3 else samples)
        try_to_read(path, {})


@pytest.mark.parametrize(
    ("length", "signal", "message"),
    [
        (10**12, "~ 0", "says that it is 46296 days long"),
        (10, "~ 0x300000000", "has 7.5e+10 samples a second; no ECG has more than 50000"),
    ],
)
def test_a_header_alone_promises_no_samples_that_are_then_counted(
    tmp_path: Path, length: int, signal: str, message: str
) -> None:
    """To look at all of them would take hours, or more memory than there is."""
    put(tmp_path, f"a 1 250 {length}\n{signal} 200/mV 12 0 0 0 0 II\n", "a.hea")
    assert message in fault(tmp_path / "a")


@pytest.mark.parametrize("suffix", ["xz", "zip", "tar", "zst", "gz", "bz2"])
def test_a_table_is_known_by_its_content_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path, "\n".join(["II (mV)", *map(str, wave(400))]), f"a.csv.{suffix}")
    with open_recording(path, fs=250) as recording:
        assert recording.length == 400


@pytest.mark.parametrize("title", ["[s],II (mV),[note]", "PKT,II (mV),note"])
def test_a_title_makes_no_other_format_of_a_table(tmp_path: Path, title: str) -> None:
    path = put(tmp_path, [title, *(f"{n / 250:.3f},{value},[a]" for n, value in enumerate(wave(400).tolist()))])
    with open_recording(path, fs=250) as recording:
        assert recording.length == 400
