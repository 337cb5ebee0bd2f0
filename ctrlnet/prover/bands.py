"""Bands of univariate functions: a slope s and a strip [low, high] with f(z) - s z in it for every z of a range [l, u].

A band turns a slope form of the argument into one of f, `slope.banded`. Any s gives a true band; the chord or tangent
makes it thin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ctrlnet.prover import curves
from ctrlnet.prover.interval import RULES
from ctrlnet.prover.ranges import Interval, cosine, sine
from ctrlnet.prover.rounding import ELEMENTARY, TINY, raised

Band = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]  # lower, upper -> slope, low, high

WIDEST_TANGENT = 1.2  # beyond this half width a sine is bounded by its range alone


def _extremes(
    function: Callable[[Tensor], Tensor], slope: Tensor, points: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The band of g(z) = f(z) - s z from its values at the ends and at its critical points.

    A critical point is known to a few units in the last place; there g is flat, so the padding for the values covers
    it.
    """
    at = torch.stack(torch.broadcast_tensors(*points))
    value, tangent = function(at), slope * at
    pad = ELEMENTARY * (value.abs() + tangent.abs()) + TINY
    gap = value - tangent
    return slope, (gap - pad).amin(0), (gap + pad).amax(0)


def tanh_band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chord slope s. g' = 1 - tanh² - s vanishes at ±z, tanh z = t = √(1 - s): g is t - s z at z, s z - t at -z.

    t and z err by a few units in the last place, z by that much times 1/s; s times it is again a rounding of t.
    """
    t_low, t_high = torch.tanh(low), torch.tanh(high)
    chord = (t_high - t_low) / (high - low)
    slope = torch.where(high - low > 1e-6, chord, 1 - t_low.square()).clamp(0.0, 1.0)
    t = (1 - slope).sqrt().clamp(max=1 - 2.0**-53)
    z = torch.atanh(t)
    peak, at_low, at_high = t - slope * z, t_low - slope * low, t_high - slope * high
    most = torch.where((z > low) & (z < high), peak, -math.inf).maximum(torch.maximum(at_low, at_high))
    least = torch.where((-z > low) & (-z < high), -peak, math.inf).minimum(torch.minimum(at_low, at_high))
    pad = ELEMENTARY * (t_low.abs() + t_high.abs() + t + slope * (low.abs() + high.abs() + z)) + TINY
    return slope, least - pad, most + pad


def square_band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chord slope l + u; g is least at s/2."""
    slope = low + high
    return _extremes(torch.square, slope, (low, high, 0.5 * slope))


def exp_band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tangent at the middle m, where g is least: s = exp(m)."""
    middle = 0.5 * low + 0.5 * high
    return _extremes(torch.exp, torch.exp(middle), (low, high, middle))


def reciprocal_band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chord slope -1/(l u) for l u > 0; g' vanishes at ±√(l u). Unbounded where zero is inside."""
    crosses = ~((low > 0) | (high < 0))
    product = torch.where(crosses, 1.0, low * high)
    slope, least, most = _extremes(torch.reciprocal, -1 / product, (low, high, product.sqrt().copysign(low)))
    return slope, torch.where(crosses, -math.inf, least), torch.where(crosses, math.inf, most)


def relu_band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Identity or zero away from the kink; the chord s = u/(u - l) across it, where relu(z) - s z is in [0, -s l]."""
    crosses = (low < 0) & (high > 0)
    slope = torch.where(crosses, high / torch.where(crosses, high - low, 1.0), (low >= 0).to(low))
    gap = torch.where(crosses, raised(torch.maximum(-slope * low, high * (1 - slope))), 0.0)
    return slope, torch.zeros_like(low), gap


def abs_band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """|z| = relu(z) + relu(-z): sign away from the kink; across it |z| - s z is in [0, max(-l - s l, u - s u)]."""
    crosses = (low < 0) & (high > 0)
    slope = torch.where(
        crosses, (high + low) / torch.where(crosses, high - low, 1.0), torch.where(low >= 0, 1.0, -1.0).to(low)
    )
    ends = torch.maximum(-low * (1 + slope), high * (1 - slope))
    pad = ELEMENTARY * (low.abs() + high.abs())
    return slope, torch.zeros_like(low), torch.where(crosses, raised(ends + pad), 0.0)


def _tangent_band(
    value: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor], curvature: Callable[[Interval], Interval]
) -> Band:
    """Tangent at the middle m with Lagrange's remainder: f(z) - f(m) - f'(m)(z - m) in f''([l, u]) (z - m)²/2."""

    def band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        middle = 0.5 * low + 0.5 * high
        width = raised(torch.maximum(high - middle, middle - low))
        slope, bend = derivative(middle), curvature(Interval(low, high))
        start = value(middle) - slope * middle
        pad = ELEMENTARY * (2 + slope.abs() * (middle.abs() + width)) + TINY
        half = raised(0.5 * width.square())
        least, most = start + bend.lower.clamp(max=0.0) * half - pad, start + bend.upper.clamp(min=0.0) * half + pad
        wide = ~(width < WIDEST_TANGENT)  # f'' = -f for sine and cosine: the range of f is that of -f''
        return (
            torch.where(wide, 0.0, slope),
            torch.where(wide, -bend.upper, least),
            torch.where(wide, -bend.lower, most),
        )

    return band


def _minus(interval: Interval) -> Interval:
    return Interval(-interval.upper, -interval.lower)


sin_band = _tangent_band(torch.sin, torch.cos, lambda a: _minus(sine(a)))
cos_band = _tangent_band(torch.cos, lambda z: -torch.sin(z), lambda a: _minus(cosine(a)))


def range_band(rule: str) -> Band:
    """Slope zero and the interval rule's range, for functions with jumps."""

    def band(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bounds = RULES[rule]([Interval(low, high)], None)
        return torch.zeros_like(low), bounds.lower, bounds.upper

    return band


BANDS: dict[str, Band] = {
    "square": square_band,
    "sqrt": curves.sqrt_band,
    "sin": sin_band,
    "cos": cos_band,
    "exp": exp_band,
    "log": curves.log_band,
    "tanh": tanh_band,
    "atan": curves.atan_band,
    "softplus": curves.softplus_band,
    "erf": curves.erf_band,
    "bell": curves.bell_band,
    "relu": relu_band,
    "abs": abs_band,
    "step": range_band("step"),
    "jump": range_band("jump"),
}
