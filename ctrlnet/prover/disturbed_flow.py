"""The flow of x' = f(x, u, d(t)) with u held for a time T and any measurable d(t) in a box D, enclosed over many boxes.

A mean over t of f(x, u, d(t)) is in general no value of f at any d, unless f is affine in d: with d² the mean of a d(t)
that switches between ±1 is 1, and its own mean 0. So d(t) enters by its mean m and a bound of what is not affine.

Theorem. Let Z enclose the solutions from B under u in U, and F their velocities f(Z, U, D); c the middle of D, f, A =
∂f/∂x and J = ∂f/∂d at (x(0), u, c), d(t) - c in E. For some e in E, the mean of d(t) - c over [0, T],
    x(T) = x + T (f + J e + w),                w in R + (T/2) [∂f/∂x (Z, U, D)] F,
    x(T) = x + T (f + J e + w) + (T²/2) A f,   w in R + (T/2) (A y + S) + (T²/6) P,
                                               y in J E + R + (T/3) (A F + S) + (T²/12) P,
the first for any f, the second for f without kinks; with f(x, u, d) - f - J (d - c) in R, that is in
([∂f/∂d (B, U, D)] - J) E, and in ½ ∂²f/∂d² E E without kinks, S = ∂²f/∂x∂d F E and P = ∂²f/∂x² F F over (Z, U, D).
Proof. With p = x(t) - x(0) in t F, f(x(t), u, d(t)) = f + J (d(t) - c) + r + A p + s + z, by Taylor's formula at
(x(0), u, d(t)) and (x(0), u, c), with r in R, s in t S, z in t² P / 2. Put this into p = ∫ f. Means over t stay in
boxes.

For f affine in d, R = 0. The graph has inputs x, u, d, then a velocity v and a difference q of d.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Graph, inner_product, jacobian, tangent
from ctrlnet.prover.flow import Flow, along, beside, kinked
from ctrlnet.prover.interval import RULES, Interval, interval_bounds
from ctrlnet.prover.rounding import above, below
from ctrlnet.sets import Box


@dataclass(frozen=True)
class DisturbedFlow(Flow):
    """f alone is among the `derivatives`; further nodes are functions of v and q too.

    carried: A v. pushed: J q. slopes: the rows of J. smooth: whether f is without kinks.
    second: the second derivatives of f for (v, v), (v, q) and (q, q).
    mixed: for each entry of d the derivatives of the rows of ∂f by it.
    """

    D: Box
    m: int
    smooth: bool
    carried: int
    pushed: int
    slopes: tuple[int, ...]
    second: tuple[int, int, int]
    mixed: tuple[list[int], ...]

    @property
    def c(self) -> Tensor:
        return 0.5 * self.D.lower + 0.5 * self.D.upper

    @property
    def E(self) -> Interval:
        """D - c."""
        return Interval(below(self.D.lower - self.c), above(self.D.upper - self.c))

    def after(self, graph: Graph, x: int, control: int, mean: int, w: int) -> int:
        """The node of x(T); e is the mean less c."""
        c = graph.constant([Fraction(value) for value in self.c.tolist()])
        e = graph.binary("sub", mean, c)

        def copied(node: int, v: int) -> int:
            return self.graph.copy_into(graph, [node], graph.concatenate([x, control, c, v, e]))[0]

        field = copied(self.field, w)  # which does not depend on v
        velocity = graph.binary("add", graph.binary("add", field, copied(self.pushed, w)), w)
        return self.summed(graph, x, [velocity, copied(self.carried, field)] if self.smooth else [velocity])

    def bounds(
        self,
        nodes: Sequence[int],
        x: Interval,
        control: Interval,
        d: Interval | None = None,
        v: Interval | None = None,
    ) -> list[Interval]:
        """Bounds over boxes of x and u, over all of D or a part d of it, with velocities v, and q in E."""
        d = Interval(self.D.lower, self.D.upper) if d is None else d
        parts = [x, control, *(_every(x, part) for part in (d, x if v is None else v, self.E))]
        return interval_bounds(self.graph, nodes, *beside(*parts))

    def remainder(self, start: Interval, hull: Interval, control: Interval) -> Interval:
        """The box of w."""
        c, half, third, twelfth = Interval(self.c, self.c), *(self.period / k for k in (2, 3, 12))
        (F,) = self.bounds([self.field], hull, control)
        R = self._bent(start, control, c)
        if not self.smooth:
            return added(R, scaled(self._bend(hull, control), half))
        (J,) = self.bounds([self.pushed], start, control, c)
        (AF,) = self.bounds([self.carried], start, control, c, F)
        P, S = self.bounds(self.second[:2], hull, control, v=F)
        y = added(J, R, scaled(added(AF, S), third), scaled(P, self.period * twelfth))
        (Ay,) = self.bounds([self.carried], start, control, c, y)
        return added(R, scaled(added(Ay, S), half), scaled(P, half * self.period / 3))

    def _bent(self, start: Interval, control: Interval, c: Interval) -> Interval:
        """R over B and U."""
        if self.smooth:
            return scaled(self.bounds(self.second[2:], start, control)[0], Fraction(1, 2))
        at = slice(self.n + self.m, self.n + self.m + self.D.dimension)
        wide, near = (self.bounds(self.slopes, start, control, d) for d in (None, c))
        terms = [
            RULES["mul"]([RULES["sub"]([_of(a, at), _of(b, at)], None), _every(start, self.E)], None)
            for a, b in zip(wide, near, strict=True)
        ]
        sums = [RULES["sum"]([term], 1) for term in terms]
        return Interval(*beside(*sums))

    def _bend(self, hull: Interval, control: Interval) -> Interval:
        """[∂f/∂x (Z, U, D)] F."""
        (F,) = self.bounds([self.field], hull, control)
        return self.bounds([self.carried], hull, control, v=F)[0]


def disturbed_flow(graph: Graph, field: int, n: int, m: int, D: Box, period: Fraction) -> DisturbedFlow:
    """The flow of a field with inputs x (n of them), u (m) and d in D."""
    k = D.dimension
    N = n + m + k
    whole = Graph(N + n + k)
    (f,) = graph.copy_into(whole, [field], whole.take(whole.input, range(N)))
    v, q = whole.take(whole.input, range(N, N + n)), whole.take(whole.input, range(N + n, N + n + k))
    x, d = range(n), range(n + m, N)
    carried, pushed = along(whole, f, v, x), along(whole, f, q, d)
    slopes = tuple(jacobian(whole, f))
    mixed = tuple([_by_entry(whole, row, j) for row in slopes] for j in d)
    bent = whole.concatenate([_quadratic(whole, [rows[i] for rows in mixed], q, d) for i in x])
    second = along(whole, carried, v, x), along(whole, pushed, v, x), bent
    return DisturbedFlow(whole, n, (f,), period, D, m, not kinked(graph, field), carried, pushed, slopes, second, mixed)


def _by_entry(graph: Graph, node: int, j: int) -> int:
    """∂node/∂z_j for the input z."""
    return tangent(graph, node, graph.constant([int(i == j) for i in range(graph.dimension)]))


def _quadratic(graph: Graph, rows: Sequence[int], q: int, d: Sequence[int]) -> int:
    """qᵀHq for the rows of H, whose columns d count; squares are squares, which have one sign."""
    entries = graph.concatenate([graph.take(row, d) for row in rows])
    parts = [graph.take(q, [j]) for j in range(len(d))]
    pairs = [graph.unary("square", a) if a == b else graph.binary("mul", a, b) for a in parts for b in parts]
    return inner_product(graph, entries, graph.concatenate(pairs))


def outward(value: Fraction, way: float) -> float:
    """The float64 value itself, or the next one in the way given."""
    near = float(value)
    return near if Fraction(near) == value else math.nextafter(near, way)


def added(*parts: Interval) -> Interval:
    total = parts[0]
    for part in parts[1:]:
        total = RULES["add"]([total, part], None)
    return total


def scaled(a: Interval, factor: Fraction) -> Interval:
    """The product with a positive rational."""
    ends = [torch.full((1, 1), outward(factor, way), dtype=torch.float64) for way in (-math.inf, math.inf)]
    return RULES["mul"]([a, Interval(*ends)], None)


def _of(a: Interval, index: slice) -> Interval:
    return Interval(a.lower[:, index], a.upper[:, index])


def _every(like: Interval, a: Interval) -> Interval:
    """Bounds for every box."""
    return Interval(*(bound.expand(len(like.lower), bound.shape[-1]) for bound in a))
