"""Identities of the real numbers by which a graph simplifies while it is built.

A quotient, a square root or a logarithm may be undefined somewhere, and what is undefined does not cancel: an
identity that drops an argument asks first whether the argument is defined everywhere (`graph.partial` is False).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ctrlnet.graph import affine
from ctrlnet.graph.constants import Constant
from ctrlnet.graph.signs import Sign

if TYPE_CHECKING:
    from ctrlnet.graph.expression import Graph

INVERSES = {"neg": "neg", "log": "exp"}  # f(g(a)) = a for every real a


def of_one(graph: Graph, operation: str, a: int) -> int | None:
    """-(-a) = a, ln e^a = a, |a|² = a², ‖a‖² = Σ a², √(a²) = |a|, √Σa² = ‖a‖, and |a| = relu(a) = a for a >= 0."""
    node = graph.nodes[a]
    if operation in ("abs", "relu") and graph.sign(a) >= Sign.NONNEGATIVE:
        return a
    if node.operation == INVERSES.get(operation, ""):
        return node.arguments[0]
    if operation == "square" and node.operation in ("abs", "neg"):
        return graph.unary("square", node.arguments[0])
    if operation == "square" and node.operation == "norm":
        return graph.sum(graph.unary("square", node.arguments[0]), node.attribute)
    if operation == "sqrt" and node.operation == "square":
        return graph.unary("abs", node.arguments[0])
    if operation == "sqrt" and node.operation == "sum" and graph.nodes[node.arguments[0]].operation == "square":
        return graph.norm(graph.nodes[node.arguments[0]].arguments[0], node.attribute)
    return None


def of_two(graph: Graph, operation: str, a: int, b: int) -> int | None:
    """Neutral elements, a - a = 0, a a = a squared, max(a, a) = a."""
    left, right = graph.held(a), graph.held(b)
    if operation == "add":
        return b if left and left.all_equal(0) else a if right and right.all_equal(0) else None
    if operation == "sub":
        return _difference(graph, a, b, left, right)
    if operation == "mul":
        return _square_or_scale(graph, a, b, left, right)
    if operation == "div":
        return a if right and right.all_equal(1) else _reciprocal(graph, a, right)
    return a if a == b else None


def of_choice(graph: Graph, c: int, a: int, b: int) -> int | None:
    """select(c, a, a) = a; a decided c chooses; and a - b = k c makes select(c, a, b) = b + k relu(c).

    The last identity makes a continuous function of what only looks discontinuous, as in where(x > 0, x, x/10).
    """
    if a == b and not graph.partial(c):
        return a
    held = graph.held(c)
    if held and 0 not in held.fractions:
        return _chosen(graph, held, a, b)
    if held or graph.partial(a) or graph.partial(b) or graph.partial(c):
        return None
    gap = affine.combined(affine.form(graph, a), affine.form(graph, b), Fraction(-1))
    factors = affine.ratio(gap, affine.form(graph, c), graph.size(c))
    if factors is None:
        return None
    return graph.binary("add", b, graph.binary("mul", graph.constant(factors), graph.unary("relu", c)))


def _chosen(graph: Graph, held: Constant, a: int, b: int) -> int:
    signs = [value > 0 for value in held.fractions]
    if all(signs) or not any(signs):
        return a if all(signs) else b
    index = [i if positive else held.size + i for i, positive in enumerate(signs)]
    return graph.take(graph.concatenate([a, b]), index)


def _difference(graph: Graph, a: int, b: int, left: Constant | None, right: Constant | None) -> int | None:
    if a == b and not graph.partial(a):
        return graph.constant([0] * graph.size(a))
    if left and left.all_equal(0):
        return graph.unary("neg", b)
    return a if right and right.all_equal(0) else None


def _square_or_scale(graph: Graph, a: int, b: int, left: Constant | None, right: Constant | None) -> int | None:
    if a == b:
        return graph.unary("square", a)
    for held, factor, other in ((left, a, b), (right, b, a)):
        if held and held.all_equal(0) and not graph.partial(other):
            return factor
        if held and held.all_equal(1):
            return other
        if held and held.all_equal(-1):
            return graph.unary("neg", other)
    return None


def _reciprocal(graph: Graph, a: int, right: Constant | None) -> int | None:
    """Division by a constant is multiplication by the exact reciprocal."""
    if right is None or 0 in right.fractions:
        return None
    return graph.binary("mul", a, graph.constant([1 / value for value in right.fractions]))
