"""Every rule of the comparison on a hand-made pair of annotation lists, with counts worked out by hand.

Records here have 100 samples a second, so that the match window of 150 ms is 15 samples; the comparison begins at 100.
"""

from __future__ import annotations

from typing import Any

import pytest

from ec57 import Annotations, BeatComparison, Protocol, RunComparison, compare_beats, compare_runs

FS, LENGTH = 100, 10_000
PROTOCOL = Protocol(start=1)


def annotated(text: str) -> Annotations:
    """Read "N@200 ~48@250 +(AFIB@300": symbol, subtype of `~` or note of `+`, time."""
    times, symbols, subtypes, notes = [], [], [], []
    for word in text.split():
        what, time = word.rsplit("@", 1)
        times.append(int(time))
        symbols.append(what[0])
        subtypes.append(int(what[1:]) if what[0] == "~" and what[1:] else 0)
        notes.append(what[1:] if what[0] in '+"' else "")
    return Annotations(times, symbols, subtypes, notes)


def beats(reference: str, test: str, length: int | None = LENGTH, protocol: Protocol = PROTOCOL) -> BeatComparison:
    return compare_beats(annotated(reference), annotated(test), FS, length, protocol)


def counted(comparison: BeatComparison) -> dict[str, int]:
    """The cells of the matrix that are not 0: {"Nn": 3}."""
    cells = comparison.matrix.stack()
    return {f"{row}{column}": int(count) for (row, column), count in cells.items() if count}


def runs(reference: str, test: str, length: int | None = LENGTH, protocol: Protocol = PROTOCOL) -> RunComparison:
    return compare_runs(annotated(reference), annotated(test), FS, length, protocol)


def v_runs(reference: str, test: str, **options: Any) -> dict[str, int]:
    """The counts of V runs that are not 0."""
    return {name: count for name, count in runs(reference, test, **options).ventricular.counts.items() if count}


def s_runs(reference: str, test: str, **options: Any) -> dict[str, int]:
    """The counts of S runs that are not 0."""
    return {name: count for name, count in runs(reference, test, **options).supraventricular.counts.items() if count}


# Beat by beat: classes

EVERY_BEAT = "NLRBAaJSnejVrEF/fQ?"


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        ("ec57", {"Nn": 4, "Sn": 7, "Vn": 3, "Fn": 1, "Qn": 4}),
        ("de_chazal", {"Nn": 7, "Sn": 4, "Vn": 3, "Fn": 1, "Qn": 4}),
    ],
)
def test_every_symbol_of_a_beat_has_its_class(grouping: str, expected: dict[str, int]) -> None:
    times = range(200, 200 + 100 * len(EVERY_BEAT), 100)
    reference, test = Annotations(times, EVERY_BEAT), Annotations(times, "N" * len(EVERY_BEAT))
    assert counted(compare_beats(reference, test, FS, LENGTH, Protocol(start=1, grouping=grouping))) == expected


def test_other_symbols_are_no_beats() -> None:
    others = Annotations(range(200, 2200, 100), '~|sT*D"=p^t+u]@x()~~')
    assert counted(compare_beats(others, others, FS, LENGTH, PROTOCOL)) == {}


def test_a_flutter_wave_counts_where_it_is_paired_alone() -> None:
    # paired with a test's flutter wave a reference beat is missed; a test beat on the reference's flutter wave is extra
    found = beats("N@200 !@300 !@400 N@500", "!@200 N@300 N@500 !@600 !@900")
    assert counted(found) == {"No": 1, "On": 1, "Nn": 1}


# Beat by beat: pairing


@pytest.mark.parametrize(
    ("time", "expected"), [(215, {"Nv": 1}), (185, {"Nv": 1}), (216, {"No": 1, "Ov": 1}), (184, {"No": 1, "Ov": 1})]
)
def test_the_match_window_includes_its_ends(time: int, expected: dict[str, int]) -> None:
    assert counted(beats("N@200", f"V@{time}")) == expected


def test_the_nearer_beat_is_paired() -> None:
    assert counted(beats("N@200", "V@190 N@202")) == {"Ov": 1, "Nn": 1}
    assert counted(beats("V@190 N@202", "N@200")) == {"Vo": 1, "Nn": 1}
    assert counted(beats("N@200", "N@190 V@210")) == {"On": 1, "Nv": 1}  # equally near: the later one


