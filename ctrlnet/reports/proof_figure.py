"""A figure of a proof for its author: the boxes by kind over two coordinates, with the level sets of the statement.

A proof in one coordinate is drawn over that coordinate and the values of V, h or the margin.
"""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctrlnet.errors import UsageError
from ctrlnet.prover import Verdict
from ctrlnet.reports.leaves import KINDS, Leaves, corner, tree_leaves
from ctrlnet.reports.planes import draw_boxes, legend_of
from ctrlnet.reports.proof_picture import Curve, Picture, pictures_of
from ctrlnet.reports.style import LOOK
from ctrlnet.reports.subject import Array

__all__ = ["drawn"]

# Told apart by lightness too, from light to dark: excluded, equilibrium, proved, open.
COLOURS = {"p": "#3f7fc4", "x": "#d4d4d4", "e": "#f2b134", "o": "#b0204a"}
INK, EDGE = "#202020", "#606060"
PAPER = {**LOOK, "figure.facecolor": "white", "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": EDGE}
POINTS = 201
ABREAST = 3  # pictures in a row
OUTWARD, MARGIN = 0.012, 0.03  # of the box's width: where its faces are drawn, and where the picture ends
FIXED = 6  # coordinates told in a line of the title


class ProofFigure(Figure):
    """A figure that a notebook shows by itself, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        sink = io.BytesIO()
        self.savefig(sink, format="png", dpi=110)
        return sink.getvalue()


def drawn(proof: Verdict | str | Path, axes: Sequence[int], at: Any, path: str | Path | None) -> Figure:
    """See `ctrlnet.draw_proof`."""
    pictures = pictures_of(proof)
    columns = min(len(pictures), ABREAST)
    rows = -(-len(pictures) // columns)
    with matplotlib.rc_context(PAPER):
        figure = ProofFigure(figsize=(6.4 * columns, 6.0 * rows), layout="constrained")
        for place, picture in enumerate(pictures, 1):
            _draw(figure.add_subplot(rows, columns, place), picture, axes, at)
        if path is not None:
            _save(figure, Path(path))
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Write the figure, into a folder that is made where there is none."""
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UsageError(f"path is {path}; its ending says the format, one of {', '.join(sorted(known))}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)


def _draw(axes: Axes, picture: Picture, chosen: Sequence[int], at: Any) -> None:
    if not picture.document:
        axes.set_axis_off()
        axes.set_title(textwrap.fill(f"{picture.title}: {picture.note}", 60), fontsize=11, color=INK)
        return
    plane, point = _cut(picture, chosen, at)
    if plane[0] == plane[1]:
        _draw_line(axes, picture, point)
    else:
        _draw_plane(axes, picture, plane, point)


def _cut(picture: Picture, axes: Sequence[int], at: Any) -> tuple[tuple[int, int], Array]:
    """The two axes, twice the same one where there is no other, and the point (n + k,) through which the plane goes."""
    point = picture.middle()
    if at is not None:
        try:
            given = np.asarray(at, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"at is {at!r}; give a state, {picture.states} numbers.") from error
        if given.shape not in ((picture.states,), point.shape):
            raise UsageError(f"at has the shape {given.shape}; give a state, {picture.states} numbers.")
        point[: len(given)] = given
    chosen = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    if len(point) == 1 and chosen in ((0,), (0, 1)):
        return (0, 0), point
    if len(chosen) != 2 or chosen[0] == chosen[1] or not all(0 <= axis < len(point) for axis in chosen):
        known = ", ".join(f"{i}: {name}" for i, name in enumerate(picture.names))
        raise UsageError(f"axes is {axes!r}; give two different coordinates out of {known}.")
    return (chosen[0], chosen[1]), point


def _draw_plane(axes: Axes, picture: Picture, plane: tuple[int, int], point: Array) -> None:
    inside = np.nextafter(point, picture.upper)  # a point between two boxes lies in one of them
    lower, upper = picture.lower, picture.upper
    told, handles = _draw_leaves(axes, picture, lower, upper, plane, inside)
    x, y = (np.linspace(lower[axis], upper[axis], POINTS) for axis in plane)
    states = np.tile(point, (POINTS * POINTS, 1))
    states[:, plane[0]], states[:, plane[1]] = (values.ravel() for values in np.meshgrid(x, y))
    for curve in picture.curves():
        values = curve.values(states[:, : picture.states]).reshape(POINTS, POINTS)
        if np.isfinite(values).any() and np.nanmin(values) < curve.value < np.nanmax(values):
            axes.contour(
                x, y, values, levels=[curve.value], colors=[INK], linewidths=1.6, linestyles=curve.style, zorder=4
            )
            handles.append(_line(curve))
    handles += _draw_points(axes, picture, plane, point)
    names = picture.names
    fixed = [f"{names[i]} = {point[i]:.4g}" for i in range(len(point)) if i not in plane]
    lines = [told, *(", ".join(fixed[i : i + FIXED]) for i in range(0, len(fixed), FIXED))]
    _frame(axes, picture, lower[list(plane)], upper[list(plane)], handles, lines)
    axes.set(xlabel=names[plane[0]], ylabel=names[plane[1]])


def _draw_line(axes: Axes, picture: Picture, point: Array) -> None:
    """One coordinate: the boxes as strips behind the graphs of the functions, each named at its end."""
    x = np.linspace(picture.lower[0], picture.upper[0], POINTS)
    graphs = {name: values(x[:, None]) for name, values in picture.functions()}
    curves = list(picture.curves())
    heights = np.concatenate([[0.0], *graphs.values(), [curve.value for curve in curves]])
    bottom, top = np.nanmin(heights), np.nanmax(heights)
    if not bottom < top:
        top = bottom + 1.0
    lower, upper = np.append(picture.lower, bottom), np.append(picture.upper, top)
    told, handles = _draw_leaves(axes, picture, lower, upper, (0, 1), np.append(point, top))
    for name, values in graphs.items():
        axes.plot(x, values, color=INK, linewidth=1.0, zorder=4)
        axes.annotate(name, (x[-1], values[-1]), (10, 0), textcoords="offset points", va="center", color=INK)
    for curve in curves:
        axes.hlines(curve.value, x[0], x[-1], colors=INK, linewidth=1.6, linestyles=curve.style, zorder=4)
        handles.append(_line(curve))
    _frame(axes, picture, lower, upper, handles, [told])
    axes.set(xlabel=picture.names[0])


def _draw_leaves(
    axes: Axes, picture: Picture, lower: Array, upper: Array, plane: tuple[int, int], point: Array
) -> tuple[str, list[Any]]:
    """The boxes of a proof over the box between the corners, those on its faces outside of it.

    Returns how many there are, in words, and the legend's entries.
    """
    handles: list[Any] = []
    told = "faces of the box"
    if picture.leaves is not None:
        flat = len(lower) > len(picture.lower)
        whole = tree_leaves(picture.document["proof"][picture.tree], lower, upper) if flat else picture.leaves
        part = whole.through(point, plane)
        draw_boxes(axes, part, plane, COLOURS, EDGE)
        told = f"{len(whole.kind):,} box{'es' * (len(whole.kind) != 1)}"
        told = told if len(lower) == 2 else f"{len(part.kind):,} of {told} in this plane"
        handles += [_reasoned(patch, picture.excluded) for patch in legend_of(whole, COLOURS)]
    faces, counts = _faces(picture, lower, upper), Counter[str]()
    for axis, above, found in faces:
        counts.update(found.kind)
        if axis in plane:
            here = np.arange(len(point)) == axis
            shown = found.through(np.where(here, upper if above else lower, point), plane)
            ends = np.stack([shown.lower[:, plane], shown.upper[:, plane]], axis=1)
            ends += np.where(here, (OUTWARD if above else -OUTWARD) * (upper - lower), 0.0)[list(plane)]
            colours = [COLOURS[kind] for kind in shown.kind]
            axes.add_collection(LineCollection(list(ends), colors=colours, linewidths=4.0, capstyle="butt", zorder=3))
    return told, handles + [
        Line2D([], [], color=COLOURS[kind], linewidth=4.0, label=f"face {KINDS[kind]} ({counts[kind]:,})")
        for kind in KINDS
        if counts[kind]
    ]


def _reasoned(patch: Patch, reason: str) -> Patch:
    """The entry of the boxes excluded says why."""
    label = str(patch.get_label())
    if reason and label.startswith(KINDS["x"]):
        patch.set_label(label.replace(KINDS["x"], f"{KINDS['x']}, {reason}"))
    return patch


def _faces(picture: Picture, lower: Array, upper: Array) -> Iterator[tuple[int, bool, Leaves]]:
    """Axis, whether it is the upper one, and leaves, of every face of the box of states."""
    for axis, pair in enumerate(picture.document["proof"].get("faces", ())):
        for tree, side in zip(pair, (lower, upper), strict=True):
            low, high = lower.copy(), upper.copy()
            low[axis] = high[axis] = side[axis]
            yield axis, side is upper, tree_leaves(tree, low, high)


def _line(curve: Curve) -> Line2D:
    return Line2D([], [], color=INK, linewidth=1.6, linestyle=curve.style, label=curve.label)


def _draw_points(axes: Axes, picture: Picture, plane: tuple[int, int], point: Array) -> Iterator[Line2D]:
    """x*, and the state that refutes or limits the statement, where they lie in the plane."""
    marks: list[tuple[Array, str, str]] = []
    if "equilibrium" in picture.statement:
        marks.append((corner(picture.statement["equilibrium"]), "P", "x*"))
    if picture.marked is not None:
        marks.append((picture.marked[0], "X", picture.marked[1]))
    for state, shape, label in marks:
        rest = [axis for axis in range(len(state)) if axis not in plane]
        if max(plane) < len(state) and (state[rest] == point[rest]).all():
            style: dict[str, Any] = {"marker": shape, "markersize": 10, "linestyle": "none"}
            style |= {"markerfacecolor": INK, "markeredgecolor": "white"}
            axes.plot(*state[list(plane)], **style, zorder=5, clip_on=False)
            yield Line2D([], [], **style, label=label)


def _frame(
    axes: Axes, picture: Picture, lower: Array, upper: Array, handles: Sequence[Any], lines: Sequence[str]
) -> None:
    """Title, limits and legend; the corners are those of what is drawn, (2,) each."""
    told = [picture.title, *textwrap.wrap(picture.note, 70), *lines]
    axes.set_title("\n".join(told), fontsize=11, color=INK)
    margin = MARGIN * (upper - lower)
    axes.set_xlim(lower[0] - margin[0], upper[0] + margin[0])
    axes.set_ylim(lower[1] - margin[1], upper[1] + margin[1])
    axes.locator_params(axis="x", nbins=6)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize=10)
