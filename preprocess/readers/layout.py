"""How a table of text is laid out: its delimiter, decimal mark, columns and head, by its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

import pandas as pd

from ec57.headers import millivolts_of
from preprocess.leads import is_lead
from preprocess.readers.columns import CLOCK, COUNTS, ELAPSED, MISSING, Column, column_of, names_times
from preprocess.readers.heads import NUMBER, TIMELIKE, Head, Line, is_key_value, stamp_of
from support.files import text_encoding

HEAD = 2**16  # bytes that are looked at to see how a table is laid out
ALIKE = 20  # lines of data that must be laid out alike

DELIMITERS = ("\t", ";", "|", ",", " ")
"""What may stand between two cells, by precedence: a comma may belong to a number where another one is there."""

NOWHERE = "\x1f"
"""A delimiter that no table has: there is one column, and a comma in it is a decimal one."""

KEY = re.compile(r"[^,;|\t]*[=:]\s*[,;|\t]")
"""The first cell of a line of a head, such as `Range=` in what LabChart exports."""

SPACED = re.compile(r"\d +[+-]?\d+,\d|\d,\d+([eE][+-]?\d+)? +[+-]?\d")
"""Two numbers, one of them with a decimal comma, and spaces between them: 10 -0,065 or 0,004 12."""

NANS = re.compile(r"\W*nan(\W+nan)*\W*", re.IGNORECASE)
"""A line of nothing but missing samples, as numpy writes them."""

CHANNELS = re.compile(r"(\d+) channels")
"""Below it AcqKnowledge writes the name and the unit of each, a line for one."""


@dataclass(frozen=True)
class Layout:
    """How a table is laid out, and what its head says."""

    skip: int  # lines before the data
    delimiter: str
    decimal: str
    quoted: bool
    is_spaced: bool  # every second line is blank: those are not rows
    columns: tuple[Column, ...]
    first: tuple[str, ...]  # the cells of the first row
    may_number: bool  # the first row is 0, 1, 2, ... above fractions, as pandas titles columns that have no names
    head: Head
    misfit: str  # that the line right above the data, which may name the columns, has not as many cells; "": it has

    @property
    def time(self) -> int | None:
        """The column that says when each sample is; None: there is none."""
        return self._first("time")

    @property
    def clocks(self) -> tuple[int, ...]:
        """The columns that may say when each sample is, by precedence: those of times, then those of counts."""
        return tuple(n for role in ("time", "count") for n, column in enumerate(self.columns) if column.role == role)

    @property
    def date(self) -> int | None:
        """The column of the dates of the clock times in `time`; None: there are no such times, or no dates."""
        if self.time is None or ELAPSED.search(self.columns[self.time].title):
            return None
        return self._first("date") if CLOCK.fullmatch(self.first[self.time].strip("[]")) else None

    @property
    def is_dated(self) -> bool:
        """Whether dates and clock times of two columns make stamps that can be read."""
        return self.date is not None and stamp_of(self._stamps(pd.DataFrame([self.first])).iloc[0]) is not None

    @property
    def first_time(self) -> str:
        """The time of the first row, with its date where that has a column of its own; "": there is none."""
        return "" if self.time is None else str(self.times(pd.DataFrame([self.first]), self.time).iloc[0])

    def times(self, rows: pd.DataFrame, number: int) -> pd.Series:
        """The cells of one of the `clocks`, with the dates of column `time` where those have a column of their own."""
        return self._stamps(rows) if number == self.time and self.is_dated else rows[number]

    def _stamps(self, rows: pd.DataFrame) -> pd.Series:
        days, clocks = (rows[column].astype("string").str.strip(" '\"[]") for column in (self.date, self.time))
        days = days.str.replace(r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", regex=True)
        return days + " " + clocks.str.replace(r"^(\d:)", r"0\1", regex=True)

    @property
    def undated(self) -> str:
        """Why the dates beside clock times are not read; "": they are, or there are none."""
        if self.date is None or self.is_dated:
            return ""
        title, cell = self.columns[self.date].title or f"{self.date + 1}", self.first[self.date][:40]
        return f"the dates in column {title}, such as {cell!r}, are not understood, 2026-01-31 would be"

    @property
    def strange(self) -> int | None:
        """The column of times in a form that is not read; None: there is none, or another that is read."""
        if self.time is not None:
            return None
        return self._first("date") if (number := self._first("strange")) is None else number

    @property
    def unread(self) -> str | None:
        """Which column has times that are not read, and why; None: there is none, or another that is read."""
        number = self._first("unclear") if self.strange is None else self.strange
        number = self._first("ramp") if number is None else number
        if self.time is not None or number is None:
            return None
        title, cell = self.columns[number].title or f"{number + 1}", self.first[number][:40]
        if number == self.strange:
            return (
                f"the times in column {title}, such as {cell!r}, are not understood, 2026-01-31 14:05:07.004 would be"
            )
        if self.columns[number].role == "ramp":
            return f"column {title} rises evenly, but is not called times: if it is, name it such as time_ms"
        return f"column {title} is called times, but in no unit that is known: name it such as time_ms"

    def _first(self, role: str) -> int | None:
        return next((number for number, column in enumerate(self.columns) if column.role == role), None)


def first_lines(path: Path) -> tuple[str, list[str]]:
    """Return the encoding of a text file, and its first lines; none where it is not text."""
    with path.open("rb") as file:
        content = file.read(HEAD + 1)
    encoding = text_encoding(content[:HEAD], cut=len(content) > HEAD)
    text = content[:HEAD].decode(encoding, errors="replace")
    lines = re.split(r"\r\n|\n|\r", text)
    if "\0" in text:
        return encoding, []
    return encoding, lines[:-1] if len(content) > HEAD else lines


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether blank lines stand between the lines of the data, as of an export that ends each with \\r\\r\\n.

    They might be missing samples: of as many values not every second one is missing.
    """
    is_filled = [bool(line.strip()) for line in lines]
    between, others = is_filled[1::2], is_filled[::2]
    return len(between) >= ALIKE and not any(between) and 2 * sum(others) > len(others)


