"""What the columns of a table hold, by their titles and first cells: a signal, times, or what is neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ec57.headers import millivolts_of
from preprocess.leads import is_lead
from preprocess.readers.heads import NUMBER, SECONDS, STAMP, TIMELIKE
from preprocess.readers.recording import iso_stamp

MISSING = frozenset(
    {"", "na", "nan", "n/a", "null", "none", "<na>", "-nan", "#n/a", "inf", "-inf", "+inf", "infinity", "-infinity"}
    | {"-", "--", "---"}
)  # pandas takes the first for missing, or for no finite number; dashes are what instruments write
CLOCK = re.compile(r"(\d+:)?\d+:\d\d([.,]\d+)?")
DATE = re.compile(r"\d{4}([./-])\d\d?\1\d\d?|\d\d?([./-])\d\d?\2(\d{4}|\d\d)")
DATE_IN_DIGITS = re.compile(r"(19|20|21)\d\d[01]\d[0-3]\d")  # a number by its looks, but not below such a name:
CALLED_DATE = re.compile(r"date|datum|data|fecha", re.IGNORECASE)
WITH_UNIT = re.compile(
    r"(?P<name>(.*[^\s_])?)[\s_]*[(\[](?P<unit>[^()\[\]]+)[)\]]|(?P<name_>.*)[\s_](?P<unit_>[^\s_]+)"
)

COUNTS = re.compile(
    r"(index|idx|samples?|(samples?|packet|frame)[\s_]?(no|num|number|nr|index|idx|id|count|counter|#)\.?|n|no|row|frame|"
    r"packet|counter|count|n?[\s_]?seq(uence)?([\s_]?(no|num|number))?|#|unnamed.*)?",
    re.IGNORECASE,
)
EVEN = 0.85  # share of the steps of a counter that are alike; one that wraps every 8 rows has 0.875
TIMES = re.compile(
    r"time|timestamps?|ts?|epoch|unix|since|sec|seconds?|ms|msec|milliseconds?|date|datetime|clock|zeit|uhrzeit|temps|"
    r"tiempo|tempo"
)
BESIDE = re.compile(r"e[ck]g|elapsed|relative|absolute|stamp|system|from|in|of|the|start|begin|beginning|recording")
"""Words that may stand beside one of `TIMES` in the name of a column of times, as units may."""

ELAPSED = re.compile(r"elapsed|relative", re.IGNORECASE)
"""In the name of a column of times that are not those of a clock."""

LIKE_TIMES = re.compile(r"time(?!d)|epoch|clock|zeit|\btemps\b|tiempo|\btempo\b", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column of a table, by its title and its first rows."""

    name: str | None  # without its unit; None: not given
    unit: str  # "": not given
    # "signal", "time", "date" (without a time of day), "backwards" (times that go back), "strange" (times in a form
    # that is not read), "unclear" (numbers that are called times, in an unknown unit), "count" (of samples), "ramp"
    # (numbers that rise evenly and are called neither a lead nor times), "text" or "empty"
    role: str
    title: str  # as the file has it, such as "ecg_mV"; "": not given
    odd: str = ""  # of a text: a cell that is not a number

    @property
    def names(self) -> set[str]:
        """What --column may call it, in lower case."""
        return {name.casefold() for name in (self.name, self.title) if name}


def column_of(
    number: int,
    title: str = "",
    unit: str = "",
    cells: Sequence[str] = (),
    further: Sequence[str] = (),
    decimal: str = ".",
    is_alone: bool = False,
) -> Column:
    """Describe a column by its title, such as "MLII (mV)", its first cells, and those below them, of any kind.

    The only column of a table (`is_alone`) is taken for times or counts only where it is called that.
    """
    name = title
    if title.casefold() in SECONDS or millivolts_of(title) is not None:
        name, unit = "", title
    elif match := WITH_UNIT.fullmatch(title):
        base, its_unit = (match["name"], match["unit"]) if match["unit"] else (match["name_"], match["unit_"])
        if its_unit.casefold() in SECONDS or millivolts_of(its_unit) is not None:
            name, unit = base.strip(), its_unit
    if not unit and names_times(title):
        unit = next((word for word in _words(title) if word in SECONDS), "")
    cells = [cell for cell in cells if cell.casefold() not in MISSING]
    if not cells and not title:
        role = "empty"
    elif cells and _are_dates(name, cells):
        role = "date"
    elif all(NUMBER.fullmatch(cell) for cell in cells):
        values, others = _numbers(cells, decimal), _numbers(further, decimal)
        role = _role(number, name, unit, values, np.empty(0) if is_alone else np.append(values, others))
    else:
        times = [iso_stamp(cell) for cell in cells]
        is_time = all(map(STAMP.fullmatch, times)) or all(map(CLOCK.fullmatch, times))
        is_strange = names_times(name) or all(map(TIMELIKE.search, times))
        role = "time" if is_time else "strange" if is_strange else "text"
    odd = next((cell for cell in cells if not NUMBER.fullmatch(cell)), "") if role == "text" else ""
    return Column(name or None, unit, role, title, odd)


def _numbers(cells: Sequence[str], decimal: str) -> np.ndarray:
    """The numbers among cells -> float64 (n,), without those with thousands separators, such as 1,234.5."""
    texts = (cell.replace(decimal, ".") for cell in cells if NUMBER.fullmatch(cell))
    return np.array([float(text) for text in texts if "," not in text])


def _role(number: int, name: str, unit: str, values: np.ndarray, more: np.ndarray) -> str:
    """Tell a column that counts time or samples from a signal, by its first values, and `more` that begin with them."""
    steps = np.diff(values)
    if unit.casefold() in SECONDS or names_times(name):
        if (steps < 0).any() and (steps <= 0).all():
            return "backwards"
        # Stamps of a time column may jitter, so that some go back; a signal goes back as much as it goes on.
        goes_on = names_times(name) and steps.sum() > np.abs(steps).sum() / 2
        return "time" if goes_on or (steps >= 0).all() else "signal"
    is_called_ecg = is_lead(name) or re.search("e[ck]g", name, re.IGNORECASE)
    if LIKE_TIMES.search(name) and not is_called_ecg and len(steps) and (steps > 0).all():
        return "unclear"
    if is_called_ecg or millivolts_of(unit) is not None or not _is_even(more):
        return "signal"
    if COUNTS.fullmatch(name) and (name or steps[0] == 1):
        return "count"
    return "time" if not number and not name else "ramp"


def _is_even(values: np.ndarray) -> bool:
    """Whether values rise evenly, except at gaps and where a counter starts over."""
    steps = np.diff(values)
    usual = float(np.median(steps)) if len(steps) > 1 else 0.0
    alike = (steps > 0.45 * usual) & (steps < 2.05 * usual)  # stamps are rounded
    return usual > 0 and bool(alike.mean() >= EVEN)


def _are_dates(name: str, cells: Sequence[str]) -> bool:
    """Whether cells are dates without a time of day."""
    in_digits = CALLED_DATE.fullmatch(name) and all(map(DATE_IN_DIGITS.fullmatch, cells))
    return bool(in_digits) or all(map(DATE.fullmatch, cells))


def _words(title: str) -> list[str]:
    """The words of a title, in lower case: those of unixTimeMs are unix, time and ms."""
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).casefold())


def names_times(title: str) -> bool:
    """Whether a title names times and nothing else."""
    words = _words(title)
    known = (TIMES.fullmatch(word) or BESIDE.fullmatch(word) or word in SECONDS for word in words)
    return any(map(TIMES.fullmatch, words)) and all(known)
