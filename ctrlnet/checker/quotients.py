"""Rays from an equilibrium x*: how fast every node of a graph leaves its value at x*, enclosed on many rays at once.

A ray is x* + t e, t in (0, 1]. Along it a node v has the base v0 = v(x*, d) and the quotient q = (v(x* + t e, d) - v0)
/ t. Node by node, with a = a0 + t p and b = b0 + t q: linear maps act on quotients; a b has p b + a0 q; a smooth f(a)
has s p with s in f'([hull of a0 and a]) (mean value); relu(a) has relu(p) where a0 = 0 identically; as t <= 1, where
a0 > 0 it has p + r, 0 <= r <= relu(-(a0 + p)), and where a0 < 0 something in [0, relu(a0 + p)]; |a| = 2 relu(a) - a,
max(a, b) = b + relu(a - b), min(a, b) = a - relu(a - b); the norm of a vector has |p| where a0 = 0, else u.p with u in
Clarke's gradient; a switch has the quotient of the branch taken, or of either one where its argument is 0 at x* and the
branches agree there.

The motion of v is J r for all of Clarke's Jacobians J of v at points of the ray, r a direction given: the chain rule
with every slope enclosed, that of a kink by the sign of p where a0 = 0.

All is enclosed over boxes of (e, d) in the first-order forms of affine.py.

Source: Clarke, Optimization and Nonsmooth Analysis (1983), Thms 2.3.7 and 2.3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ctrlnet.checker import symbolic
from ctrlnet.checker.affine import (
    LINEAR,
    chord,
    larger,
    length,
    moved,
    negative,
    nothing,
    product,
    reach,
    settled,
    shifted,
    span,
    split,
    where,
)
from ctrlnet.checker.document import Constants
from ctrlnet.checker.forms import Form, rational
from ctrlnet.checker.functions import FUNCTIONS, Elementary, Function, powers
from ctrlnet.checker.graph import Node
from ctrlnet.checker.interval import Interval, Mask, choose, stack, up
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.report import Rejected

UNIT, ONE = Interval(np.zeros(1), np.ones(1)), Interval(np.ones(1), np.ones(1))
Exact = Sequence[Form]
Triple = tuple[Interval, Interval, Interval]
"""Base, quotient and motion."""


class Ray(NamedTuple):
    """First-order forms of base, quotient and motion of a node, and the exact forms of its base."""

    base: Interval
    quotient: Interval
    motion: Interval
    exact: Exact

    @property
    def forms(self) -> Triple:
        """What is not exact."""
        return self.base, self.quotient, self.motion

    @property
    def vanishes(self) -> Mask:
        """Entries whose base is identically zero."""
        return np.array([not form for form in self.exact], dtype=bool)

    @property
    def value(self) -> Interval:
        """base + t quotient, t in [0, 1]."""
        return self.base + self.quotient * UNIT

    @property
    def range(self) -> Interval:
        """Values on the rays, x* included, (B, size)."""
        return span(self.base) + span(self.quotient) * UNIT

    @property
    def side(self) -> Interval:
        """What has the sign of the node on the rays: the quotient where the base is identically zero."""
        return where(self.vanishes, span(self.quotient), self.range)


def each(operation: Callable[..., Interval], *parts: Triple) -> Triple:
    """The operation on bases, on quotients and on motions alike."""
    base, quotient, motion = (operation(*forms) for forms in zip(*parts, strict=True))
    return base, quotient, motion


class Rays:
    """Rays of graphs from x*, over boxes (B, N) of (x, d)."""

    def __init__(self, at: Sequence[Fraction], functions: Sequence[Evaluator]) -> None:
        self.at, self.n, self.algebra = Interval.of(list(at)), len(at), symbolic.Algebra()
        self.elementary: Elementary = functions[0].elementary
        inputs = max(function.n for function in functions)
        state: list[Fraction | Form] = [*at, *(self.algebra.free(i) for i in range(inputs - self.n))]
        try:
            self.exact = {f: symbolic.values(f.graph, state[: f.n], self.algebra) for f in functions}
        except symbolic.Undetermined as reason:
            raise Rejected(f"at the equilibrium: {reason}") from reason

    def state(self, box: Interval) -> tuple[Interval, Interval]:
        """Base and quotient of (x, d): x* and e for the state, d and 0 for the disturbance."""
        middle = np.clip(0.5 * box.lo + 0.5 * box.hi, box.lo, box.hi)
        half = up(np.maximum(box.hi - middle, middle - box.lo)).T
        half[(box.lo == box.hi).T] = 0.0
        boxes, inputs = box.shape
        rows = np.zeros((1 + inputs, boxes, inputs))
        rows[0], rows[np.arange(1, 1 + inputs), :, np.arange(inputs)] = middle, half
        whole, n = Interval(rows, rows), self.n
        x, d = whole[:, :, :n], whole[:, :, n:]
        still = nothing(d)
        return stack([settled(self.at[None], whole), d], 2), stack([shifted(x, -self.at), still], 2)

    def along(self, function: Evaluator, base: Interval, quotient: Interval, motion: Interval) -> Ray:
        """The ray of the output from those of the inputs."""
        exact, found = self.exact[function], dict[int, Ray]()
        for i in function.graph.needed:
            node = function.graph.nodes[i]
            if node.operation == "input":
                ray = Ray(base, quotient, motion, exact[i])
            elif isinstance(node.attribute, Constants):
                fixed = Interval(node.attribute.low[None], node.attribute.high[None])
                still = settled(nothing(fixed), base)
                ray = Ray(settled(fixed, base), still, still, exact[i])
            else:
                ray = Ray(*self._apply(node, [found[a] for a in node.arguments]), exact[i])
            found[i] = ray._replace(base=_known(ray))
            for expired in function.graph.expired.get(i, ()):
                del found[expired]
        return found[function.graph.output]

    def _apply(self, node: Node, a: list[Ray]) -> Triple:
        operation = node.operation
        if operation in LINEAR:
            return each(lambda *parts: moved(node, parts), *(ray.forms for ray in a))
        if operation == "mul":
            return _multiplied(a[0].forms, a[0].value, a[1].forms, a[1].value)
        if operation == "div":
            inverse = Ray(*self._smooth(FUNCTIONS["reciprocal"], a[1]), a[1].exact)
            return _multiplied(a[0].forms, a[0].value, inverse.forms, inverse.value)
        if operation in ("relu", "abs", "maximum", "minimum"):
            return self._kink(operation, a)
        if operation == "norm":
            return _norm(a[0], node.size)
        if operation == "select":
            return _selected(a[0], a[1], a[2])
        return self._smooth(FUNCTIONS.get(operation) or powers(node.attribute), a[0])

    def _smooth(self, function: Function, a: Ray) -> Triple:
        at, x = span(a.base), a.range
        y = function.value(x, self.elementary)
        s = function.first(x, y, self.elementary).undefined(np.isnan(y.lo) | np.isnan(y.hi))
        return settled(function.value(at, self.elementary), a.base), a.quotient * s, a.motion * s

    def _kink(self, operation: str, a: list[Ray]) -> Triple:
        """relu(a) = max(a, 0), |a| = max(a, -a), min(a, b) = -max(-a, -b)."""
        if operation == "relu":
            return _larger(a[0].forms, each(nothing, a[0].forms), a[0], lambda s: a[0].quotient * s)
        if operation == "abs":
            twice = Ray(*each(lambda form: form.scaled(2.0), a[0].forms), a[0].exact)
            return _larger(
                a[0].forms, each(negative, a[0].forms), twice, lambda s: a[0].quotient * (s.scaled(2.0) - ONE)
            )
        one, other = (a[0], a[1]) if operation == "maximum" else (a[1], a[0])
        exact = [self.algebra.combination((1, p), (-1, q)) for p, q in zip(one.exact, other.exact, strict=True)]
        difference = Ray(*each(lambda p, q: p - q, one.forms, other.forms), exact)
        if operation == "maximum":
            return _larger(one.forms, other.forms, difference)
        return each(negative, _larger(each(negative, other.forms), each(negative, one.forms), difference))


def _known(ray: Ray) -> Interval:
    """The base, with the entries that are rational numbers exactly enclosed."""
    exact = [rational(form) for form in ray.exact]
    constants = settled(Interval.of([value or Fraction(0) for value in exact])[None], ray.base)
    return where(np.array([value is not None for value in exact], dtype=bool), constants, ray.base)


def _multiplied(a: Triple, there: Interval, b: Triple, other: Interval) -> Triple:
    """p b + a0 q and, for motions, (J r) b + a (K r), from the values `there` of a and `other` of b."""
    quotient = product(a[1], other) + product(a[0], b[1])
    return product(a[0], b[0]), quotient, product(a[2], other) + product(there, b[2])


def _larger(a: Triple, b: Triple, c: Ray, mix: Callable[[Interval], Interval] | None = None) -> Triple:
    """max(a, b), with c = a - b: a where c > 0, b where c < 0; where both are possible, p, q and r being quotients,

    c0 = 0:  relu(r) in s r + [0, gap] makes s p + (1 - s) q + [0, gap], which `mix` writes with p once where q is 0 or
             -p, so that max(p, q) >= 0;
    c0 > 0:  a + relu(-c) makes p + [0, relu(-(c0 + r))];    c0 < 0:  b + relu(c) makes q + [0, relu(c0 + r)].

    Where the constant of r is wider than the rest, its remainders are, and max(p, q) is better taken as a constant.
    """
    at, x, r = span(c.base), c.range, span(c.quotient)
    over, under = (Interval(np.zeros(e.shape), np.maximum(e.hi, 0.0)) for e in (-(at + r), at + r))
    open_ = choose(at.lo > 0, shifted(a[1], over), at.hi < 0, shifted(b[1], under), a[1].hull(b[1]))
    away = choose(x.lo >= 0, a[1], x.hi <= 0, b[1], open_)
    s, gap = chord(r)
    mixed = shifted(mix(s) if mix else a[1] * s + b[1] * (ONE - s), gap)
    most = larger(span(a[1]), span(b[1])).clip(0.0 if mix else -np.inf, np.inf)
    blunt = c.quotient.hi[0] - c.quotient.lo[0] > reach(c.quotient).hi
    through = choose(r.lo >= 0, a[1], r.hi <= 0, b[1], where(blunt, settled(most, mixed), mixed))
    quotient = where(c.vanishes, through, away).undefined(np.isnan(x.lo) | np.isnan(x.hi))
    base = settled(larger(span(a[0]), span(b[0])), a[0])
    return base, quotient, choose(c.side.lo > 0, a[2], c.side.hi < 0, b[2], a[2].hull(b[2]))


def _norm(a: Ray, groups: int) -> Triple:
    """|c + A w| = |c| + u.A w and J r = u.r with u in Clarke's gradient of the norm, a / |a| or any of [-1, 1].

    Where all parts are t times their quotients, those have the direction of a; where some are not, only a has.
    """
    straight = np.asarray(a.vanishes.reshape(groups, -1).all(1))
    sides = where(straight[:, None], split(span(a.quotient), groups), split(a.range, groups))
    size = length(sides)
    touched = ~(size.lo > 0)
    inverse = size.replaced(touched, 1.0, 1.0).reciprocal()[..., None]
    u = where(touched[..., None], Interval(-np.ones(1), np.ones(1)), (sides * inverse).clip(-1.0, 1.0))
    parts = split(a.quotient, groups)
    turned = (parts * u).sum()
    quotient = where(straight, stack([length(parts[0])[None], turned[1:]]), turned)
    motion = (split(a.motion, groups) * u).sum()
    return settled(length(split(span(a.base), groups)), a.base), quotient, motion


def _selected(c: Ray, a: Ray, b: Ray) -> Triple:
    """a where c > 0, b where c < 0; where c may be 0 both quotients, if both have one base, and no motion.

    Undefined where c may be, whatever its sign at x* is by its form: log(d) x is no number for d < 0.
    """
    side, zero = c.side, c.vanishes
    above, below = side.lo > 0, side.hi < 0
    agree = np.array([p == q for p, q in zip(a.exact, b.exact, strict=True)], dtype=bool)
    jumps = np.where(zero, ~agree, ~(above | below)) | np.isnan(c.range.lo) | np.isnan(c.range.hi)
    base, quotient, motion = each(lambda p, q: choose(above, p, below, q, p.hull(q)), a.forms, b.forms)
    return base.undefined(jumps), quotient.undefined(jumps), motion.undefined(jumps | ~(above | below))
