"""A recording of hours or days of one synthetic patient, and the truth about it, written part by part."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from preprocess.synthetic.day import (
    DAY,
    LEADS_OFF,
    LOAD,
    START,
    Entry,
    Plan,
    Played,
    Stretch,
    clock,
    draw_ambulatory_patient,
    heart_of_the_day,
    plan_recording,
    true_episodes,
)
from preprocess.synthetic.files import (
    DIARY,
    HOLTER,
    TRUE_EPISODES,
    AnnotationFile,
    Format,
    digitised,
    mark,
    require_synthetic,
    write_names,
)
from preprocess.synthetic.noise import draw_disturbance, electrode_motion, fibrillatory_waves
from preprocess.synthetic.patients import Patient
from preprocess.synthetic.waves import Beat, draw_beats_in_parts
from support.errors import InputError
from support.files import folder_written_whole, write_table

HOLTER_FORMAT = Format(250, {"MLII": "ii", "V1": "v1"}, "16", 200, 0, -2048, 2047)  # 5 uV a unit, 12 bits
FEWEST_HOURS, MOST_HOURS = 0.5, 14 * 24  # there is no room for the programme in less; longer patches are rare

FADE = 2 * HOLTER_FORMAT.fs  # samples over which the noise of one part becomes that of the next
PART = 2**15 - FADE  # samples written at a time, about 2 minutes: with the fade a power of two, fast to transform

UNREADABLE, READABLE = 48, 0
"""Subtypes of the "~" where time that cannot be read in either lead begins, and where it ends."""


@dataclass(frozen=True)
class Holter:
    """What was written."""

    record: Path  # without a suffix
    start: datetime
    samples: int
    form: Format
    beats: Counter[str]  # by annotation symbol
    episodes: Counter[str]  # by kind
    diary: int  # entries


def write_synthetic_holter(folder: Path, hours: float, seed: int) -> Holter:
    """Write a recording of `hours` of one patient into `folder`: record, annotations, diary and true episodes.

    Leads MLII and V1 in `HOLTER_FORMAT`: holter.dat and .hea; holter.atr with the beats, the rhythms "(N", "(B", "(T",
    "(VT", "(IVR", "(SVTA" and "(AFIB", and "~" where unreadable time begins and ends, in which no beat is annotated;
    diary.csv (time, kind, note, end); episodes_true.csv (kind, start_s, end_s, duration_s, beats, rate_bpm, clock); and
    RECORDS. All of it appears, or on an error nothing; a synthetic record that is in `folder` is replaced. Memory does
    not grow with the signal, only with its annotations.

    Raises:
        InputError: `hours` is out of range, `folder` cannot be written, or it holds anything but a synthetic
            record, which then stays as it is.
    """
    if not FEWEST_HOURS <= hours <= MOST_HOURS:
        raise InputError(f"{hours:g} hours of a synthetic patient: give {FEWEST_HOURS:g} to {MOST_HOURS}")
    samples = round(hours * 3600 * HOLTER_FORMAT.fs)
    of_patient, of_heart, of_shapes, of_annotations, of_noise = np.random.default_rng([seed, DAY]).spawn(5)
    patient = draw_ambulatory_patient(of_patient)
    plan = plan_recording(samples / HOLTER_FORMAT.fs)
    log = Log(plan, AnnotationFile(HOLTER_FORMAT.fs, samples, of_annotations))
    beats = log.keep(heart_of_the_day(plan, patient, of_heart))
    hearts = draw_beats_in_parts(beats, patient.shapes, samples, HOLTER_FORMAT.fs, of_shapes, PART)

    def draw_noise(start: int, length: int) -> np.ndarray:
        return _noise(plan, patient, log.fibrillation, start, length, of_noise)

    noises = faded_parts(draw_noise, samples, PART, FADE)
    signals = (heart + noise for heart, noise in zip(hearts, noises, strict=True))
    with folder_written_whole(folder, require_synthetic) as part:
        _write_parts(part, _with_leads_off(signals, plan), samples, [mark(seed, 1, 1)])
        log.annotations.write(part, HOLTER)
        episodes = log.episodes()
        write_table(part / TRUE_EPISODES, episodes, index=False, decimals=3)
        write_table(part / DIARY, _diary(log.diary), index=False)
        write_names(part, [HOLTER])
    kinds = Counter(episodes["kind"].tolist())
    return Holter(Path(folder) / HOLTER, START, samples, HOLTER_FORMAT, log.symbols, kinds, len(log.diary))


class Log:
    """Collects what is written beside the signal while the heart beats."""

    def __init__(self, plan: Plan, annotations: AnnotationFile) -> None:
        self.annotations = annotations
        self.symbols: Counter[str] = Counter()
        self.diary = list(plan.diary)
        self.fibrillation: list[Stretch] = []
        self._places = array("q")  # sample of each annotated beat
        self._rows: list[tuple[str, int, int, int]] = []  # kind, first and last sample, beats
        self._unreadable = [
            (round(s.start * HOLTER_FORMAT.fs), round(s.end * HOLTER_FORMAT.fs)) for s in plan.unreadable
        ]
        for start, end in self._unreadable:
            annotations.add(start, "~", UNREADABLE)
            annotations.add(end, "~", READABLE)
            self._rows.append(("unreadable", start, end, 0))

    def keep(self, played: Iterable[Played]) -> Iterator[Beat]:
        """Pass the beats on in their order, and note what they are."""
        for event in played:
            first = len(self._places)
            for beat in event.beats:
                if not self._hidden(beat):
                    self._places.append(self.annotations.add_beat(beat))
                    self.symbols[beat.symbol] += 1
            start = event.beats[0].time
            if len(self._places) > first:  # no sinus beat in unreadable time, where nothing else is played
                for true in true_episodes(event.episode, first, self._places, HOLTER_FORMAT.fs):
                    beats = true.last - true.first + 1
                    self._rows.append((true.kind, self._places[true.first], self._places[true.last], beats))
            if event.symptom:
                self.diary.append(Entry(start + 6, "symptom", event.symptom))
            if event.episode.rhythm == "(AFIB":
                self.fibrillation.append(Stretch(start - 0.3, event.beats[-2].time + 0.3, "fibrillation"))
            yield from event.beats

    def _hidden(self, beat: Beat) -> bool:
        return any(start <= beat.time * HOLTER_FORMAT.fs < end for start, end in self._unreadable)

    def episodes(self) -> pd.DataFrame:
        """The true episodes in time, one a row, in the columns of the report's list without `doubtful`."""
        fs, rows = HOLTER_FORMAT.fs, []
        for kind, start, end, beats in sorted(self._rows, key=lambda row: row[1]):
            seconds = (end - start) / fs
            rate = 60 * (beats - 1) / seconds if beats > 1 and kind != "pause" else None
            rows.append((kind, start / fs, end / fs, seconds, beats, rate, clock(start / fs)))
        columns = ["kind", "start_s", "end_s", "duration_s", "beats", "rate_bpm", "clock"]
        return pd.DataFrame(rows, columns=columns).astype({"rate_bpm": float})


