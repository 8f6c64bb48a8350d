"""The pictures of a report, as SVG: trends on one axis of time, and strips on ECG paper.

Every picture is text in the page, so no request leaves it, it prints sharp, and what it says can be searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

import numpy as np

from ec57.protocol import CLASSES
from preprocess.signals import spans
from report.analysis import Analysis
from report.rounding import elapsed
from report.strips import SECONDS, Strip

COLOURS = {"V": "#b8420f", "S": "#0b63a5", "F": "#8a3b8f", "Q": "#5c6470", "N": "#5c6470"}
"""Of each class: shades of the palette of Okabe and Ito, which colour-blind readers can tell apart, dark enough to
hold white letters. Letters and places say the same, so nothing rests on colour alone."""

INK, FAINT, BAND, GRID = "#1d2530", "#5c6470", "#c8d3df", "#e3e7ec"

# ---------------------------------------------------------------------------------------------------------- trends


@dataclass(frozen=True)
class Lane:
    """A row of the trends that shows when something was."""

    label: str
    kinds: tuple[str, ...]
    colour: str


LANES = (
    Lane("VF, flutter", ("ventricular_flutter",), COLOURS["V"]),
    Lane("VT", ("nsvt", "vt_sustained"), COLOURS["V"]),
    Lane("V runs", ("run_v",), COLOURS["V"]),
    Lane("V couplets", ("couplet_v",), COLOURS["V"]),
    Lane("V bi-/trigem.", ("bigeminy_v", "trigeminy_v"), COLOURS["V"]),
    Lane("SVT", ("svt",), COLOURS["S"]),
    Lane("S runs", ("run_s",), COLOURS["S"]),
    Lane("S couplets", ("couplet_s",), COLOURS["S"]),
    Lane("S bi-/trigem.", ("bigeminy_s", "trigeminy_s"), COLOURS["S"]),
    Lane("irregular", ("irregular_rhythm",), INK),
    Lane("pauses", ("pause",), INK),
    Lane("bradycardia", ("bradycardia",), FAINT),
    Lane("tachycardia", ("tachycardia",), FAINT),
)
LANE, RATE_HEIGHT, SHARE_HEIGHT, GAP = 15, 130, 56, 20  # px; the figures of two panels must stay apart
LEFT, RIGHT = {True: 92, False: 86}, 10  # px beside the panels, wide and narrow
TICKS = (5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800)  # s


@dataclass(frozen=True)
class _Axis:
    """Time along a picture."""

    left: float
    right: float
    duration_s: float

    def x(self, seconds: float) -> float:
        return self.left + (self.right - self.left) * min(max(seconds / self.duration_s, 0.0), 1.0)


def trends_svg(analysis: Analysis, width: int) -> str:
    """Draw heart rate, V and S, episodes and diary over the whole recording, `width` px wide."""
    wide = width > 600
    axis = _Axis(LEFT[wide], width - RIGHT, analysis.duration_s)
    values, y = analysis.trends, 10.0
    parts: list[str] = []
    panels_top = y
    parts += _rate_panel(analysis, axis, y)
    y += RATE_HEIGHT + GAP
    if analysis.diagnosis is None:
        for name, share in (("V", values.v_percent), ("S", values.s_percent)):
            parts += _share_panel(name, share, analysis, axis, y)
            y += SHARE_HEIGHT + GAP
    for lane in LANES:
        found = [episode for kind in lane.kinds for episode in analysis.episodes.of(kind)]
        if found:
            parts += _lane(lane, [(e.start / analysis.rhythm.fs, e.end / analysis.rhythm.fs) for e in found], axis, y)
            y += LANE
    if analysis.diary is not None and analysis.diary.entries:
        parts += _diary_lane(analysis, axis, panels_top, y)
        y += LANE + 15
    shade = [
        _rect(axis.x(s), panels_top, axis.x(e) - axis.x(s), y - panels_top, "url(#hatch)") for s, e in _lost(analysis)
    ]
    parts = [*shade, *_time_axis(analysis, axis, y, panels_top, wide), *parts]  # a line of the grid cuts no episode
    height = y + 34
    title = f"Heart rate, ectopy, episodes and diary over {elapsed(analysis.duration_s)}"
    return (
        f'<svg class="trends" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _lost(analysis: Analysis) -> Iterator[tuple[float, float]]:
    """Unreadable time in seconds; stretches too close to be told apart are one, so that a bad day has few of them."""
    apart = analysis.duration_s / 1000
    joined: list[list[float]] = []
    for start, end in (analysis.rhythm.unreadable / analysis.rhythm.fs).tolist():
        if joined and start - joined[-1][1] < apart:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return ((start, end) for start, end in joined)


def _rate_panel(analysis: Analysis, axis: _Axis, top: float) -> Iterator[str]:
    values = analysis.trends
    there = np.concatenate([values.mean_bpm, values.low_bpm, values.high_bpm])
    there = there[np.isfinite(there)]
    low, high = (float(there.min()), float(there.max())) if there.size else (50.0, 100.0)
    step = next(step for step in (10, 20, 25, 50, 100, 200) if (high - low) / step <= 5 or step == 200)
    low, high = step * np.floor(low / step), step * np.ceil(high / step + 1e-9)
    high = max(high, low + step)

    def place(bpm: float) -> float:
        return top + RATE_HEIGHT * (high - bpm) / (high - low)

    yield _panel_label("heart rate", "1/min", top, RATE_HEIGHT)
    for bpm in np.arange(low, high + 1, step):
        yield _level(axis, place(bpm), f"{bpm:.0f}")
    edges = [axis.x(at) for at in (*values.start_s, analysis.duration_s)]
    for first, past in spans(np.isfinite(values.low_bpm)).tolist():
        upper = [
            f"{edges[at]:.1f},{place(values.high_bpm[at]):.1f} {edges[at + 1]:.1f},{place(values.high_bpm[at]):.1f}"
            for at in range(first, past)
        ]
        lower = [
            f"{edges[at + 1]:.1f},{place(values.low_bpm[at]):.1f} {edges[at]:.1f},{place(values.low_bpm[at]):.1f}"
            for at in reversed(range(first, past))
        ]
        yield f'<polygon points="{" ".join(upper + lower)}" fill="{BAND}"/>'
    for first, past in spans(np.isfinite(values.mean_bpm)).tolist():
        at_each = range(first, past)
        points = [f"{(edges[at] + edges[at + 1]) / 2:.1f},{place(values.mean_bpm[at]):.1f}" for at in at_each]
        if len(points) == 1:
            x, y = points[0].split(",")
            yield f'<circle cx="{x}" cy="{y}" r="1.2" fill="{INK}"/>'
        else:
            yield f'<polyline points="{" ".join(points)}" fill="none" stroke="{INK}" stroke-width="1.3"/>'


def _share_panel(name: str, share: np.ndarray, analysis: Analysis, axis: _Axis, top: float) -> Iterator[str]:
    values = analysis.trends
    most = float(np.nanmax(share)) if np.isfinite(share).any() else 0.0
    high = next(step for step in (1, 2, 5, 10, 20, 50, 100) if most <= step)
    yield _panel_label(name, "% of beats", top, SHARE_HEIGHT)
    for level in (0, high / 2, high):
        yield _level(axis, top + SHARE_HEIGHT * (1 - level / high), f"{level:g}")
    bottom = top + SHARE_HEIGHT
    for at in np.flatnonzero(np.nan_to_num(share) > 0):
        left = axis.x(values.start_s[at])
        right = axis.x(min(values.start_s[at] + values.width_s, analysis.duration_s))
        height = max(SHARE_HEIGHT * share[at] / high, 0.8)
        yield _rect(left, bottom - height, max(right - left - 0.3, 0.6), height, COLOURS[name])


def _panel_label(name: str, unit: str, top: float, height: float) -> str:
    middle = top + height / 2
    return (
        f'<text x="4" y="{middle - 2:.1f}" class="l">{escape(name)}</text>'
        f'<text x="4" y="{middle + 11:.1f}" class="f">{escape(unit)}</text>'
    )


def _level(axis: _Axis, y: float, text: str) -> str:
    return (
        f'<path d="M{axis.left} {y:.1f}H{axis.right}" stroke="{GRID}"/>'
        f'<text x="{axis.left - 5}" y="{y + 3.5:.1f}" class="f" text-anchor="end">{text}</text>'
    )


def _lane(lane: Lane, spans: Sequence[tuple[float, float]], axis: _Axis, top: float) -> Iterator[str]:
    yield f'<text x="4" y="{top + 11:.1f}" class="l">{escape(lane.label)}</text>'
    yield f'<path d="M{axis.left} {top + LANE:.1f}H{axis.right}" stroke="{GRID}"/>'
    marks: list[list[float]] = []
    for start, end in sorted((axis.x(start), axis.x(end)) for start, end in spans):
        if marks and start <= marks[-1][1] + 0.4:  # what would lie on one another is drawn once
            marks[-1][1] = max(marks[-1][1], end, start + 1.6)
        else:
            marks.append([start, max(end, start + 1.6)])
    for start, end in marks:
        yield _rect(start, top + 3, end - start, LANE - 5, lane.colour)


SYMBOLS = {
    "activity": "M-4 -2h8v4h-8z",
    "medication": "M0 -5L5 0L0 5L-5 0z",
    "symptom": "M0 -5L5 4H-5z",
    "other": "M-4 -4h8v8h-8z",
}
"""The mark of each kind of diary entry, around its place."""


def _diary_lane(analysis: Analysis, axis: _Axis, panels_top: float, top: float) -> Iterator[str]:
    assert analysis.diary is not None
    yield f'<text x="4" y="{top + 13:.1f}" class="l">diary</text>'
    taken = -np.inf  # px, the end of the last number
    for number, entry in enumerate(analysis.diary.entries, 1):
        x = axis.x(entry.time_s)
        yield f'<path d="M{x:.1f} {panels_top}V{top + 2:.1f}" stroke="{FAINT}" stroke-dasharray="1 3"/>'
        if entry.end_s is not None:
            yield _rect(x, top + 7, max(axis.x(entry.end_s) - x, 1), 3, FAINT)
        yield f'<path transform="translate({x:.1f} {top + 8.5:.1f})" d="{SYMBOLS[entry.kind]}" fill="{INK}"/>'
        half = 3.5 * len(str(number)) + 1
        if x - half >= taken:  # below the marks, for these may lie close to one another
            yield f'<text x="{x:.1f}" y="{top + 24:.1f}" class="f" text-anchor="middle">{number}</text>'
            taken = x + half


def _time_axis(analysis: Analysis, axis: _Axis, y: float, top: float, wide: bool) -> Iterator[str]:
    duration, start = analysis.duration_s, analysis.recording.start
    most = 12 if wide else 5
    step = next((step for step in TICKS if duration / step <= most), None) or 86400 * np.ceil(duration / 86400 / most)
    yield f'<path d="M{axis.left} {y:.1f}H{axis.right}" stroke="{INK}"/>'
    into = 0.0 if start is None else (start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    first = np.ceil(into / step) * step - into
    shown: str | None = None
    for at in np.arange(first, duration + 1e-6, step):
        x = axis.x(at)
        clock = None if start is None else start + timedelta(seconds=float(at))
        text = elapsed(at) if clock is None else f"{clock:%H:%M:%S}"
        text = text if step < 60 else text[:-3]
        yield f'<path d="M{x:.1f} {top}V{y + 4:.1f}" stroke="{GRID}"/>'
        anchor = "middle" if x < axis.right - 12 else "end"  # or the last one would be cut off
        place = x if anchor == "middle" else axis.right + RIGHT - 1
        yield f'<text x="{place:.1f}" y="{y + 16:.1f}" class="f" text-anchor="{anchor}">{text}</text>'
        day = None if clock is None else f"{clock:%d %b}"
        if day is not None and day != shown:
            yield f'<text x="{x:.1f}" y="{y + 29:.1f}" class="f" text-anchor="middle">{day}</text>'
            shown = day
    if start is None:
        form = "h:mm:ss" if step < 60 else "h:mm"
        yield f'<text x="{axis.right}" y="{y + 29:.1f}" class="f" text-anchor="end">time from the start, {form}</text>'


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


# ---------------------------------------------------------------------------------------------------------- strips

SPEED, HALF, FULL = 25, 5, 10  # mm/s; mm/mV
WIDTH = SPEED * SECONDS  # mm
HEAD, FOOT = 9.0, 4.5  # mm above and below the paper, for labels and times
LOWEST, HIGHEST = 25, 50  # mm that the paper may be high
LEAST_BAR = 3.0  # mm of the bar that marks an episode: an isolated beat has no length
NO_CLASS = "-"  # stands above a beat that is unclassified


@dataclass(frozen=True)
class Drawn:
    """A strip as a page shows it."""

    rows: tuple[str, ...]
    """SVG of each row."""
    gain: int
    """mm/mV."""
    cut: bool
    """The signal leaves the paper."""


def draw_strip(analysis: Analysis, strip: Strip) -> Drawn:
    """Draw the rows of a strip at 25 mm/s and 10 mm/mV, or 5 mm/mV where the signal would not fit."""
    recording = analysis.recording
    firsts = [round((strip.start_s + row * SECONDS) * recording.fs) for row in range(strip.rows)]
    size = round(SECONDS * recording.fs)
    signals = [recording.read(first, min(first + size, recording.length)) for first in firsts]
    values = np.concatenate(signals)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (-1.0, 1.0)
    gain = FULL if (high - low) * FULL + 6 <= HIGHEST else HALF
    height = int(np.clip(5 * np.ceil(((high - low) * gain + 6) / 5), LOWEST, HIGHEST))
    cut = (high - low) * gain > height
    middle = float(np.median(values)) if cut else (high + low) / 2
    rows = tuple(
        _row(analysis, strip, signal, first, middle, gain, height)
        for signal, first in zip(signals, firsts, strict=True)
        if len(signal)
    )
    return Drawn(rows, gain, cut)


def _row(
    analysis: Analysis, strip: Strip, signal: np.ndarray, first: int, middle: float, gain: int, height: int
) -> str:
    fs = analysis.recording.fs
    start = first / fs
    parts = [_paper(height)]
    for lost_start, lost_end in analysis.rhythm.unreadable / fs:
        left, right = (np.clip(SPEED * (at - start), 0, WIDTH) for at in (lost_start, lost_end))
        if right > left:
            parts.append(_rect(left, 0, right - left, height, "url(#hatch-mm)"))
    if strip.marked is not None:
        first_s, last_s = strip.marked
        more = max(LEAST_BAR / SPEED - (last_s - first_s), 0.0) / 2
        left, right = (np.clip(SPEED * (at - start), 0, WIDTH) for at in (first_s - more, last_s + more))
        if right > left:
            parts.append(_rect(left, height - 1.2, right - left, 1.2, INK))
    parts.append(_trace(signal, fs, middle, gain, height))
    parts += _labels(analysis, start)
    parts.append(
        f'<text x="0" y="{height + 3.6:.1f}" class="t">{escape(moment(analysis, start))}</text>'
        f'<text x="{WIDTH:.0f}" y="{height + 3.6:.1f}" class="t" text-anchor="end">'
        f"{escape(analysis.recording.lead)} &#160; {SPEED} mm/s &#160; {gain} mm/mV</text>"
    )
    total = HEAD + height + FOOT
    beats = " ".join(label_of(analysis, at) for at in _beats_of(analysis, start)) or "none"
    said = f"{SECONDS:.0f} s of ECG from {moment(analysis, start)}; beats: {beats}"  # a screen reader reads no drawing
    return (
        f'<svg class="strip" viewBox="0 {-HEAD} {WIDTH:.0f} {total}" style="width:{WIDTH:.0f}mm;height:{total}mm" '
        f'role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )


def _paper(height: int) -> str:
    width = round(WIDTH)
    fine = "".join(f"M{x} 0V{height}" for x in range(width + 1) if x % 5) + "".join(
        f"M0 {y}H{width}" for y in range(height + 1) if y % 5
    )
    bold = "".join(f"M{x} 0V{height}" for x in range(0, width + 1, 5)) + "".join(
        f"M0 {y}H{width}" for y in range(0, height + 1, 5)
    )
    return f'<path d="{fine}" class="g1"/><path d="{bold}" class="g5"/>'


def _trace(signal: np.ndarray, fs: float, middle: float, gain: int, height: int) -> str:
    """The signal as a path in hundredths of a millimetre."""
    x = np.round(100 * SPEED * np.arange(len(signal)) / fs).astype(np.int64)
    y = np.clip(100 * (height / 2 - gain * (signal - middle)), 0, 100 * height)
    pieces = []
    for first, past in spans(np.isfinite(signal)):
        xs, ys = x[first:past], np.round(y[first:past]).astype(np.int64)
        steps = zip(np.diff(xs).tolist(), np.diff(ys).tolist(), strict=True)
        pieces.append(f"M{xs[0]} {ys[0]}l" + "".join(f"{dx} {dy} " for dx, dy in steps))
    return f'<path transform="scale(.01)" d="{"".join(pieces)}" class="e"/>'


def _labels(analysis: Analysis, start: float) -> Iterator[str]:
    """The class of every beat, and the R-R intervals in ms between them; an invalid one is not given."""
    rhythm = analysis.rhythm
    beats = _beats_of(analysis, start)
    for at in beats:
        x = SPEED * (rhythm.samples[at] / rhythm.fs - start)
        label = label_of(analysis, at)
        name = label.removesuffix("?")
        yield f'<path d="M{x:.2f} -2.4V0" stroke="{FAINT}" stroke-width=".2"/>'
        half = 1.8 if label == name else 2.5
        inside = float(np.clip(x, half, WIDTH - half))  # at an edge the label would be cut
        if name in ("N", "Q", NO_CLASS) or analysis.diagnosis is not None:
            yield f'<text x="{inside:.2f}" y="-3.1" class="n">{label}</text>'
        else:
            left, width = inside - half, 2 * half
            yield f'<rect x="{left:.2f}" y="-6.2" width="{width}" height="3.8" rx=".6" fill="{COLOURS[name]}"/>'
            yield f'<text x="{inside:.2f}" y="-3.2" class="b">{label}</text>'
        if at + 1 in beats and rhythm.valid[at]:
            middle = x + SPEED * rhythm.rr[at] / rhythm.fs / 2
            yield f'<text x="{middle:.2f}" y="-6.9" class="r">{1000 * rhythm.rr[at] / rhythm.fs:.0f}</text>'


def _beats_of(analysis: Analysis, start: float) -> range:
    """The beats of the row that begins at `start` s."""
    rhythm = analysis.rhythm
    first, past = np.searchsorted(rhythm.samples, [start * rhythm.fs, (start + SECONDS) * rhythm.fs])
    return range(int(first), int(past))


def short_name(class_name: str) -> str:
    """A class that is not EC57's, above a beat: its initial. An I of infarction would look like the tick below it."""
    return "MI" if class_name == "infarction" else class_name[0].upper()


