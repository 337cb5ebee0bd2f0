"""The elementary functions on intervals, with first and second derivatives: `FUNCTIONS`, one row a primitive.

A row gives ranges over an interval x, y being the range of the function itself; they may hold one entry for all. At a
kink that x touches, by equality too, the first derivative is Clarke's hull and the second is unbounded, which no later
test survives. Where the function is not locally Lipschitz (sqrt at 0, floor at a whole number) the first is unbounded
too. Where it is undefined (log of what may not be positive) the value is NaN, whatever its derivatives are.

Source: Clarke, Optimization and Nonsmooth Analysis (1983), section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ctrlnet.checker.interval import EPSILON, TINY, Array, Interval, Mask

ULPS = 8
"""Trusted accuracy of numpy's tanh, exp, log, log1p, arctan and of math.erf: within this many units in the last place;
of numpy's sin and cos: within as many units in the last place of 1. Documented errors are at most 4."""
UNITS = {"softplus": 2 * ULPS + 2}
"""softplus(x) = ln(1 + e^-|x|) + max(x, 0). A relative error d of e^-|x| makes a relative error of at most d in the
logarithm, which has its own; both terms are >= 0, so their sum has no more, and a rounding."""
LARGE = 2.0**20
"""Beyond this argument sin and cos are only known to lie in [-1, 1]."""
PERIOD_SLACK = 2.0**-29
"""More than the error of x / pi in float64 for |x| <= LARGE, about 2^-33."""
HALF_PI = 1.5707963267948968
"""Just above pi / 2."""
BELL = Interval(np.array([1.1283791670955125]), np.array([1.1283791670955128]))
"""2 / sqrt pi = 1.12837916709551257..."""

Elementary = Callable[[str, Array], tuple[Array, Array]]
"""(name, points) -> lower and upper bounds of sin, cos, tanh, exp, log, atan, softplus or erf at these points."""


def numpy_elementary(name: str, points: Array) -> tuple[Array, Array]:
    """Bounds from numpy's functions and math.erf, trusted to `ULPS`."""
    values: Array = POINTWISE[name](points) if name in POINTWISE else getattr(np, name)(points)
    scale = np.ones_like(values) if name in ("sin", "cos") else np.abs(values)
    # one unit more than trusted, for the rounding of the two results
    slack = scale * ((UNITS.get(name, ULPS) + 1) * EPSILON) + TINY
    return values - slack, values + slack


def _softplus(x: Array) -> Array:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0)


def _erf(x: Array) -> Array:
    return np.array([math.erf(v) for v in x.ravel().tolist()], dtype=np.float64).reshape(x.shape)


POINTWISE: dict[str, Callable[[Array], Array]] = {"softplus": _softplus, "erf": _erf, "atan": np.arctan}
"""Those that numpy lacks or names otherwise."""


def increasing(name: str, x: Interval, elementary: Elementary, low: float, high: float) -> Interval:
    """Range of an increasing function with values in [low, high]."""
    return Interval(elementary(name, x.lo)[0], elementary(name, x.hi)[1]).clip(low, high)


def wave(name: str, x: Interval, elementary: Elementary) -> Interval:
    """Range of sin or cos: the ends, and 1 or -1 where a crest (k + 1/2) pi or k pi may lie between them."""
    a, b = elementary(name, x.lo), elementary(name, x.hi)
    offset = 0.5 if name == "sin" else 0.0
    first = np.ceil(x.lo / np.pi - offset - PERIOD_SLACK)
    last = np.floor(x.hi / np.pi - offset + PERIOD_SLACK)
    crest = 2 * np.floor(last / 2) >= first
    trough = 2 * np.floor((last - 1) / 2) + 1 >= first
    far = ~(np.maximum(np.abs(x.lo), np.abs(x.hi)) <= LARGE)
    lo = np.where(trough | far, -1.0, np.minimum(a[0], b[0]))
    hi = np.where(crest | far, 1.0, np.maximum(a[1], b[1]))
    return Interval(lo, hi).undefined(np.isnan(x.lo) | np.isnan(x.hi)).clip(-1.0, 1.0)


