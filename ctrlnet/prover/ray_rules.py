"""The rules of `quotients`, one a primitive: quotient and tangent of a node from the rays of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from ctrlnet.graph import PRIMITIVES, Graph, Node
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.rounding import above, below

if TYPE_CHECKING:
    from ctrlnet.prover.quotients import Quotients


class Unsuited(Exception):
    """A node has no quotient that could be bounded: a switch that jumps at x*, say."""


class Ray(NamedTuple):
    """Nodes of one source node along the rays, its range over R x D, and its tangent where a motion is given."""

    base: int
    quotient: int
    value: int
    range: Interval
    tangent: int


Rule = Callable[["Quotients", Node, list[Ray]], tuple[int, int]]


def _constant(q: Quotients, node: Node, a: list[Ray]) -> tuple[int, int]:
    return q.zeros(node.size), q.zeros(node.size)


def _mul(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    a, b = rays
    quotient = q.products((a.quotient, b.value), (a.base, b.quotient))
    return quotient, q.products((a.tangent, b.value), (a.value, b.tangent))


def _div(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    (a, b), binary = rays, q.graph.binary
    ratio, ratio_there = binary("div", a.base, b.base), binary("div", a.value, b.value)
    carried, carried_there = binary("mul", ratio, b.quotient), binary("mul", ratio_there, b.tangent)
    quotient = binary("div", binary("sub", a.quotient, carried), b.value)
    return quotient, binary("div", binary("sub", a.tangent, carried_there), b.value)


def _square(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    (a,) = rays
    double = q.graph.constant([2] * node.size)
    quotient = q.graph.binary("mul", a.quotient, q.graph.binary("add", a.value, a.base))
    return quotient, q.products((q.graph.binary("mul", double, a.value), a.tangent))


def _sqrt(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    (a,) = rays
    roots = [q.graph.unary("sqrt", part) for part in (a.value, a.base)]
    return q.graph.binary("div", a.quotient, q.graph.binary("add", *roots)), _pushed(q, node, a)


def smooth(q: Quotients, node: Node, a: Ray) -> tuple[int, int]:
    held = q.graph.held(a.quotient)
    if held and held.all_equal(0):
        return q.zeros(node.size), _pushed(q, node, a)
    graph = Graph(node.size)
    value = graph.rebuild(node, {node.arguments[0]: graph.input})
    inner = Node(node.operation, (graph.input,), node.attribute, node.size)
    ones = graph.constant([1] * node.size)
    (derivative,) = PRIMITIVES[node.operation].adjoint(graph, inner, value, ones)
    (bounds,) = interval_bounds(graph, [derivative], *a.range)
    return q.graph.binary("mul", q.unknown(bounds.lower[0], bounds.upper[0]), a.quotient), _pushed(q, node, a)


def _pushed(q: Quotients, node: Node, a: Ray) -> int:
    """f'(a) τ, by the rule of the adjoint: an elementwise function is its own transpose."""
    value = q.graph.rebuild(node, {node.arguments[0]: a.value})
    inner = Node(node.operation, (a.value,), node.attribute, node.size)
    return PRIMITIVES[node.operation].adjoint(q.graph, inner, value, a.tangent)[0]