def test_a_beat_with_a_nearer_partner_of_its_own_takes_none_from_another() -> None:
    # 203 is nearer to 200 than 190 is, but nearest to 205
    assert counted(beats("N@200 V@205", "N@190 V@203")) == {"Nn": 1, "Vv": 1}
    # 203 is as near to 206 as to 200: 190 is extra, and then 200 is missed, since 203 is kept for 206
    assert counted(beats("N@200 V@206", "N@190 V@203")) == {"On": 1, "No": 1, "Vv": 1}


# Beat by beat: start and end


def test_beats_before_the_start_are_not_counted() -> None:
    assert counted(beats("V@50 N@200", "V@50 V@80 N@200")) == {"Nn": 1}
    assert counted(beats("N@100", "N@100")) == {"Nn": 1}


def test_the_last_test_beat_before_the_start_may_be_the_first_pair() -> None:
    assert counted(beats("N@110", "N@95")) == {"Nn": 1}
    assert counted(beats("N@105", "N@95 V@107")) == {"Nv": 1}
    assert counted(beats("N@112", "N@96")) == {"No": 1}


def test_a_test_beat_just_after_the_start_goes_uncounted_where_the_next_is_nearer() -> None:
    assert counted(beats("N@130", "V@102 N@128")) == {"Nn": 1}
    assert counted(beats("N@150", "V@116 N@148")) == {"Ov": 1, "Nn": 1}
    assert counted(beats("N@130", "V@115 N@145")) == {"Ov": 1, "Nn": 1}  # the next is as near


def test_a_comparison_from_the_beginning() -> None:
    protocol = Protocol(start=0)
    assert counted(beats("N@20 V@90", "N@21 V@90 S@300", protocol=protocol)) == {"Nn": 1, "Vv": 1, "Os": 1}


def test_the_end_is_included() -> None:
    assert counted(beats("N@200 N@500 N@600", "N@200 N@500 N@600", length=500)) == {"Nn": 2}
    assert counted(beats("N@200 N@500", "N@200", length=500)) == {"Nn": 1, "No": 1}
    assert counted(beats("N@200 N@501 N@600", "N@200 N@490 V@600", length=500)) == {"Nn": 2}  # 490 is before the end
    assert counted(beats("N@200 N@900", "N@200", length=None, protocol=Protocol(start=1, end=5))) == {"Nn": 1}


def test_a_record_of_unknown_length_ends_with_the_reference() -> None:
    assert counted(beats("N@200 N@300", "N@200 N@300 V@400", length=None)) == {"Nn": 2}
    assert counted(beats("N@200 N@300", "N@200 N@300 V@400", length=1000)) == {"Nn": 2, "Ov": 1}
    assert counted(beats("N@200 N@300", "N@200", length=0)) == {"Nn": 1, "No": 1}


# Beat by beat: ventricular flutter and fibrillation


def test_beats_in_flutter_are_not_seen() -> None:
    flutter = "N@200 [@300 V@350 ]@400 N@500"
    plain = "N@200 V@350 N@500"
    assert counted(beats(flutter, flutter)) == {"Nn": 2}
    assert counted(beats(flutter, plain)) == {"Nn": 2}  # an extra beat in the reference's flutter is none
    assert counted(beats(plain, flutter)) == {"Nn": 2, "Vo": 1}  # the test's flutter is no excuse


def test_the_ends_of_flutter_belong_to_it() -> None:
    flutter = "N@200 [@300 ]@400 N@500"
    assert counted(beats(flutter, "N@200 V@300 V@400 N@500")) == {"Nn": 2}
    assert counted(beats(flutter, "N@200 V@299 V@401 N@500")) == {"Nn": 2, "Ov": 2}


def test_flutter_without_an_end() -> None:
    assert counted(beats("N@200 [@300 V@400", "N@200 V@350 V@900")) == {"Nn": 1}
    # the end of the flutter before is remembered in its stead
    assert counted(beats("N@200 [@250 ]@300 N@400 [@500", "N@200 N@400 V@600")) == {"Nn": 2, "Ov": 1}


