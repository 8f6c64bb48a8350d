"""The tables of a comparison, to the byte as the WFDB programs `bxb` (options -L and -S), `rxr` (-L) and `sumstats`
print them, and the same figures for machines.

Functions return text that ends with a newline; they print and write nothing. "Gross" figures follow from the counts of
all records together, "average" ones are means over the records that have them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ec57.beats import COLUMNS, ROWS, BeatComparison
from ec57.figures import Ratio, beat_figures
from ec57.protocol import CLASSES
from ec57.runs import RunComparison, Runs, run_figures

BEATS_HEAD = (
    "Record Nn' Sn' Vn' Fn' On'  Ns  Ss  Vs  Fs' Os' Nv  Sv   Vv  Fv' Ov' No' So' Vo' Fo'"
    "  Q Se   Q +P   V Se   V +P   S Se   S +P RR err\n"
)
SHUTDOWN_HEAD = (
    "Record Nx   Sx   Vx   Fx   Qx  % beats  % N    % S    % V    % F   Total Shutdown\n"
    "                                missed missed missed missed missed      Time\n"
)
RUNS_HEAD = "Record CTs CFN CTp CFP STs SFN STp SFP LTs LFN LTp LFP  CSe C+P SSe S+P LSe L+P\n"
S_RUNS_HEAD = "(SVE run detection)\n"

SUMSTATS_EXCUSED = {"S": ("F", "Q"), "V": ("F", "Q")}
"""`sumstats` works from the table, where F and Q are one: unlike `bxb` it excuses F beats that are called S."""


def beats_table(comparisons: Iterable[BeatComparison]) -> str:
    """A line a record: counts, the six figures in percent, the error of RR intervals in ms (`bxb -L`, first file)."""
    return BEATS_HEAD + "".join(map(_beats_line, comparisons))


def _beats_line(comparison: BeatComparison) -> str:
    counts = _condensed(comparison.matrix)
    return (
        f"{comparison.record:>4} {counts[0]:5d}"
        + "".join(f" {count:3d}" for count in counts[1:12])
        + f" {counts[12]:4d}"
        + "".join(f" {count:3d}" for count in counts[13:])
        + "".join(_cell(ratio.percent) for ratio in comparison.figures.values())
        + _rr_cell(comparison.rr_error)
        + "\n"
    )


def _condensed(matrix: pd.DataFrame) -> list[int]:
    """The 19 counts of a line, column by column: n (with f and q), s, v and o (with x); F is with Q and O with X."""
    n, s, v, f, q, o, x = np.add.reduceat(matrix.to_numpy(), (0, 1, 2, 3, 5), axis=0).T  # (5,) each
    return [int(count) for count in (*(n + f + q), *s, *v, *(o + x)[:4])]


def beats_summary(comparisons: Sequence[BeatComparison]) -> str:
    """The table of beats with sums, gross and average figures (`sumstats`)."""
    total = sum(comparison.matrix for comparison in comparisons)
    counts = _condensed(total)
    # the table has the errors with two decimals, and the mean is over those
    errors = [float(f"{comparison.rr_error:.2f}") for comparison in comparisons if comparison.rr_error is not None]
    qrs, v, s = (int(total.loc[list(names)].to_numpy().sum()) for names in (CLASSES, "V", "S"))
    return (
        beats_table(comparisons)
        + "_" * 132
        + f"\nSum {counts[0]:6d}"
        + "".join(f" {count:3d}" for count in counts[1:12])
        + f" {counts[12]:4d}{counts[13]:4d}"
        + "".join(f" {count:3d}" for count in counts[14:])
        + "\nGross"
        + " " * 78
        + "".join(_cell(ratio.percent) for ratio in gross_beat_figures(comparisons).values())
        + "\nAverage"
        + " " * 76
        + "".join(map(_cell, average_beat_figures(comparisons).values()))
        + _rr_cell(_mean(errors) if errors else None)
        + f"\nTotal QRS complexes: {qrs}  Total VEBs: {v}  Total SVEBs: {s}\n"
        + _closing(len(comparisons))
    )


def gross_beat_figures(comparisons: Sequence[BeatComparison]) -> dict[str, Ratio]:
    """The six figures of all records together."""
    return beat_figures(sum(comparison.matrix for comparison in comparisons), SUMSTATS_EXCUSED)


def average_beat_figures(comparisons: Sequence[BeatComparison]) -> dict[str, float]:
    """The means of the six figures in percent."""
    return _average([beat_figures(comparison.matrix, SUMSTATS_EXCUSED) for comparison in comparisons])


def shutdown_table(comparisons: Iterable[BeatComparison]) -> str:
    """A line a record: the beats missed in the test's shutdown, its seconds, and all beats of the reference
    (`bxb -L`, second file)."""
    return SHUTDOWN_HEAD + "".join(map(_shutdown_line, comparisons))


def _shutdown_line(comparison: BeatComparison) -> str:
    missed = comparison.missed_in_shutdown
    classes = [missed[name] for name in CLASSES]
    return (
        f"{comparison.record:>4}"
        + "".join(f" {ratio.part:4d}" for ratio in classes)
        + "  "
        + "".join(_cell(ratio.percent) for ratio in (missed["beats"], *classes[:4]))
        + f"{comparison.shutdown_seconds:5d} seconds"
        + "".join(f" {ratio.whole}" for ratio in classes)
        + "\n"
    )


def shutdown_summary(comparisons: Sequence[BeatComparison]) -> str:
    """The table of shutdown with sums (`sumstats`)."""
    missed = [sum(comparison.missed_in_shutdown[name].part for comparison in comparisons) for name in CLASSES]
    seconds = sum(comparison.shutdown_seconds for comparison in comparisons)
    return (
        shutdown_table(comparisons)
        + "_" * 72
        + "\nSum  "
        + " ".join(f"{count:4d}" for count in missed)
        + " " * 38
        + f"{seconds:4d} seconds\n"
        + _closing(len(comparisons))
    )


def matrix_report(comparison: BeatComparison, reference: str, test: str) -> str:
    """The matrix and figures of one record (`bxb -S`); `reference` and `test` are the names of the annotators."""
    rows = {
        name: counts if name in CLASSES else counts[: len(CLASSES)]
        for name, counts in zip(ROWS, comparison.matrix.to_numpy().tolist(), strict=True)
    }
    named = {
        "QRS sensitivity": "Q Se",
        "QRS positive predictivity": "Q +P",
        "VEB sensitivity": "V Se",
        "VEB positive predictivity": "V +P",
        "SVEB sensitivity": "S Se",
        "SVEB positive predictivity": "S +P",
    }
    error = comparison.rr_error
    return (
        f"Beat-by-beat comparison results for record {comparison.record}\n"
        f"Reference annotator: {reference}\n"
        f"     Test annotator: {test}\n"
        "\n"
        "               Algorithm\n"
        "    " + "".join(f"{name:>5}" for name in COLUMNS) + "\n"
        "   ____________________________________\n"
        + "".join(f" {name} |" + "".join(f" {count:4d}" for count in counts) + "\n" for name, counts in rows.items())
        + "\n"
        + "".join(f"{name:>26}: {_share(comparison.figures[figure])}\n" for name, figure in named.items())
        + f"{'RMS RR interval error':>26}: "
        + ("     -" if error is None else f"{error:6.2f} ms")
        + "\n"
    )


def shutdown_report(comparison: BeatComparison) -> str:
    """The beats of one record that were missed in shutdown (what `bxb -S` prints beside its file)."""
    missed = comparison.missed_in_shutdown
    return (
        "\n"
        + f"{'Beats missed in shutdown':>26}: {_share(missed['beats'])}\n"
        + "".join(f"{name + ' missed in shutdown':>26}: {_share(missed[name])}\n" for name in CLASSES[:4])
        + f"{'Total shutdown time':>26}:  {comparison.shutdown_seconds:4d} seconds\n"
    )


def runs_table(comparisons: Iterable[RunComparison], kind: str) -> str:
    """A line a record: couplets, short and long runs, and their figures in percent (`rxr -L`).

    Args:
        kind: "V" or "S".
    """
    lines = (_runs_line(comparison.record, _runs(comparison, kind)) for comparison in comparisons)
    return (S_RUNS_HEAD if kind == "S" else "") + RUNS_HEAD + "".join(lines)


def _runs_line(record: str, runs: Runs) -> str:
    return (
        f"{record:>4}"
        + "".join(f" {count:3d}" for count in runs.counts.values())
        + " "
        + "".join(f" {int(ratio.percent + 0.5):3d}" if ratio.whole else "   -" for ratio in runs.figures.values())
        + "\n"
    )


def runs_summary(comparisons: Sequence[RunComparison], kind: str) -> str:
    """The table of runs with sums, gross and average figures (`sumstats`)."""
    counts = _total_counts(comparisons, kind)
    couplets, short, long = (counts[f"{name}Ts"] + counts[f"{name}FN"] for name in "CSL")
    first, *others = counts.values()
    return (
        runs_table(comparisons, kind)
        + "_" * 77
        + f"\nSum   {first:4d}"
        + "".join(f" {count:3d}" for count in others)
        + "\nGross"
        + " " * 50
        + "".join(_short_cell(ratio.percent) for ratio in run_figures(counts).values())
        + "\nAverage"
        + " " * 48
        + "".join(map(_short_cell, average_run_figures(comparisons, kind).values()))
        + f"\nTotal couplets: {couplets}  Total short runs: {short}  Total long runs: {long}\n"
        + _closing(len(comparisons))
    )


def gross_run_figures(comparisons: Sequence[RunComparison], kind: str) -> dict[str, Ratio]:
    """The six figures of the runs of all records together; `kind` is "V" or "S"."""
    return run_figures(_total_counts(comparisons, kind))


def average_run_figures(comparisons: Sequence[RunComparison], kind: str) -> dict[str, float]:
    """The means of the six figures of the runs in percent; `kind` is "V" or "S"."""
    return _average([_runs(comparison, kind).figures for comparison in comparisons])


def _total_counts(comparisons: Sequence[RunComparison], kind: str) -> dict[str, int]:
    every = [_runs(comparison, kind).counts for comparison in comparisons]
    return {name: sum(counts[name] for counts in every) for name in every[0]}


def _runs(comparison: RunComparison, kind: str) -> Runs:
    return {"V": comparison.ventricular, "S": comparison.supraventricular}[kind]


def figures_table(beats: Sequence[BeatComparison], runs: Sequence[RunComparison]) -> pd.DataFrame:
    """The figures of all tables in percent: one row per record, then gross and average.

    Columns: the reference's beats and those of V and S; the six figures of beats; RR err in ms; shutdown in s; the
    figures of V runs and S runs. NaN where nothing is counted.
    """
    rows = []
    for comparison, of_runs in zip(beats, runs, strict=True):
        row = {"record": comparison.record, **_reference_beats(comparison.matrix), **_percents(comparison.figures)}
        row |= {"RR err": comparison.rr_error, "shutdown": comparison.shutdown_seconds}
        for kind in "VS":
            row |= _percents(_runs(of_runs, kind).figures, f"{kind} ")
        rows.append(row)
    gross = {"record": "gross", **_reference_beats(sum(comparison.matrix for comparison in beats))}
    gross |= _percents(gross_beat_figures(beats)) | {"shutdown": sum(each.shutdown_seconds for each in beats)}
    average = {"record": "average", **average_beat_figures(beats)}
    average["RR err"] = _mean([each.rr_error for each in beats if each.rr_error is not None])
    for kind in "VS":
        gross |= _percents(gross_run_figures(runs, kind), f"{kind} ")
        average |= {f"{kind} {name}": value for name, value in average_run_figures(runs, kind).items()}
    table = pd.DataFrame([*rows, gross, average]).set_index("record")
    whole = ["QRS", "V", "S", "shutdown"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _reference_beats(matrix: pd.DataFrame) -> dict[str, int]:
    beats = matrix.loc[list(CLASSES)].sum(axis="columns")
    return {"QRS": int(beats.sum()), "V": int(beats["V"]), "S": int(beats["S"])}


def _percents(figures: dict[str, Ratio], prefix: str = "") -> dict[str, float]:
    return {f"{prefix}{name}": ratio.percent for name, ratio in figures.items()}


def _average(every: Sequence[dict[str, Ratio]]) -> dict[str, float]:
    return {name: _mean([figures[name].percent for figures in every if figures[name].whole]) for name in every[0]}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _cell(percent: float) -> str:
    return "      -" if math.isnan(percent) else f" {percent:6.2f}"


def _short_cell(percent: float) -> str:
    return "   -" if math.isnan(percent) else f" {percent:3.0f}"


def _rr_cell(error: float | None) -> str:
    return "     -" if error is None else f" {error:6.2f}"


def _share(ratio: Ratio) -> str:
    percent = f"{ratio.percent:6.2f}%" if ratio.whole else "     - "
    return f"{percent} ({ratio.part}/{ratio.whole})"


def _closing(count: int) -> str:
    return f"\nSummary of results from {count} record{'' if count == 1 else 's'}\n"
