"""Figures over two coordinates: phase portrait, the proof's boxes, the candidate, the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.path import Path

from ctrlnet.reports.leaves import KINDS, Leaves
from ctrlnet.reports.style import ACCENT, BOX, FAINT, INK, LIMIT, MUTED, REGION, TRACE, WARN, canvas
from ctrlnet.reports.subject import Array, Plane

__all__ = ["draw_boxes", "legend_of", "phase_portrait", "policy_map", "proof_map", "value_map"]

Function = Callable[[Array], Array]
SIDE = (6.4, 5.0)
LEAF_COLOURS = {"p": REGION, "x": FAINT, "e": TRACE, "o": WARN}
LEAF_DEPTHS = {"p": 0.55, "x": 0.5, "e": 0.9, "o": 0.8}
BUNCH = 1000  # boxes in one path
FINE = 20_000  # boxes beyond which their edges are drawn thinner
STREAM_POINTS = 45


def phase_portrait(plane: Plane, V: Function | None, level: float | None, paths: Sequence[Array] = ()) -> Figure:
    """Streamlines of the closed loop, the certified region {V <= level}, the box, simulated trajectories.

    Args:
        plane: the slice to draw.
        V: candidate, or None to leave the region out.
        level: of the region.
        paths: trajectories, shape (T, n) each.
    """
    figure, (axes,) = canvas(*SIDE)
    _streamlines(axes, plane)
    _region(axes, plane, V, level)
    for path in paths:
        axes.plot(path[:, plane.i], path[:, plane.j], color=TRACE, linewidth=1.1, alpha=0.9, zorder=4)
        axes.plot(*path[0, [plane.i, plane.j]], "o", color=TRACE, markersize=3, zorder=4)
    _frame(axes, plane)
    handles = [
        Line2D([], [], color=MUTED, linewidth=0.9, label="closed loop"),
        Line2D([], [], color=BOX, linestyle="--", label="box"),
    ]
    if paths:
        handles.insert(0, Line2D([], [], color=TRACE, marker="o", markersize=3, label="simulated"))
    if V is not None and level is not None:
        handles.insert(0, Line2D([], [], color=REGION, linewidth=1.8, label="certified region"))
    _legend(axes, handles)
    return figure


def proof_map(plane: Plane, leaves: Leaves, V: Function | None, level: float | None) -> Figure:
    """The boxes of the proof by kind: proved, excluded (outside the level), equilibrium."""
    figure, (axes,) = canvas(*SIDE)
    shown = leaves.through(plane.subject.equilibrium, (plane.i, plane.j)) if plane.sliced else leaves
    draw_boxes(axes, shown, (plane.i, plane.j), LEAF_COLOURS, MUTED)
    handles: list[Any] = [*legend_of(leaves, LEAF_COLOURS)]
    if V is not None and level is not None:
        x, y, values = plane.values(V)
        axes.contour(x, y, values, levels=[level], colors=[INK], linewidths=1.2)
        handles.append(Line2D([], [], color=INK, linewidth=1.2, label="V = level"))
    _frame(axes, plane)
    _legend(axes, handles)
    return figure


def value_map(plane: Plane, V: Function, level: float | None) -> Figure:
    """Level sets of the candidate, a factor of two apart, with the certified level."""
    figure, (axes,) = canvas(*SIDE)
    x, y, values = plane.values(V)
    reference = level if level else float(np.median(values))
    levels = reference * 2.0 ** np.arange(-6.0, 7.0)
    levels = levels[levels < values.max()]
    for lower, upper in zip([0.0, *levels], [*levels, np.inf], strict=True):
        depth = 0.55 * (1.0 - np.searchsorted(levels, lower, side="right") / (len(levels) + 1))
        axes.contourf(x, y, values, levels=[lower, min(upper, 2 * values.max() + 1)], colors=[ACCENT], alpha=depth)
    lines = axes.contour(x, y, values, levels=levels, colors=[MUTED], linewidths=0.6)
    axes.clabel(lines, levels[1::2], fmt=lambda value: f"{value:.3g}", fontsize=8, colors=[INK])
    if level:
        axes.contour(x, y, values, levels=[level], colors=[REGION], linewidths=2.0)
    _frame(axes, plane)
    _legend(axes, [level and Line2D([], [], color=REGION, linewidth=2.0, label=f"certified level {level:.4g}")])
    return figure


def policy_map(plane: Plane, control: int) -> Figure:
    """One control of the policy over the plane, with the surfaces on which its limits are reached."""
    figure, (axes,) = canvas(*SIDE)
    subject = plane.subject
    x, y, values = plane.values(lambda states: subject.policy(states)[:, control])
    scale = max(float(np.abs(values).max()), 1e-12)
    steps = np.linspace(-scale, scale, 11)
    steps[0], steps[-1] = 1.001 * steps[0], 1.001 * steps[-1]
    for lower, upper in pairwise(steps):
        middle = 0.5 * (lower + upper) / scale
        colour = ACCENT if middle > 0 else LIMIT
        axes.contourf(x, y, values, levels=[lower, upper], colors=[colour], alpha=0.7 * abs(middle))
    lines = axes.contour(x, y, values, levels=steps[1:-1:2], colors=[MUTED], linewidths=0.6, linestyles="solid")
    axes.clabel(lines, fmt=lambda value: f"{value:+.3g}", fontsize=8, colors=[INK])
    _frame(axes, plane)
    return figure


def _streamlines(axes: Axes, plane: Plane) -> None:
    x, y, states = plane.grid(STREAM_POINTS)
    field = plane.subject.field(states).reshape(STREAM_POINTS, STREAM_POINTS, -1)
    drawn = axes.streamplot(
        x, y, field[..., plane.i], field[..., plane.j], density=1.1, color=MUTED, linewidth=0.7, arrowsize=0.7
    )
    paths = _chained(drawn.lines.get_segments())
    drawn.lines.remove()
    axes.add_collection(LineCollection(paths, colors=MUTED, linewidths=0.7, alpha=0.75, zorder=2))


def _chained(segments: Iterable[Array]) -> list[Array]:
    """Pieces of curves (k, 2) joined where one begins at the end of the one before (matplotlib < 3.11 cuts them up)."""
    curves: list[list[Array]] = []
    for piece in segments:
        if curves and np.array_equal(curves[-1][-1][-1], piece[0]):
            curves[-1].append(piece[1:])
        else:
            curves.append([piece])
    return [np.vstack(pieces) for pieces in curves]


def _region(axes: Axes, plane: Plane, V: Function | None, level: float | None) -> None:
    if V is None or level is None:
        return
    x, y, values = plane.values(V)
    axes.contourf(x, y, values, levels=[-1.0, level], colors=[REGION], alpha=0.3, zorder=1)
    axes.contour(x, y, values, levels=[level], colors=[REGION], linewidths=1.8, zorder=3)


def draw_boxes(axes: Axes, leaves: Leaves, plane: tuple[int, int], colours: Mapping[str, str], edge: str) -> None:
    """Boxes in the colour of their kind: compound paths, small in a page and quick however many there are."""
    thin = 0.25 if len(leaves.kind) < FINE else 0.25 * FINE / len(leaves.kind)
    for kind, depth in LEAF_DEPTHS.items():
        some = leaves.of(kind)
        parts = [_outline(some.lower[i : i + BUNCH], some.upper[i : i + BUNCH], plane)
                 for i in range(0, len(some.kind), BUNCH)]  # fmt: skip
        paths = PathCollection(parts, facecolors=colours[kind], edgecolors=edge, linewidths=thin, alpha=depth)
        axes.add_collection(paths)


def _outline(lower: Array, upper: Array, plane: tuple[int, int]) -> Path:
    low, high = lower[:, plane], upper[:, plane]
    corners = np.stack([low, np.c_[high[:, 0], low[:, 1]], high, np.c_[low[:, 0], high[:, 1]], low], axis=1)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(low))
    return Path(corners.reshape(-1, 2), codes)


def legend_of(leaves: Leaves, colours: Mapping[str, str]) -> list[Patch]:
    """One entry for each kind that there is, with its count."""
    counts = {kind: leaves.kind.count(kind) for kind in KINDS}
    return [
        Patch(facecolor=colours[kind], alpha=LEAF_DEPTHS[kind], label=f"{KINDS[kind]} ({count:,})")
        for kind, count in counts.items()
        if count
    ]


def _frame(axes: Axes, plane: Plane) -> None:
    """Box, equilibrium, limits and labels, the same for every plane."""
    chosen = [plane.i, plane.j]
    lower, upper = plane.subject.lower[chosen], plane.subject.upper[chosen]
    box = Rectangle((lower[0], lower[1]), *(upper - lower), fill=False, edgecolor=BOX, linestyle="--", linewidth=1.2)
    axes.add_patch(box)
    middle = plane.subject.equilibrium[chosen]
    axes.plot(*middle, "+", color=INK, markersize=9, markeredgewidth=1.4, zorder=5)
    window = plane.window()
    axes.set_xlim(window[0][0], window[1][0])
    axes.set_ylim(window[0][1], window[1][1])
    axes.set_xlabel(plane.labels[0])
    axes.set_ylabel(plane.labels[1])


def _legend(axes: Axes, handles: Sequence[Any]) -> None:
    """Above the axes, so that it hides nothing."""
    shown = [handle for handle in handles if handle]
    if shown:
        axes.legend(handles=shown, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(shown), fontsize=10)
