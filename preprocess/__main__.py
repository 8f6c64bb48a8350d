"""The command line: recordings -> OUT/<dataset>/{train,val,test}.pt, and an account of what became of them."""

from __future__ import annotations

import argparse
import posixpath
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_configs import chosen_classes
from preprocess import physionet, splits
from preprocess.beats import WINDOWS, BeatSet, ReadingOptions, only_classes, read_beats
from preprocess.databases import DATABASES, DEFAULT, Database
from preprocess.joined import join
from preprocess.kaggle import read_kaggle
from preprocess.labels import CLASSES
from preprocess.leads import LEAD_II
from preprocess.records import ANNOTATOR
from preprocess.released import read_released
from preprocess.synthetic import (
    DIARY,
    TRUE_EPISODES,
    Holter,
    write_synthetic_holter,
    write_synthetic_mit,
    write_synthetic_ptb,
)
from support.cli import ArgumentParser
from support.errors import InputError, run_command, unknown

RAW = Path("data/raw")  # with a folder for each database
RAW_PATHS = {
    "records": {"mit": "data/raw/mitdb", "ptb": "data/raw/ptbdb"},
    "physionet": {"mit": "data/raw/mitdb", "ptb": "data/raw/ptbdb"},
    "synthetic": {"mit": "data/raw/synthetic_mit", "ptb": "data/raw/synthetic_ptb"},
    "kaggle": {"mit": "data/raw/kaggle", "ptb": "data/raw/kaggle"},
}
SOURCES = (*RAW_PATHS, "released")
CUT_ALREADY = {"kaggle": read_kaggle, "released": read_released}
"""Sources of beats, not of recordings: who reads them."""

SYNTHESISE = {"mit": write_synthetic_mit, "ptb": write_synthetic_ptb}
PATIENTS, MINUTES = 20, 5.0
HOLTER_PATH = "data/raw/synthetic_holter"
WITH_HOURS = ("source", "hours", "raw_path", "seed_id")
"""The options that go with --hours, which writes a recording and no split files."""

NAMED = 12  # records named in a line before it says how many more