def layout_of(lines: list[str]) -> Layout | None:
    """Find out by its first lines how a table is laid out; None: it is not a table."""
    for begin, line in enumerate(lines):
        if (any(letter.isdigit() for letter in line) or NANS.fullmatch(line)) and not KEY.match(line):
            data = [other for other in lines[begin:] if other.strip()][:ALIKE]
            above = [other for other in lines[:begin] if other.strip()]
            for delimiter in _delimiters(above, data):
                rows = [_cells(other, delimiter) for other in data]
                if len({len(row) for row in rows}) == 1 < len(rows) and _are_samples(rows):
                    if _is_of_head(rows, _title_cells(above[-1], delimiter, rows) if above else ()):
                        break
                    if _is_numbered(rows):
                        return layout_of([*lines[:begin], "", *lines[begin + 1 :]])
                    return _describe(begin, above, lines[begin:], data, delimiter)
    return None


def _are_samples(rows: list[tuple[str, ...]]) -> bool:
    """Whether each row has a number, or nothing but missing samples, with a time before them if all rows have one."""
    timed = all(CLOCK.fullmatch(row[0]) or stamp_of(row[0]) for row in rows)
    samples = [row[timed:] for row in rows]
    return all(any(map(NUMBER.fullmatch, row)) or all(cell.casefold() in MISSING for cell in row) for row in samples)


def _is_words(cell: str) -> bool:
    """Whether a cell holds words, no number, time or missing value."""
    return cell.lstrip("#% ")[:1].isalpha() and cell.casefold() not in MISSING


