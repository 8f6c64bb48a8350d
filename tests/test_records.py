"""Reading WFDB records as other people write them: headers, signals, annotations, leads, and what becomes a beat."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from conftest import RAW, needs
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import run

from ec57.annotation_files import parse_annotations
from ec57.headers import Header, Signal, parse_header
from preprocess import labels as meanings
from preprocess import records
from preprocess.beats import DOUBLED, UNUSUAL, ReadingOptions, read_beats
from preprocess.leads import LEAD_II, canonical, find_lead
from preprocess.signal_files import FLAC, PACKINGS
from support.errors import InputError

fewer_examples = settings(max_examples=50)

CODES = {symbol: code for code, symbol in enumerate('NLRaVFJASEj/Q~?|?sT*D"=pB^t+u?![]en@xf()r', 1)} | {
    "?": 30,
    "|": 16,
}
NOTE, NUM, SUB, CHN, AUX = 22, 60, 61, 62, 63


def word(code: int, value: int) -> bytes:
    return (code << 10 | value).to_bytes(2, "little")


def note(text: str, time: int = 0) -> bytes:
    return word(NOTE, time) + word(AUX, len(text)) + text.encode() + bytes(len(text) % 2)


def marks(*beats: tuple[int, str] | tuple[int, str, int], first: bytes = b"") -> bytes:
    """An annotation file of (time, symbol) or (time, symbol, channel), by hand, after the bytes `first`."""
    content, now = first, 0
    for time, symbol, *channel in beats:
        gap = time - now
        if not 0 <= gap < 1024:
            content += word(59, 0) + (gap >> 16 & 0xFFFF).to_bytes(2, "little") + (gap & 0xFFFF).to_bytes(2, "little")
            gap = 0
        content += word(CODES[symbol], gap) + (word(CHN, channel[0]) if channel else b"")
        now = time
    return content + word(0, 0)


def write(folder: Path, name: str, header: str | bytes, **files: bytes) -> None:
    """Write NAME.hea, and NAME.SUFFIX for each of the files."""
    path = folder / f"{name}.hea"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header if isinstance(header, bytes) else header.encode())
    for suffix, content in files.items():
        path.with_suffix(f".{suffix}").write_bytes(content)


def int16(values: Sequence[int] | np.ndarray) -> bytes:
    return np.asarray(values).astype("<i2").tobytes()


def ecg(beats: Sequence[int], samples: int) -> np.ndarray:
    """A bump of 1000 ADC units at each of `beats`, which no other beat equals: its height grows by 1 a beat."""
    time = np.arange(samples)[:, None]
    bumps = np.exp(-0.5 * ((time - np.array(beats)) / 4) ** 2) * (1000 + np.arange(len(beats)))
    return np.round(bumps.sum(axis=1)).astype(np.int64)


def write_beats(
    folder: Path,
    name: str = "a",
    symbols: str = "NNNN",
    fs: float = 360,
    leads: Sequence[str] = ("MLII",),
    atr: bytes | None = None,
    comment: str = "",
    units: Sequence[str] = (),
) -> list[int]:
    """Write a record with a beat every 300 samples, one a symbol -> where they are."""
    beats = [300 * (number + 1) for number in range(len(symbols))]
    signal, base = ecg(beats, 300 * (len(symbols) + 1)), Path(name).name
    lines = [
        f"{base}.dat 16 1000/{unit} 16 0 0 {int(signal.sum()) % 2**16} 0 {lead}"
        for lead, unit in zip(leads, units or ["mV"] * len(leads), strict=True)
    ]
    header = "\n".join([f"{base} {len(leads)} {fs} {len(signal)}", *lines, f"# {comment}"])
    atr = marks(*zip(beats, symbols, strict=True)) if atr is None else atr
    write(folder, name, header, dat=int16(np.repeat(signal, len(leads))), atr=atr)
    return beats


def read(
    folder: Path, name: str = "a", channel: int = 0, start: int | None = None, stop: int | None = None
) -> np.ndarray:
    return records.read_signal(folder, name, records.read_header(folder, name), channel, start, stop)


# ------------------------------------------------------------------------------------------------- headers


def test_the_examples_of_the_manual() -> None:
    """header(5): "Examples"."""
    mitdb = parse_header(
        b"# a comment\r\n\r\n100 2 360 650000 0:0:0 0/0/0\r\n100.dat 212 200 11 1024 995 -22131 0 MLII\r\n"
        b"100.dat 212 200 11 1024 1011 20052 0 V5\r\n\r\n# 69 M 1085 1629 x1\r\n"
    )
    assert (mitdb.fs, mitdb.length, mitdb.n_sig) == (360, 650000, 2)
    assert mitdb.comments == ("a comment", "69 M 1085 1629 x1")
    lead = mitdb.signals[0]
    assert (lead.name, lead.file, lead.fmt, lead.spf, lead.skew, lead.offset) == ("MLII", "100.dat", "212", 1, 0, 0)
    assert (lead.gain, lead.calibrated, lead.baseline, lead.units) == (200, True, 1024, "mV")
    assert (lead.initial, lead.checksum) == (995, -22131)

    local = parse_header(b"8l 2\ndata0 8\ndata1 8\n")
    assert (local.fs, local.length) == (250, None)
    assert {(one.gain, one.calibrated, one.units, one.baseline, one.initial) for one in local.signals} == {
        (200, False, "mV", 0, 0)
    }
    assert {(one.name, one.checksum) for one in local.signals} == {(None, None)}

    multi = parse_header(b"multi/3 2 360 45000\n100s 21600\nnull 1800\n100s 21600\n")
    assert [(part.name, part.length) for part in multi.segments] == [("100s", 21600), ("null", 1800), ("100s", 21600)]
    assert multi.length == 45000


@pytest.mark.parametrize(
    ("record", "fs", "length"),
    [
        ("a 0", 250, None),
        ("a 0 3.6e2", 360, None),
        ("a 0 360.", 360, None),
        ("a 0 128/0.5(-3.25) 0", 128, None),
        ("a 0 128/64 1000 13:5:0.25 25/4/1989", 128, 1000),
        ("a 0 1000.0 1e3", 1000, 1000),
        ("p000878-2137-10-26 0 125 7", 125, 7),
    ],
)
def test_record_lines(record: str, fs: float, length: int | None) -> None:
    header = parse_header(record.encode())
    assert (header.fs, header.length) == (fs, length)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("a.dat 16x4:3+512 1E3(-5)/uV 12 7 8 -9 0 ECG lead II", (4, 3, 512, 1000.0, -5, 1e-3, 8, "ECG lead II")),
        ("a.dat 16+24 1000(0.0)/mV 16 0 -119 1508 0 I", (1, 0, 24, 1000.0, 0, 1.0, -119, "I")),
        ("a.dat 16:2 -200.5/V 11 1024", (1, 2, 0, -200.5, 1024, 1e3, 1024, None)),
        ("a.dat 16 0(3)/nV", (1, 0, 0, 200.0, 3, 1e-6, 0, None)),
        ("a.dat 16 200/mmHg 12 0 0 0 0 ABP", (1, 0, 0, 200.0, 0, None, 0, "ABP")),
        ("a.dat 16 200/NU", (1, 0, 0, 200.0, 0, None, 0, None)),
        ("a.b-1 (2).dat 16".replace(" ", "", 1), (1, 0, 0, 200.0, 0, 1.0, 0, None)),
    ],
)
def test_signal_lines(line: str, wanted: tuple[Any, ...]) -> None:
    lead = parse_header(f"a 1 250\n{line}".encode()).signals[0]
    found = (lead.spf, lead.skew, lead.offset, lead.gain, lead.baseline, lead.millivolts, lead.initial, lead.name)
    assert found == wanted


@pytest.mark.parametrize(
    "unit", ["µV".encode(), "μV".encode(), "µV".encode("latin-1"), b"uV", b"UV", b"microvolts", b"uVolt"]
)
def test_microvolts_in_every_spelling(unit: bytes) -> None:
    lead = parse_header(b"a 1 250\na.dat 16 200/" + unit + b" 12 0 0 0 0 II").signals[0]
    assert lead.millivolts == 1e-3 and lead.name == "II"


BAD_HEADERS = {
    "": "no record line",
    "<html>": "its first line begins with '<html>'",
    "a": "gives no number of signals",
    "a two": "the number of signals is 'two'",
    "a -1": "the number of signals is '-1'",
    "a 1 0": "its sampling frequency is '0'",
    "a 1 nan": "its sampling frequency is 'nan'",
    "a 1 250 10.5": "the number of samples is '10.5'",
    "a 1 250 -1": "the number of samples is '-1'",
    f"a 1 250 {10**20}": f"the number of samples is '{10**20}', more than any record has",
    "a 2 250\na.dat 16": "it describes 1 of its 2 signals",
    "a 1 250\na.dat": "gives no file and format of signal 0",
    "a 1 250\n- 16": "the file of signal 0 is '-'",
    "a 1 250\n/etc/a.dat 16": "the file of signal 0 is '/etc/a.dat'",
    "a 1 250\na.dat 16x0": "the format of signal 0 is '16x0'",
    f"a 1 250\na.dat 16x{10**20}": f"the number of samples a frame of signal 0 is '{10**20}', more than",
    "a 1 250\na.dat sixteen": "the format of signal 0 is 'sixteen'",
    "a 1 250\na.dat 16 II": "the ADC gain of signal 0 is 'II'",
    "a 1 250\na.dat 16 200 II": "the ADC resolution of signal 0 is 'II'",
    "a 1 250\na.dat 16 200(10.5)/mV": "the baseline of signal 0 is '10.5'",
    f"a 1 250\na.dat 8 200 12 0 {10**20}": f"the initial value of signal 0 is '{10**20}', more than",
    "a 1 250\na.dat 16 200 12 0 0 0 II": "the block size of signal 0 is 'II'",
    "a 2 250\na.dat 16\na.dat 212": "signal 1 has another format or byte offset",
    "a 2 250\na.dat 16+2\na.dat 16": "signal 1 has another format or byte offset",
    "a 3 250\na.dat 16\nb.dat 16\na.dat 16": "signal 2 is in a.dat again",
    "a/s0010 1 250": "the number of segments is 's0010'",
    "a/0 1 250": "it lists 0 of its 0 segments",
    "a/2 1 250\nb 10": "it lists 1 of its 2 segments",
    "a/1 1 250\n../b 10": "its segment line '../b 10'",
    "a/2 1 250 20\nb 10\nc 11": "its 2 segments have 21 samples, its record line says 20",
    "a/2 1 250\nb 10\nc 0": "which only the first one, the layout, may have",
}


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_what_is_refused_is_named(tmp_path: Path, header: str) -> None:
    write(tmp_path, "a", header)
    with pytest.raises(InputError) as caught:
        records.read_header(tmp_path, "a")
    assert str(caught.value).startswith(f"{tmp_path / 'a.hea'} cannot be read: ")
    assert BAD_HEADERS[header] in str(caught.value)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text("a.~/-+x:()e0123456789 \n#mV", max_size=80).map(str.encode)))
def test_no_header_is_more_than_refused(content: bytes) -> None:
    for start in (b"", b"a 1 250 10\n", b"a/2 1 250\n"):
        try:
            assert isinstance(parse_header(start + content), Header)
        except ValueError as error:
            assert len(str(error)) < 300


# ------------------------------------------------------------------------------------------------- signals


def pack(values: np.ndarray, fmt: str) -> bytes:
    """Store samples in a format that wfdb does not write: signal(5)."""
    if fmt == "61":
        return values.astype(">i2").tobytes()
    if fmt == "160":
        return (values + 32768).astype("<u2").tobytes()
    rest = len(values) % 3
    first, second, third = np.pad(values & 0x3FF, (0, -len(values) % 3)).reshape(-1, 3).T
    if fmt == "310":
        pairs = np.stack([first << 1 | (third & 0x1F) << 11, second << 1 | (third >> 5) << 11], axis=1)
        return pairs.astype("<u2").tobytes()[: -(len(values) // -3) * 4 - {0: 0, 1: 2, 2: 0}[rest]]
    words = (first | second << 10 | third << 20).astype("<u4")
    return words.tobytes()[: len(words) * 4 - {0: 0, 1: 2, 2: 1}[rest]]


@pytest.mark.parametrize("fmt", [*PACKINGS, *FLAC])
@pytest.mark.parametrize("spf", [(1, 1), (2, 1, 3)])
def test_every_format_is_read_as_wfdb_reads_it(tmp_path: Path, fmt: str, spf: tuple[int, ...]) -> None:
    if fmt in FLAC:
        spf = (spf[0],) * len(spf)  # as its format wants it
    frames, bits = 37, {**FLAC, **{name: packing.bits for name, packing in PACKINGS.items()}}[fmt]
    highest = 2 ** (min(bits, 31) - 1) - 1
    rng = np.random.default_rng(int(fmt))
    digital = [rng.integers(-highest, highest + 1, frames * each) for each in spf]
    digital[0][[0, 5, -1]] = -highest, highest, 0
    flat = np.concatenate([values.reshape(frames, -1) for values in digital], axis=1).reshape(-1)
    if fmt == "8":
        digital = [np.cumsum(np.clip(values, -128, 127)) for values in digital]
    if fmt in ("8", "61", "160", "310", "311"):
        lines = [f"a.dat {fmt}x{each} 200(3)/mV 12 0 0 0 0 s{number}" for number, each in enumerate(spf)]
        stored = flat.astype("i1").tobytes() if fmt == "8" else pack(flat, fmt)
        write(tmp_path, "a", "\n".join([f"a {len(spf)} 100 {frames}", *lines]), dat=stored)
    else:
        wfdb.Record(
            record_name="a", fs=100, sig_len=frames, n_sig=len(spf), fmt=[fmt] * len(spf), samps_per_frame=[*spf],
            file_name=["a.dat"] * len(spf), byte_offset=[None] * len(spf), adc_gain=[200.0] * len(spf),
            baseline=[3] * len(spf), units=["mV"] * len(spf), sig_name=[f"s{number}" for number in range(len(spf))],
            e_d_signal=digital, init_value=[int(values[0]) for values in digital], adc_res=[12] * len(spf),
            adc_zero=[0] * len(spf), checksum=[int(values.sum()) % 65536 for values in digital],
            block_size=[0] * len(spf),
        ).wrsamp(expanded=True, write_dir=str(tmp_path))  # fmt: skip
    theirs = wfdb.rdrecord(str(tmp_path / "a"), smooth_frames=False).e_p_signal
    header = records.read_header(tmp_path, "a")
    for channel, each in enumerate(spf):
        ours = records.read_signal(tmp_path, "a", header, channel)
        np.testing.assert_array_equal(ours, (digital[channel] - 3) / 200)
        np.testing.assert_array_equal(ours, theirs[channel])
        for start, stop in ((0, 0), (0, 1), (5, 6), (1, 20), (11, 37 * each), (-7, None)):
            np.testing.assert_array_equal(
                records.read_signal(tmp_path, "a", header, channel, start, stop), ours[start:stop]
            )
        assert records.signal_length(tmp_path, "a", header, channel) == frames * each
        assert header.rate(channel) == 100 * each
        if fmt not in ("8", "61", "160", "310", "311"):
            assert not records.checksum_differs(tmp_path, "a", header, channel)


@pytest.mark.parametrize("fmt", PACKINGS)
@pytest.mark.parametrize("length", ["", " 0"])
@pytest.mark.parametrize("samples", [6, 8, 10])
def test_a_length_that_the_header_does_not_say(tmp_path: Path, fmt: str, length: str, samples: int) -> None:
    values = np.arange(samples) % 7
    if fmt == "8":
        content = np.diff(values.reshape(-1, 2), axis=0, prepend=0).astype("i1").tobytes()
    elif fmt in ("61", "160", "310", "311"):
        content = pack(values, fmt)
    else:
        wfdb.io._signal.wr_dat_file("a.dat", fmt, values[:, None], None, write_dir=str(tmp_path))
        content = (tmp_path / "a.dat").read_bytes()
    header = f"a 2 100{length}\na.dat {fmt}+5 1\na.dat {fmt}+5 1\n"
    write(tmp_path, "a", header, dat=b"12345" + content)
    expected = samples // 2 + (fmt == "310" and samples == 8)  # two samples of three take as many bytes as three
    assert read(tmp_path).tolist()[: samples // 2] == values[::2].tolist()
    assert len(read(tmp_path)) in (expected, samples // 2)


def test_flac_says_its_own_length(tmp_path: Path) -> None:
    values = np.arange(-50, 50)[:, None]
    wfdb.io._signal.wr_dat_file("a.dat", "516", np.hstack([values, -values]), None, write_dir=str(tmp_path))
    (tmp_path / "a.hea").write_text("a 2 100\na.dat 516 1\na.dat 516 1\n")
    assert read(tmp_path, channel=1).tolist() == (-values[:, 0]).tolist()
    (tmp_path / "a.hea").write_text("a 2 100 101\na.dat 516 1\na.dat 516 1\n")
    with pytest.raises(
        InputError, match=r"a\.dat cannot be read as a\.hea describes it: it holds 100 samples a signal"
    ):
        read(tmp_path)
    (tmp_path / "a.hea").write_text("a 2 100 100\na.dat 516 1\na.dat 516 1\n")
    content = (tmp_path / "a.dat").read_bytes()
    for other in (content[:-20], int16(range(100)), b""):
        (tmp_path / "a.dat").write_bytes(other)
        with pytest.raises(InputError, match=r"a\.dat cannot be read as a\.hea describes it: it (is no|ends after)"):
            read(tmp_path)
    for header, message in (
        ("a 1 100 100\na.dat 516 1\n", "it has 2 channels, the header 1 signals"),
        ("a 2 100 50\na.dat 516x2 1\na.dat 516 1\n", "format 516 needs one number of samples a frame for all signals"),
        ("a 2 100 100\na.dat 508 1\na.dat 508 1\n", "it is FLAC of PCM_16, which is not format 508"),
    ):
        write(tmp_path, "a", header, dat=content)
        with pytest.raises(InputError, match=message):
            read(tmp_path)


@pytest.mark.parametrize("fmt", [*PACKINGS, *FLAC])
def test_missing_samples_are_those_that_the_format_marks(tmp_path: Path, fmt: str) -> None:
    if fmt in FLAC:
        lowest = -(2 ** (FLAC[fmt] - 1))
        wfdb.io._signal.wr_dat_file("a.dat", fmt, np.array([[1], [lowest], [2]]), None, write_dir=str(tmp_path))
        (tmp_path / "a.hea").write_text(f"a 1 100 3\na.dat {fmt} 1\n")
    else:
        lowest = -(2 ** (PACKINGS[fmt].bits - 1))
        values = np.array([1, lowest, 2])
        if fmt == "8":
            write(tmp_path, "a", "a 1 100 3\na.dat 8 1\n", dat=np.array([1, -129 + 128 - 127, 2], "i1").tobytes())
        elif fmt in ("61", "160", "310", "311"):
            write(tmp_path, "a", f"a 1 100 3\na.dat {fmt} 1\n", dat=pack(values, fmt))
        else:
            wfdb.io._signal.wr_dat_file("a.dat", fmt, values[:, None], None, write_dir=str(tmp_path))
            (tmp_path / "a.hea").write_text(f"a 1 100 3\na.dat {fmt} 1\n")
    if fmt == "8":  # differences have no such mark
        assert read(tmp_path).tolist() == [1, -127, -125]
    else:
        assert read(tmp_path)[[0, 2]].tolist() == [1, 2] and np.isnan(read(tmp_path)[1])


def test_differences_start_from_the_initial_value_or_the_adc_zero(tmp_path: Path) -> None:
    differences = np.array([0, 1, 2, -3], "i1").tobytes()
    for fields, first in (("200 12 1024 995 0 0 II", 995), ("200 12 1024", 1024), ("200", 0)):
        write(tmp_path, "a", f"a 1 100 4\na.dat 8 {fields.replace('200', '1(0)', 1)}\n", dat=differences)
        assert read(tmp_path).tolist() == [first, first + 1, first + 3, first]
        assert read(tmp_path, start=2).tolist() == [first + 3, first]


def test_units_become_millivolts(tmp_path: Path) -> None:
    for unit, factor in (("mV", 1), ("uV", 1e-3), ("V", 1000), ("nV", 1e-6)):
        write(tmp_path, "a", f"a 1 100 3\na.dat 16 2(10)/{unit} 12 0\n", dat=int16([10, 12, 8]))
        np.testing.assert_allclose(read(tmp_path), np.array([0, 1, -1]) * factor)
    for unit in ("NU", "mmHg", "adu", "?"):
        write(tmp_path, "a", f"a 1 100 3\na.dat 16 2(10)/{unit} 12 0 0 0 0 II\n", dat=int16([10, 12, 8]))
        with pytest.raises(InputError) as caught:
            read(tmp_path)
        assert str(caught.value) == f"record a: signal II is in {unit}, which is not a unit of voltage"


@fewer_examples
@given(st.lists(st.integers(0, 6), min_size=2, max_size=2), st.integers(1, 3), st.integers(0, 20), st.integers(0, 20))
def test_a_skew_moves_a_signal_forward(
    tmp_path_factory: pytest.TempPathFactory, skew: list[int], spf: int, start: int, stop: int
) -> None:
    folder, frames = tmp_path_factory.mktemp("skew"), 10
    signals = [np.arange(frames), 100 + np.arange(frames * spf)]
    flat = np.concatenate([signals[0][:, None], signals[1].reshape(frames, spf)], axis=1)
    lines = [f"a.dat 16x{each}:{by} 1" for each, by in zip((1, spf), skew, strict=True)]
    write(folder, "a", "\n".join([f"a 2 100 {frames}", *lines]), dat=int16(flat.reshape(-1)))
    for channel, (values, each) in enumerate(zip(signals, (1, spf), strict=True)):
        shift = skew[channel] * each
        expected = np.append(values[shift:], np.full(shift, np.nan))
        np.testing.assert_array_equal(read(folder, channel=channel), expected)
        np.testing.assert_array_equal(read(folder, channel=channel, start=start, stop=stop), expected[start:stop])


def test_a_short_file_is_one_line(tmp_path: Path) -> None:
    for fmt, packing in PACKINGS.items():
        full = packing.ends[-1] * 8
        write(tmp_path, "a", f"a 1 100 {len(packing.ends) * 8}\na.dat {fmt} 1\n", dat=bytes(full))
        assert len(read(tmp_path)) == len(packing.ends) * 8
        (tmp_path / "a.dat").write_bytes(bytes(full - 1))
        with pytest.raises(InputError, match=r"a\.dat cannot be read as a\.hea describes it: it holds \d+ samples"):
            read(tmp_path)
    write(tmp_path, "a", "a 1 100 8\na.dat 99 1\n")
    with pytest.raises(InputError, match="its format 99 is none of those of signal"):
        read(tmp_path)


def test_a_stretch_is_read_without_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "a", f"a 3 250 {10**9}\n" + "a.dat 16 1000 16 0 0 0 0 II\n" * 3)
    with (tmp_path / "a.dat").open("wb") as file:
        file.truncate(6 * 10**9)  # a sparse file
        file.seek(6 * 5 * 10**8 + 2)
        file.write(int16([500]))
    tracemalloc.start()
    values = read(tmp_path, channel=1, start=5 * 10**8 - 10, stop=5 * 10**8 + 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.tolist() == [0.0] * 10 + [0.5] + [0.0] * 9
    assert peak < 1e6


def test_a_signal_is_read_in_blocks(tmp_path: Path) -> None:
    frames, signals = 300_001, 60
    write(tmp_path, "a", f"a {signals} 250 {frames}\n" + "a.dat 16 1000 16 0 0 0 0 II\n" * signals)
    with (tmp_path / "a.dat").open("wb") as file:
        for place, value in ((0, 100), (200_000, 200), (frames - 1, 300)):
            file.seek(2 * (place * signals + 7))
            file.write(int16([value]))
        file.truncate(2 * frames * signals)
    tracemalloc.start()
    values = read(tmp_path, channel=7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {place: values[place] for place in np.flatnonzero(values)} == {0: 0.1, 200_000: 0.2, frames - 1: 0.3}
    assert peak < 2 * frames * signals  # bytes of the file


def test_checksums_are_compared(tmp_path: Path) -> None:
    values = np.array([300, -200, 32000, 32000])
    total = int(values.sum()) - 65536
    write(tmp_path, "a", f"a 1 100 4\na.dat 16:1 1 12 0 0 {total} 0 II\n", dat=int16(values))
    header = records.read_header(tmp_path, "a")
    assert not records.checksum_differs(tmp_path, "a", header, 0)  # of all samples, whatever the skew
    (tmp_path / "a.dat").write_bytes(int16(values + np.array([0, 1, 0, 0])))
    assert records.checksum_differs(tmp_path, "a", header, 0)


# ------------------------------------------------------------------------------------------------- segments


def write_segments(folder: Path) -> dict[str, np.ndarray]:
    """Write "fixed" and "variable" of four pieces of 10 frames -> their signals II, and V1 of two samples a frame."""
    up, down = np.arange(10), np.arange(10)[::-1]
    write(
        folder, "one", "one 2 100 10\none.dat 16 10/mV 12 0 0 0 0 II\none2.dat 16x2 1/mV 12 0 0 0 0 V1\n", dat=int16(up)
    )
    (folder / "one2.dat").write_bytes(int16(range(20)))
    write(folder, "two", "two 2 100 10\ntwo.dat 61 5(1)/uV 12 0 0 0 0 II\ntwo.dat 61x2 1/mV 12 0 0 0 0 V1\n")
    both = np.concatenate([down[:, None], np.arange(20).reshape(10, 2)], axis=1).reshape(-1)
    (folder / "two.dat").write_bytes(both.astype(">i2").tobytes())
    write(folder, "null", "null 2 100 10\n~ 0\n~ 0x2\n")
    write(folder, "v1", "v1 1 100 10\nv1.dat 16x2 1/mV 12 0 0 0 0 V1\n", dat=int16(range(20)))
    write(folder, "swapped", "swapped 2 100 10\nv1.dat 16x2 1/mV 12 0 0 0 0 V1\none.dat 16 1/mV 12 0 0 0 0 II\n")
    write(folder, "layout", "layout 2 100 0\n~ 0 1/mV 12 0 0 0 0 II\n~ 0x2 1/mV 12 0 0 0 0 V1\n")
    write(folder, "fixed", "fixed/4 2 100 40\none 10\n~ 10\ntwo 10\nnull 10\n# of four\n")
    write(folder, "variable", "variable/5 2 100\nlayout 0\nv1 10\n~ 10\nswapped 10\ntwo 10\n")
    gap = np.full(10, np.nan)
    return {
        "fixed": np.concatenate([up / 10, gap, (down - 1) / 5e3, gap]),
        "variable": np.concatenate([gap, gap, up, (down - 1) / 5e3]),
    }


@pytest.mark.parametrize("layout", ["fixed", "variable"])
def test_segments_are_one_record(tmp_path: Path, layout: str) -> None:
    lead = write_segments(tmp_path)[layout]
    header = records.read_header(tmp_path, layout)
    assert [signal.name for signal in header.signals] == ["II", "V1"] and header.length == 40
    assert (header.rate(0), header.rate(1)) == (100, 200)
    np.testing.assert_allclose(read(tmp_path, layout), lead)
    v1 = read(tmp_path, layout, channel=1)
    present = np.flatnonzero(~np.isnan(v1)) // 20
    assert sorted({*present.tolist()}) == ([0, 2] if layout == "fixed" else [0, 2, 3])
    assert (v1[~np.isnan(v1)] == np.tile(np.arange(20), len({*present.tolist()}))).all()
    for start, stop in ((0, 40), (5, 6), (8, 23), (10, 20), (35, 40), (39, None), (20, 20)):
        np.testing.assert_allclose(read(tmp_path, layout, 0, start, stop), lead[start:stop])
        np.testing.assert_array_equal(read(tmp_path, layout, 1, start, stop), v1[start:stop])
    assert read(tmp_path, layout, 1, 9, 35).tolist()[:5] == v1[9:14].tolist()
    assert not records.checksum_differs(tmp_path, layout, header, 0)  # 0 is none
    two = (tmp_path / "two.hea").read_text()
    for checksum, differs in ((45, False), (46, True)):  # of 9, 8, ... 0
        (tmp_path / "two.hea").write_text(two.replace("12 0 0 0 0 II", f"12 0 9 {checksum} 0 II"))
        assert records.checksum_differs(tmp_path, layout, header, 0) == differs


def test_a_header_is_read_in_time_that_grows_with_its_length() -> None:
    """With the square of it, this one would take hours."""
    for before, after in ((b"a 1 ", b""), (b"a 1 250\na.dat 16 ", b"/mV"), (b"a ", b"")):
        with pytest.raises(ValueError):
            parse_header(before + b"1" * 10**6 + b"x" + after)


def test_segments_and_layouts_are_no_records(tmp_path: Path) -> None:
    write_segments(tmp_path / "p1")
    write_beats(tmp_path, "other")
    write(tmp_path / ".hidden", "a", "a 0\n")
    (tmp_path / "._other.hea").write_bytes(b"\0\5\x16\7Mac OS X")
    (tmp_path / "__MACOSX/p1").mkdir(parents=True)
    (tmp_path / "__MACOSX/p1/._fixed.hea").write_bytes(b"\0\5\x16\7Mac OS X")
    assert records.list_records(tmp_path, "mit") == ["other", "p1/fixed", "p1/variable"]
    (tmp_path / "RECORDS").write_text("p1/\nother\nother\n")
    assert records.list_records(tmp_path, "mit") == ["p1/fixed", "p1/variable", "other"]
    (tmp_path / "p1/RECORDS").write_text("fixed\none\n")
    assert records.list_records(tmp_path, "mit") == ["p1/fixed", "other"]
    assert records.unlisted_records(tmp_path, ["p1/fixed", "other"]) == ["p1/variable"]
    (tmp_path / "p1/up").symlink_to(tmp_path)  # once would go 40 links deep, twice without end
    (tmp_path / "p1/RECORDS").write_text("fixed\nup/\n")
    assert records.list_records(tmp_path, "mit") == ["p1/fixed", "other"]
    write_segments(tmp_path / "p2")
    (tmp_path / "p2/RECORDS").symlink_to(tmp_path / "p1/RECORDS")  # git-annex keeps equal files once
    (tmp_path / "RECORDS").write_text("p1/\np2/\n")
    assert records.list_records(tmp_path, "mit") == ["p1/fixed", "p2/fixed"]


@pytest.mark.parametrize(
    ("name", "header", "message"),
    [
        ("v1", "v1 1 200 10\nv1.dat 16x2 1/mV 12 0 0 0 0 V1\n", "its own header says 10 at 200 Hz"),
        ("v1", "v1 1 100 9\nv1.dat 16x2 1/mV 12 0 0 0 0 V1\n", "segment v1 has 10 samples at 100 Hz"),
        ("v1", "v1 1 100\nv1.dat 16x2 1/mV 12 0 0 0 0 V1\n", "its own header says None"),
        (
            "two",
            "two 2 100 10\ntwo.dat 61x4 1 12 0 0 0 0 II\ntwo.dat 61x2 1 12 0 0 0 0 V1\n",
            "samples a frame in segment two",
        ),
        ("two", "two/1 2 100 10\none 10\n", "two.hea has segments and is a segment of"),
        ("layout", "layout 1 100 0\n~ 0 1/mV 12 0 0 0 0 II\n", "variable.hea has 2 signals, its segment layout 1"),
    ],
)
def test_segments_that_do_not_fit_are_named(tmp_path: Path, name: str, header: str, message: str) -> None:
    write_segments(tmp_path)
    write(tmp_path, name, header)
    with pytest.raises(InputError) as caught:
        for channel in (0, 1):
            read(tmp_path, "variable", channel)
    assert message in str(caught.value)


def test_the_beats_of_a_record_in_segments(tmp_path: Path) -> None:
    """Four beats in two segments with a gap between them: the window that reaches into the gap is dropped."""
    whole = ecg([200, 420, 1050, 1400], 1600)
    for name, part in (("x1", whole[:500]), ("x2", whole[1000:])):
        write(tmp_path, name, f"{name} 1 360 {len(part)}\n{name}.dat 16 1000 16 0 0 0 0 II\n", dat=int16(part))
    write(
        tmp_path,
        "x",
        "x/3 1 360 1600\nx1 500\n~ 500\nx2 600\n",
        atr=marks((200, "N"), (420, "N"), (1050, "V"), (1400, "N")),
    )
    beats = read_beats("mit", tmp_path)
    assert beats.record_names == ("x",) and beats.positions.tolist() == [200, 1400]
    assert beats.account.dropped["hold missing samples"] == 2


# ----------------------------------------------------------------------------------------------- annotations


@st.composite
def annotation_lists(draw: st.DrawFn) -> list[tuple[int, str, int, int, str]]:
    row = st.tuples(
        st.integers(0, 5000),
        st.sampled_from([symbol for symbol in CODES if symbol not in '"']),
        st.integers(0, 3),
        st.integers(-5, 5),
        st.sampled_from(["", "(AFIB", "odd", "even"]),
    )
    return sorted(draw(st.lists(row, min_size=1, max_size=20)), key=lambda one: one[0])


@fewer_examples
@given(annotation_lists(), st.sampled_from([None, 250, 1000.5]))
def test_annotations_are_read_as_wfdb_writes_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], fs: float | None
) -> None:
    folder = tmp_path_factory.mktemp("atr")
    times, symbols, channels, subtypes, notes = (list(column) for column in zip(*rows, strict=True))
    wfdb.wrann(
        "a", "atr", np.array(times), symbols, subtype=np.array(subtypes), chan=np.array(channels), aux_note=notes,
        fs=fs, write_dir=str(folder),
    )  # fmt: skip
    found, resolution = parse_annotations((folder / "a.atr").read_bytes())
    assert resolution == fs
    assert found.positions.tolist() == times and found.symbols.tolist() == symbols
    assert found.channels.tolist() == channels and found.subtypes.tolist() == subtypes
    assert list(found.notes) == notes


def test_symbols_are_those_of_wfdb() -> None:
    table = wfdb.io.annotation.ann_label_table
    for code, symbol in zip(table["label_store"], table["symbol"], strict=True):
        if code:
            assert parse_annotations(word(code, 1) + word(0, 0))[0].symbols.tolist() == [symbol]
    assert parse_annotations(word(45, 1) + word(0, 0))[0].symbols.tolist() == ["[45]"]


def test_notes_at_the_beginning_define_the_file() -> None:
    table = [
        note("## annotation type definitions"),
        note("42 X2 an X of two"),
        note("1 B a beat"),
        note("## end of definitions"),
    ]
    first = b"".join(
        [note("## time resolution: 128.5"), *table, word(59, 0), b"\xff\xff\xff\xff", word(0, 1)]
    )  # NOTQRS
    content = first + word(42, 7) + word(1, 3) + note("## said later", 5) + word(0, 0)
    found, resolution = parse_annotations(content)
    assert resolution == 128.5
    assert found.symbols.tolist() == ["X2", "B", '"'] and found.positions.tolist() == [7, 10, 15]
    assert found.notes == ("", "", "## said later")
    for head in (note("## time resolution: 500") * 2, note("## time resolution: 500") + note("## by some program")):
        assert parse_annotations(marks((100, "N"), first=head))[1] == 500  # wfdb 4.3.1 never returns from these
    found, resolution = parse_annotations(
        marks((100, "N"), first=note("ECG of a rest") + note("## time resolution: 500"))
    )
    assert resolution is None and found.notes[0] == "ECG of a rest"


def test_long_and_backward_skips() -> None:
    stored, _ = parse_annotations(marks((-5, "N"), (70_000, "V"), (2**31 - 1, "A"), (3, "N")))
    assert stored.positions.tolist() == [-5, 70_000, 2**31 - 1, 3]
    found = stored.ascending()
    assert found.positions.tolist() == [-5, 3, 70_000, 2**31 - 1]
    assert found.symbols.tolist() == ["N", "N", "V", "A"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no end mark"),
        (word(1, 5), "it has no end mark"),
        (word(1, 5) + b"\0", "it has no end mark"),
        (word(1, 5) + word(AUX, 9) + b"(A" + word(0, 0), "it has no end mark"),
        (word(SUB, 5) + word(0, 0), "it has no end mark"),
        (word(1, 5) + word(0, 0) + word(1, 5), "it goes on after its end mark"),
        (marks((5, "N"), first=note("## time resolution: 0")), "it states the time resolution '0'"),
        (marks((5, "N"), first=note("## time resolution: fast")), "it states the time resolution 'fast'"),
    ],
)
def test_bad_annotation_files_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    write_beats(tmp_path, atr=content)
    with pytest.raises(InputError) as caught:
        read_beats("mit", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'a.atr'} cannot be read: {message}")


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_no_annotation_file_is_more_than_refused(content: bytes) -> None:
    for whole in (content, content + b"\0\0", note("## time resolution: 5") + content + b"\0\0"):
        try:
            found, _ = parse_annotations(whole)
        except ValueError:
            continue
        lengths = {len(column) for column in (found.symbols, found.notes, found.channels, found.subtypes)}
        assert lengths == {len(found.positions)} and (np.diff(found.ascending().positions) >= 0).all()


# ------------------------------------------------------------------------------------------------ time base


def test_annotations_at_a_resolution_of_their_own(tmp_path: Path) -> None:
    """500 Hz annotations in a 125 Hz record: the beats are cut where they are, with every window."""
    times = [1200 * (number + 1) for number in range(8)]  # at 500 Hz: 300 samples apart at 125 Hz
    atr = marks(*((time, "N") for time in times), first=note("## time resolution: 500"))
    places = write_beats(tmp_path, symbols="N" * 8, fs=125, atr=atr)
    beats = read_beats("mit", tmp_path)
    assert beats.positions.tolist() == places and beats.record_fs == (125.0,)
    assert np.abs(beats.samples[:, 0].argmax(axis=1) - 93).max() <= 1
    assert read_beats("mit", tmp_path, ReadingOptions(window="kaggle")).positions.tolist() == places[:-1]


def test_a_resolution_that_is_no_multiple_is_rounded_to_the_nearest_sample(tmp_path: Path) -> None:
    write_beats(tmp_path, fs=360)
    atr = marks((1, "N"), (250, "N"), (251, "N"), first=note("## time resolution: 250"))
    (tmp_path / "a.atr").write_bytes(atr)
    header = records.read_header(tmp_path, "a")
    assert records.read_annotations(tmp_path, "a", header).positions.tolist() == [1, 360, 361]  # 1.44, 360, 361.44


def test_annotations_are_ascending_however_they_are_stored(tmp_path: Path) -> None:
    write_beats(tmp_path, fs=360)
    (tmp_path / "a.atr").write_bytes(marks((100, "N"), (900, "V"), (500, "A")))
    found = records.read_annotations(tmp_path, "a", records.read_header(tmp_path, "a"))
    assert (found.positions.tolist(), "".join(found.symbols)) == ([100, 500, 900], "NAV")


@pytest.mark.parametrize(("first", "factor"), [(b"", 1), (note("## time resolution: 500"), 4)])
def test_several_samples_a_frame_are_read_at_their_full_rate(tmp_path: Path, first: bytes, factor: int) -> None:
    """Frames at 125 Hz of 4 samples of lead II and 1 of ABP: annotations count frames where they say nothing else."""
    frames = [300, 600, 901]
    lead = ecg([4 * frame for frame in frames], 4 * 1200)
    flat = np.concatenate([np.zeros((1200, 1)), lead.reshape(1200, 4)], axis=1).reshape(-1)
    header = "a 2 125 1200\na.dat 16 1/mmHg 12 0 0 0 0 ABP\na.dat 16x4 1000/mV 12 0 0 0 0 II\n"
    write(tmp_path, "a", header, dat=int16(flat), atr=marks(*((factor * frame, "N") for frame in frames), first=first))
    beats = read_beats("mit", tmp_path)
    assert beats.record_fs == (500.0,) and beats.positions.tolist() == [1200, 2400, 3604]
    assert (np.abs(beats.samples[:, 0].argmax(axis=1) - 93) <= 1).all()


def test_annotations_outside_the_record_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beats = [(300 * (number + 1), "N") for number in range(20)]
    atr = marks((-3, "N"), (-2, "+"), (-1, "N"), *beats, (6299, "V"), (6300, "V"))
    write_beats(tmp_path / "raw", symbols="N" * 20, atr=atr)
    assert run("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "dropped      windows that belong to beats annotated outside their record: 3" in printed
    assert "note         1 record, beats annotated outside their record: a" in printed
    assert "dropped      windows that leave the record: 1" in printed  # 6299 is the last sample
    assert "read         20 beats" in printed


# ---------------------------------------------------------------------------------------------- beat codes


def test_every_beat_code_of_wfdb_has_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Codes of beats: wfdb's list of beat annotations. Those of anything else are counted."""
    beats = "NLRBAaJSVrFejnE/fQ?"
    assert {*beats} == {*"".join(meanings.AAMI_SYMBOLS.values())}
    assert "".join(meanings.AAMI_CLASSES[label] for label in meanings.aami_labels(beats)) == "NNNNSSSSVVFNNNVQQQQ"
    write_beats(tmp_path / "raw", symbols=beats + '+~|"x[!]++' + "N" * 30)
    assert run("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert 'not used     10 annotations that mark no beat: + 3, ~ 1, | 1, " 1, x 1, [ 1, ! 1, ] 1' in printed
    assert "read         49 beats" in printed


# --------------------------------------------------------------------------------------------------- leads


def lead(name: str | None, units: str = "mV") -> Signal:
    return Signal(name, "a.dat", "16", 1, 0, 0, 200.0, True, 0, units, 0, None)


LEADS_II = [
    "II", "ii", "MLII", "ECG lead II", "Lead II", "lead_II", "ECG II", "ECG-II", "EKG II", "EKG_II", "ECGII",
    "mod. lead II", "DII", "D2", "ML2", "ECG Lead: II", "Ⅱ", "II (mV)", "ECG II raw", "Lead II filtered",
    "raw_ecg_II_filt", "MDC_ECG_LEAD_II", "- II",
]  # fmt: skip
OTHER_LEADS = [
    "I", "III", "iii", "ECG lead I", "ECG lead III", "MLI", "MLIII", "DI", "DIII", "D1", "D3", "ECG", "ECG1", "ECG2",
    "ECG 2", "2", "V2", "aVR", "ML5", "RESP II ABD", "CM2", "raw", "ECG raw", "raw 2", "Lead 2 filtered", "", None,
    "-II", "\N{MINUS SIGN}MLII", "ECG -II",
]  # fmt: skip


@pytest.mark.parametrize("name", LEADS_II)
def test_lead_ii_as_databases_write_it(name: str) -> None:
    assert find_lead([lead("V1"), lead("III"), lead("I"), lead(name)]) == 3


@pytest.mark.parametrize("name", OTHER_LEADS)
def test_what_is_not_lead_ii(name: str | None) -> None:
    assert find_lead([lead(name)]) is None


@pytest.mark.parametrize(
    ("names", "wanted", "any_lead", "channel"),
    [
        (["V5", "MLII"], LEAD_II, False, 1),
        (["II", "MLII"], LEAD_II, True, 1),
        (["ECG lead I", "ECG lead II"], LEAD_II, True, 1),
        (["V5", "V2"], LEAD_II, False, None),
        (["V5", "V2"], LEAD_II, True, 0),
        ([], LEAD_II, True, None),
        ([None, "q"], LEAD_II, True, 0),
        (["ECG1", "ECG2"], ("ecg1",), False, 0),
        (["ECG1", "ECG2"], ("ECG2", "ECG1"), False, 1),
        (["MLII", "V1"], ("V5", "v1"), False, 1),
        (["MLII", "V1"], ("V5",), False, None),
        (["V1", "MLII"], ("V5",), True, 1),  # lead II before any other
        (["V1", "MLII"], ("II",), False, 1),
        (["V1", "ECG lead II"], ("MLII", "V1"), False, 1),
        (["MLII", "II", "V1"], ("II",), False, 1),
        (["mod.V1", "V1"], ("V1",), False, 1),  # the exact name first
        (["ECG lead V1", "ABP"], ("V1",), False, 0),
        (["RESP", "ABP", "PLETH", "V"], LEAD_II, True, 3),
        (["RESP", "ABP", "PLETH R"], LEAD_II, True, None),
        (["EEG (C4-A1)", "EOG (right)", "EMG chin", "Fpz-Cz", "ECG"], LEAD_II, True, 4),
        (["noise1", "noise2"], LEAD_II, True, None),
        (["PHOTIC-REF", "EEG FP1-REF", "EEG EKG1-REF"], LEAD_II, True, 2),  # EEG before all that is plugged in
        (["EEG FP1-REF", "PHOTIC-REF", "ECG Resp"], LEAD_II, True, None),
        (["unknown", "V2"], LEAD_II, True, 1),
        (["ECG", "foot GSR", "HR"], LEAD_II, True, 0),
        (["raw_x", "raw_y", "filtered z", "ECG"], LEAD_II, True, 3),  # axes of an accelerometer
        (["raw_x", "V5 raw", "V5 filtered"], ("V5",), False, 1),
        (["I", "D1"], ("D1",), False, 1),
        (["ECG I-II", "Lead I/II", "II-I", "EKG I II", "I-I", "D1-D2"], ("III", "II"), False, None),
        (["ECG I-II", "V X"], ("X", "VX"), False, 1),
        (["EEG", "ECG I-II"], LEAD_II, True, 1),
        *(
            (["I", name], LEAD_II, False, 1)
            for name in ("Ableitung II", "Dérivation II", "Derivation DII", "Derivazione D2", "Derivación II")
        ),
        *((["I", name], LEAD_II, False, 1) for name in ("ECG II-REF", "EKG II-Ref", "Derivação II")),
    ],
)
def test_the_lead_that_is_read(
    names: list[str | None], wanted: tuple[str, ...], any_lead: bool, channel: int | None
) -> None:
    assert find_lead([lead(name) for name in names], wanted, any_lead) == channel


def test_any_lead_is_a_voltage() -> None:
    assert find_lead([lead("x", "mmHg"), lead("y", "NU"), lead("z", "uV")], any_lead=True) == 2


@given(st.text(max_size=20))
def test_a_lead_is_itself_whatever_its_name(name: str) -> None:
    assert canonical(name) == canonical(name.upper().lower()) or not name.isascii()
    if name.strip():
        assert find_lead([lead("another"), lead(name)], (name,)) == (0 if name.casefold() == "another" else 1)


def test_lead_options_reach_the_split_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    write_beats(raw, "a", "N" * 20, leads=("ECG1", "ECG2"))
    write_beats(raw, "b", "N" * 20, leads=("ABP", "V5"), units=("mmHg", "mV"))
    write_beats(raw, "c", "N" * 20, leads=("ECG lead I", "ECG lead II"))
    write_beats(raw, "d", "N" * 20, leads=("RESP",))
    write_beats(raw, "e", "N" * 20, leads=("II",), units=("NU",))
    command = ("--dataset", "mit", "--raw_path", raw, "--out", tmp_path)
    for options, leads, said in (
        ((), ["ECG lead II"], "3 records, no lead II: a, b, d"),
        (("--any_lead",), ["ECG1", "V5", "ECG lead II"], "1 record, no ECG channel: d"),
        (("--lead", "v5, ECG2"), ["ECG2", "V5"], "3 records, no lead v5 or ECG2: c, d, e"),
        (("--lead", "ECG2", "--any_lead"), ["ECG2", "V5", "ECG lead II"], "ECG lead II in 1, ECG2 in 1, V5 in 1"),
    ):
        assert run(*command, *options) == 0
        printed = capsys.readouterr().out
        assert said in printed
        assert ("--lead NAME takes another lead, --any_lead" in printed) == ("--any_lead" not in options)
        in_nu = "1 record, lead II is in NU, which is not a unit of voltage: e"
        assert (in_nu in printed) == ("no lead v5" not in printed)
        assert torch.load(tmp_path / "mit/train.pt", weights_only=True)["leads"] == leads
    write_beats(tmp_path / "units", "e", "N" * 20, leads=("II",), units=("NU",))
    assert run("--dataset", "mit", "--raw_path", tmp_path / "units", "--out", tmp_path) == 2
    assert "not a unit of voltage: 1 record); write V, mV, uV or nV into the header" in capsys.readouterr().err
    assert run(*command, "--lead", "V9") == 2
    error = capsys.readouterr().err
    assert "lead V9: unknown; choose from ABP, ECG lead I, ECG lead II, ECG1, ECG2, II, RESP, V5" in error
    assert "--lead NAME takes one of these, --any_lead the first ECG channel" in error


def test_records_without_calibration_or_a_right_checksum_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_beats(tmp_path / "raw", "a", "N" * 20)
    header = (tmp_path / "raw/a.hea").read_text()
    (tmp_path / "raw/a.hea").write_text(header.replace("1000/mV", "0"))
    write_beats(tmp_path / "raw", "b", "N" * 20)
    content = bytearray((tmp_path / "raw/b.dat").read_bytes())
    content[10] ^= 4
    (tmp_path / "raw/b.dat").write_bytes(content)
    assert run("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "note         1 record, not calibrated (no ADC gain in the header, 200 units a mV assumed): a" in printed
    assert "note         1 record, samples do not match the checksum in the header: b" in printed


@pytest.mark.parametrize(("step", "told"), [(6000, True), (400, True), (300, False), (30, False), (12, True)])
def test_annotations_that_are_as_far_apart_as_no_beats_are_told(tmp_path: Path, step: int, told: bool) -> None:
    """Apnea-ECG marks minutes by N and A; and annotations may count at another rate than the signal."""
    write_beats(tmp_path, symbols="N" * 70, fs=100, atr=marks(*((step * n + 200, "NA"[n % 2]) for n in range(4))))
    remarks = read_beats("mit", tmp_path).account.remarks
    assert remarks == ({UNUSUAL: ["a"]} if told else {})


# ------------------------------------------------------------------------------------- one instant, one beat


def test_two_annotations_of_one_instant_are_one_beat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beats = [(300 * (number + 1), "N") for number in range(40)]
    twice = [row for time, symbol in beats for row in ((time, symbol, 0), (time, "L", 1))]
    write_beats(tmp_path / "raw", symbols="N" * 40, atr=marks(*twice))
    assert run("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "dropped      windows that belong to beats annotated again at the instant of another" in printed
    assert "note         1 record, beats annotated again at the instant of another, which is kept: a" in printed
    parts = [torch.load(tmp_path / f"mit/{split}.pt", weights_only=True) for split in ("train", "val", "test")]
    samples = np.concatenate([part["samples"].numpy().reshape(-1, 186) for part in parts])
    assert len(samples) == len(np.unique(samples, axis=0)) == 40


def test_two_classes_at_one_instant_are_an_error(tmp_path: Path) -> None:
    write_beats(tmp_path, "p1/x", atr=marks((300, "N", 0), (600, "N", 0), (600, "V", 1), (600, "+", 1)))
    with pytest.raises(InputError) as caught:
        read_beats("mit", tmp_path)
    assert "record p1/x has a beat of two classes, N and V, at sample 600 (1.667 s)" in str(caught.value)


def test_beats_that_would_be_one_window_are_one_beat(tmp_path: Path) -> None:
    """1 ms apart at 1000 Hz is the same sample at 360 Hz, 3 ms is not; at 125 Hz both are."""
    write_beats(
        tmp_path, symbols="N" * 8, fs=1000, atr=marks((511, "N"), (512, "N"), (904, "N"), (907, "N"), (1500, "N"))
    )
    beats = read_beats("mit", tmp_path)
    assert beats.positions.tolist() == [511, 904, 907, 1500]
    assert beats.account.dropped[f"belong to beats {DOUBLED}"] == 1 and beats.account.remarks[f"beats {DOUBLED}"] == [
        "a"
    ]
    assert len(np.unique(beats.samples[:, 0], axis=0)) == 4
    beats = read_beats("mit", tmp_path, ReadingOptions(window="kaggle"))
    assert beats.positions.tolist() == [511, 904] and beats.account.dropped[f"belong to beats {DOUBLED}"] == 2


# --------------------------------------------------------------------------------------------- the annotator


def test_annotators_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in AFDB: .atr has rhythms alone, the beats are in .qrs."""
    raw = tmp_path / "raw"
    for name in ("a", "b"):
        places = write_beats(raw, name, "N" * 20, atr=marks((30, "+"), (700, "+"), (800, "~")))
        (raw / f"{name}.qrs").write_bytes(marks(*((place, "N") for place in places)))
        (raw / f"{name}.xyz").write_bytes(b"no annotations")
        (raw / f"{name}.hea.bak").write_bytes(b"\0\0")
    command = ("--dataset", "mit", "--raw_path", raw, "--out", tmp_path)
    assert run(*command) == 2
    error = capsys.readouterr().err
    assert "no beats in 2 records; the codes of the atr annotations, such as a's, are + 4, ~ 2" in error
    assert "there are annotations of qrs, too: --annotator qrs" in error
    assert run(*command, "--annotator", "qrs") == 0
    assert "read         40 beats" in capsys.readouterr().out
    assert run(*command, "--annotator", "ecg") == 2
    error = capsys.readouterr().err
    assert (
        "record a has no annotation file" in error
        and "those that it has end in .atr, .qrs: give one of these suffixes; to leave it out, name the other" in error
        and f"one a line, in {raw / 'RECORDS'}; python -m report needs no annotations" in error
    )
    (raw / "RECORDS").write_text("b\n")
    (raw / "a.qrs").unlink()
    assert run(*command, "--annotator", "qrs") == 0
    assert "read         20 beats" in capsys.readouterr().out


def test_the_other_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_beats(tmp_path / "mit", "a", "N" * 20)
    write_beats(tmp_path / "ptb", "a", leads=("ii",), comment="Reason for admission: Healthy control")
    (tmp_path / "ptb/a.atr").unlink()
    assert run("--dataset", "ptb", "--raw_path", tmp_path / "mit", "--out", tmp_path) == 2
    assert "--dataset mit reads records with annotated beats" in capsys.readouterr().err
    assert run("--dataset", "mit", "--raw_path", tmp_path / "ptb", "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert "a.atr; its header gives a diagnosis, and --dataset ptb reads such records" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset ptb --annotator qrs", "--annotator goes with --dataset mit only"),
        ("--dataset mit --annotator ../x", "--annotator ../x: give the suffix of a file"),
        ("--dataset mit --lead V1,,V2", "--lead V1,,V2: give names with commas between them"),
        ("--dataset mit --source kaggle --lead V1", "--lead does not go with --source kaggle"),
        ("--dataset mit --source kaggle --annotator qrs", "--annotator does not go with --source kaggle"),
    ],
)
def test_options_that_do_not_go(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert run(*arguments.split()) == 2
    assert message in capsys.readouterr().err


# --------------------------------------------------------------------------------------------- real records


@pytest.mark.parametrize(
    "database", [pytest.param(name, marks=needs(name)) for name in ("mitdb", "svdb", "nstdb", "ptbdb")]
)
def test_real_records_are_read_as_wfdb_reads_them(database: str) -> None:
    for name in records.list_records(RAW / database, "mit")[:8]:
        header, theirs = (
            records.read_header(RAW / database, name),
            wfdb.rdrecord(str(RAW / database / name), sampto=20000),
        )
        assert [signal.name for signal in header.signals] == theirs.sig_name and header.fs == theirs.fs
        for channel in {0, header.n_sig - 1}:
            ours = records.read_signal(RAW / database, name, header, channel, 0, 20000)
            np.testing.assert_array_equal(ours, theirs.p_signal[:, channel])
            assert not records.checksum_differs(RAW / database, name, header, channel)
        if (RAW / database / f"{name}.atr").is_file():
            marked, theirs = (
                records.read_annotations(RAW / database, name, header),
                wfdb.rdann(str(RAW / database / name), "atr"),
            )
            assert (marked.positions == theirs.sample).all() and marked.symbols.tolist() == theirs.symbol


@needs("nstdb")
def test_records_that_the_list_leaves_out_are_named(tmp_path: Path) -> None:
    for path in (RAW / "nstdb").glob("*"):
        if path.name.startswith(("118e_6", "119e_6", "bw", "RECORDS")):
            shutil.copy(path, tmp_path)
    (tmp_path / "RECORDS").write_text("119e_6\n")
    beats = read_beats("mit", tmp_path, ReadingOptions(any_lead=True))
    assert beats.record_names == ("119e_6",) and beats.account.left_out == {"not in the RECORDS file": ["118e_6", "bw"]}
    (tmp_path / "RECORDS").unlink()
    beats = read_beats("mit", tmp_path, ReadingOptions(any_lead=True))
    assert beats.account.left_out == {"no ECG channel": ["bw"]}
