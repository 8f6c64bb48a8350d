"""The figures, the tables of the field's own programs to the byte, what must hold of any pair, and the command line.

`test_ec57_rules.py` has the rules one by one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from conftest import MITDB, ROOT, needs
from hypothesis import given, settings
from hypothesis import strategies as st

from ec57 import (
    Annotations,
    Protocol,
    compare_beats,
    compare_runs,
    ec57_figures,
    is_rated,
    per_record,
    read_annotations,
    read_header,
    tables,
)
from ec57.__main__ import main
from support.errors import InputError

SHARED = ROOT.parent / "shared" / "ec57"
EDGE = SHARED / "edge"

CLASSES = ("N", "S", "V", "F", "Q")

# What the WFDB program bxb counts and prints for two records of mitdb against annotations with seeded faults:
# N S V F Q as rows, then O, the beats that the reference lacks; its column o are the beats that were missed.
BXB = {
    "208": (
        [
            [1223, 9, 23, 14, 16, 23],
            [0, 2, 0, 0, 0, 0],
            [8, 11, 766, 12, 12, 15],
            [0, 6, 4, 281, 4, 6],
            [0, 0, 0, 0, 2, 0],
            [11, 14, 16, 0, 0, 0],
        ],
        {"S": (100.00, 4.76), "V": (92.96, 95.16)},
    ),
    "213": (
        [
            [2052, 33, 26, 25, 28, 45],
            [0, 22, 2, 0, 2, 1],
            [1, 2, 181, 2, 3, 6],
            [4, 4, 2, 249, 3, 7],
            [0, 0, 0, 0, 0, 0],
            [11, 13, 14, 0, 0, 0],
        ],
        {"S": (81.48, 29.73), "V": (92.82, 81.17)},
    ),
}


@pytest.mark.parametrize("record", BXB)
def test_figures_are_those_that_bxb_prints(record: str) -> None:
    matrix, printed = BXB[record]
    figures = ec57_figures(matrix, (*CLASSES, "O"))
    for name, (sensitivity, predictivity) in printed.items():
        assert round(100 * figures[name]["se"], 2) == sensitivity
        assert round(100 * figures[name]["ppv"], 2) == predictivity


def test_a_worked_example() -> None:
    matrix = [[90, 4, 3, 2, 1], [5, 10, 2, 1, 2], [1, 3, 30, 4, 2], [2, 1, 5, 8, 0], [1, 6, 7, 0, 9]]
    figures = ec57_figures(matrix, CLASSES)
    # S: wrongly called so are 4 of N, 3 of V and 1 of F; the 6 of Q are excused
    assert figures["S"] == pytest.approx({"se": 10 / 20, "ppv": 10 / 18, "fpr": 8 / (8 + 165), "beats": 20})
    # V: 3 of N and 2 of S; the 5 of F and the 7 of Q are excused
    assert figures["V"] == pytest.approx({"se": 30 / 40, "ppv": 30 / 35, "fpr": 5 / (5 + 142), "beats": 40})


def test_a_matrix_of_shares_is_refused() -> None:
    """As counts, each share below 1 would be 0 beats."""
    counts = np.full((5, 5), 3)
    assert ec57_figures(counts.astype(float), CLASSES) == ec57_figures(counts, CLASSES)
    with pytest.raises(ValueError, match=r"^matrix: counts of beats are needed"):
        ec57_figures(counts / counts.sum(axis=1, keepdims=True), CLASSES)


def test_nothing_to_count_is_not_a_number() -> None:
    figures = ec57_figures(np.diag([5, 0, 0, 0, 0]), CLASSES)
    assert math.isnan(figures["S"]["se"])
    assert math.isnan(figures["V"]["ppv"])
    assert figures["S"]["fpr"] == 0


@given(st.lists(st.lists(st.integers(0, 50), min_size=5, max_size=5), min_size=5, max_size=5))
def test_excuses_never_make_a_figure_worse(matrix: list[list[int]]) -> None:
    counts = np.array(matrix)
    for index, name in ((1, "S"), (2, "V")):
        figures = ec57_figures(matrix, CLASSES)[name]
        if counts[:, index].sum() and not math.isnan(figures["ppv"]):
            precision = counts[index, index] / counts[:, index].sum()
            assert precision <= figures["ppv"] * (1 + 1e-12) <= 1 + 1e-12  # Python and numpy may round differently
        if not math.isnan(figures["fpr"]):
            assert 0 <= figures["fpr"] <= 1


def test_matrices_of_records_add_up() -> None:
    table = pd.DataFrame(
        [("a", "N", "N"), ("a", "S", "N"), ("b", "V", "V"), ("b", "V", "F")], columns=["record", "label", "prediction"]
    )
    matrices = per_record(table, CLASSES)
    assert matrices["a"].tolist()[0] == [1, 0, 0, 0, 0]
    assert matrices["a"].tolist()[1] == [1, 0, 0, 0, 0]
    assert matrices["b"].tolist()[2] == [0, 0, 1, 1, 0]
    assert sum(matrix.sum() for matrix in matrices.values()) == 4


# The programs' own tables. SHARED/README.md has the commands that made them.

REAL, SYNTHETIC = ("100", "106", "119", "203", "208", "213"), ("x01", "x03", "x05")

needs_golden = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED}: what the programs print is not there")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What our command writes for the synthetic golden records."""
    folder = tmp_path_factory.mktemp("edge")
    assert main([*(str(EDGE / name) for name in SYNTHETIC), "--reference=atr", "--test=tst", f"--out={folder}"]) == 0
    return folder


