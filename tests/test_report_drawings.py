"""Strips on ECG paper and the trends, as they are drawn."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_reports import report_of, write_rhythm

from report import drawings
from report.rhythm import Rhythm
from report.strips import Strip


def test_labels_at_the_edges_of_a_strip_are_whole() -> None:
    last = round(250 * drawings.SECONDS) - 1
    rhythm = Rhythm(np.array([1, 300, last]), np.array([*"VNV"]), fs=250, length=last + 1)
    analysis: Any = SimpleNamespace(rhythm=rhythm, diagnosis=None, classifier=None)
    svg = "".join(drawings._labels(analysis, 0.0))
    boxes = re.findall(r'<rect x="([-.\d]+)" y="[-.\d]+" width="([.\d]+)"', svg)
    assert [float(x) for x, _ in boxes] == [0.0, pytest.approx(drawings.WIDTH - float(boxes[1][1]))]


@pytest.mark.parametrize(("height", "gain", "cut"), [(1.0, 10, False), (5.0, 5, False), (12.0, 5, True)])
def test_a_strip_is_drawn_to_scale(height: float, gain: int, cut: bool) -> None:
    fs, size = 250, round(250 * drawings.SECONDS)
    signal = np.zeros(3 * size)
    signal[size + 500] = height  # 2 s into the strip, which is the second of three
    recording = SimpleNamespace(fs=fs, length=signal.size, lead="II", read=lambda start, stop: signal[start:stop])
    peaks = size + np.array([500, 700, 900, 1150])
    unreadable = np.array([(size + 750, size + 800)])
    rhythm = Rhythm(peaks, np.array([*"NNNN"]), fs=fs, length=signal.size, unreadable=unreadable)
    analysis: Any = SimpleNamespace(
        recording=recording, rhythm=rhythm, diagnosis=None, classifier=None, clock=lambda seconds: None
    )
    drawn = drawings.draw_strip(analysis, Strip(drawings.SECONDS, 1, ("title",), (drawings.SECONDS + 3, 99)))
    assert (drawn.gain, drawn.cut) == (gain, cut)
    assert 'aria-label="7 s of ECG from 0:00:07; beats: N N N N"' in drawn.rows[0]
    x, y, steps = re.search(r'd="M(\d+) (\d+)l([-\d ]+)" class="e"', drawn.rows[0]).groups()
    places = np.cumsum([[int(x), int(y)], *np.array(steps.split(), dtype=int).reshape(-1, 2)], axis=0) / 100  # mm
    np.testing.assert_allclose(places[:, 0], 25 * np.arange(size) / fs, atol=0.01)
    if cut:
        assert places[500, 1] == 0.0  # at the upper edge of the paper
    else:
        np.testing.assert_allclose(places[0, 1] - places[:, 1], gain * signal[size : 2 * size], atol=0.01)  # upwards
    assert re.findall(r'class="r">(\d+)<', drawn.rows[0]) == ["800", "1000"]  # ms; none across unreadable time
    marked, lost = (
        re.search(rf'<rect x="([.\d]+)" y="[.\d]+" width="([.\d]+)"[^>]*fill="{fill}"', drawn.rows[0])
        for fill in (drawings.INK, r"url\(#hatch-mm\)")
    )
    assert [*map(float, marked.groups())] == [75.0, 100.0]  # from 3 s on, to the end of the paper
    assert [*map(float, lost.groups())] == [75.0, 5.0]


def test_the_bar_of_a_strip_marks_an_isolated_beat_too() -> None:
    rhythm = Rhythm(250 * np.array([1, 2, 3, 5]), np.array([*"NVNV"]), fs=250, length=2000)
    recording = SimpleNamespace(fs=250, length=2000, lead="II", read=lambda start, stop: np.zeros(stop - start))
    analysis: Any = SimpleNamespace(
        recording=recording, rhythm=rhythm, diagnosis=None, classifier=None, clock=lambda seconds: None
    )
    (row,) = drawings.draw_strip(analysis, Strip(0.0, 1, ("first isolated V",), (2.0, 2.0))).rows
    (bar,) = re.findall(rf'<rect x="([.\d]+)" y="[.\d]+" width="([.\d]+)"[^>]*fill="{drawings.INK}"', row)
    assert [*map(float, bar)] == [48.5, 3.0]  # mm, the beat is at 50


def test_trends_are_drawn_at_their_levels() -> None:
    rate, share = np.array([60.0, 120.0]), np.array([5.0, 0.0])
    values = SimpleNamespace(mean_bpm=rate, low_bpm=rate, high_bpm=rate, start_s=np.array([0.0, 60.0]), width_s=60.0)
    start = datetime(2026, 1, 31, 10, 7, 3)
    analysis: Any = SimpleNamespace(trends=values, duration_s=120.0, recording=SimpleNamespace(start=start))
    axis = drawings._Axis(100.0, 220.0, 120.0)
    panel = "".join(drawings._rate_panel(analysis, axis, 10.0))
    levels = {
        int(text): float(y) - 3.5 for y, text in re.findall(r'y="([.\d]+)" class="f" text-anchor="end">(\d+)', panel)
    }
    assert re.search(r'<polyline points="([^"]+)"', panel)[1] == f"130.0,{levels[60]:.1f} 190.0,{levels[120]:.1f}"
    assert levels[120] < levels[60] == 10.0 + drawings.RATE_HEIGHT
    bar = [*drawings._share_panel("V", share, analysis, axis, 10.0)][-1]
    height = drawings.SHARE_HEIGHT
    assert f'<rect x="100.0" y="10.0" width="59.7" height="{height:.1f}"' in bar  # 5 % of a panel of 5 %
    ticks = "".join(drawings._time_axis(analysis, axis, 90.0, 10.0, wide=True))
    assert re.findall(r'<text x="([.\d]+)" y="106.0"[^>]*>([:\d]+)<', ticks)[:2] == [
        ("107.0", "10:07:10"),
        ("117.0", "10:07:20"),
    ]


@pytest.mark.parametrize(("beats", "labels"), [(8, ["0:00:00", "0:00:05"]), (1500, ["0:00", "0:02", "0:18"])])
def test_the_trends_of_a_short_recording_have_times_below_them(tmp_path: Path, beats: int, labels: list[str]) -> None:
    record = write_rhythm(tmp_path, "short", "N" * beats, 0.8)
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    drawn = re.search(r'<svg class="trends".*?</svg>', (tmp_path / "r" / "report.html").read_text(), re.DOTALL)[0]
    shown = re.findall(r">(\d+:\d\d(?::\d\d)?)<", drawn)
    assert [label for label in labels if label in shown] == labels
    assert f"time from the start, {'h:mm:ss' if beats < 100 else 'h:mm'}<" in drawn
    assert f"over {'0:00:07' if beats < 100 else '0:20:01'}<" in drawn  # not 0.0 h


def test_the_grid_of_the_trends_lies_below_what_they_show(tmp_path: Path) -> None:
    record = write_rhythm(tmp_path, "fast", "N" * 150, 0.4)  # a tachycardia of 60 s, across lines of the grid
    assert report_of(record, tmp_path / "r", "--annotations", "atr") == 0
    drawn = re.search(r'<svg class="trends".*?</svg>', (tmp_path / "r" / "report.html").read_text(), re.DOTALL)[0]
    assert re.search(r'<path d="M[\d.]+ [\d.]+V', drawn)
    assert not re.search(r'<(rect|polyline).*<path d="M[\d.]+ [\d.]+V', drawn)


def test_the_colour_of_fusion_beats_stands_for_nothing_else() -> None:
    assert drawings.COLOURS["F"] not in {lane.colour for lane in drawings.LANES}
