"""Unreadable time by `report.quality`: noise that is found, clean time and V beats that are lost; false V and S.

nstdb has records of mitdb with electrode motion added in every other two minutes, from minute 5 on, at six
signal-to-noise ratios; mitdb, and svdb where it is there, tell what is lost of ordinary recordings, and of ventricular
flutter (record 207).

example:
  python -m benchmarks.quality --raw_path data/raw
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import ec57
from benchmarks.detector import QRS_WINDOW, RecordSignal, beats_of, nearest, read_records, times_of
from preprocess.detect import detect_beats
from preprocess.signals import parted, spans
from preprocess.splits import DS1, DS2
from report.definitions import Quality
from report.flutter import marked_flutter
from report.quality import Unreadable, unreadable
from report.rhythm import inside
from support.cli import ArgumentParser
from support.errors import count_of, run_command

FIRST_BLOCK, BLOCK = 300.0, 120.0  # s: noisy blocks of nstdb begin at the first, and every other one after it
FALSE_UNLESS = {"V": "VErF", "S": "SAaJ"}  # class called -> annotations near which it is not false
DEFAULT = Quality()
RATIOS = {"_6": -6, "00": 0, "06": 6, "12": 12, "18": 18, "24": 24}  # end of a record's name -> dB


def flutter_samples(record: RecordSignal) -> np.ndarray:
    """Where ventricular flutter is marked, bool (samples,)."""
    length = len(record.signal)
    return inside(np.arange(length), marked_flutter(record.reference.times, record.reference.symbols, length))


@dataclass(frozen=True, eq=False)
class Examined:
    """A record, and what is looked for in it: once, however many tables count it."""

    record: RecordSignal

    @cached_property
    def beats(self) -> np.ndarray:
        """int64 (n,): the beats that the detector finds."""
        return detect_beats(self.record.signal, self.record.fs)

    @cached_property
    def false(self) -> np.ndarray:
        """int64 (n,): those of them that no annotated beat is near, outside ventricular flutter."""
        far = np.abs(nearest(beats_of(self.record.reference), self.beats) - self.beats) > QRS_WINDOW * self.record.fs
        return self.beats[far & ~flutter_samples(self.record)[self.beats]]

    @cached_property
    def ventricular(self) -> np.ndarray:
        """int64 (n,): the annotated V beats."""
        times = times_of(self.record.reference, "VE")
        return times[times < len(self.record.signal)]  # some records of svdb have one at the sample after their last

    def read(self, start: int, stop: int) -> np.ndarray:
        """The samples [start, stop) of the signal, as `preprocess.signals.Read`."""
        return self.record.signal[start:stop]

    def unreadable(self, quality: Quality) -> list[Unreadable]:
        """The unreadable time by these thresholds."""
        return unreadable(self.read, len(self.record.signal), self.record.fs, self.beats, quality)

    @cached_property
    def found(self) -> list[Unreadable]:
        """The unreadable time by the default thresholds."""
        return self.unreadable(DEFAULT)

    @cached_property
    def lost(self) -> np.ndarray:
        """bool (samples,): the same."""
        return self.samples(self.found)

    def samples(self, stretches: Sequence[Unreadable]) -> np.ndarray:
        """bool (samples,): those in one of the stretches."""
        intervals = np.array([(stretch.start, stretch.end) for stretch in stretches], dtype=np.int64).reshape(-1, 2)
        return inside(np.arange(len(self.record.signal)), intervals)


def noisy_samples(record: RecordSignal) -> np.ndarray:
    """Where noise was added to a record of nstdb, bool (samples,)."""
    time = np.arange(len(record.signal)) / record.fs
    return (time >= FIRST_BLOCK) & ((time - FIRST_BLOCK) // BLOCK % 2 == 0)


def noise_table(records: Sequence[Examined]) -> str:
    """Noise that is found, clean time and false beats: one row per signal-to-noise ratio."""
    rows = ["| SNR, dB | noisy time found | clean time lost | false beats an hour of noise | left of them |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for ending, ratio in RATIOS.items():
        sums, fs = np.zeros(6), 1.0
        for one in (one for one in records if one.record.name.endswith(f"e{ending}")):
            fs, noisy, lost = one.record.fs, noisy_samples(one.record), one.lost
            false = one.false[noisy[one.false]]
            sums[:2] += noisy.sum(), (noisy & lost).sum()
            sums[2:4] += (~noisy).sum(), (~noisy & lost).sum()
            sums[4:] += len(false), (~lost[false]).sum()
        if not sums[0]:
            continue
        hours = sums[0] / fs / 3600
        rows.append(
            f"| {ratio} | {100 * sums[1] / sums[0]:.1f} % | {100 * sums[3] / sums[2]:.2f} % | {sums[4] / hours:.0f} | "
            f"{sums[5] / hours:.0f} |"
        )
    return "\n".join(rows)


def false_ectopy_table(records: Sequence[Examined]) -> str:
    """False V and S in an hour of noise, by the packaged network, and how many are left outside unreadable time.

    A V is false where no annotated V or F is near, an S where no annotated S is.
    """
    from report.classify import classify_peaks, in_classes, load_classifier

    classifier = load_classifier()
    rows = ["| SNR, dB | false V an hour of noise | left of them | false S | left of them |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for ending, ratio in RATIOS.items():
        counts, hours = {"V": [0, 0], "S": [0, 0]}, 0.0
        for one in (one for one in records if one.record.name.endswith(f"e{ending}")):
            record, beats, lost = one.record, one.beats, one.lost
            noisy = noisy_samples(record)
            hours += noisy.sum() / record.fs / 3600
            readable = beats[~lost[beats]]
            broken = parted(readable, spans(lost)[:, 0])  # as in a report
            for column, (peaks, its_broken) in enumerate(((beats, None), (readable, broken))):
                found = classify_peaks(one.read, len(record.signal), record.fs, peaks, classifier, broken=its_broken)
                _, called = in_classes(found, classifier.classes)
                for name, group in FALSE_UNLESS.items():
                    own = peaks[(called == name) & noisy[peaks]]
                    truth = times_of(record.reference, group)
                    near = np.abs(nearest(truth, own) - own) <= QRS_WINDOW * record.fs if len(truth) else own < 0
                    counts[name][column] += int((~near).sum())
        if hours:
            cells = [f"{count / hours:.0f}" for name in FALSE_UNLESS for count in counts[name]]
            rows.append(f"| {ratio} | {' | '.join(cells)} |")
    return "\n".join(rows)


def loss_table(records: Sequence[Examined]) -> str:
    """What is lost of ordinary recordings: all, by reason, by record, of V beats and of ventricular flutter."""
    lost_all = samples = v_beats = v_lost = flutter = flutter_lost = false_all = false_lost = 0
    reasons: dict[str, int] = {}
    most: dict[str, float] = {}
    for one in records:
        lost, v, false, in_flutter = one.lost, one.ventricular, one.false, flutter_samples(one.record)
        for stretch in one.found:
            reasons[stretch.reason] = reasons.get(stretch.reason, 0) + stretch.end - stretch.start
        most[one.record.name] = 100 * lost.mean()
        lost_all, samples = lost_all + lost.sum(), samples + len(lost)
        v_beats, v_lost = v_beats + len(v), v_lost + lost[v].sum()
        flutter, flutter_lost = flutter + in_flutter.sum(), flutter_lost + (in_flutter & lost).sum()
        false_all, false_lost = false_all + len(false), false_lost + lost[false].sum()
    rows = ["| | share |", "| --- | --- |", f"| time called unreadable | {100 * lost_all / samples:.2f} % |"]
    rows += [f"| because of {reason} | {100 * count / samples:.3f} % |" for reason, count in sorted(reasons.items())]
    top = sorted(most.items(), key=lambda item: -item[1])[:6]
    rows.append(f"| most, by record | {', '.join(f'{name} {share:.1f} %' for name, share in top)} |")
    rows.append(f"| V beats in it | {v_lost} of {v_beats} ({100 * v_lost / max(v_beats, 1):.2f} %) |")
    rows.append(f"| ventricular flutter in it | {100 * flutter_lost / max(flutter, 1):.2f} % |")
    rows.append(f"| false beats of the detector in it | {false_lost} of {false_all} |")
    return "\n".join(rows)


WITHOUT_SPARING = Quality(noise_quiet=1e-9, noise_between=1e-9, noise_run_beats=10**6)
"""What is noise where neither quiet, nor beats that stand out, nor a tachycardia speaks against it."""


def ventricular_runs(reference: ec57.Annotations) -> list[tuple[int, int]]:
    """The first and the last beat of runs of three V or more, in samples."""
    classes = ec57.Protocol().classes
    beats = [(at, symbol) for at, symbol in zip(reference.times, reference.symbols, strict=True) if symbol in classes]
    is_v = np.array([symbol in "VE" for _, symbol in beats], dtype=bool)
    return [(beats[first][0], beats[past - 1][0]) for first, past in spans(is_v).tolist() if past - first >= 3]


def noise_costs(one: Examined) -> np.ndarray:
    """What noise takes of a record: (2, 7), without the rules that spare clean beats and with them.

    In turn: noise in s; the V beats, the runs of V and the false beats of the detector that it takes, each with all
    that there are.
    """
    costs, runs_of_v = np.zeros((2, 7)), ventricular_runs(one.record.reference)
    for row, found in zip(costs, (one.unreadable(WITHOUT_SPARING), one.found), strict=True):
        lost = one.samples([stretch for stretch in found if stretch.reason == "noise"])
        hits = (lost[one.ventricular], [lost[first : last + 1].any() for first, last in runs_of_v], lost[one.false])
        row[0] = lost.sum() / one.record.fs
        row[1:] = [figure for each in hits for figure in (np.sum(each), len(each))]
    return costs


def spared_table(groups: Mapping[str, Sequence[np.ndarray]]) -> str:
    """The `noise_costs` of groups of records, summed."""
    rows = ["| | noise, s | V beats in it | runs of V that it touches | false beats of the detector in it |"]
    rows.append("| --- | --- | --- | --- | --- |")
    for group, costs in ((group, costs) for group, costs in groups.items() if costs):
        for words, (seconds, *counts) in zip((", without the rules", ""), np.sum(costs, axis=0), strict=True):
            cells = [f"{some:.0f} of {every:.0f}" for some, every in zip(counts[::2], counts[1::2], strict=True)]
            rows.append(f"| {group}{words} | {seconds:.0f} | {' | '.join(cells)} |")
    return "\n".join(rows)


def run(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of what is in --raw_path.

    Raises:
        InputError: as `read_records`.
    """
    parser = ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--raw_path", type=Path, default=Path("data/raw"), help="folder with mitdb and nstdb, and svdb if it is there"
    )
    parser.add_argument("--ectopy", action="store_true", help="count false V and S in noise too, some minutes")
    args = parser.parse_args(arguments)
    noisy = [*map(Examined, read_records(args.raw_path / "nstdb"))]
    print(noise_table(noisy))
    print()
    if args.ectopy:
        print(false_ectopy_table(noisy))
        print()
    records = [*map(Examined, read_records(args.raw_path / "mitdb"))]
    print(loss_table(records))
    print()
    costs = {one.record.name: noise_costs(one) for one in records}
    groups = {
        name: [costs[record] for record in sorted(split & {*costs})] for name, split in (("DS1", DS1), ("DS2", DS2))
    }
    groups[f"mitdb, {count_of(len(costs), 'record')}"] = [*costs.values()]
    if (args.raw_path / "svdb").is_dir():
        groups["svdb"] = [noise_costs(Examined(record)) for record in read_records(args.raw_path / "svdb")]
    print(spared_table(groups))


if __name__ == "__main__":
    sys.exit(run_command(run))
