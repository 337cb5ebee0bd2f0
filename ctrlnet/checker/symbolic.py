"""Exact value and gradient of a graph at one rational state: an identity is shown, not a small number.

Values are forms (ctrlnet.checker.forms), so that net(x) - net(x*) cancels identically at x*. Entries of the state may
be forms too, `Algebra.free` for a disturbance: then an identity holds for all its values.

The gradient goes backwards, adjoint by adjoint. Where the adjoint of a node is identically zero its own derivative is
not needed: V(x* + d) - V(x*) = sum_j adjoint_j (v_j(x* + d) - v_j(x*)) + o(|d|) holds whichever nodes are expanded, as
every node has |v_j(x* + d) - v_j(x*)| = O(|d|). A kink whose adjoint is not zero, and a root of zero, which is not
O(|d|), raise `Undetermined`. A switch at zero is not O(|d|) either: unless it is in a branch that is not taken around
x*, the enclosure of Hess V there is unbounded, and proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ctrlnet.checker.document import Constants
from ctrlnet.checker.forms import ONE, UNIT, ZERO, Algebra, Form, Undetermined, rational
from ctrlnet.checker.graph import Graph, Node

__all__ = ["Algebra", "Form", "Undetermined", "gradient", "values"]


class Rule(NamedTuple):
    """Value and partial derivatives of a primitive with one result, from its arguments, its value y, its exponent."""

    value: Callable[[Algebra, Sequence[Form], int], Form]
    partials: Callable[[Algebra, Sequence[Form], Form, int], Sequence[Form]]


def _elementary(name: str, derivative: Callable[[Algebra, Form, Form], Form]) -> Rule:
    return Rule(lambda a, x, _: a.elementary(name, x[0]), lambda a, x, y, _: [derivative(a, x[0], y)])


def _piecewise(name: str, above: Sequence[int], below: Sequence[int]) -> Rule:
    """Slopes where the argument (relu, abs) or the difference of both (maximum, minimum) is positive, or negative."""

    def sign(a: Algebra, x: Sequence[Form]) -> Fraction | None:
        return rational(x[0] if len(x) == 1 else a.combination((1, x[0]), (-1, x[1])))

    def value(a: Algebra, x: Sequence[Form], _: int) -> Form:
        s = sign(a, x)
        return a.atom(name, *x) if s is None else a.combination(*zip(above if s >= 0 else below, x, strict=True))

    def partials(a: Algebra, x: Sequence[Form], y: Form, _: int) -> Sequence[Form]:
        s = sign(a, x)
        if not s:
            raise kink(name)
        return [{0: Fraction(k)} if k else ZERO for k in (above if s > 0 else below)]

    return Rule(value, partials)


def kink(name: str) -> Undetermined:
    """What stops a gradient."""
    return Undetermined(f"V has a kink ('{name}') and no gradient")


def _quotient(a: Algebra, x: Sequence[Form], y: Form, _: int) -> Sequence[Form]:
    inverse = a.reciprocal(x[1])
    return inverse, a.combination((-1, a.product(y, inverse)))


def _unit(a: Algebra, x: Sequence[Form], y: Form, _: int) -> Sequence[Form]:
    if not y:
        raise kink("norm")
    return [a.product(part, a.reciprocal(y)) for part in x]


def _chosen(a: Algebra, x: Sequence[Form], y: Form, _: int) -> Sequence[Form]:
    sign = rational(x[0])
    if not sign:
        raise kink("select")
    return [ZERO, ONE, ZERO] if sign > 0 else [ZERO, ZERO, ONE]


def _flat(a: Algebra, x: Sequence[Form], y: Form, _: int) -> Sequence[Form]:
    if rational(x[0]) is None:
        raise kink("floor")
    return [ZERO]


RULES: dict[str, Rule] = {
    "sin": _elementary("sin", lambda a, x, y: a.elementary("cos", x)),
    "cos": _elementary("cos", lambda a, x, y: a.combination((-1, a.elementary("sin", x)))),
    "tanh": _elementary("tanh", lambda a, x, y: a.combination((1, ONE), (-1, a.product(y, y)))),
    "atan": _elementary("atan", lambda a, x, y: a.reciprocal(a.combination((1, ONE), (1, a.product(x, x))))),
    "exp": _elementary("exp", lambda a, x, y: y),
    "erf": _elementary("erf", lambda a, x, y: a.atom("bell", x)),
    "softplus": _elementary(
        "softplus",
        lambda a, x, y: a.combination((UNIT / 2, ONE), (UNIT / 2, a.elementary("tanh", a.combination((UNIT / 2, x))))),
    ),
    "log": Rule(lambda a, x, _: a.log(x[0]), lambda a, x, y, _: [a.reciprocal(x[0])]),
    "sqrt": Rule(lambda a, x, _: a.sqrt(x[0]), lambda a, x, y, _: [a.reciprocal(a.combination((2, y)))]),
    "norm": Rule(lambda a, x, _: a.norm(x), _unit),
    "select": Rule(lambda a, x, _: a.select(x), _chosen),
    "floor": Rule(lambda a, x, _: a.floor(x[0]), _flat),
    "relu": _piecewise("relu", [1], [0]),
    "abs": _piecewise("abs", [1], [-1]),
    "maximum": _piecewise("maximum", [1, 0], [0, 1]),
    "minimum": _piecewise("minimum", [0, 1], [1, 0]),
    "mul": Rule(lambda a, x, _: a.product(x[0], x[1]), lambda a, x, y, _: [x[1], x[0]]),
    "div": Rule(lambda a, x, _: a.product(x[0], a.reciprocal(x[1])), _quotient),
    "square": Rule(lambda a, x, _: a.product(x[0], x[0]), lambda a, x, y, _: [a.combination((2, x[0]))]),
    "power": Rule(lambda a, x, p: a.power(x[0], p), lambda a, x, y, p: [a.combination((p, a.power(x[0], p - 1)))]),
}
SIGNS = {"add": (UNIT, UNIT), "sub": (UNIT, -UNIT), "neg": (-UNIT,)}


def linear_rows(node: Node, sizes: Sequence[int]) -> list[list[tuple[Fraction, int, int]]]:
    """A linear primitive as sparse rows of (weight, argument, element)."""
    attribute = node.attribute
    if node.operation == "take":
        return [[(UNIT, 0, j)] for j in attribute.tolist()]
    if node.operation == "concatenate":
        return [[(UNIT, k, j)] for k, size in enumerate(sizes) for j in range(size)]
    if node.operation in SIGNS:
        return [[(weight, k, j) for k, weight in enumerate(SIGNS[node.operation])] for j in range(node.size)]
    m = sizes[0] // node.size if node.operation == "sum" else sizes[0]
    if node.operation == "sum":
        return [[(UNIT, 0, i * m + j) for j in range(m)] for i in range(node.size)]
    weights = attribute.values.exact()
    return [[(weights[i * m + j], 0, j) for j in range(m)] for i in range(node.size)]


def places(node: Node, sizes: Sequence[int]) -> list[list[tuple[int, int]]]:
    """For each result of a primitive in `RULES`, where its arguments are: (argument, element)."""
    if node.operation != "norm":
        return [[(k, j) for k in range(len(sizes))] for j in range(node.size)]
    m = sizes[0] // node.size
    return [[(0, j * m + i) for i in range(m)] for j in range(node.size)]


def values(graph: Graph, state: Sequence[Fraction | Form], algebra: Algebra) -> dict[int, list[Form]]:
    """Forms of every needed node at the state, whose entries are rationals or forms, `Algebra.free` say."""
    found: dict[int, list[Form]] = {}
    for i in graph.needed:
        node = graph.nodes[i]
        x = [found[a] for a in node.arguments]
        if not x:
            exact = node.attribute.exact() if isinstance(node.attribute, Constants) else state
            found[i] = [algebra.combination((v, ONE)) if isinstance(v, Fraction) else v for v in exact]
        elif node.operation in RULES:
            value, where = RULES[node.operation].value, places(node, [len(part) for part in x])
            found[i] = [value(algebra, [x[k][j] for k, j in place], node.attribute) for place in where]
        else:
            rows = linear_rows(node, [len(part) for part in x])
            found[i] = [algebra.combination(*((w, x[k][j]) for w, k, j in row)) for row in rows]
    algebra.closed(found[graph.output])
    return found


def gradient(graph: Graph, found: Mapping[int, list[Form]], algebra: Algebra) -> list[Form]:
    """Gradient at the state of a graph of size 1 whose `values` are given; empty where no input is used."""
    pending: dict[int, list[list[tuple[Fraction, Form]]]] = {graph.output: [[(UNIT, ONE)]]}
    result: list[Form] = []
    for i in reversed(graph.needed):
        node = graph.nodes[i]
        adjoint = [algebra.combination(*terms) for terms in pending.pop(i, [])]
        if node.operation == "input":
            result = adjoint
        if node.operation == "sqrt" and not all(found[i]):
            raise Undetermined("V has a root of zero ('sqrt') and no gradient")
        for k, j, term in _pulled(graph, i, adjoint, found, algebra) if any(adjoint) else ():
            a = node.arguments[k]
            pending.setdefault(a, [[] for _ in found[a]])[j].append(term)
    return result


def _pulled(
    graph: Graph, i: int, adjoint: list[Form], found: Mapping[int, list[Form]], algebra: Algebra
) -> list[tuple[int, int, tuple[Fraction, Form]]]:
    """Contributions (argument, element, (weight, form)) of node i to the adjoints of its arguments."""
    node = graph.nodes[i]
    x = [found[a] for a in node.arguments]
    if node.operation not in RULES:
        rows = linear_rows(node, [len(part) for part in x]) if x else []
        return [(k, j, (w, form)) for row, form in zip(rows, adjoint, strict=False) for w, k, j in row]
    result = []
    for place, form, y in zip(places(node, [len(part) for part in x]), adjoint, found[i], strict=True):
        if form:
            partials = RULES[node.operation].partials(algebra, [x[k][j] for k, j in place], y, node.attribute)
            pulled = zip(place, partials, strict=True)
            result += [(k, j, (UNIT, algebra.product(form, partial))) for (k, j), partial in pulled]
    return result
