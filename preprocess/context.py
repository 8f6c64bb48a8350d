"""The rhythm around a beat: what a cardiologist compares it with, the patient's own beats.

A beat of class S differs from the patient's normal ones by coming early and by its P wave, one of class V by its
shape. Neither is in the 517 ms that the network of the paper sees. From the signal and the R-peaks of one whole
record this module computes, beat by beat,

- features of the rhythm and of the P wave, for `models.RhythmHead` (`data_configs.RHYTHM_FEATURES`),
- features of the shape against the dominant beat of the record, for `models.MorphologyHead`
  (`data_configs.MORPHOLOGY_FEATURES`),
- the difference from the dominant beat, which the network sees instead of the beat itself.

Labels and other records take no part. Features have no unit: intervals are divided by intervals, voltages by A, the
peak-to-peak QRS of the dominant beat, so the gain of a recording changes none of them, nor does its offset.
Windows [a, b) count samples at 360 Hz from the R-peak. data/README.md has the formulas of all features.

Ratios of R-R intervals as in de Chazal et al. 2004 (doi 10.1109/TBME.2004.827359), the baseline by two median
filters as there; root mean square of successive differences (RMSSD) as in the Task Force of ESC and NASPE 1996.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_configs import MORPHOLOGY_FEATURES, RHYTHM_FEATURES
from preprocess.signals import BRIDGED, FS, bridge, parted, spans

QRS = (-25, 36)  # 169 ms
P_WAVE = (-90, -18)  # 200 ms that end 50 ms before the R-peak
ST_T = (36, 140)  # 289 ms: ST segment and T wave
CYCLE = (-90, 140)  # all three
WIDE_QRS = (-40, 55)  # 264 ms: holds the QRS of a ventricular beat too
P_ONSET, P_END = (-70, -50), (-36, -18)  # where the slope of the P-R segment is measured
BEAT = (-93, 93)  # the window of `preprocess.beats`, for the difference

SHORTEST_RR, LONGEST_RR = 0.2, 4.0  # s; beyond lie double annotations and pauses of the recording
UNKNOWN_RR = 1.0  # s, in a record of a single beat; features are ratios, so any value makes them 0
AROUND = 5  # known intervals on either side, whose median stands for one across lost time
RR_TOLERANCE = 0.03  # of the mean R-R: variation of a regular rhythm that does not count as early

SIMILAR = 0.9  # correlation of two QRS complexes of one shape
SIMILAR_SIZE = 0.5  # ln of the ratio of their norms: a factor of 1.65 at most
CANDIDATES = 600  # beats among which the dominant one is looked for
SHIFT = 6  # samples, 17 ms: how far a beat is moved to lie on the dominant one

SOFT_ZERO = 0.02  # of A: about the noise of a recording; keeps the logarithm of a small voltage finite
FLAT = 1e-6  # of A: below that a wave is rounding error
HIGH = 0.4  # of the largest deflection: what counts for the width of a QRS
STEEP = 0.25  # of the steepest slope: likewise for the width by slope
SHORT_WIDTH = 3  # samples added to both widths of a ratio: they are counts
MOST_PROJECTION = 3.0  # |P wave along the dominant one|
MOST_DIFFERENCE = 8.0  # standard deviations of the dominant beat, difference

DECIMATION = 4  # the baseline is slow: 90 Hz do
MEDIANS = (19, 55)  # samples at 90 Hz, 211 and 611 ms: the first removes the QRS, the second P and T
MEAN = 5  # samples, 14 ms: moving average against noise
LINE = 8  # samples at each end of a P wave that its line goes through

STRETCH = 1800.0  # s: a longer record is taken in stretches of about that, the length of the records learnt from
MARGIN = 60.0  # s of signal beyond the first and the last beat of a stretch: far more than the medians reach

CONTEXT_NAMES = tuple(dict.fromkeys(RHYTHM_FEATURES + MORPHOLOGY_FEATURES))
"""The K = 35 columns of `Context.features`: those of both heads, each once."""


@dataclass(frozen=True)
class Context:
    """What one record says of each of its beats."""

    features: np.ndarray  # float32 (beats, K), columns as in `CONTEXT_NAMES`
    difference: np.ndarray  # float32 (beats, 186): the beat minus the dominant one, see `difference_channel`

    def of_beats(self, index: np.ndarray) -> Context:
        """The context of some of the beats, by their indices (m,) or a mask."""
        return Context(self.features[index], self.difference[index])


def join_contexts(contexts: Sequence[Context | None]) -> Context | None:
    """Put the contexts of several records, one after the other, into one; None where one has none."""
    known = [context for context in contexts if context is not None]
    return _joined(known) if len(known) == len(contexts) else None


def _joined(contexts: Sequence[Context]) -> Context:
    return Context(
        np.concatenate([context.features for context in contexts]),
        np.concatenate([context.difference for context in contexts]),
    )


def record_context(signal: np.ndarray, peaks: np.ndarray) -> Context:
    """Compute the context of every beat of one record.

    A record longer than half an hour is taken in equal stretches of about that, each with a dominant beat and means
    of its own: over a day heart rate and electrodes change, and the heads have learnt from half-hour records.

    Args:
        signal: (n,) at 360 Hz, in any unit; NaN where samples are missing, which are bridged by a line; an R-R interval
            with more than 0.1 s of them is not known (`rr_intervals`).
        peaks: (beats,) sample indices of the R-peaks, ascending; of all beats, also those that are not classified,
            since the intervals between them are the rhythm.

    Returns:
        The context, finite for every beat of any record: beats at either end, in a gap or in a flat signal too.
    """
    signal, peaks = np.asarray(signal, dtype=np.float64), np.asarray(peaks, dtype=np.int64)
    if not len(peaks) or not len(signal):
        return Context(
            np.zeros((len(peaks), len(CONTEXT_NAMES)), dtype=np.float32),
            np.zeros((len(peaks), BEAT[1] - BEAT[0]), dtype=np.float32),
        )
    rhythm = record_rhythm(peaks, broken_intervals(signal, peaks, round(BRIDGED * FS)))
    return _joined(
        [
            stretch_context(
                signal[stretch.start : stretch.stop],
                peaks[stretch.beats] - stretch.start,
                {name: values[stretch.beats] for name, values in rhythm.items()},
            )
            for stretch in stretches(peaks, len(signal))
        ]
    )


# ------------------------------------------------------------------------------------------- a record in parts


@dataclass(frozen=True)
class Stretch:
    """A part of a record that has a dominant beat of its own."""

    beats: slice  # which of the record's beats are in it
    start: int  # samples [start, stop) of the record, a margin on either side included
    stop: int


def stretches(peaks: np.ndarray, length: int) -> Iterator[Stretch]:
    """Cut a record of `length` samples into equal stretches of about `STRETCH`; those without a beat are left out.

    A stretch begins at a multiple of `DECIMATION`, so that its baseline is taken from the same samples as that of the
    whole record would be.

    Args:
        peaks: (beats,) sample indices of the R-peaks of the whole record, ascending, at 360 Hz.
    """
    if not len(peaks) or not length:
        return
    for beats in _parts(peaks):
        first, last = (int(np.clip(peaks[at], 0, length - 1)) for at in (beats.start, beats.stop - 1))
        start = max(0, first - round(MARGIN * FS)) // DECIMATION * DECIMATION
        yield Stretch(beats, start, min(length, last + round(MARGIN * FS)))


def record_rhythm(peaks: np.ndarray, broken: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The features of the rhythm: they come from the R-peaks (beats,) of the whole record, before any signal is read.

    Args:
        peaks: (beats,) sample indices at 360 Hz, ascending.
        broken: as `rr_intervals` takes it.

    Returns:
        The columns of `local_rhythm`, and ln pre / mean of the stretch, which for half an hour is the record; each
        float32 (beats,).
    """
    pre, post = rr_intervals(peaks, broken)
    means = np.concatenate([np.full(beats.stop - beats.start, pre[beats].mean()) for beats in _parts(peaks)])
    columns = local_rhythm(pre, post) | {"log_pre_mean_record": np.log(pre / means)}
    return {name: values.astype(np.float32) for name, values in columns.items()}  # as `Context` has them: days are long


