"""An independent oracle: graphs evaluated in 60-digit arithmetic, and a generator of random graphs.

A value that does not exist (a pole, a root or logarithm outside its domain) is NaN, and so is what depends on it,
except through the branch of a `select` that is not taken. Where a primitive is set-valued (step, jump, select, floor
and unit at their switches) the value is one member of the set: assert membership, not equality.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import mpmath
import numpy as np

from ctrlnet.graph import Graph

mpmath.mp.dps = 60

Number = mpmath.mpf
ZERO, NAN = mpmath.mpf(0), mpmath.mpf("nan")


def _on(defined: Callable[[Number], bool], function: Callable[[Number], Number]) -> Callable[[Number], Number]:
    """A function on its domain, NaN elsewhere."""
    return lambda a: function(a) if defined(a) else NAN


def _extremum(choose: Callable[..., Number]) -> Callable[[Number, Number], Number]:
    return lambda a, b: NAN if mpmath.isnan(a) or mpmath.isnan(b) else choose(a, b)


UNARY = {
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "sqrt": _on(lambda a: a >= 0, mpmath.sqrt),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "exp": mpmath.exp,
    "log": _on(lambda a: a > 0, mpmath.log),
    "tanh": mpmath.tanh,
    "atan": mpmath.atan,
    "softplus": lambda a: (a if a > 0 else 0 * a) + mpmath.log1p(mpmath.exp(-abs(a))),
    "erf": mpmath.erf,
    "bell": lambda a: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-a * a),
    "relu": lambda a: a if a > 0 else 0 * a,
    "abs": abs,
    "floor": mpmath.floor,
    "step": lambda a: a if mpmath.isnan(a) else mpmath.mpf(1 if a > 0 else 0 if a < 0 else 0.5),
    "jump": lambda a: 0 * a,
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b != 0 else NAN,
    "maximum": _extremum(max),
    "minimum": _extremum(min),
}


def _groups(values: list[Number], count: int) -> list[list[Number]]:
    m = len(values) // count
    return [values[j * m : j * m + m] for j in range(count)]


def _norm(part: list[Number]) -> Number:
    return mpmath.sqrt(mpmath.fsum(a * a for a in part))


def _unit(part: list[Number]) -> list[Number]:
    """Zero, a point of the unit ball, where the norm is zero."""
    length = _norm(part)
    return [a / length if length != 0 else ZERO for a in part]


def _choice(c: Number, a: Number, b: Number) -> Number:
    return c if mpmath.isnan(c) else a if c >= 0 else b


def exact_value(graph: Graph, output: int, x: Sequence[float]) -> list[Number]:
    """The entries of `output` at the float64 state x, to about 50 digits."""
    values: dict[int, list[Number]] = {}
    for number in graph.reachable([output]):
        node = graph.nodes[number]
        a = [values[argument] for argument in node.arguments]
        match node.operation:
            case "input":
                value = [mpmath.mpf(v) for v in x]
            case "constant":
                value = [mpmath.mpf(q.numerator) / q.denominator for q in node.attribute.fractions]
            case "take":
                value = [a[0][i] for i in node.attribute]
            case "concatenate":
                value = [v for part in a for v in part]
            case "linear":
                value = [mpmath.fsum(w * v for w, v in zip(row.tolist(), a[0], strict=True)) for row in node.attribute]
            case "sum":
                value = [mpmath.fsum(part) for part in _groups(a[0], node.attribute)]
            case "norm":
                value = [_norm(part) for part in _groups(a[0], node.attribute)]
            case "unit":
                value = [u for part in _groups(a[0], node.attribute) for u in _unit(part)]
            case "power":
                value = [v**node.attribute for v in a[0]]
            case "select":
                value = [_choice(*entries) for entries in zip(*a, strict=True)]
            case operation if operation in UNARY:
                value = [UNARY[operation](v) for v in a[0]]
            case operation:
                value = [BINARY[operation](p, q) for p, q in zip(*a, strict=True)]
        values[number] = value
    return values[output]


SMOOTH = ("neg", "square", "power", "sin", "cos", "exp", "tanh", "atan", "softplus", "erf", "sqrt", "log")
KINKED = ("relu", "abs", "norm", "norm", "floor")
BOUNDED_FIRST = ("exp", "square", "power")  # towers of these overflow and test nothing
EXPONENTS = (3, 4, 5, 6, 7, 12, 33, 64)


def random_graph(seed: int, smooth: bool = False, dimension: int = 0) -> tuple[Graph, int]:
    """A random expression with every primitive in reach, of one to six variables, or of so many; its value is a scalar.

    `smooth` leaves out what has kinks, and keeps roots and logarithms within their domain.
    """
    draw = random.Random(seed)
    graph = Graph(dimension or draw.randint(1, 6))
    pool = [graph.input]
    binary = ["add", "sub", "mul", "div"] + ([] if smooth else ["maximum", "minimum"])
    for _ in range(draw.randint(3, 12)):
        kind, a = draw.random(), draw.choice(pool)
        if kind < 0.25:
            rows = draw.randint(1, 4)
            weight = [[draw.uniform(-2, 2) for _ in range(graph.size(a))] for _ in range(rows)]
            pool.append(graph.linear(a, np.array(weight)))
        elif kind < 0.6:
            pool.append(_applied(graph, draw, draw.choice(SMOOTH if smooth else SMOOTH + KINKED), a, smooth))
        elif kind < 0.85:
            pool.append(_combined(graph, draw, draw.choice(binary), a, draw.choice(pool)))
        elif kind < 0.93 and not smooth:
            c, b = draw.choice(pool), draw.choice(pool)
            size = max(map(graph.size, (a, b, c)))
            pool.append(graph.select(*(_resized(graph, part, size) for part in (c, a, b))))
        else:
            pool.append(graph.take(a, [draw.randrange(graph.size(a)) for _ in range(draw.randint(1, 3))]))
    return graph, graph.sum(graph.concatenate([pool[-1], pool[-2], pool[draw.randrange(len(pool))]]), 1)


def _applied(graph: Graph, draw: random.Random, operation: str, a: int, smooth: bool) -> int:
    if operation in BOUNDED_FIRST:
        a = graph.unary("tanh", a)
    if operation == "power":
        return graph.power(a, draw.choice(EXPONENTS))
    if operation == "norm":
        size = graph.size(a)
        return graph.norm(a, draw.choice([count for count in range(1, size + 1) if size % count == 0]))
    if operation in ("sqrt", "log") and (smooth or draw.random() < 0.8):
        a = _positive(graph, draw, a)
    return graph.unary(operation, a)


def _positive(graph: Graph, draw: random.Random, a: int) -> int:
    offset = graph.constant([Fraction(draw.choice(("0.01", "0.3", "2")))] * graph.size(a))
    return graph.binary("add", graph.unary("square", a), offset)


def _combined(graph: Graph, draw: random.Random, operation: str, a: int, b: int) -> int:
    size = max(graph.size(a), graph.size(b))
    a, b = (_resized(graph, part, size) for part in (a, b))
    if operation == "div":  # a denominator that may come close to zero, but seldom crosses it
        offset = graph.constant([Fraction(draw.choice(("0.3", "2", "-1.5")))] * size)
        b = graph.binary("add", graph.unary("square", b), offset)
    if draw.random() < 0.2:
        b = graph.constant([Fraction(draw.choice(("1/3", "0.1", "-2", "0")))] * size) if operation != "div" else b
    return graph.binary(operation, a, b)


def _resized(graph: Graph, a: int, size: int) -> int:
    return graph.take(a, [i % graph.size(a) for i in range(size)])


def undefined(value: Number) -> bool:
    """Whether the oracle found no value."""
    return math.isnan(value)
