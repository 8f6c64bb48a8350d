"""The page of a report, and the index of several, from the templates in `templates/`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from report.analysis import Analysis
from report.definitions import CLASSLESS_THRESHOLDS, Definition, Definitions, Quality
from report.diary import Period
from report.drawings import COLOURS, draw_strip, minute, moment, short_name, trends_svg
from report.episodes import KINDS, Episode, extent
from report.irregular import FOUND, RIGHT
from report.strips import MOST
from report.summary import irregular_percent, thresholds, version, why_unreadable
from report.tiles import tiles
from report.wording import findings, lasting, number, percent, warnings
from support.errors import count_of

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
NEAR_DAYS = 3  # h: a recording of 21 to 27 h is called one of 24 h
INDEX_TITLE = "<title>ECG reports</title>"
WIDE, NARROW = 900, 372  # px: trends on a screen or paper, and on a phone
MOST_EPISODES = 150
"""Rows of the list of episodes; all are in episodes.csv."""

COUNTED = frozenset({"isolated_v", "isolated_s", "couplet_v", "couplet_s"})
"""Kinds that are too many to list; they are counted, hour by hour too."""

LISTED = tuple(kind for kind in KINDS if kind not in COUNTED)


def page(analysis: Analysis) -> str:
    """The report as one HTML file that asks for nothing else."""
    chosen, names = analysis.strips, analysis.names
    listed, left_out = _listed(analysis)
    counts, withheld = analysis.episodes.counts(), analysis.episodes.withheld
    none = [kind for kind in analysis.episodes.sought if not (counts[kind] or withheld.get(kind))]
    return _render(
        "report.html.j2",
        a=analysis,
        record=analysis.recording,
        title=title_of(analysis.duration_s, analysis.burden.is_day),
        warnings=warnings(analysis),
        findings=findings(analysis),
        irregular=irregular_percent(analysis),
        irregular_found=FOUND,
        irregular_right=RIGHT,
        tiles=list(tiles(analysis)),
        trends={"wide": trends_svg(analysis, WIDE), "narrow": trends_svg(analysis, NARROW)},
        strips=[(strip, draw_strip(analysis, strip)) for strip in chosen.strips],
        strips_left_out=chosen.left_out,
        most_strips=MOST,
        found={kind: counts[kind] for kind in analysis.episodes.sought if kind not in (*none, "unreadable")},
        names=names,
        none_found=[names[kind] for kind in none if kind != "unreadable"],
        too_short=[names[kind] for kind in KINDS if kind not in analysis.episodes.sought],
        episodes=listed,
        episodes_left_out=left_out,
        definitions=_behind(analysis),
        changed=_changed(analysis),
    )


def title_of(duration_s: float, is_day: bool) -> str:
    """What the field calls a recording so long: a 24-hour, 30-hour or 7-day one; nothing where it stands for no day.

    Args:
        duration_s: of the recording, s.
        is_day: enough of it can be read.
    """
    hours = duration_s / 3600
    days = round(hours / 24)
    if not days or abs(hours - 24 * days) > NEAR_DAYS:
        length = f"{hours:.0f}-hour "
    else:
        length = f"{24 * days}-hour " if days <= 2 else f"{days}-day "
    return f"{length if is_day else ''}ECG report"


def index_page(rows: Sequence[IndexRow]) -> str:
    """The table of several reports, one row per recording."""
    first = next((row.summary for row in rows if row.summary is not None), None)
    # One network made all reports of a command; that of infarction has shares of its classes alone.
    others = first["burden_percent"] if first is not None and first["pauses"] is None else {}
    return _render("index.html.j2", rows=rows, definitions=first and first["definitions"], others=list(others))


@dataclass(frozen=True)
class IndexRow:
    """One recording of several."""

    record: str
    """What its report is called, which is the name of its folder beside the index."""
    summary: dict[str, Any] | None
    """None: it failed."""
    error: str = ""


def _listed(analysis: Analysis) -> tuple[list[Episode], int]:
    """The episodes of the list in order of time, and how many there is no room for: the longest of each kind stay."""
    found = [episode for episode in analysis.episodes.named_once() if episode.kind in LISTED]
    if len(found) <= MOST_EPISODES:
        return found, 0
    share = max(MOST_EPISODES // len({episode.kind for episode in found}), 1)
    by_kind: dict[str, list[Episode]] = {}
    for episode in sorted(found, key=extent, reverse=True):
        by_kind.setdefault(episode.kind, []).append(episode)
    kept = [episode for some in by_kind.values() for episode in some[:share]]
    return sorted(kept, key=lambda episode: episode.start), len(found) - len(kept)


def _behind(analysis: Analysis) -> list[Definition]:
    """The thresholds that made the figures of the page."""
    listed = analysis.definitions.listed()
    if analysis.diagnosis is not None:
        listed = [entry for entry in listed if entry.name in CLASSLESS_THRESHOLDS]
    return [*listed, *analysis.quality.listed()]


def _changed(analysis: Analysis) -> frozenset[str]:
    """The names of the thresholds that are not the defaults."""
    usual, now = thresholds(Definitions(), Quality()), thresholds(analysis.definitions, analysis.quality)
    return frozenset(name for name, value in now.items() if value != usual[name])


# -------------------------------------------------------------------------------------------------- how it is said


def period_cell(period: Period | None, figure: str) -> str:
    """A figure of a diary's period, without its unit; "" where there is no such period, or none of it can be read.

    Shares of V and S in which doubtful runs have a part end in a question mark.
    """
    if period is None or not period.readable_s:
        return ""
    if figure == "rate_bpm":
        return number(period.rate_bpm)
    doubtful = " ?" if getattr(period, figure.replace("percent", "doubtful")) else ""
    return percent(getattr(period, figure)).removesuffix(" %") + doubtful


def minutes_cell(period: Period) -> str:
    """How much of the hour before or after an entry can be read: 29 min; "" where it is 60 min or more."""
    minutes = period.readable_s / 60
    return f"{number(minutes, 1 if minutes < 10 else 0)} min" if round(minutes) < 60 else ""


def address(folder: str) -> str:
    """The address of a folder beside the page; on Linux its name may be no text but any bytes."""
    return quote(os.fsencode(folder))


def unbroken(text: str) -> str:
    """`text` in which no line ends between a number and its unit, or at the hyphen of R-R."""
    return re.sub(r"(?<=\d) (?=%|(?:h|min|s)\b)", "\u00a0", text).replace("R-R", "R\u2011R")


def in_css(text: str) -> str:
    """`text` for a string of a style sheet, every character as its number: a name of a file may have quotes in it."""
    return "".join(f"\\{ord(character):06x}" for character in text)


def _render(name: str, **values: Any) -> str:  # noqa: ANN401  (whatever a template shows)
    return _environment().get_template(name).render(today=date.today().isoformat(), **values)


@cache
def _environment() -> jinja2.Environment:
    """One for all pages of a command: compiling the template takes as long as all else of a report of 30 s."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "lasting": lasting,
        "count_of": count_of,
        "unbroken": unbroken,
        "address": address,
        "in_css": in_css,
        "short_name": short_name,
    }
    environment.globals |= {
        "why_unreadable": why_unreadable,
        "COLOURS": COLOURS,
        "moment": moment,
        "minute": minute,
        "period_cell": period_cell,
        "minutes_cell": minutes_cell,
        "version": version(),
    }
    return environment