def _is_of_head(rows: list[tuple[str, ...]], titles: tuple[str, ...]) -> bool:
    """Whether the first of some rows is a line of the head: it begins with words, where those below have numbers.

    A row right below `titles` that name columns (a lead, times or a unit) is not.
    """
    below = [*dropwhile(_is_words, (row[0] for row in rows))]
    named = (column_of(0, title) for title in titles)
    is_titled = any(column.unit or column.role == "time" or is_lead(column.name) for column in named)
    return len(below) < len(rows) and any(below) and not any(map(_is_words, below)) and not is_titled


def _is_numbered(rows: list[tuple[str, ...]]) -> bool:
    """Whether only the first of some rows lacks a time, or a count, at its beginning, so that it is not a sample.

    AcqKnowledge writes the number of samples into it, pandas the numbers of columns that have no names.
    """
    firsts = [row[0] for row in rows[1:]]
    if rows[0][0] or len(firsts) < 2 or not all(firsts):
        return False
    return column_of(0, cells=firsts).role in ("time", "count")


def _delimiters(above: list[str], data: list[str]) -> list[str]:
    """The delimiters that may be, by precedence. A comma in lines of one number each is a decimal one."""
    if all(NUMBER.fullmatch(line.strip()) for line in data):
        with_comma = sum("," in line for line in data)
        if with_comma < len(data) or is_key_value(above) or (above and "," not in above[-1]):
            return [NOWHERE]
    found = [delimiter for delimiter in DELIMITERS if all(delimiter in line.strip(" ") for line in data)]
    if "," in found and all(map(_has_decimal_commas, data)) and not _are_titled(above, data):
        found.remove(",")
    return found or [NOWHERE]


def _has_decimal_commas(line: str) -> bool:
    """Whether spaces stand between the cells of a line, and each comma, if it is not in quotes, in a number or time."""
    cells = re.sub(r'"[^"]*"', '""', line).split()
    return SPACED.search(line) is not None and all("," not in cell or _is_value(cell.strip("[]'")) for cell in cells)


def _is_value(cell: str) -> bool:
    return any(pattern.fullmatch(cell) for pattern in (NUMBER, CLOCK)) or stamp_of(cell) is not None


def _are_titled(above: list[str], data: list[str]) -> bool:
    """Whether the line right above the data has a title for each cell between the commas of its rows."""
    rows = [_cells(line, ",") for line in data]
    return bool(above) and "," in above[-1] and bool(_title_cells(above[-1], ",", rows))


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    """Cut a line into cells, as pandas will: in double quotes a delimiter is a part of the cell."""
    if delimiter == " ":
        parts = re.findall(r'"[^"]*"|\S+', line)
    else:
        parts = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [""])
    return tuple(part.strip().strip("\"'").strip() for part in parts)


def _describe(begin: int, above: list[str], below: list[str], data: list[str], delimiter: str) -> Layout | None:
    """Describe a table by its first rows, `data`; None: it has two decimal marks.

    The rows begin in line `begin`, between the lines `above` and `below`; the latter include them.
    """
    rows = [_cells(line, delimiter) for line in data]
    numbers = "".join(cell for row in rows for cell in row if NUMBER.fullmatch(cell))
    if "," in numbers and "." in numbers:
        return None
    decimal = "," if "," in numbers else "."
    width = len(rows[0])
    further = [_cells(line, delimiter) for line in below[:-1] if line.strip()][ALIKE:]  # the last is cut
    further = [row for row in further if len(row) == width]
    names, units, above = _titles(above, delimiter, [*rows, *further])
    columns = tuple(
        column_of(
            number,
            names[number],
            units[number],
            [row[number] for row in rows],
            [row[number] for row in further],
            decimal,
            is_alone=width == 1,
        )
        for number in range(width)
    )
    are_fractions = all(re.search("[.,e]", cell) for row in rows[1:] for cell in row if NUMBER.fullmatch(cell))
    return Layout(
        skip=begin,
        delimiter=delimiter,
        decimal=decimal,
        quoted=any('"' in line for line in below),
        is_spaced=width == 1 and _is_spaced(below),  # of several columns no blank line is a row
        columns=columns,
        first=rows[0],
        may_number=not any(names) and rows[0] == (*map(str, range(width)),) and are_fractions,
        head=Head.of(above),
        misfit="" if any(names) else _misfit(above, delimiter, width),
    )


