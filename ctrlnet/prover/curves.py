"""Bands of curves that are convex, concave, or one after the other, by supporting lines.

Theorem. Let f be convex and differentiable on [a, b], c in [a, b], s any number, g(z) = f(z) - s z and r = f'(c) - s.
Then g is at most the larger of g(a), g(b), and at least g(c) + min(r (a - c), r (b - c)), since f lies above its
tangent at c. For concave f the sides change places. The point c is free: nothing depends on how well it solves
f'(c) = s, which is where the bound is least; so no critical point has to be bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover import ranges
from ctrlnet.prover.ranges import BELL_PEAK, Interval, bell_value, integer_power, softplus_value
from ctrlnet.prover.rounding import ELEMENTARY, TINY, gamma, raised

Map = Callable[[Tensor], Tensor]

ERROR = 8 * ELEMENTARY  # more than the relative error of every value and derivative below, γ(64) among them
NARROW = 1e-8  # of the size of an argument: below, a chord is all rounding


class Strip(NamedTuple):
    """f(z) - s z is in `middle` ± `half` for every z of a range, the rounding γ(4) |middle| of a sum with it included.

    To be `raised`: half is nonnegative, and up to the roundings of a few operations.
    """

    slope: Tensor
    middle: Tensor
    half: Tensor


def strip(slope: Tensor, least: Tensor, most: Tensor) -> Strip:
    """The strip of f(z) - s z in [least, most]."""
    middle = 0.5 * (least + most)
    return Strip(slope, middle, (most - least).mul_(0.5).add_(middle.abs(), alpha=gamma(4)))


class Curve(NamedTuple):
    """f, f', and a point where f' is about s (anything, NaN too, is sound)."""

    value: Map
    derivative: Map
    touching: Map


def _slope(curve: Curve, low: Tensor, high: Tensor) -> Tensor:
    """The chord's slope; of a narrow range, the tangent's."""
    width = high - low
    chord = (curve.value(high) - curve.value(low)) / width
    return torch.where(width > NARROW * (low.abs() + high.abs()), chord, curve.derivative(0.5 * low + 0.5 * high))


def _support(curve: Curve, slope: Tensor, low: Tensor, high: Tensor, sign: float) -> Tensor:
    """A bound of f(z) - s z over [low, high]: lower of a convex f for sign 1, upper of a concave one for -1."""
    at = curve.touching(slope)
    at = torch.minimum(torch.maximum(torch.where(at.isnan(), low, at), low), high)
    value, steepness = curve.value(at), curve.derivative(at)
    residual, tangent = sign * (steepness - slope), slope * at
    turn = torch.minimum(residual * (low - at), residual * (high - at))
    pad = ERROR * (value.abs() + tangent.abs() + (steepness.abs() + slope.abs() + TINY) * (high - low)) + TINY
    return value - tangent + sign * (turn - pad)


def _ends(curve: Curve, slope: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of f(z) - s z at both ends: the least and the largest."""
    values, tangents = torch.stack((curve.value(low), curve.value(high))), slope * torch.stack((low, high))
    pad = ERROR * (values.abs() + tangents.abs()) + TINY
    gaps = values - tangents
    return (gaps - pad).amin(0), (gaps + pad).amax(0)


def convex_band(curve: Curve, low: Tensor, high: Tensor) -> Strip:
    slope = _slope(curve, low, high)
    return strip(slope, _support(curve, slope, low, high, 1.0), _ends(curve, slope, low, high)[1])


def bent_band(curve: Curve, low: Tensor, high: Tensor) -> Strip:
    """f odd, concave for z >= 0 and so convex for z <= 0.

    Over the part z >= 0 of the range g is at most its concave support; over z <= 0 it is at most its value at the
    ends of that part, of which zero belongs to the other. The least value is minus that of the mirrored range.
    """
    slope = _slope(curve, low, high)
    least, most = _ends(curve, slope, low, high)
    cap = _support(curve, slope, low.clamp(min=0.0), high.clamp(min=0.0), -1.0)
    floor = -_support(curve, slope, (-high).clamp(min=0.0), (-low).clamp(min=0.0), -1.0)
    least = torch.where(low < 0, torch.minimum(least, floor), least)
    return strip(slope, least, torch.where(high > 0, torch.maximum(most, cap), most))


