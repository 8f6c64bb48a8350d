"""Figures in files: one size of dots, no window, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASS_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE", "#BBBBBB")
"""Qualitative colours that colour-blind readers can tell apart (Paul Tol's "bright" scheme)."""


def class_colours(count: int) -> list[str]:
    """A colour of its own for each of `count` classes: `CLASS_COLOURS`, and of more those of a rainbow beside them."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    more = count - len(CLASS_COLOURS)
    return [*CLASS_COLOURS[:count], *(to_hex(colormaps["turbo"](place / max(more - 1, 1))) for place in range(more))]


@contextmanager
def default_style() -> Iterator[None]:
    """Decorates what draws a picture: the style of a notebook or a matplotlibrc may want LaTeX, or hide a figure."""
    from matplotlib import style

    with style.context("default"):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure


def with_plain_texts(figure: Figure) -> Figure:
    """`figure`, its texts shown as they are: a name of a file in them may hold anything.

    matplotlib takes what stands between two $ for a formula, and cannot draw bytes that are not UTF-8.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(text.get_text().encode(errors="backslashreplace").decode())
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` to `path`, in the format of its suffix, as wide as its title where that is wider."""
    with written_whole(path) as part:
        with_plain_texts(figure).savefig(part, bbox_inches="tight")
