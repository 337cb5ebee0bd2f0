"""Outward-rounded interval arithmetic on float64 arrays.

An `Interval` (lo, hi) stands for every real array between lo and hi. Each operation returns an interval that contains
every real result. IEEE arithmetic returns r with |r - exact| <= 2^-53 |r| + 2^-1075, so a result is moved outward by
2^-52 |r| + 1e-300, which costs four passes and, unlike nextafter, is vectorised. A result that does not exist
(division by an interval with 0, inf - inf, 0 * inf) is NaN, stays NaN, and proves nothing: tests read "lower > 0".

Source: Rump, Verification methods, Acta Numerica 19 (2010); Higham, Accuracy and Stability, 2nd ed., sections 2.2, 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrlnet.checker.document import enclosure

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
EPSILON = 2.0**-52
TINY = 1e-300
"""More than every error of underflow."""


def down(a: Array) -> Array:
    """Lower bounds of what rounded to `a`."""
    slack = np.abs(a)
    slack *= EPSILON
    slack += TINY
    return np.subtract(a, slack, out=slack)


def up(a: Array) -> Array:
    """Upper bounds of what rounded to `a`."""
    slack = np.abs(a)
    slack *= EPSILON
    slack += TINY
    return np.add(a, slack, out=slack)


@dataclass(frozen=True, slots=True)
class Interval:
    """Real arrays between `lo` and `hi`, float64 arrays of one shape, at least one dimension."""

    lo: Array
    hi: Array

    @staticmethod
    def of(values: Sequence[Fraction]) -> Interval:
        """Smallest float64 enclosure of rationals, shape (len(values),)."""
        return Interval(*enclosure(list(values)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both bounds."""
        return self.lo.shape

    @property
    def T(self) -> Interval:
        """Transposed."""
        return Interval(self.lo.T, self.hi.T)

    def __getitem__(self, index: Any) -> Interval:
        return Interval(self.lo[index], self.hi[index])

    def __neg__(self) -> Interval:
        return Interval(-self.hi, -self.lo)

    def __add__(self, other: Interval) -> Interval:
        return Interval(down(self.lo + other.lo), up(self.hi + other.hi))

    def __sub__(self, other: Interval) -> Interval:
        return Interval(down(self.lo - other.hi), up(self.hi - other.lo))

    def __mul__(self, other: Interval) -> Interval:
        """Least and greatest of the four products of bounds; two of each are enough when one factor is >= 0."""
        small, large = (self, other) if self.lo.size <= other.lo.size else (other, self)
        a, b, c, d = small.lo * large.lo, small.hi * large.lo, small.lo * large.hi, small.hi * large.hi
        if small.lo.min(initial=np.inf) >= 0:
            return Interval(down(np.minimum(a, b, out=a)), up(np.maximum(c, d, out=c)))
        lo = np.minimum(a, b)
        np.minimum(lo, np.minimum(c, d), out=lo)
        hi = np.maximum(np.maximum(a, b, out=a), np.maximum(c, d, out=c), out=a)
        return Interval(down(lo), up(hi))

    def square(self) -> Interval:
        """x^2, never below 0."""
        least = np.maximum(np.maximum(self.lo, -self.hi), 0.0)
        most = np.maximum(np.abs(self.lo), np.abs(self.hi))
        return Interval(np.maximum(down(least * least), 0.0), up(most * most))

    def power(self, p: int) -> Interval:
        """x^p for an integer p >= 1, by p - 1 rounded products."""
        if p % 2 == 0:
            magnitude = Interval(np.maximum(np.maximum(self.lo, -self.hi), 0.0), np.maximum(-self.lo, self.hi))
            return magnitude._monotone_power(p).clip(0.0, np.inf)
        return self._monotone_power(p)

    def _monotone_power(self, p: int) -> Interval:
        low, high = Interval(self.lo, self.lo), Interval(self.hi, self.hi)
        at_low, at_high = low, high
        for _ in range(p - 1):
            at_low, at_high = at_low * low, at_high * high
        return Interval(at_low.lo, at_high.hi)

    def reciprocal(self) -> Interval:
        """1 / x; NaN where the interval contains 0."""
        unknown = ~((self.lo > 0) | (self.hi < 0))  # NaN on one side too
        return Interval(down(1 / self.hi), up(1 / self.lo)).undefined(unknown)

    def scaled(self, factor: float) -> Interval:
        """Product with a float64 factor."""
        a, b = self.lo * factor, self.hi * factor
        return Interval(down(np.minimum(a, b)), up(np.maximum(a, b)))

    def sqrt(self) -> Interval:
        """Root, correctly rounded by IEEE 754; NaN where the interval is not wholly >= 0."""
        roots = Interval(down(np.sqrt(self.lo)), up(np.sqrt(self.hi)))
        return Interval(np.maximum(roots.lo, 0.0), roots.hi).undefined(~(self.lo >= 0))

    def undefined(self, where: Mask) -> Interval:
        """NaN there."""
        return self.replaced(where, np.nan, np.nan)

    def replaced(self, where: Mask, low: float, high: float) -> Interval:
        """[low, high] there."""
        return Interval(np.where(where, low, self.lo), np.where(where, high, self.hi))

    def broadcast(self, *shape: int) -> Interval:
        """The same values in a larger shape."""
        return Interval(np.broadcast_to(self.lo, shape), np.broadcast_to(self.hi, shape))

    def clip(self, low: float, high: float) -> Interval:
        """Intersection with [low, high], which must be known to hold the real values; NaN stays NaN."""
        return Interval(np.clip(self.lo, low, high), np.clip(self.hi, low, high))

    def hull(self, other: Interval) -> Interval:
        """Smallest interval that contains both."""
        return Interval(np.minimum(self.lo, other.lo), np.maximum(self.hi, other.hi))

    def within(self, other: Interval) -> Interval:
        """Bounds improved by a second enclosure of the same values; where this one is NaN it stays NaN."""
        lo = np.where(other.lo > self.lo, other.lo, self.lo)
        return Interval(lo, np.where(other.hi < self.hi, other.hi, self.hi))

    def sum(self, axis: int = -1) -> Interval:
        """Sum along an axis, in whatever order numpy adds."""
        error = gamma(self.shape[axis])
        lo, hi = self.lo.sum(axis), self.hi.sum(axis)
        slack = np.maximum(np.abs(self.lo), np.abs(self.hi)).sum(axis) * error + TINY
        return Interval(down(lo - slack), up(hi + slack))