def test_two_episodes_are_remembered() -> None:
    reference = "N@200 [@300 ]@320 [@400 ]@420 [@500 ]@520 N@600"
    assert counted(beats(reference, "N@200 V@310 V@410 V@510 N@600")) == {"Nn": 2, "Ov": 1}


# Beat by beat: shutdown


def test_beats_in_shutdown_are_counted_apart() -> None:
    plain, shut = "N@200 N@300 N@400 N@500", "N@200 ~48@250 ~0@450 N@500"
    missed = beats(plain, shut)
    assert counted(missed) == {"Nn": 2, "Nx": 2}
    assert missed.shutdown_seconds == 2  # 200 samples
    extra = beats(shut, plain)
    assert counted(extra) == {"Nn": 2, "Xn": 2}
    assert extra.shutdown_seconds == 0  # the test's alone


@pytest.mark.parametrize(
    ("subtype", "shut"), [(48, True), (51, True), (-1, True), (16, False), (32, False), (0, False)]
)
def test_shutdown_is_a_mark_with_both_bits(subtype: int, shut: bool) -> None:
    found = beats("N@200 N@300 N@500", f"N@200 ~{subtype}@250 ~0@450 N@500")
    assert counted(found) == {"Nn": 2, "Nx" if shut else "No": 1}


def test_shutdown_without_an_end_lasts_to_the_next_annotation() -> None:
    found = beats("N@200 N@214 N@215 N@485 N@486 N@600", "N@200 ~48@250 |@500 N@600")  # 215 to 485
    assert counted(found) == {"Nn": 2, "Nx": 2, "No": 2}
    assert found.shutdown_seconds == 3  # 270 samples, rounded
    # these would end before they begin, and take 60 samples off
    assert beats("N@200", "N@200 ~48@200 N@200 ~48@200 N@200").shutdown_seconds == 0
    # from the end of flutter, where that is later: 415 to 685
    assert beats("N@200", "N@200 [@250 ]@400 ~48@450 N@700").shutdown_seconds == 3


def test_two_shutdowns_are_remembered() -> None:
    test = "N@200 ~48@300 ~0@320 ~48@400 ~0@420 ~48@500 ~0@520 N@600"
    assert counted(beats("N@200 N@310 N@410 N@510 N@600", test)) == {"Nn": 2, "No": 1, "Nx": 2}


def test_the_annotation_that_ends_shutdown_is_read_too() -> None:
    reference = "N@200 N@270 N@320 N@500"
    assert counted(beats(reference, "N@200 ~48@250 [@300 N@320 ]@340 N@500")) == {"Nn": 2, "Nx": 1, "No": 1}
    # 215 to 285, then 300 to 400
    assert beats(reference, "N@200 ~48@250 ~48@300 ~0@400 N@500").shutdown_seconds == 2


def test_shutdown_to_the_end_of_the_file() -> None:
    assert beats("N@200 N@300", "N@200 ~48@250", length=1000).shutdown_seconds == 8  # 750 samples, rounded
    assert beats("N@200 N@300", "N@200 ~48@250", length=None).shutdown_seconds == 0
    assert counted(beats("N@200 N@300", "N@200 ~48@250")) == {"Nn": 1, "Nx": 1}
    assert counted(beats("N@200 ~48@250", "N@200 N@300")) == {"Nn": 1, "Xn": 1}


def test_s_beats_are_left_out_of_the_share_missed_in_shutdown() -> None:
    missed = beats("N@200 N@300 S@400 V@450 N@500", "N@200 ~48@250 ~0@470 N@500").missed_in_shutdown
    assert missed["beats"] == (2, 5)  # N and V, not S
    assert missed["S"] == (1, 1)
    assert missed["N"] == (1, 3)


# Beat by beat: RR intervals


def test_rr_error_is_the_root_mean_square_difference() -> None:
    # intervals 100, 100 against 110, 90 samples of 10 ms; the first beats have no interval
    assert beats("N@200 N@300 N@400", "N@200 N@310 N@400").rr_error == pytest.approx(100)


