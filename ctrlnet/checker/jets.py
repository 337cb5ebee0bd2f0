"""Enclosures of a graph's value, gradient and Hessian over many boxes at once, by second-order forward jets.

A jet is an `Interval` of shape (K, B, size): row 0 the value, rows 1..n the partial derivatives d_i, then (order 2) the
second derivatives, first d_ii for every i, then d_ij for i < j. B is the number of boxes, or 1. Rows that are missing
at the end are exactly zero: a constant has K = 1, an affine function K = 1 + n.

For functions with kinks row i holds Clarke's generalised derivatives and the rows of second order are unbounded.

Source: Griewank, Walther, Evaluating Derivatives, 2nd ed., ch. 13; Clarke, Optimization and
Nonsmooth Analysis, Thm 2.3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.document import Constants
from ctrlnet.checker.functions import FUNCTIONS, Elementary, Function, numpy_elementary, powers
from ctrlnet.checker.graph import Graph, Node, Weights
from ctrlnet.checker.interval import Interval, Matrix, linear, stack

CHUNK_BYTES = 2**20
"""Size of the jet of a graph's widest node, one bound; small enough for a processor's cache."""


@dataclass(frozen=True)
class Jets:
    """Arithmetic of jets in n variables up to `order` 0, 1 or 2."""

    n: int
    order: int
    elementary: Elementary = field(default=numpy_elementary)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices i < j of the mixed second derivatives."""
        return np.triu_indices(self.n, 1)

    @property
    def rows(self) -> int:
        """K of a full jet."""
        return (1, 1 + self.n, 1 + self.n + self.n * (self.n + 1) // 2)[self.order]

    def state(self, box: Interval) -> Interval:
        """The variables themselves over boxes of shape (B, n)."""
        if self.order == 0:
            return box[None]
        identity = np.broadcast_to(np.eye(self.n)[:, None, :], (self.n, *box.shape))
        return stack([box[None], Interval(identity, identity)])

    def chain(self, x: Interval, function: Function) -> Interval:
        """f(x):  d_i f = f' d_i x,  d_ij f = f'' d_i x d_j x + f' d_ij x."""
        y = function.value(x[0], self.elementary)
        if len(x.lo) == 1:
            return y[None]
        first = function.first(x[0], y, self.elementary)
        parts = [y[None], first * x[1 : 1 + self.n]]
        if self.order == 2:
            bent = function.second(x[0], y, self.elementary) * self.outer(x[1 : 1 + self.n])
            parts.append(bent if len(x.lo) == 1 + self.n else bent + first * x[1 + self.n :])
        return stack(parts)

    def outer(self, gradient: Interval) -> Interval:
        """d_i x d_j x for all second-order rows."""
        i, j = self.pairs
        return stack([gradient.square(), gradient[i] * gradient[j]])

    def add(self, a: Interval, b: Interval) -> Interval:
        """a + b."""
        short, long = (a, b) if len(a.lo) <= len(b.lo) else (b, a)
        k = len(short.lo)
        head = short + long[:k]
        return head if len(long.lo) == k else stack([head, self.spread(long[k:], head.shape[1])])

    def spread(self, a: Interval, boxes: int) -> Interval:
        """The same jet for each of `boxes` boxes."""
        shape = (a.shape[0], boxes, a.shape[2])
        return Interval(np.broadcast_to(a.lo, shape), np.broadcast_to(a.hi, shape))

    def multiply(self, a: Interval, b: Interval) -> Interval:
        """a b:  d_i = a d_i b + b d_i a,  d_ij = a d_ij b + b d_ij a + d_i a d_j b + d_j a d_i b."""
        value = a[:1] * b[:1]
        terms = [a[:1] * b[1:] if len(b.lo) > 1 else None, b[:1] * a[1:] if len(a.lo) > 1 else None]
        present = [t for t in terms if t is not None]
        if not present:
            return value
        rest = present[0] if len(present) == 1 else self.add(present[0], present[1])
        if self.order == 2 and len(present) == 2:
            cross = self.cross(a[1 : 1 + self.n], b[1 : 1 + self.n])
            second = cross if len(rest.lo) == self.n else cross + rest[self.n :]
            rest = stack([rest[: self.n], second])
        return stack([value, rest])

    def cross(self, a: Interval, b: Interval) -> Interval:
        """d_i a d_j b + d_j a d_i b for all second-order rows."""
        i, j = self.pairs
        return stack([(a * b).scaled(2.0), a[i] * b[j] + a[j] * b[i]])

    def maximum(self, a: Interval, b: Interval) -> Interval:
        """max(a, b): the derivatives of the larger one; where they may be equal the hull of both, d_ij unbounded."""
        value = Interval(np.maximum(a.lo[:1], b.lo[:1]), np.maximum(a.hi[:1], b.hi[:1]))
        if len(a.lo) == 1 and len(b.lo) == 1:
            return value
        first, second = a.lo[0] > b.hi[0], b.lo[0] > a.hi[0]
        a, b = self.full(a, value.shape[1]), self.full(b, value.shape[1])
        hull = a.hull(b)
        hull.lo[1 + self.n :], hull.hi[1 + self.n :] = -np.inf, np.inf
        lo = np.where(first, a.lo, np.where(second, b.lo, hull.lo))
        hi = np.where(first, a.hi, np.where(second, b.hi, hull.hi))
        return stack([value, Interval(lo, hi)[1:]])

    def full(self, a: Interval, boxes: int) -> Interval:
        """With all rows written out, for `boxes` boxes."""
        a = self.spread(a, boxes)
        zeros = np.zeros((self.rows - a.shape[0], *a.shape[1:]))
        return stack([a, Interval(zeros, zeros)])

    def concatenate(self, parts: Sequence[Interval]) -> Interval:
        """Join vectors."""
        boxes = max(p.shape[1] for p in parts)
        if all(p.shape[0] == 1 for p in parts):
            return stack([self.spread(p, boxes) for p in parts], axis=2)
        return stack([self.full(p, boxes) for p in parts], axis=2)

    def total(self, a: Interval, count: int) -> Interval:
        """Sums of `count` consecutive parts of equal length."""
        shape = (*a.shape[:2], count, -1)
        return Interval(a.lo.reshape(shape), a.hi.reshape(shape)).sum()


class Evaluator:
    """A graph ready to be enclosed: its constants and weights as float64 enclosures."""

    def __init__(self, graph: Graph, n: int, elementary: Elementary = numpy_elementary) -> None:
        self.graph, self.n, self.elementary = graph, n, elementary
        self.attributes = {i: _enclosed(graph.nodes[i]) for i in graph.needed}

    def chunk(self, order: int) -> int:
        """Boxes to enclose together, so that the jet of the widest node stays small."""
        widest = max(self.graph.nodes[i].size for i in self.graph.needed)
        return max(16, CHUNK_BYTES // (8 * widest * Jets(self.n, order).rows))

    def __call__(self, box: Interval, order: int) -> Interval:
        """Jet (K, B, size) of the output over boxes (B, n), all K rows of `order` written out."""
        jets = Jets(self.n, order, self.elementary)
        state, values = jets.state(box), dict[int, Interval]()
        for i in self.graph.needed:
            node = self.graph.nodes[i]
            arguments = [values[a] for a in node.arguments]
            values[i] = state if node.operation == "input" else self._apply(jets, node, i, arguments)
            for expired in self.graph.expired.get(i, ()):
                del values[expired]
        return jets.full(values[self.graph.output], len(box.lo))

    def _apply(self, jets: Jets, node: Node, i: int, arguments: list[Interval]) -> Interval:
        if node.operation in FUNCTIONS:
            return jets.chain(arguments[0], FUNCTIONS[node.operation])
        if node.operation == "mul" and node.arguments[0] == node.arguments[1]:
            return jets.chain(arguments[0], FUNCTIONS["square"])
        return OPERATIONS[node.operation](jets, arguments, self.attributes[i])


def _enclosed(node: Node) -> Any:
    if isinstance(node.attribute, Constants):
        return Interval(node.attribute.low[None, None], node.attribute.high[None, None])
    if isinstance(node.attribute, Weights):
        shape = (node.attribute.rows, node.attribute.columns)
        return Matrix.of(node.attribute.values.low.reshape(shape), node.attribute.values.high.reshape(shape))
    return node.attribute


OPERATIONS: dict[str, Callable[..., Interval]] = {
    "constant": lambda jets, x, value: value,
    "take": lambda jets, x, indices: x[0][:, :, indices],
    "concatenate": lambda jets, x, _: jets.concatenate(x),
    "linear": lambda jets, x, matrix: linear(x[0], matrix),
    "sum": lambda jets, x, count: jets.total(x[0], count),
    "add": lambda jets, x, _: jets.add(x[0], x[1]),
    "sub": lambda jets, x, _: jets.add(x[0], -x[1]),
    "mul": lambda jets, x, _: jets.multiply(x[0], x[1]),
    "div": lambda jets, x, _: jets.multiply(x[0], jets.chain(x[1], FUNCTIONS["reciprocal"])),
    "maximum": lambda jets, x, _: jets.maximum(x[0], x[1]),
    "minimum": lambda jets, x, _: -jets.maximum(-x[0], -x[1]),
    "neg": lambda jets, x, _: -x[0],
    "power": lambda jets, x, p: jets.chain(x[0], powers(p)),
}
"""(jets, arguments, enclosed attribute) -> jet, one row an operation that is no elementary function."""