def gamma(terms: int) -> float:
    """More than twice gamma_{terms+4} = k u / (1 - k u), u = 2^-53: relative error of a dot product."""
    return (terms + 8) * EPSILON


def stack(parts: Sequence[Interval], axis: int = 0) -> Interval:
    """Join along an existing axis."""
    return Interval(np.concatenate([p.lo for p in parts], axis), np.concatenate([p.hi for p in parts], axis))


def choose(first: Mask, a: Interval, second: Mask, b: Interval, otherwise: Interval) -> Interval:
    """a where `first`, b where `second`, else the third."""
    lo = np.where(first, a.lo, np.where(second, b.lo, otherwise.lo))
    return Interval(lo, np.where(first, a.hi, np.where(second, b.hi, otherwise.hi)))


@dataclass(frozen=True, slots=True)
class Matrix:
    """Enclosure of a real matrix, transposed: centre, |centre| + radius, and radius (None when zero), each (m, k).

    The magnitude is positive everywhere, so that a zero weight does not hide what is unbounded or undefined.
    """

    centre: Array
    magnitude: Array
    radius: Array | None

    @staticmethod
    def of(low: Array, high: Array) -> Matrix:
        """From bounds of shape (k, m)."""
        centre = 0.5 * low + 0.5 * high
        radius = np.maximum(high - centre, centre - low)
        if not radius.any():
            return Matrix(low.T.copy(), np.abs(low).T + TINY, None)
        radius = up(radius)
        return Matrix(centre.T.copy(), up(np.abs(centre) + radius).T + TINY, radius.T)

    def then(self, last: Matrix) -> Matrix:
        """The product: this one first. It errs by less than gamma |W| |M|, and by the radii."""
        error, size = gamma(len(last.centre)), self.magnitude @ last.magnitude
        radius = error * size
        if self.radius is not None:
            radius += self.radius @ last.magnitude
        if last.radius is not None:
            radius += self.magnitude @ last.radius
        centre, radius = self.centre @ last.centre, radius * (1 + error) + TINY
        return Matrix(centre, up(np.abs(centre) + radius) + TINY, up(radius))


def linear(x: Interval, matrix: Matrix) -> Interval:
    """W x over the last axis, in centre-radius form with an a-priori bound of the rounding.

    With x in c +- r:  |W x - fl(W c)| <= |W| (r + gamma |c|) + radius(W) |c|  for every order of summation.
    """
    rows = x.shape[:-1]
    lo, hi = x.lo.reshape(-1, x.shape[-1]), x.hi.reshape(-1, x.shape[-1])
    centre = 0.5 * lo + 0.5 * hi
    error = gamma(lo.shape[1])
    radius = np.maximum(hi - centre, centre - lo)
    # one rounding in each difference, underflow, and the rounding of the product below: all under 2 gamma |c| + TINY
    radius += error * (radius + np.abs(centre)) + TINY
    spread = radius @ matrix.magnitude
    if matrix.radius is not None:
        spread += np.abs(centre) @ matrix.radius
    spread += error * spread + TINY
    value = centre @ matrix.centre
    shape = (*rows, value.shape[1])
    return Interval(down(value - spread).reshape(shape), up(value + spread).reshape(shape))
