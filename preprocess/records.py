"""Reading a folder of WFDB records, which PhysioNet, a user or `synthetic` has filled.

A record is named by its path in the folder without a suffix, such as "100" or "patient001/s0010_re". `ec57.headers`,
`ec57.annotation_files` and `signal_files` know what is in its files; this module finds the files, and turns every fault
into one line that names the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ec57.annotation_files import StoredAnnotations, parse_annotations
from ec57.headers import GAP, NULL_FORMAT, Header, Segment, Signal, parse_header
from preprocess.signal_files import BLOCK, count_frames, physical, read_samples
from support.errors import InputError

LISTING = "RECORDS"

ANNOTATOR = "atr"
"""The suffix of reference annotations in most databases."""

# -------------------------------------------------------------------------------------------------- a folder


def list_records(folder: Path, dataset: str) -> list[str]:
    """Return the names of the records in `folder`: those of its RECORDS file, or else of all its headers.

    Hidden files and the segments of multi-segment records do not count.

    Raises:
        InputError: the folder is not there, holds no record, or its RECORDS file names something else.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = "a file; give the folder of the records" if folder.is_file() else "not there"
        command = f"`python -m preprocess --dataset {dataset}"
        raise InputError(
            f"{folder} is {kind}: {command} --raw_path DIR` reads the records in DIR, {command} --source physionet` "
            f"downloads the dataset's own, with --database NAME other ones, {command} --source synthetic` makes some"
        )
    names = list(dict.fromkeys(_listed(folder, "", set()) if (folder / LISTING).is_file() else _headers(folder)))
    parts = segment_names(folder, names)
    names = [name for name in names if name not in parts]
    if not names:
        raise InputError(
            f"{folder} holds no WFDB record: neither names in a {LISTING} file nor a .hea file; "
            "wfdb.wrsamp writes one from an array, wfdb.wrann its annotations"
        )
    return names


def unlisted_records(folder: Path, names: list[str]) -> list[str]:
    """Return the records that lie in `folder` beside those of its RECORDS file, `names`."""
    listed = {*names}
    others = [name for name in _headers(folder) if name not in listed]
    parts = segment_names(folder, [*names, *others])
    return [name for name in others if name not in parts]


def _listed(folder: Path, home: str, read: set[Path]) -> Iterator[str]:
    """The names in a RECORDS file; a line that ends with "/" names a folder with a list of its own (MIMIC).

    The list of each folder is `read` once: a link may lead back to a folder above it.
    """
    listing = folder / home / LISTING
    if listing.parent.resolve() in read:
        return
    read.add(listing.parent.resolve())
    for line in listing.read_text(encoding="utf-8", errors="replace").split():
        if not re.fullmatch(r"\w[\w.-]{,99}(/\w[\w.-]{,99})*/?", line):  # a path out of the folder, a web page
            raise InputError(f"{listing} names {line!r}, which is not a record of its folder; fetch it again")
        if not line.endswith("/"):
            yield home + line
        elif (folder / home / line / LISTING).is_file():
            yield from _listed(folder, home + line, read)
        else:
            yield from (home + line + name for name in _headers(folder / home / line))


def _headers(folder: Path) -> list[str]:
    """The names of all headers below a folder, except hidden ones, such as the resource forks of macOS."""
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*.hea") if path.is_file())
    return [path.with_suffix("").as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]


def segment_names(folder: Path, names: list[str]) -> set[str]:
    """Return the names of the segments and layouts of the multi-segment records among `names`.

    Raises:
        InputError: a header that lists segments cannot be read.
    """
    parts: set[str] = set()
    for name in names:
        path = folder / f"{name}.hea"
        if path.is_file() and re.search(rb"^\s*[\w.-]+/\d+\s", path.read_bytes(), re.MULTILINE):
            parts |= {str(PurePosixPath(name).with_name(segment.name)) for segment in _parse(path).segments}
    return parts


# -------------------------------------------------------------------------------------------------- a header


def read_header(folder: Path, name: str) -> Header:
    """Read NAME.hea, and of a record in several segments the header that says which signals it has.

    Raises:
        InputError: a header is absent, or has a field that cannot be read; the message names it.
    """
    path = Path(folder, f"{name}.hea")
    if not path.is_file():
        raise InputError(f"record {name} has no header: {path} is not there; fetch it, or take it out of {LISTING}")
    header = _parse(path)
    if header.segments:
        layout = header.segments[0]
        if layout.length:  # a fixed layout: that of any segment that is not a gap
            layout = next((segment for segment in header.segments if segment.name != GAP), layout)
        if layout.name != GAP:
            header = replace(header, signals=_segment_header(path, layout.name).signals)
        if len(header.signals) != header.n_sig:
            raise InputError(f"{path} has {header.n_sig} signals, its segment {layout.name} {len(header.signals)}")
    return header


def _parse(path: Path) -> Header:
    with _naming(path, "cannot be read"):
        return parse_header(path.read_bytes())


