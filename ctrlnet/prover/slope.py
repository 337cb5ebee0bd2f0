"""Slope-form bounds of a graph: the table of rules, one a primitive, and the walk over the nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
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
NARROW = 8  # entries of a node that is kept for all boxes at once

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
    "linear": lambda a, weight: affine.linear(a[0], torch.as_tensor(weight, device=a[0].center.device), *a[1:]),
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
    """Slope forms of the outputs over the boxes [lower, upper], each of shape (B, n) float64."""
    plan = _planned(graph, tuple(outputs), lower.device)
    values = dict(plan.known)
    for stage in plan.stages:
        values |= _staged(stage, values, lower, upper)
    return [_spread(values[output], lower) for output in outputs]


class Stage(NamedTuple):
    """Nodes that are bounded one after the other, for so many boxes at a time that they mostly fit a processor's cache.

    steps: a node, what is done for it, and the forms that nothing needs afterwards: the next ones take their memory
    while it is in cache. given: what is needed after the stage. chunk: boxes at a time.
    """

    steps: Sequence[tuple[int, Node, Sequence[int]]]
    given: Sequence[int]
    chunk: int


class Plan(NamedTuple):
    """How some outputs of a graph are bounded: what does not depend on the state is known, the rest found in stages."""

    known: Mapping[int, Slope]
    stages: Sequence[Stage]


def _staged(stage: Stage, values: Mapping[int, Slope], lower: Tensor, upper: Tensor) -> dict[int, Slope]:
    def of(start: int) -> list[Slope]:
        part = slice(start, start + stage.chunk)
        held = {number: form if len(form.center) == 1 else form.of(part) for number, form in values.items()}
        return _chunk_bounds(stage, held, lower[part], upper[part])

    parts = spread(of, range(0, max(len(lower), 1), stage.chunk), lower.device.type == "cpu")
    forms = parts[0] if len(parts) == 1 else [_joined(forms) for forms in zip(*parts, strict=True)]
    return dict(zip(stage.given, forms, strict=True))


def _chunk_bounds(stage: Stage, values: dict[int, Slope], lower: Tensor, upper: Tensor) -> list[Slope]:
    for number, node, spent in stage.steps:
        if node.operation == "input":
            values[number] = _state(lower, upper)
        else:
            values[number] = FORMS[node.operation]([values[a] for a in node.arguments], node.attribute)
        for a in spent:
            del values[a]
    return [values[number] for number in stage.given]


def _joined(forms: Sequence[Slope]) -> Slope:
    lower, upper = (torch.cat([form.range[side] for form in forms]) for side in (0, 1))
    center, remainder, radius, magnitude = (
        torch.cat([getattr(form, part) for form in forms]) for part in ("center", "remainder", "radius", "magnitude")
    )
    slopes = torch.cat([form.slopes for form in forms], 1)
    return Slope(center, slopes, remainder, Interval(lower, upper), radius, magnitude)


_plans: WeakKeyDictionary[Graph, dict[tuple[torch.device, tuple[int, ...]], Plan]] = WeakKeyDictionary()


def _planned(graph: Graph, outputs: tuple[int, ...], device: torch.device) -> Plan:
    """Made once: the nodes of a graph never change."""
    plans = _plans.setdefault(graph, {})
    if (device, outputs) not in plans:
        plans[device, outputs] = _plan(graph, outputs, torch.empty(0, device=device))
    return plans[device, outputs]


def _plan(graph: Graph, outputs: tuple[int, ...], like: Tensor) -> Plan:
    """Wide nodes and all that they need first; then the others, of which larger chunks fit, so that calls are fewer.

    What is known is found anew for other outputs: they are few.
    """
    order = graph.reachable(outputs)
    known = _constants(graph, order, like)
    nodes, needed = dict[int, Node](), set(outputs)
    for number in reversed(order):
        if number in needed and number not in known:
            nodes[number] = _biased(graph, graph.nodes[number], known)
            needed.update(nodes[number].arguments)
    wide = set[int]()
    for number, node in nodes.items():
        if number in wide or max(graph.size(a) for a in (number, *node.arguments)) > NARROW:
            wide.update((number, *node.arguments))
    late = [number for number in nodes if number not in wide]
    wanted = {*outputs}.union(*(nodes[number].arguments for number in late))
    first = _stage(nodes, [number for number in nodes if number in wide], wanted)
    return Plan(known, [stage for stage in (first, _stage(nodes, late, set(outputs))) if stage.steps])


def _stage(nodes: Mapping[int, Node], chosen: Sequence[int], wanted: set[int]) -> Stage:
    """`chosen` from the last to the first."""
    steps, kept = list[tuple[int, Node, Sequence[int]]](), set(wanted)
    for number in chosen:
        arguments = {*nodes[number].arguments}
        steps.append((number, nodes[number], [a for a in arguments - kept if a in nodes]))
        kept |= arguments
    widest = max((node.size for _, node, _ in steps), default=1)
    return Stage(steps[::-1], [number for number in chosen if number in wanted], max(512, CHUNK // widest))


def _biased(graph: Graph, node: Node, values: Mapping[int, Slope]) -> Node:
    """W a + b as one step, for a linear map to which float64 numbers are added; other rationals have a remainder."""
    for a, b in (node.arguments, node.arguments[::-1]) if node.operation == "add" else ():
        inner = graph.nodes[a]
        if inner.operation == "linear" and b in values and values[b].number:
            return Node("linear", (*inner.arguments, b), inner.attribute, node.size)
    return node


def _constants(graph: Graph, order: Sequence[int], like: Tensor) -> dict[int, Slope]:
    """What does not depend on the state, by its range."""
    values: dict[int, Slope] = {}
    for number in order:
        node = graph.nodes[number]
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
