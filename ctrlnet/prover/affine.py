"""Slope-form bounds: every node as an affine function of the box plus a remainder, one rule a primitive.

Over the box x = m + h∘e with e in [-1, 1]ⁿ a node of size k is
    value(x) in c + Σᵢ Aᵢ eᵢ + [-r, r],        and value(x) in [l, u] as well; radius >= Σᵢ |Aᵢ| + r,
with c, Aᵢ, r >= 0 of shape (k,) for each of B boxes. `terms` stacks (c, A₁ ... Aₙ) as (B, 1+n, k); what does not
depend on the state has terms (1, 1, k). First-order terms cancel exactly between the parts of a sum, so the error of
a bound is quadratic in the width of the box; products keep the sign of their diagonal quadratic terms (eᵢ² is in [0,
1]). Every rule adds its own rounding, bounded as in `rounding`. Source: centred forms and Taylor models of first order
(Ratschek and Rokne, Computer Methods for the Range of Functions, 1984; Makino and Berz, 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.prover.bands import Band
from ctrlnet.prover.interval import Interval, joined
from ctrlnet.prover.rounding import above, below, finite, gamma, raised


class Slope(NamedTuple):
    terms: Tensor
    remainder: Tensor
    range: Interval
    radius: Tensor

    @property
    def center(self) -> Tensor:
        return self.terms[:, 0]

    @property
    def magnitude(self) -> Tensor:
        """An upper bound of |c| + Σ|Aᵢ| + r."""
        return raised(self.center.abs() + self.radius)

    @property
    def constant(self) -> bool:
        return self.terms.shape[1] == 1

    def to(self, device: str) -> Slope:
        """The form on another device."""
        bounds = Interval(self.range.lower.to(device), self.range.upper.to(device))
        return Slope(self.terms.to(device), self.remainder.to(device), bounds, self.radius.to(device))


Form = tuple[Tensor, Tensor]  # terms, remainder


def closed(form: Form, bounds: Interval) -> Slope:
    """Attach the range: the interval rule's result intersected with c ± (Σ|Aᵢ| + r)."""
    terms, remainder = form
    radius = raised(_total(terms[:, 1:].abs()) + remainder)
    center = finite(terms[:, 0])
    lower = torch.maximum(below(center - radius), bounds.lower)
    return Slope(terms, remainder, Interval(lower, torch.minimum(above(center + radius), bounds.upper)), radius)


def _total(rows: Tensor) -> Tensor:
    """The sum over axis 1, row by row: torch's reduction of a few rows takes several times as long."""
    total, *others = rows.unbind(1) or (rows.sum(1),)
    for row in others:
        total = total + row
    return total


def _plus(a: Tensor, b: Tensor) -> Tensor:
    """Sum of terms, one of which may have no slopes."""
    if a.shape[1] == b.shape[1]:
        return a + b
    longer, shorter = (a, b) if a.shape[1] > b.shape[1] else (b, a)
    return torch.cat((longer[:, :1] + shorter, longer[:, 1:].expand(max(len(a), len(b)), -1, -1)), 1)


def add(a: Slope, b: Slope, sign: float = 1.0) -> Form:
    """a ± b: terms add; one rounding a term."""
    pad = gamma(1) * (a.magnitude + b.magnitude)
    return _plus(a.terms, b.terms if sign > 0 else -b.terms), raised(a.remainder + b.remainder + pad)


def scale(a: Slope, k: Slope) -> Form:
    """k a with k in c ± r independent of the state: c a plus |c| r_a + r |a|."""
    size = k.center.abs()
    pad = gamma(2) * raised(size + k.remainder) * a.magnitude
    return a.terms * k.terms, raised(size * a.remainder + k.remainder * a.magnitude + pad)


def multiply(a: Slope, b: Slope) -> Form:
    """The product of two forms.

    (c₁ + A·e + ρ₁)(c₂ + B·e + ρ₂) = c₁c₂ + (c₁B + c₂A)·e + Σᵢⱼ AᵢBⱼ eᵢeⱼ + c₁ρ₂ + c₂ρ₁ + ρ₂ A·e + ρ₁ B·e + ρ₁ρ₂.
    Diagonal: AᵢBᵢeᵢ² lies in AᵢBᵢ[0, 1], half of it moves to the centre. Off the diagonal, pairs are symmetrised:
    |AᵢBⱼ + AⱼBᵢ| for i < j. Every float here is a sum of at most n + 2 products, so its error is at most γ |a||b|.
    """
    if a.constant or b.constant:
        return scale(a, b) if b.constant else scale(b, a)
    A, B, c1, c2 = a.terms[:, 1:], b.terms[:, 1:], a.center, b.center
    diagonal = A * B
    slopes = c1[:, None] * B + c2[:, None] * A
    center = c1 * c2 + 0.5 * _total(diagonal)
    quadratic = 0.5 * _total(diagonal.abs()) + _pairs(A, B)
    ra, rb = a.remainder, b.remainder
    cross = a.magnitude * rb + b.magnitude * ra  # |a| holds ra, so that ra rb is counted
    pad = gamma(4 * A.shape[1] + 8) * a.magnitude * b.magnitude
    return torch.cat((center[:, None], slopes), 1), raised(quadratic + cross + pad)


def _pairs(A: Tensor, B: Tensor) -> Tensor:
    total = torch.zeros_like(A[:, 0])
    for i in range(A.shape[1]):
        for j in range(i):
            total = total + (A[:, i] * B[:, j] + A[:, j] * B[:, i]).abs()
    return total


def linear(a: Slope, weight: Tensor) -> Form:
    """W a: terms map by W, the remainder by |W|, and rounding by γ |W| |a|."""
    factor = gamma(weight.shape[1])
    spread = raised(a.remainder + factor * a.magnitude)
    return a.terms @ weight.T, raised((spread @ weight.T.abs()) * (1 + factor))


def grouped_sum(a: Slope, groups: int) -> Form:
    m = a.center.shape[-1] // groups
    spread = raised(a.remainder + gamma(m) * a.magnitude)
    return a.terms.unflatten(-1, (groups, m)).sum(-1), raised(
        spread.unflatten(-1, (groups, m)).sum(-1) * (1 + gamma(m))
    )


def banded(a: Slope, band: Band) -> Form:
    """f(a) for f(z) - s z in [low, high] on the range of a:  s a + (low + high)/2 ± (high - low)/2."""
    slope, low, high = band(*a.range)
    middle = 0.5 * low + 0.5 * high
    half = raised(torch.maximum(high - middle, middle - low))
    pad = gamma(4) * (slope.abs() * a.magnitude + middle.abs())
    terms = a.terms * slope[:, None]
    return torch.cat((terms[:, :1] + middle[:, None], terms[:, 1:]), 1), raised(slope.abs() * a.remainder + half + pad)


def take(a: Slope, index: Sequence[int]) -> Form:
    chosen = list(index)
    return a.terms[:, :, chosen], a.remainder[:, chosen]


def concatenate(parts: Sequence[Slope]) -> Form:
    batch, rows = max(len(p.terms) for p in parts), max(p.terms.shape[1] for p in parts)
    spread = [filled(p.terms, rows).expand(batch, -1, -1) for p in parts]
    return torch.cat(spread, -1), joined([p.remainder for p in parts])


def filled(terms: Tensor, rows: int) -> Tensor:
    """Terms with zero slopes appended up to `rows`."""
    return torch.nn.functional.pad(terms, (0, 0, 0, rows - terms.shape[1]))
