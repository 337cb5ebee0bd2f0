"""One look for every figure: SVG whose colours are the page's own, so that light and dark both read well.

matplotlib draws with the placeholder colours below; `svg` turns each into a CSS variable of the page and keeps text
as text. Nothing here opens a window: figures are drawn by the Agg and SVG back ends alone.
"""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "BOX",
    "FAINT",
    "GRID",
    "INK",
    "LIMIT",
    "MUTED",
    "REGION",
    "TRACE",
    "WARN",
    "canvas",
    "finish",
    "look",
    "svg",
]

INK, MUTED, GRID, FAINT = "#010101", "#020202", "#030303", "#040404"
ACCENT, REGION, TRACE, BOX, LIMIT, WARN = "#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a"

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    FAINT: "--faint",
    ACCENT: "--accent",
    REGION: "--region",
    TRACE: "--trace",
    BOX: "--box",
    LIMIT: "--limit",
    WARN: "--warn",
}

LOOK: dict[Any, Any] = {  # the keys of matplotlib.rcParams
    "svg.fonttype": "none",
    "svg.hashsalt": "ctrlnet",
    "font.family": "sans-serif",
    "font.size": 11.0,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.5,
}


def look() -> AbstractContextManager[None]:
    """Everything drawn and written inside has the page's look; matplotlib's own settings are left alone."""
    return matplotlib.rc_context(LOOK)


def canvas(width: float = 6.4, height: float = 4.4, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure in the page's look [inches], with axes below or beside one another."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]


def svg(figure: Figure, name: str, described: str) -> str:
    """The figure as an inline SVG element in the page's colours, with ids of its own and a text for readers aloud."""
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None}, dpi=160)
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = _own_ids(text.replace("xlink:href", "href"), name)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return re.sub(r"<svg[^>]*>", lambda head: _head(head[0], described), text, count=1)


def _own_ids(text: str, name: str) -> str:
    """The same drawing with `name-` before each id, so that figures on one page do not share ids."""
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    return re.sub(r'href="#', f'href="#{name}-', text)


def _head(head: str, described: str) -> str:
    view = re.search(r'viewBox="[^"]*"', head)
    if view is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    return f'<svg {view[0]} role="img" aria-label="{described}">'


def finish(axes: Axes, x: Any, y: Any) -> None:
    """Axis labels and the faint grid under the curves."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True)
    axes.set_axisbelow(True)
