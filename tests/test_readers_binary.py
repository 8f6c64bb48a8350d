"""EDF and BDF, ISHNE and Kardia."""

from __future__ import annotations

import binascii
import shlex
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import START, byte_sum, check, crc16, edf, fault, interrupted, ishne, kardia, put, wave

from preprocess.readers import open_recording

fewer_examples = settings(max_examples=40)


# ---------------------------------------------------------------------------------------------------------- EDF and BDF


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
        assert recording.notes == ()
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
    short = interrupted(edf({"II": values}, annotated=True, bdf=bdf), [0.25, 1.25, 2.25, 3.75], bdf)
    with open_recording(put(tmp_path, short.replace(b"DF+D", b"DF+C", 1), "s.edf")) as recording:
        assert recording.notes == (said, "Interrupted once, for 0.5 s in all; those are missing.")
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
    assert "II is in mmHg, which is not a unit of voltage; give --unit" in fault(path)
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


INVALID, NO_DATE = "is not a valid date and time", "has no date: it was not known, or taken out"


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


# ---------------------------------------------------------------------------------------------------------------- ISHNE


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
        (ishne(np.zeros((9, 2)), fs=50), "has 50 samples a second; an ECG needs at least 100"),
        (ishne(np.zeros((9, 2)), resolutions=(0, 1)), "resolution of its lead 1 is 0 nV"),
    ):
        assert said in fault(put(tmp_path, changed, "a.ecg"))


@pytest.mark.parametrize(
    ("checksum", "samples", "said"),
    [
        (0, 700, "Its header has no checksum, so it cannot be seen whether it is damaged."),
        (None, 0, "Its header gives no samples; all 700 that it holds of each lead are read."),
    ],
)
def test_ishne_of_a_recorder_that_left_something_out(
    tmp_path: Path, checksum: int | None, samples: int, said: str
) -> None:
    content = bytearray(ishne(np.stack([wave(700), wave(700, 1)], axis=1)))
    struct.pack_into("<i", content, 14, samples)
    right = crc16(bytes(content[10:522]))
    content[8:10] = (right if checksum is None else checksum).to_bytes(2, "little")
    with open_recording(put(tmp_path, bytes(content), "a.ecg")) as recording:
        assert recording.notes == (said,)
        check(recording, wave(700) * 0.0025)


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


# --------------------------------------------------------------------------------------------------------------- Kardia


@pytest.mark.parametrize(
    "checksum", [byte_sum, lambda head, data: zlib.crc32(data), lambda head, data: zlib.crc32(head + data)]
)
def test_kardia(tmp_path: Path, checksum: Callable[[bytes, bytes], int]) -> None:
    content = kardia({"ecg ": wave(900), "ecg2": wave(900, 1), "ecg4": wave(900, 2)}, checksum=checksum)
    with open_recording(put(tmp_path, content, "a.atc")) as recording:
        assert (recording.format, recording.fs, recording.start) == ("Kardia", 300, START)
        assert (recording.lead, recording.leads, recording.notes) == ("II", ("I", "II", "aVR"), ())
        check(recording, wave(900, 1) * 0.0005)


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
