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
    help_text = f"{text}{f' ({unit})' if unit else ''} [{source}]"
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

CLASSLESS_THRESHOLDS = frozenset(
    {"doubtful_probability", "pause", "doubtful_pause", "heart_rate_intervals", "day_readable"}
)
"""Those of `Definitions` that make figures even where no beat has a class of EC57: of the heart rate and what it leaves
out, of doubt in a class, of the length of a recording."""


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


@dataclass(frozen=True)
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
    vt_min_beats: int = threshold(
        3, "shortest run of V that is called a tachycardia or an idioventricular rhythm", "beats", "VT 2017"
    )
    vt_rate: float = threshold(100.0, "a run of V above this rate is a ventricular tachycardia", "1/min", "VT 2017")
    vt_sustained: float = threshold(
        30.0, "a ventricular tachycardia that lasts at least this long is sustained", "s", "VT 2017"
    )
    svt_rate: float = threshold(
        100.0, "a run of S (3 beats or more) above this rate is a supraventricular tachycardia", "1/min", "SVT 2015"
    )
    doubtful_probability: float = threshold(
        60.0,
        "a class to which the network gives a lower probability is doubtful (? in the strips), and so is a run in "
        "which fewer than three beats reach it",
        "%",
        CHOSEN,
    )
    doubtful_likeness: float = threshold(
        0.8,
        "a run is doubtful if its beats correlate less than this (the median) both with one another and with the "
        "beats around it: noise resembles nothing",
        "",
        CHOSEN,
    )
    doubtful_rate: float = threshold(300.0, "a run of V or S faster than this is doubtful", "1/min", CHOSEN)
    doubtful_prematurity: float = threshold(
        0.85,
        "a run of S is doubtful if its mean R-R is above this share of the median N-N of the 40 beats on either "
        "side: the sinus rhythm around it is about as fast",
        "",
        CHOSEN,
    )
    doubtful_pause: float = threshold(
        15.0,
        "a pause longer than this is doubtful, since noise may hide that the lead was off; where annotations give "
        "the beats, noise is unreadable only between beats further apart than this",
        "s",
        CHOSEN,
    )
    sve_per_day: float = threshold(
        720.0, "this many S or more in 24 h mark supraventricular ectopy as excessive", "beats", "ESVEA"
    )
    sve_run: int = threshold(
        20, "a run of this many S or more also marks supraventricular ectopy as excessive", "beats", "ESVEA"
    )
    bigeminy_min: int = threshold(
        3,
        "bigeminy: one other beat, not an F, then an isolated V (or S), at least this many times in a row; a pause "
        "does not end it",
        "",
        CHOSEN,
    )
    trigeminy_min: int = threshold(
        3,
        "trigeminy: two other beats, neither an F, then an isolated V (or S), at least this many times in a row",
        "",
        CHOSEN,
    )
    pause: float = threshold(2.0, "an R-R interval longer than this is a pause", "s", "Bradycardia 2018")
    pause_long: float = threshold(2.5, "pauses longer than this are also counted separately", "s", CHOSEN)
    pause_very_long: float = threshold(
        3.0, "pauses at least this long are also counted separately", "s", "Bradycardia 2018"
    )
    bradycardia: float = threshold(50.0, "bradycardia: a mean rate below this", "1/min", "Bradycardia 2018")
    tachycardia: float = threshold(100.0, "tachycardia: a mean rate above this", "1/min", "SVT 2015")
    rate_intervals: int = threshold(
        8,
        "bradycardia and tachycardia: the rate at a beat is the mean over this many R-R intervals around it, half of "
        "them before it where there are enough",
        "",
        CHOSEN,
    )
    rate_bridge: float = threshold(
        5.0,
        "interruptions up to this long are bridged: in bradycardia and tachycardia, and by the windows of R-R "
        "intervals for irregular rhythm and for the lowest and highest heart rate",
        "s",
        CHOSEN,
    )
    rate_duration: float = threshold(15.0, "shortest bradycardia or tachycardia", "s", CHOSEN)
    heart_rate_intervals: int = threshold(
        8,
        "lowest and highest heart rate: R-R intervals in a window, whose rate is the median of the means of two "
        "successive ones; runs that may be noise (doubtful_likeness) take no part",
        "",
        CHOSEN,
    )
    burden_marked: float = threshold(10.0, "a V burden of this share or more is marked", "%", "EHRA 2014")
    burden_high: float = threshold(20.0, "a V burden of this share or more is marked as high", "%", "EHRA 2014")
    irregular_duration: float = threshold(30.0, "shortest episode of irregular rhythm", "s", "ESC 2024")
    irregular_intervals: int = threshold(20, "R-R intervals in a window searched for irregular rhythm", "", CHOSEN)
    irregular_entropy: float = threshold(
        -1.0, "a rhythm is irregular where its coefficient of sample entropy is above this", "", CHOSEN
    )
    irregular_short: float = threshold(
        60.0,
        "an episode of irregular rhythm shorter than this has to be more irregular (irregular_short_entropy)",
        "s",
        CHOSEN,
    )
    irregular_short_entropy: float = threshold(
        -0.8, "coefficient of sample entropy that an episode shorter than irregular_short has to exceed", "", CHOSEN
    )
    irregular_turning: float = threshold(
        50.0,
        "least share of R-R intervals in irregular rhythm that are longer or shorter than both their neighbours: "
        "two thirds are in fibrillation, far fewer when breathing speeds and slows the heart",
        "%",
        "Dash et al. 2009",
    )
    irregular_tolerance: float = threshold(
        0.03, "R-R intervals that differ by this much or less match, for the entropy", "s", "COSEn"
    )
    irregular_matches: int = threshold(
        5,
        "fewest matching pairs that the entropy may rest on; where there are fewer, the tolerance is doubled, and "
        "doubled again",
        "",
        "COSEn",
    )
    irregular_usable: float = threshold(
        30.0, "least share of a window's pairs of successive R-R intervals that no V or F takes part in", "%", CHOSEN
    )
    nn_shortest: float = threshold(0.4, "N-N intervals shorter than this are left out", "s", "PhysioNet HRV toolkit")
    nn_longest: float = threshold(2.0, "N-N intervals longer than this are left out", "s", "PhysioNet HRV toolkit")
    nn_neighbours: int = threshold(
        20, "N-N intervals on either side with which each one is compared", "", "PhysioNet HRV toolkit"
    )
    nn_deviation: float = threshold(
        20.0,
        "an N-N interval that differs by more than this from the mean of these neighbours is left out",
        "%",
        "PhysioNet HRV toolkit",
    )
    nn_share: float = threshold(
        80.0,
        "if a smaller share of the R-R intervals is N-N, the report says that heart rate variability means little",
        "%",
        CHOSEN,
    )
    nn_difference: float = threshold(50.0, "pNN50 counts successive differences above this", "ms", "Task Force 1996")
    nn_segment: float = threshold(300.0, "length of the segments for SDANN and the SDNN index", "s", "Task Force 1996")
    nn_filled: float = threshold(50.0, "least share of a segment that its N-N intervals have to fill", "%", CHOSEN)
    day_readable: float = threshold(
        18.0,
        "least readable time of a recording that counts as a whole day; for SDANN, least total time of its segments",
        "h",
        CHOSEN,
    )
    per_day_readable: float = threshold(20.0, "least readable time for which figures per day are given", "h", CHOSEN)

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
        BRIDGED, "missing samples up to this long are bridged by a line; longer gaps are unreadable", "s", CHOSEN
    )
    flat_range: float = threshold(
        0.01, "a lead is off where the signal stays within this range for flat_shortest", "mV", CHOSEN
    )
    flat_shortest: float = threshold(
        2.0,
        "shortest time with a lead off; but in a pause of up to doubtful_pause a signal that still moves within "
        "flat_range, never at one value for this long, is read, and the pause is doubtful",
        "s",
        CHOSEN,
    )
    rail_shortest: float = threshold(
        0.2,
        "shortest saturation: the signal stays at one value, no further than 1 % of its range from its highest or "
        "lowest, unless that value is its baseline; a clipped QRS complex is shorter",
        "s",
        CHOSEN,
    )
    noise_index: float = threshold(
        0.17,
        "noise: the steepness between beats, as a share of that of beats, divided by the mean likeness of "
        "neighbouring beats, is above this",
        "",
        CHOSEN,
    )
    noise_likeness: float = threshold(
        0.95,
        "no noise where the mean likeness of neighbouring beats is at least this, however much lies between them, "
        "as in atrial flutter",
        "",
        CHOSEN,
    )
    noise_certain: float = threshold(
        0.5,
        "no noise where the leakage stays below flutter_leakage, as in a fast tachycardia, unless the noise index "
        "is above this",
        "",
        CHOSEN,
    )
    noise_quiet: float = threshold(
        0.1,
        "no noise where the steepness between beats is below this share of that of beats, even if those are "
        "little alike, as the few beats after flutter are",
        "",
        CHOSEN,
    )
    noise_between: float = threshold(
        0.35,
        "no noise in a window of three beats or more, as alike as noise_run_likeness asks for, if no deflection "
        "between them is steeper than this share of the least steep of them",
        "",
        CHOSEN,
    )
    noise_between_least: float = threshold(
        1.0,
        "least time between beats in a window for noise_between to apply: in a tachycardia there is none",
        "s",
        CHOSEN,
    )
    noise_run_beats: int = threshold(
        4,
        "shortest run of ventricular tachycardia that is left out where noise is judged, since nothing is quiet "
        "between its waves, if noise_shortest of a window is left",
        "beats",
        CHOSEN,
    )
    noise_run_rate: float = threshold(
        120.0,
        "a run that is left out (noise_run_beats) has at least this rate from each beat to the next",
        "1/min",
        CHOSEN,
    )
    noise_run_likeness: float = threshold(
        0.7,
        "in a run that is left out (noise_run_beats) each beat is at least this much like the one before, as false "
        "beats in noise hardly ever are",
        "",
        CHOSEN,
    )
    noise_run_size: float = threshold(
        1.3,
        "in a run that is left out (noise_run_beats) the median beat is at least this many times as large as those "
        "before and after it, unlike in a sinus tachycardia with noise",
        "",
        CHOSEN,
    )
    hum_share: float = threshold(
        0.95,
        "mains hum with a lead that is off is noise: at least this share of the power above 3 Hz lies above 38 Hz",
        "",
        CHOSEN,
    )
    hum_rise: float = threshold(
        2.0,
        "mains hum is noise only if it is more than this many times as large as in the surrounding minutes that "
        "have an ECG: in a pause it stays the same",
        "",
        CHOSEN,
    )
    noise_window: float = threshold(
        5.0, "window in which the noise index, the hum and the flutter leakage are judged", "s", CHOSEN
    )
    noise_shortest: float = threshold(3.0, "shortest stretch of noise", "s", CHOSEN)
    noise_bridge: float = threshold(
        5.0, "readable stretches shorter than this between noise and other unreadable time are noise too", "s", CHOSEN
    )
    flutter_leakage: float = threshold(
        0.57,
        "the signal is nearly sinusoidal where the leakage of the VF filter is below this",
        "",
        "Kuo & Dillman 1978",
    )
    flutter_shortest: float = threshold(3.0, "shortest time of low leakage that makes flutter possible", "s", CHOSEN)
    flutter_bridge: float = threshold(
        10.0,
        "possible flutter is never called noise, and neither is what lies between two stretches of it no further "
        "apart than this",
        "s",
        CHOSEN,
    )
    flutter_certain: float = threshold(
        0.45,
        "ventricular flutter or fibrillation is possible where the leakage is below flutter_leakage and, for at "
        "least flutter_shortest, below this",
        "",
        CHOSEN,
    )
    flutter_slowest: float = threshold(
        180.0, "lowest rate of the waves of possible flutter; slower ones are those of a tachycardia", "1/min", CHOSEN
    )
    waves_slowest: float = threshold(150.0, "lowest rate of waves at which the leakage is judged", "1/min", CHOSEN)
    waves_fastest: float = threshold(
        600.0, "highest rate of waves at which the leakage is judged; mains hum is faster", "1/min", CHOSEN
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _require_above_0(field.name, getattr(self, field.name))
