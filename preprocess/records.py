"""Where recordings come from: a folder of WFDB records, which PhysioNet, a user or `synthetic` has filled.

WFDB formats: header(5), signal(5)
and annot(5) of the WFDB Applications Guide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from support.errors import InputError

if TYPE_CHECKING:
    import wfdb

LEAD_II = ("mlii", "ii")
"""Names of the lead that is read, in the order of preference; case does not count. MLII: modified limb lead II."""


def list_records(folder: Path, dataset: str) -> list[str]:
    """Return the names of the records in `folder`: those of its RECORDS file, or else of all its headers.

    Names are relative to `folder`, without a suffix, such as "100" or "patient001/s0010_re".

    Raises:
        InputError: there is no such folder, no record in it, or a name that is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        command = f"`python -m preprocess --dataset {dataset}"
        raise InputError(
            f"{folder} is not a folder of records: {command} --source physionet` downloads them, {command} "
            f"--source synthetic` makes some, {command} --raw_path DIR` reads those in DIR"
        )
    listing = folder / "RECORDS"
    if listing.is_file():
        names = listing.read_text(encoding="utf-8", errors="replace").split()
        for name in names:
            if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name):  # a path out of the folder, a web page
                raise InputError(f"{listing} names {name!r}, which is no record of its folder; fetch it again")
    else:
        names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.hea"))
    if not names:
        raise InputError(f"{folder} holds no WFDB record: neither names in a RECORDS file nor a .hea file")
    return names


def read_header(folder: Path, name: str) -> wfdb.Record:
    """Read NAME.hea.

    Raises:
        InputError: the header is absent, cannot be parsed, or describes what cannot be read here.
    """
    import wfdb

    path = Path(folder, f"{name}.hea")
    if not path.is_file():
        raise InputError(f"record {name} has no header: {path} is not there")
    try:
        header = wfdb.rdheader(str(path.with_suffix("")))
    except Exception as error:  # wfdb raises whatever its parser stumbles over
        raise InputError(f"{path} is not a WFDB header: {_first_line(error)}") from error
    if not isinstance(header, wfdb.Record):
        raise InputError(f"{path} is of a record in several segments; only single-segment records can be read")
    files = header.file_name or []
    if len(files) != header.n_sig or not header.fs > 0:
        raise InputError(f"{path} is not a WFDB header: it describes {len(files)} of its {header.n_sig} signals")
    return header


def find_lead(leads: Sequence[str | None], any_lead: bool = False) -> int | None:
    """Return the channel of lead II by its name, with `any_lead` the first one where there is none, else None."""
    names = [(lead or "").strip().lower() for lead in leads]
    for wanted in LEAD_II:
        if wanted in names:
            return names.index(wanted)
    return 0 if any_lead and names else None


def read_signal(folder: Path, name: str, header: wfdb.Record, channel: int) -> np.ndarray:
    """Read one channel of a record.

    Returns:
        float64 (samples,) in physical units (mV), NaN where the record says that a sample is missing.

    Raises:
        InputError: the signal file is absent, or shorter than the header says.
    """
    return read_samples(folder, name, header, [channel], physical=True).p_signal[:, 0]


def read_samples(folder: Path, name: str, header: wfdb.Record, channels: list[int], physical: bool) -> wfdb.Record:
    """Read the channels of a record: `p_signal` in physical units, or `e_d_signal` as the file has them.

    Raises:
        InputError: a signal file is absent, or shorter than the header says.
    """
    import wfdb

    base = Path(folder, name)
    for file in sorted({header.file_name[channel] for channel in channels}):
        if not base.with_name(file).is_file():
            raise InputError(f"record {name} has no signal file: {base.with_name(file)} is not there")
    try:
        return wfdb.rdrecord(str(base), channels=channels, physical=physical, smooth_frames=physical)
    except Exception as error:  # wfdb raises whatever its decoder stumbles over
        path = base.with_name(header.file_name[channels[0]])
        raise InputError(
            f"{path} cannot be read as {base.name}.hea describes it ({header.sig_len} samples a signal): it was "
            "cut short or is damaged; fetch it again"
        ) from error


def read_annotations(folder: Path, name: str, suffix: str = "atr") -> tuple[np.ndarray, list[str]]:
    """Read the annotations of a record.

    Returns:
        int64 (n,) sample indices, ascending, and the n symbols.

    Raises:
        InputError: the annotation file is absent, cut short or none.
    """
    import wfdb

    path = Path(folder, f"{name}.{suffix}")
    if not path.is_file():
        raise InputError(f"record {name} has no annotations, which --dataset mit needs: {path} is not there")
    content = path.read_bytes()
    if len(content) % 2 or content[-2:] != b"\0\0":  # annot(5): a zero word ends every annotation file
        raise InputError(f"{path} was cut short or is no annotation file; fetch it again")
    try:
        annotation = wfdb.rdann(str(path.with_suffix("")), suffix)
    except Exception as error:  # wfdb raises whatever its decoder stumbles over
        raise InputError(f"{path} is no annotation file: {_first_line(error)}") from error
    order = np.argsort(annotation.sample, kind="stable")
    return annotation.sample[order], [annotation.symbol[index] for index in order]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
