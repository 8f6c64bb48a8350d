"""The synthetic patients: files that read back, and beats whose shape and timing are those of their class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from scipy.signal import find_peaks

from preprocess.detect import steepness
from preprocess.synthetic import files as synthetic_files
from preprocess.synthetic import write_synthetic_mit, write_synthetic_ptb
from preprocess.synthetic.noise import band_noise
from preprocess.synthetic.patients import draw_mit_patient
from preprocess.synthetic.rhythm import AMBULATORY, ATRIAL, atrial_premature, tachogram, ventricular_premature
from preprocess.synthetic.waves import LEAD_II, Morphology, Wave, blend
from support.errors import InputError

GROUPS = {"N": "N", "L": "N", "R": "N", "A": "S", "V": "V", "F": "F", "/": "Q", "f": "Q"}
SINUS = "NLR"
FS = 360  # Hz


@dataclass(frozen=True)
class Recording:
    """A mit record as its files say."""

    signal: np.ndarray  # (samples,) mV, MLII
    places: np.ndarray  # (beats,) sample of each R-peak
    symbols: str  # a symbol a beat
    rhythms: list[str]

    def windows(self, symbols: str, half: int = 93) -> np.ndarray:
        """Beats so annotated, without the median of the record -> (n, 2 * half) mV."""
        inside = (self.places >= half) & (self.places + half <= len(self.signal))
        chosen = inside & np.isin(list(self.symbols), list(symbols))
        signal = self.signal - np.median(self.signal)
        return np.stack([signal[place - half : place + half] for place in self.places[chosen]])

    def mean_beat(self, symbols: str) -> np.ndarray:
        return self.windows(symbols).mean(axis=0)

    def intervals(self, pattern: str) -> np.ndarray:
        """RR intervals in s within every match of `pattern` on the symbols -> (matches, symbols - 1)."""
        found = [
            np.diff(self.places[m.start(1) : m.end(1)]) / FS for m in re.finditer(f"(?=({pattern}))", self.symbols)
        ]
        return np.array(found)


def read_mit(folder: Path) -> dict[str, Recording]:
    recordings = {}
    for name in (folder / "RECORDS").read_text().split():
        record, notes = wfdb.rdrecord(str(folder / name)), wfdb.rdann(str(folder / name), "atr")
        beats = [k for k, symbol in enumerate(notes.symbol) if symbol in GROUPS]
        rhythms = [note.rstrip("\0") for note in notes.aux_note if note]
        recordings[name] = Recording(
            record.p_signal[:, 0], notes.sample[beats], "".join(notes.symbol[k] for k in beats), rhythms
        )
    return recordings


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def mit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "mit"
    write_synthetic_mit(folder, patients=20, minutes=5, seed=0)
    return folder


@pytest.fixture(scope="module")
def mit(mit_folder: Path) -> dict[str, Recording]:
    return read_mit(mit_folder)


@pytest.fixture(scope="module")
def ptb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "ptb"
    write_synthetic_ptb(folder, patients=30, minutes=0.5, seed=0)
    return folder


def with_beats(mit: dict[str, Recording], symbol: str, at_least: int = 8) -> list[Recording]:
    found = [recording for recording in mit.values() if recording.symbols.count(symbol) >= at_least]
    assert found
    return found


# ---------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("write", [write_synthetic_mit, write_synthetic_ptb])
def test_same_seed_same_bytes_and_another_seed_others(write: Callable[..., None], tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        write(tmp_path / name, patients=3, minutes=0.3, seed=seed)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    data = [name for name in one if name.endswith(".dat")]
    assert data
    assert all(one[name] != other.get(name) for name in data)
    assert len({one[name][:4000] for name in data}) == len(data)  # no two patients are alike


def test_mit_records_read_back_as_mitdb_records_do(mit_folder: Path) -> None:
    names = (mit_folder / "RECORDS").read_text().split()
    assert names == [f"m{number:03d}" for number in range(1, 21)]
    assert set(contents(mit_folder)) == {"RECORDS"} | {f"{n}{end}" for n in names for end in (".dat", ".hea", ".atr")}
    record = wfdb.rdrecord(str(mit_folder / names[0]), physical=False)
    assert (record.fs, record.sig_len, record.sig_name) == (FS, 5 * 60 * FS, ["MLII", "V1"])
    assert (record.units, record.fmt, record.adc_gain) == (["mV", "mV"], ["212", "212"], [200, 200])
    assert record.d_signal.min() >= 0
    assert record.d_signal.max() <= 2047
    assert record.calc_checksum() == record.checksum
    notes = wfdb.rdann(str(mit_folder / names[0]), "atr")
    assert (notes.fs, notes.symbol[0]) == (FS, "+")
    assert notes.aux_note[0].rstrip("\0") in {"(N", "(SBR", "(P"}


def test_ptb_records_read_back_as_ptbdb_records_do(ptb_folder: Path) -> None:
    names = (ptb_folder / "RECORDS").read_text().split()
    assert all(re.fullmatch(r"patient\d{3}/s\d{4}lre", name) for name in names)
    patients = Counter(name.split("/")[0] for name in names)
    assert len(patients) == 30
    assert set(patients.values()) == {1, 2}  # some have two recordings
    record = wfdb.rdrecord(str(ptb_folder / names[0]))
    assert (record.fs, record.sig_name, record.adc_gain) == (1000, ["i", "ii", "v1"], [2000] * 3)
    total = sum(wfdb.rdheader(str(ptb_folder / name)).sig_len for name in names)
    assert total == 30 * 30 * 1000


def test_every_header_says_synthetic(mit_folder: Path, ptb_folder: Path) -> None:
    headers = [*mit_folder.rglob("*.hea"), *ptb_folder.rglob("*.hea")]
    assert len(headers) > 50
    for header in headers:
        assert re.search(r"^# synthetic record, seed 0, patient \d+ of (20|30)$", header.read_text(), re.MULTILINE)


def test_synthetic_records_are_replaced_and_nothing_is_left_beside(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "mit"
    write_synthetic_mit(folder, patients=2, minutes=0.3, seed=0)
    write_synthetic_mit(folder, patients=1, minutes=0.3, seed=1)
    assert set(contents(folder)) == {"RECORDS", "m001.dat", "m001.hea", "m001.atr"}
    assert [path.name for path in folder.parent.iterdir()] == ["mit"]


@pytest.mark.parametrize(
    "files",
    [
        {"100.hea": "100 2 360 650000\n# 69 M\n", "100.dat": ""},
        {"RECORDS": "100\n"},
        {"m001.hea": "# synthetic record, seed 0, patient 1 of 1\n", "notes.txt": "mine"},
        {"m001.hea": "# synthetic record, seed 0, patient 1 of 1\n", "m001.txt": "mine"},
    ],
    ids=["a real record", "a download just begun", "a note among ours", "a note named as one of ours"],
)
def test_foreign_files_are_never_replaced(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="not part of a synthetic record"):
        write_synthetic_mit(tmp_path, patients=1, minutes=0.3, seed=0)
    assert contents(tmp_path) == before


def test_what_a_file_browser_left_keeps_no_records_from_being_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "mit"
    for seed in (0, 1):
        write_synthetic_mit(folder, patients=1, minutes=0.3, seed=seed)
        assert set(contents(folder)) == {"RECORDS", "m001.dat", "m001.hea", "m001.atr"}
        for name in (".DS_Store", "._m001.hea", "Thumbs.db"):
            (folder / name).write_bytes(b"\0")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ptb"
    write_synthetic_ptb(folder, patients=1, minutes=0.3, seed=0)
    before = contents(folder)

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic_files, "write_names", disk_full)
    with pytest.raises(InputError, match="No space left on device"):
        write_synthetic_ptb(folder, patients=2, minutes=0.3, seed=0)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["ptb"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": 0}, "0 synthetic patients"),
        ({"minutes": 0.1}, "0.1 minutes"),
        ({"minutes": float("nan")}, "nan minutes"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_synthetic_mit(tmp_path / "x", **dict[str, Any](patients=1, minutes=1, seed=0) | change)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="file"):
            write_synthetic_ptb(folder, patients=1, minutes=0.3, seed=0)


# -------------------------------------------------------------------------------------------------------- classes


def test_every_class_has_beats_enough_in_patients_enough(mit: dict[str, Recording]) -> None:
    beats, patients = Counter[str](), Counter[str]()
    for recording in mit.values():
        classes = Counter(GROUPS[symbol] for symbol in recording.symbols)
        beats += classes
        patients += Counter(classes.keys())
    assert sum(beats.values()) == pytest.approx(7500, rel=0.15)
    assert beats["N"] / sum(beats.values()) == pytest.approx(0.75, abs=0.08)
    assert min(beats[c] for c in "SVFQ") >= 100
    assert min(patients[c] for c in "SVF") >= 5
    assert patients["Q"] >= 4
    assert {symbol for recording in mit.values() for symbol in recording.symbols} == set(GROUPS)


@pytest.mark.parametrize("seed", range(3))
def test_six_patients_of_a_minute_hold_every_class_twice(seed: int, tmp_path: Path) -> None:
    write_synthetic_mit(tmp_path / "mit", patients=6, minutes=1, seed=seed)
    patients = Counter(
        group for r in read_mit(tmp_path / "mit").values() for group in {GROUPS[symbol] for symbol in r.symbols}
    )
    assert all(patients[group] >= 2 for group in "NSVFQ")


def test_supraventricular_beats_are_premature_and_not_compensated(mit: dict[str, Recording]) -> None:
    found = np.concatenate([r.intervals("[NLR]{2}A[NLR]") for r in with_beats(mit, "A")])  # RR, coupling, pause
    assert np.quantile(found[:, 1] / found[:, 0], 0.95) < 0.85
    assert np.quantile((found[:, 1] + found[:, 2]) / found[:, 0], 0.9) < 1.95
    assert found[:, 1].min() > 0.3


def test_supraventricular_beats_have_the_qrs_of_sinus_beats(mit: dict[str, Recording]) -> None:
    for recording in with_beats(mit, "A"):
        qrs = slice(93 - 12, 93 + 12)
        assert np.corrcoef(recording.mean_beat(SINUS)[qrs], recording.mean_beat("A")[qrs])[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_supraventricular_beats_have_another_p_or_none(seed: int) -> None:
    patient = draw_mit_patient(ATRIAL, np.random.default_rng(seed))
    before = np.arange(-0.25, -0.06, 0.002)  # s: where P lies
    (sinus,), (*ectopic, hidden) = (
        [shape.at(before, interval=0.8)[:, LEAD_II] for shape in patient.shapes[symbol]] for symbol in "NA"
    )
    assert sinus.max() > 0.08
    assert all(p.min() < -0.03 and p.max() < 0.02 for p in ectopic)
    assert np.abs(hidden).max() < 0.03


def test_ventricular_beats_are_premature_and_fully_compensated(mit: dict[str, Recording]) -> None:
    found = np.concatenate([r.intervals("[NLR]{2}V[NLR]") for r in with_beats(mit, "V")])
    assert np.quantile(found[:, 1] / found[:, 0], 0.95) < 0.9
    assert np.median((found[:, 1] + found[:, 2]) / found[:, 0]) == pytest.approx(2.0, abs=0.05)


def half_width(beat: np.ndarray) -> float:
    """Seconds for which the deflection at the R-peak stays above half its height."""
    deflection = np.abs(beat - np.median(beat))
    low = deflection < deflection[93] / 2
    return (np.argmax(low[93:]) + np.argmax(low[93::-1])) / FS


def test_ventricular_beats_are_wide_with_a_discordant_t(mit: dict[str, Recording]) -> None:
    for recording in with_beats(mit, "V"):
        sinus, ectopic = recording.mean_beat(SINUS), np.median(recording.windows("V"), axis=0)
        if "L" not in recording.symbols:  # a left bundle branch block is as wide
            assert half_width(ectopic) > 1.3 * half_width(sinus)
        assert half_width(ectopic) > 0.05
        t = ectopic[93 + 55 : 93 + 80].mean()  # 150 to 220 ms after R
        assert t * ectopic[93] < 0


def test_ventricular_beats_are_about_as_steep_as_those_of_patients() -> None:
    time = np.arange(-1.0, 1.0, 1 / FS)
    ratios = []
    for seed in range(40):
        shapes = draw_mit_patient(AMBULATORY, np.random.default_rng(seed)).shapes
        sinus, ectopic = (steepness(shapes[symbol][0].at(time, interval=0.75)[:, LEAD_II], FS).max() for symbol in "NV")
        ratios.append(ectopic / sinus)
    # The medians of the 45 records of DS1 and svdb with 10 V or more: 0.52, 0.90 and 1.44 (5, 50 and 95 %).
    low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    assert low > 0.4
    assert 0.7 < middle < 1.1
    assert high < 1.6


@pytest.mark.parametrize(
    ("kind", "rr", "median"),  # of the sinus rhythm of DS1 and svdb
    [
        (ventricular_premature, 0.525, 0.80),
        (ventricular_premature, 0.75, 0.65),
        (ventricular_premature, 1.1, 0.54),
        (atrial_premature, 0.525, 0.79),
        (atrial_premature, 0.75, 0.69),
        (atrial_premature, 1.1, 0.60),
    ],
)
def test_premature_beats_come_a_larger_share_of_rr_later_in_a_fast_heart(
    kind: Callable[..., Any], rr: float, median: float
) -> None:
    rng = np.random.default_rng(0)
    couplings = [kind(rng, rr).beats[0][1] for _ in range(300)]
    assert np.median(couplings) / rr == pytest.approx(median, abs=0.09)
    assert max(couplings) < rr


def test_annotations_point_to_the_main_deflection(mit: dict[str, Recording]) -> None:
    for symbol in "NLRAV":
        for recording in with_beats(mit, symbol):
            beats = recording.windows(symbol, half=18)
            off = np.argmax(np.abs(beats), axis=1) - 18
            assert abs(np.median(off)) <= 2


def test_ventricular_beats_come_alone_in_couplets_in_runs_and_in_bigeminy(mit: dict[str, Recording]) -> None:
    symbols = [recording.symbols for recording in mit.values()]
    for pattern in ("[NLR]V[NLR]", "[NLR]VV[NLR]", "[NLR]V{3,6}[NLR]", "(V[NLR]){3}"):
        assert sum(len(re.findall(pattern, beats)) for beats in symbols) >= 5, pattern
    rhythms = {rhythm for recording in mit.values() for rhythm in recording.rhythms}
    assert rhythms >= {"(N", "(P", "(B", "(VT", "(SVTA"}


def test_fusion_beats_lie_between_sinus_and_ventricular_ones(mit: dict[str, Recording]) -> None:
    for recording in with_beats(mit, "F"):
        sinus, ectopic = recording.mean_beat(SINUS), np.median(recording.windows("V"), axis=0)
        fusion = recording.mean_beat("F")
        apart = np.linalg.norm(sinus - ectopic)
        assert np.linalg.norm(fusion - sinus) < apart
        assert np.linalg.norm(fusion - ectopic) < apart


def test_a_spike_comes_before_paced_beats_only(mit: dict[str, Recording]) -> None:
    def sharpness(beats: np.ndarray) -> float:
        """Largest bend in mV a sample^2, 8 to 33 ms before the annotation."""
        return float(np.median(np.abs(np.diff(beats, 2))[:, 93 - 13 : 93 - 4].max(axis=1)))

    for recording in with_beats(mit, "/"):
        assert sharpness(recording.windows("/")) > 3 * sharpness(recording.windows(SINUS))
        assert recording.symbols.count("N") >= 20  # they beat by themselves at times


def nearest_centroid(train: list[Recording], test: list[Recording]) -> float:
    """Balanced accuracy over the five groups of the plainest classifier on standardised beats."""

    def beats(recordings: list[Recording]) -> dict[str, np.ndarray]:
        groups = {group: [s for s in GROUPS if GROUPS[s] == group] for group in "NSVFQ"}
        windows = {
            group: np.concatenate([r.windows("".join(s)) for r in recordings if set(s) & set(r.symbols)])
            for group, s in groups.items()
        }
        return {group: (w - w.mean(1, keepdims=True)) / w.std(1, keepdims=True) for group, w in windows.items()}

    centroids = np.stack([windows.mean(axis=0) for windows in beats(train).values()])
    hits = []
    for k, windows in enumerate(beats(test).values()):
        distance = np.linalg.norm(windows[:, None] - centroids, axis=2)
        hits.append((distance.argmin(axis=1) == k).mean())
    return float(np.mean(hits))


def test_the_classes_can_be_learnt_across_patients_but_not_by_heart(mit: dict[str, Recording]) -> None:
    recordings = list(mit.values())
    assert 0.35 < nearest_centroid(recordings[::2], recordings[1::2]) < 0.97


# ----------------------------------------------------------------------------------------------------- infarction


def ptb_marks(folder: Path, name: str) -> tuple[str, float, float, float]:
    """Diagnosis, Q over R, ST level in mV and height of T in mV, from lead ii."""
    record = wfdb.rdrecord(str(folder / name))
    signal = record.p_signal[:, record.sig_name.index("ii")]
    peaks, _ = find_peaks(signal - np.median(signal), prominence=0.35, distance=450)
    beats = np.stack([signal[p - 200 : p + 400] for p in peaks if 200 <= p <= len(signal) - 400])
    beat = np.median(beats - beats[:, 110:130].mean(axis=1, keepdims=True), axis=0)  # 90 to 70 ms before R is 0
    reason = next(c.removeprefix("Reason for admission: ") for c in record.comments if "Reason for" in c)
    return reason, -beat[150:185].min() / beat[200], beat[300:330].mean(), beat[430:520][np.abs(beat[430:520]).argmax()]


def test_infarctions_show_q_st_and_t_on_average_but_not_all_of_them(ptb_folder: Path) -> None:
    marks = [ptb_marks(ptb_folder, name) for name in (ptb_folder / "RECORDS").read_text().split()]
    healthy = np.array([mark[1:] for mark in marks if mark[0] == "Healthy control"])
    infarcted = np.array([mark[1:] for mark in marks if mark[0] == "Myocardial infarction"])
    assert len(healthy) == 12
    assert len(healthy) + len(infarcted) == len(marks)
    assert infarcted[:, 0].mean() > healthy[:, 0].mean() + 0.08
    assert infarcted[:, 1].mean() > healthy[:, 1].mean() + 0.03
    assert infarcted[:, 2].mean() < healthy[:, 2].mean() - 0.05
    assert (infarcted[:, 0] < healthy[:, 0].max()).any()  # infarctions without a Q


# ---------------------------------------------------------------------------------------------------------- model


def test_a_beat_is_the_sum_of_its_gaussians() -> None:
    beat = Morphology((Wave(0.0, 0.01, (0.5, 1.0, -1.0)), Wave(0.3, 0.04, (0.1, 0.2, 0.0), follows_rate=True)))
    time = np.array([0.0, 0.01, 0.24])
    shape = beat.at(time, interval=0.64)  # sqrt(0.64): T comes at 0.24 s
    assert shape.shape == (3, 3)
    np.testing.assert_allclose(shape[0], [0.5, 1.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(shape[1], np.exp(-0.5) * np.array([0.5, 1.0, -1.0]), atol=1e-9)
    np.testing.assert_allclose(shape[2], [0.1, 0.2, 0.0], atol=1e-9)


def test_a_blend_is_a_weighted_sum() -> None:
    one, other = Morphology((Wave(0.0, 0.01, (1, 1, 1)),)), Morphology((Wave(0.02, 0.03, (2, -2, 1)),))
    time = np.linspace(-0.1, 0.1, 50)
    expected = 0.3 * one.at(time, 1.0) + 0.7 * other.at(time, 1.0)
    np.testing.assert_allclose(blend(one, other, 0.3).at(time, 1.0), expected, atol=1e-12)


def test_the_tachogram_has_the_two_rhythms_of_the_sinus_node() -> None:
    sinus_rr = tachogram(600, mean=0.8, deviation=0.04, respiration=0.25, rng=np.random.default_rng(0))
    rr = np.array([sinus_rr(t) for t in np.arange(0, 600, 0.25)])
    assert rr.mean() == pytest.approx(0.8, abs=0.001)
    assert rr.std() == pytest.approx(0.04, rel=0.01)
    power = np.abs(np.fft.rfft(rr - rr.mean())) ** 2
    frequency = np.fft.rfftfreq(len(rr), 0.25)
    near = {f: power[np.abs(frequency - f) < 0.05].sum() / power.sum() for f in (0.1, 0.25)}
    assert near[0.1] == pytest.approx(1 / 3, abs=0.06)
    assert near[0.25] == pytest.approx(2 / 3, abs=0.06)


def test_noise_has_the_size_asked_for() -> None:
    noise = band_noise(50_000, 360, 15.0, 140.0, np.random.default_rng(0))
    assert noise.shape == (50_000, 3)
    np.testing.assert_allclose(noise.std(axis=0), 1.0, rtol=0.02)
