"""The tracer's view of a tensor, and the arithmetic that all handlers are written in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ctrlnet.errors import NonFinite
from ctrlnet.graph.expression import Graph

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Traced:
    """A tensor of the traced function: the graph node of its entries in row-major order, and its shape.

    A tensor of truth values is its condition c: with truth = True it holds where c > 0, with truth = False where
    c <= 0. Where c = 0 a proof takes both values, so the two differ only in what plain evaluation picks there.
    """

    node: int
    shape: Shape
    truth: bool | None = None  # None: numbers


Result = Traced | tuple[Traced | None, ...]  # None: a result that no rule reads, such as the place of a maximum
Handler = Callable[..., Result]


def scalar(graph: Graph, value: float | int | Fraction) -> Traced:
    if not math.isfinite(value):
        raise NonFinite(f"The function uses the number {value}; only finite numbers can be proved about.")
    return Traced(graph.constant([Fraction(value)]), ())


def filled(graph: Graph, value: int | Fraction, shape: Shape) -> Traced:
    return Traced(graph.constant([Fraction(value)] * math.prod(shape)), shape)


def number(graph: Graph, a: Any) -> Traced:
    """A tensor of numbers: a Python number is lifted, a truth value becomes 1 or 0."""
    if not isinstance(a, Traced):
        return scalar(graph, a)
    if a.truth is None:
        return a
    one, zero = (filled(graph, value, a.shape) for value in (1, 0))
    return chosen(graph, a, one, zero)


def chosen(graph: Graph, condition: Traced, a: Traced, b: Traced) -> Traced:
    """a where the condition holds, else b, for three tensors of one shape."""
    if not condition.truth:
        a, b = b, a
    return Traced(graph.select(condition.node, a.node, b.node), a.shape)


def broadcast(graph: Graph, value: Traced, shape: Shape) -> Traced:
    """`value` spread to `shape`."""
    index = torch.arange(math.prod(value.shape)).reshape(value.shape).expand(shape)
    return Traced(graph.take(value.node, index.reshape(-1).tolist()), shape, value.truth)


def broadcast_all(graph: Graph, values: Iterable[Traced]) -> list[Traced]:
    values = list(values)
    shape = np.broadcast_shapes(*(value.shape for value in values))  # torch has one that imports sympy first
    return [broadcast(graph, value, shape) for value in values]


def unary(operation: str) -> Callable[[Graph, Any], Traced]:
    def handler(graph: Graph, a: Any) -> Traced:
        value = number(graph, a)
        return Traced(graph.unary(operation, value.node), value.shape)

    return handler


def binary(operation: str) -> Callable[[Graph, Any, Any], Traced]:
    def handler(graph: Graph, a: Any, b: Any) -> Traced:
        left, right = broadcast_all(graph, (number(graph, a), number(graph, b)))
        return Traced(graph.binary(operation, left.node, right.node), left.shape)

    return handler


add, sub, mul, div = map(binary, ("add", "sub", "mul", "div"))
maximum, minimum = binary("maximum"), binary("minimum")
neg, square, absolute, relu = map(unary, ("neg", "square", "abs", "relu"))
exp, log, sqrt, tanh, sin, cos, atan, erf, softplus = map(
    unary, ("exp", "log", "sqrt", "tanh", "sin", "cos", "atan", "erf", "softplus")
)


def total(graph: Graph, values: Sequence[Traced]) -> Traced:
    """The sum of several tensors."""
    result = values[0]
    for value in values[1:]:
        result = add(graph, result, value)
    return result


def product(graph: Graph, *values: Any) -> Traced:
    """The product of several tensors or numbers."""
    result = number(graph, values[0])
    for value in values[1:]:
        result = mul(graph, result, value)
    return result


def pi(graph: Graph) -> Traced:
    """π = 4 arctan 1, which stays symbolic."""
    return mul(graph, atan(graph, 1), 4)


def where(graph: Graph, condition: Traced, a: Any, b: Any) -> Traced:
    """a where the condition holds, else b; both where its node is zero."""
    holds, left, right = broadcast_all(graph, (truth(graph, condition), number(graph, a), number(graph, b)))
    return chosen(graph, holds, left, right)


def positive(graph: Graph, c: Any, a: Any, b: Any) -> Traced:
    """a where c > 0, b where c < 0, both where c = 0."""
    condition = number(graph, c)
    return where(graph, Traced(condition.node, condition.shape, truth=True), a, b)


def truth(graph: Graph, a: Traced) -> Traced:
    """A tensor of truth values: a number counts as true unless it is zero, so that it holds where |a| > 0."""
    return a if a.truth is not None else decided(graph, absolute(graph, a), truth=True)


def decided(graph: Graph, condition: Traced, truth: bool) -> Traced:
    """The truth values of a condition; where the condition is a constant they are exact, zeros included."""
    held = graph.held(condition.node)
    if held is None:
        return Traced(condition.node, condition.shape, truth)
    signs = [1 if value > 0 else -1 for value in held.fractions]
    return Traced(graph.constant(signs), condition.shape, truth)
