"""What a report says in sentences: what stands out, and what limits every figure."""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.leads import is_lead
from report.analysis import Analysis
from report.burden import DAY, HOUR
from report.drawings import moment
from report.episodes import Episode, Pause
from report.rounding import elapsed, on_its_side
from report.summary import excessive_by, irregular_percent, unreadable_by_reason

USUAL_RATES = (40.0, 130.0)  # 1/min, the mean of a recording
MUCH_LOST = 10.0  # %, unreadable
NOISY = 5.0  # %, noise
SOME = 10  # S beats: of fewer one that the network invented may decide


def findings(analysis: Analysis) -> list[str]:
    """What stands out, the gravest first; empty where nothing does."""
    found: list[str] = []
    episodes, burden, fs = analysis.episodes, analysis.burden, analysis.rhythm.fs

    definitions, lengths = analysis.definitions, analysis.definitions.lengths

    def at(episode: Episode) -> str:
        return _at(analysis, episode.start / fs)

    def rate(episode: Episode) -> str:
        return f"{number(episode.rate_bpm, 0, definitions.rates)}/min"

    flutter = episodes.of("ventricular_flutter")
    if flutter:
        total = sum(episode.end - episode.start for episode in flutter) / fs
        found.append(
            f"{count_of(len(flutter), analysis.names['ventricular_flutter'])}, {lasting(total)} in all, the first "
            f"{at(flutter[0])}; its beats are not counted"
        )
    for kind in ("vt_sustained", "nsvt"):
        runs = episodes.of(kind)
        if runs:
            long, fast = episodes.longest(kind), episodes.fastest(kind)
            text = f"{_counted(runs, analysis.names[kind])}: {_longest_of(runs)}{long.beats} beats"
            text += f" ({number((long.end - long.start) / fs, 1, lengths)} s) at {rate(long)}, {at(long)}"
            if fast is not long:
                text += f"; fastest {rate(fast)} ({fast.beats} beats), {at(fast)}"
            found.append(text)
    found += _pauses(analysis)
    if len(episodes.irregular):
        longest, share = episodes.longest("irregular_rhythm"), irregular_percent(analysis)
        which = "" if len(episodes.irregular) == 1 else "the longest "
        found.append(
            f"irregular rhythm, atrial fibrillation possible, in {share:.1f} % of readable time "
            f"({count_of(len(episodes.irregular), 'episode')}, {which}{at(longest)}); S burden, S episodes and "
            "heart rate variability are withheld there"
        )
    if burden.v_mark:
        level = definitions.burden_high if burden.v_mark == "high" else definitions.burden_marked
        short = "" if burden.is_day else f" (of {burden.v.of:,} beats in {lasting(analysis.rhythm.readable_s)})"
        found.append(
            f"V burden {percent(burden.v.percent, definitions.burdens)} of beats, at or above {level:g} %{short}"
        )
    if burden.excessive_s:
        found.append(f"excessive supraventricular ectopy: {' and '.join(excessive_by(analysis).values())}")
    found += _frequent_s(analysis)
    svt = episodes.of("svt")
    if svt:
        long = episodes.longest("svt")
        text = f"{_counted(svt, 'SVT')}: {_longest_of(svt)}{long.beats} beats at {rate(long)}, {at(long)}"
        found.append(text)
    for kind in (
        "idioventricular",
        "bigeminy_v",
        "trigeminy_v",
        "bigeminy_s",
        "trigeminy_s",
        "bradycardia",
        "tachycardia",
    ):
        some = episodes.of(kind)
        if some:
            total = sum(episode.end - episode.start for episode in some) / fs
            found.append(f"{_counted(some, analysis.names[kind])}, {lasting(total)} in all")
    return found


def _at(analysis: Analysis, seconds: float) -> str:
    """At a time of day; where that is not known, from so long after the start."""
    return f"{'at' if analysis.recording.start else 'from'} {moment(analysis, seconds)}"