def power_band(exponent: int) -> Callable[[Tensor, Tensor], Strip]:
    """z^p is convex for even p; for odd p, -z^p is odd and concave for z >= 0. f' = p z^(p-1)."""
    sign = 1.0 if exponent % 2 == 0 else -1.0

    def touching(slope: Tensor) -> Tensor:
        size = (slope.abs() / exponent).pow(1 / (exponent - 1))
        return size.copysign(slope) if sign > 0 else size

    curve = Curve(
        lambda z: sign * integer_power(z, exponent),
        lambda z: sign * exponent * integer_power(z, exponent - 1),
        touching,
    )

    def band(low: Tensor, high: Tensor) -> Strip:
        if sign > 0:
            return convex_band(curve, low, high)
        slope, middle, half = bent_band(curve, low, high)
        return Strip(-slope, -middle, half)

    return band


SOFTPLUS = Curve(softplus_value, lambda z: 1 / (1 + torch.exp(-z)), lambda slope: slope.log() - (-slope).log1p())
ATAN = Curve(torch.atan, lambda z: 1 / (1 + z.square()), lambda slope: (1 / slope - 1).sqrt())
ERF = Curve(torch.erf, bell_value, lambda slope: (-(slope / BELL_PEAK).log()).sqrt())


def softplus_band(low: Tensor, high: Tensor) -> Strip:
    """Convex; f'(c) = s at c = ln(s/(1 - s))."""
    return convex_band(SOFTPLUS, low, high)


def atan_band(low: Tensor, high: Tensor) -> Strip:
    """Odd, concave for z >= 0; f'(c) = s at c = √(1/s - 1)."""
    return bent_band(ATAN, low, high)


def erf_band(low: Tensor, high: Tensor) -> Strip:
    """Odd, concave for z >= 0; f'(c) = 2/√π e^(-c²) = s at c = √(-ln(s √π/2))."""
    return bent_band(ERF, low, high)


def sqrt_band(low: Tensor, high: Tensor) -> Strip:
    """Concave, s = 1/(√l + √u) the chord's slope: √z - s z is least at an end, and at most 1/(4s) for every z >= 0."""
    low_root, high_root = low.sqrt(), high.sqrt()  # NaN below zero
    slope = 1 / (low_root + high_root).clamp(min=1e-150)
    low_tangent, high_tangent = slope * low, slope * high
    pad = ERROR * (high_root + high_tangent) + TINY
    least = torch.minimum(low_root - low_tangent, high_root - high_tangent) - pad
    return strip(slope, least, raised(0.25 / slope))


def log_band(low: Tensor, high: Tensor) -> Strip:
    """Concave; s = 1/c is the chord's slope: ln z - s z is least at an end, and at most -ln s - 1 for every z > 0."""
    low_log, high_log, width = low.log(), high.log(), high - low
    chord = (high_log - low_log) / width
    slope = torch.where(width > NARROW * high, chord, 2 / (low + high))
    low_tangent, high_tangent, most = slope * low, slope * high, -slope.log() - 1
    pad = ERROR * (low_log.abs() + high_log.abs() + high_tangent + most.abs() + 2) + TINY
    least = torch.minimum(low_log - low_tangent, high_log - high_tangent) - pad
    undefined = ~(low > 0)
    return strip(slope, least.masked_fill(undefined, torch.nan), most + pad)


def bell_band(low: Tensor, high: Tensor) -> Strip:
    """f = 2/√π e^(-z²): tangent at the middle with Lagrange's remainder, f'' = (4z² - 2) f; or the range, if narrower.

    f'' lies between -4/√π at zero and 8/√π e^(-3/2) at ±√(3/2).
    """
    middle = 0.5 * low + 0.5 * high
    width = raised(torch.maximum(high - middle, middle - low))
    size, squares = ranges.bell(Interval(low, high)), ranges.square(Interval(low, high))
    ends = torch.stack([(4 * z - 2) * f for z in squares for f in size])
    bend_low, bend_high = ends.amin(0).clamp(min=-2.2568), ends.amax(0).clamp(max=1.0072)
    value = bell_value(middle)
    slope = -2 * middle * value
    start, half = value - slope * middle, raised(0.5 * width.square())
    pad = ERROR * (value + slope.abs() * (middle.abs() + width) + 3 * half) + TINY
    least, most = start + bend_low.clamp(max=0.0) * half - pad, start + bend_high.clamp(min=0.0) * half + pad
    flat = ~(most - least < size.upper - size.lower)
    least, most = torch.where(flat, size.lower, least), torch.where(flat, size.upper, most)
    return strip(torch.where(flat, 0.0, slope), least, most)