def test_rr_error_counts_where_a_beat_is_missed_or_extra() -> None:
    # at 300 (missed) and at 400 the interval 100 stands against 200
    assert beats("N@200 N@300 N@400", "N@200 N@400").rr_error == pytest.approx(1000)
    assert beats("N@200 N@400", "N@200 N@300 N@400").rr_error == pytest.approx(1000)


@pytest.mark.parametrize("between", ["[@320 ]@340", "~48@320 ~0@340"])
def test_intervals_with_an_episode_in_them_are_left_out(between: str) -> None:
    test = "N@200 N@300 N@410 N@500"
    # 100, (100), 100 against 100, (110), 90
    assert beats(f"N@200 N@300 {between} N@400 N@500", test).rr_error == pytest.approx((100**2 / 2) ** 0.5)
    assert beats(f"N@200 N@300 {between} N@400", f"N@200 N@300 {between} N@410").rr_error == pytest.approx(0)


def test_an_episode_that_begins_with_a_beat_lies_in_the_interval_after_it() -> None:
    # 100 against 110; the interval from 300 on is left out
    assert beats("N@200 N@300 [@300 ]@310 N@400", "N@200 N@310 N@405").rr_error == pytest.approx(100)


def test_without_intervals_there_is_no_rr_error() -> None:
    assert beats("N@200", "N@200").rr_error is None


# Run by run


@pytest.mark.parametrize(
    ("length", "name"), [(1, None), (2, "C"), (3, "S"), (4, "S"), (5, "S"), (6, "L"), (7, "L"), (12, "L")]
)
@pytest.mark.parametrize("kind", ["V", "S"])
def test_runs_by_their_length(length: int, name: str | None, kind: str) -> None:
    beats = " ".join(f"{kind}@{300 + 50 * index}" for index in range(length))
    text = f"N@200 {beats} N@2000"
    expected = {} if name is None else {f"{name}Ts": 1, f"{name}Tp": 1}
    assert (v_runs if kind == "V" else s_runs)(text, text) == expected
    assert (s_runs if kind == "V" else v_runs)(text, text) == {}


def test_a_run_is_found_by_one_as_long_or_longer_of_its_kind() -> None:
    couplet, short = "V@300 V@350 N@400", "V@300 V@350 V@400 N@450"
    assert v_runs(couplet, short) == {"CTs": 1, "SFP": 1}  # of the couplet's window the third beat is outside
    assert v_runs(couplet, "V@300 V@325 V@350 N@400") == {"CTs": 1, "SFP": 1}
    assert v_runs(short, couplet) == {"CTp": 1, "SFN": 1}
    assert v_runs(couplet, "V@285 V@365 N@400") == {"CTs": 1, "CTp": 1}  # the ends of its window belong to it
    assert v_runs(couplet, "V@284 V@365 N@400") == {"CFN": 1, "CTp": 1}
    assert v_runs(couplet, "V@285 V@366 N@400") == {"CFN": 1, "CTp": 1}
    assert v_runs(couplet, "V@300 N@350") == {"CFN": 1}
    assert v_runs("V@300 N@350", couplet) == {"CFP": 1}


def test_fusion_beats_are_part_of_v_runs() -> None:
    assert v_runs("N@200 V@300 F@350 N@400", "N@200 F@300 F@350 N@400") == {"CTs": 1, "CTp": 1}


@pytest.mark.parametrize("ender", ["N@330", "Q@330", "S@330", "~48@330"])
def test_what_ends_a_v_run(ender: str) -> None:
    assert v_runs(f"V@300 {ender} V@350 N@400", "V@300 V@350 N@400") == {"CFP": 1}


@pytest.mark.parametrize("ender", ["N@330", "Q@330", "V@330", "F@330", "~48@330"])
def test_what_ends_an_s_run(ender: str) -> None:
    assert s_runs(f"S@300 {ender} S@350 N@400", "S@300 S@350 N@400") == {"CFP": 1}


@pytest.mark.parametrize("other", ["~0@330", '"@330', "x@330", "!@330", "|@330", "+(VT@330"])
def test_what_runs_take_no_notice_of(other: str) -> None:
    assert v_runs(f"V@300 {other} V@350 N@400", f"V@300 {other} V@350 N@400") == {"CTs": 1, "CTp": 1}
    assert s_runs(f"S@300 {other} S@350 N@400", f"S@300 {other} S@350 N@400") == {"CTs": 1, "CTp": 1}


