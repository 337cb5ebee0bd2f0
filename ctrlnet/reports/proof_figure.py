"""A figure of a proof for its author: the boxes by kind over two coordinates, with the level sets of the statement."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.errors import UsageError
from ctrlnet.prover import Verdict
from ctrlnet.reports.leaves import KINDS, corner, document_in, domain_of, tree_leaves
from ctrlnet.reports.planes import draw_boxes, legend_of
from ctrlnet.reports.style import LOOK
from ctrlnet.reports.subject import Array

__all__ = ["drawn"]

COLOURS = {"p": "#4f86c6", "x": "#c9c9c9", "e": "#f0a830", "o": "#d1495b"}
INK, EDGE = "#202020", "#606060"
PAPER = {**LOOK, "figure.facecolor": "white", "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": EDGE}
POINTS = 201
Style = Literal["solid", "dashed"]
LEVELS: dict[str, Style] = {"level": "solid", "outer": "solid", "inner": "dashed"}  # fields of a statement about V


class ProofFigure(Figure):
    """A figure that a notebook shows by itself, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        sink = io.BytesIO()
        self.savefig(sink, format="png", dpi=110)
        return sink.getvalue()


@dataclass(frozen=True)
class Picture:
    """What is drawn of one statement.

    document: of its certificate; an unfinished proof has trees and a box, and no graphs.
    marked: a state that refutes the statement or limits its level, (n,), and what it is.
    """

    document: dict[str, Any]
    title: str
    marked: tuple[Array, str] | None = None

    @property
    def statement(self) -> dict[str, Any]:
        """The fields of the statement, those of a condition on V within it too."""
        stated: dict[str, Any] = self.document["statement"]
        return {**stated, **next((one for one in stated.get("conditions", ()) if "level" in one), {})}

    @property
    def states(self) -> int:
        """n; the coordinates after it are disturbances."""
        return len(self.statement["box"]["lower"])

    def names(self) -> list[str]:
        """x[0], ..., d[0], ..."""
        count = len(self.statement.get("disturbance", {}).get("lower", ()))
        return [f"x[{i}]" for i in range(self.states)] + [f"d[{i}]" for i in range(count)]

    def middle(self) -> Array:
        """Where to cut when nothing is said: at what refutes the statement, at x*, or at the centre of the box."""
        lower, upper = domain_of(self.statement)
        point = 0.5 * lower + 0.5 * upper
        if self.marked is not None:
            point[: len(self.marked[0])] = self.marked[0]
        elif "equilibrium" in self.statement:
            point[: self.states] = corner(self.statement["equilibrium"])
        return point

    def contours(self) -> Iterator[tuple[str, Any, float, Style]]:
        """Label, graph, value and line style of the level sets that the statement names."""
        statement, graphs = self.statement, self.document["graphs"]
        for name, style in LEVELS.items():
            if name in statement and "V" in graphs:
                value = float(corner([statement[name]])[0])
                yield f"V = {value:.4g} ({name})", graphs["V"], value, style
        for name in graphs:
            if name.startswith("h") or name in statement.get("where", ()):
                yield f"{name} = 0", graphs[name], 0.0, "solid"


def drawn(proof: Verdict | str | Path, axes: Sequence[int], at: Any, path: str | Path | None) -> Figure:
    """See `ctrlnet.draw_proof`."""
    pictures = _of_verdict(proof) if isinstance(proof, Verdict) else _of_file(Path(proof))
    with matplotlib.rc_context(PAPER):
        figure = ProofFigure(figsize=(6.4 * len(pictures), 6.0), layout="constrained")
        for place, picture in enumerate(pictures, 1):
            _draw(figure.add_subplot(1, len(pictures), place), picture, *_cut(picture, axes, at))
        if path is not None:
            figure.savefig(path, dpi=160)
    return figure


def _of_file(path: Path) -> list[Picture]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} is no certificate that can be read: {error}. Give a verdict or its file.") from error
    return _of_document(document_in(data, path))


