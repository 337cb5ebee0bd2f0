"""Affine combinations inside a graph: which nodes are rational multiples of others."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrlnet.graph.expression import Graph

Form = dict[int | None, tuple[Fraction, ...]]  # the coefficients of nodes, one an entry; None stands for 1
DEPTH = 8


def form(graph: Graph, a: int, depth: int = DEPTH) -> Form:
    """a = Σ c_k ∘ node_k + c, read through sums, differences and constant factors."""
    node, held = graph.nodes[a], graph.held(a)
    if held:
        return _clean({None: held.fractions})
    if depth and node.operation in ("add", "sub"):
        left, right = (form(graph, argument, depth - 1) for argument in node.arguments)
        return combined(left, right, Fraction(1 if node.operation == "add" else -1))
    if depth and node.operation == "neg":
        return combined({}, form(graph, node.arguments[0], depth - 1), Fraction(-1))
    if depth and node.operation == "mul":
        for factor, other in (node.arguments, node.arguments[::-1]):
            scale = graph.held(factor)
            if scale:
                inner = form(graph, other, depth - 1)
                return _clean({k: _times(scale.fractions, c) for k, c in inner.items()})
    return {a: (Fraction(1),) * node.size}


def combined(left: Form, right: Form, factor: Fraction) -> Form:
    """left + factor right."""
    total = dict(left)
    for k, c in right.items():
        known = total.get(k, (Fraction(0),) * len(c))
        total[k] = tuple(p + factor * q for p, q in zip(known, c, strict=True))
    return _clean(total)


def ratio(a: Form, b: Form, size: int) -> list[Fraction] | None:
    """The rationals k with a = k ∘ b, or None."""
    if not b or not set(a) <= set(b):
        return None
    zeros = (Fraction(0),) * size
    factors: list[Fraction] = []
    for i in range(size):
        entries = [(a.get(k, zeros)[i], c[i]) for k, c in b.items()]
        k = next((p / q for p, q in entries if q), None)
        if k is None or any(p != k * q for p, q in entries):
            return None
        factors.append(k)
    return factors


def _times(a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    return tuple(p * q for p, q in zip(a, b, strict=True))


def _clean(parts: Form) -> Form:
    return {k: c for k, c in parts.items() if any(c)}
