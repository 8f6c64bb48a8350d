"""Recordings in every format that is read: each file is written here, and read back to its last digit."""

from __future__ import annotations

import binascii
import datetime as dt
import math
import os
import random
import re
import shlex
import struct
import tempfile
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pytest
from conftest import MITDB, needs
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.readers import Recording, open_recording, tables
from preprocess.readers.opening import MAGIC
from preprocess.readers.recording import Runs
from support.errors import InputError

START = dt.datetime(2026, 1, 31, 14, 5, 7)

fewer_examples = settings(max_examples=40)

digital_values = st.lists(st.integers(-3000, 3000), min_size=1, max_size=600)


def wave(count: int, seed: int = 0) -> np.ndarray:
    """int64 (n,), a signal of a few hundred ADC units."""
    time = np.arange(count)
    return np.round(400 * np.sin(time / 9 + seed) + 150 * np.sin(time / 31)).astype(np.int64)


# ------------------------------------------------------------------------------------------------ small writers


def write_wfdb(
    folder: Path,
    signals: dict[str, Sequence[int]],
    fs: str = "250",
    gain: str = "200/mV",
    when: str = "",
    name: str = "r",
) -> Path:
    """A record in format 16."""
    values = np.stack([np.asarray(values) for values in signals.values()], axis=1).astype("<i2")
    lines = [f"{name} {len(signals)} {fs} {len(values)} {when}"]
    lines += [f"{name}.dat 16 {gain} 16 0 0 {int(values[:, n].sum()) % 65536} 0 {key}" for n, key in enumerate(signals)]
    (folder / f"{name}.hea").write_text("\n".join(lines))
    (folder / f"{name}.dat").write_bytes(values.tobytes())
    return folder / name


def ishne(
    values: np.ndarray,
    codes: Sequence[int] = (6, 5),
    resolutions: Sequence[int] = (2500, 1000),
    fs: int = 200,
    per_lead: bool = True,
    text: bytes = b"",
    magic: bytes = b"ISHNE1.0",
    start: dt.datetime | None = START,
) -> bytes:
    """An ISHNE file of int16 (samples, leads), by the offsets of the standard."""
    samples, leads = values.shape
    head = bytearray(512)
    struct.pack_into("<4i", head, 0, len(text), samples if per_lead else samples * leads, 522, 522 + len(text))
    if start:
        struct.pack_into("<3h", head, 128, start.day, start.month, start.year)
        struct.pack_into("<3h", head, 140, start.hour, start.minute, start.second)
    struct.pack_into("<h", head, 146, leads)
    struct.pack_into("<12h", head, 148, *codes, *[-9] * (12 - leads))
    struct.pack_into("<12h", head, 196, *resolutions, *[-9] * (12 - leads))
    struct.pack_into("<h", head, 262, fs)
    covered = bytes(head) + text
    return magic + crc16(covered).to_bytes(2, "little") + covered + values.astype("<i2").tobytes()


def crc16(content: bytes) -> int:
    """CRC-16-CCITT bit by bit, from 0xFFFF; 0x29B1 for "123456789", as its catalogues say."""
    value = 0xFFFF
    for byte in content:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def byte_sum(head: bytes, data: bytes) -> int:
    return sum(head + data)


def kardia(
    leads: dict[str, np.ndarray],
    fs: int = 300,
    resolution: int = 500,
    checksum: Callable[[bytes, bytes], int] = byte_sum,
    date: str = "2026-01-31T14:05:07.000-08:00",
) -> bytes:
    content = b"ALIVE\0\0\0" + (4).to_bytes(4, "little")
    blocks = {"info": date.encode().ljust(264, b"\0"), "fmt ": struct.pack("<BHHBH", 1, fs, resolution, 2, 0)}
    blocks |= {name: values.astype("<i2").tobytes() for name, values in leads.items()}
    for name, data in blocks.items():
        head = name.encode() + len(data).to_bytes(4, "little")
        content += head + data + checksum(head, data).to_bytes(4, "little")
    return content


def edf(
    signals: dict[str, np.ndarray],
    fs: float = 256,
    dimension: str = "uV",
    physical: tuple[float, float] = (-3276.8, 3276.7),
    annotated: bool = False,
    bdf: bool = False,
    microsecond: int = 0,
) -> bytes:
    """An EDF or BDF file with a data record each second, by edfio."""
    kind, width = (edfio.BdfSignal, np.int32) if bdf else (edfio.EdfSignal, np.int16)
    made = [
        kind.from_digital(
            values.astype(width),
            fs,
            label=label,
            physical_dimension=dimension,
            physical_range=physical,
            digital_range=(-32768, 32767),
        )
        for label, values in signals.items()
    ]
    marks = [edfio.EdfAnnotation(0.5, None, "cough")] if annotated else None
    with warnings.catch_warnings(action="ignore"):  # that a part of a second makes it EDF+
        whole = (edfio.Bdf if bdf else edfio.Edf)(
            made,
            annotations=marks,
            data_record_duration=1,
            recording=edfio.Recording(startdate=START.date()),
            starttime=START.time().replace(microsecond=microsecond),
        )
        return whole.to_bytes()


def interrupted(content: bytes, onsets: Sequence[float], bdf: bool = False) -> bytes:
    """Make of an EDF+C file with one signal one whose data records begin at `onsets`, s."""
    content = content.replace(b"DF+C", b"DF+D", 1)
    header = int(content[184:192])
    sizes = [int(content[256 + 2 * 216 + 8 * n :][:8]) * (3 if bdf else 2) for n in range(2)]
    parts = [content[:header]]
    for number, onset in enumerate(onsets):
        record = content[header + number * sum(sizes) :][: sum(sizes)]
        parts.append(record[: sizes[0]] + f"+{onset:g}\x14\x14\0".encode().ljust(sizes[1], b"\0"))
    return b"".join(parts)


def apple(values: Sequence[str], german: bool = False) -> str:
    if german:
        head = [
            "Name",
            'Geburtstag,"27.03.1987"',
            "Aufzeichnungsdatum,2026-01-31 14:05:07 +0200",
            "Klassifizierung,Sinusrhythmus",
            "Symptome,",
            "Softwareversion,1.13",
            'Gerät,"Watch4,2"',
            "Messrate,511,562\u00a0Hertz",
            "",
            "",
            "Ableitung,Ableitung I",
            "Einheit,µV",
            "",
        ]
        return "\n".join([*head, *(value.replace(".", ",") for value in values)])
    head = [
        "Name,Somebody",
        'Date of Birth,"Mar 27, 1987"',
        "Recorded Date,2026-01-31 14:05:07 +0200",
        "Classification,Sinus Rhythm",
        "Software Version,1.90",
        'Device,"Watch7,12"',
        "Sample Rate,512.508 hertz",
        "",
        "Lead,Lead I",
        "Unit,µV",
        "",
    ]
    return "\n".join([*head, *values, ""])


