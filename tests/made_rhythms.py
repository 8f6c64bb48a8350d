"""Beats made by hand, and what `report` finds in them.

Recordings here have 1000 samples a second, so that a sample is a millisecond, or 100 where that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np

from report.analysis import Analysis
from report.burden import Burden, burden
from report.definitions import Definitions, Quality
from report.episodes import Episode, find_episodes
from report.hrv import Variability, variability
from report.quality import Unreadable
from report.rates import heart_rate
from report.rhythm import Rhythm
from report.strips import choose_strips
from report.trends import trends

DEFAULTS = Definitions()


def made(text: str, rr: int | Iterable[int] = 800, fs: float = 1000, **fields: Any) -> Rhythm:
    """A recording of beats: "NV|VN" has unreadable time between the two V.

    Args:
        rr: samples from beat to beat, the first beat being at sample 100.
    """
    classes = list(text.replace("|", ""))
    steps = [rr] * (len(classes) - 1) if isinstance(rr, int) else list(rr)
    samples = 100 + np.cumsum([0, *steps])[: len(classes)]
    cuts = [at - number for number, at in enumerate(match.start() for match in re.finditer(r"\|", text))]
    unreadable = [(int(samples[cut - 1]) + 1, int(samples[cut])) for cut in cuts]
    last = int(samples[-1]) if classes else 0
    given: dict[str, Any] = {"samples": samples, "classes": classes, "unreadable": unreadable}
    return Rhythm(**given | {"fs": fs, "length": last + 100} | fields)


def found(rhythm: Rhythm, **options: Any) -> dict[str, int]:
    """The counts of the kinds that are there, but for slow and fast rhythm and unreadable time."""
    counts = find_episodes(rhythm, Definitions(**options)).counts()
    return {
        kind: count
        for kind, count in counts.items()
        if count and kind not in ("bradycardia", "tachycardia", "unreadable")
    }


def only(rhythm: Rhythm, kind: str, **options: Any) -> Episode:
    """The one episode of a kind."""
    (episode,) = find_episodes(rhythm, Definitions(**options)).of(kind)
    return episode


def slow_and_fast(rhythm: Rhythm, **options: Any) -> list[Episode]:
    episodes = find_episodes(rhythm, Definitions(**options)).found
    return [episode for episode in episodes if episode.kind in ("bradycardia", "tachycardia")]


def unclassified_where(text: str) -> np.ndarray:
    """Probabilities of the beats, none of those that are written Q."""
    return np.where(np.array([*text])[:, None] == "Q", np.nan, np.eye(5)[["NSVFQ".index(one) for one in text]])


def fibrillation(count: int, seed: int = 0) -> list[int]:
    """Intervals of 400 to 1100 ms that have nothing to do with one another."""
    return np.random.default_rng(seed).integers(400, 1101, count).tolist()


def burden_of(rhythm: Rhythm, **options: Any) -> Burden:
    definitions = Definitions(**options)
    return burden(rhythm, find_episodes(rhythm, definitions), definitions)


def variability_of(rhythm: Rhythm, **options: Any) -> Variability:
    definitions = Definitions(**options)
    return variability(rhythm, find_episodes(rhythm, definitions).irregular, definitions)


def analysed(rhythm: Rhythm, **options: Any) -> Analysis:
    """What a report says of these beats of a recording at noon, without its signal."""
    definitions = Definitions(**options)
    episodes = find_episodes(rhythm, definitions)
    rates = heart_rate(rhythm, definitions, episodes.unlike)
    recording: Any = SimpleNamespace(
        name="made",
        format="made",
        fs=rhythm.fs,
        length=rhythm.length,
        lead="II",
        notes=(),
        start=datetime(2026, 1, 31, 12),
    )
    return Analysis(
        recording=recording,
        synthetic=False,
        definitions=definitions,
        quality=Quality(),
        fs_unconfirmed=False,
        classifier=None,
        annotator="atr",
        rhythm=rhythm,
        diagnosis=None,
        first_minute="",
        escape_beats=0,
        left_out=0,
        unreadable=tuple(Unreadable(int(start), int(end), "noise") for start, end in rhythm.unreadable),
        episodes=episodes,
        burden=burden(rhythm, episodes, definitions),
        heart_rate=rates,
        variability=variability(rhythm, episodes.irregular, definitions),
        hours=(),
        trends=trends(rhythm, episodes, definitions),
        diary=None,
        flutter_is_annotated=False,
        strips=choose_strips(rhythm, episodes, rates, (), definitions),
    )
