"""How much beats look alike: what noise, and a run that is doubtful, are told by."""

from __future__ import annotations

import numpy as np

from preprocess.detect import band_pass

BAND = (1.0, 40.0)  # Hz
REACH = 0.2  # s on either side of an R-peak: what is compared of beats
NEIGHBOURS = 15  # beats on either side that one is compared with
RANK = 3  # the third best likeness counts: one or two may be chance
SIZE = 0.7  # of two beats alike the smaller has at least this share of the other's size


def unit_shapes(signal: np.ndarray, fs: float, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The beats (n,) of a signal in the band `BAND`, without mean and of length 1, and their lengths.

    Returns:
        float (n, samples), of which two multiply to their correlation, and (n,).
    """
    reach = max(round(REACH * fs), 1)
    around = np.clip(beats[:, None] + np.arange(-reach, reach + 1), 0, len(signal) - 1)  # (n, samples)
    shapes = band_pass(signal, fs, BAND)[around]
    shapes -= shapes.mean(axis=1, keepdims=True)
    sizes = np.maximum(np.sqrt((shapes**2).sum(axis=1)), np.finfo(float).tiny)
    return shapes / sizes[:, None], sizes


def alike_by(shapes: np.ndarray, sizes: np.ndarray, apart: int) -> np.ndarray:
    """The correlation of each beat (n,) with the one `apart` places later, less if sizes differ -> (n - apart,)."""
    one, other = sizes[apart:], sizes[:-apart]
    size = np.minimum(np.minimum(one, other) / np.maximum(one, other) / SIZE, 1.0)
    return (shapes[apart:] * shapes[:-apart]).sum(axis=1) * size


def likeness(shapes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How much each beat (n,) is like others near it: its third best correlation with one, less if sizes differ."""
    count = len(sizes)
    if count < 2:
        return np.ones(count)
    found = np.full((count, 2 * NEIGHBOURS), -1.0)
    for apart in range(1, min(NEIGHBOURS, count - 1) + 1):
        both = alike_by(shapes, sizes, apart)
        found[apart:, apart - 1] = found[:-apart, NEIGHBOURS + apart - 1] = both
    rank = min(RANK, count - 1)
    return np.partition(found, -rank, axis=1)[:, -rank]