def stretch_context(signal: np.ndarray, peaks: np.ndarray, rhythm: Mapping[str, np.ndarray]) -> Context:
    """Compute the context of the beats of one stretch.

    Args:
        signal: (n,) at 360 Hz, the stretch with its margins; NaN where samples are missing.
        peaks: (beats,) sample indices in `signal`.
        rhythm: the rows of `record_rhythm` for these beats.
    """
    raw = bridge(signal)
    clean = remove_baseline(raw)
    beats = align(clean, peaks, *dominant_beat(clean, peaks))
    columns = {**rhythm, **p_wave(beats), **shape(beats)}
    features = np.stack([columns[name] for name in CONTEXT_NAMES], axis=1).astype(np.float32)  # (beats, K)
    return Context(features, difference_channel(raw, beats))


def _parts(peaks: np.ndarray) -> Iterator[slice]:
    """The beats of each stretch, one after the other; none is empty."""
    seconds = (peaks[-1] - peaks[0]) / FS
    count = max(1, round(seconds / STRETCH))
    edges = np.searchsorted(peaks, np.linspace(peaks[0], peaks[-1] + 1, count + 1))
    for first, last in itertools.pairwise(edges.tolist()):
        if first < last:
            yield slice(first, last)


# ----------------------------------------------------------------------------------------------- the rhythm