def _frequent_s(analysis: Analysis) -> list[str]:
    """Of a recording with too few hours to count the S of a day: whether a day at their rate would have too many."""
    s, limit = analysis.burden.s, analysis.definitions.sve_per_day
    known = analysis.burden.excessive_s or "S" in (analysis.burden.per_day or {})
    if known or s.per_hour is None or s.beats < SOME or DAY * s.per_hour < limit:
        return []
    hours = lasting(s.hours * HOUR)
    return [
        f"S {s.percent:.1f} % of beats, {s.per_hour:,.0f} per hour, in {hours}: at this rate {DAY * s.per_hour:,.0f} "
        f"in 24 h, where {limit:g} are excessive; the recording is too short to tell"
    ]


IN_DOUBT = "in which beats may have been missed or the lead was off"


def _pauses(analysis: Analysis) -> list[str]:
    """The pauses in a sentence, those of the longest threshold where there are some; none where there is no pause."""
    definitions, fs, pauses = analysis.definitions, analysis.rhythm.fs, analysis.episodes.pauses
    sure = [pause for pause in pauses if not pause.possible_missed_beat]
    if not sure:
        return [f"{count_of(len(pauses), 'doubtful pause')}, {IN_DOUBT}"] if pauses else []

    def very_long(among: Sequence[Pause]) -> list[Pause]:
        return [pause for pause in among if pause.end - pause.start >= definitions.pause_very_long * fs]

    long_ones = very_long(sure)
    chosen = long_ones or sure
    doubtful = len(very_long(pauses) if long_ones else pauses) - len(chosen)
    longest = max(chosen, key=lambda pause: pause.end - pause.start)
    limit = f"of {definitions.pause_very_long:g} s and more" if long_ones else f"longer than {definitions.pause:g} s"
    seconds = number((longest.end - longest.start) / fs, 2, definitions.lengths)
    length = f"{_longest_of(chosen)}{seconds} s, {_at(analysis, longest.start / fs)}"
    more = f"; and {doubtful:,} doubtful" if doubtful else ""
    return [f"{count_of(len(chosen), 'pause')} {limit}: {length}{more}"]


def warnings(analysis: Analysis) -> list[str]:
    """What limits every figure of the report."""
    found: list[str] = []
    rhythm, duration = analysis.rhythm, analysis.duration_s
    if analysis.synthetic:
        found.append("Synthetic data: a program made this recording. It says nothing about any person.")
    if analysis.training_record:
        found.append(
            f"By its first minute this is record {analysis.training_record}, which the network was trained on: its "
            "classes are likely to be better here than on a new patient, and say nothing about how well it does."
        )
    if not rhythm.samples.size:
        found.append("No beat was found that could be read; there is nothing to report on.")
    found += analysis.recording.notes
    if analysis.other_lead and analysis.classifier is not None:
        verb = "is" if is_lead(analysis.recording.lead) else "may be"
        found.append(
            f"Networks learn from lead II here (of svdb from ECG1), and this {verb} another lead: the shape of every "
            "beat differs there, and how far the classes can be trusted has not been measured."
        )
    lost = 100 * (1 - rhythm.readable_s / duration)
    if lost >= MUCH_LOST:
        found.append(
            f"{lost:.0f} % of the recording cannot be read ({lost_time(analysis)}); every figure is of the rest."
        )
    noise = unreadable_by_reason(analysis).get("noise", 0.0)
    if 100 * noise >= NOISY * duration and analysis.classifier is not None and analysis.diagnosis is None:
        found.append(
            f"Beside noise, of which there are {lasting(noise)}, the network calls V and S too often: look at the "
            "strips before relying on burdens and runs."
        )
    if not analysis.burden.is_day:
        found.append(
            f"{lasting(rhythm.readable_s)} can be read, less than {analysis.definitions.day_readable:g} h: too short "
            "for figures of 24 hours."
        )
    if analysis.diagnosis is not None:
        found.append(
            "This network tells infarction from normal, beat by beat. It names no ectopic beats, so there are no "
            "episodes but unreadable time and ventricular flutter, no ectopy burden and no heart rate variability."
        )
    mean = analysis.heart_rate.mean
    if analysis.fs_unconfirmed and mean is not None and not USUAL_RATES[0] <= mean <= USUAL_RATES[1]:
        found.append(
            f"The mean heart rate is {mean:.0f}/min, and every time rests on --fs {analysis.recording.fs:g}, which "
            "nothing in the file confirms."
        )
    offsets = [entry for entry in analysis.diary.entries if entry.is_offset] if analysis.diary else []
    if offsets and analysis.recording.start is not None:
        found.append(
            f"The times such as {elapsed(offsets[0].time_s)} in the diary count from the start: that one is "
            f"{moment(analysis, offsets[0].time_s)}. A time of day needs its date, as 2026-01-31 14:05."
        )
    found += _beatless(analysis)
    found += _cut_entries(analysis)
    if analysis.unclassified:
        found.append(
            f"{count_of(analysis.unclassified, 'beat')} at an end of the recording or beside a gap could not be "
            f"classified; {'it is' if analysis.unclassified == 1 else 'they are'} counted apart, as unclassified."
        )
    if analysis.left_out and analysis.annotator is not None:  # of detected peaks many are none, in noise
        one = analysis.left_out == 1
        found.append(
            f"{count_of(analysis.left_out, 'annotated beat')} in unreadable time or ventricular flutter "
            f"{'is' if one else 'are'} left out."
        )
    return found


