"""What is known of public databases: whose their records are, where records are from, and several read as one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from conftest import RAW, needs
from made_records import annotate, read_splits, run, store

import preprocess.__main__ as preparation
from preprocess import physionet, splits
from preprocess.beats import DOUBLED, OUTSIDE, BeatSet, _copies, _first_minute, read_beats
from preprocess.config import PreparationConfig
from preprocess.databases import DATABASES, DEFAULT, patient_in, patients_of, read_patients
from preprocess.joined import join
from preprocess.records import list_records
from support.errors import InputError


def write_record(
    folder: Path,
    name: str,
    symbols: str = "NNNNNVNNNNNNSNNNNNN",
    fs: int = 360,
    leads: Sequence[str] = ("MLII",),
    comments: Sequence[str] = (),
    seed: int = 0,
    annotator: str = "atr",
) -> None:
    """Write noise with a bump every second, and an annotation at each."""
    positions = fs * np.arange(1, len(symbols) + 1)
    signal = np.random.default_rng(seed).normal(0, 10, (fs * (len(symbols) + 1), len(leads)))
    signal[positions] += 500
    record = store(folder / name, signal.astype(np.int64), fs, leads=leads, comments=comments)
    annotate(record, positions, symbols, annotator, fs)


def read_as(slug: str, folder: Path) -> BeatSet:
    """The beats of a folder that somebody says is a database."""
    database = DATABASES[slug]
    options = PreparationConfig(dataset="mit", database=slug).reading(database)
    return read_beats("mit", folder, options, database=database)


def owners(files: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """The patients whose beats each split has."""
    return {name: {content["patients"][record] for record in content["records"]} for name, content in files.items()}


def split_by_patient(folder: Path, *more: str | Path) -> int:
    """Deal the beats of the records in folder/raw by patient, into folder/mit."""
    command = ("--dataset", "mit", "--raw_path", folder / "raw", "--split", "inter_patient", "--out", folder)
    return run(*command, *more)


def patients_apart(folder: Path) -> list[str]:
    """All patients of the splits in folder/mit, none of whom is in two."""
    found = [patient for those in owners(read_splits(folder / "mit")).values() for patient in those]
    assert len(found) == len({*found})
    return sorted(found)


# --------------------------------------------------------------------------------------------------- the table


def test_the_table_is_whole() -> None:
    for slug, database in DATABASES.items():
        assert database.slug == slug and database.version.count(".") == 2
        assert database.dataset in DEFAULT and database.doi.startswith("10.13026/") and database.citation
        assert (database.annotator is None) == (database.dataset == "ptb")
        assert database.subjects_of is None or database.subjects_of in DATABASES
    assert all(DATABASES[slug].dataset == dataset for dataset, slug in DEFAULT.items())


def test_fingerprints_are_of_databases_and_unlike() -> None:
    table = physionet._fingerprints()
    assert {slug for slug, _ in table} == {"mitdb", "nstdb", "svdb", "ptbdb"}
    assert {name for slug, name in table if slug == "mitdb"} == splits.DS1 | splits.DS2 | splits.PACED
    assert sum(map(len, table.values())) == len(frozenset().union(*table.values())) == 271


# ---------------------------------------------------------------------------------------------------- patients


@pytest.mark.parametrize(
    ("comments", "patient"),
    [
        (["<age>: 65 <sex>: F <diagnoses> Coronary artery disease", "patient 1", "PVCs, noise"], "1"),  # incartdb
        (["<age>: 51 <sex>: F ", "patient 12 ", "ventricular bigeminy"], "12"),
        (["Created by `nst' from records 118 and em (SNR = -6 dB)"], "118"),  # nstdb
        (["synthetic record, seed 0, patient 3 of 20"], "3"),
        (["Patient ID: p0007"], "p0007"),
        (["<subject_id>: 10000032"], "10000032"),  # MIMIC-IV-ECG
        (["subject = S12"], "S12"),
        (["Patient ID: A-0"], "A-0"),
        (["patient-no. 12.07-b"], "12.07-b"),
        (["Patient: unknown", "patient 3 - 4 weeks later", "patient -"], None),
        (["69 M 1085 1629 x1", "Aldomet, Inderal"], None),  # mitdb
        (["The patient has 2 pacemakers", "patient reports pain", "Patient:"], None),
        (["patient" + " " * 10**6 + "!"], None),  # no time is lost on it
        ([], None),
    ],
)
def test_the_patient_that_comments_name(comments: list[str], patient: str | None) -> None:
    assert patient_in(comments) == patient


MAYBE = "(a patient with several may be in two splits)"


def test_patients_of_records_that_nothing_is_known_of() -> None:
    one_folder: dict[str, list[str]] = {"study/a": [], "study/b": []}
    patients, how = patients_of(one_folder)
    assert patients == {name: name for name in one_folder}
    assert how == f"not given: taken to be one per record {MAYBE}; --patients_file FILE says whose they are"
    folders: dict[str, list[str]] = {"p1/a": [], "p1/b": [], "p2/a": [], "alone": []}
    patients, how = patients_of(folders)
    assert patients == {"p1/a": "p1", "p1/b": "p1", "p2/a": "p2", "alone": "alone"}
    assert how == f"not given: taken to be one per folder {MAYBE}; --patients_file FILE says whose they are"
    patients, how = patients_of({"p1/session0/a": [], "p1/session1/b": [], "p2/c": [], "alone": []})
    assert patients == {"p1/session0/a": "p1", "p1/session1/b": "p1", "p2/c": "p2", "alone": "alone"}
    assert how.startswith(f"not given: taken to be one per top folder, with all below it {MAYBE};")
    how = patients_of({"800": [], "801": []}, DATABASES["svdb"])[1]
    assert how == f"not published: taken to be one per record {MAYBE}"


def test_headers_of_which_some_name_no_patient_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        comments = ["note"] if number == 5 else [f"patient {number // 2}"]
        write_record(tmp_path / "raw", f"r{number}", comments=comments, seed=number)
    assert split_by_patient(tmp_path) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {tmp_path / 'raw'}: no patient is named in the header of r5, while that of r0 names 0; say whose "
        "every record is with --patients_file FILE, a CSV file with the line record,patient above one line a record"
    )
    assert not (tmp_path / "mit").exists()
    table = tmp_path / "patients.csv"
    table.write_text("record,patient\n" + "".join(f"r{number},{number // 2}\n" for number in range(8)))
    assert split_by_patient(tmp_path, "--patients_file", table) == 0
    assert len(patients_apart(tmp_path)) == 4


def test_the_sessions_of_a_patient_stay_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        write_record(tmp_path / "raw", f"p{number // 2}/session{number % 2}/r{number}", seed=number)
    assert split_by_patient(tmp_path) == 0
    assert "of 8 records of 4 patients\npatients     not given: taken to be one per top" in capsys.readouterr().out
    assert patients_apart(tmp_path) == ["p0", "p1", "p2", "p3"]


def test_copies_of_a_record_stay_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        write_record(tmp_path / "raw", f"r{number}", seed=number // 2)
    assert split_by_patient(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "of 8 records of 4 patients" in printed
    for number in range(0, 8, 2):
        assert (
            f"note         2 records, the first minute of their signals is the same (patient r{number}): r{number}, "
            f"r{number + 1}\n"
        ) in printed
    assert patients_apart(tmp_path) == ["r0", "r2", "r4", "r6"]


def test_whoever_says_whose_copies_are_is_believed_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        write_record(tmp_path / "raw", f"r{number}", comments=[f"patient {number}"])
    assert run("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "of 4 records of 4 patients\npatients     as the header comments say" in printed
    assert (
        "note         4 records, the first minute of their signals is the same (patient 0, 1, 2, 3): r0, r1" in printed
    )


def test_copies_join_whole_patients_and_flat_leads_nobody() -> None:
    comments: dict[str, list[str]] = {"p1/a": [], "p1/b": [], "p2/c": [], "p2/d": [], "p3/e": [], "p4/f": []}
    patients, _ = patients_of(comments, copies=[["p2/d", "p3/e"], ["p1/a", "p1/b"], ["p1/b", "p2/c"]])
    assert [*patients.values()] == ["p1"] * 5 + ["p4"]
    assert _copies({"a": "x", "b": None, "c": "y", "d": "x", "e": None}) == [["a", "d"]]
    flat = np.zeros(1000)
    assert _first_minute(flat + 0.002 * np.sin(np.arange(1000)), 100) is None  # volts taken for millivolts, say
    assert _first_minute(flat, 100) is _first_minute(flat * np.nan, 100) is _first_minute(flat[:0], 100) is None


def test_patients_of_mitdb_and_ptbdb_one_level_down() -> None:
    patients, how = patients_of({"mitdb/201": [], "mitdb/202": [], "mitdb/234": []}, DATABASES["mitdb"])
    assert [*patients.values()] == ["201", "201", "234"] and how.startswith("as published")
    patients, how = patients_of({"ptbdb/patient001/s0010_re": [], "ptbdb/patient002/s0015lre": []}, DATABASES["ptbdb"])
    assert [*patients.values()] == ["patient001", "patient002"] and how == "as published: one per folder"


def test_edb_is_grouped_by_what_its_headers_say_of_a_person() -> None:
    """The shape of its headers; 0123 and 0126 differ in the order of two findings alone."""
    person = ["Age: 57  Sex: M", "Mixed angina", "1-vessel disease (LAD)", "Recorder type: ICR 7200"]
    comments = {
        "e0123": person,
        "e0126": [person[0], person[2], person[1], person[3]],
        "e0127": ["Age: 58  Sex: M", *person[1:]],
        "e0129": [],
        "e0133": [],
        "e0206": ["Age: 55  Sex: M", *person[1:]],
        "e0210": ["Age: 53  Sex: M", *person[1:]],
    }
    patients, how = patients_of(comments, DATABASES["edb"])
    assert patients == {name: {"e0126": "e0123", "e0210": "e0206"}.get(name, name) for name in comments}
    assert "taken to be one where age, sex, findings" in how and "79" in how
    assert len({*patients_of(comments)[0].values()}) == 7  # not where nobody says that it is edb


def test_two_records_of_a_patient_of_incartdb_stay_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leads = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
    for number in range(1, 13):
        comments = ["<age>: 65 <sex>: F <diagnoses> Coronary artery disease", f"patient {(number + 1) // 2}", "PVCs"]
        write_record(tmp_path / "raw", f"I{number:02}", fs=257, leads=leads, comments=comments, seed=number)
    for database in ((), ("--database", "incartdb")):
        assert split_by_patient(tmp_path, *database) == 0
        printed = capsys.readouterr().out
        assert "of 12 records of 6 patients\npatients     as the header comments say\nleads        II in 12" in printed
        assert len(patients_apart(tmp_path)) == 6
        content = read_splits(tmp_path / "mit")["train"]
        assert content["patients"] == [str(number // 2) for number in range(2, 14)]
        assert content["patients_from"] == "as the header comments say"
        assert content["record_fs"] == [257.0] * 12 and content["fs"] == 360.0
        assert content["databases"] == [database[1] if database else ""] * 12


def test_patients_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("a", "b", "c", "d", "v5")):
        write_record(tmp_path / "raw", name, leads=("V5",) if name == "v5" else ("MLII",), seed=number)
    table = tmp_path / "patients.csv"
    table.write_text("record, patient\na, NA\nb,07\nc,07\nd,x\nv5,x\n")
    command = ("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path, "--patients_file", table)
    assert run(*command, "--split", "inter_patient") == 0
    assert f"of 4 records of 3 patients\npatients     as {table} says" in capsys.readouterr().out
    files = read_splits(tmp_path / "mit")
    assert files["test"]["patients"] == ["NA", "07", "07", "x"]
    assert sorted(map(sorted, owners(files).values())) == [["07"], ["NA"], ["x"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_of_patients_in_any_encoding_that_a_spreadsheet_writes(tmp_path: Path, encoding: str) -> None:
    table = tmp_path / "patients.csv"
    table.write_bytes("record,patient\r\na,Müller\r\n".encode(encoding))
    assert read_patients(table) == {"a": "Müller"}


BAD_TABLES = {
    "record,patient\na,1\n": "has no line for b, c: name each once",
    "record,patient\na,1\nb,1\nc,2\nd,2\n": "gives a patient for d (not there): name each once",
    "record,patient\na,1\nb,1\nc,2\na,2\n": "gives record a twice",
    "record,patient\na,1\nb,\nc,2\n": "gives no patient for record b",
    "name,patient\na,1\n": "has the columns name, patient; its first line must be record,patient",
    "": "cannot be read as CSV: No columns to parse from file",
    None: "cannot be read as CSV: No such file or directory",
}


@pytest.mark.parametrize("content", BAD_TABLES)
def test_bad_tables_of_patients_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    for name in "abc":
        write_record(tmp_path / "raw", name)
    table = tmp_path / "patients.csv"
    if content is not None:
        table.write_text(content)
    command = ("--dataset", "mit", "--raw_path", tmp_path / "raw", "--out", tmp_path / "out")
    assert run(*command, "--patients_file", table) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1] == f"error: --patients_file {table} {BAD_TABLES[content]}"
    assert not (tmp_path / "out").exists()


BAD_ARGUMENTS = {
    "--dataset mit --database ahadb": "--database ahadb: unknown; choose from mitdb, svdb,",
    "--dataset mit --database mitdb,": "--database : unknown; choose from mitdb",
    "--dataset mit --database mitdb,mitdb": "mitdb is named twice",
    "--dataset mit --database ptbdb": "--database ptbdb goes with --dataset ptb, not mit",
    "--dataset mit --database mitdb --source synthetic": "--database goes with --source physionet or records",
    "--dataset mit --database mitdb,svdb --patients_file x": "goes with one database at a time",
    "--dataset mit --source kaggle --patients_file x": "--patients_file does not go with --source kaggle",
}


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS)
def test_bad_arguments_are_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    assert run(*arguments.split(), "--out", tmp_path / "out") == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("error: ") and BAD_ARGUMENTS[arguments] in errors[-1]


# ------------------------------------------------------------------------------------------------------ origin


def test_names_alone_are_not_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("100", "101", "103", "106", "201", "202")
    for seed, name in enumerate(names):
        write_record(tmp_path / "raw", name, seed=seed)
    beats = read_beats("mit", tmp_path / "raw")
    assert beats.source == "records" and set(beats.databases) == {""} and beats.patients == names
    assert beats.source_from == (
        "6 of 6 not as in mitdb 1.0.0: 100, 101, 103, 106, 201 and 1 more; --database mitdb takes them for its records "
        "nevertheless"
    )
    assert split_by_patient(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "not given: taken to be one per record" in printed and "DS1" not in printed

    assert split_by_patient(tmp_path, "--database", "mitdb") == 0
    printed = capsys.readouterr().out
    assert "source records: 6 of 6 not as in mitdb 1.0.0" in printed
    assert "patients     as published: one per record, but 201 and 202 are the same" in printed
    assert "protocol     DS1 (train, validation) and DS2 (test)" in printed
    files = read_splits(tmp_path / "mit")
    assert owners(files)["test"] == {"100", "103", "201"} and files["test"]["source"] == "records"


def test_records_of_nothing_in_the_table_say_nothing(tmp_path: Path) -> None:
    write_record(tmp_path, "mine", leads=("MLII", "ECG1"))
    beats = read_beats("mit", tmp_path)
    assert beats.source == "records" and beats.source_from == ""
    stated = read_as("svdb", tmp_path)
    assert stated.source_from == (
        "1 of 1 could not be compared with svdb 1.0.0, as --source physionet --database svdb does"
    )


# ------------------------------------------------------------------------- shapes of other databases' records


def test_afdb_has_its_beats_apart_from_its_rhythm(tmp_path: Path) -> None:
    write_record(tmp_path, "04015", "N" * 9, fs=250, leads=("ECG1", "ECG2"), annotator="qrs")
    wfdb.wrann("04015", "atr", np.array([30]), ["+"], aux_note=["(AFIB"], fs=250, write_dir=str(tmp_path))
    beats = read_as("afdb", tmp_path)
    assert len(beats.labels) == 9 and beats.leads == ("ECG1",) and set(beats.labels.tolist()) == {0}


def test_ltafdb_names_both_leads_alike(tmp_path: Path) -> None:
    write_record(tmp_path, "00", "NNAV", fs=128, leads=("ECG", "ECG2"))
    header = tmp_path / "00.hea"  # wfdb reads such a header, and would not write it
    header.write_text(header.read_text().replace("ECG2", "ECG"))
    beats = read_as("ltafdb", tmp_path)
    assert beats.labels.tolist() == [0, 0, 1, 2] and beats.leads == ("ECG",) and beats.record_names == ("00",)


def test_edb_is_read_from_the_first_of_its_leads_that_there_is(tmp_path: Path) -> None:
    symbols = "N+~sTN|N"  # ST and T changes are annotated among the beats
    for name, leads in (("e0103", ("V4", "MLIII")), ("e0104", ("MLI", "V5")), ("e0105", ("D3", "V4"))):
        write_record(tmp_path, name, symbols, fs=250, leads=leads)
    beats = read_as("edb", tmp_path)
    assert beats.leads == ("MLIII", "V5", "V4") and len(beats.labels) == 9


# ------------------------------------------------------------------------------------------- several as one set


def toy_set(slug: str, names: Sequence[str], fs: float, patients: Sequence[str] | None = None) -> BeatSet:
    """40 beats a record, of three classes and without a shape."""
    rng, beats = np.random.default_rng(len(names)), 40
    records = np.repeat(np.arange(len(names)), beats)
    return BeatSet(
        samples=rng.standard_normal((len(records), 1, 186)).astype(np.float32),
        labels=rng.integers(0, 3, len(records)),
        classes=tuple("NSVFQ"),
        fs=360.0,
        source="physionet",
        window="none",
        records=records,
        positions=np.tile(np.arange(beats), len(names)),
        record_fs=(fs,) * len(names),
        record_names=tuple(names),
        leads=("MLII",) * len(names),
        patients=tuple(patients or names),
        databases=(slug,) * len(names),
        source_from=f"signals as in {slug}",
        patients_from="as published",
    )


def test_joined_sets_keep_every_beat_with_its_record() -> None:
    sets = {"mitdb": toy_set("mitdb", ["100", "101"], 360), "svdb": toy_set("svdb", ["800", "801", "802"], 128)}
    sets["mitdb"].account.left_out["no lead II"] = ["102"]
    sets["svdb"].account.left_out["no lead II"] = ["803"]
    sets["svdb"].account.dropped["leave the record"] = 2
    both = join(sets)
    assert both.record_names == ("mitdb/100", "mitdb/101", "svdb/800", "svdb/801", "svdb/802")
    assert both.record_fs == (360.0, 360.0, 128.0, 128.0, 128.0) and both.fs == 360.0
    assert both.databases == ("mitdb", "mitdb", "svdb", "svdb", "svdb")
    assert both.patients[0] == "mitdb/100" and both.source == "physionet"
    for slug, single in sets.items():
        at = np.array(both.databases)[both.records] == slug
        np.testing.assert_array_equal(both.samples[at], single.samples)
        np.testing.assert_array_equal(both.labels[at], single.labels)
        np.testing.assert_array_equal(both.positions[at], single.positions)
        names = np.array(both.record_names)[both.records[at]]
        assert names.tolist() == [f"{slug}/{single.record_names[record]}" for record in single.records]
    assert both.account.left_out == {"no lead II": ["mitdb/102", "svdb/803"]}
    assert both.account.dropped == {"leave the record": 2}
    assert sets["mitdb"].account.left_out == {"no lead II": ["102"]}  # as it was


def test_each_database_of_a_joined_set_is_split_by_itself() -> None:
    mitdb = toy_set("mitdb", sorted(splits.DS1 | splits.DS2 | splits.PACED), 360)
    svdb = toy_set("svdb", [str(number) for number in range(800, 812)], 128)
    both = join({"mitdb": mitdb, "svdb": svdb})
    split = splits.split_beats(both, "inter_patient", None, 0)
    records = {name: {both.record_names[record] for record in both.records[index]} for name, index in split.items()}
    of_mitdb = {name: {record for record in its if record.startswith("mitdb/")} for name, its in records.items()}
    assert of_mitdb["test"] == {f"mitdb/{name}" for name in splits.DS2}
    assert of_mitdb["train"] | of_mitdb["val"] == {f"mitdb/{name}" for name in splits.DS1}
    of_svdb = {name: its - of_mitdb[name] for name, its in records.items()}
    assert all(of_svdb.values()) and sum(map(len, of_svdb.values())) == 12
    for index in split.values():
        assert (np.diff(index) > 0).all()


def test_a_part_of_mitdb_that_lacks_ds1_or_ds2_is_refused() -> None:
    ds1, ds2 = (toy_set("mitdb", sorted(names), 360) for names in (splits.DS1, splits.DS2))
    for beats, absent in ((ds1, "DS2"), (ds2, "DS1")):
        with pytest.raises(InputError, match=f"there are none of {absent};"):
            splits.split_beats(beats, "inter_patient", None, 0)
    with pytest.raises(InputError, match="--folds of mitdb are made of DS1, of which no record is here"):
        splits.fold_splits(ds2, 3, 0)


def test_noise_on_a_patient_of_mitdb_makes_nobody_new() -> None:
    mitdb = toy_set("mitdb", sorted(splits.DS1 | splits.DS2), 360)
    nstdb = toy_set("nstdb", ["118e00", "118e24", "119e00"], 360, patients=("118", "118", "119"))
    both = join({"mitdb": mitdb, "nstdb": nstdb})
    assert both.patients[-3:] == ("mitdb/118", "mitdb/118", "mitdb/119")
    with pytest.raises(InputError, match="mitdb and nstdb have records of one patient, mitdb/118"):
        splits.split_beats(both, "inter_patient", None, 0)


def test_two_databases_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        write_record(tmp_path / "raw/svdb", f"80{number}", fs=128, leads=("ECG1", "ECG2"), seed=number)
        write_record(tmp_path / "raw/incartdb", f"I0{number}", fs=257, leads=("I", "II"), seed=number)
    command = ("--dataset", "mit", "--database", "svdb,incartdb", "--raw_path", tmp_path / "raw", "--out", tmp_path)
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "of 8 records of 8 patients" in printed and "leads        ECG1 in 4, II in 4" in printed
    content = read_splits(tmp_path / "mit")["train"]
    assert content["record_fs"] == [128.0] * 4 + [257.0] * 4 and content["databases"] == ["svdb"] * 4 + ["incartdb"] * 4
    windows = [content["window"]]
    for slug in ("svdb", "incartdb"):
        raw = tmp_path / "raw" / slug
        assert run("--dataset", "mit", "--database", slug, "--raw_path", raw, "--out", tmp_path) == 0
        windows.append(read_splits(tmp_path / "mit")["test"]["window"])
    assert len(set(windows)) == 1  # cut alike: a network of one reads the beats of the other
    capsys.readouterr()
    assert run("--dataset", "mit", "--database", "svdb,edb", "--raw_path", tmp_path / "raw", "--out", tmp_path) == 2
    assert "edb is not a folder of records: --source physionet --database edb downloads" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- on the real records


@needs("mitdb", "nstdb", "svdb", "ptbdb")
def test_every_real_record_has_the_fingerprint_of_the_table() -> None:
    table = physionet._fingerprints()
    for slug in ("mitdb", "nstdb", "svdb", "ptbdb"):
        names = list_records(RAW / slug, DATABASES[slug].dataset)
        for name in names[:: len(names) // 6]:
            annotations = None if slug == "ptbdb" else f"{name}.atr"
            leads = wfdb.rdheader(str(RAW / slug / name)).sig_name
            channels = [leads.index("ii")] if slug == "ptbdb" else range(len(leads))
            found = {physionet.fingerprint(RAW / slug, name, channel, annotations) for channel in channels}
            assert found == table[slug, name]


@pytest.fixture
def some_of_mitdb(tmp_path: Path) -> Path:
    """A folder with a folder with some records of mitdb, as PhysioNet has them."""
    folder = tmp_path / "raw/mitdb"
    folder.mkdir(parents=True)
    for name in ("100", "101", "103", "106"):
        for suffix in ("hea", "dat", "atr"):
            shutil.copy(RAW / f"mitdb/{name}.{suffix}", folder)
    return folder


@needs("mitdb")
@pytest.mark.parametrize("levels", [0, 1])
def test_copies_of_mitdb_are_known_in_any_folder(some_of_mitdb: Path, levels: int, tmp_path: Path) -> None:
    raw = some_of_mitdb.parents[levels - 1] if levels else some_of_mitdb
    assert run("--dataset", "mit", "--raw_path", raw, "--split", "inter_patient", "--out", tmp_path) == 0
    files = read_splits(tmp_path / "mit")
    assert files["test"]["source"] == "physionet" and set(files["test"]["databases"]) == {"mitdb"}
    assert owners(files)["test"] == {"100", "103"}


@needs("mitdb")
def test_how_samples_are_stored_does_not_matter_and_what_they_are_does(some_of_mitdb: Path) -> None:
    record = wfdb.rdrecord(str(some_of_mitdb / "100"), physical=False)
    stored = {
        "fs": record.fs,
        "units": ["mV"],
        "sig_name": ["MLII"],
        "fmt": ["16"],
        "adc_gain": [200.0],
        "baseline": [1024],
        "write_dir": str(some_of_mitdb),
    }
    wfdb.wrsamp("100", d_signal=record.d_signal[:, :1].astype(np.int64), **stored)  # one lead, in another format
    assert read_beats("mit", some_of_mitdb).source == "physionet"
    filtered = record.d_signal[:, :1].astype(np.int64)
    filtered[1000:1002, 0] += (1, -1)  # the checksum of the header stays
    wfdb.wrsamp("100", d_signal=filtered, **stored)
    beats = read_beats("mit", some_of_mitdb)
    assert beats.source == "records" and "1 of 4 not as in mitdb 1.0.0: 100;" in beats.source_from


@needs("mitdb")
@pytest.mark.parametrize("suffix", ["atr", "dat", "hea"])
def test_a_record_under_another_name_is_not_physionets(some_of_mitdb: Path, suffix: str) -> None:
    (some_of_mitdb / f"101.{suffix}").write_bytes(
        (some_of_mitdb / f"100.{suffix}").read_bytes().replace(b"100.dat", b"101.dat").replace(b"100 2", b"101 2")
    )
    beats = read_beats("mit", some_of_mitdb)
    if suffix == "hea":  # its lead, rate and scale are those of 101 too: what is read is the same
        assert beats.source == "physionet"
    else:
        assert beats.source == "records" and "1 of 4 not as in mitdb 1.0.0: 101;" in beats.source_from


@needs("ptbdb")
def test_another_diagnosis_is_not_physionets(tmp_path: Path) -> None:
    for name in ("patient104/s0306lre", "patient117/s0291lre"):
        shutil.copytree(RAW / "ptbdb" / Path(name).parent, tmp_path / Path(name).parent)
    (tmp_path / "RECORDS").write_text("patient104/s0306lre\npatient117/s0291lre\n")
    beats = read_beats("ptb", tmp_path)
    assert beats.source == "physionet" and beats.patients_from == "as published: one per folder"
    header = tmp_path / "patient104/s0306lre.hea"
    header.write_text(header.read_text().replace("Healthy control", "Myocardial infarction"))
    beats = read_beats("ptb", tmp_path)
    assert beats.source == "records" and "1 of 2 not as in ptbdb 1.0.0: patient104/s0306lre" in beats.source_from


@pytest.fixture
def beats_read(monkeypatch: pytest.MonkeyPatch) -> list[BeatSet]:
    """What the commands of a test read: a database is read once for what is asked of its beats and of its splits."""

    def noting(*arguments: Any) -> BeatSet:
        read.append(read_beats(*arguments))
        return read[-1]

    read: list[BeatSet] = []
    monkeypatch.setattr(preparation, "read_beats", noting)
    return read


@needs("nstdb")
def test_nstdb_has_two_patients(beats_read: list[BeatSet], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ("--dataset", "mit", "--raw_path", RAW / "nstdb", "--split", "inter_patient", "--out", tmp_path)
    assert run(*command) == 2
    (beats,) = beats_read
    assert beats.source == "physionet" and set(beats.patients) == {"118", "119"}
    assert "at least 3 patients in nstdb, found 2" in capsys.readouterr().err


@needs("svdb")
def test_svdb_by_patient(beats_read: list[BeatSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Annotated: N 110500, B 1, S and J 8393, V 7625, F 5, Q 53; one is a sample after the end of record 860."""
    command = ("--dataset", "mit", "--database", "svdb", "--raw_path", RAW / "svdb", "--out", tmp_path)
    assert run(*command, "--split", "inter_patient") == 0
    printed = capsys.readouterr().out
    assert "source physionet: signals read and annotations as in svdb 1.0.0" in printed
    assert "patients     not published: taken to be one per record" in printed
    files = read_splits(tmp_path / "mit")
    counts = torch.stack([torch.bincount(content["labels"], minlength=5) for content in files.values()]).sum(dim=0)
    assert counts.tolist() == [110501 - 32, 8393 - 2, 7625 - 1, 5, 53]  # all but 35 windows that leave the record
    patients = owners(files)
    assert sum(map(len, patients.values())) == len(set.union(*patients.values())) == 52
    (beats,) = beats_read
    assert {*beats.leads} == {"ECG1"} and len(beats.record_names) == 52  # the lead that the database has in place of II
    dropped = np.array([110501, 8393, 7625, 5, 53]) - np.bincount(beats.labels)
    assert dropped.sum() == beats.account.dropped["leave the record"] + 1 and (dropped >= 0).all()
    assert beats.account.dropped[f"belong to beats {OUTSIDE}"] == 1
    assert beats.account.remarks[f"beats {OUTSIDE}"] == ["860"] and f"beats {DOUBLED}" not in beats.account.remarks
    assert beats.account.unused == {"|": 1682, "~": 771}
    assert {len(names) for remark, names in beats.account.remarks.items() if "not calibrated" in remark} == {25}
