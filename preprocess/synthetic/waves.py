"""Waves and beats: a beat is a sum of Gaussian deflections (McSharry et al. 2003), drawn onto a time axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

LEADS = ("i", "ii", "v1")  # the order of every amplitude below
LEAD_II = LEADS.index("ii")


@dataclass(frozen=True)
class Wave:
    """One Gaussian deflection of a beat, amplitude * exp(-(t - centre)^2 / (2 * width^2))."""

    centre: float  # s after the R-peak
    width: float  # s, standard deviation
    amplitude: tuple[float, float, float]  # mV in leads i, ii, v1
    follows_rate: bool = False  # repolarisation: centre and width are those at 60 a minute, and scale with sqrt(RR)


@dataclass(frozen=True)
class Morphology:
    """The shape of one kind of beat of one patient."""

    waves: tuple[Wave, ...]

    def at(self, time: np.ndarray, interval: float, gains: np.ndarray | float = 1.0) -> np.ndarray:
        """The beat in mV at `time` (n,) s after its R-peak, `interval` s after the beat before -> (n, leads).

        `gains` (waves,) multiplies each wave: no two beats of a heart are alike.
        """
        stretch = np.sqrt(np.clip(interval, 0.4, 1.4))  # Bazett: QT shortens with the square root of RR
        scale = np.array([stretch if wave.follows_rate else 1.0 for wave in self.waves])
        centre = np.array([wave.centre for wave in self.waves]) * scale
        width = np.array([wave.width for wave in self.waves]) * scale
        amplitude = np.array([wave.amplitude for wave in self.waves]) * np.reshape(gains, (-1, 1))
        return np.exp(-0.5 * ((time[:, None] - centre) / width) ** 2) @ amplitude  # (n, waves) @ (waves, leads)


@dataclass(frozen=True)
class Beat:
    """A beat that has a place in time."""

    time: float  # s from the start of the record to the R-peak
    interval: float  # s since the beat before
    symbol: str  # WFDB annotation symbol
    rhythm: str  # WFDB rhythm name that the beat stands in, "(N" for instance


def peak_at_zero(morphology: Morphology) -> Morphology:
    """Move the waves such that the largest deflection of lead ii is at 0, where annotations point to."""
    time = np.arange(-0.08, 0.08, 0.001)
    shift = time[np.argmax(np.abs(morphology.at(time, interval=0.8)[:, LEAD_II]))]
    return Morphology(tuple(replace(wave, centre=wave.centre - shift) for wave in morphology.waves))


def blend(one: Morphology, other: Morphology, share: float) -> Morphology:
    """`share` of `one` and the rest of `other`: two wavefronts that meet in the ventricles and add up."""

    def scaled(wave: Wave, factor: float) -> Wave:
        i, ii, v1 = wave.amplitude
        return replace(wave, amplitude=(factor * i, factor * ii, factor * v1))

    waves = [scaled(wave, share) for wave in one.waves] + [scaled(wave, 1 - share) for wave in other.waves]
    return Morphology(tuple(waves))


Shapes = dict[str, tuple[Morphology, ...]]
"""The annotation symbol of a beat, such as "V", or for a rhythm with shapes of its own symbol and rhythm, "V(VT" -> the
shapes that the beat may have."""


def draw_beats(beats: list[Beat], shapes: Shapes, samples: int, fs: int, rng: Generator) -> np.ndarray:
    """Clean ECG of `samples` at `fs` Hz -> (samples, leads) in mV.

    Each beat takes one of its symbol's shapes, and every wave varies by 6 %.
    """
    return next(draw_beats_in_parts(beats, shapes, samples, fs, rng, part=samples))


def draw_beats_in_parts(
    beats: Iterable[Beat], shapes: Shapes, samples: int, fs: int, rng: Generator, part: int
) -> Iterator[np.ndarray]:
    """The ECG of `draw_beats` in parts of `part` samples, the last of them shorter; `beats` are in time."""
    before, after = int(0.5 * fs), int(0.8 * fs)  # a window that holds P to T
    beats = iter(beats)
    beat = next(beats, None)
    overlap = np.zeros((2 * before + after, len(LEADS)))  # what beats drawn already add, from `before` ahead of `start`
    for start in range(0, samples, part):
        length = min(part, samples - start)
        signal = np.concatenate([overlap, np.zeros((length, len(LEADS)))])
        while beat is not None and (middle := round(beat.time * fs)) < start + length + before:
            own = shapes.get(beat.symbol + beat.rhythm) or shapes[beat.symbol]
            shape = own[rng.integers(len(own))]
            time = np.arange(middle - before, middle + after) / fs - beat.time
            gains = rng.normal(1.0, 0.06, len(shape.waves))
            at = middle - start
            signal[at : at + before + after] += shape.at(time, beat.interval, gains)
            beat = next(beats, None)
        yield signal[before : before + length]
        overlap = signal[length:]
