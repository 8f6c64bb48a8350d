"""What an electrode adds: baseline wander, mains hum, muscle noise and motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from preprocess.synthetic.waves import LEADS


@dataclass(frozen=True)
class Noise:
    """What the electrodes of a patient add."""

    wander: float  # mV, standard deviation of the baseline
    hum: float  # mV, amplitude of the mains
    mains: int  # Hz, 50 or 60
    muscle: float  # mV, standard deviation at rest
    motions: float  # electrode movements a minute


def draw_noise(rng: Generator, mains: int) -> Noise:
    """The electrodes of one recording: some good, some bad."""
    return Noise(
        wander=rng.uniform(0.02, 0.12),
        hum=rng.uniform(0.0, 0.02),
        mains=mains,
        muscle=rng.uniform(0.006, 0.03),
        motions=rng.uniform(0.0, 1.0),
    )


def band_noise(samples: int, fs: int, low: float, high: float, rng: Generator) -> np.ndarray:
    """Gaussian noise between `low` and `high` Hz, standard deviation 1 -> (samples, leads)."""
    length = 1 << (samples - 1).bit_length()  # powers of two keep the transform fast
    frequency = np.fft.rfftfreq(length, 1 / fs)
    inside = (frequency >= low) & (frequency <= high)
    spectrum = np.zeros((len(frequency), len(LEADS)), dtype=complex)
    parts = rng.normal(size=(2, int(inside.sum()), len(LEADS)))
    spectrum[inside] = parts[0] + 1j * parts[1]
    wave = np.fft.irfft(spectrum, length, axis=0)
    return wave[:samples] * length / (2 * np.sqrt(inside.sum()))


def motion_artefacts(samples: int, fs: int, per_minute: float, rng: Generator) -> np.ndarray:
    """Jumps of the skin potential that decay within a second or so -> (samples, leads) in mV."""
    signal = np.zeros((samples, len(LEADS)))
    for _ in range(rng.poisson(per_minute * samples / fs / 60)):
        start, fade = int(rng.integers(samples)), rng.uniform(0.1, 0.6)
        time = np.arange(samples - start)[: int(4 * fade * fs)] / fs
        bump = (time / 0.05) / (1 + time / 0.05) * np.exp(-time / fade)
        signal[start : start + len(time)] += np.outer(bump, rng.normal(0, 0.6, len(LEADS)))
    return signal


def electrode_motion(samples: int, fs: int, rng: Generator) -> np.ndarray:
    """An electrode that rubs on the skin and muscles that tremble: no beat can be read -> (samples, leads) in mV."""
    return 1.2 * band_noise(samples, fs, 0.5, 12.0, rng) + 0.5 * band_noise(samples, fs, 15.0, 0.4 * fs, rng)


def fibrillatory_waves(samples: int, fs: int, rng: Generator) -> np.ndarray:
    """The atria in fibrillation, 270 to 450 waves a minute, largest in v1 -> (samples, leads) in mV."""
    return band_noise(samples, fs, 4.5, 7.5, rng) * (0.025, 0.035, 0.06)


def draw_disturbance(
    noise: Noise, respiration: float, samples: int, fs: int, rng: Generator, effort: np.ndarray | float = 1.0
) -> np.ndarray:
    """All that is not heart -> (samples, leads) in mV.

    Args:
        effort: (samples, 1), the strain of the muscles over that at rest.
    """
    time = np.arange(samples)[:, None] / fs
    phases = rng.uniform(0, 2 * np.pi, (2, len(LEADS)))
    breathing = np.sin(2 * np.pi * respiration * time + phases[0])
    wander = noise.wander * (band_noise(samples, fs, 0.02, 0.4, rng) + 0.7 * breathing)
    hum = noise.hum * np.sin(2 * np.pi * noise.mains * time + phases[1])
    tension = np.exp(0.5 * band_noise(samples, fs, 0.0, 0.1, rng))  # muscles tighten and relax
    muscle = noise.muscle * effort * tension * band_noise(samples, fs, 15.0, 0.4 * fs, rng)
    return wander * np.sqrt(effort) + hum + muscle + motion_artefacts(samples, fs, noise.motions, rng)