@needs_golden
@pytest.mark.parametrize("name", sorted(path.name for path in EDGE.glob("*.txt")))
def test_synthetic_records_to_the_byte(name: str, printed: Path) -> None:
    assert (printed / name).read_bytes() == (EDGE / name).read_bytes()


@needs_golden
@needs("mitdb")
def test_real_records_to_the_byte(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    records = [str(MITDB / f"{name}.hea") for name in REAL]
    arguments = ["--reference", "atr", "--test", "tst", "--test_dir", str(SHARED), "--out", str(tmp_path)]
    assert main([*records, *arguments]) == 0
    assert capfd.readouterr().out == (SHARED / "sumstats.txt").read_text()
    names = [path.name for path in SHARED.glob("*.txt") if path.name != "sumstats.txt"]
    assert len(names) == 10
    for name in names:
        assert (tmp_path / name).read_bytes() == (SHARED / name).read_bytes(), name


@needs("mitdb")
def test_a_real_record_against_itself() -> None:
    fs, length = read_header(MITDB / "201")
    reference = read_annotations(MITDB / "201.atr", fs)
    assert reference == Annotations.from_wfdb(wfdb.rdann(str(MITDB / "201"), "atr"))
    found = compare_beats(reference, reference, fs, length)
    assert {name: ratio.percent for name, ratio in found.figures.items()} == dict.fromkeys(found.figures, 100)
    # an onset of AF directly before a V is a long run of S that is never found
    assert compare_runs(reference, reference, fs, length).supraventricular.figures["LSe"] == (3, 4)


# What must hold of any pair

BEATS = "NLRBAaJSnejVrEF/fQ?"
OTHERS = [("[", 0, ""), ("]", 0, ""), ("!", 0, ""), ("x", 0, ""), *(("~", subtype, "") for subtype in (0, 16, 48, -1))]
RHYTHMS = [("+", 0, note) for note in ("(N", "(AFIB", "(AFL", "(VFL", "(B", "")]

beat = st.sampled_from([(symbol, 0, "") for symbol in BEATS])
anything = st.sampled_from([*((symbol, 0, "") for symbol in "NNNSSVVFQ"), *OTHERS, *RHYTHMS])


@st.composite
def annotation_lists(draw: st.DrawFn, element: st.SearchStrategy, smallest_step: int = 0) -> Annotations:
    """Annotations up to about 2,000 samples, dense and sparse, at times from 1 on."""
    elements = draw(st.lists(element, max_size=40))
    steps = draw(st.lists(st.integers(smallest_step, 60), min_size=len(elements), max_size=len(elements)))
    times = np.cumsum(steps) + 1
    return Annotations(times, *([list(column) for column in zip(*elements, strict=True)] or [[]]))


@settings(max_examples=150)
@given(
    annotation_lists(anything),
    annotation_lists(anything),
    st.sampled_from([0, 0.1, 1, 5, 100]),
    st.sampled_from([None, 0, 700, 5000]),
    st.sampled_from([None, 120]),
)
def test_any_pair_is_compared_and_printed(
    reference: Annotations, test: Annotations, start: float, length: int | None, end: float | None
) -> None:
    protocol = Protocol(start=start, end=end)
    beats = compare_beats(reference, test, 100, length, protocol, "any")
    runs = compare_runs(reference, test, 100, length, protocol, "any")
    assert beats.matrix.to_numpy().min() >= 0
    assert not beats.matrix.loc[["O", "X"], ["o", "x"]].to_numpy().any()
    for ratio in (*beats.figures.values(), *runs.ventricular.figures.values(), *runs.supraventricular.figures.values()):
        assert 0 <= ratio.part <= ratio.whole
    for text in (tables.beats_summary([beats]), tables.shutdown_summary([beats]), tables.runs_summary([runs], "S")):
        assert text.endswith("\nSummary of results from 1 record\n")


@given(annotation_lists(anything, smallest_step=1))
def test_a_list_against_itself_is_perfect(both: Annotations) -> None:
    found = compare_beats(both, both, 100, 5000, Protocol(start=1))
    assert all(ratio.part == ratio.whole for ratio in found.figures.values())
    assert not found.rr_error
    for kind in ("ventricular", "supraventricular"):
        runs = getattr(compare_runs(both, both, 100, 5000, Protocol(start=1)), kind)
        assert runs.sensitivity.equals(runs.predictivity.T)


@given(annotation_lists(beat, smallest_step=1), annotation_lists(beat, smallest_step=1))
def test_swapping_the_sides_swaps_sensitivity_and_predictivity(one: Annotations, other: Annotations) -> None:
    there = compare_beats(one, other, 100, 5000, Protocol(start=0))
    back = compare_beats(other, one, 100, 5000, Protocol(start=0))
    assert there.figures["Q Se"] == back.figures["Q +P"]
    assert (there.matrix.to_numpy() == back.matrix.to_numpy().T).all()
    runs, runs_back = (compare_runs(*pair, 100, 5000, Protocol(start=0)) for pair in ((one, other), (other, one)))
    assert runs.ventricular.sensitivity.equals(runs_back.ventricular.predictivity.T)


@given(annotation_lists(beat), annotation_lists(anything), st.sampled_from([0, 1, 4]))
def test_every_beat_of_the_reference_counts_once(reference: Annotations, test: Annotations, start: float) -> None:
    symbols = Protocol().classes
    found = compare_beats(reference, test, 100, 5000, Protocol(start=start))
    expected = dict.fromkeys("NSVFQ", 0)
    for time, symbol in zip(reference.times, reference.symbols, strict=True):
        expected[symbols[symbol]] += time >= 100 * start
    assert found.matrix.loc[list("NSVFQ")].sum(axis="columns").to_dict() == expected


@given(annotation_lists(beat, smallest_step=40), st.data())
def test_jitter_within_the_match_window_changes_no_count(reference: Annotations, data: st.DataObject) -> None:
    moves = [data.draw(st.integers(-9, 9)) for _ in reference.times]
    times = [max(1, time + move) for time, move in zip(reference.times, moves, strict=True)]
    found = compare_beats(reference, Annotations(times, reference.symbols), 100, 5000, Protocol(start=0))
    assert found.figures["Q Se"].part == found.figures["Q +P"].whole == len(times)


# Tables where nothing, or only one side, is there


def test_all_texts_of_a_small_pair() -> None:
    # Paired: N with N (200, and 600 with 590), V with V (400, 450), S with N (500). Missed: N at 300, in shutdown from
    # 250 to 350. Extra: F at 700. RR differences in samples: 0, 0, 10; an interval with shutdown in it is left out
    reference = Annotations([200, 300, 400, 450, 500, 600], "NNVVSN")
    test = Annotations([200, 250, 350, 400, 450, 500, 590, 700], "N~~VVNNF", [0, 48, 0, 0, 0, 0, 0, 0])
    beats = compare_beats(reference, test, 100, 10_000, Protocol(start=1), "r")
    runs = compare_runs(reference, test, 100, 10_000, Protocol(start=1), "r")
    line = (
        "   r     2   1   0   0   1   0   0   0   0   0   0   0    2   0   0   1   0   0   0"
        "  83.33  83.33 100.00 100.00   0.00      -  57.74\n"
    )
    assert tables.beats_summary([beats]) == (
        tables.BEATS_HEAD
        + line
        + "_" * 132
        + "\nSum      2   1   0   0   1   0   0   0   0   0   0   0    2   0   0   1   0   0   0\n"
        + f"Gross{'':78}  83.33  83.33 100.00 100.00   0.00      -\n"
        + f"Average{'':76}  83.33  83.33 100.00 100.00   0.00      -  57.74\n"
        + "Total QRS complexes: 6  Total VEBs: 2  Total SVEBs: 1\n\nSummary of results from 1 record\n"
    )
    assert tables.shutdown_summary([beats]) == (
        tables.SHUTDOWN_HEAD
        + "   r    1    0    0    0    0    16.67  33.33   0.00   0.00      -    1 seconds 3 1 2 0 0\n"
        + "_" * 72
        + f"\nSum     1    0    0    0    0{'':38}   1 seconds\n\nSummary of results from 1 record\n"
    )
    assert tables.matrix_report(beats, "atr", "tst").splitlines()[4:] == [
        "               Algorithm",
        "        n    s    v    f    q    o    x",
        "   ____________________________________",
        " N |    2    0    0    0    0    0    1",
        " S |    1    0    0    0    0    0    0",
        " V |    0    0    2    0    0    0    0",
        " F |    0    0    0    0    0    0    0",
        " Q |    0    0    0    0    0    0    0",
        " O |    0    0    0    1    0",
        " X |    0    0    0    0    0",
        "",
        "           QRS sensitivity:  83.33% (5/6)",
        " QRS positive predictivity:  83.33% (5/6)",
        "           VEB sensitivity: 100.00% (2/2)",
        " VEB positive predictivity: 100.00% (2/2)",
        "          SVEB sensitivity:   0.00% (0/1)",
        "SVEB positive predictivity:      -  (0/0)",
        "     RMS RR interval error:  57.74 ms",
    ]
    assert tables.shutdown_report(beats).splitlines() == [
        "",
        "  Beats missed in shutdown:  16.67% (1/6)",
        "      N missed in shutdown:  33.33% (1/3)",
        "      S missed in shutdown:   0.00% (0/1)",
        "      V missed in shutdown:   0.00% (0/2)",
        "      F missed in shutdown:      -  (0/0)",
        "       Total shutdown time:     1 seconds",
    ]
    assert tables.runs_summary([runs], "V") == (
        tables.RUNS_HEAD
        + "   r   1   0   1   0   0   0   0   0   0   0   0   0  100 100   -   -   -   -\n"
        + "_" * 77
        + "\nSum      1   0   1   0   0   0   0   0   0   0   0   0\n"
        + f"Gross{'':50} 100 100   -   -   -   -\nAverage{'':48} 100 100   -   -   -   -\n"
        + "Total couplets: 1  Total short runs: 0  Total long runs: 0\n\nSummary of results from 1 record\n"
    )
    assert tables.runs_table([runs], "S").startswith("(SVE run detection)\nRecord CTs")


def test_without_beats_there_are_dashes() -> None:
    nothing = Annotations([], "")
    beats, runs = compare_beats(nothing, nothing, 360, 650000), compare_runs(nothing, nothing, 360, 650000)
    line = tables.beats_table([beats]).splitlines()[1]
    assert line == "         0" + "   0" * 11 + "    0" + "   0" * 6 + "      -" * 6 + "     -"
    assert tables.shutdown_table([beats]).splitlines()[2].endswith("      -" * 5 + "    0 seconds 0 0 0 0 0")
    assert "           QRS sensitivity:      -  (0/0)\n" in tables.matrix_report(beats, "atr", "tst")
    assert tables.runs_table([runs], "V").splitlines()[1] == "    " + "   0" * 12 + " " + "   -" * 6
    assert "\nGross" + " " * 78 + "      -" * 6 + "\nAverage" in tables.beats_summary([beats])
    assert tables.figures_table([beats], [runs]).loc["gross", "QRS"] == 0


def test_gross_adds_counts_and_average_takes_means_of_what_is_defined() -> None:
    one = compare_beats(Annotations([40000, 50000], "VN"), Annotations([40000, 50000], "VN"), 100, 60000, record="a")
    other = compare_beats(Annotations([40000, 50000], "NN"), Annotations([40000], "N"), 100, 60000, record="b")
    assert {name: ratio.percent for name, ratio in tables.gross_beat_figures([one, other]).items()} == pytest.approx(
        {"Q Se": 75, "Q +P": 100, "V Se": 100, "V +P": 100, "S Se": math.nan, "S +P": math.nan}, nan_ok=True
    )
    assert tables.average_beat_figures([one, other]) == pytest.approx(
        {"Q Se": 75, "Q +P": 100, "V Se": 100, "V +P": 100, "S Se": math.nan, "S +P": math.nan}, nan_ok=True
    )
    assert "Total QRS complexes: 4  Total VEBs: 1  Total SVEBs: 0\n" in tables.beats_summary([one, other])


def test_the_summary_excuses_fusion_beats_called_s_and_the_line_of_a_record_does_not() -> None:
    found = compare_beats(Annotations([40000, 50000], "SF"), Annotations([40000, 50000], "SS"), 100, 60000)
    assert found.figures["S +P"] == (1, 2)
    assert tables.gross_beat_figures([found])["S +P"] == (1, 1)


# Reading


def word(code: int, step: int) -> bytes:
    """An annotation in the MIT format: its code, and the samples since the one before."""
    return struct.pack("<H", code << 10 | step)


def write_record(folder: Path, name: str = "r", header: str = "1 100 60000", **files: bytes | str) -> Path:
    """Write NAME.hea and an annotation file for each further argument: bytes, or a symbol every 100 samples."""
    (folder / f"{name}.hea").write_text(f"{name} {header}\n{name}.dat 16 200 16 0 0 0 0 ECG\n")
    for suffix, content in files.items():
        if isinstance(content, str):
            wfdb.wrann(name, suffix, 30000 + 100 * np.arange(len(content)), symbol=list(content), write_dir=str(folder))
        else:
            (folder / f"{name}.{suffix}").write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("1 360 650000", (360, 650_000)),
        ("1 3.6e2 650000", (360, 650_000)),  # 3.6 Hz and no length by the parser of wfdb
        ("1 360 6.5e5", (360, 650_000)),
        ("1 360/360(0) 650000 10:00:00 0/0/0", (360, 650_000)),  # no header by that parser
        ("1 360", (360, None)),
        ("1 360 0", (360, None)),
        ("1", (250, None)),
    ],
)
@pytest.mark.parametrize("name", ["103", "103.v2"])
def test_headers_are_read_as_the_manual_has_them(
    tmp_path: Path, name: str, header: str, expected: tuple[float, int | None]
) -> None:
    assert read_header(write_record(tmp_path, name, header)) == expected


