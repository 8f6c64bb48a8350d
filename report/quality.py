"""Which time of a recording cannot be read: missing samples, a lead that is off, an amplifier at its limit, noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from preprocess.detect import parts
from preprocess.signals import Read, bridge, bridging_reader, parted, spans
from report.definitions import Quality
from report.flutter import HOP, Waves, possible_flutter, vf_filtered
from report.noise import Hum, hum_of, is_hum_alone, noise_index, noise_spans
from report.rhythm import disjoint, longer, without

REASONS = ("missing", "flat", "saturation", "noise")
"""Why time is unreadable. Where several hold, the first one is given."""

RAIL_APART = 0.2  # of the signal's range: nearer to its median than this a plateau is a level baseline, not the limit
RAIL_NEAR = 0.01  # of the signal's range: so near to its highest or lowest value a plateau is at the limit
GLITCH = 0.02  # s: what is over sooner says nothing of where the limits are
ROUNDING = 1e-9  # mV: two samples that are as far apart in ADC units may differ by that, by their distance from 0
PLATEAU_HIGH = 0.5  # s on either side, in which a plateau is the highest or lowest value


class Unreadable(NamedTuple):
    """A stretch [start, end), in samples."""

    start: int
    end: int
    reason: str
    """One of `REASONS`."""


def unreadable(
    read: Read,
    length: int,
    fs: float,
    beats: np.ndarray,
    quality: Quality = Quality(),
    filtered: Waves | None = None,
) -> list[Unreadable]:
    """Find the unreadable time of a signal of `length` samples at `fs` Hz, which is read in parts.

    Args:
        read: the signal, in mV.
        beats: int (n,) samples, ascending: what `preprocess.detect` finds in it.
        filtered: its `vf_filtered`; None: it is computed.

    Returns:
        Stretches that do not overlap, ascending.
    """
    second = max(round(HOP * fs), 1)
    if filtered is None:
        filtered = vf_filtered(read, length, fs, quality)
    # A few samples that are lost now and then, as on a radio link, must not hide that a lead is off.
    read = bridging_reader(read, length, round(quality.missing_longest * fs))
    found: dict[str, list[np.ndarray]] = {reason: [] for reason in REASONS}
    plateaus, rails, middles = [], (np.inf, -np.inf), []
    indices, hums = [np.zeros(0)], [Hum(np.zeros(0), np.zeros(0))]
    for first, start, stop, last in parts(length, fs):
        signal = read(first, last)
        inside = slice(start - first, stop - first)
        found["missing"].append(start + spans(np.isnan(signal[inside])))
        found["flat"].append(start + spans(_flat(signal, fs, quality)[inside]))
        if not np.isnan(signal[inside]).all():
            low, high = _lasting_extremes(signal[inside], fs)
            rails = (min(rails[0], low), max(rails[1], high))
            middles.append(np.nanmedian(signal[inside]))
        plateaus += [(start + a, start + b, signal[inside][a]) for a, b in _plateaus(signal, fs, quality, inside)]
        grid = np.arange(-(-start // second) * second, stop, second) - first
        near = beats[(beats >= first) & (beats < last)] - first
        indices.append(noise_index(signal, fs, near, grid, quality))
        hums.append(hum_of(signal, fs, grid, quality))
    found["saturation"].append(_at_rails(plateaus, rails, middles))
    hum = Hum(*map(np.concatenate, zip(*hums, strict=True)))
    index = np.where(is_hum_alone(hum, quality), np.inf, np.concatenate(indices))
    noisy = index > quality.noise_index
    waves = noisy & (filtered.leakage < quality.flutter_leakage) & (index < quality.noise_certain)
    flutter = possible_flutter(filtered, length, fs, quality)
    found["noise"].append(noise_spans(noisy, waves, flutter, second, length, fs, quality))
    nothing = np.zeros((0, 2), dtype=np.int64)
    joined = {reason: disjoint(np.concatenate([nothing, *found[reason]]), reason) for reason in REASONS}
    joined["missing"] = longer(joined["missing"], quality.missing_longest * fs)
    return _without_islands(_by_first_reason(joined), quality.noise_bridge * fs)


def quiet_pauses(
    read: Read,
    fs: float,
    lost: Sequence[Unreadable],
    beats: np.ndarray,
    lengths: tuple[float, float],
    begins: np.ndarray,
    quality: Quality = Quality(),
) -> dict[int, Unreadable]:
    """Find the flat stretches that may be pauses of the heart in a signal of little noise, and no lead that is off.

    Such a stretch lies between two beats as far apart as in a pause, with nothing else that is lost between them; and
    it moves a little: a lead that is off, or lost data that a recorder filled, stays at one value.

    Args:
        read: the signal, in mV.
        lost: its unreadable time, ascending.
        beats: int (n,) samples, ascending.
        lengths: of a pause, in samples: longer than the first, at most the second.
        begins: int (k,) samples at which flutter or an interruption of the recording begins.

    Returns:
        The sample of the beat before each such stretch -> the stretch.
    """
    found: dict[int, Unreadable] = {}
    apart = parted(beats, begins)
    for at, part in enumerate(lost):
        after = int(np.searchsorted(beats, part.start, side="left"))
        if part.reason != "flat" or not 0 < after < len(beats):
            continue
        first, last = int(beats[after - 1]), int(beats[after])
        alone = (at == 0 or lost[at - 1].end <= first) and (at + 1 == len(lost) or lost[at + 1].start > last)
        if apart[after - 1] or not alone or last < part.end or not lengths[0] < last - first <= lengths[1]:
            continue
        signal = bridge(read(part.start, part.end))
        unmoved = np.diff(spans(signal[1:] == signal[:-1]), axis=1).max(initial=0)
        if unmoved < quality.flat_shortest * fs:
            found[first] = part
    return found


# ------------------------------------------------------------------------------------------------------- its steps


def _flat(signal: np.ndarray, fs: float, quality: Quality) -> np.ndarray:
    """Say of each sample (n,) whether it is in a stretch that stays within the range of a lead that is off."""
    from scipy.ndimage import binary_dilation, maximum_filter1d, minimum_filter1d

    width = max(round(quality.flat_shortest * fs), 2) | 1
    missing = np.isnan(signal)
    low, high = np.where(missing, -np.inf, signal), np.where(missing, np.inf, signal)
    # A window that leaves the signal, or holds a missing sample, is not flat.
    still = np.zeros(len(signal), dtype=bool)
    half = width // 2
    if len(signal) >= width:
        with np.errstate(invalid="ignore"):
            extent = maximum_filter1d(high, width) - minimum_filter1d(low, width)
        still[half : len(signal) - half] = (extent <= quality.flat_range + ROUNDING)[half : len(signal) - half]
    return binary_dilation(still, np.ones(width, dtype=bool)) if still.any() else still


def _lasting_extremes(signal: np.ndarray, fs: float) -> tuple[float, float]:
    """The lowest and the highest value that a signal (n,) keeps longer than a glitch; infinite where there is none."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    width, missing = round(GLITCH * fs) + 1, np.isnan(signal)
    low = maximum_filter1d(np.where(missing, np.inf, signal), width).min()
    high = minimum_filter1d(np.where(missing, -np.inf, signal), width).max()
    return float(low), float(high)


