"""The command line: recordings in, a report of each out."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from preprocess.records import segment_names
from report.analysis import analyse
from report.browser import print_pdf, require_browser
from report.classify import Classifier, load_classifier
from report.definitions import Definitions, Quality
from report.earlier import kept_report, name_of, require_index, require_report, require_same_recording
from report.options import FOLDER, ReportOptions, Work
from report.outputs import index_table, write_report
from report.render import IndexRow, index_page, page
from report.wording import lasting
from support.cli import ArgumentParser, add_options, config_of
from support.errors import (
    FREE_MEMORY,
    InputError,
    PartlyFailedError,
    count_of,
    is_out_of_memory,
    listed,
    out_of_memory,
    printable,
    reason_of,
    run_command,
)
from support.files import folder_written_whole, require_writable, write_table, write_text

IDLE = 10  # s, after which a process without work ends; by itself joblib waits for 5 minutes
STEPS = ("beats", "quality", "classes", "episodes", "page", "pdf")


def build_parser() -> ArgumentParser:
    """The command line: recordings, options, and every threshold."""
    parser = ArgumentParser(
        prog="python -m report",
        description="Read ECG recordings and write a report of each: beats, episodes, burdens, trends, strips. "
        "Research software, not for clinical use.",
        epilog="exit code: 0; 1 where some or all of several recordings failed, and the others have their reports; 2 "
        "for wrong input, where nothing was written; 130 when interrupted",
        allow_abbrev=False,
    )
    parser.add_argument(
        "records",
        nargs="+",
        metavar="RECORD",
        type=Path,
        help="recordings: files; for WFDB the header, or its path without suffix",
    )
    add_options(parser, ReportOptions)
    add_options(parser.add_argument_group("definitions, each printed in the report"), Definitions)
    add_options(parser.add_argument_group("what makes time unreadable"), Quality)
    return parser


def report_one(path: Path, folder: Path, work: Work, classifier: Classifier | None, progress: bool) -> dict[str, Any]:
    """Write the report of one recording into `folder`, or with --resume keep the one there; return its summary.

    Raises:
        InputError: the recording cannot be read; as `analyse`; or `folder` has something else in it that would be lost,
            or cannot be written, or the browser prints no PDF. What was in `folder` is then as it was.
    """
    kept = kept_report(path, folder, work, classifier)
    if kept is not None:
        return kept
    steps = len(STEPS) - (not work.options.pdf)
    bar = tqdm(total=steps, desc=printable(path.name), unit="step", leave=False, disable=None) if progress else None
    # Without `progress` no bar at all: a disabled one has a semaphore too, and Python warns of it in a killed process.
    with nullcontext() if bar is None else bar:

        def step(title: str) -> None:
            if bar is not None:
                bar.set_postfix_str(title)
                bar.update(STEPS.index(title) - bar.n)

        with folder_written_whole(folder, require_report) as part, work.options.open(path) as recording:
            require_same_recording(folder, recording, work.options)
            analysis = analyse(recording, work, classifier, step)
            step("page")
            made = write_report(part, analysis, page(analysis))
            if work.options.pdf:
                step("pdf")
                print_pdf(part / "report.html", part / "report.pdf")
    return made


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line `arguments` (default: sys.argv) ask for.

    Raises:
        InputError: something in them, or in a file that they name, is wrong; nothing was written.
        PartlyFailedError: some of several recordings failed.
    """
    args = build_parser().parse_args(arguments)
    records: list[Path] = args.records
    options = config_of(args, ReportOptions)
    work = Work(options, config_of(args, Definitions), config_of(args, Quality))
    for record in records:
        if record.name in ("", ".."):  # `.` has no name; there is none for a report of it either
            raise InputError(f"{record} is a folder: name a file, or a record in it")
        if name_of(record) in (".", ".."):  # of `...hea`: its report would take the place of a folder that it lies in
            raise InputError(f"{record}: a report cannot be called {name_of(record)}; rename the recording")
    records = without_segments(records)
    if options.pdf:
        require_browser()
    alone = len(records) == 1
    usual = FOLDER / name_of(records[0]) if alone else FOLDER
    out = usual if options.out is None else Path(options.out)
    require_writable(out, "--out")
    if alone:
        summary = report_one(records[0], out, work, _classifier(options), progress=True)
        print(printable(line_of(summary)))
        for note in notes_of(summary):
            print(f"note: {note}", file=sys.stderr)
        print(printable(f"The report is {out / 'report.html'}{' and report.pdf' if options.pdf else ''}"))
        return
    for name, value in (("--diary", options.diary), ("--start_time", options.start_time)):
        if value is not None:
            raise InputError(
                f"{name} {value}: is that of one recording, and {len(records)} are given; report on each with its own"
            )
    folders = {record: out / name for record, name in names_of(records).items()}
    require_index(out)
    _classifier(options)  # one that cannot be loaded fails before any work
    report_many(folders, out, work)


def _classifier(options: ReportOptions) -> Classifier | None:
    return load_classifier(options.checkpoint, options.device) if options.classifies else None


def without_segments(records: Sequence[Path]) -> list[Path]:
    """Leave out, and say so, the segments and layouts of others of the recordings, which `*.hea` names beside them."""
    parts: dict[Path, set[Path]] = {}
    for record in records:
        if record.suffix == ".hea" or not record.is_file():
            parts[record] = set()
            with suppress(InputError, OSError):  # what is wrong with it is told when its turn comes
                parts[record] = {record.with_name(name) for name in segment_names(record.parent, [name_of(record)])}
    named = {part for its_parts in parts.values() for part in its_parts}
    left_out = {one: None for one, its_parts in parts.items() if not its_parts and one.with_name(name_of(one)) in named}
    if left_out:
        names = listed(record.name for record in left_out)
        print(printable(f"note: left out as segments of other recordings named here: {names}"), file=sys.stderr)
    return [record for record in records if record not in left_out]


