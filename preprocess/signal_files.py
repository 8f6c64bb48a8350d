"""The signal files of a WFDB record: signal(5) of the WFDB Applications Guide, formats 8 to 524.

A stretch of a file is read without the rest of it. They are read here because wfdb 4.3.1 reads no signal whose header
its parser refuses (see `ec57.headers`), none of a length of 0, which stands for "unknown", and no record with unequal
skews above 0; and it takes differences (format 8) without an initial value to start from 0 instead of the ADC zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ec57.headers import NULL_FORMAT, Signal

if TYPE_CHECKING:
    import soundfile


@dataclass(frozen=True)
class Packing:
    """How samples are packed into bytes: in groups."""

    bits: int  # of a sample
    ends: tuple[int, ...]  # for each sample of a group, the bytes of the group up to its end


DIFFERENCES = "8"
PACKINGS = {
    DIFFERENCES: Packing(8, (1,)),
    "16": Packing(16, (2,)),
    "24": Packing(24, (3,)),
    "32": Packing(32, (4,)),
    "61": Packing(16, (2,)),
    "80": Packing(8, (1,)),
    "160": Packing(16, (2,)),
    "212": Packing(12, (2, 3)),
    "310": Packing(10, (2, 4, 4)),
    "311": Packing(10, (2, 3, 4)),
}
FLAC = {"508": 8, "516": 16, "524": 24}
"""Compressed formats -> bits a sample."""

FLAC_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}
BLOCK = 2**20  # samples read at once; libsndfile cannot read 2^24


def count_frames(path: Path, signals: Sequence[Signal]) -> int:
    """Count the whole frames in a file that holds `signals`, by its size.

    Raises:
        ValueError: its format is not known, or it is not what the format says.
        OSError: it cannot be read.
    """
    fmt, offset = signals[0].fmt, signals[0].offset
    if fmt in FLAC:
        return (_flac_samples(path, signals) - offset) // signals[0].spf
    ends = _packing(fmt).ends
    groups, rest = divmod(max(path.stat().st_size - offset, 0), ends[-1])
    return (groups * len(ends) + sum(end <= rest for end in ends)) // sum(signal.spf for signal in signals)


def read_samples(path: Path, signals: Sequence[Signal], which: int, first: int, last: int) -> np.ndarray:
    """Read the frames [first, last) of one of the `signals` that a file holds, in their order there.

    A difference format is read from the file's beginning on, all others from `first` on; in blocks, which is faster
    than at once and takes half the memory.

    Returns:
        int32 (spf * (last - first),) ADC units.

    Raises:
        ValueError: the format is not known, or the file is not what the format says or is too short.
        OSError: it cannot be read.
    """
    signal, fmt = signals[which], signals[which].fmt
    available = count_frames(path, signals)
    if last > available:
        raise ValueError(f"it holds {available} samples a signal, not {last}")
    if fmt in FLAC:
        return _read_flac(path, which, signal.offset + first * signal.spf, signal.offset + last * signal.spf)
    frame = sum(other.spf for other in signals)
    column = sum(other.spf for other in signals[:which])

    step = max(BLOCK // frame, 1)  # frames

    def blocks(begin: int, end: int) -> Iterator[np.ndarray]:
        for at in range(begin, end, step):
            flat = _read_packed(path, fmt, signal.offset, at * frame, min(at + step, end) * frame)
            own = flat.reshape(-1, frame)[:, column : column + signal.spf]  # (frames, frame) -> (frames, spf)
            yield own.astype(np.int32).reshape(-1)  # no view, which would hold the block

    values = np.concatenate([np.empty(0, np.int32), *blocks(first, last)])
    if fmt == DIFFERENCES:
        before = signal.initial + sum(int(block.sum(dtype=np.int64)) for block in blocks(0, first))
        values = before + values.cumsum(dtype=np.int64)
    return values.astype(np.int32, copy=False)


def physical(samples: np.ndarray, signal: Signal) -> np.ndarray:
    """Bring samples (n,) from ADC units to physical units -> float64 (n,), NaN where one is marked as missing."""
    values = (samples - float(signal.baseline)) / signal.gain
    if signal.fmt != DIFFERENCES:  # which has no mark for a missing sample
        values[samples == missing_value(signal.fmt)] = np.nan
    return values


def missing_value(fmt: str) -> int:
    """The sample value that says "missing": the lowest that the format has."""
    bits = FLAC[fmt] if fmt in FLAC else _packing(fmt).bits
    return -(1 << (bits - 1))


def _packing(fmt: str) -> Packing:
    if fmt not in PACKINGS:
        known = ", ".join((NULL_FORMAT, *PACKINGS, *FLAC))
        raise ValueError(f"its format {fmt} is none of those of signal(5): {known}")
    return PACKINGS[fmt]


def _read_packed(path: Path, fmt: str, offset: int, first: int, last: int) -> np.ndarray:
    """Read the samples [first, last) of a file, counted over all its signals -> (last - first,) of any integer type."""
    ends = _packing(fmt).ends
    group, skipped = divmod(first, len(ends))
    groups = -(-last // len(ends)) - group
    raw = np.fromfile(path, np.uint8, groups * ends[-1], offset=offset + group * ends[-1])
    raw = np.pad(raw, (0, groups * ends[-1] - len(raw)))  # the last group may be cut off after its last sample
    return _unpack(raw, fmt)[skipped : skipped + last - first]


def _unpack(raw: np.ndarray, fmt: str) -> np.ndarray:
    """Unpack whole groups of bytes, uint8 (n,), into samples of any integer type."""
    if fmt in ("8", "16", "61", "32"):
        return raw.view({"8": "i1", "16": "<i2", "61": ">i2", "32": "<i4"}[fmt])
    if fmt in ("80", "160"):  # offset binary
        return raw.view({"80": "u1", "160": "<u2"}[fmt]).astype(np.int32) - (1 << (PACKINGS[fmt].bits - 1))
    if fmt == "24":
        low, middle, high = (raw[byte::3].astype(np.int32) for byte in range(3))
        columns = [low | middle << 8 | high << 16]
    elif fmt == "212":  # the second byte holds the high bits of both samples
        first, both, second = (raw[byte::3].astype(np.int16) for byte in range(3))
        columns = [first | (both & 0x0F) << 8, second | (both >> 4) << 8]
    elif fmt == "310":  # two samples above the lowest bit of two words, whose five highest bits hold the third
        even, odd = (raw.view("<u2")[word::2].astype(np.int32) for word in range(2))
        columns = [even >> 1 & 0x3FF, odd >> 1 & 0x3FF, even >> 11 | odd >> 11 << 5]
    else:  # 311: three samples from the lowest bit of a word on
        columns = [(raw.view("<u4") >> shift & 0x3FF).astype(np.int16) for shift in (0, 10, 20)]
    sign = 1 << (PACKINGS[fmt].bits - 1)
    return (np.stack(columns, axis=1).reshape(-1) ^ sign) - sign  # two's complement


def _flac_samples(path: Path, signals: Sequence[Signal]) -> int:
    """Count the samples of each channel of a FLAC file, after a look at whether it is what the header says."""
    with _open_flac(path) as file:
        bits = FLAC_BITS.get(file.subtype)
        if file.format != "FLAC" or bits is None or bits > FLAC[signals[0].fmt]:
            raise ValueError(f"it is {file.format} of {file.subtype}, which is not format {signals[0].fmt}")
        if file.channels != len(signals):
            raise ValueError(f"it has {file.channels} channels, the header {len(signals)} signals")
        if len({signal.spf for signal in signals}) > 1:
            raise ValueError(f"format {signals[0].fmt} needs one number of samples a frame for all signals")
        return file.frames


def _read_flac(path: Path, channel: int, first: int, last: int) -> np.ndarray:
    """Read the samples [first, last) of a channel -> int32 (last - first,)."""
    values = np.empty(last - first, np.int32)
    with _open_flac(path) as file:
        file.seek(first)
        for begin in range(0, len(values), BLOCK):
            block = file.read(min(BLOCK, len(values) - begin), dtype="int32", always_2d=True)  # in the highest bits
            values[begin : begin + len(block)] = block[:, channel] >> (32 - FLAC_BITS[file.subtype])
            if len(block) < min(BLOCK, len(values) - begin):
                raise ValueError(f"it ends after {first + begin + len(block)} samples")
    return values


@contextmanager
def _open_flac(path: Path) -> Iterator[soundfile.SoundFile]:
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            yield file
    except soundfile.SoundFileError as error:
        raise ValueError("it is not a whole FLAC file, which its format says it is") from error
