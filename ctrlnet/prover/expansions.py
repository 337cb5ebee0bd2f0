"""Functions of one variable on second-order forms: Taylor's expansion about the middle of the range, to fourth order.

Theorem. Let |z| <= w, let m + z stay in [l, u], and G ± Gr enclose f'''' there. Then
    f(m + z) = f(m) - G w⁴/192 + (f'(m) + f'''(m) w²/8) z + (f''(m)/2 + G w²/24) z²
               ± (|f'''(m)| w³/24 + |G| w⁴/192 + Gr w⁴/24).
Proof: Lagrange's remainder is f''''(ξ) z⁴/24; |z³ - 3/4 w² z| <= w³/4 and |z⁴ - w² z² + w⁴/8| <= w⁴/8, by
Chebyshev's polynomials.

For a form a = c + p + P + ρ (p = A·e, P = eᵀQe, |ρ| <= r) and δ = c - m, z = δ + p + P + ρ, so that with s and t the
coefficients of z and z²
    s z + t z² = sδ + tδ² + (s + 2tδ)(p + P + ρ) + t p² + t (2p(P + ρ) + (P + ρ)²),
of which the last bracket is of third order but for the slope's ρ, the error of the argument. Where the strip of first
order of `bands` is narrower than all that is left, as on wide ranges, it is taken instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover import ranges
from ctrlnet.prover.backward import Factor, Step, forward_remainder
from ctrlnet.prover.bands import BANDS, Band, reciprocal_band
from ctrlnet.prover.curves import power_band
from ctrlnet.prover.interval import RULES
from ctrlnet.prover.quadratic import Quadratic, closed, filled, multiply, products
from ctrlnet.prover.ranges import Interval, integer_power
from ctrlnet.prover.rounding import ELEMENTARY, gamma, raised

FOURTH_ERROR = 1e-12  # more than the error of tanh'''' for |tanh| <= 1
TURNS = ((0.398039, 4.08589), (0.917369, -0.61009))  # tanh where tanh'''' turns, and a value just beyond its own there


class Expansion(NamedTuple):
    """f(m), f'(m), f''(m), f'''(m), what each may err by, and the range of f'''' over [l, u]."""

    value: Tensor
    first: Tensor
    second: Tensor
    third: Tensor
    errors: Sequence[Tensor]
    fourth: Interval


Expand = Callable[[Tensor, Interval], Expansion]


def _tanh(m: Tensor, over: Interval) -> Expansion:
    """t = tanh m: t' = 1 - t², t'' = -2t(1 - t²), t''' = -2 + 8t² - 6t⁴, t'''' = 16t - 40t³ + 24t⁵."""
    t = torch.tanh(m)
    T = t.square()
    first = 1 - T
    errors = (ELEMENTARY * t.abs(), *(torch.full_like(t, k * ELEMENTARY) for k in (4, 12, 40)))
    fourth = _fourth_of_tanh(torch.tanh(over.lower), torch.tanh(over.upper))
    return Expansion(t, first, -2 * t * first, -2 + T * (8 - 6 * T), errors, fourth)


def _fourth_of_tanh(low: Tensor, high: Tensor) -> Interval:
    """The range of 16t - 40t³ + 24t⁵, an odd function, for t in [low, high]."""
    ends = torch.stack([t * (16 - t.square() * (40 - 24 * t.square())) for t in (low, high)])
    least, most = ends.amin(0), ends.amax(0)
    for place, value in (*TURNS, *((-place, -value) for place, value in TURNS)):
        turns = (low <= place + 1e-4) & (high >= place - 1e-4)
        least = torch.where(turns, least.clamp(max=value), least)
        most = torch.where(turns, most.clamp(min=value), most)
    return Interval(least - FOURTH_ERROR, most + FOURTH_ERROR)


def _sin(m: Tensor, over: Interval) -> Expansion:
    value, slope = torch.sin(m), torch.cos(m)
    error = torch.full_like(m, ELEMENTARY)
    return Expansion(value, slope, -value, -slope, (error,) * 4, ranges.sine(over))


def _cos(m: Tensor, over: Interval) -> Expansion:
    value, slope = torch.cos(m), -torch.sin(m)
    error = torch.full_like(m, ELEMENTARY)
    return Expansion(value, slope, -value, -slope, (error,) * 4, ranges.cosine(over))


def _exp(m: Tensor, over: Interval) -> Expansion:
    value = torch.exp(m)
    fourth = ranges.padded(torch.exp(over.lower), torch.exp(over.upper), ELEMENTARY)
    return Expansion(value, value, value, value, (ELEMENTARY * value,) * 4, fourth)


def _reciprocal(m: Tensor, over: Interval) -> Expansion:
    """f'''' = 24/z⁵, unbounded where zero is inside: nothing comes of it then."""
    value = 1 / m
    first, second = -value.square(), 2 * value.square() * value
    third = -3 * second * value
    errors = tuple(ELEMENTARY * part.abs() for part in (value, first, second, third))
    fifth = ranges.power(over, 5)
    crosses = (fifth.lower <= 0) & (fifth.upper >= 0)
    low, high = (torch.where(crosses, math.nan, 24 / bound) for bound in (fifth.upper, fifth.lower))
    return Expansion(value, first, second, third, errors, ranges.padded(low, high, ELEMENTARY))


