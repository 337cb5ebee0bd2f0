"""Slope forms of the primitives that compare, choose or normalise: maximum, select, norm, unit."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.prover.affine import Form, Slope, add, banded, closed, filled, grouped_sum, multiply, take
from ctrlnet.prover.bands import ramp, reciprocal_band, square_band
from ctrlnet.prover.curves import sqrt_band
from ctrlnet.prover.interval import RULES, Interval
from ctrlnet.prover.rounding import above, below, gamma, raised


def reciprocal(b: Slope) -> Slope:
    one = torch.ones_like(b.range.lower)
    return closed(banded(b, reciprocal_band(*b.range)), RULES["div"]([Interval(one, one), b.range], None))


def extremum(a: Slope, b: Slope, sign: float) -> Form:
    """max(a, b) = b + relu(a - b) in s a + (1 - s) b + [0, gap], min(a, b) = a - relu(a - b) mirrored.

    s and gap are those of the band of relu over the range of a - b. Where one of both decides, its weight is 1 and the
    gap 0. A float between two terms errs by less than γ(4) times the sum of their sizes.
    """
    apart = Interval(below(a.range.lower - b.range.upper), above(a.range.upper - b.range.lower))
    if not (a.constant or b.constant):
        apart = closed(add(a, b, -1.0), apart).range
    share, gap = ramp(*apart)
    one, other = (a, b) if sign > 0 else (b, a)
    n = max(len(a.slopes), len(b.slopes))
    center = torch.lerp(other.center, one.center, share)
    slopes = torch.lerp(filled(other.slopes, n), filled(one.slopes, n), share)
    remainder = torch.lerp(other.remainder, one.remainder, share)
    pad = torch.add(remainder, a.magnitude + b.magnitude + gap, alpha=gamma(4))
    return torch.add(center, gap, alpha=0.5 * sign), slopes, raised(torch.add(pad, gap, alpha=0.5))


def select(c: Slope, a: Slope, b: Slope) -> Form:
    """The form of a where c > 0, that of b where c < 0; where c may vanish one form for both.

    With the mean T of their terms, a value of a or b is T·(1, e) ± (Σᵢ |Aᵢ - Bᵢ|/2 + max(r_a, r_b)), the centre
    among the terms.
    """
    n = max(len(a.slopes), len(b.slopes))
    first, second = ((part.center, filled(part.slopes, n), part.remainder) for part in (a, b))
    center, slopes = (0.5 * p + 0.5 * q for p, q in zip(first[:2], second[:2], strict=True))
    apart = (first[0] - second[0]).abs() + (first[1] - second[1]).abs().sum(0)
    hull = raised(0.5 * apart + gamma(2) * (a.magnitude + b.magnitude)) + torch.maximum(a.remainder, b.remainder)
    form = _narrower((center, slopes, raised(hull)), RULES["select"]([c.range, a.range, b.range], None))
    for branch, decides in ((first, c.range.lower > 0), (second, c.range.upper < 0)):
        form = _where(decides, branch, form)
    return form


def norm(a: Slope, groups: int) -> Form:
    """√(Σ aᵢ²), by the forms of its parts."""
    squares = closed(banded(a, square_band(*a.range)), RULES["square"]([a.range], None))
    whole = closed(grouped_sum(squares, groups), RULES["sum"]([squares.range], groups))
    return _narrower(banded(whole, sqrt_band(*whole.range)), RULES["norm"]([a.range], groups))


def unit(a: Slope, groups: int) -> Form:
    """a times 1/|a|; [-1, 1] where |a| may vanish."""
    length = reciprocal(closed(norm(a, groups), RULES["norm"]([a.range], groups)))
    m = a.center.shape[-1] // groups
    spread = take(length, [j for j in range(groups) for _ in range(m)])
    return _narrower(multiply(a, spread), RULES["unit"]([a.range], groups))


def _narrower(form: Form, bounds: Interval) -> Form:
    """The constant form of a range where it is narrower than the remainder of a form, or that is no number."""
    middle = 0.5 * bounds.lower + 0.5 * bounds.upper
    half = raised(torch.maximum(bounds.upper - middle, middle - bounds.lower))
    return _where(form[2] <= half, form, (middle, torch.zeros_like(form[1]), half))


def _where(decides: Tensor, form: Form, otherwise: Form) -> Form:
    center, slopes, remainder = (torch.where(decides, p, q) for p, q in zip(form, otherwise, strict=True))
    return center, slopes, remainder
