"""How threads that have nothing to do wait for those that have."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

TURNS = "2000"
"""Turns of a waiting loop: some microseconds. GNU OpenMP's own default is over a hundred times that: milliseconds."""


def wait_asleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have OpenMP's threads sleep soon where they wait; it reads this once, when torch is imported.

    A network of many short operations has its threads wait for each other all the time. By default they do so in a
    loop, on a core that another program could use: beside one, training ran at a quarter of the speed that sleeping
    threads leave it, a report at a tenth (benchmarks/README.md). With the cores to itself it loses next to nothing.
    What the user has set stays.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & environment.keys():
        environment["GOMP_SPINCOUNT"] = TURNS
