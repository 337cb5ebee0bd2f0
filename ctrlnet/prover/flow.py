"""The flow of x' = f(x, u) with u held for a time T, enclosed over many boxes at once.

disturbed_flow.py has that of x' = f(x, u, d(t)), for which the first theorem holds with f over D too.

Theorem (Picard). Let B + [0, T] f(Z, U) lie in the interior of a box Z. A solution that starts in B under some u of the
box U stays in B + [0, T] f(Z, U) up to T, as it would leave that before it leaves Z.

Theorem (Taylor). With f₁ = f and f_{k+1} = (∂f_k/∂x) f, the time derivatives of a solution, and order p,
    x(T) = x + T f₁(x, u) + ... + T^(p-1)/(p-1)! f_{p-1}(x, u) + T^p/p! w,     wᵢ in the hull of (f_p)ᵢ(Z, U).
For p = 2, f may have kinks: fᵢ along the solution is Lipschitz and its derivative is a·f for some a in Clarke's
gradient almost everywhere, so that wᵢ is a mean of such values. For p = 3, f must be smooth on Z.

Source: Moore, Interval Analysis, 1966, ch. 11; Nedialkov, Jackson, Corliss, Appl. Math. Comput. 105 (1999); Clarke,
Optimization and Nonsmooth Analysis, Thm 2.3.9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Graph, gradient, inner_product
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.rounding import above, below

GROWTHS = 30  # boxes Z tried, each a little larger than what the one before swept
GROWTH = 0.05  # of the width, at either end
TIGHTENINGS = 2  # fewer than the checker, which has to follow
KINKED = {"relu", "abs", "maximum", "minimum", "select", "floor", "norm"}


@dataclass(frozen=True)
class Flow:
    """f and its derivatives f₁, ..., f_p in time, nodes of a graph whose inputs are x, then u."""

    graph: Graph
    n: int
    derivatives: tuple[int, ...]
    period: Fraction

    def coefficient(self, k: int) -> Fraction:
        """T^k / k!"""
        return self.period**k / math.factorial(k)

    @property
    def field(self) -> int:
        """The node of f."""
        return self.derivatives[0]

    def after(self, graph: Graph, x: int, control: int, mean: int, w: int) -> int:
        """The node of x(T) in a graph with nodes of x, u and w, and of the mean of d(t) where there is one."""
        known = self.graph.copy_into(graph, self.derivatives[:-1], graph.concatenate([x, control]))
        return self.summed(graph, x, [*known, w])

    def summed(self, graph: Graph, start: int, derivatives: Sequence[int]) -> int:
        """The node of start + T derivatives[0] + T²/2 derivatives[1] + ..."""
        for k, derivative in enumerate(derivatives, 1):
            step = graph.binary("mul", graph.constant([self.coefficient(k)] * self.n), derivative)
            start = graph.binary("add", start, step)
        return start

    def remainder(self, start: Interval, hull: Interval, control: Interval) -> Interval:
        """The box of w, the hull of f_p(Z, U)."""
        return self.bounds(self.derivatives[-1:], hull, control)[0]

    def bounds(self, nodes: Sequence[int], x: Interval, control: Interval) -> list[Interval]:
        """Bounds of nodes over boxes of x and u."""
        return interval_bounds(self.graph, nodes, *beside(x, control))

    def sweep(self, start: Interval, control: Interval) -> tuple[Interval, Tensor]:
        """Boxes that hold every x(t), t in [0, T], and from which of the starting boxes (B, n) they are proved to."""
        hull, swept = start, self._swept(start, start, control)
        inside = _interior(swept, hull)
        for _ in range(GROWTHS):
            if inside.all():
                break
            slack = GROWTH * (swept.upper - swept.lower)
            grown = Interval(below(swept.lower - slack), above(swept.upper + slack))
            hull = Interval(*(torch.where(inside[:, None], old, new) for old, new in zip(hull, grown, strict=True)))
            swept = self._swept(start, hull, control)
            inside = _interior(swept, hull)
        for _ in range(TIGHTENINGS):
            swept = _common(swept, self._swept(start, swept, control))
        swept = _common(swept, self._curved(start, swept, control))
        return swept, inside & (swept.lower.isfinite() & swept.upper.isfinite()).all(-1)

    def _swept(self, start: Interval, hull: Interval, control: Interval) -> Interval:
        """B + [0, T] f(Z, U)."""
        (velocity,) = self.bounds([self.field], hull, control)
        return moved(start, velocity, self.coefficient(1))

    def _curved(self, start: Interval, hull: Interval, control: Interval) -> Interval:
        """B + [0, T] f(B, U) + [0, T²/2] f₂(Z, U)."""
        (velocity,) = self.bounds([self.field], start, control)
        return moved(moved(start, velocity, self.coefficient(1)), self._bend(hull, control), self.coefficient(2))

    def _bend(self, hull: Interval, control: Interval) -> Interval:
        return self.bounds(self.derivatives[1:2], hull, control)[0]


def flow(graph: Graph, field: int, n: int, period: Fraction) -> Flow:
    """The flow of a field with inputs x (n of them), then u; of order 3, or 2 where f may have kinks."""
    nodes = [field]
    while len(nodes) < (2 if kinked(graph, field) else 3):
        nodes.append(along(graph, nodes[-1], field, range(n)))
    return Flow(graph, n, tuple(nodes), period)


def kinked(graph: Graph, field: int) -> bool:
    """Whether f may have kinks."""
    return any(graph.nodes[i].operation in KINKED for i in graph.reachable([field]))


def along(graph: Graph, function: int, motion: int, inputs: Sequence[int]) -> int:
    """The node of (∂function/∂z) y, for the motion y of some inputs z."""
    rows = (graph.take(gradient(graph, function, i), inputs) for i in range(graph.size(function)))
    return graph.concatenate([inner_product(graph, row, motion) for row in rows])


def moved(start: Interval, velocity: Interval, time: Fraction) -> Interval:
    """start + [0, time] velocity; an end that nothing moves beyond stays exactly where it is."""
    longest = math.nextafter(float(time), math.inf)
    low, high = (
        below(start.lower + below(longest * velocity.lower)),
        above(start.upper + above(longest * velocity.upper)),
    )
    low = torch.where(velocity.lower >= 0, start.lower, low)
    return Interval(low, torch.where(velocity.upper <= 0, start.upper, high))


def beside(*parts: Interval) -> tuple[Tensor, Tensor]:
    """Bounds of inputs, joined of bounds (B, size) of their parts."""
    return torch.cat([part.lower for part in parts], -1), torch.cat([part.upper for part in parts], -1)


def _common(a: Interval, b: Interval) -> Interval:
    return Interval(torch.maximum(a.lower, b.lower), torch.minimum(a.upper, b.upper))


def _interior(inner: Interval, outer: Interval) -> Tensor:
    """Which boxes (B, n) lie in the interior of others."""
    return ((inner.lower > outer.lower) & (inner.upper < outer.upper)).all(-1)