def _norm(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    (a,), graph, argument = rays, q.graph, node.arguments[0]
    at_zero = bool(q.vanishes(a.base).all())
    norms = [graph.rebuild(node, {argument: part}) for part in (a.quotient, a.value, a.base)]
    total = graph.sum(q.products((a.quotient, graph.binary("add", a.value, a.base))), node.size)
    quotient = norms[0] if at_zero else graph.binary("div", total, graph.binary("add", norms[1], norms[2]))
    deciding, length = (a.quotient, norms[0]) if at_zero else (a.value, norms[1])
    inner = Node(node.operation, (deciding,), node.attribute, node.size)
    ones = graph.constant([1] * node.size)
    (unit,) = PRIMITIVES["norm"].adjoint(graph, inner, length, ones)
    return quotient, graph.sum(graph.binary("mul", unit, a.tangent), node.size)


def _select(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    """One branch where the switch has one sign over R; both where it is homogeneous and they agree at x*."""
    c, a, b = rays
    for branch, decided in ((a, c.range.lower > 0), (b, c.range.upper < 0)):
        if bool(decided.all()):
            return branch.quotient, branch.tangent
    moving = q.graph.held(a.tangent), q.graph.held(b.tangent)
    if a.base != b.base or not q.vanishes(c.base).all() or not all(held and held.all_equal(0) for held in moving):
        raise Unsuited("a switch may jump near the equilibrium")
    images = dict(zip(node.arguments, (c.quotient, a.quotient, b.quotient), strict=True))
    return q.graph.rebuild(node, images), q.zeros(node.size)


def _relu(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    (a,), graph = rays, q.graph
    base, zero = q.bounds(a.base), q.vanishes(a.base)
    up = ~zero & (a.range.lower[0] >= 0)
    open_ = ~zero & ~up & ~(a.range.upper[0] <= 0)
    high, low = open_ & (base.lower[0] > 0), open_ & (base.upper[0] < 0)
    end = graph.binary("add", a.base, a.quotient)
    s = q.unknown(torch.zeros(node.size), torch.ones(node.size)) if open_.any() else end
    quotient = q.blend(
        (zero, lambda: graph.unary("relu", a.quotient)),
        (up | high, lambda: a.quotient),
        (high, lambda: graph.binary("mul", s, graph.unary("relu", graph.unary("neg", end)))),
        (low, lambda: graph.binary("mul", s, graph.unary("relu", end))),
        (open_ & ~high & ~low, lambda: graph.binary("mul", s, a.quotient)),
    )
    positive, negative = ~zero & (a.range.lower[0] > 0), ~zero & (a.range.upper[0] < 0)
    step = q.blend(
        (zero, lambda: graph.unary("step", a.quotient)),
        (positive, lambda: graph.constant([1] * node.size)),
        (~zero & ~positive & ~negative, lambda: graph.unary("step", a.value)),
    )
    return quotient, graph.binary("mul", step, a.tangent)


def _abs(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    """|a| = 2 relu(a) - a; |t p| = t |p| where a₀ = 0."""
    (a,), graph = rays, q.graph
    twice = graph.constant([2] * node.size)
    quotient, tangent = (graph.binary("mul", twice, part) for part in _relu(q, node, rays))
    through = bool(q.vanishes(a.base).all())
    quotient = graph.unary("abs", a.quotient) if through else graph.binary("sub", quotient, a.quotient)
    return quotient, graph.binary("sub", tangent, a.tangent)


def _extremum(q: Quotients, node: Node, rays: list[Ray]) -> tuple[int, int]:
    """max(a, b) = b + relu(a - b), min(a, b) = a - relu(a - b)."""
    (a, b), graph = rays, q.graph
    base, quotient, tangent = (graph.binary("sub", getattr(a, k), getattr(b, k)) for k in PARTS)
    bounds = Interval(below(a.range.lower - b.range.upper), above(a.range.upper - b.range.lower))
    excess = _relu(q, node, [q.ray(base, quotient, bounds, tangent)])
    if node.operation == "maximum":
        parts = [graph.binary("add", one, more) for one, more in zip((b.quotient, b.tangent), excess, strict=True)]
    else:
        parts = [graph.binary("sub", one, more) for one, more in zip((a.quotient, a.tangent), excess, strict=True)]
    if q.vanishes(base).all():
        parts[0] = graph.binary(node.operation, a.quotient, b.quotient)
    return parts[0], parts[1]


PARTS = ("base", "quotient", "tangent")
RULES: dict[str, Rule] = {
    "constant": _constant,
    "mul": _mul,
    "div": _div,
    "square": _square,
    "sqrt": _sqrt,
    "norm": _norm,
    "select": _select,
    "relu": _relu,
    "abs": _abs,
    "maximum": _extremum,
    "minimum": _extremum,
}