def _titles(
    above: list[str], delimiter: str, rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Return the names and the units of all columns, "" where they are not given, and the lines above those."""
    width = len(rows[0])
    titles: list[tuple[str, ...]] = []
    while above and len(titles) < 2 and (cells := _title_cells(above[-1], delimiter, rows)):
        titles.append(cells)
        above = above[:-1]
        if not any(millivolts_of(cell) is not None for cell in cells):
            break
    nothing = ("",) * width
    names, units = (titles[-1], titles[0]) if len(titles) == 2 else (titles[0] if titles else nothing, nothing)
    listed, their_units = _channels(above)
    first = int(width > len(listed))  # the one before it is of times
    if listed and first + len(listed) <= width:
        names = (*names[:first], *listed, *names[first + len(listed) :])
        units = (*units[:first], *their_units, *units[first + len(listed) :])
    return names, units, above


def _title_cells(text: str, delimiter: str, rows: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The names or units in a line, one for each column of the rows below; none where it holds something else."""
    line, cells = Line.of(text), _cells(text.lstrip("#% "), delimiter)
    width = len(rows[0])
    if delimiter == " " and len(cells) > width:  # rdsamp: Elapsed time   MLII   V5
        first = " ".join(cells[: 1 - width])
        cells = (first, *cells[1 - width :]) if names_times(first) or COUNTS.fullmatch(first) else cells
    cells = _as_wide(cells, rows)
    is_of_head = cells[0].endswith("=") or line.says_something or (width == 1 and line.value)
    if len(cells) != width or is_of_head or any(NUMBER.fullmatch(cell) or TIMELIKE.match(cell) for cell in cells):
        return ()
    return tuple(cell.strip("()[]") if cell.startswith(("(", "[")) else cell for cell in cells)  # (mV)


def _as_wide(cells: tuple[str, ...], rows: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Fit the cells of a line to the number of cells in the rows below, where it is plain which belong together.

    A delimiter may end the rows or the titles alone, and R gives no title to the numbers that it puts before its rows.
    """
    width = len(rows[0])
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    if not any(cell for row in rows for cell in row[len(cells) :]):
        return cells + ("",) * (width - len(cells))
    numbered = all(row[0] == str(number) for number, row in enumerate(rows[:ALIKE], 1))
    return ("", *cells) if numbered and len(cells) + 1 == width and not COUNTS.fullmatch(cells[0]) else cells


def _misfit(above: list[str], delimiter: str, width: int) -> str:
    """Say that the line right above the data may name its columns, but has another number of cells; "": it has not."""
    cells = _cells(above[-1].lstrip("#% "), delimiter) if above else ()
    if len(cells) in (0, 1, width) or not all(map(_is_words, cells)) or Line.of(above[-1]).says_something:
        return ""
    return f"the line {above[-1].strip()[:60]!r} above its rows has {len(cells)} cells, and they have {width}"


def _channels(above: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and the units of all channels, as LabChart and AcqKnowledge list them; none where they do not."""
    rows = {row[0]: row[1:] for row in (_cells(line, "\t") for line in above)}
    if names := rows.get("ChannelTitle="):
        return names, (*rows.get("UnitName=", ()), *[""] * len(names))[: len(names)]
    for place, line in enumerate(above):
        if match := CHANNELS.fullmatch(line.strip()):
            count = int(match[1])
            listed = tuple(other.strip() for other in above[place + 1 :][: 2 * count])
            return (listed[::2], listed[1::2]) if len(listed) == 2 * count else ((), ())
    return (), ()
