"""What the lines above the data of a table say of the recording, such as `Sample Rate,250 hertz` or `# Unit: mV`.

A line is known by its value, for its key may be in any language. Where lines state different values, their keys decide;
where these do not, the head does not say it. A rate is known by its key, too: many a line is in Hz.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TypeVar

from ec57.headers import millivolts_of, time_of_day
from preprocess.leads import is_lead, names_other_signal
from preprocess.readers.recording import is_too_slow, iso_stamp

Value = TypeVar("Value")

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?\s?(Z|[+-]\d\d:?\d\d)?")
"""A time with its date, as `iso_stamp` writes it."""

TIMELIKE = re.compile(r"(?<!\d)(\d{4}([./-])\d\d?\2\d\d?|\d\d?([./-])\d\d?\3\d{4}|\d\d?:\d\d)(?!\d)")
"""A date or a clock time in any form; which day it means may be open, as in 03/04/2026."""

SECONDS = {
    name: seconds
    for names, seconds in (
        ("s sec second seconds", 1.0),
        ("ms msec millisecond milliseconds", 1e-3),
        ("us µs μs usec microsecond microseconds", 1e-6),
        ("ns nsec nanosecond nanoseconds", 1e-9),
    )
    for name in names.split()
}
"""The s in one unit of time."""

HERTZ = r"hz|hertz|hercios?|герц|ヘルツ|赫兹|赫茲|헤르츠"
SAMPLES_A_SECOND = r"sps|s/s|samples?\s?(?:/|per)\s?s(?:ec(?:onds?)?)?"
IN_HERTZ = re.compile(rf"(\d+(?:[.,]\d+)?)\s*(k?)({HERTZ}|{SAMPLES_A_SECOND})\.?", re.IGNORECASE)
INTERVAL = re.compile(rf"(\d+(?:[.,]\d+)?)\s*({'|'.join(SECONDS)})(\s?/\s?sample)?", re.IGNORECASE)
OF_SAMPLES = re.compile(rf".*({SAMPLES_A_SECOND}|/\s?sample)\.?", re.IGNORECASE)  # so many of them, of nothing else
JSON_RATE = re.compile(r'"sampling rate": ?(\d+(?:\.\d+)?)[,}\s]')  # OpenSignals writes its head as JSON
KEY_UNIT = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
REMARK = re.compile(r"(?<!\s)\s*\([^()]*\)$")  # behind a value: 250 Hz (1 channel)
EXCEL = re.compile(r"(\d\.\d+e\+0?4)\t\S+ (\d\d?:\d\d:\d\d(?:\.\d+)?)")
"""When LabChart began, as Excel counts days, and once more by a date whose day and month may stand in either order."""
LEAD = re.compile(r"(.*?)((?:(?<!\S)[-\N{MINUS SIGN}])?\b(?:I{1,3}|aV[RLF]|V[1-6]))", re.IGNORECASE)
"""Lead I, Ableitung I, and upside down -aVR."""

WATCH = re.compile(r"\bwatch\s?\d|apple\s?watch", re.IGNORECASE)  # the device of all its exports, such as "Watch6,1"


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


FILTER = _words(
    r"pass|\bpas[ao]\b|filt|фильтр|フィルタ|滤波|濾波|필터|cut.?off|corner|grenz|eckfreq|coupure|corte|taglio|notch|kerb|"
    r"\bband|mains|\b(power ?)?line\b|netz|secteur|\b[hl]pf?\b"
)
SAMPLING = _words(
    r"sampl|abtast|[ée]chantillon|muestreo|campion|amostra|bemonster|pr[óo]bkow|vzork|mintav|n[äa]yttee|[öo]rnekle|"
    r"δειγματολ|дискрет|サンプ|采样|採樣|샘플|\bf ?s\b|\bsfreq\b"
)
BARE = _words(r"^((e[ck]g |data ?|daten|mess)?(rate|fr[eé][qck]\w*)|interval)?( ?[(\[]|$)")
"""Keys that do not say of what: a rate below them may be of the heart, of the mains or of a cable."""

IS_INTERVAL = _words(r"interval|p[ée]riod")
RATE = _words(r"rat[ea]|fr[eé][qck]|h[äa]ufig|taux|tasa|taxa|per sec|/ ?s(ec)?\b|\bf ?s\b")

NO_START = _words(
    r"export|\bprint|druck|\bimpr|report|bericht|\bcr[eé]a|\bcréé|erstell|birth|\bdob\b|geb(urt|oren)|naiss|"
    r"naci[dm]|nasci|geboort|f[öø]d(el|sel)|urodz|рожд|生年|出生|"
    r"modif|chang|änder|\bsave|speicher|load|analy|review|\bend|ende\b|\bstop|\bfin\b|\bdur|dauer|length|läng|interv|"
    r"vers|ware\b"
)
START = _words(
    r"start|begin|began|record|aufnahme|aufzeich|acqui|d[ée]but|inici|inizi|grab|regist|начал|開始|开始|記録|记录|"
    r"^excel date"  # of LabChart
)

START_DATE = _words(rf"{START.pattern}|\bdate|datum|fecha")
DAY = re.compile(r"\d{4}([-/])\d\d\1\d\d|\d\d?\.\d\d?\.\d{4}")
TIME_OF_DAY = re.compile(r"\d\d:\d\d(:\d\d([.,]\d+)?)?")

NO_LEAD = _words(r"\bname|subject|devic|gerät|recorder|model|vers|ware\b|patient|physic")
IS_LEAD = _words(r"lead|ableit|channel|kanal|d[ée]riva|誘導|导联|導聯")
IS_UNIT = _words(r"\bunit|einheit|unidad|\bunité|unità|единиц|単位|单位|單位|단위")
NOTHING = _words(r"(?!)")


@dataclass(frozen=True)
class Line:
    """A line of a head."""

    text: str
    key: str  # in words: SampleRate and sample_rate are "Sample Rate", "sample rate"; "": there is none
    value: str  # "": there is none

    @classmethod
    def of(cls, text: str) -> Line:
        """Split a line at its first comma, semicolon, colon, equals sign or tab, or before a rate."""
        if rates := set(JSON_RATE.findall(text)):
            key, value = "sampling rate", f"{rates.pop()} Hz" if len(rates) == 1 else ""
            return cls(f"{key}: {value}", key, value)
        if match := re.fullmatch(r"([^,;:=\t]*)[,;:=\t]\s*(.*)", text.strip()):
            return cls(text.strip(), _in_words(match[1]), match[2].strip("\"', ;"))
        if match := re.fullmatch(r"(\D*?)\s?\b(\d[^()\[\]]*)", text.strip()):  # Low pass 100 Hz, 2 msec/sample
            line = cls(text.strip(), _in_words(match[1]), match[2])
            if line.rate is not None:
                return line
        return cls(text.strip(), "", "")

    @property
    def rate(self) -> float | None:
        """The Hz that it states, of whatever; None: it states none."""
        stated, is_of_samples = self._stated, self.is_of_samples or BARE.search(self.key)
        if match := IN_HERTZ.fullmatch(stated):
            rate = float(match[1].replace(",", ".")) * (1000 if match[2] else 1)
        elif (match := INTERVAL.fullmatch(stated)) and is_of_samples and (match[3] or IS_INTERVAL.search(self.key)):
            interval = float(match[1].replace(",", ".")) * SECONDS[match[2].casefold()]
            rate = round(1 / interval, 9) if interval > 0 else 0.0
        elif NUMBER.fullmatch(stated) and is_of_samples and RATE.search(self.key):
            rate = float(stated.replace(",", "."))
        else:
            return None
        return rate if rate > 0 else None

    @property
    def is_of_samples(self) -> bool:
        """Whether a rate in it is clearly that of sampling, by its key or its unit."""
        return SAMPLING.search(self.key) is not None or OF_SAMPLES.fullmatch(self._stated) is not None

    @property
    def may_be_of_samples(self) -> bool:
        """Whether a rate in it may be that of sampling: a key that does not say of what, with so many Hz."""
        is_in_hertz = BARE.search(self.key) is not None and not NUMBER.fullmatch(self._stated)
        return is_in_hertz and self.rate is not None and not is_too_slow(self.rate)

    @property
    def has_key(self) -> bool:
        """Whether it has a key in words, not only the unit of its value."""
        return bool(KEY_UNIT.sub("", self.key).strip())

    @property
    def is_unread_rate(self) -> bool:
        """Whether it speaks of sampling, but states a rate in a form that is not read."""
        text = self.key or self.text
        speaks = SAMPLING.search(text) and (RATE.search(text) or IS_INTERVAL.search(text))
        return bool(speaks) and self.rate is None and re.search(r"\d", self.value or self.text) is not None

    @property
    def stamp(self) -> datetime | None:
        """The local time that it states; None: it states none."""
        if not (match := EXCEL.fullmatch(self.value)):
            return stamp_of(self.value)
        stamp = datetime(1899, 12, 30) + timedelta(milliseconds=round(float(match[1]) * 86_400_000))
        clock = time_of_day(match[2])
        since_midnight = stamp - datetime.combine(stamp, time())
        return stamp if clock is not None and abs(since_midnight - clock) < timedelta(seconds=1) else None

    @property
    def lead(self) -> str | None:
        """The lead that it names; None: none, or several, as Lead I/II does."""
        match = LEAD.fullmatch(self.value)
        return match[2] if match and not any(map(is_lead, re.findall(r"\w+", match[1]))) else None

    @property
    def says_something(self) -> bool:
        """Whether it says something of the recording, and so names no columns, though it may have as many cells."""
        is_unit = IS_UNIT.search(self.key) and millivolts_of(self.value) is not None
        # A key in one word: Channel I,Channel II and Channel 1,Lead II may name two columns.
        names_lead = self.lead and IS_LEAD.search(self.key) and re.fullmatch(r"[^\W\d]+", self.key)
        return bool(is_unit or names_lead or self.rate or self.stamp)

    @property
    def _stated(self) -> str:
        """Its value with the unit that may stand in its key, and without a remark."""
        value, unit = REMARK.sub("", self.value), KEY_UNIT.search(self.key)
        return f"{value} {unit[1].strip()}" if unit and NUMBER.fullmatch(value) else value


@dataclass(frozen=True)
class Head:
    """What a head says; None or "" is what it does not state, or states in several ways."""

    fs: float | None  # Hz
    unsure: str  # the line with `fs`, where its key does not say of what that is; "": it does
    unrated: str  # why there is no `fs` although lines speak of rates
    unit: str  # of all columns that state none
    lead: str | None
    start: datetime | None
    undated: str  # why there is no start although lines speak of one
    in_utc: bool  # the start is stated in UTC
    is_watch: bool  # it is that of an Apple Watch

    @classmethod
    def of(cls, above: Sequence[str]) -> Head:
        """Read the lines above the data and above the titles of its columns."""
        lines = [Line.of(text) for text in above]
        is_watch = is_key_value(above) and any(WATCH.search(line.value) for line in lines)
        fs, unsure, unrated = _rate(lines, is_watch)
        units = ((line, line.value if millivolts_of(line.value) is not None else None) for line in lines)
        leads = ((line, line.lead) for line in lines)
        start, undated = _start(lines)
        return cls(
            fs=fs,
            unsure=unsure,
            unrated=unrated,
            unit=_only(_stated(units, NOTHING, IS_UNIT)) or "",
            lead=_only(_stated(leads, NO_LEAD, IS_LEAD)),
            start=start,
            undated=undated,
            in_utc=any(is_utc(line.value) for line in lines if start and line.stamp == start),
            is_watch=is_watch,
        )


def _rate(lines: list[Line], is_watch: bool) -> tuple[float | None, str, str]:
    """The sampling frequency, the line with it where that may mean another, and why there is none."""
    every, lines = lines, [line for line in lines if not _is_of_other(line)]
    is_mixed = len(lines) < len(every) or any(FILTER.search(line.text) for line in lines)  # a rate may be of those
    rates = [(line, rate) for line in lines if (rate := line.rate) is not None]
    # The watch, whose export is in any of its languages, writes one rate.
    sure = [(line, rate) for line, rate in rates if is_watch or line.is_of_samples]
    likely = sure or [(line, rate) for line, rate in rates if line.may_be_of_samples and (line.has_key or not is_mixed)]
    if (fs := _only(likely)) is not None:
        return fs, "" if sure else likely[0][0].text, ""
    if not sure and (unread := next((line for line in lines if line.is_unread_rate), None)):
        return None, "", f"the line {unread.text[:60]!r} of its head is not understood"
    quoted = _quoted(line.text for line, _ in likely or rates)
    if len(likely or rates) > 1:
        return None, "", f"its head has several rates, {quoted}"
    return None, "", f"its head does not call {quoted} a sampling rate" if rates else ""


def _in_words(key: str) -> str:
    """SampleRate and sample_rate as "Sample Rate" and "sample rate"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", key.strip("#%\"' "))