def bump(x: Interval, f: Callable[[Interval], Interval], place: float, height: float) -> Interval:
    """Range of an odd f that rises to a maximum at -p, falls to a minimum at p, and rises again: the ends and, where x
    may contain them, the extremes; p lies in [place, place + 1e-8], the maximum is at most `height`."""
    hull = f(Interval(x.lo, x.lo)).hull(f(Interval(x.hi, x.hi)))
    low = np.where((x.lo <= place + 1e-8) & (x.hi >= place), -height, np.inf)
    high = np.where((x.lo <= -place) & (x.hi >= -place - 1e-8), height, -np.inf)
    return Interval(np.minimum(low, hull.lo), np.maximum(high, hull.hi))


def tanh_second(t: Interval) -> Interval:
    """Range of tanh'' = -2 t (1 - t^2) = 2 t^3 - 2 t over t in [-1, 1], extreme at 1 / sqrt 3 with 4 / (3 sqrt 3)."""
    return bump(t, lambda p: (p.power(3) - p).scaled(2.0), 0.57735026, 0.76980036)


def tanh_first(t: Interval) -> Interval:
    """Range of tanh' = 1 - t^2, in [0, 1]."""
    return (constant(1.0) - t.square()).clip(0.0, 1.0)


def atan_first(x: Interval) -> Interval:
    """Range of atan' = 1 / (1 + x^2), in [0, 1]."""
    return (constant(1.0) + x.square()).reciprocal().clip(0.0, 1.0)


def atan_second(x: Interval) -> Interval:
    """Range of atan'' = -2 x / (1 + x^2)^2, extreme at 1 / sqrt 3 with 3 sqrt 3 / 8."""
    return bump(x, lambda p: p.scaled(-2.0) * atan_first(p).square(), 0.57735026, 0.64951906)


def erf_first(x: Interval, elementary: Elementary) -> Interval:
    """Range of erf' = 2 / sqrt pi exp(-x^2)."""
    return increasing("exp", -x.square(), elementary, 0.0, 1.0) * BELL


def erf_second(x: Interval, elementary: Elementary) -> Interval:
    """Range of erf'' = -2 x erf'(x), extreme at 1 / sqrt 2 with 2 sqrt(2 / (pi e))."""
    return bump(x, lambda p: p.scaled(-2.0) * erf_first(p, elementary), 0.70710678, 0.96788290)


def sqrt_first(y: Interval) -> Interval:
    """Range of sqrt' = 1 / (2 y), unbounded where y may be zero."""
    return unbounded(y.scaled(2.0).reciprocal(), ~(y.lo > 0))


def sqrt_second(y: Interval) -> Interval:
    """Range of sqrt'' = -1 / (4 y^3), unbounded where y may be zero."""
    return unbounded(y.reciprocal().power(3).scaled(-0.25), ~(y.lo > 0))


def logistic(x: Interval, elementary: Elementary) -> Interval:
    """t = tanh(x / 2): softplus' = (1 + t) / 2 and softplus'' = (1 - t^2) / 4."""
    return increasing("tanh", x.scaled(0.5), elementary, -1.0, 1.0)


def constant(value: float) -> Interval:
    """The exact float64 `value`, one entry."""
    return Interval(np.array([value]), np.array([value]))


def slope(x: Interval, left: float, right: float) -> Interval:
    """Derivative with slope `left` below 0 and `right` > left above; the hull [left, right] where x touches 0."""
    return Interval(np.where(x.lo > 0, right, left), np.where(x.hi < 0, left, right))


def unbounded(f: Interval, where: Mask) -> Interval:
    """No bound there."""
    return f.replaced(where, -np.inf, np.inf)


def kink(x: Interval) -> Interval:
    """Second derivative of a function with its kink at 0: 0 away from it, unbounded where x touches it."""
    return unbounded(constant(0.0), ~((x.lo > 0) | (x.hi < 0)))


