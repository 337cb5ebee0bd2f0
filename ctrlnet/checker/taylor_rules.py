"""Forms of second order of the nodes of a graph, and of their derivatives along a curve.

The inputs are forms of a point x and, for derivatives, of vectors x', x'': then a node a has a' = Da x' and
a'' = D^2 a (x', x') + Da x''. With x' = F and x'' = DF F these are its time derivatives along x' = F(x), and a' holds
g.F for every g in Clarke's gradient, which lies in the convex hull of the products of the nodes' own.

Smooth functions: smooth.py.

Kinks. relu is convex and 0 at 0: relu(d) is in k d + [0, max(-k l, (1 - k) u)] for d in [l, u] and any k in [0, 1], so
max(a, b) = b + relu(a - b) is in k a + (1 - k) b + [0, max(-k l, (1 - k) u)] where a - b is in [l, u]. Its derivatives
are between a' and b' where a = b is possible, and a'' has no bound there. A switch that may be zero takes both values,
and has no derivatives; nor has floor where it jumps.

The form of a value is replaced by its natural enclosure where that is narrower, or undefined.

Source: Makino, Berz (see taylor.py); Clarke, Optimization and Nonsmooth Analysis (1983), Thms 2.3.9, 2.3.12.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from ctrlnet.checker import taylor
from ctrlnet.checker.forward import Jet, Jets, parts
from ctrlnet.checker.functions import FUNCTIONS, Elementary, Function, powers, steps
from ctrlnet.checker.graph import Node
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.smooth import HIGHER, Higher, higher_powers, polynomials
from ctrlnet.checker.taylor import Form, add, around, constant, either, multiply, negative
from ctrlnet.checker.taylor_ranges import span

OWN = ("linear", "sum", "add", "sub", "mul", "div")
"""Operations whose form may have a narrower range than the natural one."""


class Value(NamedTuple):
    """Of a node: its form and those of its derivatives, and its range."""

    forms: list[Form]
    range: Interval


def evaluate(f: Evaluator, inputs: Value) -> Value:
    """The output of a graph."""
    jets, values = Jets(inputs.forms[0].n, 0, f.elementary), dict[int, Value]()
    for i in f.graph.needed:
        node = f.graph.nodes[i]
        arguments = [values[a] for a in node.arguments]
        values[i] = inputs if node.operation == "input" else _node(f, jets, i, arguments, len(inputs.forms))
        for expired in f.graph.expired.get(i, ()):
            del values[expired]
    output = values[f.graph.output]
    return output._replace(forms=[form.sharpened() for form in output.forms])


def _node(f: Evaluator, jets: Jets, i: int, x: list[Value], orders: int) -> Value:
    node, n = f.graph.nodes[i], jets.n
    natural = f.apply(jets, node, i, [Jet(a.range) for a in x]).value
    if node.operation == "constant":
        return Value([constant(natural, n)] + [nothing(node.size, n)] * (orders - 1), natural)
    first, *rest = forms(node, x, f.attributes[i], natural, f.elementary)
    first = taylor.within(first, natural)
    sharper = node.operation in OWN and len(first.terms) > 1
    return Value([first, *rest], natural.within(span(first)) if sharper else natural)


def forms(node: Node, x: list[Value], attribute: Any, natural: Interval, e: Elementary) -> list[Form]:
    """One row an operation."""
    operation, of = node.operation, [a.forms for a in x]
    if operation == "power":
        return chained(x[0], natural, powers(attribute), higher_powers(attribute), e)
    if operation == "mul" and node.arguments[0] == node.arguments[1]:
        operation = "square"
    if operation in HIGHER:
        return chained(x[0], natural, FUNCTIONS[operation], HIGHER[operation], e)
    match operation:
        case "take":
            return [taylor.entries(a, attribute) for a in of[0]]
        case "concatenate":
            return [taylor.concatenate(list(side)) for side in zip(*of, strict=True)]
        case "linear":
            return [taylor.linear(a, attribute) for a in of[0]]
        case "sum":
            return [taylor.grouped_sum(a, attribute) for a in of[0]]
        case "neg":
            return opposite(x[0]).forms
        case "add":
            return [add(a, b) for a, b in zip(*of, strict=True)]
        case "sub":
            return [add(a, negative(b)) for a, b in zip(*of, strict=True)]
        case "mul":
            return product(*of)
        case "div":
            return product(of[0], reciprocal(x[1], e))
        case "relu":
            return larger(x[0], zero(x[0]))
        case "abs":
            return larger(x[0], opposite(x[0]))
        case "maximum":
            return larger(*x)
        case "minimum":
            return [negative(a) for a in larger(*map(opposite, x))]
        case "select":
            return selected(*x)
        case "floor":
            return stepped(x[0], natural)
        case "norm":
            return length(x[0], attribute, natural, e)
    raise NotImplementedError(f"the operation '{operation}' has no form of second order")


def chained(a: Value, y: Interval, f: Function, higher: Higher, e: Elementary) -> list[Form]:
    """A smooth function, of range y."""
    x, at = a.forms, around(a.range)[0]
    value, slope, bend = polynomials(a.range, y, f, higher, e)
    result = [value.of(x[0], at)]
    if len(x) > 1:
        first = taylor.within(slope.of(x[0], at), f.first(a.range, y, e))
        result += [multiply(first, d) for d in x[1:]]
    if len(x) > 2:
        second = taylor.within(bend.of(x[0], at), f.second(a.range, y, e))
        result[2] = add(result[2], multiply(second, multiply(x[1], x[1])))
    return result


def product(a: list[Form], b: list[Form]) -> list[Form]:
    """a b, a' b + a b', a'' b + 2 a' b' + a b''."""
    pairs = [(0, 0)], [(1, 0), (0, 1)], [(2, 0), (1, 1), (1, 1), (0, 2)]
    return [reduce(add, (multiply(a[i], b[j]) for i, j in order)) for order in pairs[: len(a)]]


def reciprocal(a: Value, e: Elementary) -> list[Form]:
    """1 / a."""
    y = a.range.reciprocal()
    first, *rest = chained(a, y, FUNCTIONS["reciprocal"], HIGHER["reciprocal"], e)
    return [taylor.within(first, y), *rest]


def length(a: Value, count: int, y: Interval, e: Elementary) -> list[Form]:
    """Euclidean norms, of range y, of `count` consecutive parts: roots of sums of squares; the derivative is u.a'
    with |u| <= 1, at zero too."""
    squares = a.range.square()
    terms = chained(a, squares, FUNCTIONS["square"], HIGHER["square"], e)
    summed = Value([taylor.grouped_sum(form, count) for form in terms], parts(squares, count).sum().clip(0.0, np.inf))
    result = chained(summed, y, FUNCTIONS["sqrt"], HIGHER["sqrt"], e)
    for form in a.forms[1:2]:
        most = parts(Interval(form.size, form.size).square(), count).sum().clip(0.0, np.inf).sqrt().hi
        result[1] = taylor.within(result[1], Interval(-most, most))
    return result


def larger(a: Value, b: Value) -> list[Form]:
    """max(a, b)."""
    x, y = a.forms, b.forms
    apart = span(add(x[0], negative(y[0]))).within(a.range - b.range)
    l, u = apart.lo, apart.hi
    decided = (l >= 0) | (u <= 0)
    k = np.where(decided, l >= 0, np.clip(u / (u - l), 0.0, 1.0))
    gap = np.where(decided, 0.0, taylor.fat(np.maximum(-k * l, (1 - k) * u)))
    value = taylor.mixed(k, x[0], y[0], Interval(np.zeros_like(gap), gap))
    rest = [either(p, q, l > 0, u < 0) for p, q in zip(x[1:], y[1:], strict=True)]
    return [value, *rest[:1], *(taylor.unbounded(d, ~((l > 0) | (u < 0))) for d in rest[1:])]


def selected(switch: Value, a: Value, b: Value) -> list[Form]:
    """a where the switch is positive, b where it is negative; it does not matter where both are one node."""
    if a is b:
        return a.forms
    above, below = switch.range.lo > 0, switch.range.hi < 0
    value, *rest = (either(p, q, above, below) for p, q in zip(a.forms, b.forms, strict=True))
    return [value, *(taylor.unbounded(d, ~(above | below)) for d in rest)]


def stepped(a: Value, y: Interval) -> list[Form]:
    """floor, of range y: constant where the argument touches no whole number."""
    jumps = ~np.isfinite(steps(a.range).hi)
    value, *rest = zero(a).forms
    return [constant(y, value.n), *(taylor.unbounded(form, jumps) for form in rest)]


def opposite(a: Value) -> Value:
    """-a."""
    return Value([negative(form) for form in a.forms], -a.range)


def zero(a: Value) -> Value:
    """0 beside a."""
    form = nothing(a.range.shape[1], a.forms[0].n)
    return Value([form] * len(a.forms), Interval(form.rest, form.rest))


def nothing(size: int, n: int) -> Form:
    """Exactly zero."""
    return Form(np.zeros((1, 1, size)), np.zeros((1, size)), n)
