"""Compare annotation files beat by beat and run by run, as ANSI/AAMI EC57 asks for.

Prints the table of beats with its gross and average figures; --out writes all tables. They are, byte for byte, those of
the programs bxb, rxr and sumstats of the WFDB Software Package.

examples:
  python -m ec57 data/raw/mitdb/100 --reference atr --test tst
  python -m ec57 data/raw/mitdb/*.hea --reference atr --test tst --test_dir reports/mine --out results/own/mine
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ec57 import tables
from ec57.annotations import Annotations, is_rated, read_annotations, read_header
from ec57.beats import BeatComparison, compare_beats
from ec57.headers import DEFAULT_FS
from ec57.protocol import Protocol, Span
from ec57.runs import RunComparison, compare_runs
from support.cli import ArgumentParser, add_options, config_of, file_suffix
from support.errors import InputError, printable, printable_lines, run_command
from support.files import require_writable, write_table, write_text

EARLY = 60
"""Seconds: where more of the comparison lies behind the last test annotation, a note says so."""


def build_parser() -> ArgumentParser:
    """The command line: the records, their annotators, and the fields of `Protocol`."""
    parser = ArgumentParser(
        prog="python -m ec57",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "records",
        nargs="+",
        metavar="RECORD",
        help="path of a record's files without suffix, or of its header: data/raw/mitdb/100 or data/raw/mitdb/100.hea",
    )
    add_suffix = partial(add, type=file_suffix, required=True, metavar="SUFFIX")
    add_suffix("--reference", help="suffix of the reference annotation files, such as atr")
    add_suffix("--test", help="suffix of the annotation files to be scored")
    add(
        "--test_dir",
        type=Path,
        metavar="DIR",
        help="folder of those files, as DIR/NAME.SUFFIX or DIR/NAME/NAME.SUFFIX (default: the record's)",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder that gets bxb_beats.txt, bxb_shutdown.txt, rxr_v.txt and rxr_s.txt (one line per record), "
        "sumstats_<table>.txt of these, bxb_<record>.txt and .stdout.txt (the matrix of a record, and what its beats "
        "missed in shutdown), and ec57.csv, all figures (default: none)",
    )
    add_options(parser, Protocol)
    return parser


def compare(
    records: Sequence[Path], reference: str, test: str, test_dir: Path | None, protocol: Protocol
) -> tuple[list[BeatComparison], list[RunComparison], list[str]]:
    """Read and compare records, `reference` and `test` being the suffixes of their annotation files.

    Args:
        records: paths of the records' files without suffix.
        test_dir: folder of the test annotations, NAME.SUFFIX or, as `python -m report` writes those of several
            recordings, NAME/NAME.SUFFIX; None: the record's.

    Returns:
        The comparisons, and the records whose test annotations end early, each with that time.

    Raises:
        InputError: a record is given twice or two have one name, or files are absent or damaged.
    """
    named: dict[str, Path] = {}
    for record in records:
        if record == named.get(record.name):
            raise InputError(f"{record} is given twice; give each record once")
        if record.name in named:
            raise InputError(
                f"{named[record.name]} and {record} have the same name, so their lines and files could not be told "
                "apart; compare them in two commands"
            )
        named[record.name] = record
    beats, runs, early = [], [], []
    for name, record in named.items():
        fs, length = read_header(record)
        ours = read_annotations(record.parent / f"{name}.{reference}", fs)
        judged = record.parent / f"{name}.{test}" if test_dir is None else _find(test_dir, name, test)
        theirs = read_annotations(judged, fs)
        beats.append(compare_beats(ours, theirs, fs, length, protocol, name))
        runs.append(compare_runs(ours, theirs, fs, length, protocol, name))
        if _ends_early(ours, theirs, fs, protocol.in_samples(fs, length)):
            early.append(f"{name} ({max(theirs.times, default=0) / fs:.0f} s)")
    return beats, runs, early


def _ends_early(reference: Annotations, test: Annotations, fs: float, span: Span) -> bool:
    """Whether the test seems to be of a part of the record; not where it ends with `~`, unreadable time to the end."""
    if not reference.times or (test.symbols and test.symbols[-1] == "~"):
        return False
    end = reference.times[-1] if span.end is None else min(reference.times[-1], span.end)
    return end - max([span.start, *test.times[-1:]]) > EARLY * fs


def _find(folder: Path, name: str, suffix: str) -> Path:
    """The annotation file of a record in `folder`, or in the folder of the record's name there."""
    paths = (folder / f"{name}.{suffix}", folder / name / f"{name}.{suffix}")
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise InputError(
            f"{paths[0]} is not there, nor is {paths[1]}; check the suffix --test and the folder --test_dir"
        )
    return found