@pytest.mark.parametrize("onset", ["[@300", "+(VFL@300", "+(VFIB@300"])
def test_flutter_is_a_long_run_of_v(onset: str) -> None:
    flutter = f"N@200 {onset} V@350 N@400"
    assert v_runs(flutter, flutter) == {"LTs": 1, "LTp": 1}
    assert v_runs(flutter, "N@200 V@300 V@350 N@400") == {"LFN": 1, "CTp": 1}
    closed = "N@200 [@300 ]@350 N@400"
    assert v_runs(closed, closed) == {"LTs": 1, "LTp": 1}


def test_an_onset_that_nothing_follows_has_an_empty_window() -> None:
    # the end of the window is still that of the run before
    flutter = "N@200 [@300 N@400"
    assert v_runs(flutter, flutter) == {"LFN": 1, "LFP": 1}
    fibrillation = "N@200 +(AFIB@300 V@310 N@350 N@400 +(N@450 N@500"
    assert s_runs(fibrillation, fibrillation)["LFN"] == 1


def test_an_onset_within_a_run_adds_nothing() -> None:
    text = "N@200 V@300 [@340 N@400"
    assert v_runs(text, "N@200 N@300 N@400") == {}
    text = "N@200 V@300 [@340 V@360 N@400"
    assert v_runs(text, "N@200 N@300 N@400") == {"CFN": 1}


def test_the_end_of_flutter_moves_the_window() -> None:
    assert v_runs("N@200 V@300 V@350 [@380 ]@500 N@600", "N@200 V@480 V@510 N@600") == {"CTs": 1, "CTp": 1}
    assert v_runs("N@200 V@300 V@350 N@600", "N@200 V@480 V@510 N@600") == {"CFN": 1, "CFP": 1}


def test_normal_beats_in_atrial_fibrillation_are_s() -> None:
    fibrillation = "N@200 +(AFIB@300 N@350 L@400 +(N@450 N@500 N@600"
    assert s_runs(fibrillation, fibrillation) == {"LTs": 1, "LTp": 1}
    assert s_runs(fibrillation, "N@200 S@350 S@400 N@500 N@600") == {"LFN": 1, "CTp": 1}
    flutter = fibrillation.replace("(AFIB", "(AFL")
    assert s_runs(fibrillation, flutter) == {"LTs": 1, "LTp": 1}


@pytest.mark.parametrize(
    ("closer", "closed"),
    [
        *[("]@440", False), ("+(AFL@440", False), ("+@440", False), ('"(B@440', False)],  # the last is a comment
        *[("+(B@440", True), ("[@440", True)],
    ],
)
def test_what_ends_atrial_fibrillation(closer: str, closed: bool) -> None:
    # two N beats after it are a couplet of S while it lasts; the Q ends the run that it began
    reference = f"N@200 +(AFIB@300 N@350 Q@400 {closer} Q@500 N@600 N@650 Q@700"
    assert s_runs(reference, "N@200 Q@500 N@600")["LFN"] == 1
    assert s_runs(reference, "N@200 Q@500 N@600").get("CFN", 0) == (0 if closed else 1)


@pytest.mark.parametrize(
    ("closer", "closed"),
    [
        *[("]@440", True), ("+(N@440", True)],
        *[("+(VFL@440", False), ("[@440", False), ("+@440", False), ('"(N@440', False)],
    ],
)
def test_what_ends_flutter(closer: str, closed: bool) -> None:
    # another onset after its end begins another long run
    reference = f"N@200 [@300 N@350 {closer} N@500 [@600 N@650"
    assert v_runs(reference, "N@900") == {"LFN": 2 if closed else 1}


def test_atrial_fibrillation_ends_flutter() -> None:
    # a second [ while flutter lasts says nothing, one after it is another long run
    assert v_runs("N@200 [@300 N@350 [@400 V@420 N@450", "N@900") == {"LFN": 1}
    assert v_runs("N@200 [@300 N@350 +(AFIB@370 [@400 V@420 N@450", "N@900") == {"LFN": 2}