def build_parser() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser(
        prog="python -m preprocess",
        description="Read ECG recordings and write OUT/<dataset>/train.pt, val.pt and test.pt.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=CLASSES, help="mit: AAMI beat classes; ptb: infarction or not (required, but for --hours)")
    add(
        "--source",
        default="records",
        choices=SOURCES,
        help="where the recordings are from: a folder of WFDB records; a database, downloaded from PhysioNet and "
        "compared with its checksums (mitdb 0.1 GB, ptbdb 1.7 GB); synthetic patients; the CSV files of the Kaggle "
        "heartbeat set; or one .pt file as the paper's authors released it, named by --raw_path and split again "
        "(default: records)",
    )
    add(
        "--database",
        type=_databases,
        default=(),
        metavar="NAME[,NAME...]",
        help="the database to download, or that the records are of: "
        + "; ".join(f"{slug}, {database.title} ({database.dataset})" for slug, database in DATABASES.items())
        + ". Its leads, annotator and patients are then known. Several are read as one set, each from a folder of its "
        "name below --raw_path (default: for --source physionet "
        + ", ".join(f"{slug} with --dataset {dataset}" for dataset, slug in DEFAULT.items())
        + "; for records none, those of mitdb, svdb, nstdb and ptbdb are recognised by their signals)",
    )
    add(
        "--raw_path",
        type=Path,
        metavar="PATH",
        help="folder of the recordings (released: the file), read and, when downloaded or synthetic, written first "
        "(default: "
        + ", ".join(sorted({path for paths in RAW_PATHS.values() for path in paths.values()}))
        + f" by source and dataset, {RAW}/NAME for a --database; for released none)",
    )
    add("--out", type=Path, default=Path("data"), metavar="DIR", help="folder that gets <dataset>/ (default: data)")
    add(
        "--split",
        default="beat",
        choices=splits.PROTOCOLS,
        help="split by beat, or by patient: DS1 and DS2 for mitdb (default: beat)",
    )
    add(
        "--folds",
        type=int,
        metavar="K",
        help="with --split inter_patient: K splits for cross-validation in DIR/fold_1 to fold_K, each with other test "
        "patients; of mitdb the patients are those of DS1, and DS2 stays unopened (default: one split)",
    )
    add(
        "--patients_file",
        type=Path,
        metavar="FILE",
        help="CSV file that says whose the records are: record,patient in its first line, then one line a record, "
        "named as in RECORDS (default: as the database or the headers say; else one patient a folder, or a record)",
    )
    add(
        "--window",
        choices=WINDOWS,
        help="how a beat is cut from a recording: 360 Hz, centred on the R-peak, standardised; or 125 Hz, from the "
        "R-peak on for 1.2 R-R intervals, padded with zeros. kachuee: as the text of the paper's data says, from "
        "maxima above 0.9 of 10 s, scaled to [0, 1] with them. kaggle: like the rows of the Kaggle set, which differ: "
        "from annotated R-peaks (mit) or maxima above 0.9 of 5 s (ptb), each beat scaled to [0, 1]; the rows "
        "themselves are read with --source kaggle (default: centred)",
    )
    add(
        "--fractions",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the splits, any three positive numbers (default: 64 16 20, the paper's)",
    )
    add("--seed_id", type=int, default=0, metavar="N", help="seed of splits and of synthetic patients (default: 0)")
    add(
        "--lead",
        metavar="NAME[,NAME...]",
        help="name of the lead to read, or several in the order of preference; case and words such as ECG and lead do "
        f"not count (default: that of --database, else {','.join(LEAD_II)})",
    )
    add(
        "--any_lead",
        action="store_true",
        help="also take records that lack the lead to read: in lead II, or where that is lacking too in the first of "
        "their signals that is an ECG (default: they are left out)",
    )
    add(
        "--annotator",
        metavar="EXT",
        help="suffix of the annotation files that mark the beats, for --dataset mit (default: that of --database, else "
        f"{ANNOTATOR})",
    )
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="classes to keep, such as N S V F; beats of the others are left out (default: all, N S V F Q or normal "
        "infarction)",
    )
    add("--patients", type=int, metavar="N", help=f"synthetic patients (default: {PATIENTS})")
    add("--minutes", type=float, metavar="M", help=f"minutes a synthetic patient (default: {MINUTES:g})")
    add(
        "--hours",
        type=float,
        metavar="H",
        help="with --source synthetic: write no split files but one recording of H hours, with a diary and its true "
        f"episodes, to try `python -m report` on; of the other options only --seed_id and --raw_path (default: "
        f"{HOLTER_PATH}) go with it",
    )
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        InputError: an argument is unknown, out of range, or does not go with another one.
    """
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.hours is not None:
        _check_hours(args, parser)
    else:
        _check(args)
    return args


def _check_seed(args: argparse.Namespace) -> None:
    if not 0 <= args.seed_id < 2**32:
        raise InputError(f"--seed_id {args.seed_id}: a seed is 0 to {2**32 - 1}")


def _check_hours(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if args.source != "synthetic":
        raise InputError(f"--hours goes with --source synthetic only, not with {args.source}")
    for name, value in vars(args).items():
        if name not in WITH_HOURS and value != parser.get_default(name):
            raise InputError(f"--{name} does not go with --hours, which writes one recording and no split files")
    _check_seed(args)


def _check(args: argparse.Namespace) -> None:
    if args.dataset is None:
        raise InputError(f"--dataset is missing: give one of {', '.join(CLASSES)}")
    _check_seed(args)
    if args.classes is not None:
        chosen_classes(args.classes, CLASSES[args.dataset])
    if args.fractions is not None:
        total = sum(args.fractions)
        if not (min(args.fractions) > 0 and np.isfinite(total)):
            given = " ".join(f"{fraction:g}" for fraction in args.fractions)
            raise InputError(f"--fractions {given}: three positive numbers are needed, such as 70 15 15")
        args.fractions = tuple(fraction / total for fraction in args.fractions)
        if not (np.isclose(total, 1) or np.isclose(total, 100)):
            shares = " ".join(f"{100 * fraction:.1f}" for fraction in args.fractions)
            print(f"note         --fractions add up to {total:g}; taken for {shares} %")
    if args.folds is not None and args.split != "inter_patient":
        raise InputError("--folds: deals patients to folds; add --split inter_patient")
    if args.folds is not None and args.folds < 2:
        raise InputError(f"--folds must be at least 2, got {args.folds}")
    if args.folds is not None and args.fractions is not None:
        raise InputError("--fractions does not apply to --folds: a fold is test, and about 20 % of the rest validation")
    if args.source != "synthetic" and (args.patients is not None or args.minutes is not None):
        raise InputError("--patients and --minutes go with --source synthetic only")
    if args.source == "synthetic" and args.split == "inter_patient" and (args.patients or PATIENTS) < 3:
        raise InputError(f"--patients {args.patients}: --split inter_patient needs at least 3, one a split")
    for option in ("lead", "any_lead", "annotator", "window", "patients_file"):
        if getattr(args, option) not in (None, False) and args.source in CUT_ALREADY:
            raise InputError(f"--{option} does not go with --source {args.source}, whose beats are cut already")
    if args.lead is not None:
        args.lead = tuple(name.strip() for name in args.lead.split(","))
        if not all(args.lead):
            raise InputError(f"--lead {','.join(args.lead)}: names with commas between them are wanted, such as V5,V1")
    if args.annotator is not None and args.dataset != "mit":
        raise InputError("--annotator goes with --dataset mit only: the beats of ptb are detected")
    if args.annotator is not None and not re.fullmatch(r"\w[\w.-]*", args.annotator):
        raise InputError(f"--annotator {args.annotator}: the suffix of a file is wanted, such as atr or qrs")
    args.window = args.window or "centred"
    if args.source == "released" and args.raw_path is None:
        raise InputError("--source released needs --raw_path FILE.pt, the file to read")
    if args.database and args.source not in ("records", "physionet"):
        raise InputError(f"--database goes with --source physionet or records, not with {args.source}")
    for database in args.database:
        if database.dataset != args.dataset:
            raise InputError(f"--database {database.slug} goes with --dataset {database.dataset}, not {args.dataset}")
    if args.patients_file is not None and len(args.database) > 1:
        raise InputError("--patients_file goes with one database at a time")


def _databases(text: str) -> tuple[Database, ...]:
    slugs = text.split(",")
    for slug in slugs:
        if slug not in DATABASES:
            raise unknown("--database", slug, DATABASES)
        if slugs.count(slug) > 1:
            raise argparse.ArgumentTypeError(f"{slug} is named twice")
    return tuple(DATABASES[slug] for slug in slugs)


def prepare(args: argparse.Namespace) -> None:
    """Go from recordings to split files, and print what happened."""
    start = time.monotonic()
    out = args.out / args.dataset
    splits.check_writable(out)
    if args.folds is not None:
        splits.require_no_other_folds(args.out, args.dataset, args.folds)
    raw, beats = _read(args)
    beats = only_classes(beats, args.classes)
    if args.folds is None:
        made = {out: (args.split, splits.split_beats(beats, args.split, args.fractions, args.seed_id))}
    else:
        every = splits.fold_splits(beats, args.folds, args.seed_id)
        made = {
            args.out / f"fold_{fold}" / args.dataset: (f"{args.split}, fold {fold} of {args.folds}", split)
            for fold, split in enumerate(every, start=1)
        }
    print("\n".join(account(args.dataset, raw, beats)))
    for folder, (protocol, split) in made.items():
        paths = splits.write_split_files(folder, beats, split, protocol, args.seed_id)
        print("\n".join(split_account(beats, split, protocol, args.seed_id)))
        print(f"written      {', '.join(map(str, paths))}; {time.monotonic() - start:.1f} s")


def _read(args: argparse.Namespace) -> tuple[Path, BeatSet]:
    """Read the beats that the command line asks for; download or make the recordings first where it says so."""
    if len(args.database) > 1:
        raw = args.raw_path or RAW
        return raw, join({base.slug: _read_records(args, raw / base.slug, base) for base in args.database})
    database = args.database[0] if args.database else None
    raw = args.raw_path or (RAW / database.slug if database else Path(RAW_PATHS[args.source][args.dataset]))
    if args.source in CUT_ALREADY:
        return raw, CUT_ALREADY[args.source](args.dataset, raw)
    if args.source == "synthetic":
        patients = PATIENTS if args.patients is None else args.patients
        minutes = MINUTES if args.minutes is None else args.minutes
        SYNTHESISE[args.dataset](raw, patients, minutes, args.seed_id, sys.stderr.isatty())
    elif args.source == "physionet" and database is None:
        database = DATABASES[DEFAULT[args.dataset]]
    return raw, _read_records(args, raw, database)


def _read_records(args: argparse.Namespace, raw: Path, database: Database | None) -> BeatSet:
    if args.source == "physionet":
        replaced = physionet.download(database, raw, progress=True)
        if replaced:
            print(f"{_count(replaced, 'file')} did not match PhysioNet's checksums, fetched again: {_some(replaced)}")
    elif database is not None and not raw.is_dir():
        command = f"--source physionet --database {database.slug}"
        raise InputError(
            f"{raw} is no folder of records: {command} downloads them, --raw_path DIR names another folder"
        )
    options = ReadingOptions.of(database, args.lead, args.annotator, args.any_lead, args.window)
    return read_beats(args.dataset, raw, options, True, database, args.patients_file)


def account(dataset: str, raw: Path, beats: BeatSet) -> list[str]:
    """Describe in lines what was read and what was left out."""
    lines = [f"{dataset}: {raw}, source {beats.source}" + (f": {beats.source_from}" if beats.source_from else "")]
    known = f" of {len(beats.record_names)} records of {len({*beats.patients})} patients" if beats.patients else ""
    lines.append(f"read         {len(beats.labels)} beats{known}")
    if beats.patients_from:
        lines.append(f"patients     {beats.patients_from}")
    if beats.leads:
        leads = sorted({*beats.leads})
        lines.append("leads        " + ", ".join(f"{lead} in {beats.leads.count(lead)}" for lead in leads))
    lines.append(f"window       {beats.window}")
    for reason, names in beats.account.left_out.items():
        lines.append(f"left out     {_count(names)}, {reason}: {_some(names)}")
    if any(reason.startswith("no lead ") for reason in beats.account.left_out):  # without --any_lead
        lines.append("             --lead NAME takes another lead, --any_lead the first ECG channel of such records")
    for remark, names in beats.account.remarks.items():
        lines.append(f"note         {_count(names)}, {remark}: {_some(names)}")
    if beats.account.unused:
        codes = sorted(beats.account.unused.items(), key=lambda item: -item[1])
        counts = ", ".join(f"{symbol} {count}" for symbol, count in codes)
        lines.append(f"not used     {sum(beats.account.unused.values())} annotations that mark no beat: {counts}")
    for reason, count in beats.account.dropped.items():
        if count:
            lines.append(f"dropped      windows that {reason}: {count}")
    for reason, count in beats.account.segments.items():
        if count:
            lines.append(f"no beats     in {count} segments {reason}")
    if sum(beats.account.missed.values()):
        counts = ", ".join(f"{name} {count}" for name, count in beats.account.missed.items())
        lines.append(
            f"missed       {sum(beats.account.missed.values())} annotated beats that could not be cut: {counts}"
        )
    if beats.account.flat:
        lines.append(f"flat         {beats.account.flat} beats without any deflection, kept as zeros")
    for database in (DATABASES[slug] for slug in dict.fromkeys(beats.databases) if slug):
        if database.note:
            lines.append(f"note         {database.slug}: {database.note}")
        lines.append(f"cite         {database.citation}; doi {database.doi}")
    return lines


def split_account(beats: BeatSet, split: splits.Split, protocol: str, seed: int) -> list[str]:
    """Describe in lines which beats went where: a table of classes per split, and what to know of it."""
    lines = [f"split        {protocol}, seed {seed}"]
    lines.append(f"{'':13}" + "".join(f"{name:>11}" for name in (*beats.classes, "beats", "patients")))
    for name, index in split.items():
        counts = [*np.bincount(beats.labels[index], minlength=len(beats.classes)), len(index)]
        patients = _patients(beats, index)
        cells = [*map(str, counts), str(len(patients)) if patients else "unknown"]
        lines.append(f"  {name:<11}" + "".join(f"{cell:>11}" for cell in cells))
    absent = splits.absent_classes(beats, split)
    for name, classes in absent.items():
        if classes:
            lines.append(f"note         {name} has no beat of class {', '.join(classes)}")
    if absent["train"]:
        others = " ".join(name for name in beats.classes if name not in absent["train"])
        lines.append(
            "             The paper's loss weighs a class by its training beats, so it needs some of each: leave the "
            f"class out with --classes {others}, or train with --loss cross_entropy"
        )
    if protocol != "beat":
        lines += _patient_notes(beats, split, protocol)
    return lines


def _patient_notes(beats: BeatSet, split: splits.Split, protocol: str) -> list[str]:
    lines = [f"validation   patients {', '.join(sorted(_patients(beats, split['val'])))}"]
    if splits.has_mitdb(beats) and protocol != "inter_patient":
        lines.append("protocol     of mitdb the patients of DS1 alone (de Chazal et al. 2004); DS2 stays unopened")
    elif splits.has_mitdb(beats):
        used = np.unique(np.concatenate([beats.records[index] for index in split.values()]))
        unused = [name for number, name in enumerate(beats.record_names) if number not in used]
        paced = [name for name in unused if posixpath.basename(name) in splits.PACED]
        others = [name for name in unused if name not in paced]
        of = "" if {*beats.databases} == {"mitdb"} else ", for the records of mitdb"
        lines.append(f"protocol     DS1 (train, validation) and DS2 (test) of de Chazal et al. 2004{of}")
        if paced:
            lines.append(f"left out     paced records, as in the protocol: {', '.join(paced)}")
        if others:
            lines.append(f"left out     records of neither DS1 nor DS2: {', '.join(others)}")
    shared = _patients(beats, split["test"]) & (_patients(beats, split["train"]) | _patients(beats, split["val"]))
    if shared:
        names = [name for name, patient in zip(beats.record_names, beats.patients, strict=True) if patient in shared]
        lines.append(f"note         one subject on both sides, as in the protocol: records {', '.join(names)}")
    return lines


def _patients(beats: BeatSet, index: np.ndarray) -> set[str]:
    if beats.records is None:
        return set()
    return {beats.patients[record] for record in np.unique(beats.records[index])}


def _count(names: Sequence[str], what: str = "record") -> str:
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def prepare_recording(args: argparse.Namespace) -> None:
    """Write a synthetic recording, and print what it holds and what to do with it."""
    start = time.monotonic()
    folder = args.raw_path or Path(HOLTER_PATH)
    holter = write_synthetic_holter(folder, args.hours, args.seed_id, sys.stderr.isatty())
    print("\n".join(recording_account(holter)))
    print(f"written      {folder}; {time.monotonic() - start:.1f} s")
    print(f"next         python -m report {holter.record} --diary {folder / DIARY}")


def recording_account(holter: Holter) -> list[str]:
    """Describe in lines what a synthetic recording holds."""
    form, hours = holter.form, holter.samples / holter.form.fs / 3600
    beats = ", ".join(f"{symbol} {count}" for symbol, count in holter.beats.most_common())
    episodes = ", ".join(f"{kind} {count}" for kind, count in holter.episodes.most_common())
    return [
        f"recording    {holter.record}: a synthetic patient, {hours:g} h from {holter.start:%Y-%m-%d %H:%M} on, "
        f"{' and '.join(form.leads)} at {form.fs} Hz",
        f"annotations  {holter.record}.atr: {beats}; rhythms, and time that cannot be read",
        f"episodes     {holter.record.with_name(TRUE_EPISODES)}, the true ones: {episodes}",
        f"diary        {holter.record.with_name(DIARY)}: {holter.diary} entries",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""

    def command() -> None:
        args = parse(arguments)
        (prepare if args.hours is None else prepare_recording)(args)

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