def whole(x: Interval) -> Interval:
    """Range of the greatest whole number <= x, which is both k - 1 and k where x = k. The float before a bound that is
    2^53 or more in size is at least 1 less, where k - 1 may round to k."""
    low = np.minimum(np.ceil(x.lo) - 1.0, np.nextafter(x.lo, -np.inf))
    return Interval(low, np.floor(x.hi)).undefined(np.isnan(x.lo) | np.isnan(x.hi))


def steps(x: Interval) -> Interval:
    """Derivatives of floor: 0 between whole numbers, unbounded where x touches one."""
    y = whole(x)
    with np.errstate(invalid="ignore"):
        return unbounded(constant(0.0), ~(y.hi - y.lo == 0))


class Function(NamedTuple):
    """Ranges of a function and of its derivatives over x: value(x, elementary), first(x, y), second(x, y)."""

    value: Callable[[Interval, Elementary], Interval]
    first: Callable[[Interval, Interval, Elementary], Interval]
    second: Callable[[Interval, Interval, Elementary], Interval]


FUNCTIONS: dict[str, Function] = {
    "sin": Function(lambda x, e: wave("sin", x, e), lambda x, y, e: wave("cos", x, e), lambda x, y, e: -y),
    "cos": Function(lambda x, e: wave("cos", x, e), lambda x, y, e: -wave("sin", x, e), lambda x, y, e: -y),
    "tanh": Function(
        lambda x, e: increasing("tanh", x, e, -1.0, 1.0), lambda x, y, e: tanh_first(y), lambda x, y, e: tanh_second(y)
    ),
    "atan": Function(
        lambda x, e: increasing("atan", x, e, -HALF_PI, HALF_PI),
        lambda x, y, e: atan_first(x),
        lambda x, y, e: atan_second(x),
    ),
    "softplus": Function(
        lambda x, e: increasing("softplus", x, e, 0.0, np.inf),
        lambda x, y, e: (logistic(x, e).scaled(0.5) + constant(0.5)).clip(0.0, 1.0),
        lambda x, y, e: tanh_first(logistic(x, e)).scaled(0.25),
    ),
    "erf": Function(
        lambda x, e: increasing("erf", x, e, -1.0, 1.0),
        lambda x, y, e: erf_first(x, e),
        lambda x, y, e: erf_second(x, e),
    ),
    "exp": Function(lambda x, e: increasing("exp", x, e, 0.0, np.inf), lambda x, y, e: y, lambda x, y, e: y),
    "log": Function(
        lambda x, e: increasing("log", x, e, -np.inf, np.inf).undefined(~(x.lo > 0)),
        lambda x, y, e: x.reciprocal(),
        lambda x, y, e: -x.reciprocal().square(),
    ),
    "sqrt": Function(lambda x, e: x.sqrt(), lambda x, y, e: sqrt_first(y), lambda x, y, e: sqrt_second(y)),
    "square": Function(lambda x, e: x.square(), lambda x, y, e: x.scaled(2.0), lambda x, y, e: constant(2.0)),
    "reciprocal": Function(
        lambda x, e: x.reciprocal(), lambda x, y, e: -y.square(), lambda x, y, e: y.power(3).scaled(2.0)
    ),
    "relu": Function(
        lambda x, e: Interval(np.maximum(x.lo, 0.0), np.maximum(x.hi, 0.0)),
        lambda x, y, e: slope(x, 0.0, 1.0),
        lambda x, y, e: kink(x),
    ),
    "abs": Function(
        lambda x, e: Interval(np.maximum(np.maximum(x.lo, -x.hi), 0.0), np.maximum(-x.lo, x.hi)),
        lambda x, y, e: slope(x, -1.0, 1.0),
        lambda x, y, e: kink(x),
    ),
    "floor": Function(lambda x, e: whole(x), lambda x, y, e: steps(x), lambda x, y, e: steps(x)),
}


def powers(p: int) -> Function:
    """The row of x^p, an integer p >= 2."""
    return Function(
        lambda x, e: x.power(p),
        lambda x, y, e: x.power(p - 1).scaled(float(p)),
        lambda x, y, e: constant(2.0) if p == 2 else x.power(p - 2).scaled(float(p * (p - 1))),
    )
