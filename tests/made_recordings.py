"""Files of every format that is read, and what their tests ask of a recording."""

from __future__ import annotations

import datetime as dt
import struct
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest

from preprocess.readers import Recording, open_recording
from support.errors import InputError

START = dt.datetime(2026, 1, 31, 14, 5, 7)


def wave(count: int, seed: int = 0) -> np.ndarray:
    """int64 (n,), a signal of a few hundred ADC units."""
    time = np.arange(count)
    return np.round(400 * np.sin(time / 9 + seed) + 150 * np.sin(time / 31)).astype(np.int64)


# -------------------------------------------------------------------------------------------------------- small writers


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
    made: list[Any] = [
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


def put(folder: Path, content: bytes | str | Iterable[str], name: str = "a.csv") -> Path:
    """Write a file of bytes, of a text or of the lines of a table."""
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else "\n".join(content)).encode()
    path = folder / name
    path.write_bytes(content)
    return path


# ----------------------------------------------------------------------------------------- what is asked of a recording


def after(fs: int, n: int, start: dt.datetime = START) -> dt.datetime:
    return start + dt.timedelta(seconds=n / fs)


def fault(path: Path, **options: Any) -> str:
    """Say why a recording is refused: one line that names the file."""
    with pytest.raises(InputError) as caught:
        open_recording(path, **options).close()
    message = str(caught.value)
    assert "\n" not in message
    return message


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
