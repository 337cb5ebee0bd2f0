"""Slope forms of the primitives that compare, choose or normalise: maximum, select, norm, unit."""

from __future__ import annotations

import torch

from ctrlnet.prover.affine import Form, Slope, add, banded, closed, filled, grouped_sum, multiply, take
from ctrlnet.prover.bands import reciprocal_band, relu_band, square_band
from ctrlnet.prover.curves import sqrt_band
from ctrlnet.prover.interval import RULES, Interval
from ctrlnet.prover.rounding import above, below, gamma, raised


def reciprocal(b: Slope) -> Slope:
    one = torch.ones_like(b.range.lower)
    return closed(banded(b, reciprocal_band), RULES["div"]([Interval(one, one), b.range], None))


def extremum(a: Slope, b: Slope, sign: float) -> Form:
    """max(a, b) = b + relu(a - b) and min(a, b) = a - relu(a - b); where one of them decides, its own form."""
    difference = closed(
        add(a, b, -1.0), Interval(below(a.range.lower - b.range.upper), above(a.range.upper - b.range.lower))
    )
    excess = closed(banded(difference, relu_band), RULES["relu"]([difference.range], None))
    terms, remainder = add(b, excess) if sign > 0 else add(a, excess, -1.0)
    larger, smaller = (a, b) if sign > 0 else (b, a)
    for form, decides in ((larger, difference.range.lower >= 0), (smaller, difference.range.upper <= 0)):
        terms = torch.where(decides[:, None], filled(form.terms, terms.shape[1]), terms)
        remainder = torch.where(decides, form.remainder, remainder)
    return terms, remainder


def select(c: Slope, a: Slope, b: Slope) -> Form:
    """The form of a where c > 0, that of b where c < 0; where c may vanish one form for both.

    With the mean T of their terms, a value of a or b is T·(1, e) ± (Σᵢ |Aᵢ - Bᵢ|/2 + max(r_a, r_b)), the centre
    among the terms.
    """
    rows = max(a.terms.shape[1], b.terms.shape[1])
    first, second = filled(a.terms, rows), filled(b.terms, rows)
    terms = 0.5 * first + 0.5 * second
    apart = raised(0.5 * (first - second).abs().sum(1)) + gamma(2) * (a.magnitude + b.magnitude)
    hull = raised(apart + torch.maximum(a.remainder, b.remainder))
    terms, remainder = _narrower((terms, hull), RULES["select"]([c.range, a.range, b.range], None))
    for form, rest, decides in ((first, a.remainder, c.range.lower > 0), (second, b.remainder, c.range.upper < 0)):
        terms = torch.where(decides[:, None], form, terms)
        remainder = torch.where(decides, rest, remainder)
    return terms, remainder


def norm(a: Slope, groups: int) -> Form:
    """√(Σ aᵢ²), by the forms of its parts."""
    squares = closed(banded(a, square_band), RULES["square"]([a.range], None))
    total = closed(grouped_sum(squares, groups), RULES["sum"]([squares.range], groups))
    return _narrower(banded(total, sqrt_band), RULES["norm"]([a.range], groups))


def unit(a: Slope, groups: int) -> Form:
    """a times 1/|a|; [-1, 1] where |a| may vanish."""
    length = reciprocal(closed(norm(a, groups), RULES["norm"]([a.range], groups)))
    m = a.center.shape[-1] // groups
    index = [j for j in range(groups) for _ in range(m)]
    spread = Interval(*(bound[:, index] for bound in length.range))
    return _narrower(multiply(a, closed(take(length, index), spread)), RULES["unit"]([a.range], groups))


def _narrower(form: Form, bounds: Interval) -> Form:
    """The constant form of a range where it is narrower than the remainder of a form, or that is no number."""
    middle = 0.5 * bounds.lower + 0.5 * bounds.upper
    half = raised(torch.maximum(bounds.upper - middle, middle - bounds.lower))
    keeps = form[1] <= half
    flat = filled(middle[:, None], form[0].shape[1])
    return torch.where(keeps[:, None], form[0], flat), torch.where(keeps, form[1], half)
