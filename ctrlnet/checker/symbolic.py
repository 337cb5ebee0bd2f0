"""Exact value and gradient of a graph at one rational state: an identity is shown, not a small number.

A value is a *form*, a rational linear combination of atoms {atom: coefficient}; atom 0 is the number 1. What is not
rational, tanh(b) say, becomes an atom named by its operation and the forms it acts on, so equal expressions are one
atom and net(x) - net(x*) cancels identically at x*. The empty form is zero. A form that is not empty may still be zero,
so only "identically zero" is ever concluded.

The gradient goes backwards, adjoint by adjoint. Where the adjoint of a node is identically zero its own derivative is
not needed: V(x* + d) - V(x*) = sum_j adjoint_j (v_j(x* + d) - v_j(x*)) + o(|d|) holds whichever nodes are expanded, as
every node is locally Lipschitz. A kink whose adjoint is not zero raises `Undetermined`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ctrlnet.checker.document import Constants
from ctrlnet.checker.graph import Graph, Node

Form = Mapping[int, Fraction]
ZERO: Form = {}
UNIT = Fraction(1)
MAX_BITS = 2**14
MAX_TERMS = 2_000_000
AT_ZERO = {"sin": ZERO, "cos": {0: UNIT}, "tanh": ZERO, "sigmoid": {0: UNIT / 2}, "exp": {0: UNIT}}


class Undetermined(Exception):
    """The exact evaluation has no answer; the message says where it stopped."""


def rational(form: Form) -> Fraction | None:
    """The value of a form that is a number, None for others."""
    return Fraction(0) if not form else form[0] if len(form) == 1 and 0 in form else None


class Algebra:
    """Forms over a growing table of atoms, with bounded work."""

    def __init__(self) -> None:
        self.atoms: dict[tuple[object, ...], int] = {("one",): 0}
        self.terms = 0

    def count(self, terms: int, value: Fraction = UNIT) -> None:
        """Bound the number of terms and the length of their coefficients."""
        self.terms += terms
        if self.terms > MAX_TERMS or value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            raise Undetermined("the exact evaluation is too large for this checker")

    def atom(self, name: str, *forms: Form) -> Form:
        """The atom of an operation on forms."""
        self.count(sum(map(len, forms)))
        key = (name, *(tuple(sorted(form.items())) for form in forms))
        return {self.atoms.setdefault(key, len(self.atoms)): UNIT}

    def combination(self, *terms: tuple[Fraction | int, Form]) -> Form:
        """Sum of coefficient times form."""
        result: dict[int, Fraction] = {}
        for weight, form in terms:
            for atom, value in form.items() if weight else ():
                result[atom] = result.get(atom, Fraction(0)) + weight * value
                self.count(1, result[atom])
        return {atom: value for atom, value in result.items() if value}

    def product(self, a: Form, b: Form) -> Form:
        """a b: zero times anything is zero, a rational scales, the rest is an atom."""
        for one, other in ((a, b), (b, a)):
            scale = rational(one)
            if scale is not None:
                return self.combination((scale, other))
        return self.atom("mul", *sorted((a, b), key=lambda form: sorted(form.items())))

    def power(self, a: Form, p: int) -> Form:
        """a^p, p >= 1."""
        return a if p == 1 else self.product(self.power(a, p - 1), a)

    def reciprocal(self, a: Form) -> Form:
        """1 / a."""
        value = rational(a)
        if value == 0:
            raise Undetermined("a division by zero")
        return self.atom("reciprocal", a) if value is None else {0: 1 / value}

    def elementary(self, name: str, a: Form) -> Form:
        """sin, cos, tanh, sigmoid, exp: rational at zero, otherwise an atom."""
        return self.atom(name, a) if a else AT_ZERO[name]


class Rule(NamedTuple):
    """Value and partial derivatives of a scalar primitive, (algebra, arguments, exponent) and with its value y."""

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
            raise Undetermined(f"V has a kink ('{name}') and no gradient")
        return [{0: Fraction(k)} if k else ZERO for k in (above if s > 0 else below)]

    return Rule(value, partials)


def _quotient(a: Algebra, x: Sequence[Form], y: Form, _: int) -> Sequence[Form]:
    inverse = a.reciprocal(x[1])
    return inverse, a.combination((-1, a.product(y, inverse)))


RULES: dict[str, Rule] = {
    "sin": _elementary("sin", lambda a, x, y: a.elementary("cos", x)),
    "cos": _elementary("cos", lambda a, x, y: a.combination((-1, a.elementary("sin", x)))),
    "tanh": _elementary("tanh", lambda a, x, y: a.combination((1, {0: UNIT}), (-1, a.product(y, y)))),
    "sigmoid": _elementary("sigmoid", lambda a, x, y: a.combination((1, y), (-1, a.product(y, y)))),
    "exp": _elementary("exp", lambda a, x, y: y),
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


def values(graph: Graph, state: Sequence[Fraction], algebra: Algebra) -> dict[int, list[Form]]:
    """Forms of every needed node at the state."""
    found: dict[int, list[Form]] = {}
    for i in graph.needed:
        node = graph.nodes[i]
        x = [found[a] for a in node.arguments]
        if not x:
            exact = node.attribute.exact() if isinstance(node.attribute, Constants) else state
            found[i] = [{0: v} if v else ZERO for v in exact]
        elif node.operation in RULES:
            value = RULES[node.operation].value
            found[i] = [value(algebra, forms, node.attribute) for forms in zip(*x, strict=True)]
        else:
            rows = linear_rows(node, [len(part) for part in x])
            found[i] = [algebra.combination(*((w, x[k][j]) for w, k, j in row)) for row in rows]
    return found


def gradient(graph: Graph, found: Mapping[int, list[Form]], algebra: Algebra) -> list[Form]:
    """Gradient at the state of a graph of size 1 whose `values` are given; empty where no input is used."""
    pending: dict[int, list[list[tuple[Fraction, Form]]]] = {graph.output: [[(UNIT, {0: UNIT})]]}
    result: list[Form] = []
    for i in reversed(graph.needed):
        node = graph.nodes[i]
        adjoint = [algebra.combination(*terms) for terms in pending.pop(i, [])]
        if node.operation == "input":
            result = adjoint
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
    for j, form in enumerate(adjoint):
        if form:
            arguments = [part[j] for part in x]
            partials = RULES[node.operation].partials(algebra, arguments, found[i][j], node.attribute)
            result += [(k, j, (UNIT, algebra.product(form, partial))) for k, partial in enumerate(partials)]
    return result