def _is_of_other(line: Line) -> bool:
    """Whether a rate is that of a filter or of another signal."""
    return FILTER.search(line.key) is not None or any(map(names_other_signal, (line.key, line.text)))  # ACCRate, SpO2


def is_key_value(above: Sequence[str]) -> bool:
    """Whether lines above data are several `key,value`, one of which gives a unit, as those of an Apple Watch are."""
    values = [Line.of(text).value for text in above]
    return len(values) > 2 and any(millivolts_of(value) is not None for value in values)


def stamp_of(text: str) -> datetime | None:
    """The local time in a stamp such as 2026-01-31 14:05:00 +0100 or 31.01.2026 14:05; None: it is not a stamp."""
    text = iso_stamp(text)
    if not STAMP.fullmatch(text):
        return None
    try:
        stamp = datetime.fromisoformat(re.sub(r"\s(?=Z|[+-])", "", text).replace(",", "."))
    except ValueError:
        return None
    return stamp.replace(tzinfo=None)


def is_utc(text: str) -> bool:
    """Whether a stamp says that it is in UTC, which need not be the time of the place of the recording."""
    return re.search(r"(Z|[+-]00:?00)$", text.strip("[]'\" ")) is not None


def _start(lines: list[Line]) -> tuple[datetime | None, str]:
    """When the recording began, and why the head does not say so although lines speak of it; "": none does."""
    stamps = _stated(((line, line.stamp) for line in lines), NO_START, START)
    start = _only(stamps)
    if not stamps and (start := _start_of_two(lines)) is not None:
        return start, ""
    if start is None and stamps:
        return None, f"its head has several times, {_quoted(line.text for line, _ in stamps)}, of which none is taken"
    if start is None or not any(START.search(line.key) for line, _ in stamps):
        for line in lines:
            if START.search(line.key) and not NO_START.search(line.key) and TIMELIKE.search(line.value):
                return None, f"the line {line.text[:60]!r} of its head is not understood"
    return start, ""