def _segment_header(path: Path, name: str) -> Header:
    """Read the header of the segment `name` of the record with the header `path`."""
    its_path = path.with_name(f"{name}.hea")
    if not its_path.is_file():
        raise InputError(f"{path} names the segment {name}, but {its_path} is not there")
    header = _parse(its_path)
    if header.segments:
        raise InputError(f"{its_path} has segments and is a segment of {path}: a segment must be in one piece")
    return header


@contextmanager
def _naming(path: Path, fault: str, remedy: str = "") -> Iterator[None]:
    """Turn an error of the block into an `InputError` that names `path`."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise InputError(f"{path} {fault}: {error}{remedy}") from error


# ------------------------------------------------------------------------------------------------- the signals


def signal_length(folder: Path, name: str, header: Header, channel: int) -> int:
    """Count the samples of a signal, by the size of the files where the header does not say.

    Raises:
        InputError: it does not say, and a signal file is absent or not as it describes it.
    """
    return _frames(folder, name, header) * header.signals[channel].spf


def read_signal(
    folder: Path, name: str, header: Header, channel: int, start: int | None = None, stop: int | None = None
) -> np.ndarray:
    """Read one channel of a record at its full rate, from sample `start` to `stop` as a slice has them.

    Only that stretch of the files is read (in format 8 everything before it, too).

    Returns:
        float64 (stop - start,) in mV, NaN where the record has no sample: it is marked as missing, in a gap between
        segments or a segment without this signal, or beyond the end of a signal that a skew moves forward.

    Raises:
        InputError: the unit is not one of voltage, or a signal file is absent, cut short or not as its header says.
    """
    spf = header.signals[channel].spf
    start, stop, _ = slice(start, stop).indices(signal_length(folder, name, header, channel))
    first, last = start // spf, -(-max(start, stop) // spf)  # frames
    try:
        values = np.full((last - first) * spf, np.nan)
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"record {name}: {stop - start} samples, as its header says, do not fit into memory"
        ) from error
    for piece in _pieces(folder, name, header, channel, first, last):
        place = (piece.begin + piece.first - first) * spf
        part = _read_millivolts(folder, piece)
        values[place : place + len(part)] = part
    return values[start - first * spf :][: max(stop - start, 0)]


def check_signal(folder: Path, name: str, header: Header, channel: int) -> None:
    """Check all files of a signal, those of every segment too, before hours of it are read.

    Raises:
        InputError: one is absent, shorter than its header says, or not as that describes it.
    """
    for piece in _pieces(folder, name, header, channel, 0, _frames(folder, name, header)):
        if piece.signal.fmt != NULL_FORMAT:
            _frames_in(folder, piece.name, piece.header, piece.signal.file)


def checksum_differs(folder: Path, name: str, header: Header, channel: int) -> bool:
    """Say whether the samples of a signal do not add up to the checksum that its header states.

    Raises:
        InputError: a signal file is absent, cut short or not as the header describes it.
    """
    for piece in _pieces(folder, name, header, channel, 0, _frames(folder, name, header)):
        checksum = piece.signal.checksum
        if checksum is not None and piece.header.length and piece.signal.fmt != NULL_FORMAT:
            firsts = range(piece.first, piece.last, BLOCK)
            blocks = (_read_stored(folder, piece, first, min(first + BLOCK, piece.last)) for first in firsts)
            if (sum(int(block.sum(dtype=np.int64)) for block in blocks) - checksum) % 2**16:
                return True
    return False


def _frames(folder: Path, name: str, header: Header) -> int:
    """Count the frames of a record: as its header says, else those that all its signal files have."""
    if header.length is not None:
        return header.length
    files = {signal.file for signal in header.signals if signal.fmt != NULL_FORMAT}
    return min((_frames_in(folder, name, header, file) for file in files), default=0)


def _frames_in(folder: Path, name: str, header: Header, file: str) -> int:
    """Count the frames in a signal file of a record without segments: at least as many as its header says."""
    with _reading_signals(folder, name, file) as path:
        frames = count_frames(path, _signals_in(header, file))
        if header.length is not None and frames < header.length:
            raise ValueError(f"it holds {frames} samples a signal, not {header.length}")
        return frames


@contextmanager
def _reading_signals(folder: Path, name: str, file: str) -> Iterator[Path]:
    """Yield the path of a signal file; errors of the block become an `InputError` that names it."""
    path = Path(folder, name).with_name(file)
    if not path.is_file():
        raise InputError(f"record {name} has no signal file: {path} is not there")
    with _naming(path, f"cannot be read as {PurePosixPath(name).name}.hea describes it", "; fetch it again"):
        yield path


@dataclass(frozen=True)
class _Piece:
    """A stretch of one channel in a record without segments, which may be a segment of the record that is read."""

    name: str
    header: Header
    channel: int
    begin: int  # where its frame 0 is in the record that is read
    first: int  # frames [first, last) of this record
    last: int

    @property
    def signal(self) -> Signal:
        return self.header.signals[self.channel]


def _pieces(folder: Path, name: str, header: Header, channel: int, first: int, last: int) -> Iterator[_Piece]:
    """The pieces that frames [first, last) of a channel are in; gaps, and segments without the channel, have none."""
    if not header.segments:
        yield _Piece(name, header, channel, 0, first, last)
        return
    path, begin = Path(folder, f"{name}.hea"), 0
    for segment in header.segments:
        end = begin + segment.length
        if segment.name != GAP and max(begin, first) < min(end, last):
            its_header = _segment_header(path, segment.name)
            its_channel = _channel_in_segment(path, header, channel, segment, its_header)
            if its_channel is not None:
                its_name = str(PurePosixPath(name).with_name(segment.name))
                yield _Piece(its_name, its_header, its_channel, begin, max(first - begin, 0), min(last, end) - begin)
        begin = end


def _channel_in_segment(path: Path, header: Header, channel: int, segment: Segment, its_header: Header) -> int | None:
    """Return the channel that a channel of the record with the header `path` is in a segment, None: not there."""
    signal = header.signals[channel]
    differs = its_header.rated and its_header.fs != header.fs
    if differs or its_header.length != segment.length:
        raise InputError(
            f"{path} says that segment {segment.name} has {segment.length} samples at {header.fs:g} Hz; its own header "
            f"says {its_header.length} at {its_header.fs:g} Hz"
        )
    if header.segments[0].length:  # a fixed layout
        its_channel: int | None = channel
        if its_header.n_sig != header.n_sig:
            raise InputError(f"{path} has {header.n_sig} signals, its segment {segment.name} {its_header.n_sig}")
    else:
        names = [other.name for other in its_header.signals]
        its_channel = names.index(signal.name) if signal.name in names else None
    if its_channel is not None and its_header.signals[its_channel].spf != signal.spf:
        raise InputError(
            f"{path}: signal {signal.name} has another number of samples a frame in segment {segment.name}"
        )
    return its_channel


def _read_millivolts(folder: Path, piece: _Piece) -> np.ndarray:
    """Read a piece -> float64 (samples,) in mV; shorter than the piece where a skew moves its end forward."""
    signal = piece.signal
    if signal.millivolts is None:
        raise InputError(
            f"record {piece.name}: signal {signal.name or piece.channel} is in {signal.units}, which is not a unit of "
            "voltage"
        )
    if signal.fmt == NULL_FORMAT:
        return np.empty(0)
    end = _frames(folder, piece.name, piece.header)
    digital = _read_stored(folder, piece, *(min(frame + signal.skew, end) for frame in (piece.first, piece.last)))
    return physical(digital, signal) * signal.millivolts


def _read_stored(folder: Path, piece: _Piece, first: int, last: int) -> np.ndarray:
    """Read frames [first, last) of the channel of a piece, counted in its file -> int32 ADC units."""
    file = piece.signal.file
    which = len(_signals_in(piece.header, file, piece.channel))
    with _reading_signals(folder, piece.name, file) as path:
        return read_samples(path, _signals_in(piece.header, file), which, first, last)


def _signals_in(header: Header, file: str, before: int | None = None) -> list[Signal]:
    """The signals that a file holds, or those of them that are before a channel."""
    return [signal for signal in header.signals[:before] if signal.file == file and signal.fmt != NULL_FORMAT]


# --------------------------------------------------------------------------------------------- the annotations


def read_annotations(
    folder: Path, name: str, header: Header, annotator: str = ANNOTATOR, rate: float | None = None
) -> StoredAnnotations:
    """Read the annotations of a record, NAME.ANNOTATOR.

    Returns:
        The annotations, ascending, at sample numbers of a signal with `rate` samples per second (None: one a frame).
        Their file counts in a time resolution that it states, or else in frames of the record.

    Raises:
        InputError: the annotation file is absent, cut short or something else; the message names those that are there.
    """
    path = Path(folder, f"{name}.{annotator}")
    if not path.is_file():
        others = list_annotators(folder, name, header)
        there = f"; those that it has end in .{', .'.join(others)}: give one of these suffixes" if others else ""
        raise InputError(f"record {name} has no annotation file {path}{there}")
    with _naming(path, "cannot be read", "; fetch it again"):
        annotations, resolution = parse_annotations(path.read_bytes())
    return annotations.ascending().rescaled((rate or header.fs) / (resolution or header.fs))


def list_annotators(folder: Path, name: str, header: Header) -> list[str]:
    """Return the suffixes of the annotation files that lie beside a record."""
    base, taken = PurePosixPath(name).name, {signal.file for signal in header.signals}
    suffixes = []
    for path in sorted(Path(folder, name).parent.iterdir()):
        if path.name.startswith(f"{base}.") and path.suffix != ".hea" and path.name not in taken and path.is_file():
            with suppress(ValueError, OSError):
                if len(parse_annotations(path.read_bytes())[0].positions):
                    suffixes.append(path.name[len(base) + 1 :])
    return suffixes
