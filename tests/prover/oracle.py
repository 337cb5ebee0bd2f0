"""An independent oracle: graphs evaluated in 60-digit arithmetic, and a generator of random graphs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

import mpmath
import numpy as np

from ctrlnet.graph import Graph

mpmath.mp.dps = 60

UNARY = {
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "exp": mpmath.exp,
    "tanh": mpmath.tanh,
    "relu": lambda a: max(a, mpmath.mpf(0)),
    "abs": abs,
    "step": lambda a: mpmath.mpf(1 if a > 0 else 0 if a < 0 else 0.5),
    "jump": lambda a: mpmath.mpf(0),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "maximum": max,
    "minimum": min,
}


def exact_value(graph: Graph, output: int, x: Sequence[float]) -> list[mpmath.mpf]:
    """The entries of `output` at the float64 state x, to about 50 digits."""
    values: dict[int, list[mpmath.mpf]] = {}
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
                value = [mpmath.fdot(map(mpmath.mpf, row.tolist()), a[0]) for row in node.attribute]
            case "sum":
                m = len(a[0]) // node.size
                value = [mpmath.fsum(a[0][j * m : j * m + m]) for j in range(node.size)]
            case operation if operation in UNARY:
                value = [UNARY[operation](v) for v in a[0]]
            case operation:
                value = [BINARY[operation](p, q) for p, q in zip(*a, strict=True)]
        values[number] = value
    return values[output]


def random_graph(seed: int, smooth: bool = False) -> tuple[Graph, int]:
    """A random expression of one to four variables with every primitive in reach; its value is a scalar."""
    draw = random.Random(seed)
    n = draw.randint(1, 4)
    graph = Graph(n)
    pool = [graph.input]
    unary = ["neg", "square", "sin", "cos", "exp", "tanh"] + ([] if smooth else ["relu", "abs"])
    binary = ["add", "sub", "mul", "div"] + ([] if smooth else ["maximum", "minimum"])
    for _ in range(draw.randint(3, 12)):
        kind = draw.random()
        a = draw.choice(pool)
        if kind < 0.3:
            rows = draw.randint(1, 4)
            weight = [[draw.uniform(-2, 2) for _ in range(graph.size(a))] for _ in range(rows)]
            pool.append(graph.linear(a, np.array(weight)))
        elif kind < 0.6:
            operation = draw.choice(unary)
            if operation in ("exp", "square"):  # towers of these overflow and test nothing
                a = graph.unary("tanh", a)
            pool.append(graph.unary(operation, a))
        elif kind < 0.9:
            pool.append(_combined(graph, draw, draw.choice(binary), a, draw.choice(pool)))
        else:
            pool.append(graph.take(a, [draw.randrange(graph.size(a)) for _ in range(draw.randint(1, 3))]))
    return graph, graph.sum(graph.concatenate([pool[-1], pool[-2], pool[draw.randrange(len(pool))]]), 1)


def _combined(graph: Graph, draw: random.Random, operation: str, a: int, b: int) -> int:
    size = max(graph.size(a), graph.size(b))
    a, b = (graph.take(c, [i % graph.size(c) for i in range(size)]) for c in (a, b))
    if operation == "div":  # a denominator that may come close to zero, but seldom crosses it
        offset = graph.constant([Fraction(draw.choice(("0.3", "2", "-1.5")))] * size)
        b = graph.binary("add", graph.unary("square", b), offset)
    if draw.random() < 0.2:
        b = graph.constant([Fraction(draw.choice(("1/3", "0.1", "-2", "0")))] * size) if operation != "div" else b
    return graph.binary(operation, a, b)
