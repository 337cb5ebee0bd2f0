"""Arithmetic of second-order forward jets: enclosures of value, gradient and Hessian over many boxes at once.

A `Jet` holds the value (B, size), the partial derivatives d_i (n, B, size) and the second derivatives
(n (n + 1) / 2, B, size): first d_ii for every i, then d_ij for i < j. B is the number of boxes, or 1 where all boxes
share one array; derivatives that are exactly zero are None. An `Evaluator` hands out one `Interval` (K, B, size): row 0
the value, then the rows of first and second order.

For functions with kinks d_i holds Clarke's generalised derivatives and d_ij is unbounded. Where a function is not
locally Lipschitz (a root at zero, a switch that jumps) d_i is unbounded too.

Source: Griewank, Walther, Evaluating Derivatives, 2nd ed., ch. 13; Clarke, Optimization and
Nonsmooth Analysis, Thm 2.3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.functions import Elementary, Function, numpy_elementary
from ctrlnet.checker.interval import Interval, choose, stack

Rows = Interval | None
"""Derivatives of one order; None is exactly zero."""
ZERO = Interval(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)))
UNBOUNDED = Interval(np.full((1, 1, 1), -np.inf), np.full((1, 1, 1), np.inf))


class Jet(NamedTuple):
    """Value, first and second derivatives."""

    value: Interval
    first: Rows = None
    second: Rows = None

    def map(self, operation: Callable[[Interval], Interval]) -> Jet:
        """A linear operation, which acts on the value and on the derivatives alike."""
        first, second = (None if rows is None else operation(rows) for rows in (self.first, self.second))
        return Jet(operation(self.value), first, second)


def plus(a: Rows, b: Rows) -> Rows:
    """a + b."""
    return b if a is None else a if b is None else a + b


def minus(a: Rows, b: Rows) -> Rows:
    """a - b."""
    return a if b is None else -b if a is None else a - b


def times(a: Interval, b: Rows) -> Rows:
    """a b."""
    return None if b is None else a * b


def opposite(a: Jet) -> Jet:
    """-a."""
    return a.map(lambda rows: -rows)


def total(a: Jet, b: Jet) -> Jet:
    """a + b."""
    return Jet(a.value + b.value, plus(a.first, b.first), plus(a.second, b.second))


def difference(a: Jet, b: Jet) -> Jet:
    """a - b."""
    return Jet(a.value - b.value, minus(a.first, b.first), minus(a.second, b.second))


def joined(parts: Sequence[Rows], sizes: Sequence[int]) -> Rows:
    """Side by side along the last axis, parts of the given sizes."""
    leading = [rows.shape[:-1] for rows in parts if rows is not None]
    if not leading:
        return None
    shape = np.broadcast_shapes(*leading)
    return stack([(rows or ZERO).broadcast(*shape, k) for rows, k in zip(parts, sizes, strict=True)], axis=-1)


def parts(a: Interval, count: int) -> Interval:
    """The last axis as `count` consecutive parts of equal length."""
    shape = (*a.shape[:-1], count, -1)
    return Interval(a.lo.reshape(shape), a.hi.reshape(shape))


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
    def bends(self) -> int:
        """Number of second derivatives."""
        return self.n * (self.n + 1) // 2

    @property
    def rows(self) -> int:
        """K of a full jet."""
        return (1, 1 + self.n, 1 + self.n + self.bends)[self.order]

    def variables(self, box: Interval, inputs: int) -> Jet:
        """The first `inputs` variables themselves over boxes of shape (B, n)."""
        if inputs > self.n:
            raise ValueError(f"a graph of {inputs} inputs has no value on boxes of {self.n} dimensions")
        value = box[:, :inputs]
        if self.order == 0:
            return Jet(value)
        identity = np.eye(self.n)[:, None, :inputs]
        return Jet(value, Interval(identity, identity))

    def parted(self, rows: Interval) -> Jet:
        """The jet of this order from an interval (K, B, size) of this order or more."""
        if len(rows.lo) < self.rows:
            raise ValueError(
                f"a jet of order {self.order} in {self.n} variables has {self.rows} rows, not {rows.shape}"
            )
        first, second = rows[1 : 1 + self.n], rows[1 + self.n : self.rows]
        return Jet(rows[0], first if self.order else None, second if self.order == 2 else None)

    def written(self, jet: Jet) -> tuple[Interval, Interval]:
        """First and second derivatives, zeros written out."""
        first, second = (Interval(zeros, zeros) for zeros in (np.zeros((self.n, 1, 1)), np.zeros((self.bends, 1, 1))))
        return jet.first or first, jet.second or second

    def whole(self, jet: Jet, boxes: int) -> Interval:
        """All K rows for `boxes` boxes; where the value is undefined, so are the derivatives."""
        shape = (self.rows, boxes, jet.value.shape[-1])
        lo, hi = np.zeros(shape), np.zeros(shape)
        places = (slice(0, 1), slice(1, 1 + self.n), slice(1 + self.n, None))
        for place, rows in zip(places[: self.order + 1], (jet.value[None], *self.written(jet)), strict=False):
            lo[place], hi[place] = rows.lo, rows.hi
        undefined = np.isnan(lo[0]) | np.isnan(hi[0])
        if undefined.any():
            lo[:, undefined] = hi[:, undefined] = np.nan
        return Interval(lo, hi)

    def chain(self, x: Jet, function: Function) -> Jet:
        """f(x):  d_i f = f' d_i x,  d_ij f = f'' d_i x d_j x + f' d_ij x."""
        y = function.value(x.value, self.elementary)
        if x.first is None:
            return Jet(y)
        slope = function.first(x.value, y, self.elementary)
        if self.order == 1:
            return Jet(y, slope * x.first)
        bent = function.second(x.value, y, self.elementary) * self.outer(x.first)
        return Jet(y, slope * x.first, plus(bent, times(slope, x.second)))

    def outer(self, gradient: Interval) -> Interval:
        """d_i x d_j x for all second-order rows."""
        i, j = self.pairs
        return stack([gradient.square(), gradient[i] * gradient[j]])

    def multiply(self, a: Jet, b: Jet) -> Jet:
        """a b:  d_i = a d_i b + b d_i a,  d_ij = a d_ij b + b d_ij a + d_i a d_j b + d_j a d_i b."""
        second = plus(times(a.value, b.second), times(b.value, a.second))
        if self.order == 2 and a.first is not None and b.first is not None:
            second = plus(second, self.cross(a.first, b.first))
        return Jet(a.value * b.value, plus(times(a.value, b.first), times(b.value, a.first)), second)

    def cross(self, a: Interval, b: Interval) -> Interval:
        """d_i a d_j b + d_j a d_i b for all second-order rows."""
        i, j = self.pairs
        return stack([(a * b).scaled(2.0), a[i] * b[j] + a[j] * b[i]])

    def maximum(self, a: Jet, b: Jet) -> Jet:
        """max(a, b): the derivatives of the larger one; where they may be equal the hull of both, d_ij unbounded."""
        value = Interval(np.maximum(a.value.lo, b.value.lo), np.maximum(a.value.hi, b.value.hi))
        if a.first is None and b.first is None:
            return Jet(value)
        above, below = a.value.lo > b.value.hi, b.value.lo > a.value.hi
        (p, pp), (q, qq) = self.written(a), self.written(b)
        second = choose(above, pp, below, qq, UNBOUNDED) if self.order == 2 else None
        return Jet(value, choose(above, p, below, q, p.hull(q)), second)

    def select(self, switch: Jet, a: Jet, b: Jet) -> Jet:
        """a where the switch is positive, b where it is negative, the hull of both values where it may be zero.

        It may jump there, so its derivatives are unbounded, unless a and b are one and the same node.
        """
        above, below = switch.value.lo > 0, switch.value.hi < 0
        value = choose(above, a.value, below, b.value, a.value.hull(b.value))
        value = value.undefined(np.isnan(switch.value.lo) | np.isnan(switch.value.hi))
        if a is b:
            return Jet(value, a.first, a.second)
        (p, pp), (q, qq) = self.written(a), self.written(b)
        first = choose(above, p, below, q, UNBOUNDED) if self.order else None
        return Jet(value, first, choose(above, pp, below, qq, UNBOUNDED) if self.order == 2 else None)

    def norm(self, a: Jet, count: int) -> Jet:
        """Euclidean norms of `count` consecutive parts of equal length.

        With u = a / |a|:  d_i = u.d_i a,  d_ij = u.d_ij a + (d_i a.d_j a - (u.d_i a)(u.d_j a)) / |a|, where the last
        term is not negative for i = j. Where |a| may be zero u is in [-1, 1], as Clarke's gradient of the norm at zero
        is the unit ball, and d_ij is unbounded.
        """
        value = parts(a.value.square(), count).sum().clip(0.0, np.inf).sqrt()
        if a.first is None:
            return Jet(value)
        inverse, at_zero = value.reciprocal(), value.lo <= 0
        unit = (parts(a.value, count) * inverse[..., None]).clip(-1.0, 1.0).replaced(at_zero[..., None], -1.0, 1.0)
        first = (parts(a.first, count) * unit).sum()
        if self.order == 1:
            return Jet(value, first)
        bent = parts(self.outer(a.first), count).sum() - self.outer(first)
        bent = stack([bent[: self.n].clip(0.0, np.inf), bent[self.n :]]) * inverse
        second = bent if a.second is None else bent + (parts(a.second, count) * unit).sum()
        return Jet(value, first, second.replaced(at_zero, -np.inf, np.inf))

    def concatenate(self, jets: Sequence[Jet]) -> Jet:
        """Join vectors."""
        sizes = [jet.value.shape[-1] for jet in jets]
        value, first, second = (joined(rows, sizes) for rows in zip(*jets, strict=True))
        assert value is not None
        return Jet(value, first, second)