def rr_intervals(peaks: np.ndarray, broken: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the R-R interval before and after each beat, s.

    Clipped to 0.2 to 4 s. The first beat has none before it and the last none after it: they get the median of the
    record, with which they count as neither early nor late. An interval across lost time (a gap, noise), in which other
    beats may lie, gets the median of the ten known ones around.

    Args:
        peaks: (beats,) sample indices at 360 Hz, ascending.
        broken: bool (beats - 1,), time is lost between a beat and the next; None: nowhere.

    Returns:
        pre, post: (beats,).
    """
    between = np.clip(np.diff(peaks) / FS, SHORTEST_RR, LONGEST_RR)
    known = between if broken is None else between[~broken]
    usual = np.median(known) if len(known) else UNKNOWN_RR
    if broken is not None and broken.any():
        around = np.pad(known, AROUND, mode="edge") if len(known) else np.full(2 * AROUND, usual)
        windows = np.lib.stride_tricks.sliding_window_view(around, 2 * AROUND)
        between[broken] = np.median(windows[np.cumsum(~broken)[broken]], axis=1)
    return np.concatenate([[usual], between]), np.concatenate([between, [usual]])


def broken_intervals(signal: np.ndarray, peaks: np.ndarray, longest: int) -> np.ndarray:
    """Say between which beats more than `longest` samples in a row of a signal (n,) are missing: bool (beats - 1,)."""
    gaps = spans(np.isnan(signal))
    return parted(peaks, gaps[np.diff(gaps).ravel() > longest].ravel())


def local_rhythm(pre: np.ndarray, post: np.ndarray) -> dict[str, np.ndarray]:
    """Compare the intervals before and after each beat, `pre` and `post` (beats,) in s, with those around it.

    Prematurity is how early a beat is in terms of the variation around it: in atrial fibrillation every interval
    varies, and none is early.

    Returns:
        Eight features, each (beats,); `record_rhythm` adds ln pre / mean of the record.
    """
    mean10, mean30, mean50 = (local_mean(pre, k) for k in (10, 30, 50))
    previous = np.concatenate([pre[:1], pre[:-1]])
    return {
        "log_pre_mean10": np.log(pre / mean10),
        "log_pre_mean50": np.log(pre / mean50),
        "log_post_mean10": np.log(post / mean10),
        "log_pair_mean10": np.log((pre + post) / (2 * mean10)),
        "log_pre_previous": np.log(pre / previous),
        "log_pre_post": np.log(pre / post),
        "prematurity10": (mean10 - pre) / (RR_TOLERANCE * mean10 + local_rmssd(pre, 10)),
        "prematurity30": (mean30 - pre) / (RR_TOLERANCE * mean30 + local_rmssd(pre, 30)),
    }


def local_mean(values: np.ndarray, k: int) -> np.ndarray:
    """Mean of `values` (beats, ...) over the beats i - k to i + k, cut at the ends."""
    last = len(values)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    begin, end = np.maximum(np.arange(last) - k, 0), np.minimum(np.arange(last) + k + 1, last)
    counts = (end - begin).reshape(-1, *(1,) * (values.ndim - 1))
    return (sums[end] - sums[begin]) / counts


def local_rmssd(pre: np.ndarray, k: int) -> np.ndarray:
    """Root mean square of the differences pre_j - pre_{j-1}, over the beats j = i - k to i + k, cut at the ends.

    Intervals `pre` (beats,) in s -> (beats,) in s.
    """
    squares = np.concatenate([[0.0], np.diff(pre) ** 2])
    return np.sqrt(np.maximum(local_mean(squares, k), 0.0))  # a difference of sums may fall below 0 by rounding


# -------------------------------------------------------------------------------------------- the dominant beat


def remove_baseline(signal: np.ndarray) -> np.ndarray:
    """Remove baseline wander and some noise: (n,) -> (n,).

    Baseline: of every 4th sample the medians of 211 and then of 611 ms, interpolated. What is left is averaged over
    14 ms.
    """
    from scipy.ndimage import median_filter

    places = np.arange(0, len(signal), DECIMATION)
    baseline = signal[places]
    for size in MEDIANS:
        baseline = median_filter(baseline, size, mode="nearest")
    flat = signal - np.interp(np.arange(len(signal)), places, baseline)
    padded = np.pad(flat, MEAN // 2, mode="edge")
    return np.convolve(padded, np.full(MEAN, 1 / MEAN), mode="valid")  # no running sum: its rounding errors add up


def cut_around(signal: np.ndarray, centres: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Cut a window around each centre (beats,), the signal's end values repeated beyond its ends -> (beats, b - a)."""
    places = centres[:, None] + np.arange(*window)
    return signal[np.clip(places, 0, len(signal) - 1)]


def dominant_beat(signal: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the usual beat of a record, most often a normal one.

    Two beats are similar when their QRS correlate above 0.9 and the norms differ by less than a factor of 1.65. Of at
    most 600 beats, evenly spaced, the one that is similar to most of them begins; the median of all beats similar
    to it comes next, and the median of those similar to that is the dominant beat.

    Args:
        signal: (n,) at 360 Hz, without its baseline, in any unit.
        peaks: (beats,) sample indices of the R-peaks.

    Returns:
        The dominant beat (b - a,) over `CYCLE`, and which beats it is the median of, bool (beats,).
    """
    cycles = cut_around(signal, peaks, CYCLE)
    complexes, norms = _unit(cycles[:, _within(CYCLE, QRS)])
    chosen = np.unique(np.linspace(0, len(peaks) - 1, min(len(peaks), CANDIDATES)).round().astype(np.int64))
    neighbours = _similar(complexes[chosen], norms[chosen], complexes[chosen], norms[chosen]).sum(axis=0)
    first = chosen[[neighbours.argmax()]]
    members, usual = np.ones(len(peaks), dtype=bool), (complexes[first], norms[first])
    for _ in range(2):
        similar = _similar(complexes, norms, *usual)[:, 0]
        if similar.any():  # none is in a flat signal
            members = similar
        template = np.median(cycles[members], axis=0)
        usual = _unit(template[None, _within(CYCLE, QRS)])
    return template, members


def _within(window: tuple[int, int], part: tuple[int, int]) -> slice:
    """Where `part` lies in an array cut over `window`."""
    return slice(part[0] - window[0], part[1] - window[0])


def _unit(waves: np.ndarray, least: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Centre waves (m, L) and scale them to unit length -> (m, L) and their norms (m,).

    A wave whose norm is below `least` (None: a millionth of the largest) is flat, and becomes zeros.
    """
    centred = waves - waves.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    flat = norms <= (FLAT * norms.max() if least is None else least)
    centred /= np.where(flat, 1.0, norms)[:, None]
    centred[flat] = 0.0
    return centred, np.where(flat, 0.0, norms)


def _similar(complexes: np.ndarray, norms: np.ndarray, others: np.ndarray, other_norms: np.ndarray) -> np.ndarray:
    """Say which QRS complexes (m, L), of unit length with their norms (m,), are similar to which others -> (m, o)."""
    bound, norms = np.exp(SIMILAR_SIZE), norms[:, None]
    return (complexes @ others.T > SIMILAR) & (norms < bound * other_norms) & (other_norms < bound * norms)


@dataclass(frozen=True)
class Beats:
    """The beats of a record, moved to lie on the dominant one; voltages in units of A."""

    cycles: np.ndarray  # (beats, 230), over `CYCLE`
    dominant: np.ndarray  # (230,)
    centres: np.ndarray  # int64 (beats,): the R-peaks, moved
    members: np.ndarray  # bool (beats,): those that the dominant beat is the median of

    def part(self, window: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the beats (beats, L) and the dominant one (1, L) over a part of `CYCLE`."""
        inside = _within(CYCLE, window)
        return self.cycles[:, inside], self.dominant[None, inside]


def align(signal: np.ndarray, peaks: np.ndarray, dominant: np.ndarray, members: np.ndarray) -> Beats:
    """Move each beat by at most 6 samples to where its QRS correlates best with the dominant one; divide by A.

    Without a QRS in the dominant beat (a flat signal) there is nothing to compare with, and all voltages become 0.

    Args:
        signal, peaks: (n,) and (beats,), as `dominant_beat` takes them.
        dominant, members: (230,) and bool (beats,), as it returned them.
    """
    qrs, _ = _unit(dominant[None, _within(CYCLE, QRS)])
    shifts = sorted(range(-SHIFT, SHIFT + 1), key=abs)  # of equal correlations the smallest shift
    around = (QRS[0] - SHIFT, QRS[1] + SHIFT)
    wide = cut_around(signal, peaks, around)
    windows = (wide[:, _within(around, (QRS[0] + shift, QRS[1] + shift))] for shift in shifts)
    correlations = np.stack([_unit(window)[0] @ qrs[0] for window in windows])  # (shifts, beats)
    centres = peaks + np.array(shifts)[correlations.argmax(axis=0)]
    cycles = cut_around(signal, centres, CYCLE)
    amplitude = np.ptp(dominant[_within(CYCLE, QRS)])
    if amplitude <= FLAT * np.ptp(signal):
        return Beats(np.zeros_like(cycles), np.zeros_like(dominant), peaks, members)
    return Beats(cycles / amplitude, dominant / amplitude, centres, members)


# --------------------------------------------------------------------------------------------- the P wave


def p_wave(beats: Beats) -> dict[str, np.ndarray]:
    """Compare the P wave of each beat with the dominant one, and with those of the beats around it.

    The projection is the share of the usual P wave that is there. The coherence is 1 where one P wave precedes every
    beat, near 0 in atrial fibrillation, which has none.

    Returns:
        Eleven features, each (beats,).
    """
    waves, dominant = (without_line(part) for part in beats.part(P_WAVE))
    least = FLAT * np.sqrt(waves.shape[1])
    norms, norm = np.linalg.norm(waves, axis=1), np.linalg.norm(dominant)
    correlation = _correlation(waves, dominant)
    projection = waves @ dominant[0] / norm**2 if norm > least else np.zeros(len(waves))
    units = np.where(norms[:, None] > least, waves / np.maximum(norms, least)[:, None], 0.0)
    usual = np.median(correlation)
    slope, slope_of_dominant = (
        end.mean(axis=1) - onset.mean(axis=1) for end, onset in zip(beats.part(P_END), beats.part(P_ONSET), strict=True)
    )
    return {
        "p_correlation": correlation,
        "p_projection": np.clip(projection, -MOST_PROJECTION, MOST_PROJECTION),
        "log_p_amplitude": np.log(SOFT_ZERO + np.ptp(waves, axis=1)),
        "log_p_amplitude_dominant": np.full(len(waves), np.log(SOFT_ZERO + np.ptp(dominant))),
        "log_p_difference": np.log(SOFT_ZERO + _rms(waves - dominant)),
        "p_correlation_mean10": local_mean(correlation, 10),
        "p_correlation_record": np.full(len(waves), usual),
        "p_correlation_change": correlation - usual,
        "p_slope": slope - slope_of_dominant,
        "p_coherence10": (local_mean(units, 10) ** 2).sum(axis=1),
        "p_coherence30": (local_mean(units, 30) ** 2).sum(axis=1),
    }


def without_line(waves: np.ndarray) -> np.ndarray:
    """Subtract from each wave (m, L) the line through the means of its first and last 8 samples."""
    first, last = waves[:, :LINE].mean(axis=1, keepdims=True), waves[:, -LINE:].mean(axis=1, keepdims=True)
    length = waves.shape[1]
    along = (np.arange(length) - (LINE - 1) / 2) / (length - LINE)  # 0 and 1 in the middles of both ends
    return waves - first - (last - first) * along


def _correlation(waves: np.ndarray, dominant: np.ndarray) -> np.ndarray:
    """Pearson correlation of waves (m, L) with one (1, L) -> (m,); 0 where either is flat."""
    least = FLAT * np.sqrt(waves.shape[1])
    return _unit(waves, least)[0] @ _unit(dominant, least)[0][0]


def _rms(waves: np.ndarray) -> np.ndarray:
    return np.sqrt((waves**2).mean(axis=1))


# --------------------------------------------------------------------------------------------- the shape


def shape(beats: Beats) -> dict[str, np.ndarray]:
    """Compare the shape of each beat with the dominant one: segment by segment, and in the size and width of its QRS.

    Returns:
        Fifteen features, each (beats,).
    """
    features = {}
    for name, window in {"qrs": QRS, "pr": P_WAVE, "st_t": ST_T, "cycle": CYCLE}.items():
        waves, dominant = beats.part(window)
        features[f"{name}_correlation"] = _correlation(waves, dominant)
        features[f"log_{name}_difference"] = np.log(SOFT_ZERO + _rms(waves - dominant))
    waves, dominant = beats.part(QRS)
    features["log_amplitude_ratio"] = _log_ratio(np.ptp(waves, axis=1), np.ptp(dominant, axis=1))
    features["max_difference"] = waves.max(axis=1) - dominant.max()
    features["min_difference"] = waves.min(axis=1) - dominant.min()
    deflections = tuple(np.abs(part) for part in beats.part(WIDE_QRS))
    slopes = tuple(np.abs(np.diff(part, axis=1)) for part in beats.part(WIDE_QRS))
    features["log_width_ratio"] = np.log(np.divide(*(_width(part, HIGH) for part in deflections)))
    features["log_slope_width_ratio"] = np.log(np.divide(*(_width(part, STEEP) for part in slopes)))
    features["log_area_ratio"] = _log_ratio(*(part.mean(axis=1) for part in deflections))
    features["log_slope_ratio"] = _log_ratio(*(part.max(axis=1) for part in slopes))
    return features


def _width(waves: np.ndarray, share: float) -> np.ndarray:
    """Count in each wave (m, L) the samples above a share of its maximum, + 3 -> (m,)."""
    return (waves > share * waves.max(axis=1, keepdims=True)).sum(axis=1) + SHORT_WIDTH


def _log_ratio(value: np.ndarray, dominant: np.ndarray) -> np.ndarray:
    """Ln of the ratio of two sizes in units of A, a size below 0.02 A counting as that."""
    return np.log(np.maximum(value, SOFT_ZERO) / np.maximum(dominant, SOFT_ZERO))


# ---------------------------------------------------------------------------------------- the difference


def difference_channel(signal: np.ndarray, beats: Beats) -> np.ndarray:
    """Subtract the dominant beat from each beat: ((x - mean x) - (t - mean t)) / sd t, clipped to +-8.

    x is the window `BEAT` of the signal (n,) as it is, moved like the beat; t the median of those that the dominant
    beat is made of, each minus its mean, as the signal keeps its baseline.

    Returns:
        float32 (beats, 186); zeros where t is flat.
    """
    windows = cut_around(signal, beats.centres, BEAT)
    windows -= windows.mean(axis=1, keepdims=True)
    dominant = np.median(windows[beats.members], axis=0)
    dominant -= dominant.mean()
    spread = dominant.std()
    if spread <= FLAT * np.abs(windows).max():
        return np.zeros(windows.shape, dtype=np.float32)
    return np.clip((windows - dominant) / spread, -MOST_DIFFERENCE, MOST_DIFFERENCE).astype(np.float32)
