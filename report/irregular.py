"""Irregular rhythm: where atrial fibrillation is possible, from the R-R intervals alone.

The measure is the coefficient of sample entropy (COSEn) of Lake & Moorman 2011 (doi 10.1152/ajpheart.00561.2010). Of B
pairs of intervals that are alike, to within the tolerance r, A are followed by intervals that are alike too, and

    COSEn = ln(B / A) + ln(2 r) - ln(mean R-R)

is large where one interval says little of the next. It is taken over every window of 20 successive intervals. Those
that are not valid take no part, as in a recording that loses a few samples now and then; longer interruptions end a
window. Nor do intervals that a V or an F begins or ends, since ectopy explains them; those of S do, since in
fibrillation many beats come early. A stretch covered by windows above the threshold is an episode if

- it lasts 30 s,
- the COSEn of its intervals together is above the threshold as well, and above a higher one if it is shorter than 60 s:
  a regular rhythm exceeds it here and there by chance, fibrillation all along;
- at least half of its intervals are turning points, longer or shorter than both their neighbours. Where successive
  intervals are independent of one another, as they nearly are in fibrillation, two thirds are (the turning point ratio,
  Dash et al. 2009, doi 10.1007/s10439-009-9740-z); breath lengthens and shortens several in a row.

Measured on the 48 records of mitdb with the beats of its annotations, by time, each R-R interval against the mark at
its first beat, "(AFIB", flutter "(AFL" left out: sensitivity 93.6 %, positive predictivity 85.2 %, specificity 98.3 %.
Without the higher threshold and the turning points they are 93.6, 80.6 and 97.7 %: of 13 false episodes outside the
records 201 and 222, in 108, 113, 123, 200 and 228, two are left, in 113 and 200, and all true ones. Of flutter, whose
rhythm is irregular wherever its block varies, 94.8 % is found. Windows and thresholds were chosen on these records, so
expect lower figures elsewhere. Half of the false time is in record 222, between its episodes of flutter and
fibrillation; 75 s are of bigeminy in 200. Of what is missed 45 % is in 221, with many V, and 21 % in 217, where a
pacemaker makes fibrillation regular.

Pieces of 30 s, as watches record them, are no longer than the shortest episode: of 205 pieces of mitdb that are marked
as fibrillation all along 110 are found, and 8 of 2,542 without any, those with flutter left out (annotated beats).

By the beats that a report finds (R-peaks detected, classes of `mit_new_patients_fast`), in what it can read of DS2, the
figures are 93.3, 85.7 and 97.4 %, and of flutter 72.7 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from report.definitions import Definitions
from report.rhythm import Rhythm, across, whole_windows

FOUND, RIGHT = 93.6, 85.2
"""%, sensitivity and positive predictivity by time on mitdb, as above; the page of a report states them."""

WIDENINGS = (1, 2, 4)
"""The tolerance r and its multiples; the first that finds enough pairs is taken."""

REACH = 100
"""Intervals further apart than this are not paired: over hours the heart rate changes."""


def irregular_rhythm(rhythm: Rhythm, definitions: Definitions) -> np.ndarray:
    """Where the rhythm is irregular without ventricular ectopy to explain it.

    Returns:
        int64 (episodes, 2): the first and the last beat of each, indices into the beats of `rhythm`.
    """
    size = definitions.irregular_intervals
    ectopic = np.isin(rhythm.classes, ("V", "F"))
    usable = rhythm.valid & ~(ectopic[:-1] | ectopic[1:])
    starts = whole_windows(across(rhythm.valid, rhythm.rr, definitions.rate_bridge * rhythm.fs), size)
    followed = _sums(usable[:-1] & usable[1:], starts, size - 1)
    starts = starts[100 * followed >= definitions.irregular_usable * (size - 1)]  # fewer than that tell nothing
    starts = starts[cosen(rhythm, usable, starts, size, definitions) > definitions.irregular_entropy]
    if not starts.size:
        return np.zeros((0, 2), dtype=np.int64)
    # Windows that overlap or touch make one stretch. Intervals i to j lie between the beats i and j + 1.
    apart = np.diff(starts) > size
    first, last = starts[np.append(True, apart)], starts[np.append(apart, True)] + size
    lengths = _lengths(rhythm, first, last, definitions) / rhythm.fs
    lasting = lengths >= definitions.irregular_duration
    first, last, short = first[lasting], last[lasting], lengths[lasting] < definitions.irregular_short
    limit = np.where(short, definitions.irregular_short_entropy, definitions.irregular_entropy)
    irregular = cosen(rhythm, usable, first, last - first, definitions) > limit
    irregular &= turning_points(rhythm, usable, first, last - first) >= definitions.irregular_turning / 100
    return np.stack([first, last], axis=1)[irregular]


def enough_for_irregular(rhythm: Rhythm, definitions: Definitions) -> bool:
    """Whether there are beats enough for an episode of irregular rhythm, somewhere."""
    parts = rhythm.stretches(definitions.rate_bridge)
    long = _lengths(rhythm, parts[:, 0], parts[:, 1], definitions) >= definitions.irregular_duration * rhythm.fs
    return bool((long & (parts[:, 1] - parts[:, 0] >= definitions.irregular_intervals)).any())


def _lengths(rhythm: Rhythm, first: np.ndarray, last: np.ndarray, definitions: Definitions) -> np.ndarray:
    """How long the rhythm from the beats `first` to the beats `last` lasts, in samples.

    One that begins with the first beat or ends with the last goes on to the end of the recording, as far as that can be
    read and is not a pause: in the 30 s of a watch there are 29 from beat to beat.
    """
    samples, pause = rhythm.samples, round(definitions.pause * rhythm.fs)
    lost = np.concatenate([rhythm.unreadable, rhythm.flutter])
    begin = max(0, samples[0] - pause, *lost[lost[:, 1] <= samples[0], 1])
    end = min(rhythm.length, samples[-1] + pause, *lost[lost[:, 0] >= samples[-1], 0])
    return np.where(last == samples.size - 1, end, samples[last]) - np.where(first == 0, begin, samples[first])


def turning_points(rhythm: Rhythm, usable: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The share of R-R intervals that are longer or shorter than both their neighbours, all three `usable`.

    Args:
        usable: bool (n - 1,): the intervals that take part.
        starts: int64 (w,): the first interval of each window.
        sizes: (w,): its intervals.

    Returns:
        float (w,); 1 where no three in a row are usable.
    """
    rises = np.sign(np.diff(rhythm.rr))
    three = usable[:-2] & usable[1:-1] & usable[2:]
    judged = _sums(three, starts, sizes - 2)
    turning = _sums(three & (rises[:-1] * rises[1:] < 0), starts, sizes - 2)
    return np.where(judged > 0, turning / np.maximum(judged, 1), 1.0)