def _plateaus(signal: np.ndarray, fs: float, quality: Quality, inside: slice) -> np.ndarray:
    """Stretches [start, end), counted from where `inside` begins, in which one value stays that may be a rail.

    One at the border of a part is in two pieces, which are joined later: so short pieces there are given, too.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    reach = 2 * round(PLATEAU_HIGH * fs) + 1
    same = np.append(signal[1:] == signal[:-1], False)
    extreme = (signal == maximum_filter1d(signal, reach)) | (signal == minimum_filter1d(signal, reach))
    whole = spans(same & extreme) + np.array([0, 1])  # the last of the equal ones
    whole = longer(whole, quality.rail_shortest * fs) - inside.start
    whole = np.clip(whole, 0, inside.stop - inside.start)
    return whole[whole[:, 1] > whole[:, 0]]


def _at_rails(
    plateaus: Sequence[tuple[int, int, float]], rails: tuple[float, float], middles: Sequence[float]
) -> np.ndarray:
    """The plateaus at a limit of the amplifier -> int64 (k, 2).

    Args:
        plateaus: start, end and value of each.
        rails: the lowest and highest value of the whole signal.
        middles: the median of each part of it, from which a plateau at a limit is far: it is not a level baseline.
    """
    low, high = rails
    near, apart = RAIL_NEAR * (high - low), RAIL_APART * (high - low)
    found = [
        (start, end)
        for start, end, value in plateaus
        if not low + near < value < high - near and abs(value - np.median(middles)) > apart
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _by_first_reason(stretches: dict[str, np.ndarray]) -> list[Unreadable]:
    """Give time that has several reasons to the first of them."""
    found: list[Unreadable] = []
    taken = np.zeros((0, 2), dtype=np.int64)
    for reason, every in stretches.items():
        found += [Unreadable(start, end, reason) for start, end in without(every, taken).tolist()]
        taken = disjoint(np.concatenate([taken, every]), reason)
    return sorted(found)


def _without_islands(lost: list[Unreadable], longest: float) -> list[Unreadable]:
    """Call gaps of fewer than `longest` samples beside noise that, too: what is between is hardly ever clean.

    Parts of one reason that touch are made one.
    """
    found = lost[:1]
    for part in lost[1:]:
        before = found[-1]
        if "noise" in (before.reason, part.reason) and 0 < part.start - before.end < longest:
            if before.reason == "noise":
                found[-1] = before._replace(end=part.start)
            else:
                part = part._replace(start=before.end)
        if (part.start, part.reason) == (found[-1].end, found[-1].reason):
            found[-1] = found[-1]._replace(end=part.end)
        else:
            found.append(part)
    return found
