"""Which channel of a record is read: leads by the names that databases and devices give them.

MLII and II are what this project reads (the paper's lead II). mitdb writes MLII, ptbdb ii, incartdb and MIMIC II,
others "ECG lead II", "ECG II", "EKG II", "mod. lead II", DII, D2 or ML2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

LEAD_II = ("MLII", "II")
"""The leads that are read when none is named, in the order of preference. MLII: modified limb lead II."""

_FILLERS = re.compile(
    r"ecg|ekg|mdc|lead|mod|modified|mv|uv|μv|ref|ableitung|d[eé]rivation|derivazione|derivaci[oó]n|deriva[cç][aã]o|afleiding"
)
"""Words of a description that do not name the lead. II-REF: against a reference, as labels of EDF have it.
MDC_ECG_LEAD_II: ISO/IEEE 11073-10101."""

_PROCESSED = re.compile(r"raw|filt|filtered")
"""Words beside the name of a lead; raw_x, though, is an axis of an accelerometer, not Frank's lead X."""

_UPSIDE_DOWN = re.compile(r"(e[ck]g\s)?\s*[-\N{MINUS SIGN}][^\W\d_]", re.IGNORECASE)
"""-II and ECG -II, but neither ECG-II nor - II: there the hyphen parts words or begins an item of a list."""

_ARABIC = re.compile(r"d?(i{1,3})|d([1-3])|(ml)([1-3])")
_ECG = re.compile(r"(ml)?i{1,3}|av[rlf]|[mc]?v[1-9]?r?|v?[xyz]|mcl[1-6]|c[mcs][1-6]|ml[4-6]|d[4-6]|(es|as|ai)")
"""Names of leads, as `canonical` writes them: limb, chest, Frank, bipolar and EASI."""

_OTHER = re.compile(
    r"resp|respiration|respiratory|breathing|airflow|flow|abp|art|bp|ap|nbp|pap|cvp|icp|lap|rap|uap|ubp|pressure|pleth|"
    r"ppg|bvp|spo|sao|so|eeg|eog|emg|erg|egg|pcg|phono|scg|bcg|gsr|eda|hr|fhr|uc|pulse|co|etco|temp|temperature|sv|acc|"
    r"accel|accelerometer|gyro|mark|marker|event|events|trigger|status|annotations|noise|snore|sound|position|photic"
)
"""Words that name signals other than an ECG, without the digits at their end."""


class Channel(Protocol):
    """What has to be known of a channel to tell whether its signal is wanted."""

    @property
    def name(self) -> str | None:
        """As its file has it; None: not given."""

    @property
    def millivolts(self) -> float | None:
        """The mV of one of its units; None: they are not units of voltage."""


def _words(name: str | None) -> list[str]:
    """The words of a name, in lower case; a Roman numeral in one character becomes letters."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name or "").casefold())


def canonical(name: str | None) -> str:
    """Bring the name of a lead into one form: "ECG lead II", "EKG-II", "DII" and "d2" all become "ii".

    A name with several leads, such as "ECG I-II", is that of none, and -II, upside down, is not II.
    """
    words = _words(name)
    is_processed = any(map(_PROCESSED.fullmatch, words))
    named = [word for word in words if not _FILLERS.fullmatch(word) and not _PROCESSED.fullmatch(word)]
    if sum(word != "v" and _ECG.fullmatch(_in_roman(word)) is not None for word in named) > 1:
        return " ".join(words)  # I-II is not III; V X, one lead in two words, may be
    lead = "".join(named)
    if not lead or lead.isdigit() or (is_processed and lead in "xyz"):  # ECG, ECG 1: no lead is named, but a channel
        lead = "".join(words)
    sign = "-" if _UPSIDE_DOWN.match(name or "") else ""
    return sign + _in_roman(re.sub(r"^(e[ck]g|lead)(?=\D)", "", lead))  # ECGII


def _in_roman(lead: str) -> str:
    """Write D2 and ML2 as ii and mlii."""
    match = _ARABIC.fullmatch(lead)
    if not match:
        return lead
    roman, number, modified, its_number = match.groups()
    return (modified or "") + (roman or "i" * int(number or its_number))


def find_lead(channels: Sequence[Channel], wanted: Sequence[str] = LEAD_II, any_lead: bool = False) -> int | None:
    """Return the channel of the first of the `wanted` leads that a record has, else None.

    II and MLII stand for each other where a record has only one of them. With `any_lead` a record without the wanted
    leads gives lead II, or else the first of its `ecg_channels`.
    """
    given = [(channel.name or "").casefold() for channel in channels]
    names = [canonical(channel.name) for channel in channels]
    spellings = [name for lead in wanted for name in (lead, *(LEAD_II if is_lead_ii(lead) else ()))]
    for lead in (*spellings, *(LEAD_II if any_lead else ())):
        if lead.casefold() in given:
            return given.index(lead.casefold())
        if canonical(lead) in names:
            return names.index(canonical(lead))
    if any_lead:
        return next(iter(ecg_channels(channels)), None)
    return None


def ecg_channels(channels: Sequence[Channel]) -> list[int]:
    """Return the channels that are named like an ECG lead; or, if there are none, all that may be one.

    A signal whose name is that of something else, or whose unit is not one of voltage, may not.
    """
    possible = [
        number
        for number, channel in enumerate(channels)
        if channel.millivolts is not None and not names_other_signal(channel.name)
    ]
    named = [
        number
        for number in possible
        if is_lead(channels[number].name) or re.search("e[ck]g", channels[number].name or "", re.IGNORECASE)
    ]
    return named or possible


def is_lead(name: str | None) -> bool:
    """Say whether a name is that of a lead, such as "V5": not "ECG", "channel 1" or none."""
    return bool(_ECG.fullmatch(canonical(name).removeprefix("-")))


def is_lead_ii(name: str | None) -> bool:
    """Say whether a name is one of lead II."""
    return canonical(name) in {canonical(lead) for lead in LEAD_II}


def names_other_signal(text: str | None) -> bool:
    """Say whether a word of a text names a signal that is not an ECG, such as "Resp" or "ACC2".

    What EEG recorders call "EEG EKG1-REF" is an ECG: they write EEG before all that is plugged into them.
    """
    words = [word.rstrip("0123456789") for word in _words(text)]
    return any(_OTHER.fullmatch(word) for word in words if word != "eeg" or not {"ecg", "ekg"} & {*words})
