"""Taylor polynomials of the elementary functions and of their derivatives, with the range of what they leave out.

Let |z| <= w, and f'''' be in q +- r on m +- w. By Lagrange's remainder f''''(xi) z^4 / 24, and as
|z^3 - (3/4) w^2 z| <= w^3 / 4 and |z^4 - w^2 z^2 + w^4 / 8| <= w^4 / 8 (Chebyshev's polynomials), with t = f'''(m)

    f(m + z) = f(m) - q w^4 / 192 + (f'(m) + t w^2 / 8) z + (f''(m) / 2 + q w^2 / 24) z^2
               +- (|t| / 24 + (|q| / 192 + r / 24) w) w^3,
    f'(m + z) = f'(m) + (f''(m) + q w^2 / 8) z + t z^2 / 2 +- (|q| / 24 + r / 6) w^3,
    f''(m + z) = f''(m) + t z + q z^2 / 2 +- r w^2 / 2.

With f''' in t +- s on m +- w instead, the same holds with q = 0 and s / 6, s / 2, s in place of what stands with q and
r; it is taken where it leaves less in f. An error of t is such an s.

Source: Rivlin, Chebyshev Polynomials (1990), ch. 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ctrlnet.checker import functions
from ctrlnet.checker.functions import Elementary, Function
from ctrlnet.checker.interval import TINY, Array, Interval
from ctrlnet.checker.taylor import ERROR, Form, around, polynomial

Range = Callable[[Interval, Interval, Elementary], Interval]
"""Of a derivative over x, y being the range of the function."""


class Higher(NamedTuple):
    """Ranges of the third and of the fourth derivative."""

    third: Range
    fourth: Range


class Polynomial(NamedTuple):
    """p0 + p1 z + p2 z^2 +- rest, all (B, size)."""

    coefficients: tuple[Array, Array, Array]
    rest: Array

    def of(self, a: Form, at: Array) -> Form:
        """At z = a - at."""
        return polynomial(a, at, self.coefficients, self.rest)


def polynomials(x: Interval, y: Interval, f: Function, higher: Higher, e: Elementary) -> list[Polynomial]:
    """Of f, f' and f'' about the centre of x; what is large is multiplied first, so that no underflow is magnified."""
    m, w = around(x)
    at = Interval(m, m)
    value = f.value(at, e)
    (p0, r0), (p1, r1), (p2, r2) = map(around, (value, f.first(at, value, e), f.second(at, value, e)))
    t, q, rests = _left(w, around(higher.third(x, y, e)), around(higher.third(at, value, e)), higher.fourth(x, y, e))
    w2 = w * w + TINY
    s, c = np.abs(t) * w2, np.abs(q) * w2
    rounding = [np.abs(p0) + (np.abs(p1) + s + TINY) * w + (np.abs(p2) + c + TINY) * w * w + c * w2]
    rounding += [(np.abs(p2) + c + TINY) * w + (np.abs(t) + TINY) * w * w, (np.abs(q) + TINY) * w * w]
    p = (p0 - q * (w * w) * (w * w) / 192, p1 + t * (w * w) / 8, 0.5 * p2 + q * (w * w) / 24)
    errors = (r0 + r1 * w + r2 * w * w, r1 + r2 * w, r2)
    left = (rests[0] * w * w * w, rests[1] * w * w, rests[2] * w)
    coefficients = (p, (p1, p2 + q * (w * w) / 8, 0.5 * t), (p2, t, 0.5 * q))
    return [
        Polynomial(c, error + rest + ERROR * rounded)
        for c, error, rest, rounded in zip(coefficients, errors, left, rounding, strict=True)
    ]


def _left(
    w: Array, third: tuple[Array, Array], middle: tuple[Array, Array], fourth: Interval
) -> tuple[Array, Array, list[Array]]:
    """t, q, and what is left of f, f', f'' over w^3, w^2, w."""
    (t, s), (at, error), (q, r) = third, middle, around(fourth)
    size = np.abs(q)
    rests = [np.abs(t) / 24 + s / 6, s / 2, s]
    finer = [np.abs(at) / 24 + (size / 192 + r / 24) * w + error / 6, (size / 24 + r / 6) * w + error / 2]
    finer += [r * w / 2 + error]
    less = finer[0] < rests[0]  # NaN is no less
    return (
        np.where(less, at, t), np.where(less, q, 0.0), [np.where(less, a, b) for a, b in zip(finer, rests, strict=True)]
    )  # fmt: skip