def test_the_length_of_a_record_in_segments_is_that_of_all(tmp_path: Path) -> None:
    (tmp_path / "m.hea").write_text("m/3 1 360\na 500\n~ 300\nb 500\n")
    assert read_header(tmp_path / "m") == (360, 1300)


def test_annotations_are_read_with_subtypes_and_rhythms(tmp_path: Path) -> None:
    wfdb.wrann(
        *("r", "atr", np.array([5, 20, 30]), ["+", "~", "V"]),
        subtype=np.array([0, -1, 0]),
        aux_note=["(AFIB\0", "", ""],
        write_dir=str(tmp_path),
    )
    assert read_annotations(tmp_path / "r.atr", 100) == Annotations(
        [5, 20, 30], ["+", "~", "V"], [0, -1, 0], ["(AFIB", "", ""]
    )


def test_a_file_of_another_time_resolution_is_converted(tmp_path: Path) -> None:
    wfdb.wrann("r", "atr", np.array([500, 1001]), ["N", "V"], fs=1000, write_dir=str(tmp_path))
    assert read_annotations(tmp_path / "r.atr", 100).times == [50, 100]


def test_labels_that_a_file_defines_itself_are_no_beats(tmp_path: Path) -> None:
    wfdb.wrann(
        *("r", "atr", np.array([5, 10]), ["N", "Z"]),
        custom_labels=[("Z", "of our own")],
        fs=100,
        write_dir=str(tmp_path),
    )
    assert read_annotations(tmp_path / "r.atr", 100).symbols == ["N", '"']


