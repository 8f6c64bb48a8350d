"""What makes an episode, a pause, a figure, and unreadable time: every threshold of a report, with unit and source.

Two systems that agree on every beat still print different numbers of pauses or runs, by definition alone. So each
threshold is an option of the command line, and the report prints all of them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from preprocess.signals import BRIDGED
from support.cli import option
from support.errors import InputError

CHOSEN = "this package"
"""The source of a threshold that no guideline names."""


METAVARS = {
    "": "N",
    "beats": "N",
    "1/min": "PER_MINUTE",
    "s": "SECONDS",
    "ms": "MS",
    "h": "HOURS",
    "%": "PERCENT",
    "mV": "MV",
}
"""What stands for the value of an option, by its unit."""


def threshold(value: Any, text: str, unit: str, source: str) -> Any:  # noqa: ANN401  (as `dataclasses.field`)
    """A field that is an option, with its unit ("" for none) and the source of its default."""
    help_text = f"{text}{f', in {unit}' if unit else ''} [{source}]"
    shown = f"{value:g}" if isinstance(value, float) else None
    made = option(value, help_text, default=shown, metavar=METAVARS[unit])
    return dataclasses.field(default=value, metadata={**made.metadata, "text": text, "unit": unit, "source": source})


_MOST = 10**6
"""Of what is counted, such as beats: no recording has so many in a row."""

_FEWEST = {
    "vt_min_beats": 3,
    "sve_run": 3,
    "bigeminy_min": 2,
    "trigeminy_min": 2,
    "heart_rate_intervals": 6,  # of the five means of two a pause changes two
    "irregular_intervals": 8,
}

_ANY_SIGN = ("irregular_entropy", "irregular_short_entropy")


CLASSLESS = frozenset({"doubtful_probability", "pause", "doubtful_pause", "heart_rate_intervals", "day_readable"})
"""Of `Definitions` those that make figures where no beat has a class of EC57: of the heart rate and what it leaves out,
of doubt in a class, of the length of a recording."""


def _require_above_0(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"--{name} must be a number above 0, got {value:g}")


class Definition(NamedTuple):
    """One threshold as a report prints it."""

    name: str
    """Of the option, without the dashes."""
    value: float | int | bool
    unit: str
    text: str
    source: str


class Thresholds:
    """A dataclass all of whose fields are thresholds."""

    def listed(self) -> list[Definition]:
        """All of them, in their order, as a report prints them."""
        return [
            Definition(
                field.name,
                getattr(self, field.name),
                field.metadata["unit"],
                field.metadata["text"],
                field.metadata["source"],
            )
            for field in dataclasses.fields(self)
        ]


@dataclass(frozen=True)
class Definitions(Thresholds):
    """Every threshold that makes a figure of the report.

    The sources by their short names:
        EC57: ANSI/AAMI EC57:2012.
        VT 2017: AHA/ACC/HRS guideline on ventricular arrhythmias (Al-Khatib et al.).
        SVT 2015: ACC/AHA/HRS guideline on supraventricular tachycardia (Page et al.).
        Bradycardia 2018: ACC/AHA/HRS guideline on bradycardia and conduction delay (Kusumoto et al.).
        EHRA 2014: EHRA/HRS/APHRS consensus on ventricular arrhythmias (Pedersen et al.).
        ESVEA: excessive supraventricular ectopic activity (Binici et al. 2010).
        Task Force 1996: heart rate variability, Task Force of ESC and NASPE.
        Dash et al. 2009: automatic real time detection of atrial fibrillation.
        COSEn: coefficient of sample entropy (Lake & Moorman 2011).
        ESC 2024: guideline on atrial fibrillation (Van Gelder et al.).

    Raises:
        InputError: a value is out of range.
    """

    fusion_in_runs: bool = threshold(
        False, "count fusion beats as V in couplets and runs, as EC57's run-by-run comparison does", "", "EC57"
    )
    vt_min_beats: int = threshold(3, "shortest run of V that is a tachycardia, or idioventricular", "beats", "VT 2017")
    vt_rate: float = threshold(100.0, "a run of V above this rate is a ventricular tachycardia", "1/min", "VT 2017")
    vt_sustained: float = threshold(30.0, "from here on a ventricular tachycardia is sustained", "s", "VT 2017")
    svt_rate: float = threshold(
        100.0, "a run of S (3 beats and more) above this rate is a supraventricular tachycardia", "1/min", "SVT 2015"
    )
    doubtful_probability: float = threshold(
        60.0,
        "a class that the network gives less than this is doubtful, ? in the strips; so is a run of which fewer than "
        "three beats have more",
        "%",
        CHOSEN,
    )
    doubtful_likeness: float = threshold(
        0.8,
        "a run whose beats correlate less than this (the median) with one another and with the beats around it is "
        "doubtful: noise looks like nothing",
        "",
        CHOSEN,
    )
    doubtful_rate: float = threshold(300.0, "a run of V or S faster than this is doubtful", "1/min", CHOSEN)
    doubtful_prematurity: float = threshold(
        0.85,
        "a run of S whose mean R-R is above this share of the median N-N of the 40 beats on either side is doubtful: "
        "the sinus rhythm around it is about as fast",
        "",
        CHOSEN,
    )
    doubtful_pause: float = threshold(
        15.0,
        "a pause longer than this is doubtful: the lead may have been off, which noise may hide; between annotated "
        "beats further apart noise is not read",
        "s",
        CHOSEN,
    )
    sve_per_day: float = threshold(
        720.0, "from this number of S in 24 h on the supraventricular ectopy is marked as excessive", "beats", "ESVEA"
    )
    sve_run: int = threshold(
        20, "from this length on a run of S, too, marks the supraventricular ectopy as excessive", "beats", "ESVEA"
    )
    bigeminy_min: int = threshold(
        3,
        "fewest pairs of another beat and a V (or an S) in a row that are bigeminy; a pause does not end it",
        "",
        CHOSEN,
    )
    trigeminy_min: int = threshold(
        3, "fewest triples of two other beats and a V (or an S) in a row that are trigeminy", "", CHOSEN
    )
    pause: float = threshold(2.0, "an R-R interval longer than this is a pause", "s", "Bradycardia 2018")
    pause_long: float = threshold(2.5, "pauses longer than this are counted too", "s", CHOSEN)
    pause_very_long: float = threshold(3.0, "pauses of this length and more are counted too", "s", "Bradycardia 2018")
    bradycardia: float = threshold(50.0, "bradycardia: a mean rate below this", "1/min", "Bradycardia 2018")
    tachycardia: float = threshold(100.0, "tachycardia: a mean rate above this", "1/min", "SVT 2015")
    rate_intervals: int = threshold(
        8, "R-R intervals over which the rate of a bradycardia or tachycardia is averaged", "", CHOSEN
    )
    rate_bridge: float = threshold(
        5.0,
        "interruptions of a bradycardia or tachycardia up to this long are bridged; and across so much lost time the "
        "windows of R-R intervals go on, of these, of irregular rhythm and of the lowest and highest heart rate",
        "s",
        CHOSEN,
    )
    rate_duration: float = threshold(15.0, "shortest bradycardia and tachycardia", "s", CHOSEN)
    heart_rate_intervals: int = threshold(
        8,
        "R-R intervals of the window of the lowest and highest heart rate, which is the median of the means of two "
        "successive ones; runs whose beats may be none (doubtful_likeness) have no part in it",
        "",
        CHOSEN,
    )
    burden_marked: float = threshold(10.0, "from this share of V on the burden is marked", "%", "EHRA 2014")
    burden_high: float = threshold(20.0, "from this share of V on the burden is marked as high", "%", "EHRA 2014")
    irregular_duration: float = threshold(30.0, "shortest episode of irregular rhythm", "s", "ESC 2024")
    irregular_intervals: int = threshold(20, "R-R intervals of a window of irregular rhythm", "", CHOSEN)
    irregular_entropy: float = threshold(
        -1.0, "a rhythm is irregular where its coefficient of sample entropy is above this", "", CHOSEN
    )
    irregular_short: float = threshold(
        60.0, "an episode of irregular rhythm shorter than this has to be more irregular", "s", CHOSEN
    )
    irregular_short_entropy: float = threshold(
        -0.8, "its coefficient of sample entropy has to be above this", "", CHOSEN
    )
    irregular_turning: float = threshold(
        50.0,
        "least share of an irregular rhythm's R-R intervals that are longer or shorter than both their neighbours; in "
        "fibrillation two thirds are, when breath speeds and slows the heart far fewer",
        "%",
        "Dash et al. 2009",
    )
    irregular_tolerance: float = threshold(
        0.03, "R-R intervals that differ by this much at most are alike to the entropy", "s", "COSEn"
    )
    irregular_matches: int = threshold(
        5,
        "fewest pairs alike that the entropy may rest on; where there are fewer, the tolerance is doubled, and again",
        "",
        "COSEn",
    )
    irregular_usable: float = threshold(
        30.0, "least share of a window's pairs of successive R-R intervals that no V or F takes part in", "%", CHOSEN
    )
    nn_shortest: float = threshold(0.4, "shorter N-N intervals are left out", "s", "PhysioNet HRV toolkit")
    nn_longest: float = threshold(2.0, "longer N-N intervals are left out", "s", "PhysioNet HRV toolkit")
    nn_neighbours: int = threshold(
        20, "N-N intervals on either side that one is compared with", "", "PhysioNet HRV toolkit"
    )
    nn_deviation: float = threshold(
        20.0, "an N-N interval further off the mean of these neighbours is left out", "%", "PhysioNet HRV toolkit"
    )
    nn_share: float = threshold(
        80.0,
        "with a smaller share of N-N among R-R intervals the report says that its variability says little",
        "%",
        CHOSEN,
    )
    nn_difference: float = threshold(50.0, "pNN50 counts successive differences above this", "ms", "Task Force 1996")
    nn_segment: float = threshold(300.0, "segments of SDANN and of the SDNN index", "s", "Task Force 1996")
    nn_filled: float = threshold(50.0, "least share of a segment that its N-N intervals must fill", "%", CHOSEN)
    day_readable: float = threshold(
        18.0,
        "readable time from which on a recording may be called one of 24 h, and SDANN given (time of segments)",
        "h",
        CHOSEN,
    )
    per_day_readable: float = threshold(20.0, "readable time from which on figures are given per day", "h", CHOSEN)

    @property
    def burdens(self) -> tuple[float, ...]:
        """%, from which on a burden of V is marked."""
        return self.burden_marked, self.burden_high

    @property
    def rates(self) -> tuple[float, ...]:
        """1/min, by which an episode of one kind is told from another."""
        return self.vt_rate, self.svt_rate, self.bradycardia, self.tachycardia

    @property
    def lengths(self) -> tuple[float, ...]:
        """s, likewise."""
        pauses = (self.pause, self.pause_long, self.pause_very_long, self.doubtful_pause)
        return self.vt_sustained, *pauses, self.rate_duration, self.irregular_duration

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name, value, unit = field.name, getattr(self, field.name), field.metadata["unit"]
            if name in _FEWEST and value < _FEWEST[name]:
                raise InputError(f"--{name} must be at least {_FEWEST[name]}, got {value}")
            if name not in ("fusion_in_runs", *_ANY_SIGN):
                _require_above_0(name, value)
            if isinstance(value, int) and value > _MOST:
                raise InputError(f"--{name} must be at most {_MOST:,}, got {value}")
            if unit == "%" and value > 100:
                raise InputError(f"--{name} must be at most 100 %, got {value:g}")
        for name in _ANY_SIGN:
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"--{name} must be a number, such as -1, got {getattr(self, name):g}")
        for lower, upper in (
            ("pause", "pause_long"),
            ("pause_long", "pause_very_long"),
            ("pause_very_long", "doubtful_pause"),
            ("bradycardia", "tachycardia"),
            ("burden_marked", "burden_high"),
            ("nn_shortest", "nn_longest"),
        ):
            if getattr(self, lower) >= getattr(self, upper):
                raise InputError(
                    f"--{lower} {getattr(self, lower):g} must be below --{upper}, {getattr(self, upper):g}: give "
                    f"--{upper} too"
                )


@dataclass(frozen=True)
class Quality(Thresholds):
    """What makes time unreadable.

    Raises:
        InputError: a value is out of range.
    """

    missing_longest: float = threshold(
        BRIDGED, "missing samples up to this long are bridged by a line, more are unreadable", "s", CHOSEN
    )
    flat_range: float = threshold(0.01, "a lead is off where the signal stays within this range", "mV", CHOSEN)
    flat_shortest: float = threshold(
        2.0,
        "for at least this long; but where it moves within the range, never at one value for so long, and lies in a "
        "pause of up to --doubtful_pause, it is read, and the pause is doubtful",
        "s",
        CHOSEN,
    )
    rail_shortest: float = threshold(
        0.2,
        "saturation: the signal stays at one value, its highest or lowest or within 1 % of its range of it, unless "
        "that is its baseline, for at least this long, longer than a clipped QRS complex",
        "s",
        CHOSEN,
    )
    noise_index: float = threshold(
        0.17,
        "noise: the steepness between beats, as a share of that of beats, divided by the mean likeness of beats to "
        "their like, is above this",
        "",
        CHOSEN,
    )
    noise_likeness: float = threshold(
        0.95,
        "but there is no noise where beats are at least this like their like, however much is between them: atrial "
        "flutter",
        "",
        CHOSEN,
    )
    noise_certain: float = threshold(
        0.5,
        "nor where the leakage stays below --flutter_leakage, a fast tachycardia, unless the index is above this",
        "",
        CHOSEN,
    )
    noise_quiet: float = threshold(
        0.1,
        "nor where the steepness between beats is below this share of that of beats, whatever their likeness: the few "
        "beats after flutter",
        "",
        CHOSEN,
    )
    noise_between: float = threshold(
        0.35,
        "nor where a window has three beats and more, and no deflection between them is steeper than this share of the "
        "least steep of them, if they are as alike as --noise_run_likeness has it",
        "",
        CHOSEN,
    )
    noise_between_least: float = threshold(
        1.0, "and if so much of the window is between beats: in a tachycardia nothing is", "s", CHOSEN
    )
    noise_run_beats: int = threshold(
        4,
        "noise is judged without runs of ventricular tachycardia, whose waves leave nothing quiet between them, if "
        "--noise_shortest of a window is left: runs of at least this many beats",
        "beats",
        CHOSEN,
    )
    noise_run_rate: float = threshold(120.0, "each following the one before it at this rate or faster", "1/min", CHOSEN)
    noise_run_likeness: float = threshold(
        0.7, "and at least this like it, which false beats in noise hardly ever are", "", CHOSEN
    )
    noise_run_size: float = threshold(
        1.3,
        "and in the median this many times as large as the beats before and after the run: those of a sinus "
        "tachycardia with noise are not",
        "",
        CHOSEN,
    )
    hum_share: float = threshold(
        0.95,
        "noise, too, is hum of the mains without an ECG, a lead that is off: at least this share of the power above "
        "3 Hz is above 38 Hz",
        "",
        CHOSEN,
    )
    hum_rise: float = threshold(
        2.0,
        "and the hum is more than this many times as large as in the minutes around where there is an ECG: in a pause "
        "it stays what it was",
        "",
        CHOSEN,
    )
    noise_window: float = threshold(5.0, "window of the noise index, the hum and the flutter leakage", "s", CHOSEN)
    noise_shortest: float = threshold(3.0, "shortest stretch of noise", "s", CHOSEN)
    noise_bridge: float = threshold(
        5.0, "readable stretches shorter than this between noise and other unreadable time are noise too", "s", CHOSEN
    )
    flutter_leakage: float = threshold(
        0.57, "leakage of the VF filter, below which the signal is nearly sinusoidal", "", "Kuo & Dillman 1978"
    )
    flutter_shortest: float = threshold(3.0, "shortest stretch of the leakage that makes flutter possible", "s", CHOSEN)
    flutter_bridge: float = threshold(
        10.0,
        "possible flutter is never called noise, nor is what lies between two stretches of it, up to this long",
        "s",
        CHOSEN,
    )
    flutter_certain: float = threshold(
        0.45,
        "ventricular flutter or fibrillation is possible where the leakage is below --flutter_leakage and, for at "
        "least --flutter_shortest, below this",
        "",
        CHOSEN,
    )
    flutter_slowest: float = threshold(
        180.0, "and the signal has at least this many waves; slower ones are those of a tachycardia", "1/min", CHOSEN
    )
    waves_slowest: float = threshold(
        150.0, "the leakage is looked at where the signal has at least this many waves", "1/min", CHOSEN
    )
    waves_fastest: float = threshold(600.0, "and at most this many; the hum of the mains has more", "1/min", CHOSEN)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _require_above_0(field.name, getattr(self, field.name))
