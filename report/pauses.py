"""Whether a pause is one: a deflection of the size of a QRS in it may be a beat that was missed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.signals import Read, bridge

AFTER_BEAT, BEFORE_BEAT = 0.30, 0.20  # s next to the two beats that are not looked at: the end of the QRS, the P wave
QRS = 0.06  # s on either side of an R-peak: where its slope is measured
RISE = 0.02  # s over which a slope is taken: a QRS rises in that time, a T wave hardly does
SMOOTH = 0.014  # s, moving average against noise
SHARE = 0.5  # of the smaller slope of the two beats


def deflection_test(read: Read, length: int, fs: float) -> Callable[[int, int], bool]:
    """Make the function that says whether a deflection as steep as a QRS lies strictly between two beats.

    Its slope is compared with that of the two beats themselves: half of the smaller one counts.

    Args:
        read: the signal, `length` samples at `fs` Hz.
    """
    reach, rise = round(QRS * fs), max(1, round(RISE * fs))
    smooth = np.full(max(1, round(SMOOTH * fs)), 1.0)

    def has_deflection(start: int, end: int) -> bool:
        first, last = max(0, start - 2 * reach), min(length, end + 2 * reach)
        signal = np.convolve(bridge(read(first, last)), smooth / smooth.size, mode="same")
        slope = np.abs(signal[rise:] - signal[:-rise])  # of the rise that begins at each sample
        beats = [slope[max(at - first - reach - rise, 0) : at - first + reach] for at in (start, end)]
        inside = slope[start - first + round(AFTER_BEAT * fs) : end - first - round(BEFORE_BEAT * fs) - rise]
        if not inside.size or not all(part.size for part in beats):
            return False
        usual = min(float(part.max()) for part in beats)
        return usual > 0 and bool(inside.max() >= SHARE * usual)

    return has_deflection
