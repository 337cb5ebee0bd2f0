"""Bands of univariate functions: a slope s and a strip that holds f(z) - s z for every z of a range [l, u].

A band turns a slope form of the argument into one of f, `affine.banded`. There is one for any s; that of the chord or
of a tangent is thin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ctrlnet.prover import curves
from ctrlnet.prover.curves import Strip, strip
from ctrlnet.prover.interval import RULES
from ctrlnet.prover.ranges import Interval, cosine, padded, sine
from ctrlnet.prover.rounding import ELEMENTARY, TINY, raised

Band = Callable[[Tensor, Tensor], Strip]

WIDEST_TANGENT = 1.2  # beyond this half width a sine is bounded by its range alone


def _extremes(function: Callable[[Tensor], Tensor], slope: Tensor, points: Sequence[Tensor]) -> Strip:
    """The band of g(z) = f(z) - s z from its values at the ends and at its critical points.

    A critical point is known to a few units in the last place; there g is flat, so the padding for the values covers
    it.
    """
    at = torch.stack(torch.broadcast_tensors(*points))
    value, tangent = function(at), slope * at
    pad = ELEMENTARY * (value.abs() + tangent.abs()) + TINY
    gap = value - tangent
    return strip(slope, (gap - pad).amin(0), (gap + pad).amax(0))


def tanh_band(low: Tensor, high: Tensor, ends: Interval | None = None) -> Strip:
    """Slope s just below the chord's, tanh p = √(1 - s): g is least at max(-p, l), largest at min(p, u).

    g(z) = tanh z - s z is odd, rises on [-p, p] and falls elsewhere. So over [l, u] it is at most the larger of g(l)
    and g(min(p, u)), and at least the smaller of g(u) and g(max(-p, l)). As s, in [0, 1], is at most the chord's slope,
    g(l) <= g(u): it is between g(max(-p, l)) and g(min(p, u)).

    With t = tanh p, M = max(|tanh l|, |tanh u|) and N = max(|l|, |u|): the rise tanh u - tanh l errs by 16 u M for its
    values, its rounding, that of u - l and of s come to less than 12 u M, and 32 u M are taken off. A value of tanh
    errs by 8 u, t by 3 u, s p by 8 u for atanh and by twice the error of t (atanh' = 1/s), and the difference rounds
    twice; where roundings make the two minima disagree, both count: 16 u M + 10 u s N. A strip's rounding is 12 u of
    its middle, which is at most the larger of M and s N, and one u for halving. `ends`: tanh l and tanh u, if known.
    """
    ends = ends or Interval(torch.tanh(low), torch.tanh(high))
    other, left = -ends.lower, -low
    size, width = torch.maximum(other, ends.upper), (high - low).add_(TINY)
    slope = (ends.upper - ends.lower).sub_(size, alpha=2 * ELEMENTARY).div_(width).clamp_(0.0, 1.0)
    t = (1 - slope).sqrt_().clamp_(max=1 - 2.0**-53)
    p = torch.atanh(t)
    most = torch.minimum(t, ends.upper).addcmul_(slope, torch.minimum(p, high), value=-1)
    pad = size.addcmul_(slope, torch.maximum(left, high)).mul_(2 * ELEMENTARY).add_(TINY)
    least = other.clamp_(max=t).addcmul_(slope, left.clamp_(max=p), value=-1)  # -g(max(-p, l))
    return Strip(slope, (most - least).mul_(0.5), torch.add(pad, most.add_(least), alpha=0.5))


def tanh_strip(low: Tensor, high: Tensor) -> tuple[Strip, Interval]:
    """Band and range, of the same two values."""
    ends = Interval(torch.tanh(low), torch.tanh(high))
    return tanh_band(low, high, ends), padded(*ends, ELEMENTARY, -1.0, 1.0)


def square_band(low: Tensor, high: Tensor) -> Strip:
    """Chord slope l + u; g is least at s/2.

    There g is -s²/4, and -l u at both ends. With M = max(|l|, |u|) all are at most M², and a rounding of s changes g at
    the ends by at most 2u M².
    """
    slope = low + high
    pad = torch.maximum(high, -low).square_().mul_(ELEMENTARY).add_(TINY)
    return strip(slope, torch.sub(-pad, slope.square(), alpha=0.25), torch.addcmul(pad, low, high, value=-1))


def exp_band(low: Tensor, high: Tensor) -> Strip:
    """Tangent at the middle m, where g is least: s = exp(m)."""
    middle = 0.5 * low + 0.5 * high
    return _extremes(torch.exp, torch.exp(middle), (low, high, middle))


def reciprocal_band(low: Tensor, high: Tensor) -> Strip:
    """Chord slope -1/(l u) for l u > 0; g' vanishes at ±√(l u). Undefined where zero is inside."""
    crosses = ~((low > 0) | (high < 0))
    product = torch.where(crosses, 1.0, low * high)
    band = _extremes(torch.reciprocal, -1 / product, (low, high, product.sqrt().copysign(low)))
    return band._replace(half=band.half.masked_fill(crosses, math.nan))


def ramp(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A slope s and a gap with relu(z) - s z in [0, gap].

    With l⁻ = max(-l, 0), u⁺ = max(u, 0) and any s in [0, 1] it is in [0, max(s l⁻, (1 - s) u⁺)]; s is u⁺/(u⁺ + l⁻).
    """
    left, right = (-low).clamp_(min=0.0), high.clamp(min=0.0)
    slope = right / (left + right + TINY)
    return slope, raised(torch.maximum(slope * left, right * (1 - slope)))


def relu_band(low: Tensor, high: Tensor) -> Strip:
    """Identity or zero away from the kink; the chord s = u/(u - l) across it, where relu(z) - s z is in [0, -s l]."""
    slope, gap = ramp(low, high)
    return strip(slope, torch.zeros_like(gap), gap)


def abs_band(low: Tensor, high: Tensor) -> Strip:
    """|z| = relu(z) + relu(-z): sign away from the kink; across it |z| - s z is in [0, max(-l - s l, u - s u)]."""
    crosses = (low < 0) & (high > 0)
    slope = torch.where(
        crosses, (high + low) / torch.where(crosses, high - low, 1.0), torch.where(low >= 0, 1.0, -1.0).to(low)
    )
    ends = torch.maximum(-low * (1 + slope), high * (1 - slope))
    pad = ELEMENTARY * (low.abs() + high.abs())
    return strip(slope, torch.zeros_like(low), torch.where(crosses, raised(ends + pad), 0.0))


def _tangent_band(
    value: Callable[[Tensor], Tensor], derivative: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, over: Interval
) -> Strip:
    """Tangent at the middle m with Lagrange's remainder: f(z) - f(m) - f'(m)(z - m) in f''([l, u]) (z - m)²/2.

    For sine and cosine f'' = -f, whose range over [l, u] is minus `over`.
    """
    middle = 0.5 * low + 0.5 * high
    width = raised(torch.maximum(high - middle, middle - low))
    slope = derivative(middle)
    start = torch.addcmul(value(middle), slope, middle, value=-1)
    pad = (slope.abs() * (middle.abs() + width) + 2).mul_(ELEMENTARY)
    half = raised(0.5 * width.square())
    least = torch.addcmul(start, over.upper.clamp(min=0.0), half, value=-1) - pad
    most = torch.addcmul(start, over.lower.clamp(max=0.0), half, value=-1) + pad
    wide = ~(width < WIDEST_TANGENT)
    least, most = torch.where(wide, over.lower, least), torch.where(wide, over.upper, most)
    return strip(slope.masked_fill(wide, 0.0), least, most)


def sin_strip(low: Tensor, high: Tensor) -> tuple[Strip, Interval]:
    """Tangent at the middle, and the range."""
    over = sine(Interval(low, high))
    return _tangent_band(torch.sin, torch.cos, low, high, over), over


def cos_strip(low: Tensor, high: Tensor) -> tuple[Strip, Interval]:
    """Tangent at the middle, and the range."""
    over = cosine(Interval(low, high))
    return _tangent_band(torch.cos, lambda z: -torch.sin(z), low, high, over), over


def range_band(rule: str) -> Band:
    """Slope zero and the interval rule's range, for functions with jumps."""

    def band(low: Tensor, high: Tensor) -> Strip:
        bounds = RULES[rule]([Interval(low, high)], None)
        return strip(torch.zeros_like(low), *bounds)

    return band


def _first(both: Callable[[Tensor, Tensor], tuple[Strip, Interval]]) -> Band:
    return lambda low, high: both(low, high)[0]


# Of functions whose band and range have values in common, both.
STRIPS: dict[str, Callable[[Tensor, Tensor], tuple[Strip, Interval]]] = {
    "sin": sin_strip,
    "cos": cos_strip,
    "tanh": tanh_strip,
}

BANDS: dict[str, Band] = {
    "square": square_band,
    "sqrt": curves.sqrt_band,
    "sin": _first(sin_strip),
    "cos": _first(cos_strip),
    "exp": exp_band,
    "log": curves.log_band,
    "tanh": tanh_band,
    "atan": curves.atan_band,
    "softplus": curves.softplus_band,
    "erf": curves.erf_band,
    "bell": curves.bell_band,
    "relu": relu_band,
    "abs": abs_band,
    "floor": range_band("floor"),
    "step": range_band("step"),
    "jump": range_band("jump"),
}
