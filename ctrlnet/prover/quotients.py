"""Quotients along rays: how fast every node of a graph leaves its value at the equilibrium, as a graph of its own.

Let R be a box around x*. Every state of R but x* is x* + t δ with t in (0, 1] and x* + δ on the boundary of R. Along
the ray a node v has the *base* v₀ = v(x*, d) and the *quotient* q = (v(x* + t δ, d) - v₀) / t, so v = v₀ + t q. Node by
node, with a = a₀ + t p and b = b₀ + t q:

    x                 δ                      constants, d      0
    linear maps       the same map of p
    a b               p b + a₀ q             a / b             (p - (a₀/b₀) q) / b
    a²                p (a + a₀)             √a                p / (√a + √a₀)
    |a| (norm)        |p| where a₀ = 0, else p·(a + a₀) / (|a| + |a₀|)
    smooth f(a)       s p, some s in f'([range of a over R]), by the mean value theorem
    relu(a), a₀ = 0   relu(p), exactly: relu is homogeneous
    relu(a), a₀ > 0   p + relu(-a₀/t - p), which is p + s relu(-a₀ - p) with some s in [0, 1]
    relu(a), a₀ < 0   relu(a₀/t + p) = s relu(a₀ + p), some s in [0, 1]

(as t <= 1; where the range of a has one sign, relu is p or 0). |a|, max and min are written by relu. A kink through x*
is thus no kink along a ray: its side is the sign of p, which does not depend on t.

The quotients are nodes of a new graph whose inputs are x (on the boundary of R) and d; t in [0, 1] and every s are
*unknowns*, nodes that have a range and no value: `step` of the constant 0, whose value is the hull [0, 1]. So any bound
of that graph over a box of inputs holds for all rays through the box at once. The *tangent* of v is
the set of J r/t over Clarke's Jacobians J of v at a point of the ray, for a motion r (t q_F): J is enclosed by the
chain rule (Clarke, Optimization and Nonsmooth Analysis, 1983, Thm 2.3.9), every kink by the hull of its two slopes,
with the slope decided by p where a₀ = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from ctrlnet.graph import Graph, Node
from ctrlnet.prover.interval import Interval, interval_bounds
from ctrlnet.prover.ray_rules import RULES, Ray, Unsuited, smooth
from ctrlnet.prover.slope import slope_bounds

LINEAR = {"take", "concatenate", "linear", "sum", "add", "sub", "neg"}


class Quotients:
    """Grows `graph`, the graph of quotients over R x D = [lower, upper]."""

    def __init__(self, about: Sequence[Fraction], lower: Tensor, upper: Tensor):
        self.n, self.about, self.lower, self.upper = len(about), list(about), lower, upper
        self.graph, self.unknowns = Graph(len(lower), defined=True), 0
        self.time = self.unknown(torch.zeros(1), torch.ones(1))
        self.disturbance = self.graph.take(self.graph.input, range(self.n, len(lower)))
        x = self.graph.take(self.graph.input, range(self.n))
        self.delta = self.graph.binary("sub", x, self.graph.constant(self.about))

    # ---- building --------------------------------------------------------------------------------------------------

    def along(self, source: Graph, outputs: Sequence[int], motion: int | None = None) -> list[Ray]:
        """Rays of the outputs; their tangents for the motion x' = t r, r the node `motion`, where one is given."""
        numbers = source.reachable(outputs)
        state = self._with_disturbance(self.graph.constant(self.about), self.disturbance)
        bases = source.copy_into(self.graph, numbers, state)
        ranges = [form.range for form in slope_bounds(source, numbers, self.lower[None], self.upper[None])]
        if any(bool(bound.isnan().any()) for bounds in ranges for bound in bounds):
            raise Unsuited("a function is undefined somewhere on R")
        still = self.zeros(len(self.lower) - self.n)
        moved = self.zeros(self.n) if motion is None else motion
        rays: dict[int, Ray] = {}
        for number, base, bounds in zip(numbers, bases, ranges, strict=True):
            node = source.nodes[number]
            if node.operation == "input":
                quotient, tangent = self._with_disturbance(self.delta, still), self._with_disturbance(moved, still)
            else:
                quotient, tangent = self._rule(node, [rays[a] for a in node.arguments])
            rays[number] = self.ray(base, quotient, bounds, tangent)
        return [rays[output] for output in outputs]

    def _with_disturbance(self, x: int, d: int) -> int:
        return self.graph.concatenate([x, d]) if len(self.lower) > self.n else x

    def ray(self, base: int, quotient: int, bounds: Interval, tangent: int) -> Ray:
        """The parts of a ray, with its value v₀ + t q."""
        time = self.graph.take(self.time, [0] * self.graph.size(base))
        value = self.graph.binary("add", base, self.graph.binary("mul", time, quotient))
        return Ray(base, quotient, value, bounds, tangent)

    def _rule(self, node: Node, a: list[Ray]) -> tuple[int, int]:
        if node.operation in RULES:
            return RULES[node.operation](self, node, a)
        if node.operation in LINEAR:
            quotients = {number: ray.quotient for number, ray in zip(node.arguments, a, strict=True)}
            tangents = {number: ray.tangent for number, ray in zip(node.arguments, a, strict=True)}
            return self.graph.rebuild(node, quotients), self.graph.rebuild(node, tangents)
        return smooth(self, node, a[0])

    # ---- what the rules are made of --------------------------------------------------------------------------------

    def zeros(self, size: int) -> int:
        """The constant 0."""
        return self.graph.constant([0] * size)

    def products(self, *pairs: tuple[int, int]) -> int:
        """Sum of products of two."""
        first, *rest = [self.graph.binary("mul", a, b) for a, b in pairs]
        for other in rest:
            first = self.graph.binary("add", first, other)
        return first

    def blend(self, *parts: tuple[Tensor, Callable[[], int]]) -> int:
        """Sum of parts, each restricted to the entries of its mask."""
        size = len(parts[0][0])
        total = self.zeros(size)
        for mask, part in parts:
            if mask.any():
                weight = self.graph.constant(mask.long().tolist())
                total = self.graph.binary("add", total, self.graph.binary("mul", weight, part()))
        return total

    def unknown(self, lower: Tensor, upper: Tensor) -> int:
        """Unknowns of their own in [lower, upper]: step(0) taken from a vector of a length not used before.

        Equal nodes are one node, so unknowns that are not one quantity must not be equal nodes.
        """
        size = len(lower)
        self.unknowns += size
        if not bool((lower.isfinite() & upper.isfinite()).all()):
            raise Unsuited("a slope is not bounded near the equilibrium")
        hull = self.graph.unary("step", self.zeros(self.unknowns))
        least, most = ([Fraction(value) for value in side.tolist()] for side in (lower, upper))
        width = self.graph.constant([b - a for a, b in zip(least, most, strict=True)])
        part = self.graph.take(hull, range(self.unknowns - size, self.unknowns))
        return self.graph.binary("add", self.graph.constant(least), self.graph.binary("mul", width, part))

    def vanishes(self, base: int) -> Tensor:
        """Entries that are identically zero."""
        held = self.graph.held(base)
        if held is None:
            return torch.zeros(self.graph.size(base), dtype=torch.bool)
        return torch.tensor([value == 0 for value in held.fractions])

    def bounds(self, base: int) -> Interval:
        """Bounds of a base over D."""
        return interval_bounds(self.graph, [base], self.lower[None], self.upper[None])[0]
