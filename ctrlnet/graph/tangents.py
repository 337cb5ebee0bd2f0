"""Derivatives along a motion as further nodes of a graph (forward mode).

The tangent of f for a motion y is f'(x) y. At kinks its enclosure contains g·y for every g in Clarke's gradient, by the
chain rule of `gradient`: both compute with the same `step` of every kink. Here it multiplies one number, where in ∇f·y
it stands in every entry of ∇f: two sides of a kink are enclosed by the segment between g₁·y and g₂·y, not by all that
the box hull of g₁ and g₂ makes possible, which no splitting of boxes at the kink would narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ctrlnet.graph.expression import Graph, Node
from ctrlnet.graph.primitives import PRIMITIVES

LINEAR = {"take", "concatenate", "linear", "sum", "add", "sub", "neg"}

Rule = Callable[[Graph, Node, int, Sequence[int]], int]


def tangent(graph: Graph, output: int, motion: int) -> int:
    """The node of f'(x) y, for an output f and the node y of the motion, of the size of the input."""
    tangents: dict[int, int] = {}
    for number in graph.reachable([output]):
        node = graph.nodes[number]
        tangents[number] = motion if number == graph.input else _of_node(graph, number, node, tangents)
    return tangents[output]


def _of_node(graph: Graph, number: int, node: Node, tangents: dict[int, int]) -> int:
    parts = [tangents[argument] for argument in node.arguments]
    held = [graph.held(part) for part in parts]
    if all(values is not None and values.all_equal(0) for values in held):
        return graph.constant([0] * node.size)
    if node.operation in LINEAR:
        return graph.rebuild(node, dict(zip(node.arguments, parts, strict=True)))
    if node.operation in RULES:
        return RULES[node.operation](graph, node, number, parts)
    # of one argument, entry by entry or, for `unit`, with a symmetric derivative: the tangent is the adjoint
    return PRIMITIVES[node.operation].adjoint(graph, node, number, parts[0])[0]


def _mul(graph: Graph, node: Node, number: int, y: Sequence[int]) -> int:
    a, b = node.arguments
    return graph.binary("add", graph.binary("mul", y[0], b), graph.binary("mul", a, y[1]))


def _div(graph: Graph, node: Node, number: int, y: Sequence[int]) -> int:
    """(y_a - (a/b) y_b) / b."""
    carried = graph.binary("mul", number, y[1])
    return graph.binary("div", graph.binary("sub", y[0], carried), node.arguments[1])


def _extremum(larger: int) -> Rule:
    """y_b + step(a - b) (y_a - y_b) for max(a, b), with step(b - a) for min(a, b)."""

    def rule(graph: Graph, node: Node, number: int, y: Sequence[int]) -> int:
        difference = graph.binary("sub", node.arguments[larger], node.arguments[1 - larger])
        change = graph.binary("mul", graph.unary("step", difference), graph.binary("sub", y[0], y[1]))
        return graph.binary("add", y[1], change)

    return rule


def _norm(graph: Graph, node: Node, number: int, y: Sequence[int]) -> int:
    """unit(a)·y_a."""
    return graph.sum(graph.binary("mul", graph.unit(node.arguments[0], node.attribute), y[0]), node.attribute)


def _select(graph: Graph, node: Node, number: int, y: Sequence[int]) -> int:
    """The tangent of the branch that is taken, and (a - b) jump(c) y_c where c can be zero, unless c stands still.

    With c > 0 on a neighbourhood f = a there, however c and b change. So the second term is gated by two choices, 0 for
    c > 0 and for c < 0: it reads a branch that is not taken, and y_c, both of which may be unbounded or undefined, as
    in the second derivatives of where(|u| > 1, sign(u), u). Its factors stay, so that it cancels only with itself.
    """
    c, a, b = node.arguments
    branch = graph.select(c, y[1], y[2])
    held = graph.held(y[0])
    if held and held.all_equal(0):
        return branch
    none, height = graph.constant([0] * node.size), graph.binary("mul", graph.binary("sub", a, b), y[0])
    jump = graph.binary("mul", height, graph.unary("jump", c))
    at_zero = graph.select(c, none, graph.select(graph.unary("neg", c), none, jump))
    return graph.binary("add", at_zero, branch)


RULES: dict[str, Rule] = {
    "mul": _mul,
    "div": _div,
    "maximum": _extremum(0),
    "minimum": _extremum(1),
    "norm": _norm,
    "select": _select,
}