def _of_document(document: dict[str, Any]) -> list[Picture]:
    parts = document["statement"].get("parts")
    if parts is None:
        return [Picture(document, document["statement"]["kind"].replace("_", " "))]
    return [picture for part in document["statement"]["parts"] for picture in _of_document(part)]


def _of_verdict(verdict: Verdict) -> list[Picture]:
    if verdict.parts:
        return [picture for part in verdict.parts for picture in _of_verdict(part)]
    if verdict.certificate:
        pictures = _of_document(document_in(verdict.certificate, Path("The verdict's certificate")))
        return [Picture(one.document, f"certified: {one.title}") for one in pictures]
    return [_unfinished(verdict)]


def _unfinished(verdict: Verdict) -> Picture:
    """An open proof: its box is that of its leaves, and of what is certified it has nothing."""
    if verdict.leaves is None or not verdict.trees:
        raise UsageError(f"The verdict has no boxes to draw: {verdict.status}. {verdict.reason}")
    lower, upper = verdict.leaves.lower.amin(0), verdict.leaves.upper.amax(0)
    if not bool((lower < upper).all()):
        raise UsageError("The verdict is about the faces of a box and is not certified; only certified ones are drawn.")
    n = len(verdict.trees["faces"]) if "faces" in verdict.trees else len(lower)
    sides = {"lower": lower.tolist(), "upper": upper.tolist()}
    boxes = {"box": slice(None, n), "disturbance": slice(n, None)}
    statement = {
        name: {side: [value.hex() for value in values[part]] for side, values in sides.items()}
        for name, part in boxes.items()
    }
    state, meaning = verdict.counterexample, "counterexample"
    if state is None:
        state, meaning = verdict.limiting_state, "limiting state"
    marked = None if state is None else (state.numpy(), meaning)
    return Picture({"statement": statement, "graphs": {}, "proof": dict(verdict.trees)}, verdict.status, marked)


def _cut(picture: Picture, axes: Sequence[int], at: Any) -> tuple[tuple[int, int], Array]:
    """The two axes, and the point (n + k,) through which the plane goes."""
    point = picture.middle()
    if at is not None:
        given = np.asarray(at, dtype=np.float64)
        if given.shape not in ((picture.states,), point.shape):
            raise UsageError(f"at has the shape {given.shape}; give a state, {picture.states} numbers.")
        point[: len(given)] = given
    chosen = tuple(axes)
    if len(chosen) != 2 or chosen[0] == chosen[1] or not all(0 <= axis < len(point) for axis in chosen):
        known = ", ".join(f"{i}: {name}" for i, name in enumerate(picture.names()))
        raise UsageError(f"axes is {axes!r}; give two different coordinates out of {known}.")
    return (chosen[0], chosen[1]), point


def _draw(axes: Axes, picture: Picture, plane: tuple[int, int], point: Array) -> None:
    lower, upper = domain_of(picture.statement)
    inside = np.nextafter(point, upper)  # a point between two boxes lies in one of them
    handles: list[Any] = []
    if "interior" in picture.document["proof"]:
        whole = tree_leaves(picture.document["proof"]["interior"], lower, upper)
        shown = whole.through(inside, plane)
        draw_boxes(axes, shown, plane, COLOURS, EDGE)
        handles += legend_of(whole, COLOURS)
        told = f"{len(shown.kind):,} of {len(whole.kind):,} boxes" if len(point) > 2 else f"boxes: {len(whole.kind):,}"
    else:
        told = "faces of the box"
    handles += [
        *_draw_faces(axes, picture, plane, inside),
        *_draw_contours(axes, picture, plane, point),
        *_draw_points(axes, picture, plane, point),
    ]
    names = picture.names()
    fixed = ", ".join(f"{names[i]} = {point[i]:.4g}" for i in range(len(point)) if i not in plane)
    axes.set_title("\n".join(filter(None, (f"{picture.title}, {told}", fixed))), fontsize=11, color=INK)
    axes.set(xlabel=names[plane[0]], ylabel=names[plane[1]])
    margin = 0.03 * (upper - lower)
    low, high = lower - margin, upper + margin
    axes.set_xlim(low[plane[0]], high[plane[0]])
    axes.set_ylim(low[plane[1]], high[plane[1]])
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, fontsize=10)