def test_a_note_that_nothing_knows_is_passed_over(tmp_path: Path) -> None:
    """wfdb.rdann never returns from a file that begins with such a note."""
    note = b"## by some program"
    beats = word(1, 50) + word(5, 20) + word(0, 0)
    (tmp_path / "r.atr").write_bytes(word(22, 0) + word(63, len(note)) + note + beats)
    assert read_annotations(tmp_path / "r.atr", 100) == Annotations([50, 70], "NV")


def test_a_file_without_annotations_is_none_of_its_faults(tmp_path: Path) -> None:
    (tmp_path / "r.atr").write_bytes(b"\0\0")
    assert read_annotations(tmp_path / "r.atr", 100).times == []


def test_annotations_made_in_python_are_checked() -> None:
    with pytest.raises(InputError, match="2 annotation times but 1 symbols"):
        Annotations([1, 2], "N")
    with pytest.raises(InputError, match="out of order: the one at sample 1 comes after that at 2"):
        Annotations([2, 1], "NN")
    with pytest.raises(InputError, match="'Z' at sample 2 is not one of WFDB's"):
        Annotations([1, 2], "NZ")
    with pytest.raises(InputError, match=r"annotation time 0\.8 is not a whole number; times are samples"):
        Annotations([0.8, 1.6], "NN")  # type: ignore[list-item]
    with pytest.raises(InputError, match="annotation time nan is not a whole number"):
        Annotations([float("nan")], "N")  # type: ignore[list-item]
    assert Annotations(np.array([300.0]), "N").times == [300]
    with pytest.raises(InputError, match="at least 1 Hz, got 0"):
        compare_beats(Annotations([], ""), Annotations([], ""), 0)