def _diary(entries: list[Entry]) -> pd.DataFrame:
    rows = [
        (clock(entry.time), entry.kind, entry.note, "" if entry.end is None else clock(entry.end))
        for entry in sorted(entries, key=lambda entry: entry.time)
    ]
    return pd.DataFrame(rows, columns=["time", "kind", "note", "end"])


def faded_parts(draw: Callable[[int, int], np.ndarray], samples: int, part: int, fade: int) -> Iterator[np.ndarray]:
    """Noise of `samples` in parts of `part`, each of them drawn by itself and faded in over the end of the one before.

    Args:
        draw: (start, length) -> noise (length, leads). The parts are independent, so their powers are what adds up.
    """
    rise = np.sqrt(np.linspace(0, 1, fade))[:, None]
    end_before: np.ndarray | None = None
    for start in range(0, samples, part):
        length = min(part, samples - start)
        noise = draw(start, length + fade)
        if end_before is not None:
            noise[:fade] = rise * noise[:fade] + rise[::-1] * end_before
        end_before = noise[length:]
        yield noise[:length]


def _noise(
    plan: Plan, patient: Patient, fibrillation: list[Stretch], start: int, length: int, rng: np.random.Generator
) -> np.ndarray:
    """All that is not a beat in `length` samples from `start` on -> (length, leads) in mV."""
    fs = HOLTER_FORMAT.fs
    effort = np.ones((length, 1))
    for what, (_, factor) in LOAD.items():
        times = (stretch for stretch in plan.activities if stretch.what == what)
        effort += (factor - 1) * envelope(times, start, length, fs, ramp=4.0)
    noise = draw_disturbance(patient.noise, patient.respiration, length, fs, rng, effort)
    for stretches, ramp, draw in (
        (fibrillation, 0.3, fibrillatory_waves),
        (plan.unreadable, 0.3, electrode_motion),
    ):
        share = envelope(stretches, start, length, fs, ramp)
        if share.any():
            noise += share * draw(length, fs, rng)
    return noise