def names_of(records: Sequence[Path]) -> dict[Path, str]:
    """The name of each report: that of its recording.

    A name that several recordings share is preceded by those of as many folders above them as tell them apart:
    P001_V1_ecg.

    Raises:
        InputError: two reports would have the same name.
    """
    alike: dict[str, list[Path]] = {}
    for record in records:
        alike.setdefault(name_of(record), []).append(record)
    names: dict[str, Path] = {}
    for name, same in alike.items():
        above = [Path(os.path.abspath(record)).parts[1:-1] for record in same]  # noqa: PTH100  (a link is not followed)
        depths = range(max(map(len, above)) + 1)
        tried = (["_".join((*parts[max(len(parts) - depth, 0) :], name)) for parts in above] for depth in depths)
        called = next((called for called in tried if len({*called}) == len(called)), [name] * len(same))
        for record, report in zip(same, called, strict=True):
            other = names.setdefault(report, record)
            if other is not record:
                raise _called_alike(other, record, report)
    return {record: name for name, record in names.items()}


def _called_alike(one: Path, other: Path, name: str) -> InputError:
    if one == other:
        return InputError(f"{one} is given twice; name it once")
    is_one = one.parent == other.parent and ".hea" in (one.suffix, other.suffix)
    remedy = "of a WFDB record give the header alone" if is_one else "report on them one at a time, with --out"
    return InputError(f"{one} and {other} would both become {name}/; {remedy}")


def report_many(folders: Mapping[Path, Path], out: Path, work: Work) -> None:
    """Write the reports of several recordings and their index; one that fails is named, and the others go on.

    Args:
        folders: recording -> folder of its report, in `out`.

    Raises:
        PartlyFailedError: some failed.
    """
    from joblib import Parallel, delayed

    rows: dict[Path, IndexRow] = {}
    records = [*folders]
    jobs = work.options.jobs
    calls = (delayed(_attempt)(record, folder, work, progress=jobs == 1) for record, folder in folders.items())
    # Unordered: each is told when it is made. The timeout ends the processes of a command that was killed.
    done = Parallel(n_jobs=jobs, return_as="generator_unordered", idle_worker_timeout=IDLE)(calls)
    try:
        for record, result in tqdm(_or_killed(done, records), "recordings", len(records), unit="", disable=None):
            rows[record] = _told(record, folders[record].name, result)
    except KeyboardInterrupt:
        print(f"{out} has {len(rows)} of {len(records)}; add --resume to the same command to go on", file=sys.stderr)
        raise
    ordered = [rows[record] for record in records]
    write_text(out / "index.html", index_page(ordered))
    write_table(out / "index.csv", index_table(ordered), index=False)
    print(f"The index is {out / 'index.html'}, and as a table index.csv")
    failed = sum(row.summary is None for row in rows.values())
    if failed:
        raise PartlyFailedError(f"{failed} of {len(rows)} recordings failed; {out / 'index.html'} names them")


def _told(record: Path, name: str, result: dict[str, Any] | str) -> IndexRow:
    """Tell the terminal what `_attempt` made of a recording; return its row of the index."""
    if isinstance(result, str):
        names_it = re.match(rf"{re.escape(str(record))}(?!\w)", result)  # some messages do themselves
        tqdm.write(printable(result if names_it else f"{record}: {result}"), file=sys.stderr)
        return IndexRow(name, None, result)
    tqdm.write(printable(line_of(result | {"record": name})))
    for note in notes_of(result):
        tqdm.write(printable(f"note: {name}: {note}"), file=sys.stderr)
    return IndexRow(name, result)


def _or_killed(
    done: Iterable[tuple[Path, dict[str, Any] | str]], records: Sequence[Path]
) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """The results of `_attempt`; where a process is killed, one that says so for each of the `records` left."""
    left = [*records]
    try:
        for record, result in done:
            left.remove(record)
            yield record, result
    except BrokenProcessPool:
        for record in left:
            yield record, "the process that worked on it was killed, as where memory runs out; give fewer --jobs"


def _attempt(record: Path, folder: Path, work: Work, progress: bool) -> tuple[Path, dict[str, Any] | str]:
    """`record` with the summary of its report, or why there is none; with several jobs in a process of its own."""
    try:
        return record, report_one(record, folder, work, _classifier(work.options), progress)
    except InputError as error:
        return record, str(error)
    except OSError as error:
        return record, reason_of(error)
    except Exception as error:
        if isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error):
            return record, out_of_memory(FREE_MEMORY if work.options.jobs == 1 else "give fewer --jobs, or free some")
        error.add_note(f"It came up with {record}; without that, and with --resume, the same command goes on.")
        raise


def line_of(summary: dict[str, Any]) -> str:
    """What the terminal says of a report."""
    shown = {name: count for name, count in summary["beats"].items() if name != "all"}
    if not shown["unclassified"]:
        del shown["unclassified"]
    beats = ", ".join(f"{name} {count:,}" for name, count in shown.items())
    return (
        f"{summary['record']}: {lasting(summary['readable_s'])} of {lasting(summary['duration_s'])} readable, "
        f"{count_of(summary['beats']['all'], 'beat')} ({beats})"
    )


def notes_of(summary: dict[str, Any]) -> list[str]:
    """What the terminal says of a recording beside its figures; page 1 of the report has more."""
    known = summary["model"] and summary["model"]["this_record_in_training"]
    learnt = [f"the network was trained on this recording, {known}"] if known else []
    nothing = [] if summary["beats"]["all"] else ["no readable beat was found"]
    return [*nothing, *learnt, *summary["notes"]]


if __name__ == "__main__":
    sys.exit(run_command(run))
