"""What a report says in sentences: what stands out, and what limits every figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized

from preprocess.leads import is_lead
from report.analysis import Analysis
from report.burden import DAY, HOUR
from report.drawings import moment
from report.episodes import Episode, longest_of
from report.rounding import elapsed, on_its_side
from report.summary import excessive_by, irregular_percent, unreadable_by_reason
from support.errors import count_of, enumerated

USUAL_RATES = (40.0, 130.0)  # 1/min, the mean of a recording
MUCH_LOST = 10.0  # %, unreadable
NOISY = 5.0  # %, noise
SOME = 10  # S beats: of fewer one that the network invented may decide


def findings(analysis: Analysis) -> list[str]:
    """What stands out, the gravest first; empty where nothing does."""
    parts = (_flutter, _vt, _pauses, _irregular, _v_burden, _excessive_s, _frequent_s, _svt, _others)
    return [text for part in parts for text in part(analysis)]


def _flutter(analysis: Analysis) -> Iterator[str]:
    found, fs = analysis.episodes.of("ventricular_flutter"), analysis.rhythm.fs
    if found:
        yield (
            f"{count_of(len(found), 'episode')} of {analysis.names['ventricular_flutter']}, {_total(analysis, found)}, "
            f"the first {_at(analysis, found[0].start / fs)}; its beats are not counted"
        )


def _vt(analysis: Analysis) -> Iterator[str]:
    episodes, fs = analysis.episodes, analysis.rhythm.fs
    for kind in ("vt_sustained", "nsvt"):
        runs, long, fast = episodes.of(kind), episodes.longest(kind), episodes.fastest(kind)
        if long is not None:
            seconds = number((long.end - long.start) / fs, 1, analysis.definitions.lengths)
            text = f"{_counted(runs, analysis.names[kind])}: {_if_several(runs, 'longest')}{long.beats} beats"
            text += f" ({seconds} s) at {_rate(analysis, long)}, {_at(analysis, long.start / fs)}"
            if fast is not None and fast is not long:
                text += f"; fastest {_rate(analysis, fast)} ({fast.beats} beats), {_at(analysis, fast.start / fs)}"
            yield text


def _irregular(analysis: Analysis) -> Iterator[str]:
    found, longest = analysis.episodes.of("irregular_rhythm"), analysis.episodes.longest("irregular_rhythm")
    if longest is not None:
        at, share = _at(analysis, longest.start / analysis.rhythm.fs), percent(irregular_percent(analysis))
        yield (
            f"irregular rhythm, atrial fibrillation possible, in {share} of readable time "
            f"({count_of(len(found), 'episode')}, {_if_several(found, 'the longest')}{at}); S burden, S episodes and "
            "heart rate variability are withheld there"
        )


def _v_burden(analysis: Analysis) -> Iterator[str]:
    burden, definitions = analysis.burden, analysis.definitions
    if burden.v_mark:
        level = definitions.burden_high if burden.v_mark == "high" else definitions.burden_marked
        short = "" if burden.is_day else f" (of {burden.v.of:,} beats in {lasting(analysis.rhythm.readable_s)})"
        yield f"V burden {percent(burden.v.percent, definitions.burdens)} of beats, at or above {level:g} %{short}"


def _excessive_s(analysis: Analysis) -> Iterator[str]:
    if analysis.burden.excessive_s:
        yield f"excessive supraventricular ectopy: {' and '.join(excessive_by(analysis).values())}"


def _pauses(analysis: Analysis) -> Iterator[str]:
    """The pauses that reach the longest threshold, or all where none does."""
    definitions, fs, pauses = analysis.definitions, analysis.rhythm.fs, analysis.episodes.of("pause")
    sure = [pause for pause in pauses if not pause.doubtful]
    if not sure:
        if pauses:
            yield f"{count_of(len(pauses), 'doubtful pause')}, in which beats may have been missed or the lead was off"
        return

    def very_long(among: list[Episode]) -> list[Episode]:
        return [pause for pause in among if pause.end - pause.start >= definitions.pause_very_long * fs]

    long_ones = very_long(sure)
    chosen = long_ones or sure
    doubtful = len(very_long(pauses) if long_ones else pauses) - len(chosen)
    longest = longest_of(chosen)
    limit = f"of {definitions.pause_very_long:g} s or more" if long_ones else f"longer than {definitions.pause:g} s"
    seconds = number((longest.end - longest.start) / fs, 2, definitions.lengths)
    length = f"{_if_several(chosen, 'longest')}{seconds} s, {_at(analysis, longest.start / fs)}"
    more = f"; and {doubtful:,} doubtful" if doubtful else ""
    yield f"{count_of(len(chosen), 'pause')} {limit}: {length}{more}"


def _frequent_s(analysis: Analysis) -> Iterator[str]:
    """Of a recording too short to count the S of a day: that a whole day at this rate would have too many."""
    s, limit = analysis.burden.s, analysis.definitions.sve_per_day
    known = analysis.burden.excessive_s or "S" in (analysis.burden.per_day or {})
    if not known and s.per_hour is not None and s.beats >= SOME and DAY * s.per_hour >= limit:
        yield (
            f"S {percent(s.percent)} of beats, {s.per_hour:,.0f} per hour, in {lasting(s.hours * HOUR)}: at this rate "
            f"{DAY * s.per_hour:,.0f} in 24 h, where {limit:g} are excessive; the recording is too short to tell"
        )


def _svt(analysis: Analysis) -> Iterator[str]:
    runs, long = analysis.episodes.of("svt"), analysis.episodes.longest("svt")
    if long is not None:
        yield (
            f"{_counted(runs, 'SVT')}: {_if_several(runs, 'longest')}{long.beats} beats at {_rate(analysis, long)}, "
            f"{_at(analysis, long.start / analysis.rhythm.fs)}"
        )


OTHERS = ("idioventricular", "bigeminy_v", "trigeminy_v", "bigeminy_s", "trigeminy_s", "bradycardia", "tachycardia")
"""Kinds of which no more is told than how many there are, and how long they last in all."""


def _others(analysis: Analysis) -> Iterator[str]:
    for kind in OTHERS:
        found = analysis.episodes.of(kind)
        if found:
            yield f"{_counted(found, analysis.names[kind])}, {_total(analysis, found)}"


def _total(analysis: Analysis, found: Sequence[Episode]) -> str:
    seconds = sum(episode.end - episode.start for episode in found) / analysis.rhythm.fs
    return f"{lasting(seconds)}{' in all' if len(found) > 1 else ''}"


def _rate(analysis: Analysis, episode: Episode) -> str:
    return f"{number(episode.rate_bpm, 0, analysis.definitions.rates)}/min"


def _at(analysis: Analysis, seconds: float) -> str:
    """At a time of day; where that is not known, from so long after the start."""
    return f"{'at' if analysis.recording.start else 'from'} {moment(analysis, seconds)}"


def warnings(analysis: Analysis) -> list[str]:
    """What limits every figure of the report."""
    parts = (
        _origin,
        _lead,
        _lost,
        _too_short,
        _other_classes,
        _unconfirmed,
        _offsets,
        _beatless,
        _cut_entries,
        _uncounted,
    )
    return [text for part in parts for text in part(analysis)]


def _origin(analysis: Analysis) -> Iterator[str]:
    if analysis.synthetic:
        yield "Synthetic data: a program made this recording. It says nothing about any person."
    if analysis.training_record:
        yield (
            f"By its first minute this is record {analysis.training_record}, on which the network was trained: its "
            "classes are likely to be better here than on a new patient, and say nothing about how well it does."
        )
    if not analysis.rhythm.samples.size:
        yield "No readable beat was found; there is nothing to report on."
    yield from analysis.recording.notes


def _lead(analysis: Analysis) -> Iterator[str]:
    if analysis.other_lead and analysis.classifier is not None:
        verb = "is" if is_lead(analysis.recording.lead) else "may be"
        yield (
            f"The networks here are trained on lead II (in svdb, ECG1), and this {verb} another lead, in which beats "
            "have other shapes: how far their classes can be trusted has not been measured."
        )


def _lost(analysis: Analysis) -> Iterator[str]:
    lost = 100 * (1 - analysis.rhythm.readable_s / analysis.duration_s)
    if lost >= MUCH_LOST:
        share = number(lost, 0, (100.0,))
        yield f"{share} % of the recording cannot be read ({lost_time(analysis)}); all figures are those of the rest."
    noise = unreadable_by_reason(analysis).get("noise", 0.0)
    is_much = 100 * noise >= NOISY * analysis.duration_s
    if is_much and analysis.classifier is not None and analysis.diagnosis is None:
        yield (
            f"There are {lasting(noise)} of noise, near which the network calls V and S too often: look at the strips "
            "before relying on burdens and runs."
        )


def _too_short(analysis: Analysis) -> Iterator[str]:
    if not analysis.burden.is_day:
        yield (
            f"Only {lasting(analysis.rhythm.readable_s)} can be read, less than {analysis.definitions.day_readable:g} "
            "h: too short for figures of 24 hours."
        )


def _other_classes(analysis: Analysis) -> Iterator[str]:
    if analysis.diagnosis is not None:
        yield (
            f"This network tells {enumerated([*analysis.diagnosis])} apart, beat by beat. It names no ectopic "
            "beats, so there are no episodes but unreadable time and ventricular flutter, no ectopy burden and no "
            "heart rate variability."
        )


def _unconfirmed(analysis: Analysis) -> Iterator[str]:
    mean = analysis.heart_rate.mean
    if analysis.fs_unconfirmed and mean is not None and not USUAL_RATES[0] <= mean <= USUAL_RATES[1]:
        yield (
            f"The mean heart rate is {mean:.0f}/min, and every time rests on --fs {analysis.recording.fs:g}, which "
            "nothing in the file confirms."
        )


def _offsets(analysis: Analysis) -> Iterator[str]:
    """Times of the diary that look like times of day, where that is known."""
    offsets = [entry for entry in analysis.diary.entries if entry.is_offset] if analysis.diary else []
    if offsets and analysis.recording.start is not None:
        yield (
            f"Times such as {elapsed(offsets[0].time_s)} in the diary count from the start of the recording: that one "
            f"is {moment(analysis, offsets[0].time_s)}. A time of day needs its date, as in 2026-01-31 14:05."
        )


def _uncounted(analysis: Analysis) -> Iterator[str]:
    """Beats that no class or no figure has."""
    if analysis.unclassified:
        yield (
            f"{count_of(analysis.unclassified, 'beat')} at an end of the recording or beside a gap could not be "
            f"classified; {'it is' if analysis.unclassified == 1 else 'they are'} counted apart, as unclassified."
        )
    if analysis.left_out and analysis.annotator is not None:  # many detected peaks in noise are not beats
        yield (
            f"{count_of(analysis.left_out, 'annotated beat')} in unreadable time or ventricular flutter "
            f"{'is' if analysis.left_out == 1 else 'are'} left out."
        )


def lost_time(analysis: Analysis) -> str:
    """How much time is unreadable, by what makes it so: noise 12.0 s, flat 1 min 5 s; "": none is."""
    return ", ".join(f"{reason} {lasting(seconds)}" for reason, seconds in unreadable_by_reason(analysis).items())


def _beatless(analysis: Analysis) -> Iterator[str]:
    """Where beats are absent, but no two of them enclose a pause."""
    found, fs = analysis.episodes.beatless, analysis.recording.fs
    if not len(found) or not analysis.rhythm.samples.size:
        return
    start, end = max(found.tolist(), key=lambda span: span[1] - span[0])
    stretches = "is a stretch" if len(found) == 1 else f"are {len(found):,} stretches"
    yield (
        f"Beside lost time or an end of the recording there {stretches} of readable time without a beat, "
        f"{_if_several(found, 'the longest')}{(end - start) / fs:.1f} s {_at(analysis, start / fs)}: a pause there is "
        "not counted, for it has no beat on one side."
    )


def _cut_entries(analysis: Analysis) -> Iterator[str]:
    """Which entries of the diary begin before the recording or end after it."""
    cut = [entry for entry in analysis.diary.entries if entry.is_cut] if analysis.diary else []
    if cut:
        many = f"{len(cut):,} entries of the diary begin before the recording or end after it, the first of them"
        one = "One entry of the diary begins before the recording or ends after it,"
        yield f"{one if len(cut) == 1 else many} {_at(analysis, cut[0].time_s)}; what is outside is cut off."


def _counted(episodes: list[Episode], name: str) -> str:
    """3 episodes of SVT; 3 episodes of SVT, and 12 doubtful; 12 doubtful episodes of SVT."""
    doubtful = sum(bool(episode.doubtful) for episode in episodes)
    sure = len(episodes) - doubtful
    if not sure:
        return f"{count_of(doubtful, 'doubtful episode')} of {name}"
    return f"{count_of(sure, 'episode')} of {name}" + (f", and {doubtful:,} doubtful" if doubtful else "")


def _if_several(found: Sized, words: str) -> str:
    """The `words` before what is told of one of those found; of a single one nothing is the longest."""
    return f"{words} " if len(found) > 1 else ""


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