def _draw_faces(axes: Axes, picture: Picture, plane: tuple[int, int], point: Array) -> list[Line2D]:
    """The faces of the box that the plane cuts, as thick lines in the colours of their leaves."""
    lower, upper = domain_of(picture.statement)
    trees = picture.document["proof"].get("faces", ())
    kinds: set[str] = set()
    for axis in (axis for axis in plane if axis < len(trees)):
        for tree, side in zip(trees[axis], (lower, upper), strict=True):
            low, high = lower.copy(), upper.copy()
            low[axis] = high[axis] = side[axis]
            cut = np.where(np.arange(len(point)) == axis, side, point)
            found = tree_leaves(tree, low, high).through(cut, plane)
            ends = np.stack([found.lower[:, plane], found.upper[:, plane]], axis=1)
            colours = [COLOURS[kind] for kind in found.kind]
            axes.add_collection(LineCollection(list(ends), colors=colours, linewidths=4.0, capstyle="butt", zorder=3))
            kinds |= set(found.kind)
    return [Line2D([], [], color=COLOURS[kind], linewidth=4.0, label=f"face {KINDS[kind]}") for kind in sorted(kinds)]


def _draw_contours(axes: Axes, picture: Picture, plane: tuple[int, int], point: Array) -> Iterator[Line2D]:
    lower, upper = domain_of(picture.statement)
    x, y = (np.linspace(lower[axis], upper[axis], POINTS) for axis in plane)
    states = np.tile(point, (POINTS * POINTS, 1))
    states[:, plane[0]], states[:, plane[1]] = (values.ravel() for values in np.meshgrid(x, y))
    for label, graph, value, style in picture.contours():
        values = _values(graph, states[:, : picture.states]).reshape(POINTS, POINTS)
        if np.nanmin(values) < value < np.nanmax(values):
            axes.contour(x, y, values, levels=[value], colors=[INK], linewidths=1.6, linestyles=style, zorder=4)
            yield Line2D([], [], color=INK, linewidth=1.6, linestyle=style, label=label)


def _values(graph: Any, states: Array) -> Array:
    """A scalar graph of a certificate at states (B, n), as the checker evaluates it."""
    evaluator = Evaluator(read_graph(graph, states.shape[1], "to be drawn"), states.shape[1])
    step = evaluator.chunk(0)
    with np.errstate(all="ignore"):
        parts = [evaluator(Interval(some, some), 0) for some in np.split(states, range(step, len(states), step))]
    return np.concatenate([0.5 * part.lo[0, :, 0] + 0.5 * part.hi[0, :, 0] for part in parts])


def _draw_points(axes: Axes, picture: Picture, plane: tuple[int, int], point: Array) -> Iterator[Line2D]:
    """x*, and the state that refutes or limits the statement, where they lie in the plane."""
    marks: list[tuple[Array, str, str]] = []
    if "equilibrium" in picture.statement:
        marks.append((corner(picture.statement["equilibrium"]), "+", "x*"))
    if picture.marked is not None:
        marks.append((picture.marked[0], "X", picture.marked[1]))
    for state, shape, label in marks:
        rest = [axis for axis in range(len(state)) if axis not in plane]
        if max(plane) < len(state) and (state[rest] == point[rest]).all():
            style: dict[str, Any] = {"marker": shape, "color": INK, "markersize": 9, "linestyle": "none"}
            axes.plot(*state[list(plane)], **style, zorder=5)
            yield Line2D([], [], **style, label=label)