def label_of(analysis: Analysis, beat: int) -> str:
    """What a beat is called in a strip, with a question mark where the network is not sure of it."""
    if analysis.diagnosis is not None:
        values, names = analysis.diagnosis.iloc[beat].to_numpy(), [*map(short_name, analysis.diagnosis)]
    elif analysis.rhythm.probabilities is not None:
        values, names = analysis.rhythm.probabilities[beat], list(CLASSES)
    else:
        return str(analysis.rhythm.classes[beat])
    if not np.isfinite(values).all():
        return NO_CLASS
    sure = values.max() >= analysis.definitions.doubtful_probability / 100
    return names[int(values.argmax())] + ("" if sure else "?")


# ------------------------------------------------------------------------------------------------------------ times


def moment(analysis: Analysis, seconds: float) -> str:
    """A moment of the recording: the time of day, with the date where it passes midnight; else the time since."""
    clock = analysis.clock(seconds)
    if clock is None:
        return elapsed(seconds)
    return f"{clock:%d %b %H:%M:%S}" if spans_days(analysis) else f"{clock:%H:%M:%S}"


def minute(analysis: Analysis, seconds: float, date: bool = True) -> str:
    """A moment without its seconds, and where it is told in days with or without the date."""
    clock = analysis.clock(seconds)
    if clock is None:
        return elapsed(seconds)
    return f"{clock:%d %b %H:%M}" if date and spans_days(analysis) else f"{clock:%H:%M}"


def spans_days(analysis: Analysis) -> bool:
    """Whether the time of day alone does not say which moment is meant."""
    start, end = analysis.clock(0), analysis.clock(analysis.duration_s)
    return isinstance(start, datetime) and isinstance(end, datetime) and start.date() != end.date()
