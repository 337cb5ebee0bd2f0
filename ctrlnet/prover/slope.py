"""Slope-form bounds of a graph: the table of rules, one a primitive, and the walk over the nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.graph.expression import Node
from ctrlnet.prover import affine, pieces
from ctrlnet.prover.affine import Form, Slope, banded, closed, filled, known
from ctrlnet.prover.bands import BANDS, STRIPS, Band
from ctrlnet.prover.curves import power_band
from ctrlnet.prover.interval import RULES as INTERVAL_RULES
from ctrlnet.prover.interval import Interval, enclosed
from ctrlnet.prover.rounding import above, raised
from ctrlnet.prover.threads import spread

__all__ = ["FORMS", "Slope", "slope_bounds"]

CHUNK = 1 << 17  # entries of the widest node over a chunk of boxes

Rule = Callable[[Sequence[Slope], Any], Slope]


def _ranged(operation: str, form: Callable[[Sequence[Slope], Any], Form]) -> Rule:
    """A form with the range that the interval rule gives."""
    interval = INTERVAL_RULES[operation]
    return lambda a, attribute: closed(form(a, attribute), interval([part.range for part in a], attribute))


def _elementwise(operation: str, band: Band) -> Rule:
    return _ranged(operation, lambda a, _: banded(a[0], band(*a[0].range)))


def _with_range(operation: str) -> Rule:
    def rule(a: Sequence[Slope], _: Any) -> Slope:
        strip, bounds = STRIPS[operation](*a[0].range)
        return closed(banded(a[0], strip), bounds)

    return rule


def _sum_of_two(operation: str, sign: float) -> Rule:
    """A number that is added, as a bias is, moves a form."""
    interval = INTERVAL_RULES[operation]

    def rule(a: Sequence[Slope], attribute: Any) -> Slope:
        bounds = interval([part.range for part in a], attribute)
        if a[1].number:
            return affine.shift(a[0], a[1], bounds, sign)
        if a[0].number and sign > 0:
            return affine.shift(a[1], a[0], bounds)
        return closed(affine.add(a[0], a[1], sign), bounds)

    return rule


def _negative(a: Slope) -> Slope:
    return a._replace(center=-a.center, slopes=-a.slopes, range=Interval(-a.range.upper, -a.range.lower))


FORMS: dict[str, Rule] = {
    "take": lambda a, index: affine.take(a[0], index),
    "concatenate": lambda a, _: affine.concatenate(a),
    "linear": lambda a, weight: affine.linear(a[0], torch.as_tensor(weight, device=a[0].center.device)),
    "neg": lambda a, _: _negative(a[0]),
    "sum": _ranged("sum", lambda a, groups: affine.grouped_sum(a[0], groups)),
    "add": _sum_of_two("add", 1.0),
    "sub": _sum_of_two("sub", -1.0),
    "mul": _ranged("mul", lambda a, _: affine.multiply(a[0], a[1])),
    "div": _ranged("div", lambda a, _: affine.multiply(a[0], pieces.reciprocal(a[1]))),
    "maximum": _ranged("maximum", lambda a, _: pieces.extremum(a[0], a[1], 1.0)),
    "minimum": _ranged("minimum", lambda a, _: pieces.extremum(a[0], a[1], -1.0)),
    "select": _ranged("select", lambda a, _: pieces.select(*a)),
    "norm": _ranged("norm", lambda a, groups: pieces.norm(a[0], groups)),
    "unit": _ranged("unit", lambda a, groups: pieces.unit(a[0], groups)),
    "power": _ranged("power", lambda a, exponent: banded(a[0], power_band(exponent)(*a[0].range))),
    **{name: _elementwise(name, band) for name, band in BANDS.items() if name not in STRIPS},
    **{name: _with_range(name) for name in STRIPS},
}


def slope_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Slope]:
    """Slope forms of the outputs over the boxes [lower, upper], each of shape (B, n) float64.

    Boxes are taken in chunks: memory stays small, and mostly within a processor's cache.
    """
    chunk = max(512, CHUNK // max(graph.size(number) for number in graph.reachable(outputs)))
    corners = list(zip(lower.split(chunk), upper.split(chunk), strict=True))
    parts = spread(lambda pair: _chunk_bounds(graph, outputs, *pair), corners, lower.device.type == "cpu")
    return parts[0] if len(parts) == 1 else [_joined(forms) for forms in zip(*parts, strict=True)]


def _joined(forms: Sequence[Slope]) -> Slope:
    lower, upper = (torch.cat([form.range[side] for form in forms]) for side in (0, 1))
    center, remainder, radius, magnitude = (
        torch.cat([getattr(form, part) for form in forms]) for part in ("center", "remainder", "radius", "magnitude")
    )
    slopes = torch.cat([form.slopes for form in forms], 1)
    return Slope(center, slopes, remainder, Interval(lower, upper), radius, magnitude)


def _chunk_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Slope]:
    """A form is dropped after its last use, so that the next ones take its memory while it is in cache."""
    values, order = dict(_constants(graph, outputs, lower.device)), graph.reachable(outputs)
    last = {a: number for number in order for a in graph.nodes[number].arguments}
    for number in order:
        if number not in values:
            values[number] = _bounded(graph.nodes[number], values, lower, upper)
            for a in graph.nodes[number].arguments:
                if last[a] == number and a not in outputs:
                    values.pop(a, None)
    return [_spread(values[output], lower) for output in outputs]


def _bounded(node: Node, values: Mapping[int, Slope], lower: Tensor, upper: Tensor) -> Slope:
    if node.operation == "input":
        return _state(lower, upper)
    return FORMS[node.operation]([values[a] for a in node.arguments], node.attribute)


_held: WeakKeyDictionary[Graph, dict[torch.device, dict[int, Slope]]] = WeakKeyDictionary()


def _constants(graph: Graph, outputs: Sequence[int], device: torch.device) -> Mapping[int, Slope]:
    """What does not depend on the state, bounded once for a graph: nodes never change."""
    values = _held.setdefault(graph, {}).setdefault(device, {})
    like = torch.empty(0, device=device)
    for number in graph.reachable(outputs):
        node = graph.nodes[number]
        if number in values:
            continue
        if node.operation == "constant":
            values[number] = known(enclosed(node.attribute, like))
        elif node.arguments and all(a in values for a in node.arguments):
            bounds = INTERVAL_RULES[node.operation]([values[a].range for a in node.arguments], node.attribute)
            values[number] = known(bounds)
    return values


def _spread(a: Slope, lower: Tensor) -> Slope:
    """A form with a row for every box and every slope, where the node does not depend on the state too."""
    batch, n = lower.shape
    center, remainder, lower_bound, upper_bound, radius, magnitude = (
        part.expand(batch, -1) for part in (a.center, a.remainder, *a.range, a.radius, a.magnitude)
    )
    slopes = filled(a.slopes, n).expand(-1, batch, -1)
    return Slope(center, slopes, remainder, Interval(lower_bound, upper_bound), radius, magnitude)


def _state(lower: Tensor, upper: Tensor) -> Slope:
    """x = m + h∘e; h is rounded up, so the form covers the box."""
    middle = 0.5 * lower + 0.5 * upper
    half = torch.maximum(upper - middle, middle - lower)
    half = torch.where(half > 0, above(half), half)
    slopes = torch.diag_embed(half, dim1=0, dim2=2).contiguous()
    return Slope(middle, slopes, torch.zeros_like(middle), Interval(lower, upper), half, raised(middle.abs() + half))