def envelope(stretches: Iterable[Stretch], start: int, length: int, fs: int, ramp: float) -> np.ndarray:
    """1 within the stretches, 0 outside, with ramps of `ramp` s inside of them, for `length` samples -> (length, 1)."""
    time = (start + np.arange(length))[:, None] / fs
    total = np.zeros((length, 1))
    for stretch in stretches:
        if stretch.start < time[-1, 0] and time[0, 0] < stretch.end:
            total += np.clip(np.minimum(time - stretch.start, stretch.end - time) / ramp, 0, 1)
    return total


def _with_leads_off(signals: Iterable[np.ndarray], plan: Plan) -> Iterator[np.ndarray]:
    """The signals, flat where the leads are off but for 3 s of motion as they are taken off and put on again."""
    start = 0
    for signal in signals:
        time = (start + np.arange(len(signal))) / HOLTER_FORMAT.fs
        for stretch in plan.unreadable:
            if stretch.what == LEADS_OFF:
                signal[(stretch.start + 3 <= time) & (time < stretch.end - 3)] = 0.0
        yield signal
        start += len(signal)


def _write_parts(home: Path, signals: Iterable[np.ndarray], samples: int, comments: list[str]) -> None:
    """Write the signal part by part, and then the header, which holds its checksum."""
    import wfdb

    form, leads = HOLTER_FORMAT, len(HOLTER_FORMAT.leads)
    first: list[int] = []
    total = np.zeros(leads, dtype=np.int64)
    bar = tqdm(total=samples, desc="synthetic recording", unit="sample", unit_scale=True, disable=None)
    with bar, (home / f"{HOLTER}.dat").open("wb") as stream:
        for signal in signals:
            units = digitised(signal, form)
            first = first or units[0].tolist()
            total += units.sum(axis=0)
            stream.write(units.astype("<i2").tobytes())
            bar.update(len(units))
    wfdb.Record(
        record_name=HOLTER,
        n_sig=leads,
        fs=form.fs,
        sig_len=samples,
        base_time=START.time(),
        base_date=START.date(),
        file_name=[f"{HOLTER}.dat"] * leads,
        fmt=[form.code] * leads,
        adc_gain=[float(form.gain)] * leads,
        baseline=[form.baseline] * leads,
        units=["mV"] * leads,
        adc_res=[12] * leads,
        adc_zero=[0] * leads,
        init_value=first,
        checksum=(total % 65536).tolist(),
        block_size=[0] * leads,
        sig_name=list(form.leads),
        comments=comments,
    ).wrheader(str(home), expanded=False)
