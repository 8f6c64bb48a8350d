"""Whether the beats of a run look like beats: those of one origin are alike, and noise is like nothing."""

from __future__ import annotations

import numpy as np
import pytest

from report.shapes import shape_test

FS = 250.0  # Hz
APART = 200  # samples from beat to beat
DOUBTFUL = 0.8  # the default of --doubtful_likeness
NEIGHBOURS, MOST, MARGIN = 100, 1000, 500  # of `shape_test`, the margin in samples; written out, so a change shows


def beats_of(kinds: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A signal with a beat every 0.8 s, and their R-peaks: a letter is a shape, `?` one that no other beat has."""
    rng = np.random.default_rng(seed)
    peaks = APART * (5 + np.arange(len(kinds)))
    signal = 0.005 * rng.standard_normal(peaks[-1] + 5 * APART)
    for peak, kind in zip(peaks, kinds, strict=True):
        shape = rng if kind == "?" else np.random.default_rng(ord(kind))
        wave = np.convolve(shape.standard_normal(97), np.hanning(9), "same")
        signal[peak - 48 : peak + 49] += wave / np.abs(wave).max()
    return signal, peaks


def likeness(signal: np.ndarray, peaks: np.ndarray, first: int, last: int) -> float:
    """Of the run from beat number `first` to `last`."""
    judge = shape_test(lambda start, stop: signal[start:stop], len(signal), FS, peaks)
    return judge(int(peaks[first]), int(peaks[last]))


@pytest.mark.parametrize("count", [2, 3, 30])
def test_beats_of_one_shape_are_alike(count: int) -> None:
    assert likeness(*beats_of("v" * count), 0, count - 1) > 0.98  # nothing else is there
    assert likeness(*beats_of("n" * 20 + "v" * count + "n" * 20), 20, 19 + count) > 0.98


def test_beats_of_two_shapes_are_alike_in_pairs() -> None:
    assert likeness(*beats_of("vwvw"), 0, 3) > 0.98


@pytest.mark.parametrize("count", [3, 30])
def test_beats_that_differ_are_not_alike(count: int) -> None:
    assert likeness(*beats_of("?" * count), 0, count - 1) < DOUBTFUL - 0.1
    assert likeness(*beats_of("n" * 20 + "?" * count + "n" * 20), 20, 19 + count) < DOUBTFUL - 0.1


@pytest.mark.parametrize("count", [3, 30])
def test_noise_is_like_nothing(count: int) -> None:
    signal, peaks = beats_of("n" * (40 + count))
    rng = np.random.default_rng(1)
    signal[peaks[20] - 100 : peaks[19 + count] + 100] = rng.standard_normal(APART * (count - 1) + 200)
    assert likeness(signal, peaks, 20, 19 + count) < DOUBTFUL - 0.1
    assert likeness(rng.standard_normal(len(signal)), peaks, 20, 19 + count) < DOUBTFUL - 0.1


def test_beats_are_alike_by_three_of_the_neighbours_on_either_side() -> None:
    """The run is of three shapes; `NEIGHBOURS` beats on each side count, and a beat or two of a shape may be chance."""
    other = "n" * (NEIGHBOURS - 1)
    for before, after, is_alike in (
        ("xyz" * 3, "n" * 9, True),
        ("n" * 9, "xyz" * 3, True),
        ("xyz" * 2, "n" * 9, False),
        ("xyz" * 3 + other[9:] + "n", "", True),
        ("xyz" * 3 + other + "n", "", False),
        ("", "n" + other[9:] + "xyz" * 3, True),
        ("", "n" + other + "xyz" * 3, False),
    ):
        kinds = f"{before}xyz{after}"
        found = likeness(*beats_of(kinds), len(before), len(before) + 2)
        assert (found > 0.98) == is_alike and (found < DOUBTFUL) != is_alike, (before, after)


def test_a_thousand_beats_of_a_run_are_judged_evenly_spaced() -> None:
    signal, peaks = beats_of("".join("v" if at % 3 else "?" for at in range(3 * MOST)))
    assert likeness(signal, peaks, 0, MOST - 1) > 0.98  # all of these, of which two thirds are alike
    assert likeness(signal, peaks, 0, 3 * (MOST - 1)) < DOUBTFUL  # every third one, and they are not


def test_of_a_run_of_any_length_no_more_is_read_than_around_so_many_beats() -> None:
    count = 4 * MOST
    signal, peaks = beats_of("n" * 200 + "v" * count + "n" * 200)
    read: list[tuple[int, int]] = []

    def reader(start: int, stop: int) -> np.ndarray:
        read.append((start, stop))
        return signal[start:stop]

    judge = shape_test(reader, len(signal), FS, peaks)
    assert judge(int(peaks[200]), int(peaks[199 + count])) > 0.98
    assert len(read) == MOST
    assert read[0] == (peaks[200 - NEIGHBOURS] - MARGIN, peaks[200] + MARGIN)
    assert read[-1] == (peaks[199 + count] - MARGIN, peaks[199 + count + NEIGHBOURS] + MARGIN)
    assert {stop - start for start, stop in read[1:-1]} == {2 * MARGIN}
    read.clear()
    judge(int(peaks[200]), int(peaks[199 + MOST]))
    assert read == [(peaks[200 - NEIGHBOURS] - MARGIN, peaks[199 + MOST + NEIGHBOURS] + MARGIN)]  # one piece


def test_the_margin_keeps_the_ends_of_what_is_read_out_of_the_shapes() -> None:
    """Wander that a short piece cuts at any phase would make the first beat and the last look different."""
    signal, peaks = beats_of("vvv")
    wander = 20 * np.sin(2 * np.pi * 0.1 * np.arange(len(signal)) / FS)
    assert likeness(signal + wander, peaks, 0, 2) > 0.95