# The command line


def run(arguments: Sequence[object], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    return code, *capfd.readouterr()


ANNOTATORS = ("--reference", ".atr", "--test", "tst")  # a suffix is given with its dot or without


def test_the_name_of_a_record_steers_no_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path, atr="NNVVeNF", tst="NNVVNNV")
    for path in tmp_path.iterdir():
        path.rename(path.with_stem("r\x1b[31m\x85"))
    code, out, said = run([tmp_path / "r\x1b[31m\x85", *ANNOTATORS], capfd)
    assert code == 0 and "r\\x1b[31m\\x85" in out and "\x1b" not in out + said


def test_the_command_prints_the_table_of_beats_and_writes_all(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    record = write_record(tmp_path, atr="NNVVeNF")
    write_record(mine, tst="NNVVNNV")
    code, out, said = run([record, *ANNOTATORS, "--test_dir", mine, "--out", tmp_path / "out"], capfd)
    assert code == 0
    assert "note:" not in said
    assert out.splitlines()[1] == (
        "   r     3   1   0   0   0   0   0   0   0   0   0   0    2   1   0   0   0   0   0"
        " 100.00 100.00 100.00 100.00   0.00      -   0.00"
    )
    tables_of = {"bxb_beats", "bxb_shutdown", "rxr_v", "rxr_s"}
    names = {*tables_of, *(f"sumstats_{name}" for name in tables_of), "bxb_r", "bxb_r.stdout"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.txt" for name in names} | {"ec57.csv"}
    assert (tmp_path / "out" / "sumstats_bxb_beats.txt").read_text() == out
    figures = pd.read_csv(tmp_path / "out" / "ec57.csv", index_col="record")
    assert list(figures.index) == ["r", "gross", "average"]
    assert figures.loc["r", ["QRS", "V", "S", "Q Se", "V Se", "S Se", "V CSe"]].tolist() == [7, 2, 1, 100, 100, 0, 100]


def test_files_of_another_comparison_stay_and_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record, out = write_record(tmp_path, atr="NNVV", tst="NNVV"), tmp_path / "out"
    out.mkdir()
    for name in ("bxb_r.txt", "bxb_older.txt", "bxb_older.stdout.txt"):
        (out / name).write_text("of another day")
    code, _, said = run([record, *ANNOTATORS, "--out", out], capfd)
    assert code == 0
    assert f"note: {out} has bxb_older.stdout.txt, ... of another comparison too; name another folder with" in said
    assert (out / "bxb_older.txt").read_text() == "of another day"
    assert (out / "bxb_r.txt").read_text() != "of another day"


def test_the_reports_of_several_records_are_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = write_record(tmp_path, atr="NNNN")
    mine = tmp_path / "mine" / "r"
    mine.mkdir(parents=True)
    write_record(mine, tst="NNNV")
    code, out, _ = run([record, *ANNOTATORS, "--test_dir", mine.parent], capfd)
    assert code == 0 and "Total QRS complexes: 4 " in out
    write_record(mine.parent, tst="NNNV")
    (mine / "r.tst").write_bytes(b"")  # the one in the folder itself comes first
    assert run([record, *ANNOTATORS, "--test_dir", mine.parent], capfd)[0] == 0


def test_the_grouping_of_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = write_record(tmp_path, atr="Nejn", tst="NNNN")
    assert "Total SVEBs: 3" in run([record, *ANNOTATORS], capfd)[1]
    assert "Total SVEBs: 0" in run([record, *ANNOTATORS, "--grouping", "de_chazal"], capfd)[1]


def test_the_part_that_the_command_compares(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = write_record(tmp_path, atr="NNNNNN", tst="NNNNNN")  # from 300 s on, one a second
    assert "Total QRS complexes: 6 " in run([record, *ANNOTATORS], capfd)[1]
    assert "Total QRS complexes: 3 " in run([record, *ANNOTATORS, "--start", "302", "--end", "304.2"], capfd)[1]


@pytest.mark.parametrize(
    ("test", "options", "end"),
    [
        ("N" * 139, [], None),  # the last at 438 s
        ("N" * 138, [], "437 s"),
        ("N" * 138, ["--end", "497"], None),
        ("N" * 138, ["--end", "498"], "437 s"),
        ("N" * 138, ["--start", "440"], None),
        ("N" * 138, ["--start", "437.5"], "437 s"),
        ("N" * 9 + "~", [], None),  # unreadable to the end
        (b"\0\0", [], "0 s"),
    ],
)
def test_test_annotations_of_a_part_of_the_record_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], test: str | bytes, options: list[str], end: str | None
) -> None:
    record = write_record(tmp_path, atr="N" * 199, tst=test)  # the last at 498 s
    code, _, error = run([record, *ANNOTATORS, *options], capfd)
    assert code == 0
    note = (
        f"note: the test annotations of r ({end}) end more than a minute before the reference's; "
        "what follows counts as missed, unless --end leaves it out\n"
    )
    assert error.partition("\n")[2] == (note if end else "")


def test_no_reference_beats_after_the_start_are_dashes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "long").mkdir()
    longer = write_record(tmp_path / "long", "longer", atr="N" * 200, tst="N" * 200)
    record = write_record(tmp_path, atr="NNN", tst=b"\0\0")
    code, out, error = run([longer, record, *ANNOTATORS, "--start", "400"], capfd)
    assert code == 0
    assert error == (
        "from 400 s on, grouping ec57\n"
        f"note: no beat was compared of {record.name}: none lies from 400 s on; --start 0 takes all that is earlier\n"
    )
    assert out.splitlines()[2].endswith("      -" * 6 + "     -")


