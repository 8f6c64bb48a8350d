"""The lines above a table: its rate, when it began, and of which programs they are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from made_recordings import START, after, check, fault, put, wave

from preprocess.readers import open_recording
from preprocess.readers.columns import column_of
from preprocess.readers.heads import Line

UNSURE = {
    "# 250 Hz",
    "Datenrate;250 Hz",
    "Frequency (Hz),250",
    "Frequency: 250 Hz",
    "Messrate;250 Hertz",
    "Rate (Hz): 250",
}
"""Lines that do not say that their rate is of sampling."""


def doubt(line: str, fs: int = 250) -> str:
    return f"The rate is {fs} Hz, as the line '{line}' of its head says, though not of what; --fs gives another."


@pytest.mark.parametrize("begin", ["x", "x ("])
@pytest.mark.parametrize("letter", "_ (")
def test_no_time_is_lost_on_a_long_run_of_one_letter(begin: str, letter: str) -> None:
    text = begin + letter * 10**6 + "y"
    assert Line.of(f"{text}: 250").rate is Line.of(f"Rate: {text}").rate is None
    assert column_of(0, text).unit == ""


# ------------------------------------------------------------------------------------------------------------- the rate


@pytest.mark.parametrize(
    ("head", "fs"),
    [
        ("# Low pass: 100 Hz|# Sampling rate: 250 Hz", 250),
        ("High pass,0.5 Hz|Notch,50 Hz|Sample Rate,250 Hz", 250),
        ("Tiefpass;40 Hz|Netz;50 Hz|Messrate;250 Hertz", 250),
        ("Filtre passe-bas,100 Hz|Fréquence d'échantillonnage,250 Hz|Affichage,60 Hz", 250),
        ("Sample Rate (Hz),250", 250),
        ("# fs = 250", 250),
        ("Sampling frequency [Hz]: 250", 250),
        ("SamplingRate=250,0", 250),
        ("# Low pass 100 Hz|# Sampling rate 250 Hz", 250),
        ("Sample rate: 0.25 kHz", 250),
        ("Low pass (Hz),100|Samples,30000|Sampling interval (ms),4|Sampling rate (kHz),0.25", 250),
        ("SampleRate: 250 sps|Data rate: 115200", 250),
        ("Rate: 0.25 kS/s|Frequency: 60 Hz", 250),
        ("250 samples/s", 250),
        ("# 250 Hz", 250),
        ("Samplerate 250", 250),
        ("Sampling Rate: 250.0 samples/second", 250),
        ("Sampling rate: 250 Hz (1 channel)|Data rate: 9600 Hz", 250),
        ("Rate (Hz): 250|Rate (bpm): 110", 250),
        ("Samples: 3000|Sampling rate: 250 S", "the line 'Sampling rate: 250 S' of its head is not understood, and it"),
        ("Sampled at a rate of 250 a second", "the line 'Sampled at a rate of 250 a second' of its head is not und"),
        ("ECG rate: 172|PR: 160", "its head does not call 'ECG rate: 172' a sampling rate, and it has"),
        ("Frequency: 60 Hz", "its head does not call 'Frequency: 60 Hz' a sampling rate, and it has"),
        ("Interval (ms): 800", "its head does not call 'Interval (ms): 800' a sampling rate, and it has"),
        ("Rate (bpm): 110|Data rate: 115200 baud", None),
        ("# Low pass: 100 Hz|Cut-off,150 Hz", None),
        ("Display,60 Hz|Refresh,250 Hz", "its head has several rates, 'Display,60 Hz' and 'Refresh,250 Hz', and it"),
        ("Sampling rate of ECG 1,250 Hz|Sampling rate of ECG 2,125 Hz", "'Sampling rate of ECG 2,125 Hz'"),
        ("Sampling rate of ECG,250 Hz|Sampling rate of SpO2,75 Hz", 250),
        ("ECGSamplingRate,250 Hz|ACCSamplingRate,100 Hz", 250),
        ('# OpenSignals|# {"20:16": {"position": 0, "device": "bitalino", "sampling rate": 250, "n": [4]}}|# End', 250),
        ('# OpenSignals|# {"a": {"sampling rate": 250}, "b": {"sampling rate": 100}}|# End', None),
        ("Datenrate;250 Hz|Anzeige;60 Hz", 250),
        ("Frequency (Hz),250", 250),
        ("Częstotliwość próbkowania;250 Hz", 250),
        ("Accelerometer sampling rate,100 Hz|EMG,35 Hz|PPG rate,100 Hz|Resp rate,125 Hz", None),
        (
            "Upper limit,150 Hz",
            "its head does not call 'Upper limit,150 Hz' a sampling rate, and it has no time column",
        ),
        ("Frequency: 250 Hz", 250),
        ("High,150 Hz", "its head does not call 'High,150 Hz' a sampling rate, and it has no time column"),
        ("Low pass filter|150 Hz", "its head does not call '150 Hz' a sampling rate, and it has no time column"),
        ("(Hz): 150|Mode: notch", "its head does not call '(Hz): 150' a sampling rate, and it has no time column"),
        ("Resp|150 Hz", "its head does not call '150 Hz' a sampling rate, and it has no time column"),
        ("Low pass filter|150 Hz|Sampling rate: 250 Hz", 250),
        ("Sampling interval,4 ms", 250),
        ("Sample period: 2000 us", 500),
        ("Abtastintervall (ms);2", 500),
        ("RR interval,800 ms", None),
    ],
)
def test_the_rate_in_a_head_is_known_by_its_key(tmp_path: Path, head: str, fs: float | str | None) -> None:
    lines = [*head.split("|"), "Unit,uV", "II", *map(str, wave(400).tolist())]
    path = put(tmp_path, lines)
    if isinstance(fs, int):
        with open_recording(path) as recording:
            assert (recording.fs, recording.notes) == (
                fs,
                tuple(doubt(line) for line in head.split("|") if line in UNSURE),
            )
        return
    said = fault(path)
    assert "does not say its sampling frequency (" in said and (fs or "(it has no time column)") in said
    with open_recording(path, fs=250) as recording:
        assert recording.fs == 250


@pytest.mark.parametrize("line", ["Rate: 250 Hz", "Frequency (Hz): 250", "250 Hz", "Interval: 4 ms"])
def test_a_rate_of_a_head_that_is_not_called_that_of_sampling_gives_way(tmp_path: Path, line: str) -> None:
    path = put(tmp_path, [line, "II (uV)", *map(str, wave(400))])
    note = f"The rate is 500 Hz, as --fs says; the line '{line}' of its head is not used."
    for fs, said in ((None, (doubt(line),)), (250, ()), (500, (note,))):
        with open_recording(path, fs=fs) as recording:
            assert (recording.fs, recording.notes, recording.is_rated) == (fs or 250, said, fs != 500)
    for step, said in ((1, (doubt(line),)), (4, ())):
        title, rows = "index" if step == 1 else "time_ms", [f"{step * n},{value}" for n, value in enumerate(wave(400))]
        with open_recording(put(tmp_path, [line, f"{title},II (uV)", *rows], "c.csv")) as recording:
            assert (recording.fs, recording.notes) == (250, said)
    rows = [f"{2 * n},{value}" for n, value in enumerate(wave(400))]
    with open_recording(put(tmp_path, [line, "time_ms,II (uV)", *rows], "b.csv")) as recording:
        assert (recording.fs, recording.notes) == (500, (note.replace("--fs says", "its times say"),))


def test_a_stated_rate_tells_the_unit_of_times(tmp_path: Path) -> None:
    rows = [f"{1000 * n},{value}" for n, value in enumerate(wave(400)) if not 200 <= n < 250]
    path = put(tmp_path, ["time,II (uV)", *rows])
    assert "give --fs, in Hz, or the unit in the title, such as time_ms" in fault(path)
    with open_recording(path, fs=1000) as recording:
        assert recording.notes == (
            "The column time is taken as microseconds, which makes 1000 Hz.",
            "Its times leave out 50 samples (0.1 s); those are missing.",
        )
        assert recording.length == 400
    with open_recording(put(tmp_path, f"1000 Hz\n{path.read_text()}", "b.csv")) as recording:
        assert doubt("1000 Hz", 1000) in recording.notes


def test_a_head_that_its_time_column_contradicts(tmp_path: Path) -> None:
    rows = [f"{n / 250:.3f},{value}" for n, value in enumerate(wave(1000)) if not 300 <= n < 400]
    for rate in (250, 500):
        head = ["Made by,a recorder", f"Sample Rate,{rate} hertz", "Unit,uV", "time_s,II"]
        path = put(tmp_path, [*head, *rows], f"{rate}.csv")
    assert "contradicts itself: 500 Hz by its head, 250 Hz by its column time_s" in fault(path)
    with open_recording(tmp_path / "250.csv") as recording:
        assert (recording.fs, recording.length) == (250, 1000)


# ------------------------------------------------------------------------------------------------------------ the start


@pytest.mark.parametrize(
    ("head", "start", "note"),
    [
        ("# Exported: 2026-03-01 10:00|# Recording start: 2026-01-31 14:05:07", START, None),
        ("Date of birth,1950-03-02 00:00|Aufzeichnungsdatum,2026-01-31 14:05:07 +0100", START, None),
        *(
            (f"{born},1950-03-02 00:00|Date,2026-01-31 14:05:07", START, None)
            for born in ("Fecha de nacimiento", "Geboortedatum", "Födelsedatum", "Data urodzenia", "生年月日", "出生")
        ),
        ("RecordingEnd,2026-02-01 10:00|Fecha,2026-01-31 14:05:07", START, None),
        ("Start: 31.01.2026 14:05:07", START, None),
        ("Hora nacional,2026-01-31 14:05:07", START, None),
        ("Start: 31.1.2026 14:05:07", START, None),
        ("Start: 2026/1/31 14:05:07", START, None),
        ("Start: [14:05:07.000 31/01/2026]", START, None),
        ("Start: [14:05:07.000 31/01/2026] UTC", None, "The line 'Start: [14:05:07.000 31/01/2026] UTC' of its head"),
        ("Record date,2026/01/31|Start time,14:05:07", START, None),
        ("Exported,2026-03-01 10:00", None, None),
        ("Record date,2026-01-31|Start time,14:05:07", START, None),
        ("Datum;31.01.2026|Aufnahmebeginn;14:05:07|Geburtsdatum;1.2.1950", START, None),
        ("Date,2026-01-31|Start time,14:05:07|Date of visit,2026-02-01", None, "The line 'Start time,14:05:07' of its"),
        ("Record date,2026-01-31|End time,14:05:07", None, "The line 'Record date,2026-01-31' of its head is not"),
        ("Record date,2026-01-31|Start time,25:05:07", None, "The line 'Record date,2026-01-31' of its head is not"),
        ("One,2026-01-31 14:05|Two,2026-01-31 15:05", None, "Its head has several times, 'One,2026-01-31 14:05' and"),
        ("Start: 01/31/2026 2:05 PM", None, "The line 'Start: 01/31/2026 2:05 PM' of its head is not understood;"),
        ("Start: 2:05 PM|Upload,2026-03-01 10:00", None, "The line 'Start: 2:05 PM' of its head is not understood;"),
        ("Recording length,24:00:00|Recorder software,1.12.2026", None, None),
    ],
)
def test_the_start_in_a_head_is_known_by_its_key(
    tmp_path: Path, head: str, start: dt.datetime | None, note: str | None
) -> None:
    lines = [*head.split("|"), "Sample Rate,250 Hz", "Unit,uV", "II", *map(str, wave(400).tolist())]
    path = put(tmp_path, lines)
    with open_recording(path) as recording:
        assert recording.start == start
        assert len(recording.notes) == (note is not None)
        assert note is None or (recording.notes[0].startswith(note) and "--start_time says it" in recording.notes[0])
    with open_recording(path, start_time=START) as recording:
        assert recording.start == START and recording.notes == ()


@pytest.mark.parametrize(
    ("title", "first", "start"),  # where the head says 14:05:07
    [
        ("time_s", "0.000", START),
        ("time_s", "0.004", START),
        ("time_s", "10800.000", None),
        ("time_ms", "10000", None),
        ("time", "14:05:07.000", START),
        ("time", "14:05:30.000", START),
        ("time", "17:05:17.000", None),
        ("time", "00:00:00.000", START),
        ("Elapsed time", "03:00:10.000", None),
        ("Elapsed time", "14:05:07.000", None),
        ("time_ms", "1769864707000", START),  # in UTC, the head in UTC+01:00
        ("time_ms", "1769865907000", None),
        ("time", "2026-01-31 14:05:07.000", START),
        ("time", "2026-01-31 17:05:07.000", START.replace(hour=17)),
    ],
)
def test_a_start_in_a_head_that_the_first_row_contradicts(
    tmp_path: Path, title: str, first: str, start: dt.datetime | None
) -> None:
    def stamp(n: int) -> str:
        if "-" in first:
            return f"{after(250, n, dt.datetime.fromisoformat(first))}"
        if ":" in first:
            return after(250, n, dt.datetime.combine(START, dt.time.fromisoformat(first))).strftime("%H:%M:%S.%f")
        return f"{float(first) + n / 250:.3f}" if title == "time_s" else str(int(first) + 4 * n)

    rows = [f"{stamp(n)},{value}" for n, value in enumerate(wave(400))]
    path = put(tmp_path, [f"Start,{START}", f"{title},II (uV)", *rows])
    with open_recording(path) as recording:
        assert (recording.fs, recording.start) == (250, start)
        said = f"The head says that it began at {START}, column {title} begins at {stamp(0)}; it is not known when the "
        taken = f"Its head says that it began at {START}, its first row that it is of {start}, which is taken."
        notes = [note for note in recording.notes if "began at" in note]
        if start is None:
            assert notes == [f"{said}recording began, --start_time says it."]
        else:
            assert notes == ([] if start == START else [taken])


# ------------------------------------------------------------------------------------------------------------- the rest


def test_the_other_lines_of_a_head_are_known_by_their_keys(tmp_path: Path) -> None:
    head = ["Device,Recorder V3", "Name,Karl III", "Lead,Lead II", "Scale,mV", "Unit,uV", "Sample Rate,250 Hz"]
    path = put(tmp_path, [*head, *map(str, wave(400).tolist())])
    with open_recording(path) as recording:
        assert (recording.format, recording.lead) == ("CSV", "II")  # a head of key,value alone makes no Apple Watch
        check(recording, wave(400) * 1e-3)
    for lead in ("", "Lead,Lead I/II\n", "Lead,I-II\n"):
        path = put(tmp_path, "\n".join([*head, *map(str, wave(400))]).replace("Lead,Lead II\n", lead), "b.csv")
        with open_recording(path) as recording:
            assert recording.notes == ("The file does not say which lead it has.",)
    put(tmp_path, path.read_text().replace("Lead,I-II", "Lead,-II"), "b.csv")  # which is upside down
    assert "has no lead II; it has -II" in fault(path)


LABCHART = (
    "Interval=\t0.004 s|ExcelDateTime=\t4.3528604247685187e+04\t3/4/2019 14:30:07.0|TimeFormat=\tStartOfBlock|"
    "DateFormat=\t|ChannelTitle=\tECG\tResp|Range=\t10 mV\t10 V|UnitName=\tmV\tV|TopValue=\t5\t5"
)

ACQ = "a.acq|4 msec/sample|2 channels|ECG|mV|RSP|Volts|"


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (LABCHART, "{time:.3f}\t{value}\t0"),
        (LABCHART, "{value}\t0"),
        (LABCHART.replace("\tResp", "").replace("\t10 V", "").replace("\tV", ""), "{value}"),
        (LABCHART.replace("\tResp", "").replace("\t10 V", "").replace("\tV", ""), "{time:.3f}\t{value}"),
        (ACQ + "sec\tCH1\tCH2\t|\t400\t400\t", "{time:.3f}\t{value}\t0\t"),
        (ACQ + "min\tCH1\tCH2\t|\t400\t400\t", "{minutes:.8f}\t{value}\t0\t"),
        ("a.acq|4 msec/sample|1 channels|ECG|mV|sec\tCH1|\t400", "{time:.3f}\t{value}"),
        ("a.acq|4 msec/sample|1 channels|ECG|mV", "{value}"),
    ],
)
def test_tables_of_labchart_and_acqknowledge(tmp_path: Path, head: str, row: str) -> None:
    values = wave(400) / 1000
    rows = [row.format(time=n / 250, minutes=n / 15000, value=value) for n, value in enumerate(values)]
    path = put(tmp_path, [*head.split("|"), *rows], "a.txt")
    with open_recording(path) as recording:
        assert (recording.fs, recording.lead) == (250, "ECG")
        assert recording.leads in (("ECG", "RSP"), ("ECG", "Resp"), ("ECG",))
        check(recording, values)
        assert recording.start == (dt.datetime(2019, 3, 4, 14, 30, 7) if head.startswith("Interval=") else None)
    changed = path.read_text().replace("14:30:07", "14:31:07")
    with open_recording(put(tmp_path, changed, "b.txt")) as recording:
        assert recording.start is None and ("'ExcelDateTime=" in str(recording.notes)) == ("Excel" in head)