def _start_of_two(lines: list[Line]) -> datetime | None:
    """The start that one line has the date of, and another the clock time; None: there are no such, or several."""
    of_start = [line for line in lines if not NO_START.search(line.key)]
    days = {line.value for line in of_start if START_DATE.search(line.key) and DAY.fullmatch(line.value)}
    clocks = {line.value for line in of_start if START.search(line.key) and TIME_OF_DAY.fullmatch(line.value)}
    return stamp_of(f"{days.pop()} {clocks.pop()}") if len(days) == len(clocks) == 1 else None


def _stated(
    said: Iterable[tuple[Line, Value | None]], never: re.Pattern[str], wins: re.Pattern[str]
) -> list[tuple[Line, Value]]:
    """The lines that state a value and, by their key, nothing else; where they differ, those whose key says it is."""
    left = [(line, value) for line, value in said if value is not None and not never.search(line.key)]
    if len({value for _, value in left}) > 1:
        return [(line, value) for line, value in left if wins.search(line.key)] or left
    return left


def _only(stated: list[tuple[Line, Value]]) -> Value | None:
    """The one value of all lines; None: there are several, or none."""
    values = {value for _, value in stated}
    return values.pop() if len(values) == 1 else None


def _quoted(texts: Iterable[str]) -> str:
    return " and ".join(repr(text[:60]) for text in texts)