def test_the_comparison_may_begin_within_an_episode() -> None:
    flutter = "[@50 N@110 N@200"
    assert v_runs(flutter, flutter) == {"LTs": 1, "LTp": 1}
    assert v_runs(flutter, "N@200") == {"LFN": 1}
    assert v_runs("[@50 ]@90 N@110 N@200", "N@200") == {}
    fibrillation = "+(AFIB@50 Q@110 +(N@150 N@200"
    assert s_runs(fibrillation, fibrillation) == {"LTs": 1, "LTp": 1}
    # an onset of the other kind does not take it back, as the program has it; a ] does
    assert s_runs("+(AFIB@50 [@80 Q@110 N@200", "N@200") == {"LFN": 1}
    assert s_runs("+(AFIB@50 [@80 ]@90 Q@110 N@200", "N@200") == {}


def test_a_window_that_begins_before_the_record() -> None:
    assert v_runs("V@5 V@50 N@100", "N@5 V@50 N@100", protocol=Protocol(start=0)) == {"CFN": 1}


def test_the_first_annotation_at_the_start_counts() -> None:
    assert v_runs("V@99 V@140 N@200", "N@200") == {}
    assert v_runs("V@100 V@140 N@200", "N@200") == {"CFN": 1}


def test_an_episode_of_the_other_side_covers_what_begins_in_it() -> None:
    flutter = "N@200 [@250 N@300 N@500 ]@600 N@700"
    assert v_runs("N@200 V@400 V@450 N@500 V@615 V@650 N@700", flutter)["CTs"] == 2  # the second from 600 on
    assert v_runs("N@200 V@400 V@450 N@500 V@616 V@650 N@700", flutter)["CFN"] == 1
    assert v_runs("N@200 V@615 V@650 N@700", flutter)["CTs"] == 1  # also where it has not been read yet
    assert v_runs("N@200 V@616 V@650 N@700", flutter)["CFN"] == 1
    # shutdown ends it, and so does the onset of atrial fibrillation
    assert v_runs("N@200 V@400 V@450 N@500", "N@200 [@250 ~48@300 N@500 ]@600")["CFN"] == 1
    assert v_runs("N@200 V@400 V@450 N@500", "N@200 [@250 +(AFIB@300 N@500 +(N@600")["CFN"] == 1
    assert v_runs("N@200 V@400 V@450 N@500", "N@200 [@250 N@500")["CTs"] == 1  # the end of the file


def test_the_onset_of_the_other_kind_breaks_a_run_that_is_looked_up() -> None:
    assert s_runs("S@300 S@350 N@400", "S@300 [@320 S@350 N@400") == {"CFN": 1, "CTp": 1}
    assert s_runs("S@300 S@350 N@400", "[@250 S@300 ]@320 S@350 N@400") == {"CTs": 1, "CTp": 1}
    assert v_runs("V@300 V@350 N@400", "V@300 +(AFIB@320 V@350 N@400") == {"CFN": 1, "CTp": 1}


def test_the_other_side_is_never_read_back() -> None:
    # the windows 285-365 and 345-425 overlap; the beat at 360 has been read for the first
    reference, test = "V@300 V@350 N@355 V@360 V@410 N@450", "V@300 V@350 V@360 N@365 V@410 N@450"
    assert v_runs(reference, test) == {"CTs": 1, "CFN": 1, "SFP": 1}
    couplets = runs(reference, test).ventricular.sensitivity.loc[2]
    assert couplets.to_dict() == {0: 0, 1: 1, 2: 0, 3: 1, 4: 0, 5: 0, 6: 0}


def test_runs_at_the_end() -> None:
    # the end of the file ends a run; one that is open at the end of the comparison is not counted
    assert v_runs("N@200 V@300 V@350", "N@200") == {"CFN": 1}
    assert v_runs("N@200 V@300 V@350 N@501", "N@200", length=500) == {}
    assert v_runs("N@200 V@300 V@350 N@500", "N@200", length=500) == {"CFN": 1}


def test_the_grouping_of_runs() -> None:
    text = "N@200 e@300 j@350 N@400"
    assert s_runs(text, text) == {"CTs": 1, "CTp": 1}
    assert s_runs(text, text, protocol=Protocol(start=1, grouping="de_chazal")) == {}