def tanh_third(p: Interval) -> Interval:
    """Range of tanh''' = 4 p - 6 p^2 over p = tanh' in [0, 1], largest at 1/3 with 2/3."""
    low, high = (q.scaled(4.0) - q.square().scaled(6.0) for q in (Interval(p.lo, p.lo), Interval(p.hi, p.hi)))
    top = np.where((p.lo <= 0.33333334) & (p.hi >= 0.33333333), 0.66666667, -np.inf)
    hull = low.hull(high)
    return Interval(hull.lo, np.maximum(hull.hi, top))


def tanh_fourth(t: Interval) -> Interval:
    """Range of tanh'''' = 8 t (2 - 5 t^2 + 3 t^4) over t in [-1, 1]: odd, it turns where 15 t^4 - 15 t^2 + 2 = 0."""
    low, high = (_odd(Interval(end, end)) for end in (t.lo, t.hi))
    hull = low.hull(high)
    lo, hi = hull.lo, hull.hi
    for place, height in TURNS:
        for at, value in ((place, height), (-place, -height)):
            inside = (t.lo <= at + 1e-6) & (t.hi >= at - 1e-6)
            lo = np.where(inside, np.minimum(lo, value), lo)
            hi = np.where(inside, np.maximum(hi, value), hi)
    return Interval(lo, hi)


def _odd(t: Interval) -> Interval:
    square = t.square()
    return t.scaled(8.0) * (functions.constant(2.0) - square * (functions.constant(5.0) - square.scaled(3.0)))


def _falling(p: int, order: int) -> Range:
    """The derivative p (p - 1) ... x^(p - order) of x^p."""
    factor, left = float(math.perm(p, order)), p - order
    return lambda x, y, e: x.power(left).scaled(factor) if left > 0 else functions.constant(factor)


def higher_powers(p: int) -> Higher:
    """Of x^p, an integer p >= 2."""
    return Higher(_falling(p, 3), _falling(p, 4))


def _scaled(x: Interval, square: float, one: float) -> Interval:
    """square x^2 + one."""
    return x.square().scaled(square) + functions.constant(one)


NONE: Range = lambda x, y, e: functions.constant(0.0)  # noqa: E731
TURNS = ((0.398039, 4.0858856), (0.917369, -0.6100872))
"""Where tanh'''' turns, as t, and a value just beyond its own there."""
HIGHER: dict[str, Higher] = {
    "sin": Higher(lambda x, y, e: -functions.wave("cos", x, e), lambda x, y, e: y),
    "cos": Higher(lambda x, y, e: functions.wave("sin", x, e), lambda x, y, e: y),
    "tanh": Higher(lambda x, y, e: tanh_third(functions.tanh_first(y)), lambda x, y, e: tanh_fourth(y)),
    "atan": Higher(
        lambda x, y, e: _scaled(x, 6.0, -2.0) * functions.atan_first(x).power(3),
        lambda x, y, e: x.scaled(24.0) * _scaled(x, -1.0, 1.0) * functions.atan_first(x).power(4),
    ),
    "softplus": Higher(
        lambda x, y, e: functions.tanh_second(functions.logistic(x, e)).scaled(0.125),
        lambda x, y, e: tanh_third(functions.tanh_first(functions.logistic(x, e))).scaled(0.0625),
    ),
    "erf": Higher(
        lambda x, y, e: _scaled(x, 4.0, -2.0) * functions.erf_first(x, e),
        lambda x, y, e: x * _scaled(x, -8.0, 12.0) * functions.erf_first(x, e),
    ),
    "exp": Higher(lambda x, y, e: y, lambda x, y, e: y),
    "log": Higher(
        lambda x, y, e: x.reciprocal().power(3).scaled(2.0), lambda x, y, e: x.reciprocal().power(4).scaled(-6.0)
    ),
    "sqrt": Higher(
        lambda x, y, e: y.reciprocal().power(5).scaled(0.375),
        lambda x, y, e: y.reciprocal().power(7).scaled(-0.9375),
    ),
    "square": Higher(NONE, NONE),
    "reciprocal": Higher(lambda x, y, e: y.power(4).scaled(-6.0), lambda x, y, e: y.power(5).scaled(24.0)),
}
