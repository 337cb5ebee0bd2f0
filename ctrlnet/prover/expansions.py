"""Functions of one variable on second-order forms: Taylor's expansion about the middle of the range, to third order.

Theorem. Let |z| <= w, let m + z stay in [l, u], and F0 ± Fr enclose f''' there. Then
    f(m + z) = f(m) + (f'(m) + F0 w²/8) z + f''(m) z²/2 ± (|F0| w³/24 + Fr w³/6).
Proof: Lagrange's remainder is f'''(ξ) z³/6, and |z³ - 3/4 w² z| <= w³/4, with equality for Chebyshev's polynomial.

For a form a = c + p + P + ρ (p = A·e, P = eᵀQe, |ρ| <= r) and δ = c - m, z = δ + p + P + ρ, so that with s and t the
coefficients of z and z²
    s z + t z² = sδ + tδ² + (s + 2tδ)(p + P + ρ) + t p² + t (2p(P + ρ) + (P + ρ)²),
of which the last bracket is of third order but for the slope's ρ, the error of the argument. Where the strip of first
order of `bands` is narrower than all that is left, as on wide ranges, it is taken instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover import ranges
from ctrlnet.prover.affine import filled
from ctrlnet.prover.backward import Factor, Step, forward_remainder
from ctrlnet.prover.bands import BANDS, Band, reciprocal_band
from ctrlnet.prover.curves import power_band
from ctrlnet.prover.interval import RULES
from ctrlnet.prover.quadratic import Quadratic, closed, multiply, products
from ctrlnet.prover.ranges import Interval, integer_power
from ctrlnet.prover.rounding import ELEMENTARY, gamma, raised

THIRD_ERROR = 1e-13  # more than the error of tanh''' = -2 + 8t² - 6t⁴ for |t| <= 1


class Expansion(NamedTuple):
    """f(m), f'(m), f''(m), what each may err by, and the range of f''' over [l, u]."""

    value: Tensor
    first: Tensor
    second: Tensor
    errors: tuple[Tensor, Tensor, Tensor]
    third: Interval


Expand = Callable[[Tensor, Interval], Expansion]


def _tanh(m: Tensor, over: Interval) -> Expansion:
    """t = tanh m: t' = 1 - t², t'' = -2t(1 - t²), t''' = g(t²) with g(T) = -2 + 8T - 6T², largest at T = 2/3."""
    t = torch.tanh(m)
    first = 1 - t.square()
    squared = ranges.square(Interval(torch.tanh(over.lower), torch.tanh(over.upper)))
    ends = torch.stack([-2 + T * (8 - 6 * T) for T in squared])
    peaked = (squared.lower <= 0.667) & (squared.upper >= 0.666)
    top = torch.where(peaked, 2 / 3, ends.amax(0))
    third = Interval(ends.amin(0) - THIRD_ERROR, top + THIRD_ERROR)
    errors = (ELEMENTARY * t.abs(), torch.full_like(t, 4 * ELEMENTARY), torch.full_like(t, 12 * ELEMENTARY))
    return Expansion(t, first, -2 * t * first, errors, third)


def _sin(m: Tensor, over: Interval) -> Expansion:
    value, turn = torch.sin(m), ranges.cosine(over)
    error = torch.full_like(m, ELEMENTARY)
    return Expansion(value, torch.cos(m), -value, (error, error, error), Interval(-turn.upper, -turn.lower))


def _cos(m: Tensor, over: Interval) -> Expansion:
    value, error = torch.cos(m), torch.full_like(m, ELEMENTARY)
    return Expansion(value, -torch.sin(m), -value, (error, error, error), ranges.sine(over))


def _exp(m: Tensor, over: Interval) -> Expansion:
    value = torch.exp(m)
    error = ELEMENTARY * value
    third = ranges.padded(torch.exp(over.lower), torch.exp(over.upper), ELEMENTARY)
    return Expansion(value, value, value, (error, error, error), third)


def _reciprocal(m: Tensor, over: Interval) -> Expansion:
    """f''' = -6/z⁴, unbounded where zero is inside: nothing comes of it then."""
    value = 1 / m
    first, second = -value.square(), 2 * value.square() * value
    errors = (ELEMENTARY * value.abs(), ELEMENTARY * first.abs(), ELEMENTARY * second.abs())
    fourth = ranges.power(over, 4)
    third = ranges.padded(-6 / fourth.lower, -6 / fourth.upper, ELEMENTARY)
    return Expansion(value, first, second, errors, third)


def _power(exponent: int) -> Expand:
    """z^p, p >= 3."""

    def expand(m: Tensor, over: Interval) -> Expansion:
        p = exponent
        value, first = integer_power(m, p), p * integer_power(m, p - 1)
        second, factor = p * (p - 1) * integer_power(m, p - 2), float(p * (p - 1) * (p - 2))
        errors = (gamma(p) * value.abs(), gamma(p) * first.abs(), gamma(p) * second.abs())
        rest = ranges.power(over, p - 3) if p > 3 else Interval(torch.ones_like(m), torch.ones_like(m))
        third = ranges.padded(factor * rest.lower, factor * rest.upper, ELEMENTARY)
        return Expansion(value, first, second, errors, third)

    return expand


def banded(a: Quadratic, band: Band) -> Step:
    """f(a) for f(z) - s z in [low, high] on the range of a:  s a + (low + high)/2 ± (high - low)/2."""
    slope, low, high = band(*a.range)
    middle = 0.5 * low + 0.5 * high
    half = raised(torch.maximum(high - middle, middle - low))
    pad = gamma(4) * (slope.abs() * a.magnitude + middle.abs())
    terms = a.terms * slope[:, None]
    return Step(torch.cat((terms[:, :1] + middle[:, None], terms[:, 1:]), 1), raised(half + pad), (Factor(slope),))


def expanded(a: Quadratic, expand: Expand, band: Band) -> Step:
    """f(a) by whichever leaves less: the expansion to third order or the strip of first order."""
    strip = banded(a, band)
    if a.constant:
        return strip
    taylor = _taylor(a, expand)
    left = [forward_remainder(step, [a.remainder]) for step in (taylor, strip)]
    return chosen(left[0] <= left[1], taylor, strip)  # NaN takes the strip


def chosen(decides: Tensor, step: Step, otherwise: Step) -> Step:
    """`step` where `decides` (B, k), the other elsewhere; both with factors of one argument."""
    rows = max(step.terms.shape[1], otherwise.terms.shape[1])
    terms = torch.where(decides[:, None], filled(step.terms, rows), filled(otherwise.terms, rows))
    factors = [part.influences[0] for part in (step, otherwise)]
    assert isinstance(factors[0], Factor) and isinstance(factors[1], Factor)
    factor = Factor(torch.where(decides, factors[0].values, factors[1].values))
    return Step(terms, torch.where(decides, step.local, otherwise.local), (factor,))


def _taylor(a: Quadratic, expand: Expand) -> Step:
    n, (low, high) = a.dimension, a.range
    m = 0.5 * low + 0.5 * high
    w = raised(torch.maximum(high - m, m - low))
    f = expand(m, a.range)
    third = 0.5 * f.third.lower + 0.5 * f.third.upper
    spread = raised(torch.maximum(f.third.upper - third, third - f.third.lower))
    cube = w * w * w
    lagrange = third.abs() * cube / 24 + spread * cube / 6 + f.errors[0] + f.errors[1] * w + f.errors[2] * w * w
    s, t, delta = f.first + third * w * w / 8, 0.5 * f.second, a.center - m
    slope = s + 2 * t * delta
    rest = a.second + a.remainder
    bracket = t.abs() * (2 * a.first * rest + rest.square())
    reach = delta.abs() + a.first + rest
    pad = gamma(24) * (f.value.abs() + (f.first.abs() + third.abs() * w * w + t.abs() * reach) * reach)
    rows = a.terms[:, 1:] * slope[:, None]
    bent = products(a.slopes, a.slopes) * t[:, None]
    curvature = bent + rows[:, n:] if rows.shape[1] > n else bent
    center = f.value + delta * (s + t * delta)
    terms = torch.cat((center[:, None], rows[:, :n], curvature), 1)
    return Step(terms, raised(lagrange + bracket + pad), (Factor(slope),))


EXPANSIONS: dict[str, tuple[Expand, Band]] = {
    "tanh": (_tanh, BANDS["tanh"]),
    "sin": (_sin, BANDS["sin"]),
    "cos": (_cos, BANDS["cos"]),
    "exp": (_exp, BANDS["exp"]),
    "reciprocal": (_reciprocal, reciprocal_band),
}


def power(a: Quadratic, exponent: int) -> Step:
    """a^p, p >= 3."""
    return expanded(a, _power(exponent), power_band(exponent))


def divide(a: Quadratic, b: Quadratic) -> Step:
    """a/b = a q with q = 1/b = T + sρ + ε: the error c q of the product becomes c s ρ + c ε."""
    step = expanded(b, *EXPANSIONS["reciprocal"])
    one = torch.ones_like(b.range.lower)
    bounds = RULES["div"]([Interval(one, one), b.range], None)
    q = closed(step.terms, forward_remainder(step, [b.remainder]), bounds, b.dimension)
    product = multiply(a, q)
    first, second = product.influences
    inner = step.influences[0]
    if second is None or not isinstance(inner, Factor):
        return product
    own = raised(a.center.abs() * step.local)
    return Step(product.terms, raised(product.local + own), (first, Factor(a.center * inner.values)))