def lost_time(analysis: Analysis) -> str:
    """How much time is unreadable, by what makes it so: noise 12.0 s, flat 1 min 5 s; "": none is."""
    return ", ".join(f"{reason} {lasting(seconds)}" for reason, seconds in unreadable_by_reason(analysis).items())


def _beatless(analysis: Analysis) -> list[str]:
    """Where beats are absent, but no two of them enclose a pause."""
    found, fs = analysis.episodes.beatless, analysis.recording.fs
    if not len(found) or not analysis.rhythm.samples.size:
        return []
    start, end = max(found.tolist(), key=lambda span: span[1] - span[0])
    length = f"{(end - start) / fs:.1f} s {_at(analysis, start / fs)}"
    where = "without a beat beside lost time or an end of the recording"
    text = f"Readable time {where} is in {len(found):,} places, the longest {length}"
    if len(found) == 1:
        text = f"There are {length} {where}"
    return [f"{text}: a pause there is not counted, for it has no beat on one side."]


def _cut_entries(analysis: Analysis) -> list[str]:
    """Which entries of the diary begin before the recording or end after it."""
    cut = [entry for entry in analysis.diary.entries if entry.is_cut] if analysis.diary else []
    if not cut:
        return []
    many = f"{len(cut):,} entries of the diary begin before the recording or end after it, the first of them"
    one = "One entry of the diary begins before the recording or ends after it,"
    return [f"{one if len(cut) == 1 else many} {_at(analysis, cut[0].time_s)}; what is outside is cut off."]


COUNTABLE = ("pause", "doubtful pause", "beat", "annotated beat", "classified beat", "escape beat", "episode")


def count_of(number: int, name: str) -> str:
    """1 pause, 2 pauses; 3 episodes of what has no plural."""
    if name in COUNTABLE:
        return f"{number:,} {name}{'' if number == 1 else 's'}"
    return f"{number:,} episode{'' if number == 1 else 's'} of {name}"


def _counted(episodes: list[Episode], name: str) -> str:
    """3 episodes of SVT; 3 episodes of SVT, and 12 doubtful; 12 doubtful episodes of SVT."""
    doubtful = sum(bool(episode.doubtful) for episode in episodes)
    sure = len(episodes) - doubtful
    if not sure:
        return f"{doubtful:,} doubtful episode{'' if doubtful == 1 else 's'} of {name}"
    return count_of(sure, name) + (f", and {doubtful:,} doubtful" if doubtful else "")


def _longest_of(found: Sequence[Episode | Pause]) -> str:
    """What comes before the length of the longest of those found; of one there is no longest."""
    return "longest " if len(found) > 1 else ""


def number(value: float | None, decimals: int = 0, limits: Sequence[float] = ()) -> str:
    """1,234.5, on its side of the `limits` (`on_its_side`); a dash for what there is too little for."""
    return "-" if value is None else on_its_side(value, decimals, limits)


def percent(value: float | None, limits: Sequence[float] = ()) -> str:
    """12.3 %, and below 1 % one figure more; on its side of the `limits`, and neither 0 nor 100 % unless it is."""
    if value is None:
        return "-"
    return f"{on_its_side(value, 2 if 0 < value < 1 else 1, (0.0, 100.0, *limits))} %"


def lasting(seconds: float) -> str:
    """A length of time in words: 12.3 s, 4 min 10 s, 23 h 12 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"