def _power(exponent: int) -> Expand:
    """z^p, p >= 3."""

    def expand(m: Tensor, over: Interval) -> Expansion:
        p, one = exponent, torch.ones_like(m)
        value, first, second, third = (math.perm(p, k) * (integer_power(m, p - k) if p > k else one) for k in range(4))
        errors = tuple(gamma(p + 1) * part.abs() for part in (value, first, second, third))
        rest, factor = ranges.power(over, p - 4) if p > 4 else Interval(one, one), float(math.perm(p, 4))
        fourth = ranges.padded(factor * rest.lower, factor * rest.upper, ELEMENTARY)
        return Expansion(value, first, second, third, errors, fourth)

    return expand


def banded(a: Quadratic, band: Band) -> Step:
    """f(a) for f(z) - s z in middle ± half on the range of a:  s a + middle ± half."""
    slope, middle, half = band(*a.range)
    pad = gamma(4) * slope.abs() * a.magnitude
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
    fourth = 0.5 * f.fourth.lower + 0.5 * f.fourth.upper
    spread = raised(torch.maximum(f.fourth.upper - fourth, fourth - f.fourth.lower))
    w2 = w * w
    w4 = w2 * w2
    errors = f.errors[0] + w * (f.errors[1] + w * (f.errors[2] + w * f.errors[3]))
    left = f.third.abs() * w2 * w / 24 + (fourth.abs() + 8 * spread) * w4 / 192 + errors
    s, t, delta = f.first + f.third * w2 / 8, 0.5 * f.second + fourth * w2 / 24, a.center - m
    slope = s + 2 * t * delta
    rest = a.second + a.remainder
    bracket = t.abs() * (2 * a.first * rest + rest.square())
    reach = delta.abs() + a.first + rest
    sizes = f.first.abs() + f.third.abs() * w2 + (f.second.abs() + fourth.abs() * w2) * reach
    pad = gamma(24) * (f.value.abs() + fourth.abs() * w4 + sizes * reach)
    rows = a.terms[:, 1:] * slope[:, None]
    bent = products(a.slopes, a.slopes) * t[:, None]
    curvature = bent + rows[:, n:] if rows.shape[1] > n else bent
    center = f.value - fourth * w4 / 192 + delta * (s + t * delta)
    terms = torch.cat((center[:, None], rows[:, :n], curvature), 1)
    return Step(terms, raised(left + bracket + pad), (Factor(slope),))


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