def test_paths_may_be_text(tmp_path: Path) -> None:
    record = str(write_record(tmp_path, atr="NNN"))
    assert read_header(record) == (100, 60000) and is_rated(record)
    assert read_annotations(f"{record}.atr", 100).symbols == ["N", "N", "N"]
    with pytest.raises(InputError, match="is a folder; name a record in it"):
        read_header(str(tmp_path))


def test_a_header_without_a_rate_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rated = write_record(tmp_path, "rated", "1 250 60000", atr="NNN", tst="NNN")
    code, table, error = run([rated, *ANNOTATORS, "--start", "0"], capfd)
    assert (code, error) == (0, "from 0 s on, grouping ec57\n")
    record = write_record(tmp_path, "other", "1", atr="NNN", tst="NNN")
    code, out, error = run([rated, record, *ANNOTATORS, "--start", "0"], capfd)
    assert code == 0 and out.splitlines()[2].split()[1:] == table.splitlines()[1].split()[1:]  # as at 250 Hz
    assert error == (
        f"note: {record}.hea gives no sampling frequency, 250 Hz assumed as by the WFDB programs; "
        "add the right one to its first line\nfrom 0 s on, grouping ec57\n"
    )


def test_a_comparison_of_nothing_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = write_record(tmp_path, atr="NNN", tst=b"\0\0")
    code, out, error = run([record, *ANNOTATORS, "--start", "0", "--end", "0.01", "--out", tmp_path / "out"], capfd)
    assert (code, out) == (2, "")
    assert error == f"error: no beat was compared of {record.name}: none lies from 0 s to 0.01 s\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({"atr": "N", "tst": "N"}, ["absent"], "record absent has no header: absent.hea is not there"),
        ({}, ["."], "error: . is a folder; name a record in it, by its path, no suffix"),
        ({}, ["/"], "error: / is a folder; name a record in it, by its path, no suffix"),
        ({"tst": "N"}, [], "r.atr is not there; check its folder and suffix (on the command line: --test_dir, --ref"),
        ({"atr": "N"}, [], "r.tst is not there"),
        ({"atr": "N", "tst": "N"}, ["--test_dir", "none"], "none/r.tst is not there, nor is none/r/r.tst; check"),
        ({"atr": "N", "tst": b"\x01"}, [], "r.tst cannot be read: it has no end mark"),
        ({"atr": "N", "tst": b""}, [], "r.tst cannot be read: it has no end mark"),
        ({"atr": "N", "tst": word(45, 20) + b"\0\0"}, [], "r.tst: the annotation at sample 20 has the code 45"),
        (
            {"atr": "N", "tst": word(1, 50) + word(59, 0) + struct.pack("<HH", 0xFFFF, 0xFFEC) + word(1, 0) + b"\0\0"},
            [],
            "r.tst: annotations are out of order: the one at sample 30 comes after that at 50",
        ),
        (
            {"header": "1 0 1000", "atr": "N", "tst": "N"},
            [],
            "r.hea is not a WFDB header: its sampling frequency is '0'",
        ),
        (
            {"header": "1 0.5 9", "atr": "N", "tst": "N"},
            [],
            "r.hea gives a sampling frequency of 0.5 Hz; it must be at",
        ),
        ({"header": "2 360 9", "atr": "N", "tst": "N"}, [], "r.hea is not a WFDB header: it describes 1 of its 2"),
        ({"header": "nonsense", "atr": "N", "tst": "N"}, [], "r.hea is not a WFDB header"),
        ({"atr": "N", "tst": "N"}, ["r.hea"], "error: r is given twice; give each record once"),
        ({"atr": "N", "tst": "N"}, ["other/r.hea"], "r and other/r have the same name"),
        ({"atr": "N", "tst": "N"}, ["--window", "0"], "--window must be above 0 and at most 1 second"),
        ({"atr": "N", "tst": "N"}, ["--window", "nan"], "--window must be above 0 and at most 1 second"),
        ({"atr": "N", "tst": "N"}, ["--window", "150"], "at most 1 second, such as 0.15, got 150"),  # milliseconds
        ({"atr": "N", "tst": "N"}, ["--start", "-1"], "--start must be 0 or a positive number of seconds"),
        ({"atr": "N", "tst": "N"}, ["--end", "300"], "--end must be later than --start (300 s), got 300"),
        ({"atr": "N", "tst": "N"}, ["--grouping", "mine"], "--grouping mine: unknown; choose from ec57, de_chazal"),
        ({"atr": "N", "tst": "N"}, ["--out", "r.hea"], "r.hea is a file"),
    ],
)
def test_wrong_input_is_one_line(
    files: dict[str, Any],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path, **files)
    code, out, err = run([*([] if not files else ["r"]), *arguments, *ANNOTATORS], capfd)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