def cosen(
    rhythm: Rhythm, usable: np.ndarray, starts: np.ndarray, sizes: ArrayLike, definitions: Definitions
) -> np.ndarray:
    """The coefficient of sample entropy of windows of R-R intervals.

    Args:
        usable: bool (n - 1,): the intervals that take part.
        starts: int64 (w,): the first interval of each window.
        sizes: its intervals, one number or (w,).

    Returns:
        float (w,); infinite where even the widest tolerance finds too few pairs.
    """
    if not starts.size:
        return np.zeros(0)
    sizes = np.broadcast_to(sizes, starts.shape)
    # Intervals are whole samples: those that differ by k at most span 2 k + 1.
    steps = [int(definitions.irregular_tolerance * times * rhythm.fs + 1e-9) for times in WIDENINGS]
    followed = usable[:-1] & usable[1:]
    alike, both = np.zeros((2, len(steps), starts.size))  # B and A of each tolerance
    for lag in range(1, min(int(sizes.max()) - 1, REACH + 1)):
        apart = np.abs(rhythm.rr[lag:] - rhythm.rr[:-lag])
        paired = followed[:-lag] & followed[lag:]
        for at, step in enumerate(steps):
            near = apart <= step
            first = paired & near[:-1]
            alike[at] += _sums(first, starts, sizes - 1 - lag)
            both[at] += _sums(first & near[1:], starts, sizes - 1 - lag)
    mean = _sums(np.where(usable, rhythm.rr, 0), starts, sizes) / _sums(usable, starts, sizes)
    entropy = np.full(starts.size, np.inf)
    for at in reversed(range(len(steps))):  # the narrowest that finds enough has the last word
        enough = both[at] >= definitions.irregular_matches
        density = (2 * steps[at] + 1) / mean[enough]
        entropy[enough] = np.log(alike[at, enough] / both[at, enough]) + np.log(density)
    return entropy


def _sums(values: np.ndarray, starts: np.ndarray, sizes: ArrayLike) -> np.ndarray:
    """The sum of the first values from each of `starts` on, as many as `sizes` says and there are."""
    totals = np.append(0, np.cumsum(values))
    starts = np.minimum(starts, len(values))
    return totals[np.minimum(starts + np.maximum(sizes, 0), len(values))] - totals[starts]
