"""The elementary functions on intervals, with first and second derivatives: `FUNCTIONS`, one row a primitive.

A row gives ranges over an interval x, y being the range of the function itself. At a kink that x touches, by equality
too, the first derivative is Clarke's hull and the second is unbounded, which no later test survives.

Source: Clarke, Optimization and Nonsmooth Analysis (1983), section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ctrlnet.checker.interval import EPSILON, TINY, Array, Interval

ULPS = 8
"""Trusted accuracy of numpy: tanh and exp within this many units in the last place, sin and cos within as many units
in the last place of 1; documented errors are at most 4."""
LARGE = 2.0**20
"""Beyond this argument sin and cos are only known to lie in [-1, 1]."""
PERIOD_SLACK = 2.0**-29
"""More than the error of x / pi in float64 for |x| <= LARGE, about 2^-33."""
PEAK = 0.57735026
"""Just below 1 / sqrt 3, where tanh'' = -2 t (1 - t^2) is extreme in t; 1 / sqrt 3 < PEAK + 1e-8."""
STEEPEST = 0.76980036
"""Just above 4 / (3 sqrt 3), the extreme value of tanh''."""

Elementary = Callable[[str, Array], tuple[Array, Array]]
"""(name, points) -> lower and upper bounds of sin, cos, tanh or exp at these points."""


def numpy_elementary(name: str, points: Array) -> tuple[Array, Array]:
    """Bounds from numpy's functions, trusted to `ULPS`."""
    values: Array = getattr(np, name)(points)
    # one unit more than trusted, for the rounding of the two results
    slack = (np.ones_like(values) if name in ("sin", "cos") else np.abs(values)) * ((ULPS + 1) * EPSILON) + TINY
    return values - slack, values + slack


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
    undefined = np.isnan(x.lo) | np.isnan(x.hi)
    lo[undefined] = hi[undefined] = np.nan
    return Interval(lo, hi).clip(-1.0, 1.0)


def tanh_second(t: Interval) -> Interval:
    """Range of tanh'' = -2 t (1 - t^2) = 2 t^3 - 2 t over t in [-1, 1]: the ends and the extremes between them."""
    low, high = Interval(t.lo, t.lo), Interval(t.hi, t.hi)
    ends = [(p.power(3) - p).scaled(2.0) for p in (low, high)]
    hull = ends[0].hull(ends[1])
    lo = np.where((t.lo <= PEAK + 1e-8) & (t.hi >= PEAK), -STEEPEST, hull.lo)
    hi = np.where((t.lo <= -PEAK) & (t.hi >= -PEAK - 1e-8), STEEPEST, hull.hi)
    return Interval(np.minimum(lo, hull.lo), np.maximum(hi, hull.hi))


def tanh_first(t: Interval) -> Interval:
    """Range of tanh' = 1 - t^2, in [0, 1]."""
    return (constant(t, 1.0) - t.square()).clip(0.0, 1.0)


def constant(like: Interval, value: float) -> Interval:
    """The exact float64 `value`; NaN where `like` is."""
    return Interval(np.where(np.isnan(like.lo), np.nan, value), np.where(np.isnan(like.hi), np.nan, value))


def slope(x: Interval, left: float, right: float) -> Interval:
    """Derivative with slope `left` below 0 and `right` > left above; the hull [left, right] where x touches 0."""
    lo, hi = np.where(x.lo > 0, right, left), np.where(x.hi < 0, left, right)
    return Interval(lo, hi)


def kink(x: Interval) -> Interval:
    """Second derivative of a function with its kink at 0: 0 away from it, unbounded where x touches it."""
    away = (x.lo > 0) | (x.hi < 0)
    return Interval(np.where(away, 0.0, -np.inf), np.where(away, 0.0, np.inf))


class Function(NamedTuple):
    """Ranges of a function and of its derivatives over x: value(x, elementary), first(x, y), second(x, y)."""

    value: Callable[[Interval, Elementary], Interval]
    first: Callable[[Interval, Interval, Elementary], Interval]
    second: Callable[[Interval, Interval, Elementary], Interval]


def _sigmoid(x: Interval, e: Elementary) -> Interval:
    return (increasing("tanh", x.scaled(0.5), e, -1.0, 1.0).scaled(0.5) + constant(x, 0.5)).clip(0.0, 1.0)


def _half(y: Interval) -> Interval:
    """t = tanh(x / 2) = 2 y - 1 from y = sigmoid(x)."""
    return (y.scaled(2.0) - constant(y, 1.0)).clip(-1.0, 1.0)


FUNCTIONS: dict[str, Function] = {
    "sin": Function(lambda x, e: wave("sin", x, e), lambda x, y, e: wave("cos", x, e), lambda x, y, e: -y),
    "cos": Function(lambda x, e: wave("cos", x, e), lambda x, y, e: -wave("sin", x, e), lambda x, y, e: -y),
    "tanh": Function(
        lambda x, e: increasing("tanh", x, e, -1.0, 1.0), lambda x, y, e: tanh_first(y), lambda x, y, e: tanh_second(y)
    ),
    "sigmoid": Function(
        _sigmoid, lambda x, y, e: tanh_first(_half(y)).scaled(0.25), lambda x, y, e: tanh_second(_half(y)).scaled(0.125)
    ),
    "exp": Function(lambda x, e: increasing("exp", x, e, 0.0, np.inf), lambda x, y, e: y, lambda x, y, e: y),
    "square": Function(lambda x, e: x.square(), lambda x, y, e: x.scaled(2.0), lambda x, y, e: constant(x, 2.0)),
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
}


def powers(p: int) -> Function:
    """The row of x^p, an integer p >= 2."""
    return Function(
        lambda x, e: x.power(p),
        lambda x, y, e: x.power(p - 1).scaled(float(p)),
        lambda x, y, e: constant(x, 2.0) if p == 2 else x.power(p - 2).scaled(float(p * (p - 1))),
    )
