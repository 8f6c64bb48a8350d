"""How figures are rounded: in files by the unit that their name ends with, on the page on their side of a threshold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

DECIMALS = {"s": 3, "ms": 1, "bpm": 1, "percent": 2, "per_hour": 1, "per_day": 1}
"""Of each unit at the end of a name: a sample is 1 ms or more, beats are counted over hours."""

PROBABILITY = 4
"""Decimals of what is named p_<class>."""

_UNIT = re.compile(rf"(?:^|_)({'|'.join(DECIMALS)})$")


def decimals_of(name: str) -> int | None:
    """Of a figure with this name; None: its name has no unit, and it is written as it is."""
    if name.startswith("p_"):
        return PROBABILITY
    unit = _UNIT.search(name)
    return DECIMALS[unit[1]] if unit else None


def rounded(value: Any, name: str = "") -> Any:  # noqa: ANN401  (whatever JSON can hold)
    """`value` with all fractions in it rounded; one whose name has no unit has that of what it is in.

    Args:
        name: of `value`.
    """
    if isinstance(value, dict):
        return {key: rounded(one, name if decimals_of(key) is None else key) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one, name) for one in value]
    decimals = decimals_of(name)
    return round(value, decimals) if isinstance(value, float) and decimals is not None else value


def rounded_table(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the fractions of every column rounded as its name says."""
    fractions = [name for name in table.select_dtypes("floating") if decimals_of(name) is not None]
    return table.assign(**{name: table[name].astype(float).round(decimals_of(name)) for name in fractions})


def on_its_side(value: float, decimals: int, limits: Sequence[float]) -> str:
    """`value` with so many decimals, or with more where rounding would carry it onto or across one of the `limits`.

    Where 10 % is a threshold, 9.96 % is not printed as 10.0 %. What differs in the tenth decimal alone is an error of
    the arithmetic, and is printed as the limit.
    """
    side = np.sign(np.subtract(value, limits))
    enough = (more for more in range(decimals, 10) if (np.sign(np.subtract(round(value, more), limits)) == side).all())
    return f"{value:,.{next(enough, decimals)}f}"


def elapsed(seconds: float) -> str:
    """1:02:03 for 3723 s and for 3723.9 s: as on a clock, what has not passed yet does not count."""
    whole = int(seconds + 1e-9)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