def write(
    folder: Path, beats: Sequence[BeatComparison], runs: Sequence[RunComparison], reference: str, test: str
) -> list[str]:
    """Write all tables of a comparison into `folder`; return the names of their files."""
    texts = {
        "bxb_beats": tables.beats_table(beats),
        "bxb_shutdown": tables.shutdown_table(beats),
        "rxr_v": tables.runs_table(runs, "V"),
        "rxr_s": tables.runs_table(runs, "S"),
        "sumstats_bxb_beats": tables.beats_summary(beats),
        "sumstats_bxb_shutdown": tables.shutdown_summary(beats),
        "sumstats_rxr_v": tables.runs_summary(runs, "V"),
        "sumstats_rxr_s": tables.runs_summary(runs, "S"),
    }
    for comparison in beats:
        texts[f"bxb_{comparison.record}"] = tables.matrix_report(comparison, reference, test)
        texts[f"bxb_{comparison.record}.stdout"] = tables.shutdown_report(comparison)
    for name, text in texts.items():
        write_text(folder / f"{name}.txt", text)
    write_table(folder / "ec57.csv", tables.figures_table(beats, runs), decimals=4)
    return [*(f"{name}.txt" for name in texts), "ec57.csv"]


def run(arguments: Sequence[str] | None = None) -> None:
    """Compare what the command line names, print the table of beats, and write the tables where that is asked for.

    Raises:
        InputError: as `compare`; an option is out of range, no beat was compared, or --out cannot be written.
    """
    args = build_parser().parse_args(arguments)
    protocol = config_of(args, Protocol)
    if args.out is not None:
        require_writable(args.out, "--out")
    records = [Path(record.removesuffix(".hea")) for record in args.records]
    beats, runs, early = compare(records, args.reference, args.test, args.test_dir, protocol)
    for record in records:
        if not is_rated(record):
            _note(
                f"{record}.hea gives no sampling frequency, {DEFAULT_FS:g} Hz assumed as by the WFDB programs; "
                "add the right one to its first line"
            )
    unscored = [comparison.record for comparison in beats if not comparison.matrix.to_numpy().any()]
    to = "on" if protocol.end is None else f"to {protocol.end:g} s"
    earlier = "; --start 0 takes all that is earlier" if protocol.start else ""
    nothing = f"no beat was compared of {', '.join(unscored)}: none lies from {protocol.start:g} s {to}{earlier}"
    if len(unscored) == len(beats):
        raise InputError(nothing)
    print(f"from {protocol.start:g} s {to}, grouping {protocol.grouping}", file=sys.stderr)
    sys.stdout.write(printable_lines(tables.beats_summary(beats).split("\n")))
    if unscored:
        _note(nothing)
    if early:
        _note(
            f"the test annotations of {', '.join(early)} end more than a minute before the reference's; "
            "what follows counts as missed, unless --end leaves it out"
        )
    if args.out is not None:
        written = write(args.out, beats, runs, args.reference, args.test)
        count = f"{len(beats)} record{'' if len(beats) == 1 else 's'}"
        print(f"written to {args.out}: tables of {count}", file=sys.stderr)
        if older := sorted({path.name for path in args.out.glob("bxb_*.txt")} - {*written}):
            _note(
                f"{args.out} has {older[0]}{', ...' if len(older) > 1 else ''} of another comparison too; name "
                "another folder with --out to keep them apart"
            )


def _note(text: str) -> None:
    print(printable(f"note: {text}"), file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
