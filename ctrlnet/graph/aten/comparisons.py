"""Truth values: comparisons, logic, and the choices made by them.

A comparison is a condition c, true where c > 0 (or where c <= 0); where c = 0 a proof takes both values. So > and >=
are one to a proof, and logic is arithmetic on conditions: `and` is a minimum, `or` a maximum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten


def _greater(graph: Graph, a: Any, b: Any) -> Traced:
    return t.decided(graph, t.sub(graph, a, b), truth=True)


def _different(graph: Graph, a: Any, b: Any) -> Traced:
    if not isinstance(b, Traced) and math.isinf(b):
        return inverse(graph, _never(graph, a))
    return t.decided(graph, t.absolute(graph, t.sub(graph, a, b)), truth=True)


def inverse(graph: Graph, a: Traced) -> Traced:
    value = t.truth(graph, a)
    return Traced(value.node, value.shape, not value.truth)


def _oriented(graph: Graph, a: Traced, truth: bool) -> Traced:
    """The same truth values, held where c > 0 or where c <= 0; they differ where c = 0, and proofs take both there."""
    return a if a.truth == truth else Traced(graph.unary("neg", a.node), a.shape, truth)


def both(graph: Graph, a: Traced, b: Traced) -> Traced:
    """a and b: min(c_a, c_b) > 0, or max(c_a, c_b) <= 0."""
    left, right = t.broadcast_all(graph, (t.truth(graph, a), t.truth(graph, b)))
    right = _oriented(graph, right, bool(left.truth))
    node = graph.binary("minimum" if left.truth else "maximum", left.node, right.node)
    return Traced(node, left.shape, left.truth)


def either(graph: Graph, a: Traced, b: Traced) -> Traced:
    """a or b = not (not a and not b)."""
    return inverse(graph, both(graph, inverse(graph, a), inverse(graph, b)))


def _exclusive(graph: Graph, a: Traced, b: Traced) -> Traced:
    return both(graph, either(graph, a, b), inverse(graph, both(graph, a, b)))


def _on_truths(function: Callable[..., Traced]) -> Handler:
    """Bitwise operations are logic on truth values, and have no rule on integers."""

    def handler(graph: Graph, *values: Any) -> Traced:
        if not all(isinstance(value, Traced) and value.truth is not None for value in values):
            raise NotImplementedError("a bitwise operation on integers")
        return function(graph, *values)

    return handler


def _masked_fill(graph: Graph, a: Traced, mask: Traced, value: Any) -> Traced:
    return t.broadcast(graph, t.where(graph, mask, value, a), a.shape)


def _heaviside(graph: Graph, a: Traced, values: Traced) -> Traced:
    """1 or 0, and both at zero, where torch's own value must not be a third one: it lies between them."""
    held = graph.held(values.node)
    if held is None or not all(0 <= value <= 1 for value in held.fractions):
        raise NotImplementedError("a value at zero that is not a constant between 0 and 1")
    return t.positive(graph, t.broadcast_all(graph, (a, values))[0], 1, 0)


def _never(graph: Graph, a: Any) -> Traced:
    """Real numbers are no NaN and not infinite. A test of what may be undefined would be a branch, and has no rule."""
    value = t.number(graph, a)
    if graph.partial(value.node):
        raise NotImplementedError("a test for NaN or infinity of what may be undefined")
    return Traced(graph.constant([-1] * graph.size(value.node)), value.shape, True)


def _cleaned(graph: Graph, a: Traced, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Traced:
    """Real numbers are no NaN and not infinite; what may be undefined would be given a value, of which no proof is."""
    if graph.partial(a.node):
        raise NotImplementedError(
            "it gives a value to what may be undefined, a quotient, root or logarithm; keep that defined instead, by "
            "clamp(min=...) or torch.where inside"
        )
    return a


COMPARISONS: dict[Any, Handler] = {
    aten.gt: _greater,
    aten.lt: lambda graph, a, b: _greater(graph, b, a),
    aten.ge: lambda graph, a, b: inverse(graph, _greater(graph, b, a)),
    aten.le: lambda graph, a, b: inverse(graph, _greater(graph, a, b)),
    aten.ne: _different,
    aten.eq: lambda graph, a, b: inverse(graph, _different(graph, a, b)),
    aten.logical_and: both,
    aten.logical_or: either,
    aten.logical_xor: _exclusive,
    aten.logical_not: inverse,
    aten.bitwise_and: _on_truths(both),
    aten.bitwise_or: _on_truths(either),
    aten.bitwise_xor: _on_truths(_exclusive),
    aten.bitwise_not: _on_truths(inverse),
    aten.where: t.where,
    aten.masked_fill: _masked_fill,
    aten.heaviside: _heaviside,
    aten.isnan: _never,
    aten.isinf: _never,
    aten.nan_to_num: _cleaned,
    aten.signbit: lambda graph, a: _greater(graph, 0, a),
}