def put(folder: Path, content: bytes | str, name: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def fault(path: Path, **options: object) -> str:
    """Say why a recording is refused: one line that names the file."""
    with pytest.raises(InputError) as caught:
        open_recording(path, **options).close()
    message = str(caught.value)
    assert "\n" not in message
    return message


# ---------------------------------------------------------------------------------------------- what all give


def check(recording: Recording, expected: np.ndarray) -> None:
    """The values of a recording, whole, in parts and anywhere."""
    assert recording.length == len(expected)
    whole = recording.read()
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole, expected)
    step = round(0.3 * recording.fs)
    parts = [recording.read(first, first + step) for first in range(0, len(expected), step)]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    for start, stop in ((0, 0), (5, 4), (len(expected) // 3, len(expected) // 2), (-7, None), (3, 10**12)):
        np.testing.assert_array_equal(recording.read(start, stop), expected[start:stop])


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
        ("25:45:00 31/01/2026", "is no time of day"),
        ("14:61:00 31/01/2026", "is no time of day"),
        ("14:45:60", "is no time of day"),
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
    said = "II is in NU, which is no voltage; "
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


# --------------------------------------------------------------------------------------------------------- EDF


@pytest.mark.parametrize("bdf", [False, True])
@pytest.mark.parametrize(("dimension", "millivolts"), [("uV", 1e-3), ("mV", 1.0), ("V", 1e3), ("µV", 1e-3)])
def test_edf(tmp_path: Path, bdf: bool, dimension: str, millivolts: float) -> None:
    values = wave(1024)
    content = edf({"EEG Fpz-Cz": values * 2, "ECG II": values}, bdf=bdf, dimension="XX")
    content = content.replace(b"XX      ", dimension.encode("latin-1").ljust(8))
    with open_recording(put(tmp_path, content, "night.bin")) as recording:
        assert (recording.name, recording.format) == ("night", "BDF" if bdf else "EDF")
        assert (recording.fs, recording.lead, recording.start) == (256, "ECG II", START)
        assert recording.leads == ("EEG Fpz-Cz", "ECG II")
        assert recording.length == 1024
        expected = values * 0.1 * millivolts  # 0.1 a digital unit: from -3276.8 to 3276.7 in 65536 steps
        np.testing.assert_allclose(recording.read(), expected, rtol=1e-12, atol=1e-9 * millivolts)
        check(recording, recording.read())


@pytest.mark.parametrize("bdf", [False, True])
def test_edf_plus_skips_its_annotations(tmp_path: Path, bdf: bool) -> None:
    content = edf({"II": wave(2560)}, annotated=True, bdf=bdf, microsecond=250_000)
    with open_recording(put(tmp_path, content, "a.edf")) as recording:
        assert recording.format == ("BDF+C" if bdf else "EDF+C")
        assert recording.leads == ("II",)
        assert recording.start == START.replace(microsecond=250_000)
        np.testing.assert_allclose(recording.read(), wave(2560) * 1e-4, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bdf", [False, True])
def test_an_interrupted_edf_has_missing_samples(tmp_path: Path, bdf: bool) -> None:
    values = wave(4 * 256)
    content = interrupted(edf({"II": values}, annotated=True, bdf=bdf), [0.25, 1.25, 5.25, 6.75], bdf)
    with open_recording(put(tmp_path, content, "a.edf")) as recording:
        assert recording.format == ("BDF+D" if bdf else "EDF+D")
        assert recording.borders.tolist() == [5 * 256, int(6.5 * 256)]
        assert recording.notes == ("Interrupted 2 times, for 3.5 s in all; those are missing.",)
        expected = np.full(int(7.5 * 256), np.nan)
        expected[:512], expected[1280:1536], expected[1664:] = values[:512], values[512:768], values[768:]
        np.testing.assert_allclose(recording.read(), expected * 1e-4, rtol=1e-12, atol=1e-12)
        check(recording, recording.read())
    continuous = content.replace(b"DF+D", b"DF+C", 1)  # as its header says, not its data records
    with open_recording(tmp_path / "a.edf") as recording, open_recording(put(tmp_path, continuous, "c.edf")) as other:
        kind = "BDF+C" if bdf else "EDF+C"
        said = f"It is {kind}, without interruptions, but the times of its data records have some."
        assert other.notes == (said, *recording.notes)
        np.testing.assert_array_equal(other.read(), recording.read())
    content = interrupted(edf({"II": values}, annotated=True), [0, 1, 1.5, 3])
    assert "data record 3 begins before the one before it ends" in fault(put(tmp_path, content, "a.edf"))
    content = edf({"II": values})
    content = content[:192] + b"EDF+D" + content[197:]
    assert "has no annotations that say when they were; export it as EDF+C" in fault(put(tmp_path, content, "a.edf"))


@given(st.lists(st.sampled_from([0, 0, 1, 3, 4, 7, 500]), min_size=1, max_size=60))
@fewer_examples
def test_interruptions_shorter_than_a_sample_add_up(late: list[int]) -> None:
    onsets = np.cumsum([0, *(1 + extra / 1000 for extra in late)])  # s; a sample takes 3.9 ms
    values = np.repeat(400 * np.arange(len(onsets)), 256)
    with tempfile.TemporaryDirectory() as folder:
        content = interrupted(edf({"II": values}, annotated=True), onsets.tolist())
        with open_recording(put(Path(folder), content, "a.edf")) as recording:
            signal = recording.read() * 1e4
            missing = f"for {np.isnan(signal).sum() / 256:.1f} s in all; those are missing."
            assert [note.partition(", ")[2] for note in recording.notes] == [missing] * bool(np.isnan(signal).any())
    begins = [np.flatnonzero(np.round(signal) == 400 * number)[0] for number in range(len(onsets))]
    assert np.abs(begins - onsets * 256).max() <= 1.5  # rounded once, and 1 may be left
    assert np.isfinite(signal).sum() == len(values)


def test_data_records_that_overlap_a_little_are_told(tmp_path: Path) -> None:
    content = interrupted(edf({"II": wave(100 * 256)}, annotated=True), [number * 0.997 for number in range(100)])
    with open_recording(put(tmp_path, content, "a.edf")) as recording:
        assert (recording.length, recording.borders.tolist()) == (100 * 256, [])
        assert recording.notes == ("Its data records overlap by up to 0.297 s by their times; they are read in turn.",)


@pytest.mark.parametrize("name", ["EKG L", "ECG LA-RA", "ECG_CH1", "ekg-r", "ECG", "-aVR"])
def test_any_lead_is_one_that_is_called_ecg(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, edf({"C4-A1": wave(2560), name: wave(2560, 1), "ECG 9": wave(2560, 2)}), "a.edf")
    typed = f"--lead{'=' if name[0] == '-' else ' '}{shlex.quote(name)}"
    assert f"name the one to be read, such as {typed}, or" in fault(path)
    with open_recording(path, any_lead=True) as recording:
        assert recording.lead == name
        np.testing.assert_allclose(recording.read(), wave(2560, 1) * 1e-4, rtol=1e-12, atol=1e-12)


def test_edf_that_is_cut_open_or_longer(tmp_path: Path) -> None:
    content = edf({"II": wave(2560)})
    assert "is cut short: it holds 9 data records, its header says 10" in fault(put(tmp_path, content[:-1], "a.edf"))
    assert "it ends in its header" in fault(put(tmp_path, content[:400], "a.edf"))
    opened = content[:236] + b"-1      " + content[244:-1]
    with open_recording(put(tmp_path, opened, "a.edf")) as recording:
        assert recording.length == 9 * 256
        assert recording.notes == ("Never closed by its recorder: all of its 9 data records are read.",)
    with open_recording(put(tmp_path, content + b"123", "a.edf")) as recording:
        assert recording.notes == ("3 bytes after the 10 data records that its header gives are left out.",)
    assert "holds no samples" in fault(put(tmp_path, content[:236] + b"0       " + content[244:512], "a.edf"))


def test_decimal_commas_in_edf_are_read(tmp_path: Path) -> None:
    content = edf({"II": wave(2560), "V1": wave(2560)})
    changed = content[:768].replace(b"-3276.8 ", b"-3276,8 ").replace(b"3276.7  ", b"3276,7  ")
    changed = changed[:244] + b"1,0     " + changed[252:]
    for path in (put(tmp_path, content, "a.edf"), put(tmp_path, changed + content[768:], "b.edf")):
        with open_recording(path) as recording:
            np.testing.assert_allclose(recording.read(), wave(2560) * 1e-4, rtol=1e-12, atol=1e-12)
            assert recording.fs == 256
    assert recording.notes == ("Its header has decimal commas; they are read as points.",)


@pytest.mark.parametrize(("duration", "said"), [("0", "0 s"), ("-1", "-1 s"), ("nan", "nan s")])
def test_data_records_of_no_duration_are_told(tmp_path: Path, duration: str, said: str) -> None:
    content = edf({"II": wave(2560)})
    path = put(tmp_path, content[:244] + f"{duration:8}".encode() + content[252:], "a.edf")
    assert fault(path) == f"{path} is damaged: by its header a data record lasts {said}; copy it again"


def test_the_unit_of_edf(tmp_path: Path) -> None:
    path = put(tmp_path, edf({"II": wave(2560)}, dimension=""), "a.edf")
    assert "II does not say its unit; give --unit mV, uV, V" in fault(path)
    with open_recording(path, unit="uV") as recording:
        np.testing.assert_allclose(recording.read(), wave(2560) * 1e-4, rtol=1e-12, atol=1e-12)
    path = put(tmp_path, edf({"II": wave(2560)}, dimension="mmHg"), "a.edf")
    assert "II is in mmHg, which is no voltage; give --unit" in fault(path)
    path = put(tmp_path, edf({"ECG": wave(2560), "Temp": wave(2560)}, dimension=""), "a.edf")
    for any_lead in (False, True):  # what may be an ECG is wanted, not another lead
        assert "ECG does not say its unit; give --unit mV, uV, V" in fault(path, any_lead=any_lead)
    content = edf({"II": wave(2560)}).replace(b"uV      ", "\u00b5V".encode().ljust(8))
    with open_recording(put(tmp_path, content, "a.edf")) as recording:  # in UTF-8
        np.testing.assert_allclose(recording.read(), wave(2560) * 1e-4, rtol=1e-12, atol=1e-12)
    path = put(tmp_path, edf({"II": wave(2560)}, dimension="uV"), "a.edf")
    with open_recording(path, unit="mV") as recording:
        assert "Values are taken as mV, as --unit says; the file says uV." in recording.notes
    assert "--unit adu does not go with" in (said := fault(path, unit="adu")) and said.endswith("give mV, uV or V")
    content = edf({"II": wave(2560)}).replace(b"-32768  32767   ", b"7       7       ")
    assert "signal 1 has no scale" in fault(put(tmp_path, content, "a.edf"))


# ----------------------------------------------------------------------------------------------- ISHNE, Kardia


INVALID, NO_DATE = "is no valid date and time", "has no date: it was not known, or taken out"


@pytest.mark.parametrize(
    ("date", "time", "recording", "why"),
    [
        ("31.02.26", "14.05.07", "", INVALID),
        ("01/31/26", "14.05.07", "", INVALID),
        ("31.01.26", "14.65.07", "", INVALID),
        ("01.01.85", "14.05.07", "", NO_DATE),
        ("31.01.26", "14.05.07", "Startdate X X X X", NO_DATE),
        ("01.01.85", "00.00.00", "Startdate X X X X", ""),
        ("00.00.00", "00.00.00", "", ""),
        ("", "", "", ""),
    ],
)
def test_a_start_of_edf_that_is_none_is_told(tmp_path: Path, date: str, time: str, recording: str, why: str) -> None:
    content = edf({"II": wave(2560)})
    content = content[:88] + f"{recording:80}{date:8}{time:8}".encode() + content[184:]
    path = put(tmp_path, content, "a.edf")
    unknown = "it is not known when the recording began, --start_time says it."
    with open_recording(path) as opened:
        assert opened.start is None
        assert opened.notes == ((f"The start in its header, '{date} {time}', {why}; {unknown}",) if why else ())
    with open_recording(path, start_time=START) as opened:
        assert (opened.start, opened.notes) == (START, ())


@pytest.mark.parametrize(
    ("date", "time", "told"),
    [
        ((31, 1, 2026), (14, 5, -9), True),
        ((31, 2, 2026), (14, 5, 7), True),
        ((-9, -9, -9), (14, 5, 7), True),
        ((31, 1, 2026), (-9, -9, -9), True),
        ((0, 0, 0), (0, 0, 0), False),
        ((-9, -9, -9), (-9, -9, -9), False),
    ],
)
def test_a_start_of_ishne_that_is_none_is_told(
    tmp_path: Path, date: tuple[int, ...], time: tuple[int, ...], told: bool
) -> None:
    content = bytearray(ishne(np.stack([wave(700), wave(700)], axis=1)))
    struct.pack_into("<3h", content, 138, *date)
    struct.pack_into("<3h", content, 150, *time)
    content[8:10] = crc16(bytes(content[10:522])).to_bytes(2, "little")
    stated = f"{date[2]}-{date[1]}-{date[0]} {time[0]}:{time[1]}:{time[2]}"
    with open_recording(put(tmp_path, bytes(content), "a.ecg")) as recording:
        assert recording.start is None
        said = f"The start in its header, {stated}, {INVALID}; it is not known when the recording began, --start_time"
        assert recording.notes == ((f"{said} says it.",) if told else ())


@pytest.mark.parametrize(("year", "known"), [(26, False), (1899, False), (1900, True), (2200, True), (2201, False)])
def test_a_date_that_no_recording_has_is_told(tmp_path: Path, year: int, known: bool) -> None:
    start = START.replace(year=year)
    rows = [f"{after(250, n, start).isoformat()},{value}" for n, value in enumerate(wave(400))]
    for path in (
        put(tmp_path, ishne(np.stack([wave(600), wave(600)], axis=1), start=start), "a.ecg"),
        put(tmp_path, kardia({"ecg2": wave(600)}, date=start.isoformat(timespec="milliseconds")), "a.atc"),
        put(tmp_path, "\n".join(["when,MLII (uV)", *rows]), "a.csv"),
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


def test_the_checksum_of_the_tests() -> None:
    assert crc16(b"123456789") == 0x29B1 == binascii.crc_hqx(b"123456789", 0xFFFF)


@pytest.mark.parametrize("per_lead", [True, False])
@pytest.mark.parametrize("text", [b"", b"made by a recorder"])
def test_ishne(tmp_path: Path, per_lead: bool, text: bytes) -> None:
    values = np.stack([wave(700), wave(700, 1)], axis=1)
    values[20, 0] = -32768
    with open_recording(put(tmp_path, ishne(values, per_lead=per_lead, text=text), "a.ecg")) as recording:
        assert (recording.format, recording.fs, recording.start) == ("ISHNE", 200, START)
        assert (recording.lead, recording.leads) == ("II", ("II", "I"))
        assert recording.notes == ("Samples without a value, which are missing: 1 (0.005 s).",)
        check(recording, np.where(np.arange(700) == 20, np.nan, values[:, 0] * 0.0025))
    with open_recording(tmp_path / "a.ecg", lead="I") as recording:
        check(recording, values[:, 1] * 0.001)


def test_a_table_with_its_samples_in_one_row_is_not_listed_whole(tmp_path: Path) -> None:
    path = put(tmp_path, ",".join(f"{value:.3f}" for value in wave(500)).encode(), "a.csv")
    message = fault(path, fs=360, unit="mV")
    assert "column 49, column 50 and 450 more: name the one to be read, such as --lead 'column 1'" in message


def test_ishne_without_names_of_leads(tmp_path: Path) -> None:
    values = np.stack([wave(700), wave(700, 1)], axis=1)
    path = put(tmp_path, ishne(values, codes=(0, 1), start=None), "a.ecg")
    assert "has no lead II; it has channel 1, channel 2: name the one to be read, such as --lead 'channel 1'" in fault(
        path
    )
    for name in ("2", "channel 2"):
        with open_recording(path, lead=name) as recording:
            assert (recording.lead, recording.start) == ("channel 2", None)
            assert recording.notes == ("The file does not say which lead it has.",)
            check(recording, values[:, 1] * 0.001)


def test_ishne_that_is_damaged(tmp_path: Path) -> None:
    content = ishne(np.stack([wave(700), wave(700, 1)], axis=1))
    for changed, said in (
        (content[:300], "is cut short: it has 300 bytes"),
        (content[:-1], "is cut short: it holds 699 samples of each of 2 leads, its header says 700"),
        (content[:40] + b"x" + content[41:], "the checksum of its header differs"),
        (ishne(np.zeros((9, 2)), magic=b"ANN  1.0"), "holds annotations alone"),
        (ishne(np.zeros((0, 2))), "holds no samples"),
        (ishne(np.zeros((9, 2)), fs=50), "has 50 samples a second; an ECG needs 100 and more"),
        (ishne(np.zeros((9, 2)), resolutions=(0, 1)), "resolution of its lead 1 is 0 nV"),
    ):
        assert said in fault(put(tmp_path, changed, "a.ecg"))


@pytest.mark.parametrize(
    "checksum", [byte_sum, lambda head, data: zlib.crc32(data), lambda head, data: zlib.crc32(head + data)]
)
def test_kardia(tmp_path: Path, checksum: Callable[[bytes, bytes], int]) -> None:
    content = kardia({"ecg ": wave(900), "ecg2": wave(900, 1), "ecg4": wave(900, 2)}, checksum=checksum)
    with open_recording(put(tmp_path, content, "a.atc")) as recording:
        assert (recording.format, recording.fs, recording.start) == ("Kardia", 300, START)
        assert (recording.lead, recording.leads, recording.notes) == ("II", ("I", "II", "aVR"), ())
        check(recording, wave(900, 1) * 0.0005)


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


def test_ishne_without_a_checksum(tmp_path: Path) -> None:
    content = bytearray(ishne(np.stack([wave(700), wave(700, 1)], axis=1)))
    content[8:10] = bytes(2)
    with open_recording(put(tmp_path, bytes(content), "a.ecg")) as recording:
        assert recording.notes == ("Its header has no checksum, so it cannot be seen whether it is damaged.",)
        check(recording, wave(700) * 0.0025)


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
        assert f"--column takes ECG1, and --lead {lead} is no lead" in fault(tmp_path / "a.edf", column="1", lead=lead)
    with open_recording(path, column="1") as recording:
        assert recording.lead == "V5"


def test_ishne_whose_samples_were_not_counted(tmp_path: Path) -> None:
    content = bytearray(ishne(np.stack([wave(700), wave(700, 1)], axis=1)))
    struct.pack_into("<i", content, 14, 0)
    content[8:10] = crc16(bytes(content[10:522])).to_bytes(2, "little")
    with open_recording(put(tmp_path, bytes(content), "a.ecg")) as recording:
        assert recording.notes == ("Its header gives no samples; all 700 that it holds of each lead are read.",)
        check(recording, wave(700) * 0.0025)


def test_kardia_of_one_lead_is_lead_i(tmp_path: Path) -> None:
    content = kardia({"ecg ": wave(900)}, date="yesterday")
    path = put(tmp_path, content, "a.atc")
    assert "has no lead II; it has I: name the one to be read, such as --lead I" in fault(path)
    with open_recording(path, any_lead=True) as recording:
        assert recording.start is None
        assert recording.notes == (
            "The date in the file, 'yesterday', is not understood; it is not known when the recording began, "
            "--start_time says it.",
        )
    for changed, said in (
        (content[:-1], "is damaged: it is cut short in the block at byte"),
        (content[:-9] + b"\x55" + content[-8:], "the checksum of its block ecg differs"),
        (kardia({}), "it has no block with an ECG"),
        (kardia({"ecg ": wave(0)}), "holds no samples"),
        (kardia({"ecg ": wave(9)}, fs=0), "its sampling frequency is 0 Hz"),
    ):
        assert said in fault(put(tmp_path, changed, "a.atc"), lead="I")


# ------------------------------------------------------------------------------------------------------ tables


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
    with open_recording(put(tmp_path, content.encode(encoding), "a.csv"), any_lead=True, column="2") as recording:
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
        one = put(Path(folder), "\n".join(["II", *rows]), "one.csv")
        two = put(Path(folder), "\n".join(["II,V1", *(f"{row},1" for row in rows)]), "two.csv")
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
def test_a_delimiter_in_quotes_is_part_of_a_cell(
    tmp_path: Path, title: str, row: str, options: dict[str, object]
) -> None:
    lines = [title]
    for number, value in enumerate(wave(400)):
        time, dot = f"{number / 250:.3f}", f"{value / 1000:.3f}"
        written = {"time": time, "dot": dot, "time_comma": time.replace(".", ","), "comma": dot.replace(".", ",")}
        lines.append(row.format(**written))
    with open_recording(put(tmp_path, "\n".join(lines), "a.csv"), **options) as recording:
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
    with open_recording(put(tmp_path, "\n".join(lines), "a.txt"), fs=250, lead="II") as recording:
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
    path = put(tmp_path, "\n".join([title, *rows]), "a.csv")
    with open_recording(path, fs=250, unit="uV", column=None if title else "2") as recording:
        check(recording, wave(400) * 1e-3)


def test_numbers_of_two_decimal_marks_are_refused(tmp_path: Path) -> None:
    rows = [f'{n / 250:.3f},{n},"{n / 10:.1f}"' for n in range(100)] + [
        f'{n / 250:.3f},{n},"1,{n}"' for n in (100, 101)
    ]
    said = "'1,100' in row 101 of the data is no number"
    assert said in fault(put(tmp_path, "\n".join(["time_s,other,II_uV", *rows]), "a.csv"))


def test_quotes_that_come_late_are_seen(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value}," for n, value in enumerate(wave(400))]
    rows[100] += '"walk, fast"'
    with open_recording(put(tmp_path, "\n".join(["time_s,II_uV,marker", *rows]), "a.csv")) as recording:
        check(recording, wave(400) * 1e-3)
    rows = [f'{n / 250:.3f} "a"b {value}' for n, value in enumerate(wave(400))]
    said = "by what its quotes hold its rows have 4 cells or 3; put quotes around whole cells alone"
    assert said in fault(put(tmp_path, "\n".join(rows), "b.csv"), unit="uV", any_lead=True)


def test_what_a_table_does_not_say_is_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path, "\n".join(str(value) for value in wave(900).tolist()), "a.csv")
    unit = "give --unit mV, uV or V, or --unit adu --gain ADU_PER_MV"
    assert fault(path, fs=250) == f"{path} does not say the unit of its values: {unit}"
    rate = f"{path} does not say its sampling frequency (it has no time column)"
    assert fault(path, unit="mV") == f"{rate}: give --fs HZ"
    both = unit.replace("give ", "give --fs HZ, and ")
    assert fault(path) == f"{rate} and the unit of its values: {both}"
    assert fault(path, fs=250, unit="adu") == "--unit adu needs --gain, the ADC units per mV, such as --gain 200"
    assert "--unit kg: unknown; known are mV, uV, V," in fault(path, fs=250, unit="kg")
    assert "--fs must be a number above 0, got -1" in fault(path, fs=-1)
    assert "an ECG needs 100 and more" in fault(path, fs=99.5, unit="mV")
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
    path = put(tmp_path, "\n".join(["sample,left,right,label,resp (mV)", *rows]), "a.csv")
    options = {"fs": 250, "unit": "uV"}
    assert "has no lead II; it has left, right, resp: name the one to be read, such as --lead left" in fault(
        path, **options
    )
    assert "--column 9: unknown; known are 1 sample, 2 left, 3 right, 4 label, 5 resp (mV)" in fault(
        path, column="9", **options
    )
    assert "column label holds no numbers" in fault(path, column="label", **options)
    for chosen in ({"column": "3"}, {"column": "RIGHT"}, {"lead": "right"}, {"column": "3", "lead": "II"}):
        with open_recording(path, **options, **chosen) as recording:
            assert recording.lead == ("II" if len(chosen) == 2 else "right")
            check(recording, wave(300, 1) * 1e-3)
    with open_recording(path, column="resp (mV)", **options) as recording:
        assert "Values are taken as uV, as --unit says; the file says mV." in recording.notes
    with open_recording(path, column="5", fs=250, gain=200) as recording:
        assert "Values are taken as 200 ADC units a mV, as --gain says; the file says mV." in recording.notes
    titled = put(
        tmp_path, "\n".join(["II,V5,ecg", *(row.replace(",x,", ",")[row.index(",") + 1 :] for row in rows)]), "b.csv"
    )
    assert "what --column names is lead V5, not II" in fault(titled, column="2", lead="II", **options)
    assert "--lead III: unknown; known are II, V5, ecg" in fault(titled, lead="III", **options)
    with open_recording(titled, lead="Ecg", **options) as recording:
        assert recording.lead == "ecg"
        assert recording.notes == ("The file does not say which lead ecg is.",)
    rows[270] = "270,oops,1,x,1"
    path = put(tmp_path, "\n".join(["sample,left,right,label,resp (mV)", *rows]), "a.csv")
    assert "'oops' in row 271 of the data is no number" in fault(path, column="2", **options)
    rows[270] = "270,1,1,x,1,5"
    assert "as a table: line 272 has 6 cells, the lines above it have 5; correct the line" in fault(
        put(tmp_path, "\n".join(["sample,left,right,label,resp (mV)", *rows]), "a.csv"), column="2", **options
    )


def after(fs: int, n: int, start: dt.datetime = START) -> dt.datetime:
    return start + dt.timedelta(seconds=n / fs)


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
    with open_recording(put(tmp_path, "\n".join([f"{title},MLII (uV)", *rows]), "a.csv")) as recording:
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
        with open_recording(put(tmp_path, "\n".join(["time,II (uV)", *rows]), "a.csv")) as recording:
            assert (recording.fs, recording.length, recording.borders.tolist()) == (100, 1000, [])
            row = f"From row 501 of the data on, 2026-10-25T02:00:00.000000{after_it}, its times are those of {said}."
            assert recording.notes == ((row,) if said else ())


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
    path = put(tmp_path, "\n".join([f"{title},II (mV)", *rows]), "a.csv")
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


def test_stamps_that_jitter_are_times_all_the_same(tmp_path: Path) -> None:
    """So much that some go back: they tell no rate, and where the user does, that they are not used."""
    jitter = np.random.default_rng(0).normal(0, 3, 1000).round()
    stamps = 1_700_000_000_000 + 4 * np.arange(1000) + jitter.astype(int)
    rows = [f"{stamp},{value}" for stamp, value in zip(stamps, wave(1000), strict=True)]
    path = put(tmp_path, "\n".join(["unixTimeMs,II (uV)", *rows]), "a.csv")
    assert "the times in column unixTimeMs are not regular enough to tell the sampling frequency" in fault(path)
    with open_recording(path, fs=250) as recording:
        assert "column unixTimeMs is not used" in recording.notes[0] and recording.length == 1000


def test_dashes_are_missing_samples(tmp_path: Path) -> None:
    values = [*map(str, wave(500))]
    values[100:110], values[200] = ["--"] * 10, "-"
    with open_recording(put(tmp_path, "\n".join(["II (uV)", *values]), "a.csv"), fs=250) as recording:
        assert np.isnan(recording.read(0, 500)).nonzero()[0].tolist() == [*range(100, 110), 200]


def test_one_offset_from_utc_in_two_spellings_is_no_change(tmp_path: Path) -> None:
    rows = [f"{after(100, n)}{('+01:00', '+0100')[n > 500]},{value}" for n, value in enumerate(wave(1000))]
    with open_recording(put(tmp_path, "\n".join(["time,II (uV)", *rows]), "a.csv")) as recording:
        assert (recording.start, recording.notes) == (START, ())


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
    with open_recording(put(tmp_path, "\n".join([title, *rows]), "a.csv")) as recording:
        assert (recording.fs, recording.start, recording.borders.tolist()) == (100, start, [700 + 8_640_000])
        assert recording.length == 1500 + 8_640_000
        assert recording.notes == ("Its times leave out 8640000 samples (86400.0 s); those are missing.",)
        np.testing.assert_array_equal(recording.read(-800), np.arange(700, 1500) % 7)


@pytest.mark.parametrize(("title", "form"), [("Date", "%m/%d/%Y"), ("Datum", "%d.%m.%y")])
def test_dates_that_are_not_understood_are_told(tmp_path: Path, title: str, form: str) -> None:
    stamps = [after(250, n) for n in range(400)]
    rows = [f"{stamp.strftime(form)};{stamp.strftime('%H:%M:%S.%f')};{n}" for n, stamp in enumerate(stamps)]
    why = f"the dates in column {title}, such as '{START.strftime(form)}', are not understood, 2026-01-31 would be"
    path = put(tmp_path, "\n".join([f"{title};time;II (uV)", *rows]), "a.csv")
    with open_recording(path) as recording:
        assert (recording.fs, recording.start) == (250, None)
        assert recording.notes == (
            f"Days without a row would not be seen: {why}.",
            f"T{why[1:]}; it is not known when the recording began, --start_time says it.",
        )
    with open_recording(path, start_time=START) as recording:
        assert recording.notes == (f"Days without a row would not be seen: {why}.",)


def timed(times: Sequence[float], values: np.ndarray) -> str:
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
        assert said in fault(put(tmp_path, timed(times, wave(count)), "a.csv"))
        return
    with open_recording(put(tmp_path, timed(times, wave(count)), "a.csv")) as recording:
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
        with open_recording(put(Path(folder), timed(times, wave(4000)[kept]), "a.csv")) as recording:
            assert recording.fs == pytest.approx(fs, rel=2e-3)
            np.testing.assert_array_equal(recording.read(), np.where(kept, wave(4000) * 1e-3, np.nan))
            begins = samples[1:][np.diff(samples) > 1]
            assert recording.borders.tolist() == begins.tolist()


def test_times_that_tell_no_rate(tmp_path: Path) -> None:
    generator = random.Random(1)
    for times, said in (
        ([*range(300)], "counts 1 a row, which may be samples or milliseconds: give --fs"),
        (np.cumsum([generator.choice([0.001, 0.009, 0.02]) for _ in range(300)]).tolist(), "are not regular enough"),
        ([n / 100 + 1e9 * (n > 200) for n in range(300)], "jump by 11574 days after row 201 of the data"),
        ([n // 100 for n in range(300)], "may be samples or milliseconds: give --fs"),
        (
            [n / 100 - (n > 200) for n in range(300)],
            "the time in row 202 of the data, column time, is no time or goes back",
        ),
    ):
        path = put(tmp_path, "\n".join(["time,MLII (mV)", *(f"{time},{time % 1}" for time in times)]), "a.csv")
        assert said in fault(path)
        with open_recording(path, fs=100) as recording:
            assert (recording.fs, recording.length) == (100, 300)
            said = "The rows are taken for 100 Hz without a gap, as --fs says; column time is not used."
            assert said in recording.notes


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
    path = put(tmp_path, "\n".join(["time,II (uV)", *rows]), "a.csv")
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


def test_a_stated_rate_tells_the_unit_of_times(tmp_path: Path) -> None:
    rows = [f"{1000 * n},{value}" for n, value in enumerate(wave(400)) if not 200 <= n < 250]
    path = put(tmp_path, "\n".join(["time,II (uV)", *rows]), "a.csv")
    assert "give --fs, in Hz, or the unit in the title, such as time_ms" in fault(path)
    with open_recording(path, fs=1000) as recording:
        assert recording.notes == (
            "The column time is taken as microseconds, which makes 1000 Hz.",
            "Its times leave out 50 samples (0.1 s); those are missing.",
        )
        assert recording.length == 400
    with open_recording(put(tmp_path, f"1000 Hz\n{path.read_text()}", "b.csv")) as recording:
        assert doubt("1000 Hz", 1000) in recording.notes


UNSURE = {
    "# 250 Hz",
    "Datenrate;250 Hz",
    "Frequency (Hz),250",
    "Frequency: 250 Hz",
    "Messrate;250 Hertz",
    "Rate (Hz): 250",
}
"""Lines that do not say that their rate is of sampling."""


def doubt(line: str, fs: int = 250) -> str:
    return f"The rate is {fs} Hz, as the line '{line}' of its head says, though not of what; --fs gives another."


@pytest.mark.parametrize(
    ("head", "fs"),
    [
        ("# Low pass: 100 Hz|# Sampling rate: 250 Hz", 250),
        ("High pass,0.5 Hz|Notch,50 Hz|Sample Rate,250 Hz", 250),
        ("Tiefpass;40 Hz|Netz;50 Hz|Messrate;250 Hertz", 250),
        ("Filtre passe-bas,100 Hz|Fréquence d'échantillonnage,250 Hz|Affichage,60 Hz", 250),
        ("Sample Rate (Hz),250", 250),
        ("# fs = 250", 250),
        ("Sampling frequency [Hz]: 250", 250),
        ("SamplingRate=250,0", 250),
        ("# Low pass 100 Hz|# Sampling rate 250 Hz", 250),
        ("Sample rate: 0.25 kHz", 250),
        ("Low pass (Hz),100|Samples,30000|Sampling interval (ms),4|Sampling rate (kHz),0.25", 250),
        ("SampleRate: 250 sps|Data rate: 115200", 250),
        ("Rate: 0.25 kS/s|Frequency: 60 Hz", 250),
        ("250 samples/s", 250),
        ("# 250 Hz", 250),
        ("Samplerate 250", 250),
        ("Sampling Rate: 250.0 samples/second", 250),
        ("Sampling rate: 250 Hz (1 channel)|Data rate: 9600 Hz", 250),
        ("Rate (Hz): 250|Rate (bpm): 110", 250),
        ("Samples: 3000|Sampling rate: 250 S", "the line 'Sampling rate: 250 S' of its head is not understood, and it"),
        ("Sampled at a rate of 250 a second", "the line 'Sampled at a rate of 250 a second' of its head is not und"),
        ("ECG rate: 172|PR: 160", "its head does not call 'ECG rate: 172' a sampling rate, and it has"),
        ("Frequency: 60 Hz", "its head does not call 'Frequency: 60 Hz' a sampling rate, and it has"),
        ("Interval (ms): 800", "its head does not call 'Interval (ms): 800' a sampling rate, and it has"),
        ("Rate (bpm): 110|Data rate: 115200 baud", None),
        ("# Low pass: 100 Hz|Cut-off,150 Hz", None),
        ("Display,60 Hz|Refresh,250 Hz", "its head has several rates, 'Display,60 Hz' and 'Refresh,250 Hz', and it"),
        ("Sampling rate of ECG 1,250 Hz|Sampling rate of ECG 2,125 Hz", "'Sampling rate of ECG 2,125 Hz'"),
        ("Sampling rate of ECG,250 Hz|Sampling rate of SpO2,75 Hz", 250),
        ("ECGSamplingRate,250 Hz|ACCSamplingRate,100 Hz", 250),
        (
            '# OpenSignals|# {"20:16": {"position": 0, "device": "bitalino", "sampling rate": 250, "n": [4]}}|# End',
            250,
        ),
        ('# OpenSignals|# {"a": {"sampling rate": 250}, "b": {"sampling rate": 100}}|# End', None),
        ("Datenrate;250 Hz|Anzeige;60 Hz", 250),
        ("Frequency (Hz),250", 250),
        ("Częstotliwość próbkowania;250 Hz", 250),
        ("Accelerometer sampling rate,100 Hz|EMG,35 Hz|PPG rate,100 Hz|Resp rate,125 Hz", None),
        (
            "Upper limit,150 Hz",
            "its head does not call 'Upper limit,150 Hz' a sampling rate, and it has no time column",
        ),
        ("Frequency: 250 Hz", 250),
        ("High,150 Hz", "its head does not call 'High,150 Hz' a sampling rate, and it has no time column"),
        ("Low pass filter|150 Hz", "its head does not call '150 Hz' a sampling rate, and it has no time column"),
        ("(Hz): 150|Mode: notch", "its head does not call '(Hz): 150' a sampling rate, and it has no time column"),
        ("Resp|150 Hz", "its head does not call '150 Hz' a sampling rate, and it has no time column"),
        ("Low pass filter|150 Hz|Sampling rate: 250 Hz", 250),
    ],
)
def test_the_rate_in_a_head_is_known_by_its_key(tmp_path: Path, head: str, fs: float | str | None) -> None:
    lines = [*head.split("|"), "Unit,uV", "II", *map(str, wave(400).tolist())]
    path = put(tmp_path, "\n".join(lines), "a.csv")
    if isinstance(fs, int):
        with open_recording(path) as recording:
            assert (recording.fs, recording.notes) == (
                fs,
                tuple(doubt(line) for line in head.split("|") if line in UNSURE),
            )
        return
    said = fault(path)
    assert "does not say its sampling frequency (" in said and (fs or "(it has no time column)") in said
    with open_recording(path, fs=250) as recording:
        assert recording.fs == 250


@pytest.mark.parametrize("line", ["Rate: 250 Hz", "Frequency (Hz): 250", "250 Hz", "Interval: 4 ms"])
def test_a_rate_of_a_head_that_is_not_called_that_of_sampling_gives_way(tmp_path: Path, line: str) -> None:
    path = put(tmp_path, "\n".join([line, "II (uV)", *map(str, wave(400))]), "a.csv")
    note = f"The rate is 500 Hz, as --fs says; the line '{line}' of its head is not used."
    for fs, said in ((None, (doubt(line),)), (250, ()), (500, (note,))):
        with open_recording(path, fs=fs) as recording:
            assert (recording.fs, recording.notes, recording.is_rated) == (fs or 250, said, fs != 500)
    for step, said in ((1, (doubt(line),)), (4, ())):
        title, rows = "index" if step == 1 else "time_ms", [f"{step * n},{value}" for n, value in enumerate(wave(400))]
        with open_recording(put(tmp_path, "\n".join([line, f"{title},II (uV)", *rows]), "c.csv")) as recording:
            assert (recording.fs, recording.notes) == (250, said)
    rows = [f"{2 * n},{value}" for n, value in enumerate(wave(400))]
    with open_recording(put(tmp_path, "\n".join([line, "time_ms,II (uV)", *rows]), "b.csv")) as recording:
        assert (recording.fs, recording.notes) == (500, (note.replace("--fs says", "its times say"),))


LABCHART = (
    "Interval=\t0.004 s|ExcelDateTime=\t4.3528604247685187e+04\t3/4/2019 14:30:07.0|TimeFormat=\tStartOfBlock|"
    "DateFormat=\t|ChannelTitle=\tECG\tResp|Range=\t10 mV\t10 V|UnitName=\tmV\tV|TopValue=\t5\t5"
)
ACQ = "a.acq|4 msec/sample|2 channels|ECG|mV|RSP|Volts|"


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (LABCHART, "{time:.3f}\t{value}\t0"),
        (LABCHART, "{value}\t0"),
        (LABCHART.replace("\tResp", "").replace("\t10 V", "").replace("\tV", ""), "{value}"),
        (LABCHART.replace("\tResp", "").replace("\t10 V", "").replace("\tV", ""), "{time:.3f}\t{value}"),
        (ACQ + "sec\tCH1\tCH2\t|\t400\t400\t", "{time:.3f}\t{value}\t0\t"),
        (ACQ + "min\tCH1\tCH2\t|\t400\t400\t", "{minutes:.8f}\t{value}\t0\t"),
        ("a.acq|4 msec/sample|1 channels|ECG|mV|sec\tCH1|\t400", "{time:.3f}\t{value}"),
        ("a.acq|4 msec/sample|1 channels|ECG|mV", "{value}"),
    ],
)
def test_tables_of_labchart_and_acqknowledge(tmp_path: Path, head: str, row: str) -> None:
    values = wave(400) / 1000
    rows = [row.format(time=n / 250, minutes=n / 15000, value=value) for n, value in enumerate(values)]
    path = put(tmp_path, "\n".join([*head.split("|"), *rows]), "a.txt")
    with open_recording(path) as recording:
        assert (recording.fs, recording.lead) == (250, "ECG")
        assert recording.leads in (("ECG", "RSP"), ("ECG", "Resp"), ("ECG",))
        check(recording, values)
        assert recording.start == (dt.datetime(2019, 3, 4, 14, 30, 7) if head.startswith("Interval=") else None)
    changed = path.read_text().replace("14:30:07", "14:31:07")
    with open_recording(put(tmp_path, changed, "b.txt")) as recording:
        assert recording.start is None and ("'ExcelDateTime=" in str(recording.notes)) == ("Excel" in head)


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


def test_an_interval_in_a_head_tells_the_rate(tmp_path: Path) -> None:
    for line, fs in (
        ("Sampling interval,4 ms", 250),
        ("Sample period: 2000 us", 500),
        ("Abtastintervall (ms);2", 500),
        ("RR interval,800 ms", None),
    ):
        path = put(tmp_path, "\n".join([line, "II (uV)", *map(str, wave(400))]), "a.csv")
        if fs is None:
            assert "does not say its sampling frequency (it has no time column)" in fault(path)
            continue
        with open_recording(path) as recording:
            assert recording.fs == fs


@pytest.mark.parametrize(
    ("head", "start", "note"),
    [
        ("# Exported: 2026-03-01 10:00|# Recording start: 2026-01-31 14:05:07", START, None),
        ("Date of birth,1950-03-02 00:00|Aufzeichnungsdatum,2026-01-31 14:05:07 +0100", START, None),
        *(
            (f"{born},1950-03-02 00:00|Date,2026-01-31 14:05:07", START, None)
            for born in ("Fecha de nacimiento", "Geboortedatum", "Födelsedatum", "Data urodzenia", "生年月日", "出生")
        ),
        ("RecordingEnd,2026-02-01 10:00|Fecha,2026-01-31 14:05:07", START, None),
        ("Start: 31.01.2026 14:05:07", START, None),
        ("Start: 31.1.2026 14:05:07", START, None),
        ("Exported,2026-03-01 10:00", None, None),
        ("Record date,2026-01-31|Start time,14:05:07", START, None),
        ("Datum;31.01.2026|Aufnahmebeginn;14:05:07|Geburtsdatum;1.2.1950", START, None),
        ("Date,2026-01-31|Start time,14:05:07|Date of visit,2026-02-01", None, "The line 'Start time,14:05:07' of its"),
        ("Record date,2026-01-31|End time,14:05:07", None, "The line 'Record date,2026-01-31' of its head is not"),
        ("Record date,2026-01-31|Start time,25:05:07", None, "The line 'Record date,2026-01-31' of its head is not"),
        ("One,2026-01-31 14:05|Two,2026-01-31 15:05", None, "Its head has several times, 'One,2026-01-31 14:05' and"),
        ("Start: 01/31/2026 2:05 PM", None, "The line 'Start: 01/31/2026 2:05 PM' of its head is not understood;"),
        ("Start: 2:05 PM|Upload,2026-03-01 10:00", None, "The line 'Start: 2:05 PM' of its head is not understood;"),
        ("Recording length,24:00:00|Recorder software,1.12.2026", None, None),
    ],
)
def test_the_start_in_a_head_is_known_by_its_key(
    tmp_path: Path, head: str, start: dt.datetime | None, note: str | None
) -> None:
    lines = [*head.split("|"), "Sample Rate,250 Hz", "Unit,uV", "II", *map(str, wave(400).tolist())]
    path = put(tmp_path, "\n".join(lines), "a.csv")
    with open_recording(path) as recording:
        assert recording.start == start
        assert len(recording.notes) == (note is not None)
        assert note is None or (recording.notes[0].startswith(note) and "--start_time says it" in recording.notes[0])
    with open_recording(path, start_time=START) as recording:
        assert recording.start == START and recording.notes == ()


@pytest.mark.parametrize(
    ("title", "first", "start"),  # where the head says 14:05:07
    [
        ("time_s", "0.000", START),
        ("time_s", "0.004", START),
        ("time_s", "10800.000", None),
        ("time_ms", "10000", None),
        ("time", "14:05:07.000", START),
        ("time", "14:05:30.000", START),
        ("time", "17:05:17.000", None),
        ("time", "00:00:00.000", START),
        ("Elapsed time", "03:00:10.000", None),
        ("Elapsed time", "14:05:07.000", None),
        ("time_ms", "1769864707000", START),  # in UTC, the head in UTC+01:00
        ("time_ms", "1769865907000", None),
        ("time", "2026-01-31 14:05:07.000", START),
        ("time", "2026-01-31 17:05:07.000", START.replace(hour=17)),
    ],
)
def test_a_start_in_a_head_that_the_first_row_contradicts(
    tmp_path: Path, title: str, first: str, start: dt.datetime | None
) -> None:
    def stamp(n: int) -> str:
        if "-" in first:
            return f"{after(250, n, dt.datetime.fromisoformat(first))}"
        if ":" in first:
            return after(250, n, dt.datetime.combine(START, dt.time.fromisoformat(first))).strftime("%H:%M:%S.%f")
        return f"{float(first) + n / 250:.3f}" if title == "time_s" else str(int(first) + 4 * n)

    rows = [f"{stamp(n)},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, "\n".join([f"Start,{START}", f"{title},II (uV)", *rows]), "a.csv")
    with open_recording(path) as recording:
        assert (recording.fs, recording.start) == (250, start)
        said = f"The head says that it began at {START}, column {title} begins at {stamp(0)}; it is not known when the "
        taken = f"Its head says that it began at {START}, its first row that it is of {start}, which is taken."
        notes = [note for note in recording.notes if "began at" in note]
        if start is None:
            assert notes == [f"{said}recording began, --start_time says it."]
        else:
            assert notes == ([] if start == START else [taken])


def test_the_other_lines_of_a_head_are_known_by_their_keys(tmp_path: Path) -> None:
    head = ["Device,Recorder V3", "Name,Karl III", "Lead,Lead II", "Scale,mV", "Unit,uV", "Sample Rate,250 Hz"]
    path = put(tmp_path, "\n".join([*head, *map(str, wave(400).tolist())]), "a.csv")
    with open_recording(path) as recording:
        assert (recording.format, recording.lead) == ("CSV", "II")  # a head of key,value alone makes no Apple Watch
        check(recording, wave(400) * 1e-3)
    for lead in ("", "Lead,Lead I/II\n", "Lead,I-II\n"):
        path = put(tmp_path, "\n".join([*head, *map(str, wave(400))]).replace("Lead,Lead II\n", lead), "b.csv")
        with open_recording(path) as recording:
            assert recording.notes == ("The file does not say which lead it has.",)


def test_a_second_column_of_times_is_read_where_the_first_is_irregular(tmp_path: Path) -> None:
    """The first says when the packets came, as that of the phone does in what Polar's sensors send."""
    kept = [n for n in range(1000) if not 500 <= n < 573]
    rows = [f"{after(250, n // 73 * 73).isoformat()};{4 * n};{wave(1000)[n]}" for n in kept]
    path = put(tmp_path, "\n".join(["Phone timestamp;timestamp [ms];II [uV]", *rows]), "a.txt")
    for fs in (None, 250):
        with open_recording(path, fs=fs) as recording:
            assert (recording.fs, recording.length, recording.start) == (250, 1000, START)
            assert recording.notes[:2] == (
                "The times in column Phone timestamp are not regular; those in column timestamp [ms] are used.",
                "Its times leave out 73 samples (0.3 s); those are missing.",
            )


@pytest.mark.parametrize("title", ["index", "sample #", ""])
def test_counts_tell_what_is_missing(tmp_path: Path, title: str) -> None:
    kept = np.flatnonzero(np.arange(4000) // 1000 != 2)
    rows = [f"{100 + n},{wave(4000)[n]}" for n in kept]
    path = put(tmp_path, "\n".join([f"{title},II (uV)", *rows]), "a.csv")
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
    with open_recording(put(tmp_path, "\n".join(["index,II (uV)", *rows]), "a.csv"), fs=250) as recording:
        said = "The rows are taken for 250 Hz without a gap, as --fs says; column index is not used."
        assert (recording.length, recording.notes) == (1000, (said,))


def test_times_that_are_not_understood_are_told(tmp_path: Path) -> None:
    stamps = [after(250, n).strftime("%m/%d/%Y %I:%M:%S.%f %p") for n in range(400)]
    path = put(tmp_path, "\n".join(["when,II (uV)", *(f"{stamp},{n}" for n, stamp in enumerate(stamps))]), "a.csv")
    why = "the times in column when, such as '01/31/2026 02:05:07.000000 PM', are not understood, "
    assert f"sampling frequency ({why}2026-01-31 14:05:07.004 would be): give --fs HZ" in fault(path)
    with open_recording(path, fs=250) as recording:
        assert recording.length == 400
        assert recording.notes == (
            f"The rows are taken for 250 Hz without a gap, as --fs says; {why}2026-01-31 14:05:07.004 would be.",
            "Its times are not understood; it is not known when the recording began, --start_time says it.",
        )
    assert "column when holds no numbers" in fault(path, fs=250, column="when")
    path = put(tmp_path, "\n".join(["time,II (uV)", *(f"n{n},{n}" for n in range(400))]), "a.csv")
    assert "the times in column time, such as 'n0', are not understood" in fault(path)


@pytest.mark.parametrize("title", ["Time (min)", "timer_ticks", "Zeitstempel", "Messzeit [x]"])
def test_times_in_an_unknown_unit_are_told_and_are_no_signal(tmp_path: Path, title: str) -> None:
    rows = [f"{n / 15000:.6f},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, "\n".join([f"{title},value", *rows]), "a.csv")
    why = f"column {title} is called times, but in no unit that is known: name it such as time_ms"
    assert f"sampling frequency ({why}): give --fs HZ" in fault(path, unit="uV")
    with open_recording(path, fs=250, unit="uV", any_lead=True) as recording:
        assert f"The rows are taken for 250 Hz without a gap, as --fs says; {why}." in recording.notes
        check(recording, wave(400) * 1e-3)


def test_a_signal_is_not_taken_for_times_by_its_name(tmp_path: Path) -> None:
    rows = [f"{n},{n - 200}" for n in range(400)]  # a signal that rises
    for title in ("ecg_time_domain", "timed (mV)", "V5"):
        path = put(tmp_path, "\n".join([f"n,{title}", *rows]), "a.csv")
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
    path = put(tmp_path, "\n".join(",".join(pair if is_first else pair[::-1]) for pair in pairs), "a.csv")
    with open_recording(path, fs=250, unit="uV", any_lead=True) as recording:
        assert recording.leads == ("left",)
        assert recording.read(0, 300).tolist() == (wave(300) * 1e-3).tolist()
    ramp = f"column {title} rises evenly, but is not called times: if it is, name it such as time_ms"
    said = ramp if title == "X_Value" else "it has no time column"
    assert f"its sampling frequency ({said}): give --fs HZ" in fault(path, unit="uV")


def test_stamps_of_an_ecg_are_times(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, "\n".join(["EcgTimestamps,EcgWaveform (uV)", *rows]), "a.csv")
    with open_recording(path) as recording:
        assert (recording.fs, recording.lead) == (250, "EcgWaveform")


def test_a_signal_that_rises_evenly_at_first_is_no_time(tmp_path: Path) -> None:
    values = np.concatenate([np.arange(25), 25 + wave(975)])
    path = put(tmp_path, "\n".join(f"{value}" for value in values), "a.csv")
    with open_recording(path, fs=250, unit="uV") as recording:
        check(recording, values * 1e-3)
    path = put(tmp_path, "\n".join(f"{value},0" for value in values), "b.csv")
    with open_recording(path, fs=250, unit="uV", lead="1") as recording:
        check(recording, values * 1e-3)


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
    path = put(tmp_path, "\n".join([f"{title},MLII (uV)", *rows]), "a.csv")
    with open_recording(path) as recording:
        assert recording.start is None
        said = [note for note in recording.notes if "--start_time" in note]
        assert said == ([f"{why}; it is not known when the recording began, --start_time says it."] if why else [])
    with open_recording(path, start_time=START) as recording:
        assert not any("--start_time" in note for note in recording.notes)


@pytest.mark.parametrize("lost", [1, 30, 600])  # of the lines that are looked at, the first, more than 20, and all
@pytest.mark.parametrize(("head", "row"), [("time,II_uV", "{time},"), ("II_uV", "nan"), ("II_uV V1_uV", "nan nan")])
def test_missing_values_at_the_beginning_are_samples(tmp_path: Path, head: str, row: str, lost: int) -> None:
    """Times may stand before nothing, and numpy writes nan: such a line is neither of the head nor passed over."""
    whole = {"{time},": "{time},{value}", "nan": "{value}", "nan nan": "{value} 5"}[row]
    values = wave(lost + 400)
    rows = [
        (row if n < lost else whole).format(time=after(100, n), value=value) for n, value in enumerate(values.tolist())
    ]
    with open_recording(put(tmp_path, "\n".join([head, *rows]), "a.csv"), fs=100) as recording:
        check(recording, np.append(np.full(lost, np.nan), values[lost:] * 1e-3))


def test_missing_values_at_the_end_are_samples_and_blank_lines_are_not(tmp_path: Path) -> None:
    rows = [*map(str, wave(400)), *["nan"] * 50]
    with open_recording(put(tmp_path, "\n".join(["II_uV", *rows, "", ""]), "a.csv"), fs=250) as recording:
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
        path = put(Path(folder), end.join(["II"] * titled + rows) + end, "a.csv")
        with open_recording(path, fs=250, unit="mV", any_lead=True) as recording:
            np.testing.assert_array_equal(recording.read(), expected)
            lost = int(np.isnan(expected).sum())
            said = f"Samples without a value, which are missing: {lost} ({lost / 250:g} s)."
            assert (said in recording.notes) == bool(lost)


def test_a_value_where_all_other_such_lines_are_blank_is_told(tmp_path: Path) -> None:
    spaced = [f"{value}\n" for value in wave(20_000)]  # more than is looked at to see how a table is made
    rows = [*spaced, "5", *spaced]
    said = "every second line of its data is blank, but line 40002 is not: leave the blank lines out, but for those "
    assert said in fault(put(tmp_path, "\n".join(["II", "", *rows]), "a.csv"), fs=250, unit="uV")


def test_samples_without_a_value_are_counted(tmp_path: Path) -> None:
    def note(count: int, fs: int) -> str:
        return f"Samples without a value, which are missing: {count} ({count / fs:g} s)."

    rows = [f"{value},{number}" for number, value in enumerate(wave(1000))]
    rows[500], rows[700] = ",500", "nan,700"
    with open_recording(put(tmp_path, "\n".join(["II (uV),n", *rows]), "a.csv"), fs=250) as recording:
        assert recording.notes == (note(2, 250),)
    values = np.stack([wave(900), wave(900)], axis=1)
    values[400:650, 1] = -32768
    with open_recording(put(tmp_path, ishne(values, codes=(5, 6)), "a.ecg")) as recording:
        assert recording.notes == (note(250, 200),)
    with open_recording(tmp_path / "a.ecg", lead="I") as recording:
        assert recording.notes == ()
    with open_recording(write_wfdb(tmp_path, {"V1": values[:, 0], "II": values[:, 1]})) as recording:
        assert recording.notes == (note(250, 250),)


def test_a_delimiter_at_the_end_of_every_row_makes_no_signal(tmp_path: Path) -> None:
    for head, rows in (
        ("t_s,val (uV),", [f"{n / 250},{value}," for n, value in enumerate(wave(400))]),
        ("val (uV),", [f"{value}," for value in wave(400)]),
    ):
        with open_recording(put(tmp_path, "\n".join([head, *rows]), "a.csv"), fs=250, any_lead=True) as recording:
            check(recording, wave(400) * 1e-3)


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
        ("Sample Rate 250|time_s Resp II_mV", "{time} 0 {value}"),
        ("Lead I;Lead II|mV;mV", "0;{value}"),
        ("Channel 1,Lead II|mV,mV", "0,{value}"),
    ],
)
def test_the_titles_belong_to_the_columns_below_them(tmp_path: Path, head: str, row: str) -> None:
    values = wave(400) / 1000
    rows = [row.format(count=n + 1, time=f"{n / 250:.3f}", value=value) for n, value in enumerate(values)]
    fs = None if "time" in row else 250
    with open_recording(put(tmp_path, "\n".join([*head.split("|"), *rows]), "a.txt"), fs=fs, lead="II") as recording:
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
    with open_recording(put(tmp_path, "\n".join([*head.split("|"), *rows]), "a.csv"), lead="II") as recording:
        assert (recording.fs, recording.leads) == (250, ("channel 1",))
        check(recording, wave(400))
    path = put(tmp_path, "\n".join([*head.split("|"), "II,V5", "off,0", *rows]), "b.csv")
    assert "column II holds no numbers" in fault(path, fs=250, column="II")  # "off" is a sample that is none


def test_titles_of_another_width_are_told(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value},{value}" for n, value in enumerate(wave(400))]
    said = "; or name its columns in as many cells: the line 't_s,II (mV)' above its rows has 2 cells, and they have 3"
    assert fault(put(tmp_path, "\n".join(["t_s,II (mV)", *rows]), "a.csv")).endswith(said)
    for line in ("Recorder", "Start,2026-01-31 14:05", "Lead,Lead II", "1,2"):
        assert fault(put(tmp_path, "\n".join([line, *rows]), "b.csv")).endswith("or --unit adu --gain ADU_PER_MV")


def test_a_head_that_its_time_column_contradicts(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value}" for n, value in enumerate(wave(1000)) if not 300 <= n < 400]
    for rate in (250, 500):
        head = ["Made by,a recorder", f"Sample Rate,{rate} hertz", "Unit,uV", "time_s,II"]
        path = put(tmp_path, "\n".join([*head, *rows]), f"{rate}.csv")
    assert "contradicts itself: 500 Hz by its head, 250 Hz by its column time_s" in fault(path)
    with open_recording(tmp_path / "250.csv") as recording:
        assert (recording.fs, recording.length) == (250, 1000)


def test_what_is_no_recording_is_told_with_every_format_that_is_read(tmp_path: Path) -> None:
    _, _, formats = fault(put(tmp_path, bytes(1000), "a.dat")).lower().partition("not in the formats")
    assert all(source.__name__.removesuffix("Source").lower() in formats for source in MAGIC.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: it holds no samples"),
        (b"time,II\n", "has no rows, only the line 'time,II'"),
        (b"Dear reader,\nthis is no recording.\n", "holds no samples that can be read"),
        (bytes(1000), "holds no samples that can be read"),
        (b"PK\3\4rest", "is a ZIP archive or an office document"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\x1f\x8b\x08", "is a compressed file: unpack it first"),
        (b'{"fs": 250, "ecg": [1, 2, 3]}', "is JSON: save the signal as CSV"),
        (b'\xef\xbb\xbf\n{"fs": 250}', "is JSON: save the signal as CSV"),
        (b"[\n0.1,\n0.2,\n0.3\n]\n", "is JSON: save the signal as CSV"),
        (b"\x93NUMPY\1\0", "is a NumPy array: save it as CSV"),
    ],
)
def test_files_that_are_no_recordings(tmp_path: Path, content: bytes, said: str) -> None:
    message = fault(put(tmp_path, content, "a.csv"))
    assert said in message and message.startswith(str(tmp_path / "a.csv"))


def test_paths_that_are_no_recordings(tmp_path: Path) -> None:
    assert "nor is the header of a WFDB record" in fault(tmp_path / "b")
    assert "is a folder: name a file, or a record in it" in fault(tmp_path)
    path = write_wfdb(tmp_path, {"II": wave(900)}, fs="99")
    assert "has 99 samples a second" in fault(path)
    path = write_wfdb(tmp_path, {"II": wave(900)})
    assert "--fs 500 is not the sampling frequency in" in fault(path, fs=500)
    assert "--unit does not go with" in fault(path, unit="uV")
    assert "--column 2: unknown; known are II" in fault(path, column="2")
    assert "--lead V9: unknown; known are II" in fault(path, lead="V9")
    (tmp_path / "r.hea").write_text("r/2 1 250 0\nlayout 0\n~ 99999999999\n")
    (tmp_path / "layout.hea").write_text("layout 1 250 0\n~ 0 200/mV 16 0 0 0 0 II\n")
    assert "says that it is 4630 days long" in fault(path)


@pytest.mark.parametrize(("drift", "is_read"), [(2e-4, True), (9e-4, True), (2e-3, False)])
def test_a_clock_that_drifts_makes_100_hz_no_lower_rate(tmp_path: Path, drift: float, is_read: bool) -> None:
    rows = [f"{n / 100 * (1 + drift):.4f},{value}" for n, value in enumerate(wave(6000))]
    path = put(tmp_path, "\n".join(["time (s),II (uV)", *rows]), "a.csv")
    if not is_read:
        assert "has 99.8004 samples a second; an ECG needs 100 and more" in fault(path)
        return
    with open_recording(path) as recording:
        assert recording.fs == pytest.approx(100 / (1 + drift), rel=1e-5)
        check(recording, wave(6000) * 1e-3)


def test_a_table_beside_a_record_is_a_table(tmp_path: Path) -> None:
    write_wfdb(tmp_path, {"II": wave(900)})
    path = put(tmp_path, "\n".join(["II (mV)", *map(str, (wave(50) / 100).tolist())]), "r.csv")
    with open_recording(path, fs=250) as recording:
        assert (recording.format, recording.length) == ("CSV", 50)


# ------------------------------------------------------------------------------------------------- round trips


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


# -------------------------------------------------------------------------------------------------------- fuzz


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


def try_to_read(path: Path, options: dict[str, object]) -> bool:
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


# ------------------------------------------------------------------------------------------------ real records


@needs("mitdb")
def test_mitdb_is_read_by_lead_ii() -> None:
    with open_recording(MITDB / "100") as recording:
        assert (recording.fs, recording.length, recording.lead, recording.notes) == (360, 650_000, "MLII", ())
        assert recording.read(0, 3).tolist() == [-0.145, -0.145, -0.145]
    message = fault(MITDB / "102")
    assert re.search(
        r"has no lead II; it has V5, V2: .* such as --lead V5, .* or --any_lead for the first ECG", message
    )


def test_times_that_go_back_and_cells_that_are_no_number(tmp_path: Path) -> None:
    rows = [f"{n / 360:.5f},{value:.3f}" for n, value in enumerate(wave(2000))]
    title = "time_s,MLII (mV)\n"
    path = put(tmp_path, title + "\n".join(rows[::-1]), "back.csv")
    for options in ({}, {"fs": 360}):
        assert "the times in column time_s go back; put its rows in order of time" in fault(path, **options)
    for cell, rest in (("x", rows[5:]), ("x", [])):
        odd = [f"{row.partition(',')[0]},{cell}" for row in rows[:5]]
        message = fault(put(tmp_path, title + "\n".join([*odd, *rest]), "odd.csv"))
        assert "has no column of a signal, only 1 time_s, 2 MLII (mV); 'x' is no number" in message
    infinite = [f"{row.partition(',')[0]},inf" for row in rows[:5]]
    with open_recording(put(tmp_path, title + "\n".join([*infinite, *rows[5:]]), "inf.csv")) as recording:
        assert np.isnan(recording.read(0, 5)).all() and recording.fs == 360
