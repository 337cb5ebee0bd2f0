"""Ranges of functions of one variable over intervals, outward rounded.

Where a function is undefined at a point of its interval, both ends are NaN; NaN at an end of the argument is NaN at an
end of the result. Values of torch's functions are trusted to `ELEMENTARY` and never beyond it: what is composed of
several of them says by how much it errs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover.rounding import ELEMENTARY, TINY, above, below, gamma

BELL_PEAK = 2 / math.sqrt(math.pi)
TURN = 1 / (2 * math.pi)
RIGHT_ANGLE = math.nextafter(math.pi / 2, 2.0)  # more than π/2


class Interval(NamedTuple):
    lower: Tensor
    upper: Tensor

    @property
    def magnitude(self) -> Tensor:
        return torch.maximum(self.lower.abs(), self.upper.abs())


def undefined_where(a: Interval, bounds: Interval) -> Interval:
    """NaN at both ends where an end of the argument is NaN: for rules that only compare."""
    unknown = a.lower.isnan() | a.upper.isnan()
    return Interval(*(bound.masked_fill(unknown, math.nan) for bound in bounds))


def padded(low: Tensor, high: Tensor, error: float, lowest: float = -math.inf, highest: float = math.inf) -> Interval:
    """[low, high] widened by the relative error of both, within the bounds that hold everywhere."""
    low, high = torch.sub(low, low.abs(), alpha=error), torch.add(high, high.abs(), alpha=error)
    return Interval(low.sub_(TINY).clamp_(min=lowest), high.add_(TINY).clamp_(max=highest))


def increasing(
    function: Callable[[Tensor], Tensor], lowest: float, highest: float, error: float = ELEMENTARY
) -> Callable[[Interval], Interval]:
    """f increasing with values in [lowest, highest]: [f(l) - e, f(u) + e], e the relative error of computing f."""
    return lambda a: padded(function(a.lower), function(a.upper), error, lowest, highest)


def square(a: Interval) -> Interval:
    """z² grows with |z|."""
    size = magnitude(a)
    return Interval(below(size.lower.square()).clamp_(min=0.0), above(size.upper.square()))


def magnitude(a: Interval) -> Interval:
    """|z|."""
    return Interval(torch.maximum(a.lower, -a.upper).clamp_(min=0.0), torch.maximum(a.upper, -a.lower))


def sine(a: Interval) -> Interval:
    return _wave(torch.sin, a, 0.25)


def cosine(a: Interval) -> Interval:
    return _wave(torch.cos, a, 0.0)


def _wave(function: Callable[[Tensor], Tensor], a: Interval, top: float) -> Interval:
    """sin or cos over [l, u]: the ends, 1 where some 2π(k + top) may lie inside, -1 where some 2π(k + top + 1/2) may.

    z/2π errs by less than 1e-9 + 1e-12 |z|, which widens [l, u]; from 1e6 on by a whole period.
    """
    size = torch.maximum(a.upper, -a.lower)
    margin = (1e-12 * size + 1e-9).masked_fill_(size >= 1e6, 1.0)
    first, last = torch.sub(margin, a.lower, alpha=TURN), torch.add(margin, a.upper, alpha=TURN)  # -first
    ends = function(a.lower), function(a.upper)
    low, high = torch.minimum(*ends) - ELEMENTARY, torch.maximum(*ends) + ELEMENTARY
    peak = torch.floor(last - top) >= -torch.floor(first + top)
    trough = torch.floor(last - (top + 0.5)) >= -torch.floor(first + (top + 0.5))
    return Interval(low.masked_fill_(trough, -1.0).clamp_(min=-1.0), high.masked_fill_(peak, 1.0).clamp_(max=1.0))


def integer_power(z: Tensor, exponent: int) -> Tensor:
    """z^p by squaring: p - 1 multiplications in the product written out, so the relative error is at most γ(p - 1)."""
    if exponent == 1:
        return z
    half = integer_power(z, exponent // 2)
    return half * half * z if exponent % 2 else half * half


def power(a: Interval, exponent: int) -> Interval:
    """z^p: increasing for odd p; for even p it is |z|^p, increasing in |z|."""
    base = a if exponent % 2 else magnitude(a)
    bounds = padded(integer_power(base.lower, exponent), integer_power(base.upper, exponent), gamma(exponent))
    return bounds if exponent % 2 else Interval(bounds.lower.clamp(min=0.0), bounds.upper)


def square_root(a: Interval) -> Interval:
    """√ is correctly rounded (IEEE 754); it is undefined where the interval may reach below zero."""
    low, high = below(a.lower.sqrt()).clamp(min=0.0), above(a.upper.sqrt())
    return Interval(low, high.masked_fill(~(a.lower >= 0), math.nan))


def logarithm(a: Interval) -> Interval:
    """ln is undefined where the interval may reach zero or below."""
    bounds = padded(a.lower.log(), a.upper.log(), ELEMENTARY)
    return Interval(*(bound.masked_fill(~(a.lower > 0), math.nan) for bound in bounds))


def softplus_value(z: Tensor) -> Tensor:
    """ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|): a relative error of t = e^-|z| is at most one of ln(1 + t), and a
    sum of nonnegative terms keeps it: 3 ELEMENTARY covers both functions and the roundings.
    """
    return z.clamp(min=0.0) + torch.exp(-z.abs()).log1p()


def bell_value(z: Tensor) -> Tensor:
    """2/√π e^(-z²) to a relative error of 3 ELEMENTARY (and TINY where it underflows).

    A rounding of z² is a relative error of z² u in the result, too much for large z. So z is split: z₀ has 24 bits,
    z₀² is exact, and z² = z₀² + (z - z₀)(z + z₀) with a small second term.
    """
    z = z.clamp(-40.0, 40.0)  # beyond, the value is less than TINY
    rounded = z.float().double()
    return BELL_PEAK * (torch.exp(-rounded.square()) * torch.exp(-(z - rounded) * (z + rounded)))


def bell(a: Interval) -> Interval:
    """2/√π e^(-z²) falls with |z|."""
    size = magnitude(a)
    return padded(bell_value(size.upper), bell_value(size.lower), 3 * ELEMENTARY, 0.0, math.inf)


def floor(a: Interval) -> Interval:
    """⌊z⌋, of a whole number k both sides, k - 1 and k. Beyond 2⁵³ a float's neighbour is further away than k - 1."""
    return undefined_where(a, Interval(torch.minimum(a.lower.ceil() - 1, below(a.lower)), a.upper.floor()))


def step(a: Interval) -> Interval:
    """Clarke hull of the derivative of relu: [0, 1] where a can be zero, by equality too."""
    return undefined_where(a, Interval((a.lower > 0).to(a.lower), (~(a.upper < 0)).to(a.lower)))


def jump(a: Interval) -> Interval:
    """Derivative of step: 0 away from zero, unbounded where a can be zero."""
    far = torch.where((a.lower > 0) | (a.upper < 0), 0.0, math.inf).to(a.lower)
    return undefined_where(a, Interval(-far, far))
